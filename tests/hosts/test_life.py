# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that are booted again, and VMs that others take from one to another; in this order."""

import subprocess

from case import ATTACHMENT, SETTINGS, TARGET, VM, HostCase, guid
from host import Network, wait_until

ADDRESSES = {'one': '10.77.0.1', 'two': '10.77.0.2'}
IQN = 'iqn.2026-11.org.ovirt.test:life'
IDLE_IQN = 'iqn.2026-11.org.ovirt.test:idle'
SIZES = {11: 24 << 20, 12: 40 << 20}
IDLE_SIZES = {13: 16 << 20}
VM_NAME, VM_UUID = 'phoenix', '6d616c00-1ab0-4000-8000-000000000002'
SLEEPER_NAME, SLEEPER_UUID = 'sleeper', '6d616c00-1ab0-4000-8000-000000000003'
AUTOSTART = 'directlun-autostart.service'
LIFE_SETTINGS = SETTINGS + '''
[iSCSI]
ConnectTimeoutSec=2
LoginTimeoutSec=2
CheckIntervalSec=1
'''
# libvirt-guests would wait for minutes for a guest that does not know ACPI.
GUESTS = 'ON_SHUTDOWN=suspend\nON_BOOT=ignore\n'
LIBVIRTD = 'host_uuid = "6d616c00-1ab0-4000-8000-0000000001%02x"\nauth_tcp = "none"\n'


