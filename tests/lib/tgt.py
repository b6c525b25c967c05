# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tgtd of one's own, configured through its management socket.

tgtd runs in the namespaces of the caller and keeps its socket in a directory that the caller gives,
so any number of them live side by side, whatever else the machine runs. Configuring through the
socket instead of tgtadm saves one fork a LUN: 100 targets of 10 LUNs take 0.2 s.

    tgtd = Tgtd('127.0.0.1', 3260, '/some/empty/dir')
    tgtd.start()
    tid = tgtd.add_target('iqn.2026-11.org.example:one')
    tgtd.add_lun(tid, 1, '/some/file', 1 << 20, scsi_id='naa.6001405000000001', serial='S1')
    tgtd.bind(tid)
    ...
    tgtd.stop()

Nothing is logged in through it; nothing outlives stop() but the backing files.
"""
import os
import signal
import socket
import struct
import subprocess
import time

START_DEADLINE = 10.0
REQUEST_DEADLINE = 10.0

# struct tgtadm_req of tgt 1.0.x, usr/tgtadm.h
_REQUEST = struct.Struct('=ii64sIiQQIIIIII')
_REPLY = struct.Struct('=II')
_MODES = {'system': 0, 'target': 1, 'lun': 2, 'portal': 3, 'session': 5, 'connection': 6,
          'account': 7}
_OPERATIONS = {'new': 0, 'delete': 1, 'show': 2, 'bind': 3, 'unbind': 4, 'update': 5}
_LUN_ACTIVE = 20  # enum tgtadm_errno


class TgtError(RuntimeError):
    """tgtd refused a request; .code is its error number."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Tgtd:
    def __init__(self, address='127.0.0.1', port=3260, workdir=None, portals=()):
        """address may be IPv6 (without brackets); portals: more (address, port) to listen on."""
        if workdir is None:
            raise ValueError('a directory for the socket and the log is needed')
        self.address, self.port = address, port
        self.portals = [(address, port), *portals]
        self.workdir = workdir
        self.process = None
        self._next_tid = 1
        self._base = os.path.join(workdir, 'tgtd')
        self._socket = self._base + '.0'

    # ---- the process

    def start(self):
        os.makedirs(self.workdir, exist_ok=True)
        for leftover in (self._socket, self._socket + '.lock'):
            if os.path.exists(leftover):
                os.unlink(leftover)
        portals = ','.join('portal=%s:%d' % (bracketed(a), p) for a, p in self.portals)
        command = ['tgtd', '-f', '-t', '1', '-C', '0', '--iscsi', portals]
        with open(os.path.join(self.workdir, 'tgtd.log'), 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log,
                                            env={**os.environ, 'TGT_IPC_SOCKET': self._base})
        self._next_tid = 1
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                self.request('system', 'show')
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError('tgtd does not start: see %s/tgtd.log' % self.workdir)
                time.sleep(0.01)
        for address, port in self.portals:
            wait_for_listener(address, port, deadline)
        return self

    def stop(self):
        """Ends tgtd; it ignores SIGTERM, so there is only one way. A stopped one may be started
        again, empty."""
        self.kill()

    def kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def pause(self):
        """Freezes it: its kernel sockets still accept, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- its configuration

    def request(self, mode, operation, tid=0, lun=0, parameters='', device_type=0, sid=0, cid=0,
                outgoing=False, force=False):
        """One request; its answer as text. TgtError if tgtd refuses."""
        data = parameters.encode() + b'\0' if parameters else b''
        head = _REQUEST.pack(_MODES[mode], _OPERATIONS[operation], b'iscsi',
                             _REQUEST.size + len(data), tid, sid, lun, cid, 0, device_type,
                             int(outgoing), 0, int(force))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(REQUEST_DEADLINE)
            s.connect(self._socket)
            s.sendall(head + data)
            reply = b''
            while True:
                chunk = s.recv(65536)
                if not chunk:
                    break
                reply += chunk
                if len(reply) >= 8 and len(reply) >= _REPLY.unpack_from(reply)[1]:
                    break
        if len(reply) < 8:
            raise OSError('tgtd closed its management socket')
        code, length = _REPLY.unpack_from(reply)
        if code:
            raise TgtError(code, 'tgtd refuses %s %s (tid %d, lun %d): error %d'
                           % (operation, mode, tid, lun, code))
        return reply[8:length].decode(errors='replace').rstrip('\0')

    def add_target(self, iqn, tid=None):
        tid = self._next_tid if tid is None else tid
        self.request('target', 'new', tid, parameters='targetname=' + iqn)
        self._next_tid = max(self._next_tid, tid + 1)
        return tid

    def remove_target(self, tid, force=True):
        self.request('target', 'delete', tid, force=force)

    def set_target_option(self, tid, name, value):
        """A negotiated parameter, or RedirectAddress, RedirectPort, RedirectReason."""
        self.request('target', 'update', tid, parameters='%s=%s' % (name, value))

    def bind(self, tid, address='ALL'):
        """Lets initiators of this address see the target."""
        self.request('target', 'bind', tid, parameters='initiator-address=' + address)

    def unbind(self, tid, address='ALL'):
        self.request('target', 'unbind', tid, parameters='initiator-address=' + address)

    def add_lun(self, tid, lun, path, size=None, scsi_id=None, serial=None, vendor=None,
                product=None, readonly=False, blocksize=512, revision=None, thin=False):
        """path is made (or grown) to size bytes if that is given. LUN 0 is tgtd's controller."""
        if size is not None:
            with open(path, 'ab') as f:
                f.truncate(size)
        self.request('lun', 'new', tid, lun, 'path=%s,bstype=rdwr,blocksize=%d' % (path, blocksize))
        options = [('scsi_id', scsi_id), ('scsi_sn', serial), ('vendor_id', vendor),
                   ('product_id', product), ('product_rev', revision),
                   ('readonly', '1' if readonly else None),
                   ('thin_provisioning', '1' if thin else None)]
        text = ','.join('%s=%s' % (name, value) for name, value in options if value is not None)
        if text:
            self.request('lun', 'update', tid, lun, text)

    def remove_lun(self, tid, lun):
        """Waits for what initiators have asked of it: tgtd refuses while a command is queued."""
        deadline = time.monotonic() + REQUEST_DEADLINE
        while True:
            try:
                return self.request('lun', 'delete', tid, lun)
            except TgtError as e:
                if e.code != _LUN_ACTIVE or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def set_online(self, tid, lun, online):
        """An offline LUN answers TEST UNIT READY with NOT READY."""
        self.request('lun', 'update', tid, lun, 'online=%d' % bool(online))

    def add_account(self, user, password, tid, outgoing=False):
        """CHAP. outgoing: what the target proves itself with (mutual). tid None: only known, to be
        bound by bind_account()."""
        self.request('account', 'new', parameters='user=%s,password=%s' % (user, password))
        if tid is not None:
            self.bind_account(user, tid, outgoing)

    def bind_account(self, user, tid, outgoing=False):
        self.request('account', 'bind', tid, parameters='user=' + user, outgoing=outgoing)

    def describe(self):
        """All that tgtadm shows of the targets, as text, for a failed test's log."""
        return self.request('target', 'show', tid=-1)

    def sessions(self, tid):
        """The sessions that are logged in to a target: dicts of 'session', 'initiator' and
        'address'."""
        found = []
        for line in self.request('connection', 'show', tid).splitlines():
            name, _, value = line.strip().partition(': ')
            if name == 'Session':
                found.append({'session': int(value), 'initiator': None, 'address': None})
            elif name == 'Initiator':
                found[-1]['initiator'] = value
            elif name == 'IP Address':
                found[-1]['address'] = value
        return found

    def wait_for_sessions(self, tid, count, seconds=5.0):
        """Waits until the target has exactly that many sessions."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.sessions(tid)
            if len(found) == count:
                return found
            if time.monotonic() > deadline:
                raise AssertionError('target %d has %d sessions, not %d: %r'
                                     % (tid, len(found), count, found))
            time.sleep(0.02)


def bracketed(address):
    return '[%s]' % address if ':' in address else address


def wait_for_listener(address, port, deadline):
    """Waits until somebody accepts connections there; deadline in time.monotonic()."""
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError('nothing listens on %s:%d' % (bracketed(address), port))
            time.sleep(0.01)
