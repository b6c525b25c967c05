# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/demo --gui: the page among Cockpit's own, for who started it and nobody else."""

import os
import re
import select
import signal
import subprocess
import time

import gui
import lab

DEMO = os.path.join(gui.HERE, '..', 'demo')
NOBODY = ('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', '--')
READY = re.compile(r'^ +(http://127\.0\.0\.1:\d+)(/\S+)$', re.M)


class TestDemo(lab.TestCase):
    services = ()

    def setUp(self):
        self._output = ''
        self._demo = subprocess.Popen([DEMO, '--gui'], stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      start_new_session=True)
        self.addCleanup(self._end)

    def _end(self):
        if self._demo.poll() is None:
            os.killpg(self._demo.pid, signal.SIGKILL)
            self._demo.wait()
        for pipe in (self._demo.stdin, self._demo.stdout):
            pipe.close()

    def read_until(self, pattern, timeout=90):
        end = time.monotonic() + timeout
        while not pattern.search(self._output):
            if not select.select([self._demo.stdout], [], [], max(0, end - time.monotonic()))[0]:
                self.fail('%s is not said in time, but: %s' % (pattern.pattern, self._output))
            chunk = os.read(self._demo.stdout.fileno(), 65536).decode()
            self.assertTrue(chunk, self._output)
            self._output += chunk
        return pattern.search(self._output)

    def status(self, url, *user):
        """What a user is answered with: HTTP's number, 0 if the connection ends without one."""
        result = self.lab.run(*user, 'curl', '--silent', '--max-time', '20', '--output', '/dev/null',
                              '--write-out', '%{http_code}', url, check=False)
        return int(result.stdout)

    def test_it(self):
        address, place = self.read_until(READY).groups()
        self.assertEqual(self.status(address + place), 200)
        self.assertEqual(self.status(address + place, *NOBODY), 0)

        browser = gui.Browser(self.lab)
        self.addCleanup(browser.close)
        browser.run('await t.open("it", args.url, {}, "en")', url=address + place)
        menu, disk = browser.run('''
            const page = t.pages.it;
            const menu = page.getByRole('link', {name: 'SAN disks'});
            await menu.waitFor();
            const disk = page.frameLocator('iframe[data-active=true]').getByRole('row').filter({hasText: 'tables'});
            await disk.waitFor();
            return [await menu.getAttribute('href'), await disk.innerText()];''')
        self.assertEqual(menu, place)
        browser.run('''
            await t.open('german', args.url, {}, 'de');
            await t.pages.german.getByRole('link', {name: 'SAN-Platten'}).waitFor();
            await t.pages.german.context().close();''', url=address + place)
        self.assertIn('64 MiB', disk)
        browser.run('await t.pages.it.context().close()')

        self._demo.stdin.write('\n')
        self._demo.stdin.flush()
        self.assertEqual(self._demo.wait(30), 0)
        self.assertEqual(self.status(address + place), 0)
