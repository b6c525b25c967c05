// SPDX-License-Identifier: LGPL-2.1-or-later
// What the wizard asks, and what its answers mean.

import type { Device } from '../bus/service';
import type { DiskRow } from './disks';
import { isFree } from './disks';

export interface Details {
    alias: string;
    description: string;
    vm: string; // object path; empty: none yet
    iface: string;
    bootOrder: string;
    readOnly: boolean;
    shared: boolean;
    optional: boolean;
    plug: boolean;
    dataPath: string;
}

export const INTERFACES = ['virtio', 'scsi', 'sata', 'ide'];

/** The port, or null if the text is none. */
export function portOf(text: string): number | null {
    const port = /^\d+$/.test(text) ? Number(text) : 0;
    return port >= 1 && port <= 65535 ? port : null;
}

/** Boot order as text: empty is none (0); null if it is no such number. */
export function bootOrderOf(text: string): number | null {
    if (text.trim() === '')
        return 0;
    const order = /^\d+$/.test(text) ? Number(text) : 0;
    return order >= 1 && order <= 1023 ? order : null;
}

const usedByVm = (row: DiskRow): boolean =>
    row.users.length > 0 && row.users.every(user => user.vm !== null);

/** Whether a device can be chosen: a free one, or with the user's word, one that a VM has. */
export function canChoose(row: DiskRow, fromVm: boolean): boolean {
    if (row.status === 'unusable' || row.lun === null)
        return false;
    return isFree(row) || (row.status === 'unknown' && row.users.length === 0) || (fromVm && usedByVm(row));
}

export const suggestedDetails = (row: DiskRow, vm: string): Details => ({
    alias: row.name || row.guid,
    description: row.description,
    vm,
    iface: 'virtio',
    bootOrder: '',
    readOnly: false,
    shared: row.users.length > 0,
    optional: false,
    plug: true,
    dataPath: 'auto',
});

/** The device dictionary; name and description only for a vDisk that is made by it. */
export function deviceOf(row: DiskRow, details: Details, running: boolean): Device {
    return {
        guid: row.guid,
        iface: details.iface,
        bootOrder: bootOrderOf(details.bootOrder) ?? 0,
        readOnly: details.readOnly,
        shared: details.shared,
        optional: details.optional,
        plug: running && details.plug,
        dataPath: details.dataPath,
        alias: row.vdisk ? '' : details.alias,
        description: row.vdisk ? '' : details.description,
    };
}
