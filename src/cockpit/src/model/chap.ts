// SPDX-License-Identifier: LGPL-2.1-or-later
// CHAP credentials as somebody types them. Passwords stay in a form no longer than until they are sent.

import type { Fault } from '../bus/types';

export interface Chap {
    user: string;
    secret: string;
    mutual: boolean; // the target is to prove itself, too
    targetUser: string;
    targetSecret: string;
}

export type ChapField = 'user' | 'secret' | 'targetSecret';

export const NO_CHAP: Chap = { user: '', secret: '', mutual: false, targetUser: '', targetSecret: '' };

export const withoutSecrets = (chap: Chap): Chap => ({ ...chap, secret: '', targetSecret: '' });

/** Whether it can be sent. */
export const isComplete = (chap: Chap): boolean =>
    chap.user !== '' && chap.secret !== '' && (!chap.mutual || (chap.targetUser !== '' && chap.targetSecret !== ''));

export const isUntouched = (chap: Chap): boolean => chap.user === '' && chap.secret === '' && !chap.mutual;

/** The field that an error is about; null: none of these. */
export function chapField(fault: Fault, { mutual }: Chap): ChapField | null {
    if (fault.name === 'AuthFailed')
        return mutual && /mutual|both passwords/i.test(fault.message) ? 'targetSecret' : 'secret';
    if (fault.name !== 'InvalidArgs')
        return null;
    if (mutual && /two different/i.test(fault.message))
        return 'targetSecret';
    if (/user name/i.test(fault.message))
        return 'user';
    return /secret|password/i.test(fault.message) ? 'secret' : null;
}
