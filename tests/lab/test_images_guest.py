# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images under a guest that has work to do: file systems frozen by its agent, a LUN that grows under
its images, a portal that falls silent within a snapshot or a merge, and which image a VM is given."""

import contextlib
import hashlib
import os
import socket
import sqlite3
import subprocess
import threading
import time

import lab
import portals
import test_freeze
from gi.repository import GLib
from service import object_path, vdisk_id
from test_images import IMAGES, INVALID, MIB, ImageCase

SYNCHRONIZE_CACHE, WRITE = 0x35, 0x2a
AGENT_IS_THERE = "name='org.qemu.guest_agent.0' state='connected'"
HOOK_THAT_WAITS = '''echo $1 >>/tmp/hooks
[ $1 = freeze ] || exit 0
while [ -e /tmp/hold ]; do usleep 20000; done'''


class Quiesce(ImageCase):
    """By QEMU's own agent, of a file system that the guest has mounted."""

    agent = True
    settings = {'Images': {'FreeMinMiB': '16', 'AgentTimeoutSec': '2'},
                'Libvirt': {'AttachTimeoutSec': '3'}}

    def setUp(self):
        super().setUp()
        self.attach_one()
        subprocess.run(['mkfs.ext4', '-q', '-F', self.lun.path], check=True)
        self.run_vm()
        self.machine.guest.check('mkdir /mnt && mount -t ext4 /dev/vda /mnt')
        lab.wait_until(lambda: AGENT_IS_THERE in self.machine.xml(), 20, 'the agent')

    def clean(self):
        super().clean()
        self.lun.write(0, bytes(65536))  # or it would be in use

    def hooks(self):
        return self.machine.guest.check('cat /tmp/hooks').split()

    def put_hook(self, script):
        self.machine.guest.check("cat >/hook <<'END'\n%s\nEND" % script)

    def put(self, name):
        """A file that is in the guest's memory as yet; what it is to be."""
        return self.machine.guest.check('dd if=/dev/urandom of=/mnt/%s bs=64k count=24 2>/dev/null; '
                                        'md5sum </mnt/%s' % (name, name)).split()[0]

    def assert_writable(self):
        """A frozen file system lets nobody write."""
        self.machine.guest.check('echo more >/mnt/more && sync', timeout=10)

    def needs_recovery(self):
        out = subprocess.run(['dumpe2fs', '-h', self.lun.path], check=True, capture_output=True)
        return b'needs_recovery' in out.stdout

    def in_image(self, name):
        out = subprocess.run(['debugfs', '-R', 'cat /' + name, self.lun.path], check=True,
                             capture_output=True)
        return hashlib.md5(out.stdout).hexdigest()

    def test_file_system_is_whole_in_the_image(self):
        self.put_hook('echo $1 >>/tmp/hooks')
        first = self.put('data')
        self.snapshot(quiesce=True)
        self.assertIs(self.images()[1][2]['quiesced'], True)
        self.assertEqual(self.hooks(), ['freeze', 'thaw'])
        self.assert_writable()
        self.assertIs(self.needs_recovery(), False)
        checked = subprocess.run(['e2fsck', '-fn', self.lun.path], capture_output=True)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertEqual(self.in_image('data'), first)

        # the same without quiesce is what a power cut would leave
        self.merge(self.uids()[-1])
        second = self.put('late')
        self.snapshot()
        self.assertEqual(self.hooks(), ['freeze', 'thaw'])
        self.assertIs(self.needs_recovery(), True)
        self.assertNotEqual(self.in_image('late'), second)

    def hold(self):
        """The agent's next freeze lasts until release()."""
        self.put_hook(HOOK_THAT_WAITS)
        self.machine.guest.check('rm -f /tmp/hooks; touch /tmp/hold')

    def wait_held(self):
        lab.wait_until(lambda: self.machine.guest.sh('[ -e /tmp/hooks ]')[0] == 0, 20, 'the hook')

    def release(self):
        self.machine.guest.check('rm /tmp/hold')

    def test_thaws_when_the_snapshot_fails(self):
        self.hold()
        call = self.lab.client.start(self.vdisk, lab.BUS_NAME + '.VDisk', 'Snapshot', '(a{sv})',
                                     {'quiesce': GLib.Variant('b', True)})
        self.wait_held()
        image, = self.files()
        os.truncate(image, 0)  # QEMU will not take it
        self.release()
        with self.assertDBusError('LibvirtError'):
            call.wait()
        self.assertEqual(self.hooks(), ['freeze', 'thaw'])
        self.assert_writable()
        self.assert_disk_is([])
        self.assertEqual(len(self.uids()), 1)
        self.assertIs(self.get(self.attachment, 'Attachment', 'Plugged'), True)

        # an agent that does not answer is told nothing that it could do later
        self.machine.guest.check('rm /tmp/hooks /hook; kill -STOP $(cat /tmp/agent.pid)')
        with self.assertDBusError('LibvirtError') as expected:
            self.snapshot(quiesce=True)
        self.assertIn('agent', expected.exception.message)
        self.assert_writable()
        self.assert_disk_is([])
        self.machine.guest.check('kill -CONT $(cat /tmp/agent.pid)')

        # one that hangs in the freeze: told in time, and thawed when it goes on
        self.hold()
        with self.assertDBusError('TimedOut'):
            self.snapshot(quiesce=True)
        self.assertEqual(self.hooks(), ['freeze'])
        self.release()
        lab.wait_until(lambda: len(self.uids()) == 2, 20, 'the image')
        self.assertEqual(self.hooks(), ['freeze', 'thaw'])
        self.assert_writable()
        self.assert_disk_is(self.layers())


