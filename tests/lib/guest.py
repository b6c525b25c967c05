# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest for the lab: one of Debian's kernels, and a busybox initramfs with a shell on its serial
line.

image() makes the kernel and the initramfs once and keeps them (see debian.py). Guest talks to a
running one.
"""

import base64
import os
import re
import socket
import subprocess
import time

import debian

CLOUD = 'cloud-amd64'  # starts fastest
FULL = 'amd64'         # has AHCI
MODULES = {CLOUD: ('virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'ata_piix'),
           FULL: ('virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'ahci')}
MEMORY = {CLOUD: 160, FULL: 256}  # MiB
# A kernel tests its ciphers at each boot; where instructions are emulated that takes a tenth of it.
COMMAND_LINE = 'console=ttyS0 quiet panic=-1 cryptomgr.notests=1'
AGENT_MODULES = ('virtio_console',)
AGENT = '/usr/sbin/qemu-ga'

# One line in is "ID BASE64-OF-A-SCRIPT"; the answer is "@ID STATUS BASE64-OF-ITS-OUTPUT@".
INIT = r'''#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
echo 1 >/proc/sys/kernel/printk
for m in /modules/*; do insmod $m; done
[ ! -x /agent ] || /agent
stty -F /dev/ttyS0 raw -echo
exec </dev/ttyS0 >/dev/ttyS0 2>&1
while :; do
        while read -r id script; do
                echo "$script" | base64 -d >/script
                sh /script </dev/null >/output 2>&1
                echo "@$id $? $(base64 /output | tr -d '\n')@"
        done
        sleep 1
done
'''

# Of a guest with an agent. /hook, if it is there, is called with "freeze" and "thaw".
START_AGENT = r'''#!/bin/busybox sh
printf '#!/bin/sh\n[ ! -e /hook ] || exec sh /hook "$1"\n' >/fsfreeze-hook
chmod +x /fsfreeze-hook
n=0
while ! port=$(ls /dev/vport*) && [ $n -lt 100 ]; do n=$((n + 1)); usleep 50000; done 2>/dev/null
qemu-ga -d -m virtio-serial -p $port -F/fsfreeze-hook -f /tmp/agent.pid -t /tmp -l /tmp/agent.log
'''


def _build(directory, flavour):
    """Puts vmlinuz, initrd.gz and initrd-agent.gz into a directory."""
    tree, version = debian.kernel(flavour)
    for initrd, modules, agent in (('initrd.gz', (), {}),
                                   ('initrd-agent.gz', AGENT_MODULES,
                                    {'scripts': {'agent': START_AGENT}, 'programs': (AGENT,)})):
        debian.make_initrd('%s/%s' % (directory, initrd), INIT,
                           debian.module_order(tree, version, MODULES[flavour] + modules),
                           ('dev', 'proc', 'sys', 'tmp'), **agent)
    debian.copy_kernel(tree, version, directory + '/vmlinuz')


def image(flavour=CLOUD):
    """The directory with vmlinuz, initrd.gz and initrd-agent.gz, for a guest with QEMU's agent;
    made first if need be (needs the network)."""
    recipe = debian.recipe(debian.KERNEL_FORM, INIT, MODULES[flavour], START_AGENT, AGENT_MODULES)
    return debian.kept('guest-' + flavour, recipe, lambda directory: _build(directory, flavour))


def domain_xml(name, uuid, images, console, devices='', memory=MEMORY[CLOUD], machine='q35',
               agent=False, kind='qemu'):
    """A guest (kind: of TCG, or 'kvm') with room for hot plug: PCIe root ports and a virtio-scsi
    controller."""
    initrd = 'initrd-agent.gz' if agent else 'initrd.gz'
    channel = ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>"
               "</channel>") if agent else ''
    pcie = "<controller type='pci' model='pcie-root'/>" + \
        "<controller type='pci' model='pcie-root-port'/>" * 10
    ports = pcie if machine == 'q35' else ''
    return f'''<domain type='{kind}'>
  <name>{name}</name><uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{images}/vmlinuz</kernel><initrd>{images}/{initrd}</initrd>
    <cmdline>{COMMAND_LINE}</cmdline></os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    {ports}
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <serial type='unix'><source mode='bind' path='{console}'/><target port='0'/></serial>
    {channel}{devices}
  </devices>
</domain>'''


def compile_sg(path):
    """The program that sends a guest's disk any SCSI command (see sg.c)."""
    subprocess.run(['cc', '-std=gnu17', '-Os', '-static', '-nostdlib', '-nostartfiles',
                    '-ffreestanding', '-fno-stack-protector', '-fno-pie', '-no-pie', '-s',
                    '-o', path, os.path.dirname(os.path.abspath(__file__)) + '/sg.c'], check=True)


class GuestError(AssertionError):
    pass


