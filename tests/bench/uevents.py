# SPDX-License-Identifier: LGPL-2.1-or-later
"""The measurement of very many uevents: of devices that blockhost.py makes, next to a bare monitor that
reads the same."""

import contextlib
import json
import os
import subprocess
import time

import blockhost
import lab
from measure import (BUILD, TOOL_DEADLINE, make_lab, megabytes, milliseconds, profiled, resident, row,
                     say)

LUNS = {True: 400, False: 2000}


def measure(quick):
    world = make_lab(('bus', 'polkit'))
    try:
        host = blockhost.BlockHost()
        world.environment(**blockhost.ENVIRONMENT)
        bare = read_bare(host, LUNS[quick])
        pid = world.start_daemon()
        before = resident(pid)
        luns = [host.add_lun(number) for number in range(LUNS[quick])]
        with profiled(pid):
            came = follow(host, pid, luns, 'add', 'added')
            full = resident(pid)
            check_devices(world, luns)
            nothing_new = settle(host, pid, luns)
            remove(host, luns)
            went = follow(host, pid, luns, 'remove', 'removed')
        check_devices(world, [])
        if host.dropped(pid):
            raise AssertionError('%d uevents were lost' % host.dropped(pid))
        report(len(luns), bare, came, nothing_new, went)
        row('memory of the service, {:,} LUNs of {:,} block devices'.format(
            len(luns), came['events']), 'before they came: ' + megabytes(before), megabytes(full),
            '', '')
    finally:
        world.stop()


def remove(host, luns):
    for lun in luns:
        host.remove_lun(lun)


def processor_time(pid):
    """Milliseconds, of all threads."""
    total = 0
    for task in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/schedstat' % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1e6


@contextlib.contextmanager
def ready(name, *arguments):
    """One of the compiled tools that first says "ready", and at its end tells what it saw."""
    process = subprocess.Popen([BUILD + '/' + name, *arguments], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **blockhost.ENVIRONMENT})
    try:
        if process.stdout.readline() != 'ready\n':
            raise AssertionError(name + ' does not start')
        yield lambda: json.loads(process.communicate(timeout=TOOL_DEADLINE)[0])
    finally:
        process.kill()
        process.wait()


def read_bare(host, count):
    """Of a bare monitor that reads the same events, before the service is there."""
    luns = [host.add_lun(number) for number in range(count)]
    with ready('bare-uevents', str(len(luns) * (blockhost.PATHS + 1))) as result:
        events = host.announce(luns)
        found = result()
    remove(host, luns)
    return {'events': events, 'wall': found['at'] - host.began * 1e3, 'read': found['cpu'],
            'cpu': found['cpu'] + found['look']}


def follow(host, pid, luns, action, kind):
    """From the first event until the last signal."""
    with ready('client', 'follow', str(len(luns))) as result:
        cpu = processor_time(pid)
        events = host.announce(luns, action)
        found = result()
    if found[kind] != len(luns):
        raise AssertionError('%d objects %s, of %d' % (found[kind], kind, len(luns)))
    return {**found, 'events': events, 'wall': found['at'] - host.began * 1e3,
            'cpu': processor_time(pid) - cpu}


def settle(host, pid, luns):
    """Events that say nothing new: until the service rests."""
    before = processor_time(pid)
    events = host.announce(luns, 'change')
    last = before
    for _ in range(TOOL_DEADLINE * 4):
        time.sleep(0.25)  # the measure of rest itself
        now = processor_time(pid)
        if now - last < 1:
            return {'events': events, 'cpu': now - before}
        last = now
    raise AssertionError('the service does not come to rest')


def check_devices(world, luns):
    """Each is there with all of its paths, and nothing else."""
    listed, = world.client.call(lab.ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})
    found = sorted((d['GUID'], len(d['pathstatus'])) for d in listed)
    if found != sorted((lun.guid, blockhost.PATHS) for lun in luns):
        raise AssertionError('of %d LUNs %d are listed' % (len(luns), len(found)))


def each(found, name='cpu'):
    return '%s (%.0f µs each)' % (milliseconds(found[name]), found[name] / found['events'] * 1e3)


def report(n_luns, bare, came, nothing_new, went):
    what = '{:,} uevents at once, '.format(came['events'])
    program = 'bare libudev program: '
    row(what + '{:,} LUNs of {} paths and a map come: processor time'.format(n_luns, blockhost.PATHS),
        program + each(bare), each(came), '%.1f' % (came['cpu'] / bare['cpu']), '')
    row(what + 'nothing is new', program + each(bare), each(nothing_new),
        '%.1f' % (nothing_new['cpu'] / bare['cpu']), '')
    row(what + 'they go', 'bare libudev program, reading alone: ' + each(bare, 'read'), each(went),
        '%.1f' % (went['cpu'] / bare['read']), '')
    say('the last signal of them that come: after %s, of them that go: after %s (the bare program '
        'has read the last event after %s); %d added, %d changed' % (
            milliseconds(came['wall']), milliseconds(went['wall']), milliseconds(bare['wall']),
            came['added'], came['changed']))
