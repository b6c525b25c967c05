# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of a vDisk: snapshots, what they keep, what is refused; seen from the guest and on the
LUN."""

import glob
import os
import re

import lab
from gi.repository import GLib
from service import TestCase, object_path, vdisk_id

MIB = 1 << 20
INVALID = 'org.freedesktop.DBus.Error.InvalidArgs'
IMAGES = '/var/lib/libvirt/images/directlun'


class ImageCase(TestCase):
    """A vDisk of a VM, and short names for what is done to it."""

    settings = {'Images': {'FreeMinMiB': '16'}}
    agent = False  # in the guest

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', size=64 * MIB)
        cls.two = cls.lab.add_target('two', size=32 * MIB)
        cls.lun = cls.one.luns[1]
        cls.machine = cls.lab.define_vm('painter', agent=cls.agent)

    def setUp(self):
        self.connect(self.one)
        self.connect(self.two)
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.detach_all(self.machine)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete', force=True)
        self.assertEqual(self.files(), [])

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

    def revert(self, uid, **options):
        self.call(self.vdisk, 'VDisk', 'Revert', '(sa{sv})', uid, options)

    def stop_vm(self):
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')

    def assert_disk_is(self, files):
        """What the VM has, running and defined, and what is in the directory: these and no more."""
        xmls = [self.machine.xml('--inactive')]
        if self.machine.state() == 'running':
            xmls.append(self.machine.xml())
        for xml in xmls:
            found = re.findall(r"<source file='(%s/[^']*)'" % IMAGES, xml)
            self.assertEqual(found, list(reversed(files)))
            self.assertIn(self.lun.target.iqn + '/1', xml)
        self.assertEqual(self.files(), sorted(files))

    def assert_headers_say_nothing(self):
        """Of what is below: neither a portal nor a target."""
        for path in self.files():
            with open(path, 'rb') as f:
                header = f.read(65536)
            for word in (b'iscsi', self.one.iqn.encode(), b'127.0.0.1'):
                self.assertFalse(word in header, '%r is in the header of %s' % (word, path))

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
            'format': 'qcow2', 'current': True, 'file': details['file'],
            'parent': raw, 'quiesced': False, 'spoiled': False}))
        self.assertGreater(when, 1700000000 * 1000000)
        self.assertTrue(details['file'].startswith('%s/%s.' % (IMAGES, uid)))
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

        self.assert_headers_say_nothing()

        second = self.snapshot()
        self.write(b'D')
        self.assertEqual([i[1] for i in self.images()], [raw, uid, second])
        self.assertEqual((self.seen(), self.seen(8192), self.on_lun()), (b'D', b'C', b'A'))

        # stopped and started: the same images
        self.stop_vm()
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


class Refused(ImageCase):
    """What can have no snapshot says why, and is as before."""

    def refuse(self, name, *words, **options):
        before = self.machine.xml('--inactive'), self.images()
        with self.assertDBusError(name) as expected:
            self.snapshot(**options)
        for word in words:
            self.assertIn(word, expected.exception.message)
        self.assertEqual((self.machine.xml('--inactive'), self.images()), before)
        self.assertEqual(self.files(), [])

    def test_passthrough(self):
        self.attach_one(iface='scsi', device='lun')
        self.refuse('UnsupportedInterface', 'painter', 'device disk')

    def test_shared(self):
        self.attach_one(shared=True)
        self.refuse('NotShareable', 'painter', 'shared')

    def test_readonly(self):
        self.attach_one(readonly=True)
        self.refuse(INVALID, 'painter', 'read-only')

    def test_quiesce_without_an_agent(self):
        self.attach_one()
        self.run_vm()
        self.refuse(INVALID, 'agent', quiesce=True)

    def test_unreachable_lun(self):
        self.attach_one()
        tgtd = self.one.tgtd
        tgtd.remove_lun(self.one.tid, 1)
        self.addCleanup(tgtd.add_lun, self.one.tid, 1, self.lun.path, self.lun.size,
                        scsi_id='naa.' + self.lun.guid[1:], serial=self.lun.serial, vendor='LAB',
                        product='DISK')
        self.refuse('LunNotVisible', self.lun.guid)

    def test_no_such_image(self):
        self.attach_one()
        raw, = self.uids()
        for method, uid in (('Merge', 'none'), ('Merge', raw), ('Revert', 'none')):
            with self.assertDBusError(INVALID):
                self.call(self.vdisk, 'VDisk', method, '(sa{sv})', uid, {})

    def test_dry_run(self):
        self.attach_one()
        self.assertEqual(self.snapshot(**{'dry-run': True}), '')
        self.assertEqual((len(self.images()), self.files()), (1, []))

    def test_with_images_it_is_not_shared_nor_passed_through(self):
        self.attach_one()
        self.snapshot()
        self.detach_all(self.machine)
        for name, device in (('NotShareable', {'shared': True}),
                             ('UnsupportedInterface', {'iface': 'scsi', 'device': 'lun'})):
            with self.assertDBusError(name):
                self.attach(self.machine, {'GUID': self.lun.guid, **device})


class LimitedSpace(ImageCase):
    settings = {'Images': {'StackMax': '1', 'FreeMinMiB': '1048576'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.three = cls.lab.add_target('three', size=8 << 40)  # sparse

    def test_limits(self):
        self.attach_one()
        self.snapshot()
        with self.assertDBusError('LimitsExceeded'):
            self.snapshot()
        self.connect(self.three)
        path, _ = self.create_vdisk(self.three.luns[1].guid)
        with self.assertDBusError('LimitsExceeded') as expected:
            self.method(path, 'VDisk', 'Snapshot')
        self.assertIn(IMAGES, expected.exception.message)
        self.assertEqual(len(self.get(path, 'VDisk', 'Images')), 1)
        self.assertEqual(len(self.files()), 1)


class Revert(ImageCase):
    minutes = 2

    def test_of_a_stopped_vm(self):
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        self.stop_vm()
        first = self.snapshot()
        self.assert_disk_is(self.layers())
        self.run_vm()
        self.write(b'B')
        second = self.snapshot()
        self.write(b'C')
        for uid in (first, second):
            with self.assertDBusError('VmRunning'):
                self.revert(uid)
        self.stop_vm()

        self.revert(second)
        self.assertEqual(self.uids()[1:], [first, second])
        self.assert_disk_is(self.layers())
        self.run_vm()
        self.assertEqual((self.seen(), self.on_lun()), (b'B', b'A'))
        self.write(b'D')
        self.stop_vm()

        self.revert(first)
        self.assertEqual(self.uids()[1:], [first])
        self.assert_disk_is(self.layers())
        self.run_vm()
        self.assertEqual(self.seen(), b'A')
        self.write(b'E')
        self.assertEqual(self.on_lun(), b'A')
        self.stop_vm()

        self.revert(self.uids()[0])
        self.assert_disk_is([])
        self.run_vm()
        self.assertEqual(self.seen(), b'A')
        self.write(b'F')
        self.assertEqual(self.on_lun(), b'F')

    def test_without_a_vm(self):
        """A vDisk that no VM has; its images go with it from VM to VM."""
        self.vdisk, _ = self.create_vdisk(self.lun.guid)
        self.lun.write(0, b'A' * 4096)
        uid = self.snapshot()
        self.attach_one()
        self.assert_disk_is(self.layers())
        self.run_vm()
        self.write(b'B')
        self.assertEqual((self.seen(), self.on_lun()), (b'B', b'A'))
        self.stop_vm()
        self.detach_all(self.machine)
        with self.assertDBusError('InUse'):
            self.method(self.vdisk, 'VDisk', 'Delete')
        self.revert(uid)
        self.assertEqual(self.files(), self.layers())
        self.attach_one()
        self.run_vm()
        self.assertEqual(self.seen(), b'A')

    def test_unplugged_while_the_vm_runs(self):
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        uid = self.snapshot()
        self.write(b'B')
        self.method(self.attachment, 'Attachment', 'HotUnplug')
        self.revert(uid)
        self.method(self.attachment, 'Attachment', 'HotPlug')
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)
        self.assertEqual(self.seen(), b'A')


class OfAnotherVm(ImageCase):
    """What a vDisk was at a moment, read by another VM."""

    minutes = 2

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.reader = cls.lab.define_vm('reader').start()

    def clean(self):
        self.detach_all(self.reader)
        super().clean()

    def read_by_other(self):
        self.reader.guest.wait_disks(lambda disks: 'vda' in disks)
        return self.reader.guest.read('vda', 0, 512)[:1]

    def test_reads_a_moment(self):
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        first = self.snapshot()
        self.write(b'B')
        second = self.snapshot()
        self.write(b'C')
        device = {'GUID': self.lun.guid, 'image': second, 'readonly': True}
        for wrong in ({**device, 'readonly': False}, {**device, 'image': 'none'}):
            with self.assertDBusError(INVALID):
                self.attach(self.reader, wrong)
        with self.assertDBusError('NotShareable'):
            self.attach(self.reader, {'GUID': self.lun.guid, 'readonly': True})
        path = self.attach(self.reader, device)
        self.assertEqual(self.get(path, 'Attachment', 'Image'), second)
        self.assertEqual(self.read_by_other(), b'B')
        self.assertNotEqual(self.reader.guest.sh('echo x >/dev/vda')[0], 0)
        self.write(b'D')
        self.assertEqual((self.seen(), self.read_by_other()), (b'D', b'B'))

        # what it reads does not change
        for uid in (first, second):
            with self.assertDBusError('InUse') as expected:
                self.merge(uid)
            self.assertIn('reader', expected.exception.message)
        third = self.snapshot()
        self.merge(third)
        self.assertEqual(self.read_by_other(), b'B')

        # another moment
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'HotPlug', image=first)
        self.assertEqual(self.get(path, 'Attachment', 'Image'), first)
        self.assertEqual(self.read_by_other(), b'A')
        with self.assertDBusError(INVALID):
            self.method(self.attachment, 'Attachment', 'HotPlug', image=first)
        self.stop_vm()
        for uid in self.uids()[:1]:
            with self.assertDBusError('InUse'):
                self.revert(uid)
        self.revert(second)
        self.assertEqual(self.read_by_other(), b'A')
        self.assert_consistent()

    def test_run_with_a_moment(self):
        """Of a VM that reads; and one that was given another at its start."""
        self.attach_one()
        self.run_vm()
        uids = []
        for letter in (b'A', b'B'):
            self.write(letter)
            uids.append(self.snapshot())
        self.reader.guest.close()
        self.method(self.vm(self.reader), 'Vm', 'Stop')
        path = self.attach(self.reader, {'GUID': self.lun.guid, 'image': uids[0],
                                         'readonly': True})
        for uid, letter in (uids[1], b'B'), (uids[0], b'A'):
            self.call(self.vm(self.reader), 'Vm', 'Run', '(asa{sv})', [], {'image': uid})
            self.reader.wait_booted()
            self.assertEqual(self.read_by_other(), letter)
            self.assertEqual(self.get(path, 'Attachment', 'Image'), uid)
            self.reader.guest.close()
            self.method(self.vm(self.reader), 'Vm', 'Stop')
        with self.assertDBusError(INVALID):
            self.call(self.vm(self.reader), 'Vm', 'Run', '(asa{sv})', [], {'image': 'none'})
        self.method(path, 'Attachment', 'Detach')
        self.reader.start()

    def test_images_of_others(self):
        """What virsh has laid over the disk is neither lost nor hidden."""
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        file = '%s/foreign.qcow2' % IMAGES
        os.makedirs(IMAGES, exist_ok=True)
        dev = self.get(self.attachment, 'Attachment', 'TargetDev')
        self.lab.virsh('snapshot-create-as', self.machine.name, '--disk-only', '--no-metadata',
                       '--diskspec', '%s,snapshot=external,file=%s' % (dev, file))
        self.write(b'B')
        for method, path in (('HotUnplug', self.attachment), ('Detach', self.attachment)):
            with self.assertDBusError('InUse'):
                self.method(path, 'Attachment', method)
        with self.assertDBusError('InUse'):
            self.snapshot()
        self.assertEqual(self.seen(), b'B')
        self.lab.virsh('blockcommit', self.machine.name, dev, '--active', '--pivot', '--wait')
        os.unlink(file)
        self.snapshot()
        self.assertEqual((self.seen(), self.on_lun()), (b'B', b'B'))


Revert.test_of_a_stopped_vm.deadline = 240  # it starts the guest four times
