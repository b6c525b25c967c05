# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls that no client would make, to every method and property of every object, by root and by an
ordinary user: each is answered, in time, by a result of the documented type or a documented error,
and the service is as well as before. The seed is told; DL_FUZZ_SEED repeats a run, DL_FUZZ_ROUNDS
makes it longer."""

import collections
import contextlib
import glob
import os
import random
import re
import signal
import time
import xml.etree.ElementTree

from gi.repository import Gio, GLib

import caller
import client
import dbusfuzz
import lab
from client import ROOT

SEED = int(os.environ.get('DL_FUZZ_SEED', '20261122'))
ROUNDS = int(os.environ.get('DL_FUZZ_ROUNDS', '1'))
CALLS = 1200                # of one user in a round
AT_ONCE = 12
ANSWER_DEADLINE = 40.0      # of a call that may log in somewhere
PING_DEADLINE = 3.0         # of the whole service, whatever it is asked meanwhile
HUNG = 15.0                 # then it is not slow
GROWTH_MAX = 48 << 20
KINDS = ('s', 'b', 'u', 't', 'i', 'o', 'h', 'as', 'ao', 'a{sv}')
STANDARD_ERRORS = {'org.freedesktop.DBus.Error.' + name for name in (
    'InvalidArgs', 'AccessDenied', 'InteractiveAuthorizationRequired', 'UnknownMethod',
    'UnknownObject', 'UnknownInterface', 'UnknownProperty', 'PropertyReadOnly')}
DOCUMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../dbus-interfaces/*.xml')


def documented():
    """What the interfaces' documents call "name" (type): name → type. Not what waits for a guest to
    shut down, for this one never does."""
    options = {}
    for path in glob.glob(DOCUMENTS):
        with open(path) as f:
            options.update(re.findall(r'"([\w-]{1,40})"\s+\(([a-z{}]+)', f.read()))
    return {name: kind for name, kind in options.items() if kind in KINDS and name != 'graceful'}


class Member:
    def __init__(self, path, interface, name, inputs, outputs):
        self.path, self.interface, self.name = path, interface, name
        self.inputs, self.outputs = inputs, outputs

    def __repr__(self):
        return '%s %s.%s%s' % (self.path, self.interface, self.name, self.inputs)


class Answer:
    """A call under way, and what came of it."""

    def __init__(self, user, member, arguments, fds):
        self.member, self.arguments = member, arguments
        self.done, self.error, self.reply = False, None, None
        fd_list = Gio.UnixFDList.new()
        for fd in fds:
            fd_list.append(fd)
        user._bus.call_with_unix_fd_list(
            lab.BUS_NAME, member.path, member.interface, member.name, arguments, None,
            Gio.DBusCallFlags.NONE, int(ANSWER_DEADLINE * 1000), fd_list, None, self._finish)

    def _finish(self, connection, result):
        self.done = True
        try:
            self.reply = connection.call_with_unix_fd_list_finish(result)[0]
        except GLib.Error as error:
            self.error = client._error(error)

    def __str__(self):
        return '%r with %s: %s' % (self.member, self.arguments.print_(True)[:600],
                                   self.error or self.reply)


class Fuzz(caller.TestCase):
    alone = True
    settings = {'iSCSI': {'ConnectTimeoutSec': '1', 'LoginTimeoutSec': '1',
                          'CommandTimeoutSec': '1', 'ResolveTimeoutSec': '1'},
                'Daemon': {'JobLingerSec': '1', 'LogLevel': 'warning', 'SecretTimeoutSec': '1'},
                'Libvirt': {'ReleaseTimeoutSec': '1'}}

    @classmethod
    def prepare(cls):
        # Of what is freed, keep little back: its size is to be seen.
        cls.lab.environment(MORE_ASAN=':quarantine_size_mb=4:handle_abort=1')
        super().prepare()
        cls.second = cls.lab.add_target('two', user='reader', password='secret-of-two')
        cls.running = cls.lab.define_vm('running').start()
        cls.lab.client.call(ROOT, 'Manager', 'GetVm', '(s)', 'running')
        cls.errors = STANDARD_ERRORS | {
            '%s.Error.%s' % (lab.BUS_NAME, name) for name in cls.names_of_errors()}

    @classmethod
    def names_of_errors(cls):
        with open(os.path.join(os.path.dirname(DOCUMENTS), '../src/util/error.c')) as f:
            return set(re.findall(r'"([A-Z]\w+)"', f.read())) - {'Failed'}

    def run(self, result=None):
        self.result = result  # notes are told through it
        return super().run(result)

    def setUp(self):
        self.chance = random.Random(SEED)
        self.descriptors = dbusfuzz.Descriptors('/tmp')
        self.addCleanup(self.descriptors.close)
        self.problems = []
        self.slowest = (0.0, [])
        self.met = collections.Counter()

    # ---- what can be called

    def members(self):
        """Every method of every object, as introspection tells them."""
        found = []
        for path in [ROOT, *self.lab.client.managed()]:
            try:
                tree = xml.etree.ElementTree.fromstring(self.lab.client.introspect(path))
            except client.DBusError:  # gone since
                continue
            for interface in tree.findall('interface'):
                for method in interface.findall('method'):
                    signature = {'in': '(', 'out': '('}
                    for arg in method.findall('arg'):
                        signature[arg.get('direction', 'in')] += arg.get('type')
                    found.append(Member(path, interface.get('name'), method.get('name'),
                                        signature['in'] + ')', signature['out'] + ')'))
        return found

    def words(self):
        objects = self.lab.client.managed()
        own = {value for interfaces in objects.values() for properties in interfaces.values()
               for value in properties.values() if isinstance(value, str) and value}
        properties = {name for interfaces in objects.values() for properties in interfaces.values()
                      for name in properties}
        return sorted(own | properties)

    def values(self):
        return dbusfuzz.Values(self.chance, documented(), self.words(),
                               [ROOT, *self.lab.client.managed()], self.descriptors.open)

    # ---- calling it

    def call_of(self, values, members):
        own = [m for m in members if m.interface.startswith(lab.BUS_NAME)]
        member = self.chance.choice(own if self.chance.random() < 0.7 else members)
        values.begin()
        what = self.chance.random()
        if what < 0.80:
            arguments = values.make(member.inputs)
        elif what < 0.90:
            arguments = values.make(values.signature())
        else:
            path = self.chance.choice((values.path(), member.path, ROOT + '/vms/_', ROOT + '/jobs'))
            name = self.chance.choice((member.name, 'Fly', 'Get'))
            interface = self.chance.choice((member.interface, client.PROPERTIES, 'a.b'))
            member = Member(path, interface, name, '', None)
            arguments = values.make(values.signature())
        return member, arguments, list(values.fds)

    def judge(self, answer):
        self.met[answer.error.name if answer.error else 'success'] += 1
        if answer.error:
            if answer.error.name not in self.errors and len(self.problems) < 10:
                self.problems.append(str(answer))
            return
        wanted = answer.member.outputs
        if wanted is not None and answer.reply.get_type_string() != wanted:
            self.problems.append('%s is not %s' % (answer, wanted))

    def ping(self, answers):
        """How long anybody else waits."""
        began = time.monotonic()
        try:
            self.lab.client.call(ROOT, client.PROPERTIES, 'GetAll', '(s)', lab.MANAGER,
                                 timeout=HUNG)
        except client.DBusError as error:
            os.kill(self.pid, signal.SIGABRT)  # the sanitizer tells where it is
            lab.wait_exit(self.pid)
            self.fail('seed %d: %s; under way: %s' % (SEED, error, [str(a) for a in answers]))
        self.slowest = max(self.slowest, (time.monotonic() - began,
                                          [repr(a.member) for a in answers]))

    def wait(self, answers, room):
        """Until less than so many are under way; those."""
        context = GLib.MainContext.default()
        deadline = time.monotonic() + ANSWER_DEADLINE
        while len(answers) > room:
            context.iteration(False) or time.sleep(0.001)
            for answer in [a for a in answers if a.done]:
                answers.remove(answer)
                self.judge(answer)
            if time.monotonic() > deadline:
                self.fail('no answer: %s' % [str(a) for a in answers])

    def restore(self):
        """There is something of everything again, whatever was forgotten or detached."""
        for path, interface, method, signature, *values in (
                (ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', '127.0.0.1', 3260, {}),
                (self.target, 'Target', 'Connect', '(a{sv})', {'pin': True}),
                (ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', self.guid, {}),
                (self.vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})', {'GUID': self.guid}, {})):
            with contextlib.suppress(client.DBusError):
                self.call(path, interface, method, signature, *values)

    def shoot(self, user, calls):
        members = values = None
        answers = []
        for n in range(calls):
            if n % 100 == 0:
                self.restore()
                members, values = self.members(), self.values()
            answers.append(Answer(user, *self.call_of(values, members)))
            self.wait(answers, AT_ONCE - 1)
            if n % 20 == 0:
                self.ping(answers)
        self.wait(answers, 0)
        self.ping([])

    # ---- how it is

    def size(self):
        with open('/proc/%d/statm' % self.pid) as f:
            return int(f.read().split()[1]) * os.sysconf('SC_PAGESIZE')

    def descriptors_of(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def state(self):
        return {path: value for path, value in self.lab.client.managed().items()
                if '/jobs/' not in path}

    def idle(self):
        jobs = self.lab.client.objects('Job').values()
        return all(job['State'] != 'running' for job in jobs)

    def fuzz(self, user):
        self.pid = self.lab.owner_pid()
        self.shoot(user, 100)  # what is allocated once
        lab.wait_until(self.idle, 60, 'all jobs ending')
        size, fds = self.size(), self.descriptors_of()
        for _ in range(ROUNDS):
            self.shoot(user, CALLS)
        lab.wait_until(self.idle, 60, 'all jobs ending')
        self.assertEqual(self.lab.owner_pid(), self.pid, 'it crashed')
        self.assertEqual(self.problems, [], 'seed %d' % SEED)
        self.assertLess(self.slowest[0], PING_DEADLINE, self.slowest[1])
        self.assertLess(self.size() - size, GROWTH_MAX, 'seed %d' % SEED)
        lab.wait_until(lambda: self.descriptors_of() <= fds + 2, 10, 'its descriptors being closed')
        self.assert_consistent()
        met = ('%d %s' % (n, name.rpartition('.')[2]) for name, n in self.met.most_common())
        self.result.tell('note', self, 'seed %d: slowest ping %.2f s, grown by %d kB; %s' % (
            SEED, self.slowest[0], (self.size() - size) >> 10, ', '.join(met)))

    def test_an_ordinary_user(self):
        self.restore()
        before = self.state()
        self.fuzz(self.nobody)
        self.assertEqual(self.state(), before)

    def test_root(self):
        self.fuzz(self.root)

    test_an_ordinary_user.deadline = test_root.deadline = 120 * ROUNDS
