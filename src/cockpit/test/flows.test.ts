// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import test from 'node:test';

import { attachment, vm } from '../src/bus/types';
import { bootOrderOf, canChoose, deviceOf, portOf, suggestedDetails } from '../src/model/add-disk';
import type { DiskRow } from '../src/model/disks';
import { diskState, isRunning } from '../src/model/vms';

const lun = { capacity: 1 } as DiskRow['lun'];
const row = (more: Partial<DiskRow> = {}): DiskRow => ({
    id: '/x', name: '', description: '', guid: '36001', size: 1, model: '', serial: '', targets: [],
    healthyPaths: 1, totalPaths: 1, status: 'free', reason: '', users: [], lun, vdisk: null, ...more,
});
const vmUser = { name: 'web', vm: '/vm', plugged: true };

test('ports and boot orders are numbers in their range, written as such', () => {
    assert.deepEqual(['3260', '0', '65536', '1e3', ''].map(portOf), [3260, null, null, null, null]);
    assert.deepEqual(['', '1', '1023', '1024', 'first'].map(bootOrderOf), [0, 1, 1023, null, null]);
});

test('what is in use is chosen only by a wish, and only from a VM', () => {
    assert.equal(canChoose(row(), false), true);
    const used = row({ status: 'used', users: [vmUser] });
    assert.equal(canChoose(used, false), false);
    assert.equal(canChoose(used, true), true);
    const lvm = row({ status: 'used', users: [vmUser, { name: 'lvm:vg0', vm: null, plugged: true }] });
    assert.equal(canChoose(lvm, true), false);
    assert.equal(canChoose(row({ status: 'unusable' }), true), false);
    assert.equal(canChoose(row({ lun: null }), true), false);
});

test('the name is the LUN ID until somebody gives another, and goes to a new vDisk only', () => {
    const details = suggestedDetails(row(), '/vm');
    assert.equal(details.alias, '36001');
    assert.equal(deviceOf(row(), details, true).alias, '36001');
    assert.equal(deviceOf(row({ vdisk: { id: 'x' } as DiskRow['vdisk'] }), details, true).alias, '');
});

test('nothing is plugged into a VM that is off; sharing is suggested for what another has', () => {
    const details = suggestedDetails(row({ users: [vmUser] }), '/vm');
    assert.equal(details.shared, true);
    assert.equal(deviceOf(row(), details, false).plug, false);
    assert.equal(deviceOf(row(), details, true).plug, true);
});

test('the state of a disk is what a person has to know first', () => {
    const at = (p: Record<string, unknown>) => attachment('/a', p);
    assert.equal(diskState(at({}), false), 'at-start');
    assert.equal(diskState(at({}), true), 'unplugged');
    assert.equal(diskState(at({ Plugged: true }), true), 'plugged');
    assert.equal(diskState(at({ LeftOut: true, LastError: ['PortalUnreachable', ''] }), true), 'left-out');
    assert.equal(diskState(at({ Plugged: true, LastError: ['GuestDidNotRelease', 'm'] }), true), 'not-released');
    assert.equal(isRunning(vm('/v', { State: 'paused' })), true);
    assert.equal(isRunning(vm('/v', { State: 'crashed' })), false);
});
