# SPDX-License-Identifier: LGPL-2.1-or-later
"""The measurements, inside their namespaces: each is a function that prints its rows."""

import contextlib
import ctypes
import json
import os
import pwd
import re
import signal
import statistics
import subprocess
import time

from gi.repository import Gio, GLib

import client
import lab
import tgt

BUILD = os.environ['DL_BUILD']
ONE_WAY_USEC = 500
CLONE_NEWNET = 0x40000000
ROUNDS = {True: 5, False: 15}
TOOL_DEADLINE = 60
SETTINGS = {'Daemon': {'LogLevel': 'warning', 'JobLingerSec': '1'},
            'iSCSI': {'CheckIntervalSec': '3600'}}


def row(*cells):
    print('row: ' + json.dumps(cells), flush=True)


def say(text):
    print(text, flush=True)


def milliseconds(value):
    return '%.0f ms' % value if value >= 100 else '%.1f ms' % value if value >= 10 else \
        '%.2f ms' % value


def tool(name, *arguments, **options):
    """Runs one of the compiled tools: its output, and how many milliseconds it took from its start
    to its end, as who runs it sees it."""
    return timed(BUILD + '/' + name, *arguments, **options)


def timed(*argv, stdin=None):
    start = time.monotonic()
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            input=stdin, timeout=TOOL_DEADLINE, close_fds=False)
    elapsed = (time.monotonic() - start) * 1e3
    if result.returncode:
        raise AssertionError('%s: %s%s' % (' '.join(argv), result.stdout, result.stderr))
    return result.stdout, elapsed


def alternate(rounds, **measured):
    """Runs each of the functions in turn, that many times: name → its values, in order."""
    values = {name: [] for name in measured}
    for n in range(rounds + 1):
        for name, function in measured.items():
            value = function()
            if n > 0:  # the first is for caches
                values[name].append(value)
    return values


def medians(values):
    return {name: statistics.median(v) for name, v in values.items()}


def spread(values):
    return '%s … %s' % (milliseconds(min(values)), milliseconds(max(values)))


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def make_lab(services, settings=None):
    """A lab whose state directory is on the machine's disk, not in memory."""
    state = os.environ['DL_BENCH_STATE']
    merged = {**SETTINGS, **(settings or {})}
    world = lab.Lab(services, merged)
    os.makedirs(state, mode=0o700)
    account = pwd.getpwnam(lab.USER)
    os.chown(state, account.pw_uid, account.pw_gid)
    world.run('mount', '--bind', state, '/var/lib/directlun')
    return world.start()


@contextlib.contextmanager
def profiled(pid):
    """Records what the process does meanwhile, if that was asked for."""
    path = os.environ.get('DL_BENCH_PROFILE')
    if not path:
        yield
        return
    perf = subprocess.Popen(['perf', 'record', '-q', '-g', '-F', '2999', '-o', path, '-p', str(pid)])
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait()


# ---- the network with a delay --------------------------------------------------------------------

class FarNetwork:
    """A network namespace whose 10.9.0.N are reached from here through relays with a delay."""

    def __init__(self):
        self._holder = subprocess.Popen(['unshare', '--net', 'sh', '-c',
                                         'ip link set lo up; echo; exec sleep infinity'],
                                        stdout=subprocess.PIPE)
        self._holder.stdout.readline()
        self.path = '/proc/%d/ns/net' % self._holder.pid
        self.relays = []
        self._near = os.open('/proc/self/ns/net', os.O_RDONLY)

    def enter(self):
        self._set(os.open(self.path, os.O_RDONLY))

    def leave(self):
        self._set(self._near)

    @staticmethod
    def _set(fd):
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'setns')

    def start_tgtd(self, address):
        """A tgtd over there."""
        self.enter()
        try:
            subprocess.run(['ip', 'addr', 'add', address + '/32', 'dev', 'lo'], check=True)
            return tgt.Tgtd(address, 3260, '%s/tgt-%s' % (lab.WORK, address)).start()
        finally:
            self.leave()

    def relay(self, address, one_way_usec):
        """Makes an address over there reachable; its process."""
        subprocess.run(['ip', 'addr', 'add', address + '/32', 'dev', 'lo'], check=True)
        return self.relay_again(address, one_way_usec)

    def relay_again(self, address, one_way_usec):
        process = subprocess.Popen([BUILD + '/relay', address, '3260', str(one_way_usec),
                                    self.path], stdout=subprocess.PIPE)
        if process.stdout.readline() != b'ready\n':
            raise AssertionError('the relay does not start')
        self.relays.append(process)
        return process

    def stop(self):
        for process in (*self.relays, self._holder):
            process.kill()
            process.wait()


