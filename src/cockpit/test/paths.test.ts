// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import test from 'node:test';

import * as types from '../src/bus/types';
import { isInKernel, mapsOf, wayOf } from '../src/model/paths';

const lun = (...paths: Record<string, unknown>[]) => types.lun('/luns/a', { Guid: '36001', Type: 'FCP', Paths: paths });
const FIBRE = {
    transport: 'fc', lun: 3, state: 'active', device: 'sdc', host: 'host7', hctl: '7:0:1:3',
    target: '0x2100000000000001', map: 'mpatha',
};
const PORTAL = { transport: 'iscsi', iqn: 'iqn.x:1', address: '::1', port: 3260, lun: 3, state: 'failed' };

test('a path says where it goes', () => {
    const [portal, fibre] = lun(PORTAL, FIBRE).paths;
    assert.equal(wayOf(portal!), '[::1]:3260');
    assert.equal(wayOf(fibre!), 'host7 → 0x2100000000000001');
});

test('a map is named once, however many paths it has', () => {
    assert.deepEqual(mapsOf(lun(FIBRE, { ...FIBRE, hctl: '8:0:1:3' }, PORTAL)), ['mpatha']);
});

test('only what the kernel has can be stale', () => {
    assert.equal(isInKernel(lun(PORTAL)), false);
    assert.equal(isInKernel(lun(PORTAL, FIBRE)), true);
});
