// SPDX-License-Identifier: LGPL-2.1-or-later
// Text filter, order and pages of a table, whatever its rows are.

export interface Order<Column extends string> {
    column: Column;
    descending: boolean;
}

export type Key = string | number;

/** The rows with every word of the filter somewhere in their text, whatever the case. */
export function filtered<Row>(rows: readonly Row[], filter: string, textOf: (row: Row) => string): Row[] {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    return words.length === 0
        ? [...rows]
        : rows.filter(row => {
            const text = textOf(row).toLowerCase();
            return words.every(word => text.includes(word));
        });
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

export function compare(a: Key, b: Key): number {
    return typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(String(a), String(b));
}

/** The rows in order; equals stay as they are, by the second key. */
export function sorted<Row>(rows: readonly Row[], keyOf: (row: Row) => Key, descending: boolean,
    second: (row: Row) => Key): Row[] {
    return rows.map(row => ({ row, key: keyOf(row) }))
            .sort((a, b) => (descending ? -1 : 1) * compare(a.key, b.key) || compare(second(a.row), second(b.row)))
            .map(({ row }) => row);
}

/** One page (from 1) of the rows; the last there is if there are not so many. */
export function page<Row>(rows: readonly Row[], number: number, size: number): { rows: Row[]; number: number } {
    const last = Math.max(1, Math.ceil(rows.length / size));
    const shown = Math.min(Math.max(1, number), last);
    return { rows: rows.slice((shown - 1) * size, shown * size), number: shown };
}
