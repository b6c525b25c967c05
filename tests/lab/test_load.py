# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many cycles, and many clients at once: everything ends as it began, and nothing is left behind in
the service, at the target, in libvirt or in the store. DL_LOAD_CYCLES makes it longer."""

import collections
import glob
import os
import random
import sqlite3
import time
import unittest

from gi.repository import GLib

import client
import lab
from service import TestCase, secret_fd

CYCLES = int(os.environ.get('DL_LOAD_CYCLES', '500'))
CLIENTS = 8
VMS = 4
GROWTH_MAX = 32 << 20        # of it the most is the sanitizer's
THREADS_MAX = 12            # the workers, the loop, libvirt's, and some to spare
ANSWER_DEADLINE = 60.0
PASSWORD = 'a-secret-of-the-load'
DATABASE = '/var/lib/directlun/directlun.db'
# What a client may be told when others work on the same disks and VMs.
COLLISIONS = {'AlreadyAttached', 'NotAttached', 'InUse', 'NotShareable', 'Busy', 'LibvirtError',
              'org.freedesktop.DBus.Error.UnknownObject'}


class Load(TestCase):
    alone = True
    cycles_wanted, warm_up, quarrels = CYCLES, 4, 12
    growth_max = GROWTH_MAX
    settings = {'Daemon': {'LogLevel': 'warning', 'JobLingerSec': '0'},
                'iSCSI': {'CheckIntervalSec': '1'}}

    @classmethod
    def prepare(cls):
        # Of what is freed, keep little back: its size is to be seen.
        cls.lab.environment(MORE_ASAN=':quarantine_size_mb=1')
        cls.one = cls.lab.add_target('one', luns=CLIENTS, size=1 << 20, user='reader',
                                     password=PASSWORD)
        cls.guids = [lun.guid for lun in cls.one.luns.values()]
        cls.machines = [cls.lab.define_vm('guest%d' % n) for n in range(VMS)]
        for machine in cls.machines:
            cls.lab.virsh('start', machine.name)
        for machine in cls.machines:
            machine.wait_booted()
        cls.clients = [client.Client() for _ in range(CLIENTS)]

    def run(self, result=None):
        self.result = result  # notes are told through it
        return super().run(result)

    def setUp(self):
        self.target_path = self.target(self.one)
        with secret_fd(PASSWORD) as fd:
            self.call(self.target_path, 'Target', 'SetCredentials', '(sha{sv})', 'reader', 0, {},
                      fds=(fd,))
        self.connect(self.one)
        self.vms = [self.vm(machine) for machine in self.machines]
        self.chance = random.Random(7)
        self.met = collections.Counter()

    # ---- what there is

    def objects(self):
        return sorted(path for path in self.lab.client.managed() if '/jobs/' not in path)

    def rows(self):
        database = sqlite3.connect('file:%s?mode=ro' % DATABASE, uri=True)
        try:
            return sorted(key for key, in database.execute('SELECT key FROM entry'))
        finally:
            database.close()

    def processes(self):
        """Descriptors of the service and of the VMs."""
        pid = self.lab.owner_pid()
        qemus = [open(path).read().strip() for path in sorted(glob.glob('/run/libvirt/qemu/*.pid'))]
        self.assertLessEqual(len(os.listdir('/proc/%d/task' % pid)), THREADS_MAX)
        return [len(os.listdir('/proc/%s/fd' % p)) for p in [pid, *qemus]]

    def size(self):
        with open('/proc/%d/statm' % self.lab.owner_pid()) as f:
            return int(f.read().split()[1]) * os.sysconf('SC_PAGESIZE')

    def secrets(self):
        return self.lab.virsh('secret-list').split()

    def settle(self):
        lab.wait_until(lambda: not self.lab.client.objects('Job'), 30, 'all jobs going')
        self.assert_consistent()

    # ---- clients at once

    def step(self, user, path, interface, method, signature, *values):
        """Part of a walk: a call, and what it answers; its error if others may cause it."""
        pending = user.start(path, lab.BUS_NAME + '.' + interface, method, signature, *values,
                             timeout=ANSWER_DEADLINE)
        while pending._result is None:
            yield
        try:
            reply = pending.wait()
        except client.DBusError as error:
            name = error.name.removeprefix(lab.BUS_NAME + '.Error.')
            self.met[name] += 1
            if name not in self.allowed:
                raise
            return None
        self.met['success'] += 1
        return reply

    def simple(self, user, path, method):
        return self.step(user, path, 'Attachment', method, '(a{sv})', {})

    def at_once(self, walks):
        context = GLib.MainContext.default()
        walks = list(walks)
        deadline = time.monotonic() + ANSWER_DEADLINE + self.cycles_wanted
        while walks:
            for walk in list(walks):
                try:
                    next(walk)
                except StopIteration:
                    walks.remove(walk)
            if walks:
                context.iteration(True)
            self.assertLess(time.monotonic(), deadline, 'a deadlock')

    def cycles(self, user, vm, guid, n):
        for _ in range(n):
            path, = yield from self.step(user, vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})', {
                'GUID': guid, 'plug': False, 'iface': self.chance.choice(('virtio', 'scsi'))}, {})
            yield from self.simple(user, path, 'HotPlug')
            yield from self.simple(user, path, 'HotUnplug')
            yield from self.simple(user, path, 'Detach')

    def test_cycles(self):
        """Each client has a LUN of its own, two of them a VM; neither minds the others."""
        self.allowed = ()
        walks = [(self.clients[n], self.vms[n % VMS], self.guids[n]) for n in range(CLIENTS)]
        self.at_once(self.cycles(*walk, self.warm_up) for walk in walks)
        self.settle()
        before = self.objects(), self.rows(), self.processes(), self.secrets()
        size, began = self.size(), time.monotonic()
        self.at_once(self.cycles(*walk, -(-self.cycles_wanted // CLIENTS)) for walk in walks)
        seconds = time.monotonic() - began
        self.settle()
        self.assertEqual((self.objects(), self.rows(), self.processes(), self.secrets()), before)
        grown = self.size() - size
        self.result.tell('note', self, '%d cycles of %d clients took %.0f s; grown by %d kB' % (
            self.cycles_wanted, CLIENTS, seconds, grown >> 10))
        self.assertLess(grown, self.growth_max)
        for machine in self.machines:
            self.assertEqual(machine.guest.disks(), {})
            self.assertNotIn('<disk ', machine.xml())

    # ---- the same disks and VMs

    def quarrel(self, user, n):
        for _ in range(n):
            vm, guid = self.chance.choice(self.vms[:2]), self.chance.choice(self.guids[:3])
            attached = yield from self.step(user, vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})',
                                            {'GUID': guid}, {})
            path = attached[0] if attached else self.chance.choice(self.seen or ['/'])
            if path == '/':
                continue
            self.seen = self.seen[-20:] + [path]
            for method in self.chance.sample(('HotUnplug', 'HotPlug', 'Detach'), 2):
                yield from self.simple(user, path, method)

    def test_quarrels(self):
        """All clients want the same three LUNs in the same two VMs: each is done or refused by name,
        and both ends agree all the time."""
        self.allowed, self.seen = COLLISIONS, []
        size = self.size()
        self.at_once(self.quarrel(user, self.quarrels) for user in self.clients)
        self.settle()
        self.result.tell('note', self, ', '.join('%d %s' % (n, name)
                                                 for name, n in self.met.most_common()))
        self.assertLess(self.size() - size, self.growth_max)
        for machine in self.machines[:2]:
            plugged = [p for p in self.lab.client.objects('Attachment').values()
                       if p['Plugged'] and p['Vm'] == self.vm(machine)]
            machine.guest.wait_disks(lambda disks: len(disks) == len(plugged))
            self.detach_all(machine)
            machine.guest.wait_disks(lambda disks: not disks)

    def tearDown(self):
        """When nobody wants anything any more, nothing is left anywhere."""
        for machine in self.machines:
            self.detach_all(machine)
        self.method(self.target_path, 'Target', 'Unmanage')
        self.one.tgtd.wait_for_sessions(self.one.tid, 0)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        self.method(self.target_path, 'Target', 'Forget')
        lab.wait_until(lambda: not self.rows(), what='the store being empty')
        self.assertEqual(self.secrets(), [])


@unittest.skipUnless('DL_RELEASE' in os.environ, 'no release build is given (DL_RELEASE)')
class Valgrind(Load):
    """The same, less often, with all memory watched that the service has through libvirt, libiscsi and
    GLib too, which no sanitizer does. What it finds is a complaint (see lab.complaints())."""

    cycles_wanted, warm_up, quarrels = 24, 1, 3
    growth_max = 256 << 20

    @classmethod
    def prepare(cls):
        cls.lab.binary = lambda: (
            'valgrind -q --leak-check=full --show-leak-kinds=definite '
            '--log-file=%s/sanitizer/valgrind.%%p %s/src/directlund'
            % (cls.lab.logs, os.environ['DL_RELEASE']))
        cls.lab._write_launcher()
        super().prepare()

    def setUp(self):
        super().setUp()
        self.assertIn('valgrind', os.readlink('/proc/%d/exe' % self.lab.owner_pid()))
