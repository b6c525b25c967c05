// SPDX-License-Identifier: LGPL-2.1-or-later
// The methods of the service, as functions.

import type { Chap } from '../model/chap';
import { service } from './client';
import { ROOT } from './model';
import { handOverChap } from './secret';
import { dictionary, list, plain, text, texts } from './values';

export interface Device {
    guid: string;
    iface: string;
    bootOrder: number;
    readOnly: boolean;
    shared: boolean;
    optional: boolean;
    plug: boolean;
    dataPath: string;
    alias: string;
    description: string;
}

export interface Options {
    token?: string;
    force?: boolean;
}

type Variants = Record<string, cockpit.DBusVariant>;

const s = (value: string) => cockpit.variant('s', value);
const b = (value: boolean) => cockpit.variant('b', value);
const u = (value: number) => cockpit.variant('u', value);

function options({ token, force }: Options, more: Variants = {}): Variants {
    return {
        ...more,
        ...(token ? { 'job-token': s(token) } : {}),
        ...(force ? { force: b(true) } : {}),
    };
}

/** A token by which the page finds the job of a call that it is about to make. */
export const newToken = (): string => `cockpit-${crypto.getRandomValues(new Uint32Array(4)).join('-')}`;

async function act(path: string, iface: string, method: string, opts: Options, more: Variants = {}): Promise<unknown[]> {
    return service.call({ path, iface, method, type: 'a{sv}', args: [options(opts, more)] });
}

export async function discoverTargets(address: string, port: number, chap: Chap | null, opts: Options = {}): Promise<string[]> {
    const given = chap && await handOverChap(chap);
    const [targets] = await service.call({
        path: ROOT, iface: 'Manager', method: 'DiscoverTargets', type: 'sqa{sv}',
        args: [address, port, options(opts, given && chap
            ? { user: s(chap.user), 'secret-token': s(given.token), ...given.target }
            : {})],
    });
    return texts(targets);
}

const credentials = (path: string, user: string, token: string, more: Variants) => service.call({
    path, iface: 'Target', method: 'SetCredentialsByToken', type: 'ssa{sv}', args: [user, token, more],
});

export async function setCredentials(path: string, chap: Chap, opts: Options = {}): Promise<unknown> {
    const { token, target } = await handOverChap(chap);
    return credentials(path, chap.user, token, options(opts, target));
}

export const removeCredentials = (path: string, opts: Options = {}) => credentials(path, '', '', options(opts));

export async function createVDisk(guid: string, alias: string, description: string, opts: Options = {}): Promise<string> {
    const [vdisk] = await service.call({
        path: ROOT, iface: 'Manager', method: 'CreateVDisk', type: 'sa{sv}',
        args: [guid, options(opts, {
            ...(alias ? { alias: s(alias) } : {}),
            ...(description ? { description: s(description) } : {}),
        })],
    });
    return text(vdisk);
}

export async function attachDisk(vm: string, device: Device, opts: Options = {}): Promise<string> {
    const dictionary: Variants = {
        type: s('disk'),
        GUID: s(device.guid),
        iface: s(device.iface),
        readonly: b(device.readOnly),
        shared: b(device.shared),
        optional: b(device.optional),
        plug: b(device.plug),
        'data-path': s(device.dataPath),
        ...(device.bootOrder ? { bootOrder: u(device.bootOrder) } : {}),
        ...(device.alias ? { alias: s(device.alias) } : {}),
        ...(device.description ? { description: s(device.description) } : {}),
    };
    const [attachment] = await service.call({
        path: vm, iface: 'Vm', method: 'AttachDisk', type: 'a{sv}a{sv}',
        args: [dictionary, options(opts)],
    });
    return text(attachment);
}

export const connectTarget = (target: string, opts: Options = {}) =>
    act(target, 'Target', 'Connect', opts);
export const unmanageTarget = (target: string, opts: Options = {}) => act(target, 'Target', 'Unmanage', opts);
export const rescanTarget = (target: string, opts: Options = {}) => act(target, 'Target', 'Rescan', opts);
export const forgetTarget = (target: string, opts: Options = {}) => act(target, 'Target', 'Forget', opts);

export const plug = (attachment: string, opts: Options = {}) => act(attachment, 'Attachment', 'HotPlug', opts);
export const unplug = (attachment: string, opts: Options = {}) => act(attachment, 'Attachment', 'HotUnplug', opts);
export const detach = (attachment: string, opts: Options = {}) => act(attachment, 'Attachment', 'Detach', opts);

export const runVm = (vm: string, opts: Options = {}) => service.call({
    path: vm, iface: 'Vm', method: 'Run', type: 'asa{sv}', args: [[], options(opts)],
});
export const stopVm = (vm: string, graceful: boolean, opts: Options = {}) =>
    act(vm, 'Vm', 'Stop', opts, { graceful: b(graceful) });

export const updateVDisk = (vdisk: string, alias: string, description: string, opts: Options = {}) =>
    act(vdisk, 'VDisk', 'Update', opts, { alias: s(alias), description: s(description) });
export const deleteVDisk = (vdisk: string, opts: Options = {}) => act(vdisk, 'VDisk', 'Delete', opts);
export const snapshot = (vdisk: string, quiesce: boolean, opts: Options = {}) =>
    act(vdisk, 'VDisk', 'Snapshot', opts, quiesce ? { quiesce: b(true) } : {});

const withText = (path: string, iface: string, method: string, value: string, opts: Options) =>
    service.call({ path, iface, method, type: 'sa{sv}', args: [value, options(opts)] });

export const merge = (vdisk: string, image: string, opts: Options = {}) => withText(vdisk, 'VDisk', 'Merge', image, opts);
export const revert = (vdisk: string, image: string, opts: Options = {}) => withText(vdisk, 'VDisk', 'Revert', image, opts);
export const claim = (lun: string, domain: string, opts: Options = {}) =>
    withText(lun, 'Lun', 'ClaimForStorageDomain', domain, opts);
export const release = (lun: string, domain: string, opts: Options = {}) =>
    withText(lun, 'Lun', 'ReleaseStorageDomain', domain, opts);
export const refreshLun = (lun: string, opts: Options = {}) => act(lun, 'Lun', 'Refresh', opts);
export const removeStale = (lun: string, opts: Options = {}) => act(lun, 'Lun', 'RemoveStale', opts);

export interface Fact {
    about: string;
    name: string;
    text: string;
}

export async function explain(lun: string): Promise<Fact[]> {
    const [facts] = await act(lun, 'Lun', 'Explain', {});
    return list(plain(facts)).map(dictionary)
            .map(fact => ({ about: text(fact.about), name: text(fact.name), text: text(fact.text) }));
}

export const cancelJob = (job: string) => act(job, 'Job', 'Cancel', {});
