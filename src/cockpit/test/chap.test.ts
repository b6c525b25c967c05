// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import test from 'node:test';

import { chapField, isComplete, isUntouched, NO_CHAP, withoutSecrets } from '../src/model/chap';

const one = { ...NO_CHAP, user: 'me', secret: 'x' };
const both = { ...one, mutual: true, targetUser: 'it', targetSecret: 'y' };

test('credentials are sent when they are whole, and their passwords are not kept', () => {
    assert.deepEqual([NO_CHAP, one, both, { ...both, targetSecret: '' }].map(isComplete), [false, true, true, false]);
    assert.deepEqual([NO_CHAP, one, { ...NO_CHAP, mutual: true }].map(isUntouched), [true, false, false]);
    assert.deepEqual(withoutSecrets(both), { ...both, secret: '', targetSecret: '' });
});

test('an error stands next to what has caused it', () => {
    const field = (name: string, message: string, chap = one) => chapField({ name, message }, chap);
    assert.equal(field('AuthFailed', 'wrong or missing CHAP user name or password'), 'secret');
    assert.equal(field('AuthFailed', 'The target does not prove who it is, though mutual CHAP is wanted', both), 'targetSecret');
    assert.equal(field('AuthFailed', 'CHAP with the target failed, check both passwords', both), 'targetSecret');
    assert.equal(field('InvalidArgs', 'Mutual CHAP needs two different passwords', both), 'targetSecret');
    assert.equal(field('InvalidArgs', 'A CHAP user name has at most 223 bytes'), 'user');
    assert.equal(field('InvalidArgs', 'A secret must have 1 to 256 bytes'), 'secret');
    assert.equal(field('PortalUnreachable', 'no secret here'), null);
});