class Guest:
    """The shell of a running guest, at the other end of its serial line's socket."""

    def __init__(self, console):
        self.console = console
        self._socket = None
        self._buffer = b''
        self._serial = 0

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = None
        self._buffer = b''

    def _connect(self, deadline):
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.settimeout(1)
                self._socket.connect(self.console)
                return
            except OSError:
                self._socket.close()
                self._socket = None
                if time.monotonic() > deadline:
                    raise GuestError('nobody listens at ' + self.console)
                time.sleep(0.05)

    def _answer(self, serial, until):
        pattern = re.compile(rb'@%d (\d+) ([A-Za-z0-9+/=]*)@' % serial)
        while True:
            found = pattern.search(self._buffer)
            if found:
                self._buffer = self._buffer[found.end():]
                return int(found.group(1)), base64.b64decode(found.group(2))
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                chunk = self._socket.recv(65536)
            except TimeoutError:
                continue
            if not chunk:
                raise GuestError('the guest is gone')
            self._buffer += chunk

    def sh(self, script, timeout=30.0):
        """Runs a shell script in the guest: its exit status and output (bytes)."""
        deadline = time.monotonic() + timeout
        if self._socket is None:
            self._connect(deadline)
        self._serial += 1
        line = b'%d %s\n' % (self._serial, base64.b64encode(script.encode()))
        self._socket.sendall(line)
        answer = self._answer(self._serial, deadline)
        if answer is None:
            raise GuestError('the guest does not answer: %s' % script)
        return answer

    def check(self, script, timeout=30.0):
        """The output, as text; fails if the script does."""
        status, output = self.sh(script, timeout)
        text = output.decode(errors='replace')
        if status:
            raise GuestError('in the guest, %s: exit status %d: %s' % (script, status, text))
        return text

    def wait_booted(self, timeout=60.0):
        """Until its shell answers. A line that is sent before the shell is there is lost."""
        deadline = time.monotonic() + timeout
        self.close()
        self._connect(deadline)
        while time.monotonic() < deadline:
            self._serial += 1
            self._socket.settimeout(max(1, deadline - time.monotonic()))
            self._socket.sendall(b'\n%d %s\n' % (self._serial, base64.b64encode(b'exit 7')))
            answer = self._answer(self._serial, min(deadline, time.monotonic() + 0.5))
            # A busy machine may answer the last question only when the next was asked.
            if answer and answer[0] == 7 or re.search(rb'@\d+ 7 @', self._buffer):
                return self
        raise GuestError('the guest did not boot within %.0f s; it said: %r'
                         % (timeout, self._buffer[-500:]))

    def disks(self):
        """The guest's disks: name → (bytes, serial or '')."""
        text = self.check(
            'for d in /sys/block/[vsh]d*; do [ -e "$d" ] || continue; '
            'echo "${d##*/} $(cat $d/size) $(cat $d/serial 2>/dev/null || '
            'tail -c +5 $d/device/vpd_pg80 2>/dev/null)"; done')
        found = {}
        for line in text.splitlines():
            name, size, *serial = line.split()
            found[name] = (int(size) * 512, serial[0] if serial else '')
        return found

    def wait_disks(self, accept, timeout=20.0):
        """Waits until accept(disks()) is true; the disks."""
        deadline = time.monotonic() + timeout
        while True:
            disks = self.disks()
            if accept(disks):
                return disks
            if time.monotonic() > deadline:
                raise GuestError('the guest still sees %r' % disks)
            time.sleep(0.1)

    def write(self, disk, offset, data):
        """Writes data at an offset (both multiples of 512) of /dev/DISK, past all caches."""
        encoded = base64.b64encode(data).decode()
        self.check('echo %s | base64 -d >/tmp/data && dd if=/tmp/data of=/dev/%s bs=512 seek=%d '
                   'conv=fsync,notrunc' % (encoded, disk, offset // 512))

    def install(self, path, program):
        """Puts a program into the guest, in lines that its terminal takes."""
        text = base64.b64encode(program).decode()
        self.check('rm -f %s.b64' % path)
        for at in range(0, len(text), 2000):
            self.check('printf %%s %s >>%s.b64' % (text[at:at + 2000], path))
        self.check('base64 -d %s.b64 >%s && chmod +x %s' % (path, path, path))

    def sg(self, disk, *words):
        """(status, data) of a SCSI command that the guest, which has /sg, sends to a disk."""
        text = self.check('/sg /dev/%s %s' % (disk, ' '.join(words)))
        status, data = re.fullmatch(r'status (\w\w) (\w*)\n', text).groups()
        return int(status, 16), data

    def read(self, disk, offset, length):
        return self.check_bytes('echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/%s bs=512 skip=%d '
                                'count=%d 2>/dev/null' % (disk, offset // 512, length // 512))

    def check_bytes(self, script, timeout=30.0):
        status, output = self.sh(script, timeout)
        if status:
            raise GuestError('in the guest, %s: exit status %d' % (script, status))
        return output
