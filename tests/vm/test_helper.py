# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helper that is root, in its own confinement, with real sessions, maps and disks."""

import glob
import os
import shutil
import subprocess

import helper
import storage
import vm

MIB = 1 << 20
FAR = 300 << 48  # LIO's LUN 300, which it says with more than one byte: see src/scsi/luns.h
AUTH_FAILED = 3  # src/util/error.h
SECRET, TARGET_SECRET = 'a-secret-of-16-bytes', 'another-of-18-bytes'


class Watch:
    """Arguments and environment of each iscsiadm that is run, from begin to end."""

    PROGRAM, REAL, SEEN = '/usr/sbin/iscsiadm', '/usr/local/sbin/iscsiadm', '/run/lock/iscsiadm'
    SCRIPT = """#!/bin/sh
        cat /proc/$$/cmdline /proc/$$/environ >>%s
        exec %s "$@"
        """ % (SEEN, REAL)

    def __init__(self):
        shutil.copy(self.PROGRAM, self.REAL)
        with open('/run/iscsiadm', 'w') as f:
            f.write(self.SCRIPT)
        os.chmod('/run/iscsiadm', 0o755)
        storage.run('systemctl', 'stop', helper.UNIT)  # it sees mounts of before its start
        storage.run('mount', '--bind', '/run/iscsiadm', self.PROGRAM)

    def end(self):
        storage.run('umount', self.PROGRAM)
        for path in (self.REAL, '/run/iscsiadm'):
            os.unlink(path)

    def seen(self):
        with open(self.SEEN, 'rb') as f:
            return f.read().decode()


