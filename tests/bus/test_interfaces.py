# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service shows: its interfaces are those of dbus-interfaces/, every property is there, every
object has one path."""

import glob
import os
import re
import xml.etree.ElementTree

import caller
import client
import lab
from client import ROOT
from service import object_path

INTERFACES = '/usr/share/dbus-1/interfaces'
KINDS = {'Target': 'targets', 'Lun': 'luns', 'VDisk': 'vdisks', 'Vm': 'vms',
         'Attachment': 'attachments', 'Host': 'hosts', 'Job': 'jobs'}
NOTE = 'org.freedesktop.DBus.Property.EmitsChangedSignal'


def members(interface):
    """An <interface> as plain values; the order of members does not matter, that of arguments
    does."""
    told = {}
    for element in interface:
        if element.tag == 'property':
            notes = {a.get('name'): a.get('value') for a in element.findall('annotation')}
            value = (element.get('type'), element.get('access'), notes.get(NOTE, 'true'))
        else:
            default = 'in' if element.tag == 'method' else 'out'
            value = [(a.get('direction', default), a.get('type'), a.get('name'))
                     for a in element.findall('arg')]
        told[element.tag, element.get('name')] = value
    return told


def documented():
    """Interface → its members, as installed."""
    found = {}
    for path in glob.glob(INTERFACES + '/org.ovirt.DirectLun.*.xml'):
        for interface in xml.etree.ElementTree.parse(path).iter('interface'):
            found[interface.get('name')] = members(interface)
    return found


class Interfaces(caller.TestCase):
    def live(self, path):
        tree = xml.etree.ElementTree.fromstring(self.lab.client.introspect(path))
        return {i.get('name'): members(i) for i in tree.findall('interface')}

    def one_of_each(self):
        return {'Manager': ROOT, 'Target': self.target, 'Lun': self.lun, 'VDisk': self.vdisk,
                'Vm': self.vm, 'Attachment': self.attachment, 'Host': self.host, 'Job': self.job()}

    def test_the_documents_are_the_truth(self):
        found = documented()
        paths = self.one_of_each()
        self.assertEqual(set(found), {lab.BUS_NAME + '.' + kind for kind in paths})
        for kind, path in paths.items():
            with self.subTest(kind):
                name = lab.BUS_NAME + '.' + kind
                self.assertEqual(self.live(path)[name], found[name])

    def test_every_member_is_documented(self):
        for path in glob.glob(INTERFACES + '/org.ovirt.DirectLun.*.xml'):
            with open(path) as f:
                text = f.read()
            for kind, name in re.findall(r'<(method|signal|property) name="(\w+)"', text):
                with self.subTest('%s %s' % (os.path.basename(path), name)):
                    self.assertRegex(text, r'<!--\s+%s:[^>]+\S\s+-->\s+<%s name="%s"'
                                     % (name, kind, name))

    def test_every_property_has_its_type(self):
        found = documented()
        for path, interfaces in self.lab.client.managed().items():
            for interface in interfaces:
                if not interface.startswith(lab.BUS_NAME):
                    continue
                expected = {name: value[0] for (tag, name), value in found[interface].items()
                            if tag == 'property'}
                self.assertEqual(self.root.types(path, interface), expected, path)

    def test_every_object_is_in_the_tree(self):
        for kind, folder in KINDS.items():
            paths = self.lab.client.objects(kind)
            nodes = xml.etree.ElementTree.fromstring(
                self.lab.client.introspect('%s/%s' % (ROOT, folder))).findall('node')
            self.assertEqual({'%s/%s/%s' % (ROOT, folder, n.get('name')) for n in nodes},
                             set(paths), kind)
            self.assertTrue(paths, kind)
        self.assert_consistent()

    def test_an_object_has_one_path(self):
        good = object_path('targets', self.one.iqn)
        self.assertEqual(self.get(good, 'Target', 'Iqn'), self.one.iqn)
        for path in (ROOT + '/targets', ROOT + '/targets/_', ROOT + '/targets/nothing',
                     good.replace('iqn', '_69qn'), good + '/more', good.replace('_3a', '_3A'),
                     good.replace('targets', 'luns'), ROOT + '/jobs/_30', ROOT + '/jobs/_31x'):
            with self.subTest(path):
                with self.assertRaises(client.DBusError):
                    self.get(path, 'Target', 'Iqn')

    def test_nothing_can_be_set(self):
        with self.assertDBusError('org.freedesktop.DBus.Error.PropertyReadOnly'):
            self.call(self.vdisk, client.PROPERTIES, 'Set', '(ssv)', lab.BUS_NAME + '.VDisk', 'Alias',
                      client.variant('taken'))

    def test_device_list(self):
        entry, = self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
        self.assertEqual(set(entry), {
            'GUID', 'status', 'capacity', 'vendorID', 'productID', 'serial', 'fwrev', 'devtype',
            'logicalblocksize', 'physicalblocksize', 'discard_max_bytes', 'pvUUID', 'vgUUID',
            'pvsize', 'lun', 'vdisk', 'pathlist', 'pathstatus'})
        self.assertEqual((entry['GUID'], entry['lun'], entry['vdisk']),
                         (self.guid, self.lun, self.vdisk))
        self.assertEqual(set(entry['pathlist'][0]), {'connection', 'port', 'iqn', 'tpgt', 'lun',
                                                     'initiatorname', 'user'})
        self.assertEqual(set(entry['pathstatus'][0]), {'physdev', 'lun', 'capacity', 'type',
                                                       'state'})
