# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs that the machine's own kernel sees, as the installed and confined service tells of them."""

import time

import service
import storage
import vm

MIB = 1 << 20


class TestBlock(vm.TestCase):
    minutes = 2

    def setUp(self):
        self.get(vm.ROOT, 'Manager', 'Version')  # the service runs

    @staticmethod
    def path(guid):
        return service.object_path('luns', guid)

    def lun(self, guid):
        """Its properties; None: there is no such LUN."""
        return self.client.objects('Lun').get(self.path(guid))

    def wait_lun(self, guid, holds=lambda lun: True, what='the LUN', timeout=30):
        def there():
            lun = self.lun(guid)
            return lun and holds(lun) and lun
        return vm.wait_until(there, timeout, '%s of %s' % (what, guid), 0.05)

    def wait_gone(self, guid):
        vm.wait_until(lambda: not self.lun(guid), 20, 'the end of LUN ' + guid, 0.1)

    def paths(self, guid):
        return self.get(self.path(guid), 'Lun', 'Paths')

    def entry(self, guid, **options):
        entry, = self.call(vm.ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                           dict({'guids': [guid]}, **options))
        return entry

    def test_iscsi_and_multipath_are_one_lun(self):
        disk = self.add_disk('one', 24 * MIB)
        target = self.add_target({1: disk})
        self.log_in(target)
        found = storage.wait_map(disk.guid)
        lun = self.wait_lun(disk.guid, lambda lun: all(path.get('map') for path in lun['Paths']) and
                            len(lun['Paths']) == 2, 'both paths')
        self.assertEqual((lun['Type'], lun['Capacity'], lun['Status'], lun['Holders']),
                         ('iSCSI', disk.size, 'free', []))
        self.assertEqual(sorted((path['iqn'], path['address'], path['port'], path['lun'],
                                 path['transport'], path['state'], path['map'], path['capacity'])
                                for path in lun['Paths']),
                         [(target.iqn, address, 3260, 1, 'iscsi', 'active', found.device, disk.size)
                          for address in ('127.0.0.1', '127.0.0.2')])
        self.assertEqual(sorted(path['device'] for path in lun['Paths']), found.paths)
        self.assertEqual({path['hctl'] for path in lun['Paths']},
                         {path.hctl for path in storage.disks(disk.guid)})
        entry = self.entry(disk.guid, **{'storage-type': 'ISCSI'})
        self.assertEqual((entry['devtype'], entry['capacity']), ('iSCSI', disk.size))
        self.assertEqual(sorted(path['physdev'] for path in entry['pathstatus']), found.paths)
        self.assertEqual(sorted(path['connection'] for path in entry['pathlist']),
                         ['127.0.0.1', '127.0.0.2'])

        # libiscsi's paths over the same portals are the same paths
        self.connect(target)
        self.assertEqual(len(self.paths(disk.guid)), 2)

    def test_health(self):
        disk = self.add_disk('one', 24 * MIB)
        target = self.add_target({1: disk})
        self.log_in(target)
        storage.wait_map(disk.guid)
        self.wait_lun(disk.guid, lambda lun: len(lun['Paths']) == 2, 'both paths')
        for there, state, kernel in ((target.portal_down, 'failed', 'F'),
                                     (target.portal_up, 'active', 'A')):
            there('127.0.0.2')
            vm.wait_until(lambda: kernel in [
                s for name, s in storage.find_map(disk.guid).path_states().items()
                if name == self.device_at(disk.guid, '127.0.0.2')], 60, 'multipath to notice', 0.1)
            noticed = time.monotonic()
            self.wait_lun(disk.guid, lambda lun: {
                path['address']: path['state'] for path in lun['Paths']} ==
                {'127.0.0.1': 'active', '127.0.0.2': state}, 'the path being ' + state)
            self.assertLess(time.monotonic() - noticed, 1.5)
        self.assertEqual(self.lun(disk.guid)['Status'], 'free')

    test_health.deadline = 240

    def device_at(self, guid, address):
        return [path['device'] for path in self.paths(guid) if path['address'] == address][0]

    def test_comes_and_goes(self):
        one, two = self.add_disk('one', 24 * MIB, growing=True), self.add_disk('two', 16 * MIB)
        target = self.add_target({1: one}, portals=('127.0.0.1',))
        self.log_in(target)
        self.wait_lun(one.guid)
        self.assertIsNone(self.lun(two.guid))
        target.map(2, two)
        storage.rescan()
        self.wait_lun(two.guid)
        one.grow(32 * MIB)
        storage.rescan()
        self.wait_lun(one.guid, lambda lun: lun['Paths'][0]['capacity'] == one.size, 'the new size')

        target.unmap(2)
        storage.wait_map(two.guid, 1)
        storage.flush_maps()
        for path in storage.disks(two.guid):
            path.delete()
        self.wait_gone(two.guid)
        self.assertTrue(self.lun(one.guid))

    def test_fibre_channel(self):
        self.addCleanup(storage.flush_maps)
        self.addCleanup(vm.lio.clear)
        fabric = vm.lio.FibreChannel()
        disk = fabric.map(0, self.add_disk('far', 24 * MIB))
        fabric.plug_in()
        lun = self.wait_lun(disk.guid, timeout=60)
        path, = lun['Paths']
        self.assertEqual((lun['Type'], lun['Capacity']), ('FCP', disk.size))
        self.assertEqual((path['transport'], path['state'], path['iqn']), ('fcoe', 'active', ''))
        self.assertRegex(path['target'], '^0x[0-9a-f]{16}$')
        self.assertEqual(self.entry(disk.guid, **{'storage-type': 'FCP'})['pathlist'], [])

    def test_local_disks_and_their_holders(self):
        self.addCleanup(storage.flush_maps)
        self.addCleanup(storage.ScsiDebug.stop)
        name = storage.ScsiDebug().disks[0].name
        lun = vm.wait_until(lambda: self.with_device(name), 30, 'the LUN of ' + name)
        guid = lun['Guid']
        self.assertEqual((lun['Type'], lun['Capacity'], lun['Status']), ('local', 16 * MIB, 'free'))

        device = '/dev/' + (storage.wait_map(guid, 1).device)
        storage.run('mkfs.ext4', '-q', device)
        storage.run('mount', device, '/mnt')
        self.addCleanup(storage.run, 'umount', '/mnt', check=False)
        lun = self.wait_lun(guid, lambda lun: lun['Status'] == 'used', 'the mount')
        self.assertIn('mount:/mnt', lun['Holders'])
        storage.run('umount', '/mnt')
        self.wait_lun(guid, lambda lun: 'mount:/mnt' not in lun['Holders'], 'the end of the mount')

        uuid = storage.run('blkid', '-s', 'UUID', '-o', 'value', device).strip()
        self.define_guest('other', "<disk type='block'><driver name='qemu' type='raw'/><source "
                          "dev='/dev/disk/by-uuid/%s'/><target dev='vda' bus='virtio'/></disk>" % uuid)
        self.wait_lun(guid, lambda lun: 'vm:other' in lun['Holders'], 'the VM that names it')

        storage.run('mkswap', device)
        storage.run('swapon', device)
        self.addCleanup(storage.run, 'swapoff', device, check=False)
        lun = self.wait_lun(guid, lambda lun: lun['Status'] == 'unusable', 'the swap')
        self.assertRegex(lun['Reason'], 'this host itself runs from')
        storage.run('swapoff', device)
        self.wait_lun(guid, lambda lun: lun['Status'] != 'unusable', 'the end of the swap')
        storage.ScsiDebug.stop()
        self.wait_gone(guid)

    def test_nvme_over_tcp(self):
        nvme = storage.Nvme()
        self.addCleanup(nvme.remove)
        name, = nvme.connect()
        guid = storage.read('/sys/block/%s/wwid' % name)
        lun = self.wait_lun(guid)
        path, = lun['Paths']
        self.assertEqual((lun['Type'], path['transport'], path['device'], path['target']),
                         ('local', 'nvme-of', name, nvme.nqn))
