# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: polkit is asked for each method before anything is done, and never waited for."""

import json
import os
import signal

from gi.repository import Gio, GLib

import caller
import client
import lab
from caller import CHALLENGE, DENIED, Caller, Method, dictionary
from client import ROOT
from service import SilentPortal

FORCED = ('force', True)
# Answers for nobody by action and verb, and only if all details that are named are told so.
RULES = '''
polkit.addRule(function(action, subject) {
    var answers = %s;
    if (subject.user != "nobody" || action.id.indexOf("org.ovirt.DirectLun.") != 0)
        return null;
    var wanted = answers[action.id.slice(20) + "/" + action.lookup("verb")];
    if (!wanted)
        return polkit.Result.NO;
    for (var name in wanted)
        if (action.lookup(name) != wanted[name])
            return polkit.Result.NO;
    return polkit.Result.YES;
});
'''


class Base(caller.TestCase):
    def allow(self, answers):
        """Lets nobody do these (action, verb) with these details, and nothing else."""
        self.addCleanup(self.lab.polkit_rules, '')
        table = {'%s/%s' % key: details for key, details in answers.items()}
        self.lab.polkit_rules(RULES % json.dumps(table))

    def error_of(self, user, method, *options, **flags):
        fd = os.memfd_create('secret')
        try:
            return user.error_of(method.path, method.interface, method.name,
                                 method.arguments(*options), fds=(fd,) if method.fds else (), **flags)
        finally:
            os.close(fd)

    def state(self):
        """What must not change when something is refused."""
        return ({path: value for path, value in self.lab.client.managed().items()
                 if '/jobs/' not in path}, set(self.lab.client.objects('Job')),
                self.machine.xml('--inactive'))

    def special(self):
        """Calls that need more than one action."""
        credentials = (('user', 'x'), ('secret', GLib.Variant('h', 0)))
        lun = {'address': '127.0.0.1', 'target': self.one.iqn, 'id': self.guid}
        discover = self.methods()[0]
        s = GLib.Variant('s', 'nothing-listens.invalid')
        return [
            (Method(ROOT, 'Manager', 'DiscoverTargets', (s, GLib.Variant('q', 3999)),
                    actions=('discover', 'manage-credentials'), verb='discover', fds=True),
             credentials),
            (Method(self.vm, 'Vm', 'AttachDisk', (dictionary(('GUID', self.guid), ('plug', True)),),
                    actions=('attach', 'hot-plug'), verb='attach-disk'), ()),
            (Method(self.vm, 'Vm', 'AttachDisk',
                    (dictionary(('lun', {**lun, **dict(credentials)})),),
                    actions=('attach', 'manage-credentials'), verb='attach-disk', fds=True), ()),
            (Method(ROOT, 'Manager', 'GetDeviceList', actions=('discover',), verb='get-device-list'),
             (('refresh', True),)),
            (Method(ROOT, 'Manager', 'GetDeviceList', actions=('discover',), verb='get-device-list'),
             (('check-status', True),)),
            (Method(discover.path, discover.interface, discover.name, discover.before,
                    actions=('discover', 'force'), verb='discover'), (FORCED,)),
        ]


