# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets by a socket: only who asked for it writes to it, only it uses the token, and only once; and
nothing is left of what nobody uses."""

import contextlib
import os
import pwd
import socket
import stat

from gi.repository import GLib

import caller
import client
import lab
import service
from caller import CHALLENGE, INVALID_ARGS, Caller, dictionary
from client import ROOT

DIRECTORY = '/run/directlun/secret'
LIMITS_EXCEEDED = lab.BUS_NAME + '.Error.LimitsExceeded'
SECRET = 'a secret of 18 byt'
CLIENT_MAX, USER_MAX = 32, 64


class Base(caller.QuietTestCase):
    services = ('bus', 'polkit', 'tgt')

    @classmethod
    def prepare(cls):
        cls.guarded = cls.lab.add_target('guarded', user='reader', password=SECRET)
        cls.root, cls.nobody = Caller(), Caller('nobody')
        cls.lab.client.call(ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', '127.0.0.1', 3260, {})
        cls.target = service.object_path('targets', cls.guarded.iqn)

    def accept(self, user=None):
        """(socket, token)"""
        return (user or self.root).call(ROOT, 'Manager', 'AcceptSecret', '(a{sv})', {})

    def write(self, path, secret=SECRET, user='root'):
        """As that user; returns when the service has ended the connection."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            uid = pwd.getpwnam(user).pw_uid
            os.setresuid(uid, uid, 0)
            try:
                s.connect(path)
            finally:
                os.setresuid(0, 0, 0)
            with contextlib.suppress(BrokenPipeError):
                s.sendall(secret.encode())
                s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(s.recv(1), b'')

    def handed_over(self, secret=SECRET, user=None, name='root'):
        path, token = self.accept(user)
        self.write(path, secret, name)
        return token

    def use(self, token, user=None, **options):
        """The name of the error of SetCredentialsByToken."""
        return (user or self.root).error_of(self.target, 'Target', 'SetCredentialsByToken', caller.arguments(
            GLib.Variant('s', 'reader'), GLib.Variant('s', token), dictionary(*options.items())))

    def left(self):
        return os.listdir(DIRECTORY)


