// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useState } from 'react';
import { Button, Checkbox, Form, ModalBody, ModalFooter } from '@patternfly/react-core';

import { callError, type CallError } from '../../bus/errors';
import { connectTarget, setCredentials } from '../../bus/service';
import { useAllowed, useService } from '../../hooks';
import { _, fill } from '../../i18n';
import { chapField, isComplete, isUntouched, NO_CHAP, withoutSecrets, type Chap } from '../../model/chap';
import { tasks } from '../../tasks';
import { ErrorAlert } from '../Ask';
import { ChapFields } from '../ChapFields';
import { TargetState } from '../Status';

async function connectWith(path: string, chap: Chap | undefined) {
    if (chap && !isUntouched(chap))
        await tasks.ask(options => setCredentials(path, chap, options));
    await tasks.ask(options => connectTarget(path, options));
}

const TargetChap = ({ iqn, chap, error, change }: {
    iqn: string;
    chap: Chap;
    error: CallError | null;
    change: (chap: Chap) => void;
}) => (
    <Form className="dl-chap" aria-label={fill(_("CHAP credentials of $0"), iqn)} onSubmit={event => event.preventDefault()}>
        {error && !chapField(error, chap) && <ErrorAlert title={_("It could not be connected")} fault={error} />}
        <ChapFields prefix={`${iqn}-`} chap={chap} error={error} change={change} />
    </Form>
);

/** Connects the targets that are chosen, side by side; each has a result of its own. */
export const ConnectStep = ({ found, done, back, close }: {
    found: string[];
    done: (targets: string[]) => void;
    back: () => void;
    close: () => void;
}) => {
    const { model } = useService();
    const mayAuthenticate = useAllowed('manage-credentials');
    const allowed = useAllowed('connect');
    const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(found.length === 1 ? found : []));
    const [errors, setErrors] = useState<ReadonlyMap<string, CallError>>(new Map());
    const [chaps, setChaps] = useState<ReadonlyMap<string, Chap>>(new Map()); // of those where it is asked for
    const [busy, setBusy] = useState(false);
    const connected = found.filter(path => ['connected', 'degraded'].includes(model.targets.get(path)?.state ?? ''));

    const toggle = (path: string, on: boolean) => {
        const next = new Set(chosen);
        if (on)
            next.add(path);
        else
            next.delete(path);
        setChosen(next);
    };

    const ask = (path: string, chap: Chap) => setChaps(new Map(chaps).set(path, chap));
    const ready = [...chosen].every(path => {
        const chap = chaps.get(path);
        return !chap || isUntouched(chap) || isComplete(chap);
    });

    async function connect() {
        setBusy(true);
        setErrors(new Map());
        const failed = new Map<string, CallError>();
        const asked = new Map<string, Chap>();
        await Promise.all([...chosen].map(path =>
            connectWith(path, chaps.get(path))
                    .catch(reason => {
                        const error = callError(reason);
                        failed.set(path, error);
                        if (chaps.has(path) || (error.name === 'AuthFailed' && mayAuthenticate))
                            asked.set(path, withoutSecrets(chaps.get(path) ?? NO_CHAP));
                    })));
        setErrors(failed);
        setChaps(asked);
        setBusy(false);
        if (failed.size === 0)
            done([...chosen]);
    }

    return (
        <>
            <ModalBody>
                {found.map(path => {
                    const target = model.targets.get(path);
                    const chap = chaps.get(path);
                    return target && (
                        <div key={path}>
                            <div className="dl-choice">
                                <Checkbox id={path} isChecked={chosen.has(path)} isDisabled={busy}
                                    onChange={(_event, on) => toggle(path, on)} label={target.iqn}
                                    description={chap ? null : errors.get(path)?.message} />
                                <TargetState state={errors.has(path) ? 'failed' : target.state} />
                                {chosen.has(path) && !chap &&
                                    <Button variant="link" isInline isDisabled={busy || !mayAuthenticate}
                                        onClick={() => ask(path, NO_CHAP)}>{_("Log in with CHAP")}</Button>}
                            </div>
                            {chosen.has(path) && chap &&
                                <TargetChap iqn={target.iqn} chap={chap} error={errors.get(path) ?? null}
                                    change={now => ask(path, now)} />}
                        </div>
                    );
                })}
            </ModalBody>
            <ModalFooter>
                <Button isLoading={busy} isDisabled={busy || !allowed || !ready || chosen.size === 0} onClick={() => { void connect(); }}>
                    {_("Connect")}
                </Button>
                {connected.length > 0 && !busy &&
                    <Button variant="secondary" onClick={() => done(connected)}>{_("Go on with the connected ones")}</Button>}
                <Button variant="secondary" isDisabled={busy} onClick={back}>{_("Back")}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </>
    );
};