def add_targets(tgtd, n_targets, n_luns, directory):
    """Sparse little disks: what is asked of them does not depend on their size."""
    os.makedirs(directory)
    for t in range(n_targets):
        tid = tgtd.add_target('%sbench-%d' % (lab.IQN_PREFIX, t))
        for number in range(1, n_luns + 1):
            tgtd.add_lun(tid, number, '%s/%d-%d' % (directory, t, number), 1 << 20,
                         scsi_id='naa.6001405%09x%08x%08x' % (0xbe0c, t, number),
                         serial='B%d-%d' % (t, number), vendor='BENCH', product='DISK')
        tgtd.bind(tid)


# ---- the device list -----------------------------------------------------------------------------

def inventory(address):
    targets, luns, commands = map(int, tool('bare-inventory', address + ':3260', '32')[0].split())
    return {'targets': targets, 'luns': luns, 'commands': commands}


def iscsi_ls(address):
    """Its time. It has no deadline of its own, and was seen to wait for ever."""
    for _ in range(3):
        try:
            return timed('iscsi-ls', '-s', 'iscsi://' + address)[1]
        except subprocess.TimeoutExpired:
            say('iscsi-ls hangs; once more')
    raise AssertionError('iscsi-ls hangs')


def device_list(address, n_luns):
    """The service's time for it, from nothing; it forgets it again."""
    output, elapsed = tool('client', 'list', address, '3260')
    found = json.loads(output)
    if found['luns'] != n_luns:
        raise AssertionError('%d LUNs instead of %d' % (found['luns'], n_luns))
    tool('client', 'forget')
    return {**found, 'elapsed': elapsed}


def measure_list(quick, n_targets, n_luns, goal):
    world = make_lab(('bus',))
    far = FarNetwork()
    address = '10.9.0.1'
    tgtd = far.start_tgtd(address)
    try:
        add_targets(tgtd, n_targets, n_luns, lab.WORK + '/luns')
        relay = far.relay(address, ONE_WAY_USEC)
        world.start_daemon()
        report_list(quick, world, tgtd, relay, address, n_targets, n_luns, goal)
        relay.kill()
        relay.wait()
        report_ceiling(far, address)
    finally:
        tgtd.stop()
        far.stop()
        world.stop()


def report_list(quick, world, tgtd, relay, address, n_targets, n_luns, goal):
    phases = []
    processes = {'service': world.owner_pid(), 'bus': world.processes['bus'].pid,
                 'tgtd': tgtd.pid, 'relay': relay.pid}
    used = dict.fromkeys(processes, 0)

    def ours():
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        phases.append(device_list(address, n_targets * n_luns))
        for name, pid in processes.items():
            used[name] += cpu_seconds(pid) - before[name]
        return phases[-1]['elapsed']

    with profiled(processes['service']):
        values = alternate(ROUNDS[quick],
                           bare=lambda: tool('bare-inventory', address + ':3260', '32')[1],
                           ours=ours)
    values.update(alternate(2 if quick else 5,
                            peer=lambda: iscsi_ls(address),
                            again=ours))
    values['ours'] += values.pop('again')
    median = medians(values)
    what = 'device list, %d × %d LUNs, 1 ms round trip' % (n_targets, n_luns)
    row(what, '`iscsi-ls -s`: ' + milliseconds(median['peer']), milliseconds(median['ours']),
        '%.0f× faster' % (median['peer'] / median['ours']), '≥ %d×' % goal)
    row('', 'bare libiscsi program, %s: %s' % (
        '%d commands' % inventory(address)['commands'], milliseconds(median['bare'])),
        milliseconds(median['ours']), '%.2f' % (median['ours'] / median['bare']), '≤ 1.2')
    say('spread: service %s, bare program %s, iscsi-ls %s' % (
        spread(values['ours']), spread(values['bare']), spread(values['peer'])))
    say('of it: discovery %s, Connect %s, GetDeviceList %s' % tuple(
        milliseconds(statistics.median(p[k] for p in phases)) for k in ('discover', 'connect',
                                                                        'list')))
    say('processor time, with forgetting it again: ' + ', '.join(
        '%s %s' % (name, milliseconds(seconds / len(phases) * 1e3))
        for name, seconds in used.items()))


def report_ceiling(far, address):
    """What passes through a relay without a delay: it must not be what is measured."""
    far.relay_again(address, 0)
    commands = inventory(address)['commands']
    elapsed = statistics.median(tool('bare-inventory', address + ':3260', '32')[1]
                                for _ in range(5))
    say('the relay without its delay: %s, %.0f commands/s' % (milliseconds(elapsed),
                                                            commands / elapsed * 1e3))


# ---- hot plug ------------------------------------------------------------------------------------

MANAGER = lab.BUS_NAME + '.Manager'


