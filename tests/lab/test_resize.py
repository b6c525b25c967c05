# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUNs that grow and shrink on the target, as the guest sees it."""

import lab
from service import TestCase, object_path

MIB = 1 << 20
SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2',
                      'CheckIntervalSec': '600'}}


class Resize(TestCase):
    """A LUN for each way to give one to a guest."""

    minutes = 1

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=0)
        cls.machine = cls.lab.define_vm('guest').start()

    def tearDown(self):
        self.detach_all(self.machine)
        self.assert_consistent()

    def add(self, number, size=16 * MIB):
        lun = self.one.add_lun(number, size)
        self.addCleanup(self.one.tgtd.remove_lun, self.one.tid, number)
        self.connect(self.one)
        return lun

    def path(self, lun):
        return object_path('luns', lun.guid)

    def refresh(self, lun):
        self.method(self.path(lun), 'Lun', 'Refresh')

    def size_in_guest(self):
        (size, _), = self.machine.guest.disks().values()
        return size

    def wait_size(self, size):
        self.machine.guest.wait_disks(lambda disks: [s for s, _ in disks.values()] == [size])

    def attachment(self, path):
        return self.lab.client.get_all(path, 'Attachment')

    def assert_size(self, path, guest, pending=''):
        found = self.attachment(path)
        self.assertEqual((found['GuestCapacity'], found['ResizePending']), (guest, pending))

    def test_pain_12_grown_lun_reaches_the_guest(self):
        for number, device in enumerate(({'iface': 'virtio'}, {'iface': 'scsi'},
                                         {'iface': 'scsi', 'device': 'lun'}), 1):
            with self.subTest(device):
                lun = self.add(number)
                path = self.attach(self.machine, {'GUID': lun.guid, **device})
                self.wait_size(16 * MIB)
                self.wait_property(path, 'Attachment', 'GuestCapacity', 16 * MIB)
                lun.resize(32 * MIB)
                self.assertEqual(self.size_in_guest(), 16 * MIB)
                self.refresh(lun)
                self.assertEqual(self.get(self.path(lun), 'Lun', 'Capacity'), 32 * MIB)
                self.assert_size(path, 32 * MIB)
                self.wait_size(32 * MIB)
                name, = self.machine.guest.disks()
                self.machine.guest.write(name, 30 * MIB, b'grown' + bytes(507))
                self.assertEqual(lun.read(30 * MIB, 5), b'grown')
                self.method(path, 'Attachment', 'Detach')
                self.machine.guest.wait_disks(lambda disks: not disks)

    def test_read_only_disk_needs_a_replug(self):
        lun = self.add(1)
        path = self.attach(self.machine, {'GUID': lun.guid, 'readonly': True})
        self.wait_property(path, 'Attachment', 'GuestCapacity', 16 * MIB)
        lun.resize(32 * MIB)
        self.refresh(lun)
        self.assert_size(path, 16 * MIB, 'replug')
        self.method(path, 'Attachment', 'HotUnplug')
        self.assert_size(path, 0)
        self.method(path, 'Attachment', 'HotPlug')
        self.wait_size(32 * MIB)
        self.wait_property(path, 'Attachment', 'GuestCapacity', 32 * MIB)
        self.assert_size(path, 32 * MIB)

    def test_ata_disk_needs_a_restart(self):
        lun = self.add(1)
        self.connect(self.one)
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.machine.guest.close()
        path = self.attach(self.machine, {'GUID': lun.guid, 'iface': 'sata'})
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        self.wait_property(path, 'Attachment', 'GuestCapacity', 16 * MIB)
        lun.resize(32 * MIB)
        self.refresh(lun)
        self.assert_size(path, 16 * MIB, 'restart')
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        self.wait_property(path, 'Attachment', 'GuestCapacity', 32 * MIB)
        self.assert_size(path, 32 * MIB)
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.detach_all(self.machine)
        self.machine.start()

    def test_shrunk_lun_is_refused(self):
        lun = self.add(1)
        path = self.attach(self.machine, {'GUID': lun.guid})
        self.wait_size(16 * MIB)
        self.wait_property(path, 'Attachment', 'GuestCapacity', 16 * MIB)
        lun.resize(8 * MIB)
        self.refresh(lun)
        self.assertEqual(self.get(self.path(lun), 'Lun', 'Status'), 'unusable')
        self.assertIn('shrunk', self.get(self.path(lun), 'Lun', 'Reason'))
        self.assertEqual(self.attachment(path)['LastError'][0], 'LunShrunk')
        self.assert_size(path, 16 * MIB)
        self.assertEqual(self.size_in_guest(), 16 * MIB)
        self.method(path, 'Attachment', 'HotUnplug')
        for attempt in ('at once', 'after a restart of the service'):
            with self.subTest(attempt):
                with self.assertDBusError('LunShrunk'):
                    self.method(path, 'Attachment', 'HotPlug')
                self.lab.restart_daemon()
        lun.resize(16 * MIB)
        self.method(path, 'Attachment', 'HotPlug')
        self.assertEqual(self.attachment(path)['LastError'], ('', ''))
        lun.resize(8 * MIB)
        self.method(path, 'Attachment', 'Detach')
        self.refresh(lun)
        self.assertEqual(self.get(self.path(lun), 'Lun', 'Status'), 'free')
        path = self.attach(self.machine, {'GUID': lun.guid})
        self.wait_size(8 * MIB)
