# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real host for tests: Debian booted by its own systemd in a container of systemd-nspawn.

The caller is in namespaces of its own (see run): the host shares their network, so that a target on
127.0.0.1 is its target too, unless it is given a Network of its own; whatever is left of it dies with
them. Its cgroup is below the one that is made, and in the end removed, by cgroup(), outside of them.
"""

import contextlib
import glob
import json
import os
import pwd
import re
import signal
import subprocess
import time

BUS_NAME = 'org.ovirt.DirectLun'
BOOT_DEADLINE = 60.0
COMMAND_DEADLINE = 120.0
_PREFIX = 'directlun-hosts-'
_ENVIRONMENT = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': '/root', 'LC_ALL': 'C.UTF-8',
                'TERM': 'dumb'}


def wait_until(condition, timeout=15.0, what='something that was expected', interval=0.05):
    """Polls until condition() is true; its value. AssertionError after the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError('%s did not happen within %.0f s' % (what, timeout))
        time.sleep(interval)


def _hierarchies():
    """Where systemd keeps its cgroups on this machine: one place, or two of the hybrid layout."""
    if os.path.exists('/sys/fs/cgroup/cgroup.procs'):
        return ['/sys/fs/cgroup']
    return [path for path in ('/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified')
            if os.path.isdir(path)]


@contextlib.contextmanager
def cgroup():
    """Makes the cgroup of a host; when the host is gone, removes it with all that is below."""
    hierarchies = _hierarchies()
    for path in [p for h in hierarchies for p in glob.glob('%s/%s*' % (h, _PREFIX))]:
        if not os.path.exists('/proc/' + path.rsplit('-', 1)[1]):  # of a run that was killed
            _remove_cgroup(path)
    paths = ['%s/%s%d' % (h, _PREFIX, os.getpid()) for h in hierarchies]
    for path in paths:
        os.mkdir(path)
    try:
        yield paths
    finally:
        for path in paths:
            wait_until(lambda path=path: _remove_cgroup(path), 10, 'the end of ' + path)


def _remove_cgroup(path):
    try:
        for directory, _, _ in os.walk(path, topdown=False):
            os.rmdir(directory)
    except OSError:  # a process in it has not quite ended
        return False
    return True


class Network:
    """A network of a host's own, with a cable to the caller's."""

    def __init__(self, name, here, there):
        """here, there: the addresses at the ends of the cable, of one /24."""
        self._holder = subprocess.Popen(['unshare', '--net', 'sleep', 'infinity'])
        pid = str(self._holder.pid)
        self.path = '/proc/%s/ns/net' % pid
        own = os.readlink('/proc/self/ns/net')
        wait_until(lambda: os.readlink(self.path) != own, 5, 'the network', 0.01)
        inside = ('nsenter', '--net=' + self.path, 'ip')
        for command in (
                ('ip', 'link', 'add', 'to-' + name, 'type', 'veth', 'peer', 'name', 'host0',
                 'netns', pid),
                ('ip', 'address', 'add', here + '/24', 'dev', 'to-' + name),
                ('ip', 'link', 'set', 'to-' + name, 'up'),
                (*inside, 'address', 'add', there + '/24', 'dev', 'host0'),
                (*inside, 'link', 'set', 'host0', 'up'), (*inside, 'link', 'set', 'lo', 'up')):
            subprocess.run(command, check=True)

    def remove(self):
        self._holder.kill()
        self._holder.wait()


