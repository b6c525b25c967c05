# SPDX-License-Identifier: LGPL-2.1-or-later
"""Killing the service at every step of a flow that has side effects. The next one makes the state
either what it was before or what was asked for, and nothing is left over. Needs a build with
-Dtest-hooks=true.

A walk learns the points from a run without a kill, then takes them one by one. It starts from the
state before, and is back there at the end of each.
"""

import collections
import json
import re
import signal
import sqlite3
import xml.etree.ElementTree

import lab
from client import DBusError
from service import ROOT, TestCase, object_path, vdisk_id

ALIAS = 'ua-directlun-'
METADATA = '{http://ovirt.org/directlun/1}'
# Of what changes at every start, or says nothing of what was asked for.
VOLATILE = {'Targets', 'Address', 'LastError', 'Images', 'PortalStates', 'BootId', 'GuestCapacity',
            'ResizePending'}
SETTINGS = {'Daemon': {'JobLingerSec': '0.1'}, 'Libvirt': {'ReleaseTimeoutSec': '5'},
            'iSCSI': {'HoldTimeoutSec': '2'}}


def deadline(seconds):
    def mark(function):
        function.deadline = seconds
        return function
    return mark


class Walk(TestCase):
    """The service, a target, and two VMs: what is to be as it was."""

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

    def attachment(self, vm):
        path, = self.get(self.vm(vm), 'Vm', 'Attachments')
        return path

    def act(self, vm, method):
        """A method of the only attachment of a VM."""
        self.method(self.attachment(vm), 'Attachment', method)

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
