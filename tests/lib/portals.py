# SPDX-License-Identifier: LGPL-2.1-or-later
"""Portals that misbehave, and a relay that looks at what passes.

Each is a server with threads of its own that starts when it is made, listens on a free port and
ends with stop(). Targets that lie in a PDU are in faketarget.py. black_hole() makes addresses
that swallow every packet; it needs a network namespace of the caller's own, with the right to change
it.
"""
import ipaddress
import os
import random
import socket
import struct
import subprocess
import threading

HEADER = 48


class Portal:
    """Accepts connections and calls serve(connection) for each, in a thread of its own."""
    backlog = 128

    def __init__(self, address='127.0.0.1', port=0):
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self._lock = threading.Lock()
        self._open = set()
        self.total = 0  # connections taken
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.address, self.port = self.listener.getsockname()[:2]
        self.start()

    def start(self):
        self.listener.listen(self.backlog)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                self.total += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.serve(connection)
        except (OSError, EOFError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def serve(self, connection):
        raise NotImplementedError

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def wait_for_end(connection):
    """Reads until the other side is gone."""
    while connection.recv(65536):
        pass


class Refused(Portal):
    """The port is taken and nobody listens."""

    def start(self):
        pass


class Reset(Portal):
    """RST at once."""

    def serve(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


class ResetAfterLogin(Portal):
    """RST when the login comes."""

    def serve(self, connection):
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


class CloseAtOnce(Portal):
    """FIN at once."""

    def serve(self, connection):
        connection.shutdown(socket.SHUT_WR)
        wait_for_end(connection)


class Silent(Portal):
    """Accepts, reads, never says anything."""

    def serve(self, connection):
        wait_for_end(connection)


class NeverAccept(Portal):
    """The kernel completes connections, the program never takes them."""

    def start(self):
        self.listener.listen(self.backlog)


class FullBacklog(Portal):
    """Never accepts, and its queue is full: further SYNs get no answer."""
    backlog = 0

    def start(self):
        self.listener.listen(self.backlog)
        self.fillers = []
        for _ in range(4):
            filler = socket.socket(self.listener.family)
            filler.setblocking(False)
            filler.connect_ex((self.address, self.port))
            self.fillers.append(filler)

    def stop(self):
        for filler in self.fillers:
            filler.close()
        super().stop()


class Says(Portal):
    """Sends these bytes, at once or when something came, then closes or falls silent."""

    def __init__(self, data, first_read=True, close=False, **arguments):
        self.data, self.first_read, self.close = data, first_read, close
        super().__init__(**arguments)

    def serve(self, connection):
        if self.first_read:
            connection.recv(65536)
        connection.sendall(self.data)
        if self.close:
            connection.shutdown(socket.SHUT_WR)
        wait_for_end(connection)


def garbage(seed=7, size=4096):
    """Always the same noise; it does not begin like a login answer."""
    state, out = seed, bytearray()
    while len(out) < size:
        state = (state * 1103515245 + 12345) & 0x7fffffff
        out.append(state >> 16 & 0xff)
    out[0] = 0x9d
    return bytes(out)


HTTP = b'HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n'
SSH = b'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'


# ---- PDUs

def read_exactly(connection, size):
    data = b''
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def read_pdu(connection):
    header = read_exactly(connection, HEADER)
    size = int.from_bytes(header[5:8], 'big')
    return header, read_exactly(connection, size + -size % 4)[:size]


# ---- a relay

def owner(connection):
    """The user at the other end of a local connection."""
    peer = connection.getpeername()[:2]
    family = socket.AF_INET6 if connection.family == socket.AF_INET6 else socket.AF_INET
    raw = socket.inet_pton(family, peer[0])
    words = [raw[i:i + 4][::-1].hex().upper() for i in range(0, len(raw), 4)]
    wanted = '%s:%04X' % (''.join(words), peer[1])
    with open('/proc/net/tcp6' if family == socket.AF_INET6 else '/proc/net/tcp') as table:
        for line in table:
            fields = line.split()
            if fields[1] == wanted:
                return int(fields[7])
    raise EOFError('nobody is at ' + wanted)


class Relay(Portal):
    """Passes everything to another portal and counts the SCSI commands; at number at (from 1, of
    each connection) it calls action() once before passing it on. delay: seconds for each command."""

    def __init__(self, upstream, at=None, action=None, **arguments):
        self.upstream, self.at, self.action = upstream, at, action
        super().__init__(**arguments)

    def serve(self, connection):
        with socket.create_connection(self.upstream) as other:
            back = threading.Thread(target=self._back, args=(other, connection), daemon=True)
            back.start()
            try:
                self._forth(connection, other)
            finally:
                for s in (connection, other):
                    try:
                        s.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                back.join()

    def _forth(self, connection, other):
        commands = 0
        while True:
            header, data = read_pdu(connection)
            if header[0] & 0x3f == 0x01:
                commands += 1
                if commands == self.at:
                    self.action()
            other.sendall(header + data + b'\0' * (-len(data) % 4))

    def _back(self, other, connection):
        try:
            while True:
                data = other.recv(65536)
                if not data:
                    break
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Mutate(Relay):
    """Changes a few bytes of what the target sends, or cuts it, or repeats it: other ones for each
    connection, the same ones in each run. What happens then is anybody's guess, but not a crash."""

    def _back(self, other, connection):
        chance = random.Random(self.total)
        clean = chance.randrange(6)  # PDUs that pass as they are
        try:
            while True:
                header, data = read_pdu(other)
                packet = bytearray(header + data + b'\0' * (-len(data) % 4))
                clean -= 1
                if clean < 0:
                    packet = self._mutate(packet, chance)
                connection.sendall(packet)
        except (OSError, EOFError):
            pass
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def _mutate(packet, chance):
        way = chance.randrange(8)
        if way == 0:
            return packet[:chance.randrange(len(packet))]
        if way == 1:
            return packet * 2
        limit = HEADER if way < 5 else len(packet)
        for _ in range(chance.randrange(1, 4)):
            packet[chance.randrange(limit)] = chance.choice((0, 1, 0x80, 0xff,
                                                             chance.randrange(256)))
        return packet


# ---- black holes

def black_hole(network='192.0.2.0/24', device='blackhole0'):
    """Routes a network to a link behind which nobody is; returns its addresses, all of which swallow
    SYNs without a word. (A blackhole route would not do: it fails at once.)"""
    hosts = list(ipaddress.ip_network(network).hosts())
    here, there = hosts[0], [str(h) for h in hosts[1:17]]

    def ip(*arguments):
        subprocess.run(['ip', *arguments], check=True)
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', device + 'p')
    ip('addr', 'add', '%s/%s' % (here, network.split('/')[1]), 'dev', device)
    for name in (device, device + 'p'):
        ip('link', 'set', name, 'up')
    for address in there:
        ip('neigh', 'add', address, 'lladdr', '02:00:00:00:00:01', 'dev', device, 'nud',
           'permanent')
    return there


def mount_file(content, over, workdir):
    """Puts a file with this content over another, in a mount namespace of the caller's own."""
    path = os.path.join(workdir, os.path.basename(over))
    with open(path, 'w') as f:
        f.write(content)
    subprocess.run(['mount', '--bind', path, os.path.realpath(over)], check=True)
