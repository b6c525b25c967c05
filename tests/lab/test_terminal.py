# SPDX-License-Identifier: LGPL-2.1-or-later
"""directlunctl at a terminal: Ctrl-C, secrets, who may, and how wide a table is."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

import lab
from ctl import CANCELLED, CHAP, CTL, LIBVIRT, OK, PERMISSION, USAGE, CtlTestCase, Terminal
from service import SilentPortal


class AtTheTerminal(CtlTestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = {'iSCSI': {'LoginTimeoutSec': '60', 'ConnectTimeoutSec': '60'}}

    @classmethod
    def prepare(cls):
        cls.chap = cls.lab.add_target('chap', user='reader', password='terminal-secret-1')
        cls.lab.run('useradd', '--create-home', 'admin')

    def test_ctrl_c_cancels_the_job(self):
        with SilentPortal() as portal:
            with Terminal('discover', '127.0.0.1:%d' % portal.port) as terminal:
                portal.wait_connected()
                terminal.expect('discover: ')  # the progress
                begin = time.monotonic()
                terminal.type('\x03')
                self.assertEqual(terminal.wait(), CANCELLED, terminal.output)
                self.assertLess(time.monotonic() - begin, 10)
                self.assertIn('(Cancelled)', terminal.output)
        self.assertEqual(self.json('jobs')[-1]['State'], 'cancelled')

    def test_cancel_of_another_ones_job(self):
        with SilentPortal() as portal:
            process = subprocess.Popen([CTL, 'discover', '127.0.0.1:%d' % portal.port],
                                       stderr=subprocess.PIPE, text=True)
            portal.wait_connected()
            job, = (job for job in self.json('jobs') if job['State'] == 'running')
            self.assertIs(self.json('cancel', job['id'])['changed'], True)
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, CANCELLED, err)
        self.assertIn('It had ended', self.ctl('cancel', job['id']).err)

    def test_without_libvirt(self):
        self.assertIn('LibvirtError', self.ctl('stop', 'runner', status=LIBVIRT).err)

    def test_sigterm_cancels_too(self):
        with SilentPortal() as portal:
            process = subprocess.Popen([CTL, 'discover', '127.0.0.1:%d' % portal.port],
                                       stderr=subprocess.PIPE, text=True)
            portal.wait_connected()
            process.terminate()
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, CANCELLED, err)
            self.assertNotIn('\r', err)  # no progress where nobody looks
        self.assertEqual(self.json('jobs')[-1]['State'], 'cancelled')

    def test_second_ctrl_c_leaves(self):
        """Even when the service does not answer."""
        with SilentPortal() as portal:
            with Terminal('discover', '127.0.0.1:%d' % portal.port) as terminal:
                portal.wait_connected()
                terminal.expect('discover: ')
                pid = self.lab.owner_pid()
                os.kill(pid, signal.SIGSTOP)
                try:
                    terminal.type('\x03')
                    terminal.expect('Ctrl-C leaves at once')
                    terminal.type('\x03')
                    self.assertEqual(terminal.wait(10), 130, terminal.output)
                finally:
                    os.kill(pid, signal.SIGCONT)
                self.assertIn('goes on', terminal.output)
        lab.wait_until(lambda: self.json('jobs')[-1]['State'] == 'cancelled', what='the cancel')

    def test_secret_by_prompt(self):
        with Terminal('discover', '127.0.0.1', '--user', 'reader', '--ask-secret') as terminal:
            terminal.expect('CHAP secret of reader: ')
            terminal.type('terminal-secret-1\n')
            self.assertEqual(terminal.wait(), OK, terminal.output)
            self.assertNotIn('terminal-secret-1', terminal.output)
        self.assertEqual(self.json('connect', self.chap.iqn)['State'], 'connected')

    def test_ctrl_c_at_the_prompt(self):
        with Terminal('discover', '127.0.0.1', '--user', 'reader') as terminal:
            terminal.expect('CHAP secret of reader: ')
            terminal.type('\x03')
            self.assertEqual(terminal.wait(), CANCELLED, terminal.output)

    def test_secret_by_file_and_descriptor(self):
        with tempfile.NamedTemporaryFile('w') as f:
            f.write('terminal-secret-1\n')
            f.flush()
            found, = self.json('discover', '127.0.0.1', '--user=reader', '--secret-file', f.name)
            self.assertIs(found['HasCredentials'], True)
        read, write = os.pipe()
        os.write(write, b'terminal-secret-1')
        os.close(write)
        with os.fdopen(read):
            self.ctl('discover', '127.0.0.1', '--user=reader', '--secret-fd=%d' % read,
                     pass_fds=(read,))
        self.assertEqual(self.json('connect', self.chap.iqn)['State'], 'connected')

    def test_wrong_secrets(self):
        for words, status, text in (
                (['--user=reader'], USAGE, 'terminal'),
                (['--user=reader', '--no-ask-password'], USAGE, 'file'),
                (['--secret-file=/etc/hostname'], USAGE, 'user'),
                (['--user=reader', '--secret-file=/etc/hostname', '--secret-fd=0'], USAGE, 'one'),
                (['--user=reader', '--secret-file=/dev/null'], USAGE, 'empty'),
                (['--user=reader', '--secret-file=/dev/zero'], USAGE, '256'),
                (['--user=reader', '--secret-file=/nonexistent'], USAGE, 'No such file')):
            with self.subTest(words):
                done = self.ctl('discover', '127.0.0.1', *words, status=status,
                                start_new_session=True)
                self.assertIn(text, done.err)

    def test_wrong_secret_is_chap(self):
        with tempfile.NamedTemporaryFile('w') as f:
            f.write('not-the-secret-1')
            f.flush()
            self.ctl('discover', '127.0.0.1', '--user=reader', '--secret-file', f.name)
        self.assertIn('AuthFailed', self.ctl('connect', self.chap.iqn, status=CHAP).err)

    def test_secret_is_in_no_argument(self):
        """While it is under way, in any process."""
        with SilentPortal() as portal, tempfile.NamedTemporaryFile('w') as f:
            f.write('hidden-secret-4711')
            f.flush()
            process = subprocess.Popen([CTL, 'discover', '127.0.0.1:%d' % portal.port,
                                        '--user=reader', '--secret-file', f.name],
                                       stderr=subprocess.PIPE)
            portal.wait_connected()
            for pid in filter(str.isdigit, os.listdir('/proc')):
                for name in ('cmdline', 'environ'):
                    with contextlib.suppress(OSError), open('/proc/%s/%s' % (pid, name),
                                                            'rb') as about:
                        self.assertNotIn(b'hidden-secret', about.read(), pid)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            self.assertEqual(process.returncode, CANCELLED)

    def test_polkit_says_no(self):
        self.ctl('targets', user='nobody')
        done = self.ctl('discover', '127.0.0.1', user='nobody', status=PERMISSION)
        self.assertRegex(done.err, 'AccessDenied|InteractiveAuthorizationRequired')
        done = self.ctl('discover', '127.0.0.1', '--no-ask-password', user='nobody',
                        status=PERMISSION)
        self.assertIn('InteractiveAuthorizationRequired', done.err)

    def test_agent_asks_at_the_terminal(self):
        with Terminal('discover', '127.0.0.1', user='admin') as terminal:
            terminal.expect('AUTHENTICATING')
            terminal.type('\x03')
            self.assertIn(terminal.wait(), (PERMISSION, CANCELLED), terminal.output)

    def test_table_fits_the_terminal(self):
        lun = self.lab.add_target('wide-' + 'x' * 150).luns[1]
        self.ctl('discover', '127.0.0.1')
        self.ctl('connect', lun.target.iqn)
        for columns in (80, 100):
            with Terminal('list', columns=columns) as terminal:
                self.assertEqual(terminal.wait(), OK)
            self.assertIn(lun.guid, terminal.output)
            for line in terminal.output.splitlines():
                self.assertLessEqual(len(line), columns, line)
            with Terminal('targets', columns=columns) as terminal:
                self.assertEqual(terminal.wait(), OK)
            self.assertIn('…', terminal.output)
            for line in terminal.output.splitlines():
                self.assertLessEqual(len(line), columns, line)
        self.assertIn(lun.target.iqn, self.ctl('targets').out)
