# SPDX-License-Identifier: LGPL-2.1-or-later
"""A dry run of every method: it answers, and nothing has changed anywhere."""

import contextlib
import itertools
import json
import os
import re
import sqlite3
import xml.etree.ElementTree as ET

from gi.repository import GLib

import caller
import client
import lab
import service
from caller import dictionary
from client import ROOT

DRY = {'dry-run': True}
STORE = 'file:/var/lib/directlun/directlun.db?mode=ro'
# Of what takes no options a{sv}, or has no job.
READING = {'AcceptSecret', 'Describe', 'Explain', 'GetVm', 'GetDeviceList', 'Cancel'}


class Every(caller.TestCase):
    numbers = itertools.count()

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.one.add_lun(2, 24 << 20)
        cls.lab.client.call(cls.target, 'Target', 'Connect', '(a{sv})', {'pin': True})
        lab.wait_until(cls.luns_are_stored, what='the rows of the LUNs')

    @classmethod
    def luns_are_stored(cls):
        """They are written a moment after they were seen, and on no account by a dry run."""
        with contextlib.closing(sqlite3.connect(STORE, uri=True)) as store:
            found = {key for key, in store.execute('SELECT key FROM entry')}
        return all('lun/' + lun.guid in found for lun in cls.one.luns.values())

    def introspected(self):
        """(interface, method) of all that takes options, over all objects."""
        found = set()
        for path in [ROOT, *self.lab.client.managed()]:
            text = self.lab.client.introspect(path)
            for interface in ET.fromstring(text).findall('interface'):
                name = interface.get('name')
                if not name.startswith(lab.BUS_NAME):
                    continue
                for method in interface.findall('method'):
                    if any(a.get('type') == 'a{sv}' and a.get('name') == 'options'
                           for a in method.findall('arg')):
                        found.add((name.rsplit('.', 1)[1], method.get('name')))
        return {(i, m) for i, m in found if m not in READING}

    def state(self):
        """All that is known anywhere, but for jobs."""
        described = json.loads(self.lab.client.call(ROOT, 'Manager', 'Describe', '(a{sv})', {})[0])
        del described['jobs']
        with contextlib.closing(sqlite3.connect(STORE, uri=True)) as store:
            tables = [name for name, in store.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {t: sorted(store.execute('SELECT * FROM "%s"' % t).fetchall()) for t in tables}
        return {'described': described, 'rows': rows, 'xml': self.machine.xml('--inactive'),
                'objects': {path: value for path, value in self.lab.client.managed().items()
                            if '/jobs/' not in path}}

    def dry_run(self, method, *options):
        """The error that it ends in, and its job, if there is one."""
        token = 'dry run %d' % next(self.numbers)
        fd = os.memfd_create('secret')
        try:
            self.root.begin(method.path, method.interface, method.name,
                            method.arguments(('dry-run', True), ('job-token', token), *options),
                            fds=(fd,) if method.fds else ()).wait()
            error = ''
        except client.DBusError as failure:
            self.assertNotIn('option', failure.message)
            error = failure.name
        finally:
            os.close(fd)
        jobs = [p for p in self.lab.client.objects('Job').values() if p['Token'] == token]
        return error, jobs[0] if jobs else None

    def more_methods(self):
        """Those that would do something, with what they would do."""
        method, one = caller.Method, self.one.iqn
        disk = dictionary(('GUID', self.one.luns[2].guid))
        return [
            (method(ROOT, 'Manager', 'DiscoverTargets',
                    (GLib.Variant('s', '127.0.0.1'), GLib.Variant('q', 3260))), '^The portal named 1 targets$'),
            (method(ROOT, 'Manager', 'CreateVDisk', (GLib.Variant('s', self.one.luns[2].guid),)),
             'Would make the vDisk .* of %s$' % self.one.luns[2].guid),
            (method(self.vm, 'Vm', 'AttachDisk', (disk,)),
             'Would add %s to the configuration of VM guest as vdb' % self.one.luns[2].guid),
            (method(self.vm, 'Vm', 'Run', (GLib.Variant('as', []),)),
             '^Would start VM guest on host '),
            (method(self.attachment, 'Attachment', 'Detach'),
             'Would remove the attachment .* from the metadata of VM guest'),
            (method(self.target, 'Target', 'Unmanage'), '^Would let go of target %s$' % one),
        ]

    def test_every_method(self):
        methods = self.methods()
        self.assertEqual({(m.interface, m.name) for m in methods}, self.introspected())
        lab.wait_until(lambda: [host['State'] for host in self.lab.client.objects('Host').values()] ==
                       ['up'], what='libvirt being connected')
        before = self.state()
        with client.Recorder() as recorder:
            for method in methods:
                with self.subTest(str(method)):
                    error, job = self.dry_run(method)
                    self.assertNotEqual(error, lab.BUS_NAME + '.Error.Failed')
                    self.assertTrue(job is None or job['DryRun'])
                    self.assertEqual(self.state(), before)
            for method, told in self.more_methods():
                with self.subTest('%s that could' % method):
                    error, job = self.dry_run(method)
                    self.assertEqual(error, '')
                    self.assertRegex('\n'.join(job['Report']), re.compile(told, re.M))
                    self.assertEqual(self.state(), before)
            self.assert_only_jobs(recorder)

    def assert_only_jobs(self, recorder):
        """No signal of an object that is no job."""
        self.dry_run(self.methods()[0])
        last = self.job()
        for message in recorder.until(lambda m: m.get('member') == 'Completed' and
                                      m['path'] == last):
            if message['type'] == 'signal' and message['path'].startswith(ROOT):
                path = message['path']
                what = message['payload']['data'][0] if path == ROOT else path
                self.assertIn('/jobs/', what, message)

    def test_authorised_as_ever(self):
        for method in self.methods():
            with self.subTest(str(method)):
                fd = os.memfd_create('secret')
                error = self.nobody.error_of(
                    method.path, method.interface, method.name,
                    method.arguments(('dry-run', True)), fds=(fd,) if method.fds else ())
                os.close(fd)
                self.assertEqual(error, caller.CHALLENGE)

    def test_results(self):
        """What would be made is named, by the path that it would have."""
        guid = self.one.luns[2].guid
        vdisk = service.object_path('vdisks', service.vdisk_id(guid))
        self.assertEqual(self.create_vdisk(guid, **DRY), (vdisk, True))
        path = self.call(self.vm, 'Vm', 'AttachDisk', '(a{sv}a{sv})', {'GUID': guid}, DRY)
        self.assertTrue(path.startswith(ROOT + '/attachments/'), path)
        self.assertNotIn(path, self.lab.client.managed())
        self.assertNotIn(vdisk, self.lab.client.managed())
        self.assertEqual(self.discover('127.0.0.1', 3260, **DRY), [self.target])
        self.assertEqual(self.call(self.vm, 'Vm', 'Run', '(asa{sv})', [], DRY),
                         self.get(self.host, 'Host', 'Name'))
        self.assertEqual(self.get(self.vm, 'Vm', 'State'), 'shutoff')
