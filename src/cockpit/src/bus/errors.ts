// SPDX-License-Identifier: LGPL-2.1-or-later
// Errors of calls: their names, whatever their form, and which question of a form they answer.

import type { Fault } from './types';
import { BUS_NAME } from './model';

const OURS = `${BUS_NAME}.Error.`;
const FREEDESKTOP = 'org.freedesktop.DBus.Error.';

/** A call that failed, with the NAME of org.ovirt.DirectLun(5), "AccessDenied" or "InvalidArgs". */
export class CallError extends Error implements Fault {
    override readonly name: string;

    constructor(name: string, message: string) {
        super(message);
        this.name = name;
    }
}

export function shortName(name: string): string {
    for (const prefix of [OURS, FREEDESKTOP]) {
        if (name.startsWith(prefix))
            return name.slice(prefix.length);
    }
    return name;
}

/** From what cockpit.js rejects with: a D-Bus error, or a problem of the channel. */
export function callError(reason: unknown): CallError {
    if (reason instanceof CallError)
        return reason;
    const error = (typeof reason === 'object' && reason !== null ? reason : {}) as cockpit.DBusError;
    const name = shortName(error.name ?? '') || error.problem || 'Failed';
    return new CallError(name, error.message || error.problem || name);
}

/** Whether the service is not there at all: not installed, or its start fails. */
export function isAbsent(error: Fault): boolean {
    return ['ServiceUnknown', 'NameHasNoOwner', 'not-found'].includes(error.name)
        || error.name.startsWith('Spawn.') || error.name.startsWith('org.freedesktop.systemd1.');
}

export const isDenied = (error: Fault): boolean =>
    ['AccessDenied', 'InteractiveAuthorizationRequired', 'access-denied'].includes(error.name);

/** Whether it is Cockpit that is not there: its connection, its bridge or its session. */
export const isCutOff = (error: Fault): boolean =>
    ['disconnected', 'terminated', 'no-session', 'authentication-failed'].includes(error.name);

export type DiscoverField = 'address' | 'port' | 'user' | 'secret';
export type AttachField = 'vm' | 'iface' | 'bootOrder' | 'readOnly' | 'shared' | 'alias' | 'description' | 'device';

/** The field of the discovery form that an error is about; null: of none alone. */
export function discoverField(error: Fault): DiscoverField | null {
    switch (error.name) {
    case 'NameResolution':
    case 'TargetNotFound':
        return 'address';
    case 'PortalUnreachable':
    case 'TimedOut':
        return /\bport\b|refused/i.test(error.message) && !/no route/i.test(error.message) ? 'port' : 'address';
    case 'ProtocolError':
        return 'port';
    case 'AuthFailed':
        return 'secret';
    case 'InvalidArgs':
        return (['port', 'user', 'secret', 'address'] as const)
                .find(field => new RegExp(`\\b${field}\\b`, 'i').test(error.message)) ?? null;
    default:
        return null;
    }
}

/** The field of the form of details that an error is about; null: of none alone. */
export function attachField(error: Fault): AttachField | null {
    switch (error.name) {
    case 'VmNotFound':
    case 'VmNotRunning':
        return 'vm';
    case 'UnsupportedInterface':
        return 'iface';
    case 'NotShareable':
        return 'shared';
    case 'AlreadyAttached':
        return 'vm';
    case 'InUse':
    case 'GuidMismatch':
    case 'GuidNotUnique':
    case 'LunNotFound':
    case 'LunNotVisible':
    case 'StorageDomainConflict':
        return 'device';
    case 'InvalidArgs': {
        const words: [RegExp, AttachField][] = [
            [/boot/i, 'bootOrder'],
            [/read-?only|write-protected/i, 'readOnly'],
            [/\biface\b|interface/i, 'iface'],
            [/shared/i, 'shared'],
            [/alias/i, 'alias'],
            [/description/i, 'description'],
        ];
        return words.find(([word]) => word.test(error.message))?.[1] ?? null;
    }
    default:
        return null;
    }
}