class Grown(ImageCase):
    """A LUN that grows while there are images over it."""

    settings = {**ImageCase.settings, 'iSCSI': {'CheckIntervalSec': '600'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.size = 64 * MIB

    def grow(self):
        """On the target; nobody is told."""
        type(self).size += 16 * MIB
        self.one.tgtd.remove_lun(self.one.tid, 1)
        os.truncate(self.lun.path, self.size)
        self.one.add_lun(1, self.size)

    def refresh(self):
        self.method(object_path('luns', self.lun.guid), 'Lun', 'Refresh')

    def wait_size(self):
        """In the guest, and so says the service."""
        self.machine.guest.wait_disks(lambda disks: disks['vda'][0] == self.size)
        self.wait_property(self.attachment, 'Attachment', 'GuestCapacity', self.size)
        self.wait_property(self.attachment, 'Attachment', 'ResizePending', '')

    def test_pain_12_grown_lun_under_images(self):
        self.attach_one()
        self.run_vm()
        self.write(b'A')
        first = self.snapshot()
        self.grow()
        self.refresh()
        self.wait_size()
        self.write(b'B', self.size - 4096)
        self.assertEqual(self.on_lun(self.size - 4096), b'\0')

        # noticed by what needs the LUN anyway
        before, last = self.size, self.size - 4096
        self.grow()
        second = self.snapshot()
        self.wait_size()
        self.write(b'C', self.size - 4096)
        self.assertEqual((self.seen(last), self.seen(self.size - 4096)), (b'B', b'C'))
        self.assertEqual(self.seen(before), b'\0')
        self.grow()
        self.merge(second)
        self.wait_size()
        self.write(b'D', self.size - 4096)

        # a VM that was off meanwhile
        self.stop_vm()
        self.grow()
        self.run_vm()
        self.wait_size()
        self.write(b'E', self.size - 4096)
        self.merge(first)
        self.wait_size()
        self.assert_disk_is([])
        self.assertEqual([self.on_lun(at) for at in (0, last, self.size - 4096)],
                         [b'A', b'B', b'E'])
        self.grow()
        self.refresh()
        self.wait_size()

    def test_reader_keeps_the_size_of_the_moment(self):
        """And a revert gives what the LUN has now."""
        reader = self.lab.define_vm('reader').start()
        self.addCleanup(reader.destroy)
        self.addCleanup(self.detach_all, reader)
        self.attach_one()
        self.snapshot()
        uid = self.snapshot()
        before = self.size
        path = self.attach(reader, {'GUID': self.lun.guid, 'image': uid, 'readonly': True})
        self.wait_property(path, 'Attachment', 'GuestCapacity', before)
        self.grow()
        self.refresh()
        self.assertEqual(self.get(path, 'Attachment', 'ResizePending'), '')
        self.revert(uid)
        self.run_vm()
        self.wait_size()
        self.assertEqual(reader.guest.disks()['vda'][0], before)


class Chosen(ImageCase):
    """The image that a VM is given, said with AttachDisk, HotPlug and Run."""

    def test_of_who_writes_it_is_the_current_one(self):
        self.vdisk, _ = self.create_vdisk(self.lun.guid)
        raw, = self.uids()
        self.lun.write(0, b'A' * 4096)
        first, second = self.snapshot(), self.snapshot()
        for image in (raw, first):
            with self.assertDBusError(INVALID) as expected:
                self.attach_one(image=image)
            self.assertIn('revert', expected.exception.message)
        self.attach_one(image=second)
        self.assertEqual(self.get(self.attachment, 'Attachment', 'Image'), '')

        run = (self.vm(self.machine), 'Vm', 'Run', '(asa{sv})', [])
        with self.assertDBusError(INVALID) as expected:
            self.call(*run, {'image': first})
        self.assertIn('revert', expected.exception.message)
        self.assertEqual(self.machine.state(), 'shut off')
        self.call(*run, {'image': second})
        self.machine.wait_booted()
        self.write(b'B')
        self.assertEqual((self.seen(), self.on_lun()), (b'B', b'A'))

        self.method(self.attachment, 'Attachment', 'HotPlug', image=second)  # it has it
        self.method(self.attachment, 'Attachment', 'HotUnplug')
        with self.assertDBusError(INVALID) as expected:
            self.method(self.attachment, 'Attachment', 'HotPlug', image=first)
        self.assertIn('revert', expected.exception.message)
        self.method(self.attachment, 'Attachment', 'HotPlug', image=second)
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)
        self.assertEqual(self.seen(), b'B')

        # the way that the errors name
        self.method(self.attachment, 'Attachment', 'HotUnplug')
        self.revert(first)
        self.method(self.attachment, 'Attachment', 'HotPlug', image=first)
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)
        self.assertEqual(self.seen(), b'A')

    def test_of_who_reads_it_is_any(self):
        """One that has read the vDisk as it is now."""
        self.vdisk, _ = self.create_vdisk(self.lun.guid)
        self.lun.write(0, b'A' * 4096)
        self.attach_one(readonly=True)
        self.run_vm()
        with self.assertDBusError(INVALID):
            self.method(self.attachment, 'Attachment', 'HotPlug', image='none')
        self.method(self.attachment, 'Attachment', 'Detach')
        uid = self.snapshot()
        self.attach_one(readonly=True)
        with self.assertDBusError(INVALID) as expected:
            self.method(self.attachment, 'Attachment', 'HotPlug', image=uid)
        self.assertIn('unplug', expected.exception.message)
        self.method(self.attachment, 'Attachment', 'HotUnplug')
        self.method(self.attachment, 'Attachment', 'HotPlug', image=uid)
        self.machine.guest.wait_disks(lambda disks: 'vda' in disks)
        self.assertEqual((self.seen(), self.get(self.attachment, 'Attachment', 'Image')),
                         (b'A', uid))
        self.assertNotIn(IMAGES, self.machine.xml())


