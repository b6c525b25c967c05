# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that others start: libvirt's hook proves their LUNs first, autostart waits for them."""

import os
import subprocess

from service import TestCase, secret_fd

HOOK = '/etc/libvirt/hooks/qemu.d/directlun'


class Hook(TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '1'}}

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('shaky', '127.0.0.1', 3264)
        cls.shaky = cls.lab.add_target('shaky', tgtd='shaky')
        cls.keys = cls.lab.add_target('keys', user='who', password='twelve chars!')
        cls.machine = cls.lab.define_vm('hooked')
        cls.plain = cls.lab.define_vm('plain')

    def setUp(self):
        if self.shaky.tgtd.process is None:
            self.shaky.come_back()
        self.path = self.connect(self.shaky)
        self.vm_path = self.vm(self.machine)
        self.attachment = self.attach(self.machine, {'GUID': self.shaky.luns[1].guid})
        self.method(self.path, 'Target', 'Unmanage')
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.guest.close()
        self.lab.virsh('autostart', '--disable', self.machine.name)
        self.method(self.vm_path, 'Vm', 'Stop')
        self.detach_all(self.machine)

    def start(self):
        """virsh start; what it says if it fails."""
        result = self.lab.run('virsh', '-q', 'start', self.machine.name, check=False)
        return result.stderr if result.returncode else ''

    def assert_refused(self, *words):
        said = self.start()
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(self.machine.state(), 'shut off')
        self.wait_property(self.path, 'Target', 'State', 'disconnected')

    def test_started_by_virsh(self):
        self.assertTrue(os.access(HOOK, os.X_OK))
        self.assertEqual(self.start(), '')
        self.wait_property(self.path, 'Target', 'Users', [self.attachment])
        self.wait_property(self.path, 'Target', 'State', 'connected')
        self.machine.wait_booted().guest.wait_disks(lambda disks: len(disks) == 1)
        self.assertTrue([job for job in self.lab.client.objects('Job').values()
                         if job['Operation'] == 'prepare-start' and job['State'] == 'succeeded'])

    def test_target_is_away(self):
        self.shaky.tgtd.stop()
        self.assert_refused('PortalUnreachable', self.shaky.luns[1].guid, self.shaky.iqn)

    def test_portal_is_silent(self):
        self.shaky.tgtd.pause()
        self.addCleanup(self.shaky.tgtd.resume)
        self.assert_refused('TimedOut')

    def test_service_is_not_running(self):
        """It is activated, by a hook whose libvirt has the domain locked."""
        self.lab.stop_daemon()
        self.assertEqual(self.start(), '')
        self.assertIsNotNone(self.lab.owner_pid())

    def test_pain_3_number_shows_another_lun(self):
        """QEMU would open it without a word."""
        lun, tid = self.shaky.luns[1], self.shaky.tid
        self.shaky.tgtd.remove_lun(tid, 1)
        self.shaky.tgtd.add_lun(tid, 1, lun.path + '.other', 16 << 20,
                                scsi_id='naa.6001405999999990')
        self.addCleanup(self.shaky.tgtd.stop)
        self.assert_refused('GuidMismatch')
        self.shaky.tgtd.add_lun(tid, 2, lun.path, lun.size, scsi_id='naa.' + lun.guid[1:],
                                serial=lun.serial, vendor='LAB', product='DISK')
        self.assert_refused('GuidMismatch', 'directlunctl run')
        self.lab.run('directlunctl', 'run', self.machine.name)
        self.assertIn(self.shaky.iqn + '/2', self.machine.xml())
        self.lab.virsh('destroy', self.machine.name)
        self.assertEqual(self.start(), '')

    def test_chap_secret_after_libvirt_lost_it(self):
        with secret_fd('twelve chars!') as fd:
            self.call(self.target(self.keys), 'Target', 'SetCredentials', '(sha{sv})', 'who', 0, {},
                      fds=[fd])
        self.connect(self.keys)
        self.attach(self.machine, {'GUID': self.keys.luns[1].guid})
        self.method(self.target(self.keys), 'Target', 'Unmanage')
        for secret in self.lab.virsh('secret-list').split('\n'):
            if secret.strip():
                self.lab.virsh('secret-undefine', secret.split()[0])
        self.assertEqual(self.start(), '')
        self.machine.wait_booted().guest.wait_disks(lambda disks: len(disks) == 2)

    def test_others_are_left_alone(self):
        self.lab.stop_daemon()
        self.lab.virsh('start', self.plain.name)
        self.assertIsNone(self.lab.owner_pid())
        self.lab.virsh('destroy', self.plain.name)

    def test_autostart_waits_for_the_lun(self):
        self.lab.virsh('autostart', self.machine.name)
        self.lab.restart_daemon()  # libvirt has no event for that, and it is for the next boot
        self.shaky.tgtd.stop()
        unit = '/usr/lib/systemd/system/directlun-autostart.service'
        with open(unit) as f:
            command, = [line.partition('=')[2].split() for line in f
                        if line.startswith('ExecStart=')]
        process = subprocess.Popen([word for word in command if word != '--quiet'],
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertIn('PortalUnreachable', process.stderr.readline())
        self.shaky.come_back()
        self.assertEqual(process.wait(30), 0)
        self.wait_property(self.vm_path, 'Vm', 'State', 'running')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Autostart'), True)
        self.wait_property(self.path, 'Target', 'Users', [self.attachment])
        self.lab.run('directlunctl', 'run', '--autostart')  # nothing to do

    def test_what_is_not_xml(self):
        for text in ('', '<domain', '<!DOCTYPE x [<!ENTITY a "b">]><domain/>'):
            with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
                self.call('/org/ovirt/DirectLun', 'Manager', 'PrepareStart', '(sa{sv})', text, {})
