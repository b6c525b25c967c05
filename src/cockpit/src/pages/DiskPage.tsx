// SPDX-License-Identifier: LGPL-2.1-or-later
// One disk, by its LUN ID: the vDisk if there is one, and the LUN.
import React, { useState } from 'react';
import {
    Breadcrumb, BreadcrumbItem, Button, DescriptionList, DescriptionListDescription, DescriptionListGroup,
    DescriptionListTerm, EmptyState, Flex, Form, Modal, ModalBody, ModalFooter, ModalHeader, PageSection, Title,
} from '@patternfly/react-core';

import { deleteVDisk, refreshLun, removeStale, updateVDisk } from '../bus/service';
import type { VDisk } from '../bus/types';
import { AskButton, ErrorAlert, Question } from '../components/Ask';
import { TextField } from '../components/Field';
import { Guid } from '../components/Guid';
import { ImageStack } from '../components/ImageStack';
import { Explanation, StorageDomain } from '../components/LunFacts';
import { Paths, typeText } from '../components/Paths';
import { LunStatus } from '../components/Status';
import { useAllowed, useAsk, useService } from '../hooks';
import { _, fill, language } from '../i18n';
import { deviceRows, type DiskRow } from '../model/disks';
import { bytes } from '../model/format';
import { isInKernel } from '../model/paths';
import { tasks } from '../tasks';

const Rename = ({ vdisk, close }: { vdisk: VDisk; close: () => void }) => {
    const [alias, setAlias] = useState(vdisk.alias);
    const [description, setDescription] = useState(vdisk.description);
    const { ask, busy, error } = useAsk();
    const submit = async () => {
        if (await ask(options => updateVDisk(vdisk.path, alias, description, options)) !== undefined)
            close();
    };
    return (
        <Modal isOpen variant="small" aria-labelledby="rename" onClose={close}>
            <ModalHeader title={_("Name and description")} labelId="rename" />
            <ModalBody>
                <Form id="rename-form" onSubmit={event => { event.preventDefault(); void submit(); }}>
                    {error && <ErrorAlert title={_("It did not work")} fault={error} />}
                    <TextField id="new-alias" label={_("Name")} value={alias} change={setAlias} />
                    <TextField id="new-description" label={_("Description")} value={description} change={setDescription} />
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button type="submit" form="rename-form" isLoading={busy} isDisabled={busy}>{_("Save")}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
};

const Head = ({ row }: { row: DiskRow }) => {
    const mayManage = useAllowed('manage-vdisk');
    const mayConnect = useAllowed('connect');
    const mayUnmanage = useAllowed('unmanage');
    const { vdisk, lun } = row;
    return (
        <Flex className="dl-head" alignItems={{ default: 'alignItemsCenter' }}>
            <Title headingLevel="h2">{row.name || row.guid}</Title>
            <LunStatus state={row.status} />
            {vdisk &&
                <AskButton variant="secondary" isDisabled={!mayManage}
                    dialog={close => <Rename vdisk={vdisk} close={close} />}>{_("Rename")}</AskButton>}
            {lun &&
                <Button variant="secondary" isDisabled={!mayConnect}
                    onClick={() => tasks.start(_("Look at a LUN again"), options => refreshLun(lun.path, options))}>{_("Refresh")}</Button>}
            {lun && isInKernel(lun) &&
                <AskButton variant="secondary" isDisabled={!mayUnmanage} dialog={close => (
                    <Question title={_("Remove what is stale?")} verb={_("Remove")} close={close}
                        act={options => removeStale(lun.path, options)}>
                        <p>{_("Devices of this host that show the LUN no more are removed. A path that is only down stays.")}</p>
                        <p><Guid guid={lun.guid} /></p>
                    </Question>
                )}>{_("Remove stale devices")}</AskButton>}
            {vdisk &&
                <AskButton variant="secondary" isDanger isDisabled={!mayManage} dialog={close => (
                    <Question title={_("Forget the disk?")} verb={_("Forget")} close={close}
                        act={options => deleteVDisk(vdisk.path, options)}>
                        <p>{fill(_("$0 is no disk any more. The data on the LUN stay."), vdisk.alias)}</p>
                        <p><Guid guid={vdisk.guid} /></p>
                    </Question>
                )}>{_("Forget")}</AskButton>}
        </Flex>
    );
};

const About = ({ row }: { row: DiskRow }) => {
    const terms: [string, React.ReactNode][] = [
        [_("LUN ID"), <Guid key="guid" guid={row.guid} />],
        [_("Description"), row.description],
        [_("Size"), row.lun && bytes(row.size, language())],
        [_("Model and serial"), [row.model, row.serial].filter(Boolean).join(', ')],
        [_("Type"), typeText(row.lun?.type)],
        [_("Used by"), row.users.map(user => (user.vm
            ? <div key={user.name}><a href={`#/vm/${encodeURIComponent(user.name)}`}>{user.name}</a></div>
            : <div key={user.name}>{user.name}</div>))],
    ];
    return (
        <DescriptionList isHorizontal isCompact>
            {terms.filter(([, value]) => value && (!Array.isArray(value) || value.length > 0)).map(([term, value]) => (
                <DescriptionListGroup key={term}>
                    <DescriptionListTerm>{term}</DescriptionListTerm>
                    <DescriptionListDescription>{value}</DescriptionListDescription>
                </DescriptionListGroup>
            ))}
        </DescriptionList>
    );
};

export const DiskPage = ({ guid }: { guid: string }) => {
    const { model } = useService();
    const row = deviceRows(model).find(each => each.guid === guid);
    if (!row)
        return <EmptyState headingLevel="h2" titleText={fill(_("No device $0 is known"), guid)} />;
    return (
        <PageSection hasBodyWrapper={false}>
            <Breadcrumb aria-label={_("Where this is")}>
                <BreadcrumbItem to="#/">{_("Disks")}</BreadcrumbItem>
                <BreadcrumbItem isActive>{row.name || row.guid}</BreadcrumbItem>
            </Breadcrumb>
            <Head row={row} />
            <About row={row} />
            {row.lun && row.lun.paths.length > 0 && <Paths lun={row.lun} />}
            {row.lun && <Explanation lun={row.lun} />}
            {row.lun && <StorageDomain lun={row.lun} />}
            {row.vdisk && <ImageStack vdisk={row.vdisk} />}
        </PageSection>
    );
};
