# SPDX-License-Identifier: LGPL-2.1-or-later
"""DiscoverTargets: what it finds, and what it says of portals that are not well."""

import signal
import time

from gi.repository import GLib

import portals
from service import ROOT, SilentPortal, TestCase, object_path, secret_fd

TIMEOUTS = {'iSCSI': {'ResolveTimeoutSec': '2', 'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                      'CommandTimeoutSec': '2'}}
NO_ROUTE = '192.0.2.1'


class Discovery(TestCase):
    alone = True
    services = ('bus', 'polkit', 'tgt')
    settings = TIMEOUTS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2)
        cls.two = cls.lab.add_target('two')

    def test_finds_the_targets(self):
        paths = self.discover()
        self.assertEqual(sorted(paths), [object_path('targets', t.iqn) for t in (self.one,
                                                                                 self.two)])
        for target in (self.one, self.two):
            found = self.lab.client.get_all(object_path('targets', target.iqn), 'Target')
            self.assertEqual(found['Iqn'], target.iqn)
            self.assertEqual(found['Portals'], [('127.0.0.1', 3260, 1)])
            self.assertEqual(found['State'], 'disconnected')
            self.assertEqual(found['PortalStates'], [('127.0.0.1', 3260, 'disconnected', '')])
            self.assertEqual(found['LastError'], ('', ''))
            for name in ('Managed', 'Foreign', 'HasCredentials'):
                self.assertIs(found[name], False, name)
            for name in ('Users', 'Luns'):
                self.assertEqual(found[name], [], name)
        self.assert_consistent()

    def test_again_finds_the_same(self):
        first = self.discover()
        known = sorted(self.lab.client.objects('Target'))
        self.assertEqual(sorted(self.discover()), sorted(first))
        self.assertEqual(sorted(self.lab.client.objects('Target')), known)

    def test_pain_7_leaves_no_session_behind(self):
        """After a discovery, and after what was connected was let go, or its service killed."""
        self.discover()
        for target in (self.one, self.two):
            self.connect(target)
        self.method(object_path('targets', self.one.iqn), 'Target', 'Unmanage')
        self.one.tgtd.wait_for_sessions(self.one.tid, 0)
        self.lab.restart_daemon(signal.SIGKILL)
        for target in (self.one, self.two):
            self.one.tgtd.wait_for_sessions(target.tid, 0)
            self.assertEqual(self.get(object_path('targets', target.iqn), 'Target', 'State'),
                             'disconnected')

    def test_by_host_name(self):
        self.assertIn(object_path('targets', self.one.iqn), self.discover('localhost'))

    def test_refused(self):
        with self.assertDBusError('PortalUnreachable'):
            self.discover(port=3999)

    def test_pain_17_errors_have_names(self):
        """Nobody needs to read a message to know what happened; each differs from the others."""
        deaf = portals.Says(b'HTTP/1.0 400 Bad Request\r\n\r\n' + b' ' * 200)
        self.addCleanup(deaf.stop)
        with SilentPortal() as silent:
            for name, address, port in (
                    ('PortalUnreachable', '127.0.0.1', 3999),
                    ('NameResolution', 'no-such-host.invalid', 3260),
                    ('ProtocolError', '127.0.0.1', deaf.port),
                    ('TimedOut', '127.0.0.1', silent.port),
                    ('org.freedesktop.DBus.Error.InvalidArgs', '127.0.0.1', 0)):
                with self.subTest(name), self.assertDBusError(name):
                    self.discover(address, port)

    def test_unknown_name(self):
        with self.assertDBusError('NameResolution') as expected:
            self.discover('no-such-host.invalid')
        self.assertIn('no-such-host.invalid', expected.exception.message)

    def test_no_route(self):
        with self.assertDBusError('PortalUnreachable'):
            self.discover(NO_ROUTE)

    def test_silent(self):
        with SilentPortal() as portal:
            started = time.monotonic()
            with self.assertDBusError('TimedOut'):
                self.discover(port=portal.port)
            self.assertLess(time.monotonic() - started, 6)

    def test_silent_with_a_deadline_of_the_caller(self):
        with SilentPortal() as portal:
            started = time.monotonic()
            with self.assertDBusError('TimedOut'):
                self.discover(port=portal.port, **{'timeout-ms': GLib.Variant('u', 300)})
            self.assertLess(time.monotonic() - started, 1.5)

    def test_pain_6_a_hung_discovery_delays_nobody(self):
        with SilentPortal() as portal:
            slow = self.lab.client.start(ROOT, 'org.ovirt.DirectLun.Manager', 'DiscoverTargets',
                                         '(sqa{sv})', '127.0.0.1', portal.port, {})
            portal.wait_connected()
            started = time.monotonic()
            self.assertEqual(len(self.discover()), 2)
            self.assertLess(time.monotonic() - started, 1)
            self.assertFalse(slow.done)
            with self.assertDBusError('TimedOut'):
                slow.wait()

    def test_garbage(self):
        for name, said in (('noise', portals.garbage()),
                           ('a web server', b'HTTP/1.0 400 Bad Request\r\n\r\n' + b' ' * 200)):
            portal = portals.Says(said)
            self.addCleanup(portal.stop)
            with self.subTest(name), self.assertDBusError('ProtocolError'):
                self.discover(port=portal.port)

    def test_hangs_up(self):
        for kind in (portals.CloseAtOnce, portals.Reset, portals.ResetAfterLogin):
            portal = kind()
            self.addCleanup(portal.stop)
            with self.subTest(kind.__name__), self.assertDBusError('PortalUnreachable'):
                self.discover(port=portal.port)

    def test_black_hole(self):
        """An address whose packets nobody answers, not even to refuse them."""
        address = portals.black_hole('198.51.100.0/24')[0]
        self.addCleanup(self.lab.run, 'ip', 'link', 'del', 'blackhole0')
        started = time.monotonic()
        with self.assertDBusError('PortalUnreachable'):
            self.discover(address)
        self.assertLess(time.monotonic() - started, 6)

    def test_bad_arguments(self):
        for address, port, options in (('', 3260, {}), ('127.0.0.1', 0, {}),
                                       ('127.0.0.1', 3260, {'no-such-option': True}),
                                       ('127.0.0.1', 3260, {'timeout-ms': 'soon'}),
                                       ('127.0.0.1', 3260, {'user': 'somebody'}),
                                       ('x' * 300, 3260, {})):
            with self.subTest(address=address[:20], port=port, options=options):
                with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
                    self.discover(address, port, **options)

    def test_wrong_signature(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.call(ROOT, 'Manager', 'DiscoverTargets', '(ssa{sv})', '127.0.0.1', '3260', {})


class DiscoveryBySixAndChap(TestCase):
    """IPv6, and a portal that wants CHAP for the discovery itself."""

    services = ('bus', 'polkit')
    settings = TIMEOUTS

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('six', '::1', 3260)
        cls.six = cls.lab.add_target('six', tgtd='six')
        guarded = cls.lab.start_tgtd('guarded', '127.0.0.1', 3261)
        cls.guarded = cls.lab.add_target('guarded', tgtd='guarded')
        guarded.add_account('reader', 'right-secret-12', -1)

    def test_ipv6_with_and_without_brackets(self):
        for address in ('::1', '[::1]'):
            with self.subTest(address):
                self.assertEqual(self.discover(address), [object_path('targets', self.six.iqn)])
        portals = self.get(object_path('targets', self.six.iqn), 'Target', 'Portals')
        self.assertEqual(portals, [('::1', 3260, 1)])

    def chap(self, user, secret):
        with secret_fd(secret) as fd:
            return self.discover(port=3261, user=user, secret=GLib.Variant('h', 0), fds=(fd,))

    def test_right_secret(self):
        path, = self.chap('reader', 'right-secret-12')
        self.assertIs(self.get(path, 'Target', 'HasCredentials'), True)

    def test_wrong_secret(self):
        with self.assertDBusError('AuthFailed') as expected:
            self.chap('reader', 'wrong-secret-12')
        self.assertNotIn('wrong-secret-12', expected.exception.message)

    def test_no_secret(self):
        with self.assertDBusError('AuthFailed'):
            self.discover(port=3261)
