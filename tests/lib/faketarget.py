# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets that lie. A FakeTarget does a proper login and answers as its functions say, so a test can
lie in any PDU; what begins and ends it is portals.py's.
"""
import socket
import struct

from portals import HEADER, Portal, read_pdu, wait_for_end

_NOP_IN, _SCSI_RESPONSE, _LOGIN_RESPONSE, _TEXT_RESPONSE = 0x20, 0x21, 0x23, 0x24
_DATA_IN, _LOGOUT_RESPONSE, _R2T, _ASYNC, _REJECT = 0x25, 0x26, 0x31, 0x32, 0x3f
_NONE = 0xffffffff


# ---- PDUs

def pdu(opcode, data=b'', flags=0x80, fields=(), itt=0, length=None):
    """fields: (offset, bytes) of the header; length: a false data segment length."""
    header = bytearray(HEADER)
    header[0], header[1] = opcode, flags
    header[4:8] = struct.pack('>I', len(data) if length is None else length)
    header[16:20] = struct.pack('>I', itt)
    for offset, value in fields:
        header[offset:offset + len(value)] = value
    return bytes(header) + data + b'\0' * (-len(data) % 4)


def keys(**values):
    return b''.join(b'%s=%s\0' % (k.encode(), str(v).encode()) for k, v in values.items())


class Command:
    """A SCSI command that came in."""

    def __init__(self, header):
        self.itt = struct.unpack_from('>I', header, 16)[0]
        self.cmdsn = struct.unpack_from('>I', header, 24)[0]
        self.expected = struct.unpack_from('>I', header, 20)[0]
        self.lun = int.from_bytes(header[8:10], 'big')
        self.cdb = header[32:48]


class FakeTarget(Portal):
    """Logs everybody in and knows one LUN. Override what is to be wrong; a function that returns
    None falls silent for good, one that returns b'' says nothing to this PDU."""

    def __init__(self, **arguments):
        self.logins = 0
        super().__init__(**arguments)

    def serve(self, connection):
        self.statsn = 1
        handlers = {0x00: self.ping, 0x01: self.scsi, 0x03: self.login, 0x04: self.text,
                    0x06: self.logout}
        while True:
            header, data = read_pdu(connection)
            handler = handlers.get(header[0] & 0x3f)
            answer = handler(header, data) if handler else b''
            if answer is None:
                wait_for_end(connection)
                return
            if hasattr(answer, '__next__'):
                for piece in answer:
                    connection.sendall(piece)
            else:
                connection.sendall(answer)

    def serials(self, header, window=128):
        cmdsn = struct.unpack_from('>I', header, 24)[0]
        expected = cmdsn if header[0] & 0x40 else cmdsn + 1  # immediate ones do not count
        self.statsn += 1
        return [(24, struct.pack('>III', self.statsn, expected, cmdsn + window))]

    def answer(self, header, opcode, data=b'', flags=0x80, fields=(), length=None):
        itt = struct.unpack_from('>I', header, 16)[0]
        return pdu(opcode, data, flags, self.serials(header) + list(fields), itt, length)

    def login(self, header, data):
        """The target agrees to go where the initiator wants to."""
        self.logins += 1
        stage = header[1] & 0x8f
        return self.answer(header, _LOGIN_RESPONSE, keys(TargetPortalGroupTag=7), stage,
                           [(8, header[8:14]), (14, b'\0\1')])

    def login_status(self, header, status, data=b''):
        return self.answer(header, _LOGIN_RESPONSE, data, header[1] & 0x0c,
                           [(36, struct.pack('>H', status))])

    def text(self, header, data):
        return self.answer(header, _TEXT_RESPONSE,
                           keys(TargetName='iqn.2026-11.org.example:fake'),
                           fields=[(20, b'\xff' * 4)])

    def ping(self, header, data):
        return self.answer(header, _NOP_IN, fields=[(20, b'\xff' * 4)])

    def logout(self, header, data):
        return self.answer(header, _LOGOUT_RESPONSE)

    def scsi(self, header, data):
        reply = self.command(Command(header))
        if reply is None or not isinstance(reply, tuple):
            return reply
        status, content = reply
        if status == 0 and content:
            return self.answer(header, _DATA_IN, content, 0x81)
        return self.answer(header, _SCSI_RESPONSE, content, fields=[(3, bytes([status]))])

    def command(self, command):
        """(status, data), or bytes as they are to be sent, or None."""
        op, cdb = command.cdb[0], command.cdb
        if op == 0xa0:
            return 0, struct.pack('>IIQ', 8, 0, 0)
        if op == 0x00:
            return 0, b''
        if op == 0x12 and cdb[1] == 0:
            return 0, (b'\0\0\x05\x02\x1f\0\0\0' + b'FAKE    ' + b'Disk            ' + b'1.0 ')
        if op == 0x12:
            pages = {0x00: b'\0\x80\x83', 0x80: b'SERIAL01',
                     0x83: bytes.fromhex('01030010600a0b8000112233445566778899aabb')}
            if cdb[2] in pages:
                page = pages[cdb[2]]
                return 0, bytes([0, cdb[2]]) + struct.pack('>H', len(page)) + page
        if op == 0x9e and cdb[1] & 0x1f == 0x10:
            return 0, struct.pack('>QI', 2047, 512) + bytes(20)
        if op == 0x1a:
            return 0, b'\x03\0\0\0'
        return 2, sense(5, 0x20, 0)


def sense(key, asc, ascq):
    """Fixed-format sense data with iSCSI's length before it."""
    data = bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])
    return struct.pack('>H', len(data)) + data


