# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of calls and of the process: limits, order of signals, clients that go, idle exits."""

import collections
import os
import random
import signal
import time

from gi.repository import GLib

import caller
import client
import lab
from caller import Caller, QuietTestCase, dictionary
from client import ROOT
from service import SilentPortal

LIMITS_EXCEEDED = lab.BUS_NAME + '.Error.LimitsExceeded'


def discovery(port, *options):
    return caller.arguments(GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', port),
                            dictionary(*options))


class Calls(QuietTestCase):
    services = ('bus', 'polkit')
    settings = {'Daemon': {'JobsPerClientMax': '4'},
                'iSCSI': {'ConnectTimeoutSec': '30', 'LoginTimeoutSec': '30'}}

    @classmethod
    def prepare(cls):
        cls.lab.start_daemon()
        cls.root, cls.other, cls.nobody = Caller(), Caller(), Caller('nobody')

    def begin(self, user, portal, *options):
        return user.begin(ROOT, 'Manager', 'DiscoverTargets', discovery(portal.port, *options))

    def job(self, token):
        return next((path for path, p in self.lab.client.objects('Job').items()
                     if p['Token'] == token), None)

    def cancel(self, path):
        self.method(path, 'Job', 'Cancel')

    def test_limits(self):
        silent = caller.arguments(dictionary())
        with SilentPortal() as portal:
            pending = [self.begin(self.root, portal, ('job-token', str(n))) for n in range(4)]
            jobs = [lab.wait_until(lambda: self.job(str(n)), what='a job') for n in range(4)]
            for user in self.root, self.other:
                self.assertEqual(user.error_of(ROOT, 'Manager', 'GetDeviceList', silent),
                                 LIMITS_EXCEEDED)
            self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList', silent), '')
            self.assertFalse(any(p.done for p in pending))
            self.assertEqual(self.root.error_of(jobs[0], 'Job', 'Cancel', silent), '')
            with self.assertDBusError('Cancelled'):
                pending[0].wait(5)
            self.assertEqual(self.other.error_of(ROOT, 'Manager', 'GetDeviceList', silent), '')
            for path, p in zip(jobs[1:], pending[1:]):
                self.cancel(path)
                with self.assertDBusError('Cancelled'):
                    p.wait(5)

    def test_many_calls_at_once(self):
        """Each is answered: done, or refused by the limit."""
        pending = [self.nobody.begin(ROOT, 'Manager', 'GetDeviceList', caller.arguments(dictionary()))
                   for _ in range(100)]
        results = [p.wait_error() for p in pending]
        self.assertEqual(set(results) - {'', LIMITS_EXCEEDED}, set())
        self.assertIn('', results)
        self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList',
                                              caller.arguments(dictionary())), '')

    def test_a_flood_of_one_user_harms_nobody(self):
        """Thousands of calls before the first is answered: each is answered or refused by a limit,
        another user hardly waits, and nothing is left of it."""
        pid = self.lab.owner_pid()
        quick = caller.arguments(dictionary())
        floods = [Caller('nobody') for _ in range(4)]
        self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList', quick), '')
        before, slowest, pending = len(os.listdir('/proc/%d/fd' % pid)), 0, []
        for n in range(3000):
            method = ('GetDeviceList', 'Describe')[n % 2]
            pending.append(floods[n % 4].begin(ROOT, 'Manager', method, quick))
            if n % 100 == 0:
                began = time.monotonic()
                self.assertEqual(self.root.error_of(ROOT, 'Manager', 'GetDeviceList', quick), '')
                slowest = max(slowest, time.monotonic() - began)
        results = collections.Counter(p.wait_error() for p in pending)
        self.assertEqual(set(results) - {'', LIMITS_EXCEEDED,
                                         'org.freedesktop.DBus.Error.LimitsExceeded'}, set())
        self.assertGreater(results[LIMITS_EXCEEDED], 0)
        self.assertLess(slowest, 5)
        for flood in floods:
            flood.close()
        self.assertEqual(self.lab.owner_pid(), pid)
        self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList', quick), '')
        lab.wait_until(lambda: len(os.listdir('/proc/%d/fd' % pid)) <= before + 2,
                       what='what it took being given back')

    def test_job_and_signals_before_the_reply(self):
        me = self.root.unique_name
        with SilentPortal() as portal, client.Recorder() as recorder:
            pending = self.begin(self.root, portal, ('job-token', 'watched'))
            path = lab.wait_until(lambda: self.job('watched'), what='the job')
            self.cancel(path)
            with self.assertDBusError('Cancelled'):
                pending.wait(5)
            seen = recorder.until(lambda m: m['type'] == 'error' and m['destination'] == me)
        about = [m for m in seen if m['type'] == 'signal' and
                 (m['path'] == path or path in str(m['payload']['data'][:1]))]
        self.assertEqual(about[0]['member'], 'InterfacesAdded')
        self.assertEqual(about[-1]['member'], 'Completed')
        self.assertEqual(about[-1]['payload']['data'][:2], [False, 'Cancelled'])
        changed = {name: value['data'] for m in about if m['member'] == 'PropertiesChanged'
                   for name, value in m['payload']['data'][1].items()}
        self.assertEqual((changed['State'], changed['Error'][0]), ('cancelled', 'Cancelled'))

    def test_client_that_goes(self):
        passing = Caller()
        with SilentPortal() as portal:
            self.begin(passing, portal, ('job-token', 'orphan'))
            path = lab.wait_until(lambda: self.job('orphan'), what='the job')
            passing.close()
            self.assertEqual(self.get(path, 'Job', 'State'), 'running')
            self.cancel(path)
            self.wait_property(path, 'Job', 'State', 'cancelled')
        for _ in range(20):  # before anything could begin
            passing = Caller()
            passing.begin(ROOT, 'Manager', 'GetDeviceList', caller.arguments(dictionary()))
            passing.close()
        lab.wait_until(lambda: self.root.error_of(ROOT, 'Manager', 'GetDeviceList',
                                                  caller.arguments(dictionary())) == '',
                       what='their calls being over')

    def test_calls_without_a_reply(self):
        """NO_REPLY_EXPECTED: done all the same, and nothing is sent."""
        with SilentPortal() as portal:
            self.root.send(ROOT, 'Manager', 'DiscoverTargets',
                           discovery(portal.port, ('job-token', 'quiet')))
            path = lab.wait_until(lambda: self.job('quiet'), what='the job')
            self.cancel(path)
            self.wait_property(path, 'Job', 'State', 'cancelled')

    def test_there_is_one_service(self):
        pid = self.lab.start_daemon()
        second = self.lab.run(lab.WORK + '/directlund', check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertEqual(self.lab.owner_pid(), pid)
        for user in self.root, self.nobody:
            with self.assertRaises(client.DBusError):
                user.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName', '(su)',
                          lab.BUS_NAME, 0, destination='org.freedesktop.DBus')

    def test_stopped_in_the_middle(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            self.lab.start_daemon()
            with SilentPortal() as portal:
                pending = self.begin(self.root, portal)
                portal.wait_connected()
                self.lab.stop_daemon(sig)
                with self.assertDBusError('Cancelled'):
                    pending.wait(5)
        self.lab.start_daemon()

    def test_ends_with_the_bus(self):
        pid = self.lab.start_daemon()
        self.lab.kill('bus')
        self.assertTrue(lab.wait_exit(pid, 10), 'it outlives its bus')
        os.unlink('/run/dbus/system_bus_socket')
        self.lab._client = None
        self.lab.start_bus()
        self.prepare()


class Idle(QuietTestCase):
    """It leaves as soon as it can, and no call is lost on the way."""

    minutes = 1
    services = ('bus', 'polkit')
    settings = {'Daemon': {'IdleExitSec': '0.02', 'JobLingerSec': '0'}}

    def test_no_call_is_lost(self):
        chance = random.Random(42)
        pids = set()
        for n in range(200):
            if n % 2:
                self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
            else:
                self.assertTrue(self.get(ROOT, 'Manager', 'Version'))
            answered = time.monotonic()
            pids.add(self.lab.owner_pid())
            # The race itself: the next call comes about when it leaves.
            time.sleep(max(0, answered + chance.uniform(0.019, 0.025) - time.monotonic()))
        self.assertGreater(len(pids - {None}), 10, 'it hardly ever left')

    def test_no_call_of_many_clients_is_lost(self):
        chance = random.Random(43)
        callers = [Caller(), Caller(), Caller('nobody')]
        for _ in range(60):
            pending = []
            for user in callers:
                time.sleep(chance.uniform(0, 0.02))  # the race itself
                pending += [user.begin(ROOT, 'Manager', 'GetDeviceList',
                                       caller.arguments(dictionary())) for _ in range(3)]
            self.assertEqual({p.wait_error() for p in pending}, {''})
            time.sleep(chance.uniform(0, 0.08))

    def test_stays_for_a_job(self):
        with SilentPortal() as portal:
            pending = self.lab.client.start(ROOT, lab.MANAGER, 'DiscoverTargets', '(sqa{sv})',
                                            '127.0.0.1', portal.port,
                                            {'timeout-ms': GLib.Variant('u', 1500)})
            portal.wait_connected()
            pid = self.lab.owner_pid()
            with self.assertDBusError('TimedOut'):
                pending.wait(10)
            self.assertIsNotNone(pid)
        self.assertTrue(lab.wait_exit(pid, 10), 'it stays when the job is over')
        lab.wait_until(lambda: self.lab.owner_pid() is None, what='its name being released')


class Start(QuietTestCase):
    """How the process begins, or does not."""

    services = ('bus', 'polkit')

    def test_command_line(self):
        program = self.lab.binary()
        self.assertRegex(self.lab.run(program, '--version'), r'^directlund [0-9.]+\n$')
        self.assertIn('Usage:', self.lab.run(program, '--help'))
        for wrong in ('--colour', 'green'):
            self.assertEqual(self.lab.run(program, wrong, check=False).returncode, 2)

    def test_a_damaged_database_is_left_as_it_is(self):
        self.lab.stop_daemon()
        path = '/var/lib/directlun/directlun.db'
        if os.path.exists(path):
            os.unlink(path)
        with open(path, 'wb') as f:
            f.write(b'not a database at all' * 1000)
        os.chown(path, os.stat(os.path.dirname(path)).st_uid, -1)
        failed = self.lab.run(lab.WORK + '/directlund', check=False)
        self.assertEqual(failed.returncode, 78)
        with self.assertRaises(client.DBusError):
            self.get(ROOT, 'Manager', 'Version')
        with open(path, 'rb') as f:
            self.assertEqual(f.read(), b'not a database at all' * 1000)
        os.unlink(path)
        self.assertTrue(self.get(ROOT, 'Manager', 'Version'))

    def test_no_bus(self):
        failed = self.lab.run('env', 'DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nothing',
                              lab.WORK + '/directlund', check=False)
        self.assertEqual(failed.returncode, 1)
