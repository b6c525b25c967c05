# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs of all sorts that VMs get as block devices of the host, seen from inside a guest."""

import os

import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512


class TestDisks(vm.TestCase):
    minutes = 4

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
        """Until all paths of a LUN of this type are in its map, and that can be plugged."""
        storage.wait_map(guid, paths)
        self.wait_lun(guid, lambda lun: lun['Type'] == kind and len(lun['Paths']) == paths and
                      all(path.get('map') for path in lun['Paths']), 'the map')
        vm.wait_until(lambda: self.way_of(guid) == 'block', 30, 'the name of %s' % guid, 0.2)

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

    def test_pain_12_an_array_says_that_a_lun_has_grown(self):
        self.addCleanup(storage.ScsiDebug.stop)
        path, = storage.ScsiDebug().disks
        guid = vm.wait_until(lambda: self.with_device(path.name), 60, 'the LUN of ' +
                             path.name)['Guid']
        self.wait_mapped(guid, 'local')
        attachment = self.plug(guid)
        self.addCleanup(self.detach_all, self.guest)
        self.guest.wait_disks(lambda found: found.get('vda', [0])[0] == path.size, 60)
        storage.ScsiDebug.grow(1)
        self.guest.check('dd if=/dev/vda of=/dev/null bs=512 count=1 iflag=direct')
        self.guest.wait_disks(lambda found: found['vda'][0] == 1 << 30, 60)
        self.wait_property(attachment, 'Attachment', 'GuestCapacity', 1 << 30, 20)
        self.assertEqual(self.get(attachment, 'Attachment', 'ResizePending'), '')

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

    # ---- what becomes of it on the target

    def with_map(self, luns, paths=2):
        """iSCSI sessions of somebody else with a target that shows these LUNs, in their maps."""
        target = self.add_target(luns)
        self.log_in(target)
        for disk in luns.values():
            self.wait_mapped(disk.guid, 'iSCSI', paths)
        return target

    def wait_paths(self, disk, state):
        self.wait_lun(disk.guid, lambda lun: [path['state'] for path in lun['Paths']] == [state] * 2,
                      'both paths being ' + state)

    def assert_empty(self, disk):
        with open(disk.file, 'rb') as f:
            self.assertEqual(f.read().strip(b'\0'), b'')

    def remove_stale(self, disk):
        self.method(service.object_path('luns', disk.guid), 'Lun', 'RemoveStale')

    def test_pain_3_a_number_that_another_lun_has_now(self):
        one, other = self.add_disk('one', 24 * MIB), self.add_disk('other', 24 * MIB)
        target = self.with_map({1: one})
        attachment = self.plug(one.guid)
        self.guest.wait_disks(lambda found: 'vda' in found, 60)
        data = os.urandom(SECTOR)
        self.guest.write('vda', 9 * SECTOR, data)
        self.method(attachment, 'Attachment', 'HotUnplug')
        self.guest.wait_disks(lambda found: not found, 60)

        # nobody has told the kernel, whose disks have the old name
        target.unmap(1)
        with self.assertDBusError('org.ovirt.DirectLun.Error.LunNotVisible'):
            self.method(attachment, 'Attachment', 'HotPlug')
        target.map(1, other)
        self.wait_paths(one, 'active')  # multipath takes whoever answers there for the same
        with self.assertDBusError('org.ovirt.DirectLun.Error.GuidMismatch'):
            self.method(attachment, 'Attachment', 'HotPlug')
        self.method(attachment, 'Attachment', 'Detach')
        for data_path in ('block', 'auto'):
            with self.assertDBusError('org.ovirt.DirectLun.Error.GuidMismatch'):
                self.attach(self.guest, {'GUID': one.guid, 'data-path': data_path})
        self.assertEqual(self.guest.disks(), {})
        self.assert_empty(other)

        # it has moved to another number
        target.map(5, one)
        self.remove_stale(one)
        storage.rescan()
        for disk in (one, other):
            self.wait_mapped(disk.guid, 'iSCSI', 2)
        self.plug(one.guid)
        self.guest.wait_disks(lambda found: 'vda' in found, 60)
        self.assertEqual(self.guest.read('vda', 9 * SECTOR, SECTOR), data)
        self.assert_empty(other)

    test_pain_3_a_number_that_another_lun_has_now.deadline = 400

    def test_a_lun_is_taken_from_a_running_vm(self):
        one, other = self.add_disk('one', 24 * MIB), self.add_disk('other', 24 * MIB)
        target = self.with_map({1: one})
        attachment = self.plug(one.guid)
        self.guest.wait_disks(lambda found: 'vda' in found, 60)

        target.unmap(1)
        self.guest.check("(printf %-512d 7 | dd of=/dev/vda bs=512 seek=9 conv=fsync,notrunc && "
                         "echo written >/tmp/written) >/dev/null 2>&1 &")
        vm.wait_until(lambda: 'paused' in storage.run('virsh', 'domstate', self.guest.name), 60,
                      'the VM standing still', 0.3)
        self.wait_paths(one, 'failed')
        target.map(1, other)
        self.wait_lun(one.guid, lambda lun: lun['Status'] == 'unusable' and
                      other.guid in lun['Reason'], 'the reason')
        self.wait_error(attachment, 'GuidMismatch')
        target.unmap(1)
        self.assert_empty(other)

        target.map(1, one)
        self.wait_error(attachment, '')
        self.wait_lun(one.guid, lambda lun: lun['Status'] == 'used')
        storage.run('virsh', 'resume', self.guest.name)
        vm.wait_until(lambda: self.guest.sh('cat /tmp/written')[1] == b'written\n', 60, 'the data', 0.3)
        with open(one.file, 'rb') as f:
            f.seek(9 * SECTOR)
            self.assertEqual(f.read(SECTOR), b'%-512d' % 7)

    test_a_lun_is_taken_from_a_running_vm.deadline = 400

    def wait_error(self, attachment, name):
        vm.wait_until(lambda: self.get(attachment, 'Attachment', 'LastError')[0] == name, 60,
                      'the error ' + name, 0.2)

    def test_pain_4_two_luns_of_one_guid(self):
        one = self.add_disk('one', 24 * MIB)
        target = self.with_map({1: one})
        self.plug(one.guid)
        self.guest.wait_disks(lambda found: 'vda' in found, 60)
        twin = target.map(2, self.add_disk('twin', 16 * MIB, identity='one'))
        self.assertEqual(twin.guid, one.guid)
        storage.rescan()
        self.wait_lun(one.guid, lambda lun: lun['Status'] == 'unusable' and
                      'Two different LUNs' in lun['Reason'], 'the trouble')
        data = os.urandom(SECTOR)
        self.guest.write('vda', 9 * SECTOR, data)  # who has it goes on
        attachment, = self.get(self.vm(self.guest), 'Vm', 'Attachments')
        self.method(attachment, 'Attachment', 'HotUnplug')
        with self.assertDBusError('org.ovirt.DirectLun.Error.GuidNotUnique'):
            self.method(attachment, 'Attachment', 'HotPlug')

        target.unmap(2)
        self.remove_stale(one)
        self.wait_lun(one.guid, lambda lun: lun['Status'] == 'used' and len(lun['Paths']) == 2)
        self.method(attachment, 'Attachment', 'HotPlug')
        self.guest.wait_disks(lambda found: 'vda' in found, 60)
        self.assertEqual(self.guest.read('vda', 9 * SECTOR, SECTOR), data)
        self.assert_empty(twin)

    test_pain_4_two_luns_of_one_guid.deadline = 400
