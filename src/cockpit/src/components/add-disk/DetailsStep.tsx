// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useState } from 'react';
import { Button, Checkbox, Form, ModalBody, ModalFooter } from '@patternfly/react-core';

import { attachField, type AttachField } from '../../bus/errors';
import { attachDisk, cancelJob, createVDisk } from '../../bus/service';
import { useAllowed, useAsk, useService } from '../../hooks';
import { _ } from '../../i18n';
import { bootOrderOf, deviceOf, INTERFACES, suggestedDetails, type Details } from '../../model/add-disk';
import type { DiskRow } from '../../model/disks';
import { isRunning } from '../../model/vms';
import { ErrorAlert } from '../Ask';
import { SelectField, TextField } from '../Field';
import { Guid } from '../Guid';

const WITH_FIELD: (AttachField | null)[] = ['vm', 'iface', 'bootOrder', 'alias', 'description'];

const Flags = ({ details, edit, running }: {
    details: Details;
    edit: (part: Partial<Details>) => void;
    running: boolean;
}) => (
    <>
        <Checkbox id="readonly" label={_("Read-only")} isChecked={details.readOnly}
            onChange={(_event, readOnly) => edit({ readOnly })} />
        <Checkbox id="shared" label={_("Shareable: other VMs may have it at the same time")} isChecked={details.shared}
            onChange={(_event, shared) => edit({ shared })} />
        <Checkbox id="optional" label={_("Optional: the VM may run without it")} isChecked={details.optional}
            onChange={(_event, optional) => edit({ optional })} />
        {running &&
            <Checkbox id="plug" label={_("Plug it into the running VM now")} isChecked={details.plug}
                onChange={(_event, plug) => edit({ plug })} />}
    </>
);

/** How the disk is called, and who gets it in which way. */
export const DetailsStep = ({ row, vm, back, close }: {
    row: DiskRow;
    vm: string;
    back: () => void;
    close: () => void;
}) => {
    const { model } = useService();
    const [details, setDetails] = useState(() => suggestedDetails(row, vm));
    const { ask, busy, error, job, forget } = useAsk();
    const chosen = model.vms.get(details.vm);
    const allowed = useAllowed(chosen ? 'attach' : 'manage-vdisk');
    const field = error && attachField(error);
    const errorOf = (name: AttachField) => (field === name ? error?.message : null);
    const bootOrder = bootOrderOf(details.bootOrder);
    const edit = (part: Partial<Details>) => {
        forget();
        setDetails({ ...details, ...part });
    };

    async function add() {
        const path = await ask(options => (chosen
            ? attachDisk(chosen.path, deviceOf(row, details, isRunning(chosen)), options)
            : createVDisk(row.guid, details.alias, details.description, options)));
        if (path !== undefined)
            close();
    }

    const vms = [...model.vms.values()].sort((a, b) => a.name.localeCompare(b.name));
    return (
        <>
            <ModalBody>
                <Form id="details" onSubmit={event => { event.preventDefault(); void add(); }}>
                    {error && !WITH_FIELD.includes(field ?? null) &&
                        <ErrorAlert title={_("The disk could not be added")} fault={error} />}
                    <Guid guid={row.guid} />
                    {!row.vdisk &&
                        <>
                            <TextField id="alias" label={_("Name")} value={details.alias} error={errorOf('alias')}
                                change={alias => edit({ alias })} />
                            <TextField id="description" label={_("Description")} value={details.description}
                                error={errorOf('description')} change={description => edit({ description })} />
                        </>}
                    <SelectField id="vm" label={_("VM")} value={details.vm} error={errorOf('vm')} change={path => edit({ vm: path })}
                        choices={[{ value: '', label: _("None yet") },
                            ...vms.map(each => ({ value: each.path, label: each.name }))]} />
                    {chosen &&
                        <>
                            <SelectField id="iface" label={_("Interface")} value={details.iface} error={errorOf('iface')}
                                change={iface => edit({ iface })}
                                choices={INTERFACES.map(each => ({ value: each, label: each }))} />
                            <SelectField id="data-path" label={_("Data path")} value={details.dataPath}
                                change={dataPath => edit({ dataPath })}
                                choices={[
                                    { value: 'auto', label: _("Automatic: a block device where this host has one") },
                                    { value: 'qemu', label: _("QEMU's own iSCSI initiator") },
                                    { value: 'block', label: _("A block device of this host, with multipath") },
                                ]} />
                            <TextField id="boot-order" label={_("Boot order")} value={details.bootOrder}
                                error={bootOrder === null ? _("A number from 1 to 1023, or nothing.") : errorOf('bootOrder')}
                                change={text => edit({ bootOrder: text })} />
                            <Flags details={details} edit={edit} running={isRunning(chosen)} />
                        </>}
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button type="submit" form="details" isLoading={busy} isDisabled={busy || !allowed || bootOrder === null}>
                    {chosen ? _("Attach") : _("Add")}
                </Button>
                {busy && job?.cancelable &&
                    <Button variant="secondary" onClick={() => { void cancelJob(job.path); }}>{_("Stop it")}</Button>}
                <Button variant="secondary" isDisabled={busy} onClick={back}>{_("Back")}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </>
    );
};
