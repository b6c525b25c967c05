# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets: connecting, letting go, credentials, and the devices that they show."""

import os
import signal

from gi.repository import GLib

import lab
from service import NO_OBJECT, ROOT, TestCase, object_path, secret_fd, vdisk_id

SETTINGS = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2', 'CommandTimeoutSec': '2'}}
DEVICE_TYPES = {
    'GUID': 's', 'status': 's', 'capacity': 't', 'vendorID': 's', 'productID': 's', 'serial': 's',
    'fwrev': 's', 'devtype': 's', 'logicalblocksize': 'u', 'physicalblocksize': 'u',
    'discard_max_bytes': 't', 'pvUUID': 's', 'vgUUID': 's', 'pvsize': 't', 'lun': 'o', 'vdisk': 'o',
    'pathlist': 'aa{sv}', 'pathstatus': 'aa{sv}'}
PATH_TYPES = {'connection': 's', 'port': 'q', 'iqn': 's', 'tpgt': 'q', 'lun': 't',
              'initiatorname': 's', 'user': 's'}
PATH_STATUS_TYPES = {'physdev': 's', 'lun': 't', 'capacity': 't', 'type': 's', 'state': 's'}


class Targets(TestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2, size=8 << 20)

    def setUp(self):
        self.path = self.target(self.one)
        self.addCleanup(self.method, self.path, 'Target', 'Unmanage')

    def test_connect_and_unmanage(self):
        self.method(self.path, 'Target', 'Connect')
        found = self.lab.client.get_all(self.path, 'Target')
        self.assertEqual(found['State'], 'connected')
        self.assertIs(found['Managed'], True)
        self.assertEqual(found['Users'], [])
        self.assertEqual(found['PortalStates'], [('127.0.0.1', 3260, 'connected', '')])
        self.assertEqual(sorted(found['Luns']), sorted(
            object_path('luns', lun.guid) for lun in self.one.luns.values()))
        self.assert_consistent()
        self.method(self.path, 'Target', 'Unmanage')
        self.assertEqual(self.get(self.path, 'Target', 'State'), 'disconnected')
        self.assertIs(self.get(self.path, 'Target', 'Managed'), False)

    def test_repeating_is_no_error(self):
        for _ in range(2):
            self.method(self.path, 'Target', 'Connect')
        for _ in range(2):
            self.method(self.path, 'Target', 'Unmanage')

    def test_pain_1_connected_means_usable(self):
        self.method(self.path, 'Target', 'Connect', guids=[self.one.luns[2].guid])
        with self.assertDBusError('LunNotVisible') as expected:
            self.method(self.path, 'Target', 'Connect', guids=['36001405ffffffffffffffffffffffff'])
        self.assertIn('36001405ffffffffffffffffffffffff', expected.exception.message)

    def test_lun_properties(self):
        self.method(self.path, 'Target', 'Connect')
        lun = self.one.luns[1]
        found = self.lab.client.get_all(object_path('luns', lun.guid), 'Lun')
        for name, value in {'Guid': lun.guid, 'Status': 'free', 'Reason': '', 'Holders': [],
                            'Type': 'iSCSI', 'Capacity': 8 << 20, 'Vendor': 'LAB',
                            'Product': 'DISK', 'Serial': lun.serial, 'LogicalBlockSize': 512,
                            'VDisk': NO_OBJECT, 'StorageDomain': ''}.items():
            self.assertEqual(found[name], value, name)
        self.assertEqual(len(found['Paths']), 1)

    def test_discard_of_a_thin_lun(self):
        target = self.lab.add_target('thin')
        thin = target.add_lun(2, 4 << 20, thin=True)
        path = self.connect(target)
        self.addCleanup(self.method, path, 'Target', 'Unmanage')
        devices = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
        listed = {device['GUID']: device for device in devices}
        for lun, discards in (target.luns[1], False), (thin, True):
            found = self.get(object_path('luns', lun.guid), 'Lun', 'DiscardMaxBytes')
            self.assertEqual(found > 0, discards, lun.number)
            self.assertEqual(found % 512, 0)
            self.assertEqual(listed[lun.guid]['discard_max_bytes'], found)

    def test_rescan_finds_a_new_lun(self):
        target = self.lab.add_target('growing')
        path = self.connect(target)
        self.addCleanup(self.method, path, 'Target', 'Unmanage')
        self.assertEqual(len(self.get(path, 'Target', 'Luns')), 1)
        lun = target.add_lun(5, 4 << 20)
        luns = self.method(path, 'Target', 'Rescan')
        self.assertEqual(len(luns), 2)
        self.assertIn(object_path('luns', lun.guid), luns)
        self.assertEqual(self.get(object_path('luns', lun.guid), 'Lun', 'Capacity'), 4 << 20)

    def test_luns_that_a_client_was_told_of_survive_a_kill(self):
        target = self.lab.add_target('told')
        path = self.target(target)
        for method, guid in (('Connect', target.luns[1].guid),
                             ('Rescan', target.add_lun(2, 4 << 20).guid)):
            with self.subTest(method):
                self.method(path, 'Target', method)
                self.lab.restart_daemon(signal.SIGKILL)
                self.assertIn(object_path('luns', guid), self.lab.client.objects('Lun'))
        self.method(path, 'Target', 'Unmanage')

    def test_pain_19_one_bad_lun(self):
        """One that is not ready ends no list; the others are whole, to their last block."""
        target = self.lab.add_target('mixed', luns=0)
        good, bad = target.add_lun(1, 4 << 20), target.add_lun(2, 4 << 20)
        target.tgtd.set_online(target.tid, 2, False)
        path = self.connect(target)
        self.addCleanup(self.method, path, 'Target', 'Unmanage')
        listed = {device['GUID']: device for device in
                  self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})}
        self.assertEqual((listed[good.guid]['status'], listed[good.guid]['capacity']),
                         ('free', 4 << 20))
        self.assertEqual(listed[bad.guid]['status'], 'unusable')
        reason = self.get(object_path('luns', bad.guid), 'Lun', 'Reason')
        self.assertIn('not ready', reason)

    def test_add_without_discovery(self):
        target = self.lab.add_target('static')
        path = self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', target.iqn,
                         [('127.0.0.1', 3260, 1)], {})
        self.assertEqual(path, object_path('targets', target.iqn))
        self.method(path, 'Target', 'Connect')
        self.assertEqual(self.get(path, 'Target', 'State'), 'connected')
        self.method(path, 'Target', 'Unmanage')
        self.method(path, 'Target', 'Forget')
        self.assertNotIn(path, self.lab.client.managed())
        self.assertNotIn(object_path('luns', target.luns[1].guid), self.lab.client.managed())

    def test_bad_static_targets(self):
        for iqn, portals in (('not a name', [('127.0.0.1', 3260, 1)]), (self.one.iqn, []),
                             ('', [('127.0.0.1', 3260, 1)]),
                             (self.one.iqn, [('127.0.0.1', 0, 1)]),
                             ('iqn.2026-11.org.example:' + 'x' * 300, [('127.0.0.1', 3260, 1)])):
            with self.subTest(iqn=iqn[:40], portals=portals):
                with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
                    self.call(ROOT, 'Manager', 'AddTarget', '(sa(sqq)a{sv})', iqn, portals, {})

    def test_target_that_is_gone(self):
        target = self.lab.add_target('gone')
        path = self.target(target)
        target.tgtd.remove_target(target.tid)
        with self.assertDBusError('TargetNotFound'):
            self.method(path, 'Target', 'Connect')
        self.assertEqual(self.get(path, 'Target', 'LastError')[0], 'TargetNotFound')
        self.assertIs(self.get(path, 'Target', 'Managed'), False)
        self.method(path, 'Target', 'Forget')

    def test_portal_that_is_down(self):
        self.lab.start_tgtd('other', '127.0.0.1', 3262)
        target = self.lab.add_target('down', tgtd='other')
        path = self.target(target)
        target.tgtd.stop()
        with self.assertDBusError('PortalUnreachable'):
            self.method(path, 'Target', 'Connect')
        self.assertEqual(self.get(path, 'Target', 'LastError')[0], 'PortalUnreachable')
        self.method(path, 'Target', 'Forget')

    def test_unknown_target_object(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.UnknownObject'):
            self.method(ROOT + '/targets/nobody', 'Target', 'Connect')


class DeviceList(TestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = SETTINGS

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=2, size=8 << 20)

    def setUp(self):
        self.path = self.connect(self.one)

    def devices(self, **options):
        return self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', options)

    def assert_types(self, text, types):
        """Names and types of an a{sv} in busctl's JSON."""
        self.assertEqual({name: value['type'] for name, value in text.items()}, types)

    def test_fields_and_types(self):
        import json
        reply = json.loads(self.lab.run('busctl', '--json=short', 'call', lab.BUS_NAME, ROOT,
                                        lab.MANAGER, 'GetDeviceList', 'a{sv}', '0'))
        self.assertEqual(reply['type'], 'aa{sv}')
        entries = reply['data'][0]
        self.assertEqual(len(entries), 2)
        for entry in entries:
            self.assert_types(entry, DEVICE_TYPES)
            for path in entry['pathlist']['data']:
                self.assert_types(path, PATH_TYPES)
            for path in entry['pathstatus']['data']:
                self.assert_types(path, PATH_STATUS_TYPES)

    def test_values(self):
        lun = self.one.luns[2]
        device, = (d for d in self.devices() if d['GUID'] == lun.guid)
        for name, value in {'status': 'free', 'capacity': 8 << 20, 'vendorID': 'LAB',
                            'productID': 'DISK', 'serial': lun.serial, 'devtype': 'iSCSI',
                            'logicalblocksize': 512, 'vdisk': NO_OBJECT,
                            'lun': object_path('luns', lun.guid)}.items():
            self.assertEqual(device[name], value, name)
        self.assertEqual(device['pathlist'], [
            {'connection': '127.0.0.1', 'port': 3260, 'iqn': self.one.iqn, 'tpgt': 1, 'lun': 2,
             'initiatorname': lab.INITIATOR, 'user': ''}])
        path, = device['pathstatus']
        self.assertEqual((path['lun'], path['capacity'], path['type'], path['state']),
                         (2, 8 << 20, 'iSCSI', 'active'))

    def test_options(self):
        guid = self.one.luns[1].guid
        self.assertEqual([d['GUID'] for d in self.devices(guids=[guid])], [guid])
        self.assertEqual(len(self.devices(**{'storage-type': 'iSCSI'})), 2)
        self.assertEqual(self.devices(**{'storage-type': 'FCP'}), [])
        self.assertEqual(len(self.devices(**{'check-status': True, 'refresh': True})), 2)
        with self.assertDBusError('LunNotFound'):
            self.devices(guids=['36001405ffffffffffffffffffffffff'])
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.devices(colour='blue')

    def test_vdisks(self):
        guid = self.one.luns[1].guid
        path, created = self.create_vdisk(guid)
        self.addCleanup(self.method, path, 'VDisk', 'Delete')
        self.assertIs(created, True)
        self.assertEqual(path, object_path('vdisks', vdisk_id(guid)))
        self.assertEqual(self.create_vdisk(guid), (path, False))
        found = self.lab.client.get_all(path, 'VDisk')
        self.assertEqual(found['Id'], vdisk_id(guid))
        self.assertEqual((found['Guid'], found['Alias'], found['Description']), (guid, guid, ''))
        self.assertEqual(found['Lun'], object_path('luns', guid))
        self.assertEqual(found['Attachments'], [])
        self.assertEqual(len(found['Images']), 1)
        self.assertEqual(self.get(object_path('luns', guid), 'Lun', 'VDisk'), path)
        device, = self.devices(guids=[guid])
        self.assertEqual(device['vdisk'], path)
        self.method(path, 'VDisk', 'Update', alias='data', description='of the harness')
        self.assertEqual(self.get(path, 'VDisk', 'Alias'), 'data')
        self.assertEqual(self.get(path, 'VDisk', 'Description'), 'of the harness')
        self.assert_consistent()

    def test_vdisk_of_nothing(self):
        with self.assertDBusError('LunNotFound'):
            self.create_vdisk('36001405ffffffffffffffffffffffff')
        with self.assertDBusError('org.freedesktop.DBus.Error.InvalidArgs'):
            self.create_vdisk('')
        self.assertEqual(self.lab.client.objects('VDisk'), {})


class Chap(TestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = SETTINGS
    SECRETS = ('one-way-secret1', 'mutual-secret-2', 'not-the-secret3')

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('chap', user='reader', password=cls.SECRETS[0])
        cls.both = cls.lab.add_target('mutual', user='both', password=cls.SECRETS[0])
        cls.both.tgtd.add_account('target', cls.SECRETS[1], cls.both.tid, outgoing=True)

    def set_credentials(self, path, user, secret, **options):
        with secret_fd(secret) as fd:
            self.call(path, 'Target', 'SetCredentials', '(sha{sv})', user, 0, options, fds=(fd,))

    def test_one_way(self):
        path = self.target(self.one)
        with self.assertDBusError('AuthFailed'):
            self.method(path, 'Target', 'Connect')
        self.set_credentials(path, 'reader', self.SECRETS[2])
        with self.assertDBusError('AuthFailed'):
            self.method(path, 'Target', 'Connect')
        self.set_credentials(path, 'reader', self.SECRETS[0])
        self.assertIs(self.get(path, 'Target', 'HasCredentials'), True)
        self.method(path, 'Target', 'Connect')
        device, = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                            {'guids': [self.one.luns[1].guid]})
        self.assertEqual(device['pathlist'][0]['user'], 'reader')
        self.method(path, 'Target', 'Unmanage')

    def test_mutual(self):
        path = self.target(self.both)
        with secret_fd(self.SECRETS[0]) as own, secret_fd(self.SECRETS[1]) as theirs:
            self.call(path, 'Target', 'SetCredentials', '(sha{sv})', 'both', 0,
                      {'target-user': 'target', 'target-secret': GLib.Variant('h', 1)},
                      fds=(own, theirs))
        self.method(path, 'Target', 'Connect')
        self.method(path, 'Target', 'Unmanage')

    def test_mutual_with_an_impostor(self):
        path = self.target(self.both)
        with secret_fd(self.SECRETS[0]) as own, secret_fd(self.SECRETS[2]) as theirs:
            self.call(path, 'Target', 'SetCredentials', '(sha{sv})', 'both', 0,
                      {'target-user': 'target', 'target-secret': GLib.Variant('h', 1)},
                      fds=(own, theirs))
        with self.assertDBusError('AuthFailed'):
            self.method(path, 'Target', 'Connect')

    def test_secrets_survive_a_restart_and_show_nowhere(self):
        path = self.target(self.one)
        self.set_credentials(path, 'reader', self.SECRETS[0])
        pid = self.lab.restart_daemon()
        self.method(path, 'Target', 'Connect')
        seen = self.call(ROOT, 'Manager', 'Describe', '(a{sv})', {}) + repr(
            self.lab.client.managed())
        for name in ('cmdline', 'environ'):
            with open('/proc/%d/%s' % (pid, name), errors='replace') as f:
                seen += f.read()
        with open(self.lab.logs + '/directlund.log', errors='replace') as f:
            seen += f.read()
        for secret in self.SECRETS:
            self.assertNotIn(secret, seen)
        state = '/var/lib/directlun'
        for directory, _, names in os.walk(state):
            for name in names:
                mode = os.stat(os.path.join(directory, name)).st_mode & 0o777
                self.assertEqual(mode & 0o077, 0, '%s/%s' % (directory, name))
        self.method(path, 'Target', 'Unmanage')
