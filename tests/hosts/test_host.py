# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed service on a real host, in the order of a host's life; run by tests/hosts/run."""

import os
import re
import time

import portals
from case import (ATTACHMENT, INITIATOR, MANAGER, ROOT, TARGET, UNIT, VDISK, VM, HostCase, guid,
                  plain)
from host import BUS_NAME, wait_until

REFUSED = ('org.freedesktop.DBus.Error.AccessDenied',
           'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired')
EXPOSURE_MAX = 2.5
CAP_NET_ADMIN = 12

IQN = 'iqn.2026-11.org.ovirt.test:host'
SILENT_IQN = 'iqn.2026-11.org.ovirt.test:silent'
FREEZE_MAX = 6.0  # seconds for all of the call; QEMU alone would wait for minutes
SECTOR = 512
SIZES = {1: 24 << 20, 2: 40 << 20}
VM_NAME, VM_UUID = 'guest', '6d616c00-1ab0-4000-8000-000000000001'
DATABASE = '/var/lib/directlun/directlun.db'

ALICE_MAY_DISCOVER = '''
polkit.addRule(function(action, subject) {
    if (action.id == "org.ovirt.DirectLun.discover" && subject.user == "alice")
        return polkit.Result.YES;
});
'''


class SilentToOthers(portals.Relay):
    """A portal that serves one user of the host, and takes the connections of all others without
    ever saying a word: what the service has just proven falls silent for QEMU."""

    def __init__(self, uid, upstream):
        self.uid = uid
        self.others = 0
        super().__init__(upstream)

    def serve(self, connection):
        if self._uid_of(connection.getpeername()[1]) == self.uid:
            super().serve(connection)
            return
        self.others += 1
        portals.wait_for_end(connection)

    def _uid_of(self, port):
        with open('/proc/net/tcp') as f:
            for line in f:
                _, local, remote, _, _, _, _, uid, *_ = line.split()
                if local.endswith(':%04X' % port) and remote.endswith(':%04X' % self.port):
                    return int(uid)
        return None


