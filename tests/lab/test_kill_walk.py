# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service is killed at every step of every flow that has side effects (see killwalk.py); those
on images are in test_kill_images.py, and what is killed again, or late, in test_kill_again.py."""

from killwalk import SETTINGS, Walk, deadline
from service import object_path, vdisk_id


class KillAttach(Walk):
    minutes = 2

    def walk_attach(self, vm, new, **device):
        path = self.vm(vm)
        device = {'GUID': self.guid, 'iface': 'scsi', **device}

        def back():
            self.act(vm, 'Detach')
            if new:
                self.method(object_path('vdisks', vdisk_id(self.guid)), 'VDisk', 'Delete')

        if not new:
            self.create_vdisk(self.guid)
        self.walk(lambda: self.call(path, 'Vm', 'AttachDisk', '(a{sv}a{sv})', device, {}), back,
                  ('AlreadyAttached',))

    @deadline(300)
    def test_attach_and_plug(self):
        self.walk_attach(self.running, True)

    @deadline(300)
    def test_attach_and_plug_an_existing_vdisk(self):
        self.walk_attach(self.running, False, iface='virtio')

    @deadline(300)
    def test_attach_without_plug(self):
        self.walk_attach(self.running, True, plug=False)

    @deadline(300)
    def test_attach_to_a_stopped_vm(self):
        self.walk_attach(self.stopped, True)


class KillDetach(Walk):
    minutes = 2

    @deadline(300)
    def test_hot_plug(self):
        self.attach(self.running, {'GUID': self.guid, 'iface': 'scsi', 'plug': False})
        self.act(self.running, 'HotPlug')
        self.act(self.running, 'HotUnplug')
        self.walk(lambda: self.act(self.running, 'HotPlug'),
                  lambda: self.act(self.running, 'HotUnplug'))

    @deadline(300)
    def test_hot_unplug(self):
        self.attach(self.running, {'GUID': self.guid, 'iface': 'virtio'})
        self.walk(lambda: self.act(self.running, 'HotUnplug'),
                  lambda: self.act(self.running, 'HotPlug'))

    def walk_detach(self, vm, **device):
        path = self.attach(vm, {'GUID': self.guid, 'iface': 'scsi', **device})
        self.walk(lambda: self.method(path, 'Attachment', 'Detach'),
                  lambda: self.attach(vm, {'GUID': self.guid, 'iface': 'scsi', **device}),
                  ('UnknownObject', 'UnknownMethod', 'NotAttached'))

    @deadline(300)
    def test_detach(self):
        self.walk_detach(self.running)

    @deadline(300)
    def test_detach_what_is_not_plugged(self):
        self.walk_detach(self.running, plug=False)

    @deadline(300)
    def test_detach_from_a_stopped_vm(self):
        self.walk_detach(self.stopped)


class KillOthers(Walk):
    """What is no disk of a running VM: a vDisk, a storage domain, a target, a VM's run."""

    minutes = 2

    @deadline(300)
    def test_create_vdisk(self):
        self.walk(lambda: self.create_vdisk(self.guid, alias='named'),
                  lambda: self.method(object_path('vdisks', vdisk_id(self.guid)), 'VDisk',
                                      'Delete'))

    @deadline(300)
    def test_storage_domain(self):
        path = object_path('luns', self.guid)
        for there, back in (('ClaimForStorageDomain', 'ReleaseStorageDomain'),
                            ('ReleaseStorageDomain', 'ClaimForStorageDomain')):
            self.walk(lambda: self.call(path, 'Lun', there, '(sa{sv})', 'domain-1', {}),
                      lambda: self.call(path, 'Lun', back, '(sa{sv})', 'domain-1', {}))
            self.call(path, 'Lun', 'ClaimForStorageDomain', '(sa{sv})', 'domain-1', {})
        self.call(path, 'Lun', 'ReleaseStorageDomain', '(sa{sv})', 'domain-1', {})

    @deadline(300)
    def test_connect_with_pin(self):
        self.walk(lambda: self.method(self.target_path, 'Target', 'Connect', pin=True),
                  lambda: self.method(self.target_path, 'Target', 'Unmanage'))

    @deadline(300)
    def test_unmanage(self):
        self.method(self.target_path, 'Target', 'Connect', pin=True)
        self.walk(lambda: self.method(self.target_path, 'Target', 'Unmanage'),
                  lambda: self.method(self.target_path, 'Target', 'Connect', pin=True))

    def run_vm(self):
        self.call(self.vm(self.stopped), 'Vm', 'Run', '(asa{sv})', [], {})

    def stop_vm(self):
        self.method(self.vm(self.stopped), 'Vm', 'Stop')

    @deadline(300)
    def test_run(self):
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.walk(self.run_vm, self.stop_vm, ('VmRunning',))

    @deadline(300)
    def test_run_after_the_lun_has_moved(self):
        """The persistent domain names the old number; it must never be without the disk."""
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.addCleanup(self.move, 9, 1)
        before = self.settled()['libvirt']
        self.move(1, 9)
        points = self.learn(self.run_vm)
        self.stop_vm()
        after = self.settled()['libvirt']
        self.assertNotEqual(before, after)
        for point in points:
            with self.subTest(point):
                self.move(9, 1)
                self.run_vm()
                self.stop_vm()
                self.assertEqual(self.settled()['libvirt'], before)
                self.move(1, 9)
                self.kill_at(point, self.run_vm)
                self.settled()
                self.stop_vm()
                self.assertIn(self.settled()['libvirt'], (before, after))
                self.run_vm()
                self.stop_vm()
                self.assertEqual(self.settled()['libvirt'], after)

    def move(self, old, new):
        lun, tgtd, tid = self.one.luns[1], self.one.tgtd, self.one.tid
        tgtd.remove_lun(tid, old)
        tgtd.add_lun(tid, new, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                     serial=lun.serial, vendor='LAB', product='DISK')

    @deadline(300)
    def test_stop(self):
        self.attach(self.stopped, {'GUID': self.guid, 'iface': 'scsi'})
        self.addCleanup(self.stop_vm)
        self.run_vm()
        self.walk(self.stop_vm, self.run_vm)


