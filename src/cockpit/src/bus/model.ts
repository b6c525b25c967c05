// SPDX-License-Identifier: LGPL-2.1-or-later
// The live state of the service: what ObjectManager tells, as typed objects by their paths. Knows
// nothing of cockpit.js. A snapshot is never changed; each change makes a new one, which shares with
// the old one what has stayed.

import * as types from './types';
import { dictionary, plain, texts, type Properties } from './values';

export const BUS_NAME = 'org.ovirt.DirectLun';
export const ROOT = '/org/ovirt/DirectLun';

const MAKERS = {
    targets: ['Target', types.target],
    luns: ['Lun', types.lun],
    vdisks: ['VDisk', types.vdisk],
    vms: ['Vm', types.vm],
    attachments: ['Attachment', types.attachment],
    jobs: ['Job', types.job],
} as const;

type Kind = keyof typeof MAKERS;
type ObjectOf<K extends Kind> = ReturnType<(typeof MAKERS)[K][1]>;

export type Model = { readonly [K in Kind]: ReadonlyMap<string, ObjectOf<K>> };

export const EMPTY: Model = {
    targets: new Map(),
    luns: new Map(),
    vdisks: new Map(),
    vms: new Map(),
    attachments: new Map(),
    jobs: new Map(),
};

const KINDS = Object.keys(MAKERS) as Kind[];
const kindOf = new Map(KINDS.map(kind => [`${BUS_NAME}.${MAKERS[kind][0]}`, kind]));

/** Takes what comes from the bus, and makes snapshots of it. */
export class ModelBuilder {
    private readonly properties = new Map<string, { kind: Kind; values: Properties }>();
    private readonly changed = new Set<string>();
    private model: Model = EMPTY;

    /** The answer of GetManagedObjects, which replaces everything. */
    replace(objects: unknown): void {
        for (const path of this.properties.keys())
            this.changed.add(path);
        this.properties.clear();
        for (const [path, interfaces] of Object.entries(dictionary(objects)))
            this.add(path, interfaces);
    }

    add(path: string, interfaces: unknown): void {
        for (const [name, values] of Object.entries(dictionary(interfaces))) {
            const kind = kindOf.get(name);
            if (!kind)
                continue;
            this.properties.set(path, { kind, values: dictionary(plain(values)) });
            this.changed.add(path);
        }
    }

    remove(path: string, interfaces: unknown): void {
        if (texts(interfaces).some(name => kindOf.has(name))) {
            this.properties.delete(path);
            this.changed.add(path);
        }
    }

    update(path: string, iface: string, values: unknown): void {
        const known = this.properties.get(path);
        if (!known || kindOf.get(iface) !== known.kind)
            return;
        known.values = { ...known.values, ...dictionary(plain(values)) };
        this.changed.add(path);
    }

    /** The state now; the same snapshot as before if nothing has changed. */
    snapshot(): Model {
        if (this.changed.size === 0)
            return this.model;
        const next: Record<string, Map<string, unknown>> = { ...this.model } as never;
        const copied = new Set<Kind>();
        const mapOf = (kind: Kind) => {
            if (!copied.has(kind)) {
                next[kind] = new Map(next[kind]);
                copied.add(kind);
            }
            return next[kind]!;
        };
        for (const path of this.changed) {
            const known = this.properties.get(path);
            if (known)
                mapOf(known.kind).set(path, MAKERS[known.kind][1](path, known.values));
            else
                KINDS.filter(kind => next[kind]!.has(path)).forEach(kind => mapOf(kind).delete(path));
        }
        this.changed.clear();
        this.model = next as unknown as Model;
        return this.model;
    }
}