def plug_phases(attachment):
    """A HotPlug: milliseconds of all of it, and of what comes before its first side effect."""
    found = json.loads(tool('client', 'method', attachment, lab.BUS_NAME + '.Attachment',
                            'HotPlug')[0])
    preflight = next(at for phase, at in found['phases'] if phase == 'plugging')
    return {'all': found['ms'], 'preflight': preflight, 'phases': found['phases']}


def bare_plug(vm, what, xml, where):
    return float(tool('bare-plug', vm.name, what, where, stdin=xml)[0])


def measure_hot_plug(quick):
    world = make_lab(('bus', 'polkit', 'tgt', 'libvirt'))
    try:
        target = world.add_target('plug', luns=1)
        vm = world.define_vm('bench').start()
        tool('client', 'list', target.address, str(target.port))
        for iface in ('scsi', 'virtio'):
            report_hot_plug(quick, world, vm, target.luns[1], iface)
    finally:
        world.stop()


def report_hot_plug(quick, world, vm, lun, iface):
    call = world.client.call
    path, = call(lab.ROOT, 'Manager', 'GetVm', '(s)', vm.name)
    attachment, = call(path, 'Vm', 'AttachDisk', '(a{sv}a{sv})', {'GUID': lun.guid, 'iface': iface},
                       {})
    xml = re.search(r'<disk .*?</disk>', vm.xml('--inactive'), re.S).group()
    daemon = world.owner_pid()
    ours, plugged = [], []

    def with_service():
        ours.append(plug_phases(attachment))
        call(attachment, 'Attachment', 'HotUnplug', '(a{sv})', {})
        return ours[-1]['all'] - ours[-1]['preflight']

    def with_libvirt(where):
        os.kill(daemon, signal.SIGSTOP)  # it would look at what happens
        try:
            elapsed = bare_plug(vm, 'attach', xml, where)
            bare_plug(vm, 'detach', xml, where)
            return elapsed
        finally:
            os.kill(daemon, signal.SIGCONT)

    call(attachment, 'Attachment', 'HotUnplug', '(a{sv})', {})
    values = alternate(ROUNDS[quick], ours=with_service, both=lambda: with_libvirt('both'),
                       live=lambda: with_libvirt('live'))
    call(attachment, 'Attachment', 'Detach', '(a{sv})', {})
    median = medians(values)
    row('hot plug, %s, live and in the configuration' % iface,
        'bare `virDomainAttachDeviceFlags()`: ' + milliseconds(median['both']),
        milliseconds(median['ours']), '%.2f' % (median['ours'] / median['both']), '≤ 1.25')
    row('', 'the preflight, not counted above: the call, polkit, the VM and the LUN looked at',
        milliseconds(statistics.median(r['preflight'] for r in ours)), '', '')
    say('%s: service %s, bare %s, bare and live only %s (%s)' % (
        iface, spread(values['ours']), spread(values['both']), milliseconds(median['live']),
        spread(values['live'])))
    say('phases of one: ' + ', '.join('%s at %.1f' % (name or 'end', at)
                                      for name, at in ours[-1]['phases']))


# ---- from nothing --------------------------------------------------------------------------------

def measure_activation(quick):
    world = make_lab(('bus', 'polkit', 'libvirt'))
    try:
        say('libvirt is up')
        with_libvirt = first_answers(quick, world)
        world.kill('libvirtd')
        without = first_answers(quick, world)
    finally:
        world.stop()
    for name, values in (('with libvirt', with_libvirt), ('without libvirt', without)):
        row('activation to the first answer, ' + name,
            'a bare process, `directlund --version`: ' + milliseconds(
                statistics.median(values['bare'])),
            milliseconds(statistics.median(values['ours'])), '', '')


def first_answers(quick, world):
    def ours():
        world.stop_daemon()
        return json.loads(tool('client', 'first')[0])['ms']

    return alternate(ROUNDS[quick], ours=ours,
                     bare=lambda: timed(world.binary(), '--version')[1])


# ---- very many LUNs ------------------------------------------------------------------------------

def resident(pid):
    """Of a process, in MB: all of its resident memory, and what only it uses."""
    with open('/proc/%d/smaps_rollup' % pid) as f:
        found = dict(re.findall(r'^(\w+): +(\d+) kB', f.read(), re.M))
    return int(found['Rss']) / 1024, (int(found['Private_Clean']) +
                                      int(found['Private_Dirty'])) / 1024


def megabytes(values):
    return '%.1f MB (%.1f MB private)' % values


