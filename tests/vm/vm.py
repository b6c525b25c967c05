# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests in the machine share: the installed service, LIO, a nested guest.

    class TestSomething(vm.TestCase):
        def test_it(self):
            target = self.add_target({1: self.add_disk('one', 48 << 20)})
            storage.log_in(target)
            ...

Everything that a test makes by these methods goes with it (addCleanup, the last first).
"""

import os
import shutil
import time
import unittest

import client
import guest
import lio
import service
import storage
from image import WORK
from lab import BUS_NAME, ROOT, wait_until

__all__ = ['BUS_NAME', 'ROOT', 'TestCase', 'UNIT', 'lio', 'wait_until']

UNIT = 'directlund.service'
IQN = 'iqn.2026-11.org.ovirt.test:'
_IMAGES = '/var/lib/libvirt/images/guest'
_CONSOLES = '/var/lib/libvirt/qemu/'


class TestCase(service.Calls, unittest.TestCase):
    maxDiff = None
    boot = 0       # how often the power was cut for this test: see cut_power()
    report = None  # to the other side

    @classmethod
    def setUpClass(cls):
        storage.flush_maps()
        lio.clear()
        cls.client = client.Client()
        cls.addClassCleanup(cls.client.close)

    # ---- the machine

    def cut_power(self):
        """Does not come back: the machine boots, and the same test is run again with a .boot that
        is one higher (setUpClass before it too)."""
        self.report.write('{"event": "cut", "test": "%s", "text": ""}\n' % self._testMethodName)
        self.report.flush()
        while True:
            time.sleep(1)

    @staticmethod
    def unit(*properties, unit=UNIT):
        text = storage.run('systemctl', 'show', unit, '--property=' + ','.join(properties))
        return dict(line.split('=', 1) for line in text.splitlines())

    # ---- storage

    def add_disk(self, name, size, **options):
        return lio.Disk(name, size, **options)

    def add_target(self, luns, name='vm', portals=lio.PORTALS):
        """An iSCSI target with LUNs: number → Disk."""
        self.addCleanup(lio.clear)
        target = lio.Target(IQN + name, portals)
        for number, disk in luns.items():
            target.map(number, disk)
        return target

    def log_in(self, target):
        self.addCleanup(storage.log_out, target)
        self.addCleanup(storage.flush_maps)
        storage.log_in(target)

    # ---- the service

    def assertDBusError(self, name):
        return client.ExpectedError(self, name)

    def found_target(self, target):
        """The path of a target's object, found at its first portal."""
        path = service.object_path('targets', target.iqn)
        if path not in self.client.objects('Target'):
            self.assertIn(path, self.discover(target.portals()[0].split(':')[0], lio.PORT))
        return path

    def with_device(self, name):
        """The LUN of the disk that the kernel calls so; None: there is none."""
        for lun in self.client.objects('Lun').values():
            if name in [path.get('device') for path in lun['Paths']]:
                return lun
        return None

    def way_of(self, guid):
        """What data path auto would be now."""
        facts = self.call(service.object_path('luns', guid), 'Lun', 'Explain', '(a{sv})', {})
        return [fact['name'] for fact in facts if fact['about'] == 'data-path'][0]

    def connect(self, target, **options):
        path = self.found_target(target)
        self.addCleanup(self._forget, path)
        self.method(path, 'Target', 'Connect', **{'data-path': 'qemu', **options})
        return path

    def _forget(self, path):
        self.method(path, 'Target', 'Unmanage')
        self.method(path, 'Target', 'Forget')

    # ---- guests

    @staticmethod
    def _define(add_cleanup, name='guest', devices='', **options):
        if not os.path.exists(_IMAGES):
            shutil.copytree(WORK + '/guest', _IMAGES)
        xml = '/run/%s.xml' % name
        with open(xml, 'w') as f:
            f.write(guest.domain_xml(name, '6d616c00-1ab0-4000-8000-%012x' % len(name), _IMAGES,
                                     TestCase._console(name), devices, kind='kvm', **options))
        storage.run('virsh', '-q', 'define', xml)
        return TestCase._known(add_cleanup, name)

    @staticmethod
    def _console(name):
        return '%s%s.console' % (_CONSOLES, name)

    @staticmethod
    def _known(add_cleanup, name):
        add_cleanup(storage.run, 'virsh', '-q', 'undefine', name, check=False)
        add_cleanup(storage.run, 'virsh', '-q', 'destroy', name, check=False)
        known = guest.Guest(TestCase._console(name))
        known.name = name
        add_cleanup(known.close)
        return known

    def known_guest(self, name='guest'):
        """One that was defined before the power was cut."""
        return self._known(self.addCleanup, name)

    @staticmethod
    def _start(defined):
        storage.run('virsh', '-q', 'start', defined.name, timeout=120)
        return defined.wait_booted(180)

    def define_guest(self, *arguments, **options):
        """A guest in this machine, by KVM as the processor here is told to have it; off."""
        return self._define(self.addCleanup, *arguments, **options)

    def start_guest(self, *arguments, **options):
        """The same, booted."""
        return self._start(self.define_guest(*arguments, **options))

    @classmethod
    def start_class_guest(cls, *arguments, **options):
        """The same, for all tests of the class."""
        return cls._start(cls._define(cls.addClassCleanup, *arguments, **options))

    @staticmethod
    def install_sg(running):
        with open(_IMAGES + '/sg', 'rb') as f:
            running.install('/sg', f.read())

    @staticmethod
    def pid_of(running):
        """The process of a guest."""
        with open('/run/libvirt/qemu/%s.pid' % running.name) as f:
            return int(f.read())
