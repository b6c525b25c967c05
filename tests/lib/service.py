# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the service share: the calls of the main flows, and checks that always hold."""

import contextlib
import os
import socket
import uuid

import lab
import portals
from client import ROOT

# The namespace of the vDisks' ids: part of the contract.
VDISK_NAMESPACE = uuid.UUID('8d4f1b62-5e0a-4c39-9d27-31c87a55e094')
NO_OBJECT = '/'


def object_path(kind, identifier):
    """Bytes that a path element cannot have are written _xx, a leading digit too."""
    escaped = ''.join(
        c if c.isascii() and c.isalnum() and not (n == 0 and c.isdigit()) else
        ''.join('_%02x' % b for b in c.encode()) for n, c in enumerate(identifier))
    return '%s/%s/%s' % (ROOT, kind, escaped or '_')


def vdisk_id(guid):
    return str(uuid.uuid5(VDISK_NAMESPACE, guid))


@contextlib.contextmanager
def secret_fd(text):
    """A file descriptor from which the secret can be read."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    try:
        yield read
    finally:
        os.close(read)


class SilentPortal(portals.Silent):
    """Takes connections and never says anything.

        with SilentPortal() as portal:
            ... portal.port ...
    """

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_connected(self):
        lab.wait_until(lambda: self.total, what='a connection to the silent portal')


class Calls:
    """Short names for what tests of the service call all the time; part of a TestCase that has a
    .client."""

    def call(self, path, interface, method, signature='', *values, **options):
        """A call by root's client: its only result, or the tuple of them."""
        reply = self.client.call(path, interface, method, signature, *values, **options)
        return reply[0] if len(reply) == 1 else reply

    def get(self, path, interface, name):
        return self.client.get(path, interface, name)

    def discover(self, address='127.0.0.1', port=3260, **options):
        fds = options.pop('fds', ())
        return self.call(ROOT, 'Manager', 'DiscoverTargets', '(sqa{sv})', address, port, options,
                         fds=fds)

    def hand_over(self, secret):
        """By a socket of the service; the token that stands for it once."""
        path, token = self.call(ROOT, 'Manager', 'AcceptSecret', '(a{sv})', {})
        with socket.socket(socket.AF_UNIX) as writer:
            writer.connect(path)
            writer.sendall(secret.encode())
            writer.shutdown(socket.SHUT_WR)
            self.assertEqual(writer.recv(1), b'')
        return token

    def target(self, target):
        """The path of a target of the lab; discovers it if it is not known."""
        path = object_path('targets', target.iqn)
        if path not in self.client.objects('Target'):
            self.assertIn(path, self.discover(target.address, target.port))
        return path

    def connect(self, target, **options):
        """Connects a target of the lab; its path."""
        path = self.target(target)
        self.call(path, 'Target', 'Connect', '(a{sv})', options)
        return path

    def create_vdisk(self, guid, **options):
        """(path, created)"""
        return self.call(ROOT, 'Manager', 'CreateVDisk', '(sa{sv})', guid, options)

    def vm(self, vm):
        """The path of a VM, however new it is."""
        return self.call(ROOT, 'Manager', 'GetVm', '(s)', vm.name)

    def attach(self, vm, device, **options):
        return self.call(self.vm(vm), 'Vm', 'AttachDisk', '(a{sv}a{sv})', device, options)

    def method(self, path, interface, name, **options):
        """A method that takes nothing but options."""
        return self.call(path, interface, name, '(a{sv})', options)

    def detach_all(self, vm):
        """For cleanups: whatever is attached to the VM goes."""
        for path in self.get(self.vm(vm), 'Vm', 'Attachments'):
            self.method(path, 'Attachment', 'Detach')

    def wait_property(self, path, interface, name, value, timeout=10):
        lab.wait_until(lambda: self.get(path, interface, name) == value, timeout,
                       '%s of %s being %r (it is %r)' % (name, path, value,
                                                         self.get(path, interface, name)))

    def assert_consistent(self):
        """Every object that any property names is there, and both ends of a relation agree."""
        objects = self.client.managed()
        for path, interfaces in objects.items():
            for interface, properties in interfaces.items():
                if interface.endswith('.Job'):  # what it worked on may be gone since
                    continue
                for name, value in properties.items():
                    self._assert_known(objects, value, '%s %s.%s' % (path, interface, name))
        for path, interfaces in objects.items():
            attachment = interfaces.get(lab.BUS_NAME + '.Attachment')
            if attachment:
                vm = objects[attachment['Vm']][lab.BUS_NAME + '.Vm']
                self.assertIn(path, vm['Attachments'])
                if attachment['VDisk'] != NO_OBJECT:
                    vdisk = objects[attachment['VDisk']][lab.BUS_NAME + '.VDisk']
                    self.assertIn(path, vdisk['Attachments'])

    def _assert_known(self, objects, value, where):
        if isinstance(value, str) and value.startswith(ROOT + '/'):
            self.assertTrue(value in objects, '%s: there is no %s' % (where, value))
        elif isinstance(value, dict):
            for key, item in value.items():
                self._assert_known(objects, key, where)
                self._assert_known(objects, item, where)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._assert_known(objects, item, where)


class TestCase(Calls, lab.TestCase):
    """A lab with the service."""

    @property
    def client(self):
        return self.lab.client
