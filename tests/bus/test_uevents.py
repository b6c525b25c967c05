# SPDX-License-Identifier: LGPL-2.1-or-later
"""Thousands of block devices that come, change and go at once: real uevents on a real socket, of
devices that blockhost.py makes. Each LUN is told once, and what is lost on the way is found."""

import collections
import os
import signal

import blockhost
import client
import lab
from client import ROOT
from service import TestCase, object_path

LUNS = 500
BYTES = blockhost.SECTORS * 512


def expected_paths(lun):
    return {('fc', disk.name, 'host%d' % port, '%d:0:0:%d' % (port, lun.number_of_kernel), lun.number,
             '0x500601604000%04x' % port, 'active', lun.map.name)
            for port, disk in enumerate(lun.disks)}


def told_paths(properties):
    return {(p['transport'], p['device'], p['host'], p['hctl'], p['lun'], p['target'], p['state'],
             p['map']) for p in properties['Paths']}


class Uevents(TestCase):
    services = ('bus', 'polkit')
    settings = {'Daemon': {'LogLevel': 'notice'}}

    @classmethod
    def prepare(cls):
        cls.host = blockhost.BlockHost()
        cls.lab.environment(**blockhost.ENVIRONMENT)
        cls.pid = cls.lab.start_daemon()

    def told(self):
        """GUID → properties; that GetDeviceList has each once, too."""
        luns = {p['Guid']: p for p in self.client.objects('Lun').values()}
        listed = [d['GUID'] for d in self.call(ROOT, 'Manager', 'GetDeviceList', '(a{sv})', {})]
        return luns if sorted(listed) == sorted(luns) else None

    def wait_told(self, luns, size=BYTES):
        """Until the service has just these, with all of their paths and that size."""
        expected = {lun.guid: expected_paths(lun) for lun in luns}

        def is_told():
            told = self.told()
            return told is not None and expected == {
                guid: told_paths(p) for guid, p in told.items()
                if len(p['Paths']) == blockhost.PATHS and p['Capacity'] == size}
        lab.wait_until(is_told, 40, 'just %d LUNs with their paths' % len(luns), 0.5)

    def counted(self, recorder, member, luns):
        """How often each LUN's object came or went, until all have."""
        times = collections.Counter()
        paths = {object_path('luns', lun.guid) for lun in luns}

        def is_last(message):
            if message.get('member') == member and message['payload']['data'][0] in paths:
                times[message['payload']['data'][0]] += 1
            return len(times) == len(paths)
        recorder.until(is_last, 40)
        return times

    def test_thousands_come_and_go(self):
        luns = [self.host.add_lun(number) for number in range(LUNS)]
        dropped = self.host.dropped(self.pid)
        with client.Recorder() as recorder:
            self.assertEqual(self.host.announce(luns), LUNS * 5)
            times = self.counted(recorder, 'InterfacesAdded', luns)
        self.assertEqual(set(times.values()), {1})
        self.wait_told(luns)
        for lun in luns:
            self.host.remove_lun(lun)
        with client.Recorder() as recorder:
            self.host.announce(luns, 'remove')
            times = self.counted(recorder, 'InterfacesRemoved', luns)
        self.assertEqual(set(times.values()), {1})
        self.wait_told([])
        self.assertEqual(self.host.dropped(self.pid), dropped)

    def test_lost_events_are_found(self):
        """The socket overflows while the service cannot read: some came, some went, some grew."""
        luns = [self.host.add_lun(number) for number in range(LUNS)]
        gone, grown = luns[:100], luns[100:]
        self.host.announce(luns[:-100])
        self.wait_told(luns[:-100])
        os.kill(self.pid, signal.SIGSTOP)
        try:
            before = self.host.dropped(self.pid)
            while self.host.dropped(self.pid) == before:
                self.host.announce(luns[:50], 'change', PADDING='x' * 6000)
            for lun in gone:
                self.host.remove_lun(lun)
            for lun in grown:
                self.host.resize(lun, 2 * blockhost.SECTORS)
            self.host.announce(gone, 'remove')
            self.host.announce(grown, 'change')
            self.assertGreater(self.host.dropped(self.pid), before + 5 * len(grown))
        finally:
            os.kill(self.pid, signal.SIGCONT)
        self.wait_told(grown, 2 * BYTES)
        with open(self.lab.logs + '/directlund.log') as log:
            self.assertIn('Events of block devices were lost', log.read())
        for lun in grown:
            self.host.remove_lun(lun)
        self.host.announce(grown, 'remove')
        self.wait_told([])
