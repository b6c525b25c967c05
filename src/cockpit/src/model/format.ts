// SPDX-License-Identifier: LGPL-2.1-or-later
// How values read.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** Bytes, in the largest unit of 1024 that leaves a number of at least 1; at most one decimal. */
export function bytes(count: number, language = 'en'): string {
    let unit = 0;
    let value = count;
    while (value >= 1024 && unit < UNITS.length - 1) {
        value /= 1024;
        unit++;
    }
    // Rounded down: a disk is never shown larger than it is.
    const shown = Math.floor(value * 10) / 10;
    return `${shown.toLocaleString(language, { maximumFractionDigits: 1 })} ${UNITS[unit]}`;
}

/** Microseconds since 1970. */
export const moment = (usec: number, language = 'en'): string =>
    new Date(usec / 1000).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'medium' });

/** An address as in a URL: IPv6 in brackets. */
export const portal = (address: string, port: number): string =>
    `${address.includes(':') ? `[${address}]` : address}:${port}`;
