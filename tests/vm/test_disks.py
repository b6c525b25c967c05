# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs of all sorts that VMs get as block devices of the host, seen from inside a guest."""

import os

import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512


class TestDisks(vm.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.guest = cls.start_class_guest()

    def setUp(self):
        self.get(vm.ROOT, 'Manager', 'Version')  # the service runs
        self.addCleanup(storage.flush_maps)
        self.addCleanup(self.detach_all, self.guest)

    # ---- the service

    def lun(self, guid):
        """Its properties; None: there is no such LUN."""
        return self.client.objects('Lun').get(service.object_path('luns', guid))

    def wait_lun(self, guid, holds=lambda lun: True, what='the LUN', timeout=60):
        def there():
            lun = self.lun(guid)
            return lun and holds(lun) and lun
        return vm.wait_until(there, timeout, '%s of %s' % (what, guid), 0.1)

    def wait_mapped(self, guid, kind, paths=1):
        """Until all paths of a LUN of this type are in its map."""
        storage.wait_map(guid, paths)
        self.wait_lun(guid, lambda lun: lun['Type'] == kind and len(lun['Paths']) == paths and
                      all(path.get('map') for path in lun['Paths']), 'the map')

    def plug(self, guid, iface='virtio', **device):
        """An attachment by data path block."""
        attachment = self.attach(self.guest, {'GUID': guid, 'iface': iface, 'data-path': 'block',
                                              **device})
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        return attachment

    # ---- the guest

    def assert_in_guest(self, attachment, name, size, serial, file):
        """What the guest sees, and what it writes is what the file of the target has."""
        disks = self.guest.wait_disks(lambda found: name in found, 60)
        self.assertEqual(disks[name], (size, serial))
        data = os.urandom(SECTOR)
        self.guest.write(name, 9 * SECTOR, data)
        with open(file, 'rb') as f:
            f.seek(9 * SECTOR)
            self.assertEqual(f.read(SECTOR), data)
        with open(file, 'r+b') as f:
            f.seek(11 * SECTOR)
            f.write(data[::-1])
        self.assertEqual(self.guest.read(name, 11 * SECTOR, SECTOR), data[::-1])
        self.method(attachment, 'Attachment', 'HotUnplug')
        self.guest.wait_disks(lambda found: name not in found, 60)

    @staticmethod
    def serial_of(guid, size=36):
        return service.vdisk_id(guid)[:size] if size == 36 else \
            service.vdisk_id(guid).replace('-', '')[:size]

    # ---- what is not iSCSI

    def test_fibre_channel(self):
        self.addCleanup(vm.lio.clear)
        fabric = vm.lio.FibreChannel()
        disk = fabric.map(0, self.add_disk('far', 24 * MIB))
        fabric.plug_in()
        self.wait_mapped(disk.guid, 'FCP')
        self.assert_in_guest(self.plug(disk.guid, 'scsi', device='lun'), 'sda', disk.size,
                             disk.serial, disk.file)

    def test_local_scsi(self):
        self.addCleanup(vm.lio.clear)
        loop = vm.lio.Loop('5001405aaaaaaaa1')
        disk = loop.map(0, self.add_disk('near', 16 * MIB))
        self.wait_mapped(disk.guid, 'local')
        self.assert_in_guest(self.plug(disk.guid, 'scsi'), 'sda', disk.size,
                             self.serial_of(disk.guid), disk.file)

    def test_nvme_over_tcp(self):
        nvme = storage.Nvme()
        self.addCleanup(nvme.remove)
        name, = nvme.connect()
        guid = storage.read('/sys/block/%s/wwid' % name)
        self.wait_lun(guid)
        with self.assertDBusError('org.ovirt.DirectLun.Error.UnsupportedInterface'):
            self.plug(guid, 'scsi', device='lun')
        self.assertEqual(self.get(self.vm(self.guest), 'Vm', 'Attachments'), [])
        self.assert_in_guest(self.plug(guid), 'vda', nvme.size, self.serial_of(guid, 20), nvme.file)

    def test_what_the_machine_runs_from(self):
        self.addCleanup(vm.lio.clear)
        loop = vm.lio.Loop('5001405aaaaaaaa1')
        disk = loop.map(0, self.add_disk('own', 16 * MIB))
        device = '/dev/' + storage.wait_map(disk.guid, 1).device
        storage.run('mkfs.ext4', '-q', device)
        storage.run('mount', device, '/boot')
        self.addCleanup(storage.run, 'umount', '/boot')
        lun = self.wait_lun(disk.guid, lambda lun: lun['Status'] == 'unusable')
        self.assertRegex(lun['Reason'], r'this host itself runs from \(mount:/boot\)')
        for options in ({}, {'force': True}):
            with self.assertDBusError('org.ovirt.DirectLun.Error.InUse'):
                self.attach(self.guest, {'GUID': disk.guid, 'iface': 'virtio'}, **options)
