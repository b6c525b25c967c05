# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs that VMs get as block devices of the host: through multipath, passed through with the guest's
reservations; and the change from one data path to the other, of which the guest sees nothing.
AppArmor is at work."""

import os
import re

import client
import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512


class TestPlugBlock(vm.TestCase):
    def node(self, disk):
        return '/dev/disk/by-id/dm-uuid-mpath-' + disk.guid

    def sources(self, running, *options):
        """What the disks of a domain are opened by."""
        return re.findall(r"<source (?:dev|protocol='iscsi' name)='([^']*)'", storage.run(
            'virsh', 'dumpxml', *options, running.name))

    def assert_by_block(self, running, attachment, disk):
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        self.assertEqual(self.sources(running), [self.node(disk)])

    def with_map(self, name):
        """A disk that the host has through multipath, and its target."""
        disk = self.add_disk(name, 24 * MIB)
        target = self.add_target({1: disk})
        self.log_in(target)
        storage.wait_map(disk.guid)
        vm.wait_until(lambda: service.object_path('luns', disk.guid) in
                      self.client.objects('Lun'), 20, 'the LUN', 0.2)
        return disk, target

    def test_pain_13_passthrough_with_reservations(self):
        disk, _ = self.with_map('cluster')
        running = self.start_guest()
        self.addCleanup(self.detach_all, running)
        self.install_sg(running)
        attachment = self.attach(running, {'GUID': disk.guid, 'iface': 'scsi', 'device': 'lun',
                                           'reservations': 'on', 'data-path': 'block'})
        self.assert_by_block(running, attachment, disk)
        (name, _), = running.wait_disks(lambda found: found, 60).items()
        self.assertEqual(running.check('cat /sys/block/%s/device/vendor' % name).strip(),
                         'LIO-ORG')
        key = '00000000decade01'
        self.assertEqual(running.sg(name, '5f060000000000001800', '0' * 16 + key + '0' * 16)[0], 0)
        keys = storage.run('sg_persist', '--in', '--read-keys', '/dev/' + storage.disks(
            disk.guid)[0].name)
        self.assertIn('0xdecade01', keys)
        self.assertEqual(running.sg(name, '5f060000000000001800', key + '0' * 32)[0], 0)

        self.method(attachment, 'Attachment', 'HotUnplug')
        self.method(attachment, 'Attachment', 'HotPlug')
        self.assert_by_block(running, attachment, disk)
        self.assertIn('reservations managed', storage.run('virsh', 'dumpxml', running.name))

    test_pain_13_passthrough_with_reservations.deadline = 300

    def test_pain_14_a_guest_does_not_see_the_data_path(self):
        disk = self.add_disk('either', 24 * MIB)
        target = self.add_target({1: disk})
        self.connect(target)
        running = self.start_guest()
        self.addCleanup(self.detach_all, running)
        attachment = self.attach(running, {'GUID': disk.guid, 'iface': 'virtio'})
        by_qemu = self.seen(running, attachment, 'qemu')
        data = os.urandom(SECTOR)
        running.write('vda', 7 * SECTOR, data)

        self.method(attachment, 'Attachment', 'HotUnplug')
        storage.log_in(target)
        self.addCleanup(storage.run, 'iscsiadm', '-m', 'node', '-T', target.iqn, '--logout',
                        check=False)
        storage.wait_map(disk.guid)
        vm.wait_until(lambda: self.way_of(disk) == 'block', 20, 'the kernel having the LUN', 0.2)
        self.method(attachment, 'Attachment', 'HotPlug')
        self.assertEqual(self.seen(running, attachment, 'block'), by_qemu)
        self.assertEqual(self.sources(running), [self.node(disk)])
        self.assertEqual(running.read('vda', 7 * SECTOR, SECTOR), data)

        self.method(attachment, 'Attachment', 'HotUnplug')
        storage.flush_maps()
        storage.log_out(target)
        vm.wait_until(lambda: self.way_of(disk) == 'qemu', 30, 'the disks being gone', 0.2)
        self.method(attachment, 'Attachment', 'HotPlug')
        self.assertEqual(self.seen(running, attachment, 'qemu'), by_qemu)
        self.assertEqual(running.read('vda', 7 * SECTOR, SECTOR), data)

    test_pain_14_a_guest_does_not_see_the_data_path.deadline = 400

    def way_of(self, disk):
        """What data path auto would be now."""
        facts = self.call(service.object_path('luns', disk.guid), 'Lun', 'Explain', '(a{sv})', {})
        return [fact['name'] for fact in facts if fact['about'] == 'data-path'][0]

    def seen(self, running, attachment, data_path):
        """What the guest sees: size, serial and place of its only disk."""
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), data_path)
        disks = running.wait_disks(lambda found: found, 60)
        return disks, re.sub(r'/virtio\d+/', '/', running.check('readlink -f /sys/block/vda'))

    def test_refusals(self):
        disk, _ = self.with_map('held')
        running = self.define_guest()
        self.addCleanup(self.detach_all, running)
        storage.run('dmsetup', 'create', 'busy', '--table',
                    '0 2048 linear %s 0' % self.node(disk))
        self.addCleanup(storage.run, 'dmsetup', 'remove', 'busy', check=False)
        vm.wait_until(lambda: 'dm:busy' in self.get(service.object_path('luns', disk.guid), 'Lun',
                                                    'Holders'), 20, 'the holder', 0.2)
        device = {'GUID': disk.guid, 'iface': 'virtio', 'data-path': 'block'}
        with client.ExpectedError(self, vm.BUS_NAME + '.Error.InUse') as refused:
            self.attach(running, device)
        self.assertIn('dm:busy', refused.exception.message)
        storage.run('dmsetup', 'remove', 'busy')
        vm.wait_until(lambda: not self.get(service.object_path('luns', disk.guid), 'Lun',
                                           'Holders'), 20, 'no holder', 0.2)
        self.attach(running, device)
        self.assertEqual(self.sources(running, '--inactive'), [self.node(disk)])

        storage.run('dmsetup', 'create', 'busy', '--table',
                    '0 2048 linear %s 0' % self.node(disk))  # after the attach
        with client.ExpectedError(self, vm.BUS_NAME + '.Error.NoHostAvailable') as refused:
            self.call(self.vm(running), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertIn('dm:busy', refused.exception.message)
        storage.run('dmsetup', 'remove', 'busy')
