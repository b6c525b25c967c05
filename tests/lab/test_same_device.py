# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same device is the same vDisk, wherever it shows up; another one never is."""

import threading

import client
import lab
from service import ROOT, TestCase, object_path, vdisk_id

MIB = 1 << 20
SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2',
                      'CheckIntervalSec': '600'}}
NAA = '6001405ccccccccccccccccccccccc0%d'


class SameDevice(TestCase):
    """Targets of two tgtds, a VM that runs, and one that does not."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('other', '127.0.0.1', 3261)
        cls.running = cls.lab.define_vm('running').start()
        cls.stopped = cls.lab.define_vm('stopped')
        cls.n = 0

    def setUp(self):
        type(self).n += 1
        self.one = self.lab.add_target('one%d' % self.n, luns=0)
        self.addCleanup(self.forget)

    def forget(self):
        for vm in (self.running, self.stopped):
            self.detach_all(vm)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        for path in self.lab.client.objects('Target'):
            self.method(path, 'Target', 'Unmanage')
            self.method(path, 'Target', 'Forget')
        self.assert_consistent()

    def add(self, target, number, size=16 * MIB, naa=NAA % 1, **options):
        return target.add_lun(number, size, naa=naa, serial=options.pop('serial', 'same'),
                              **options)

    def sees(self, vm, *sizes):
        vm.guest.wait_disks(lambda disks: sorted(s for s, _ in disks.values()) == sorted(sizes))

    def paths(self, guid):
        return self.get(object_path('luns', guid), 'Lun', 'Paths')

    # ---- one vDisk

    def test_created_once_by_clients_that_race(self):
        lun = self.add(self.one, 1)
        self.connect(self.one)
        results, errors = [], []

        def create():
            mine = client.Client()
            try:
                results.append(mine.call(ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', lun.guid, {}))
            except Exception as error:  # told below, in the test's own thread
                errors.append(error)
            finally:
                mine.close()

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(errors, [])
        self.assertEqual({path for path, _ in results}, {object_path('vdisks', vdisk_id(lun.guid))})
        self.assertEqual(sorted(created for _, created in results), [False] * 7 + [True])
        self.assertEqual(len(self.lab.client.objects('VDisk')), 1)

    def test_attach_and_create_race(self):
        """Who attaches makes the vDisk, too."""
        lun = self.add(self.one, 1)
        self.connect(self.one)
        create = self.lab.client.start(ROOT, lab.BUS_NAME + '.Manager', 'CreateVDisk', '(sa{sv})',
                                       lun.guid, {})
        path = self.attach(self.running, {'GUID': lun.guid})
        self.assertEqual(create.wait()[0], self.get(path, 'Attachment', 'VDisk'))
        self.sees(self.running, 16 * MIB)

    # ---- it moves

    def plug_after(self, move):
        """Plugs a disk, and runs a VM with one, after its LUN has moved."""
        lun = self.add(self.one, 1)
        self.connect(self.one)
        attachments = [self.attach(vm, {'GUID': lun.guid, 'plug': False, 'shared': True})
                       for vm in (self.running, self.stopped)]
        self.one.tgtd.remove_lun(self.one.tid, 1)
        moved = move()
        self.assertEqual(moved.guid, lun.guid)
        self.method(attachments[0], 'Attachment', 'HotPlug')
        self.sees(self.running, 16 * MIB)
        name, = self.running.guest.disks()
        self.running.guest.write(name, 0, b'moved' + bytes(507))
        self.assertEqual(moved.read(0, 5), b'moved')
        self.assertEqual({a['VDisk'] for a in map(
            lambda p: self.lab.client.get_all(p, 'Attachment'), attachments)},
            {object_path('vdisks', vdisk_id(lun.guid))})

    def test_moved_to_another_number(self):
        self.plug_after(lambda: self.add(self.one, 7))

    def test_moved_to_another_target(self):
        def move():
            two = self.lab.add_target('two%d' % self.n, luns=0)
            lun = self.add(two, 3)
            self.connect(two)
            return lun
        self.plug_after(move)

    def test_moved_to_another_portal(self):
        """The same target, at another address: the array has been given a new one."""
        def move():
            tgtd = self.lab.tgtds['other']
            self.one.tgtd.remove_target(self.one.tid)
            self.one.tid, self.one.tgtd = tgtd.add_target(self.one.iqn), tgtd
            lun = self.add(self.one, 1)
            tgtd.bind(self.one.tid)
            self.discover('127.0.0.1', 3261)
            return lun
        self.plug_after(move)

    # ---- another one in its place

    def test_pain_3_number_reused_by_another_lun(self):
        lun = self.add(self.one, 1)
        self.connect(self.one)
        plug = self.attach(self.running, {'GUID': lun.guid, 'plug': False, 'shared': True})
        self.attach(self.stopped, {'GUID': lun.guid, 'shared': True})
        self.one.tgtd.remove_lun(self.one.tid, 1)
        self.add(self.one, 1, 24 * MIB, naa=NAA % 2)
        with self.assertDBusError('GuidMismatch') as expected:
            self.method(plug, 'Attachment', 'HotPlug')
        self.assertIn(lun.guid, expected.exception.message)
        with self.assertDBusError('GuidMismatch'):
            self.call(self.vm(self.stopped), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertEqual(self.stopped.state(), 'shut off')
        self.assertEqual(self.running.guest.disks(), {})
        self.assertEqual(self.paths(lun.guid), [])
        self.assertNotIn(self.get(object_path('luns', lun.guid), 'Lun', 'Status'), ('free',))
        self.assertEqual(self.get(object_path('luns', '3' + NAA % 2), 'Lun', 'Capacity'), 24 * MIB)

    def twins(self, **options):
        """Two LUNs that say that they are one; the second comes when the first has attachments."""
        lun = self.add(self.one, 1)
        self.connect(self.one)
        plug = self.attach(self.running, {'GUID': lun.guid, 'plug': False, 'shared': True})
        self.attach(self.stopped, {'GUID': lun.guid, 'shared': True})
        self.add(self.one, 2, **options)
        self.method(self.target(self.one), 'Target', 'Rescan')
        return lun, plug

    def assert_twins_refused(self, lun, plug):
        found = self.lab.client.get_all(object_path('luns', lun.guid), 'Lun')
        self.assertEqual(found['Status'], 'unusable')
        self.assertIn('Two different LUNs', found['Reason'])
        third = self.lab.define_vm('third')
        self.addCleanup(self.lab.virsh, 'undefine', 'third')
        with self.assertDBusError('GuidNotUnique'):
            self.create_vdisk(lun.guid)
        with self.assertDBusError('GuidNotUnique'):
            self.attach(third, {'GUID': lun.guid, 'shared': True})
        with self.assertDBusError('GuidNotUnique'):
            self.method(plug, 'Attachment', 'HotPlug')
        with self.assertDBusError('GuidNotUnique'):
            self.call(self.vm(self.stopped), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertEqual(self.stopped.state(), 'shut off')
        self.assertEqual(self.running.guest.disks(), {})
        self.assertNotIn(lun.guid, self.lab.virsh('dumpxml', 'third'))

    def test_pain_4_twins_of_another_serial(self):
        self.assert_twins_refused(*self.twins(serial='another'))

    def test_pain_4_twins_of_another_size(self):
        self.assert_twins_refused(*self.twins(size=24 * MIB))

    def test_pain_12_paths_that_differ_in_size(self):
        """One LUN through two portals, of which one shows what it has grown to."""
        lun = self.add(self.one, 1)
        self.connect(self.one)
        path = self.attach(self.running, {'GUID': lun.guid, 'plug': False})
        tgtd = self.lab.tgtds['other']
        other = lab.Target(self.lab, tgtd, 'other-way%d' % self.n)
        tgtd.bind(other.tid)
        while other.tid != self.one.tid:  # tgtd has its number in page 0x83
            other = lab.Target(self.lab, tgtd, 'other-way%d-%d' % (self.n, other.tid))
            tgtd.bind(other.tid)
        self.add(other, 1, 24 * MIB)
        self.discover('127.0.0.1', 3261)
        self.call(object_path('targets', other.iqn), 'Target', 'Rescan', '(a{sv})', {})
        self.assertIn('different sizes', self.get(object_path('luns', lun.guid), 'Lun', 'Reason'))
        with self.assertDBusError('PathsInconsistent'):
            self.method(path, 'Attachment', 'HotPlug')
        self.assertEqual(self.running.guest.disks(), {})
