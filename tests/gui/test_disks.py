# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of disks, and the states of the connection to the service."""

import os
import signal

import gui
import service

DENIED = '''polkit.addRule(function(action, subject) {
    if (action.id.indexOf('org.ovirt.DirectLun.') == 0 && subject.user == 'nobody')
        return polkit.Result.NO;
});
'''


class TestDisks(gui.TestCase, service.Calls):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.target = cls.lab.add_target('disks', luns=3)

    def discover(self):
        target, = self.lab.client.call(
            service.ROOT, 'org.ovirt.DirectLun.Manager', 'DiscoverTargets', '(sqa{sv})',
            '127.0.0.1', 3260, {})[0]
        return target

    def test_1_empty(self):
        self.open()
        self.see('No disks yet')
        self.shot('disks-empty')
        self.click('button', 'All devices')
        self.see('No devices are known')

    def test_2_live(self):
        """What others do appears by itself; a LUN ID is copied, and is never wrapped."""
        self.open('/?show=devices')
        self.see('No devices are known')
        target = self.discover()
        self.lab.client.call(target, 'org.ovirt.DirectLun.Target', 'Connect', '(a{sv})', {})
        self.js('await page.locator("tbody tr").nth(2).waitFor()')
        guid = self.js('return page.locator(".dl-guid").first().innerText()').strip()
        self.assertEqual(self.js('''
            const one = page.locator('.dl-guid').first();
            return one.evaluate(e => getComputedStyle(e).whiteSpace)'''), 'nowrap')
        self.shot('devices')
        self.lab.client.call(service.ROOT, 'org.ovirt.DirectLun.Manager', 'CreateVDisk', '(sa{sv})',
                             guid, {'alias': 'database', 'description': 'of the shop'})
        self.see('database')
        self.fill('Filter', 'shop')
        self.js('await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1)')
        self.fill('Filter', 'there is no such thing')
        self.see('Nothing matches the filter')
        self.click('button', 'Clear the filter')
        self.js('await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 3)')

    def test_3_restart(self):
        """A service that ends in the middle is called again, and goes on to be live."""
        self.open('/?show=devices')
        self.js('await page.locator("tbody tr").first().waitFor()')
        for sig in (signal.SIGTERM, signal.SIGKILL):
            pid = self.lab.owner_pid()
            os.kill(pid, sig)
            gui.lab.wait_until(lambda: self.lab.owner_pid() not in (None, pid), what='a new service')
            vdisk, = self.lab.client.objects('VDisk')
            self.lab.client.call(vdisk, 'org.ovirt.DirectLun.VDisk', 'Update', '(a{sv})',
                                 {'alias': 'after %s' % sig.name})
            self.see('after ' + sig.name)
        self.gone('is being called again')

    def test_4_nobody(self):
        """A user that polkit allows nothing sees all, and why nothing can be changed."""
        self.lab.polkit_rules(DENIED)
        self.addCleanup(self.lab.polkit_rules, '')
        self.open('/?show=devices', user='nobody')
        self.see('You can look, but change nothing')
        self.js('await page.locator("tbody tr").nth(2).waitFor()')
        self.shot('read-only')

    def test_5_dark(self):
        self.open('/?show=devices', dark=True)
        self.js('await page.locator("html.pf-v6-theme-dark tbody tr").first().waitFor()')
        self.shot('devices-dark')


class TestAbsent(gui.TestCase):
    services = ('bus',)

    def test_absent(self):
        """A service that cannot be started, and comes later."""
        activation = gui.lab._ACTIVATION
        os.rename(activation, activation + '.off')
        self.lab.run('busctl', 'call', 'org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'ReloadConfig')
        self.open()
        self.see('directlund is not there')
        self.shot('absent')
        os.rename(activation + '.off', activation)
        self.lab.run('busctl', 'call', 'org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'ReloadConfig')
        self.see('No disks yet')
