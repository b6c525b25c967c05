# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds a LUN: what is on it, written by the real tools where Debian has them, and other
domains; and that nobody has to wait for that to be known."""

import struct
import zlib

from service import ROOT, TestCase, object_path

MIB = 1 << 20
VG = 'VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG'
PV = 'PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV'


def lvm_checksum(data):
    """LVM's: CRC-32 with another start value, and not inverted."""
    return zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff


def write_lvm(lun, vg, tags=()):
    """What pvcreate and vgcreate write (they need the device mapper)."""
    text = ('%s {\nid = "%s"\nseqno = 1\nformat = "lvm2"\nstatus = ["RESIZEABLE", "READ", "WRITE"]\n'
            'flags = []\ntags = [%s]\nextent_size = 8192\n}\n'
            % (vg, VG, ', '.join('"%s"' % tag for tag in tags))).encode() + b'\0'
    area_size = MIB - 4096
    area = struct.pack('<16sIQQQQII', b' LVM2 x[5A%r0N*>', 1, 4096, area_size, 512, len(text),
                       lvm_checksum(text), 0).ljust(508, b'\0')
    label = struct.pack('<I8s32sQQQQQQQQQ', 32, b'LVM2 001', PV.replace('-', '').encode(), lun.size,
                        MIB, 0, 0, 0, 4096, area_size, 0, 0).ljust(492, b'\0')
    lun.write(512, struct.pack('<8sQI', b'LABELONE', 1, lvm_checksum(label)) + label)
    lun.write(4096, struct.pack('<I', lvm_checksum(area)) + area + text)


class Content(TestCase):
    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=9)
        cls.running = cls.lab.define_vm('running').start()

    def devices(self, **options):
        return {d['GUID']: d for d in self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                                                options)}

    def lun_get(self, lun, name):
        return self.get(object_path('luns', lun.guid), 'Lun', name)

    def test_content(self):
        luns = self.one.luns
        self.lab.run('mkfs.ext4', '-q', '-F', luns[1].path)
        self.lab.run('mkswap', luns[2].path)
        write_lvm(luns[3], 'vg0')
        write_lvm(luns[4], 'd0a1', ('RHAT_storage_domain', 'MDT_SDUUID=d0a1', 'MDT_ROLE=Regular'))
        luns[5].write(446, struct.pack('<8B2I', 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 8192))
        luns[5].write(510, b'\x55\xaa')
        self.connect(self.one)

        devices = self.devices(**{'check-status': True})
        self.assertEqual([devices[luns[n].guid]['status'] for n in range(1, 7)],
                         ['used', 'used', 'used', 'used', 'used', 'free'])
        self.assertEqual((devices[luns[3].guid]['pvUUID'], devices[luns[3].guid]['vgUUID'],
                          devices[luns[3].guid]['pvsize']), (PV, VG, luns[3].size))
        self.assertEqual([self.lun_get(luns[n], 'Holders') for n in range(1, 6)],
                         [['filesystem:ext4'], ['swap'], ['lvm:vg0'], ['storage-domain:d0a1'],
                          ['partition-table:dos']])
        self.assertIn('volume group vg0', self.lun_get(luns[3], 'Reason'))

        for n, word in ((1, 'ext4'), (3, 'vg0'), (4, 'd0a1')):
            with self.assertDBusError('InUse') as refused:
                self.attach(self.running, {'GUID': luns[n].guid})
            self.assertIn(word, refused.exception.message)
        self.assertEqual(self.lab.client.objects('VDisk'), {})