class Refused(Base):
    def test_by_default_a_password_is_needed(self):
        before = self.state()
        for method in self.methods():
            for interactive in (False, True):
                with self.subTest('%s, interactive: %s' % (method, interactive)):
                    self.assertEqual(self.error_of(self.nobody, method, interactive=interactive),
                                     CHALLENGE)
        for method, options in self.special():
            self.assertEqual(self.error_of(self.nobody, method, *options), CHALLENGE, str(method))
        self.assertEqual(self.state(), before)

    def test_a_rule_denies(self):
        self.allow({})
        before = self.state()
        for method in self.methods():
            with self.subTest(str(method)):
                self.assertEqual(self.error_of(self.nobody, method), DENIED)
        for method, options in self.special():
            self.assertEqual(self.error_of(self.nobody, method, *options), DENIED, str(method))
        self.assertEqual(self.state(), before)

    def test_every_action_is_needed(self):
        before = self.state()
        for method, options in self.special():
            for left_out in method.actions:
                with self.subTest('%s without %s' % (method, left_out)):
                    self.allow({(action, method.verb): {} for action in method.actions
                                if action != left_out})
                    self.assertEqual(self.error_of(self.nobody, method, *options), DENIED)
        self.assertEqual(self.state(), before)

    def test_arguments_are_looked_at_first(self):
        before = self.state()
        for method in self.methods():
            with self.subTest(str(method)):
                self.assertEqual(self.error_of(self.nobody, method, ('colour', 'green')),
                                 caller.INVALID_ARGS)
        self.assertEqual(self.state(), before)

    def test_reading_is_free(self):
        self.allow({})
        for path, interface, method, arguments in (
                (ROOT, 'Manager', 'GetDeviceList', caller.arguments(dictionary())),
                (ROOT, 'Manager', 'Describe', caller.arguments(dictionary())),
                (ROOT, 'Manager', 'AcceptSecret', caller.arguments(dictionary())),
                (self.lun, 'Lun', 'Explain', caller.arguments(dictionary())),
                (ROOT, 'Manager', 'GetVm', GLib.Variant('(s)', ('guest',))),
                (ROOT, client.OBJECT_MANAGER, 'GetManagedObjects', None),
                (self.vm, client.PROPERTIES, 'GetAll', GLib.Variant('(s)', ('',)))):
            with self.subTest(method):
                self.assertEqual(self.nobody.error_of(path, interface, method, arguments), '')


class Allowed(Base):
    """With the rule for it, and with exactly these details, each method passes."""

    def test_each_method(self):
        methods = self.methods()
        self.allow({(action, m.verb): m.details for m in methods for action in m.actions})
        for method in methods:
            with self.subTest(str(method)):
                # That a vDisk has no such image is found out behind the authorisation.
                bad = {DENIED, CHALLENGE} | (set() if method.name in ('Merge', 'Revert') else
                                             {caller.INVALID_ARGS})
                self.assertNotIn(self.error_of(self.nobody, method), bad)

    def test_several_actions(self):
        for method, options in self.special():
            with self.subTest(str(method)):
                self.allow({(action, method.verb): {} for action in method.actions})
                self.assertNotIn(self.error_of(self.nobody, method, *options), (DENIED, CHALLENGE))

    def test_the_job_belongs_to_who_asked(self):
        self.allow({('discover', 'discover'): {}})
        self.nobody.error_of(ROOT, 'Manager', 'DiscoverTargets', caller.arguments(
            GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', 3260),
            dictionary(('job-token', 'of nobody'))))
        job, = (p for p in self.lab.client.objects('Job').values() if p['Token'] == 'of nobody')
        self.assertEqual(job['StartedByUid'], 65534)
        self.assertEqual(job['State'], 'succeeded')


class Cancelling(Base):
    def begin(self, user, portal, token):
        """A discovery that does not end by itself: the pending call and its job's path."""
        pending = user.begin(ROOT, 'Manager', 'DiscoverTargets', caller.arguments(
            GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', portal.port),
            dictionary(('job-token', token))))

        def job():
            self.assertFalse(pending.done)
            return next((path for path, p in self.lab.client.objects('Job').items()
                         if p['Token'] == token), None)
        return pending, lab.wait_until(job, what='the job appearing')

    def cancel(self, user, path):
        return user.error_of(path, 'Job', 'Cancel', caller.arguments(dictionary()))

    def test_own_and_others(self):
        # nobody may start, and by the shipped defaults cancel what is nobody's own
        self.addCleanup(self.lab.polkit_rules, '')
        self.lab.polkit_rules('polkit.addRule(function(action, subject) {'
                              ' if (action.id == "org.ovirt.DirectLun.discover" &&'
                              ' subject.user == "nobody") return polkit.Result.YES; });')
        with SilentPortal() as portal:
            own, own_path = self.begin(self.nobody, portal, 'own')
            roots, roots_path = self.begin(self.root, portal, 'of root')
            self.assertEqual(self.cancel(self.nobody, roots_path), CHALLENGE)
            self.assertFalse(roots.done)
            self.assertEqual(self.cancel(self.nobody, own_path), '')
            with self.assertDBusError('Cancelled'):
                own.wait(5)
            self.assertFalse(roots.done)
            self.allow({('cancel-job-other-user', 'cancel'): {}})
            self.assertEqual(self.cancel(self.nobody, roots_path), '')
            with self.assertDBusError('Cancelled'):
                roots.wait(5)

    def test_root_cancels_everything(self):
        self.allow({('discover', 'discover'): {}})
        with SilentPortal() as portal:
            pending, path = self.begin(self.nobody, portal, 'of nobody')
            self.assertEqual(self.cancel(self.root, path), '')
            with self.assertDBusError('Cancelled'):
                pending.wait(5)
        self.assertEqual(self.cancel(self.nobody, path), DENIED)
        self.assertEqual(self.cancel(self.root, ROOT + '/jobs/_399999'),
                         'org.freedesktop.DBus.Error.UnknownObject')


