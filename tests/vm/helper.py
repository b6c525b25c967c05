# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks the helper that is root, as the service does: a packet of a fixed size over its socket, which
only the service's user may use. See src/host/helper-protocol.h."""

import array
import collections
import os
import pwd
import socket
import struct

SOCKET = '/run/directlun-helper.sock'
UNIT = 'directlun-helper.service'
_MAGIC = 0x444c4801
_OK = 0xffffffff
VERBS = {name: number for number, name in enumerate((
    'login', 'logout', 'scan', 'rescan-path', 'delete-path', 'flush-map', 'fail-queued',
    'resize-map', 'read', 'identify'), 1)}
_NUMBERS = ('timeout_ms', 'sid', 'major', 'minor', 'size', 'port', 'tpgt', 'lun', 'offset')
_TEXTS = (('iqn', 224), ('address', 48), ('iface', 48), ('guid', 256), ('user', 256),
          ('secret', 256), ('target_user', 256), ('target_secret', 256))

Answer = collections.namedtuple('Answer', 'ok code sid message data')


def request(verb, **fields):
    fields.setdefault('timeout_ms', 60000)
    numbers = [fields.pop(name, 0) for name in _NUMBERS]
    texts = b''.join(fields.pop(name, '').encode().ljust(size, b'\0') for name, size in _TEXTS)
    assert not fields, fields
    return struct.pack('=2I5I2H2Q', _MAGIC, VERBS[verb], *numbers) + texts


def _exchange(packet):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(120)
        s.connect(SOCKET)
        s.send(packet)
        reply, control, _, _ = s.recvmsg(1024, socket.CMSG_SPACE(4))
        _, code, sid, size = struct.unpack('=4I', reply[:16])
        data = None
        for _, _, fds in control:
            fd, = array.array('i', fds[:4])
            data = os.pread(fd, size, 0)
            os.close(fd)
        return Answer(code == _OK, code, sid, reply[16:].split(b'\0')[0].decode(), data)


def ask(verb, **fields):
    """The helper's answer to the service's user."""
    packet = request(verb, **fields)
    own = os.geteuid()
    os.seteuid(pwd.getpwnam('directlun').pw_uid)
    try:
        return _exchange(packet)
    finally:
        os.seteuid(own)


def device(name):
    """The number of a block device, as the helper is told it."""
    with open('/sys/class/block/%s/dev' % name) as f:
        major, minor = map(int, f.read().split(':'))
    return {'major': major, 'minor': minor}