class Host:
    """.leader: the pid of its PID 1, here."""

    def __init__(self, name, rootfs, workdir, cgroups, binds=(), network=None):
        """binds: (path here, path there) to be seen in the host, read-only."""
        self.name, self.workdir, self._network = name, workdir, network
        self.cgroups = ['%s/%s' % (path, name) for path in cgroups]
        self.root = workdir + '/root'
        self.console = workdir + '/console.log'
        self.process = self.leader = None
        self._binds = binds
        for directory in ('upper', 'work', 'root'):
            os.makedirs('%s/%s' % (workdir, directory))
        subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o',
                        'lowerdir=%s,upperdir=%s/upper,workdir=%s/work'
                        % (rootfs, workdir, workdir), self.root], check=True)
        self.write('/etc/hosts', '127.0.0.1 localhost %s\n::1 localhost\n' % name)

    # ---- its life

    def _enter_cgroup(self):
        for path in self.cgroups:
            os.makedirs(path, exist_ok=True)
            with open(path + '/cgroup.procs', 'w') as f:
                f.write('0')

    def _find_leader(self):
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as f:
            for child in f.read().split():
                try:
                    if os.readlink('/proc/%s/exe' % child).endswith('/systemd') and \
                            os.path.exists('/proc/%s/root/run/systemd/private' % child):
                        return int(child)
                except OSError:
                    pass
        if self.process.poll() is not None:
            with open(self.console, errors='replace') as f:
                raise RuntimeError('the host does not boot: ' + f.read()[-4000:])
        return None

    def boot(self):
        """Until systemd has nothing left to start."""
        command = ['nsenter', '--net=' + self._network.path] if self._network else []
        command += ['systemd-nspawn', '--quiet', '--directory=' + self.root, '--boot',
                    '--machine=' + self.name, '--hostname=' + self.name, '--register=no',
                    '--keep-unit', '--capability=all',
                    '--system-call-filter=bpf @keyring userfaultfd perf_event_open',
                    '--resolv-conf=off', '--timezone=off', '--link-journal=no', '--console=pipe']
        command += ['--bind-ro=%s:%s' % bind for bind in self._binds]
        with open(self.console, 'ab') as console:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                preexec_fn=self._enter_cgroup,
                # libvirt can do with nothing but the unified hierarchy
                env={**_ENVIRONMENT, 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1'})
        self.leader = wait_until(self._find_leader, BOOT_DEADLINE, 'systemd in the host', 0.02)
        state = self.run('systemctl', 'is-system-running', '--wait', check=False).stdout.strip()
        if state != 'running':
            raise RuntimeError('the host is %s:\n%s' % (
                state, self.run('systemctl', '--failed', '--no-legend', check=False).stdout))

    def power_off(self):
        """In order."""
        self.process.terminate()
        self.process.wait(BOOT_DEADLINE)
        self.leader = None

    def reboot(self, meanwhile=lambda: None):
        """In order; meanwhile: called when it is down."""
        self.run('systemctl', 'reboot', check=False)  # it may be killed by it
        self.process.wait(BOOT_DEADLINE)
        meanwhile()
        self.boot()

    def cut_power(self):
        """Nothing in it gets another instruction."""
        os.kill(self.leader, signal.SIGKILL)
        self.process.wait(BOOT_DEADLINE)
        self.leader = None

    # ---- commands in it

    def command(self, *argv, user='root'):
        """The command line that runs argv in the host."""
        enter = ['nsenter', '--target', str(self.leader), '--mount', '--uts', '--ipc', '--pid',
                 '--net', '--cgroup', '--wdns=/']
        if user != 'root':
            account = self.account(user)
            enter += ['--setuid', str(account.pw_uid), '--setgid', str(account.pw_gid)]
        return [*enter, '--', *argv]

    def account(self, user):
        with open(self.root + '/etc/passwd') as f:
            for line in f:
                fields = line.rstrip('\n').split(':')
                if fields[0] == user:
                    return pwd.struct_passwd((*fields[:2], int(fields[2]), int(fields[3]),
                                              *fields[4:]))
        raise KeyError('the host has no user ' + user)

    def run(self, *argv, user='root', check=True, timeout=COMMAND_DEADLINE):
        """Runs a command in the host; what it printed, as text."""
        done = subprocess.run(self.command(*argv, user=user), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, env=_ENVIRONMENT)
        if check and done.returncode:
            raise AssertionError('%s: exit status %d: %s%s' % (' '.join(argv), done.returncode,
                                                               done.stdout, done.stderr))
        return done

    def write(self, path, text, mode=0o644):
        """Makes or replaces a file of the host."""
        path = self.root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + '~', 'w') as f:
            f.write(text)
        os.chmod(path + '~', mode)
        os.rename(path + '~', path)

    def path(self, path):
        """A file of the running host, as seen from here; short enough for a socket's address."""
        return '/proc/%d/root%s' % (self.leader, path)

    # ---- the service, through the tools that a person has

    def call(self, path, interface, method, *arguments, user='root'):
        """`busctl call`, with a signature and its values as busctl takes them: the reply's values.
        """
        done = self.run('busctl', '--json=short', '--timeout=60', 'call', BUS_NAME, path,
                        interface, method, *[str(a) for a in arguments], user=user)
        return json.loads(done.stdout)['data'] if done.stdout.strip() else []

    def get(self, path, interface, name, user='root'):
        """`busctl get-property`."""
        done = self.run('busctl', '--json=short', 'get-property', BUS_NAME, path, interface, name,
                        user=user)
        return json.loads(done.stdout)['data']

    def error(self, path, interface, method, *arguments, user='root', destination=BUS_NAME):
        """`gdbus call`, with GVariant texts, for the name of the error and its message: None if the
        call succeeds."""
        done = self.run('gdbus', 'call', '--system', '--dest', destination, '--object-path', path,
                        '--method', '%s.%s' % (interface, method), *arguments, user=user,
                        check=False)
        if done.returncode == 0:
            return None
        found = re.search(r'GDBus\.Error:([\w.]+): (.*)', done.stderr)
        if not found:
            raise AssertionError('%s by %s failed otherwise: %s' % (method, user, done.stderr))
        return found.group(1), found.group(2).strip()

    def owner(self, name=BUS_NAME):
        """The unique name of the owner of a bus name, or None; activates nothing."""
        done = self.run('busctl', '--json=short', 'call', 'org.freedesktop.DBus',
                        '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetNameOwner', 's', name,
                        check=False)
        return json.loads(done.stdout)['data'][0] if done.returncode == 0 else None

    def unit(self, *properties, unit='directlund.service'):
        """Properties of a unit, as text by their names."""
        text = self.run('systemctl', 'show', unit, '--property=' + ','.join(properties)).stdout
        return dict(line.split('=', 1) for line in text.splitlines())

    def wait_unit(self, state, timeout=15.0):
        """Waits until the service's unit is in a state (ActiveState)."""
        wait_until(lambda: self.unit('ActiveState')['ActiveState'] == state, timeout,
                   'directlund.service being ' + state)

    def main_pid(self):
        """The service's process, by its number in the host; 0 if there is none."""
        return int(self.unit('MainPID')['MainPID'])

    def journal(self, *options):
        return self.run('journalctl', '--no-pager', '--quiet', '--boot', *options).stdout
