# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arguments that nobody would send: values for any D-Bus signature, from a seed.

    values = Values(random.Random(7), {'guids': 'as', 'pin': 'b'}, ['word'], ['/org/one'])
    values.make('(sa{sv})')      # a GLib.Variant
    values.fds                   # the descriptors that its h values are indices of

Half of the values are the boundaries of their type, the others are what the service may take for
good: words of its own, paths of its objects, small numbers. What D-Bus itself rules out (bytes that
are no UTF-8, malformed paths) cannot be sent, for the bus would disconnect who sends it.
"""

import math
import os
import socket

from gi.repository import GLib

INTEGERS = {'y': (0, 255), 'n': (-2 ** 15, 2 ** 15 - 1), 'q': (0, 2 ** 16 - 1),
            'i': (-2 ** 31, 2 ** 31 - 1), 'u': (0, 2 ** 32 - 1), 'x': (-2 ** 63, 2 ** 63 - 1),
            't': (0, 2 ** 64 - 1)}
DOUBLES = (0.0, -0.0, -1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308)
TEXTS = ('', ' ', '/', '..', '%s%n%1$s', '-1', '0', 'True', 'off', '\n', '\x1f\x7f', 'ä€😀',
         '\u202e', "'; drop table objects; --", '<a b="c">&amp;]]>', 'x' * 255, 'x' * 256, 'ü' * 4097,
         'x' * 70000, '127.0.0.1', '::1', '[::1]:3260', 'iqn.2026-11.org.example:x', '{"a":[[[[',
         '../../etc/passwd', '3' * 33, '00000000-0000-0000-0000-000000000000')
HUGE = 1 << 20
MESSAGE_MAX = 4 << 20       # the bus disconnects who sends more than 32 MiB at once
TYPES = ('s', 'b', 'y', 'n', 'q', 'i', 'u', 'x', 't', 'd', 'o', 'g', 'h', 'v', 'as', 'ao', 'a{sv}',
         'ay', '(ss)', 'aa{sv}', 'a(sqq)', 'a{s(us)}', 'av', '(sa{sv}as)')
DEPTH = 6
FDS_MAX = 16


def split(signature):
    """The complete types that follow each other in a signature."""
    found, start, depth = [], 0, 0
    for n, c in enumerate(signature):
        depth += (c in '({') - (c in ')}')
        if depth == 0 and c != 'a':
            found.append(signature[start:n + 1])
            start = n + 1
    return found


class Descriptors:
    """One of every kind of thing that a descriptor can be, for secrets that are none."""

    def __init__(self, directory):
        self.open = []
        self._others = []
        self._pipe(b'secret-of-nobody\n')
        self._pipe(b'')
        self._pipe(b'x' * 60000)
        read, write = os.pipe()  # its writer stays, and never writes
        self.open += [read, write]
        for path in ('/dev/null', '/dev/zero', '/dev/full', '/proc/self/mem', '/proc/self/environ',
                     directory):
            self.open.append(os.open(path, os.O_RDONLY))
        self.open.append(os.open('/', os.O_PATH))
        self.open.append(os.open(directory, os.O_TMPFILE | os.O_RDWR))
        os.truncate(self.open[-1], 1 << 40)
        self.open.append(os.open('/dev/null', os.O_WRONLY))
        self.open.append(os.memfd_create('empty'))
        self.open.append(os.memfd_create('secret'))
        os.write(self.open[-1], b'one\0two')
        left, right = socket.socketpair()
        self._others = [left, right]
        self.open.append(left.fileno())

    def _pipe(self, data):
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        self.open.append(read)

    def close(self):
        for other in self._others:
            self.open = [fd for fd in self.open if fd != other.fileno()]
            other.close()
        for fd in self.open:
            os.close(fd)
        self.open = []


class Values:
    def __init__(self, chance, options, words, paths, descriptors=()):
        """options: the type of the values that go with a key of a dictionary."""
        self.chance = chance
        self.options = options
        self.words, self.paths, self.descriptors = list(words), list(paths), list(descriptors)
        self.begin()

    def begin(self):
        """The next message: its descriptors, and how long its texts may be together."""
        self.fds = []
        self._room = MESSAGE_MAX

    def text(self):
        if self.words and self.chance.random() < 0.5:
            return self.chance.choice(self.words)
        text = 'y' * HUGE if self.chance.random() < 0.01 else self.chance.choice(TEXTS)
        if len(text) > self._room:
            return 'x'
        self._room -= len(text)
        return text

    def option(self, depth):
        """An entry of an a{sv}, mostly one that means something."""
        if not self.options or self.chance.random() < 0.2:
            key = self.text()
        else:
            key = self.chance.choice(sorted(self.options))
        if self.chance.random() < 0.2:
            return key, self._variant(depth)
        return key, GLib.Variant('v', self.make(self.options.get(key, 's'), depth + 1))

    def path(self):
        if self.paths and self.chance.random() < 0.8:
            return self.chance.choice(self.paths)
        return self.chance.choice(('/', '/a', '/' + 'a' * 5000, '/_/__/_5f'))

    def type(self):
        return self.chance.choice(TYPES)

    def signature(self):
        """Of a whole message: a tuple of up to four types."""
        return '(%s)' % ''.join(self.type() for _ in range(self.chance.randrange(5)))

    def integer(self, low, high):
        near = [n for n in (low, low + 1, -1, 0, 1, 2, 3260, high - 1, high) if low <= n <= high]
        return self.chance.choice(near)

    def handle(self):
        """The index of a descriptor, sometimes of one that is not sent."""
        if not self.descriptors or len(self.fds) >= FDS_MAX or self.chance.random() < 0.1:
            return self.chance.choice((0, 1, 7, -1, 2 ** 31 - 1))
        self.fds.append(self.chance.choice(self.descriptors))
        return len(self.fds) - 1

    def _count(self, depth):
        if depth == 1 and self.chance.random() < 0.02:
            return 3000
        return self.chance.choice((0, 0, 1, 1, 2, 3)) if depth < DEPTH else 0

    def _simple(self, kind):
        if kind in INTEGERS:
            return GLib.Variant(kind, self.integer(*INTEGERS[kind]))
        make = {'s': self.text, 'o': self.path, 'h': self.handle,
                'b': lambda: self.chance.random() < 0.5,
                'd': lambda: self.chance.choice(DOUBLES),
                'g': lambda: self.chance.choice(('', 's', 'a{sv}', 'a' * 30 + 'y', 'y' * 255))}
        return GLib.Variant(kind, make[kind]())

    def make(self, signature, depth=0):
        """A value of exactly one type, or of a tuple."""
        if signature == 'v':
            return self._variant(depth)
        if signature[0] == 'a':
            element = signature[1:]
            return GLib.Variant.new_array(GLib.VariantType(element), [
                self.make(element, depth + 1) for _ in range(self._count(depth))])
        if signature[0] == '(':
            return GLib.Variant.new_tuple(*(self.make(part, depth + 1)
                                            for part in split(signature[1:-1])))
        if signature[0] == '{':
            key, value = split(signature[1:-1])
            if signature == '{sv}':
                made, contents = self.option(depth)
                return GLib.Variant.new_dict_entry(GLib.Variant('s', made), contents)
            return GLib.Variant.new_dict_entry(self._simple(key), self.make(value, depth + 1))
        return self._simple(signature)

    def _variant(self, depth):
        if depth >= DEPTH:
            return GLib.Variant('v', GLib.Variant('y', 1))
        if self.chance.random() < 0.02:  # about as deep as D-Bus allows
            value = GLib.Variant('s', 'deep')
            for _ in range(40):
                value = GLib.Variant('v', value)
            return value
        return GLib.Variant('v', self.make(self.type(), depth + 1))
