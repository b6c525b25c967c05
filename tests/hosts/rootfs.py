# SPDX-License-Identifier: LGPL-2.1-or-later
"""The root file system of a test host: a minimal Debian with systemd, D-Bus, polkit and libvirt.

Made once and kept (see debian.py); hosts put an overlay on it and never change it.
"""

import subprocess

import debian

PACKAGES = '''
systemd systemd-sysv dbus udev polkitd procps util-linux iproute2 libglib2.0-bin
libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-block-extra
libiscsi7 libsqlite3-0 libjson-glib-1.0-0 libxml2
'''.split()
USERS = ('alice', 'bob')

MASKED = (
    # /proc/sys is the machine's.
    'systemd-sysctl.service',
    # Chores of real hardware.
    'e2scrub_reap.service', 'systemd-udev-settle.service',
    # Nobody logs in.
    'console-getty.service', 'getty.target',
    'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'fstrim.timer',
    'e2scrub_all.timer', 'systemd-tmpfiles-clean.timer',
)

# What only the surroundings ask for: there is no AppArmor in a container.
QEMU_CONF = 'security_driver = "none"\n'


def _build(root):
    debian.bootstrap(root, PACKAGES)
    debian.settle_identity(root)
    debian.mask(root, MASKED)
    for user in USERS:
        subprocess.run(['chroot', root, 'useradd', '--create-home', user], check=True)
    with open(root + '/etc/libvirt/qemu.conf', 'a') as f:
        f.write(QEMU_CONF)


def image():
    """The directory of the root file system; made first if need be (needs the network)."""
    return debian.kept('rootfs', debian.recipe(debian.source_of(__file__, debian.__file__)), _build)
