// SPDX-License-Identifier: LGPL-2.1-or-later
// vDisks and devices, for the page of disks and for the choice of one.
import React, { type ReactNode } from 'react';

import { _, fill, language } from '../i18n';
import { isFree, keyOf, textOf, type DiskColumn, type DiskRow } from '../model/disks';
import { bytes } from '../model/format';
import { wayOf } from '../model/paths';
import { Guid } from './Guid';
import { Iqn } from './Iqn';
import { PagedTable, type Column } from './PagedTable';
import { typeText } from './Paths';
import { LunStatus } from './Status';

const Users = ({ row, links }: { row: DiskRow; links: boolean }) => (
    <>
        {row.users.map(user => (
            <div key={user.name}>
                {user.vm && links ? <a href={`#/vm/${encodeURIComponent(user.name)}`}>{user.name}</a> : user.name}
            </div>
        ))}
    </>
);

const HealthyPaths = ({ row }: { row: DiskRow }) => (
    <span title={row.lun?.paths.map(path =>
        [wayOf(path), path.state, path.fault?.message].filter(Boolean).join(' ')).join('\n')}>
        {fill(_("$0 of $1"), row.healthyPaths, row.totalPaths)}
    </span>
);

const columns = (links: boolean): Column<DiskRow, DiskColumn>[] => [
    {
        name: 'name',
        title: _("Name"),
        cell: row => <>{row.vdisk && (links ? <a href={`#/disk/${encodeURIComponent(row.guid)}`}>{row.name}</a> : row.name)}{row.description && <div className="dl-secondary">{row.description}</div>}</>,
    },
    { name: 'guid', title: _("LUN ID"), cell: row => <Guid guid={row.guid} /> },
    { name: 'size', title: _("Size"), cell: row => (row.lun ? bytes(row.size, language()) : '') },
    {
        name: 'status',
        title: _("State"),
        cell: row => <><LunStatus state={row.status} /><div className="dl-secondary">{row.reason}</div></>,
    },
    { name: 'users', title: _("Used by"), cell: row => <Users row={row} links={links} /> },
    {
        name: 'model',
        title: _("Model and serial"),
        cell: row => <>{row.model}<div className="dl-secondary">{row.serial}</div></>,
    },
    {
        name: 'targets',
        title: _("Target"),
        cell: row => row.targets.map(iqn => <div key={iqn}><Iqn iqn={iqn} /></div>),
    },
    {
        name: 'paths',
        title: _("Healthy paths"),
        cell: row => <><HealthyPaths row={row} /><div className="dl-secondary">{typeText(row.lun?.type)}</div></>,
    },
];

const idOf = (row: DiskRow): string => row.id;

export const DiskTable = (props: {
    label: string;
    rows: readonly DiskRow[];
    first: DiskColumn;
    empty: ReactNode;
    toolbar?: ReactNode;
    actions?: (row: DiskRow) => ReactNode;
    select?: { chosen: string | null; can: (row: DiskRow) => boolean; choose: (row: DiskRow) => void };
}) => (
    <PagedTable {...props} columns={columns(!props.select)} idOf={idOf} textOf={textOf} keyOf={keyOf}
        greyed={row => !isFree(row)} />
);
