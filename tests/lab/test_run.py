# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run and Stop: a VM starts with its targets connected, and they are released when it is off."""

import contextlib
import socket

import lab
from guest import GuestError
from service import TestCase, object_path

MIB = 1 << 20


class RunStop(TestCase):
    minutes = 1
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '1'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.two = cls.lab.add_target('two', size=32 * MIB)
        cls.machine = cls.lab.define_vm('stopped')

    def setUp(self):
        self.one_path, self.two_path = self.connect(self.one), self.connect(self.two)
        self.vm_path = self.vm(self.machine)
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.guest.close()
        self.method(self.vm_path, 'Vm', 'Stop')
        self.detach_all(self.machine)
        for path in (self.one_path, self.two_path):
            self.method(path, 'Target', 'Unmanage')

    def attach_both(self, **more):
        paths = [self.attach(self.machine, {'GUID': target.luns[1].guid, **more})
                 for target in (self.one, self.two)]
        for path in (self.one_path, self.two_path):
            self.method(path, 'Target', 'Unmanage')
        return paths

    def run_vm(self, *hosts):
        return self.call(self.vm_path, 'Vm', 'Run', '(asa{sv})', list(hosts), {})

    def states(self):
        return [self.get(path, 'Target', 'State') for path in (self.one_path, self.two_path)]

    def test_run_and_stop(self):
        paths = self.attach_both()
        self.assertEqual(self.get(self.vm_path, 'Vm', 'State'), 'shutoff')
        self.assertEqual(sorted(self.get(self.vm_path, 'Vm', 'RequiredTargets')),
                         sorted((self.one_path, self.two_path)))
        self.assertEqual([self.get(p, 'Attachment', 'Plugged') for p in paths], [False, False])
        self.assertEqual(self.states(), ['disconnected'] * 2)

        self.assertEqual(self.run_vm(), socket.gethostname())
        self.assertEqual(self.get(self.vm_path, 'Vm', 'State'), 'running')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Host'), socket.gethostname())
        self.assertEqual(self.states(), ['connected'] * 2)
        self.assertEqual([self.get(p, 'Attachment', 'Plugged') for p in paths], [True, True])
        self.assertEqual(self.get(self.one_path, 'Target', 'Users'), [paths[0]])
        self.assert_consistent()
        self.machine.wait_booted().guest.wait_disks(
            lambda disks: sorted(size for size, _ in disks.values()) == [16 * MIB, 32 * MIB])

        self.machine.guest.close()
        self.method(self.vm_path, 'Vm', 'Stop')
        self.assertEqual(self.machine.state(), 'shut off')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'State'), 'shutoff')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Host'), '')
        self.assertEqual(self.states(), ['disconnected'] * 2)
        for target in (self.one, self.two):
            target.tgtd.wait_for_sessions(target.tid, 0)
        self.method(self.vm_path, 'Vm', 'Stop')

    def test_run_of_a_running_vm(self):
        self.attach_both()
        host = self.run_vm()
        with self.assertDBusError('VmRunning'):
            self.run_vm()
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Host'), host)

    def test_run_where_it_can(self):
        self.attach_both()
        with self.assertDBusError('HostNotFound'):
            self.run_vm('no-such-host')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'State'), 'shutoff')
        self.assertEqual(self.run_vm(socket.gethostname()), socket.gethostname())

    def test_does_not_run_without_a_required_lun(self):
        target = self.lab.add_target('missing')
        self.connect(target)
        self.attach_both()
        self.attach(self.machine, {'GUID': target.luns[1].guid})
        target.tgtd.remove_target(target.tid)
        with self.assertDBusError('NoHostAvailable') as expected:
            self.run_vm()
        for part in (socket.gethostname(), 'TargetNotFound', target.iqn):
            self.assertIn(part, expected.exception.message)
        self.assertEqual(self.machine.state(), 'shut off')
        self.assertEqual(self.states(), ['disconnected'] * 2)

    def test_started_and_stopped_by_others(self):
        """virsh starts it: the targets count as used; the guest powers off: they are released."""
        paths = self.attach_both()
        self.machine.start()
        self.wait_property(self.vm_path, 'Vm', 'State', 'running')
        self.wait_property(self.one_path, 'Target', 'Users', [paths[0]])
        self.wait_property(self.one_path, 'Target', 'State', 'connected')
        with contextlib.suppress(GuestError):  # it cannot answer any more
            self.machine.guest.sh('poweroff -f')
        self.machine.guest.close()
        self.wait_property(self.vm_path, 'Vm', 'State', 'shutoff', 30)
        self.wait_property(self.one_path, 'Target', 'State', 'disconnected')
        self.assert_consistent()

    def test_detach_from_a_stopped_vm(self):
        paths = self.attach_both()
        self.method(paths[0], 'Attachment', 'Detach')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Attachments'), [paths[1]])
        self.assertEqual(self.get(self.vm_path, 'Vm', 'RequiredTargets'), [self.two_path])
        self.assertNotIn(self.one.iqn, self.machine.xml('--inactive'))
        with self.assertDBusError('VmNotRunning'):
            self.method(paths[1], 'Attachment', 'HotPlug')

    def test_target_state_follows_while_used(self):
        self.lab.start_tgtd('shaky', '127.0.0.1', 3264)
        target = self.lab.add_target('shaky', tgtd='shaky')
        path = self.connect(target)
        self.attach(self.machine, {'GUID': target.luns[1].guid})
        self.run_vm()
        self.assertEqual(self.get(path, 'Target', 'State'), 'connected')
        target.tgtd.stop()
        self.wait_property(path, 'Target', 'State', 'failed', 15)
        self.assertEqual(self.get(path, 'Target', 'LastError')[0], 'PortalUnreachable')
        self.assertIs(self.get(path, 'Target', 'Managed'), True)


