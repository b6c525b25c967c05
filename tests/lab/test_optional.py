# SPDX-License-Identifier: LGPL-2.1-or-later
"""Optional disks: a VM starts without one whose LUN is not reachable, and gets it when it is."""

import signal

import lab
from service import TestCase

MIB = 1 << 20


class OptionalDisk(TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '1'}}

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('shaky', '127.0.0.1', 3264)
        cls.there = cls.lab.add_target('there')
        cls.late = cls.lab.add_target('late', size=32 * MIB, tgtd='shaky')
        cls.machine = cls.lab.define_vm('patient')

    def setUp(self):
        if self.late.tgtd.process is None:
            self.late.come_back()
        self.there_path, self.late_path = self.connect(self.there), self.connect(self.late)
        self.vm_path = self.vm(self.machine)
        self.required = self.attach(self.machine, {'GUID': self.there.luns[1].guid})
        self.optional = self.attach(self.machine, {'GUID': self.late.luns[1].guid,
                                                   'optional': True})
        for path in (self.there_path, self.late_path):
            self.method(path, 'Target', 'Unmanage')
        self.addCleanup(self.clean)

    def clean(self):
        self.machine.guest.close()
        self.method(self.vm_path, 'Vm', 'Stop')
        self.detach_all(self.machine)

    def run_vm(self):
        return self.call(self.vm_path, 'Vm', 'Run', '(asa{sv})', [], {})

    def run_without(self):
        """Runs it while the optional disk's target is away."""
        self.late.tgtd.stop()
        self.call(self.vm_path, 'Vm', 'Run', '(asa{sv})', [],
                  {'dry-run': True, 'job-token': self.id()})
        report, = [job['Report'] for job in self.lab.client.objects('Job').values()
                   if job['Token'] == self.id()]
        self.assertTrue([line for line in report if line.startswith(
            'Would leave out %s: ' % self.late.luns[1].guid)], report)
        self.assertEqual(self.machine.state(), 'shut off')
        self.run_vm()
        self.assert_left_out()

    def attachment(self):
        return self.lab.client.get_all(self.optional, 'Attachment')

    def assert_left_out(self):
        found = self.attachment()
        self.assertEqual((found['LeftOut'], found['Plugged'], found['Optional']),
                         (True, False, True))
        self.assertEqual(found['LastError'][0].rsplit('.', 1)[-1], 'PortalUnreachable')
        self.assertIn(self.late.iqn, found['LastError'][1])
        self.assertIs(self.get(self.late_path, 'Target', 'Managed'), True)
        self.assertEqual(self.get(self.late_path, 'Target', 'Users'), [])
        self.assertEqual(self.machine.xml().count('ua-directlun-'), 1)
        self.assertEqual(self.machine.xml('--inactive').count('ua-directlun-'), 2)
        self.assert_consistent()

    def assert_whole(self):
        """It has both disks, and nothing is left of the time without."""
        found = self.attachment()
        self.assertEqual((found['LeftOut'], found['Plugged'], found['LastError']),
                         (False, True, ('', '')))
        self.assertEqual(self.get(self.late_path, 'Target', 'Users'), [self.optional])
        lab.wait_until(
            lambda: 'left-out' not in self.machine.xml() + self.machine.xml('--inactive'),
            10, 'the mark being taken away, which is what comes after the plug')
        self.machine.guest.wait_disks(
            lambda disks: sorted(size for size, _ in disks.values()) == [16 * MIB, 32 * MIB])

    def sizes_in_guest(self):
        return sorted(size for size, _ in self.machine.guest.disks().values())

    def test_left_out_and_plugged_when_it_is_back(self):
        self.run_without()
        self.wait_property(self.late_path, 'Target', 'State', 'failed')
        self.machine.wait_booted()
        self.assertEqual(self.sizes_in_guest(), [16 * MIB])

        # The wish is in the domain: no restart forgets it.
        self.lab.restart_daemon(signal.SIGKILL)
        self.wait_property(self.late_path, 'Target', 'State', 'failed')
        self.assert_left_out()

        self.late.come_back()
        self.wait_property(self.optional, 'Attachment', 'Plugged', True)
        self.wait_property(self.optional, 'Attachment', 'LeftOut', False)
        self.wait_property(self.late_path, 'Target', 'State', 'connected')
        self.assert_whole()
        self.assertIs(self.get(self.vm_path, 'Vm', 'State') == 'running', True)

        self.machine.guest.close()
        self.method(self.vm_path, 'Vm', 'Stop')
        self.wait_property(self.late_path, 'Target', 'State', 'disconnected')
        self.run_vm()  # it starts with all of them again
        self.machine.wait_booted()
        self.assert_whole()

    def test_what_ends_the_wish(self):
        self.run_without()
        self.method(self.vm_path, 'Vm', 'Stop')
        self.assertEqual(self.attachment()['LeftOut'], False)
        self.assertEqual(self.get(self.late_path, 'Target', 'Managed'), False)
        self.assertEqual(self.get(self.late_path, 'Target', 'State'), 'disconnected')
        self.assertEqual(self.machine.xml().count('ua-directlun-'), 2)

        self.run_vm()
        self.assert_left_out()
        self.method(self.optional, 'Attachment', 'HotUnplug')
        self.assertEqual(self.attachment()['LeftOut'], False)
        self.assertEqual(self.get(self.late_path, 'Target', 'Managed'), False)
        self.late.come_back()
        self.connect(self.late)
        self.assertEqual(self.attachment()['Plugged'], False)
        self.assertNotIn(self.late.luns[1].guid, [
            line for job in self.lab.client.objects('Job').values()
            if job['Operation'] == 'hot-plug' for line in job['Report']])
        self.method(self.optional, 'Attachment', 'HotPlug')  # for who wants it after all
        self.machine.wait_booted()
        self.assert_whole()

    def test_detach_of_what_is_left_out(self):
        self.run_without()
        self.method(self.optional, 'Attachment', 'Detach')
        self.assertEqual(self.get(self.vm_path, 'Vm', 'Attachments'), [self.required])
        self.assertEqual(self.get(self.late_path, 'Target', 'Managed'), False)
        self.assertNotIn(self.late.iqn, self.machine.xml() + self.machine.xml('--inactive'))

    def test_plugged_by_hand(self):
        """HotPlug fails while it is away, and that is not the end of the wish."""
        self.run_without()
        with self.assertDBusError('PortalUnreachable'):
            self.method(self.optional, 'Attachment', 'HotPlug')
        self.assertEqual(self.attachment()['LeftOut'], True)
        self.late.come_back()
        self.connect(self.late)
        self.wait_property(self.optional, 'Attachment', 'Plugged', True)

    def test_killed_while_it_is_brought(self):
        """Wherever the service dies while it plugs, the next one brings the disk, once."""
        for point in ('7:after', '13:waiting', '13:after', '14:after'):  # of plug_steps
            with self.subTest(point):
                self.run_without()
                self.lab.stop_daemon()
                self.lab.environment(DIRECTLUND_KILL_AT='hot-plug:' + point)
                pid = self.lab.start_daemon()
                self.lab.environment()
                self.late.come_back()
                self.assertTrue(lab.wait_exit(pid, 20), 'the point was not passed')
                self.lab.start_daemon()
                self.wait_property(self.optional, 'Attachment', 'Plugged', True)
                self.wait_property(self.optional, 'Attachment', 'LeftOut', False)
                self.wait_property(self.late_path, 'Target', 'Users', [self.optional])
                self.assertEqual(self.machine.xml().count('ua-directlun-'), 2)
                self.assertEqual(self.machine.xml('--inactive').count('ua-directlun-'), 2)
                self.method(self.vm_path, 'Vm', 'Stop')

    def test_required_disk_is_still_required(self):
        self.late.tgtd.stop()
        self.there.tgtd.unbind(self.there.tid)
        self.addCleanup(self.there.tgtd.bind, self.there.tid)
        with self.assertDBusError('NoHostAvailable'):
            self.run_vm()
        self.assertEqual(self.machine.state(), 'shut off')
        self.assertEqual(self.attachment()['LeftOut'], False)
