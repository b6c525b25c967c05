// SPDX-License-Identifier: LGPL-2.1-or-later
import React from 'react';
import { EmptyState, EmptyStateBody, Flex, PageSection } from '@patternfly/react-core';
import { Button } from '@patternfly/react-core';

import { connectTarget, forgetTarget, rescanTarget, unmanageTarget } from '../bus/service';
import type { Target } from '../bus/types';
import { AskButton, Question } from '../components/Ask';
import { Credentials } from '../components/Credentials';
import { Iqn } from '../components/Iqn';
import { PagedTable, type Column } from '../components/PagedTable';
import { TargetState } from '../components/Status';
import { useAllowed, useService } from '../hooks';
import { _, fill } from '../i18n';
import { portal } from '../model/format';
import { usersOfTarget } from '../model/vms';
import { tasks } from '../tasks';

type Name = 'iqn' | 'state' | 'portals' | 'luns' | 'users';

interface Row {
    target: Target;
    users: string[];
}

const Portals = ({ target }: { target: Target }) => (
    <>
        {target.portals.map(each => (
            <div key={portal(each.address, each.port)}>
                {portal(each.address, each.port)} <TargetState state={each.state} />
                {each.error && <span className="dl-secondary"> {each.error}</span>}
            </div>
        ))}
    </>
);

const columns = (): Column<Row, Name>[] => [
    {
        name: 'iqn',
        title: _("Target"),
        cell: ({ target }) => (
            <>
                <Iqn iqn={target.iqn} />
                {target.foreign && <div className="dl-secondary">{_("This host has a session of its own with it")}</div>}
                {target.hasCredentials && <div className="dl-secondary">{_("With CHAP credentials")}</div>}
            </>),
    },
    {
        name: 'state',
        title: _("State"),
        cell: ({ target }) => (
            <>
                <TargetState state={target.state} />
                {target.fault && <div className="dl-secondary">{target.fault.message}</div>}
            </>),
    },
    { name: 'portals', title: _("Portals"), cell: ({ target }) => <Portals target={target} /> },
    { name: 'luns', title: _("LUNs"), cell: ({ target }) => target.luns.length },
    { name: 'users', title: _("Used by"), cell: ({ users }) => users.join(', ') },
];

const keyOf = ({ target, users }: Row, name: Name) => {
    switch (name) {
    case 'portals': return target.portals.length;
    case 'luns': return target.luns.length;
    case 'users': return users.join(' ');
    default: return target[name];
    }
};

const Actions = ({ row: { target, users } }: { row: Row }) => {
    const mayConnect = useAllowed('connect');
    const mayUnmanage = useAllowed('unmanage');
    const mayAuthenticate = useAllowed('manage-credentials');
    const inUse = users.length > 0;
    return (
        <Flex gap={{ default: 'gapSm' }} flexWrap={{ default: 'nowrap' }}>
            {target.managed
                ? (
                    <Button variant="secondary" size="sm" isAriaDisabled={!mayUnmanage || inUse}
                        title={inUse ? fill(_("It is used by $0"), users.join(', ')) : undefined}
                        onClick={() => tasks.start(_("Let go of a target"), options => unmanageTarget(target.path, options))}>
                        {_("Disconnect")}
                    </Button>)
                : (
                    <Button variant="secondary" size="sm" isDisabled={!mayConnect}
                        onClick={() => tasks.start(_("Connect a target"), options => connectTarget(target.path, options))}>
                        {_("Connect")}
                    </Button>)}
            <Button variant="secondary" size="sm" isDisabled={!mayConnect}
                onClick={() => tasks.start(_("Look at the LUNs again"), options => rescanTarget(target.path, options))}>
                {_("Rescan")}
            </Button>
            <AskButton variant="secondary" size="sm" isDisabled={!mayAuthenticate}
                dialog={close => <Credentials target={target} close={close} />}>{_("Credentials")}</AskButton>
            <AskButton variant="secondary" size="sm" isDanger isDisabled={!mayUnmanage} dialog={close => (
                <Question title={_("Forget the target?")} verb={_("Forget")} close={close}
                    act={options => forgetTarget(target.path, options)}>
                    <p>{fill(_("$0, its credentials, and the LUNs that only it showed are not known any more. The data on the LUNs stay."), target.iqn)}</p>
                </Question>
            )}>{_("Forget")}</AskButton>
        </Flex>
    );
};

export const TargetsPage = () => {
    const { model } = useService();
    const rows = [...model.targets.values()].map(target => ({ target, users: usersOfTarget(model, target) }));
    return (
        <PageSection hasBodyWrapper={false}>
            <PagedTable label={_("Targets")} rows={rows} columns={columns()} first="iqn" keyOf={keyOf}
                idOf={({ target }) => target.path}
                textOf={({ target, users }) => [target.iqn, target.state, ...users,
                    ...target.portals.map(each => portal(each.address, each.port))].join('\n')}
                actions={row => <Actions row={row} />}
                empty={
                    <EmptyState headingLevel="h2" titleText={_("No targets are known")}>
                        <EmptyStateBody>{_("Add a disk to find the targets of a storage array.")}</EmptyStateBody>
                    </EmptyState>
                } />
        </PageSection>
    );
};
