# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of real hosts share: hosts with the service installed, a target, VMs."""

import subprocess
import unittest

import guest
import tgt
from host import BUS_NAME, Host

ROOT = '/org/ovirt/DirectLun'
MANAGER, TARGET, VDISK, VM, ATTACHMENT = (
    BUS_NAME + '.' + name for name in ('Manager', 'Target', 'VDisk', 'Vm', 'Attachment'))
UNIT = 'directlund.service'
IMAGES = '/var/lib/images'
CONSOLE = '/var/lib/libvirt/qemu/%s.console'
NAA = '60014050000000000000000000000%03x'
INITIATOR = 'iqn.2026-11.org.ovirt.test:initiator'
SETTINGS = '''[Daemon]
LogLevel=debug
IdleExitSec=1
JobLingerSec=0.5
'''


def guid(lun):
    return '3' + NAA % lun


def plain(dictionary):
    """An a{sv} as busctl prints it, without the types."""
    return {name: value['data'] for name, value in dictionary.items()}


class HostCase(unittest.TestCase):
    maxDiff = None
    settings = None  # set by run
    host = None      # the one that helpers mean if they are not told

    # ---- what a class is set up of

    @classmethod
    def boot_host(cls, name, network=None):
        settings = cls.settings
        host = Host(name, settings['rootfs'], '%s/%s' % (settings['workdir'], name),
                    settings['cgroups'], [(settings['images'], IMAGES)], network)
        host.boot()
        return host

    @classmethod
    def start_target(cls, address='127.0.0.1', portals=()):
        cls.tgtd = tgt.Tgtd(address, 3260, cls.settings['workdir'] + '/tgt', portals).start()

    @classmethod
    def add_target(cls, iqn, sizes):
        """sizes: bytes of each LUN, by its number, which is its GUID's too; the target's tid."""
        tid = cls.tgtd.add_target(iqn)
        for lun, size in sizes.items():
            cls.tgtd.add_lun(tid, lun, cls.backing(lun), size, scsi_id='naa.' + NAA % lun,
                             serial='host-%d' % lun, vendor='LAB', product='DISK')
        cls.tgtd.bind(tid)
        return tid

    @classmethod
    def backing(cls, lun):
        return '%s/lun-%d' % (cls.settings['workdir'], lun)

    @classmethod
    def install(cls, host, settings=SETTINGS):
        """What a package does."""
        done = subprocess.run(['meson', 'install', '-C', cls.settings['build'], '--no-rebuild',
                               '--quiet', '--destdir', host.root], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError('meson install: ' + done.stdout[-4000:])
        host.run('systemd-sysusers')
        host.run('systemd-tmpfiles', '--create')
        host.run('systemctl', 'daemon-reload')
        host.run('systemctl', 'reload', 'dbus.service')
        host.write('/etc/directlun/directlund.conf', settings)
        host.write('/etc/iscsi/initiatorname.iscsi', 'InitiatorName=%s\n' % INITIATOR, 0o600)

    @staticmethod
    def define_vm(host, name, uuid):
        """Its Guest."""
        host.write('/root/%s.xml' % name, guest.domain_xml(name, uuid, IMAGES, CONSOLE % name))
        host.run('virsh', '-q', 'define', '/root/%s.xml' % name)
        return HostCase.guest_on(host, name)

    @staticmethod
    def guest_on(host, name):
        """The Guest of a VM, as long as the host is not booted again."""
        return guest.Guest(host.path(CONSOLE % name))

    # ---- helpers

    @staticmethod
    def log_of(host):
        return host.journal('--lines=80', *('--unit=' + unit for unit in (
            UNIT, 'dbus.service', 'polkit.service', 'libvirtd.service')))

    def logs(self):
        """What the host says about a failure."""
        return self.log_of(self.host)

    def manager(self, method, *arguments, user='root', host=None):
        return (host or self.host).call(ROOT, MANAGER, method, *arguments, user=user)

    def objects(self, interface, user='root', host=None):
        """path → properties of all objects with an interface."""
        found = (host or self.host).call(ROOT, 'org.freedesktop.DBus.ObjectManager',
                                         'GetManagedObjects', user=user)[0]
        return {path: plain(interfaces[interface]) for path, interfaces in found.items()
                if interface in interfaces}
