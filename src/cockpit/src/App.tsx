// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { type ReactElement } from 'react';
import { Nav, NavItem, NavList, Page, PageSection } from '@patternfly/react-core';

import { isShown } from './bus/client';
import { NoService, ServiceNotices } from './components/ServiceState';
import { Failures } from './components/Tasks';
import { useRoute, useService, type Route } from './hooks';
import { _ } from './i18n';
import { DiskPage } from './pages/DiskPage';
import { DisksPage } from './pages/DisksPage';
import { TargetsPage } from './pages/TargetsPage';
import { TasksPage } from './pages/TasksPage';
import { VmPage } from './pages/VmPage';
import { VmsPage } from './pages/VmsPage';

interface Entry {
    name: string;
    title: () => string;
    show: (route: Route) => ReactElement;
}

const PAGES: Entry[] = [
    { name: '', title: () => _("Disks"), show: ({ options }) => <DisksPage show={options.show ?? 'vdisks'} /> },
    { name: 'vms', title: () => _("VMs"), show: () => <VmsPage /> },
    { name: 'targets', title: () => _("Targets"), show: () => <TargetsPage /> },
    { name: 'tasks', title: () => _("Tasks"), show: () => <TasksPage /> },
];

// Without an entry of their own in the navigation: they belong to another page.
const DETAILS: Record<string, Entry> = {
    disk: { name: '', title: () => _("Disk"), show: ({ path }) => <DiskPage guid={path[1] ?? ''} /> },
    vm: { name: 'vms', title: () => _("VM"), show: ({ path }) => <VmPage name={path[1] ?? ''} /> },
};

const Navigation = ({ current }: { current: string }) => (
    <Nav variant="horizontal" aria-label={_("Pages")}>
        <NavList>
            {PAGES.map(({ name, title }) => (
                <NavItem key={name} itemId={name} isActive={name === current} to={`#/${name}`}>{title()}</NavItem>
            ))}
        </NavList>
    </Nav>
);

export const App = () => {
    const { phase } = useService();
    const route = useRoute();
    const name = route.path[0] ?? '';
    const entry = DETAILS[name] ?? PAGES.find(each => each.name === name) ?? PAGES[0]!;

    if (!isShown(phase))
        return <Page className="pf-m-no-sidebar"><NoService /></Page>;
    return (
        <Page className="pf-m-no-sidebar">
            <PageSection type="subnav" hasBodyWrapper={false}><Navigation current={entry.name} /></PageSection>
            <h1 className="pf-v6-screen-reader">{entry.title()}</h1>
            <ServiceNotices />
            {entry.name !== 'tasks' && <div className="dl-failures"><Failures own /></div>}
            {entry.show(route)}
        </Page>
    );
};
