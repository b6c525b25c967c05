# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab: the whole stack as processes in private namespaces (see namespace.py), for tests.

    class TestSomething(lab.TestCase):
        services = ('bus', 'polkit', 'tgt', 'libvirt')     # what setUpClass starts; any subset

        def test_it(self):
            target = self.lab.add_target('one', luns=2)
            path, = self.lab.client.call(ROOT, MANAGER, 'DiscoverTargets', '(sqa{sv})',
                                         '127.0.0.1', 3260, {})[0]

What `meson install` installs is in place (bus policy, activation file, polkit actions, the
account); the first call activates directlund as the user directlun, from the build in DL_BUILD,
with the configuration that lab.configure() wrote. Tests run by tests/lib/runner.py, each class in
namespaces of its own; logs are in lab.logs and shown when something fails. A class fails at its end
if a sanitizer or GLib complained of the daemon, or it did not exit cleanly.
"""

import glob
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

import client
import guest
import tgt

BUS_NAME = 'org.ovirt.DirectLun'
ROOT = '/org/ovirt/DirectLun'
MANAGER = BUS_NAME + '.Manager'
IQN_PREFIX = 'iqn.2026-11.org.ovirt.test:'
INITIATOR = IQN_PREFIX + 'initiator'
WORK = '/run/lab'
USER = 'directlun'

_ACTIVATION = '/usr/share/dbus-1/system-services/%s.service' % BUS_NAME
_UNIT = '/usr/lib/systemd/system/directlund.service'
_START_DEADLINE = 30.0

# Of the daemon; a test class adds to or overrides them with its `settings`.
DEFAULT_SETTINGS = {
    'Daemon': {'LogLevel': 'debug', 'IdleExitSec': '0'},
    'iSCSI': {'InitiatorName': INITIATOR},
    'Libvirt': {'Uri': 'qemu:///system'},
    'Paths': {'StateDirectory': '/var/lib/directlun'},
}

_LIBVIRTD_CONF = '''
unix_sock_group = "%(group)s"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "%(perms)s"
auth_unix_ro = "none"
auth_unix_rw = "%(auth)s"
log_outputs = "4:stderr"
'''
_QEMU_CONF = '''
stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
'''


def wait_until(condition, timeout=10.0, what='something that was expected', interval=0.02):
    """Polls until condition() is true; its value. AssertionError after the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError('%s did not happen within %.0f s' % (what, timeout))
        time.sleep(interval)


