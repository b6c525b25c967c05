# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel's SCSI target, LIO, in the test machine: LUNs with fixed identities, shown by iSCSI
portals, FCoE or as disks of the machine itself. All by its files in configfs.

    disk = lio.Disk('one', 48 << 20)
    target = lio.Target('iqn.2026-11.org.ovirt.test:vm')
    target.map(1, disk)
    ... disk.guid ...
    lio.clear()

A test class begins with lio.clear() too: what a power cut left behind went with the kernel, but the
class before may have failed.
"""

import contextlib
import glob
import hashlib
import os
import subprocess

ROOT = '/sys/kernel/config/target'
FILES = '/var/lib/lio'
PORTALS = ('127.0.0.1', '127.0.0.2')
PORT = 3260
_NAA = '6001405'  # of LIO; what follows are the first 25 hexadecimal digits of the serial


def _write(path, text):
    with open(path, 'w') as f:
        f.write(str(text))


def _run(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True).stdout.strip()


def load(*modules):
    _run('modprobe', '-a', *modules)


class Disk:
    """Something with blocks, not yet shown to anybody. .guid is what an initiator's kernel, udev
    and multipath call it. Two disks of one `identity` are the trouble that two LUNs of one GUID
    are. Only `growing` ones can grow(); their loop device is a disk of this machine too. `kept` ones
    have the data of before, if there is any, and keep it until forget()."""

    def __init__(self, name, size, identity=None, growing=False, kept=False):
        load('target_core_mod', 'target_core_file', 'target_core_iblock')
        self.name, self.size = name, size
        self.serial = hashlib.md5((identity or name).encode()).hexdigest()
        self.guid = '3' + (_NAA + self.serial)[:32]
        self.file = '%s/%s.%s' % (FILES, name, 'kept' if kept else 'img')
        os.makedirs(FILES, exist_ok=True)
        os.makedirs('/var/target/pr', exist_ok=True)  # for reservations that outlive a power cut
        with open(self.file, 'ab' if kept else 'wb') as f:
            f.truncate(size)
        self._loop = _run('losetup', '--find', '--show', self.file) if growing else None
        self.path = '%s/core/%s_0/%s' % (ROOT, 'iblock' if growing else 'fileio', name)
        os.makedirs(self.path)
        _write(self.path + '/control', 'udev_path=' + self._loop if growing else
               'fd_dev_name=%s,fd_dev_size=%d,fd_buffered_io=1' % (self.file, size))
        _write(self.path + '/enable', 1)
        _write(self.path + '/wwn/vpd_unit_serial', self.serial)

    def grow(self, size):
        os.truncate(self.file, size)
        _run('losetup', '--set-capacity', self._loop)
        self.size = size

    def forget(self):
        os.unlink(self.file)


class _Group:
    """A target port group: LUN numbers and what is there."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path)

    def map(self, number, disk):
        lun = '%s/lun/lun_%d' % (self.path, number)
        os.mkdir(lun)
        os.symlink(disk.path, lun + '/disk')
        return disk

    def unmap(self, number):
        lun = '%s/lun/lun_%d' % (self.path, number)
        os.unlink(lun + '/disk')
        os.rmdir(lun)

    def renumber(self, old, new, disk):
        self.unmap(old)
        self.map(new, disk)


class Target(_Group):
    """An iSCSI target that lets every initiator in, with a portal at each address."""

    def __init__(self, iqn, portals=PORTALS):
        load('iscsi_target_mod')
        self.iqn = iqn
        super().__init__('%s/iscsi/%s/tpgt_1' % (ROOT, iqn))
        for name, value in (('generate_node_acls', 1), ('demo_mode_write_protect', 0),
                            ('cache_dynamic_acls', 1), ('authentication', 0)):
            _write('%s/attrib/%s' % (self.path, name), value)
        for address in portals:
            self.portal_up(address)
        _write(self.path + '/enable', 1)

    def _portal(self, address):
        return '%s/np/%s:%d' % (self.path, address, PORT)

    def portal_up(self, address):
        os.mkdir(self._portal(address))

    def portal_down(self, address):
        """Nobody listens there any more, and the connections that were there end."""
        os.rmdir(self._portal(address))
        _run('ss', '--kill', '--tcp', '--no-header', 'src', address, 'sport', '= :%d' % PORT)

    def require_chap(self, user, secret, target_user='', target_secret=''):
        """Of everybody; with a target_user the target proves itself, to who asks for it."""
        for name, value in (('userid', user), ('password', secret),
                            ('userid_mutual', target_user), ('password_mutual', target_secret)):
            if value:
                _write('%s/auth/%s' % (self.path, name), value)
        _write(self.path + '/attrib/authentication', 1)

    def portals(self):
        return sorted(os.path.basename(path) for path in glob.glob(self.path + '/np/*'))


