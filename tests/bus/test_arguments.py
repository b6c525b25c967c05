# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients may send: everything else is InvalidArgs, which names what is wrong."""

import os

from gi.repository import GLib

import caller
import client
from caller import INVALID_ARGS, Method, arguments, dictionary
from client import ROOT


def of(kind, value):
    return GLib.Variant(kind, value)


class Options(caller.TestCase):
    def methods_and_readers(self):
        return self.methods() + [
            Method(ROOT, 'Manager', 'GetDeviceList', (), ('guids', 'storage-type', 'check-status',
                                                          'refresh')),
            Method(ROOT, 'Manager', 'Describe', common=False),
            Method(ROOT, 'Manager', 'AcceptSecret', common=False),
            Method(self.lun, 'Lun', 'Explain', common=False),
            Method(self.job(), 'Job', 'Cancel', common=False)]

    def refused(self, method, *options):
        """The message of a call that must be InvalidArgs."""
        with open('/dev/null') as f:
            with self.assertDBusError(INVALID_ARGS) as expected:
                self.root.begin(method.path, method.interface, method.name,
                                method.arguments(*options),
                                fds=(f.fileno(),) if method.fds else ()).wait()
        return expected.exception.message

    def test_unknown_options(self):
        for method in self.methods_and_readers():
            with self.subTest(str(method)):
                self.assertIn("'colour'", self.refused(method, ('colour', 'green')))
                self.assertIn("''", self.refused(method, ('', 'green')))
                if not method.common:
                    self.assertIn("'job-token'", self.refused(method, ('job-token', 'x')))

    def test_wrong_types(self):
        for method in self.methods_and_readers():
            for name in method.own + (('job-token', 'force', 'timeout-ms') if method.common else ()):
                with self.subTest('%s %s' % (method, name)):
                    self.assertIn("'%s'" % name, self.refused(method, (name, of('d', 1.0))))

    def test_duplicates(self):
        for method in self.methods_and_readers():
            if method.common:
                with self.subTest(str(method)):
                    self.assertIn("'job-token'", self.refused(method, ('job-token', 'x'),
                                                              ('job-token', 'x')))

    def test_ranges(self):
        for method in self.methods():
            with self.subTest(str(method)):
                self.refused(method, ('timeout-ms', of('u', 86400001)))
                self.refused(method, ('timeout-ms', of('u', 0xffffffff)))
                self.refused(method, ('job-token', ''))
                self.refused(method, ('job-token', 'x' * 256))

    def test_connect(self):
        connect = Method(self.target, 'Target', 'Connect')
        for word, options in (
                ('data-path', {'data-path': 'kernel'}),
                ('paths', {'paths': of('u', 1025)}),
                ('paths', {'paths': of('u', 1), 'data-path': 'qemu'}),
                ('interfaces', {'interfaces': ['one'], 'data-path': 'qemu'}),
                ('interfaces', {'interfaces': ['of%d' % n for n in range(17)]}),
                ('interfaces', {'interfaces': ['']}),
                ('interfaces', {'interfaces': ['../nodes']}),
                ('interfaces', {'interfaces': ['x' * 48]}),
                ('interfaces', {'interfaces': ['directlun']}),
                ('interfaces', {'interfaces': ['one', 'two words']})):
            with self.subTest(options):
                self.assertIn(word, self.refused(connect, *options.items()))

    def test_arguments_out_of_range(self):
        many = [('127.0.0.1', 3260, 1)] * 65
        for name, signature, *values in (
                ('DiscoverTargets', '(sqa{sv})', '', 3260, {}),
                ('DiscoverTargets', '(sqa{sv})', '127.0.0.1', 0, {}),
                ('DiscoverTargets', '(sqa{sv})', 'x' * 256, 3260, {}),
                ('DiscoverTargets', '(sqa{sv})', '127.0.0.1', 3260, {'user': 'without a secret'}),
                ('AddTarget', '(sa(sqq)a{sv})', '', [('127.0.0.1', 3260, 1)], {}),
                ('AddTarget', '(sa(sqq)a{sv})', 'no name', [('127.0.0.1', 3260, 1)], {}),
                ('AddTarget', '(sa(sqq)a{sv})', 'iqn.2026-11.org.example:x', [], {}),
                ('AddTarget', '(sa(sqq)a{sv})', 'iqn.2026-11.org.example:x', many, {}),
                ('AddTarget', '(sa(sqq)a{sv})', 'iqn.2026-11.org.example:x', [('', 3260, 1)], {}),
                ('AddTarget', '(sa(sqq)a{sv})', 'iqn.2026-11.org.example:x', [('::1', 0, 1)], {}),
                ('CreateVDisk', '(sa{sv})', '', {}),
                ('CreateVDisk', '(sa{sv})', self.guid, {'description': 'x' * 4097}),
                ('GetVm', '(s)', ''),
                ('GetVm', '(s)', 'x' * 256)):
            with self.subTest('%s %s' % (name, str(values)[:80])):
                with self.assertDBusError(INVALID_ARGS):
                    self.call(ROOT, 'Manager', name, signature, *values)

    def test_too_many_options(self):
        entries = [('option-%d' % n, 'x') for n in range(1000)]
        for method in self.methods_and_readers():
            self.refused(method, *entries)

    def test_secrets(self):
        read, write = os.pipe()
        os.write(write, b'secret of nobody\n')
        os.close(write)
        with open('/dev/null') as null:
            for fds, options in (((null.fileno(),), {}), ((read,), {'target-user': 'alone'})):
                with self.subTest(options), self.assertDBusError(INVALID_ARGS) as expected:
                    self.call(self.target, 'Target', 'SetCredentials', '(sha{sv})', 'user', 0,
                              options, fds=fds)
                self.assertNotIn('nobody', expected.exception.message)
        os.close(read)
        self.assertIs(self.get(self.target, 'Target', 'HasCredentials'), False)


