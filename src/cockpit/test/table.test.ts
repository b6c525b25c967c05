// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import test from 'node:test';

import { bytes, portal } from '../src/model/format';
import { filtered, page, sorted } from '../src/model/table';

const rows = [{ n: 'lun10', v: 1 }, { n: 'lun9', v: 2 }, { n: 'LUN2', v: 2 }];
const name = (row: { n: string }) => row.n;

test('a filter wants each of its words, whatever the case', () => {
    assert.deepEqual(filtered(rows, ' lun 2 ', name).map(name), ['LUN2']);
    assert.equal(filtered(rows, '', name).length, 3);
});

test('numbers in names are in the order of numbers', () => {
    assert.deepEqual(sorted(rows, name, false, name).map(name), ['LUN2', 'lun9', 'lun10']);
    assert.deepEqual(sorted(rows, name, true, name).map(name), ['lun10', 'lun9', 'LUN2']);
});

test('equals are in the order of the second key, also the other way round', () => {
    assert.deepEqual(sorted(rows, row => row.v, true, name).map(name), ['LUN2', 'lun9', 'lun10']);
});

test('a page that is not there any more is the last one', () => {
    const many = Array.from({ length: 201 }, (_, n) => n);
    assert.deepEqual(page(many, 9, 100), { rows: [200], number: 3 });
    assert.deepEqual(page([], 1, 100), { rows: [], number: 1 });
});

test('sizes are never rounded up', () => {
    assert.equal(bytes(1024 ** 3 - 1), '1,023.9 MiB');
    assert.equal(bytes(10 * 1024 ** 3), '10 GiB');
    assert.equal(bytes(512), '512 B');
    assert.equal(portal('fe80::1', 3260), '[fe80::1]:3260');
});
