# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others do to our VMs, disks and targets, without us: it is seen at once and reflected, and
errors say what happened."""

import re
import uuid
import xml.etree.ElementTree

import lab
from service import ROOT, TestCase, object_path, vdisk_id

MIB = 1 << 20
AT_ONCE = 2.0
METADATA = '{http://ovirt.org/directlun/1}'
SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '1', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2',
                      'CheckIntervalSec': '0.5'}}


class Behind(TestCase):
    """A VM that runs, one that does not, a target; each test leaves them without attachments."""

    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=3)
        cls.running = cls.lab.define_vm('running').start()

    def setUp(self):
        self.target_path = self.connect(self.one)
        self.lun = self.one.luns[1]
        self.lun_path = object_path('luns', self.lun.guid)
        self.stopped = self.lab.define_vm('stopped')
        self.addCleanup(self.clean)

    def clean(self):
        for path in self.lab.client.objects('Attachment'):
            self.method(path, 'Attachment', 'Detach')
        for name in self.lab.virsh('list', '--all', '--name').split():
            if name != 'running':
                self.lab.run('virsh', '-q', 'destroy', name, check=False)
                self.lab.virsh('undefine', name)
                self.lab.vms.pop(name, None)
        self.running.guest.wait_disks(lambda disks: not disks)
        self.assert_consistent()

    # ---- what others do

    def file(self, name, text):
        path = '%s/%s.xml' % (lab.WORK, name)
        with open(path, 'w') as f:
            f.write(text)
        return path

    def disk_file(self, vm, *options):
        """The disk of a VM as libvirt tells it, for virsh."""
        tree = xml.etree.ElementTree.fromstring(vm.xml(*options))
        disk, = tree.findall('devices/disk')
        return self.file('disk', xml.etree.ElementTree.tostring(disk, 'unicode'))

    def foreign_file(self, lun, dev='vdz'):
        return self.file('foreign', (
            "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
            "<source protocol='iscsi' name='%s/%d'><host name='127.0.0.1' port='3260'/></source>"
            "<target dev='%s' bus='virtio'/></disk>" % (self.one.iqn, lun.number, dev)))

    def define_without_metadata(self, vm):
        text = re.sub(r'<metadata>.*?</metadata>', '', vm.xml('--inactive'), flags=re.S)
        self.lab.virsh('define', self.file('bare', text))

    # ---- what must become true

    def soon(self, condition, what):
        lab.wait_until(condition, AT_ONCE, what)
        self.assert_consistent()

    def soon_is(self, path, interface, name, value):
        self.wait_property(path, interface, name, value, AT_ONCE)
        self.assert_consistent()

    def soon_gone(self, path):
        self.soon(lambda: path not in self.lab.client.managed(), '%s going' % path)

    def disks(self, *options):
        tree = xml.etree.ElementTree.fromstring(self.running.xml(*options))
        return len(tree.findall('devices/disk'))


class Disks(Behind):
    def test_detached_live(self):
        path = self.attach(self.running, {'GUID': self.lun.guid})
        self.lab.virsh('detach-device', 'running', self.disk_file(self.running), '--live')
        self.soon_is(path, 'Attachment', 'Plugged', False)
        self.soon_is(self.target_path, 'Target', 'Users', [])
        self.assertEqual(self.disks('--inactive'), 1)
        self.method(path, 'Attachment', 'HotPlug')
        self.assertEqual((self.disks(), self.disks('--inactive')), (1, 1))
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_detached_from_the_persistent_domain(self):
        path = self.attach(self.running, {'GUID': self.lun.guid})
        self.lab.virsh('detach-device', 'running', self.disk_file(self.running, '--inactive'),
                       '--config')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.assertEqual(self.get(self.target_path, 'Target', 'Users'), [path])
        self.method(path, 'Attachment', 'HotUnplug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        self.method(path, 'Attachment', 'HotPlug')
        self.assertEqual((self.disks(), self.disks('--inactive')), (1, 1))

    def test_detached_from_both(self):
        path = self.attach(self.running, {'GUID': self.lun.guid})
        self.lab.virsh('detach-device', 'running', self.disk_file(self.running), '--live',
                       '--config')
        self.soon_is(path, 'Attachment', 'Plugged', False)
        self.assertEqual(self.get(self.vm(self.running), 'Vm', 'Attachments'), [path])
        self.method(path, 'Attachment', 'Detach')
        self.assertNotIn(path, self.lab.client.managed())

    def test_detached_while_it_is_being_unplugged(self):
        path = self.attach(self.running, {'GUID': self.lun.guid})
        disk = self.disk_file(self.running)
        pending = self.lab.client.start(path, lab.BUS_NAME + '.Attachment', 'HotUnplug',
                                        '(a{sv})', {})
        self.lab.run('virsh', '-q', 'detach-device', 'running', disk, '--live', check=False)
        pending.wait()
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        self.assertEqual((self.disks(), self.disks('--inactive')), (0, 0))

    def test_plugged_by_somebody_else(self):
        """Into the VM to which it is attached: the same disk, with the same alias."""
        path = self.attach(self.running, {'GUID': self.lun.guid})
        disk = self.disk_file(self.running)
        self.method(path, 'Attachment', 'HotUnplug')
        self.lab.virsh('attach-device', 'running', disk, '--live')
        self.soon_is(path, 'Attachment', 'Plugged', True)
        self.soon_is(self.target_path, 'Target', 'Users', [path])
        self.method(path, 'Attachment', 'HotUnplug')

    def test_foreign_use(self):
        disk = self.foreign_file(self.lun)
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Status'), 'free')
        self.lab.virsh('attach-device', 'running', disk)
        self.soon_is(self.lun_path, 'Lun', 'Status', 'used')
        self.assertIn('vm:running', self.get(self.lun_path, 'Lun', 'Holders'))
        with self.assertDBusError('InUse') as expected:
            self.attach(self.stopped, {'GUID': self.lun.guid})
        self.assertIn('running', expected.exception.message)
        with self.assertDBusError('InUse'):
            self.attach(self.running, {'GUID': self.lun.guid})
        self.assertEqual(self.lab.client.objects('Attachment'), {})
        path = self.attach(self.stopped, {'GUID': self.lun.guid}, force=True)
        self.method(path, 'Attachment', 'Detach')
        self.lab.virsh('detach-device', 'running', disk)
        self.soon_is(self.lun_path, 'Lun', 'Status', 'free')
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), [])

    def test_foreign_use_in_a_stopped_vm(self):
        """libvirt sends no event of it: it is seen when it matters."""
        disk = self.foreign_file(self.lun)
        self.lab.virsh('attach-device', 'stopped', disk, '--config')
        with self.assertDBusError('InUse') as expected:
            self.attach(self.running, {'GUID': self.lun.guid})
        self.assertIn('stopped', expected.exception.message)
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), ['vm:stopped'])
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Status'), 'used')
        self.lab.virsh('detach-device', 'stopped', disk, '--config')
        self.attach(self.running, {'GUID': self.lun.guid})
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), ['vm:running'])


class Vms(Behind):
    def test_undefined(self):
        path = self.attach(self.stopped, {'GUID': self.lun.guid})
        vm = self.vm(self.stopped)
        vdisk = self.get(path, 'Attachment', 'VDisk')
        self.lab.virsh('undefine', 'stopped')
        self.soon_gone(vm)
        self.assertNotIn(path, self.lab.client.managed())
        self.assertEqual(self.get(vdisk, 'VDisk', 'Attachments'), [])
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), [])
        with self.assertDBusError('VmNotFound'):
            self.call(ROOT, 'Manager', 'GetVm', '(s)', 'stopped')

    def test_undefined_while_it_runs(self):
        """It goes on as a transient domain, with its disks."""
        machine = self.lab.define_vm('fleeting').start()
        path = self.attach(machine, {'GUID': self.lun.guid})
        vm = self.vm(machine)
        self.lab.virsh('undefine', 'fleeting')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'HotPlug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.lab.vms.pop('fleeting').destroy()
        self.soon_gone(vm)
        self.assertEqual(self.lab.client.objects('Attachment'), {})
        self.soon_is(self.target_path, 'Target', 'Users', [])

    def test_destroyed(self):
        machine = self.lab.define_vm('victim').start()
        path = self.attach(machine, {'GUID': self.lun.guid})
        self.soon_is(self.target_path, 'Target', 'Users', [path])
        machine.destroy()
        self.soon_is(path, 'Attachment', 'Plugged', False)
        self.soon_is(self.target_path, 'Target', 'Users', [])
        self.soon_is(self.target_path, 'Target', 'Managed', False)
        self.soon_is(self.vm(machine), 'Vm', 'State', 'shutoff')
        with self.assertDBusError('VmNotRunning'):
            self.method(path, 'Attachment', 'HotPlug')

    def test_destroyed_while_the_guest_is_asked(self):
        machine = self.lab.define_vm('victim').start()
        path = self.attach(machine, {'GUID': self.lun.guid})
        self.lab.virsh('suspend', 'victim')
        pending = self.lab.client.start(path, lab.BUS_NAME + '.Attachment', 'Detach', '(a{sv})', {})
        lab.wait_until(lambda: any(job['Phase'] == 'waiting for the guest'
                                   for job in self.lab.client.objects('Job').values()),
                       what='the guest being asked')
        machine.destroy()
        pending.wait()
        self.assertNotIn(path, self.lab.client.managed())
        self.assertNotIn('<disk', machine.xml())

    def test_renamed(self):
        path = self.attach(self.stopped, {'GUID': self.lun.guid})
        vm = self.vm(self.stopped)
        self.lab.virsh('domrename', 'stopped', 'renamed')
        self.soon_is(vm, 'Vm', 'Name', 'renamed')
        self.assertEqual(self.get(vm, 'Vm', 'Attachments'), [path])
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), ['vm:renamed'])
        with self.assertDBusError('VmNotFound'):
            self.call(ROOT, 'Manager', 'GetVm', '(s)', 'stopped')

    def test_metadata_removed(self):
        """The disk is there, but nobody says that it is ours: it is somebody's."""
        path = self.attach(self.stopped, {'GUID': self.lun.guid})
        self.define_without_metadata(self.stopped)
        self.soon_gone(path)
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), ['vm:stopped'])
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Status'), 'used')
        for vm in (self.stopped, self.running):
            with self.assertDBusError('InUse'):
                self.attach(vm, {'GUID': self.lun.guid})
        self.lab.virsh('detach-device', 'stopped', self.disk_file(self.stopped), '--config')
        self.attach(self.stopped, {'GUID': self.lun.guid})

    def test_metadata_removed_from_the_persistent_domain(self):
        """What runs is as it was, until it is stopped."""
        machine = self.lab.define_vm('victim').start()
        path = self.attach(machine, {'GUID': self.lun.guid})
        self.define_without_metadata(machine)
        self.assertEqual(self.get(self.vm(machine), 'Vm', 'Attachments'), [path])
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'Detach')
        for options in ((), ('--inactive',)):
            self.assertNotIn('ovirt.org/directlun', machine.xml(*options))

    def test_copied(self):
        """With metadata and disk: the copy's attachment is not ours, its use of the LUN is seen."""
        path = self.attach(self.stopped, {'GUID': self.lun.guid})
        text = self.stopped.xml('--inactive').replace('<name>stopped<', '<name>copy<')
        text = text.replace(self.stopped.uuid, str(uuid.uuid4()))
        self.lab.virsh('define', self.file('copy', text))
        self.soon(lambda: 'vm:copy' in self.get(self.lun_path, 'Lun', 'Holders'),
                  'the copy being seen')
        self.assertEqual(list(self.lab.client.objects('Attachment')), [path])
        with self.assertDBusError('NotShareable'):
            self.attach(self.running, {'GUID': self.lun.guid})
        self.method(path, 'Attachment', 'Detach')
        self.assertEqual(self.get(self.lun_path, 'Lun', 'Holders'), ['vm:copy'])
        with self.assertDBusError('InUse'):
            self.attach(self.running, {'GUID': self.lun.guid})
        self.lab.virsh('undefine', 'copy')
        self.soon_is(self.lun_path, 'Lun', 'Status', 'free')

    def test_defined_anew_with_another_disk_of_ours(self):
        """Somebody writes our metadata back from a backup."""
        path = self.attach(self.stopped, {'GUID': self.lun.guid})
        backup = self.file('backup', self.stopped.xml('--inactive'))
        self.method(path, 'Attachment', 'Detach')
        self.method(object_path('vdisks', vdisk_id(self.lun.guid)), 'VDisk', 'Delete')
        self.lab.virsh('define', backup)
        self.soon(lambda: path in self.lab.client.managed(), 'the attachment being back')
        self.assertEqual(self.get(path, 'Attachment', 'VDisk'),
                         object_path('vdisks', vdisk_id(self.lun.guid)))


