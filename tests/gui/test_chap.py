# SPDX-License-Identifier: LGPL-2.1-or-later
"""CHAP in the page: asked for where it is needed, kept by the service, and its passwords seen nowhere."""

import os
import secrets
import subprocess

import gui
import lab
from client import DBusError
from service import object_path


def password():
    return 'S' + secrets.token_hex(6) + 'Z'


class TestChap(gui.TestCase):
    services = ('bus', 'polkit', 'tgt')
    settings = {'Daemon': {'LogLevel': 'debug'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.own, cls.second, cls.theirs, cls.wrong = (password() for _ in range(4))
        tgtd = cls.lab.start_tgtd('guarded', '127.0.0.1', 3261)
        cls.one = cls.lab.add_target('one', tgtd='guarded', user='reader', password=cls.own)
        cls.both = cls.lab.add_target('both', tgtd='guarded', user='both', password=cls.second)
        tgtd.add_account('target', cls.theirs, cls.both.tid, outgoing=True)
        tgtd.bind_account('reader', -1)

    def setUp(self):
        super().setUp()
        self.recorded = lab.WORK + '/bus.pcap'
        with open(self.recorded, 'wb') as f:
            self.monitor = subprocess.Popen(['dbus-monitor', '--system', '--pcap'], stdout=f,
                                            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.addCleanup(self.monitor.wait)
        self.addCleanup(self.monitor.terminate)
        lab.wait_until(lambda: os.path.getsize(self.recorded), what='the bus being recorded')
        self.open(self.where)
        self.js("t.said = []; page.on('console', message => t.said.push(message.text()))")

    @property
    def where(self):
        return '/targets' if 'targets' in self._testMethodName else '/'

    def type(self, field, text):
        self.js('await page.locator(`[id="${args.field}"]`).fill(args.text)', field=field, text=text)

    def value(self, field):
        return self.js('return page.locator(`[id="${args.field}"]`).inputValue()', field=field)

    def error_at(self, field):
        self.js('''await page.locator(`[id="${args.field}-help"]`).waitFor();
                   await page.locator(`[id="${args.field}"][aria-invalid="true"]`).waitFor()''', field=field)

    def state(self, target, name='State'):
        return self.get(object_path('targets', target.iqn), 'Target', name)

    def assert_nowhere(self):
        """The passwords are in no message, log, page or storage of the browser."""
        self.monitor.terminate()
        self.monitor.wait()
        places = {self.recorded: None}
        for directory, _, names in os.walk(self.lab.logs):
            places.update({os.path.join(directory, name): None for name in names})
        for path in places:
            with open(path, 'rb') as f:
                places[path] = f.read()
        places['console'] = '\n'.join(self.js('return t.said')).encode()
        places['page'] = self.js('''return await page.evaluate(() => JSON.stringify([
            document.documentElement.outerHTML, location.href, {...localStorage}, {...sessionStorage},
            [...document.querySelectorAll('input')].map(input => input.value)]))''').encode()
        self.assertIn(b'AcceptSecret', places[self.recorded])
        self.assertIn(b'SetCredentialsByToken', places[self.recorded])
        for secret in (self.own, self.second, self.theirs, self.wrong):
            for where, content in places.items():
                self.assertNotIn(secret.encode(), content, where)

    def test_1_add_disk(self):
        """Asked for by the portal, then by one of the targets, which has to prove itself, too."""
        self.click('button', 'Add disk')
        self.type('address', '127.0.0.1')
        self.type('port', '3261')
        self.press('Discover')
        self.error_at('chap-secret')
        self.assertIs(self.js('return page.getByLabel("Log in with CHAP").isChecked()'), True)
        self.shot('chap-asked')
        self.type('chap-user', 'reader')
        self.type('chap-secret', self.wrong)
        self.press('Discover')
        self.error_at('chap-secret')
        self.assertEqual([self.value(f) for f in ('address', 'port', 'chap-user', 'chap-secret')],
                         ['127.0.0.1', '3261', 'reader', ''])
        self.type('chap-secret', self.own)
        self.press('Discover')

        for target in (self.one, self.both):
            self.js('await page.getByLabel(args.iqn, {exact: true}).check()', iqn=target.iqn)
        self.press('Connect')
        prefix = self.both.iqn + '-chap-'
        self.error_at(prefix + 'secret')
        self.assertEqual([self.state(t) for t in (self.one, self.both)], ['connected', 'disconnected'])
        self.type(prefix + 'user', 'both')
        self.type(prefix + 'secret', self.second)
        self.js('await page.locator(`[id="${args.id}"]`).check()', id=prefix + 'mutual')
        self.type(prefix + 'target-user', 'target')
        self.type(prefix + 'target-secret', self.wrong)
        self.press('Connect')
        self.error_at(prefix + 'target-secret')
        self.shot('chap-mutual')
        self.assertEqual([self.value(prefix + f) for f in ('user', 'target-user', 'secret', 'target-secret')],
                         ['both', 'target', '', ''])
        self.type(prefix + 'secret', self.second)
        self.type(prefix + 'target-secret', self.theirs)
        self.press('Connect')
        self.see(self.both.luns[1].guid)
        self.assertEqual([self.state(t) for t in (self.one, self.both)], ['connected', 'connected'])
        self.assert_nowhere()

    def test_2_targets_have_credentials(self):
        """Removed, set and replaced; in German."""
        def open_dialog():
            self.click('button', 'Credentials', within=self.one.iqn)
            self.js('await page.getByRole("dialog").waitFor()')

        def closed():
            self.js('await page.getByRole("dialog").waitFor({state: "detached"})')

        def rescanned():
            try:
                self.method(object_path('targets', self.one.iqn), 'Target', 'Rescan')
            except DBusError as error:
                return error.name.rpartition('.')[2]
            return ''

        open_dialog()
        self.press('Remove')
        closed()
        self.assertIs(self.state(self.one, 'HasCredentials'), False)
        self.assertEqual(rescanned(), 'AuthFailed')
        for secret, wanted in ((self.wrong, 'AuthFailed'), (self.own, '')):
            open_dialog()
            self.type('chap-user', 'reader')
            self.type('chap-secret', secret)
            self.press('Set' if secret == self.wrong else 'Replace')
            closed()
            self.assertIs(self.state(self.one, 'HasCredentials'), True)
            self.assertEqual(rescanned(), wanted)
        self.assert_nowhere()
        self.open('/targets', page='german', language='de', dark=True)
        self.click('button', 'Zugangsdaten', within=self.one.iqn)
        self.see('Das Target hat Zugangsdaten')
        self.shot('chap-german')

    def test_3_targets_as_a_user(self):
        """Who may manage disks may say secrets, too, without being root."""
        self.lab.polkit_rules(gui.ALLOWED)
        self.addCleanup(self.lab.polkit_rules, '')
        self.open('/targets', user='nobody', page='user')
        self.js("t.said = []; page.on('console', message => t.said.push(message.text()))")
        self.click('button', 'Credentials', within=self.both.iqn)
        self.type('chap-user', 'reader')
        self.type('chap-secret', self.own)
        self.press('Replace')
        self.js('await page.getByRole("dialog").waitFor({state: "detached"})')
        with self.assertDBusError('AuthFailed'):
            self.method(object_path('targets', self.both.iqn), 'Target', 'Rescan')
        self.assert_nowhere()
