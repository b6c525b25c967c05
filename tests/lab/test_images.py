# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of a vDisk: snapshots, what they keep, what is refused; seen from the guest and on the
LUN."""

import glob
import re

import lab
from gi.repository import GLib
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

    def uids(self):
        return [uid for _, uid, _ in self.images()]

    def merge(self, uid, **options):
        self.call(self.vdisk, 'VDisk', 'Merge', '(sa{sv})', uid, options)

    def assert_disk_is(self, files):
        """What the VM has, running and defined, and what is in the directory: these and no more."""
        xmls = [self.machine.xml('--inactive')]
        if self.machine.state() == 'running':
            xmls.append(self.machine.xml())
        for xml in xmls:
            found = re.findall(r"<source file='(%s/[^']*)'" % IMAGES, xml)
            self.assertEqual(found, list(reversed(files)))
            self.assertIn(self.one.iqn + '/1', xml)
        self.assertEqual(self.files(), sorted(files))

    def layers(self):
        return [details['file'] for _, _, details in self.images()[1:]]

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


class Merge(ImageCase):
    def test_of_the_current_image(self):
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        uid = self.snapshot()
        self.write(b'B')
        self.write(b'C', 8192)
        self.merge(uid)
        self.assertEqual(len(self.uids()), 1)
        self.assertEqual((self.on_lun(), self.on_lun(8192)), (b'B', b'C'))
        self.assert_disk_is([])
        self.write(b'D')
        self.assertEqual((self.seen(), self.on_lun()), (b'D', b'D'))
        self.assert_consistent()

    def test_of_one_in_between(self):
        """The upper moments stay what they were."""
        self.attach_one()
        self.run_vm()
        letters = b'ABCD'
        uids = []
        for n, letter in enumerate(letters):
            self.write(bytes([letter]), n * 8192)
            if n < 3:
                uids.append(self.snapshot())
        self.assertEqual(len(self.layers()), 3)
        self.merge(uids[1])
        self.assertEqual(self.uids()[1:], [uids[0], uids[2]])
        self.assert_disk_is(self.layers())
        self.merge(uids[0])
        self.merge(uids[2])
        self.assertEqual([self.on_lun(n * 8192) for n in range(4)], [b'A', b'B', b'C', b'D'])
        self.assert_disk_is([])

    def test_progress_and_cancel(self):
        self.attach_one()
        other = self.attach(self.machine, {'GUID': self.two.luns[1].guid})
        self.run_vm()
        self.write(b'A')
        uid = self.snapshot()
        self.write(b'B')
        self.machine.guest.check('dd if=/dev/zero of=/dev/vda bs=1M seek=1 count=24 conv=fsync')
        call = self.lab.client.start(self.vdisk, lab.BUS_NAME + '.VDisk', 'Merge', '(sa{sv})', uid,
                                     {'bandwidth': GLib.Variant('u', 2), 'job-token': 'slow'})
        job = lab.wait_until(self.job, what='the job')
        lab.wait_until(lambda: self.get(job, 'Job', 'Progress') > 0.05, 20, 'progress')
        self.assertIs(self.get(job, 'Job', 'ProgressValid'), True)
        self.assertIs(self.get(job, 'Job', 'Cancelable'), True)

        # the disk is busy; the rest of the VM is not
        for method in ('HotUnplug', 'Detach'):
            with self.assertDBusError('Busy'):
                self.method(self.attachment, 'Attachment', method)
        with self.assertDBusError('Busy'):
            self.snapshot()
        self.method(other, 'Attachment', 'HotUnplug')
        self.method(other, 'Attachment', 'HotPlug')
        self.assertEqual(self.get(job, 'Job', 'State'), 'running')

        self.method(job, 'Job', 'Cancel')
        with self.assertDBusError('Cancelled'):
            call.wait()
        self.assertIs(self.images()[1][2]['spoiled'], True)
        self.assertEqual(self.seen(), b'B')
        self.assert_disk_is(self.layers())
        self.assertNotIn('<mirror', self.machine.xml())
        self.write(b'C')
        self.merge(uid)
        self.assertEqual((self.seen(), self.on_lun()), (b'C', b'C'))
        self.assert_disk_is([])

    def job(self):
        jobs = self.lab.client.objects('Job')
        return next((path for path in jobs
                     if self.get(path, 'Job', 'Token') == 'slow'), None)
