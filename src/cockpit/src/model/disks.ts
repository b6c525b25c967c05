// SPDX-License-Identifier: LGPL-2.1-or-later
// The rows of the page of disks: a vDisk and its LUN, or a LUN that is no vDisk.

import type { Model } from '../bus/model';
import type { Lun, VDisk } from '../bus/types';
import type { Key } from './table';

export type DiskColumn = 'name' | 'guid' | 'size' | 'model' | 'targets' | 'paths' | 'status' | 'users';

export interface DiskRow {
    id: string; // the object's path
    name: string;
    description: string;
    guid: string;
    size: number;
    model: string;
    serial: string;
    targets: string[];
    healthyPaths: number;
    totalPaths: number;
    status: string;
    reason: string;
    users: DiskUser[];
    lun: Lun | null;
    vdisk: VDisk | null;
}

export interface DiskUser {
    name: string;
    vm: string | null; // the path of a VM that has it attached by this service
    plugged: boolean;
}

const unique = <T>(values: T[]): T[] => [...new Set(values)];

/** Who has it: the VMs that it is attached to, then other holders that the service names. */
function usersOf(model: Model, lun: Lun | null, vdisk: VDisk | null): DiskUser[] {
    const users: DiskUser[] = [];
    for (const path of vdisk?.attachments ?? []) {
        const attachment = model.attachments.get(path);
        const vm = attachment?.vm ? model.vms.get(attachment.vm) : undefined;
        if (attachment && vm)
            users.push({ name: vm.name, vm: vm.path, plugged: attachment.plugged });
    }
    for (const holder of lun?.holders ?? []) {
        const name = holder.startsWith('vm:') ? holder.slice(3) : holder;
        if (!users.some(user => user.name === name))
            users.push({ name, vm: null, plugged: true });
    }
    return users;
}

function row(model: Model, lun: Lun | null, vdisk: VDisk | null): DiskRow {
    return {
        id: vdisk?.path ?? lun?.path ?? '',
        name: vdisk?.alias ?? '',
        description: vdisk?.description ?? '',
        guid: vdisk?.guid ?? lun?.guid ?? '',
        size: lun?.capacity ?? 0,
        model: [lun?.vendor, lun?.product].filter(Boolean).join(' '),
        serial: lun?.serial ?? '',
        targets: unique(lun?.paths.map(path => path.iqn).filter(Boolean) ?? []),
        healthyPaths: lun?.paths.filter(path => path.state === 'active').length ?? 0,
        totalPaths: lun?.paths.length ?? 0,
        status: lun?.status || 'unknown',
        reason: lun?.reason ?? '',
        users: usersOf(model, lun, vdisk),
        lun,
        vdisk,
    };
}

export const vdiskRows = (model: Model): DiskRow[] =>
    [...model.vdisks.values()].map(vdisk =>
        row(model, (vdisk.lun && model.luns.get(vdisk.lun)) || null, vdisk));

/** Every block device, those in use too, and vDisks whose LUN is not known now. */
export const deviceRows = (model: Model): DiskRow[] => [
    ...[...model.luns.values()].map(lun =>
        row(model, lun, (lun.vdisk && model.vdisks.get(lun.vdisk)) || null)),
    ...vdiskRows(model).filter(each => each.lun === null),
];

/** Whether a device can be chosen without any consent. */
export const isFree = (each: DiskRow): boolean => each.status === 'free' && each.users.length === 0;

export const textOf = (each: DiskRow): string =>
    [each.name, each.description, each.guid, each.model, each.serial, each.status, each.reason,
        ...each.targets, ...each.users.map(user => user.name)].join('\n');

export function keyOf(each: DiskRow, column: DiskColumn): Key {
    switch (column) {
    case 'size': return each.size;
    case 'paths': return each.totalPaths ? each.healthyPaths / each.totalPaths : 0;
    case 'targets': return each.targets.join(' ');
    case 'users': return each.users.map(user => user.name).join(' ');
    default: return each[column];
    }
}
