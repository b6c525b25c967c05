# SPDX-License-Identifier: LGPL-2.1-or-later
"""directlunctl as a script runs it, and as a person does at a terminal."""

import errno
import json
import os
import pty
import select
import signal
import subprocess
import time

from service import TestCase

CTL = '/usr/bin/directlunctl'
# The exit statuses.
OK, FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE, CHAP, PERMISSION, CANCELLED = range(9)
GUEST, LIBVIRT, IDENTITY, SERVICE = range(9, 13)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


class Terminal:
    """directlunctl at a terminal: its controlling one, 80 columns wide."""

    def __init__(self, *words, user=None, environment=None, columns=80):
        self.output = ''
        self.words = words
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment or {}, TERM='xterm')
            os.system('stty cols %d' % columns)
            argv = [CTL, *words]
            if user:
                argv = ['setpriv', '--reuid=' + user, '--regid=nogroup', '--clear-groups', *argv]
            os.execvp(argv[0], argv)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def _read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            chunk = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the other side is closed
                raise
            chunk = b''
        self.output += chunk.decode(errors='replace')
        return bool(chunk)

    def expect(self, text, timeout=15):
        deadline = time.monotonic() + timeout
        while text not in self.output:
            if time.monotonic() > deadline or not self._read(0.2):
                raise AssertionError('%r did not come: %r' % (text, self.output))

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, timeout=30):
        """Its exit status, when all is read."""
        deadline = time.monotonic() + timeout
        while self._read(0.2):
            if time.monotonic() > deadline:
                raise AssertionError('%r does not end: %r' % (self.words, self.output))
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


class CtlTestCase(TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '5', 'LoginTimeoutSec': '5',
                          'CommandTimeoutSec': '5'},
                'Libvirt': {'ReleaseTimeoutSec': '1'}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        report = cls.lab.logs + '/sanitizer/report'  # the lab looks there at its end
        os.environ['ASAN_OPTIONS'] = 'log_path=%s:detect_leaks=1' % report
        os.environ['UBSAN_OPTIONS'] = 'log_path=%s:print_stacktrace=1' % report

    def ctl(self, *words, status=OK, user=None, **options):
        argv = [CTL, *words]
        if user:
            argv = ['setpriv', '--reuid=' + user, '--regid=nogroup', '--clear-groups', '--', *argv]
        options.setdefault('stdin', subprocess.DEVNULL)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, **options)
        self.assertEqual(done.returncode, status,
                         '%s: %s%s' % (' '.join(words), done.stdout, done.stderr))
        if status != OK:
            self.assertIn('directlunctl: ', done.stderr)
            self.assertEqual(done.stdout, '')
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *words, **options):
        """What it prints in both forms of JSON, which must be one document; parsed."""
        text = self.ctl('--json=short', *words, **options).out
        self.assertEqual(text.count('\n'), 1, text)
        return json.loads(text)
