# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running VM does not freeze because of a portal: measured in the guest, by the longest gap
between two of its heartbeats.

QEMU connects to the portal within the command that plugs a disk, and everything in the VM waits for
that. The portal here, a Gate, is well as long as the service asks, so that the proof before the
plug succeeds, and turns bad for QEMU.
"""

import contextlib
import pwd
import socket
import sqlite3
import subprocess
import threading
import time

import client
import lab
import portals
from service import TestCase

MIB = 1 << 20
LIMIT = 1.0  # FreezeLimitSec, the default
SLACK = 0.5  # beyond the limit and what the guest's heart does anyway
BARE_SECONDS = 15  # how long the comparison with bare libvirt is let run


class Gate(portals.Portal):
    """Leads to a real portal, for the service always, for QEMU as its mode says:

    open          it is let through
    silent        it is let in and hears nothing
    after-login   it is let through until it is logged in, then hears nothing more
    dead          the target's process stops when it comes
    black-hole    its SYN is swallowed: from when the service has connected on
    """

    def __init__(self, target, mode='open', address='127.0.0.1'):
        self.target, self.mode = target, mode
        self.service = pwd.getpwnam(lab.USER).pw_uid
        self.arrived = threading.Event()  # QEMU
        self.fillers = []
        self.strangers = self.present = self.crowd = 0  # QEMU's, at once, at most at once
        super().__init__(address=address)

    def start(self):
        self.listener.listen(16)
        threading.Thread(target=self._admit, daemon=True).start()

    def _admit(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                self.total += 1
            shut = self.mode == 'black-hole'
            if shut:
                self._shut()
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()
            if shut:
                return

    def _shut(self):
        """Takes nobody any more and fills the queue, so that the kernel drops what comes."""
        self.listener.listen(0)
        for _ in range(3):
            filler = socket.socket(self.listener.family)
            filler.setblocking(False)
            filler.connect_ex((self.address, self.port))
            self.fillers.append(filler)

    def reopen(self):
        self.mode = 'open'
        if self.fillers:
            for filler in self.fillers:
                filler.close()
            self.fillers = []
            self.start()

    def serve(self, connection):
        if portals.owner(connection) == self.service:
            self._relay(connection, 'open')
            return
        with self._lock:
            self.strangers += 1
            self.present += 1
            self.crowd = max(self.crowd, self.present)
        self.arrived.set()
        try:
            if self.mode == 'silent':
                portals.wait_for_end(connection)
            else:
                self._relay(connection, self.mode)
        finally:
            with self._lock:
                self.present -= 1

    def _relay(self, connection, mode):
        if mode == 'dead':
            self.target.tgtd.pause()
        with socket.create_connection((self.target.address, self.target.port)) as upstream:
            threading.Thread(target=self._answers, args=(upstream, connection, mode),
                             daemon=True).start()
            try:
                while True:
                    data = connection.recv(65536)
                    if not data:
                        break
                    upstream.sendall(data)
            finally:
                upstream.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answers(upstream, connection, mode):
        with contextlib.suppress(OSError, EOFError):
            while True:
                header, data = portals.read_pdu(upstream)
                connection.sendall(header + data + b'\0' * (-len(data) % 4))
                # a login's last answer: transit to full feature phase
                if mode == 'after-login' and header[0] == 0x23 and header[1] & 0x83 == 0x83:
                    portals.wait_for_end(upstream)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Heart:
    """The heartbeat of a guest: it writes its uptime down, twenty times a second."""

    def __init__(self, vm):
        self.guest = vm.guest
        self.gaps = []

    def __enter__(self):
        self.guest.check('(while :; do read up idle </proc/uptime; echo $up; usleep 50000; done) '
                         '</dev/null >/tmp/beats 2>/dev/null & echo $! >/tmp/heart')
        self._wait_for_beats(3)
        return self

    def _wait_for_beats(self, n):
        before = self._count()
        lab.wait_until(lambda: self._count() >= before + n, 20, 'the heart of the guest')

    def _count(self):
        return int(self.guest.check('wc -l </tmp/beats'))

    def __exit__(self, kind, *_):
        if kind is None:
            self._wait_for_beats(3)  # it beats after the last thing that happened, too
        text = self.guest.check('kill $(cat /tmp/heart); cat /tmp/beats')
        beats = [float(line) for line in text.split()]
        self.gaps = [b - a for a, b in zip(beats, beats[1:])]

    @property
    def longest_gap(self):
        return max(self.gaps)


class Freeze(TestCase):
    alone = True
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '600'},
                'Libvirt': {'ReleaseTimeoutSec': '3', 'AttachTimeoutSec': '8'}}

    @classmethod
    def prepare(cls):
        with open('/etc/hosts', 'a') as f:
            f.write('127.0.0.1 portal.example.org\n')
        cls.good = cls.lab.add_target('good')
        cls.lab.start_tgtd('bad', '127.0.0.1', 3264)  # nobody discovers it: gates lead there
        cls.bad = cls.lab.add_target('bad', tgtd='bad', size=24 * MIB)
        cls.machine = cls.lab.define_vm('heart').start()
        with Heart(cls.machine) as heart:
            time.sleep(2)  # what is measured is the time, not an event
        cls.baseline = heart.longest_gap

    def setUp(self):
        self.good_path = self.connect(self.good)
        self.addCleanup(self.clean)

    def open_gate(self, target, address='127.0.0.1'):
        """A gate that is there until nothing is attached any more."""
        gate = Gate(target, address=address)
        self.addCleanup(gate.stop)
        self.addCleanup(self.detach_everything)
        return gate

    def detach_everything(self):
        for vm in self.lab.vms.values():
            self.detach_all(vm)

    def clean(self):
        self.detach_everything()
        for path, properties in self.lab.client.objects('Target').items():
            self.method(path, 'Target', 'Unmanage')
            if path != self.good_path:
                self.method(path, 'Target', 'Forget')
        self.machine.guest.wait_disks(lambda disks: not disks)

    def gate(self, mode, target=None, address='127.0.0.1', name=None, vms=()):
        """A gate to a target, and attachments of its LUN, not plugged: (gate, path…)."""
        target = target or self.bad
        gate = self.open_gate(target, address)
        paths = []
        for vm in vms or (self.machine,):
            paths.append(self.attach(vm, {
                'lun': {'type': 'iscsi', 'address': name or address, 'port': gate.port,
                        'target': target.iqn, 'id': target.luns[1].guid},
                'plug': False, 'shared': True}))
        gate.mode = mode
        return (gate, *paths)

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def say(self, what, seconds, more=''):
        self.result.tell('note', self, '%s: the longest gap is %.2f s (%.2f s without)%s' % (
            what, seconds, self.baseline, more))

    def assert_lived(self, heart, what):
        self.say(what, heart.longest_gap)
        self.assertLess(heart.longest_gap, LIMIT + SLACK + self.baseline)

    def assert_not_plugged(self, *paths):
        """As before: attached, not plugged, nothing half done."""
        for path in paths:
            self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
            vm = self.get(path, 'Attachment', 'Vm')
            self.assertEqual(self.get(vm, 'Vm', 'State'), 'running')
        with contextlib.closing(sqlite3.connect('/var/lib/directlun/directlun.db')) as database:
            self.assertEqual(database.execute(
                "SELECT key FROM entry WHERE key LIKE 'intent/%'").fetchall(), [])
        self.assertNotIn('iscsi', self.machine.xml())
        self.assert_consistent()

    def assert_good_portal_works(self):
        path = self.attach(self.machine, {'GUID': self.good.luns[1].guid})
        self.machine.guest.wait_disks(lambda disks: self.good.luns[1].size in
                                      [size for size, _ in disks.values()])
        self.method(path, 'Attachment', 'Detach')

    def assert_survives(self, gate, path, what):
        """A plug that must fail; how long it took."""
        with Heart(self.machine) as heart:
            started = time.monotonic()
            with self.assertDBusError('PortalUnreachable') as expected:
                self.method(path, 'Attachment', 'HotPlug')
            took = time.monotonic() - started
        self.assert_lived(heart, what)
        self.assertIn('%d' % gate.port, expected.exception.message)
        self.assertIn('fell silent', expected.exception.message)
        self.assert_not_plugged(path)
        self.assert_good_portal_works()
        return took, heart

    def plug_with_bare_libvirt(self, gate, seconds):
        """What virsh attach-device does with a portal that is silent for so long: the gap."""
        disk = lab.WORK + '/bare.xml'
        with open(disk, 'w') as f:
            f.write("<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
                    "<source protocol='iscsi' name='%s/1'><host name='%s' port='%d'/></source>"
                    "<target dev='vdz' bus='virtio'/></disk>"
                    % (self.bad.iqn, gate.address, gate.port))
        gate.arrived.clear()
        with Heart(self.machine) as heart:
            virsh = subprocess.Popen(['virsh', '-q', 'attach-device', 'heart', disk],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertTrue(gate.arrived.wait(10))
            with contextlib.suppress(subprocess.TimeoutExpired):
                virsh.wait(seconds)
            gate.stop()
            virsh.wait(30)
        return heart.longest_gap

    def test_good_portal(self):
        """What is well is not disturbed."""
        _, path = self.gate('open')
        with Heart(self.machine) as heart:
            self.method(path, 'Attachment', 'HotPlug')
            self.machine.guest.wait_disks(lambda disks: disks)
            self.method(path, 'Attachment', 'HotUnplug')
        self.assert_lived(heart, 'plug and unplug of a good disk')

    def test_silent_portal(self):
        """And the same with bare libvirt, side by side."""
        gate, path = self.gate('silent')
        took, heart = self.assert_survives(gate, path, 'a silent portal')
        self.assertLess(took, LIMIT + 2)
        bare = self.plug_with_bare_libvirt(gate, BARE_SECONDS)
        self.say('a silent portal, bare libvirt', bare,
                 '; it was ended after %d s. %.0f times as long' % (
                     BARE_SECONDS, bare / heart.longest_gap))
        self.assertGreater(bare, 4 * heart.longest_gap)
    test_silent_portal.deadline = 180

    def test_black_hole(self):
        gate, path = self.gate('black-hole')
        self.assert_survives(gate, path, 'a portal that swallows the SYN')

    def test_target_that_dies_between_proof_and_plug(self):
        self.lab.start_tgtd('frail', '127.0.0.1', 3263)
        target = self.lab.add_target('frail', tgtd='frail', size=32 * MIB)
        gate, path = self.gate('dead', target)
        try:
            self.assert_survives(gate, path, 'a target that dies')
        finally:
            target.tgtd.resume()
        gate.reopen()
        self.method(path, 'Attachment', 'HotPlug')
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_ipv6(self):
        gate, path = self.gate('silent', address='::1')
        self.assert_survives(gate, path, 'a silent portal, IPv6')

    def test_host_name(self):
        """The running QEMU is told the address that was proven; the name stays where it starts."""
        gate, path = self.gate('silent', name='portal.example.org')
        self.assert_survives(gate, path, 'a silent portal with a name')
        gate.reopen()
        self.method(path, 'Attachment', 'HotPlug')
        self.assertIn("<host name='127.0.0.1'", self.machine.xml())
        self.assertNotIn('portal.example.org', self.machine.xml())
        self.assertIn("<host name='portal.example.org'", self.machine.xml('--inactive'))
        self.method(path, 'Attachment', 'HotUnplug')

    def test_redirection(self):
        """The way that the service's connection took is the way that QEMU's takes."""
        gate = self.open_gate(self.bad, '127.0.0.2')  # tgtd does not redirect to its own address
        self.lab.start_tgtd('mover', '127.0.0.1', 3265)
        front = self.lab.tgtds['mover']
        tid = front.add_target(self.bad.iqn)
        for option, value in (('RedirectAddress', gate.address), ('RedirectPort', gate.port),
                              ('RedirectReason', 'Temporary')):
            front.set_target_option(tid, option, value)
        front.bind(tid)
        path = self.attach(self.machine, {'plug': False, 'lun': {
            'type': 'iscsi', 'address': front.address, 'port': front.port,
            'target': self.bad.iqn, 'id': self.bad.luns[1].guid}})
        gate.mode = 'silent'
        with Heart(self.machine) as heart:
            with self.assertDBusError('PortalUnreachable'):
                self.method(path, 'Attachment', 'HotPlug')
        self.assert_lived(heart, 'a target that redirects to a silent portal')
        self.assert_not_plugged(path)
        gate.reopen()
        self.method(path, 'Attachment', 'HotPlug')
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_two_vms_at_once(self):
        """One waits for the other before it begins, so neither stands still for longer."""
        other = self.lab.define_vm('second').start()
        self.addCleanup(other.destroy)
        gate, *paths = self.gate('silent', vms=(self.machine, other))
        with Heart(self.machine) as first, Heart(other) as second:
            pending = [self.lab.client.start(path, 'org.ovirt.DirectLun.Attachment', 'HotPlug',
                                             '(a{sv})', {}) for path in paths]
            for p in pending:
                with self.assertDBusError('PortalUnreachable'):
                    p.wait()
        self.assertEqual((gate.strangers, gate.crowd), (2, 1))
        self.assert_lived(first, 'the first of two VMs')
        self.assert_lived(second, 'the second of two VMs')
        self.assert_not_plugged(*paths)
        gate.reopen()
        pending = [self.lab.client.start(path, 'org.ovirt.DirectLun.Attachment', 'HotPlug',
                                         '(a{sv})', {}) for path in paths]
        for p in pending:
            p.wait()
        for vm in (self.machine, other):
            vm.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_portal_that_is_silent_for_a_while_after_the_login(self):
        """What the guard cannot do: QEMU, logged in, tries again for ever and waits for it, and no
        end of a connection ends that. It goes on as soon as a try succeeds."""
        gate, path = self.gate('after-login')
        with Heart(self.machine) as heart:
            plug = self.lab.client.start(path, 'org.ovirt.DirectLun.Attachment', 'HotPlug',
                                         '(a{sv})', {})
            self.assertTrue(gate.arrived.wait(10))
            lab.wait_until(lambda: gate.strangers >= 2, what='a second try of QEMU')
            gate.reopen()
            plug.wait()
        self.say('a portal that was silent after the login until the second try',
                 heart.longest_gap)
        self.assertLess(heart.longest_gap, 6)
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), True)
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.assert_consistent()

    def test_portal_that_stays_silent_after_the_login(self):
        """Longer than the service waits for libvirt: said at once, made good when it is over."""
        gate, path = self.gate('after-login')
        with self.assertDBusError('TimedOut') as expected:
            self.method(path, 'Attachment', 'HotPlug')
        self.assertIn('%d' % gate.port, expected.exception.message)
        self.assertIn('after the VM had logged in', expected.exception.message)
        self.assertIs(self.get(path, 'Attachment', 'Plugged'), False)
        gate.reopen()
        self.wait_property(path, 'Attachment', 'Plugged', True, 30)
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.method(path, 'Attachment', 'HotUnplug')
        self.assert_not_plugged(path)

    def test_detach_with_io_in_flight(self):
        """The guest waits for its disk and does not release it; nothing else stands still."""
        self.lab.start_tgtd('stalling', '127.0.0.1', 3266)
        target = self.lab.add_target('stalling', tgtd='stalling', size=40 * MIB)
        _, path = self.gate('open', target)
        other = self.lab.define_vm('bystander').start()
        self.addCleanup(other.destroy)
        self.method(path, 'Attachment', 'HotPlug')
        name, = self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        with Heart(self.machine) as heart, Heart(other) as bystander:
            self.machine.guest.check('(while dd if=/dev/zero of=/dev/%s bs=64k count=64 '
                                     'conv=fsync; do :; done) >/dev/null 2>&1 </dev/null & '
                                     'echo $! >/tmp/io' % name)
            target.tgtd.pause()
            try:
                unplug = self.lab.client.start(path, 'org.ovirt.DirectLun.Attachment', 'HotUnplug',
                                               '(a{sv})', {})
                asked = self.worst_answer()
                elsewhere = self.attach(other, {'GUID': self.good.luns[1].guid})
                other.guest.wait_disks(lambda disks: len(disks) == 1)
                with contextlib.suppress(client.DBusError):
                    unplug.wait()
            finally:
                target.tgtd.resume()
            self.machine.guest.check("kill $(cat /tmp/io) 2>/dev/null; :")
        self.say('unplug with I/O in flight', heart.longest_gap,
                 '; the service answered within %.2f s' % asked)
        self.say('a bystander of it', bystander.longest_gap)
        self.assertLess(asked, 0.5)
        self.assertLess(bystander.longest_gap, SLACK + self.baseline)
        self.assertLess(heart.longest_gap, LIMIT + SLACK + self.baseline)
        self.method(elsewhere, 'Attachment', 'Detach')
        self.method(path, 'Attachment', 'HotUnplug')
        self.machine.guest.wait_disks(lambda disks: not disks)
        self.assert_not_plugged(path)

    def worst_answer(self):
        """The longest that the service takes to answer a simple question while a call goes on."""
        worst = 0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            started = time.monotonic()
            self.get(self.good_path, 'Target', 'State')
            worst = max(worst, time.monotonic() - started)
            time.sleep(0.05)
        return worst


class LeftOut(TestCase):
    """An optional disk that the VM was started without, and a portal that falls silent in the
    moment in which the disk is brought."""

    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '2'}}

    @classmethod
    def prepare(cls):
        cls.lab.start_tgtd('late', '127.0.0.1', 3264)  # nobody discovers it: the gate leads there
        cls.late = cls.lab.add_target('late', tgtd='late', size=24 * MIB)
        cls.machine = cls.lab.define_vm('patient')

    def attachment(self):
        return self.lab.client.get_all(self.path, 'Attachment')

    def test_portal_that_is_silent_when_the_disk_is_brought(self):
        gate = Gate(self.late)
        self.addCleanup(gate.stop)
        self.path = self.attach(self.machine, {
            'optional': True,
            'lun': {'type': 'iscsi', 'address': gate.address, 'port': gate.port,
                    'target': self.late.iqn, 'id': self.late.luns[1].guid}})
        self.late.tgtd.stop()
        self.call(self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [], {})
        self.assertIs(self.attachment()['LeftOut'], True)
        self.machine.wait_booted()
        with Heart(self.machine) as heart:
            time.sleep(1)  # what is measured is the time, not an event
        baseline = heart.longest_gap

        gate.mode = 'silent'
        with Heart(self.machine) as heart:
            self.late.come_back()
            self.assertTrue(gate.arrived.wait(20))
            lab.wait_until(lambda: 'fell silent' in self.attachment()['LastError'][1], 20,
                           'the reason: %r' % (self.attachment()['LastError'],))
        self.assertLess(heart.longest_gap, LIMIT + SLACK + baseline)
        found = self.attachment()
        self.assertEqual((found['LeftOut'], found['Plugged'], found['LastError'][0]),
                         (True, False, 'PortalUnreachable'))
        self.assertEqual(self.get(found['Vm'], 'Vm', 'State'), 'running')
        self.assertNotIn('iscsi', self.machine.xml())
        self.assert_consistent()

        gate.reopen()
        self.wait_property(self.path, 'Attachment', 'Plugged', True, 20)
        self.wait_property(self.path, 'Attachment', 'LeftOut', False)
        self.assertEqual(self.attachment()['LastError'], ('', ''))
        self.machine.guest.wait_disks(lambda disks: len(disks) == 1)
        self.assert_consistent()
