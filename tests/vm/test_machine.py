# SPDX-License-Identifier: LGPL-2.1-or-later
"""That the machine has what its other tests stand on: sessions, maps, host adapters, all sorts of
disks of a real kernel."""

import storage
import vm

MIB = 1 << 20


class TestMachine(vm.TestCase):
    def test_iscsi_and_multipath(self):
        one, two = self.add_disk('one', 24 * MIB), self.add_disk('two', 40 * MIB)
        target = self.add_target({1: one, 2: two})
        self.log_in(target)
        self.assertEqual([(iqn, address) for _, iqn, address in storage.sessions()],
                         [(target.iqn, address) for address in ('127.0.0.1', '127.0.0.2')])
        for disk in (one, two):
            found = storage.wait_map(disk.guid)
            self.assertEqual((found.name, found.size), (disk.guid, disk.size))
            self.assertEqual(len(storage.disks(disk.guid)), 2)

        target.portal_down('127.0.0.2')
        vm.wait_until(lambda: sorted(storage.find_map(one.guid).path_states().values()) ==
                      ['A', 'F'], 60, 'the failed path', 0.5)
        target.portal_up('127.0.0.2')
        vm.wait_until(lambda: list(storage.find_map(one.guid).path_states().values()) ==
                      ['A', 'A'], 60, 'the path being back', 0.5)

    def test_luns_come_go_and_change(self):
        one = self.add_disk('one', 24 * MIB, growing=True)
        target = self.add_target({1: one}, portals=('127.0.0.1',))
        self.log_in(target)
        storage.wait_map(one.guid, 1)
        other = target.map(7, self.add_disk('other', 16 * MIB))
        storage.rescan()
        self.assertEqual(storage.wait_map(other.guid, 1).size, other.size)
        self.assertTrue(storage.disks(other.guid)[0].hctl.endswith(':7'))

        one.grow(32 * MIB)
        storage.rescan()
        vm.wait_until(lambda: storage.disks(one.guid)[0].size == one.size, 20, 'the new size')

        twin = self.add_disk('twin', 16 * MIB, identity='other')
        self.assertEqual(twin.guid, other.guid)
        target.unmap(7)
        target.map(8, twin)
        storage.rescan()
        vm.wait_until(lambda: any(path.hctl.endswith(':8') for path in storage.disks(twin.guid)),
                      20, 'the LUN at its new number')

    def test_fibre_channel(self):
        self.addCleanup(storage.flush_maps)
        self.addCleanup(vm.lio.clear)
        fabric = vm.lio.FibreChannel()
        disk = fabric.map(0, self.add_disk('far', 24 * MIB))
        fabric.plug_in()
        vm.wait_until(lambda: storage.disks(disk.guid), 60, 'the disk', 0.2)
        self.assertEqual(storage.fc_hosts().get(fabric.host_wwpn), 'Online')
        self.assertEqual(storage.wait_map(disk.guid, 1).size, disk.size)

    def test_local_disks(self):
        self.addCleanup(storage.flush_maps)
        self.addCleanup(vm.lio.clear)
        loop = vm.lio.Loop('5001405aaaaaaaa1')
        disk = loop.map(0, self.add_disk('near', 16 * MIB))
        vm.wait_until(lambda: storage.disks(disk.guid), 30, 'the disk')
        self.addCleanup(storage.ScsiDebug.stop)
        debug = storage.ScsiDebug(luns=2)
        self.assertEqual([path.size for path in debug.disks], [16 * MIB] * 2)

    def test_nvme_over_tcp(self):
        nvme = storage.Nvme()
        self.addCleanup(nvme.remove)
        name, = nvme.connect()
        self.assertEqual(int(storage.read('/sys/block/%s/size' % name)) * 512, 16 * MIB)
