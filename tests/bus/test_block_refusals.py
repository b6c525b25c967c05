# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is refused by data path block, told over the bus: the kernel's devices that are not fit for a
VM, each with its typed error before anything has happened. The devices are blockhost.py's, libvirt is
real."""

import itertools
import json
from xml.etree import ElementTree

import blockhost
import client
import lab
import standin
from client import ROOT
from service import TestCase, object_path, vdisk_id

LUN_NOT_VISIBLE, GUID_MISMATCH = 5, 7  # src/util/error.h
PREFIX = lab.BUS_NAME + '.Error.'
INVALID_ARGS = 'org.freedesktop.DBus.Error.InvalidArgs'


class BlockRefusals(TestCase):
    numbers = itertools.count(1)
    settings = {'Paths': {'HelperSocket': standin.SOCKET}}

    @classmethod
    def prepare(cls):
        cls.off, cls.running = cls.lab.define_vm('off'), cls.lab.define_vm('running')
        cls.lab.virsh('start', 'running')
        cls.network = cls.lab.add_target('network', luns=1).luns[1]
        cls.helper = standin.StandIn()
        cls.addClassCleanup(cls.helper.end)
        cls.host = blockhost.BlockHost()
        cls.lab.environment(**blockhost.ENVIRONMENT)
        cls.lab.start_daemon()

    def setUp(self):
        self.helper.does[''] = standin.says(standin.reply())
        self.lun = self.host.add_lun(next(self.numbers))
        self.addCleanup(self.remove_lun)
        self.addCleanup(self.detach_all, self.running)
        self.addCleanup(self.detach_all, self.off)
        self.host.announce([self.lun])
        self.wait_dry('')

    def remove_lun(self):
        self.host.remove_lun(self.lun)
        self.host.announce([self.lun], 'remove')

    def attach_it(self, machine, device=(), **options):
        return self.attach(machine, {'GUID': self.lun.guid, 'iface': 'scsi', 'data-path': 'block',
                                     **dict(device)}, **options)

    def wait_dry(self, words, **device):
        """Until what the service knows makes it refuse with these words; '': take it."""
        said = ''

        def says_so():
            nonlocal said
            said = ''
            try:
                self.attach_it(self.off, device, force=not words, **{'dry-run': True})
            except client.DBusError as error:
                said = error.message
            return words in said and bool(words) == bool(said)
        lab.wait_until(says_so, 10, 'the refusal "%s" (instead of "%s")' % (words, said))

    def assert_refused(self, error, words, **device):
        """For a VM that runs and one that is off; nothing is left of it."""
        for machine in (self.off, self.running):
            with client.ExpectedError(self, error) as refused:
                self.attach_it(machine, device)
            self.assertIn(words, refused.exception.message)
            self.assertEqual(self.get(self.vm(machine), 'Vm', 'Attachments'), [])
            self.assertNotIn(self.lun.guid, machine.xml())
        described = json.loads(self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        self.assertEqual(described['open-intents'], 0)

    def announce(self):
        self.host.announce([self.lun], 'change')

    def set_all(self, devices, attribute, value):
        for device in devices:
            self.host.set(device, attribute, value)
        self.announce()

    # ---- what is wrong with the devices

    def test_devices(self):
        lun, node = self.lun, list(self.lun.map.links)
        for words, error, devices, attribute, value, good in (
                ('No path of this host', 'LunNotVisible', lun.disks, 'device/state', 'offline',
                 'running'),
                ('show different sizes', 'PathsInconsistent', [lun.map], 'size',
                 blockhost.SECTORS - 8, blockhost.SECTORS),
                ('write-protected', INVALID_ARGS, [lun.map], 'ro', 1, 0)):
            with self.subTest(words):
                self.set_all(devices, attribute, value)
                self.wait_dry(words)
                self.assert_refused(error if '.' in error else PREFIX + error, words)
                self.set_all(devices, attribute, good)
                self.wait_dry('')
        with self.subTest('no name'):
            self.host.rename(lun.map, [])
            self.announce()
            self.wait_dry('no name that is sure to stay')
            self.assert_refused(PREFIX + 'LunNotVisible', 'no name that is sure to stay')
            self.host.rename(lun.map, node)
            self.announce()
            self.wait_dry('')
        self.attach_it(self.off, force=True)  # the content cannot be read here
        self.assertIn("<source dev='%s'" % self.node(), self.off.xml('--inactive'))

    def node(self):
        return '/dev/disk/by-id/dm-uuid-mpath-' + self.lun.guid

    def test_images(self):
        """They lie over the block device; what would go past them is refused."""
        self.attach_it(self.off, force=True)
        vdisk = object_path('vdisks', vdisk_id(self.lun.guid))
        moment = self.method(vdisk, 'VDisk', 'Snapshot')
        self.addCleanup(self.method, vdisk, 'VDisk', 'Delete', force=True)
        (_, _, _), (_, uid, details) = self.get(vdisk, 'VDisk', 'Images')
        self.assertEqual(uid, moment)
        disk = ElementTree.fromstring(self.off.xml('--inactive')).find('devices/disk')
        self.assertEqual(disk.find('source').get('file'), details['file'])
        self.assertEqual(disk.find('backingStore').get('type'), 'block')
        self.assertEqual(disk.find('backingStore/source').get('dev'), self.node())
        self.detach_all(self.off)
        self.assert_refused(PREFIX + 'UnsupportedInterface', 'has images', device='lun')
        self.attach_it(self.off, {'image': uid, 'readonly': True}, force=True)
        disk = ElementTree.fromstring(self.off.xml('--inactive')).find('devices/disk')
        self.assertEqual(disk.find('source').get('dev'), self.node())
        self.assertIsNotNone(disk.find('readonly'))
        self.detach_all(self.off)

    def test_paths_without_a_map(self):
        self.host.remove_map(self.lun)
        self.wait_dry('no map of multipath')
        self.assert_refused(PREFIX + 'PathsInconsistent', 'no map of multipath')

    def test_held_by_this_host(self):
        self.host.add_mapping('busy', self.lun)
        self.announce()
        self.wait_dry('dm:busy')
        self.assert_refused(PREFIX + 'InUse', 'dm:busy')
        self.attach_it(self.off, force=True)
        with client.ExpectedError(self, PREFIX + 'NoHostAvailable') as refused:
            self.call(self.vm(self.off), 'Vm', 'Run', '(asa{sv})', [], {})  # which takes no force
        self.assertIn('dm:busy', refused.exception.message)
        self.assertEqual(self.off.state(), 'shut off')

    def test_who_has_it(self):
        """Not the kernel; and nobody else than the kernel."""
        with client.ExpectedError(self, PREFIX + 'LunNotFound'):
            self.attach_it(self.off, {'data-path': 'qemu'}, force=True)
        self.connect(self.network.target)
        for machine in (self.off, self.running):
            with client.ExpectedError(self, PREFIX + 'LunNotVisible'):
                self.attach_it(machine, {'GUID': self.network.guid})
            self.assertEqual(self.get(self.vm(machine), 'Vm', 'Attachments'), [])

    def test_paths_that_do_not_prove(self):
        """The helper is asked what each of them says now."""
        mismatch = standin.reply(GUID_MISMATCH, b'It says that it is another')
        asked = len(self.helper.asked)
        for does, error, words in (
                (standin.says(mismatch), 'GuidMismatch', 'It says that it is another'),
                (standin.says(standin.reply(LUN_NOT_VISIBLE, b'No answer')), 'LunNotVisible',
                 'No answer'),
                (standin.dies, 'ProtocolError', 'helper'),
                (standin.says(b'HTTP/1.1 200 OK'), 'ProtocolError', 'helper')):
            with self.subTest(error):
                self.helper.does[''] = does
                self.assert_refused(PREFIX + error, words, **{'data-path': 'block'})
        self.assertGreaterEqual(len(self.helper.asked) - asked, 4 * 2 * blockhost.PATHS)
        self.helper.does[''] = standin.says(standin.reply())
        self.attach_it(self.off, force=True)
