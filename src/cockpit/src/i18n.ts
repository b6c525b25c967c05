// SPDX-License-Identifier: LGPL-2.1-or-later
// Texts in the user's language. Only literals are given to _() and plural(): a test collects them.

export const _ = (text: string): string => cockpit.gettext(text);

/** A text with $0, $1 … replaced. */
export const fill = (template: string, ...values: (string | number)[]): string =>
    cockpit.format(template, ...values);

export const plural = (one: string, many: string, n: number): string =>
    cockpit.format(cockpit.ngettext(one, many, n), n);

export const language = (): string => (cockpit.language || 'en').replace('_', '-');
