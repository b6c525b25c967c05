#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the portals of test-portals in namespaces of its own and runs it.

    run-portals.py TEST [argument of the test …]      (root; 77 if not)

Two tgtd with real targets, and one server for each way to misbehave. Where they are is told in the
environment as DL_PORTAL_NAME=address:port; questions about them are answered at DL_CONTROL.
"""
import os
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
sys.dont_write_bytecode = True
import faketarget as T  # noqa: E402
import portals as P  # noqa: E402
import tgt  # noqa: E402

IQN = 'iqn.2026-11.org.example:'
INSIDE = 'DL_TEST_PORTALS_INSIDE'


def naa(target, lun):
    return 'naa.60014050%08x0000%012x' % (target << 4, lun)


class Moves(T.FakeTarget):
    """Redirects to this address, or to itself."""

    def __init__(self, status, address=None):
        self.status, self.to = status, address
        super().__init__()

    def login(self, header, data):
        to = self.to or '%s:%d,1' % (self.address, self.port)
        return self.login_status(header, self.status, T.keys(TargetAddress=to))


class NotReady(T.FakeTarget):
    def command(self, command):
        if command.cdb[0] in (0x00, 0x9e):
            return 2, T.sense(2, 0x04, 0x03)
        return super().command(command)


class Slow(P.Relay):
    """A relay to tgtd that holds each command back for a moment, so that sessions overlap."""

    def __init__(self, upstream):
        self.gate = threading.Event()
        super().__init__(upstream)

    def _forth(self, connection, other):
        while True:
            header, data = P.read_pdu(connection)
            if header[0] & 0x3f == 0x01:
                self.gate.wait(0.002)
            other.sendall(header + data + b'\0' * (-len(data) % 4))


def make_targets(tgtd, second, directory):
    """The targets of the first tgtd; one moved to the second, which has what it is to find there."""
    def lun(daemon, tid, number, content=(), **options):
        path = '%s/%d-%d-%d' % (directory, daemon.pid, tid, number)
        daemon.add_lun(tid, number, path, scsi_id=naa(tid, number), **options)
        with open(path, 'r+b') as f:
            for offset, data in content:
                f.seek(offset)
                f.write(data)

    disks = tgtd.add_target(IQN + 'disks')
    named = {'vendor': 'ACME', 'product': 'Disk', 'revision': '1.0'}
    lun(tgtd, disks, 1, size=4 << 20, serial='SN-1', content=[((64 << 10) - 3, b'across')],
        **named)
    lun(tgtd, disks, 2, size=8 << 20, serial='SN-2', blocksize=4096,
        content=[((8 << 20) - 4, b'tail')], **named)
    lun(tgtd, disks, 3, size=1 << 20, serial='SN-3', readonly=True, **named)
    lun(tgtd, disks, 300, size=1 << 20, serial='SN-300', content=[(0, b'flat')], **named)
    many = tgtd.add_target(IQN + 'many')
    for number in range(1, 301):
        lun(tgtd, many, number, size=1 << 20)
    one_way = tgtd.add_target(IQN + 'chap')
    tgtd.add_account('user', 'secret-for-user', one_way)
    mutual = tgtd.add_target(IQN + 'mutual')
    lun(tgtd, mutual, 1, size=1 << 20)
    tgtd.bind_account('user', mutual)
    tgtd.add_account('target-user', 'target-secret', mutual, outgoing=True)
    moved = tgtd.add_target(IQN + 'moved')
    for name, value in (('RedirectAddress', second.address), ('RedirectPort', second.port),
                        ('RedirectReason', 'Temporary')):
        tgtd.set_target_option(moved, name, value)
    hidden = tgtd.add_target(IQN + 'hidden')
    for tid in (disks, many, one_way, mutual, moved):
        tgtd.bind(tid)
    tgtd.bind(hidden, '192.0.2.200')

    here = second.add_target(IQN + 'moved')
    lun(second, here, 5, size=1 << 20)
    many2 = second.add_target(IQN + 'many')
    for number in range(1, 101):
        lun(second, many2, number, size=1 << 20)
    for tid in (here, many2):
        second.bind(tid)
    return [disks, many, one_way, mutual, moved], 5


def make_portals(tgtd, second, hole):
    main = (tgtd.address, tgtd.port)
    bad = {
        'REFUSED': P.Refused(), 'RESET': P.Reset(), 'RESET_AFTER_LOGIN': P.ResetAfterLogin(),
        'CLOSE': P.CloseAtOnce(), 'SILENT': P.Silent(), 'SILENT_COUNTED': P.Silent(),
        'NEVER_ACCEPT': P.NeverAccept(), 'FULL_BACKLOG': P.FullBacklog(),
        'SILENT_AFTER_LOGIN': T.SilentAfterLogin(),
        'TRUNCATED_SILENT': T.TruncatedLogin(close=False),
        'TRUNCATED_CLOSED': T.TruncatedLogin(close=True),
        'GARBAGE': P.Says(P.garbage()), 'HTTP': P.Says(P.HTTP),
        'SSH': P.Says(P.SSH, first_read=False),
        'OVERSIZED': T.OversizedPdu(), 'ENDLESS_LOGIN': T.EndlessLogin(),
        'R2T': T.Sends(T.r2t), 'EMPTY_SENSE': T.Sends(T.empty_sense),
        'REJECT': T.Sends(T.reject), 'LOGOUT_REQUEST': T.Sends(T.logout_request),
        'ODD_TARGETS': T.OddTargets(), 'MANY_TARGETS': T.ManyTargets(257),
        'UNIT_ATTENTIONS': T.UnitAttentions(3),
        'RESIZED': T.UnitAttentions(1, (0x2a, 0x09)),
        'RESIZED_TOO': T.UnitAttentions(1, (0x2a, 0x09)),
        'UNIT_ATTENTIONS_WITHOUT_END': T.UnitAttentions(1 << 30),
        'DEAF_LUN': T.OneDeafLun(range(256)), 'DEAF_LATE': T.OneDeafLun((0x9e,)),
        'NO_CAPACITY16': T.NoCapacity16(), 'NOT_READY': NotReady(),
        'THIEF_SKIP': T.FakeMutual('skip'), 'THIEF_ZEROS': T.FakeMutual('zeros'),
        'THIEF_WRONG': T.FakeMutual('wrong'),
        'REDIRECT_CIRCLE': Moves(0x0101), 'REDIRECT_NOWHERE': Moves(0x0101, '[::1:9'),
        'REDIRECT_PERMANENT': Moves(0x0102, '%s:%d,1' % main),
        'MUTATE': P.Mutate(main), 'SLOW': Slow(main), 'COUNTED': P.Relay(main),
        'FREEZES': P.Relay((second.address, second.port), 20, second.pause),
        'DIES': P.Relay((second.address, second.port), 20, second.kill),
    }
    for kind in ('nop', 'unknown', 'ping', 'data', 'text'):
        bad['FLOOD_' + kind.upper()] = T.Flood(kind)
    for status in (0x0201, 0x0202, 0x0203, 0x0204, 0x0206, 0x0207, 0x0301):
        bad['STATUS_%04x' % status] = T.LoginRefused(status)
    where = {name: '%s:%d' % (p.address, p.port) for name, p in bad.items()}
    where.update({
        'TGTD': '%s:%d' % main, 'TGTD6': '::1:%d' % tgtd.port,
        'TGTD6_BRACKETS': '[::1]:%d' % tgtd.port, 'TGTD_NAME': 'storage.test:%d' % tgtd.port,
        'NAME_REFUSED_FIRST': 'refused-first.test:%d' % tgtd.port,
        'NAME_BLACK_HOLE_FIRST': 'hole-first.test:%d' % tgtd.port,
        'BLACK_HOLE': hole[0] + ':3260', 'NO_ROUTE': '203.0.113.1:3260',
        'DEAD_DNS': 'dead-dns.test:3260', 'NO_SUCH_NAME': 'no_such_name.test:3260',
        'INVALID': 'two words:3260',
    })
    return bad, where


class Control:
    """Answers the test's questions, one a connection."""

    def __init__(self, path, tgtd, second, tids, made):
        self.tgtd, self.second, self.tids, self.made = tgtd, second, tids, made
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            with self.listener.accept()[0] as connection:
                question = connection.recv(256).decode().split()
                connection.sendall(b'%d\n' % self.answer(*question))

    def answer(self, verb, name=None):
        if verb == 'sessions':
            return sum(len(self.tgtd.sessions(tid)) for tid in self.tids)
        if verb == 'targets':
            return len(self.tids)
        if verb == 'resume':
            self.second.resume()
            return 0
        return getattr(self.made[name], verb)