class Resize(Walk):
    """A LUN has grown; nothing is journalled, and what the guest was not told yet the next refresh
    tells it."""

    settings = {**SETTINGS, 'iSCSI': {'HoldTimeoutSec': '2', 'CheckIntervalSec': '600'}}

    def grow(self):
        lun, tgtd = self.one.luns[1], self.one.tgtd
        tgtd.remove_lun(self.one.tid, lun.number)
        lun.size += 1 << 20
        tgtd.add_lun(self.one.tid, lun.number, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                     serial=lun.serial, vendor='LAB', product='DISK')

    def seen(self):
        (size, _), = self.running.guest.disks().values()
        return size

    @deadline(300)
    def test_grown_lun(self):
        self.attach(self.running, {'GUID': self.guid})
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        lun, path = self.one.luns[1], object_path('luns', self.guid)
        before = self.settled()

        def refresh():
            self.method(path, 'Lun', 'Refresh')

        self.grow()
        points = self.learn(refresh)
        self.assertEqual({point.split(':')[0] for point in points} - {'check'},
                         {'device-list', 'resize'})
        self.assertEqual(self.seen(), lun.size)
        for point in points:
            with self.subTest(point):
                old = lun.size
                self.grow()
                if self.kill_at(point, refresh):
                    self.restart()  # it may pass the point yet
                self.assertEqual(self.settled(), before)
                self.assert_unnoticed()
                self.assertIn(self.seen(), (old, lun.size))
                refresh()
                self.assertEqual(self.seen(), lun.size)
                self.assertEqual(self.get(path, 'Lun', 'Capacity'), lun.size)
        self.assertEqual(self.settled(), before)