def add_null_targets(tgtd, n_targets, n_luns):
    """LUNs without anything behind them, and without a thread each in tgtd."""
    for t in range(n_targets):
        tid = tgtd.add_target('%snull-%d' % (lab.IQN_PREFIX, t))
        for number in range(1, n_luns + 1):
            tgtd.request('lun', 'new', tid, number, 'path=/dev/null,bstype=null')
            tgtd.request('lun', 'update', tid, number,
                         'scsi_id=naa.6001405%09x%08x%08x,scsi_sn=N%d-%d' % (0xbe0c, t, number, t,
                                                                             number))
        tgtd.bind(tid)


def reply_size(world, interface, method, *arguments):
    """Bytes of the reply's message."""
    connection = Gio.DBusConnection.new_for_address_sync(
        client.SYSTEM_BUS, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
        Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
    message = Gio.DBusMessage.new_method_call(lab.BUS_NAME, lab.ROOT, interface, method)
    if arguments:
        message.set_body(GLib.Variant(*arguments))
    reply, _ = connection.send_message_with_reply_sync(message, Gio.DBusSendMessageFlags.NONE,
                                                       120000, None)
    size = len(reply.to_blob(Gio.DBusCapabilityFlags.NONE))
    connection.close_sync(None)
    return size


def measure_scale(quick):
    n_targets, n_luns = (8, 250) if quick else (40, 250)
    world = make_lab(('bus', 'polkit', 'tgt'))
    try:
        tgtd = world.tgtds['tgt']
        add_null_targets(tgtd, n_targets, n_luns)
        tool('client', 'first')
        pid = world.owner_pid()
        row('memory of the service, no object', 'polkitd: ' + megabytes(
            resident(world.owner_pid('org.freedesktop.PolicyKit1'))), megabytes(resident(pid)), '', '')
        report_scale(quick, world, tgtd, pid, n_targets, n_luns)
    finally:
        world.stop()


def report_scale(quick, world, tgtd, pid, n_targets, n_luns):
    what = '{:,} LUNs'.format(n_targets * n_luns)
    with profiled(pid):
        bare = tool('bare-inventory', tgtd.address + ':3260', '32')[1]
        output = tool('client', 'list', tgtd.address, '3260')[0]
        found = json.loads(output)
        if found['luns'] != n_targets * n_luns:
            raise AssertionError('%d LUNs' % found['luns'])
        row('device list from nothing, %s of %d targets, loopback' % (what, n_targets),
            'bare libiscsi program: ' + milliseconds(bare), milliseconds(found['total']),
            '%.2f' % (found['total'] / bare), '')
        row('memory of the service, ' + what, '', megabytes(resident(pid)), '', '')
        report_replies(quick, world, what)
        start = time.monotonic()
        restart_with_rows(world, what)
        say('stopping and starting again took %.1f s' % (time.monotonic() - start))


def report_replies(quick, world, what):
    values = alternate(3 if quick else 7,
                       objects=lambda: json.loads(tool('client', 'objects')[0])['ms'],
                       devices=lambda: json.loads(tool('client', 'devices')[0])['ms'])
    for name, method, size in (
            ('objects', 'GetManagedObjects', reply_size(
                world, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')),
            ('devices', 'GetDeviceList', reply_size(world, MANAGER, 'GetDeviceList', '(a{sv})',
                                                    ({},)))):
        row('`%s`, %s' % (method, what), '', '%s, %.1f MB' % (
            milliseconds(statistics.median(values[name])), size / 1e6), '', '')


def restart_with_rows(world, what):
    world.stop_daemon()
    elapsed = json.loads(tool('client', 'first')[0])['ms']
    row('activation to the first answer, %s in the store' % what, '', milliseconds(elapsed), '', '')


# ---- the store -----------------------------------------------------------------------------------

def measure_store(quick):
    directory = os.environ['DL_BENCH_STATE']
    os.makedirs(directory)
    found = json.loads(tool('store-latency', directory, '20' if quick else '200')[0])
    journal, disk = (statistics.median(found[name]) for name in ('journal', 'bare'))
    kind = subprocess.run(['findmnt', '-n', '-o', 'FSTYPE', '-T', directory],
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    row('an intent into the journal and out again, on %s' % kind,
        'two appended records with `fdatasync()`: ' + milliseconds(disk), milliseconds(journal),
        '%.1f' % (journal / disk), '')
    say('spread: journal %s, bare %s' % (spread(found['journal']), spread(found['bare'])))


def run(name, quick):
    import page
    import uevents
    {
        'list-one-target': lambda: measure_list(quick, 1, 255, 25),
        'list-many-targets': lambda: measure_list(quick, 100, 10, 50),
        'hot-plug': lambda: measure_hot_plug(quick),
        'activation': lambda: measure_activation(quick),
        'scale': lambda: measure_scale(quick),
        'uevents': lambda: uevents.measure(quick),
        'page': lambda: page.measure(quick),
        'store': lambda: measure_store(quick),
    }[name]()
    return 0
