# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of disks, and the states of the connection to the service."""

import os
import signal

import gui
import lab
from service import ROOT

DENIED = '''polkit.addRule(function(action, subject) {
    if (action.id.indexOf('org.ovirt.DirectLun.') == 0 && subject.user == 'nobody')
        return polkit.Result.NO;
});
'''

FORBIDDEN = '''<busconfig><policy user="nobody">
    <deny send_destination="org.ovirt.DirectLun"/>
</policy></busconfig>
'''


class Rows(gui.TestCase):
    def wait_rows(self, count):
        self.js('''await page.waitForFunction(
                n => document.querySelectorAll('tbody tr').length === n, args.count)''', count=count)


class TestDisks(Rows):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.target_of_lab = cls.lab.add_target('disks', luns=3)

    def test_1_empty(self):
        self.open()
        self.see('No disks yet')
        self.shot('disks-empty')
        self.click('button', 'All devices')
        self.see('No devices are known')

    def test_2_live(self):
        """What others do appears by itself; a LUN ID is never wrapped."""
        self.open('/?show=devices')
        self.see('No devices are known')
        self.connect(self.target_of_lab)
        self.wait_rows(3)
        self.assertEqual(self.js('''return page.locator('.dl-guid').first().evaluate(
                element => element.getClientRects().length)'''), 1)
        self.shot('devices')
        self.create_vdisk(self.target_of_lab.luns[1].guid, alias='database', description='of the shop')
        self.see('database')
        self.fill('Filter', 'SHOP')
        self.wait_rows(1)
        self.fill('Filter', 'there is no such thing')
        self.see('Nothing matches the filter')
        self.click('button', 'Clear the filter')
        self.wait_rows(3)
        guids = sorted(lun.guid for lun in self.target_of_lab.luns.values())
        for order in (guids[::-1], guids):
            self.click('button', 'LUN ID')
            self.assertEqual([next(guid for guid in guids if guid in row) for row in self.rows()], order)

    def test_3_restart(self):
        """A service that ends in the middle is called again, and what it tells is live again."""
        self.open('/?show=devices')
        self.wait_rows(3)
        for sig in (signal.SIGTERM, signal.SIGKILL):
            pid = self.lab.owner_pid()
            os.kill(pid, sig)
            lab.wait_until(lambda: self.lab.owner_pid() not in (None, pid), what='a new service')
            vdisk, = self.client.objects('VDisk')
            self.method(vdisk, 'VDisk', 'Update', alias='after %s' % sig.name)
            self.see('after ' + sig.name)
        self.gone('is being called again')

    def test_4_denied(self):
        """A user that polkit allows nothing sees all, and why nothing can be changed."""
        self.lab.polkit_rules(DENIED)
        self.addCleanup(self.lab.polkit_rules, '')
        self.open('/?show=devices', user='nobody')
        self.see('You can look, but change nothing')
        self.wait_rows(3)
        self.assertTrue(self.js("return page.getByRole('button', {name: 'Add disk'}).isDisabled()"))
        self.shot('read-only')
        lun = self.target_of_lab.luns[1]
        for path, buttons in (('/disk/' + lun.guid, ('Refresh', 'Rename', 'Forget')),
                              ('/targets', ('Credentials', 'Forget'))):
            self.go(path)
            for name in buttons:
                self.js("await page.getByRole('button', {name: args.name, exact: true, disabled: true})"
                        ".first().waitFor()", name=name)
            self.assertEqual(self.js("""return page.getByRole('button',
                    {disabled: false, name: /^(Refresh|Rename|Forget|Credentials|Add disk)$/}).count()"""), 0)

    def test_4_refresh(self):
        """A LUN that has grown, and nobody knows."""
        lun = self.target_of_lab.luns[2]
        self.open('/disk/' + lun.guid)
        self.see('16 MiB')
        lun.resize(48 << 20)
        self.click('button', 'Refresh')
        self.see('48 MiB')

    def test_5_dark(self):
        self.open('/?show=devices', dark=True)
        self.js('await page.locator("html.pf-v6-theme-dark tbody tr").first().waitFor()')
        self.shot('devices-dark')

    def test_6_german(self):
        self.open('/?show=devices', language='de')
        self.see('Platte hinzufügen')
        self.wait_rows(3)
        self.assertEqual(self.js('return page.evaluate(() => document.documentElement.lang)'), 'de')
        self.click('button', 'Platte hinzufügen')
        self.see('Rechnername oder IP-Adresse')
        self.shot('wizard-german')


