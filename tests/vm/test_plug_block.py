# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs that VMs get as block devices of the host: through multipath, passed through with the guest's
reservations; and the change from one data path to the other, of which the guest sees nothing.
AppArmor is at work."""

import os
import re
from xml.etree import ElementTree

import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512


class TestPlugBlock(vm.TestCase):
    minutes = 5

    def node(self, disk):
        return '/dev/disk/by-id/dm-uuid-mpath-' + disk.guid

    def sources(self, running, *options):
        """What the disks of a domain are opened by."""
        return re.findall(r"<source (?:dev|protocol='iscsi' name)='([^']*)'", storage.run(
            'virsh', 'dumpxml', *options, running.name))

    def assert_by_block(self, running, attachment, disk):
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        self.assertEqual(self.sources(running), [self.node(disk)])

    def with_map(self, name='one', **options):
        """A disk that the host has through multipath, and its target."""
        disk = self.add_disk(name, 24 * MIB, **options)
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
        """By the kernel on one start, by QEMU on the next; by the kernel again while it runs."""
        luns = {1: self.add_disk('either', 24 * MIB), 2: self.add_disk('other', 16 * MIB)}
        target = self.add_target(luns)
        self.connect(target, pin=True)
        self.addCleanup(storage.run, 'iscsiadm', '-m', 'node', '-T', target.iqn, '--logout',
                        check=False)
        self.addCleanup(storage.flush_maps)
        self.by_kernel(target, luns)
        machine = self.define_guest()
        self.addCleanup(self.detach_all, machine)
        attachments = [self.attach(machine, {'GUID': disk.guid, 'iface': iface})
                       for disk, iface in zip(luns.values(), ('virtio', 'scsi'))]
        vdisks = [self.get(attachment, 'Attachment', 'VDisk') for attachment in attachments]
        self.run_vm(machine)
        by_block = self.seen(machine, attachments, 'block')
        self.assertEqual(self.sources(machine), [self.node(disk) for disk in luns.values()])
        data = os.urandom(SECTOR)
        for name in ('vda', 'sda'):
            machine.write(name, 7 * SECTOR, data)

        self.stop_vm(machine)
        storage.flush_maps()
        storage.log_out(target)
        self.wait_way(luns, 'qemu')
        self.run_vm(machine)
        self.assertEqual(self.seen(machine, attachments, 'qemu'), by_block)
        self.assert_data(machine, data)

        for attachment in attachments:
            self.method(attachment, 'Attachment', 'HotUnplug')
        self.by_kernel(target, luns)
        for attachment in attachments:
            self.method(attachment, 'Attachment', 'HotPlug')
        self.assertEqual(self.seen(machine, attachments, 'block'), by_block)
        self.assertEqual(self.sources(machine), [self.node(disk) for disk in luns.values()])
        self.assert_data(machine, data)
        self.assertEqual([self.get(attachment, 'Attachment', 'VDisk')
                          for attachment in attachments], vdisks)

    test_pain_14_a_guest_does_not_see_the_data_path.deadline = 400

    def by_kernel(self, target, luns):
        """Sessions of somebody else, until the service would choose them."""
        storage.log_in(target)
        for disk in luns.values():
            storage.wait_map(disk.guid)
        self.wait_way(luns, 'block')

    def assert_data(self, machine, data):
        for name in ('vda', 'sda'):
            self.assertEqual(machine.read(name, 7 * SECTOR, SECTOR), data)

    def run_vm(self, machine):
        self.call(self.vm(machine), 'Vm', 'Run', '(asa{sv})', [], {})
        machine.wait_booted(180)

    def stop_vm(self, machine):
        machine.close()
        self.method(self.vm(machine), 'Vm', 'Stop')

    def wait_way(self, luns, way):
        vm.wait_until(lambda: {self.way_of(disk.guid) for disk in luns.values()} == {way}, 30,
                      'data path %s' % way, 0.2)

    def seen(self, running, attachments, data_path):
        """What the guest sees of its disks (size, serial, place), and what libvirt says of them."""
        for attachment in attachments:
            self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), data_path)
        disks = running.wait_disks(lambda found: len(found) == len(attachments), 60)
        places = running.check('for d in /sys/block/[sv]d*; do readlink -f $d; done')
        domain = ElementTree.fromstring(storage.run('virsh', 'dumpxml', running.name))
        told = sorted((disk.findtext('serial'), disk.find('alias').get('name'),
                       disk.find('target').attrib, disk.find('address').attrib)
                      for disk in domain.findall('devices/disk'))
        return disks, re.sub(r'/(virtio|host|target)[\d:]+', r'/\1', places), told

    # What a host does with a LUN: the commands that begin it and that end it, and the holder.
    USES = (
        ('mkfs.ext4 -q -F {0} && mkdir -p /run/used && mount {0} /run/used', 'umount /run/used',
         'mount:/run/used'),
        ('mkswap -f {0} && swapon {0}', 'swapoff {0}', 'swap:'),
        ('wipefs -qa {0} && vgcreate -qy used {0} && lvcreate -qy -L 4m -n lv used',
         'vgremove -qy used && pvremove -qy {0}', 'lvm:used/lv'),
        ('dmsetup create busy --table "0 2048 linear {0} 0"', 'dmsetup remove busy', 'dm:busy'),
    )

    def test_what_the_host_uses_is_refused(self):
        disk, _ = self.with_map('held')
        running, off, third = (self.define_guest(name) for name in ('running', 'off', 'third'))
        device = {'GUID': disk.guid, 'iface': 'virtio', 'shared': True}
        self.addCleanup(self.detach_all, running)
        self.addCleanup(self.detach_all, off)
        storage.run('virsh', '-q', 'start', running.name, timeout=120)
        unplugged = self.attach(running, {**device, 'plug': False})
        self.attach(off, {**device, 'data-path': 'block'})
        for begin, end, holder in self.USES:
            with self.subTest(holder):
                storage.run('sh', '-c', begin.format(self.node(disk)))
                try:
                    self.wait_holder(disk, holder)
                    self.assert_refused(unplugged, off, third, device, holder)
                finally:
                    storage.run('sh', '-c', end.format(self.node(disk)))
                self.wait_holder(disk, None)
        self.method(unplugged, 'Attachment', 'HotPlug')
        self.assert_by_block(running, unplugged, disk)

    def assert_refused(self, unplugged, off, third, device, holder):
        for error, ask in (
                ('InUse', lambda: self.method(unplugged, 'Attachment', 'HotPlug')),
                ('NoHostAvailable', lambda: self.call(self.vm(off), 'Vm', 'Run', '(asa{sv})', [],
                                                      {})),
                ('InUse', lambda: self.attach(third, device))):
            with self.assertDBusError(vm.BUS_NAME + '.Error.' + error) as refused:
                ask()
            self.assertIn(holder, refused.exception.message)

    def wait_holder(self, disk, holder):
        """Just one beside VMs; None: none."""
        def is_so():
            holders = [name for name in self.get(service.object_path('luns', disk.guid), 'Lun',
                                                 'Holders') if not name.startswith('vm:')]
            return len(holders) == 1 and holders[0].startswith(holder) if holder else not holders
        vm.wait_until(is_so, 20, 'the holder %s' % holder, 0.2)
