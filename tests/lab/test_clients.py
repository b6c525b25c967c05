# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main flows as three kinds of clients walk them, with the contract's signatures: busctl,
gdbus and dbus-python. (The other tests use GLib's bindings.)"""

import ast
import json
import re
import shlex

import dbus

import lab
from service import ROOT, TestCase, object_path, vdisk_id


class Busctl:
    def __init__(self, test_lab):
        self._lab = test_lab

    def call(self, path, interface, method, signature, *words):
        text = self._lab.run('busctl', '--json=short', 'call', lab.BUS_NAME, path,
                             lab.BUS_NAME + '.' + interface, method, signature,
                             *(str(w) for w in words))
        data = json.loads(text)['data'] if text.strip() else []
        return data[0] if len(data) == 1 else data

    def get(self, path, interface, name):
        return json.loads(self._lab.run('busctl', '--json=short', 'get-property', lab.BUS_NAME,
                                        path, lab.BUS_NAME + '.' + interface, name))['data']

    def discover(self, address, port):
        return self.call(ROOT, 'Manager', 'DiscoverTargets', 'sqa{sv}', address, port, 0)

    def simple(self, path, interface, method):
        self.call(path, interface, method, 'a{sv}', 0)

    def device_guids(self):
        devices = self.call(ROOT, 'Manager', 'GetDeviceList', 'a{sv}', 0)
        return [d['GUID']['data'] for d in devices]

    def create_vdisk(self, guid):
        return self.call(ROOT, 'Manager', 'CreateVDisk', 'sa{sv}', guid, 0)

    def get_vm(self, name):
        return self.call(ROOT, 'Manager', 'GetVm', 's', name)

    def attach(self, vm, guid, iface):
        return self.call(vm, 'Vm', 'AttachDisk', 'a{sv}a{sv}', 3, 'GUID', 's', guid, 'iface', 's',
                         iface, 'shared', 's', 'False', 0)

    def run_vm(self, vm):
        return self.call(vm, 'Vm', 'Run', 'asa{sv}', 0, 0)


class Gdbus:
    def __init__(self, test_lab):
        self._lab = test_lab

    def call(self, path, interface, method, *words):
        text = self._lab.run('gdbus', 'call', '--system', '--dest', lab.BUS_NAME, '--object-path',
                             path, '--method', '%s.%s' % (interface, method),
                             *(str(w) for w in words))
        # GVariant's text is Python's, but for types, variants' brackets and the booleans
        text = re.sub(r'objectpath |(@\w+ )|\b(?:uint16|uint32|int32|int64|uint64) ', '', text)
        text = re.sub(r'[<>]', '', text)
        text = re.sub(r'\btrue\b', 'True', re.sub(r'\bfalse\b', 'False', text))
        reply = ast.literal_eval(text)
        return reply[0] if len(reply) == 1 else reply

    def ours(self, path, interface, method, *words):
        return self.call(path, lab.BUS_NAME + '.' + interface, method, *words)

    def get(self, path, interface, name):
        return self.call(path, 'org.freedesktop.DBus.Properties', 'Get',
                         lab.BUS_NAME + '.' + interface, name)

    def discover(self, address, port):
        return self.ours(ROOT, 'Manager', 'DiscoverTargets', address, port, '{}')

    def simple(self, path, interface, method):
        self.ours(path, interface, method, '{}')

    def device_guids(self):
        text = self._lab.run('gdbus', 'call', '--system', '--dest', lab.BUS_NAME, '--object-path',
                             ROOT, '--method', lab.MANAGER + '.GetDeviceList', '{}')
        return re.findall(r"'GUID': <'([^']+)'>", text)

    def create_vdisk(self, guid):
        return self.ours(ROOT, 'Manager', 'CreateVDisk', guid, '{}')

    def get_vm(self, name):
        return self.ours(ROOT, 'Manager', 'GetVm', name)

    def attach(self, vm, guid, iface):
        return self.ours(vm, 'Vm', 'AttachDisk', "{'GUID': <%s>, 'iface': <%s>, 'optional': <true>}"
                         % (shlex.quote(guid) if not guid.isalnum() else "'%s'" % guid,
                            "'%s'" % iface), '{}')

    def run_vm(self, vm):
        return self.ours(vm, 'Vm', 'Run', '[]', '{}')


class Python:
    def __init__(self):
        self._bus = dbus.SystemBus(private=True)

    def proxy(self, path, interface):
        return dbus.Interface(self._bus.get_object(lab.BUS_NAME, path),
                              lab.BUS_NAME + '.' + interface)

    def get(self, path, interface, name):
        properties = dbus.Interface(self._bus.get_object(lab.BUS_NAME, path),
                                    'org.freedesktop.DBus.Properties')
        return properties.Get(lab.BUS_NAME + '.' + interface, name)

    def discover(self, address, port):
        return self.proxy(ROOT, 'Manager').DiscoverTargets(address, dbus.UInt16(port), {})

    def simple(self, path, interface, method):
        getattr(self.proxy(path, interface), method)(dbus.Dictionary({}, signature='sv'))

    def device_guids(self):
        devices = self.proxy(ROOT, 'Manager').GetDeviceList(dbus.Dictionary({}, signature='sv'))
        return [str(d['GUID']) for d in devices]

    def create_vdisk(self, guid):
        return self.proxy(ROOT, 'Manager').CreateVDisk(guid, dbus.Dictionary({}, signature='sv'))

    def get_vm(self, name):
        return self.proxy(ROOT, 'Manager').GetVm(name)

    def attach(self, vm, guid, iface):
        device = dbus.Dictionary({'GUID': guid, 'iface': iface, 'index': 0, 'readonly': False},
                                 signature='sv')
        return self.proxy(vm, 'Vm').AttachDisk(device, dbus.Dictionary({}, signature='sv'))

    def run_vm(self, vm):
        return self.proxy(vm, 'Vm').Run(dbus.Array([], signature='s'),
                                        dbus.Dictionary({}, signature='sv'))


class Clients(TestCase):
    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one')
        cls.machine = cls.lab.define_vm('guest')

    def walk(self, user, iface):
        lun = self.one.luns[1]
        target = object_path('targets', self.one.iqn)
        vm = user.get_vm('guest')
        self.assertEqual(vm, object_path('vms', self.machine.uuid))
        # flow 1: to a vDisk
        self.assertEqual(list(user.discover('127.0.0.1', 3260)), [target])
        user.simple(target, 'Target', 'Connect')
        self.assertEqual(user.get(target, 'Target', 'State'), 'connected')
        self.assertEqual(user.device_guids(), [lun.guid])
        path, created = user.create_vdisk(lun.guid)
        self.assertEqual((path, bool(created)), (object_path('vdisks', vdisk_id(lun.guid)), True))
        # flow 2 on a VM that is off, and Run
        attachment = user.attach(vm, lun.guid, iface)
        user.simple(target, 'Target', 'Unmanage')
        self.assertFalse(user.get(attachment, 'Attachment', 'Plugged'))
        self.assertEqual(list(user.get(vm, 'Vm', 'RequiredTargets')), [target])
        self.assertEqual(user.run_vm(vm), user.get(vm, 'Vm', 'Host'))
        self.assertEqual(user.get(target, 'Target', 'State'), 'connected')
        self.machine.wait_booted().guest.wait_disks(
            lambda disks: [size for size, _ in disks.values()] == [lun.size])
        # flow 4
        user.simple(attachment, 'Attachment', 'HotUnplug')
        self.machine.guest.wait_disks(lambda disks: not disks)
        self.assertEqual(user.get(target, 'Target', 'State'), 'disconnected')
        user.simple(attachment, 'Attachment', 'HotPlug')
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        # flow 2 on the running VM
        user.simple(attachment, 'Attachment', 'Detach')
        attachment = user.attach(vm, lun.guid, iface)
        self.assertTrue(user.get(attachment, 'Attachment', 'Plugged'))
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        # flow 6
        self.machine.guest.close()
        user.simple(vm, 'Vm', 'Stop')
        self.assertEqual(user.get(vm, 'Vm', 'State'), 'shutoff')
        self.assertEqual(user.get(target, 'Target', 'State'), 'disconnected')
        user.simple(attachment, 'Attachment', 'Detach')
        user.simple(path, 'VDisk', 'Delete')
        user.simple(target, 'Target', 'Forget')

    def test_busctl(self):
        self.walk(Busctl(self.lab), 'virtio')

    def test_gdbus(self):
        self.walk(Gdbus(self.lab), 'scsi')

    def test_dbus_python(self):
        self.walk(Python(), 'virtio')