def inside(command, directory):
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    hole = P.black_hole()
    P.mount_file('nameserver %s\n' % hole[5], '/etc/resolv.conf', directory)
    P.mount_file('127.0.0.1 localhost storage.test\n'
                 '127.0.0.9 refused-first.test\n127.0.0.1 refused-first.test\n'
                 '%s hole-first.test\n127.0.0.1 hole-first.test\n' % hole[1],
                 '/etc/hosts', directory)
    P.mount_file('hosts: files dns\n', '/etc/nsswitch.conf', directory)
    with tgt.Tgtd('127.0.0.1', 3260, directory + '/tgtd', [('::1', 3260)]) as tgtd, \
            tgt.Tgtd('127.0.0.2', 3260, directory + '/second') as second:
        tids, _ = make_targets(tgtd, second, directory)
        made, where = make_portals(tgtd, second, hole)
        Control(directory + '/control', tgtd, second, tids, made)
        environment = {**os.environ, 'DL_CONTROL': directory + '/control',
                       **{'DL_PORTAL_' + name: at for name, at in where.items()}}
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode


def main():
    if os.geteuid() != 0:
        print('needs root for namespaces of its own')
        return 77
    if INSIDE not in os.environ:
        with tempfile.TemporaryDirectory(prefix='dl-portals-') as directory:
            return subprocess.run(
                ['unshare', '--mount', '--net', '--ipc', '--pid', '--fork', '--kill-child',
                 '--mount-proc', '/usr/bin/python3', '-B', os.path.abspath(__file__),
                 *sys.argv[1:]], env={**os.environ, INSIDE: directory}).returncode
    return inside(sys.argv[1:], os.environ.pop(INSIDE))


if __name__ == '__main__':
    sys.exit(main())
