// SPDX-License-Identifier: LGPL-2.1-or-later
import React from 'react';
import { EmptyState, EmptyStateBody, PageSection } from '@patternfly/react-core';

import type { Vm } from '../bus/types';
import { PagedTable, type Column } from '../components/PagedTable';
import { VmState } from '../components/Status';
import { useService } from '../hooks';
import { _ } from '../i18n';

type Name = 'name' | 'state' | 'attachments';

const columns = (): Column<Vm, Name>[] => [
    { name: 'name', title: _("Name"), cell: vm => <a href={`#/vm/${encodeURIComponent(vm.name)}`}>{vm.name}</a> },
    { name: 'state', title: _("State"), cell: vm => <VmState state={vm.state} /> },
    { name: 'attachments', title: _("Disks"), cell: vm => vm.attachments.length },
];

export const VmsPage = () => {
    const { model } = useService();
    return (
        <PageSection hasBodyWrapper={false}>
            <PagedTable label={_("Virtual machines")} rows={[...model.vms.values()]} columns={columns()} first="name"
                idOf={vm => vm.path} textOf={vm => `${vm.name}\n${vm.uuid}\n${vm.state}`}
                keyOf={(vm, name) => (name === 'attachments' ? vm.attachments.length : vm[name])}
                empty={
                    <EmptyState headingLevel="h2" titleText={_("There are no VMs")}>
                        <EmptyStateBody>{_("libvirt has none on this host, or does not answer.")}</EmptyStateBody>
                    </EmptyState>
                } />
        </PageSection>
    );
};
