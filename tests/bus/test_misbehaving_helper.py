# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper that does not behave: whatever it does, who has asked for a session of the kernel gets a
typed error in time, everybody else is served meanwhile, and nothing is left of it."""

import json
import os
import socket
import time

import caller
import lab
import service
from client import ROOT
from standin import SOCKET, StandIn, dies, reply, says

ISCSIADM = '\0ISCSIADM_ABSTRACT_NAMESPACE'
AUTH_FAILED, PAST_ALL = 3, 1000  # src/util/error.h
LOGIN_DEADLINE = 23.0  # the helper's, and what the service adds to it
PING_DEADLINE = 3.0


class MisbehavingHelper(caller.QuietTestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = {'Paths': {'HelperSocket': SOCKET}}

    @classmethod
    def prepare(cls):
        cls.one, cls.two = (cls.lab.add_target(name, luns=1) for name in ('one', 'two'))
        cls.helper = StandIn()
        cls.addClassCleanup(cls.helper.end)
        iscsid = socket.socket(socket.AF_UNIX)  # so that this host seems to have open-iscsi
        cls.addClassCleanup(iscsid.close)
        iscsid.bind(ISCSIADM)
        iscsid.listen()
        cls.root = caller.Caller()
        cls.root.call(ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', '127.0.0.1', 3260, {})

    def begin(self, target, data_path='block'):
        return self.root.begin(service.object_path('targets', target.iqn), 'Target', 'Connect',
                               caller.arguments(caller.dictionary(('data-path', data_path))))

    def begin_silent(self):
        """A call that the helper does not answer; it was asked."""
        asked = len(self.helper.asked)
        self.helper.does[self.two.iqn] = self.helper.is_silent
        pending = self.begin(self.two)
        lab.wait_until(lambda: self.helper.asked[asked:], what='the helper being asked')
        return pending

    def expect(self, error, does, data_path='block'):
        asked = len(self.helper.asked)
        self.helper.does[self.one.iqn] = does
        self.assertEqual(self.begin(self.one, data_path).wait_error().rpartition('.')[2], error)
        self.assertEqual(self.helper.asked[asked:], [self.one.iqn])

    def assert_served(self):
        start = time.monotonic()
        self.assertTrue(self.get(ROOT, 'Manager', 'Version'))
        self.method(ROOT, 'Manager', 'GetDeviceList')
        self.assertLess(time.monotonic() - start, PING_DEADLINE)

    def is_settled(self):
        described = json.loads(self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        return described['open-intents'] == 0 and \
            all(job['state'] != 'running' for job in described['jobs']) and \
            all(target['state'] == 'disconnected' for target in described['targets'])

    def test_it(self):
        started = time.monotonic()
        silent = self.begin_silent()

        self.expect('ProtocolError', dies)  # so that all that a login needs is there
        fds = '/proc/%d/fd' % self.lab.owner_pid()
        before = len(os.listdir(fds))
        for does in (says(b'HTTP/1.1 200 OK'), says(b''), says(reply()[:-1]), says(reply() * 3),
                     says(reply(magic=1)), says(reply(code=PAST_ALL)),
                     says(reply(AUTH_FAILED, b'\xff' * 495)), says(reply(AUTH_FAILED, b'x' * 496)),
                     says(bytes(100000), fds=2)):
            self.expect('ProtocolError', does)
            self.assert_served()
        self.expect('AuthFailed', says(reply(AUTH_FAILED, b'No')))
        self.expect('AuthFailed', says(reply(AUTH_FAILED, b'No'), reply(), b'more'))
        for n in range(4):  # it has made no session
            self.expect('PortalUnreachable', says(reply(), fds=n))

        self.assertFalse(silent.done)
        self.assertEqual(silent.wait_error(), lab.BUS_NAME + '.Error.TimedOut')
        self.assertAlmostEqual(time.monotonic() - started, LOGIN_DEADLINE, delta=5)
        lab.wait_until(self.is_settled, what='all being settled')
        # what was passed to it is closed; connections to targets end by themselves
        lab.wait_until(lambda: len(os.listdir(fds)) <= before, what='no descriptor being left')

    def test_auto_goes_another_way(self):
        path = service.object_path('targets', self.one.iqn)
        self.expect('', dies, 'auto')
        self.assertEqual(self.get(path, 'Target', 'State'), 'connected')
        self.assertEqual(self.get(path, 'Target', 'DataPath'), 'qemu')
        self.assertIn("this host's kernel could not", self.get(path, 'Target', 'DataPathReason'))
        self.method(path, 'Target', 'Unmanage')
        lab.wait_until(self.is_settled, what='all being settled')

    def test_cancelled(self):
        pending = self.begin_silent()
        self.assert_served()
        job = next(path for path, job in self.lab.client.objects('Job').items()
                   if job['State'] == 'running')
        self.method(job, 'Job', 'Cancel')
        self.assertEqual(pending.wait_error(), lab.BUS_NAME + '.Error.Cancelled')
        lab.wait_until(self.is_settled, what='all being settled')

    def test_not_there(self):
        os.rename(SOCKET, SOCKET + '.away')
        self.addCleanup(os.rename, SOCKET + '.away', SOCKET)
        self.assertEqual(self.begin(self.one).wait_error(), lab.BUS_NAME + '.Error.Failed')
        self.assert_served()
        lab.wait_until(self.is_settled, what='all being settled')
