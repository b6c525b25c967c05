# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds a LUN: what is on it, written by the real tools where Debian has them, and other
domains; and that nobody has to wait for that to be known."""

import signal
import struct
import time
import uuid
import zlib

import lab
from client import DBusError
from service import ROOT, TestCase, object_path

MIB = 1 << 20
VG = 'VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG'
PV = 'PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV'
OTHER_PV = 'otherP-VPVP-VPVP-VPVP-VPVP-VPVP-VPVPVP'


def lvm_checksum(data):
    """LVM's: CRC-32 with another start value, and not inverted."""
    return zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff


def write_lvm(lun, vg, tags=(), pvs=(PV,), ignored=False):
    """What pvcreate and vgcreate write (they need the device mapper): the first of the physical
    volumes; where its metadata is not in use, its text is only old."""
    text = ('%s {\nid = "%s"\nseqno = 1\nformat = "lvm2"\nstatus = ["RESIZEABLE", "READ", "WRITE"]\n'
            'flags = []\ntags = [%s]\nextent_size = 8192\n'
            'physical_volumes {\n%s}\n}\n'
            % (vg, VG, ', '.join('"%s"' % tag for tag in tags),
               ''.join('pv%d {\nid = "%s"\nflags = []\n}\n' % pv for pv in enumerate(pvs)))).encode() + b'\0'
    area_size = MIB - 4096
    area = struct.pack('<16sIQQQQII', b' LVM2 x[5A%r0N*>', 1, 4096, area_size, 512, len(text),
                       lvm_checksum(text), int(ignored)).ljust(508, b'\0')
    label = struct.pack('<I8s32sQQQQQQQQQ', 32, b'LVM2 001', pvs[0].replace('-', '').encode(), lun.size,
                        MIB, 0, 0, 0, 4096, area_size, 0, 0).ljust(492, b'\0')
    lun.write(512, struct.pack('<8sQI', b'LABELONE', 1, lvm_checksum(label)) + label)
    lun.write(4096, struct.pack('<I', lvm_checksum(area)) + area + text)


def write_partition_table(lun):
    lun.write(446, PARTITIONS)


def write_luks(lun):
    lun.write(0, b'LUKS\xba\xbe\0\1'.ljust(168, b'\0') + b'5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a')


def write_raid(lun):
    """The superblock of Linux' MD 1.2."""
    block = bytearray(struct.pack('<4I16s32sQ2IQ2I', 0xa92b4efc, 1, 0, 0, b'Z' * 16, b'host:0', 0, 1,
                                  0, 16384, 0, 2).ljust(256, b'\0'))
    block[128:152] = struct.pack('<3Q', 2048, 16384, 8)
    total = sum(struct.unpack('<64I', block))
    block[216:220] = struct.pack('<I', (total & 0xffffffff) + (total >> 32))
    lun.write(4096, bytes(block))


def write_gpt(lun):
    """A table with one partition."""
    last = lun.size // 512 - 1
    entries = struct.pack('<16s16s3Q72s', b'T' * 16, b'U' * 16, 2048, 4095, 0, b'').ljust(128 * 128,
                                                                                        b'\0')

    def header(checksum):
        return struct.pack('<8s4I4Q16sQ3I', b'EFI PART', 0x10000, 92, checksum, 0, 1, last, 34,
                           last - 33, b'D' * 16, 2, 128, 128, zlib.crc32(entries))

    lun.write(446, struct.pack('<8B2I', 0, 0, 2, 0, 0xee, 255, 255, 255, 1, last).ljust(64, b'\0')
              + b'\x55\xaa')
    lun.write(512, header(zlib.crc32(header(0))).ljust(512, b'\0') + entries)


PARTITIONS = (struct.pack('<8B2I', 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 8192) + bytes(48) + b'\x55\xaa')