class Muted(test_freeze.Gate):
    """Falls silent for QEMU in the middle: what has logged in hears nothing more, nor does who
    comes. That begins when the service has asked for the proof, or when it is said."""

    def __init__(self, target):
        self.sound = threading.Event()
        self.sound.set()
        self.armed = threading.Event()
        self.muted = threading.Event()
        self.commands = []  # operation codes that QEMU has sent
        super().__init__(target)

    def mute_after_proof(self):
        self.muted.clear()
        self.armed.set()

    def unmute(self):
        self.sound.set()

    def serve(self, connection):
        if portals.owner(connection) == self.service:
            self._relay(connection, 'open')
            if self.armed.is_set():
                self.armed.clear()
                self.sound.clear()
                self.commands.clear()
                self.muted.set()
        else:
            self._listen(connection)

    def _listen(self, connection):
        self.strangers += 1
        with socket.create_connection((self.target.address, self.target.port)) as upstream:
            threading.Thread(target=self._answer, args=(upstream, connection), daemon=True).start()
            with contextlib.suppress(OSError, EOFError):
                while True:
                    header, data = portals.read_pdu(connection)
                    if header[0] & 0x3f == 0x01:
                        self.commands.append(header[32])
                    upstream.sendall(header + data + b'\0' * (-len(data) % 4))

    def _answer(self, upstream, connection):
        with contextlib.suppress(OSError):
            while True:
                data = upstream.recv(65536)
                if not data:
                    break
                self.sound.wait()
                connection.sendall(data)


