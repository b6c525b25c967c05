# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cancelled jobs of a real target and a real guest: each ends at once, tells what was rolled back,
and leaves everything as it was. A merge is cancelled in test_images.py, a discovery in
test_service.py."""

import contextlib
import pwd
import sqlite3
import threading
import time

import lab
import portals
from service import TestCase

QUICK = 1.5  # a cancelled job's answer; what it waits for takes far longer
QUIET_PORT = 3261
ESTABLISHED = '01'


class Hold(portals.Relay):
    """Lets the service through, and QEMU only when it is told to."""

    def __init__(self, *arguments, **options):
        self.arrived, self.goes_on = threading.Event(), threading.Event()
        super().__init__(*arguments, **options)

    def serve(self, connection):
        if portals.owner(connection) != pwd.getpwnam(lab.USER).pw_uid:
            self.arrived.set()
            self.goes_on.wait(20)
        super().serve(connection)


class Cancel(TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '20', 'LoginTimeoutSec': '20',
                          'CommandTimeoutSec': '20', 'CheckIntervalSec': '600'},
                'Libvirt': {'ReleaseTimeoutSec': '30', 'FreezeLimitSec': '10',
                            'AttachTimeoutSec': '25'}}

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('quiet', '127.0.0.1', QUIET_PORT)
        cls.good = cls.lab.add_target('good')
        cls.quiet = cls.lab.add_target('quiet', tgtd='quiet')
        cls.guid = cls.quiet.luns[1].guid
        cls.running = cls.lab.define_vm('running').start()
        cls.stopped = cls.lab.define_vm('stopped')
        cls.serial = 0

    def setUp(self):
        self.targets = [self.connect(target) for target in (self.good, self.quiet)]
        for path in self.targets:
            self.method(path, 'Target', 'Unmanage')
        for target in (self.good, self.quiet):
            target.tgtd.wait_for_sessions(target.tid, 0)

    def tearDown(self):
        self.quiet.tgtd.resume()
        for vm in (self.running, self.stopped):
            self.detach_all(vm)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        self.running.guest.wait_disks(lambda disks: not disks)

    # ---- what there is

    @staticmethod
    def rows():
        """The store's, but for what was last seen; once what ended is settled, behind its reply."""
        def keys():
            with contextlib.closing(sqlite3.connect('/var/lib/directlun/directlun.db')) as database:
                found = database.execute('SELECT key FROM entry ORDER BY key').fetchall()
            return [key for key, in found if not key.startswith('lun/')]
        lab.wait_until(lambda: not [key for key in keys() if key.startswith('intent/')],
                       what='everything being settled')
        return keys()

    def state(self):
        """What must be as it was: libvirt's domains, the store, and our objects."""
        rows = self.rows()
        objects = {path: {name: value for interface in interfaces.values()
                          for name, value in interface.items()
                          if name in ('Attachments', 'Plugged', 'Users', 'Managed', 'State',
                                      'RequiredTargets', 'VDisk', 'Status', 'Address')}
                   for path, interfaces in self.lab.client.managed().items()
                   if '/jobs/' not in path}
        for path in self.targets:  # "failed" or "disconnected", as the last look was
            objects[path].pop('State')
        return ([vm.xml(*options) for vm in (self.running, self.stopped)
                 for options in ((), ('--inactive',))], rows, objects)

    def connections(self):
        """The service's, to the portal that says nothing."""
        uid = str(pwd.getpwnam(lab.USER).pw_uid)
        with open('/proc/net/tcp') as f:
            lines = [line.split() for line in f.readlines()[1:]]
        return [line for line in lines if line[7] == uid and line[3] == ESTABLISHED and
                line[2].endswith(':%04X' % QUIET_PORT)]

    def assert_nothing_left(self, before):
        self.assertEqual(self.connections(), [])
        self.quiet.tgtd.resume()
        for target in (self.good, self.quiet):
            target.tgtd.wait_for_sessions(target.tid, 0)
        for now, then in zip(self.state(), before):
            self.assertEqual(now, then)
        self.running.guest.check('true', 10)
        self.assert_consistent()

    # ---- jobs

    def begin(self, path, interface, method, signature='(a{sv})', *values):
        """A call, and its job: (pending, path)."""
        Cancel.serial += 1
        token = 'cancel-%d' % self.serial
        pending = self.lab.client.start(path, lab.BUS_NAME + '.' + interface, method, signature,
                                        *values, {'job-token': token})
        return pending, lab.wait_until(lambda: next(
            (job for job, p in self.lab.client.objects('Job').items() if p['Token'] == token),
            None), what='the job')

    def cancel(self, pending, job):
        """Cancels a job that can be; its report."""
        self.assertIs(self.get(job, 'Job', 'Cancelable'), True)
        began = time.monotonic()
        self.method(job, 'Job', 'Cancel')
        with self.assertDBusError('Cancelled'):
            pending.wait(QUICK + 5)
        self.assertLess(time.monotonic() - began, QUICK)
        found = self.lab.client.get_all(job, 'Job')
        self.assertEqual((found['State'], found['Error'][0], found['Cancelable']),
                         ('cancelled', 'Cancelled', False))
        self.method(job, 'Job', 'Cancel')  # once more: it has ended
        return found['Report']

    def fall_silent(self):
        self.quiet.tgtd.pause()
        return self.state()

    def assert_cancelled_in_silence(self, phase, before, *call):
        """A call that the silent portal keeps in a phase; the report of its job."""
        pending, job = self.begin(*call)
        self.wait_property(job, 'Job', 'Phase', phase)
        lab.wait_until(self.connections, what='the connection to the silent portal')
        self.assertFalse(pending.done)
        report = self.cancel(pending, job)
        self.assertIn('Cancelled while %s' % phase, report)
        self.assert_nothing_left(before)
        return report

    def test_connect(self):
        report = self.assert_cancelled_in_silence('connecting', self.fall_silent(), self.targets[1],
                                                  'Target', 'Connect')
        self.assertIn('Nothing had to be rolled back', report)
        self.connect(self.quiet)
        self.method(self.targets[1], 'Target', 'Unmanage')

    def test_attach(self):
        self.assert_cancelled_in_silence(
            'proving the LUN', self.fall_silent(), self.vm(self.running), 'Vm', 'AttachDisk',
            '(a{sv}a{sv})', {'GUID': self.guid})
        self.attach(self.running, {'GUID': self.guid})
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_attach_of_an_inline_lun(self):
        """Its target is not known before, and not after."""
        self.method(self.targets.pop(), 'Target', 'Forget')
        report = self.assert_cancelled_in_silence(
            'connecting to the target', self.fall_silent(), self.vm(self.running), 'Vm',
            'AttachDisk', '(a{sv}a{sv})', {'lun': {
                'type': 'iscsi', 'address': '127.0.0.1', 'port': QUIET_PORT,
                'target': self.quiet.iqn, 'id': self.guid}})
        self.assertIn('Rolling back: connecting to the target', report)

    def test_plug(self):
        path = self.attach(self.running, {'GUID': self.guid, 'plug': False})
        self.assert_cancelled_in_silence('proving the LUN', self.fall_silent(), path, 'Attachment',
                                         'HotPlug')
        self.method(path, 'Attachment', 'HotPlug')
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_plug_in_the_hands_of_libvirt(self):
        """There is no way back: it cannot be cancelled, says so, and runs to its end."""
        hold = Hold(('127.0.0.1', QUIET_PORT))
        self.addCleanup(hold.stop)
        self.method(self.targets[1], 'Target', 'Forget')
        target = self.call(lab.ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', self.quiet.iqn,
                           [('127.0.0.1', hold.port, 1)], {})
        self.addCleanup(self.method, target, 'Target', 'Forget')
        self.addCleanup(self.method, target, 'Target', 'Unmanage')
        self.method(target, 'Target', 'Connect')
        path = self.attach(self.running, {'GUID': self.guid, 'plug': False})
        pending, job = self.begin(path, 'Attachment', 'HotPlug')
        self.assertTrue(hold.arrived.wait(10))
        self.assertIs(self.get(job, 'Job', 'Cancelable'), False)
        with self.assertDBusError('Busy'):
            self.method(job, 'Job', 'Cancel')
        hold.goes_on.set()
        pending.wait()
        self.assertEqual(self.get(job, 'Job', 'State'), 'succeeded')
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.detach_all(self.running)

    def test_unplug(self):
        """The guest does not release the disk; what waits behind that can be cancelled as well."""
        path = self.attach(self.running, {'GUID': self.guid})
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.lab.virsh('suspend', 'running')
        self.wait_property(self.vm(self.running), 'Vm', 'State', 'paused')
        before = self.state()
        pending, job = self.begin(path, 'Attachment', 'HotUnplug')
        self.wait_property(job, 'Job', 'Phase', 'waiting for the guest')
        self.wait_property(job, 'Job', 'Cancelable', True)
        behind, second = self.begin(path, 'Attachment', 'Detach')
        self.assertIn('Cancelled while waiting for another one', self.cancel(behind, second))
        report = self.cancel(pending, job)
        self.assertTrue([line for line in report if 'was asked to release' in line], report)
        self.assertIn('Rolling back: waiting for the guest', report)
        self.assertEqual(self.state(), before)
        self.lab.virsh('resume', 'running')
        # it releases it now, and nobody wants that any more
        lab.wait_until(lambda: 'device_del' not in self.running.xml() and
                       self.get(path, 'Attachment', 'Plugged'), 20, 'the disk being there again')
        self.running.guest.wait_disks(lambda disks: len(disks) == 1)
        self.assert_consistent()

    def test_run(self):
        for guid in (self.good.luns[1].guid, self.guid):
            self.attach(self.stopped, {'GUID': guid})
        report = self.assert_cancelled_in_silence('connecting', self.fall_silent(),
                                                  self.vm(self.stopped), 'Vm', 'Run',
                                                  '(asa{sv})', [])
        self.assertIn('Nothing had to be rolled back', report)
        self.assertEqual(self.stopped.state(), 'shut off')
