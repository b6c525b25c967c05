// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useState } from 'react';
import { Button, Checkbox, ModalBody, ModalFooter } from '@patternfly/react-core';

import { callError, type CallError } from '../../bus/errors';
import { connectTarget } from '../../bus/service';
import { useAllowed, useService } from '../../hooks';
import { _ } from '../../i18n';
import { tasks } from '../../tasks';
import { TargetState } from '../Status';

/** Connects the targets that are chosen, side by side; each has a result of its own. */
export const ConnectStep = ({ found, done, back, close }: {
    found: string[];
    done: (targets: string[]) => void;
    back: () => void;
    close: () => void;
}) => {
    const { model } = useService();
    const allowed = useAllowed('connect');
    const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(found.length === 1 ? found : []));
    const [errors, setErrors] = useState<ReadonlyMap<string, CallError>>(new Map());
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

    async function connect() {
        setBusy(true);
        setErrors(new Map());
        const failed = new Map<string, CallError>();
        await Promise.all([...chosen].map(path =>
            tasks.ask(options => connectTarget(path, options))
                    .catch(reason => { failed.set(path, callError(reason)); })));
        setErrors(failed);
        setBusy(false);
        if (failed.size === 0)
            done([...chosen]);
    }

    return (
        <>
            <ModalBody>
                {found.map(path => {
                    const target = model.targets.get(path);
                    return target && (
                        <div key={path} className="dl-choice">
                            <Checkbox id={path} isChecked={chosen.has(path)} isDisabled={busy}
                                onChange={(_event, on) => toggle(path, on)} label={target.iqn}
                                description={errors.get(path)?.message} />
                            <TargetState state={errors.has(path) ? 'failed' : target.state} />
                        </div>
                    );
                })}
            </ModalBody>
            <ModalFooter>
                <Button isLoading={busy} isDisabled={busy || !allowed || chosen.size === 0} onClick={() => { void connect(); }}>
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
