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
        pid = world.start_daemon()
        before = resident(pid)
        luns = [host.add_lun(number) for number in range(LUNS[quick])]
        with profiled(pid):
            came = follow(world, host, luns, 'add', 'added')
            full = resident(pid)
            check_devices(world, luns)
            nothing_new = settle(host, pid, luns)
            for lun in luns:
                host.remove_lun(lun)
            went = follow(world, host, luns, 'remove', 'removed')
        check_devices(world, [])
        if host.dropped(pid):
            raise AssertionError('%d uevents were lost' % host.dropped(pid))
        report(len(luns), read_bare(world, host, luns), came, nothing_new, went)
        row('memory of the service, {:,} LUNs of {:,} block devices'.format(
            len(luns), came['events']), 'before they came: ' + megabytes(before), megabytes(full),
            '', '')
    finally:
        world.stop()


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
    process = subprocess.Popen([BUILD + '/' + name, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != 'ready\n':
            raise AssertionError(name + ' does not start')
        yield lambda: json.loads(process.communicate(timeout=TOOL_DEADLINE)[0])
    finally:
        process.kill()
        process.wait()


def read_bare(world, host, luns):
    """Of a bare monitor that reads the same events while the service is not there."""
    world.stop_daemon()
    with ready('bare-uevents', str(len(luns) * (blockhost.PATHS + 1))) as result:
        events = host.announce(luns)
        found = result()
    return {'events': events, 'wall': found['at'] - host.began * 1e3, 'cpu': found['cpu']}


def follow(world, host, luns, action, kind):
    """From the first event until the last signal."""
    pid = world.owner_pid()
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


def report(n_luns, bare, came, nothing_new, went):
    def processor(found):
        return '%s (%.0f µs each)' % (milliseconds(found['cpu']),
                                      found['cpu'] / found['events'] * 1e3)

    for what, found in (('{:,} LUNs come'.format(n_luns), came), ('nothing is new', nothing_new),
                        ('they go', went)):
        row('{:,} uevents at once, {}: processor time'.format(found['events'], what),
            'bare libudev monitor: ' + processor(bare), processor(found),
            '%.1f' % (found['cpu'] / bare['cpu']), '')
    row('until the last signal of them that come', 'bare monitor: ' + milliseconds(bare['wall']),
        milliseconds(came['wall']), '%.1f' % (came['wall'] / bare['wall']), '')
    say('signals: of them that come %d added and %d changed, until the last of them that go: %s' % (
        came['added'], came['changed'], milliseconds(went['wall'])))