def wait_exit(pid, timeout=10.0):
    """Waits until a process, anybody's child, has ended; False if it has not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(fd)


class Target:
    """A target of the lab's tgtd: .iqn, .tid, .luns: number → Lun."""

    def __init__(self, lab, tgtd, name):
        self.lab, self.tgtd, self.name = lab, tgtd, name
        self.iqn = IQN_PREFIX + name
        self.tid = tgtd.add_target(self.iqn)
        self.luns = {}

    @property
    def address(self):
        return self.tgtd.address

    @property
    def port(self):
        return self.tgtd.port

    def add_lun(self, number, size, naa=None, **options):
        naa = naa or '6001405%016x%02x%07x' % (hash_of(self.name), self.tid & 0xff, number)
        path = '%s/luns/%s-%d.img' % (WORK, self.name, number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        options.setdefault('vendor', 'LAB')
        options.setdefault('product', 'DISK')
        options.setdefault('serial', '%s-%d' % (self.name, number))
        self.tgtd.add_lun(self.tid, number, path, size, scsi_id='naa.' + naa, **options)
        self.luns[number] = Lun(self, number, path, size, '3' + naa, options['serial'])
        return self.luns[number]

    def show(self, lun):
        """Once more: a LUN that is there no more."""
        self.tgtd.add_lun(self.tid, lun.number, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                          serial=lun.serial, vendor='LAB', product='DISK')

    def come_back(self):
        """After its tgtd was stopped: starts that if need be, and is there again with its LUNs, open
        to everybody."""
        if self.tgtd.process is None:
            self.tgtd.start()
        self.tid = self.tgtd.add_target(self.iqn)
        for lun in self.luns.values():
            self.show(lun)
        self.tgtd.bind(self.tid)


class Lun:
    """A LUN of a Target: .number, .guid, .size, .serial, and the file behind it."""

    def __init__(self, target, number, path, size, guid, serial):
        self.target, self.number, self.path = target, number, path
        self.size, self.guid, self.serial = size, guid, serial

    def read(self, offset, length):
        with open(self.path, 'rb') as f:
            f.seek(offset)
            return f.read(length)

    def write(self, offset, data):
        with open(self.path, 'r+b') as f:
            f.seek(offset)
            f.write(data)

    def resize(self, size):
        """As an array does: the same LUN, with another size from one command to the next."""
        self.target.tgtd.remove_lun(self.target.tid, self.number)
        os.truncate(self.path, size)
        self.size = size
        self.target.show(self)


def hash_of(name):
    """Small and the same in every run."""
    value = 0
    for byte in name.encode():
        value = (value * 131 + byte) & 0xffffffffffffff
    return value


class Vm:
    """A libvirt domain of the lab; .guest is its serial shell while it runs."""

    def __init__(self, lab, name, uuid):
        self.lab, self.name, self.uuid = lab, name, uuid
        self.console = '%s/%s.console' % (WORK, name)
        self.guest = guest.Guest(self.console)

    def start(self):
        self.lab.virsh('start', self.name)
        return self.wait_booted()

    def wait_booted(self):
        self.guest.wait_booted()
        return self

    def destroy(self):
        self.guest.close()
        self.lab.virsh('destroy', self.name)

    def state(self):
        return self.lab.virsh('domstate', self.name).strip()

    def xml(self, *options):
        return self.lab.virsh('dumpxml', self.name, *options)


class Lab:
    def __init__(self, services=('bus', 'polkit', 'tgt', 'libvirt'), settings=None):
        self.services = services
        self.logs = os.environ.get('DL_LAB_LOGS', WORK + '/logs')
        self.build = os.environ['DL_BUILD']
        self.processes = {}
        self.tgtds = {}
        self.vms = {}
        self.settings = {}
        self._client = None
        os.makedirs(self.logs, exist_ok=True)
        os.makedirs(self.logs + '/sanitizer', exist_ok=True)
        os.chmod(self.logs, 0o755)
        os.chmod(self.logs + '/sanitizer', 0o1777)
        self.install()
        self.configure(settings or {})

    # ---- the service as installed

    def install(self):
        """Puts what meson installs into this world, with an activation that needs no systemd."""
        if 'DL_DEST' in os.environ:
            # Not ".": tar would close the real / to others for a moment, and all labs share it.
            self.run('sh', '-ec', 'cd "$DL_DEST"; tar -c -- * | tar -C / -x --no-same-owner '
                     '--no-overwrite-dir --keep-directory-symlink')
        else:
            self.run('meson', 'install', '-C', self.build, '--no-rebuild', '--quiet')
        for conf in glob.glob('/usr/lib/sysusers.d/directlun*.conf'):
            self.run('systemd-sysusers', conf)
        try:
            account = pwd.getpwnam(USER)
        except KeyError:
            self.run('useradd', '--system', '--no-create-home', '--shell', '/usr/sbin/nologin',
                     USER)
            account = pwd.getpwnam(USER)
        for directory, mode in (('/var/lib/directlun', 0o700), ('/run/directlun', 0o711)):
            os.makedirs(directory, mode=mode, exist_ok=True)
            os.chown(directory, account.pw_uid, account.pw_gid)
        self._write_launcher()

    def binary(self):
        if os.path.exists(_UNIT):
            with open(_UNIT) as f:
                found = re.search(r'^ExecStart=[-@:+!]*(\S+)', f.read(), re.M)
            if found:
                return found.group(1)
        return self.build + '/src/directlund'

    def _write_launcher(self):
        report = self.logs + '/sanitizer/report'
        with open(WORK + '/directlund', 'w') as f:
            f.write('#!/bin/sh\n[ ! -e %s/environment ] || . %s/environment\n' % (WORK, WORK))
            f.write('exec >>%s/directlund.log 2>&1 </dev/null\n'
                    'export DIRECTLUND_CONFIG=%s/directlund.conf LANG=C.UTF-8\n'
                    'export ASAN_OPTIONS=log_path=%s:detect_leaks=1:strict_string_checks=1'
                    '$MORE_ASAN\n'
                    'export UBSAN_OPTIONS=log_path=%s:print_stacktrace=1\n'
                    'exec setpriv --reuid=%s --regid=%s --init-groups --no-new-privs '
                    '--inh-caps=-all,+net_admin --ambient-caps=+net_admin '
                    '--bounding-set=-all,+net_admin %s\n'
                    % (self.logs, WORK, report, report, USER, USER, self.binary()))
        os.chmod(WORK + '/directlund', 0o755)
        with open(_ACTIVATION, 'w') as f:
            f.write('[D-BUS Service]\nName=%s\nExec=%s/directlund\nUser=root\n' % (BUS_NAME, WORK))

    def configure(self, settings):
        """Writes the daemon's configuration; it takes effect at its next start."""
        merged = {group: dict(values) for group, values in DEFAULT_SETTINGS.items()}
        for group, values in settings.items():
            merged.setdefault(group, {}).update(values)
        with open(WORK + '/directlund.conf', 'w') as f:
            for group, values in merged.items():
                f.write('[%s]\n' % group)
                f.writelines('%s=%s\n' % item for item in values.items() if item[1] is not None)
        self.settings = merged

    def environment(self, **variables):
        """More environment for the daemon; it takes effect at its next start, until the next."""
        with open(WORK + '/environment', 'w') as f:
            f.writelines('export %s=%s\n' % item for item in variables.items())

    # ---- processes

    def run(self, *argv, timeout=60, check=True, **options):
        """Runs a command and returns its output; AssertionError with its words if it fails."""
        result = subprocess.run(argv, stdin=options.pop('stdin', subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, errors='replace', timeout=timeout, **options)
        if check and result.returncode:
            raise AssertionError('%s: exit status %d: %s%s' % (
                ' '.join(argv), result.returncode, result.stdout, result.stderr))
        return result.stdout if check else result

    def run_as(self, user, *argv, **options):
        """The same as another user without any privilege."""
        gid = str(pwd.getpwnam(user).pw_gid)
        return self.run('setpriv', '--reuid=' + user, '--regid=' + gid, '--clear-groups', '--',
                        *argv, **options)

    def spawn(self, name, *argv, **options):
        """Starts a background process whose output goes to a log of its name."""
        with open('%s/%s.log' % (self.logs, name), 'ab') as log:
            self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log,
                                                    stderr=log, **options)
        return self.processes[name]

    def kill(self, name, sig=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(sig)
        process.wait(10)

    def start(self):
        if 'bus' in self.services:
            self.start_bus()
        if 'polkit' in self.services:
            self.start_polkit()
        if 'tgt' in self.services:
            self.start_tgtd()
        if 'libvirt' in self.services:
            self.start_libvirtd()
        return self

    def start_bus(self):
        self.run('dbus-uuidgen', '--ensure')
        self.spawn('bus', 'dbus-daemon', '--system', '--nofork', '--nopidfile')
        wait_until(lambda: os.path.exists('/run/dbus/system_bus_socket'), what='the bus')

    def start_polkit(self):
        self.run('busctl', '--system', 'call', 'org.freedesktop.PolicyKit1',
                 '/org/freedesktop/PolicyKit1/Authority', 'org.freedesktop.DBus.Peer', 'Ping')

    def polkit_rules(self, text):
        """Replaces the lab's own polkit rules (JavaScript); polkitd starts again with them."""
        with open('/etc/polkit-1/rules.d/00-lab.rules', 'w') as f:
            f.write(text)
        os.chmod('/etc/polkit-1/rules.d', 0o755)
        pid = self.owner_pid('org.freedesktop.PolicyKit1')
        if pid:
            os.kill(pid, signal.SIGTERM)
            if not wait_exit(pid):
                raise AssertionError('polkitd does not end')
        wait_until(lambda: not self.owner_pid('org.freedesktop.PolicyKit1'), what='polkitd ending')
        self.start_polkit()

    def start_tgtd(self, name='tgt', address='127.0.0.1', port=3260, portals=()):
        tgtd = tgt.Tgtd(address, port, '%s/%s' % (WORK, name), portals=portals)
        tgtd.start()
        self.tgtds[name] = tgtd
        return tgtd

    def add_target(self, name, luns=1, size=16 << 20, tgtd='tgt', user=None, password=None):
        """A target with LUNs 1 … n of its own sizes, open to everybody, or to a CHAP user."""
        target = Target(self, self.tgtds[tgtd], name)
        for number in range(1, luns + 1):
            target.add_lun(number, size)
        if user:
            target.tgtd.add_account(user, password, target.tid)
        target.tgtd.bind(target.tid)
        return target

    # ---- libvirt

    def start_libvirtd(self):
        rules = glob.glob('/usr/share/polkit-1/rules.d/*directlun*.rules') + \
            glob.glob('/etc/polkit-1/rules.d/*directlun*.rules')
        with open('/etc/libvirt/libvirtd.conf', 'a') as f:
            f.write(_LIBVIRTD_CONF % (
                {'group': 'root', 'perms': '0777', 'auth': 'polkit'} if rules else
                {'group': USER, 'perms': '0770', 'auth': 'none'}))
        with open('/etc/libvirt/qemu.conf', 'a') as f:
            f.write(_QEMU_CONF)
        self.launch_libvirtd()

    def launch_libvirtd(self):
        """Starts libvirtd (again), configured as it is."""
        self.spawn('libvirtd', 'libvirtd')
        wait_until(lambda: self.run('virsh', '-q', 'version', check=False).returncode == 0,
                   _START_DEADLINE, 'libvirtd starting', 0.05)

    def virsh(self, *argv, timeout=60):
        return self.run('virsh', '-q', *argv, timeout=timeout)

    def define_vm(self, name, uuid=None, devices='', machine='q35', agent=False,
                  kernel=guest.CLOUD):
        """Defines a guest with an empty set of disks, and QEMU's agent or not; not started."""
        uuid = uuid or '6d616c00-1ab0-4000-8000-%012x' % (hash_of(name) & 0xffffffffffff)
        vm = Vm(self, name, uuid)
        path = '%s/%s.xml' % (WORK, name)
        with open(path, 'w') as f:
            f.write(guest.domain_xml(name, uuid, guest.image(kernel), vm.console, devices,
                                     guest.MEMORY[kernel], machine, agent))
        self.virsh('define', path)
        self.vms[name] = vm
        return vm

    # ---- the daemon

    @property
    def client(self):
        """root's client; kept, so that its jobs are one client's."""
        if self._client is None:
            self._client = client.Client()
        return self._client

    def owner_pid(self, name=BUS_NAME):
        """The process that owns a bus name now, or None; does not activate it."""
        return self.client.owner_pid(name)

    def start_daemon(self):
        """Activates the daemon, as any call would; its pid."""
        self.client.start_service(BUS_NAME)
        return self.owner_pid()

    def stop_daemon(self, sig=signal.SIGTERM):
        """Ends the daemon, if it runs, and waits until its name is free."""
        pid = self.owner_pid()
        if pid is None:
            return
        os.kill(pid, sig)
        if not wait_exit(pid, 20):
            os.kill(pid, signal.SIGKILL)
            raise AssertionError('the daemon does not end after signal %d' % sig)
        wait_until(lambda: self.owner_pid() != pid, what='its name being released')

    def restart_daemon(self, sig=signal.SIGTERM):
        self.stop_daemon(sig)
        return self.start_daemon()

    def complaints(self):
        """What sanitizers and GLib said of the daemon; empty if all is well."""
        text = ''
        for path in sorted(glob.glob(self.logs + '/sanitizer/*')):
            with open(path, errors='replace') as f:
                text += f.read()
        log = self.logs + '/directlund.log'
        if os.path.exists(log):
            with open(log, errors='replace') as f:
                text += ''.join(line for line in f if re.search(r'(CRITICAL|WARNING) \*\*:', line))
        return text

    # ---- the end

    def stop(self):
        """Ends everything that was started, the daemon cleanly."""
        try:
            if 'bus' in self.processes:
                self.stop_daemon()
        finally:
            for vm in self.vms.values():
                vm.guest.close()
                if 'libvirtd' in self.processes:
                    self.run('virsh', '-q', 'destroy', vm.name, check=False)
            for tgtd in self.tgtds.values():
                tgtd.stop()
            if self._client:
                self._client.close()
            for name in list(self.processes):
                self.kill(name)
            shutil.rmtree(WORK + '/luns', ignore_errors=True)


class TestCase(unittest.TestCase):
    """A class of tests that share a lab."""

    services = ('bus', 'polkit', 'tgt', 'libvirt')
    settings = {}
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab = Lab(cls.services, cls.settings)
        try:
            cls.lab.start()
            cls.prepare()
        except BaseException:
            cls.lab.stop()
            raise

    @classmethod
    def prepare(cls):
        """For what a class needs besides its services, once."""

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()
        complaints = cls.lab.complaints()
        if complaints:
            raise AssertionError('the daemon is not well:\n' + complaints[:6000])
        super().tearDownClass()

    def assertDBusError(self, name):
        """A context in which a call must fail with this error: a full name, or the last part of one
        of ours. Its .exception has .name and .message."""
        return client.ExpectedError(self, name if '.' in name else BUS_NAME + '.Error.' + name)
