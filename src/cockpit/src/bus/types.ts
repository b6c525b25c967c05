// SPDX-License-Identifier: LGPL-2.1-or-later
// The objects of the service, as org.ovirt.DirectLun(5) has them, each made of its properties.

import { dictionary, flag, list, number, object, text, texts, type Properties } from './values';

export interface Fault {
    name: string;
    message: string;
}

export interface Path {
    transport: string;
    iqn: string;
    address: string;
    port: number;
    lun: number;
    state: string;
    fault: Fault | null;
    device: string; // this and the rest only where this host's kernel has the path
    host: string;
    hctl: string;
    remote: string; // what it leads to: an IQN, WWPN, SAS address or NQN
    map: string;
}

export interface Lun {
    path: string;
    guid: string;
    status: string;
    reason: string;
    holders: string[];
    type: string;
    capacity: number;
    vendor: string;
    product: string;
    serial: string;
    revision: string;
    paths: Path[];
    vdisk: string | null;
    storageDomain: string;
}

export interface Image {
    uid: string;
    time: number;
    current: boolean;
    spoiled: boolean;
    quiesced: boolean;
    format: string;
}

export interface VDisk {
    path: string;
    id: string;
    guid: string;
    alias: string;
    description: string;
    lun: string | null;
    images: Image[];
    attachments: string[];
}

export interface Vm {
    path: string;
    name: string;
    uuid: string;
    state: string;
    host: string;
    autostart: boolean;
    attachments: string[];
    requiredTargets: string[];
}

export interface Attachment {
    path: string;
    vdisk: string | null;
    vm: string | null;
    guid: string;
    plugged: boolean;
    leftOut: boolean;
    iface: string;
    device: string;
    index: number;
    bootOrder: number;
    shared: boolean;
    optional: boolean;
    readOnly: boolean;
    dataPathUsed: string; // empty: it is not in the VM
    targetDev: string;
    resizePending: string;
    fault: Fault | null;
}

export interface Portal {
    address: string;
    port: number;
    state: string;
    error: string;
}

export interface Target {
    path: string;
    iqn: string;
    state: string;
    managed: boolean;
    foreign: boolean;
    users: string[];
    hasCredentials: boolean;
    portals: Portal[];
    luns: string[];
    fault: Fault | null;
}

export interface Job {
    path: string;
    operation: string;
    phase: string;
    progress: number | null;
    state: string;
    startTime: number;
    objects: string[];
    cancelable: boolean;
    dryRun: boolean;
    token: string;
    report: string[];
    fault: Fault | null;
}

function fault(value: unknown): Fault | null {
    const [name, message] = texts(value);
    return name ? { name, message: message ?? '' } : null;
}

function path(value: unknown): Path {
    const p = dictionary(value);
    return {
        transport: text(p.transport),
        iqn: text(p.iqn),
        address: text(p.address),
        port: number(p.port),
        lun: number(p.lun),
        state: text(p.state),
        fault: fault([text(p.error), text(p.message)]),
        device: text(p.device),
        host: text(p.host),
        hctl: text(p.hctl),
        remote: text(p.target),
        map: text(p.map),
    };
}

function image(value: unknown): Image {
    const [time, uid, about] = list(value);
    const details = dictionary(about);
    return {
        time: number(time),
        uid: text(uid),
        current: flag(details.current),
        spoiled: flag(details.spoiled),
        quiesced: flag(details.quiesced),
        format: text(details.format),
    };
}

function portal(value: unknown): Portal {
    const [address, port, state, error] = list(value);
    return { address: text(address), port: number(port), state: text(state), error: text(error) };
}

export const lun = (at: string, p: Properties): Lun => ({
    path: at,
    guid: text(p.Guid),
    status: text(p.Status),
    reason: text(p.Reason),
    holders: texts(p.Holders),
    type: text(p.Type),
    capacity: number(p.Capacity),
    vendor: text(p.Vendor).trim(),
    product: text(p.Product).trim(),
    serial: text(p.Serial).trim(),
    revision: text(p.Revision).trim(),
    paths: list(p.Paths).map(path),
    vdisk: object(p.VDisk),
    storageDomain: text(p.StorageDomain),
});

export const vdisk = (at: string, p: Properties): VDisk => ({
    path: at,
    id: text(p.Id),
    guid: text(p.Guid),
    alias: text(p.Alias),
    description: text(p.Description),
    lun: object(p.Lun),
    images: list(p.Images).map(image),
    attachments: texts(p.Attachments),
});

export const vm = (at: string, p: Properties): Vm => ({
    path: at,
    name: text(p.Name),
    uuid: text(p.Uuid),
    state: text(p.State),
    host: text(p.Host),
    autostart: flag(p.Autostart),
    attachments: texts(p.Attachments),
    requiredTargets: texts(p.RequiredTargets),
});

export const attachment = (at: string, p: Properties): Attachment => ({
    path: at,
    vdisk: object(p.VDisk),
    vm: object(p.Vm),
    guid: text(p.Guid),
    plugged: flag(p.Plugged),
    leftOut: flag(p.LeftOut),
    iface: text(p.Iface),
    device: text(p.Device),
    index: number(p.Index),
    bootOrder: number(p.BootOrder),
    shared: flag(p.Shared),
    optional: flag(p.Optional),
    readOnly: flag(p.ReadOnly),
    dataPathUsed: text(p.DataPathUsed),
    targetDev: text(p.TargetDev),
    resizePending: text(p.ResizePending),
    fault: fault(p.LastError),
});

export const target = (at: string, p: Properties): Target => ({
    path: at,
    iqn: text(p.Iqn),
    state: text(p.State),
    managed: flag(p.Managed),
    foreign: flag(p.Foreign),
    users: texts(p.Users),
    hasCredentials: flag(p.HasCredentials),
    portals: list(p.PortalStates).map(portal),
    luns: texts(p.Luns),
    fault: fault(p.LastError),
});

export const job = (at: string, p: Properties): Job => ({
    path: at,
    operation: text(p.Operation),
    phase: text(p.Phase),
    progress: flag(p.ProgressValid) ? number(p.Progress) : null,
    state: text(p.State),
    startTime: number(p.StartTime),
    objects: texts(p.Objects),
    cancelable: flag(p.Cancelable),
    dryRun: flag(p.DryRun),
    token: text(p.Token),
    report: texts(p.Report),
    fault: fault(p.Error),
});
