# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people do in the page, seen in a running guest, and in a second browser."""

import os
import signal

import gui
import lab
from service import SilentPortal

MIB = 1 << 20


class TestFlows(gui.TestCase):
    settings = {'Images': {'FreeMinMiB': '16'}, 'iSCSI': {'ConnectTimeoutSec': '20', 'LoginTimeoutSec': '20'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.array = cls.lab.add_target('array', luns=3)
        cls.other = cls.lab.add_target('other', user='somebody', password='a secret of 12')
        cls.guest = cls.lab.define_vm('web').start()
        cls.lab.define_vm('off')

    def wait_failures(self, count):
        self.js('''await page.waitForFunction(
                n => document.querySelectorAll('.pf-v6-c-alert').length === n, args.count)''', count=count)

    def disabled(self, name):
        return self.js('return page.getByRole("button", {name: args.name}).first().isDisabled()', name=name)

    def one_image(self):
        """Nothing is left of a snapshot."""
        self.js('await page.getByRole("button", {name: "Merge"}).waitFor({state: "detached"})')
        images, = [each['Images'] for each in self.client.objects('VDisk').values() if each['Alias'] == 'database']
        self.assertEqual(len(images), 1)

    def test_1_add_disk(self):
        """From a portal into a running guest; errors stand where they were caused, and values stay."""
        self.open()
        self.see('No disks yet')
        self.click('button', 'Add disk')
        self.fill('Port', '99999')
        self.see('A port is a number')
        self.fill('Port', '3261')
        self.fill('Address', '127.0.0.1')
        self.press('Discover')
        self.js('await page.locator("#port-help, #address-help").getByText(/127.0.0.1/).waitFor()')
        self.shot('wizard-error')

        with SilentPortal() as portal:
            self.fill('Port', str(portal.port))
            self.press('Discover')
            self.press('Stop looking')
            self.js('await page.getByRole("button", {name: "Stop looking"}).waitFor({state: "detached"})')
            self.press('Discover')
            self.js('await page.getByRole("button", {name: "Stop looking"}).waitFor()')
            os.kill(self.lab.owner_pid(), signal.SIGKILL)
            self.see('The targets could not be found')
            self.see('The service has ended before it has answered')
            self.gone('is being called again')
            self.shot('wizard-restart')
        self.assertEqual(self.js('return page.getByLabel("Address", {exact: true}).inputValue()'), '127.0.0.1')

        self.fill('Port', '3260')
        self.press('Discover')
        for target in (self.array, self.other):
            self.js('await page.getByLabel(args.iqn).check()', iqn=target.iqn)
        self.press('Connect')
        self.js('await page.getByText(/CHAP|credentials/i).first().waitFor()')
        self.shot('wizard-connect')
        self.press('Go on with the connected ones')

        self.choose(self.array.luns[1])
        self.shot('wizard-choose')
        self.press('Next')
        self.assertEqual(self.js('return page.getByLabel("Name", {exact: true}).inputValue()'),
                         self.array.luns[1].guid)
        self.fill('Name', 'database')
        self.js('await page.getByLabel("VM", {exact: true}).selectOption({label: "web"})')
        self.js('await page.getByLabel("Interface", {exact: true}).selectOption("sata")')
        self.press('Attach')
        self.js('await page.locator("#iface-help").waitFor()')
        self.shot('wizard-details')
        self.js('await page.getByLabel("Interface", {exact: true}).selectOption("virtio")')
        self.press('Attach')
        self.no_dialog()
        self.see('web', within='database')
        self.guest.guest.wait_disks(lambda disks: len(disks) == 1)
        self.shot('disks')

    def test_2_vm(self):
        """Unplug, plug, detach of a running VM; a second browser sees it."""
        self.open('/vm/web', page='second')
        self.see('database')
        self.open('/vm/web', page='one')
        self.page = 'one'
        self.see('Plugged', within='database')
        self.js('await page.getByRole("button", {name: "Unplug", disabled: false}).waitFor()')
        self.shot('vm')
        self.click('button', 'Unplug', within='database')
        self.see('Not plugged', within='database')
        self.guest.guest.wait_disks(lambda disks: not disks)
        self.page = 'second'
        self.see('Not plugged', within='database')
        self.click('button', 'Plug', within='database')
        self.guest.guest.wait_disks(lambda disks: len(disks) == 1)
        self.page = 'one'
        self.see('Plugged', within='database')

        self.go('/disk/' + self.array.luns[1].guid)
        self.click('button', 'Take a snapshot')
        self.press('Take a snapshot')
        self.no_dialog()
        self.js('await page.getByRole("button", {name: "Merge"}).waitFor()')
        self.assertIs(self.disabled('Go back'), True)
        self.click('button', 'Merge')
        self.one_image()

        self.go('/targets')
        self.js('await page.locator("button[title*=web]", {hasText: "Disconnect"}).waitFor()')
        self.shot('targets')
        self.array.add_lun(4, 16 * MIB)
        self.click('button', 'Rescan', within=self.array.iqn)
        self.js('await page.getByRole("row").filter({hasText: args.iqn}).getByText("4", {exact: true}).waitFor()',
                iqn=self.array.iqn)

        self.go('/vms')
        self.see('Running', within='web')
        self.see('Shut off', within='off')
        self.shot('vms')
        self.click('link', 'web')
        self.click('button', 'Detach', within='database')
        self.see('The data on the LUN stay.')
        self.shot('detach')
        self.press('Detach')
        self.no_dialog()
        self.see('It has no SAN disks')
        self.guest.guest.wait_disks(lambda disks: not disks)

    def test_5_disk(self):
        """History, explanation and claim of a disk."""
        lun = self.array.luns[1]
        self.open('/disk/' + lun.guid)
        self.see('database')
        self.click('button', 'Take a snapshot')
        self.press('Take a snapshot')
        self.no_dialog()
        self.js('await page.getByRole("button", {name: "Merge"}).waitFor()')
        self.shot('disk')
        self.assertIs(self.disabled('Merge'), True)
        self.js('await page.getByRole("button", {name: "Go back"}).last().click()')
        self.press('Go back')
        self.no_dialog()
        self.one_image()
        self.click('button', 'Rename')
        self.fill('Description', 'of the shop')
        self.press('Save')
        self.no_dialog()
        self.see('of the shop')
        self.click('button', 'Claim')
        self.fill('ID of the storage domain', 'a domain')
        self.press('Claim')
        self.js('await page.locator("#domain-help").waitFor()')
        self.fill('ID of the storage domain', 'domain1')
        self.press('Claim')
        self.no_dialog()
        self.see('storage-domain:domain1')
        self.click('button', 'Release')
        self.press('Release')
        self.no_dialog()
        self.see('None has claimed it.')
        self.click('button', 'Forget')
        self.press('Forget')
        self.no_dialog()
        self.gone('of the shop')

    def test_3_run(self):
        """A VM that is off: its disk is connected at its start."""
        self.open('/vm/off')
        self.click('button', 'Attach a disk')
        self.choose(self.array.luns[2])
        self.press('Next')
        self.fill('Boot order', '5000')
        self.see('A number from 1 to 1023')
        self.fill('Boot order', '7')
        self.js('await page.getByLabel("Read-only").check()')
        self.press('Attach')
        self.no_dialog()
        self.see('Will connect at start')
        self.see('read-only, boot order 7')
        self.shot('vm-off')
        self.click('button', 'Run')
        self.see('Plugged')
        self.click('button', 'Power off')
        self.press('Power off')
        self.no_dialog()
        self.see('Will connect at start')

    def test_3_without_vm(self):
        """A disk of no VM yet, of what is known already."""
        self.open()
        self.click('button', 'Add disk')
        self.press('Use known devices')
        self.choose(self.array.luns[3])
        self.press('Next')
        self.fill('Name', 'archive')
        self.fill('Description', 'of old things')
        self.press('Add')
        self.no_dialog()
        self.see('of old things', within='archive')
        self.see('Free', within='archive')

    def test_4_failure(self):
        """A failure stays, also of what others do, until it is dismissed."""
        self.open('/targets')
        self.see(self.other.iqn)
        self.click('button', 'Connect', within=self.other.iqn)
        self.wait_failures(1)
        self.go('/tasks')
        self.see('Connect a target')
        count = self.js('return page.locator(".pf-v6-c-alert").count()')  # with those of the tests before
        self.shot('tasks')
        with self.assertDBusError('AuthFailed'):
            self.connect(self.other)
        self.wait_failures(count + 1)
        for left in range(count, -1, -1):
            self.click('button', 'Dismiss')
            self.wait_failures(left)
        self.see('Nothing is going on')
        self.go('/targets')
        self.click('button', 'Forget', within=self.other.iqn)
        self.press('Forget')
        self.no_dialog()
        lab.wait_until(lambda: len(self.client.objects('Target')) == 1, what='one target')
        self.gone(self.other.iqn)
