// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useState, type ReactNode } from 'react';
import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader, type ButtonProps } from '@patternfly/react-core';

import type { Fault } from '../bus/types';
import type { Options } from '../bus/service';
import { useAsk } from '../hooks';
import { _ } from '../i18n';

export const ErrorAlert = ({ title, fault }: { title: string; fault: Fault }) => (
    <Alert isInline component="p" variant="danger" title={title}>{fault.message}</Alert>
);

/** A question before something is done; what goes wrong then is told here. */
export const Question = ({ title, verb, children, danger = true, act, close }: {
    title: string;
    verb: string;
    children: ReactNode;
    danger?: boolean;
    act: (options: Options) => Promise<unknown>;
    close: () => void;
}) => {
    const { ask, busy, error } = useAsk();
    return (
        <Modal isOpen variant="small" aria-labelledby="question" onClose={close}>
            <ModalHeader title={title} labelId="question" {...(danger ? { titleIconVariant: 'warning' as const } : {})} />
            <ModalBody>
                {children}
                {error && <ErrorAlert title={_("It did not work")} fault={error} />}
            </ModalBody>
            <ModalFooter>
                <Button variant={danger ? 'danger' : 'primary'} isLoading={busy} isDisabled={busy}
                    onClick={async () => { if (await ask(act) !== undefined) close(); }}>{verb}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
};

/** A button that opens a dialog. */
export const AskButton = ({ dialog, ...button }: ButtonProps & { dialog: (close: () => void) => ReactNode }) => {
    const [open, setOpen] = useState(false);
    return (
        <>
            <Button {...button} onClick={() => setOpen(true)} />
            {open && dialog(() => setOpen(false))}
        </>
    );
};
