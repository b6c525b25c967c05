# SPDX-License-Identifier: LGPL-2.1-or-later
"""CHAP secrets through the whole main job, with everything that could show them recorded: they are
found nowhere but in the service's own secrets folder, and there no longer than they are needed."""

import base64
import glob
import os
import pwd
import secrets
import signal
import socket
import stat
import subprocess
import threading
import unittest

from gi.repository import GLib

import lab
from service import ROOT, TestCase, object_path, secret_fd

STATE = '/var/lib/directlun'
FOLDER = STATE + '/secrets'
SETTINGS = {'Daemon': {'LogLevel': 'debug', 'JobLingerSec': '600'},
            'iSCSI': {'CheckIntervalSec': '0.5'}}


def unguessable():
    """As long as Windows and tgtd take it: 12 to 16 characters."""
    return 'S' + secrets.token_hex(7) + 'Z'


def forms(secret):
    """As it is, and as it is written where bytes are not."""
    raw = secret.encode()
    encoded = [base64.b64encode(b'\0' * n + raw).rstrip(b'=')[4 * n // 3 + 2:-2] for n in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), *encoded]


class Sampler:
    """Looks at the command line and the environment of every process, all the time."""

    def __init__(self):
        self.seen = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ending.wait(0.005):
            for pid in filter(str.isdigit, os.listdir('/proc')):
                for name in ('cmdline', 'environ'):
                    try:
                        with open('/proc/%s/%s' % (pid, name), 'rb') as f:
                            text = f.read()
                    except OSError:
                        continue
                    self.seen[text] = '/proc/%s/%s' % (pid, name)

    def stop(self):
        self._ending.set()
        self._thread.join()
        return self.seen


class Hunt(TestCase):
    """One way to the initiator's secret, both ways, wrong ones; every place is searched."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        os.environ.update(LIBVIRT_DEBUG='1', LIBVIRT_LOG_OUTPUTS='1:stderr')
        try:  # all that libvirtd has to say
            cls.lab.kill('libvirtd')
            cls.lab.spawn('libvirtd', 'libvirtd')
        finally:
            del os.environ['LIBVIRT_DEBUG'], os.environ['LIBVIRT_LOG_OUTPUTS']
        lab.wait_until(lambda: cls.lab.run('virsh', '-q', 'version', check=False).returncode == 0,
                       30, 'libvirtd starting')
        cls.own, cls.theirs, cls.wrong = (unguessable() for _ in range(3))
        cls.tgtd = cls.lab.start_tgtd('guarded', '127.0.0.1', 3261)
        cls.one = cls.lab.add_target('one', tgtd='guarded', user='reader', password=cls.own)
        cls.both = cls.lab.add_target('both', tgtd='guarded')
        cls.tgtd.bind_account('reader', cls.both.tid)
        cls.tgtd.add_account('target', cls.theirs, cls.both.tid, outgoing=True)
        cls.tgtd.bind_account('reader', -1)
        cls.machine = cls.lab.define_vm('guest')
        cls.paths = {t: object_path('targets', t.iqn) for t in (cls.one, cls.both)}

    def setUp(self):
        self.places = {}
        self.bus = lab.WORK + '/bus.pcap'
        with open(self.bus, 'wb') as f:
            self.monitor = subprocess.Popen(['dbus-monitor', '--system', '--pcap'], stdout=f,
                                            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        lab.wait_until(lambda: os.path.getsize(self.bus), what='the bus being recorded')
        self.sampler = Sampler()
        self.addCleanup(self.end_recording)

    def end_recording(self):
        if self.monitor.poll() is None:
            self.monitor.terminate()
            self.monitor.wait()
            for text, where in self.sampler.stop().items():
                self.places.setdefault(where, b'')
                self.places[where] += text

    # ---- the main job

    def set_credentials(self, target, secret, theirs=None):
        with secret_fd(secret) as own, secret_fd(theirs or 'x') as other:
            options = {'target-user': 'target',
                       'target-secret': GLib.Variant('h', 1)} if theirs else {}
            self.call(self.paths[target], 'Target', 'SetCredentials', '(sha{sv})', 'reader', 0,
                      options, fds=(own, other))

    def remove_credentials(self, target):
        with secret_fd('x') as fd:
            self.call(self.paths[target], 'Target', 'SetCredentials', '(sha{sv})', '', 0, {},
                      fds=(fd,))

    def set_credentials_by_token(self, target, secret, theirs):
        self.hand_over(secret)  # and nobody uses it
        self.call(self.paths[target], 'Target', 'SetCredentialsByToken', '(ssa{sv})', 'reader',
                  self.hand_over(secret),
                  {'target-user': 'target', 'target-secret-token': self.hand_over(theirs)})

    def fails(self, path, method, **options):
        with self.assertDBusError('AuthFailed') as expected:
            self.method(path, 'Target', method, **options)
        self.keep('an error message', expected.exception.message)

    def inline(self, target, secret):
        with secret_fd(secret) as fd:
            return self.call(self.vm(self.machine), 'Vm', 'AttachDisk', '(a{sv}a{sv})', {
                'iface': 'scsi', 'lun': {
                    'type': 'iscsi', 'address': '127.0.0.1', 'port': 3261, 'target': target.iqn,
                    'id': target.luns[1].guid, 'user': 'reader',
                    'secret': GLib.Variant('h', 0)}}, {}, fds=(fd,))

    def discover_and_connect(self):
        with secret_fd(self.wrong) as fd, self.assertDBusError('AuthFailed') as expected:
            self.discover(port=3261, user='reader', secret=GLib.Variant('h', 0), fds=(fd,))
        self.keep('an error message', expected.exception.message)
        with secret_fd(self.own) as fd:
            found = self.discover(port=3261, user='reader', secret=GLib.Variant('h', 0), fds=(fd,))
        self.assertEqual(sorted(found), sorted(self.paths.values()))
        self.set_credentials(self.one, self.wrong)
        self.fails(self.paths[self.one], 'Connect')
        self.set_credentials(self.both, self.own, self.wrong)
        self.fails(self.paths[self.both], 'Connect')
        self.set_credentials(self.one, self.own)
        self.set_credentials_by_token(self.both, self.own, self.wrong)
        self.fails(self.paths[self.both], 'Connect')
        self.set_credentials_by_token(self.both, self.own, self.theirs)
        for path in self.paths.values():
            self.method(path, 'Target', 'Connect')
            self.assertIs(self.get(path, 'Target', 'HasCredentials'), True)

    def use(self):
        """Attach to what is off, run, plug and unplug, with a look around."""
        vm = self.vm(self.machine)
        self.attach(self.machine, {'GUID': self.one.luns[1].guid, 'iface': 'scsi'})
        self.call(vm, 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        second = self.attach(self.machine, {'GUID': self.both.luns[1].guid})
        self.machine.guest.wait_disks(lambda disks: len(disks) == 2)
        self.look_around()
        self.method(second, 'Attachment', 'HotUnplug')
        self.method(second, 'Attachment', 'HotPlug')
        self.lab.restart_daemon(signal.SIGKILL)
        self.method(second, 'Attachment', 'HotUnplug')
        self.method(second, 'Attachment', 'Detach')
        with self.assertDBusError('AuthFailed') as expected:
            self.inline(self.both, self.wrong)
        self.keep('an error message', expected.exception.message)
        self.inline(self.both, self.own)
        self.look_around()
        self.method(vm, 'Vm', 'Stop')
        self.machine.guest.close()

    # ---- where it could be

    def keep(self, where, text):
        text = text if isinstance(text, bytes) else text.encode(errors='replace')
        self.places[where] = self.places.get(where, b'') + text

    def keep_file(self, path):
        try:
            with open(path, 'rb') as f:
                self.keep(path, f.read())
        except FileNotFoundError:
            pass

    def look_around(self):
        for options in ((), ('--inactive',), ('--security-info',),
                        ('--inactive', '--security-info')):
            self.keep('domain XML ' + ' '.join(options), self.machine.xml(*options))
        self.keep('Describe', self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        self.keep('objects', repr(self.lab.client.managed()))
        self.keep('devices', repr(self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})))
        self.keep('jobs', repr([(job['Report'], job['Error'])
                                for job in self.lab.client.objects('Job').values()]))
        for line in self.lab.virsh('secret-list').splitlines():
            identity = line.split()[0]
            self.keep('libvirt secret', self.lab.virsh('secret-dumpxml', identity))
            refused = self.lab.run('virsh', 'secret-get-value', identity, check=False)
            self.assertNotEqual(refused.returncode, 0, 'the secret is not private')
        for directory, _, names in os.walk(STATE):
            if directory != FOLDER:
                for name in names:
                    self.keep_file(os.path.join(directory, name))
        for pattern in ('/var/log/libvirt/**', '/run/libvirt/**', '/etc/libvirt/**',
                        '/var/lib/libvirt/qemu/**', lab.WORK + '/*', '/run/directlun/**'):
            for path in glob.glob(pattern, recursive=True):
                if os.path.isfile(path) and path != self.bus:
                    self.keep_file(path)

    def search(self):
        self.end_recording()
        self.keep_file(self.bus)
        for path in glob.glob(self.lab.logs + '/**', recursive=True):
            if os.path.isfile(path):
                self.keep_file(path)
        for where in (self.bus, self.lab.logs + '/directlund.log', self.lab.logs + '/libvirtd.log',
                      STATE + '/directlun.db', '/var/log/libvirt/qemu/guest.log',
                      'domain XML --security-info', 'Describe', 'jobs', 'libvirt secret'):
            self.assertGreater(len(self.places.get(where, b'')), 20, where + ' was not recorded')
        self.assertTrue(any(b'qemu-system' in text and b'secret' in text
                            for where, text in self.places.items() if where.endswith('/cmdline')),
                        'no command line of a QEMU with a secret was seen')
        self.keep('control', base64.b64encode(b'x' + self.own.encode() + b'y'))
        found = [(kind, where) for kind, secret in self.kinds().items() for form in forms(secret)
                 for where, text in self.places.items() if form in text]
        self.assertEqual(found, [('own', 'control')])

    def kinds(self):
        return {'own': self.own, 'theirs': self.theirs, 'wrong': self.wrong}

    def assert_kept(self, *wanted):
        """Exactly these secrets are in files, and nobody but the service can read them."""
        uid = pwd.getpwnam(lab.USER).pw_uid
        found = os.stat(FOLDER)
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid), (0o700, uid))
        content = []
        for name in os.listdir(FOLDER):
            path = os.path.join(FOLDER, name)
            found = os.lstat(path)
            self.assertTrue(stat.S_ISREG(found.st_mode), path)
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid), (0o600, uid), path)
            with open(path) as f:
                content.append(f.read())
        self.assertEqual(sorted(content), sorted(wanted))

    # ---- the tests

    def test_pain_18_secrets_are_nowhere(self):
        self.discover_and_connect()
        self.assert_kept(self.own, self.own, self.theirs)
        self.assertEqual(self.lab.virsh('secret-list').strip(), '')
        self.use()
        vm = self.vm(self.machine)
        self.assertEqual(self.lab.virsh('secret-list').count('directlun-'), 2)
        for path in self.get(vm, 'Vm', 'Attachments'):
            self.method(path, 'Attachment', 'Detach')
        lab.wait_until(lambda: not self.lab.virsh('secret-list').strip(), 5,
                       'libvirt forgetting the secrets that no VM needs')
        self.remove_credentials(self.one)
        self.assertIs(self.get(self.paths[self.one], 'Target', 'HasCredentials'), False)
        self.method(self.paths[self.both], 'Target', 'Unmanage')
        self.method(self.paths[self.both], 'Target', 'Forget')
        self.assert_kept()
        self.look_around()
        self.search()

    def test_removed_while_a_vm_has_the_disk(self):
        with secret_fd(self.own) as fd:
            self.discover(port=3261, user='reader', secret=GLib.Variant('h', 0), fds=(fd,))
        self.set_credentials(self.one, self.own)
        self.method(self.paths[self.one], 'Target', 'Connect')
        path = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.assertEqual(self.lab.virsh('secret-list').count('directlun-'), 1)
        self.remove_credentials(self.one)
        self.assertEqual(self.lab.virsh('secret-list').strip(), '')
        with self.assertDBusError('NoHostAvailable') as expected:
            self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertIn('AuthFailed', expected.exception.message)
        self.method(path, 'Attachment', 'Detach')


@unittest.skipUnless('DL_RELEASE' in os.environ, 'no release build is given (DL_RELEASE)')
class Memory(TestCase):
    """The release build's own memory: nobody makes a file of it."""

    services = ('bus', 'polkit', 'tgt')

    @classmethod
    def prepare(cls):
        cls.lab.binary = lambda: os.environ['DL_RELEASE'] + '/src/directlund'
        cls.lab._write_launcher()
        cls.secret = unguessable()
        cls.one = cls.lab.add_target('one', user='reader', password=cls.secret)

    def setUp(self):
        self.path = self.target(self.one)
        with secret_fd(self.secret) as fd:
            self.call(self.path, 'Target', 'SetCredentials', '(sha{sv})', 'reader', 0, {},
                      fds=(fd,))
        self.method(self.path, 'Target', 'Connect')
        self.pid = self.lab.owner_pid()

    def test_no_other_process_of_the_user_may_look(self):
        for name in ('mem', 'environ', 'maps'):
            self.assertEqual(os.stat('/proc/%d/%s' % (self.pid, name)).st_uid, 0)
            refused = self.lab.run_as(lab.USER, 'cat', '/proc/%d/%s' % (self.pid, name),
                                      check=False)
            self.assertNotEqual(refused.returncode, 0, name)

    def test_no_core_even_if_somebody_allows_it(self):
        with open('/proc/%d/limits' % self.pid) as f:
            limit, = (line.split()[4:6] for line in f if line.startswith('Max core file size'))
        self.assertEqual(limit, ['0', '0'])
        self.lab.run('prlimit', '--core=unlimited', '--pid', str(self.pid), check=False)
        directory = os.readlink('/proc/%d/cwd' % self.pid)
        before = set(os.listdir(directory))
        os.kill(self.pid, signal.SIGABRT)
        self.assertTrue(lab.wait_exit(self.pid))
        self.assertEqual({name for name in set(os.listdir(directory)) - before
                          if name.startswith('core')}, set())

    def test_what_a_dump_would_have(self):
        """The secret is kept in pages that are not dumped; only a login has it elsewhere."""
        excluded, _ = self.copies()
        self.assertGreater(excluded, 0)
        lab.wait_until(lambda: self.copies()[1] == [], 5, 'the login having forgotten the secret')

    def copies(self):
        """How many there are in pages that are not dumped, and the areas that have others."""
        others, excluded = [], 0
        with open('/proc/%d/smaps' % self.pid) as f, open('/proc/%d/mem' % self.pid, 'rb') as mem:
            area = None
            for line in f:
                words = line.split()
                if '-' in words[0] and not words[0].endswith(':'):
                    area = [int(x, 16) for x in words[0].split('-')], words[1]
                elif words[0] == 'VmFlags:' and area and area[1].startswith('rw'):
                    (start, end), _ = area
                    mem.seek(start)
                    count = mem.read(end - start).count(self.secret.encode())
                    if 'dd' in words:
                        excluded += count
                    elif count:
                        others.append(hex(start))
        return excluded, others
