# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with very many block devices, as its kernel and udev would show them: a tree in memory in
place of /sys, udev's database, and uevents on the real netlink socket of this network namespace.

    host = BlockHost()
    luns = [host.add_lun(n) for n in range(2500)]   # each of four paths by FC, and a map over them
    host.announce(luns)                             # 12,500 uevents at once

Only in a mount and network namespace of one's own (see namespace.py). Who is to believe it needs
ENVIRONMENT: libudev looks whether /sys is a sysfs.
"""

import itertools
import os
import shutil
import socket
import struct
import subprocess
import time

ENVIRONMENT = {'SYSTEMD_DEVICE_VERIFY_SYSFS': '0'}
PATHS = 4
SECTORS = 1 << 21
_NETLINK_KOBJECT_UEVENT = 15
_UDEV_GROUP = 2  # what udev sends on when it has finished with a device
_MAGIC = 0xfeedcafe
_INQUIRY = bytes((0, 0, 6, 2, 31, 0, 0, 2)) + b'BENCH   DISK            1.0 '


def _hash(text):
    """MurmurHash2: what the filters of libudev's monitors go by."""
    data, m, mask = text.encode(), 0x5bd1e995, 0xffffffff
    h, tail = len(data), len(data) & ~3
    for offset in range(0, tail, 4):
        k = int.from_bytes(data[offset:offset + 4], 'little') * m & mask
        h = h * m & mask ^ (k ^ k >> 24) * m & mask
    if data[tail:]:
        h = (h ^ int.from_bytes(data[tail:], 'little')) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


_HEAD = b'libudev\0' + struct.pack('>I', _MAGIC)
_BLOCK, _DISK = _hash('block'), _hash('disk')


def _write(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, data if isinstance(data, bytes) else data.encode() + b'\n')
    os.close(fd)


def _disk_name(index):
    """sda … sdz, sdaa …"""
    name = ''
    while index >= 0:
        name = chr(ord('a') + index % 26) + name
        index = index // 26 - 1
    return 'sd' + name


class Device:
    """A disk or a map: .name, .directory (in /sys), .number ("259:7"), .properties of udev."""

    def __init__(self, name, directory, number, properties, links):
        self.name, self.directory, self.number = name, directory, number
        major, minor = number.split(':')
        self.links = links
        self.properties = {'DEVNAME': '/dev/' + name, 'DEVTYPE': 'disk', 'MAJOR': major,
                           'MINOR': minor, **properties}


class Lun:
    """.guid, .number, .disks (Device), .map (Device)"""

    def __init__(self, number):
        self.number = number
        self.guid = '36001405%09x%016x' % (0x5ca1e, number)
        self.disks, self.map = [], None

    @property
    def number_of_kernel(self):
        """As in H:C:T:L: a number above 255 has flat addressing on the wire (SAM-6)."""
        return self.number if self.number < 256 else 0x4000 | self.number

    @property
    def devices(self):
        return self.disks + [self.map] * bool(self.map)


