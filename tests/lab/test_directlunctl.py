# SPDX-License-Identifier: LGPL-2.1-or-later
"""directlunctl: the main job typed by a person and run by a script, exit statuses, completion."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import threading

import lab
import portals
from ctl import (CANCELLED, CTL, GUEST, IDENTITY, NOT_FOUND, REFUSED, SERVICE, UNREACHABLE, USAGE,
                 CtlTestCase, Terminal)
from service import SilentPortal, object_path, vdisk_id

MIB = 1 << 20
UNKNOWN_GUID = '36001405ffffffffffffffffffffffff'


def drain(terminal):
    """Reads what nobody wants to see, so that its writer never waits."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


def lab_refused_port():
    """A port at which nobody listens: .port, .close()."""
    class Closing(portals.Refused):
        def close(self):
            self.stop()
    return Closing()


class MainJob(CtlTestCase):
    """A LUN goes into a running VM and out again, with nothing but directlunctl."""

    @classmethod
    def prepare(cls):
        cls.one = cls.lab.add_target('one', luns=1)
        cls.one.add_lun(2, 32 * MIB)
        cls.vm_one = cls.lab.define_vm('runner').start()

    def setUp(self):
        self.addCleanup(self.clean)

    def clean(self):
        self.detach_all(self.vm_one)
        for path in self.lab.client.objects('VDisk'):
            self.method(path, 'VDisk', 'Delete')
        self.vm_one.guest.wait_disks(lambda disks: not disks)

    def define_vm(self, name):
        """A VM that the service has heard of."""
        vm = self.lab.define_vm(name)
        self.addCleanup(self.lab.virsh, 'undefine', name)
        path = object_path('vms', vm.uuid)
        lab.wait_until(lambda: path in self.lab.client.objects('Vm'), what='the VM being seen')
        return vm

    def connect_one(self):
        self.ctl('discover', '127.0.0.1')
        self.ctl('connect', self.one.iqn)

    def test_main_job_in_json(self):
        lun = self.one.luns[2]
        found, = [t for t in self.json('discover', '127.0.0.1:3260')
                  if t['Iqn'] == self.one.iqn]
        self.assertEqual((found['kind'], found['Iqn'], found['id'], found['path']),
                         ('target', self.one.iqn, self.one.iqn,
                          object_path('targets', self.one.iqn)))
        connected = self.json('connect', self.one.iqn, '--guid', lun.guid)
        self.assertEqual((connected['State'], connected['Managed'], len(connected['Luns'])),
                         ('connected', True, 2))
        self.assertIn(self.one.iqn, [t['Iqn'] for t in self.json('targets')])

        listed = {d['Guid']: d['Capacity'] for d in self.json('list')}
        for number in 1, 2:
            self.assertEqual(listed[self.one.luns[number].guid], self.one.luns[number].size)
        only, = self.json('list', '--refresh', lun.guid)
        self.assertEqual((only['Guid'], only['Status'], only['kind']), (lun.guid, 'free', 'lun'))

        created = self.json('create', lun.guid, '--alias', 'größe', '--description', 'a "test"')
        self.assertEqual((created['Id'], created['Alias'], created['Description'],
                          created['changed']), (vdisk_id(lun.guid), 'größe', 'a "test"', True))
        again = self.json('create', lun.guid, '--alias', 'other')
        self.assertEqual((again['Alias'], again['changed']), ('größe', False))

        attached = self.json('attach', 'runner', 'größe', '--iface', 'scsi', '--optional',
                             '--propagate-errors', '--address',
                             'type=drive,controller=0,bus=0,target=0,unit=4')
        for name, value in {'Guid': lun.guid, 'Plugged': True, 'Iface': 'scsi', 'Optional': True,
                            'PropagateErrors': True, 'ReadOnly': False, 'changed': True,
                            'VDisk': created['path'], 'kind': 'attachment'}.items():
            self.assertEqual(attached[name], value, name)
        self.assertEqual(attached['Address']['unit'], '4')
        self.vm_one.guest.wait_disks(lambda disks: [s for s, _ in disks.values()] == [lun.size])
        self.assertEqual(self.json('show', lun.guid)['Status'], 'used')
        vm, = self.json('vms')
        self.assertEqual((vm['Name'], vm['Attachments']), ('runner', [attached['path']]))

        unplugged = self.json('unplug', 'runner', lun.guid)
        self.assertEqual((unplugged['Plugged'], unplugged['changed']), (False, True))
        self.vm_one.guest.wait_disks(lambda disks: not disks)
        self.assertIs(self.json('unplug', 'runner', 'größe')['changed'], False)
        plugged = self.json('plug', attached['id'])
        self.assertEqual((plugged['Plugged'], plugged['changed']), (True, True))
        self.assertIs(self.json('plug', 'runner', attached['path'])['changed'], False)

        detached = self.json('detach', 'runner', 'größe')
        self.assertEqual((detached['attached'], detached['changed'], detached['Guid']),
                         (False, True, lun.guid))
        self.assertIs(self.json('detach', 'runner', 'größe')['changed'], False)
        self.vm_one.guest.wait_disks(lambda disks: not disks)

        self.json('connect', self.one.iqn, '--pin')
        released = self.json('unmanage', self.one.iqn)
        self.assertEqual((released['Managed'], released['changed']), (False, True))
        self.assertIs(self.json('unmanage', self.one.iqn)['changed'], False)

        jobs = self.json('jobs')
        self.assertGreater(len(jobs), 8)
        self.assertEqual([int(job['id']) for job in jobs],
                         sorted(int(job['id']) for job in jobs))
        self.assertEqual((jobs[-1]['Operation'], jobs[-1]['State']), ('unmanage', 'succeeded'))
        cancelled = self.json('cancel', jobs[-1]['id'])
        self.assertEqual((cancelled['State'], cancelled['changed']), ('succeeded', False))
        self.assert_consistent()

    def test_pretty_is_the_same(self):
        self.connect_one()
        for words in (['targets'], ['list'], ['vms'], ['show', 'runner'],
                      ['show', self.one.iqn], ['show', self.one.luns[1].guid]):
            pretty = self.ctl('--json=pretty', *words).out
            self.assertGreater(pretty.count('\n'), 3)
            self.assertEqual(json.loads(pretty), self.json(*words), words)

    def test_main_job_in_text(self):
        lun = self.one.luns[1]
        self.assertIn(self.one.iqn, self.ctl('discover', '127.0.0.1').out)
        text = self.ctl('connect', self.one.iqn).out
        self.assertRegex(text, r'GUID +STATUS +SIZE +PATHS +MODEL')
        self.assertRegex(text, lun.guid + ' +free +16M +1/1 +LAB +DISK')
        self.assertIn('connected', self.ctl('targets').out)
        self.assertNotIn('TARGET', self.ctl('targets', '--no-legend').out)

        self.ctl('create', lun.guid)
        self.assertIn('There was a vDisk', self.ctl('create', lun.guid).err)
        self.assertRegex(self.ctl('attach', 'runner', lun.guid).out, r'runner +vda +virtio +yes')
        self.assertIn('vm', self.ctl('list', lun.guid).out)
        shown = self.ctl('show', 'runner').out
        self.assertRegex(shown, r'(?m)^ *State: running$')
        self.assertIn('Nothing to do', self.ctl('plug', 'runner', 'vda').err)
        self.assertRegex(self.ctl('unplug', 'runner', 'vda').out, r'no +' + lun.guid)
        self.assertIn('Nothing to do', self.ctl('unplug', 'runner', lun.guid).err)
        self.assertEqual(self.ctl('detach', 'runner', lun.guid).out, '')
        self.assertIn('Nothing to do', self.ctl('detach', 'runner', lun.guid).err)
        self.ctl('unmanage', self.one.iqn)
        repeated = self.ctl('unmanage', self.one.iqn, '-q')
        self.assertEqual((repeated.out, repeated.err), ('', ''))
        self.assertIn('was not managed', self.ctl('unmanage', self.one.iqn).err)

    def test_inline_lun(self):
        target = self.lab.add_target('inline')
        lun = target.luns[1]
        words = ['attach', 'runner', '--lun',
                 'address=127.0.0.1,port=3260,target=%s,id=%s' % (target.iqn, lun.guid)]
        attached = self.json(*words)
        self.assertEqual((attached['Guid'], attached['Plugged']), (lun.guid, True))
        self.assertIn('AlreadyAttached', self.ctl(*words, status=REFUSED).err)
        self.assertIs(self.json(*words, '--if-needed')['changed'], False)
        self.ctl('detach', attached['id'])
        self.vm_one.guest.wait_disks(lambda disks: not disks)

    def test_exit_statuses(self):
        self.connect_one()
        guid = self.one.luns[1].guid
        other = self.define_vm('other')
        self.ctl('attach', 'runner', guid)
        with contextlib.closing(lab_refused_port()) as closed:
            for status, name, words in (
                    (USAGE, 'InvalidArgs', ['discover', '127.0.0.1:0']),
                    (USAGE, 'InvalidArgs', ['discover', '127.0.0.1:x']),
                    (USAGE, 'InvalidArgs', ['nonsense']),
                    (USAGE, 'InvalidArgs', ['list', '--nonsense']),
                    (USAGE, 'InvalidArgs', ['attach', 'runner']),
                    (USAGE, 'InvalidArgs', ['attach', 'runner', guid, '--address', 'door=7']),
                    (USAGE, 'InvalidArgs', ['attach', 'runner', guid, '--lun', 'id=x']),
                    (USAGE, 'InvalidArgs', ['attach', 'runner', '--lun', 'secret=x']),
                    (USAGE, 'InvalidArgs', ['create', 'bad\udcffutf8']),
                    (USAGE, 'UnsupportedInterface', ['attach', 'runner', self.one.luns[2].guid,
                                                     '--iface', 'floppy']),
                    (NOT_FOUND, 'TargetNotFound', ['connect', 'iqn.2026-11.org.example:none']),
                    (NOT_FOUND, 'LunNotFound', ['create', UNKNOWN_GUID]),
                    (NOT_FOUND, 'LunNotFound', ['list', UNKNOWN_GUID]),
                    (NOT_FOUND, 'LunNotFound', ['attach', 'runner', UNKNOWN_GUID]),
                    (NOT_FOUND, 'VmNotFound', ['stop', 'nobody']),
                    (NOT_FOUND, 'NotAttached', ['plug', 'runner', self.one.luns[2].guid]),
                    (NOT_FOUND, 'NotAttached', ['detach', 'runner', 'unknown']),
                    (NOT_FOUND, 'nothing called', ['show', 'unknown']),
                    (NOT_FOUND, 'no job', ['cancel', '4711']),
                    (REFUSED, 'AlreadyAttached', ['attach', 'runner', guid]),
                    (REFUSED, 'NotShareable', ['attach', 'other', guid]),
                    (REFUSED, 'InUse', ['unmanage', self.one.iqn]),
                    (UNREACHABLE, 'PortalUnreachable', ['discover', '127.0.0.1:%d' % closed.port]),
                    (UNREACHABLE, 'LunNotVisible', ['connect', self.one.iqn, '--guid',
                                                    UNKNOWN_GUID])):
                with self.subTest(words):
                    self.assertIn(name, self.ctl(*words, status=status).err)
        self.assertEqual(other.state(), 'shut off')

    def test_guest_that_does_not_release(self):
        self.connect_one()
        guid = self.one.luns[1].guid
        self.ctl('attach', 'runner', guid)
        self.lab.virsh('suspend', 'runner')
        self.addCleanup(self.lab.virsh, 'resume', 'runner')
        self.assertIn('GuestDidNotRelease', self.ctl('unplug', 'runner', guid, status=GUEST).err)

    def test_cancelled_attach_is_rolled_back(self):
        with SilentPortal() as portal:
            lun = 'address=127.0.0.1,port=%d,target=iqn.2026-11.org.example:t,id=%s' % (
                portal.port, UNKNOWN_GUID)
            with Terminal('attach', 'runner', '--lun', lun) as terminal:
                portal.wait_connected()
                terminal.expect('attach: ')
                terminal.type('\x03')
                self.assertEqual(terminal.wait(), CANCELLED, terminal.output)
                self.assertIn('is rolled back', terminal.output)
                self.assertIn('(Cancelled)', terminal.output)
        self.assertEqual(self.json('show', 'runner')['Attachments'], [])
        self.assertNotIn('iqn.2026-11.org.example:t', self.ctl('targets').out)

    def test_timeout(self):
        with SilentPortal() as portal:
            done = self.ctl('discover', '127.0.0.1:%d' % portal.port, '--timeout=0.3',
                            status=UNREACHABLE)
            self.assertIn('TimedOut', done.err)

    def test_run_and_stop(self):
        self.connect_one()
        vm = self.define_vm('stopped')
        self.addCleanup(self.detach_all, vm)
        self.addCleanup(self.method, self.vm(vm), 'Vm', 'Stop')
        attached = self.json('attach', 'stopped', self.one.luns[1].guid)
        self.assertIs(attached['Plugged'], False)
        self.assertIn('VmNotRunning', self.ctl('plug', 'stopped', self.one.luns[1].guid,
                                               status=REFUSED).err)
        running = self.json('run', 'stopped', '--on', os.uname().nodename)
        self.assertEqual((running['State'], running['changed']), ('running', True))
        self.assertIs(self.json('run', 'stopped')['changed'], False)
        self.assertIn('HostNotFound', self.ctl('run', 'stopped', '--on', 'elsewhere',
                                               status=NOT_FOUND).err)
        stopped = self.json('stop', 'stopped')
        self.assertEqual((stopped['State'], stopped['changed']), ('shutoff', True))
        self.assertIs(self.json('stop', 'stopped')['changed'], False)

    def test_identity(self):
        """Another LUN under the number of the one that is attached."""
        target = self.lab.add_target('reused')
        lun = target.luns[1]
        self.ctl('discover', '127.0.0.1')
        self.ctl('connect', target.iqn)
        self.ctl('attach', 'runner', lun.guid, '--no-plug')
        target.tgtd.remove_lun(target.tid, 1)
        target.add_lun(1, 16 * MIB, naa='60014059999999999999999999999999')
        done = self.ctl('plug', 'runner', lun.guid, status=IDENTITY)
        self.assertIn('GuidMismatch', done.err)

    def test_refresh_tells_what_failed(self):
        self.connect_one()
        self.lab.start_tgtd('second', port=3261)
        target = self.lab.add_target('lost', tgtd='second')
        self.ctl('discover', '127.0.0.1:3261')
        self.ctl('connect', target.iqn)
        self.lab.tgtds.pop('second').stop()
        done = self.ctl('list', '--refresh')
        self.assertIn(target.iqn, done.err)
        self.assertIn(self.one.luns[1].guid, done.out)
        self.lab.client.call(object_path('targets', target.iqn), 'Target', 'Forget', '(a{sv})', {})

    def test_show_by_every_name(self):
        self.connect_one()
        guid = self.one.luns[1].guid
        attached = self.json('attach', 'runner', guid, '--alias', 'named')
        for kind, words in {
                'target': [self.one.iqn, object_path('targets', self.one.iqn)],
                'lun': [guid, object_path('luns', guid)],
                'vdisk': [vdisk_id(guid), 'named', object_path('vdisks', vdisk_id(guid))],
                'vm': ['runner', self.vm_one.uuid, object_path('vms', self.vm_one.uuid)],
                'attachment': [attached['id'], attached['path']],
                'host': [os.uname().nodename],
                'job': [self.json('jobs')[-1]['id']]}.items():
            for word in words:
                self.assertEqual(self.json('show', word)['kind'], kind, word)

    def test_images(self):
        self.connect_one()
        guid = self.one.luns[1].guid
        self.ctl('create', guid, '--alias', 'drawn')
        raw, = self.json('images', 'drawn')
        self.assertEqual((raw['format'], raw['current']), ('raw', True))
        self.ctl('--dry-run', 'snapshot', 'drawn')
        uid = self.ctl('--quiet', 'snapshot', 'drawn').out.strip()
        table = self.ctl('images', 'drawn').out.splitlines()
        self.assertEqual(len(table), 3)
        self.assertRegex(table[2], r'^%s .* qcow2 +yes' % uid)
        self.assertEqual(self.ctl('__complete', 'images-of', 'drawn').out.split(),
                         [raw['image'], uid])
        self.assertIn('drawn', self.ctl('__complete', 'vdisks').out.split())
        self.assertEqual(self.json('snapshot', 'drawn')['image'],
                         self.json('images', 'drawn')[2]['image'])
        self.ctl('merge', 'drawn', uid, status=REFUSED)
        self.ctl('revert', 'drawn', 'none', status=USAGE)
        self.ctl('revert', 'drawn', uid)
        self.assertEqual([i['current'] for i in self.json('images', 'drawn')], [False, True])
        self.ctl('revert', 'drawn', raw['image'])
        self.assertEqual(len(self.json('images', 'drawn')), 1)

    def everything(self):
        """All that a dry run may not change: libvirt's and the service's, without the jobs."""
        return (self.vm_one.xml(), self.vm_one.xml('--inactive'),
                {path: value for path, value in self.lab.client.managed().items()
                 if '/jobs/' not in path})

    def test_dry_run(self):
        """What would be done is printed, what would be refused is refused, and nothing changes."""
        self.connect_one()
        one, two = (self.one.luns[n].guid for n in (1, 2))
        self.ctl('attach', 'runner', one, '--alias', 'there')
        off = self.define_vm('off')
        before = self.everything()
        for words, told in {
                ('attach', 'runner', two, '--alias', 'new'):
                    ['Would make the vDisk .* of %s$' % two, 'Would plug %s into the running VM '
                     'runner as vd[b-z] ' % two],
                ('attach', 'off', two): ['Would add %s to the configuration of VM off as vda' % two],
                ('create', two): ['Would make the vDisk .* of %s$' % two],
                ('unplug', 'runner', 'there'): ['Would ask the guest of VM runner to release'],
                ('detach', 'runner', 'there'): ['Would ask the guest', 'Would remove the attachment'],
                ('connect', self.one.iqn, '--pin'): ['Would '],
                ('run', 'off'): ['Would start VM off'],
                ('stop', 'runner'): ['Would ']}.items():
            with self.subTest(' '.join(words)):
                done = self.ctl('--dry-run', *words)
                for line in done.out.splitlines():
                    self.assertRegex(line, '^Would ')
                for expected in told:
                    self.assertRegex(done.out, '(?m)^' + expected)
                job = self.json('-n', *words)
                self.assertEqual((job['kind'], job['DryRun'], job['State']),
                                 ('job', True, 'succeeded'))
                self.assertEqual([line for line in job['Report'] if line.startswith('Would ')],
                                 done.out.splitlines())
                self.assertEqual(self.everything(), before)
        self.assertEqual(off.state(), 'shut off')
        idle = self.ctl('--dry-run', 'plug', 'runner', 'there')
        self.assertEqual(idle.out, '')
        for status, words in ((NOT_FOUND, ('create', UNKNOWN_GUID)),
                              (USAGE, ('cancel', self.json('jobs')[0]['id'])),
                              (REFUSED, ('attach', 'off', one))):
            with self.subTest('refused: ' + ' '.join(words)):
                self.ctl('--dry-run', *words, status=status)
                self.assertEqual(self.everything(), before)
        self.vm_one.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_completion_words(self):
        self.connect_one()
        guid = self.one.luns[1].guid
        self.ctl('attach', 'runner', guid, '--alias', 'named')

        def words(*names):
            return self.ctl('__complete', *names).out.split()
        self.assertIn(self.one.iqn, words('targets'))
        self.assertLessEqual({x.guid for x in self.one.luns.values()}, set(words('luns')))
        self.assertIn('runner', words('vms'))
        self.assertEqual(words('disks-of', 'runner'), [guid, 'named'])
        self.assertIn('named', words('disks'))
        self.assertTrue(set(words('jobs')) and set(words('jobs')) <= set(words('objects')))
        self.assertEqual(words('nonsense'), [])

    def test_zsh_completion(self):
        """In a real zsh on a terminal, as it comes: it finds the completions by itself."""
        self.connect_one()
        guid = self.one.luns[1].guid
        shell, terminal = pty.openpty()
        zsh = subprocess.Popen(['zsh', '-f', '-i'], stdin=terminal, stdout=terminal,
                               stderr=terminal, start_new_session=True)
        os.close(terminal)
        self.addCleanup(os.close, shell)
        self.addCleanup(zsh.wait)
        self.addCleanup(zsh.kill)
        threading.Thread(target=drain, args=(shell,), daemon=True).start()
        told = lab.WORK + '/zsh'
        os.write(shell, b'autoload -Uz compinit; compinit -u -D; tell() { print -r -- "$BUFFER" '
                        b'>%s.new; mv %s.new %s; BUFFER=; }; zle -N tell; bindkey "^T" tell\r'
                 % ((told.encode(),) * 3))

        def complete(line):
            os.write(shell, line.encode() + b'\t\x14')
            lab.wait_until(lambda: os.path.exists(told), 20, 'zsh completing ' + line)
            with open(told) as f:
                text = f.read().strip()
            os.unlink(told)
            return text.replace('\\', '')
        self.assertEqual(complete('directlunctl disc'), 'directlunctl discover')
        self.assertEqual(complete('directlunctl -q unp'), 'directlunctl -q unplug')
        self.assertEqual(complete('directlunctl connect --gu'), 'directlunctl connect --guid=')
        self.assertEqual(complete('directlunctl connect ' + self.one.iqn[:-2]),
                         'directlunctl connect ' + self.one.iqn)
        found = complete('directlunctl create ' + guid[:4]).removeprefix('directlunctl create ')
        self.assertTrue(guid.startswith(found) and len(found) >= 8, found)  # all that they share
        self.assertEqual(complete('directlunctl attach run'), 'directlunctl attach runner')
        self.assertEqual(complete('directlunctl attach runner --iface=sc'),
                         'directlunctl attach runner --iface=scsi')

    def test_bash_completion(self):
        self.connect_one()
        script = 'source /usr/share/bash-completion/completions/directlunctl\n' \
            'COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_WORDBREAKS="=: "\n' \
            '_directlunctl; printf "%%s\\n" "${COMPREPLY[@]}"'

        def complete(*words):
            """The words as readline splits them: at = and : too."""
            line = ' '.join("'%s'" % word for word in ('directlunctl', *words))
            return self.lab.run('bash', '--norc', '-c', script % line).split()
        guid = self.one.luns[1].guid
        self.assertEqual(complete('disc'), ['discover'])
        self.assertEqual(complete('-q', 'unp'), ['unplug'])
        self.assertIn(self.one.iqn, complete('connect', ''))
        self.assertEqual(complete('connect', 'iqn.2026-11.org.ovirt.test', ':', 'o'), ['one'])
        self.assertEqual(complete('connect', '--gu'), ['--guid'])
        self.assertIn(guid, complete('connect', '--guid', ''))
        self.assertIn(guid, complete('create', '3600'))
        self.assertEqual(complete('create', guid, ''), [])
        self.assertEqual(complete('attach', 'run'), ['runner'])
        self.assertIn(guid, complete('attach', 'runner', ''))
        self.assertEqual(complete('attach', 'runner', '--iface', 'v'), ['virtio'])
        self.assertEqual(set(complete('--json', '')), {'short', 'pretty', 'off'})
        self.assertEqual(complete('--json', '=', 's'), ['short'])
        self.assertEqual(set(complete('--json', '=')), {'short', 'pretty', 'off'})

    def test_monitor(self):
        target = object_path('targets', self.one.iqn)
        with subprocess.Popen([CTL, '--json=short', 'monitor'], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0) as process:
            self.addCleanup(process.kill)
            self.assertIn(b'Following', process.stderr.readline())
            self.connect_one()
            self.ctl('unmanage', self.one.iqn)
            text, events = b'', []
            while not any(e['path'] == target and e['event'] == 'changed' and
                          e['properties'].get('State') == 'disconnected' for e in events):
                self.assertTrue(select.select([process.stdout], [], [], 20)[0], events)
                text += os.read(process.stdout.fileno(), 65536)
                events = [json.loads(line) for line in text.split(b'\n')[:-1]]
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(10), 0)
        for event in events:
            self.assertEqual(set(event) - {'properties'}, {'time', 'event', 'kind', 'id', 'path'})
        seen = {(e['event'], e['kind']) for e in events}
        self.assertLessEqual({('added', 'job'), ('completed', 'job'), ('changed', 'target')}, seen)

    def test_no_service_no_words(self):
        """Completion is silent and the rest says what is missing when there is no bus."""
        environment = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}
        words = self.ctl('__complete', 'targets', env=environment)
        self.assertEqual((words.out, words.err), ('', ''))
        self.assertIn('system bus', self.ctl('list', env=environment, status=SERVICE).err)
