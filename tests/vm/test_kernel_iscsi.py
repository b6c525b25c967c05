# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets by sessions of the kernel: Connect with data-path block, and what becomes of them."""

import glob
import json
import os

from gi.repository import GLib

import client
import service
import storage
import vm

MIB = 1 << 20
SECRET, TARGET_SECRET = 'a-secret-of-16-bytes', 'another-of-18-bytes'


class TestKernelIscsi(vm.TestCase):
    minutes = 2

    def setUp(self):
        self.disk, self.other = self.add_disk('one', 24 * MIB), self.add_disk('two', 16 * MIB)
        self.target = self.add_target({1: self.disk, 2: self.other})
        self.addCleanup(storage.flush_maps)

    def by_kernel(self, *guids, **options):
        path = self.found_target(self.target)
        self.addCleanup(self._forget_known, path)
        self.method(path, 'Target', 'Connect', **{'data-path': 'block', 'guids': list(guids),
                                                  **options})
        return path

    def _forget_known(self, path):
        if path in self.client.objects('Target'):
            self._forget(path)

    def let_go(self, path):
        self.method(path, 'Target', 'Unmanage')
        self.assertEqual(storage.sessions(), [])  # at once
        self.assertEqual(storage.disks(), [])
        self.assertEqual([storage.find_map(disk.guid) for disk in (self.disk, self.other)],
                         [None, None])
        self.assertEqual(glob.glob('/etc/iscsi/nodes/*/*/directlun*'), [])

    def test_pain_1_connected_is_usable(self):
        path = self.by_kernel(self.disk.guid, **{'data-path': 'auto'})
        found = storage.find_map(self.disk.guid)  # at once, without waiting for anything
        self.assertEqual(len(found.paths), 2)
        self.assertEqual(found.size, self.disk.size)
        self.assertEqual(set(found.path_states().values()), {'A'})
        link = '/dev/disk/by-id/dm-uuid-mpath-' + self.disk.guid
        with open(link, 'rb') as f:
            self.assertEqual(len(f.read(4096)), 4096)
        self.assertEqual(storage.disks(self.other.guid), [])  # nobody has asked for it
        self.assertEqual(self.get(path, 'Target', 'State'), 'connected')
        self.assertFalse(self.get(path, 'Target', 'Foreign'))
        self.assertEqual(self.get(path, 'Target', 'DataPath'), 'block')  # this host can
        self.assertEqual(self.get(path, 'Target', 'DataPathReason'), 'this host has what it takes')

        sids = storage.sessions()
        self.by_kernel(self.disk.guid, self.other.guid)
        self.assertEqual(storage.sessions(), sids)
        self.assertEqual(len(storage.find_map(self.other.guid).paths), 2)
        self.let_go(path)

    def test_several_interfaces(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.by_kernel(self.disk.guid, interfaces=['first', 'second'])
        self.assertEqual(storage.sessions(), [])
        for name in 'first', 'second':
            storage.run('iscsiadm', '-m', 'iface', '-I', name, '-o', 'new')
            self.addCleanup(storage.run, 'iscsiadm', '-m', 'iface', '-I', name, '-o', 'delete')
        storage.run('iscsiadm', '-m', 'iface', '-I', 'second', '-o', 'update', '-n',
                    'iface.net_ifacename', '-v', 'lo')
        path = self.by_kernel(self.disk.guid, interfaces=['first', 'second'])
        self.assertEqual(len(storage.sessions()), 4)
        self.assertEqual(sorted(storage.read(p) for p in glob.glob(
            '/sys/class/iscsi_session/session*/ifacename')),
                         ['directlun-first'] * 2 + ['directlun-second'] * 2)
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 4)
        self.let_go(path)

    def test_foreign_sessions_are_used_and_stay(self):
        storage.run('iscsiadm', '-m', 'node', '-o', 'new', '-T', self.target.iqn, '-p',
                    '127.0.0.1:3260,1')
        storage.run('iscsiadm', '-m', 'node', '-o', 'update', '-T', self.target.iqn, '-n',
                    'node.session.scan', '-v', 'manual')
        self.addCleanup(storage.log_out, self.target)
        storage.run('iscsiadm', '-m', 'node', '-T', self.target.iqn, '--login')
        foreign, = storage.sessions()
        path = self.by_kernel(self.disk.guid)
        self.assertTrue(self.get(path, 'Target', 'Foreign'))
        self.assertEqual(len(storage.sessions()), 2)  # one is ours
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)
        self.method(path, 'Target', 'Unmanage')
        self.assertEqual(storage.sessions(), [foreign])
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 1)

    def test_chap_both_ways(self):
        self.target.require_chap('me', SECRET, 'it', TARGET_SECRET)
        path = self.call(vm.ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', self.target.iqn,
                         [(address, 3260, 1) for address in ('127.0.0.1', '127.0.0.2')], {})
        self.addCleanup(self._forget, path)
        with self.assertDBusError('org.ovirt.DirectLun.Error.AuthFailed'):
            self.method(path, 'Target', 'Connect', **{'data-path': 'block'})
        self.assertEqual(storage.sessions(), [])
        with service.secret_fd(SECRET) as one, service.secret_fd(TARGET_SECRET) as two:
            self.call(path, 'Target', 'SetCredentials', '(sha{sv})', 'me', 0,
                      {'target-user': 'it', 'target-secret': GLib.Variant('h', 1)}, fds=(one, two))
        self.method(path, 'Target', 'Connect', **{'data-path': 'block', 'guids': [self.disk.guid]})
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)
        self.let_go(path)

    def test_one_dead_portal_and_paths(self):
        self.found_target(self.target)
        self.target.portal_down('127.0.0.2')
        path = self.by_kernel(self.disk.guid)  # all paths that there are
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 1)
        self.assertEqual(self.get(path, 'Target', 'State'), 'degraded')
        with self.assertDBusError('org.ovirt.DirectLun.Error.PortalUnreachable'):
            self.by_kernel(self.disk.guid, paths=GLib.Variant('u', 2))
        self.target.portal_up('127.0.0.2')
        self.by_kernel(self.disk.guid, paths=GLib.Variant('u', 2))
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)
        self.let_go(path)

    def test_service_killed(self):
        """What a killed service has left is ended by the next one; a pin is kept."""
        path = self.by_kernel(self.disk.guid)
        self.kill_service()
        self.assertEqual(len(storage.sessions()), 2)
        self.get(vm.ROOT, 'Manager', 'Version')
        vm.wait_until(lambda: not storage.sessions(), 60, 'the end of the sessions', 0.2)

        self.by_kernel(self.disk.guid, pin=True)
        sids = storage.sessions()
        self.kill_service()
        self.wait_property(path, 'Target', 'State', 'connected', 60)
        self.assertEqual(storage.sessions(), sids)
        for sid, _, _ in sids:  # somebody else does, and the next check makes them again
            storage.run('iscsiadm', '-m', 'session', '-r', str(sid), '--logout')
        vm.wait_until(lambda: len(storage.sessions()) == 2, 90, 'the new sessions', 0.5)
        self.let_go(path)

    test_service_killed.deadline = 240

    def kill_service(self):
        os.kill(int(self.unit('MainPID')['MainPID']), 9)
        vm.wait_until(lambda: self.unit('MainPID')['MainPID'] != '0', 30, 'the new service', 0.2)

    # What was asked of the helper goes on without the service, or comes to nothing.
    # All turns of the loop: tests/unit/core/test-kernel-killed.c.
    KILLED_CONNECTING = ('kernel-login:0:asked:2', 'kernel-scan:0:asked:1', 'connect:2:after')
    KILLED_LEAVING = ('kernel-plan:0:asked', 'kernel-plan:3:asked')

    def test_killed_at_each_step(self):
        """Nothing of it is left over, and what is not ours is untouched."""
        disk = self.add_disk('three', 16 * MIB)
        others = self.add_target({1: disk}, name='others')
        self.log_in(others)
        foreign = storage.sessions(), disk.guid, storage.wait_map(disk.guid).paths
        path = self.found_target(self.target)
        self.addCleanup(self._forget_known, path)
        for point in self.KILLED_CONNECTING + self.KILLED_LEAVING:
            with self.subTest(point):
                self.kill_at(point, path)
                vm.wait_until(lambda: self.is_settled(path, foreign), 60, 'it being settled', 0.2)
        self.by_kernel(self.disk.guid)  # as if nothing had been
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)

    test_killed_at_each_step.deadline = 240

    def kill_at(self, point, path):
        storage.run('systemctl', 'set-environment', 'DIRECTLUND_KILL_AT=' + point)
        storage.run('systemctl', 'restart', vm.UNIT)
        storage.run('systemctl', 'unset-environment', 'DIRECTLUND_KILL_AT')
        try:
            self.method(path, 'Target', 'Connect', **{'data-path': 'block',
                                                      'guids': [self.disk.guid]})
            self.assertIn(point, self.KILLED_LEAVING, 'it did not pass the point')
            self.method(path, 'Target', 'Unmanage')
        except client.DBusError as error:
            self.assertEqual(error.name, 'org.freedesktop.DBus.Error.NoReply', error.message)
        else:
            self.fail('it did not pass the point')

    def is_settled(self, path, foreign):
        described = json.loads(self.call(vm.ROOT, 'Manager', 'Describe', '(a{sv})', {}))
        sessions, guid, paths = foreign
        there = storage.find_map(guid)
        return (described['open-intents'] == 0 and storage.sessions() == sessions and
                self.get(path, 'Target', 'State') == 'disconnected' and
                not storage.disks(self.disk.guid) and not storage.find_map(self.disk.guid) and
                not glob.glob('/etc/iscsi/nodes/*/*/directlun*') and
                there and there.paths == paths)

    def test_what_is_mounted_stays(self):
        path = self.by_kernel(self.disk.guid)
        device = '/dev/disk/by-id/dm-uuid-mpath-' + self.disk.guid
        storage.run('mkfs.ext4', '-q', device)
        os.makedirs('/run/mounted', exist_ok=True)
        storage.run('mount', device, '/run/mounted')
        try:
            with self.assertDBusError('org.ovirt.DirectLun.Error.InUse'):
                self.method(path, 'Target', 'Unmanage')
            self.assertEqual(len(storage.sessions()), 2)
            self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)
        finally:
            storage.run('umount', '/run/mounted')
        vm.wait_until(lambda: not storage.sessions(), 60, 'the end of the sessions', 0.3)
