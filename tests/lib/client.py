# SPDX-License-Identifier: LGPL-2.1-or-later
"""D-Bus clients for the tests: GLib's (through gi), and a recorder of what passes on the bus.

Values are plain Python: dictionaries of a{sv} are written as {'name': value} with str → s,
bool → b, int → i, float → d and list of str → as; anything else as GLib.Variant.
"""

import json
import os
import select
import subprocess
import time

from gi.repository import Gio, GLib

BUS_NAME = 'org.ovirt.DirectLun'
ROOT = '/org/ovirt/DirectLun'
SYSTEM_BUS = 'unix:path=/run/dbus/system_bus_socket'
PROPERTIES = 'org.freedesktop.DBus.Properties'
OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager'
TIMEOUT = 60.0


class DBusError(Exception):
    def __init__(self, name, message):
        super().__init__('%s: %s' % (name, message))
        self.name, self.message = name, message


class ExpectedError:
    """See TestCase.assertDBusError()."""

    def __init__(self, test, name):
        self._test, self._name = test, name
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, exception, trace):
        if kind is None:
            self._test.fail('%s was expected, but the call succeeded' % self._name)
        if not isinstance(exception, DBusError):
            return False
        self.exception = exception
        self._test.assertEqual(exception.name, self._name, exception.message)
        self._test.assertTrue(exception.message, 'an error without a message')
        return True


def variant(value):
    """A Python value as the variant of an a{sv}."""
    if isinstance(value, GLib.Variant):
        return value
    if isinstance(value, bool):
        return GLib.Variant('b', value)
    if isinstance(value, int):
        return GLib.Variant('i', value)
    if isinstance(value, float):
        return GLib.Variant('d', value)
    if isinstance(value, str):
        return GLib.Variant('s', value)
    if isinstance(value, dict):
        return GLib.Variant('a{sv}', options(value))
    if isinstance(value, (list, tuple)):
        return GLib.Variant('as', list(value))
    raise TypeError('no variant for %r' % (value,))


def options(dictionary):
    return {key: variant(value) for key, value in dictionary.items()}


def path_of(value):
    """An object path as an option."""
    return GLib.Variant('o', value)


def _arguments(signature, values):
    converted = [options(v) if isinstance(v, dict) else v for v in values]
    return GLib.Variant(signature, tuple(converted)) if signature else None


def _error(error):
    name = Gio.DBusError.get_remote_error(error)
    if name is None:
        return DBusError('local.' + error.domain, error.message)
    return DBusError(name, error.message.removeprefix('GDBus.Error:%s: ' % name))


class Pending:
    """A call under way."""

    def __init__(self, connection, message_arguments, fds, timeout):
        self._connection = connection
        self._result = None
        connection.call_with_unix_fd_list(*message_arguments, Gio.DBusCallFlags.NONE,
                                          int(timeout * 1000), fds, None, self._done)

    def _done(self, connection, result):
        self._result = result

    @property
    def done(self):
        context = GLib.MainContext.default()
        while context.iteration(False):
            pass
        return self._result is not None

    def wait(self, timeout=TIMEOUT):
        """The reply's values, or DBusError."""
        deadline = time.monotonic() + timeout
        context = GLib.MainContext.default()
        wakeup = GLib.timeout_add(int(timeout * 1000) + 10, lambda: False)
        while self._result is None:
            if time.monotonic() > deadline:
                raise AssertionError('no reply within %.0f s' % timeout)
            context.iteration(True)
        source = context.find_source_by_id(wakeup)
        if source:
            source.destroy()
        try:
            reply, _ = self._connection.call_with_unix_fd_list_finish(self._result)
        except GLib.Error as error:
            raise _error(error) from None
        return reply.unpack()


