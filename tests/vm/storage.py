# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the test machine's kernel makes of storage: iSCSI sessions, maps of multipath, host adapters
and disks, as they are in sysfs. And two sources of disks that are not LIO's: scsi_debug and NVMe.
"""

import glob
import os
import re
import subprocess

import lio
from lab import wait_until


def run(*argv, check=True, timeout=60):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout)
    if check and done.returncode:
        raise AssertionError('%s: exit status %d: %s%s' % (' '.join(argv), done.returncode,
                                                           done.stdout, done.stderr))
    return done.stdout


def read(path):
    """A file of sysfs, without the end of the line; '' if there is none."""
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return ''


def settle():
    run('udevadm', 'settle', '--timeout=60', timeout=70)


# ---- sessions

def log_in(target):
    """The kernel's sessions with all portals of a target."""
    for portal in target.portals():
        run('iscsiadm', '-m', 'node', '-o', 'new', '-T', target.iqn, '-p', portal)
    run('iscsiadm', '-m', 'node', '-T', target.iqn, '--login')


def log_out(target):
    run('iscsiadm', '-m', 'node', '-T', target.iqn, '--logout')
    run('iscsiadm', '-m', 'node', '-o', 'delete', '-T', target.iqn)


def sessions():
    """(id, target, address of the portal) of each session that is logged in, by the latter two: those
    of several portals log in side by side."""
    found = []
    for path in glob.glob('/sys/class/iscsi_session/session*'):
        number = path.rsplit('session', 1)[1]
        if read(path + '/state') == 'LOGGED_IN':
            found.append((int(number), read(path + '/targetname'), read(
                '/sys/class/iscsi_connection/connection%s:0/persistent_address' % number)))
    return sorted(found, key=lambda session: (*session[1:], session[0]))


def rescan():
    run('iscsiadm', '-m', 'session', '--rescan')


# ---- disks

class Path:
    """A SCSI disk: .name (sdX), .hctl, .state, .size"""

    def __init__(self, name):
        device = '/sys/block/' + name
        self.name = name
        self.hctl = os.path.basename(os.path.realpath(device + '/device'))
        self.state = read(device + '/device/state')
        self.size = int(read(device + '/size') or 0) * 512
        self.wwid = read(device + '/device/wwid')

    def set_state(self, state):
        """'offline' fails what it is asked to do, 'running' ends that."""
        with open('/sys/block/%s/device/state' % self.name, 'w') as f:
            f.write(state + '\n')

    def rescan(self):
        with open('/sys/block/%s/device/rescan' % self.name, 'w') as f:
            f.write('1')

    def delete(self):
        with open('/sys/block/%s/device/delete' % self.name, 'w') as f:
            f.write('1')


def disks(guid=None):
    """The SCSI disks, or those of a GUID."""
    found = [Path(os.path.basename(path)) for path in sorted(glob.glob('/sys/block/sd*'))]
    return [path for path in found if not guid or path.wwid == 'naa.' + guid[1:]]


class Map:
    """A map of multipath: .device (dm-N), .name, .paths (names), .size"""

    def __init__(self, device):
        self.device = device
        self.name = read('/sys/block/%s/dm/name' % device)
        self.paths = sorted(os.listdir('/sys/block/%s/slaves' % device))
        self.size = int(read('/sys/block/%s/size' % device)) * 512

    def path_states(self):
        """name → 'A' (active) or 'F' (failed), as the kernel has it."""
        numbers = {read('/sys/block/%s/dev' % name): name for name in self.paths}
        status = run('dmsetup', 'status', self.name)
        return {numbers[number]: state
                for number, state in re.findall(r'(\d+:\d+) ([AF]) \d+', status)}


def find_map(guid):
    for path in glob.glob('/sys/block/dm-*'):
        if read(path + '/dm/uuid') == 'mpath-' + guid:
            return Map(os.path.basename(path))
    return None


