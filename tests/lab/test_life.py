# SPDX-License-Identifier: LGPL-2.1-or-later
"""However a VM ends or begins, its connections are released and taken exactly then: never another
user's, and never by what was true before the host was booted."""

import contextlib
import os
import signal
import uuid

import lab
from guest import GuestError
from service import TestCase

BOOT_ID = '/proc/sys/kernel/random/boot_id'


class Life(TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '1'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2)
        cls.machine = cls.lab.define_vm('mortal')
        cls.other = cls.lab.define_vm('survivor')

    def setUp(self):
        self.path = self.connect(self.one)
        self.vm_path = self.vm(self.machine)
        self.mortal = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.survivor = self.attach(self.other, {'GUID': self.one.luns[2].guid})
        self.method(self.path, 'Target', 'Unmanage')
        self.addCleanup(self.clean)

    def clean(self):
        for machine in (self.machine, self.other):
            machine.guest.close()
            self.method(self.vm(machine), 'Vm', 'Stop')
            self.detach_all(machine)

    def run_both(self):
        for machine in (self.other, self.machine):
            self.call(self.vm(machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assert_users(self.mortal, self.survivor)

    def assert_users(self, *attachments):
        """Just they use the target; with none it is let go, and nobody is logged in."""
        lab.wait_until(lambda: sorted(self.get(self.path, 'Target', 'Users')) ==
                       sorted(attachments), 20, 'the users being %r' % (attachments,))
        if attachments:
            self.wait_property(self.path, 'Target', 'State', 'connected')
        else:
            self.wait_property(self.path, 'Target', 'State', 'disconnected')
            self.one.tgtd.wait_for_sessions(self.one.tid, 0)
        self.assertIs(self.get(self.path, 'Target', 'Managed'), bool(attachments))
        self.assert_consistent()

    def qemu_pid(self, machine):
        with open('/run/libvirt/qemu/%s.pid' % machine.name) as f:
            return int(f.read())

    def in_guest(self, script):
        self.machine.wait_booted()
        with contextlib.suppress(GuestError):  # it cannot answer any more
            self.machine.guest.sh(script, 3)
        self.machine.guest.close()

    def ends(self):
        """What ends a VM, and whether it is still defined then."""
        return {
            'virsh destroy': lambda: self.lab.virsh('destroy', self.machine.name),
            'QEMU crashes': lambda: os.kill(self.qemu_pid(self.machine), signal.SIGKILL),
            'poweroff in the guest': lambda: self.in_guest('poweroff -f'),
            'panic of the guest, and no way on': lambda: self.in_guest(
                'echo c >/proc/sysrq-trigger'),
            'while the service is away': self.end_while_away,
            'while libvirtd is away': self.end_without_libvirtd,
        }

    def end_while_away(self):
        self.lab.stop_daemon(signal.SIGKILL)
        self.lab.virsh('destroy', self.machine.name)
        self.lab.start_daemon()

    def end_without_libvirtd(self):
        pid = self.qemu_pid(self.machine)
        self.lab.kill('libvirtd')
        os.kill(pid, signal.SIGKILL)
        self.lab.launch_libvirtd()

    def test_each_end(self):
        self.call(self.vm(self.other), 'Vm', 'Run', '(asa{sv})', [], {})
        for what, end in self.ends().items():
            with self.subTest(what):
                self.call(self.vm_path, 'Vm', 'Run', '(asa{sv})', [], {})
                self.assert_users(self.mortal, self.survivor)
                end()
                self.assert_users(self.survivor)
                self.assertEqual(self.get(self.vm_path, 'Vm', 'State'), 'shutoff')
        self.method(self.vm(self.other), 'Vm', 'Stop')
        self.assert_users()

    def test_undefined_while_it_runs(self):
        """It goes on as a transient VM, and with its end it is gone."""
        self.run_both()
        xml = self.machine.xml('--inactive')
        self.lab.virsh('undefine', self.machine.name)
        self.assert_users(self.mortal, self.survivor)
        self.lab.virsh('destroy', self.machine.name)
        self.assert_users(self.survivor)
        lab.wait_until(lambda: self.vm_path not in self.lab.client.objects('Vm'), what='it going')
        self.assertNotIn(self.mortal, self.lab.client.objects('Attachment'))
        with open('/run/lab/mortal-again.xml', 'w') as f:
            f.write(xml)
        self.lab.virsh('define', '/run/lab/mortal-again.xml')

    def test_reboot_of_the_guest(self):
        """It is the same VM all along: nobody lets go."""
        with open('/run/lab/reboot.xml', 'w') as f:
            f.write(self.machine.xml('--inactive').replace(
                '<on_reboot>destroy', '<on_reboot>restart'))
        self.lab.virsh('define', '/run/lab/reboot.xml')
        self.run_both()
        self.machine.wait_booted()
        self.lab.virsh('reset', self.machine.name)
        self.machine.wait_booted().guest.wait_disks(lambda disks: len(disks) == 1)
        self.assert_users(self.mortal, self.survivor)

    def test_saved_and_restored_by_others(self):
        self.run_both()
        self.machine.wait_booted()
        self.machine.guest.close()
        self.lab.virsh('save', self.machine.name, '/run/lab/mortal.save')
        self.assert_users(self.survivor)
        self.lab.virsh('restore', '/run/lab/mortal.save')
        self.assert_users(self.mortal, self.survivor)
        self.lab.virsh('suspend', self.machine.name)
        self.wait_property(self.vm_path, 'Vm', 'State', 'paused')
        self.assert_users(self.mortal, self.survivor)
        self.lab.virsh('resume', self.machine.name)
        self.lab.virsh('managedsave', self.machine.name)
        self.assert_users(self.survivor)
        self.lab.virsh('start', self.machine.name)
        self.assert_users(self.mortal, self.survivor)

    def test_foreign_session_stays(self):
        """Somebody else is logged in to the same target: that is none of our business."""
        session = self.lab.spawn('foreign', 'qemu-system-x86_64', '-M', 'none', '-nographic',
                                 '-monitor', 'none', '-serial', 'none', '-blockdev',
                                 'driver=iscsi,transport=tcp,portal=127.0.0.1:3260,node-name=x,'
                                 'lun=1,target=' + self.one.iqn)
        self.one.tgtd.wait_for_sessions(self.one.tid, 1)
        self.call(self.vm_path, 'Vm', 'Run', '(asa{sv})', [], {})
        self.method(self.vm_path, 'Vm', 'Stop')
        self.wait_property(self.path, 'Target', 'State', 'disconnected')
        self.one.tgtd.wait_for_sessions(self.one.tid, 1)
        self.assertIsNone(session.poll())
        self.lab.kill('foreign')


class Reboot(TestCase):
    """The host is booted: all processes are new, files are as they were, and so is the boot id."""

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.pinned = cls.lab.add_target('pinned')
        cls.machine = cls.lab.define_vm('phoenix')

    def power_cut(self):
        self.lab.stop_daemon(signal.SIGKILL)
        self.machine.guest.close()
        pids = [int(open(p).read()) for p in ('/run/libvirt/qemu/phoenix.pid',)
                if os.path.exists(p)]
        self.lab.kill('libvirtd')
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            lab.wait_exit(pid)
        self.lab.run('sh', '-c', 'rm -rf /run/libvirt/*')
        with open('/run/lab/boot_id', 'w') as f:
            f.write('%s\n' % uuid.uuid4())
        if not os.path.ismount(BOOT_ID):
            self.lab.run('mount', '--bind', '/run/lab/boot_id', BOOT_ID)
            self.addCleanup(self.lab.run, 'umount', BOOT_ID)
        self.lab.launch_libvirtd()

    def boot_id(self):
        host, = self.lab.client.objects('Host').values()
        return host['BootId']

    def test_pain_10_state_of_another_boot(self):
        path, pinned = self.connect(self.one), self.connect(self.pinned, pin=True)
        attachment = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        vm = self.vm(self.machine)
        self.call(vm, 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        before = self.boot_id()

        self.power_cut()
        self.lab.start_daemon()

        self.assertNotEqual(self.boot_id(), before)
        self.assertEqual(self.get(vm, 'Vm', 'State'), 'shutoff')
        self.assertEqual(self.get(path, 'Target', 'State'), 'disconnected')
        self.assertIs(self.get(path, 'Target', 'Managed'), False)  # no hold outlives it
        self.wait_property(pinned, 'Target', 'State', 'connected')  # what was wished for does
        self.lab.stop_daemon(signal.SIGKILL)

        # libvirt autostarts the VM before we are there.
        self.machine.start()
        self.lab.start_daemon()
        self.wait_property(attachment, 'Attachment', 'Plugged', True)
        self.wait_property(path, 'Target', 'Users', [attachment])
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.method(attachment, 'Attachment', 'HotUnplug')
        self.machine.guest.wait_disks(lambda disks: not disks)

    def test_unplug_of_another_boot_is_not_tried_again(self):
        """The power goes when the intent is written, before the guest is asked."""
        self.connect(self.one)
        attachment = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.machine.wait_booted()
        self.lab.stop_daemon()
        self.lab.environment(DIRECTLUND_KILL_AT='hot-unplug:4:after')
        self.lab.start_daemon()
        with contextlib.suppress(lab.client.DBusError):
            self.method(attachment, 'Attachment', 'HotUnplug')
        self.lab.environment()
        self.power_cut()
        self.machine.start()
        self.lab.start_daemon()
        jobs = lambda: [job for job in self.lab.client.objects('Job').values()
                        if job['Operation'] == 'recover']
        lab.wait_until(lambda: [job['State'] for job in jobs()] == ['succeeded'],
                       what='the recovery')
        self.assertIs(self.get(attachment, 'Attachment', 'Plugged'), True)
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.assertIn(self.one.iqn, self.machine.xml('--inactive'))

    def tearDown(self):
        self.machine.guest.close()
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.detach_all(self.machine)