class InUse(TestCase):
    @classmethod
    def prepare(cls):
        cls.running = cls.lab.define_vm('running').start()

    def setUp(self):
        self.addCleanup(self.detach_all, self.running)

    def devices(self, **options):
        return {d['GUID']: d for d in self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                                                options)}

    def lun_get(self, lun, name):
        return self.get(object_path('luns', lun.guid), 'Lun', name)

    def facts(self, lun):
        return [(f['about'], f['name']) for f in
                self.call(object_path('luns', lun.guid), 'Lun', 'Explain', '(a{sv})', {})]

    def domain(self, lun, method, identifier, **options):
        return self.call(object_path('luns', lun.guid), 'Lun', method, '(sa{sv})', identifier,
                         options)

    def ctl(self, *words):
        return self.lab.run('/usr/bin/directlunctl', *words)

    def test_content(self):
        one = self.lab.add_target('one', luns=7)
        luns = one.luns
        self.lab.run('mkfs.ext4', '-q', '-F', luns[1].path)
        self.lab.run('mkswap', luns[2].path)
        write_lvm(luns[3], 'vg0')
        write_lvm(luns[4], 'd0a1', ('RHAT_storage_domain', 'MDT_SDUUID=d0a1', 'MDT_ROLE=Regular'),
                  (PV[::-1], OTHER_PV))
        write_lvm(luns[7], 'before', pvs=(OTHER_PV,), ignored=True)  # as all others of a domain
        write_partition_table(luns[5])
        self.connect(one)

        devices = self.devices(**{'check-status': True})
        self.assertEqual([devices[luns[n].guid]['status'] for n in range(1, 8)],
                         ['used', 'used', 'used', 'used', 'used', 'free', 'used'])
        self.assertEqual((devices[luns[3].guid]['pvUUID'], devices[luns[3].guid]['vgUUID'],
                          devices[luns[3].guid]['pvsize']), (PV, VG, luns[3].size))
        self.assertEqual([self.lun_get(luns[n], 'Holders') for n in range(1, 8)],
                         [['filesystem:ext4'], ['swap'], ['lvm:vg0'], ['storage-domain:d0a1'],
                          ['partition-table:dos'], [], ['storage-domain:d0a1']])
        self.assertEqual(devices[luns[7].guid]['vgUUID'], VG)
        self.assertIn('volume group vg0', self.lun_get(luns[3], 'Reason'))
        self.assertIn('lvm:vg0', self.ctl('list', luns[3].guid))
        self.assertEqual(self.facts(luns[1]),
                         [('status', 'used'), ('holder', 'filesystem:ext4'), ('content', 'ext4'),
                          ('connection', one.iqn), ('data-path', 'qemu'),
                          ('unmanage', one.iqn)])

        for n, word in ((1, 'ext4'), (3, 'vg0'), (4, 'd0a1'), (7, 'd0a1')):
            with self.assertDBusError('InUse') as refused:
                self.attach(self.running, {'GUID': luns[n].guid})
            self.assertIn(word, refused.exception.message)
        self.assertEqual(self.lab.client.objects('VDisk'), {})
        self.attach(self.running, {'GUID': luns[1].guid}, force=True)
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)

        # a domain that never claimed its LUN is known by the tags of its volume group
        self.assertEqual(self.lun_get(luns[4], 'StorageDomain'), 'd0a1')
        with self.assertDBusError('StorageDomainConflict'):
            self.domain(luns[4], 'ClaimForStorageDomain', 'another')
        self.domain(luns[4], 'ClaimForStorageDomain', 'd0a1')

    def test_other_content(self):
        """What libblkid knows is told by its name, and refused like all else."""
        luns = self.lab.add_target('other', luns=3).luns
        for lun, write in zip(luns.values(), (write_luks, write_raid, write_gpt)):
            write(lun)
        self.connect(luns[1].target)
        self.devices(**{'check-status': True})
        for n, holder in enumerate(('crypto:crypto_LUKS', 'raid:linux_raid_member',
                                    'partition-table:gpt'), 1):
            self.assertEqual((self.lun_get(luns[n], 'Status'), self.lun_get(luns[n], 'Holders')),
                             ('used', [holder]))
            self.assertIn(('holder', holder), self.facts(luns[n]))
            with self.assertDBusError('InUse') as refused:
                self.attach(self.running, {'GUID': luns[n].guid})
            self.assertIn(holder.split(':')[1], refused.exception.message)

    def test_what_a_guest_writes_is_its_own(self):
        lun = self.lab.add_target('own').luns[1]
        self.connect(lun.target)
        path = self.attach(self.running, {'GUID': lun.guid})
        disk, = self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.running.guest.write(disk, 0, bytes(446) + PARTITIONS)
        self.running.guest.check('sync')
        self.method(path, 'Attachment', 'Detach')
        self.assertEqual(lun.read(510, 2), b'\x55\xaa')

        device = self.devices(**{'guids': [lun.guid], 'check-status': True})[lun.guid]
        self.assertEqual(device['status'], 'free')
        self.assertIn('the data of its vDisk', self.lun_get(lun, 'Reason'))
        path = self.attach(self.running, {'GUID': lun.guid})
        self.method(path, 'Attachment', 'Detach')
        self.method(self.lun_get(lun, 'VDisk'), 'VDisk', 'Delete')
        with self.assertDBusError('InUse'):
            self.attach(self.running, {'GUID': lun.guid})

    def test_storage_domain(self):
        lun = self.lab.add_target('domain').luns[1]
        self.connect(lun.target)
        self.domain(lun, 'ClaimForStorageDomain', 'domain-1')
        self.domain(lun, 'ClaimForStorageDomain', 'domain-1')
        with self.assertDBusError('StorageDomainConflict') as refused:
            self.domain(lun, 'ClaimForStorageDomain', 'domain-2', force=True)
        self.assertIn('domain-1', refused.exception.message)

        self.lab.restart_daemon(signal.SIGKILL)
        self.assertEqual(self.lun_get(lun, 'StorageDomain'), 'domain-1')
        self.assertEqual(self.lun_get(lun, 'Status'), 'used')
        self.connect(lun.target)
        with self.assertDBusError('InUse') as refused:
            self.attach(self.running, {'GUID': lun.guid})
        self.assertIn('domain-1', refused.exception.message)
        path = self.attach(self.running, {'GUID': lun.guid}, force=True)
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.assertEqual(self.lun_get(lun, 'Holders'), ['vm:running', 'storage-domain:domain-1'])
        told = self.ctl('explain', lun.guid)
        for word in ('vm:running', 'storage-domain:domain-1', lun.target.iqn, 'Would be refused'):
            self.assertIn(word, told)
        self.method(path, 'Attachment', 'Detach')

        with self.assertDBusError('StorageDomainConflict'):
            self.domain(lun, 'ReleaseStorageDomain', 'domain-2')
        self.assertIn('used', self.ctl('claim', lun.guid, 'domain-1'))
        self.assertIn('free', self.ctl('release', lun.guid, 'domain-1'))
        self.ctl('release', lun.guid, 'domain-1')
        self.assertEqual(self.lun_get(lun, 'StorageDomain'), '')

    def test_clients_that_race_for_a_lun(self):
        lun = self.lab.add_target('race').luns[1]
        self.connect(lun.target)
        path = object_path('luns', lun.guid)
        pending = {name: self.lab.client.start(path, lab.BUS_NAME + '.Lun', 'ClaimForStorageDomain',
                                               '(sa{sv})', name, {}) for name in ('a', 'b', 'c')}
        errors = {}
        for name, call in pending.items():
            try:
                call.wait()
            except DBusError as error:
                errors[name] = error.name.rpartition('.')[2]
        winner = self.lun_get(lun, 'StorageDomain')
        self.assertEqual(errors, {name: 'StorageDomainConflict' for name in pending
                                  if name != winner})

    def test_other_domains(self):
        lun = self.lab.add_target('foreign').luns[1]
        self.connect(lun.target)
        for n, source in enumerate((
                "type='network'><source protocol='iscsi' name='%s/1'><host name='127.0.0.1'/></source>"
                % lun.target.iqn,
                "type='block'><source dev='/dev/disk/by-id/scsi-%s'/>" % lun.guid,
                "type='block'><source dev='/dev/disk/by-id/wwn-0x%s-part1'/>" % lun.guid[1:],
                "type='block'><source dev='/dev/disk/by-id/dm-uuid-mpath-%s'/>" % lun.guid,
                "type='block'><source dev='/dev/mapper/%s'/>" % lun.guid,
                "type='block'><source dev='/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-%s-lun-1'/>"
                % lun.target.iqn)):
            with self.subTest(source):
                name = 'foreign%d' % n
                self.lab.define_vm(name, str(uuid.uuid4()), devices=(
                    "<disk %s<driver name='qemu' type='raw'/><target dev='vdq' bus='virtio'/></disk>"
                    % source))
                with self.assertDBusError('InUse') as refused:
                    self.attach(self.running, {'GUID': lun.guid})
                self.assertIn(name, refused.exception.message)
                self.assertEqual(self.lun_get(lun, 'Holders'), ['vm:' + name])
                self.lab.virsh('undefine', name)
                self.lab.vms.pop(name)
                self.wait_property(object_path('luns', lun.guid), 'Lun', 'Status', 'free')
        self.attach(self.running, {'GUID': lun.guid})

    def test_volumes_of_storage_pools(self):
        """A disk that names a pool and a volume, and says nothing of a target."""
        lun = self.lab.add_target('pooled').luns[1]
        self.connect(lun.target)
        path = lab.WORK + '/pool.xml'
        with open(path, 'w') as f:
            f.write("<pool type='iscsi-direct'><name>array</name><source><host name='127.0.0.1' "
                    "port='3260'/><device path='%s'/><initiator><iqn "
                    "name='iqn.2026-11.org.ovirt.test:pool'/></initiator></source></pool>"
                    % lun.target.iqn)
        vm = self.lab.define_vm('pooled', str(uuid.uuid4()), devices=(
            "<disk type='volume'><source pool='array' volume='unit:0:0:1'/><driver name='qemu' "
            "type='raw'/><target dev='vdq' bus='virtio'/></disk>"))

        self.attach(self.running, {'GUID': lun.guid})  # a pool that nobody knows: nobody can tell
        self.assertIn(('unknown', 'pooled'), self.facts(lun))
        self.assertEqual(self.lun_get(lun, 'Holders'), ['vm:running'])
        self.detach_all(self.running)

        self.lab.virsh('pool-define', path)
        self.assert_held_by_pooled(lun)
        self.lab.virsh('pool-start', 'array')
        self.assert_held_by_pooled(lun)
        vm.start()
        self.wait_property(self.vm(vm), 'Vm', 'State', 'running')
        self.assert_held_by_pooled(lun)
        vm.guest.wait_disks(lambda disks: len(disks) == 1)
        vm.destroy()
        self.lab.virsh('undefine', 'pooled')
        self.lab.vms.pop('pooled')
        self.attach(self.running, {'GUID': lun.guid})

    def assert_held_by_pooled(self, lun):
        with self.assertDBusError('InUse') as refused:
            self.attach(self.running, {'GUID': lun.guid})
        self.assertIn('vm:pooled', refused.exception.message)
        self.assertEqual(self.lun_get(lun, 'Holders'), ['vm:pooled'])
        self.assertEqual(self.facts(lun)[:2], [('status', 'used'), ('holder', 'vm:pooled')])

    def test_pain_15_listing_is_slow(self):
        many = self.lab.add_target('many', luns=200)
        write_partition_table(many.luns[200])
        self.connect(many)
        many.tgtd.pause()
        try:
            begun = time.monotonic()
            self.assertIn(many.luns[200].guid, self.devices())
            self.assertLess(time.monotonic() - begun, 1)
        finally:
            many.tgtd.resume()
        self.wait_property(object_path('luns', many.luns[200].guid), 'Lun', 'Status', 'used')
        begun = time.monotonic()
        self.devices(**{'check-status': True})
        self.assertLess(time.monotonic() - begun, 10)
