// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { type ReactElement } from 'react';
import { Nav, NavItem, NavList, Page, PageSection } from '@patternfly/react-core';

import { NoService, ServiceNotices } from './components/ServiceState';
import { useRoute, useService, type Route } from './hooks';
import { _ } from './i18n';
import { DisksPage } from './pages/DisksPage';

interface Entry {
    name: string;
    title: () => string;
    show: (route: Route) => ReactElement;
}

const PAGES: Entry[] = [
    { name: '', title: () => _("Disks"), show: ({ options }) => <DisksPage show={options.show ?? 'vdisks'} /> },
];

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
    const entry = PAGES.find(each => each.name === name) ?? PAGES[0]!;

    if (phase !== 'ready' && phase !== 'lost')
        return <Page className="pf-m-no-sidebar"><NoService /></Page>;
    return (
        <Page className="pf-m-no-sidebar">
            <PageSection type="subnav" hasBodyWrapper={false}><Navigation current={entry.name} /></PageSection>
            <h1 className="pf-v6-screen-reader">{entry.title()}</h1>
            <ServiceNotices />
            {entry.show(route)}
        </Page>
    );
};