class Libvirt(TestCase):
    """libvirtd goes away and comes back; VMs appear, change and go."""

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('lasting')

    def test_restart_of_libvirtd(self):
        self.connect(self.one)
        path = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.assertEqual(self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {}),
                         socket.gethostname())
        self.lab.kill('libvirtd')
        self.lab.launch_libvirtd()
        lab.wait_until(self.usable, 30, 'the service finding libvirtd again')
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.machine.wait_booted()
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'Detach')
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.assert_consistent()

    def usable(self):
        try:
            return self.get(self.vm(self.machine), 'Vm', 'State') == 'running' and \
                self.get(object_path('hosts', socket.gethostname()), 'Host', 'State') == 'up'
        except lab.client.DBusError:
            return False

    def test_vms_come_and_go(self):
        self.lab.start_daemon()
        vm = self.lab.define_vm('passing')
        path = object_path('vms', vm.uuid)
        lab.wait_until(lambda: path in self.lab.client.objects('Vm'), what='the VM appearing')
        found = self.lab.client.get_all(path, 'Vm')
        self.assertEqual((found['Name'], found['Uuid'], found['State'], found['Host'],
                          found['Attachments'], found['RequiredTargets']),
                         ('passing', vm.uuid, 'shutoff', '', [], []))
        self.assertEqual(self.vm(vm), path)
        self.assertEqual(self.call('/org/ovirt/DirectLun', 'Manager', 'GetVm', '(s)', vm.uuid),
                         path)
        self.lab.virsh('undefine', 'passing')
        del self.lab.vms['passing']
        lab.wait_until(lambda: path not in self.lab.client.objects('Vm'), what='the VM going')

    def test_stop_of_a_transient_vm(self):
        vm = self.lab.define_vm('fleeting')
        xml = self.lab.virsh('dumpxml', 'fleeting', '--inactive')
        self.lab.virsh('undefine', 'fleeting')
        del self.lab.vms['fleeting']
        with open('/run/lab/fleeting.xml', 'w') as f:
            f.write(xml)
        self.lab.virsh('create', '/run/lab/fleeting.xml')
        self.lab.start_daemon()
        path = self.vm(vm)
        self.method(path, 'Vm', 'Stop')
        self.assertNotIn(path, self.lab.client.objects('Vm'))
        self.assertNotIn('fleeting', self.lab.virsh('list', '--all', '--name'))
