// SPDX-License-Identifier: LGPL-2.1-or-later
// The disks of a VM, and what stands about them.

import type { Model } from '../bus/model';
import type { Attachment, Lun, Target, VDisk, Vm } from '../bus/types';

export type DiskState = 'plugged' | 'unplugged' | 'at-start' | 'left-out' | 'not-released' | 'failed';

export interface VmDisk {
    attachment: Attachment;
    vdisk: VDisk | null;
    lun: Lun | null;
    name: string;
    state: DiskState;
}

export const isRunning = (vm: Vm): boolean => !['shutoff', 'crashed', ''].includes(vm.state);

export function diskState(attachment: Attachment, running: boolean): DiskState {
    if (attachment.fault?.name === 'GuestDidNotRelease')
        return 'not-released';
    if (attachment.leftOut)
        return 'left-out';
    if (attachment.plugged)
        return 'plugged';
    if (attachment.fault)
        return 'failed';
    return running ? 'unplugged' : 'at-start';
}

export function disksOf(model: Model, vm: Vm): VmDisk[] {
    return vm.attachments.flatMap(path => {
        const attachment = model.attachments.get(path);
        if (!attachment)
            return [];
        const vdisk = (attachment.vdisk && model.vdisks.get(attachment.vdisk)) || null;
        return [{
            attachment,
            vdisk,
            lun: (vdisk?.lun && model.luns.get(vdisk.lun)) || null,
            name: vdisk?.alias ?? attachment.guid,
            state: diskState(attachment, isRunning(vm)),
        }];
    });
}

/** Whether a running VM has it. */
export const isPlugged = (model: Model, vdisk: VDisk): boolean =>
    vdisk.attachments.some(path => model.attachments.get(path)?.plugged);

export const targetsOf = (model: Model, vm: Vm): Target[] =>
    vm.requiredTargets.flatMap(path => model.targets.get(path) ?? []);

/** The names of VMs whose attachments use a target. */
export function usersOfTarget(model: Model, target: Target): string[] {
    const names = target.users.flatMap(path => {
        const vm = model.attachments.get(path)?.vm;
        return (vm && model.vms.get(vm)?.name) || [];
    });
    return [...new Set(names)];
}