class Handing(Base):
    def test_it_is_the_secret(self):
        path, token = self.accept()
        self.assertEqual(os.path.dirname(path), DIRECTORY)
        self.assertEqual(stat.S_IMODE(os.stat(DIRECTORY).st_mode), 0o711)
        self.assertNotIn(token, path)
        self.write(path, SECRET + '\n')
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.use(token), '')
        self.method(self.target, 'Target', 'Connect')
        self.assertEqual(self.use(self.handed_over('another of 16 by')), '')
        with self.assertDBusError('AuthFailed'):
            self.method(self.target, 'Target', 'Connect')
        self.assertEqual(self.use(token), INVALID_ARGS, 'it was spent')
        self.assertEqual(self.left(), [])

    def test_discovery_and_inline(self):
        def discover(**options):
            return self.root.error_of(ROOT, 'Manager', 'DiscoverTargets', caller.arguments(
                GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', 3260), dictionary(*options.items())))
        both = {'user': 'reader', 'target-user': 'target'}
        self.assertEqual(discover(user='reader', **{'secret-token': self.handed_over()}), '')
        self.assertIs(self.get(self.target, 'Target', 'HasCredentials'), True)
        self.assertEqual(discover(**both, **{'secret-token': self.handed_over(),
                                             'target-secret-token': self.handed_over('mutual')}),
                         lab.BUS_NAME + '.Error.AuthFailed', 'the portal has no such secret')
        self.assertEqual(discover(user='reader', **{'secret-token': 'no such'}), INVALID_ARGS)
        self.assertEqual(discover(**{'secret-token': self.handed_over()}), INVALID_ARGS)
        self.assertEqual(discover(**both, **{'secret-token': self.handed_over()}), INVALID_ARGS)

    def test_descriptor_or_token(self):
        token = self.handed_over()
        with service.secret_fd(SECRET) as fd, self.assertDBusError(INVALID_ARGS) as expected:
            self.discover(user='reader', secret=GLib.Variant('h', 0), fds=(fd,), **{'secret-token': token})
        self.assertIn('not both', expected.exception.message)

    def test_removing_needs_no_secret(self):
        self.assertEqual(self.use(self.handed_over()), '')
        self.call(self.target, 'Target', 'SetCredentialsByToken', '(ssa{sv})', '', '', {})
        self.assertIs(self.get(self.target, 'Target', 'HasCredentials'), False)

    def test_a_dry_run_checks_it_too(self):
        self.assertEqual(self.use(self.handed_over(), **{'dry-run': True}), '')
        self.assertIs(self.get(self.target, 'Target', 'HasCredentials'), False)
        self.assertEqual(self.use('no such', **{'dry-run': True}), INVALID_ARGS)


class Refused(Base):
    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: self.assertIs(self.get(self.target, 'Target', 'HasCredentials'), False))

    def test_another_user_cannot_write(self):
        path, token = self.accept()
        self.write(path, 'of somebody else', user='nobody')
        self.assertEqual(self.use(token), INVALID_ARGS)
        self.write(path)  # who is meant may still
        self.assertEqual(self.use(token, **{'dry-run': True}), '')
        path, token = self.accept(self.nobody)
        self.write(path)
        self.assertEqual(self.use(token, self.nobody), INVALID_ARGS)
        listed = self.lab.run_as('nobody', 'ls', DIRECTORY, check=False)
        self.assertNotEqual(listed.returncode, 0)

    def test_a_second_connection(self):
        path, token = self.accept()
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            first.sendall(b'first')
            lab.wait_until(lambda: not os.path.exists(path), what='the path going')
            with socket.socket(socket.AF_UNIX) as second, self.assertRaises(OSError):
                second.connect(path)
            self.assertEqual(self.use(token), INVALID_ARGS, 'the secret is not complete')

    def test_what_is_no_secret(self):
        for text in ('', 'x' * 257, 'a\0b'):
            with self.subTest(text[:3]):
                token = self.handed_over(text)
                with self.assertDBusError(INVALID_ARGS) as expected:
                    self.root.call(self.target, 'Target', 'SetCredentialsByToken', '(ssa{sv})', 'reader',
                                   token, {})
                self.assertIn('1 to 256 bytes', expected.exception.message)

    def test_the_token_of_another_client(self):
        token = self.handed_over()
        other = Caller()
        self.addCleanup(other.close)
        self.assertEqual(self.use(token, other), INVALID_ARGS)
        self.assertEqual(self.use(token, self.nobody), INVALID_ARGS)

    def test_polkit_is_asked_as_ever(self):
        token = self.handed_over(user=self.nobody, name='nobody')
        self.assertEqual(self.use(token, self.nobody), CHALLENGE)
        self.assertEqual(self.use(token, self.nobody), INVALID_ARGS, 'it was spent')

    def test_a_client_that_leaves(self):
        leaving = Caller('nobody')
        path, _ = self.accept(leaving)
        self.handed_over(user=leaving, name='nobody')
        self.assertTrue(os.path.exists(path))
        leaving.close()
        lab.wait_until(lambda: not os.path.exists(path), what='its socket going')

    def test_limits(self):
        clients = [Caller('daemon') for _ in range(USER_MAX // CLIENT_MAX + 1)]
        for user in clients[:-1]:
            for _ in range(CLIENT_MAX):
                self.accept(user)
            with self.assertDBusError(LIMITS_EXCEEDED):
                self.accept(user)
        with self.assertDBusError(LIMITS_EXCEEDED):
            self.accept(clients[-1])
        self.accept()  # others may
        clients[0].close()
        lab.wait_until(lambda: clients[-1].error_of(ROOT, 'Manager', 'AcceptSecret', caller.arguments(
            dictionary())) == '', what='room for another')
        for user in clients[1:]:
            user.close()


class Expiring(Base):
    settings = {'Daemon': {'SecretTimeoutSec': '0.5', 'IdleExitSec': '0.1', 'JobLingerSec': '0'}}

    def test_nobody_connects(self):
        path, token = self.accept()
        lab.wait_until(lambda: not os.path.exists(path), 5, 'the socket going')
        self.assertEqual(self.use(token), INVALID_ARGS)

    def test_nobody_uses_it(self):
        token = self.handed_over()
        self.assertTrue(self.lab.owner_pid(), 'it waits, though idle')
        lab.wait_until(lambda: not self.lab.owner_pid(), 5, 'the service having nothing left to do')
        self.assertEqual(self.use(token), INVALID_ARGS)

    def test_what_a_killed_service_leaves(self):
        path, _ = self.accept()
        self.lab.restart_daemon(9)
        self.assertTrue(os.path.exists(path))
        self.accept()
        self.assertFalse(os.path.exists(path))
