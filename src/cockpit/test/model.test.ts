// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import test from 'node:test';

import { attachField, callError, discoverField, isAbsent, isDenied } from '../src/bus/errors';
import { BUS_NAME, ModelBuilder, ROOT } from '../src/bus/model';
import { plain } from '../src/bus/values';
import { deviceRows, isFree, vdiskRows } from '../src/model/disks';

const v = (t: string, value: unknown) => ({ t, v: value });
const LUN = `${ROOT}/luns/a`;
const VDISK = `${ROOT}/vdisks/b`;

const lun = (more = {}) => ({
    [`${BUS_NAME}.Lun`]: {
        Guid: v('s', '36001'), Status: v('s', 'free'), Capacity: v('t', 1 << 24), Holders: v('as', []),
        Paths: v('aa{sv}', [
            { iqn: v('s', 'iqn.x:1'), address: v('s', '::1'), port: v('q', 3260), lun: v('t', 1), state: v('s', 'active') },
            { iqn: v('s', 'iqn.x:1'), address: v('s', '::2'), port: v('q', 3260), lun: v('t', 1), state: v('s', 'failed') },
        ]),
        VDisk: v('o', '/'),
        ...more,
    },
});

test('variants are taken off at any depth', () => {
    assert.deepEqual(plain(v('aa{sv}', [{ a: v('v', v('i', 1)) }])), [{ a: 1 }]);
});

test('a snapshot stays as it is, and shares what has not changed', () => {
    const builder = new ModelBuilder();
    builder.replace({ [LUN]: lun(), [VDISK]: { [`${BUS_NAME}.VDisk`]: { Alias: v('s', 'x') } } });
    const before = builder.snapshot();
    assert.equal(builder.snapshot(), before);
    builder.update(LUN, `${BUS_NAME}.Lun`, { Status: v('s', 'used') });
    const after = builder.snapshot();
    assert.equal(before.luns.get(LUN)?.status, 'free');
    assert.equal(after.luns.get(LUN)?.status, 'used');
    assert.equal(after.luns.get(LUN)?.guid, '36001');
    assert.equal(after.vdisks, before.vdisks);
    builder.remove(LUN, [`${BUS_NAME}.Lun`]);
    assert.equal(builder.snapshot().luns.size, 0);
});

test('all is replaced by what a new service tells', () => {
    const builder = new ModelBuilder();
    builder.replace({ [LUN]: lun() });
    builder.snapshot();
    builder.replace({});
    assert.equal(builder.snapshot().luns.size, 0);
});

test('objects and properties of another version do no harm', () => {
    const builder = new ModelBuilder();
    builder.replace({ [LUN]: { 'org.example.New': {} }, [VDISK]: { [`${BUS_NAME}.VDisk`]: { Images: v('u', 7) } } });
    builder.update('/nowhere', `${BUS_NAME}.Lun`, {});
    assert.deepEqual(builder.snapshot().vdisks.get(VDISK)?.images, []);
});

test('a device in use is a row, with who uses it', () => {
    const builder = new ModelBuilder();
    builder.replace({ [LUN]: lun({ Status: v('s', 'used'), Holders: v('as', ['vm:web', 'lvm:vg0']) }) });
    const [row] = deviceRows(builder.snapshot());
    assert.deepEqual(row?.users.map(user => user.name), ['web', 'lvm:vg0']);
    assert.equal(row && isFree(row), false);
    assert.deepEqual([row?.healthyPaths, row?.totalPaths], [1, 2]);
    assert.deepEqual(row?.targets, ['iqn.x:1']);
});

test('a vDisk whose LUN is not seen is a row of both lists', () => {
    const builder = new ModelBuilder();
    builder.replace({ [VDISK]: { [`${BUS_NAME}.VDisk`]: { Guid: v('s', '36002'), Alias: v('s', 'x'), Lun: v('o', '/') } } });
    const model = builder.snapshot();
    assert.equal(vdiskRows(model)[0]?.status, 'unknown');
    assert.equal(deviceRows(model).length, 1);
});

test('errors are known by their names, and stand at the field that caused them', () => {
    const error = (name: string, message = '') => callError({ name: `${BUS_NAME}.Error.${name}`, message });
    assert.equal(error('NameResolution').name, 'NameResolution');
    assert.equal(discoverField(error('NameResolution')), 'address');
    assert.equal(discoverField(error('AuthFailed')), 'secret');
    assert.equal(discoverField(error('LibvirtError')), null);
    assert.equal(attachField(error('UnsupportedInterface')), 'iface');
    assert.equal(attachField(callError({ name: 'org.freedesktop.DBus.Error.InvalidArgs',
                                         message: 'bootOrder 1 is taken' })), 'bootOrder');
    assert.ok(isAbsent(callError({ name: 'org.freedesktop.DBus.Error.ServiceUnknown' })));
    assert.ok(isDenied(callError({ problem: 'access-denied' })));
    assert.equal(callError('odd').name, 'Failed');
});
