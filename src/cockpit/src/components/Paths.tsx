// SPDX-License-Identifier: LGPL-2.1-or-later
// The paths of a LUN, one by one.
import React from 'react';
import { Label, Title, type LabelProps } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import type { Lun } from '../bus/types';
import { _, fill } from '../i18n';
import { mapsOf, wayOf } from '../model/paths';
import { Iqn } from './Iqn';

const TYPES: Record<string, () => string> = {
    iSCSI: () => 'iSCSI',
    FCP: () => _("Fibre Channel"),
    MIXED: () => _("Mixed"),
    local: () => _("Local"),
};

export const typeText = (type?: string): string => TYPES[type ?? '']?.() ?? '';

const STATES: Record<string, { text: () => string; status: LabelProps['status'] }> = {
    active: { text: () => _("Active"), status: 'success' },
    failed: { text: () => _("Failed"), status: 'danger' },
    unknown: { text: () => _("Not seen"), status: 'warning' },
};

const State = ({ state }: { state: string }) => {
    const look = STATES[state];
    return look ? <Label isCompact variant="outline" status={look.status}>{look.text()}</Label> : <>{state}</>;
};

export const Paths = ({ lun }: { lun: Lun }) => {
    const maps = mapsOf(lun);
    return (
        <>
            <Title headingLevel="h3" className="dl-head">{_("Paths")}</Title>
            {maps.length > 0 && <p>{fill(_("Map of multipath: $0"), maps.join(', '))}</p>}
            <div className="dl-table">
                <Table aria-label={_("Paths")} variant="compact">
                    <Thead>
                        <Tr>
                            <Th>{_("Target")}</Th><Th>{_("By")}</Th><Th>{_("LUN")}</Th><Th>{_("Device")}</Th>
                            <Th>{_("State")}</Th>
                        </Tr>
                    </Thead>
                    <Tbody>
                        {lun.paths.map(path => (
                            <Tr key={[path.iqn, wayOf(path), path.lun, path.hctl, path.device].join(' ')}>
                                <Td><Iqn iqn={path.iqn || path.remote} /></Td>
                                <Td>{wayOf(path)}</Td>
                                <Td>{path.lun}</Td>
                                <Td>{path.device}<div className="dl-secondary">{path.hctl}</div></Td>
                                <Td><State state={path.state} />
                                    {path.fault && <div className="dl-secondary">{path.fault.message}</div>}</Td>
                            </Tr>
                        ))}
                    </Tbody>
                </Table>
            </div>
        </>
    );
};