class FallsSilent(ImageCase):
    """A portal that answers the proof, and falls silent in the command that comes then: a snapshot
    opens nothing on the network, but QEMU flushes the LUN over the connection that it has."""

    settings = {**ImageCase.settings, 'iSCSI': {'CheckIntervalSec': '600'},
                'Libvirt': {'AttachTimeoutSec': '3'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.lab.start_tgtd('hidden', '127.0.0.1', 3264)  # only the gate leads there
        cls.hidden = cls.lab.add_target('hidden', tgtd='hidden', size=24 * MIB)
        cls.lun = cls.hidden.luns[1]

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def setUp(self):
        super().setUp()
        self.gate = Muted(self.hidden)
        self.addCleanup(self.gate.stop)
        self.attachment = self.attach(self.machine, {'lun': {
            'type': 'iscsi', 'address': self.gate.address, 'port': self.gate.port,
            'target': self.hidden.iqn, 'id': self.lun.guid}})
        self.vdisk = object_path('vdisks', vdisk_id(self.lun.guid))
        self.run_vm()

    def write_unflushed(self, letter):
        self.machine.guest.check('dd if=/dev/zero bs=4k count=1 2>/dev/null | tr "\\0" %s | '
                                 'dd of=/dev/vda bs=4k' % letter.decode())

    def start(self, method, signature='(a{sv})', *values):
        self.gate.mute_after_proof()
        call = self.lab.client.start(self.vdisk, lab.BUS_NAME + '.VDisk', method, signature,
                                     *values)
        self.assertTrue(self.gate.muted.wait(10))
        return call

    def assert_settled(self, n_images):
        lab.wait_until(lambda: not self.intents(), 20, 'the journal being settled')
        self.assertEqual(len(self.uids()), n_images)
        self.assertEqual(self.get(self.vm(self.machine), 'Vm', 'State'), 'running')
        self.assert_consistent()

    @staticmethod
    def intents():
        with contextlib.closing(sqlite3.connect('/var/lib/directlun/directlun.db')) as database:
            return database.execute(
                "SELECT key FROM entry WHERE key LIKE 'intent/%'").fetchall()

    def say(self, what, heart):
        self.result.tell('note', self, '%s: the longest gap is %.2f s' % (what, heart.longest_gap))

    def test_in_a_snapshot(self):
        """The VM waits for its own flush, as long as the portal is silent, and no longer; who asked
        for the snapshot is told in time, and what becomes of it is what the service says."""
        self.write_unflushed(b'A')
        with test_freeze.Heart(self.machine) as heart:
            strangers = self.gate.strangers
            started = time.monotonic()
            call = self.start('Snapshot', '(a{sv})', {})
            with self.assertDBusError('TimedOut') as expected:
                call.wait()
            took = time.monotonic() - started
            self.assertEqual(self.gate.commands, [SYNCHRONIZE_CACHE])
            self.assertEqual(self.gate.strangers, strangers)  # nothing was opened
            self.gate.unmute()
        self.say('a portal that is silent in a snapshot for %.1f s' % took, heart)
        self.assertIn('silent', expected.exception.message)
        self.assertLess(took, 3 + 1)
        self.assertLess(heart.longest_gap, took + 1)
        self.assert_settled(2)
        self.assert_disk_is(self.layers())
        self.write(b'B')
        self.assertEqual((self.seen(), self.on_lun()), (b'B', b'A'))

    def test_in_a_merge(self):
        """The copying waits, the VM does not."""
        uid = self.snapshot()
        self.write_unflushed(b'A')
        with test_freeze.Heart(self.machine) as heart:
            call = self.start('Merge', '(sa{sv})', uid, {})
            lab.wait_until(lambda: WRITE in self.gate.commands, what='the copying')
            with contextlib.suppress(AssertionError):
                self.wait_for_end_of(call)
            self.assertIs(call.done, False)
            self.gate.unmute()
            call.wait()
        self.say('a portal that is silent in a merge', heart)
        self.assertLess(heart.longest_gap, 1.5)
        self.assert_settled(1)
        self.assertEqual((self.seen(), self.on_lun()), (b'A', b'A'))

    @staticmethod
    def wait_for_end_of(call):
        lab.wait_until(lambda: call.done, 2)
