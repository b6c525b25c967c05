# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attachments: into a running guest and out of it, and every way to say what to attach."""

import time

from gi.repository import GLib

import lab
from client import path_of
from service import NO_OBJECT, ROOT, SilentPortal, TestCase, object_path, secret_fd, vdisk_id

MIB = 1 << 20
UNKNOWN_GUID = '36001405ffffffffffffffffffffffff'


class RunningVm(TestCase):
    """One guest that runs all the time; every test leaves it without disks."""

    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        for number, size in ((2, 24 * MIB), (3, 32 * MIB)):
            cls.one.add_lun(number, size)
        cls.guest = cls.lab.define_vm('runner').start()

    def setUp(self):
        self.target_path = self.connect(self.one)
        self.addCleanup(self.clean)

    def clean(self):
        self.detach_all(self.guest)
        self.method(self.target_path, 'Target', 'Unmanage')
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        self.guest.guest.wait_disks(lambda disks: not disks)

    def sees(self, *luns):
        """Waits until the guest's disks have exactly these LUNs' sizes; their names by size."""
        disks = self.guest.guest.wait_disks(
            lambda found: sorted(size for size, _ in found.values()) ==
            sorted(lun.size for lun in luns))
        return {size: name for name, (size, _) in disks.items()}

    def test_whole_life_of_a_plugged_disk(self):
        lun = self.one.luns[2]
        vdisk, _ = self.create_vdisk(lun.guid)
        path = self.attach(self.guest, {'vdisk': path_of(vdisk), 'iface': 'virtio'})
        found = self.lab.client.get_all(path, 'Attachment')
        for name, value in {'VDisk': vdisk, 'Vm': self.vm(self.guest), 'Guid': lun.guid,
                            'Plugged': True, 'Iface': 'virtio', 'Device': 'disk',
                            'TargetDev': 'vda', 'Shared': False, 'Optional': False,
                            'ReadOnly': False, 'BootOrder': 0, 'LastError': ('', '')}.items():
            self.assertEqual(found[name], value, name)
        self.assertEqual(found['Address']['type'], 'pci')
        self.assertEqual(self.get(self.target_path, 'Target', 'Users'), [path])
        device, = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {'guids': [lun.guid]})
        self.assertEqual(device['status'], 'used')
        self.assertIn('vm:runner', self.get(object_path('luns', lun.guid), 'Lun', 'Holders'))
        self.assert_consistent()

        name = self.sees(lun)[lun.size]
        self.guest.guest.write(name, 4096, b'from the guest'.ljust(512, b'.'))
        self.assertEqual(lun.read(4096, 14), b'from the guest')
        lun.write(8192, b'from outside'.ljust(512, b'.'))
        self.assertEqual(self.guest.guest.read(name, 8192, 512)[:12], b'from outside')

        self.method(path, 'Attachment', 'HotUnplug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        self.sees()
        self.assertEqual(self.get(self.target_path, 'Target', 'Users'), [])
        self.assertIs(self.get(self.target_path, 'Target', 'Managed'), False)
        self.method(path, 'Attachment', 'HotUnplug')

        self.method(path, 'Attachment', 'HotPlug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.assertEqual(self.get(self.target_path, 'Target', 'State'), 'connected')
        self.assertEqual(self.get(self.target_path, 'Target', 'Users'), [path])
        name = self.sees(lun)[lun.size]
        self.assertEqual(self.guest.guest.read(name, 4096, 512)[:14], b'from the guest')
        self.method(path, 'Attachment', 'HotPlug')

        self.method(path, 'Attachment', 'Detach')
        self.sees()
        self.assertNotIn(path, self.lab.client.managed())
        self.assertEqual(self.get(self.vm(self.guest), 'Vm', 'Attachments'), [])
        self.assertEqual(self.get(vdisk, 'VDisk', 'Attachments'), [])
        self.assert_consistent()

    def test_pain_14_serial_is_the_vdisks_id(self):
        lun = self.one.luns[1]
        self.attach(self.guest, {'GUID': lun.guid, 'iface': 'scsi'})
        disks = self.guest.guest.wait_disks(lambda found: len(found) == 1)
        (name, (_, serial)), = disks.items()
        self.assertTrue(name.startswith('sd'), name)
        self.assertEqual(serial.replace('-', ''), vdisk_id(lun.guid).replace('-', ''))

    def test_by_guid_makes_the_vdisk(self):
        lun = self.one.luns[1]
        path = self.attach(self.guest, {'GUID': lun.guid, 'alias': 'named', 'description': 'why'})
        vdisk = self.get(path, 'Attachment', 'VDisk')
        self.assertEqual(vdisk, object_path('vdisks', vdisk_id(lun.guid)))
        self.assertEqual(self.get(vdisk, 'VDisk', 'Alias'), 'named')
        self.assertEqual(self.get(vdisk, 'VDisk', 'Description'), 'why')
        self.sees(lun)

    def test_the_dictionary_of_ovirt(self):
        """Strings, booleans and integers as oVirt's engine and VDSM write them."""
        for flags in ({'shared': 'False', 'optional': 'True', 'readonly': 'False'},
                      {'shared': False, 'optional': True, 'readonly': False},
                      {'shared': 0, 'optional': 1, 'readonly': 0},
                      {'shared': 'false', 'optional': 'true', 'readonly': 'false'}):
            with self.subTest(flags):
                path = self.attach(self.guest, {
                    'type': 'disk', 'device': 'disk', 'iface': 'scsi', 'index': 4,
                    'GUID': self.one.luns[1].guid, 'format': 'raw', 'propagateErrors': 'on',
                    'address': GLib.Variant('a{sv}', {
                        'type': GLib.Variant('s', 'drive'), 'controller': GLib.Variant('s', '0'),
                        'bus': GLib.Variant('s', '0'), 'target': GLib.Variant('s', '0'),
                        'unit': GLib.Variant('s', '5')}), **flags})
                found = self.lab.client.get_all(path, 'Attachment')
                self.assertEqual((found['Shared'], found['Optional'], found['ReadOnly'],
                                  found['PropagateErrors'], found['Iface'], found['Index']),
                                 (False, True, False, True, 'scsi', 4))
                self.assertEqual(found['Address'], {'type': 'drive', 'controller': '0', 'bus': '0',
                                                    'target': '0', 'unit': '5'})
                self.sees(self.one.luns[1])
                self.method(path, 'Attachment', 'Detach')
                self.sees()

    def test_address_as_strings(self):
        path = self.attach(self.guest, {
            'GUID': self.one.luns[1].guid, 'iface': 'scsi',
            'address': GLib.Variant('a{ss}', {'type': 'drive', 'controller': '0', 'bus': '0',
                                              'target': '0', 'unit': '3'})})
        self.assertEqual(self.get(path, 'Attachment', 'Address')['unit'], '3')

    def test_pci_address_given_is_used_again(self):
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid})
        address = self.get(path, 'Attachment', 'Address')
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'HotPlug')
        self.assertEqual(self.get(path, 'Attachment', 'Address'), address)

    def test_device_lun(self):
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid, 'iface': 'scsi',
                                        'device': 'lun'})
        self.assertEqual(self.get(path, 'Attachment', 'Device'), 'lun')
        self.sees(self.one.luns[1])
        with self.assertDBusError('UnsupportedInterface'):
            self.attach(self.guest, {'GUID': self.one.luns[2].guid, 'iface': 'virtio',
                                     'device': 'lun'})

    def test_read_only(self):
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid, 'readonly': 'True'})
        self.assertIs(self.get(path, 'Attachment', 'ReadOnly'), True)
        name = self.sees(self.one.luns[1])[self.one.luns[1].size]
        self.assertEqual(self.guest.guest.check('cat /sys/block/%s/ro' % name).strip(), '1')

    def test_inline_lun(self):
        target = self.lab.add_target('inline')
        lun = target.luns[1]
        path = self.attach(self.guest, {'iface': 'virtio', 'lun': {
            'type': 'iscsi', 'address': '127.0.0.1', 'port': GLib.Variant('q', 3260),
            'target': target.iqn, 'id': lun.guid}})
        self.assertEqual(self.get(path, 'Attachment', 'Guid'), lun.guid)
        self.assertEqual(self.get(object_path('targets', target.iqn), 'Target', 'Users'), [path])
        self.sees(lun)
        self.method(path, 'Attachment', 'Detach')
        self.assertEqual(self.get(object_path('targets', target.iqn), 'Target', 'State'),
                         'disconnected')

    def test_inline_lun_with_chap(self):
        """The secret by a descriptor, or by a token for who cannot pass one."""
        target = self.lab.add_target('inlinechap', user='reader', password='inline-secret-1')
        lun = target.luns[1]
        address = {'type': 'iscsi', 'address': '127.0.0.1', 'port': 3260, 'target': target.iqn,
                   'id': lun.guid, 'user': 'reader'}
        with secret_fd('inline-secret-1') as fd:
            path = self.call(self.vm(self.guest), 'Vm', 'AttachDisk', '(a{sv}a{sv})', {
                'lun': {**address, 'secret': GLib.Variant('h', 0)}}, {}, fds=(fd,))
        self.sees(lun)
        self.assertNotIn('inline-secret-1', self.guest.xml('--security-info'))
        self.method(path, 'Attachment', 'Detach')
        self.method(object_path('targets', target.iqn), 'Target', 'Forget')

        token = self.hand_over('inline-secret-1')
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs') as expected:
            self.attach(self.guest, {'lun': {**address, 'secret-token': 'not ' + token}})
        self.assertNotIn(token, expected.exception.message)
        path = self.attach(self.guest, {'lun': {**address, 'secret-token': token}})
        self.sees(lun)
        self.method(path, 'Attachment', 'Detach')
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.attach(self.guest, {'lun': {**address, 'secret-token': token}})

    def test_inline_lun_that_is_another(self):
        """The GUID is proven: what answers at the portal must be what was asked for."""
        with self.assertDBusError('LunNotVisible') as expected:
            self.attach(self.guest, {'lun': {'type': 'iscsi', 'address': '127.0.0.1', 'port': 3260,
                                             'target': self.one.iqn, 'id': UNKNOWN_GUID}})
        self.assertIn(self.one.luns[1].guid, expected.exception.message)
        self.assertEqual(self.get(self.vm(self.guest), 'Vm', 'Attachments'), [])

    def test_attach_without_plugging(self):
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid, 'plug': False})
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        self.sees()
        self.method(path, 'Attachment', 'HotPlug')
        self.sees(self.one.luns[1])

    def test_several(self):
        paths = [self.attach(self.guest, {'GUID': lun.guid, 'iface': iface})
                 for lun, iface in zip(self.one.luns.values(), ('virtio', 'scsi', 'virtio'))]
        self.sees(*self.one.luns.values())
        self.assertEqual(sorted(self.get(self.target_path, 'Target', 'Users')), sorted(paths))
        self.method(paths[0], 'Attachment', 'Detach')
        self.assertEqual(self.get(self.target_path, 'Target', 'State'), 'connected')
        self.sees(self.one.luns[2], self.one.luns[3])

    def test_pain_8_others_keep_their_sessions(self):
        """What the service logs in for itself and out again is not what QEMU is logged in with."""
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid})
        disk, = self.sees(self.one.luns[1]).values()
        lab.wait_until(lambda: len(self.one.tgtd.sessions(self.one.tid)) == 1,
                       what="only QEMU's session being left")
        before = self.one.tgtd.sessions(self.one.tid)
        self.method(self.target_path, 'Target', 'Rescan')
        self.method(self.target_path, 'Target', 'Unmanage', force=True)
        self.method(self.target_path, 'Target', 'Connect')
        second = self.attach(self.guest, {'GUID': self.one.luns[2].guid})
        self.method(second, 'Attachment', 'Detach')
        lab.wait_until(lambda: self.one.tgtd.sessions(self.one.tid) == before,
                       what="QEMU's session, the same as before")
        self.guest.guest.check('dd if=/dev/%s of=/dev/null bs=4096 count=1' % disk)
        self.method(path, 'Attachment', 'Detach')
        self.one.tgtd.wait_for_sessions(self.one.tid, 0)

    def test_pain_11_unplug_after_a_swap_of_names(self):
        """sda has become sdb: a disk is known by its alias and its serial, never by its name."""
        first, second = (self.attach(self.guest, {'GUID': self.one.luns[n].guid, 'iface': 'scsi'})
                         for n in (1, 2))
        names = self.sees(self.one.luns[1], self.one.luns[2])
        for path, others in ((first, [2]), (second, [])):
            self.method(path, 'Attachment', 'HotUnplug')
            self.sees(*(self.one.luns[n] for n in others))
        for path in (second, first):
            self.method(path, 'Attachment', 'HotPlug')
        swapped = self.sees(self.one.luns[1], self.one.luns[2])
        self.assertNotEqual(swapped, names)
        self.method(first, 'Attachment', 'HotUnplug')
        self.sees(self.one.luns[2])
        self.assertIs(self.get(second, 'Attachment', 'Plugged'), True)

    def test_several_at_once(self):
        pending = [self.lab.client.start(self.vm(self.guest), 'org.ovirt.DirectLun.Vm',
                                         'AttachDisk', '(a{sv}a{sv})', {'GUID': lun.guid}, {})
                   for lun in self.one.luns.values()]
        paths = [p.wait()[0] for p in pending]
        self.assertEqual(len(set(paths)), 3)
        self.sees(*self.one.luns.values())
        pending = [self.lab.client.start(path, 'org.ovirt.DirectLun.Attachment', 'Detach',
                                         '(a{sv})', {}) for path in paths]
        for p in pending:
            p.wait()
        self.sees()

    def test_twice_is_refused(self):
        device = {'GUID': self.one.luns[1].guid}
        self.attach(self.guest, device)
        with self.assertDBusError('AlreadyAttached'):
            self.attach(self.guest, device)
        self.sees(self.one.luns[1])

    def test_unsupported(self):
        guid = self.one.luns[1].guid
        for device, error in (
                ({'GUID': guid, 'format': 'qcow2'}, 'UnsupportedFormat'),
                ({'GUID': guid, 'format': 'cow'}, 'UnsupportedFormat'),
                ({'GUID': guid, 'iface': 'floppy'}, 'UnsupportedInterface'),
                ({'GUID': UNKNOWN_GUID}, 'LunNotFound')):
            with self.subTest(device):
                with self.assertDBusError(error):
                    self.attach(self.guest, device)
        self.assertEqual(self.get(self.vm(self.guest), 'Vm', 'Attachments'), [])
        self.assertEqual(self.lab.client.objects('VDisk'), {})

    def test_bad_arguments(self):
        guid = self.one.luns[1].guid
        for device in ({}, {'GUID': ''}, {'GUID': guid, 'colour': 'blue'},
                       {'GUID': guid, 'type': 'interface'}, {'GUID': guid, 'shared': 'perhaps'},
                       {'GUID': guid, 'index': 'first'}, {'GUID': guid, 'propagateErrors': 'some'},
                       {'GUID': guid, 'vdisk': path_of(ROOT + '/vdisks/x')},
                       {'GUID': guid, 'device': 'cdrom'},
                       {'vdisk': path_of('/org/example')},
                       {'GUID': guid, 'address': {'type': 'drive', 'door': '7'}},
                       {'lun': {'type': 'iscsi', 'address': '127.0.0.1', 'id': guid}}):
            with self.subTest(device):
                with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
                    self.attach(self.guest, device)
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.attach(self.guest, {'GUID': guid}, **{'no-such-option': 1})
        self.assertEqual(self.get(self.vm(self.guest), 'Vm', 'Attachments'), [])

    def test_no_such_vm(self):
        for name in ('nobody', '00000000-0000-4000-8000-000000000000'):
            with self.assertDBusError('VmNotFound') as expected:
                self.call(ROOT, 'Manager', 'GetVm', '(s)', name)
            self.assertIn(name, expected.exception.message)

    def test_used_elsewhere_is_refused(self):
        other = self.lab.define_vm('other')
        self.addCleanup(self.lab.virsh, 'undefine', 'other')
        self.addCleanup(self.detach_all, other)
        device = {'GUID': self.one.luns[1].guid}
        self.attach(self.guest, device)
        with self.assertDBusError('NotShareable') as expected:
            self.attach(other, device)
        self.assertIn('runner', expected.exception.message)
        self.assertEqual(self.get(self.vm(other), 'Vm', 'Attachments'), [])

    def test_shared_by_all_or_by_none(self):
        other = self.lab.define_vm('sharer')
        self.addCleanup(self.lab.virsh, 'undefine', 'sharer')
        self.addCleanup(self.detach_all, other)
        guid = self.one.luns[1].guid
        self.attach(self.guest, {'GUID': guid, 'shared': True})
        with self.assertDBusError('NotShareable'):
            self.attach(other, {'GUID': guid})
        path = self.attach(other, {'GUID': guid, 'shared': True})
        self.assertIs(self.get(path, 'Attachment', 'Shared'), True)
        self.assert_consistent()

    def test_target_down_at_plug(self):
        self.lab.start_tgtd('frail', '127.0.0.1', 3263)
        target = self.lab.add_target('frail', tgtd='frail')
        self.connect(target)
        path = self.attach(self.guest, {'GUID': target.luns[1].guid, 'plug': False})
        target.tgtd.stop()
        with self.assertDBusError('PortalUnreachable'):
            self.method(path, 'Attachment', 'HotPlug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        self.sees()

    def test_silent_target_at_plug_does_not_freeze_the_guest(self):
        with SilentPortal() as portal:
            started = time.monotonic()
            with self.assertDBusError('TimedOut'):
                self.attach(self.guest, {'lun': {
                    'type': 'iscsi', 'address': '127.0.0.1', 'port': portal.port,
                    'target': 'iqn.2026-11.org.example:silent', 'id': UNKNOWN_GUID}})
            self.assertLess(time.monotonic() - started, 8)
        self.guest.guest.check('true', 2)

    def test_lun_that_became_another(self):
        """The number stays, the LUN behind it changes: never plug what is not the asked one."""
        target = self.lab.add_target('reused')
        lun = target.luns[1]
        self.connect(target)
        path = self.attach(self.guest, {'GUID': lun.guid, 'plug': False})
        target.tgtd.remove_lun(target.tid, 1)
        target.add_lun(1, 16 * MIB, naa='60014059999999999999999999999999')
        with self.assertRaises(lab.client.DBusError) as raised:
            self.method(path, 'Attachment', 'HotPlug')
        self.assertIn(raised.exception.name.rpartition('.')[2], ('GuidMismatch', 'LunNotVisible'))
        self.sees()

    def test_detach_behind_our_back(self):
        """What libvirt's other clients do is seen: the guest's disk goes, and is not plugged."""
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid})
        device = self.get(path, 'Attachment', 'TargetDev')
        self.sees(self.one.luns[1])
        self.lab.virsh('detach-disk', 'runner', device, '--live')
        self.wait_property(path, 'Attachment', 'Plugged', False)
        self.sees()

    def test_vdisk_in_use_stays(self):
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid})
        with self.assertDBusError('InUse'):
            self.method(self.get(path, 'Attachment', 'VDisk'), 'VDisk', 'Delete')
        with self.assertDBusError('InUse'):
            self.method(self.target_path, 'Target', 'Unmanage')
        self.assertNotEqual(self.get(path, 'Attachment', 'VDisk'), NO_OBJECT)
        self.sees(self.one.luns[1])

    def test_paused_guest_does_not_release(self):
        """libvirt says that a detach went well when it did not; only the guest's word counts."""
        self.lab.configure({**self.settings, 'Libvirt': {'ReleaseTimeoutSec': '2'}})
        self.lab.restart_daemon()
        path = self.attach(self.guest, {'GUID': self.one.luns[1].guid})
        self.sees(self.one.luns[1])
        self.lab.virsh('suspend', 'runner')
        try:
            with self.assertDBusError('GuestDidNotRelease'):
                self.method(path, 'Attachment', 'HotUnplug')
            self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
            self.assertEqual(self.get(path, 'Attachment', 'LastError')[0], 'GuestDidNotRelease')
        finally:
            self.lab.virsh('resume', 'runner')
        self.wait_property(path, 'Attachment', 'Plugged', False)
        self.wait_property(path, 'Attachment', 'LastError', ('', ''))
