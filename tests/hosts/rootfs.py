# SPDX-License-Identifier: LGPL-2.1-or-later
"""The root file system of a test host: a minimal Debian with systemd, D-Bus, polkit and libvirt.

Made once by mmdebstrap from the package sources that the machine itself uses, and kept under
/var/cache/directlun-tests; hosts put an overlay on it and never change it.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import tempfile

import guest

SUITE = 'bookworm'
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

_UNFINISHED = 'unfinished-rootfs.'

# What only the surroundings ask for: there is no AppArmor in a container.
QEMU_CONF = 'security_driver = "none"\n'


def _sources():
    """The machine's Debian sources, one line each."""
    lines = subprocess.run(
        ['apt-get', 'indextargets', '--format', '$(REPO_URI) $(RELEASE) $(COMPONENT)',
         'Created-By: Packages', 'Origin: Debian'],
        check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = [line for line in dict.fromkeys(lines) if line.split()[1].startswith(SUITE)]
    if not wanted:
        raise RuntimeError('apt knows no Debian %s here; run apt-get update' % SUITE)
    return ['deb ' + line for line in wanted]


def _apt_options():
    """Proxies and the like of the machine's own configuration."""
    text = subprocess.run(['apt-config', 'dump', '--format', '%F "%v";%n', 'Acquire'], check=True,
                          capture_output=True, text=True).stdout
    kept = [line for line in text.splitlines()
            if line.lower().startswith(('acquire::http', 'acquire::https', 'acquire::check-'))
            and not line.endswith('"";')]
    # A frozen mirror is as good as any.
    return kept + ['Acquire::Check-Valid-Until "false";', 'Acquire::Languages "none";',
                   'APT::Install-Recommends "false";']


def _bootstrap(directory):
    command = ['mmdebstrap', '--quiet', '--mode=root', '--variant=minbase',
               '--include=' + ','.join(PACKAGES), '--dpkgopt=force-unsafe-io']
    for path in ('man', 'doc', 'locale', 'info'):
        command.append('--dpkgopt=path-exclude=/usr/share/%s/*' % path)
    command += ['--aptopt=' + option for option in _apt_options()]
    command += [SUITE, directory, *_sources()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError('mmdebstrap: ' + done.stderr[-4000:])


def _write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def _prepare(root):
    _write(root + '/etc/machine-id', '')  # each host gets one of its own
    for path in ('/var/lib/dbus/machine-id', '/etc/hostname'):
        if os.path.lexists(root + path):
            os.unlink(root + path)
    _write(root + '/etc/resolv.conf', '')
    for unit in MASKED:
        link = '%s/etc/systemd/system/%s' % (root, unit)
        if not os.path.lexists(link):
            os.symlink('/dev/null', link)
    for user in USERS:
        subprocess.run(['chroot', root, 'useradd', '--create-home', user], check=True)
    with open(root + '/etc/libvirt/qemu.conf', 'a') as f:
        f.write(QEMU_CONF)


def _recipe():
    with open(__file__, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()[:12]


def image():
    """The directory of the root file system; made first if need be (needs the network)."""
    directory = '%s/rootfs-%s' % (guest.CACHE, _recipe())
    os.makedirs(guest.CACHE, exist_ok=True)
    with open(guest.CACHE + '/rootfs.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(directory):
            for leftover in glob.glob('%s/%s*' % (guest.CACHE, _UNFINISHED)):
                shutil.rmtree(leftover)
            fresh = tempfile.mkdtemp(dir=guest.CACHE, prefix=_UNFINISHED)
            try:
                _bootstrap(fresh)
                _prepare(fresh)
                os.rename(fresh, directory)
            except BaseException:
                shutil.rmtree(fresh)
                raise
    return directory
