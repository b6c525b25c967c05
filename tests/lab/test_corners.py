# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is not everyday: several portals, LUNs with one GUID, high numbers, full buses, CHAP and a
libvirtd that forgot its secrets, VMs with disks of others."""

import socket

from gi.repository import GLib

import lab
import portals
from service import ROOT, TestCase, object_path, secret_fd

MIB = 1 << 20
SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2'}}
NAA = '6001405aaaaaaaaaaaaaaaaaaaaaaaaa'


class Portals(TestCase):
    """A target with two portals, of which one may be away."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.lab.tgtds['tgt'].stop()
        cls.lab.start_tgtd('tgt', '127.0.0.1', 3260, portals=(('127.0.0.2', 3260),))
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('guest').start()

    def test_both(self):
        path = self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', self.one.iqn,
                         [('127.0.0.1', 3260, 1), ('127.0.0.2', 3260, 1)], {})
        self.addCleanup(self.method, path, 'Target', 'Forget')
        self.method(path, 'Target', 'Connect')
        self.assertEqual(sorted(self.get(path, 'Target', 'Portals')),
                         [('127.0.0.1', 3260, 1), ('127.0.0.2', 3260, 1)])
        self.assertEqual(self.get(path, 'Target', 'State'), 'connected')
        device, = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
        self.assertEqual(sorted(p['connection'] for p in device['pathlist']),
                         ['127.0.0.1', '127.0.0.2'])
        self.method(path, 'Target', 'Unmanage')

    def test_pain_5_one_dead_portal(self):
        silent = portals.Silent()
        self.addCleanup(silent.stop)
        path = self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', self.one.iqn,
                         [('127.0.0.1', silent.port, 1)], {})
        self.addCleanup(self.method, path, 'Target', 'Forget')
        self.addCleanup(self.method, path, 'Target', 'Unmanage')
        self.discover()
        self.method(path, 'Target', 'Connect')
        self.wait_property(path, 'Target', 'State', 'degraded')
        states = {port: state for _, port, state, _ in self.get(path, 'Target', 'PortalStates')}
        self.assertEqual(states, {3260: 'connected', silent.port: 'failed'})
        attachment = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.method(attachment, 'Attachment', 'Detach')
        for vdisk in self.lab.client.objects('VDisk'):
            self.method(vdisk, 'VDisk', 'Delete')


