# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian for test machines: root file systems and kernels from the package sources that this
machine itself uses, and the folder where what was made of them is kept.

Nothing of it is installed here: packages are unpacked into directories of their own.
"""

import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile

CACHE = '/var/cache/directlun-tests'
SUITE = 'bookworm'

UNFINISHED = 'unfinished.'
KERNEL_FORM = 'elf, of xz and lz4'  # of copy_kernel()
_NO_MODULES = '''
drivers/bluetooth drivers/gpu drivers/hid drivers/iio drivers/infiniband drivers/input drivers/media
drivers/net/ethernet drivers/net/wireless drivers/staging drivers/usb
fs/btrfs fs/ceph fs/f2fs fs/gfs2 fs/nfs fs/nfsd fs/ocfs2 fs/smb fs/xfs
net/bluetooth net/mac80211 net/wireless sound
'''.split()


# ---- what is kept

def recipe(*parts):
    """A short name for what something is made of: texts, lists of texts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def source_of(*paths):
    """The contents of files, as a part of a recipe."""
    texts = []
    for path in paths:
        with open(path) as f:
            texts.append(f.read())
    return texts


def kept(name, ingredients, build):
    """The directory CACHE/NAME-INGREDIENTS; if there is none, build(directory) fills it first (that
    takes the network)."""
    directory = '%s/%s-%s' % (CACHE, name, ingredients)
    if os.path.exists(directory):
        return directory
    os.makedirs(CACHE, exist_ok=True)
    with open('%s/%s.lock' % (CACHE, name), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(directory):
            for old in glob.glob('%s/%s%s.*' % (CACHE, UNFINISHED, name)):
                shutil.rmtree(old)
            fresh = tempfile.mkdtemp(dir=CACHE, prefix='%s%s.' % (UNFINISHED, name))
            try:
                build(fresh)
                os.chmod(fresh, 0o755)
                os.rename(fresh, directory)
            except BaseException:
                shutil.rmtree(fresh)
                raise
    return directory


# ---- root file systems

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
    options = [line for line in text.splitlines()
               if line.lower().startswith(('acquire::http', 'acquire::https', 'acquire::check-'))
               and not line.endswith('"";')]
    # A frozen mirror is as good as any.
    return options + ['Acquire::Check-Valid-Until "false";', 'Acquire::Languages "none";',
                      'APT::Install-Recommends "false";']


def bootstrap(directory, packages):
    """A minimal Debian with these packages and what they need, without documentation."""
    command = ['mmdebstrap', '--quiet', '--mode=root', '--variant=minbase',
               '--include=' + ','.join(packages), '--dpkgopt=force-unsafe-io']
    for path in ('man', 'doc', 'locale', 'info'):
        command.append('--dpkgopt=path-exclude=/usr/share/%s/*' % path)
    command += ['--aptopt=' + option for option in _apt_options()]
    command += [SUITE, directory, *_sources()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError('mmdebstrap: ' + done.stderr[-4000:])


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)


def settle_identity(root):
    """What makes two machines of one root file system differ is left to their first boot."""
    write(root + '/etc/machine-id', '')
    for path in ('/var/lib/dbus/machine-id', '/etc/hostname'):
        if os.path.lexists(root + path):
            os.unlink(root + path)
    write(root + '/etc/resolv.conf', '')


def mask(root, units):
    for unit in units:
        link = '%s/etc/systemd/system/%s' % (root, unit)
        if not os.path.lexists(link):
            os.symlink('/dev/null', link)


# ---- kernels

def _kernel_package(flavour):
    text = subprocess.run(['apt-cache', 'depends', '--important', 'linux-image-' + flavour],
                          check=True, capture_output=True, text=True).stdout
    return re.search(r'Depends: (linux-image-\S+-%s)\b' % flavour, text).group(1)


def _unpack_kernel(package, tree):
    with tempfile.TemporaryDirectory(prefix='directlun-kernel.') as work:
        subprocess.run(['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', package],
                       check=True, cwd=work, stdout=subprocess.DEVNULL)
        deb, = glob.glob(work + '/*.deb')
        with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb], stdout=subprocess.PIPE) as tar:
            subprocess.run(['tar', '-x', '-C', tree, './boot', './lib',
                            *('--exclude=./lib/modules/*/kernel/' + path for path in _NO_MODULES)],
                           stdin=tar.stdout, check=True)
    version, = os.listdir(tree + '/lib/modules')
    subprocess.run(['depmod', '-b', tree, version], check=True)


