# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service dies in the middle of its work, at many moments: the next one finishes or undoes."""

import signal
import xml.etree.ElementTree

import lab
from client import DBusError
from service import TestCase

# Milliseconds after the call was sent; an attach takes some tens of them.
MOMENTS = (0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160)
METADATA = '{http://ovirt.org/directlun/1}'


class Crash(TestCase):
    minutes = 1

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('victim').start()

    def setUp(self):
        self.addCleanup(self.detach_all, self.machine)

    def kill_after(self, milliseconds, path, interface, method, signature, *values):
        """Starts a call and kills the service a moment later; whether the call had succeeded."""
        pending = self.lab.client.start(path, lab.BUS_NAME + '.' + interface, method, signature,
                                        *values)
        pid = self.lab.owner_pid()
        if pid:
            lab.wait_exit(pid, milliseconds / 1000)
        self.lab.stop_daemon(signal.SIGKILL)
        try:
            pending.wait(10)
            return True
        except DBusError:
            return False

    def settled(self, config=True):
        """The attachments of the VM, once all tell the same story. config False: the domain that
        the VM starts with next time may tell another one, until the call is repeated."""
        self.lab.start_daemon()
        vm = self.vm(self.machine)
        stories = {}
        try:
            lab.wait_until(lambda: self.agreed(vm, stories, config), 15, 'agreement')
        except AssertionError:
            self.fail('they do not tell the same story: %r' % stories)
        self.assert_consistent()
        return self.get(vm, 'Vm', 'Attachments')

    def agreed(self, vm, stories, config):
        """The live domain, the persistent one, the guest and the service tell the same story."""
        try:
            attachments = self.get(vm, 'Vm', 'Attachments')
            plugged = sum(self.get(a, 'Attachment', 'Plugged') for a in attachments)
        except DBusError:  # it is gone by now
            return False
        stories.update(service=(plugged, len(attachments)), live=self.disks_and_attachments(),
                       guest=(len(self.machine.guest.disks()), len(attachments)))
        if config:
            stories['config'] = self.disks_and_attachments('--inactive')
        return len(set(stories.values())) == 1

    def disks_and_attachments(self, *options):
        tree = xml.etree.ElementTree.fromstring(self.machine.xml(*options))
        return (len(tree.findall('devices/disk')),
                len(list(tree.iter(METADATA + 'attachment'))))

    def test_attach(self):
        guid = self.one.luns[1].guid
        seen = set()
        for moment in MOMENTS:
            with self.subTest(moment):
                self.connect(self.one)
                done = self.kill_after(moment, self.vm(self.machine), 'Vm', 'AttachDisk',
                                       '(a{sv}a{sv})', {'GUID': guid}, {})
                attachments = self.settled()
                seen.add(len(attachments))
                if done:
                    self.assertEqual(len(attachments), 1)
                for path in attachments:
                    self.method(path, 'Attachment', 'Detach')
                self.assertEqual(self.settled(), [])
        self.assertEqual(seen, {0, 1}, 'the moments were all too early, or all too late')

    def test_unplug_and_plug(self):
        self.connect(self.one)
        path = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        for moment in MOMENTS:
            for method, plugged in (('HotUnplug', False), ('HotPlug', True)):
                with self.subTest(method=method, moment=moment):
                    done = self.kill_after(moment, path, 'Attachment', method, '(a{sv})', {})
                    self.assertEqual(self.settled(config=done), [path])
                    if done:
                        self.assertIs(self.get(path, 'Attachment', 'Plugged'), plugged)
                    self.method(path, 'Attachment', method)
                    self.assertEqual(self.settled(), [path])
                    self.assertIs(self.get(path, 'Attachment', 'Plugged'), plugged)

    def detach_again(self, path):
        """What was begun before the kill may end before this does."""
        try:
            self.method(path, 'Attachment', 'Detach')
        except DBusError as e:
            self.assertTrue(e.name.endswith('.NotAttached'), e)

    def test_detach(self):
        for moment in MOMENTS[::2]:
            with self.subTest(moment):
                self.connect(self.one)
                path = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
                done = self.kill_after(moment, path, 'Attachment', 'Detach', '(a{sv})', {})
                attachments = self.settled(config=done)
                if done:
                    self.assertEqual(attachments, [])
                for path in attachments:
                    self.detach_again(path)
                self.assertEqual(self.settled(), [])