class Luns(TestCase):
    """LUNs that are not what they seem, or have unusual numbers."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.machine = cls.lab.define_vm('guest').start()

    def tearDown(self):
        self.detach_all(self.machine)

    def test_two_luns_with_one_guid(self):
        twins = [self.lab.add_target('twin%d' % n, luns=0) for n in (1, 2)]
        lun = twins[0].add_lun(1, 8 * MIB, naa=NAA, serial='first')
        twins[1].add_lun(1, 12 * MIB, naa=NAA, serial='second')
        for twin in twins:
            path = self.target(twin)
            try:
                self.method(path, 'Target', 'Connect')
            except lab.client.DBusError as error:
                self.assertEqual(error.name, lab.BUS_NAME + '.Error.GuidNotUnique')
        found = self.lab.client.get_all(object_path('luns', lun.guid), 'Lun')
        self.assertEqual(found['Status'], 'unusable')
        self.assertTrue(found['Reason'])
        with self.assertDBusError('GuidNotUnique'):
            self.attach(self.machine, {'GUID': lun.guid})
        self.assertEqual(self.machine.guest.disks(), {})

    def test_one_lun_through_two_targets(self):
        """The same LUN, seen twice: two paths of one device."""
        both = []
        for n in (1, 2):  # equal numbers in two tgtds, for tgtd has them in page 0x83
            self.lab.start_tgtd('way%d' % n, '127.0.0.1', 3270 + n)
            both.append(self.lab.add_target('way%d' % n, luns=0, tgtd='way%d' % n))
        naa = '6001405bbbbbbbbbbbbbbbbbbbbbbbbb'
        luns = [target.add_lun(1, 8 * MIB, naa=naa, serial='same') for target in both]
        for target in both:
            self.connect(target)
        device, = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                            {'guids': [luns[0].guid]})
        self.assertEqual(sorted(p['iqn'] for p in device['pathlist']), [t.iqn for t in both])
        path = self.attach(self.machine, {'GUID': luns[0].guid})
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)

    def test_high_numbers(self):
        target = self.lab.add_target('high', luns=0)
        luns = [target.add_lun(number, (number % 7 + 1) * MIB) for number in (1, 255, 256, 300)]
        self.connect(target)
        for lun in luns:
            with self.subTest(lun.number):
                path = self.attach(self.machine, {'GUID': lun.guid, 'iface': 'scsi'})
                self.machine.guest.wait_disks(
                    lambda disks, size=lun.size: [d[0] for d in disks.values()] == [size])
                self.method(path, 'Attachment', 'Detach')
                self.machine.guest.wait_disks(lambda disks: not disks)

    def test_write_protected(self):
        target = self.lab.add_target('protected', luns=0)
        lun = target.add_lun(1, 4 * MIB, readonly=True)
        self.connect(target)
        path = self.attach(self.machine, {'GUID': lun.guid, 'readonly': True})
        disks = self.machine.guest.wait_disks(lambda found: len(found) == 1)
        self.assertEqual(self.machine.guest.check('cat /sys/block/%s/ro' % list(disks)[0]).strip(),
                         '1')
        self.method(path, 'Attachment', 'Detach')

    def test_blocks_of_4096(self):
        target = self.lab.add_target('large', luns=0)
        lun = target.add_lun(1, 8 * MIB, blocksize=4096)
        self.connect(target)
        found = self.lab.client.get_all(object_path('luns', lun.guid), 'Lun')
        self.assertEqual((found['LogicalBlockSize'], found['Capacity']), (4096, 8 * MIB))
        self.attach(self.machine, {'GUID': lun.guid})
        self.machine.guest.wait_disks(lambda disks: [d[0] for d in disks.values()] == [8 * MIB])

    def test_more_disks_than_ports(self):
        """There is no free PCIe port any more: an error, and nothing left of the attempt."""
        target = self.lab.add_target('many', luns=12, size=MIB)
        self.connect(target)
        attached, error = [], None
        for lun in target.luns.values():
            try:
                attached.append(self.attach(self.machine, {'GUID': lun.guid}))
            except lab.client.DBusError as raised:
                error = raised
                break
        self.assertIsNotNone(error)
        self.assertEqual(error.name, lab.BUS_NAME + '.Error.LimitsExceeded')
        self.assertEqual(sorted(self.get(self.vm(self.machine), 'Vm', 'Attachments')),
                         sorted(attached))
        self.assertNotIn(target.luns[len(attached) + 1].guid, self.machine.xml())
        self.machine.guest.wait_disks(lambda disks: len(disks) == len(attached))
        self.assert_consistent()

    def test_interfaces_that_do_not_plug(self):
        target = self.lab.add_target('ata')
        self.connect(target)
        for iface in ('ide', 'sata'):
            with self.subTest(iface):
                with self.assertRaises(lab.client.DBusError):
                    self.attach(self.machine, {'GUID': target.luns[1].guid, 'iface': iface})
                self.assertEqual(self.get(self.vm(self.machine), 'Vm', 'Attachments'), [])

    def test_disk_that_we_do_not_manage(self):
        target = self.lab.add_target('foreign')
        self.connect(target)
        lun = target.luns[1]
        path = lab.WORK + '/foreign.xml'
        with open(path, 'w') as f:
            f.write("<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
                    "<source protocol='iscsi' name='%s/1'><host name='127.0.0.1' port='3260'/>"
                    "</source><target dev='vdz' bus='virtio'/></disk>" % target.iqn)
        self.lab.virsh('attach-device', 'guest', path)
        self.addCleanup(self.machine.guest.wait_disks, lambda disks: not disks)
        self.addCleanup(self.lab.virsh, 'detach-device', 'guest', path)
        other = self.lab.define_vm('other')
        self.addCleanup(self.lab.virsh, 'undefine', 'other')
        lab.wait_until(lambda: self.get(object_path('luns', lun.guid), 'Lun', 'Status') == 'used',
                       what='the foreign use being seen')
        with self.assertDBusError('InUse') as expected:
            self.attach(other, {'GUID': lun.guid})
        self.assertIn('guest', expected.exception.message)


class Secrets(TestCase):
    """CHAP for QEMU: libvirt gets the secret when it needs it, and forgets it with us."""

    settings = SETTINGS
    PASSWORD = 'chap-secret-for-qemu'

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('chap', user='reader', password=cls.PASSWORD)
        cls.machine = cls.lab.define_vm('guest')

    def test_run_with_chap_again_and_again(self):
        target = self.target(self.one)
        with secret_fd(self.PASSWORD) as fd:
            self.call(target, 'Target', 'SetCredentials', '(sha{sv})', 'reader', 0, {}, fds=(fd,))
        self.method(target, 'Target', 'Connect')
        self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        vm = self.vm(self.machine)
        for round_of in ('first', 'after libvirtd forgot', 'after the service was started again'):
            with self.subTest(round_of):
                self.assertEqual(self.call(vm, 'Vm', 'Run', '(asa{sv})', [], {}),
                                 socket.gethostname())
                self.machine.wait_booted()
                self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
                self.assertNotIn(self.PASSWORD, self.machine.xml('--security-info'))
                self.machine.guest.close()
                self.method(vm, 'Vm', 'Stop')
                if round_of == 'first':
                    self.lab.kill('libvirtd')
                    self.lab.launch_libvirtd()
                    lab.wait_until(self.libvirt_is_back, 30, 'the service finding libvirt again')
                else:
                    self.lab.restart_daemon()
        seen = self.lab.run('virsh', '-q', 'secret-list')
        for line in seen.splitlines():
            value = self.lab.run('virsh', '-q', 'secret-get-value', line.split()[0], check=False)
            self.assertNotEqual(value.returncode, 0, 'a secret that everybody can read')
        self.detach_all(self.machine)

    def libvirt_is_back(self):
        return self.get(object_path('hosts', socket.gethostname()), 'Host', 'State') == 'up'


class Many(TestCase):
    services = ('bus', 'polkit', 'tgt')

    def test_many_targets_and_luns(self):
        """50 targets of 10 LUNs, all connected at once; the list has them all."""
        for n in range(50):
            self.lab.add_target('t%d' % n, luns=10, size=MIB)
        paths = self.discover()
        self.assertEqual(len(paths), 50)
        pending = [self.lab.client.start(path, lab.BUS_NAME + '.Target', 'Connect', '(a{sv})', {})
                   for path in paths]
        for p in pending:
            p.wait()
        devices = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {
            'refresh': GLib.Variant('b', True)})
        self.assertEqual(len(devices), 500)
        self.assertEqual({d['status'] for d in devices}, {'free'})
        self.assertEqual({self.get(path, 'Target', 'State') for path in paths}, {'connected'})
