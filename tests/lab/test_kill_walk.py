# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is killed at every step of every flow that has side effects. The next one makes the
state either what it was before or what was asked for, and nothing is left over. Needs a build with
-Dtest-hooks=true.

A walk learns the points from a run without a kill, then takes them one by one. It starts from the
state before, and is back there at the end of each.
"""

import collections
import json
import pwd
import re
import signal
import sqlite3
import threading
import xml.etree.ElementTree

from gi.repository import GLib

import lab
import portals
from client import DBusError
from service import ROOT, TestCase, object_path, vdisk_id

ALIAS = 'ua-directlun-'
METADATA = '{http://ovirt.org/directlun/1}'
# Of what changes at every start, or says nothing of what was asked for.
VOLATILE = {'Targets', 'Address', 'LastError', 'Images', 'PortalStates', 'BootId', 'GuestCapacity',
            'ResizePending'}
SETTINGS = {'Daemon': {'JobLingerSec': '0.1'}, 'Libvirt': {'ReleaseTimeoutSec': '5'},
            'iSCSI': {'HoldTimeoutSec': '2'}}


class Walk(TestCase):
    """What a walk needs; the flows are below."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2)
        cls.running = cls.lab.define_vm('running').start()
        cls.stopped = cls.lab.define_vm('stopped')
        cls.guid = cls.one.luns[1].guid
        cls.qemu = cls.qemu_pid()
        cls.log = cls.lab.logs + '/directlund.log'
        cls.target_path = object_path('targets', cls.one.iqn)

    def setUp(self):
        self.connect(self.one)
        self.method(self.target_path, 'Target', 'Unmanage')
        self.addCleanup(self.clean)

    def clean(self):
        self.lab.environment()
        for vm in (self.running, self.stopped):
            self.detach_all(vm)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        self.method(self.target_path, 'Target', 'Unmanage')

    @classmethod
    def qemu_pid(cls):
        with open('/run/libvirt/qemu/running.pid') as f:
            return int(f.read())

    # ---- the state

    def rows(self):
        """The store, without what is only a cache of the targets' answers."""
        with sqlite3.connect('file:/var/lib/directlun/directlun.db?mode=ro', uri=True) as store:
            found = store.execute('SELECT key, value FROM entry').fetchall()
        rows = {key: json.loads(value) for key, value in found if not key.startswith('lun/')}
        for value in rows.values():
            value.pop('images', None)
        return rows

    def libvirt(self):
        """What libvirt has, at once: (VM, persistent) → the disks and our metadata; 'secrets'."""
        which = [(vm.name, options) for vm in (self.running, self.stopped)
                 for options in ('', ' --inactive')]
        said = self.lab.virsh('; '.join('dumpxml ' + name + options for name, options in which) +
                              '; secret-list')
        *domains, listed = said.split('</domain>')
        found = {(name, bool(options)): self.domain(text + '</domain>')
                 for (name, options), text in zip(which, domains)}
        found['secrets'] = listed.strip()
        return found

    @staticmethod
    def domain(text):
        tree = xml.etree.ElementTree.fromstring(text)
        disks = []
        for disk in tree.findall('devices/disk'):
            alias = disk.find('alias').get('name') if disk.find('alias') is not None else ''
            if alias.startswith(ALIAS):
                disks.append((alias, disk.find('target').get('dev'),
                              disk.find('source').get('name'), disk.findtext('serial')))
        attachments = [sorted(element.attrib.items())
                       for element in tree.iter(METADATA + 'attachment')]
        return sorted(disks), sorted(attachments)

    def objects(self):
        found = {}
        for path, interfaces in self.lab.client.managed().items():
            for interface, properties in interfaces.items():
                kind = interface.rpartition('.')[2]
                if kind in ('Job', 'Host', 'Lun') or not interface.startswith(lab.BUS_NAME):
                    continue
                found[path] = {name: sorted(value) if isinstance(value, list) else value
                               for name, value in properties.items() if name not in VOLATILE}
        return found

    def snapshot(self):
        return {'rows': self.rows(), 'objects': self.objects(), 'libvirt': self.libvirt()}

    def is_settled(self):
        described = json.loads(self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        known = {vm['uuid'] for vm in described['vms']}
        return (described['libvirt'] and described['open-intents'] == 0 and
                known.issuperset(vm.uuid for vm in (self.running, self.stopped)) and
                all(job['state'] != 'running' for job in described['jobs']) and
                all(vm['state'] in ('running', 'shutoff') for vm in described['vms']) and
                all(target['state'] == ('connected' if target['managed'] else 'disconnected')
                    for target in described['targets']) and
                self.are_written(described['targets'], self.rows()))

    @staticmethod
    def are_written(targets, rows):
        """Rows of targets are written behind; one that says what was is on its way."""
        return (not any(key.startswith('intent/') for key in rows) and
                all(rows.get('target/' + target['iqn'], {}).get(row) == target.get(member)
                    for target in targets
                    for row, member in (('pinned', 'pinned'),
                                        ('data-path-why', 'data-path-reason'))))

    def settled(self):
        lab.wait_until(self.is_settled, 15, 'the work being settled')
        state = self.snapshot()
        self.assert_consistent()
        self.assert_one_story(state)
        return state

    def assert_one_story(self, state):
        """libvirt and the objects agree, and no disk is without its attachment."""
        for vm in (self.running, self.stopped):
            live, persistent = (state['libvirt'][vm.name, p] for p in (False, True))
            path = object_path('vms', vm.uuid)
            attachments = [state['objects'][a] for a in state['objects'][path]['Attachments']]
            known = {ALIAS + vdisk_id(a['Guid']): a['Plugged'] for a in attachments}
            self.assertEqual(live[1], persistent[1])
            self.assertEqual(len(live[1]), len(attachments))
            for disks in (live[0], persistent[0]):
                self.assertLessEqual({disk[0] for disk in disks}, set(known))
            if state['objects'][path]['State'] == 'running':
                self.assertEqual({alias for alias, plugged in known.items() if plugged},
                                 {disk[0] for disk in live[0]})

    def assert_unnoticed(self):
        self.assertEqual(self.qemu_pid(), self.qemu)
        self.running.guest.check('true', 10)

    # ---- the walk

    def restart(self, **variables):
        self.lab.stop_daemon(signal.SIGKILL)
        self.lab.environment(**variables)
        pid = self.lab.start_daemon()
        self.lab.environment()
        return pid

    def learn(self, call):
        """The points that the call passes, as WHAT:INDEX:WHEN:N."""
        with open(self.log, 'rb') as f:
            start = f.seek(0, 2)
        self.restart(DIRECTLUND_KILL_AT='list')
        lab.wait_until(self.is_settled, what='the start being over')
        with open(self.log, 'rb') as f:
            begun = f.seek(0, 2)
        call()
        with open(self.log, 'rb') as f:
            f.seek(start)
            before = f.read(begun - start).decode(errors='replace')
            during = f.read().decode(errors='replace')
        times = collections.Counter(self.points(before))
        passed = []
        for point in self.points(during):
            times[point] += 1
            passed.append('%s:%d' % (point, times[point]))
        return list(self.without_repeats(passed))

    @staticmethod
    def points(text):
        return [p for p in re.findall(r'kill point (\S+:\d+:[a-z-]+)', text)
                if not p.startswith(('lun:', 'removal:'))]

    @staticmethod
    def without_repeats(points):
        """Between the end of a step and the beginning of the next nothing happens."""
        last = ''
        for point in points:
            if not (':after:' in last and ':before:' in point or
                    ':undo-after:' in last and ':undo-before:' in point):
                yield point
            last = point

    def kill_at(self, point, call):
        """The call, with a service that dies at the point; whether the call was answered well."""
        pid = self.restart(DIRECTLUND_KILL_AT=point)
        try:
            call()
            answered = True
        except DBusError as error:
            self.assertIn(error.name, ('org.freedesktop.DBus.Error.NoReply',
                                       'org.freedesktop.DBus.Error.ServiceUnknown'))
            answered = False
        if not lab.wait_exit(pid, 10):
            # what a step waits for (the proof, which begins early) may be there before it
            self.assertTrue(answered and ':waiting:' in point, 'it did not pass the point')
        return answered

    def walk(self, call, back, repeated=()):
        """Every point of the call. back: from the state after it to the one before; repeated: the
        errors that a repeat may bring where the work is done already."""
        before = self.settled()
        points = self.learn(call)
        self.assertGreater(len(points), 1, 'the build has no test hooks')
        after = self.settled()
        self.assertNotEqual(before, after)
        back()
        seen = collections.Counter()
        for point in points:
            with self.subTest(point):
                self.assertEqual(self.settled(), before)
                answered = self.kill_at(point, call)
                state = self.settled()
                self.assert_unnoticed()
                if answered or state != before:
                    self.assertEqual(state, after)
                seen['after' if state == after else 'before'] += 1
                self.repeat(call, repeated if state == after else ())
                self.assertEqual(self.settled(), after)
            back()
        print('%s: %d points, %s' % (self.id(), len(points), dict(seen)), flush=True)
        return points

    def repeat(self, call, errors):
        try:
            call()
        except DBusError as error:
            self.assertIn(error.name.rpartition('.')[2], errors, error.message)


def deadline(seconds):
    def mark(function):
        function.deadline = seconds
        return function
    return mark


class KillWalk(Walk):
    minutes = 5

    def attachment(self, vm):
        path, = self.get(self.vm(vm), 'Vm', 'Attachments')
        return path

    def act(self, vm, method):
        """A method of the only attachment of a VM."""
        self.method(self.attachment(vm), 'Attachment', method)

    def walk_attach(self, vm, new, **device):
        path = self.vm(vm)
        device = {'GUID': self.guid, 'iface': 'scsi', **device}

        def back():
            self.act(vm, 'Detach')
            if new:
                self.method(object_path('vdisks', vdisk_id(self.guid)), 'VDisk', 'Delete')

        if not new:
            self.create_vdisk(self.guid)
        self.walk(lambda: self.call(path, 'Vm', 'AttachDisk', '(a{sv}a{sv})', device, {}), back,
                  ('AlreadyAttached',))

    @deadline(300)
    def test_attach_and_plug(self):
        self.walk_attach(self.running, True)

    @deadline(300)
    def test_attach_and_plug_an_existing_vdisk(self):
        self.walk_attach(self.running, False, iface='virtio')

    @deadline(300)
    def test_attach_without_plug(self):
        self.walk_attach(self.running, True, plug=False)

    @deadline(300)
    def test_attach_to_a_stopped_vm(self):
        self.walk_attach(self.stopped, True)

    @deadline(300)
    def test_hot_plug(self):
        self.attach(self.running, {'GUID': self.guid, 'iface': 'scsi', 'plug': False})
        self.act(self.running, 'HotPlug')
        self.act(self.running, 'HotUnplug')
        self.walk(lambda: self.act(self.running, 'HotPlug'),
                  lambda: self.act(self.running, 'HotUnplug'))

    @deadline(300)
    def test_hot_unplug(self):
        self.attach(self.running, {'GUID': self.guid, 'iface': 'virtio'})
        self.walk(lambda: self.act(self.running, 'HotUnplug'),
                  lambda: self.act(self.running, 'HotPlug'))

    def walk_detach(self, vm, **device):
        path = self.attach(vm, {'GUID': self.guid, 'iface': 'scsi', **device})
        self.walk(lambda: self.method(path, 'Attachment', 'Detach'),
                  lambda: self.attach(vm, {'GUID': self.guid, 'iface': 'scsi', **device}),
                  ('UnknownObject', 'UnknownMethod', 'NotAttached'))

    @deadline(300)
    def test_detach(self):
        self.walk_detach(self.running)

    @deadline(300)
    def test_detach_what_is_not_plugged(self):
        self.walk_detach(self.running, plug=False)

    @deadline(300)
    def test_detach_from_a_stopped_vm(self):
        self.walk_detach(self.stopped)

    @deadline(300)
    def test_create_vdisk(self):
        self.walk(lambda: self.create_vdisk(self.guid, alias='named'),
                  lambda: self.method(object_path('vdisks', vdisk_id(self.guid)), 'VDisk',
                                      'Delete'))

    @deadline(300)
    def test_storage_domain(self):
        path = object_path('luns', self.guid)
        for there, back in (('ClaimForStorageDomain', 'ReleaseStorageDomain'),
                            ('ReleaseStorageDomain', 'ClaimForStorageDomain')):
            self.walk(lambda: self.call(path, 'Lun', there, '(sa{sv})', 'domain-1', {}),
                      lambda: self.call(path, 'Lun', back, '(sa{sv})', 'domain-1', {}))
            self.call(path, 'Lun', 'ClaimForStorageDomain', '(sa{sv})', 'domain-1', {})
        self.call(path, 'Lun', 'ReleaseStorageDomain', '(sa{sv})', 'domain-1', {})

    @deadline(300)
    def test_connect_with_pin(self):
        self.walk(lambda: self.method(self.target_path, 'Target', 'Connect', pin=True),
                  lambda: self.method(self.target_path, 'Target', 'Unmanage'))

    @deadline(300)
    def test_unmanage(self):
        self.method(self.target_path, 'Target', 'Connect', pin=True)
        self.walk(lambda: self.method(self.target_path, 'Target', 'Unmanage'),
                  lambda: self.method(self.target_path, 'Target', 'Connect', pin=True))

    def run_vm(self):
        self.call(self.vm(self.stopped), 'Vm', 'Run', '(asa{sv})', [], {})

    def stop_vm(self):
        self.method(self.vm(self.stopped), 'Vm', 'Stop')

    @deadline(300)
    def test_run(self):
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.walk(self.run_vm, self.stop_vm, ('VmRunning',))

    @deadline(300)
    def test_run_after_the_lun_has_moved(self):
        """The persistent domain names the old number; it must never be without the disk."""
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.addCleanup(self.move, 9, 1)
        before = self.settled()['libvirt']
        self.move(1, 9)
        points = self.learn(self.run_vm)
        self.stop_vm()
        after = self.settled()['libvirt']
        self.assertNotEqual(before, after)
        for point in points:
            with self.subTest(point):
                self.move(9, 1)
                self.run_vm()
                self.stop_vm()
                self.assertEqual(self.settled()['libvirt'], before)
                self.move(1, 9)
                self.kill_at(point, self.run_vm)
                self.settled()
                self.stop_vm()
                self.assertIn(self.settled()['libvirt'], (before, after))
                self.run_vm()
                self.stop_vm()
                self.assertEqual(self.settled()['libvirt'], after)

    def move(self, old, new):
        lun, tgtd, tid = self.one.luns[1], self.one.tgtd, self.one.tid
        tgtd.remove_lun(tid, old)
        tgtd.add_lun(tid, new, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                     serial=lun.serial, vendor='LAB', product='DISK')

    @deadline(300)
    def test_stop(self):
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.run_vm()
        self.walk(self.stop_vm, self.run_vm)


class Resize(Walk):
    """A LUN has grown; nothing is journalled, and what the guest was not told yet the next refresh
    tells it."""

    settings = {**SETTINGS, 'iSCSI': {'HoldTimeoutSec': '2', 'CheckIntervalSec': '600'}}

    def grow(self):
        lun, tgtd = self.one.luns[1], self.one.tgtd
        tgtd.remove_lun(self.one.tid, lun.number)
        lun.size += 1 << 20
        tgtd.add_lun(self.one.tid, lun.number, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                     serial=lun.serial, vendor='LAB', product='DISK')

    def seen(self):
        (size, _), = self.running.guest.disks().values()
        return size

    @deadline(300)
    def test_grown_lun(self):
        self.attach(self.running, {'GUID': self.guid})
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        lun, path = self.one.luns[1], object_path('luns', self.guid)
        before = self.settled()

        def refresh():
            self.method(path, 'Lun', 'Refresh')

        self.grow()
        points = self.learn(refresh)
        self.assertEqual({point.split(':')[0] for point in points} - {'check'},
                         {'device-list', 'resize'})
        self.assertEqual(self.seen(), lun.size)
        for point in points:
            with self.subTest(point):
                old = lun.size
                self.grow()
                if self.kill_at(point, refresh):
                    self.restart()  # it may pass the point yet
                self.assertEqual(self.settled(), before)
                self.assert_unnoticed()
                self.assertIn(self.seen(), (old, lun.size))
                refresh()
                self.assertEqual(self.seen(), lun.size)
                self.assertEqual(self.get(path, 'Lun', 'Capacity'), lun.size)
        self.assertEqual(self.settled(), before)


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
