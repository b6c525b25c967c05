// SPDX-License-Identifier: LGPL-2.1-or-later
// The credentials of a target: set, replaced, removed. What is kept is never shown.
import React, { useState } from 'react';
import { Button, Form, Modal, ModalBody, ModalFooter, ModalHeader } from '@patternfly/react-core';

import { removeCredentials, setCredentials, type Options } from '../bus/service';
import type { Target } from '../bus/types';
import { useAsk } from '../hooks';
import { _ } from '../i18n';
import { chapField, isComplete, NO_CHAP, withoutSecrets } from '../model/chap';
import { ErrorAlert } from './Ask';
import { ChapFields } from './ChapFields';

export const Credentials = ({ target, close }: { target: Target; close: () => void }) => {
    const [chap, setChap] = useState(NO_CHAP);
    const { ask, busy, error, forget } = useAsk();

    async function act(work: (options: Options) => Promise<unknown>) {
        const done = await ask(work);
        setChap(withoutSecrets);
        if (done !== undefined)
            close();
    }

    return (
        <Modal isOpen variant="small" aria-labelledby="credentials" onClose={close}>
            <ModalHeader labelId="credentials" title={_("CHAP credentials")} description={target.iqn} />
            <ModalBody>
                <Form id="credentials-form"
                    onSubmit={event => { event.preventDefault(); void act(options => setCredentials(target.path, chap, options)); }}>
                    {error && !chapField(error, chap) && <ErrorAlert title={_("It did not work")} fault={error} />}
                    <p>{target.hasCredentials
                        ? _("The target has credentials. They cannot be shown, but be replaced or removed.")
                        : _("They are used from the next login on.")}
                    </p>
                    <ChapFields chap={chap} error={error} change={now => { forget(); setChap(now); }} />
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button type="submit" form="credentials-form" isLoading={busy} isDisabled={busy || !isComplete(chap)}>
                    {target.hasCredentials ? _("Replace") : _("Set")}
                </Button>
                {target.hasCredentials &&
                    <Button variant="danger" isDisabled={busy}
                        onClick={() => { void act(options => removeCredentials(target.path, options)); }}>{_("Remove")}</Button>}
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
};
