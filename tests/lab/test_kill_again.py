# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is killed (see killwalk.py) while it rolls back or recovers from an earlier death, or
while libvirt is still at work for it."""

import pwd
import signal
import threading

import lab
import portals
from client import DBusError
from killwalk import Walk, deadline
from service import ROOT, object_path, vdisk_id


class KilledAgain(Walk):
    """The rollback of what failed is killed at each of its steps, and so is the recovery."""

    def start_and_die(self, point):
        """A start of the service that is killed while it recovers; whether it was."""
        self.lab.environment(DIRECTLUND_KILL_AT=point)
        try:
            pid = self.lab.start_daemon()
        except DBusError:  # it was killed before it had its name
            pid = None
        self.lab.environment()
        if pid is None:
            return True
        lab.wait_until(lambda: self.lab.owner_pid() != pid or self.is_settled(), 10,
                       'the point being passed, or the recovery being over')
        return self.lab.owner_pid() != pid

    def is_settled(self):
        try:
            return super().is_settled()
        except DBusError:  # it was just killed
            return False

    def recover(self, operation, call, back):
        """The call is killed when it has half changed the domain, and then the recovery at all of
        its points."""
        before = self.settled()
        waits = [point.split(':') for point in self.learn(call) if ':waiting:' in point]
        steps = [step for what, step, *_ in waits if what == operation]
        first = '%s:%s:after' % (operation, steps[-4])  # then live or metadata, look, settle
        after = self.settled()
        back()
        killed = 0
        for step in range(11):
            for when in ('before', 'waiting', 'after'):
                point = 'recover:%d:%s' % (step, when)
                with self.subTest(point):
                    self.assertEqual(self.settled(), before)
                    self.kill_at(first, call)
                    killed += self.start_and_die(point)
                    state = self.settled()
                    self.assertIn(state, (before, after))
                    self.assert_unnoticed()
                    if state == after:
                        back()
        self.assertGreater(killed, 16)

    @deadline(200)
    def test_attach(self):
        path = self.vm(self.running)
        device = {'GUID': self.guid, 'iface': 'scsi'}

        def back():
            self.detach_all(self.running)
            self.method(object_path('vdisks', vdisk_id(self.guid)), 'VDisk', 'Delete')

        self.recover('attach', lambda: self.call(
            path, 'Vm', 'AttachDisk', '(a{sv}a{sv})', device, {}), back)

    @deadline(200)
    def test_detach(self):
        device = {'GUID': self.guid, 'iface': 'scsi'}
        path = self.attach(self.running, device)
        self.recover('detach', lambda: self.method(path, 'Attachment', 'Detach'),
                     lambda: self.attach(self.running, device))

    @deadline(200)
    def test_rollback(self):
        """The portal lets nobody in but the service: all is checked and proven, and QEMU fails. By
        its name in the configuration, by its address in the running VM: two steps."""
        with open('/etc/hosts', 'a') as f:
            f.write('127.0.0.1 rollback.example.org\n')
        door = Door(('127.0.0.1', 3260))
        self.addCleanup(door.stop)
        three = self.lab.add_target('three')
        target = self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', three.iqn,
                           [('rollback.example.org', door.port, 1)], {})
        self.addCleanup(self.method, target, 'Target', 'Forget')
        self.method(target, 'Target', 'Connect')
        self.method(target, 'Target', 'Unmanage')
        path = self.vm(self.running)

        def attach():
            self.call(path, 'Vm', 'AttachDisk', '(a{sv}a{sv})',
                      {'GUID': three.luns[1].guid, 'iface': 'scsi'}, {})

        def call():
            with self.assertDBusError('LibvirtError'):
                attach()

        before = self.settled()
        points = [point for point in self.learn(call) if ':undo-' in point]
        self.assertGreater(len(points), 8)
        for point in points:
            with self.subTest(point):
                self.assertIs(self.kill_at(point, attach), False)
                self.assertEqual(self.settled(), before)
                self.assert_unnoticed()
        call()
        self.assertEqual(self.settled(), before)


class Door(portals.Relay):
    """Shut to everybody but the service."""

    def serve(self, connection):
        if portals.owner(connection) == pwd.getpwnam(lab.USER).pw_uid:
            super().serve(connection)


class Held(portals.Relay):
    """Holds one of the connections, by its number, until it is told to let go."""

    number = None

    def __init__(self, *arguments, **options):
        self.holds, self.goes_on = threading.Event(), threading.Event()
        super().__init__(*arguments, **options)

    def serve(self, connection):
        if self.total == self.number:
            self.holds.set()
            self.goes_on.wait(20)
        super().serve(connection)


class Late(Walk):
    """The service dies while libvirt is at work for it, and is back before that has ended."""

    def die(self, pending):
        self.lab.stop_daemon(signal.SIGKILL)
        with self.assertRaises(DBusError):
            pending.wait()
        self.lab.start_daemon()

    def test_unplug(self):
        """The guest releases the disk only then."""
        path = self.attach(self.running, {'GUID': self.guid})
        self.method(path, 'Attachment', 'HotUnplug')
        after = self.settled()
        self.method(path, 'Attachment', 'HotPlug')
        self.lab.virsh('suspend', 'running')
        pending = self.lab.client.start(path, lab.BUS_NAME + '.Attachment', 'HotUnplug', '(a{sv})',
                                        {})
        lab.wait_until(lambda: any(job['Phase'] == 'waiting for the guest'
                                   for job in self.lab.client.objects('Job').values()),
                       what='the guest being asked')
        self.die(pending)
        self.assertFalse(self.is_settled())
        self.lab.virsh('resume', 'running')
        self.assertEqual(self.settled(), after)

    def test_plug(self):
        """QEMU logs in to the portal only then."""
        held = Held(('127.0.0.1', 3260))
        self.addCleanup(held.stop)
        two = self.lab.add_target('two')
        target = self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', two.iqn,
                           [('127.0.0.1', held.port, 1)], {})
        self.method(target, 'Target', 'Connect')
        self.method(target, 'Target', 'Unmanage')
        self.create_vdisk(two.luns[1].guid)
        before = self.settled()
        start = held.total
        path = self.attach(self.running, {'GUID': two.luns[1].guid, 'iface': 'scsi'})
        connections = held.total - start
        after = self.settled()
        self.method(path, 'Attachment', 'Detach')
        self.assertEqual(self.settled(), before)
        held.number = held.total + connections
        pending = self.lab.client.start(self.vm(self.running), lab.BUS_NAME + '.Vm', 'AttachDisk',
                                        '(a{sv}a{sv})',
                                        {'GUID': two.luns[1].guid, 'iface': 'scsi'}, {})
        self.assertTrue(held.holds.wait(10))
        self.die(pending)
        self.assertFalse(self.is_settled())
        held.goes_on.set()
        self.assertEqual(self.settled(), after)
        self.assert_unnoticed()
