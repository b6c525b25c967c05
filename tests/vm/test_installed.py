# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service as it is installed, activated and confined on Debian, with AppArmor at work, and the
main job on it."""

import os
import pwd
import re

import service
import storage
import vm

MIB = 1 << 20
SECTOR = 512


class TestInstalled(vm.TestCase):
    minutes = 1

    def test_activated_and_confined(self):
        storage.run('systemctl', 'stop', vm.UNIT)
        self.assertEqual(self.unit('ActiveState'), {'ActiveState': 'inactive'})
        self.assertTrue(self.get(vm.ROOT, 'Manager', 'Version'))
        unit = self.unit('ActiveState', 'SubState', 'MainPID')
        self.assertEqual((unit['ActiveState'], unit['SubState']), ('active', 'running'))
        process = '/proc/%s/' % unit['MainPID']
        self.assertEqual(os.readlink(process + 'exe'), '/usr/libexec/directlund')
        self.assertEqual(os.stat(process).st_uid, pwd.getpwnam('directlun').pw_uid)
        self.assertRegex(storage.read(process + 'status'), r'NoNewPrivs:\t1\nSeccomp:\t2\n')

    def test_apparmor_is_as_debian_sets_it(self):
        self.assertEqual(storage.read('/sys/module/apparmor/parameters/enabled'), 'Y')
        profiles = storage.read('/sys/kernel/security/apparmor/profiles')
        for program in ('libvirtd', 'virt-aa-helper'):
            self.assertRegex(profiles, r'(?m)^%s \(enforce\)$' % program)

    def test_lun_goes_into_a_running_vm_and_out_again(self):
        one, two = self.add_disk('one', 24 * MIB), self.add_disk('two', 40 * MIB)
        target = self.add_target({1: one, 2: two})
        self.connect(target)
        devices = {entry['GUID']: entry for entry in
                   self.call(vm.ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})}
        self.assertEqual({guid: entry['capacity'] for guid, entry in devices.items()
                          if guid in (one.guid, two.guid)},
                         {one.guid: one.size, two.guid: two.size})

        running = self.start_guest()
        self.assertRegex(storage.read('/proc/%d/attr/current' % self.pid_of(running)),
                         r'^libvirt-[0-9a-f-]{36} \(enforce\)$')
        self.addCleanup(self.detach_all, running)
        attachment = self.attach(running, {'GUID': one.guid, 'iface': 'scsi'})
        self.assertTrue(self.get(attachment, 'Attachment', 'Plugged'))
        disks = running.wait_disks(lambda found: found, 60)
        (name, (size, serial)), = disks.items()
        self.assertEqual(size, one.size)
        self.assertEqual(serial, service.vdisk_id(one.guid))
        data = os.urandom(SECTOR)
        running.write(name, 5 * SECTOR, data)
        with open(one.file, 'rb') as f:
            f.seek(5 * SECTOR)
            self.assertEqual(f.read(SECTOR), data)
        self.method(attachment, 'Attachment', 'HotUnplug')
        running.wait_disks(lambda found: not found, 60)
        self.method(attachment, 'Attachment', 'Detach')
        self.assertFalse(re.search(one.guid, storage.read(
            '/etc/libvirt/qemu/%s.xml' % running.name)))

    test_lun_goes_into_a_running_vm_and_out_again.deadline = 300
