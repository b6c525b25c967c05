#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""In the test machine: does what the other side asks for, until it is told to end.

    inside.py PORT

Questions and answers are JSON, one a line, on a virtio-serial port. A question has an "op":
    install                      what `meson install` staged, as a package's scripts would do it
    class path name methods boot runs (the rest of) a class of tests; tells what the reporter of
                                 runner.py tells, as it happens
    sh script timeout            a shell's output, as it comes
    end                          checks what all that left, and powers off
and ends with an "over" event, with the status as its text. "hello" comes after each boot.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE) + '/lib']
sys.dont_write_bytecode = True

from image import WORK  # noqa: E402 (it lives beside this file)
import runner  # noqa: E402

DEADLINE = 240
JOURNAL_LINES = 100
CLASS_OUTPUT = '/run/directlun-tests.output'


class Reporter(runner.Reporter):
    """Ends a test that takes too long, so that the journal can still be asked why (one that hangs
    in the kernel is ended by the other side, with the machine), and shows it with what failed."""

    default_deadline = DEADLINE
    _since = 0

    def startTest(self, test):
        super().startTest(test)
        self._since = time.time()
        signal.alarm(self.deadline_of(test))

    def tell(self, event, test, text=''):
        if event == 'failed':
            signal.alarm(0)
            text += '---- journal\n' + journal(self._since)
        super().tell(event, test, text)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)


def journal(since):
    lines = subprocess.run(['journalctl', '--quiet', '--no-pager', '--boot',
                            '--since=@%d' % since], capture_output=True, text=True,
                           errors='replace').stdout.splitlines()
    return '\n'.join(lines[-JOURNAL_LINES:])


def _late(*_):
    raise TimeoutError('not over in time')


def run_class(path, name, methods, boot):
    """In a process of its own, with the port as its standard output."""
    stream = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    signal.signal(signal.SIGALRM, _late)
    test_class = getattr(runner.load(path), name)
    test_class.boot, test_class.report = boot, stream
    unittest.TestSuite(test_class(method) for method in methods).run(Reporter(stream))


class Agent:
    def __init__(self, port):
        self._fd = os.open(port, os.O_RDWR)
        self._buffer = b''

    def tell(self, event, text='', test=''):
        line = json.dumps({'event': event, 'test': test, 'text': text}).encode() + b'\n'
        while line:
            line = line[os.write(self._fd, line):]

    def _question(self):
        while b'\n' not in self._buffer:
            chunk = os.read(self._fd, 65536)
            if not chunk:  # nobody is there at the moment
                time.sleep(0.05)
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b'\n', 1)
        return json.loads(line)

    def serve(self):
        with open('/proc/uptime') as f:
            self.tell('hello', f.read().split()[0])
        while True:
            question = self._question()
            try:
                status = getattr(self, '_' + question.pop('op'))(**question)
            except Exception:
                self.tell('out', traceback.format_exc())
                status = 255
            self.tell('over', str(status))

    def _sh(self, script, timeout):
        process = subprocess.Popen(['/bin/bash', '-c', script], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0:
                os.killpg(process.pid, signal.SIGKILL)
            if left <= 0 or select.select([process.stdout], [], [], left)[0]:
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                self.tell('out', chunk.decode(errors='replace'))
        return process.wait() if left > 0 else 124

    def _install(self):
        return self._sh('''set -e
            tar -C %s/installed -c . | tar -C / -x --keep-directory-symlink
            systemd-sysusers && systemd-tmpfiles --create --prefix=/run --prefix=/var/lib || :
            install -Dm644 %s/directlund.conf /etc/directlun/directlund.conf
            systemctl daemon-reload && systemctl reload dbus.service
            systemctl try-restart polkit.service''' % (WORK, WORK), 120)

    def _class(self, path, name, methods, boot):
        with open(CLASS_OUTPUT, 'wb') as output:
            status = subprocess.run([sys.executable, '-B', __file__, '--class',
                                     json.dumps([path, name, methods, boot])],
                                    stdin=subprocess.DEVNULL, stdout=self._fd, stderr=output,
                                    env={**os.environ, 'LANG': 'C.UTF-8'}).returncode
        with open(CLASS_OUTPUT, errors='replace') as f:
            text = f.read()
        if text:
            self.tell('out', text)
        return status

    def _end(self):
        """The exit status of the whole; it says so last, when everything was well to the end."""
        status = self._sh('''
            systemctl --failed --no-legend --plain >/run/failed; ! grep . /run/failed || exit 1
            journalctl -q --no-pager -b | grep -E 'apparmor="DENIED"|type=1326|directlund.*(Watchdog|dumped)' |
                    grep . && exit 1
            sync''', 60)
        self.tell('rc', str(status))
        subprocess.run(['systemctl', 'poweroff', '--no-block'])
        return status


def main():
    port = sys.argv[1]
    deadline = time.monotonic() + 60
    while not os.path.exists(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    Agent(port).serve()


if __name__ == '__main__':
    if sys.argv[1] == '--class':
        run_class(*json.loads(sys.argv[2]))
    else:
        main()
