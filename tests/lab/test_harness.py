# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab itself, without the service: what the other tests rest on."""

import lab


class Harness(lab.TestCase):
    @classmethod
    def prepare(cls):
        cls.target = cls.lab.add_target('one', luns=2)
        cls.vm = cls.lab.define_vm('vm')
        cls.vm.start()

    def test_nothing_of_the_machine_is_reachable(self):
        links = self.lab.run('ip', '-o', 'link')
        self.assertEqual(len(links.splitlines()), 1, links)
        self.assertEqual(self.lab.run('ip', 'route'), '')

    def test_polkit_answers(self):
        self.assertIsNotNone(self.lab.owner_pid('org.freedesktop.PolicyKit1'))
        self.lab.polkit_rules('polkit.addRule(function(action, subject) { return null; });')
        self.assertIsNotNone(self.lab.owner_pid('org.freedesktop.PolicyKit1'))

    def test_libvirt_lets_in_the_service_and_nobody_else(self):
        self.lab.run_as(lab.USER, 'virsh', '-c', 'qemu:///system', 'list')
        refused = self.lab.run_as('nobody', 'virsh', '-c', 'qemu:///system', 'list', check=False)
        self.assertNotEqual(refused.returncode, 0)

    def test_guest_sees_a_lun(self):
        lun = self.target.luns[1]
        path = lab.WORK + '/disk.xml'
        with open(path, 'w') as f:
            f.write("<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
                    "<source protocol='iscsi' name='%s/1'><host name='127.0.0.1' port='3260'/>"
                    "</source><target dev='vda' bus='virtio'/><serial>harness</serial></disk>"
                    % self.target.iqn)
        self.lab.virsh('attach-device', 'vm', path)
        self.vm.guest.wait_disks(lambda disks: disks == {'vda': (lun.size, 'harness')})
        self.vm.guest.write('vda', 4096, b'from the guest'.ljust(512, b'.'))
        self.assertEqual(lun.read(4096, 14), b'from the guest')
        lun.write(8192, b'from outside'.ljust(512, b'.'))
        self.assertEqual(self.vm.guest.read('vda', 8192, 512)[:12], b'from outside')
        self.lab.virsh('detach-device', 'vm', path)
        self.vm.guest.wait_disks(lambda disks: not disks)
