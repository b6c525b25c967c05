// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useEffect, useState, type Dispatch, type SetStateAction } from 'react';
import { Button, Checkbox, Form, ModalBody, ModalFooter } from '@patternfly/react-core';

import { discoverField } from '../../bus/errors';
import { cancelJob, discoverTargets } from '../../bus/service';
import { useAllowed, useAsk } from '../../hooks';
import { _ } from '../../i18n';
import { portOf } from '../../model/add-disk';
import { chapField, isComplete, NO_CHAP, withoutSecrets, type Chap } from '../../model/chap';
import { ErrorAlert } from '../Ask';
import { ChapFields } from '../ChapFields';
import { TextField } from '../Field';

export interface Portal {
    address: string;
    port: string;
    chap: Chap | null; // null: without
}

/** Asks a portal for its targets. */
export const DiscoverStep = ({ portal, change, known, useKnown, done, close }: {
    portal: Portal;
    change: Dispatch<SetStateAction<Portal>>;
    known: boolean;
    useKnown: () => void;
    done: (targets: string[]) => void;
    close: () => void;
}) => {
    const mayAuthenticate = useAllowed('manage-credentials');
    const allowed = useAllowed('discover') && (!portal.chap || mayAuthenticate);
    const { ask, busy, error, job, forget } = useAsk();
    const [nothing, setNothing] = useState(false);
    const port = portOf(portal.port);
    const field = error && discoverField(error);
    const inField = error !== null && (portal.chap
        ? chapField(error, portal.chap) !== null || field === 'address' || field === 'port'
        : field === 'address' || field === 'port');
    const edit = (part: Partial<Portal>) => {
        forget();
        setNothing(false);
        change({ ...portal, ...part });
    };

    useEffect(() => {
        if (error?.name === 'AuthFailed')
            change(now => ({ ...now, chap: now.chap ?? NO_CHAP }));
    }, [error, change]);

    async function discover() {
        const targets = await ask(options => discoverTargets(portal.address.trim(), port!, portal.chap, options));
        change(now => ({ ...now, chap: now.chap && withoutSecrets(now.chap) }));
        setNothing(targets?.length === 0);
        if (targets && targets.length > 0)
            done(targets);
    }

    return (
        <>
            <ModalBody>
                <Form id="discover" onSubmit={event => { event.preventDefault(); void discover(); }}>
                    {error && !inField && error.name !== 'Cancelled' &&
                        <ErrorAlert title={_("The targets could not be found")} fault={error} />}
                    <TextField id="address" label={_("Address")} value={portal.address}
                        change={address => edit({ address })}
                        help={_("Host name or IP address of a portal of the storage array")}
                        error={field === 'address' ? error?.message : nothing ? _("The portal has no targets for this host.") : null} />
                    <TextField id="port" label={_("Port")} value={portal.port} change={text => edit({ port: text })}
                        error={port === null ? _("A port is a number from 1 to 65535.") : field === 'port' ? error?.message : null} />
                    <Checkbox id="chap" label={_("Log in with CHAP")} isChecked={portal.chap !== null}
                        isDisabled={!mayAuthenticate}
                        onChange={(_event, on) => edit({ chap: on ? NO_CHAP : null })} />
                    {portal.chap &&
                        <ChapFields chap={portal.chap} error={error} change={chap => edit({ chap })} />}
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button type="submit" form="discover" isLoading={busy}
                    isDisabled={busy || !allowed || !portal.address.trim() || port === null
                        || (portal.chap !== null && !isComplete(portal.chap))}>{_("Discover")}</Button>
                {busy && job?.cancelable &&
                    <Button variant="secondary" onClick={() => { void cancelJob(job.path); }}>{_("Stop looking")}</Button>}
                {known && !busy && <Button variant="secondary" onClick={useKnown}>{_("Use known devices")}</Button>}
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </>
    );
};