class TestConnection(gui.TestCase):
    """What the page tells when it has no service, or no way to it."""

    services = ('bus',)

    def reload_bus(self):
        self.lab.run('busctl', 'call', 'org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'ReloadConfig')

    def test_absent(self):
        """A service that cannot be started, and comes later."""
        self.lab.stop_daemon()
        activation = '/usr/share/dbus-1/system-services/%s.service' % lab.BUS_NAME
        os.rename(activation, activation + '.off')
        self.reload_bus()
        self.open()
        self.see('directlund is not there')
        self.shot('absent')
        os.rename(activation + '.off', activation)
        self.reload_bus()
        self.see('No disks yet')
        self.assertEqual(self.get(ROOT, 'Manager', 'Engine'), 'sqlite')

    def test_forbidden(self):
        """A user whom the bus does not let talk to the service, and then does."""
        policy = '/etc/dbus-1/system.d/forbidden.conf'
        with open(policy, 'w') as f:
            f.write(FORBIDDEN)
        self.reload_bus()
        self.open(user='nobody')
        self.see('You may not talk to the service')
        self.shot('forbidden')
        os.unlink(policy)
        self.reload_bus()
        self.see('No disks yet')

    def test_lost(self):
        """While the next service is on its way, what was known is shown, and that it is old."""
        self.open()
        self.see('No disks yet')
        script, go = lab.WORK + '/directlund', lab.WORK + '/go'
        with open(script) as f:
            text = f.read()
        with open(script, 'w') as f:
            f.write(text.replace('\n', '\nuntil [ -e %s ]; do sleep 0.05; done\n' % go, 1))
        os.kill(self.lab.owner_pid(), signal.SIGKILL)
        self.see('The service has gone, and is being called again')
        self.see('No disks yet')
        self.shot('lost')
        self.open(page='new')
        self.see('Connecting to the service')
        self.shot('connecting')
        self.page = 'one'
        with open(go, 'w'):
            pass
        self.gone('is being called again')
        self.assertTrue(self.js("return page.getByRole('button', {name: 'Add disk'}).isEnabled()"))

    def test_silent(self):
        """A service that is there and says nothing."""
        pid = self.lab.owner_pid()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.open()
        self.js("await page.getByText('The service does not answer').waitFor({timeout: 60000})")
        self.shot('silent')
        os.kill(pid, signal.SIGCONT)
        self.see('No disks yet')

    def test_cut_off(self):
        """Cockpit itself goes; what was known stays to be read."""
        self.open()
        self.see('No disks yet')
        self.lab.kill('cockpit-root')
        self.see('The connection to this machine is lost')
        self.see('No disks yet')
        self.shot('cut-off')
        gui.serve(self.lab)
        self.click('button', 'Reload')
        self.gone('The connection to this machine is lost')
        self.js('await page.getByRole("button", {name: "Add disk", disabled: false}).waitFor()')
        problems = self.browser.run('return t.problems.splice(0)')
        self.assertEqual([each for each in problems if 'WebSocket' not in each], [])


class TestMany(Rows):
    def see_page(self, text):
        self.js('''await page.waitForFunction(text => document.querySelector('.pf-v6-c-pagination')
                ?.innerText.includes(text), args.text)''', text=text)

    def test_many(self):
        """2,000 devices; a hundred are on a page. (tests/bench tells how long it takes.)"""
        for number in range(10):
            self.connect(self.lab.add_target('many%d' % number, luns=200))
        self.open('/?show=devices')
        self.wait_rows(100)
        self.see_page('1 - 100')
        self.fill('Filter', 'many9-200')
        self.wait_rows(1)
        self.fill('Filter', '')
        self.wait_rows(100)
        self.js('await page.getByRole("button", {name: "Go to next page"}).click()')
        self.see_page('101 - 200')
        self.shot('devices-many')