class Storage(Behind):
    def setUp(self):
        super().setUp()
        name = self.id().rpartition('.test_')[2].replace('_', '-')
        self.other = self.lab.add_target(name, luns=2)
        self.other_path = self.connect(self.other)
        self.disk = self.other.luns[1]
        self.disk_path = object_path('luns', self.disk.guid)

    def clean(self):
        super().clean()
        self.method(self.other_path, 'Target', 'Unmanage')

    def remove_target(self):
        self.other.tgtd.remove_target(self.other.tid)

    def map_again(self, number=1):
        disk = self.disk
        self.other.tgtd.add_lun(self.other.tid, number, disk.path, disk.size,
                                scsi_id='naa.' + disk.guid[1:], serial=disk.serial, vendor='LAB',
                                product='DISK')

    def unmap(self):
        self.other.tgtd.remove_lun(self.other.tid, 1)
        lab.wait_until(lambda: [p for p in self.get(self.disk_path, 'Lun', 'Paths')
                                if p['state'] != 'active'] or
                       not self.get(self.disk_path, 'Lun', 'Paths'), 5, 'its absence being seen')

    def restore_target(self):
        self.other.tgtd.add_target(self.other.iqn, self.other.tid)
        self.map_again()
        self.other.tgtd.bind(self.other.tid)

    def test_target_removed_while_in_use(self):
        path = self.attach(self.running, {'GUID': self.disk.guid})
        self.remove_target()
        self.wait_property(self.other_path, 'Target', 'State', 'failed', 5)
        self.assertTrue(self.get(self.other_path, 'Target', 'LastError')[0])
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.assertEqual(self.get(self.other_path, 'Target', 'Users'), [path])
        self.assert_consistent()
        self.restore_target()
        self.wait_property(self.other_path, 'Target', 'State', 'connected', 5)
        self.method(path, 'Attachment', 'HotUnplug')

    def test_target_removed_before_it_is_used(self):
        self.remove_target()
        with self.assertDBusError('TargetNotFound'):
            self.attach(self.running, {'GUID': self.disk.guid})
        self.assertEqual(self.lab.client.objects('Attachment'), {})

    def test_unmapped(self):
        path = self.attach(self.running, {'GUID': self.disk.guid, 'plug': False})
        self.other.tgtd.remove_lun(self.other.tid, 1)
        with self.assertDBusError('LunNotVisible'):
            self.method(path, 'Attachment', 'HotPlug')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)

    def test_unmapped_while_in_use(self):
        """The guest's next request fails, and the VM is paused rather than told."""
        path = self.attach(self.running, {'GUID': self.disk.guid})
        name, = self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.unmap()
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.running.guest.check('(sleep 1; echo 3 >/proc/sys/vm/drop_caches; '
                                 'dd if=/dev/%s of=/dev/null count=1 skip=9000) >/dev/null 2>&1 &'
                                 % name)
        self.wait_property(self.vm(self.running), 'Vm', 'State', 'paused', 10)
        self.assertTrue(self.get(path, 'Attachment', 'LastError')[0])
        self.assert_consistent()
        self.map_again()
        self.lab.virsh('resume', 'running')
        self.soon_is(self.vm(self.running), 'Vm', 'State', 'running')
        self.method(path, 'Attachment', 'HotUnplug')

    def test_unmapped_and_the_guest_is_told(self):
        """With propagateErrors its request fails there, and nothing pauses."""
        path = self.attach(self.running, {'GUID': self.disk.guid, 'propagateErrors': 'on'})
        name, = self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        read = 'dd if=/dev/%s of=/dev/null count=1 skip=%d 2>&1'
        self.unmap()
        status, words = self.running.guest.sh(read % (name, 9000))
        self.assertNotEqual(status, 0)
        self.assertIn(b'Input/output error', words)
        self.assertEqual(self.get(self.vm(self.running), 'Vm', 'State'), 'running')
        self.assertTrue(self.get(path, 'Attachment', 'LastError')[0])
        self.map_again()
        lab.wait_until(lambda: self.running.guest.sh(read % (name, 9000))[0] == 0, 20,
                       'the disk working')
        self.method(path, 'Attachment', 'HotUnplug')

    def test_number_reused(self):
        path = self.attach(self.running, {'GUID': self.disk.guid, 'plug': False})
        self.other.tgtd.remove_lun(self.other.tid, 1)
        self.other.add_lun(1, 16 * MIB, naa='60014059999999999999999999999999')
        with self.assertDBusError('GuidMismatch') as expected:
            self.method(path, 'Attachment', 'HotPlug')
        self.assertIn(self.disk.guid, expected.exception.message)
        self.assertEqual(self.running.guest.disks(), {})

    def move(self):
        """The LUN gets another number, another one gets its own."""
        self.other.tgtd.remove_lun(self.other.tid, 1)
        self.other.tgtd.remove_lun(self.other.tid, 2)
        self.map_again(7)
        self.other.add_lun(1, 48 * MIB, naa='60014058888888888888888888888888')

    def test_moved(self):
        path = self.attach(self.running, {'GUID': self.disk.guid, 'plug': False})
        self.move()
        self.method(path, 'Attachment', 'HotPlug')
        disks = self.running.guest.wait_disks(lambda found: len(found) == 1)
        self.assertEqual([size for size, _ in disks.values()], [self.disk.size])
        self.assertIn('/7', self.running.xml())

    def test_moved_while_the_vm_is_off(self):
        path = self.attach(self.stopped, {'GUID': self.disk.guid})
        self.move()
        self.call(self.vm(self.stopped), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.stopped.wait_booted()
        disks = self.stopped.guest.wait_disks(lambda found: len(found) == 1)
        self.assertEqual([size for size, _ in disks.values()], [self.disk.size])
        self.method(self.vm(self.stopped), 'Vm', 'Stop')