class Client:
    """One connection to the system bus."""

    def __init__(self):
        self._bus = Gio.DBusConnection.new_for_address_sync(
            os.environ.get('DBUS_SYSTEM_BUS_ADDRESS', SYSTEM_BUS),
            Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self._bus.set_exit_on_close(False)

    def close(self):
        if not self._bus.is_closed():
            self._bus.close_sync(None)

    @property
    def unique_name(self):
        return self._bus.get_unique_name()

    def start(self, path, interface, method, signature='', *values, fds=(), timeout=TIMEOUT,
              destination=BUS_NAME):
        """Sends a call and returns at once; Pending.wait() has the result. An h is an index of
        fds."""
        fd_list = Gio.UnixFDList.new()
        for fd in fds:
            fd_list.append(fd)
        return Pending(self._bus, (destination, path, interface, method,
                                   _arguments(signature, values), None), fd_list, timeout)

    def call(self, path, interface, method, signature='', *values, fds=(), timeout=TIMEOUT,
             destination=BUS_NAME):
        """A call: the tuple of the reply's values, or DBusError. interface without a dot is one of
        ours."""
        if '.' not in interface:
            interface = BUS_NAME + '.' + interface
        return self.start(path, interface, method, signature, *values, fds=fds, timeout=timeout,
                          destination=destination).wait(timeout + 5)

    def get(self, path, interface, name):
        interface = interface if '.' in interface else BUS_NAME + '.' + interface
        return self.call(path, PROPERTIES, 'Get', '(ss)', interface, name)[0]

    def get_all(self, path, interface):
        interface = interface if '.' in interface else BUS_NAME + '.' + interface
        return self.call(path, PROPERTIES, 'GetAll', '(s)', interface)[0]

    def managed(self):
        """path → interface → property → value"""
        return self.call(ROOT, OBJECT_MANAGER, 'GetManagedObjects')[0]

    def objects(self, interface):
        """path → properties, of all objects that have an interface of ours."""
        name = BUS_NAME + '.' + interface
        return {path: interfaces[name] for path, interfaces in self.managed().items()
                if name in interfaces}

    def introspect(self, path):
        return self.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')[0]

    def _driver(self, method, signature, *values):
        return self.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', method, signature,
                         *values, destination='org.freedesktop.DBus')

    def owner_pid(self, name=BUS_NAME):
        try:
            return self._driver('GetConnectionUnixProcessID', '(s)', name)[0]
        except DBusError as error:
            if error.name == 'org.freedesktop.DBus.Error.NameHasNoOwner':
                return None
            raise

    def start_service(self, name=BUS_NAME):
        self._driver('StartServiceByName', '(su)', name, 0)


class Recorder:
    """Everything that passes on the bus from or to the service, in order: a list of dictionaries as
    `busctl --json=short monitor` prints them (type, member, interface, path, payload, …).

        with Recorder() as recorder:
            ...
            messages = recorder.until(lambda m: m['type'] == 'method_return')
    """

    def __init__(self, name=BUS_NAME):
        self._process = subprocess.Popen(
            ['stdbuf', '-oL', 'busctl', '--system', '--json=short', 'monitor', name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._buffer = b''
        self.messages = []
        said = self._process.stderr.readline()
        if b'Monitoring' not in said:
            self.close()
            raise RuntimeError('busctl monitor says: %r' % said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self, timeout):
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            return
        chunk = os.read(self._process.stdout.fileno(), 1 << 20)
        if not chunk:
            raise RuntimeError('busctl monitor ended')
        *lines, self._buffer = (self._buffer + chunk).split(b'\n')
        self.messages += [json.loads(line) for line in lines if line.strip()]

    def until(self, condition, timeout=10.0):
        """All messages up to and including the first that meets the condition."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for n in range(seen, len(self.messages)):
                if condition(self.messages[n]):
                    return self.messages[:n + 1]
            seen = len(self.messages)
            if time.monotonic() > deadline:
                raise AssertionError('the message did not come; there were %s' % [
                    (m['type'], m.get('member'), m.get('path')) for m in self.messages])
            self._read(0.2)
