# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options of an attachment, seen from inside the guest: buses, serials, addresses, discard,
passthrough, boot order; and what is refused before anything happens."""

import os
import re
import socket
import subprocess

from gi.repository import GLib

import guest
import lab
from service import TestCase, vdisk_id

MIB = 1 << 20
TYPED = 'org.freedesktop.DBus.Error.InvalidArgs'


def address(**parts):
    return GLib.Variant('a{ss}', {key: str(value) for key, value in parts.items()})


def facts(vm):
    """What the guest says of its disks: size → dict."""
    text = vm.guest.check(
        'for d in /sys/block/[vsh]d*; do [ -e $d ] || continue; echo "$(cat $d/size) ${d##*/} '
        '$(readlink -f $d/device) $(cat $d/ro) $(cat $d/queue/logical_block_size) '
        '$(cat $d/serial 2>/dev/null || tail -c +5 $d/device/vpd_pg80 2>/dev/null)"; done')
    found = {}
    for line in text.splitlines():
        size, name, device, ro, block, *serial = line.split()
        place = re.search(r'\d+:\d+:\d+$', device) or re.search(r'[0-9a-f:.]+(?=/virtio\d+$)',
                                                                device)
        found[int(size) * 512] = {'name': name, 'device': device, 'ro': ro == '1',
                                  'block': int(block), 'serial': ''.join(serial),
                                  'place': place.group(0) if place else None}
    return found


def wait_facts(vm, count):
    vm.guest.wait_disks(lambda disks: len(disks) == count)
    return facts(vm)


def boot_sector(text):
    """A master boot record that writes the text to the first serial port, at every tick of the
    clock: what is written while nobody listens is lost."""
    code = bytes.fromhex('31c0 8ed8 baf803 be167c ac 84c0 7403 ee ebf8 fbf4 ebf1') + text
    return code.ljust(510, b'\0') + b'\x55\xaa'


class Base(TestCase):
    def target_with(self, name, *luns):
        """A connected target with LUNs 2, 3 … of sizes of their own; the LUNs."""
        target = self.lab.add_target(name)
        made = [target.add_lun(number, (16 + 8 * number) * MIB, **options)
                for number, options in enumerate(luns, 2)]
        self.connect(target)
        return made

    def properties(self, path):
        return self.lab.client.get_all(path, 'Attachment')

    def assert_refused(self, vm, device, error, *words):
        """Refused with these words, and nothing has changed."""
        before = vm.xml('--inactive'), self.lab.client.objects('VDisk')
        with self.assertDBusError(error) as expected:
            self.attach(vm, device)
        for word in words:
            self.assertIn(word, expected.exception.message)
        self.assertEqual((vm.xml('--inactive'), self.lab.client.objects('VDisk')), before)

    def run_vm(self, vm):
        self.call(self.vm(vm), 'Vm', 'Run', '(asa{sv})', [], {})
        vm.wait_booted()

    def stop_vm(self, vm):
        vm.guest.close()
        self.method(self.vm(vm), 'Vm', 'Stop')


class Stopped(Base):
    """VMs that start with their disks."""

    def test_every_bus(self):
        """FIELD 14: the serial is the vDisk's id on each bus, whole or its beginning, never cut by
        somebody else; every bus shows size, write protection and block size; addresses last."""
        vm = self.lab.define_vm('parade')
        plain, ro, big, bigger, lun, locked = self.target_with(
            'parade', {}, {'readonly': True}, {'blocksize': 4096}, {'blocksize': 4096}, {},
            {'readonly': True})
        wanted = [(plain, {'iface': 'virtio'}),
                  (ro, {'iface': 'scsi', 'readonly': True}), (big, {'iface': 'scsi'}),
                  (bigger, {'iface': 'virtio'}), (lun, {'iface': 'scsi', 'device': 'lun'}),
                  (locked, {'iface': 'scsi', 'device': 'lun', 'readonly': True})]
        paths = {disk.size: self.attach(vm, {'GUID': disk.guid, **how}) for disk, how in wanted}
        asked = {size: self.properties(path)['Address'] for size, path in paths.items()}
        self.run_vm(vm)
        seen = wait_facts(vm, len(wanted))
        for disk, how in wanted:
            whole = vdisk_id(disk.guid)
            serial = {'scsi': whole}.get(how['iface'], whole.replace('-', '')[:20])
            it = seen[disk.size]
            with self.subTest(**how):
                self.assertEqual(it['serial'], disk.serial if 'device' in how else serial)
                self.assertIs(it['ro'], disk in (ro, locked))
                self.assertEqual(it['block'], 4096 if disk in (big, bigger) else 512)
        self.assertEqual({size: self.properties(path)['Address'] for size, path in paths.items()},
                         asked)

        self.stop_vm(vm)
        self.lab.restart_daemon()
        self.run_vm(vm)
        again = wait_facts(vm, len(wanted))
        self.assertEqual({size: it['place'] for size, it in again.items()},
                         {size: it['place'] for size, it in seen.items()})
        self.assertEqual({size: self.properties(path)['Address'] for size, path in paths.items()},
                         asked)
        self.stop_vm(vm)
        self.detach_all(vm)

    def test_sata_where_the_guest_has_a_driver(self):
        vm = self.lab.define_vm('ahci', kernel=guest.FULL)
        disk, other = self.target_with('ahci', {}, {})
        path = self.attach(vm, {'GUID': disk.guid, 'iface': 'sata', 'index': 1})
        self.assertEqual(self.properties(path)['Address']['type'], 'drive')
        self.attach(vm, {'GUID': other.guid, 'iface': 'sata'})
        self.run_vm(vm)
        seen = wait_facts(vm, 2)
        for lun in (disk, other):
            self.assertEqual(seen[lun.size]['serial'], vdisk_id(lun.guid).replace('-', '')[:20])
            self.assertIn('/ata', seen[lun.size]['device'])
        self.stop_vm(vm)
        self.detach_all(vm)

    def test_ide_where_it_is(self):
        vm = self.lab.define_vm('ancient', machine='pc')
        disk, other = self.target_with('ancient', {}, {})
        path = self.attach(vm, {'GUID': disk.guid, 'iface': 'ide', 'index': 2})
        self.assertEqual(self.properties(path)['Address'], {
            'type': 'drive', 'controller': '0', 'bus': '1', 'target': '0', 'unit': '0'})
        self.attach(vm, {'GUID': other.guid, 'iface': 'virtio'})
        self.run_vm(vm)
        seen = wait_facts(vm, 2)
        self.assertEqual(seen[disk.size]['serial'], vdisk_id(disk.guid).replace('-', '')[:20])
        self.stop_vm(vm)
        self.detach_all(vm)

    def test_refused_before_anything(self):
        vm = self.lab.define_vm('strict')
        disk, ro, big = self.target_with('strict', {}, {'readonly': True}, {'blocksize': 4096})
        for device, error, words in (
                ({'iface': 'ide'}, 'UnsupportedInterface', ('IDE', 'q35')),
                ({'iface': 'sata', 'readonly': True}, 'UnsupportedInterface', ('read-only',)),
                ({'iface': 'sata', 'optional': True}, 'UnsupportedInterface', ('optional',)),
                ({'shared': 'transient'}, TYPED, ('shared',)),
                ({'iface': 'sata', 'GUID': big.guid}, 'UnsupportedInterface', ('4096', '512')),
                ({'iface': 'scsi', 'GUID': ro.guid}, TYPED, ('write-protected', 'readonly')),
                ({'discard': 'on'}, TYPED, ('UNMAP',)),
                ({'bootOrder': 1, 'address': address(type='pci', bus=99)}, TYPED, ('bus',)),
                ({'address': address(type='drive', unit=1)}, TYPED, ('pci',)),
                ({'iface': 'scsi', 'address': address(type='pci', bus=3)}, TYPED, ('drive',)),
                ({'iface': 'scsi', 'address': address(type='drive', controller=4)}, TYPED,
                 ('controller 4',)),
                ({'iface': 'scsi', 'address': address(type='drive', target=256)}, TYPED, ()),
                # the bus of the virtio-scsi controller
                ({'address': address(type='pci', bus=1)}, TYPED, ('taken', 'controller scsi 0')),
                ({'serial': 'mine'}, TYPED, ('serial',)),
                ({'cache': 'writeback'}, TYPED, ('cache',)),
                ({'io': 'native'}, TYPED, ('io',)), ({'sgio': 'unfiltered'}, TYPED, ('sgio',)),
                ({'iotune': {'total_iops_sec': 1}}, TYPED, ('iotune',)),
                ({'specParams': {}}, TYPED, ('specParams',))):
            with self.subTest(**{key: str(value) for key, value in device.items()}):
                self.assert_refused(vm, {'GUID': disk.guid, **device}, error, *words)

    def test_pain_13_passthrough_confusion(self):
        """device lun on virtio-scsi only, and what it rules out is said, not ignored."""
        vm = self.lab.define_vm('confused')
        disk, = self.target_with('confused', {})
        for device, error, words in (
                ({'device': 'lun'}, 'UnsupportedInterface', ('scsi',)),
                ({'device': 'lun', 'iface': 'virtio'}, 'UnsupportedInterface', ('scsi',)),
                ({'device': 'lun', 'iface': 'sata'}, 'UnsupportedInterface', ('scsi',)),
                ({'device': 'lun', 'iface': 'scsi', 'readonly': True}, TYPED, ('readonly',)),
                ({'device': 'lun', 'iface': 'scsi', 'discard': 'on'}, TYPED, ('discard',)),
                ({'iface': 'scsi', 'reservations': 'on'}, TYPED, ('device lun',)),
                ({'reservations': 'on'}, TYPED, ('device lun',))):
            with self.subTest(**device):
                self.assert_refused(vm, {'GUID': disk.guid, **device}, error, *words)

    def test_a_controller_is_added(self):
        vm = self.lab.define_vm('bare')
        xml = re.sub(r"<controller type='scsi'.*?</controller>", '', vm.xml('--inactive'),
                     flags=re.S)
        self.assertNotIn('virtio-scsi', xml)
        with open('/run/lab/bare.xml', 'w') as f:
            f.write(xml)
        self.lab.virsh('define', '/run/lab/bare.xml')
        first, second = self.target_with('bare', {}, {})
        path = self.attach(vm, {'GUID': first.guid, 'iface': 'scsi'})
        self.run_vm(vm)
        wait_facts(vm, 1)
        self.attach(vm, {'GUID': second.guid, 'iface': 'scsi'})
        self.assertEqual(len(wait_facts(vm, 2)), 2)
        self.assertEqual(vm.xml().count("model='virtio-scsi'"), 1)
        self.stop_vm(vm)
        self.detach_all(vm)
        self.assertEqual(vm.xml('--inactive').count("model='virtio-scsi'"), 1)  # it stays

        # and into one that runs
        self.lab.virsh('define', '/run/lab/bare.xml')
        vm.start()
        path = self.attach(vm, {'GUID': first.guid, 'iface': 'scsi'})
        self.assertEqual(wait_facts(vm, 1)[first.size]['name'], 'sda')
        self.assertEqual(self.properties(path)['Address']['controller'], '0')
        self.stop_vm(vm)
        self.detach_all(vm)


class BootOrder(Base):
    def test_boot_order(self):
        """libvirt's own <boot dev='hd'/> gives way, and keeps its meaning."""
        vm = self.lab.define_vm('booter', devices="<interface type='user'>"
                                "<mac address='52:54:00:00:00:07'/></interface>")
        self.assertIn("<boot dev='hd'/>", vm.xml('--inactive'))
        first, second, third = self.target_with('booter', {}, {}, {})
        self.attach(vm, {'GUID': first.guid})
        path = self.attach(vm, {'GUID': second.guid, 'iface': 'scsi', 'bootOrder': 1})
        self.assertEqual(self.properties(path)['BootOrder'], 1)
        xml = vm.xml('--inactive')
        self.assertNotIn('<boot dev', xml)
        # hd meant the first disk: it is still booted from, after the one that was asked for
        self.assertEqual(sorted(re.findall(r"<boot order='(\d)'/>", xml)), ['1', '2'])
        for order, holder in ((1, 'disk sda'), (2, 'disk vda')):
            self.assert_refused(vm, {'GUID': third.guid, 'bootOrder': order}, TYPED,
                                'bootOrder %d' % order, holder)
        self.run_vm(vm)
        seen = wait_facts(vm, 2)
        self.assertIn(second.size, seen)
        # a disk that is unplugged keeps its order
        self.method(path, 'Attachment', 'HotUnplug')
        self.assert_refused(vm, {'GUID': third.guid, 'bootOrder': 1}, TYPED, second.guid)
        self.method(path, 'Attachment', 'HotPlug')
        live = self.attach(vm, {'GUID': third.guid, 'bootOrder': 3})
        self.assertIn("<boot order='3'/>", vm.xml())
        self.method(live, 'Attachment', 'Detach')
        self.stop_vm(vm)
        self.detach_all(vm)

    def test_boot_order_in_a_running_vm(self):
        """Started with <os><boot>: the order counts from the next start on."""
        vm = self.lab.define_vm('later').start()
        disk, = self.target_with('later', {})
        path = self.attach(vm, {'GUID': disk.guid, 'bootOrder': 1})
        self.assertEqual(self.properties(path)['BootOrder'], 1)
        self.assertIn("<boot dev='hd'/>", vm.xml())
        self.assertNotIn('<boot order', vm.xml())
        self.assertIn("<boot order='1'/>", vm.xml('--inactive'))
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'HotPlug')
        self.stop_vm(vm)
        self.run_vm(vm)
        self.assertIn("<boot order='1'/>", vm.xml())
        self.stop_vm(vm)
        self.detach_all(vm)
        self.assertIn("<boot dev='hd'/>", vm.xml('--inactive'))  # as libvirt does it

    def booted_from(self, vm):
        """What the boot sector that the VM's BIOS took says on the serial line."""
        self.call(self.vm(vm), 'Vm', 'Run', '(asa{sv})', [], {})
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(vm.console)
            said = b''
            while not re.search(rb'<(\w+)>', said):
                said += line.recv(4096)
        self.stop_vm(vm)
        return re.search(rb'<(\w+)>', said).group(1).decode()

    def test_boots_in_this_order(self):
        """A real boot: each LUN's boot sector says its name. The SATA disk is seen so, too."""
        vm = self.lab.define_vm('firmware')
        with open('/run/lab/firmware.xml', 'w') as f:
            f.write(re.sub(r'<(kernel|initrd|cmdline)>.*?</\1>', '', vm.xml('--inactive')))
        self.lab.virsh('define', '/run/lab/firmware.xml')
        luns = self.target_with('firmware', {}, {}, {})
        for lun, name in zip(luns, (b'virtio', b'scsi', b'sata')):
            lun.write(0, boot_sector(b'<%s>' % name))
        # force: a LUN that can be booted from does not look unused
        self.attach(vm, {'GUID': luns[0].guid}, force=True)
        self.assertEqual(self.booted_from(vm), 'virtio')
        for lun, iface, order in ((luns[2], 'sata', 3), (luns[1], 'scsi', 2)):
            self.attach(vm, {'GUID': lun.guid, 'iface': iface, 'bootOrder': order}, force=True)
        # <boot dev='hd'/> meant the virtio disk: it still comes first
        self.assertEqual(self.booted_from(vm), 'virtio')
        self.detach(vm, luns[0])
        self.assertEqual(self.booted_from(vm), 'scsi')
        self.detach(vm, luns[1])
        self.assertEqual(self.booted_from(vm), 'sata')
        self.attach(vm, {'GUID': luns[0].guid, 'bootOrder': 1}, force=True)
        self.assertEqual(self.booted_from(vm), 'virtio')
        self.detach_all(vm)

    def detach(self, vm, lun):
        for path in self.get(self.vm(vm), 'Vm', 'Attachments'):
            if self.properties(path)['Guid'] == lun.guid:
                self.method(path, 'Attachment', 'Detach')

    def test_what_somebody_chose_stays(self):
        vm = self.lab.define_vm('chosen')
        with open('/run/lab/chosen.xml', 'w') as f:
            f.write(vm.xml('--inactive').replace("<boot dev='hd'/>",
                                                 "<boot dev='network'/><boot dev='hd'/>"))
        self.lab.virsh('define', '/run/lab/chosen.xml')
        disk, = self.target_with('chosen', {})
        self.assert_refused(vm, {'GUID': disk.guid, 'bootOrder': 1}, TYPED, 'network,hd')


