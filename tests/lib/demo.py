# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/demo does once the packages are there. Outside: builds, and starts itself again in
private namespaces. Inside: sets up the lab and walks through the main job, step by step."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

SERVICE = 'org.ovirt.DirectLun'
ROOT = '/org/ovirt/DirectLun'
MIB = 1 << 20


class DemoError(Exception):
    pass


# ---- what the reader sees ------------------------------------------------------------------------

class Teller:
    """Steps, commands, their output and what it means, in plain lines."""

    def __init__(self):
        colour = sys.stdout.isatty()
        self._bold, self._green, self._plain = ('\033[1m', '\033[32m', '\033[0m') if colour else (
            '', '', '')
        self._step = 0
        self._started = time.monotonic()

    def say(self, text=''):
        print(text, flush=True)

    def paragraph(self, text):
        self.say(textwrap.fill(text, 96))

    def step(self, title):
        self._step += 1
        self.say()
        self.say('%s%d. %s%s' % (self._bold, self._step, title, self._plain))

    def command(self, argv, shown=None):
        """As a person would type it, over several lines if it is long."""
        words = shown.split(' ') if shown else [shlex.quote(word) for word in argv]
        lines, line = [], '   $'
        for word in words:
            if len(line) + len(word) > 94 and line.strip() != '$':
                lines.append(line + ' \\')
                line = '       '
            line += ' ' + word
        self.say('\n'.join(lines + [line]))

    def output(self, text):
        for line in text.rstrip('\n').split('\n'):
            self.say('\n'.join(textwrap.wrap(line, 94, initial_indent='   ',
                                             subsequent_indent='      ',
                                             break_on_hyphens=False)))

    def proof(self, text):
        self.say('   %sOK%s: %s' % (self._green, self._plain, text))

    def elapsed(self):
        return time.monotonic() - self._started


# ---- inside the namespaces -----------------------------------------------------------------------

def object_path(kind, identifier):
    """The path of an object: bytes that a path cannot have are written _xx."""
    escaped = re.sub(r'[^A-Za-z0-9]|^[0-9]', lambda m: '_%02x' % ord(m.group()), identifier)
    return '%s/%s/%s' % (ROOT, kind, escaped)