class TestHelper(vm.TestCase):
    def setUp(self):
        self.get(vm.ROOT, 'Manager', 'Version')  # the service brings its helper's socket
        self.disk = self.add_disk('one', 24 * MIB)
        self.target = self.add_target({1: self.disk, 300: self.add_disk('two', 16 * MIB)})
        self.addCleanup(self._end_sessions)
        self.addCleanup(storage.flush_maps)

    @staticmethod
    def _end_sessions():
        for sid, _, _ in storage.sessions():
            storage.run('iscsiadm', '-m', 'session', '-r', str(sid), '--logout', check=False)
        for path in glob.glob('/etc/iscsi/nodes/*'):
            storage.run('iscsiadm', '-m', 'node', '-o', 'delete', '-T', os.path.basename(path),
                        check=False)

    def log_in_at(self, address, **chap):
        return helper.ask('login', iqn=self.target.iqn, address=address, port=3260, tpgt=1, **chap)

    def ask(self, verb, **fields):
        answer = helper.ask(verb, **fields)
        self.assertTrue(answer.ok, answer.message)
        return answer

    def map_of(self, disk, sids):
        """Its map, with a path through each session."""
        for sid in sids:
            self.ask('scan', sid=sid, iqn=self.target.iqn, lun=1)
        return storage.wait_map(disk.guid, len(sids))

    def test_life_of_a_map(self):
        sids = [self.log_in_at(address).sid for address in ('127.0.0.1', '127.0.0.2')]
        self.assertEqual([sid for sid, _, _ in storage.sessions()], sorted(sids))
        self.assertEqual(self.log_in_at('127.0.0.1').sid, sids[0])  # a repeat
        self.assertEqual(storage.disks(), [])  # nobody has asked for one
        found = self.map_of(self.disk, sids)
        self.assertEqual(sorted(found.paths), sorted(path.name for path in storage.disks()))
        self.ask('scan', sid=sids[0], iqn=self.target.iqn, lun=FAR)
        vm.wait_until(lambda: len(storage.disks()) == 3, 20, 'the other LUN')

        data = os.urandom(4096)
        with open(self.disk.file, 'r+b') as f:
            f.seek(8192)
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        answer = self.ask('read', guid=self.disk.guid, offset=8000, size=1000,
                          **helper.device(found.device))
        self.assertEqual(answer.data[192:], data[:808])

        # a path is taken out of a map that has others, but the last one
        path, last = (helper.device(name) for name in found.paths)
        self.ask('delete-path', guid=self.disk.guid, **path)
        self.assertEqual(storage.find_map(self.disk.guid).paths, found.paths[1:])
        self.assertRegex(helper.ask('delete-path', guid=self.disk.guid, **last).message, 'in use')
        found = self.map_of(self.disk, sids)

        # what is in use stays, and is as it was
        path = helper.device(found.paths[0])
        self.assertRegex(helper.ask('logout', sid=sids[0], iqn=self.target.iqn, port=3260,
                                    address='127.0.0.1').message, 'in use')
        with open('/dev/' + found.device, 'rb'):
            self.assertFalse(helper.ask('flush-map', guid=self.disk.guid).ok)
        self.assertEqual(storage.find_map(self.disk.guid).paths, found.paths)
        wrong = helper.ask('delete-path', guid=self.disk.guid[:-1] + 'x', **path)
        self.assertRegex(wrong.message, 'is not')

        # the safe order
        self.ask('flush-map', guid=self.disk.guid)
        self.assertIsNone(storage.find_map(self.disk.guid))
        for name in found.paths:
            self.ask('delete-path', guid=self.disk.guid, **helper.device(name))
        self.assertEqual(storage.disks(self.disk.guid), [])
        storage.flush_maps()  # of the other one
        for sid, address in zip(sids, ('127.0.0.1', '127.0.0.2')):
            self.ask('logout', sid=sid, iqn=self.target.iqn, address=address, port=3260)
        self.assertEqual(storage.sessions(), [])
        self.assertEqual(glob.glob('/etc/iscsi/nodes/*/*/*'), [])
        self.assertEqual(glob.glob('/etc/iscsi/.directlun*'), [])

    def test_foreign_sessions_stay(self):
        self.log_in(self.target)
        sid, iqn, address = storage.sessions()[0]
        answer = helper.ask('logout', sid=sid, iqn=iqn, address=address, port=3260)
        self.assertRegex(answer.message, 'not one that this service made')
        self.assertEqual(len(storage.sessions()), 2)
        own = self.log_in_at('127.0.0.1')
        # an administrator's discovery does not take our interface for one of his
        storage.run('iscsiadm', '-m', 'discovery', '-t', 'st', '-p', '127.0.0.1')
        self.assertEqual(glob.glob('/etc/iscsi/nodes/*/127.0.0.2*/directlun'), [])
        self.assertTrue(own.ok, own.message)
        self.assertEqual(len(storage.sessions()), 3)
        self.ask('logout', sid=own.sid, iqn=iqn, address='127.0.0.1', port=3260)
        self.assertEqual(len(storage.sessions()), 2)

    def test_chap_secrets_are_in_no_arguments(self):
        self.target.require_chap('me', SECRET, 'it', TARGET_SECRET)
        watch = Watch()
        self.addCleanup(watch.end)
        for chap in ({}, {'user': 'me', 'secret': 'wrong-secret'}):
            answer = self.log_in_at('127.0.0.1', **chap)
            self.assertEqual(answer.code, AUTH_FAILED, answer.message)
        self.assertEqual(glob.glob('/etc/iscsi/nodes/*'), [])
        one_way = self.log_in_at('127.0.0.1', user='me', secret=SECRET)
        mutual = self.log_in_at('127.0.0.2', user='me', secret=SECRET, target_user='it',
                                target_secret=TARGET_SECRET)
        self.assertTrue(one_way.ok and mutual.ok, (one_way, mutual))
        self.assertIn('--login', watch.seen())
        self.assertNotRegex(watch.seen(), 'secret|another')
        for directory, _, files in os.walk('/etc/iscsi'):
            for name in files:
                text = storage.read(os.path.join(directory, name))
                self.assertNotRegex(text, '%s|%s' % (SECRET, TARGET_SECRET))

    def test_only_the_service(self):
        for user in ('root', 'nobody'):
            code = 'import helper; print(helper._exchange(helper.request("flush-map", guid="3")))'
            done = subprocess.run(['setpriv', '--reuid', user, '--clear-groups', '--regid',
                                   'nogroup', 'python3', '-B', '-c', code], capture_output=True,
                                  text=True, cwd=os.path.dirname(helper.__file__))
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn('Answer', done.stdout)
        self.assertTrue(helper.ask('flush-map', guid='3').ok)

    def test_confinement(self):
        self.ask('flush-map', guid='3')
        unit = self.unit('MainPID', 'ActiveState', unit=helper.UNIT)
        self.assertEqual(unit['ActiveState'], 'active')
        status = storage.read('/proc/%s/status' % unit['MainPID'])
        self.assertRegex(status, r'CapBnd:\t0000000000200002\n')  # DAC_OVERRIDE, SYS_ADMIN
        self.assertRegex(status, r'NoNewPrivs:\t1\nSeccomp:\t2\n')
        storage.run('systemctl', 'stop', helper.UNIT)
        self.assertTrue(helper.ask('flush-map', guid='3').ok)  # its socket starts it
