# SPDX-License-Identifier: LGPL-2.1-or-later
"""Multipath under what uses it: paths that fail, return, go and come while a guest writes; a LUN that
grows, through every layer into the guest; paths that never come; maps that have lost all their paths
and keep what they are asked for."""

import glob
import hashlib
import os
import re
import select
import subprocess
import time

from gi.repository import GLib

import client
import helper
import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512
FIRST, COUNT = 2048, 4096  # sectors
SOON = 1.0  # seconds from udev's event to ours
# Writes the number of the round to the sector of the round, over and over, until /stop is there.
WRITER = '''n=0; while [ ! -e /stop ]; do n=$((n + 1)); printf '%%-512d' $n >/tmp/sector
dd if=/tmp/sector of=/dev/%s bs=512 seek=$((%d + n %% %d)) conv=fsync,notrunc 2>>/tmp/errors ||
        echo failed >>/tmp/failed
echo $n >/tmp/next; mv /tmp/next /tmp/round; done; touch /tmp/stopped'''


class Watch:
    """When udev told of a path, and when the service told of its LUN, from now on."""

    def __init__(self, path):
        self._path = path
        self._recorder = client.Recorder()
        self._udev = subprocess.Popen(
            ['stdbuf', '-oL', 'udevadm', 'monitor', '--udev', '--property',
             '--subsystem-match=block'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._text = ''
        self.told = []  # (time, number of active paths)

    def close(self):
        self._recorder.close()
        self._udev.kill()
        self._udev.wait()
        self._udev.stdout.close()

    def _read(self):
        known = len(self._recorder.messages)
        self._recorder._read(0.05)
        now = time.monotonic()
        for message in self._recorder.messages[known:]:
            if message.get('member') == 'PropertiesChanged' and message['path'] == self._path:
                paths = message['payload']['data'][1].get('Paths')
                if paths:
                    self.told.append((now, sum(path['state']['data'] == 'active'
                                               for path in paths['data'])))
        while select.select([self._udev.stdout], [], [], 0)[0]:
            self._text += os.read(self._udev.stdout.fileno(), 1 << 16).decode()

    def _events(self, action):
        return [float(event.group(1)) for event in re.finditer(
            r'UDEV +\[([\d.]+)\](?:.+\n)+?DM_ACTION=%s\n' % action, self._text)]

    def wait(self, action, active, since):
        """Seconds from udev's event to the word that so many paths are active."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._read()
            event = [at for at in self._events(action) if at >= since]
            told = [at for at, n in self.told if at >= since and n == active]
            if event and told:
                return min(told) - min(event)
        raise AssertionError('%s and %d active paths: udev said %r, and we %r' % (
            action, active, self._events(action), self.told))


class TestCase(vm.TestCase):
    def lun(self, disk):
        return service.object_path('luns', disk.guid)

    def wait_lun(self, disk):
        """In the kernel: the service may know it from before."""
        def there():
            lun = self.client.objects('Lun').get(self.lun(disk))
            return lun and any(path.get('map') for path in lun['Paths'])
        vm.wait_until(there, 30, 'the LUN', 0.2)
        return self.lun(disk)

    def wait_states(self, disk, *states):
        vm.wait_until(lambda: sorted(storage.find_map(disk.guid).path_states().values()) ==
                      sorted(states), 60, 'paths that are %s' % (states,), 0.2)

    @staticmethod
    def node(disk):
        return '/dev/disk/by-id/dm-uuid-mpath-' + disk.guid

    def queue_without_paths(self):
        """Maps keep what they are asked for until a path comes."""
        os.makedirs('/etc/multipath/conf.d', exist_ok=True)
        file = '/etc/multipath/conf.d/queue.conf'
        with open(file, 'w') as f:
            f.write('overrides {\n        no_path_retry queue\n}\n')
        self.addCleanup(storage.run, 'multipathd', 'reconfigure')
        self.addCleanup(os.unlink, file)
        storage.run('multipathd', 'reconfigure')

    def assert_nothing_hangs(self):
        """Of ours."""
        def hanging():
            states = [storage.read(path) for path in glob.glob('/proc/[0-9]*/stat')]
            return [s for s in states if re.search(r'\((directlun|iscsiadm).*\) D ', s)]
        vm.wait_until(lambda: not hanging(), 20, 'nothing of ours in the kernel: %r' % hanging(),
                      0.2)


class TestMultipathInUse(TestCase):
    minutes = 3

    def start_writer(self, running, name):
        running.check('(%s) >/dev/null 2>&1 &' % (WRITER % (name, FIRST, COUNT)))
        self.wait_rounds(running, 2)

    @staticmethod
    def wait_rounds(running, more):
        """Until the guest has written as many times more."""
        def rounds():
            return int(running.check('cat /tmp/round 2>/dev/null || echo 0'))
        goal = rounds() + more
        vm.wait_until(lambda: rounds() >= goal, 90, 'the guest writing %d times more' % more, 0.3)

    def assert_written(self, running, name, disk):
        """Every round is on the disk, and the guest reads what is there."""
        running.check('touch /stop; while [ ! -e /tmp/stopped ]; do sleep 1; done; '
                      '[ ! -e /tmp/failed ]', 60)
        rounds = int(running.check('cat /tmp/round'))
        with open(disk.file, 'rb') as f:
            f.seek(FIRST * SECTOR)
            data = f.read(COUNT * SECTOR)
        for n in range(1, rounds + 1):
            at = n % COUNT * SECTOR
            self.assertEqual(data[at:at + SECTOR], b'%-512d' % n)
        seen = running.check('echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/%s bs=512 skip=%d '
                             'count=%d 2>/dev/null | md5sum' % (name, FIRST, COUNT))
        self.assertEqual(seen.split()[0], hashlib.md5(data).hexdigest())

    def test_pain_12_paths_and_size_under_a_guest(self):
        disk = self.add_disk('one', 24 * MIB, growing=True)
        target = self.add_target({1: disk})
        self.queue_without_paths()
        self.log_in(target)
        storage.wait_map(disk.guid)
        self.wait_lun(disk)
        self.addCleanup(self._forget, service.object_path('targets', target.iqn))
        running = self.start_guest()
        self.addCleanup(self.detach_all, running)
        attachment = self.attach(running, {'GUID': disk.guid, 'iface': 'virtio'})
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        (name, (size, serial)), = running.wait_disks(lambda found: found, 60).items()
        self.assertEqual((size, serial),
                         (disk.size, service.vdisk_id(disk.guid).replace('-', '')[:20]))
        self.start_writer(running, name)

        self.fail_and_return(running, disk, target)
        self.remove_and_add(running, disk, target)
        self.grow(running, disk, target)
        running.wait_disks(lambda found: found[name][0] == disk.size, 1)
        self.wait_rounds(running, 2)
        self.assertEqual(self.get(attachment, 'Attachment', 'ResizePending'), '')
        self.assertEqual(self.get(attachment, 'Attachment', 'GuestCapacity'), disk.size)
        self.assert_written(running, name, disk)

        self.method(attachment, 'Attachment', 'HotUnplug')
        running.wait_disks(lambda found: not found, 60)
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), '')
        self.method(attachment, 'Attachment', 'HotPlug')
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        self.assertIn(self.node(disk), storage.run('virsh', 'dumpxml', running.name))
        self.power_off_without_paths(running, disk, target)

    test_pain_12_paths_and_size_under_a_guest.deadline = 400

    def fail_and_return(self, running, disk, target):
        """Each path, so that none of them was only there for show."""
        watch = Watch(self.lun(disk))
        self.addCleanup(watch.close)
        for address in target.portals():
            address = address.split(':')[0]
            since = time.monotonic()
            target.portal_down(address)
            self.assertLess(watch.wait('PATH_FAILED', 1, since), SOON)
            self.wait_rounds(running, 2)
            since = time.monotonic()
            target.portal_up(address)
            self.assertLess(watch.wait('PATH_REINSTATED', 2, since), SOON)
        self.wait_states(disk, 'A', 'A')

    def remove_and_add(self, running, disk, target):
        portal = target.portals()[1]
        storage.run('iscsiadm', '-m', 'node', '-T', target.iqn, '-p', portal, '--logout')
        storage.wait_map(disk.guid, 1)
        self.wait_paths(disk, 1)
        kept, = storage.disks(disk.guid)
        self.wait_rounds(running, 2)
        storage.run('iscsiadm', '-m', 'node', '-T', target.iqn, '-p', portal, '--login')
        storage.wait_map(disk.guid, 2)
        self.wait_paths(disk, 2)
        kept.set_state('offline')  # the new one has to carry it alone
        self.wait_states(disk, 'A', 'F')
        self.wait_rounds(running, 2)
        kept.set_state('running')
        self.wait_states(disk, 'A', 'A')
        self.wait_paths(disk, 2)

    def power_off_without_paths(self, running, disk, target):
        """What the guest writes waits in the kernel, and its QEMU with it."""
        for portal in target.portals():
            self.addCleanup(target.portal_up, portal.split(':')[0])
            target.portal_down(portal.split(':')[0])
        self.wait_states(disk, 'F', 'F')
        (name,) = running.disks()
        running.check('dd if=/dev/zero of=/dev/%s bs=4096 count=1 oflag=direct >/dev/null 2>&1 &'
                      % name)
        started = time.monotonic()
        self.method(self.vm(running), 'Vm', 'Stop')
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(storage.run('virsh', 'domstate', running.name).strip(), 'shut off')
        self.assertIn('queue_if_no_path', storage.run('dmsetup', 'table', disk.guid))
        self.assert_nothing_hangs()

    def wait_paths(self, disk, active):
        vm.wait_until(lambda: [path['state'] for path in self.get(self.lun(disk), 'Lun', 'Paths')]
                      == ['active'] * active, 20, '%d active paths' % active, 0.1)

    def grow(self, running, disk, target):
        disk.grow(32 * MIB)
        one, _ = storage.disks(disk.guid)
        one.rescan()
        lun = self.lun(disk)
        self.wait_property(lun, 'Lun', 'Status', 'unusable', 20)
        self.assertRegex(self.get(lun, 'Lun', 'Reason'), 'different sizes.*refresh')
        path = self.found_target(target)
        for data_path in ('block', 'auto'):
            with self.assertDBusError('org.ovirt.DirectLun.Error.PathsInconsistent'):
                self.method(path, 'Target', 'Connect', guids=[disk.guid],
                            **{'data-path': data_path})
        self.assertRegex(helper.ask('resize-map', guid=disk.guid).message, 'differ in size')
        self.wait_rounds(running, 1)
        self.assertEqual(storage.find_map(disk.guid).size, 24 * MIB)

        self.method(lun, 'Lun', 'Refresh')
        self.assertEqual({path.size for path in storage.disks(disk.guid)}, {disk.size})
        self.assertEqual(storage.find_map(disk.guid).size, disk.size)
        self.assertEqual(self.get(lun, 'Lun', 'Capacity'), disk.size)
        self.assertEqual(self.get(lun, 'Lun', 'Status'), 'used')


class TestPathsThatAreNot(TestCase):
    minutes = 2

    def setUp(self):
        self.disk, self.other = self.add_disk('one', 24 * MIB), self.add_disk('two', 16 * MIB)
        self.target = self.add_target({1: self.disk, 2: self.other})
        self.addCleanup(storage.flush_maps)

    def by_kernel(self, *guids, **options):
        path = self.found_target(self.target)
        self.addCleanup(self._forget_known, path)
        self.method(path, 'Target', 'Connect', **{'data-path': 'block', 'guids': list(guids),
                                                  **options})
        return path

    def _forget_known(self, path):
        if path in self.client.objects('Target'):
            self._forget(path)

    def take_portals_down(self):
        self.addCleanup(self.bring_portals_up)  # before what waits for them is ended
        for portal in self.target.portals():
            self.target.portal_down(portal.split(':')[0])
        self.wait_states(self.disk, 'F', 'F')

    def bring_portals_up(self):
        for address in vm.lio.PORTALS:
            if '%s:%d' % (address, vm.lio.PORT) not in self.target.portals():
                self.target.portal_up(address)

    def start(self, *argv):
        """A program that may have to wait."""
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.kill)
        return process

    def start_reader(self):
        """As udev's blkid may be one."""
        return self.start('dd', 'if=' + self.node(self.disk), 'of=/dev/null', 'bs=1M',
                          'iflag=direct')

    def assert_nothing_left(self):
        vm.wait_until(lambda: not storage.sessions(), 60, 'the end of the sessions', 0.3)
        self.assertEqual(storage.disks(), [])
        self.assertIsNone(storage.find_map(self.disk.guid))
        self.assert_nothing_hangs()

    def test_paths_that_never_come(self):
        with self.assertDBusError('org.ovirt.DirectLun.Error.PortalUnreachable'):
            self.by_kernel(self.disk.guid, paths=GLib.Variant('u', 3))
        self.assert_nothing_left()

        daemon = self.unit('MainPID', unit='multipathd.service')['MainPID']
        storage.run('kill', '-STOP', daemon)  # it is there, and answers nobody
        self.addCleanup(storage.run, 'kill', '-CONT', daemon)
        started = time.monotonic()
        with self.assertDBusError('org.ovirt.DirectLun.Error.TimedOut'):
            self.by_kernel(self.disk.guid, **{'paths': GLib.Variant('u', 2),
                                              'timeout-ms': GLib.Variant('u', 12000)})
        self.assertLess(time.monotonic() - started, 20)
        self.assert_nothing_left()
        storage.run('kill', '-CONT', daemon)
        self.by_kernel(self.disk.guid, paths=GLib.Variant('u', 2))
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)

    def test_all_paths_gone(self):
        """Nobody but who asked waits."""
        self.queue_without_paths()
        path = self.by_kernel(self.disk.guid)
        node = self.node(self.disk)
        storage.run('mkfs.ext4', '-q', node)
        os.makedirs('/run/mounted', exist_ok=True)
        storage.run('mount', node, '/run/mounted')
        self.addCleanup(storage.run, 'umount', '/run/mounted', check=False)
        writer = self.start('dd', 'if=/dev/zero', 'of=/run/mounted/file', 'bs=1M', 'count=1',
                            'conv=fsync')
        self.assertEqual(writer.wait(60), 0)
        self.take_portals_down()
        self.assertIn('queue_if_no_path', storage.run('dmsetup', 'table', self.disk.guid))
        writer = self.start('dd', 'if=/dev/urandom', 'of=/run/mounted/file', 'bs=1M', 'count=1',
                            'conv=fsync,notrunc')
        self.assert_all_answers(path)
        with self.assertDBusError('org.ovirt.DirectLun.Error.InUse'):
            self.method(path, 'Target', 'Unmanage', force=True)
        self.assertIsNone(writer.poll())  # what it has written waits, and has not failed
        self.bring_portals_up()
        self.assertEqual(writer.wait(60), 0)
        storage.run('umount', '/run/mounted')
        self.by_kernel(self.disk.guid)

        self.take_portals_down()
        reader = self.start_reader()
        self.assert_all_answers(path)
        self.assertIsNone(reader.poll())
        started = time.monotonic()
        self.method(path, 'Target', 'Unmanage', force=True)
        self.assertLess(time.monotonic() - started, 40)
        self.assertNotEqual(reader.wait(20), 0)
        self.assert_nothing_left()

    test_all_paths_gone.deadline = 240

    def assert_all_answers(self, path):
        """Within seconds, and what is only unreachable stays."""
        lun = self.lun(self.disk)
        started = time.monotonic()
        self.method(lun, 'Lun', 'Refresh')
        self.method(lun, 'Lun', 'RemoveStale')
        self.call(vm.ROOT, 'Manager', 'GetDeviceList', '(a{sv})',
                  {'guids': [self.disk.guid], 'check-status': True})
        self.assertEqual([path['state'] for path in self.get(lun, 'Lun', 'Paths')], ['failed'] * 2)
        self.assertEqual(self.get(path, 'Target', 'State'), 'failed')
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(len(storage.find_map(self.disk.guid).paths), 2)

    def test_a_map_without_a_path(self):
        """That others have left behind."""
        self.queue_without_paths()
        self.log_in(self.target)
        storage.wait_map(self.disk.guid)
        lun = self.wait_lun(self.disk)
        with open(self.node(self.disk), 'rb'):
            for path in storage.disks(self.disk.guid):
                path.delete()
            vm.wait_until(lambda: not storage.find_map(self.disk.guid).paths, 30, 'no path', 0.2)
            with self.assertDBusError('org.ovirt.DirectLun.Error.InUse'):
                self.method(lun, 'Lun', 'RemoveStale')
        reader = self.start_reader()
        self.method(lun, 'Lun', 'RemoveStale')
        self.assertNotEqual(reader.wait(20), 0)
        self.assertIsNone(storage.find_map(self.disk.guid))
        vm.wait_until(lambda: not any('device' in path for path in self.client.objects('Lun').get(
            lun, {}).get('Paths', ())), 20, 'the end of its paths', 0.2)
        self.assertEqual(len(storage.find_map(self.other.guid).paths), 2)
        self.assert_nothing_hangs()