class TestLife(HostCase):
    @classmethod
    def setUpClass(cls):
        cls.networks = [Network('two', *ADDRESSES.values())]
        cls.hosts = {}
        cls.start_target(ADDRESSES['one'])
        cls.add_targets()
        cls.host = cls.add_host('one')
        cls.guest = cls.define_vm(cls.host, VM_NAME, VM_UUID)
        cls.sleeper = cls.define_vm(cls.host, SLEEPER_NAME, SLEEPER_UUID)

    @classmethod
    def add_targets(cls):
        cls.tids = {iqn: cls.add_target(iqn, sizes)
                    for iqn, sizes in ((IQN, SIZES), (IDLE_IQN, IDLE_SIZES))}

    @classmethod
    def add_host(cls, name, network=None):
        host = cls.hosts[name] = cls.boot_host(name, network)
        cls.install(host, LIFE_SETTINGS)
        host.write('/etc/default/libvirt-guests', GUESTS)
        host.write('/etc/libvirt/libvirtd.conf', LIBVIRTD % len(cls.hosts))
        host.run('systemctl', 'stop', 'libvirtd.service')
        host.run('systemctl', 'enable', '--now', '--quiet', 'libvirtd-tcp.socket')
        host.run('systemctl', 'enable', '--quiet', AUTOSTART)
        host.run('systemctl', 'restart', 'libvirtd.service', 'libvirt-guests.service')
        return host

    @classmethod
    def tearDownClass(cls):
        for host in cls.hosts.values():
            host.cut_power()
        for network in cls.networks:
            network.remove()
        cls.tgtd.stop()

    def logs(self):
        return ''.join('%s:\n%s\n' % (name, self.log_of(host))
                       for name, host in self.hosts.items())

    # ---- helpers

    def ctl(self, *arguments, host=None):
        return (host or self.host).run('directlunctl', '--quiet', *arguments).stdout

    def target(self, iqn=IQN, host=None):
        """The properties of a target, or None."""
        return next((t for t in self.objects(TARGET, host=host).values() if t['Iqn'] == iqn), None)

    def attachment(self, lun, host=None):
        """The path of the attachment of a LUN, and its properties."""
        return next(((path, a) for path, a in self.objects(ATTACHMENT, host=host).items()
                     if a['Guid'] == guid(lun)), (None, None))

    def vm_state(self, name, host=None):
        return (host or self.host).run('virsh', '-q', 'domstate', name, check=False).stdout.strip()

    def assert_in_use(self, *luns, host=None):
        """The VM's disks are plugged, and its target is ours because of them, and nothing else."""
        def settled():
            target = self.target(host=host)
            return target and target['State'] == 'connected' and len(target['Users']) == len(luns)
        wait_until(settled, 20, 'the target being in use')
        found = [self.attachment(lun, host) for lun in luns]
        target = self.target(host=host)
        self.assertEqual([a['Plugged'] for _, a in found], [True] * len(luns))
        self.assertEqual(set(target['Users']), {path for path, _ in found})
        self.assertEqual((target['Managed'], target['Foreign']), (True, False))

    def assert_released(self, iqn=IQN, host=None):
        def released():
            target = self.target(iqn, host)
            return target is None or target['State'] == 'disconnected'
        wait_until(released, 20, 'the release of ' + iqn)
        target = self.target(iqn, host)
        if target:
            self.assertEqual((target['Users'], target['Managed']), ([], False))

    def assert_disk_in_guest(self, size, data=None):
        """The guest has a disk of that size, and it can be read; its name."""
        disks = self.guest.wait_disks(lambda found: size in [s for s, _ in found.values()])
        name, = [name for name, (s, _) in disks.items() if s == size]
        if data:
            self.assertEqual(self.guest.read(name, 0, len(data)), data)
        return name

    # ---- the host is booted

    def test_pain_10_power_cut_with_luns_plugged(self):
        """libvirt autostarts one VM before anybody could call us; the other has to stay off. (The
        service sees the machine's boot id, which stays: tests/lab/test_life.py changes it.)"""
        data = b'before!!' * 64
        for iqn in (IQN, IDLE_IQN):
            self.ctl('discover', ADDRESSES['one'])
            self.ctl('connect', iqn)
        for lun in SIZES:
            self.ctl('attach', VM_NAME, guid(lun), '--iface', 'scsi')
        self.ctl('attach', SLEEPER_NAME, guid(13), '--iface', 'scsi')
        self.ctl('run', VM_NAME)
        self.ctl('run', SLEEPER_NAME)
        self.guest.wait_booted()
        self.guest.write(self.assert_disk_in_guest(SIZES[11]), 0, data)
        self.assert_in_use(*SIZES)
        self.host.run('virsh', '-q', 'autostart', VM_NAME)
        self.host.run('sync')

        self.host.cut_power()
        self.guest.close()
        self.host.boot()

        type(self).guest = self.guest_on(self.host, VM_NAME)
        wait_until(lambda: self.vm_state(VM_NAME) == 'running', 30, 'the autostart')
        self.assert_in_use(*SIZES)
        self.assertEqual(self.vm_state(SLEEPER_NAME), 'shut off')
        self.assertIs(self.attachment(13)[1]['Plugged'], False)
        self.assert_released(IDLE_IQN)
        self.guest.wait_booted()
        self.assert_disk_in_guest(SIZES[11], data)
        journal = self.host.journal('--unit=libvirtd.service')
        self.assertNotIn('Hook script execution failed', journal)  # it was libvirt's own autostart
        self.assertEqual(self.host.unit('Result', unit=AUTOSTART), {'Result': 'success'})

    def test_autostart_waits_for_a_target_that_comes_late(self):
        """A shutdown in order saves the VM; the next boot has it back once its LUNs are there."""
        def come_back():
            if not self.tgtd.process:
                self.tgtd.start()
                self.add_targets()
        self.addCleanup(come_back)
        self.guest.close()
        self.host.reboot(meanwhile=self.tgtd.stop)

        type(self).guest = self.guest_on(self.host, VM_NAME)
        wait_until(lambda: 'Failed to autostart' in self.host.journal('--unit=libvirtd.service'),
                   30, 'the first try')
        self.assertEqual(self.vm_state(VM_NAME), 'shut off')
        self.assertEqual(self.host.unit('ActiveState', 'SubState', unit=AUTOSTART),
                         {'ActiveState': 'active', 'SubState': 'running'})  # and the boot is over

        come_back()
        wait_until(lambda: self.vm_state(VM_NAME) == 'running', 30, 'the start')
        self.assert_in_use(*SIZES)
        self.assert_disk_in_guest(SIZES[11])
        wait_until(lambda: self.host.unit('SubState', unit=AUTOSTART)['SubState'] == 'exited',
                   what='the end of the unit')
        self.assertEqual(self.host.unit('Result', unit=AUTOSTART), {'Result': 'success'})

    # ---- virsh takes the VM elsewhere

    def migrate(self, *options):
        """The command that moves the VM from the first host to the second."""
        return ('virsh', '-q', 'migrate', '--live', '--persistent', '--undefinesource', *options,
                VM_NAME, 'qemu+tcp://%s/system' % ADDRESSES['two'],
                '--migrateuri', 'tcp://' + ADDRESSES['two'])

    def sessions_from(self, name):
        return [s for s in self.tgtd.sessions(self.tids[IQN]) if s['address'] == ADDRESSES[name]]

    def assert_did_not_move(self):
        two = self.hosts['two']
        self.assertEqual(self.vm_state(VM_NAME), 'running')
        self.assert_in_use(*SIZES)
        self.assert_disk_in_guest(SIZES[11])
        wait_until(lambda: not self.sessions_from('two'), what='the end of its sessions')
        wait_until(lambda: not self.objects(VM, host=two), what='the end of the VM there')
        self.assertEqual(self.objects(ATTACHMENT, host=two), {})
        self.assert_released(host=two)  # that there is such a target may stay known
        self.assertEqual(two.run('virsh', '-q', 'list', '--all').stdout.strip(), '')
        two.wait_unit('inactive')  # it has nothing to do

    def test_pain_11_migration_to_where_the_lun_is_not(self):
        self.add_host('two', self.networks[0])
        tid = self.tids[IQN]
        self.tgtd.unbind(tid)
        self.tgtd.bind(tid, ADDRESSES['one'])
        self.addCleanup(self.tgtd.bind, tid)
        self.addCleanup(self.tgtd.unbind, tid, ADDRESSES['one'])

        done = self.host.run(*self.migrate(), check=False)

        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, 'directlunctl: .*(%s|%s)' % (guid(11), guid(12)))
        self.assert_did_not_move()

    def test_pain_11_migration_that_is_given_up(self):
        two = self.hosts['two']
        migration = subprocess.Popen(self.host.command(*self.migrate('--bandwidth', '1')),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
        self.addCleanup(migration.wait)
        self.addCleanup(migration.kill)
        self.addCleanup(migration.stderr.close)
        wait_until(lambda: len([a for a in self.objects(ATTACHMENT, host=two).values()
                                if a['Plugged']]) == len(SIZES), 20, 'the VM being seen there')
        self.assert_in_use(*SIZES, host=two)  # it may have to run there any moment
        self.host.run('virsh', '-q', 'domjobabort', VM_NAME)
        migration.wait(20)
        self.assertIn('canceled', migration.stderr.read())
        self.assert_did_not_move()

    def test_vm_that_virsh_migrates_here(self):
        two = self.hosts['two']
        self.host.run(*self.migrate())

        self.assert_in_use(*SIZES, host=two)
        self.assert_released()
        self.assertIsNone(self.attachment(11)[0])
        self.guest.close()
        type(self).guest = self.guest_on(two, VM_NAME)
        self.assert_disk_in_guest(SIZES[11])
        self.assertEqual(self.sessions_from('one'), [])
