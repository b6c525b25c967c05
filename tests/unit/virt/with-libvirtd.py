#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a test program beside a libvirtd and a tgtd that exist for it alone.

    with-libvirtd.py PROGRAM [ARGUMENT…]

Both run in private mount, network, IPC and process namespaces, on empty file systems in memory, so
that nothing of the machine's is seen or touched, and all is gone when the program ends. The program
gets in its environment:

    DL_TEST_CONTROL     a socket: it writes start, kill, stop (SIGSTOP) or cont (SIGCONT) and a
                        newline to do that to libvirtd, and reads "ok" and a newline
    DL_TEST_WORKDIR     an empty directory

libvirtd runs already. tgtd listens on 127.0.0.1 and ::1, port 3260, with the targets
iqn.2026-11.org.example:plain (LUNs 1, 2 and 300) and iqn.2026-11.org.example:chap (LUN 1, user
"alice", password "correct horse").
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

SKIP = 77
INSIDE = 'DL_TEST_INSIDE'
QEMU_CONF = '''stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
'''
LIBVIRTD_CONF = '''auth_unix_rw = "none"
unix_sock_group = "root"
'''

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../lib'))
from tgt import Tgtd  # noqa: E402


def enter_namespaces():
    """Goes on in private namespaces; a shell is the first process there, because it reaps the
    orphans (QEMU is one) that libvirtd waits for."""
    os.environ[INSIDE] = '1'
    os.execvp('unshare', ['unshare', '--mount', '--net', '--ipc', '--pid', '--fork',
                          '--kill-child', '--mount-proc', 'bash', '-c', '"$@"; exit $?', 'bash',
                          '/usr/bin/python3', os.path.abspath(__file__), *sys.argv[1:]])


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def prepare():
    run('ip', 'link', 'set', 'lo', 'up')
    for directory in ('/run', '/etc/libvirt', '/var/lib/libvirt', '/var/log/libvirt',
                      '/var/cache/libvirt'):
        run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', directory)
    # QEMU's own user may not be ours: everything that it opens lies below directories it can enter
    os.makedirs('/run/lock')
    write('/etc/libvirt/qemu.conf', QEMU_CONF)
    write('/etc/libvirt/libvirtd.conf', LIBVIRTD_CONF)


class Libvirtd:
    def __init__(self, log):
        self.log, self.process = log, None

    def start(self):
        self.process = subprocess.Popen(['libvirtd'], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def cont(self):
        self.process.send_signal(signal.SIGCONT)

    def serve(self, control):
        with control.makefile('rw') as lines:
            for line in lines:
                {'start': self.start, 'kill': self.kill, 'stop': self.stop,
                 'cont': self.cont}[line.strip()]()
                lines.write('ok\n')
                lines.flush()


def start_targets(workdir):
    tgtd = Tgtd('127.0.0.1', 3260, os.path.join(workdir, 'tgt'), portals=[('::1', 3260)]).start()
    plain = tgtd.add_target('iqn.2026-11.org.example:plain')
    for lun in (1, 2, 300):
        tgtd.add_lun(plain, lun, os.path.join(workdir, 'lun%d' % lun), (1 << 20) + 4096 * lun,
                     serial='L%d' % lun)
    tgtd.bind(plain)
    chap = tgtd.add_target('iqn.2026-11.org.example:chap')
    tgtd.add_lun(chap, 1, os.path.join(workdir, 'chap1'), 1 << 20)
    tgtd.add_account('alice', 'correct horse', chap)
    tgtd.bind(chap)
    return tgtd


def main():
    if os.geteuid() != 0:
        print('1..0 # SKIP it makes namespaces and runs libvirtd: only root can')
        return SKIP
    if INSIDE not in os.environ:
        enter_namespaces()
    prepare()
    workdir = tempfile.mkdtemp(prefix='virt-', dir='/run')
    with open(os.path.join(workdir, 'libvirtd.log'), 'ab') as log, start_targets(workdir):
        libvirtd = Libvirtd(log)
        libvirtd.start()
        ours, theirs = socket.socketpair()
        threading.Thread(target=libvirtd.serve, args=(ours,), daemon=True).start()
        result = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                                env={**os.environ, 'DL_TEST_CONTROL': str(theirs.fileno()),
                                     'DL_TEST_WORKDIR': workdir})
        libvirtd.cont()
        libvirtd.kill()
        if result.returncode != 0:
            with open(log.name) as f:
                sys.stderr.write(f.read())
    return result.returncode if result.returncode >= 0 else 128 - result.returncode


if __name__ == '__main__':
    sys.exit(main())