class Agent:
    """A person's polkit agent, for this process: what it is asked is in .asked, and the dialogs that it
    was told to close are in .withdrawn. It confirms as root, if it is to."""

    XML = '''<node><interface name="org.freedesktop.PolicyKit1.AuthenticationAgent">
        <method name="BeginAuthentication">
          <arg type="s"/><arg type="s"/><arg type="s"/><arg type="a{ss}"/><arg type="s"/>
          <arg type="a(sa{sv})"/></method>
        <method name="CancelAuthentication"><arg type="s"/></method></interface></node>'''
    PATH = '/org/ovirt/DirectLun/test/Agent'
    POLKIT = ('org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority',
              'org.freedesktop.PolicyKit1.Authority')

    def __init__(self, confirms):
        self._confirms = confirms
        self.asked, self.withdrawn, self._waiting = [], [], []
        self._bus = Caller()._bus
        with open('/proc/self/stat') as f:
            started = int(f.read().rsplit(')', 1)[1].split()[19])
        info = Gio.DBusNodeInfo.new_for_xml(self.XML).interfaces[0]
        self._bus.register_object(self.PATH, info, self._called, None, None)
        process = ('unix-process', {'pid': GLib.Variant('u', os.getpid()),
                                    'start-time': GLib.Variant('t', started)})
        self._call('RegisterAuthenticationAgent', '((sa{sv})ss)', process, 'C', self.PATH)

    def close(self):
        self._bus.close_sync(None)

    def _call(self, method, signature, *values):
        self._bus.call_sync(*self.POLKIT, method, GLib.Variant(signature, values), None,
                            Gio.DBusCallFlags.NONE, -1, None)

    def _called(self, bus, sender, path, interface, method, arguments, invocation):
        if method == 'CancelAuthentication':
            self.withdrawn += arguments.unpack()
            invocation.return_value(None)
            return
        action, _, _, _, cookie, _ = arguments.unpack()
        self.asked.append(action)
        if not self._confirms:
            self._waiting.append(invocation)
            return
        self._call('AuthenticationAgentResponse2', '(us(sa{sv}))', 0, cookie,
                   ('unix-user', {'uid': GLib.Variant('u', 0)}))
        invocation.return_value(None)


