# SPDX-License-Identifier: LGPL-2.1-or-later
"""What breaks around the service while VMs have disks: its own disk is full, libvirtd dies, the
target dies, hangs or comes back as another."""

import contextlib
import json
import os
import pwd
import re
import time
from xml.etree import ElementTree

import client
import lab
from service import ROOT, TestCase, object_path, secret_fd, vdisk_id

STATE = '/var/lib/directlun'
LONG = 'x' * 4096
ANSWER_DEADLINE = 45.0
OTHER = '6001405' + 25 * 'c'  # somebody else's NAA
ENGINE_UNAVAILABLE = lab.BUS_NAME + '.Error.EngineUnavailable'
SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '1', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2',
                      'CheckIntervalSec': '1'}}


class StoreFull(TestCase):
    """There is no room under the state directory: nothing is changed, everything is told, VMs run."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        account = pwd.getpwnam(lab.USER)
        cls.lab.run('mount', '-t', 'tmpfs', '-o', 'size=1M,mode=0700,uid=%d,gid=%d' % (
            account.pw_uid, account.pw_gid), 'none', STATE)
        cls.one = cls.lab.add_target('one', luns=3)
        cls.unused = cls.lab.add_target('unused')
        cls.machine = cls.lab.define_vm('guest').start()

    def setUp(self):
        self.target_path = self.connect(self.one, pin=True)
        self.plugged = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.vdisk_path = object_path('vdisks', vdisk_id(self.one.luns[1].guid))
        self.unused_path = self.connect(self.unused)
        self.method(self.unused_path, 'Target', 'Unmanage')
        with secret_fd('a secret of unused') as fd:
            self.call(self.unused_path, 'Target', 'SetCredentials', '(sha{sv})', 'user', 0, {},
                      fds=(fd,))
        self.unused_vdisk, _ = self.create_vdisk(self.unused.luns[1].guid)
        self.addCleanup(self.clean)

    def clean(self):
        self.make_room()
        self.detach_all(self.machine)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')

    def fill(self):
        """To the last byte, SQLite's own reserves included."""
        with contextlib.suppress(OSError), open(STATE + '/ballast', 'wb', 0) as f:
            while True:
                f.write(b'x' * 4096)
        for n in range(500):
            try:
                self.method(self.vdisk_path, 'VDisk', 'Update', description='%d%s' % (n, LONG[:4000]))
            except client.DBusError as error:
                self.assertEqual(error.name, ENGINE_UNAVAILABLE, error.message)
                return
        self.fail('the store is never full')

    def make_room(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(STATE + '/ballast')

    def state(self):
        """All but what the service itself may look at again by itself."""
        return {path: value for path, value in self.lab.client.managed().items()
                if '/jobs/' not in path}

    def mutations(self):
        two, three = self.one.luns[2].guid, self.one.luns[3].guid
        return (
            (self.vdisk_path, 'VDisk', 'Update', '(a{sv})', {'description': LONG}),
            (self.vm(self.machine), 'Vm', 'AttachDisk', '(a{sv}a{sv})', {'GUID': two}, {}),
            (self.vm(self.machine), 'Vm', 'AttachDisk', '(a{sv}a{sv})', {
                'GUID': two, 'plug': False}, {}),
            (self.plugged, 'Attachment', 'HotUnplug', '(a{sv})', {}),
            (self.plugged, 'Attachment', 'Detach', '(a{sv})', {}),
            (ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', three, {}),
            (ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', 'iqn.2026-11.org.example:full',
             [('127.0.0.1', 3999, 1)], {}),
            (self.target_path, 'Target', 'Unmanage', '(a{sv})', {'force': True}),
            (self.unused_vdisk, 'VDisk', 'Delete', '(a{sv})', {}),
            (self.unused_path, 'Target', 'Forget', '(a{sv})', {}))

    def test_nothing_is_changed_and_vms_run(self):
        name, = self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.fill()
        before, xml = self.state(), self.machine.xml()
        for path, interface, method, signature, *values in self.mutations():
            with self.subTest(method), self.assertDBusError('EngineUnavailable'):
                self.call(path, interface, method, signature, *values)
        with self.subTest('SetCredentials'), secret_fd('a secret of one') as fd:
            with self.assertDBusError('EngineUnavailable'):
                self.call(self.target_path, 'Target', 'SetCredentials', '(sha{sv})', 'user', 0, {},
                          fds=(fd,))
        self.assertEqual(self.state(), before)
        self.assertEqual(self.machine.xml(), xml)
        self.assert_consistent()
        # reading, and what needs no record
        self.assertEqual(len(self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {
            'refresh': True})), 4)
        self.assertIn(self.one.iqn, self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        self.machine.guest.write(name, 512, b'written while the store is full'.ljust(512, b'.'))
        self.assertIn(b'while the store is full', self.one.luns[1].read(512, 512))
        # and when there is room again
        self.make_room()
        self.method(self.plugged, 'Attachment', 'HotUnplug')
        self.method(self.plugged, 'Attachment', 'HotPlug')
        second = self.attach(self.machine, {'GUID': self.one.luns[2].guid})
        self.machine.guest.wait_disks(lambda disks: len(disks) == 2)
        secrets = os.listdir(STATE + '/secrets')
        self.assertTrue(secrets)
        self.method(self.unused_vdisk, 'VDisk', 'Delete')
        self.method(self.unused_path, 'Target', 'Forget')
        self.assertEqual(os.listdir(STATE + '/secrets'), [])
        after = self.state()
        self.lab.restart_daemon()
        self.method(self.target_path, 'Target', 'Rescan')
        self.assertEqual(set(self.state()), set(after))
        self.assertIs(self.get(second, 'Attachment', 'Plugged'), True)
        self.assert_consistent()


class LibvirtdDies(TestCase):
    """libvirtd is killed at any moment of an operation: the caller is told, and what is true is
    found out and completed or taken back when it is there again."""

    settings = SETTINGS
    # What may be told of an operation that libvirtd left alone.
    TOLD = {'LibvirtError', 'TimedOut', 'GuestDidNotRelease', 'VmNotRunning', 'AlreadyAttached'}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('guest').start()

    def is_back(self):
        hosts = self.lab.client.objects('Host').values()
        vms = self.lab.client.objects('Vm')
        return all(host['State'] == 'up' for host in hosts) and \
            vms.get(object_path('vms', self.machine.uuid), {}).get('State') == 'running'

    def attached(self):
        """The attachment's properties, or None, when nothing of the operation is under way."""
        lab.wait_until(lambda: all(job['State'] != 'running'
                                   for job in self.lab.client.objects('Job').values()), 40,
                       'all jobs ending')
        return next(iter(self.lab.client.objects('Attachment').items()), (None, None))

    def assert_told_the_truth(self):
        """The service, libvirt's two domains and the guest say the same, although a libvirtd that
        is killed when QEMU has added the disk, and it has not noted that, never finds out."""
        lab.wait_until(lambda: self.agree(*self.facts()), 30, 'all saying the same')
        self.assert_consistent()
        self.assertEqual(len(self.nodes()), 2 * self.facts()[1])

    def facts(self):
        """How many disks the guest and libvirt's domains have; the attachment's properties."""
        return (len(self.machine.guest.disks()), self.machine.xml().count('<disk '),
                self.machine.xml('--inactive').count('<disk '), self.attached()[1])

    def agree(self, guest, live, inactive, properties):
        plugged = bool(properties and properties['Plugged'])
        return guest == live and plugged == bool(live) and \
            inactive in (live, int(bool(properties)))

    def interrupt(self, pending, seconds):
        time.sleep(seconds)  # the moment itself
        self.lab.kill('libvirtd')
        self.lab.launch_libvirtd()
        try:
            pending.wait(ANSWER_DEADLINE)
        except client.DBusError as error:
            self.assertIn(error.name.removeprefix(lab.BUS_NAME + '.Error.'), self.TOLD,
                          error.message)
        lab.wait_until(self.is_back, 30, 'the service finding libvirtd again')
        self.assert_told_the_truth()

    def qemu(self, command, **arguments):
        answer = json.loads(self.lab.virsh('qemu-monitor-command', self.machine.name, json.dumps(
            {'execute': command, 'arguments': arguments})))
        self.assertNotIn('error', answer)
        return answer['return']

    def nodes(self):
        """Of disks, in QEMU: one of the protocol and one of the format each."""
        return [node['node-name'] for node in self.qemu('query-named-block-nodes', flat=True)
                if node['node-name'].startswith('libvirt-')]

    def leave(self, number, device):
        """What a libvirtd leaves in QEMU that dies after its first command of a plug, or its
        last."""
        storage, name = ('libvirt-%d-%s' % (number, what) for what in ('storage', 'format'))
        self.qemu('blockdev-add', driver='iscsi', portal='127.0.0.1:3260', target=self.one.iqn,
                  lun=1, transport='tcp', **{'node-name': storage})
        if device:
            self.qemu('blockdev-add', driver='raw', file=storage, **{'node-name': name})
            self.qemu('device_add', driver='virtio-blk-pci', drive=name, bus=self.free_port(),
                      id='ua-directlun-' + vdisk_id(self.one.luns[1].guid))

    def free_port(self):
        """QEMU's name of a PCIe port that has nothing in it."""
        root = ElementTree.fromstring(self.machine.xml())
        taken = {int(a.get('bus'), 0) for a in root.iter('address') if a.get('type') == 'pci'}
        return next(c.find('alias').get('name') for c in root.iter('controller')
                    if c.get('model') == 'pcie-root-port' and int(c.get('index')) not in taken)

    def next_node(self):
        """The number that libvirt gives to its next one."""
        with open('/run/libvirt/qemu/%s.xml' % self.machine.name) as f:
            found = re.search(r"<nodename index='(\d+)'/>", f.read())
        return int(found.group(1)) + 1 if found else 1

    def test_left_in_qemu(self):
        """The next plug removes it, and the guest has the disk once."""
        self.connect(self.one)
        self.assertEqual(self.nodes(), [])
        for ahead, device in ((0, False), (0, True), (7, True)):
            with self.subTest('%d ahead, with device: %r' % (ahead, device)):
                self.leave(self.next_node() + ahead, device)
                self.machine.guest.wait_disks(lambda disks: len(disks) == int(device))
                path = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
                self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
                self.assert_told_the_truth()
                self.method(path, 'Attachment', 'Detach')
                self.assertEqual(self.nodes(), [])

    def operate(self, path, interface, method, *values):
        signature = '(a{sv}a{sv})' if len(values) > 1 else '(a{sv})'
        return self.lab.client.start(path, lab.BUS_NAME + '.' + interface, method, signature,
                                     *values)

    def test_killed_in_the_middle(self):
        self.connect(self.one)
        vm = self.vm(self.machine)
        for n in range(4):
            with self.subTest('moment %d' % n):
                moment = 0.004 + n * 0.02
                self.interrupt(self.operate(vm, 'Vm', 'AttachDisk', {
                    'GUID': self.one.luns[1].guid}, {}), moment)
                path, properties = self.attached()
                if path is None:
                    path = self.attach(self.machine, {'GUID': self.one.luns[1].guid, 'plug': False})
                if not properties or not properties['Plugged']:
                    self.method(path, 'Attachment', 'HotPlug')
                self.interrupt(self.operate(path, 'Attachment', 'HotUnplug', {}), moment)
                path, properties = self.attached()
                self.interrupt(self.operate(path, 'Attachment', 'Detach', {}), moment)
                self.detach_all(self.machine)
                self.machine.guest.wait_disks(lambda disks: not disks)

    test_killed_in_the_middle.deadline = 240


class TargetDies(TestCase):
    """The target dies, hangs, or comes back as another, under a disk in use."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2)
        cls.machine = cls.lab.define_vm('guest').start()
        cls.bystander = cls.lab.define_vm('bystander')

    def setUp(self):
        self.tgtd = self.lab.tgtds['tgt']
        self.target_path = self.connect(self.one)
        self.path = self.attach(self.machine, {'GUID': self.one.luns[1].guid,
                                               'propagateErrors': 'on'})
        self.disk, = self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.addCleanup(self.clean)

    def clean(self):
        self.tgtd.kill()
        self.start_again(self.same())
        self.detach_all(self.machine)
        self.machine.guest.wait_disks(lambda disks: not disks)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')

    def start_again(self, luns):
        """The target comes back with these LUNs: number → NAA, serial, file."""
        self.tgtd.start()
        self.tgtd.add_target(self.one.iqn, self.one.tid)
        for number, (naa, serial, path) in luns.items():
            self.tgtd.add_lun(self.one.tid, number, path, 16 << 20, scsi_id='naa.' + naa,
                              serial=serial, vendor='LAB', product='DISK')
        self.tgtd.bind(self.one.tid)

    def same(self):
        return {number: (lun.guid[1:], lun.serial, lun.path)
                for number, lun in self.one.luns.items()}

    def wait_failed(self):
        self.wait_property(self.target_path, 'Target', 'State', 'failed', 15)
        self.assertTrue(self.get(self.target_path, 'Target', 'LastError')[0])
        self.assertIs(self.get(self.path, 'Attachment', 'Plugged'), True)
        self.assert_consistent()

    def assert_works(self):
        self.wait_property(self.target_path, 'Target', 'State', 'connected', 15)
        lab.wait_until(lambda: self.machine.guest.sh('dd if=/dev/%s of=/dev/null bs=4096 count=1'
                                                     % self.disk)[0] == 0, 30, 'the disk working')
        self.assertEqual(self.get(self.vm(self.machine), 'Vm', 'State'), 'running')

    def test_killed(self):
        self.tgtd.kill()
        self.wait_failed()
        with self.assertDBusError('PortalUnreachable'):
            self.attach(self.machine, {'GUID': self.one.luns[2].guid})
        self.start_again(self.same())
        self.assert_works()

    def test_stopped(self):
        self.tgtd.pause()
        self.wait_failed()
        began = time.monotonic()
        with self.assertDBusError('TimedOut'):
            self.attach(self.machine, {'GUID': self.one.luns[2].guid})
        self.assertLess(time.monotonic() - began, 15)
        self.machine.guest.check('true', 5)
        self.tgtd.resume()
        self.assert_works()

    def test_comes_back_with_other_luns(self):
        """The number of the disk in use shows somebody else's LUN now."""
        self.tgtd.kill()
        self.wait_failed()
        other = lab.WORK + '/luns/other.img'
        self.start_again({1: (OTHER, 'other', other)})
        lab.wait_until(lambda: self.get(self.path, 'Attachment', 'LastError')[0] == 'GuidMismatch',
                       15, 'the mismatch being told: %r' % (
                           self.get(self.path, 'Attachment', 'LastError'),))
        self.assertIn(self.one.luns[1].guid, self.get(self.path, 'Attachment', 'LastError')[1])
        self.assert_consistent()
        with open(self.lab.logs + '/directlund.log') as f:
            self.assertIn('the running VM guest reads and writes it', f.read())
        # what the VM has now is not what it should have, and nobody else's either
        stranger = object_path('luns', '3' + OTHER)
        self.assertEqual(self.get(stranger, 'Lun', 'Holders'), ['vm:guest'])
        self.assertEqual(self.get(stranger, 'Lun', 'Status'), 'used')
        with self.assertDBusError('InUse') as refused:
            self.attach(self.bystander, {'GUID': '3' + OTHER})
        self.assertIn('vm:guest', refused.exception.message)
        self.method(self.path, 'Attachment', 'HotUnplug')
        self.assertEqual(self.get(stranger, 'Lun', 'Holders'), [])
        with self.assertDBusError('GuidMismatch'):
            self.method(self.path, 'Attachment', 'HotPlug')
        self.tgtd.kill()
        self.start_again(self.same())
        self.method(self.path, 'Attachment', 'HotPlug')
        self.assert_works()