class Plugged(Base):
    """One guest that runs all the time."""

    @classmethod
    def prepare(cls):
        cls.machine = cls.lab.define_vm('runner').start()

    def tearDown(self):
        self.detach_all(self.machine)
        self.machine.guest.wait_disks(lambda disks: not disks)
        super().tearDown()

    def replug(self, path):
        self.method(path, 'Attachment', 'HotUnplug')
        self.method(path, 'Attachment', 'HotPlug')

    def test_comes_back_to_its_place(self):
        """After a replug, and one by a service that was restarted meanwhile, with others coming and
        going: where the guest has seen it."""
        luns = self.target_with('places', {}, {}, {}, {})
        paths = [self.attach(self.machine, {'GUID': lun.guid, 'iface': iface})
                 for lun, iface in zip(luns, ('virtio', 'scsi', 'virtio', 'scsi'))]
        before = wait_facts(self.machine, 4)
        addresses = [self.properties(path)['Address'] for path in paths]
        for path in paths[:2]:
            self.method(path, 'Attachment', 'HotUnplug')
        self.assertEqual([self.properties(path)['Address'] for path in paths], addresses)
        self.lab.restart_daemon()
        between, = self.target_with('between', {})
        passing = self.attach(self.machine, {'GUID': between.guid, 'iface': 'virtio'})
        self.assertNotIn(self.properties(passing)['Address'], addresses)
        self.method(passing, 'Attachment', 'Detach')
        for path in reversed(paths[:2]):
            self.method(path, 'Attachment', 'HotPlug')
        after = wait_facts(self.machine, 4)
        self.assertEqual([self.properties(path)['Address'] for path in paths], addresses)
        self.assertEqual({size: it['place'] for size, it in after.items()},
                         {size: it['place'] for size, it in before.items()})
        # both domains agree
        for xml in (self.machine.xml(), self.machine.xml('--inactive')):
            for path, where in zip(paths, addresses):
                alias = 'ua-directlun-' + vdisk_id(self.properties(path)['Guid'])
                element = re.search(r"<alias name='%s'/>\s*<address ([^>]*)/>" % alias, xml)
                self.assertEqual(dict(re.findall(r"(\w+)='([^']*)'", element.group(1))), where)

    def test_place_taken_meanwhile(self):
        lun, = self.target_with('taken', {})
        path = self.attach(self.machine, {'GUID': lun.guid})
        where = self.properties(path)['Address']
        self.method(path, 'Attachment', 'HotUnplug')
        subprocess.run(['truncate', '-s', '8M', '/run/lab/other.img'], check=True)
        with open('/run/lab/other.xml', 'w') as f:
            f.write("<disk type='file' device='disk'><source file='/run/lab/other.img'/>"
                    "<target dev='vda' bus='virtio'/><address %s/></disk>"
                    % ' '.join("%s='%s'" % item for item in where.items()))
        self.lab.virsh('attach-device', 'runner', '/run/lab/other.xml', '--live')
        try:
            self.method(path, 'Attachment', 'HotPlug', **{'job-token': 'moved'})
            found = self.properties(path)
            self.assertNotEqual(found['Address'], where)
            self.assertEqual(found['TargetDev'], 'vdb')
            job, = [j for j in self.lab.client.objects('Job').values() if j['Token'] == 'moved']
            self.assertTrue([line for line in job['Report'] if 'taken by its disk vda' in line],
                            job['Report'])
            seen = wait_facts(self.machine, 2)
            self.assertEqual(seen[lun.size]['place'], '0000:%s:00.0' % found['Address']['bus'][2:])
        finally:
            self.lab.virsh('detach-device', 'runner', '/run/lab/other.xml', '--live')
        self.replug(path)
        self.assertEqual(self.properties(path)['Address'], found['Address'])

    def test_address_asked_for(self):
        first, second = self.target_with('asked', {}, {})
        path = self.attach(self.machine, {'GUID': first.guid, 'iface': 'scsi', 'address': address(
            type='drive', controller=0, target=3, unit=200)})
        self.assertEqual(wait_facts(self.machine, 1)[first.size]['place'], '0:3:200')
        self.assert_refused(self.machine, {'GUID': second.guid, 'iface': 'scsi', 'address': address(
            type='drive', target=3, unit=200)}, TYPED, '0:0:3:200', 'disk sda')
        self.replug(path)
        self.assertEqual(wait_facts(self.machine, 1)[first.size]['place'], '0:3:200')
        other = self.attach(self.machine, {'GUID': second.guid, 'address': address(
            type='pci', domain='0x0000', bus='0x05', slot='0x00', function='0x0')})
        self.assertEqual(wait_facts(self.machine, 2)[second.size]['place'], '0000:05:00.0')
        self.method(other, 'Attachment', 'HotUnplug')
        third, = self.target_with('third', {})
        self.assert_refused(self.machine, {'GUID': third.guid, 'address': address(
            type='pci', bus=5)}, TYPED, second.guid)
        self.assert_refused(self.machine, {'GUID': third.guid, 'address': address(
            type='pci', bus=0, slot=9)}, TYPED, 'pcie-root')
        self.assert_refused(self.machine, {'GUID': third.guid, 'iface': 'sata'},
                            'UnsupportedInterface', 'sata')

    def test_discard_on_request(self):
        """What the guest discards is freed in the LUN; without the key it is not."""
        thin, = self.target_with('thin', {'thin': True})
        thin.write(0, b'x' * MIB)
        for how, freed in (({}, False), ({'discard': 'on'}, True)):
            path = self.attach(self.machine, {'GUID': thin.guid, **how})
            self.assertIs(self.properties(path)['Discard'], freed)
            name = wait_facts(self.machine, 1)[thin.size]['name']
            self.assertGreater(int(self.machine.guest.check(
                'cat /sys/block/%s/queue/discard_max_bytes' % name)), 0)
            blocks = os.stat(thin.path).st_blocks
            self.machine.guest.check('blkdiscard -o 0 -l %d /dev/%s' % (MIB, name))
            self.assertIs(os.stat(thin.path).st_blocks < blocks, freed)
            self.method(path, 'Attachment', 'Detach')
            self.machine.guest.wait_disks(lambda disks: not disks)

    def test_errors_and_cache_as_asked(self):
        one, two = self.target_with('policy', {}, {})
        self.attach(self.machine, {'GUID': one.guid, 'propagateErrors': 'on'})
        self.attach(self.machine, {'GUID': two.guid, 'shared': True, 'iface': 'scsi'})
        for xml in (self.machine.xml(), self.machine.xml('--inactive')):
            drivers = re.findall(r'<driver [^>]*>', xml)
            self.assertEqual(len(drivers), 2)
            for driver, policy in zip(sorted(drivers, key=lambda d: 'stop' in d),
                                      ('report', 'stop')):
                self.assertIn("cache='none'", driver)
                self.assertIn("error_policy='%s'" % policy, driver)
                self.assertIn("rerror_policy='%s'" % policy, driver)
        wait_facts(self.machine, 2)