class LoginRefused(FakeTarget):
    def __init__(self, status, data=b'', **arguments):
        self.status, self.data = status, data
        super().__init__(**arguments)

    def login(self, header, data):
        return self.login_status(header, self.status, self.data)


class OversizedPdu(FakeTarget):
    """Announces 16 MB and sends them."""

    def login(self, header, data):
        def flood():
            yield self.answer(header, _LOGIN_RESPONSE, flags=0x87, length=0xffffff)
            while True:
                yield b'A=' + b'x' * 65534
        return flood()


class EndlessLogin(FakeTarget):
    """Answers every login step and never comes to an end."""

    def login(self, header, data):
        return self.answer(header, _LOGIN_RESPONSE, keys(X='y' * 4000), header[1] & 0x0c)


class TruncatedLogin(FakeTarget):
    """Half a login answer, then the end, or silence."""

    def __init__(self, close, **arguments):
        self.close = close
        super().__init__(**arguments)

    def serve(self, connection):
        header, data = read_pdu(connection)
        self.statsn = 1
        connection.sendall(self.login(header, data)[:50])
        if self.close:
            connection.shutdown(socket.SHUT_WR)
        wait_for_end(connection)


class SilentAfterLogin(FakeTarget):
    """Logs in, then nothing but reading."""

    def scsi(self, header, data):
        return None

    def text(self, header, data):
        return None


class Flood(FakeTarget):
    """After the login, the first command starts an endless stream of these PDUs."""

    def __init__(self, kind, **arguments):
        self.kind = kind
        super().__init__(**arguments)

    def scsi(self, header, data):
        return self.flood(header)

    def text(self, header, data):
        return self.flood(header)

    def flood(self, header):
        itt = struct.unpack_from('>I', header, 16)[0]
        pieces = {
            'nop': pdu(_NOP_IN, itt=_NONE, fields=[(20, b'\xff' * 4)]) * 512,
            'unknown': pdu(_SCSI_RESPONSE, itt=itt ^ 0x5555) * 512,
            'data': pdu(_DATA_IN, b'z' * 65536, flags=0, itt=itt),
            'text': pdu(_TEXT_RESPONSE, keys(TargetName='iqn.2026-11.org.example:x') * 4000,
                        flags=0x40, itt=itt),
            'ping': pdu(_NOP_IN, itt=_NONE, fields=[(20, b'\0\0\0\1')]) * 512,
        }
        while True:
            yield pieces[self.kind]


class Sends(FakeTarget):
    """Answers the first command with this instead."""

    def __init__(self, make, **arguments):
        self.make = make
        super().__init__(**arguments)

    def scsi(self, header, data):
        return self.make(self, header)


def r2t(target, header):
    """Asks for 4 GB of data that nobody has."""
    return target.answer(header, _R2T, fields=[(20, b'\0\0\0\1'), (44, b'\xff' * 4)])


