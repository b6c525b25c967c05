# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that can do more than the lab's: be another user, allow interaction, and send arguments that
no binding would make."""

import os
import pwd

from gi.repository import Gio, GLib

import client
import lab
import service
from client import ROOT

DENIED = 'org.freedesktop.DBus.Error.AccessDenied'
CHALLENGE = 'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired'
INVALID_ARGS = 'org.freedesktop.DBus.Error.InvalidArgs'


class Pending(client.Pending):
    def __init__(self, connection, message_arguments, fds, timeout, interactive):
        self._connection = connection
        self._result = None
        flags = Gio.DBusCallFlags.NONE
        if interactive:
            flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        connection.call_with_unix_fd_list(*message_arguments, flags, int(timeout * 1000), fds, None,
                                          self._done)

    def wait_error(self):
        """The name of the error that it ends in; '' if it succeeds."""
        try:
            self.wait()
        except client.DBusError as error:
            return error.name
        return ''


class Caller(client.Client):
    """A client that is another user (the bus takes a connection's user from the socket's)."""

    def __init__(self, user='root'):
        uid = pwd.getpwnam(user).pw_uid
        os.setresuid(uid, uid, 0)
        try:
            super().__init__()
        finally:
            os.setresuid(0, 0, 0)

    def begin(self, path, interface, method, arguments=None, fds=(), interactive=False, timeout=60):
        """Sends a call with a GLib.Variant of its arguments."""
        fd_list = Gio.UnixFDList.new()
        for fd in fds:
            fd_list.append(fd)
        if '.' not in interface:
            interface = lab.BUS_NAME + '.' + interface
        return Pending(self._bus, (lab.BUS_NAME, path, interface, method, arguments, None), fd_list,
                       timeout, interactive)

    def send(self, path, interface, method, arguments):
        """Sends a call that wants no reply."""
        message = Gio.DBusMessage.new_method_call(lab.BUS_NAME, path,
                                                  lab.BUS_NAME + '.' + interface, method)
        message.set_body(arguments)
        message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
        self._bus.send_message(message, Gio.DBusSendMessageFlags.NONE)
        self._bus.flush_sync()

    def error_of(self, *arguments, **options):
        """The name of the error that a call ends in; '' if it succeeds."""
        return self.begin(*arguments, **options).wait_error()

    def types(self, path, interface):
        """Property → its type, as GetAll answers."""
        reply = self._bus.call_sync(lab.BUS_NAME, path, client.PROPERTIES, 'GetAll',
                                    GLib.Variant('(s)', (interface,)), None,
                                    Gio.DBusCallFlags.NONE, -1, None).get_child_value(0)
        entries = (reply.get_child_value(n) for n in range(reply.n_children()))
        return {e.get_child_value(0).get_string():
                e.get_child_value(1).get_variant().get_type_string() for e in entries}


def dictionary(*entries):
    """An a{sv} of (key, value) pairs; keys may come twice."""
    return GLib.Variant.new_array(GLib.VariantType('{sv}'), [
        GLib.Variant.new_dict_entry(GLib.Variant('s', key), GLib.Variant('v', client.variant(value)))
        for key, value in entries])


def arguments(*values):
    return GLib.Variant.new_tuple(*values)


class Method:
    """One method of the service, with arguments that are good but for the options, and what polkit
    is asked: its actions, the verb and the other details."""

    def __init__(self, path, interface, name, before=(), own=(), actions=(), verb=None, fds=False,
                 common=True, **details):
        self.path, self.interface, self.name = path, interface, name
        self.before, self.own, self.actions = before, own, actions
        self.verb, self.fds, self.common, self.details = verb, fds, common, details

    def __str__(self):
        return '%s.%s' % (self.interface, self.name)

    def arguments(self, *options):
        return arguments(*self.before, dictionary(*options))


class QuietTestCase(service.TestCase):
    """A lab in which the service has nothing to complain about its signals."""

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        with open(cls.lab.logs + '/directlund.log') as f:
            complaints = [line for line in f if 'cannot announce' in line]
        if complaints:
            raise AssertionError(''.join(complaints))


class TestCase(QuietTestCase):
    """A lab with one object of every kind: target, LUN, vDisk, VM, attachment, host and job."""

    services = ('bus', 'polkit', 'tgt', 'libvirt')
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '30',
                          'CommandTimeoutSec': '2'}}

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.guid = cls.one.luns[1].guid
        cls.machine = cls.lab.define_vm('guest')
        cls.root = Caller()
        cls.nobody = Caller('nobody')
        call = cls.lab.client.call
        cls.target, = call(ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', '127.0.0.1', 3260, {})[0]
        call(cls.target, 'Target', 'Connect', '(a{sv})', {'pin': True})
        cls.lun = service.object_path('luns', cls.guid)
        cls.vdisk = call(ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', cls.guid, {})[0]
        cls.vm = call(ROOT, 'Manager', 'GetVm', '(s)', 'guest')[0]
        cls.attachment = call(cls.vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})', {'GUID': cls.guid}, {})[0]
        cls.host = next(iter(cls.lab.client.objects('Host')))

    def job(self):
        return max(self.lab.client.objects('Job'), key=lambda p: int(p.rsplit('_3', 1)[-1], 16))

    @classmethod
    def methods(cls):
        """All methods that make a job; harmless ones first."""
        s, disk = (lambda text: GLib.Variant('s', text)), {'guid': cls.guid, 'vm': 'guest'}
        nothing = 'nothing-listens.invalid'
        return [
            Method(ROOT, 'Manager', 'DiscoverTargets', (s(nothing), GLib.Variant('q', 3999)),
                   ('user', 'secret-token', 'target-user', 'target-secret-token'),
                   ('discover',), 'discover', portal=nothing),
            Method(ROOT, 'Manager', 'AddTarget',
                   (s('iqn.2026-11.org.example:added'),
                    GLib.Variant('a(sqq)', [('127.0.0.1', 3999, 1)])), (), ('discover',),
                   'add-target', target='iqn.2026-11.org.example:added'),
            Method(ROOT, 'Manager', 'CreateVDisk', (s(cls.guid),), ('alias', 'description'),
                   ('manage-vdisk',), 'create-vdisk', guid=cls.guid),
            Method(ROOT, 'Manager', 'PrepareStart',
                   (s('<domain><name>x</name><uuid>%s</uuid></domain>' % cls.machine.uuid),), (),
                   ('run-vm',), 'prepare-start'),
            Method(cls.target, 'Target', 'Connect', (),
                   ('guids', 'pin', 'data-path', 'paths', 'interfaces'), ('connect',), 'connect',
                   target=cls.one.iqn),
            Method(cls.target, 'Target', 'Rescan', (), (), ('connect',), 'rescan',
                   target=cls.one.iqn),
            Method(cls.target, 'Target', 'SetCredentials', (s(''), GLib.Variant('h', 0)),
                   ('target-user',), ('manage-credentials',), 'set-credentials', fds=True,
                   target=cls.one.iqn),
            Method(cls.target, 'Target', 'SetCredentialsByToken', (s(''), s('')),
                   ('target-user', 'target-secret-token'), ('manage-credentials',), 'set-credentials',
                   target=cls.one.iqn),
            Method(cls.lun, 'Lun', 'Refresh', (), (), ('connect',), 'refresh', guid=cls.guid),
            Method(cls.lun, 'Lun', 'RemoveStale', (), (), ('unmanage',), 'remove-stale',
                   guid=cls.guid),
            Method(cls.lun, 'Lun', 'ClaimForStorageDomain', (s('domain-1'),), (),
                   ('storage-domain',), 'claim-for-storage-domain', guid=cls.guid,
                   **{'storage-domain': 'domain-1'}),
            Method(cls.lun, 'Lun', 'ReleaseStorageDomain', (s('domain-1'),), (),
                   ('storage-domain',), 'release-storage-domain', guid=cls.guid,
                   **{'storage-domain': 'domain-1'}),
            Method(cls.vdisk, 'VDisk', 'Update', (), ('alias', 'description'), ('manage-vdisk',),
                   'update', guid=cls.guid),
            Method(cls.vdisk, 'VDisk', 'Snapshot', (), ('quiesce',), ('manage-vdisk',), 'snapshot',
                   guid=cls.guid),
            Method(cls.vdisk, 'VDisk', 'Merge', (s('no-image'),), ('bandwidth',), ('manage-vdisk',),
                   'merge', guid=cls.guid, image='no-image'),
            Method(cls.vdisk, 'VDisk', 'Revert', (s('no-image'),), (), ('manage-vdisk',),
                   'revert', guid=cls.guid, image='no-image'),
            Method(cls.vm, 'Vm', 'AttachDisk', (dictionary(('GUID', cls.guid)),), (), ('attach',),
                   'attach-disk', **disk),
            Method(cls.vm, 'Vm', 'Run', (GLib.Variant('as', ['elsewhere']),), ('image',), ('run-vm',), 'run',
                   vm='guest', host='elsewhere'),
            Method(cls.vm, 'Vm', 'Restart', (GLib.Variant('as', ['elsewhere']),), (), ('run-vm',),
                   'restart', vm='guest', host='elsewhere'),
            Method(cls.vm, 'Vm', 'Migrate', (s('elsewhere'),), (), ('migrate',), 'migrate',
                   vm='guest', host='elsewhere'),
            Method(cls.vm, 'Vm', 'Stop', (), ('graceful',), ('run-vm',), 'stop', vm='guest'),
            Method(cls.attachment, 'Attachment', 'HotPlug', (), ('image',), ('hot-plug',), 'hot-plug',
                   **disk),
            Method(cls.attachment, 'Attachment', 'HotUnplug', (), (), ('hot-plug',), 'hot-unplug',
                   **disk),
            Method(cls.attachment, 'Attachment', 'Detach', (), (), ('attach',), 'detach', **disk),
            Method(cls.vdisk, 'VDisk', 'Delete', (), (), ('manage-vdisk',), 'delete', guid=cls.guid),
            Method(cls.target, 'Target', 'Unmanage', (), (), ('unmanage',), 'unmanage',
                   target=cls.one.iqn),
            Method(cls.target, 'Target', 'Forget', (), (), ('unmanage',), 'forget',
                   target=cls.one.iqn),
        ]
