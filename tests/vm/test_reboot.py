# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine loses its power while the service is in the middle of things. After the boot it is as
if they had been done, or had never begun."""

import glob
import json
import os
import signal
import sqlite3

import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512
KEPT = '/var/lib/power-cut'  # what the test before the cut tells the one after it
DATABASE = '/var/lib/directlun/directlun.db'
RECORDS = '/etc/iscsi/nodes/%s/*/directlun*'


class TestReboot(vm.TestCase):
    minutes = 2

    def setUp(self):
        self.one = self.add_disk('one', 24 * MIB, kept=True)
        self.two = self.add_disk('two', 16 * MIB, kept=True)
        self.target = self.add_target({1: self.one, 2: self.two})
        self.late = self.add_target({1: self.add_disk('late', 16 * MIB)}, 'late')

    def test_power_cut_in_the_middle(self):
        if self.boot == 0:
            self.before()
        else:
            self.after()

    test_power_cut_in_the_middle.deadline = 500

    # ---- before

    def before(self):
        """If all goes well, nothing of what this makes is taken back here."""
        path = self.found_target(self.target)
        self.addCleanup(self._forget, path)
        self.addCleanup(self._forget, self.found_target(self.late))
        self.method(path, 'Target', 'Connect', **{'data-path': 'block', 'pin': True,
                                                  'guids': [self.one.guid, self.two.guid]})
        running = self.start_guest()
        self.addCleanup(self.detach_all, running)
        attachment = self.attach(running, {'GUID': self.one.guid, 'iface': 'virtio'})
        self.assertEqual(self.get(attachment, 'Attachment', 'DataPathUsed'), 'block')
        running.wait_disks(lambda found: 'vda' in found, 60)
        data = os.urandom(SECTOR)
        running.write('vda', 9 * SECTOR, data)
        with open(KEPT, 'w') as f:
            json.dump({'boot': self.boot_id(), 'attachment': attachment, 'data': data.hex()}, f)
        storage.run('sync')

        # a login that does not end, and a plug that does not
        self.stop('iscsid')
        self.begin(service.object_path('targets', self.late.iqn), 'Target', 'Connect', '(a{sv})',
                   {'data-path': 'block'})
        vm.wait_until(lambda: glob.glob(RECORDS % self.late.iqn), 60, 'the login')
        os.kill(self.pid_of(running), signal.SIGSTOP)
        self.begin(self.vm(running), 'Vm', 'AttachDisk', '(a{sv}a{sv})',
                   {'GUID': self.two.guid, 'iface': 'virtio', 'data-path': 'block'}, {})
        vm.wait_until(self.intents, 60, 'the intent')
        vm.wait_until(lambda: 'plugging' in [job['Phase'] for job in
                                             self.client.objects('Job').values()], 60, 'the plug')
        storage.run('sync', '-f', '/etc/iscsi')
        self.cut_power()

    @staticmethod
    def boot_id():
        return storage.read('/proc/sys/kernel/random/boot_id')

    @staticmethod
    def stop(program):
        for pid in storage.run('pidof', program).split():
            os.kill(int(pid), signal.SIGSTOP)

    def begin(self, path, interface, *call):
        self.client.start(path, vm.BUS_NAME + '.' + interface, *call)

    @staticmethod
    def intents():
        with sqlite3.connect('file:%s?mode=ro' % DATABASE, uri=True) as store:
            return [key for key, in store.execute('SELECT key FROM entry')
                    if key.startswith('intent/')]

    # ---- after

    def after(self):
        with open(KEPT) as f:
            kept = json.load(f)
        self.addCleanup(os.unlink, KEPT)
        self.addCleanup(storage.run, 'iscsiadm', '-m', 'session', '-u', check=False)  # if it fails
        self.addCleanup(self.one.forget)
        self.addCleanup(self.two.forget)
        self.assertNotEqual(kept['boot'], self.boot_id())
        self.assertTrue(self.intents())

        path = service.object_path('targets', self.target.iqn)
        self.wait_property(path, 'Target', 'State', 'connected', 90)
        vm.wait_until(lambda: not self.intents(), 60, 'the journal being settled', 0.3)
        self.assertEqual([(iqn, address) for _, iqn, address in storage.sessions()],
                         [(self.target.iqn, address) for address in vm.lio.PORTALS])
        late = service.object_path('targets', self.late.iqn)
        self.assertEqual(self.get(late, 'Target', 'State'), 'disconnected')
        self.assertEqual([job for job in self.client.objects('Job').values()
                          if job['State'] == 'running'], [])

        guest = self.known_guest()
        self.assertEqual(self.get(self.vm(guest), 'Vm', 'Attachments'), [kept['attachment']])
        self.assertEqual(self.get(kept['attachment'], 'Attachment', 'Guid'), self.one.guid)
        self.assertNotIn(service.vdisk_id(self.two.guid),
                         storage.run('virsh', 'dumpxml', guest.name))

        self.call(self.vm(guest), 'Vm', 'Run', '(asa{sv})', [], {}, timeout=120)
        guest.wait_booted(180)
        guest.wait_disks(lambda found: 'vda' in found, 60)
        self.assertEqual(guest.read('vda', 9 * SECTOR, SECTOR), bytes.fromhex(kept['data']))
        self.attach(guest, {'GUID': self.two.guid, 'iface': 'virtio', 'data-path': 'block'})
        guest.wait_disks(lambda found: 'vdb' in found, 60)
        self.detach_all(guest)
        self.method(late, 'Target', 'Connect', **{'data-path': 'block'})
        for each in (path, late):
            self.method(each, 'Target', 'Unmanage')
            self.method(each, 'Target', 'Forget')
        self.assertEqual(storage.sessions(), [])
        self.assertEqual(glob.glob(RECORDS % self.late.iqn), [])  # of the login that was cut off
        self.assert_consistent()