def empty_sense(target, header):
    return target.answer(header, _SCSI_RESPONSE, fields=[(3, b'\2')])


def reject(target, header):
    return target.answer(header, _REJECT, header, fields=[(2, b'\5'), (16, b'\xff' * 4)])


def logout_request(target, header):
    return target.answer(header, _ASYNC, fields=[(16, b'\xff' * 4), (36, b'\1')])


class ManyTargets(FakeTarget):
    def __init__(self, count, **arguments):
        self.count = count
        super().__init__(**arguments)

    def text(self, header, data):
        names = b''.join(keys(TargetName='iqn.2026-11.org.example:t%d' % i,
                              TargetAddress='192.0.2.1:3260,1') for i in range(self.count))
        return self.answer(header, _TEXT_RESPONSE, names, fields=[(20, b'\xff' * 4)])


class OddTargets(FakeTarget):
    """A list with everything that may be in one: names twice, no address, bad names and addresses."""

    def text(self, header, data):
        text = (keys(TargetName='iqn.2026-11.org.example:b', TargetAddress='[2001:db8::1]:3261,2') +
                keys(TargetName='iqn.2026-11.org.example:a') +
                keys(TargetName='not a name', TargetAddress='192.0.2.1:3260,1') +
                keys(TargetName='iqn.2026-11.org.example:b', TargetAddress='192.0.2.7,1') +
                keys(TargetAddress='bad address:99999,1') +
                keys(TargetAddress='storage.example.org:3260,3'))
        return self.answer(header, _TEXT_RESPONSE, text, fields=[(20, b'\xff' * 4)])


class FakeMutual(FakeTarget):
    """A thief: it does not know the target's secret, and says that all is well. how: 'skip' leaves
    CHAP out, 'zeros' answers with zeros before it was asked, 'wrong' with a wrong proof."""

    def __init__(self, how, user='target-user', **arguments):
        self.how, self.user = how, user
        super().__init__(**arguments)

    def reply(self, header, data, flags):
        return self.answer(header, _LOGIN_RESPONSE, data, flags, [(8, header[8:14]), (14, b'\0\1')])

    def login(self, header, data):
        if self.how == 'skip':
            return self.reply(header, keys(AuthMethod='None'), 0x87)
        if self.how == 'zeros':
            return self.reply(header, keys(CHAP_N=self.user, CHAP_R='0x' + '00' * 16), 0x87)
        if b'AuthMethod=' in data:
            return self.reply(header, keys(AuthMethod='CHAP'), 0x00)
        if b'CHAP_A=' in data:
            return self.reply(header, keys(CHAP_A=5, CHAP_I=1, CHAP_C='0x' + '5a' * 16), 0x00)
        return self.reply(header, keys(CHAP_N=self.user, CHAP_R='0x' + '11' * 16), 0x81)


class UnitAttentions(FakeTarget):
    """Every command of a connection but INQUIRY and REPORT LUNS fails so often first."""

    def __init__(self, count, code=(0x29, 0), **arguments):
        self.count, self.code = count, code
        self.seen = {}
        super().__init__(**arguments)

    def command(self, command):
        key = command.cdb[0]
        if key not in (0x12, 0xa0):
            self.seen[key] = self.seen.get(key, 0) + 1
            if self.seen[key] <= self.count:
                return 2, sense(6, *self.code)
        return super().command(command)


class OneDeafLun(FakeTarget):
    """LUNs 0 to 3; number 2 never answers a command with one of these operation codes."""

    def __init__(self, opcodes, **arguments):
        self.opcodes = opcodes
        super().__init__(**arguments)

    def command(self, command):
        if command.cdb[0] == 0xa0:
            return 0, struct.pack('>II', 32, 0) + b''.join(struct.pack('>HHI', n, 0, 0)
                                                           for n in range(4))
        if command.lun == 2 and command.cdb[0] in self.opcodes:
            return b''
        return super().command(command)


class NoCapacity16(FakeTarget):
    def command(self, command):
        if command.cdb[0] == 0x9e:
            return 2, sense(5, 0x20, 0)
        if command.cdb[0] == 0x25:
            return 0, struct.pack('>II', 2047, 512)
        return super().command(command)