def wait_map(guid, paths=2, timeout=60):
    """Until multipathd has made a map with that many paths, and udev its link; the map."""
    def there():
        found = find_map(guid)
        return found and len(found.paths) == paths and \
            os.path.exists('/dev/disk/by-id/dm-uuid-mpath-' + guid) and found
    return wait_until(there, timeout, 'the map of %s with %d paths' % (guid, paths), 0.2)


def flush_maps():
    """All that nobody uses."""
    run('multipath', '-F', check=False)


# ---- Fibre Channel

def fc_hosts():
    """port name → state of each host adapter."""
    return {read(path + '/port_name'): read(path + '/port_state')
            for path in glob.glob('/sys/class/fc_host/*')}


# ---- scsi_debug

class ScsiDebug:
    """A disk in memory, of an adapter that can be told to misbehave."""

    def __init__(self, size=16 << 20, luns=1, **options):
        self.stop()
        lio.load('sd_mod')
        before = {path.name for path in disks()}
        run('modprobe', 'scsi_debug', 'dev_size_mb=%d' % (size >> 20), 'max_luns=%d' % luns,
            *('%s=%s' % option for option in options.items()))
        self.disks = wait_until(lambda: self._new(before, luns), 30, 'the disks of scsi_debug')

    @staticmethod
    def _new(before, count):
        new = [path for path in disks() if path.name not in before and path.size]
        return new if len(new) == count else None

    @staticmethod
    def grow(gib):
        """It says so with the next command, as an array does."""
        with open('/sys/bus/pseudo/drivers/scsi_debug/virtual_gb', 'w') as f:
            f.write(str(gib))

    @staticmethod
    def stop():
        if os.path.exists('/sys/module/scsi_debug'):
            wait_until(ScsiDebug._unload, 30, 'the end of scsi_debug', 0.3)

    @staticmethod
    def _unload():
        flush_maps()  # multipathd may be about to make one
        return subprocess.run(['modprobe', '-r', 'scsi_debug'], capture_output=True).returncode == 0


# ---- NVMe over TCP

class Nvme:
    """A subsystem with one namespace, at a portal of this machine."""

    ROOT = '/sys/kernel/config/nvmet'
    PORT = 4420

    def __init__(self, disk_size=16 << 20, nqn='nqn.2026-11.org.ovirt.test:vm'):
        lio.load('nvmet', 'nvmet-tcp', 'nvme-tcp', 'loop')
        self.nqn, self.size = nqn, disk_size
        self.file = '/var/lib/nvme.img'
        with open(self.file, 'wb') as f:
            f.truncate(disk_size)
        self._subsystem = '%s/subsystems/%s' % (self.ROOT, nqn)
        self._port = self.ROOT + '/ports/1'
        namespace = self._subsystem + '/namespaces/1'
        os.makedirs(namespace)
        for path, text in ((self._subsystem + '/attr_allow_any_host', '1'),
                           (namespace + '/device_path', self.file), (namespace + '/enable', '1')):
            lio._write(path, text)
        os.mkdir(self._port)
        for name, text in (('trtype', 'tcp'), ('adrfam', 'ipv4'), ('traddr', '127.0.0.1'),
                           ('trsvcid', str(self.PORT))):
            lio._write('%s/addr_%s' % (self._port, name), text)
        os.symlink(self._subsystem, '%s/subsystems/%s' % (self._port, nqn))

    def connect(self):
        """The names of the namespaces' disks."""
        run('nvme', 'connect', '-t', 'tcp', '-a', '127.0.0.1', '-s', str(self.PORT), '-n', self.nqn)
        return wait_until(lambda: [name for name in os.listdir('/sys/block')
                                   if re.fullmatch(r'nvme\d+n\d+', name)], 30, 'the namespace')

    def remove(self):
        run('nvme', 'disconnect', '-n', self.nqn, check=False)
        os.unlink('%s/subsystems/%s' % (self._port, self.nqn))
        for directory in (self._port, self._subsystem + '/namespaces/1', self._subsystem):
            os.rmdir(directory)
        os.unlink(self.file)
