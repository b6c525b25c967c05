// SPDX-License-Identifier: LGPL-2.1-or-later
import React from 'react';
import { Breadcrumb, BreadcrumbItem, Button, EmptyState, Flex, Label, PageSection, Title, type LabelProps } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import { detach, plug, runVm, stopVm, unplug } from '../bus/service';
import type { Vm } from '../bus/types';
import { AddDisk } from '../components/AddDisk';
import { AskButton, Question } from '../components/Ask';
import { Guid } from '../components/Guid';
import { Iqn } from '../components/Iqn';
import { TargetState, VmState } from '../components/Status';
import { useAllowed, useService } from '../hooks';
import { _, fill, language } from '../i18n';
import { bytes } from '../model/format';
import { disksOf, isRunning, targetsOf, type DiskState, type VmDisk } from '../model/vms';
import { tasks } from '../tasks';

const STATES: Record<DiskState, { text: () => string; status?: LabelProps['status'] }> = {
    plugged: { text: () => _("Plugged"), status: 'success' },
    unplugged: { text: () => _("Not plugged") },
    'at-start': { text: () => _("Will connect at start") },
    'left-out': { text: () => _("Left out: not reachable"), status: 'warning' },
    'not-released': { text: () => _("The guest did not release it"), status: 'warning' },
    failed: { text: () => _("Failed"), status: 'danger' },
};

const DiskStateLabel = ({ disk }: { disk: VmDisk }) => {
    const { text, status } = STATES[disk.state];
    return (
        <>
            <Label isCompact variant="outline" {...(status ? { status } : { color: 'grey' as const })}>{text()}</Label>
            {disk.attachment.fault && <div className="dl-secondary">{disk.attachment.fault.message}</div>}
        </>
    );
};

const WAYS: Record<string, () => string> = {
    qemu: () => _("by QEMU's iSCSI initiator"),
    block: () => _("by a block device"),
};

const flags = ({ attachment }: VmDisk): string => [
    WAYS[attachment.dataPathUsed]?.(),
    attachment.readOnly && _("read-only"),
    attachment.shared && _("shareable"),
    attachment.optional && _("optional"),
    attachment.bootOrder > 0 && fill(_("boot order $0"), attachment.bootOrder),
].filter(Boolean).join(', ');

const DiskActions = ({ vm, disk }: { vm: Vm; disk: VmDisk }) => {
    const mayPlug = useAllowed('hot-plug');
    const mayAttach = useAllowed('attach');
    const { path } = disk.attachment;
    return (
        <Flex gap={{ default: 'gapSm' }} flexWrap={{ default: 'nowrap' }}>
            {isRunning(vm) && !disk.attachment.plugged &&
                <Button variant="secondary" size="sm" isDisabled={!mayPlug}
                    onClick={() => tasks.start(_("Plug a disk"), options => plug(path, options))}>{_("Plug")}</Button>}
            {disk.attachment.plugged &&
                <Button variant="secondary" size="sm" isDisabled={!mayPlug}
                    onClick={() => tasks.start(_("Unplug a disk"), options => unplug(path, options))}>{_("Unplug")}</Button>}
            <AskButton variant="secondary" size="sm" isDanger isDisabled={!mayAttach} dialog={close => (
                <Question title={_("Detach the disk?")} verb={_("Detach")} close={close}
                    act={options => detach(path, options)}>
                    <p>{fill(_("$0 will not have $1 any more."), vm.name, disk.name)}</p>
                    <p><Guid guid={disk.attachment.guid} /></p>
                    <p>{_("The data on the LUN stay.")}</p>
                </Question>
            )}>{_("Detach")}</AskButton>
        </Flex>
    );
};

const Disks = ({ vm, disks }: { vm: Vm; disks: VmDisk[] }) => (
    <div className="dl-table">
        <Table aria-label={fill(_("Disks of $0"), vm.name)} variant="compact">
            <Thead>
                <Tr>
                    <Th>{_("Name")}</Th><Th>{_("LUN ID")}</Th><Th>{_("Size")}</Th><Th>{_("Interface")}</Th>
                    <Th>{_("State")}</Th><Th screenReaderText={_("Actions")} />
                </Tr>
            </Thead>
            <Tbody>
                {disks.map(disk => (
                    <Tr key={disk.attachment.path}>
                        <Td><a href={`#/disk/${encodeURIComponent(disk.attachment.guid)}`}>{disk.name}</a></Td>
                        <Td><Guid guid={disk.attachment.guid} /></Td>
                        <Td>{disk.lun ? bytes(disk.lun.capacity, language()) : ''}</Td>
                        <Td>
                            {[disk.attachment.iface, disk.attachment.targetDev].filter(Boolean).join(', ')}
                            <div className="dl-secondary">{flags(disk)}</div>
                        </Td>
                        <Td><DiskStateLabel disk={disk} /></Td>
                        <Td isActionCell><DiskActions vm={vm} disk={disk} /></Td>
                    </Tr>
                ))}
            </Tbody>
        </Table>
    </div>
);

const Power = ({ vm }: { vm: Vm }) => {
    const allowed = useAllowed('run-vm');
    return isRunning(vm)
        ? (
            <>
                <Button variant="secondary" isDisabled={!allowed}
                    onClick={() => tasks.start(_("Stop a VM"), options => stopVm(vm.path, true, options))}>{_("Shut down")}</Button>
                <AskButton variant="secondary" isDanger isDisabled={!allowed} dialog={close => (
                    <Question title={_("Power the VM off?")} verb={_("Power off")} close={close}
                        act={options => stopVm(vm.path, false, options)}>
                        <p>{fill(_("$0 is not asked: what it has not written yet is lost."), vm.name)}</p>
                    </Question>
                )}>{_("Power off")}</AskButton>
            </>)
        : (
            <Button variant="secondary" isDisabled={!allowed}
                onClick={() => tasks.start(_("Run a VM"), options => runVm(vm.path, options))}>{_("Run")}</Button>);
};

export const VmPage = ({ name }: { name: string }) => {
    const { model } = useService();
    const mayAttach = useAllowed('attach');
    const vm = [...model.vms.values()].find(each => each.name === name);
    if (!vm)
        return <EmptyState headingLevel="h2" titleText={fill(_("There is no VM $0"), name)} />;
    const disks = disksOf(model, vm);
    const targets = targetsOf(model, vm);

    return (
        <PageSection hasBodyWrapper={false}>
            <Breadcrumb aria-label={_("Where this is")}>
                <BreadcrumbItem to="#/vms">{_("VMs")}</BreadcrumbItem>
                <BreadcrumbItem isActive>{vm.name}</BreadcrumbItem>
            </Breadcrumb>
            <Flex className="dl-head" alignItems={{ default: 'alignItemsCenter' }}>
                <Title headingLevel="h2">{vm.name}</Title>
                <VmState state={vm.state} />
                <Power vm={vm} />
                <AskButton variant="primary" isDisabled={!mayAttach}
                    dialog={close => <AddDisk vm={vm.path} close={close} />}>{_("Attach a disk")}</AskButton>
            </Flex>
            {disks.length === 0
                ? <EmptyState headingLevel="h3" titleText={_("It has no SAN disks")} />
                : <Disks vm={vm} disks={disks} />}
            {targets.length > 0 &&
                <>
                    <Title headingLevel="h3" className="dl-head">{_("Required targets")}</Title>
                    {targets.map(target => (
                        <div key={target.path}>
                            <Iqn iqn={target.iqn} /> <TargetState state={target.state} />
                        </div>
                    ))}
                </>}
        </PageSection>
    );
};