class Loop(_Group):
    """SCSI disks of the machine itself, without a network (tcm_loop)."""

    def __init__(self, naa):
        load('tcm_loop')
        super().__init__('%s/loopback/naa.%s/tpgt_1' % (ROOT, naa))
        _write(self.path + '/nexus', 'naa.' + naa[:-1] + ('0' if naa[-1] != '0' else '1'))


class FibreChannel(_Group):
    """A target on one end of a cable, a host adapter (fc_host) of this machine on the other: FCoE
    over a pair of virtual interfaces. What is shown has to be there before plug_in()."""

    _ENDS = {'fcoe-host': '02:00:00:00:00:0a', 'fcoe-target': '02:00:00:00:00:0b'}

    @staticmethod
    def _wwn(interface):
        return '20:00:' + FibreChannel._ENDS[interface]

    def __init__(self):
        load('tcm_fc', 'fcoe', 'veth', 'sd_mod')
        host, target = self._ENDS.items()
        _run('ip', 'link', 'add', host[0], 'address', host[1], 'mtu', '2500', 'type', 'veth',
             'peer', 'name', target[0], 'address', target[1], 'mtu', '2500')
        _run('ip', 'link', 'set', 'fcoe-target', 'up')
        self._fcoe('create_vn2vn', 'fcoe-target')
        super().__init__('%s/fc/%s/tpgt_1' % (ROOT, self._wwn('fcoe-target')))
        self._acl = '%s/acls/%s' % (self.path, self._wwn('fcoe-host'))
        os.mkdir(self._acl)

    @property
    def host_wwpn(self):
        return '0x' + self._wwn('fcoe-host').replace(':', '')

    @staticmethod
    def _fcoe(what, interface):
        _write('/sys/module/libfcoe/parameters/' + what, interface)

    def map(self, number, disk):
        super().map(number, disk)
        seen = '%s/lun_%d' % (self._acl, number)
        os.mkdir(seen)
        os.symlink('%s/lun/lun_%d' % (self.path, number), seen + '/lun')
        return disk

    def unmap(self, number):
        seen = '%s/lun_%d' % (self._acl, number)
        os.unlink(seen + '/lun')
        os.rmdir(seen)
        super().unmap(number)

    def plug_in(self):
        """The link comes up last: a frame that arrives while the adapter is being made stops a
        worker of Linux 6.1 by a null pointer, and the adapter stays deaf."""
        self._fcoe('create_vn2vn', 'fcoe-host')
        _run('ip', 'link', 'set', 'fcoe-host', 'up')

    def pull_out(self):
        self._fcoe('destroy', 'fcoe-host')

    @staticmethod
    def remove_cable():
        for interface in FibreChannel._ENDS:
            if os.path.exists('/sys/class/net/' + interface):
                with contextlib.suppress(OSError):
                    FibreChannel._fcoe('destroy', interface)
                _run('ip', 'link', 'delete', interface)
                break


def _remove_group(group):
    if os.path.exists(group + '/enable'):
        _write(group + '/enable', 0)
    for link in glob.glob(group + '/acls/*/lun_*/*') + glob.glob(group + '/lun/lun_*/*'):
        if os.path.islink(link):
            os.unlink(link)
    for pattern in ('/acls/*/lun_*', '/acls/*', '/lun/lun_*', '/np/*', ''):
        for directory in glob.glob(group + pattern):
            if os.path.isdir(directory):
                os.rmdir(directory)


def clear():
    """No target, no disk. Whoever uses them has to let go before."""
    for fabric in ('iscsi', 'loopback', 'fc'):
        for group in glob.glob('%s/%s/*/tpgt_*' % (ROOT, fabric)):
            if os.path.exists(group + '/nexus'):
                with contextlib.suppress(OSError):
                    _write(group + '/nexus', 'NULL')
            _remove_group(group)
            os.rmdir(os.path.dirname(group))
    FibreChannel.remove_cable()
    for disk in glob.glob(ROOT + '/core/*_[0-9]*/*/wwn'):
        os.rmdir(os.path.dirname(disk))
    for adapter in glob.glob(ROOT + '/core/*_[0-9]*'):
        os.rmdir(adapter)
    for file in glob.glob(FILES + '/*.img'):
        for loop in _run('losetup', '--noheadings', '--output', 'NAME', '--associated',
                         file).split():
            _run('losetup', '--detach', loop)
        os.unlink(file)
