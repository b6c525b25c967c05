# SPDX-License-Identifier: LGPL-2.1-or-later
"""In the place of the helper that is root: answers as it is told to, and badly."""

import contextlib
import os
import pwd
import socket
import struct
import threading

import lab

SOCKET = '/run/directlun-helper-of-test.sock'
# src/host/helper-protocol.h
OK = 0xffffffff
_MAGIC = 0x444c4801
_IQN_AT, _IQN_SIZE = 48, 224


def reply(code=OK, message=b'', magic=_MAGIC):
    return struct.pack('=4I496s', magic, code, 1, 0, message)


class StandIn:
    """Answers on the helper's socket as it is told: target ('' of a request without one) → what to do
    with a connection."""

    def __init__(self):
        self.does, self.asked, self._silent = {}, [], []
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(SOCKET)
        os.chown(SOCKET, pwd.getpwnam(lab.USER).pw_uid, -1)
        self._listening.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            request = connection.recv(8192)
            iqn = request[_IQN_AT:_IQN_AT + _IQN_SIZE].rstrip(b'\0').decode()
            self.asked.append(iqn)
            if self.does[iqn](connection) is not self:
                connection.close()

    def is_silent(self, connection):
        self._silent.append(connection)
        return self

    def end(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for s in (self._listening, *self._silent):
            s.close()
        os.unlink(SOCKET)


def says(*packets, fds=0):
    def do(connection):
        for packet in packets:
            with open('/dev/null') as f, contextlib.suppress(BrokenPipeError):  # who has heard enough
                socket.send_fds(connection, [packet], [f.fileno()] * fds)
    return do


def dies(connection):
    pass
