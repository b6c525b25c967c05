# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the test machine boots: Debian's full kernel, an initramfs that mounts one disk, and that
disk, with what a host needs for LUNs of its kernel: open-iscsi, multipath, LVM, libvirt, AppArmor.

Made once and kept (see debian.py), without a loop device or a running kernel: machines write to an
overlay of their own.
"""

import os
import subprocess
import tempfile

import debian

PACKAGES = '''
systemd systemd-sysv dbus udev polkitd procps util-linux iproute2 kmod apparmor fdisk
open-iscsi multipath-tools sg3-utils lsscsi lvm2 mdadm nvme-cli
libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
qemu-system-x86 qemu-block-extra qemu-utils
libiscsi7 libsqlite3-0 libjson-glib-1.0-0 libxml2
python3 python3-gi gir1.2-glib-2.0 libglib2.0-bin
'''.split()
SIZE = '6G'  # of a sparse file
TESTS, WORK = '/mnt/tests', '/mnt/work'  # where the shares are, see machine.py
PORT = 'directlun.tests'

MASKED = (
    # Chores of machines that live long.
    'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'fstrim.timer',
    'e2scrub_all.timer', 'e2scrub_reap.service', 'logrotate.timer', 'systemd-tmpfiles-clean.timer',
    'mdcheck_start.timer', 'mdcheck_continue.timer', 'mdmonitor-oneshot.timer',
    'systemd-pstore.service', 'systemd-update-utmp.service',
    'systemd-update-utmp-runlevel.service',
    # Nobody logs in.
    'console-getty.service', 'getty.target', 'getty@tty1.service', 'serial-getty@ttyS0.service',
    # What needs minutes where instructions are emulated, and no test is about.
    'systemd-hwdb-update.service', 'ldconfig.service', 'systemd-random-seed.service',
    # The boot must not wait for storage that tests are yet to make.
    'systemd-udev-settle.service', 'nvmefc-boot-connections.service', 'nvmf-autoconnect.service',
)

# The unit is there for machines that are started for tests; see inside.py.
_UNIT = '''[Unit]
Description=Tests of directlun
ConditionKernelCommandLine=directlun.tests
After=multi-user.target
RequiresMountsFor=%s %s

[Service]
Type=exec
ExecStart=/usr/bin/python3 -B %s/vm/inside.py /dev/virtio-ports/%s
StandardOutput=journal+console
StandardError=journal+console
Restart=no

[Install]
WantedBy=multi-user.target
''' % (TESTS, WORK, TESTS, PORT)

_FSTAB = '/dev/vda / ext4 rw,noatime 0 0\n' + ''.join(
    '%s %s 9p trans=virtio,version=9p2000.L,msize=512000,%s,nofail 0 0\n'
    % (os.path.basename(path), path, access) for path, access in ((TESTS, 'ro'), (WORK, 'rw')))

# Debian's default (find_multipaths strict) takes no LUN that has one path, nor knows a name for it.
_MULTIPATH_CONF = '''defaults {
        find_multipaths no
        user_friendly_names no
        polling_interval 1
}
'''

_INIT = r'''#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for m in /modules/*; do $B insmod $m; done
n=0
while [ ! -b /dev/vda ] && [ $n -lt 200 ]; do $B usleep 50000; n=$((n+1)); done
$B mount -t ext4 -o noatime /dev/vda /root || exec $B poweroff -f
$B umount /proc; $B umount /sys; $B mount --move /dev /root/dev
exec $B switch_root /root /lib/systemd/systemd
'''
_INIT_MODULES = ('virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4')


def _configure(root):
    debian.settle_identity(root)
    debian.mask(root, MASKED)
    units = root + '/etc/systemd/system/'
    debian.write(units + 'directlun-tests.service', _UNIT)
    os.makedirs(units + 'multi-user.target.wants', exist_ok=True)
    os.symlink('../directlun-tests.service',
               units + 'multi-user.target.wants/directlun-tests.service')
    # libvirtd comes when it is called, and takes its time.
    os.unlink(units + 'multi-user.target.wants/libvirtd.service')
    os.symlink('/usr/lib/systemd/system/multi-user.target', units + 'default.target')
    debian.write(units.replace('/system/', '/system.conf.d/') + 'tests.conf',
                 '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultTimeoutStopSec=20s\n')
    debian.write(root + '/etc/systemd/journald.conf.d/tests.conf',
                 '[Journal]\nStorage=volatile\nRateLimitBurst=0\n')
    for path in (TESTS, WORK):
        os.makedirs(root + path)
    debian.write(root + '/etc/fstab', _FSTAB)
    debian.write(root + '/etc/hostname', 'vm\n')
    debian.write(root + '/etc/hosts', '127.0.0.1 localhost vm\n::1 localhost\n')
    debian.write(root + '/etc/multipath.conf', _MULTIPATH_CONF)


def _build(directory, tree, version):
    with tempfile.TemporaryDirectory(dir=debian.CACHE, prefix=debian.UNFINISHED + 'vm.') as root:
        debian.bootstrap(root, PACKAGES)
        _configure(root)
        subprocess.run(['cp', '-a', tree + '/lib/modules', root + '/usr/lib/'], check=True)
        disk = directory + '/root.ext4'
        subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-E',
                        'lazy_itable_init=1', '-d', root, disk, SIZE], check=True)
    debian.make_initrd(directory + '/initrd.gz', _INIT,
                       debian.module_order(tree, version, _INIT_MODULES),
                       ('dev', 'proc', 'sys', 'root'))
    debian.copy_kernel(tree, version, directory + '/kernel')


def image():
    """The directory with kernel, initrd.gz and root.ext4; made first if need be (needs the
    network)."""
    tree, version = debian.kernel('amd64')
    ingredients = debian.recipe(os.path.basename(tree),
                                debian.source_of(__file__, debian.__file__))
    return debian.kept('vm', ingredients, lambda directory: _build(directory, tree, version))
