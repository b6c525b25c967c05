# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service as a whole: jobs, signals, polkit, idle exit, restarts, the object tree."""

import signal
import time
import xml.etree.ElementTree

from gi.repository import GLib

import client
import lab
from service import ROOT, SilentPortal, TestCase, object_path

INVALID_ARGS = 'org.freedesktop.DBus.Error.InvalidArgs'
FAST = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '30', 'CommandTimeoutSec': '2'},
        'Daemon': {'JobLingerSec': '2'}}


class Jobs(TestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = FAST

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')

    def start_silent(self, portal, token):
        """A discovery that does not end by itself: the pending call and its job's path."""
        pending = self.lab.client.start(ROOT, lab.MANAGER, 'DiscoverTargets', '(sqa{sv})',
                                        '127.0.0.1', portal.port, {'job-token': token})
        return pending, lab.wait_until(lambda: self.job(token), what='the job appearing')

    def job(self, token):
        return next((path for path, p in self.lab.client.objects('Job').items()
                     if p['Token'] == token), None)

    def test_job_of_a_call_in_progress(self):
        with SilentPortal() as portal:
            pending, path = self.start_silent(portal, 'mine')
            found = self.lab.client.get_all(path, 'Job')
            self.assertEqual(found['State'], 'running')
            self.assertEqual(found['StartedByUid'], 0)
            self.assertEqual(found['Token'], 'mine')
            self.assertIs(found['Cancelable'], True)
            self.assertEqual(found['Error'], ('', ''))
            self.assertTrue(found['Operation'])
            self.assertLess(abs(found['StartTime'] / 1e6 - time.time()), 30)
            self.assertGreaterEqual(found['Progress'], 0)
            self.assertLessEqual(found['Progress'], 1)
            self.assertFalse(pending.done)
            self.method(path, 'Job', 'Cancel')
            with self.assertDBusError('Cancelled'):
                pending.wait(5)

    def test_cancelled_job_lingers_then_goes(self):
        with SilentPortal() as portal:
            pending, path = self.start_silent(portal, 'cancelled')
            with client.Recorder() as recorder:
                self.method(path, 'Job', 'Cancel')
                with self.assertDBusError('Cancelled'):
                    pending.wait(5)
                completed = recorder.until(lambda m: m.get('member') == 'Completed')[-1]
            self.assertEqual(completed['path'], path)
            self.assertEqual(completed['payload']['type'], 'bss')
            self.assertEqual(completed['payload']['data'][:2], [False, 'Cancelled'])
            found = self.lab.client.get_all(path, 'Job')
            self.assertEqual((found['State'], found['Error'][0]), ('cancelled', 'Cancelled'))
            self.assertIs(found['Cancelable'], False)
            self.method(path, 'Job', 'Cancel')
            lab.wait_until(lambda: path not in self.lab.client.managed(), 10, 'the job going')

    def test_finished_job_tells_how_it_went(self):
        self.discover(**{'job-token': 'good'})
        found = self.lab.client.get_all(self.job('good'), 'Job')
        self.assertEqual((found['State'], found['Error']), ('succeeded', ('', '')))
        with self.assertDBusError('PortalUnreachable'):
            self.discover(port=3999, **{'job-token': 'bad'})
        found = self.lab.client.get_all(self.job('bad'), 'Job')
        self.assertEqual((found['State'], found['Error'][0]), ('failed', 'PortalUnreachable'))
        self.assert_consistent()

    def test_client_that_goes_does_not_stop_its_job(self):
        passing = client.Client()
        with SilentPortal() as portal:
            passing.start(ROOT, lab.MANAGER, 'DiscoverTargets', '(sqa{sv})', '127.0.0.1',
                          portal.port, {'job-token': 'orphan'})
            path = lab.wait_until(lambda: self.job('orphan'), what='the job appearing')
            passing.close()
            self.discover()
            self.assertEqual(self.get(path, 'Job', 'State'), 'running')
            self.method(path, 'Job', 'Cancel')
            self.wait_property(path, 'Job', 'State', 'cancelled')

    def test_another_user_may_not_cancel(self):
        with SilentPortal() as portal:
            pending, path = self.start_silent(portal, 'guarded')
            refused = self.lab.run_as('nobody', 'gdbus', 'call', '--system', '--dest',
                                      lab.BUS_NAME, '--object-path', path, '--method',
                                      lab.BUS_NAME + '.Job.Cancel', '{}', check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertEqual(self.get(path, 'Job', 'State'), 'running')
            self.method(path, 'Job', 'Cancel')
            with self.assertDBusError('Cancelled'):
                pending.wait(5)


class Signals(TestCase):
    settings = FAST

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('listener')
        cls.machine.start()

    def record(self, path, interface, method, signature, *values):
        """A call: its result and the messages of the service up to its reply."""
        with client.Recorder() as recorder:
            result = self.call(path, interface, method, signature, *values)
            me = self.lab.client.unique_name
            calls = recorder.until(lambda m: m.get('member') == method and m['sender'] == me)
            messages = recorder.until(lambda m: m['type'] == 'method_return' and
                                      m.get('reply_cookie') == calls[-1]['cookie'] and
                                      m['destination'] == me)
        return result, messages

    def added(self, messages):
        return [m['payload']['data'][0] for m in messages if m.get('member') == 'InterfacesAdded']

    def removed(self, messages):
        return [m['payload']['data'][0] for m in messages if m.get('member') == 'InterfacesRemoved']

    def changed(self, messages, path):
        """What PropertiesChanged told of an object before the reply: name → last value."""
        values = {}
        for m in messages:
            if m.get('member') == 'PropertiesChanged' and m['path'] == path:
                _, told, invalidated = m['payload']['data']
                values.update({name: value['data'] for name, value in told.items()})
                values.update(dict.fromkeys(invalidated))
        return values

    def test_pain_16_signals_come_before_the_reply(self):
        paths, messages = self.record(ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', '127.0.0.1',
                                      3260, {})
        target, = paths
        self.assertIn(target, self.added(messages))
        _, messages = self.record(target, 'Target', 'Connect', '(a{sv})', {})
        guid = self.one.luns[1].guid
        self.assertIn(object_path('luns', guid), self.added(messages))
        self.assertEqual(self.changed(messages, target)['State'], 'connected')
        self.assertIs(self.changed(messages, target)['Managed'], True)
        (vdisk, _), messages = self.record(ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', guid, {})
        self.assertIn(vdisk, self.added(messages))
        vm = self.vm(self.machine)
        attachment, messages = self.record(vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})',
                                           {'vdisk': client.path_of(vdisk)}, {})
        self.assertIn(attachment, self.added(messages))
        self.assertEqual(self.changed(messages, vm)['Attachments'], [attachment])
        self.assertEqual(self.changed(messages, vdisk)['Attachments'], [attachment])
        self.assertEqual(self.changed(messages, target)['Users'], [attachment])
        _, messages = self.record(attachment, 'Attachment', 'HotUnplug', '(a{sv})', {})
        self.assertIs(self.changed(messages, attachment)['Plugged'], False)
        _, messages = self.record(attachment, 'Attachment', 'Detach', '(a{sv})', {})
        self.assertIn(attachment, self.removed(messages))
        self.assertEqual(self.changed(messages, vm)['Attachments'], [])


class Polkit(TestCase):
    settings = FAST
    NOT_ALLOWED = ('org.freedesktop.DBus.Error.AccessDenied',
                   'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired')

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('guarded')

    def nobody(self, path, method, *arguments):
        """A call by the user nobody with gdbus: the result of the run."""
        return self.lab.run_as('nobody', 'gdbus', 'call', '--system', '--dest', lab.BUS_NAME,
                               '--object-path', path, '--method', lab.BUS_NAME + '.' + method,
                               *arguments, check=False)

    def assert_refused(self, path, method, *arguments):
        result = self.nobody(path, method, *arguments)
        self.assertNotEqual(result.returncode, 0, method)
        self.assertTrue(any(name in result.stderr for name in self.NOT_ALLOWED), result.stderr)

    def test_nobody_may_change_nothing(self):
        target = self.connect(self.one)
        self.method(target, 'Target', 'Unmanage')
        vdisk, _ = self.create_vdisk(self.one.luns[1].guid)
        vm = self.vm(self.machine)
        attachment = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        before = {path: value for path, value in self.lab.client.managed().items()
                  if '/jobs/' not in path}
        xml = self.machine.xml()
        for path, method, *arguments in (
                (ROOT, 'Manager.DiscoverTargets', '127.0.0.1', '3260', '{}'),
                (ROOT, 'Manager.CreateVDisk', self.one.luns[1].guid, '{}'),
                (ROOT, 'Manager.AddTarget', 'iqn.2026-11.org.example:x', "[('127.0.0.1', 3260, 1)]",
                 '{}'),
                (target, 'Target.Connect', '{}'), (target, 'Target.Unmanage', '{}'),
                (target, 'Target.Rescan', '{}'), (target, 'Target.Forget', '{}'),
                (vdisk, 'VDisk.Update', "{'alias': <'taken'>}"), (vdisk, 'VDisk.Delete', '{}'),
                (vm, 'Vm.AttachDisk', "{'GUID': <'%s'>}" % self.one.luns[1].guid, '{}'),
                (vm, 'Vm.Run', '[]', '{}'), (vm, 'Vm.Stop', '{}'),
                (attachment, 'Attachment.HotPlug', '{}'),
                (attachment, 'Attachment.HotUnplug', '{}'),
                (attachment, 'Attachment.Detach', '{}')):
            with self.subTest(method):
                self.assert_refused(path, method, *arguments)
        after = {path: value for path, value in self.lab.client.managed().items()
                 if '/jobs/' not in path}
        self.assertEqual(after, before)
        self.assertEqual(self.machine.xml(), xml)
        self.method(attachment, 'Attachment', 'Detach')
        self.method(vdisk, 'VDisk', 'Delete')

    def test_everybody_may_read(self):
        self.connect(self.one)
        for path, method, *arguments in ((ROOT, 'Manager.GetDeviceList', '{}'),
                                         (ROOT, 'Manager.GetVm', 'guarded')):
            result = self.nobody(path, method, *arguments)
            self.assertEqual(result.returncode, 0, result.stderr)
        result = self.lab.run_as('nobody', 'busctl', 'call', lab.BUS_NAME, ROOT,
                                 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
        self.assertIn(self.one.iqn, result)

    def test_a_rule_lets_in(self):
        self.lab.polkit_rules('polkit.addRule(function(action, subject) {'
                              ' if (action.id == "org.ovirt.DirectLun.discover" &&'
                              ' subject.user == "nobody") return polkit.Result.YES; });')
        result = self.nobody(ROOT, 'Manager.DiscoverTargets', '127.0.0.1', '3260', '{}')
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_refused(object_path('targets', self.one.iqn), 'Target.Connect', '{}')
        self.lab.polkit_rules('')
        self.assert_refused(ROOT, 'Manager.DiscoverTargets', '127.0.0.1', '3260', '{}')


class Tree(TestCase):
    services = ('bus', 'polkit', 'tgt')

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')

    def test_manager(self):
        found = self.lab.client.get_all(ROOT, 'Manager')
        self.assertEqual(found['InitiatorName'], lab.INITIATOR)
        self.assertEqual(found['Engine'], 'sqlite')
        self.assertTrue(found['Version'])
        self.assertIsInstance(found['Features'], list)

    def test_every_object_can_be_introspected(self):
        self.connect(self.one)
        self.create_vdisk(self.one.luns[1].guid)
        objects = self.lab.client.managed()
        for kind in ('targets', 'luns', 'vdisks', 'hosts', 'jobs'):
            self.assertTrue(any('/%s/' % kind in path for path in objects), kind)
        for path, interfaces in objects.items():
            told = xml.etree.ElementTree.fromstring(self.lab.client.introspect(path))
            names = {i.get('name'): {p.get('name') for p in i.findall('property')}
                     for i in told.findall('interface')}
            for interface, properties in interfaces.items():
                self.assertEqual(names.get(interface), set(properties), path)
        self.assert_consistent()

    def test_unknown_members(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.UnknownMethod'):
            self.call(ROOT, 'Manager', 'FlyAway')
        with self.assertDBusError('org.freedesktop.DBus.Error.UnknownProperty'):
            self.get(ROOT, 'Manager', 'Colour')

    def test_vms_without_libvirt(self):
        with self.assertDBusError('LibvirtError'):
            self.call(ROOT, 'Manager', 'GetVm', '(s)', 'any')


class Life(TestCase):
    """Starts, idle exits, restarts and crashes."""

    settings = {'Daemon': {'IdleExitSec': '1', 'JobLingerSec': '1'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('lasting')

    def wait_idle_exit(self):
        pid = self.lab.owner_pid()
        self.assertTrue(lab.wait_exit(pid, 20), 'it does not exit when idle')

    def test_exits_when_idle_and_comes_back(self):
        self.assertEqual(len(self.discover()), 1)
        self.wait_idle_exit()
        self.assertIsNone(self.lab.owner_pid())
        self.assertEqual(self.get(object_path('targets', self.one.iqn), 'Target', 'Iqn'),
                         self.one.iqn)

    def test_stays_while_something_is_connected(self):
        path = self.connect(self.one)
        pid = self.lab.owner_pid()
        self.assertFalse(lab.wait_exit(pid, 4), 'it left a connection behind')
        self.method(path, 'Target', 'Unmanage')
        self.wait_idle_exit()

    def wait_settled(self, attachment):
        """What is looked at in the background has been seen."""
        self.wait_property(object_path('targets', self.one.iqn), 'Target', 'State', 'connected')
        self.wait_property(attachment, 'Attachment', 'GuestCapacity', self.one.luns[1].size)

    def test_restart_keeps_everything(self):
        self.connect(self.one)
        vdisk, _ = self.create_vdisk(self.one.luns[1].guid, alias='kept')
        attachment = self.attach(self.machine, {'GUID': self.one.luns[1].guid})
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertIs(self.get(attachment, 'Attachment', 'Plugged'), True)

        for sig in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(sig):
                self.wait_settled(attachment)
                before = self.stable()
                self.lab.restart_daemon(sig)
                self.wait_settled(attachment)
                self.assertEqual(self.stable(), before)
                self.assert_consistent()
        self.machine.wait_booted()
        self.method(attachment, 'Attachment', 'HotUnplug')
        self.method(attachment, 'Attachment', 'Detach')
        self.method(self.vm(self.machine), 'Vm', 'Stop')
        self.method(vdisk, 'VDisk', 'Delete')

    def stable(self):
        """The objects that outlive the process."""
        kept = {}
        for path, interfaces in self.lab.client.managed().items():
            if '/jobs/' not in path:
                kept[path] = interfaces
        return kept

    def test_killed_in_the_middle_of_a_discovery(self):
        with SilentPortal() as portal:
            pending = self.lab.client.start(ROOT, lab.MANAGER, 'DiscoverTargets', '(sqa{sv})',
                                            '127.0.0.1', portal.port, {})
            portal.wait_connected()
            self.lab.stop_daemon(signal.SIGKILL)
            with self.assertRaises(client.DBusError):
                pending.wait(5)
        self.assertEqual(len(self.discover()), 1)

    def test_stopped_in_the_middle_of_a_discovery(self):
        with SilentPortal() as portal:
            pending = self.lab.client.start(ROOT, lab.MANAGER, 'DiscoverTargets', '(sqa{sv})',
                                            '127.0.0.1', portal.port, {})
            portal.wait_connected()
            self.lab.stop_daemon()
            with self.assertDBusError('Cancelled'):
                pending.wait(5)

    def test_settings_that_are_wrong_are_told(self):
        self.lab.configure({'Daemon': {'IdleExitSec': 'never'}, 'Nonsense': {'A': 'b'}})
        self.lab.restart_daemon()
        with open(self.lab.logs + '/directlund.log') as f:
            said = f.read()
        self.assertIn('IdleExitSec', said)
        self.assertIn('Nonsense', said)
        self.lab.configure(self.settings)
        self.lab.restart_daemon()


class Activation(TestCase):
    services = ('bus', 'polkit')

    def test_runs_as_its_own_user_with_one_privilege(self):
        pid = self.lab.start_daemon()
        with open('/proc/%d/status' % pid) as f:
            status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        import pwd
        self.assertEqual(int(status['Uid'].split()[0]), pwd.getpwnam(lab.USER).pw_uid)
        self.assertEqual(int(status['CapEff'], 16), 1 << 12)  # CAP_NET_ADMIN
        self.assertEqual(status['NoNewPrivs'], '1')

    def test_name_belongs_to_its_user_only(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.AccessDenied'):
            self.lab.client.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
                                 '(su)', lab.BUS_NAME, 0, destination='org.freedesktop.DBus')

    def test_many_readers_at_once(self):
        pending = [self.lab.client.start(ROOT, client.OBJECT_MANAGER, 'GetManagedObjects')
                   for _ in range(50)]
        for p in pending:
            p.wait()
        reply = self.lab.client.start(ROOT, lab.MANAGER, 'GetDeviceList', '(a{sv})',
                                      {'check-status': GLib.Variant('b', False)}).wait()
        self.assertEqual(reply, ([],))