class Many(Base):
    """More disks than anybody has: 204 before the start, 4 into the running VM."""

    minutes = 1

    def count(self, vm):
        return int(vm.guest.check('set -- /sys/block/sd*; echo $#'))

    def serials(self, vm):
        text = vm.guest.check_bytes('cat /sys/block/sd*/device/vpd_pg80')
        return {found.decode() for found in re.findall(rb'[0-9a-f-]{36}', text)}

    def test_more_than_200_disks(self):

        vm = self.lab.define_vm('crowd')
        target = self.lab.add_target('crowd', luns=0)
        luns = [target.add_lun(number, MIB) for number in range(1, 209)]
        self.connect(target)
        path = self.vm(vm)
        for lun in luns[:204]:
            self.call(path, 'Vm', 'AttachDisk', '(a{sv}a{sv})',
                      {'GUID': lun.guid, 'iface': 'scsi'}, {})
        self.assertEqual(vm.xml('--inactive').count('<disk '), 204)
        self.call(path, 'Vm', 'Run', '(asa{sv})', [], {})
        vm.guest.wait_booted(120)
        lab.wait_until(lambda: self.count(vm) == 204, 60, 'the guest seeing 204 disks', 0.3)
        self.assertEqual(self.serials(vm), {vdisk_id(lun.guid) for lun in luns[:204]})
        added = [self.attach(vm, {'GUID': lun.guid, 'iface': 'scsi'}) for lun in luns[204:]]
        lab.wait_until(lambda: self.count(vm) == 208, 30, 'the guest seeing 208 disks', 0.3)
        self.assertEqual(self.properties(added[-1])['Address']['unit'], '207')
        self.method(added[0], 'Attachment', 'Detach')
        lab.wait_until(lambda: self.count(vm) == 207, 30, 'the guest seeing 207 disks', 0.3)
        self.stop_vm(vm)

    test_more_than_200_disks.deadline = 240  # a tenth of it where nobody else wants the CPU