def kernel(flavour):
    """The newest kernel of a flavour ('amd64', 'cloud-amd64'), unpacked, without what no virtual
    machine has: (directory tree, version)."""
    package = _kernel_package(flavour)
    tree = kept('kernel-' + flavour, recipe(package, _NO_MODULES),
                lambda directory: _unpack_kernel(package, directory))
    version, = os.listdir(tree + '/lib/modules')
    return tree, version


def _unpack_lz4(data):
    return subprocess.run(['lz4', '-dc'], input=data, stdout=subprocess.PIPE, check=True,
                          stderr=subprocess.DEVNULL).stdout


_UNPACK = {b'\xfd7zXZ\0': lzma.decompress, b'\x02\x21\x4c\x18': _unpack_lz4}


def copy_kernel(tree, version, path):
    """A kernel as emulators start it fastest: what would unpack itself takes long for that where
    instructions are emulated (seconds, with xz), so it is the ELF image in it. See the boot protocol
    of Linux, Documentation/arch/x86/boot.rst."""
    kernel = _contents('%s/boot/vmlinuz-%s' % (tree, version))
    begin = (kernel[0x1f1] + 1) * 512
    offset, length = struct.unpack_from('<II', kernel, 0x248)
    payload = kernel[begin + offset:begin + offset + length - 4]  # after it comes its size
    unpack = [f for magic, f in _UNPACK.items() if payload.startswith(magic)]
    with open(path, 'wb') as f:
        f.write(unpack[0](payload) if unpack else kernel)


def module_order(tree, version, modules):
    """The files of modules and of what they need, what is needed first. A module that is built into
    the kernel has none."""
    base = '%s/lib/modules/%s' % (tree, version)
    needs = {}
    with open(base + '/modules.dep') as f:
        for line in f:
            name, _, dependencies = line.strip().partition(':')
            needs[name] = dependencies.split()
    order = []
    for module in modules:
        for name in needs:
            if os.path.basename(name) == module + '.ko':
                order += [*reversed(needs[name]), name]
    return [base + '/' + path for path in dict.fromkeys(order)]


def _contents(path):
    with open(path, 'rb') as f:
        return f.read()


def make_initrd(path, init, modules, directories=(), scripts=(), programs=()):
    """An initramfs of busybox, a script /init, and modules (files) in /modules, to be loaded in the
    order of their names. scripts: name → text; programs: of this machine, to be in /bin."""
    files = {'bin/busybox': (_contents('/bin/busybox'), 0o755)}
    for name, text in {'init': init, **dict(scripts)}.items():
        files[name] = text.encode(), 0o755
    for n, module in enumerate(modules):
        files['modules/%02d-%s' % (n, os.path.basename(module))] = _contents(module), 0o644
    for program in programs:
        files['bin/' + os.path.basename(program)] = _contents(program), 0o755
        needed = subprocess.run(['ldd', program], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r'(/\S+) \(0x', needed):
            files[library[1:]] = _contents(library), 0o755
    with tempfile.TemporaryDirectory(prefix='directlun-initrd.') as root:
        for name in directories:
            os.makedirs('%s/%s' % (root, name))
        for name, (contents, mode) in files.items():
            target = '%s/%s' % (root, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, 'wb') as f:
                f.write(contents)
            os.chmod(target, mode)
        subprocess.run(['sh', '-ec', 'find . | cpio -o -H newc --quiet | gzip -1 >"$1"', 'sh',
                        path], check=True, cwd=root)