class TestHost(HostCase):
    @classmethod
    def setUpClass(cls):
        cls.host = cls.boot_host('host')
        cls.start_target()
        cls.add_target(IQN, SIZES)
        cls.install(cls.host)
        cls.guest = cls.define_vm(cls.host, VM_NAME, VM_UUID)

    @classmethod
    def tearDownClass(cls):
        cls.host.power_off()
        cls.tgtd.stop()

    # ---- helpers

    def discover(self, user='root'):
        """The target, found at its portal."""
        found, = self.manager('DiscoverTargets', 'sqa{sv}', '127.0.0.1', 3260, 0, user=user)
        target, = (t for t in found if self.host.get(t, TARGET, 'Iqn', user=user) == IQN)
        return target

    def a_vdisk(self, lun):
        """The vDisk of a LUN that has been seen; creating it again is no error."""
        target = self.discover()
        self.host.call(target, TARGET, 'Connect', 'a{sv}', 0)
        vdisk, _ = self.manager('CreateVDisk', 'sa{sv}', guid(lun), 0)
        self.host.call(target, TARGET, 'Unmanage', 'a{sv}', 0)
        return vdisk

    def assertRefused(self, path, interface, method, *arguments, user='alice'):
        error = self.host.error(path, interface, method, *arguments, user=user)
        self.assertIsNotNone(error, '%s by %s succeeded' % (method, user))
        self.assertIn(error[0], REFUSED, '%s: %s' % (method, error[1]))
        self.assertTrue(error[1])

    def start_guest(self):
        self.host.run('virsh', '-q', 'start', VM_NAME)
        self.addCleanup(self.host.run, 'virsh', '-q', 'destroy', VM_NAME, check=False)
        self.addCleanup(self.guest.close)
        self.guest.wait_booted()

    # ---- activation and confinement

    def test_first_call_activates_it(self):
        self.assertEqual(self.host.unit('ActiveState', 'NRestarts'),
                         {'ActiveState': 'inactive', 'NRestarts': '0'})
        self.assertIsNone(self.host.owner())
        self.assertTrue(self.host.get(ROOT, MANAGER, 'Version'))
        unit = self.host.unit('ActiveState', 'SubState', 'MainPID')
        self.assertEqual((unit['ActiveState'], unit['SubState']), ('active', 'running'))
        self.assertEqual(self.host.run('readlink', '/proc/%s/exe' % unit['MainPID']).stdout.strip(),
                         '/usr/libexec/directlund')

    def test_initiator_name_that_only_root_can_read(self):
        self.assertEqual(self.host.get(ROOT, MANAGER, 'InitiatorName'), INITIATOR)

    def test_runs_confined_as_its_own_user(self):
        self.host.get(ROOT, MANAGER, 'Version')
        pid = str(self.host.main_pid())
        status = dict(line.split(':\t', 1) for line in
                      self.host.run('cat', '/proc/%s/status' % pid).stdout.splitlines()
                      if ':\t' in line)
        account = self.host.account('directlun')
        self.assertNotEqual(account.pw_uid, 0)
        self.assertEqual(status['Uid'].split(), [str(account.pw_uid)] * 4)
        self.assertEqual(status['Gid'].split(), [str(account.pw_gid)] * 4)
        self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'))
        for capabilities in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
            self.assertEqual(int(status[capabilities], 16), 1 << CAP_NET_ADMIN, capabilities)
        limits = self.host.run('cat', '/proc/%s/limits' % pid).stdout
        self.assertRegex(limits, r'Max core file size +0 +0 ')

    def test_sees_a_read_only_system(self):
        self.host.get(ROOT, MANAGER, 'Version')
        # Even root, where the service lives.
        there = ('nsenter', '--mount', '--target', str(self.host.main_pid()), '--')
        for path in ('/usr/x', '/etc/x', '/var/lib/x', '/boot/x'):
            done = self.host.run(*there, 'touch', path, check=False)
            self.assertIn('Read-only file system', done.stderr, path)
        for path in ('/home/alice', '/root'):
            done = self.host.run(*there, 'ls', '-A', path, check=False)
            self.assertEqual(done.stdout, '', path)
        self.assertEqual(self.host.run('stat', '-c', '%U:%G %a', '/var/lib/directlun').stdout,
                         'directlun:directlun 700\n')
        for user in ('alice', 'bob'):
            self.assertNotEqual(self.host.run('ls', '/var/lib/directlun', user=user,
                                              check=False).returncode, 0)

    def test_opens_sockets_for_secrets(self):
        path, token = self.manager('AcceptSecret', 'a{sv}', 0, user='alice')
        self.assertRegex(path, '^/run/directlun/secret/[0-9a-f]{32}$')
        self.assertRegex(token, '^[0-9a-f]{32}$')
        for directory in ('/run/directlun', '/run/directlun/secret'):
            self.assertEqual(self.host.run('stat', '-c', '%U:%G %a', directory, user='alice').stdout,
                             'directlun:directlun 711\n')
            self.assertNotEqual(self.host.run('ls', directory, user='alice', check=False).returncode, 0)
        wait_until(lambda: not self.host.run('ls', '/run/directlun/secret').stdout,
                   what='the socket of a client that has left going')

    def test_security_score(self):
        text = self.host.run('systemd-analyze', 'security', '--no-pager', UNIT).stdout
        exposure = float(text.split('Overall exposure level')[1].split()[2])
        self.assertLessEqual(exposure, EXPOSURE_MAX)

    def test_nobody_else_can_be_it(self):
        self.host.get(ROOT, MANAGER, 'Version')
        for user in ('alice', 'root'):
            error = self.host.error(
                '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName', BUS_NAME,
                'uint32 3', user=user, destination='org.freedesktop.DBus')
            self.assertIsNotNone(error, user)
            self.assertEqual(error[0], 'org.freedesktop.DBus.Error.AccessDenied', user)

    # ---- polkit

    def test_only_the_service_gets_into_libvirt(self):
        connect = ('virsh', '-q', '-c', 'qemu:///system', 'list', '--all')
        self.assertIn(VM_NAME, self.host.run(*connect, user='directlun').stdout)
        done = self.host.run(*connect, user='alice', check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('authentication', done.stderr)

    def test_everybody_reads(self):
        self.assertTrue(self.host.get(ROOT, MANAGER, 'Version', user='alice'))
        self.assertIsInstance(self.manager('GetDeviceList', 'a{sv}', 0, user='alice')[0], list)
        self.assertTrue(self.objects(BUS_NAME + '.Host', user='alice'))

    def test_ordinary_user_changes_nothing(self):
        self.assertRefused(ROOT, MANAGER, 'DiscoverTargets', '127.0.0.1', 'uint16 3260', '{}')
        self.assertRefused(ROOT, MANAGER, 'AddTarget', IQN, "[('127.0.0.1', 3260, 1)]", '{}')
        self.assertRefused(ROOT, MANAGER, 'CreateVDisk', guid(1), '{}')
        vm, = self.manager('GetVm', 's', VM_NAME, user='alice')
        self.assertRefused(vm, VM, 'AttachDisk', "{'GUID': <'%s'>}" % guid(1), '{}')
        self.assertRefused(vm, VM, 'Run', '@as []', '{}')
        self.assertEqual(self.objects(TARGET), {})
        self.assertEqual(self.objects(VDISK), {})
        self.assertEqual(self.objects(ATTACHMENT), {})

    def test_rule_lets_a_user_do_one_thing(self):
        discover = (ROOT, MANAGER, 'DiscoverTargets', '127.0.0.1', 'uint16 3260', '{}')
        rule = '/etc/polkit-1/rules.d/10-alice.rules'
        self.host.write(rule, ALICE_MAY_DISCOVER)
        # polkitd watches the folder
        wait_until(lambda: not self.host.error(*discover, user='alice'), what='the rule')
        target = self.discover('alice')
        self.assertRefused(target, TARGET, 'Connect', '{}')
        self.assertRefused(target, TARGET, 'Unmanage', '{}')
        self.assertRefused(*discover, user='bob')
        self.host.run('rm', rule)
        wait_until(lambda: self.host.error(*discover, user='alice'), what='the end of the rule')
        self.assertRefused(*discover)

    # ---- the main job, as root, with what a person would type

    def test_lun_goes_into_a_running_vm_and_out_again(self):
        self.start_guest()
        target = self.discover()
        self.host.call(target, TARGET, 'Connect', 'a{sv}', 0)
        self.assertEqual(self.host.get(target, TARGET, 'State'), 'connected')
        devices = {entry['GUID']: entry for entry in
                   map(plain, self.manager('GetDeviceList', 'a{sv}', 0)[0])}
        self.assertEqual({g: d['capacity'] for g, d in devices.items()},
                         {guid(lun): size for lun, size in SIZES.items()})
        self.assertEqual(devices[guid(1)]['status'], 'free')
        vdisk, created = self.manager('CreateVDisk', 'sa{sv}', guid(1), 0)
        self.assertTrue(created)

        vm, = self.manager('GetVm', 's', VM_NAME)
        attachment, = self.host.call(vm, VM, 'AttachDisk', 'a{sv}a{sv}', 2, 'vdisk', 'o', vdisk,
                                     'iface', 's', 'scsi', 0)
        self.assertTrue(self.host.get(attachment, ATTACHMENT, 'Plugged'))
        disk = self._disk_in_guest(SIZES[1])
        data = os.urandom(SECTOR)
        self.guest.write(disk, 5 * SECTOR, data)
        with open(self.backing(1), 'rb') as f:
            f.seek(5 * SECTOR)
            self.assertEqual(f.read(SECTOR), data)
        self._survives_a_crash(attachment, disk, data)

        self.host.call(attachment, ATTACHMENT, 'HotUnplug', 'a{sv}', 0)
        self.guest.wait_disks(lambda disks: not disks)
        self.assertFalse(self.host.get(attachment, ATTACHMENT, 'Plugged'))
        self.host.call(attachment, ATTACHMENT, 'Detach', 'a{sv}', 0)
        self.assertEqual(self.objects(ATTACHMENT), {})
        xml = self.host.run('virsh', 'dumpxml', VM_NAME).stdout
        for left in (guid(1), IQN, self.host.get(vdisk, VDISK, 'Id')):
            self.assertNotIn(left, xml)
        self.host.call(target, TARGET, 'Unmanage', 'a{sv}', 0)

    def _disk_in_guest(self, size):
        disks = self.guest.wait_disks(
            lambda found: [name for name, (s, _) in found.items() if s == size])
        name, = disks
        return name

    def _survives_a_crash(self, attachment, disk, data):
        """The service dies while its disk is plugged: the guest goes on, and so does it."""
        self._kill()
        self.assertTrue(self.host.get(attachment, ATTACHMENT, 'Plugged'))
        self.assertEqual(self.guest.read(disk, 5 * SECTOR, SECTOR), data)

    def _kill(self):
        pid, restarts = self.host.main_pid(), int(self.host.unit('NRestarts')['NRestarts'])
        self.assertNotEqual(pid, 0)
        self.host.run('kill', '-KILL', str(pid))
        # systemd does it, nobody calls
        wait_until(lambda: int(self.host.unit('NRestarts')['NRestarts']) == restarts + 1,
                   what='the restart')
        self.host.wait_unit('active')
        self.assertNotIn(self.host.main_pid(), (0, pid))

    def test_silent_portal_does_not_freeze_a_vm(self):
        self.start_guest()
        self.add_target(SILENT_IQN, {3: 8 << 20})
        portal = SilentToOthers(self.host.account('directlun').pw_uid, ('127.0.0.1', 3260))
        self.addCleanup(portal.stop)
        target, = self.manager('AddTarget', 'sa(sqq)a{sv}', SILENT_IQN, 1, '127.0.0.1', portal.port,
                               1, 0)
        self.host.call(target, TARGET, 'Connect', 'a{sv}', 0)
        vm, = self.manager('GetVm', 's', VM_NAME)

        started = time.monotonic()
        error = self.host.error(vm, VM, 'AttachDisk',
                                "{'GUID': <'%s'>, 'iface': <'scsi'>}" % guid(3), '{}')
        self.guest.check('true')
        took = time.monotonic() - started
        self.assertGreater(portal.others, 0)  # it was QEMU that met the silence
        self.assertIsNotNone(error)
        self.assertEqual(error[0], BUS_NAME + '.Error.PortalUnreachable', error[1])
        self.assertLess(took, FREEZE_MAX)
        self.assertEqual(self.objects(ATTACHMENT), {})
        self.assertEqual(self.guest.disks(), {})
        self.host.call(target, TARGET, 'Unmanage', 'a{sv}', 0)
        self.host.call(target, TARGET, 'Forget', 'a{sv}', 0)

    # ---- its life between calls

    def test_exits_when_idle_and_comes_back(self):
        vdisk = self.a_vdisk(2)
        before = self.objects(VDISK)
        self.assertIn(vdisk, before)
        self.host.wait_unit('inactive')
        self.assertEqual(self.host.unit('Result')['Result'], 'success')
        self.assertIsNone(self.host.owner())
        self.assertEqual(self.objects(VDISK), before)
        self.host.wait_unit('active')

    def test_restarts_after_a_crash_as_it_was(self):
        self.a_vdisk(2)
        before = (self.objects(VDISK), set(self.objects(TARGET)))
        self._kill()
        self.assertEqual((self.objects(VDISK), set(self.objects(TARGET))), before)

    def test_without_an_initiator_name_file(self):
        self.host.wait_unit('inactive')
        name = '/etc/iscsi/initiatorname.iscsi'
        self.host.run('mv', name, name + '.away')
        self.addCleanup(self.host.run, 'mv', name + '.away', name)
        self.assertTrue(self.host.get(ROOT, MANAGER, 'Version'))
        self.assertNotEqual(self.host.get(ROOT, MANAGER, 'InitiatorName'), INITIATOR)

    def test_all_that_left_no_complaint(self):
        self.host.wait_unit('inactive')
        self.assertEqual(self.host.run('systemctl', '--failed', '--no-legend').stdout, '')
        text = self.host.journal()
        for word in ('type=1326', 'apparmor="DENIED"', 'avc: ', 'Watchdog timeout'):
            self.assertNotIn(word, text)
        ends = re.findall(r'directlund\.service: Main process exited, (.*)', text)
        self.assertEqual(set(ends) - {'code=killed, status=9/KILL'}, set())  # that was us
        own = ('--unit=' + UNIT, '--identifier=directlund')
        self.assertEqual(self.host.journal(*own, '--priority=err'), '')
        self.assertNotRegex(self.host.journal(*own), r'(?i)critical|assertion')

    def test_keeps_its_hands_off_a_damaged_database(self):
        self.host.wait_unit('inactive')
        vdisks = self.objects(VDISK)
        self.host.wait_unit('inactive')
        database = self.host.root + DATABASE
        with open(database, 'rb') as f:
            good = f.read()
        damaged = b'no database' * 1000
        with open(database, 'r+b') as f:
            f.write(damaged)
            f.truncate()
        self.assertIsNotNone(self.host.error(ROOT, MANAGER, 'GetDeviceList', '{}'))
        self.host.wait_unit('failed')
        self.assertIn(DATABASE, self.host.journal('--unit=' + UNIT, '--priority=err'))
        with open(database, 'r+b') as f:
            self.assertEqual(f.read(), damaged)
            f.seek(0)
            f.write(good)
            f.truncate()
        self.host.run('systemctl', 'reset-failed', UNIT)
        self.assertEqual(self.objects(VDISK), vdisks)
