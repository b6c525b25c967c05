# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of the page in Cockpit: a headless Chromium → cockpit-ws → cockpit-bridge → the real service,
with tgtd and libvirtd behind it. Also what tests/demo --gui serves the page with.

    class TestDisks(gui.TestCase):
        def test_it(self):
            self.open('/')
            self.click('button', 'Add disk')
            self.see('No disks yet')
            self.shot('no-disks')       # a picture; and axe finds nothing wrong

At the end of each test there must be no error on the console, and no request that failed.
"""

import json
import os
import select
import subprocess
import time

import lab
import service

ALLOWED = '''polkit.addRule(function(action, subject) {
    if (action.id.indexOf('org.ovirt.DirectLun.') == 0 && subject.user == 'nobody')
        return polkit.Result.YES;
});
'''
PORTS = {'root': 9090, 'nobody': 9091}
PATIENCE = 60
SESSION_LASTS = 8
HERE = os.path.dirname(os.path.abspath(__file__))


def serve(world, user='root', address='127.0.0.1'):
    """Starts cockpit-ws with a session of a user, without a login; its address."""
    bus = world.logs + '/session-%s' % user
    argv = ['/usr/lib/cockpit/cockpit-ws', '--no-tls', '--local-session=cockpit-bridge',
            '--address', address, '--port', str(PORTS[user])]
    if user != 'root':
        argv = ['setpriv', '--reuid=' + user, '--regid=nogroup', '--clear-groups', '--', *argv]
    world.spawn('cockpit-' + user, *argv,
                env={**os.environ, 'DBUS_SESSION_BUS_ADDRESS': 'unix:path=' + bus,
                     'HOME': '/root' if user == 'root' else '/nonexistent', 'USER': user})
    url = 'http://%s:%d' % (address, PORTS[user])
    lab.wait_until(lambda: world.run('python3', '-c', 'import socket; socket.create_connection(("%s", %d))'
                                     % (address, PORTS[user]), check=False).returncode == 0,
                   what='cockpit-ws of ' + user)
    return url


class Browser:
    """The program that has the browser."""

    def __init__(self, world):
        profile = lab.WORK + '/browser'
        os.makedirs(profile, exist_ok=True)
        self._log = open(world.logs + '/browser.log', 'ab')
        self._process = subprocess.Popen(
            ['node', HERE + '/driver.mjs', profile], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, env={**os.environ, 'HOME': profile})
        self.version = self._answer()

    def _answer(self):
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise AssertionError('the browser does not answer')
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError('the browser has ended: see browser.log')
        answer = json.loads(line)
        if 'error' in answer:
            raise AssertionError(answer['error'])
        return answer['value']

    def run(self, code, **args):
        self._process.stdin.write(json.dumps({'code': code, 'args': args}).encode() + b'\n')
        self._process.stdin.flush()
        return self._answer()

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


class TestCase(service.TestCase):
    """A class of tests that share a lab and a browser. What goes through a page goes through the
    page named self.page."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls._left = {}  # when the last page of a user was closed
        cls.browser = Browser(cls.lab)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.page = 'one'
        self._users = set()  # that have pages open
        self.addCleanup(self._close_pages)

    def _close_pages(self):
        problems = self.browser.run('''
            for (const page of Object.values(t.pages))
                await page.context().close();
            t.pages = {};
            return t.problems.splice(0);''')
        self._left.update({user: time.monotonic() for user in self._users})
        self.assertEqual(problems, [])

    # ---- the page

    def open(self, path='/', user='root', page=None, dark=False, language='en', timezone='UTC'):
        """Opens the page at a path, as a user, in a browser profile of its own."""
        self.page = page or self.page
        self._serve(user)
        self.browser.run('await t.open(args.page, args.url, args.options, args.language)', page=self.page,
                         url='http://127.0.0.1:%d/cockpit/@localhost/directlun/index.html#%s'
                         % (PORTS[user], path),
                         options={'colorScheme': 'dark' if dark else 'light',
                                  'locale': language, 'timezoneId': timezone}, language=language)

    def _serve(self, user):
        """Sees to a session. One ends 15 s after its last page is gone, and cockpit-ws with it has no
        other: it then asks for a login."""
        name = 'cockpit-' + user
        left = type(self)._left
        if name in self.lab.processes and time.monotonic() - left.get(user, 0) > SESSION_LASTS:
            if user not in self._users:
                self.lab.kill(name)
        if name not in self.lab.processes:
            serve(self.lab, user)
        self._users.add(user)

    def js(self, code, **args):
        """Runs code with `page` in the browser's program; its value."""
        try:
            return self.browser.run('const page = t.pages[args.page]; ' + code, page=self.page, **args)
        except AssertionError:
            self._picture('failed-' + self._testMethodName)
            raise

    def go(self, path):
        self.js('await page.evaluate(path => { window.location.hash = path; }, args.path)', path=path)

    def click(self, role, name, within=None):
        self.js('''const scope = args.within ? page.getByRole('row').filter({hasText: args.within}) : page;
                   await scope.getByRole(args.role, {name: args.name, exact: true}).first().click()''',
                role=role, name=name, within=within)

    def fill(self, label, value):
        self.js('await page.getByLabel(args.label, {exact: true}).first().fill(args.value)',
                label=label, value=value)

    def press(self, name):
        """A button of the dialog."""
        self.js('await page.getByRole("dialog").getByRole("button", {name: args.name, exact: true}).click()',
                name=name)

    def no_dialog(self):
        self.js('await page.getByRole("dialog").waitFor({state: "detached"})')

    def choose(self, lun):
        """A device, in the wizard."""
        self.js('await page.getByRole("row").filter({hasText: args.guid}).getByRole("radio").check()', guid=lun.guid)

    def see(self, text, within=None):
        self.js('''const scope = args.within ? page.getByRole('row').filter({hasText: args.within}) : page;
                   await scope.getByText(args.text).first().waitFor()''', text=text, within=within)

    def gone(self, text):
        self.js('''await page.waitForFunction(
                text => document.body && !document.body.innerText.includes(text), args.text)''', text=text)

    def rows(self):
        return self.js('return page.locator("tbody tr").allInnerTexts()')

    def _picture(self, name):
        directory = os.environ.get('DL_SCREENSHOTS')
        if directory:
            self.browser.run('await t.pages[args.page].screenshot({path: args.path})',
                             page=self.page, path='%s/%s.png' % (directory, name))

    def shot(self, name):
        """A picture of this state, which axe must find nothing wrong with. Colours that are still on
        their way to it are waited for."""
        self.js('''await page.waitForFunction(() => document.getAnimations().every(
                each => each.playState !== 'running' || each.effect.getComputedTiming().iterations === Infinity))''')
        self._picture(name)
        self.assertEqual(self.js('return t.axe(page)'), [], name)
