// SPDX-License-Identifier: LGPL-2.1-or-later
// Why a LUN is in its status, and which storage domain has it.
import React, { useEffect, useState } from 'react';
import { Button, Flex, Form, List, ListItem, Modal, ModalBody, ModalFooter, ModalHeader, Title } from '@patternfly/react-core';

import { claim, explain, release, type Fact } from '../bus/service';
import type { Lun } from '../bus/types';
import { useAllowed, useAsk } from '../hooks';
import { _, fill } from '../i18n';
import { AskButton, ErrorAlert, Question } from './Ask';
import { TextField } from './Field';

const ClaimQuestion = ({ lun, close }: { lun: Lun; close: () => void }) => {
    const [domain, setDomain] = useState('');
    const { ask, busy, error, forget } = useAsk();
    const submit = async () => {
        if (await ask(options => claim(lun.path, domain.trim(), options)) !== undefined)
            close();
    };
    return (
        <Modal isOpen variant="small" aria-labelledby="claim" onClose={close}>
            <ModalHeader title={_("Claim for a storage domain")} labelId="claim" />
            <ModalBody>
                <Form id="claim-form" onSubmit={event => { event.preventDefault(); void submit(); }}>
                    {error && error.name !== 'InvalidArgs' && <ErrorAlert title={_("It did not work")} fault={error} />}
                    <TextField id="domain" label={_("ID of the storage domain")} value={domain}
                        error={error?.name === 'InvalidArgs' ? error.message : null}
                        change={text => { forget(); setDomain(text); }} />
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button type="submit" form="claim-form" isLoading={busy} isDisabled={busy || !domain.trim()}>{_("Claim")}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
};

export const StorageDomain = ({ lun }: { lun: Lun }) => {
    const allowed = useAllowed('storage-domain');
    return (
        <>
            <Title headingLevel="h3" className="dl-head">{_("Storage domain")}</Title>
            <Flex gap={{ default: 'gapMd' }} alignItems={{ default: 'alignItemsCenter' }}>
                {lun.storageDomain || _("None has claimed it.")}
                {lun.storageDomain
                    ? (
                        <AskButton variant="secondary" size="sm" isDisabled={!allowed} dialog={close => (
                            <Question title={_("Release the LUN?")} verb={_("Release")} close={close}
                                act={options => release(lun.path, lun.storageDomain, options)}>
                                <p>{fill(_("The storage domain $0 does not have it any more. What is on the LUN stays."), lun.storageDomain)}</p>
                            </Question>
                        )}>{_("Release")}</AskButton>)
                    : (
                        <AskButton variant="secondary" size="sm" isDisabled={!allowed}
                            dialog={close => <ClaimQuestion lun={lun} close={close} />}>{_("Claim")}</AskButton>)}
            </Flex>
        </>
    );
};

/** What Explain tells, asked again whenever the LUN changes. */
export const Explanation = ({ lun }: { lun: Lun }) => {
    const [facts, setFacts] = useState<Fact[]>([]);
    useEffect(() => {
        let current = true;
        explain(lun.path).then(found => current && setFacts(found))
                .catch(() => current && setFacts([])); // the LUN has gone, or the service: the page tells
        return () => { current = false; };
    }, [lun]);
    return (
        <>
            <Title headingLevel="h3" className="dl-head">{_("Why it is in this state")}</Title>
            <List>
                {facts.filter(fact => fact.about !== 'unmanage') // what that would do is asked where it can be done
                        .map((fact, n) => <ListItem key={n}>{fact.text}</ListItem>)}
            </List>
        </>
    );
};