class Demo:
    def __init__(self, teller):
        import lab
        self.lab = lab.Lab()
        self.teller = teller
        self.target_path = self.vdisk = self.vm_path = self.attachment = None

    # -- the tools

    def run(self, *argv, user=None, fails=False, shown=None):
        """Shows a command, runs it, shows what it says; its output."""
        self.teller.command(argv, shown)
        prefix = ['setpriv', '--reuid=' + user, '--regid=nogroup', '--clear-groups'] if user else []
        result = subprocess.run([*prefix, *argv], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        if result.stdout:
            self.teller.output(result.stdout)
        if bool(result.returncode) != fails:
            raise DemoError('that was to %s' % ('be refused' if fails else 'succeed'))
        return result.stdout

    def shell(self, line):
        return self.run('sh', '-c', line, shown=line)

    def call(self, path, interface, method, signature='', *arguments, **options):
        """One method call with busctl; the object paths in its reply."""
        words = [signature, *arguments] if signature else []
        reply = self.run('busctl', 'call', SERVICE, path, '%s.%s' % (SERVICE, interface), method,
                         *words, **options)
        return re.findall(r'"(/org/[^"]+)"', reply)

    def get(self, path, interface, *names):
        """Properties, as busctl prints them, one a line."""
        text = self.run('busctl', 'get-property', SERVICE, path, '%s.%s' % (SERVICE, interface),
                        *names)
        return text.strip().split('\n')

    def prove(self, condition, text):
        if not condition:
            raise DemoError('it is not so that ' + text)
        self.teller.proof(text)

    def guest_disk(self, timeout=30):
        """Waits for the one disk in the guest: name, size, serial."""
        disks = self.vm.guest.wait_disks(lambda found: len(found) == 1, timeout)
        (name, (size, serial)), = disks.items()
        return name, size, serial

    def in_guest(self, script):
        self.teller.say('   guest# ' + script)
        text = self.vm.guest.check(script)
        if text.strip():
            self.teller.output(text)
        return text

    # -- the scenery

    def set_up(self):
        self.lab.start()
        self.target = self.lab.add_target('storage', luns=1, size=64 * MIB)
        self.lun = self.target.luns[1]
        self.vm = self.lab.define_vm('demo')
        self.vm.start()
        self.teller.paragraph(
            'In this lab: a system bus, polkitd, an iSCSI target on 127.0.0.1:3260 with one LUN of '
            '64 MiB, libvirtd, and a running VM "demo" without any disk. The service is installed, '
            'but not running: the first call starts it.')

    # -- the steps

    def discover(self):
        self.teller.step('Which targets are there at the portal?')
        found = self.call(ROOT, 'Manager', 'DiscoverTargets', 'sqa{sv}', '127.0.0.1', '3260', '0')
        self.prove(len(found) == 1, 'the portal has one target, and it is an object now')
        self.target_path = found[0]
        self.get(self.target_path, 'Target', 'Iqn', 'Portals', 'State')

    def polkit(self):
        self.teller.step('An ordinary user may not connect to it: polkit says no')
        self.teller.say('   (as the user nobody)')
        self.call(self.target_path, 'Target', 'Connect', 'a{sv}', '0', user='nobody', fails=True)
        state, = self.get(self.target_path, 'Target', 'State')
        self.prove(state == 's "disconnected"', 'nothing happened')

    def connect(self):
        self.teller.step('Connect to it')
        self.call(self.target_path, 'Target', 'Connect', 'a{sv}', '0')
        state, managed, _ = self.get(self.target_path, 'Target', 'State', 'Managed', 'Luns')
        self.prove((state, managed) == ('s "connected"', 'b true'),
                   'the target is connected, for us')

    def device_list(self):
        self.teller.step('Which block devices are there?')
        self.call(ROOT, 'Manager', 'GetDeviceList', 'a{sv}', '0')
        path = object_path('luns', self.lun.guid)
        guid, status, capacity = self.get(path, 'Lun', 'Guid', 'Status', 'Capacity')
        self.prove((guid, status, capacity) ==
                   ('s "%s"' % self.lun.guid, 's "free"', 't %d' % self.lun.size),
                   'the LUN is there under its GUID, free, with its size')

    def make_vdisk(self):
        self.teller.step('Make it a vDisk')
        self.vdisk, = self.call(ROOT, 'Manager', 'CreateVDisk', 'sa{sv}', self.lun.guid, '1',
                                'alias', 's', 'demo data')
        identifier, _, _ = self.get(self.vdisk, 'VDisk', 'Id', 'Guid', 'Alias')
        self.vdisk_id = shlex.split(identifier)[1]

    def attach(self):
        self.teller.step('Attach it to the running VM')
        self.vm_path, = self.call(ROOT, 'Manager', 'GetVm', 's', 'demo')
        self.attachment, = self.call(self.vm_path, 'Vm', 'AttachDisk', 'a{sv}a{sv}', '2',
                                     'vdisk', 'o', self.vdisk, 'iface', 's', 'virtio', '0')
        plugged, _, _ = self.get(self.attachment, 'Attachment', 'Plugged', 'Iface', 'TargetDev')
        self.prove(plugged == 'b true', 'it is plugged')
        self.look_in_guest()

    def look_in_guest(self):
        name, size, serial = self.guest_disk()
        self.in_guest('cat /sys/block/%s/size /sys/block/%s/serial; echo' % (name, name))
        self.prove(size == self.lun.size, 'the guest sees a disk of %d × 512 bytes' % (size // 512))
        self.prove(serial and self.vdisk_id.replace('-', '').startswith(serial.replace('-', '')),
                   'its serial is the beginning of the vDisk\'s id')
        return name

    def data(self):
        self.teller.step('Data go both ways')
        name, _, _ = self.guest_disk()
        self.in_guest('echo "written in the guest" | dd of=/dev/%s bs=512 seek=8 conv=sync,fsync '
                      '2>/dev/null' % name)
        skip = "dd if=%s bs=512 skip=%%d count=1 status=none | tr -d '\\0'" % self.lun.path
        text = self.shell(skip % 8)
        self.prove('written in the guest' in text, 'it is in the file behind the LUN')
        self.shell('echo "written at the target" | dd of=%s bs=512 seek=16 conv=sync,notrunc '
                   'status=none' % self.lun.path)
        text = self.in_guest("dd if=/dev/%s bs=512 skip=16 count=1 2>/dev/null | tr -d '\\0'"
                             % name)
        self.prove('written at the target' in text, 'the guest reads it')

    def unplug(self):
        self.teller.step('Hot unplug')
        self.call(self.attachment, 'Attachment', 'HotUnplug', 'a{sv}', '0')
        self.vm.guest.wait_disks(lambda found: not found)
        self.in_guest('ls /sys/block')
        self.prove(True, 'the guest has lost the disk')
        plugged, = self.get(self.attachment, 'Attachment', 'Plugged')
        self.prove(plugged == 'b false', 'the attachment stays, unplugged')
        state, = self.get(self.target_path, 'Target', 'State')
        self.prove(state == 's "disconnected"', 'its last user is gone, so is the connection')

    def plug_again(self):
        self.teller.step('Plug it in again')
        self.call(self.attachment, 'Attachment', 'HotPlug', 'a{sv}', '0')
        name = self.look_in_guest()
        text = self.in_guest("dd if=/dev/%s bs=512 skip=8 count=1 2>/dev/null | tr -d '\\0'" % name)
        self.prove('written in the guest' in text, 'what was written is still there')

    def detach(self):
        self.teller.step('Detach it, and stop the VM')
        self.call(self.attachment, 'Attachment', 'Detach', 'a{sv}', '0')
        self.vm.guest.wait_disks(lambda found: not found)
        attachments, = self.get(self.vm_path, 'Vm', 'Attachments')
        self.prove(attachments == 'ao 0', 'the VM has no attachment any more')
        self.vm.guest.close()
        self.call(self.vm_path, 'Vm', 'Stop', 'a{sv}', '0')

    def attach_stopped(self):
        self.teller.step('Attach it to the stopped VM, by its GUID this time')
        self.attachment, = self.call(
            self.vm_path, 'Vm', 'AttachDisk', 'a{sv}a{sv}', '4', 'GUID', 's', self.lun.guid,
            'type', 's', 'disk', 'iface', 's', 'virtio', 'propagateErrors', 's', 'off', '0')
        required, = self.get(self.vm_path, 'Vm', 'RequiredTargets')
        self.prove(self.target_path in required, 'the VM requires the target now')

    def run_vm(self):
        self.teller.step('Run the VM: connects what it requires, then starts it')
        self.call(self.vm_path, 'Vm', 'Run', 'asa{sv}', '0', '0')
        state, managed, users = self.get(self.target_path, 'Target', 'State', 'Managed', 'Users')
        self.prove((state, managed) == ('s "connected"', 'b true'), 'the target is connected')
        self.prove(self.attachment in users, 'because the attachment uses it')
        self.vm.wait_booted()
        name = self.look_in_guest()
        text = self.in_guest("dd if=/dev/%s bs=512 skip=8 count=1 2>/dev/null | tr -d '\\0'" % name)
        self.prove('written in the guest' in text, 'the guest finds its data')

    def snapshot(self):
        self.teller.step('Take a snapshot, write on, and merge it')
        name, _, _ = self.guest_disk()
        uid = shlex.split(self.run('busctl', 'call', SERVICE, self.vdisk, SERVICE + '.VDisk',
                                   'Snapshot', 'a{sv}', '0'))[1]
        self.in_guest('echo "written after it" | dd of=/dev/%s bs=512 seek=24 conv=sync,fsync '
                      '2>/dev/null' % name)
        look = "dd if=%s bs=512 skip=24 count=1 status=none | tr -d '\\0'" % self.lun.path
        self.prove('written after it' not in self.shell(look), 'the LUN is what it was')
        self.call(self.vdisk, 'VDisk', 'Merge', 'sa{sv}', uid, '0')
        self.prove('written after it' in self.shell(look), 'now it has what was written since')

    def stop_vm(self):
        self.teller.step('Stop the VM: its connections are unmanaged')
        self.vm.guest.close()
        self.call(self.vm_path, 'Vm', 'Stop', 'a{sv}', '0')
        state, = self.get(self.vm_path, 'Vm', 'State')
        self.prove(state == 's "shutoff"', 'the VM is off')
        state, managed = self.get(self.target_path, 'Target', 'State', 'Managed')
        self.prove((state, managed) == ('s "disconnected"', 'b false'),
                   'the target is not connected any more')

    def run_without(self):
        self.teller.step('An optional disk: the VM runs without it while its target is away')
        self.call(self.attachment, 'Attachment', 'Detach', 'a{sv}', '0')
        self.attachment, = self.call(
            self.vm_path, 'Vm', 'AttachDisk', 'a{sv}a{sv}', '2', 'GUID', 's', self.lun.guid,
            'optional', 'b', 'true', '0')
        self.teller.say('   (the target goes away)')
        self.target.tgtd.remove_target(self.target.tid)
        self.run('directlunctl', 'run', 'demo')
        plugged, left_out, _ = self.get(self.attachment, 'Attachment', 'Plugged', 'LeftOut',
                                        'LastError')
        self.prove((plugged, left_out) == ('b false', 'b true'), 'the disk is left out')
        self.vm.wait_booted()
        self.prove(not self.vm.guest.disks(), 'the guest runs, and has no disk')

    def comes_back(self):
        self.teller.step('The target comes back: the disk is plugged by itself')
        self.target.come_back()
        name = self.look_in_guest()
        text = self.in_guest("dd if=/dev/%s bs=512 skip=8 count=1 2>/dev/null | tr -d '\\0'" % name)
        self.prove('written in the guest' in text, 'the guest has its data')
        self.run('directlunctl', 'list')
        self.vm.guest.close()
        self.call(self.vm_path, 'Vm', 'Stop', 'a{sv}', '0')

    def unmanage(self):
        self.teller.step('Put everything back')
        self.call(self.attachment, 'Attachment', 'Detach', 'a{sv}', '0')
        self.call(self.target_path, 'Target', 'Unmanage', 'a{sv}', '0')
        self.call(self.vdisk, 'VDisk', 'Delete', 'a{sv}', '0')
        self.call(self.target_path, 'Target', 'Forget', 'a{sv}', '0')
        tree = self.shell('busctl tree --list %s | grep -v /jobs/' % SERVICE)
        self.prove(not re.search('/(targets|luns|vdisks|attachments)/', tree),
                   'no target, no vDisk, no attachment is left')

    STEPS = (discover, polkit, connect, device_list, make_vdisk, attach, data, unplug, plug_again,
             detach, attach_stopped, run_vm, snapshot, stop_vm, run_without, comes_back, unmanage)

    def walk(self):
        """Whether every step went well."""
        import guest
        try:
            self.set_up()
            for step in self.STEPS:
                step(self)
            return True
        except (DemoError, guest.GuestError, AssertionError, ValueError,
                subprocess.TimeoutExpired) as error:
            self.teller.say('   FAILED: %s' % error)
            return False

    def show_log(self):
        path = self.lab.logs + '/directlund.log'
        if os.path.exists(path):
            with open(path, errors='replace') as f:
                self.teller.say('\nThe last lines of the service\'s log:')
                self.teller.say(''.join(f.readlines()[-40:]))

    def open_shell(self):
        self.teller.paragraph('\nThe lab is yours: busctl, virsh and tgtadm work in this shell. '
                              'The logs are in %s. All of it ends with "exit".' % self.lab.logs)
        environment = {**os.environ, 'PS1': 'directlun lab# '}
        subprocess.run(['bash', '--norc', '-i'], cwd='/run/lab', env=environment)


def inside_gui(path, url):
    import demo_gui
    import lab
    world = lab.Lab()
    try:
        demo_gui.show(world, Teller(), path, url)
    finally:
        world.stop()
    return 0


def inside(keep):
    os.environ['SYSTEMD_PAGER'] = ''
    teller = Teller()
    demo = Demo(teller)
    try:
        good = demo.walk()
        if not good:
            demo.show_log()
        teller.say('\n%s, %.0f s' % ('OK: every step did what it should' if good else 'FAILED',
                                     teller.elapsed()))
        if keep:
            demo.open_shell()
    finally:
        demo.lab.stop()
    return 0 if good else 1


# ---- outside -------------------------------------------------------------------------------------

def build(work, gui):
    """A build for use, not for tests: its directory."""
    directory = work + '/build'
    page = '-Dcockpit=' + ('enabled' if gui else 'disabled')
    with open(work + '/build.log', 'w+') as log:
        for command in (['meson', 'setup', directory, TOP, '-Dtests=false', '-Dman=false', page],
                        ['ninja', '-C', directory]):
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=subprocess.STDOUT, timeout=900).returncode:
                log.seek(0)
                print(log.read()[-8000:])
                raise SystemExit('FAILED: it does not build')
    return directory


def outside(work, arguments):
    import door
    import namespace
    import runner
    given = os.environ.get('DL_BUILD')
    if not given:
        print('building', flush=True)
    environment = runner.lab_environment(given or build(work, arguments.gui), work)
    environment['DL_LAB_LOGS'] = work + '/logs/demo'
    os.makedirs(environment['DL_LAB_LOGS'])
    words = ['--keep'] if arguments.keep else []
    if arguments.gui:
        path = work + '/page'
        words = ['--gui', path, 'http://%s:%d' % (door.LOOPBACK, door.Door(path).port)]
    command = namespace.command('/usr/bin/python3', '-B', os.path.abspath(__file__), '--inside',
                                *words)
    return subprocess.run(command, env=environment, preexec_fn=namespace.die_with_parent).returncode


def main():
    if sys.argv[1] == '--inside':
        if sys.argv[2:3] == ['--gui']:
            return inside_gui(*sys.argv[3:])
        return inside('--keep' in sys.argv)
    parser = argparse.ArgumentParser(prog='tests/demo')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--keep', action='store_true',
                      help='afterwards, a shell in the lab, to go on by hand')
    what.add_argument('--gui', action='store_true',
                      help='nothing of that, but the page in Cockpit, for your own browser')
    return outside(sys.argv[1], parser.parse_args(sys.argv[2:]))


if __name__ == '__main__':
    sys.exit(main())
