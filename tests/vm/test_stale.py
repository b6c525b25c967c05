# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stays in the kernel when a LUN is gone, and RemoveStale."""

import glob

import service
import storage
import vm

MIB = 1 << 20


class TestStale(vm.TestCase):
    minutes = 1

    def setUp(self):
        self.disk, self.other = self.add_disk('one', 24 * MIB), self.add_disk('two', 16 * MIB)
        self.target = self.add_target({1: self.disk, 2: self.other})
        self.log_in(self.target)  # somebody else's sessions
        for disk in (self.disk, self.other):
            storage.wait_map(disk.guid)
        self.get(vm.ROOT, 'Manager', 'Version')

    def remove_stale(self, disk, **options):
        path = service.object_path('luns', disk.guid)
        vm.wait_until(lambda: path in self.client.objects('Lun'), 30, 'the LUN of the kernel', 0.2)
        self.method(path, 'Lun', 'RemoveStale', **options)

    def assert_gone(self, disk):
        self.assertIsNone(storage.find_map(disk.guid))
        self.assertEqual(storage.disks(disk.guid), [])

    def assert_there(self, disk, paths=2):
        self.assertEqual(len(storage.find_map(disk.guid).paths), paths)
        self.assertEqual(len(storage.disks(disk.guid)), paths)

    def assert_nothing_hangs(self):
        states = [storage.read(path) for path in glob.glob('/proc/[0-9]*/stat')]
        hanging = [state for state in states if state.rpartition(')')[2].split()[:1] == ['D']]
        self.assertEqual([h for h in hanging if 'directlun' in h or 'iscsiadm' in h], [])

    def test_pain_2_devices_of_a_lun_that_is_gone(self):
        self.remove_stale(self.disk)  # nothing is
        self.assert_there(self.disk)
        self.target.unmap(1)
        self.remove_stale(self.disk, **{'dry-run': True})
        self.assert_there(self.disk)
        self.remove_stale(self.disk)
        self.assert_gone(self.disk)
        self.assert_there(self.other)
        self.assertEqual(len(storage.sessions()), 2)  # not ours
        self.assert_nothing_hangs()

    def test_what_is_in_use_stays(self):
        node = '/dev/disk/by-id/dm-uuid-mpath-' + self.disk.guid
        with open(node, 'rb'):
            self.target.unmap(1)
            with self.assertDBusError('org.ovirt.DirectLun.Error.InUse'):
                self.remove_stale(self.disk)
            self.assertIsNotNone(storage.find_map(self.disk.guid))
        self.remove_stale(self.disk)
        self.assert_gone(self.disk)

    def test_a_number_that_another_lun_has_now(self):
        self.target.unmap(1)
        self.target.map(1, self.add_disk('three', 24 * MIB))
        self.remove_stale(self.disk)
        self.assert_gone(self.disk)
        self.assert_there(self.other)

    def test_what_is_only_unreachable_stays(self):
        self.target.portal_down('127.0.0.2')
        vm.wait_until(lambda: 'F' in storage.find_map(self.disk.guid).path_states().values(), 60,
                      'the failed path', 0.5)
        self.remove_stale(self.disk)
        self.assert_there(self.disk)
        self.target.portal_up('127.0.0.2')
        vm.wait_until(lambda: set(storage.find_map(self.disk.guid).path_states().values()) ==
                      {'A'}, 90, 'the path being back', 0.5)