class Interactive(Base):
    """Somebody is there who can be asked for a password."""

    def agent(self, confirms):
        agent = Agent(confirms)
        self.addCleanup(agent.close)
        return agent

    def discover(self, user, **options):
        return user.begin(ROOT, 'Manager', 'DiscoverTargets', caller.arguments(
            GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', 3260), dictionary(FORCED)), **options)

    def test_a_person_is_asked_if_the_caller_lets(self):
        agent = self.agent(True)
        self.assertEqual(self.discover(self.nobody).wait_error(), CHALLENGE)
        self.assertEqual(agent.asked, [])
        self.assertEqual(self.discover(self.nobody, interactive=True).wait_error(), '')
        self.assertEqual(set(agent.asked), {'org.ovirt.DirectLun.discover',
                                            'org.ovirt.DirectLun.force'})

    def test_the_dialog_goes_with_the_caller(self):
        agent = self.agent(False)
        jobs = set(self.lab.client.objects('Job'))
        passing = Caller('nobody')
        pending = self.discover(passing, interactive=True)
        lab.wait_until(lambda: pending.done or agent.asked, what='the agent being asked')
        self.assertEqual(self.discover(self.root).wait_error(), '')
        self.assertFalse(pending.done)
        passing.close()
        lab.wait_until(lambda: pending.done and agent.withdrawn, what='the dialog being closed')
        new = [p for path, p in self.lab.client.objects('Job').items() if path not in jobs]
        self.assertEqual({p['StartedByUid'] for p in new}, {0})


class Stuck(Base):
    """polkit does not answer."""

    settings = {**caller.TestCase.settings, 'Daemon': {'JobsPerClientMax': '3'}}

    def setUp(self):
        self.polkit = self.lab.owner_pid('org.freedesktop.PolicyKit1')
        os.kill(self.polkit, signal.SIGSTOP)
        self.addCleanup(os.kill, self.polkit, signal.SIGCONT)

    def ask(self, user):
        return user.begin(ROOT, 'Manager', 'DiscoverTargets', caller.arguments(
            GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', 3260), dictionary()))

    def test_deadline_and_others_go_on(self):
        before = self.state()
        pending = self.ask(self.nobody)
        self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
        self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetVm',
                                              GLib.Variant('(s)', ('guest',))), '')
        self.assertFalse(pending.done)
        with self.assertDBusError('TimedOut'):
            pending.wait(25)
        self.assertEqual(self.state()[0], before[0])

    def test_clients_that_go_are_forgotten(self):
        for _ in range(3):
            waiting = Caller('nobody')
            pending = [self.ask(waiting) for _ in range(3)]
            self.assertEqual(waiting.error_of(ROOT, 'Manager', 'GetDeviceList',
                                              caller.arguments(dictionary())),
                             lab.BUS_NAME + '.Error.LimitsExceeded')
            # as many as one user may have, on whatever connection
            self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList',
                                                  caller.arguments(dictionary())),
                             lab.BUS_NAME + '.Error.LimitsExceeded')
            self.assertFalse(any(p.done for p in pending))
            waiting.close()
        jobs = set(self.lab.client.objects('Job'))
        lab.wait_until(lambda: not self.nobody.error_of(
            ROOT, 'Manager', 'GetDeviceList', caller.arguments(dictionary())),
            what='the calls of clients that are gone being forgotten')
        os.kill(self.polkit, signal.SIGCONT)
        self.assertEqual(self.ask(self.nobody).wait_error(), CHALLENGE)
        new = [p for path, p in self.lab.client.objects('Job').items() if path not in jobs]
        self.assertEqual({p['Operation'] for p in new if p['StartedByUid'] == 65534} - {'list'},
                         set())


class NoPolkit(Base):
    @classmethod
    def prepare(cls):
        super().prepare()  # libvirt, too, asks polkit who may connect
        os.unlink('/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service')
        cls.lab.client.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'ReloadConfig',
                            destination='org.freedesktop.DBus')
        os.kill(cls.lab.owner_pid('org.freedesktop.PolicyKit1'), signal.SIGTERM)
        lab.wait_until(lambda: not cls.lab.owner_pid('org.freedesktop.PolicyKit1'),
                       what='polkitd ending')

    def test_only_root(self):
        before = self.state()
        for method in self.methods():
            with self.subTest(str(method)):
                self.assertEqual(self.error_of(self.nobody, method), DENIED)
                self.assertEqual(self.error_of(self.nobody, method, interactive=True), DENIED)
        self.assertEqual(self.state(), before)
        self.assertEqual(self.nobody.error_of(ROOT, 'Manager', 'GetDeviceList',
                                              caller.arguments(dictionary())), '')
        for method in self.methods():
            self.assertNotIn(self.error_of(self.root, method), (DENIED, CHALLENGE), str(method))