class Devices(caller.TestCase):
    """The device dictionary. VmNotRunning, AlreadyAttached and so on say that it was understood."""

    def error_of(self, *entries, fds=()):
        try:
            self.root.begin(self.vm, 'Vm', 'AttachDisk',
                            arguments(dictionary(*entries), dictionary()), fds=fds).wait()
        except client.DBusError as error:
            return error
        return None

    def assert_refused(self, word, *entries, **options):
        error = self.error_of(*entries, **options)
        self.assertIsNotNone(error, entries)
        self.assertEqual(error.name, INVALID_ARGS, error.message)
        self.assertIn(word, error.message)

    def assert_understood(self, *entries):
        error = self.error_of(*entries)
        self.assertTrue(error is None or error.name != INVALID_ARGS, error)

    def guid_and(self, *entries):
        return (('GUID', self.guid), *entries)

    def test_values_in_every_type(self):
        for value in (True, False, 0, 1, 'True', 'False', 'true', 'false', 'on', 'off', '0', '1',
                      of('u', 1), of('t', 0)):
            for key in ('propagateErrors', 'shared', 'optional', 'readonly'):
                with self.subTest('%s %s' % (key, value)):
                    self.assert_understood(*self.guid_and((key, value)))
        for value in (1, '1', of('y', 1), of('n', 1), of('q', 1), of('u', 1), of('x', 1), of('t', 1)):
            with self.subTest('index %s' % value):
                self.assert_understood(*self.guid_and(('index', value)))
                self.assert_understood(*self.guid_and(('bootOrder', value)))

    def test_the_whole_dictionary(self):
        pci = {'type': 'pci', 'domain': '0x0000', 'bus': '0x00', 'slot': '0x0c', 'function': '0x0'}
        drive = of('a{sv}', {'type': of('s', 'drive'), 'controller': of('s', '0'),
                             'bus': of('i', 0), 'target': of('u', 0), 'unit': of('t', 3)})
        for iface, address in (('virtio', of('a{ss}', pci)), ('scsi', drive),
                               ('virtio', of('a{ss}', {})), ('virtio', of('a{sv}', {}))):
            self.assert_understood(*self.guid_and(
                ('type', 'disk'), ('device', 'disk'), ('iface', iface), ('index', 0),
                ('address', address), ('format', 'raw'), ('bootOrder', 0),
                ('propagateErrors', 'off'), ('shared', 'False'), ('optional', 'False'),
                ('readonly', 'False'), ('plug', False), ('data-path', 'auto'), ('alias', 'x'),
                ('description', '')))

    def test_wrong_values(self):
        for key, *values in (
                ('type', 'cdrom', 1), ('device', 'floppy', '', True), ('GUID', '', 5, 'x' * 256),
                ('iface', '', 7), ('format', '', 0.5), ('index', -1, 1024, '1x', '', True, '0x1'),
                ('bootOrder', -1, 'first', of('t', 2 ** 64 - 1), of('x', -2 ** 63)),
                ('shared', 2, 'maybe', '', of('as', [])), ('plug', 'yes please'),
                ('data-path', 'sideways'), ('alias', ''), ('description', 'x' * 4097, 4),
                ('vdisk', '/', self.lun, 'nothing'), ('lun', 'x', of('a{ss}', {})),
                ('address', 'x', of('as', []), of('a{ss}', {'bus': '1'}),
                 of('a{ss}', {'type': 'usb'}), of('a{ss}', {'type': 'pci', 'colour': '1'}),
                 of('a{ss}', {'type': 'pci', 'slot': "0'/><x"}),
                 of('a{ss}', {'type': 'pci', 'unit': '1'}),
                 of('a{ss}', {'type': 'drive', 'slot': '1'}),
                 of('a{ss}', {'type': 'pci', 'slot': '65536'}),
                 of('a{sv}', {'type': of('s', 'pci'), 'slot': of('i', -1)}),
                 of('a{sv}', {'type': of('s', 'pci'), 'slot': of('d', 1.0)}))):
            for value in values:
                with self.subTest('%s %s' % (key, value)):
                    entries = () if key in ('GUID', 'vdisk', 'lun') else (('GUID', self.guid),)
                    self.assert_refused('', *entries, (key, value))

    def test_which_lun(self):
        lun = {'address': '127.0.0.1', 'target': self.one.iqn, 'id': self.guid}
        vdisk = client.path_of(self.vdisk)
        for entries in ((), (('GUID', self.guid), ('vdisk', vdisk)), (('GUID', self.guid), ('lun', lun)),
                        (('vdisk', vdisk), ('lun', lun))):
            with self.subTest(entries):
                self.assert_refused('exactly one', *entries)
        self.assert_refused("'colour'", *self.guid_and(('colour', 'green')))
        self.assert_refused("'GUID'", ('GUID', self.guid), ('GUID', self.guid))
        self.assert_understood(('vdisk', vdisk))
        self.assert_understood(('lun', lun))

    def test_inline_luns(self):
        good = {'type': 'iscsi', 'address': '127.0.0.1', 'port': '3260', 'target': self.one.iqn,
                'id': self.guid}
        self.assert_understood(('lun', good))
        for missing in ('address', 'target', 'id'):
            self.assert_refused('needs', ('lun', {k: v for k, v in good.items() if k != missing}))
        for wrong in ({'type': 'fcp'}, {'port': 0}, {'port': '65536'}, {'port': 'x'}, {'id': ''},
                      {'address': ''}, {'colour': 'green'}, {'user': 'x'}, {'secret': 'in the clear'},
                      {'user': 'x', 'secret': 'in the clear'}):
            with self.subTest(wrong):
                self.assert_refused('', ('lun', {**good, **wrong}))
        error = self.error_of(('lun', {**good, 'user': 'x', 'secret': 'in the clear'}))
        self.assertNotIn('in the clear', error.message)
