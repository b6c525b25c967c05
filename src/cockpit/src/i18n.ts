// SPDX-License-Identifier: LGPL-2.1-or-later
// Texts in the user's language. Only literals are given to _(): a test collects them.

export const _ = (text: string): string => cockpit.gettext(text);

/** A text with $0, $1 … replaced. */
export const fill = (template: string, ...values: (string | number)[]): string =>
    cockpit.format(template, ...values);

export const language = (): string => (cockpit.language || 'en').replace('_', '-');
