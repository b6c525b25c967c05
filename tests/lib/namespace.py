# SPDX-License-Identifier: LGPL-2.1-or-later
"""The private world that a lab lives in.

command() gives the unshare(1) line that starts a program in mount, network, IPC and PID namespaces
of its own; when that unshare process dies, everything in them dies with it. prepare() then makes
the new world: an empty /run, and overlays on /etc, /usr and /var, so that anything may be installed
and changed without the machine noticing. Nothing outlives the namespaces.
"""

import ctypes
import os
import signal
import subprocess
import sys

OVERLAYS = ('/etc', '/usr', '/var')
_PR_SET_PDEATHSIG = 1


def command(*argv):
    """The command line that runs argv in new namespaces, as their PID 1's child."""
    return ['unshare', '--mount', '--net', '--ipc', '--pid', '--fork', '--kill-child',
            '--mount-proc', '--propagation', 'private', '--',
            '/usr/bin/python3', '-B', os.path.abspath(__file__), *argv]


def run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def prepare():
    """Makes the world. Called once, by PID 1 of the new namespaces."""
    run('ip', 'link', 'set', 'lo', 'up')
    run('mount', '-t', 'sysfs', 'sysfs', '/sys')
    run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run')
    for directory in OVERLAYS:
        upper, work = ('/run/.overlay%s/%s' % (directory, x) for x in ('upper', 'work'))
        os.makedirs(upper)
        os.makedirs(work)
        run('mount', '-t', 'overlay', '-o',
            'lowerdir=%s,upperdir=%s,workdir=%s' % (directory, upper, work), 'overlay', directory)
    for directory in ('dbus', 'lock', 'polkit-1', 'tgtd', 'libvirt', 'lab'):
        os.mkdir('/run/' + directory)
    os.environ.clear()
    os.environ.update(PATH='/usr/sbin:/usr/bin:/sbin:/bin', HOME='/root', LANG='C.UTF-8',
                      PYTHONDONTWRITEBYTECODE='1')


def die_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def reap(main):
    """PID 1's other duty: collect every orphan until the main child is gone; its exit status."""
    while True:
        pid, status = os.wait()
        if pid == main:
            return os.waitstatus_to_exitcode(status)


def init(argv):
    kept = {k: v for k, v in os.environ.items() if k.startswith('DL_') or k == 'TERM'}
    prepare()
    os.environ.update(kept)
    main = os.fork()
    if main == 0:
        os.execvp(argv[0], argv)
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, signal.SIG_IGN)
    status = reap(main)
    return status if status >= 0 else 128 - status


if __name__ == '__main__':
    sys.exit(init(sys.argv[1:]))
