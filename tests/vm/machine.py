# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test machine, from outside: a QEMU that emulates every instruction, and the port on which the
program in it (inside.py) does what it is asked for.

It has no network. Its disk is an overlay that goes with the work directory; two folders are shared:
the tests, read-only and as they are on this side at the moment, and the work directory.
"""

import json
import os
import select
import socket
import subprocess
import time

import namespace
from image import PORT, TESTS, WORK

BOOT_DEADLINE = 240
END_DEADLINE = 120
# nx: a nested guest needs no more of the processor; five levels of page tables only cost.
CPU = 'max,la57=off'
ARGUMENTS = ('console=ttyS0 quiet systemd.show_status=0 mitigations=off audit=0 nowatchdog '
             'net.ifnames=0 random.trust_cpu=on tsc=reliable no_timer_check panic=-1 '
             'directlun.tests')


class Gone(Exception):
    """The machine does not answer any more: ended, started anew by itself, or too late."""


class Machine:
    """With one processor: with two, one would often wait (and count instructions while it does) for
    what the other holds while that does not run, since another machine has the real processors."""

    def __init__(self, images, tests, work):
        self.work = work
        self.console = work + '/console.log'
        self._buffer = b''
        disk = work + '/disk.qcow2'
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b',
                        images + '/root.ext4', disk], check=True)
        sockets = [work + '/' + name for name in ('port.sock', 'qmp.sock')]
        command = ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none',
                   '-machine', 'pc,hpet=off', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', CPU,
                   '-smp', '1', '-m', '4096', '-kernel', images + '/kernel',
                   '-initrd', images + '/initrd.gz', '-append', ARGUMENTS,
                   '-drive', 'file=%s,format=qcow2,if=virtio,cache=unsafe' % disk,
                   '-device', 'virtio-serial-pci',
                   '-chardev', 'socket,id=port,path=%s,server=on,wait=off' % sockets[0],
                   '-device', 'virtserialport,chardev=port,name=' + PORT,
                   '-qmp', 'unix:%s,server=on,wait=off' % sockets[1],
                   '-serial', 'file:' + self.console]
        for tag, path, access in ((TESTS, tests, ',readonly=on'), (WORK, work, '')):
            command += ['-virtfs', 'local,path=%s,mount_tag=%s,security_model=none,multidevs=remap%s'
                        % (path, os.path.basename(tag), access)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                         preexec_fn=namespace.die_with_parent)
        self._port, self._qmp = (self._connect(path) for path in sockets)
        self._qmp_command('qmp_capabilities')

    def _connect(self, path):
        deadline = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                return connection
            except OSError:
                connection.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _qmp_command(self, name):
        self._qmp.sendall(json.dumps({'execute': name}).encode() + b'\n')

    def wait_booted(self):
        """Until the program in it says hello; how long the boot took by its own clock."""
        for event, _, text in self._events(time.monotonic() + BOOT_DEADLINE):
            if event == 'hello':
                return float(text)

    def cut_power(self):
        """An end without warning, and the next boot of the same disk."""
        self._qmp_command('system_reset')
        return self.wait_booted()

    def _events(self, deadline):
        """(event, test, text) as they come, for as long as deadline (or what it returns, if it can
        be called) lets it."""
        while True:
            while b'\n' in self._buffer:
                line, self._buffer = self._buffer.split(b'\n', 1)
                message = json.loads(line)
                yield message['event'], message['test'], message['text']
            left = (deadline() if callable(deadline) else deadline) - time.monotonic()
            if left <= 0:
                raise Gone('no answer in time')
            if select.select([self._port], [], [], left)[0]:
                chunk = self._port.recv(65536)
                if not chunk:
                    raise Gone('QEMU ended')
                self._buffer += chunk

    def ask(self, deadline, each, op, **arguments):
        """A question: each(event, test, text) for what comes until it is over; its status."""
        self._port.sendall(json.dumps({'op': op, **arguments}).encode() + b'\n')
        for event, test, text in self._events(deadline):
            if event == 'over':
                return int(text)
            if event == 'hello':
                raise Gone('it started anew by itself')
            if each(event, test, text):
                return None

    def sh(self, script, timeout=60, each=None):
        """A script's exit status and output; each(text) gets the output as it comes, if given."""
        output = []
        status = self.ask(time.monotonic() + timeout + 30,
                          lambda event, test, text: (each or output.append)(text), 'sh',
                          script=script, timeout=timeout)
        return status, ''.join(output)

    def end(self):
        """Powers off: what is wrong with how it ended, '' if nothing. A machine that does not say
        that all was well to the end did not end well."""
        told = {}
        try:
            self.ask(time.monotonic() + END_DEADLINE,
                     lambda event, test, text: told.update({event: told.get(event, '') + text}),
                     'end')
            self._process.wait(END_DEADLINE)
        except (Gone, OSError, subprocess.TimeoutExpired) as error:
            return 'it did not power off: %s' % error
        return '' if told.get('rc') == '0' else told.get('out') or 'it did not say how it ended'

    def kill(self):
        self._process.kill()
        self._process.wait()
        for connection in (self._port, self._qmp):
            connection.close()

    def said(self, length=6000):
        with open(self.console, errors='replace') as f:
            return f.read()[-length:]
