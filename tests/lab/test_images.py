# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of a vDisk: snapshots, what they keep, what is refused; seen from the guest and on the
LUN."""

import glob
import os

import lab
from service import TestCase, object_path, vdisk_id

MIB = 1 << 20
IMAGES = '/var/lib/libvirt/images/directlun'


class ImageCase(TestCase):
    """A vDisk of a VM, and short names for what is done to it."""

    settings = {'Images': {'FreeMinMiB': '16'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', size=64 * MIB)
        cls.two = cls.lab.add_target('two', size=32 * MIB)
        cls.lun = cls.one.luns[1]
        cls.machine = cls.lab.define_vm('painter')

    def setUp(self):
        self.connect(self.one)
        self.connect(self.two)
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.detach_all(self.machine)

    def files(self):
        return sorted(glob.glob(IMAGES + '/*'))

    def attach_one(self, **more):
        device = {'GUID': self.lun.guid, 'iface': 'virtio', **more}
        self.attachment = self.attach(self.machine, device)
        self.vdisk = object_path('vdisks', vdisk_id(self.lun.guid))
        return self.attachment

    def run_vm(self):
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)

    def images(self):
        return self.get(self.vdisk, 'VDisk', 'Images')

    def snapshot(self, **options):
        return self.method(self.vdisk, 'VDisk', 'Snapshot', **options)

    def write(self, letter, offset=0):
        self.machine.guest.write('vda', offset, letter * 4096)

    def seen(self, offset=0):
        return self.machine.guest.read('vda', offset, 512)[:1]

    def on_lun(self, offset=0):
        return self.lun.read(offset, 1)


class Snapshot(ImageCase):
    def test_of_a_running_vm(self):
        self.attach_one()
        self.attach(self.machine, {'GUID': self.two.luns[1].guid, 'shared': True})
        self.run_vm()
        self.write(b'A')
        uid = self.snapshot()

        (_, raw, raw_details), (when, found, details) = self.images()
        self.assertEqual((raw, raw_details), (vdisk_id(self.lun.guid),
                                              {'format': 'raw', 'current': False}))
        self.assertEqual((found, details), (uid, {
            'format': 'qcow2', 'current': True, 'file': '%s/%s.qcow2' % (IMAGES, uid),
            'parent': raw, 'quiesced': False, 'spoiled': False}))
        self.assertGreater(when, 1700000000 * 1000000)
        self.assertEqual(self.files(), [details['file']])

        self.write(b'B')
        self.write(b'C', 8192)
        self.assertEqual((self.on_lun(), self.on_lun(8192)), (b'A', b'\0'))
        self.assertEqual((self.seen(), self.seen(8192)), (b'B', b'C'))
        self.assertIs(self.get(self.attachment, 'Attachment', 'Plugged'), True)
        live, config = self.machine.xml(), self.machine.xml('--inactive')
        for xml in (live, config):
            self.assertEqual(xml.count(details['file']), 1)
            self.assertEqual(xml.count(self.two.iqn + '/1'), 1)
        self.assert_consistent()

        second = self.snapshot()
        self.write(b'D')
        self.assertEqual([i[1] for i in self.images()], [raw, uid, second])
        self.assertEqual((self.seen(), self.seen(8192), self.on_lun()), (b'D', b'C', b'A'))

        # stopped and started: the same images
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.run_vm()
        self.assertEqual((self.seen(), self.seen(8192), self.on_lun()), (b'D', b'C', b'A'))

        # plugged out and in again: never the LUN under its images
        self.method(self.attachment, 'Attachment', 'HotUnplug')
        self.method(self.attachment, 'Attachment', 'HotPlug')
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)
        self.assertEqual((self.seen(), self.on_lun()), (b'D', b'A'))
