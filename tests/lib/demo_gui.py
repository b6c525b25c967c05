# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/demo --gui, inside the namespaces: a lab with something to look at, and the page on it."""

import os
import socket
import sys

MIB = 1 << 20
PLACE = '/directlun'


def scenery(world):
    """Two targets; three LUNs at one that is connected, of which one is in a VM that runs."""
    target = world.add_target('storage', luns=3, size=64 * MIB)
    world.add_target('archive', luns=8, size=32 * MIB)
    for name in ('database', 'idle'):
        world.define_vm(name)
    world.vms['database'].start()
    guid = target.luns[1].guid
    for words in (('discover', '127.0.0.1'), ('connect', '--pin', target.iqn),
                  ('create', guid, '--alias', 'tables'), ('attach', 'database', guid)):
        result = world.run('directlunctl', *words, check=False)
        if result.returncode:
            raise AssertionError('directlunctl %s: %s' % (' '.join(words), result.stdout))


def serve(world, path):
    """Cockpit with a session of root, behind a Unix socket that only root may open."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(64)
    fd = listener.fileno()
    # As if systemd had made it listen: the third descriptor, and the id of the process that it is for.
    world.spawn('cockpit', 'bash', '-c', 'exec 3<&%d; LISTEN_FDS=1 LISTEN_PID=$$ exec '
                '/usr/lib/cockpit/cockpit-ws --no-tls --local-session=cockpit-bridge' % fd,
                pass_fds=(fd,),
                env={**os.environ, 'HOME': '/root', 'USER': 'root',
                     'DBUS_SESSION_BUS_ADDRESS': 'unix:path=%s/none' % world.logs})
    listener.close()


def show(world, teller, path, url):
    """Sets all up and serves the page until somebody presses Enter."""
    world.start()
    scenery(world)
    serve(world, path)
    teller.paragraph(
        'In this lab: two iSCSI targets on 127.0.0.1:3260, one of them connected, a running VM '
        '"database" that has a LUN of it, and a VM "idle" that is off. Nothing of it is this '
        'machine\'s, and all of it ends with the page.')
    teller.say('\nThe page, without a login, for root and who called sudo only:\n\n   %s%s\n'
               % (url, PLACE))
    teller.say('Enter ends it.')
    sys.stdin.readline()
    return True