class Reservations(Base):
    """Persistent reservations of guests, by device lun: two guests share a LUN."""

    REGISTER = '5f060000000000001800'
    RESERVE = '5f010500000000001800'  # write exclusive, registrants only
    READ_KEYS = '5e000000000000020000'

    def sg(self, vm, *words):
        """(status, data) of a SCSI command that the guest sends to its only disk."""
        name, = vm.guest.wait_disks(lambda disks: len(disks) == 1)
        return vm.guest.sg(name, *words)

    def test_reservations_between_guests(self):
        compiled = '/run/lab/sg'
        guest.compile_sg(compiled)
        with open(compiled, 'rb') as f:
            program = f.read()
        lun, = self.target_with('cluster', {})
        vms = [self.lab.define_vm('north'), self.lab.define_vm('south')]
        for vm in vms:
            path = self.attach(vm, {'GUID': lun.guid, 'iface': 'scsi', 'device': 'lun',
                                    'shared': True, 'reservations': 'on'})
            self.assertIs(self.properties(path)['Reservations'], True)
            self.assertIs(self.properties(path)['PropagateErrors'], True)
            self.call(self.vm(vm), 'Vm', 'Run', '(asa{sv})', [], {})
        for vm in vms:
            vm.wait_booted()
            vm.guest.wait_disks(lambda found: len(found) == 1)
            vm.guest.install('/sg', program)
        north, south = vms
        key = '00000000decade01'
        self.assertEqual(self.sg(north, self.REGISTER, '0' * 16 + key + '0' * 16)[0], 0)
        self.assertEqual(self.sg(north, self.RESERVE, key + '0' * 32)[0], 0)
        status, data = self.sg(south, self.READ_KEYS, '-512')
        self.assertEqual(status, 0)
        self.assertEqual(data[8:32], '00000008' + key)
        write = '2a000000000000000100'
        self.assertEqual(self.sg(south, write, '41' * 512)[0], 0x18)  # RESERVATION CONFLICT
        self.assertEqual(lun.read(0, 1), b'\0')
        self.assertEqual(self.sg(north, write, '42' * 512)[0], 0)
        self.assertEqual(lun.read(0, 1), b'B')
        for vm in vms:
            self.stop_vm(vm)
            self.detach_all(vm)
