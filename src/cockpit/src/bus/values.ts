// SPDX-License-Identifier: LGPL-2.1-or-later
// Values as cockpit.js has them from D-Bus. They come from the service, but are checked all the
// same: a page that is newer or older than the service must not fall over.

export type Properties = Record<string, unknown>;

const isVariant = (value: unknown): value is { t: string; v: unknown } =>
    typeof value === 'object' && value !== null && !Array.isArray(value) && 't' in value && 'v' in value
    && typeof (value as { t: unknown }).t === 'string' && Object.keys(value).length === 2;

/** A value without the variants around it, at any depth. */
export function plain(value: unknown): unknown {
    if (isVariant(value))
        return plain(value.v);
    if (Array.isArray(value))
        return value.map(plain);
    if (typeof value === 'object' && value !== null)
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
    return value;
}

export const text = (value: unknown): string => (typeof value === 'string' ? value : '');
export const flag = (value: unknown): boolean => value === true;

export function number(value: unknown): number {
    const n = typeof value === 'string' && value !== '' ? Number(value) : value;
    return typeof n === 'number' && Number.isFinite(n) ? n : 0;
}

export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
export const texts = (value: unknown): string[] => list(value).filter((s): s is string => typeof s === 'string');

export const dictionary = (value: unknown): Properties =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Properties) : {};

/** An object path, or null where D-Bus says "/": none. */
export function object(value: unknown): string | null {
    return typeof value === 'string' && value.length > 1 ? value : null;
}