class BlockHost:
    def __init__(self):
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755,nr_inodes=0', 'tmpfs', '/sys'],
                       check=True)
        for directory in ('/sys/bus', '/sys/class/block', '/sys/class/fc_host', '/sys/devices',
                          '/sys/class/fc_remote_ports', '/run/udev/data'):
            os.makedirs(directory)
        _write('/run/udev/control', '')  # libudev's sign that there is a udev
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM,
                                     _NETLINK_KOBJECT_UEVENT)
        self.began = 0.0  # time.monotonic() of the first event of the last announce()
        self._numbers, self._sequence = itertools.count(1), itertools.count(1)
        for port in range(PATHS):
            directory = '/sys/class/fc_remote_ports/rport-%d:0-0' % port
            os.makedirs(directory)
            _write(directory + '/port_name', '0x500601604000%04x' % port)

    # ---- what there is

    def add_lun(self, number):
        """In sysfs and udev's database; nobody is told."""
        lun = Lun(number)
        for port in range(PATHS):
            lun.disks.append(self._add_disk(lun, port))
        lun.map = self._add_map(lun)
        return lun

    def _add_disk(self, lun, port):
        number = next(self._numbers)
        name = _disk_name(number - 1)
        scsi = '/sys/devices/pci0000:00/host%d/rport-%d:0-0/target%d:0:0/%d:0:0:%d' % (
            port, port, port, port, lun.number_of_kernel)
        os.makedirs(scsi + '/block')
        for file, data in (('state', 'running'), ('type', '0'), ('vendor', 'BENCH'),
                           ('model', 'DISK'), ('rev', '1.0'), ('inquiry', _INQUIRY),
                           ('vpd_pg83', struct.pack('>BBHBBBB', 0, 0x83, 20, 1, 3, 0, 16) +
                            bytes.fromhex(lun.guid[1:]))):
            _write(scsi + '/' + file, data)
        return self._add(name, scsi + '/block/' + name, '../..', '259:%d' % number, {
            'ID_BUS': 'scsi', 'ID_TYPE': 'disk', 'ID_SERIAL': lun.guid, 'ID_VENDOR': 'BENCH',
            'ID_MODEL': 'DISK', 'ID_WWN': '0x' + lun.guid[1:17],
            'ID_PATH': 'pci-0000:00:0%d.0-fc-0x500601604000%04x-lun-%d' % (port, port, lun.number),
            'DM_MULTIPATH_DEVICE_PATH': '1'}, ['disk/by-id/scsi-' + lun.guid])

    def _add_map(self, lun):
        name = 'dm-%d' % lun.number
        uuid = 'mpath-' + lun.guid
        directory = '/sys/devices/virtual/block/' + name
        device = self._add(name, directory, None, '253:%d' % lun.number, {
            'DM_NAME': 'mpath%d' % lun.number, 'DM_UUID': uuid, 'DM_ACTIVATION': '1'},
            ['disk/by-id/dm-uuid-' + uuid, 'mapper/mpath%d' % lun.number])
        os.mkdir(directory + '/dm')
        _write(directory + '/dm/name', device.properties['DM_NAME'])
        _write(directory + '/dm/uuid', uuid)
        for disk in lun.disks:
            os.symlink(disk.directory, directory + '/slaves/' + disk.name)
            os.symlink(directory, '%s/holders/%s' % (disk.directory, name))
        return device

    def _add(self, name, directory, of, number, properties, links):
        device = Device(name, directory, number, properties, links)
        os.makedirs(directory)
        for folder in ('holders', 'slaves', 'queue'):
            os.mkdir(directory + '/' + folder)
        for file, data in (('dev', number), ('size', str(SECTORS)), ('ro', '0'),
                           ('uevent', 'DEVNAME=%s\nDEVTYPE=disk\nMAJOR=%s\nMINOR=%s' % (
                               name, *number.split(':'))),
                           ('queue/logical_block_size', '512'),
                           ('queue/physical_block_size', '4096')):
            _write(directory + '/' + file, data)
        if of:
            os.symlink(of, directory + '/device')
        os.symlink('/sys/class/block', directory + '/subsystem')
        os.symlink(directory, '/sys/class/block/' + name)
        self._write_record(device)
        return device

    @staticmethod
    def _write_record(device):
        _write('/run/udev/data/b' + device.number, '\n'.join(
            ['S:' + link for link in device.links] + ['I:1'] +
            ['E:%s=%s' % item for item in device.properties.items()] + ['V:1']))

    def remove_lun(self, lun):
        for device in lun.devices:
            os.unlink('/sys/class/block/' + device.name)
            os.unlink('/run/udev/data/b' + device.number)
            shutil.rmtree(device.directory if device is lun.map else
                          os.path.dirname(os.path.dirname(device.directory)))

    def remove_map(self, lun):
        """Of a LUN that keeps its paths; and tells it."""
        device, lun.map = lun.map, None
        for disk in lun.disks:
            os.unlink('%s/holders/%s' % (disk.directory, device.name))
        os.unlink('/sys/class/block/' + device.name)
        os.unlink('/run/udev/data/b' + device.number)
        shutil.rmtree(device.directory)
        self._tell([self._message('remove', device, {})])
        self.announce([lun], 'change')

    def resize(self, lun, sectors):
        for device in lun.devices:
            self.set(device, 'size', sectors)

    @staticmethod
    def set(device, attribute, value):
        """A file of sysfs; "device/state" is the SCSI device's."""
        _write('%s/%s' % (device.directory, attribute), str(value))

    def rename(self, device, links):
        """What udev's rules call it from now on."""
        device.links = links
        self._write_record(device)

    def add_mapping(self, name, lun):
        """Somebody's device mapper stands on the map of the LUN; undone with the LUN."""
        directory = lun.map.directory + '/holders/' + name
        os.makedirs(directory + '/dm')
        _write(directory + '/dm/name', name)
        _write(directory + '/dm/uuid', '')

    def remove_mapping(self, name, lun):
        shutil.rmtree(lun.map.directory + '/holders/' + name)

    # ---- uevents

    def _message(self, action, device, more):
        properties = {'ACTION': action, 'DEVPATH': device.directory.removeprefix('/sys'),
                      'SUBSYSTEM': 'block', 'SEQNUM': str(next(self._sequence)),
                      'USEC_INITIALIZED': '1', **device.properties, **more,
                      'DEVLINKS': ' '.join('/dev/' + link for link in device.links)}
        data = b''.join(b'%s=%s\0' % (key.encode(), value.encode())
                        for key, value in properties.items())
        return _HEAD + struct.pack('=III', 40, 40, len(data)) + struct.pack(
            '>IIII', _BLOCK, _DISK, 0, 0) + data

    def announce(self, luns, action='add', **more):
        """Of all their devices, at once; how many they are. more: properties."""
        messages = [self._message(action, device, more) for lun in luns for device in (
            reversed(lun.devices) if action == 'remove' else lun.devices)]
        self._tell(messages)
        return len(messages)

    def _tell(self, messages):
        self.began = time.monotonic()
        for message in messages:
            self._socket.sendto(message, (0, _UDEV_GROUP))

    def dropped(self, pid):
        """How many uevents the process lost since its socket was made."""
        sockets = {os.readlink('/proc/%d/fd/%s' % (pid, fd)) for fd in
                   os.listdir('/proc/%d/fd' % pid)}
        with open('/proc/net/netlink') as table:
            rows = [line.split() for line in table][1:]
        return sum(int(row[8]) for row in rows if 'socket:[%s]' % row[9] in sockets)
