# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can become of a VM's disks, in the page of a user who is not root; seen in running guests."""

import gui


class TestVm(gui.TestCase):
    settings = {'iSCSI': {'ConnectTimeoutSec': '2', 'LoginTimeoutSec': '2',
                          'CommandTimeoutSec': '2', 'CheckIntervalSec': '1'},
                'Libvirt': {'ReleaseTimeoutSec': '2'}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.lab.polkit_rules(gui.ALLOWED)
        cls.lab.start_tgtd('shaky', '127.0.0.1', 3264)
        cls.array = cls.lab.add_target('array')
        cls.late = cls.lab.add_target('late', tgtd='shaky')
        cls.one = cls.lab.define_vm('one', agent=True)
        cls.two = cls.lab.define_vm('two')

    def open(self, path='/', user='nobody', **options):
        super().open(path, user=user, **options)

    def attach_in_page(self, vm, lun, *flags):
        self.go('/vm/' + vm.name)
        self.click('button', 'Attach a disk')
        self.choose(lun)
        self.press('Next')
        for flag in flags:
            self.js('await page.getByLabel(args.flag).check()', flag=flag)
        self.press('Attach')
        self.no_dialog()
        self.see('Will connect at start', within=lun.guid)

    def radio(self, lun, question):
        return self.js('''return page.getByRole("row").filter({hasText: args.guid}).getByRole("radio").%s()'''
                       % question, guid=lun.guid)

    def click_switch(self):
        self.js('await page.locator("label", {hasText: "From a VM"}).click()')

    def test_1_left_out(self):
        """A VM runs without an optional disk, and gets it when its target is back."""
        for target in (self.array, self.late):
            self.connect(target)
        self.open()
        self.attach_in_page(self.one, self.late.luns[1], 'Optional')
        self.go('/targets')
        self.click('button', 'Disconnect', within=self.late.iqn)
        self.see('Disconnected', within=self.late.iqn)
        self.late.tgtd.stop()

        self.go('/vm/one')
        self.click('button', 'Run')
        self.see('Left out: not reachable', within=self.late.luns[1].guid)
        self.see('optional', within=self.late.luns[1].guid)
        self.shot('vm-left-out')
        self.late.come_back()
        self.see('Plugged', within=self.late.luns[1].guid)
        self.gone('Left out')
        self.one.wait_booted()
        self.one.guest.wait_disks(lambda disks: len(disks) == 1)

    def test_2_not_released(self):
        """A guest that stands still does not release its disk, until it goes on."""
        guid = self.late.luns[1].guid
        self.open('/vm/one')
        self.see('Plugged', within=guid)
        self.lab.virsh('suspend', 'one')
        self.see('Paused')
        self.click('button', 'Unplug', within=guid)
        self.see('The guest did not release it', within=guid)
        self.see('Stop using it in the guest, then unplug it again', within=guid)
        self.click('button', 'Dismiss')
        self.shot('vm-not-released')
        self.lab.virsh('resume', 'one')
        self.see('Not plugged', within=guid)
        self.gone('did not release')
        self.click('button', 'Plug', within=guid)
        self.see('Plugged', within=guid)

    def test_3_shut_down(self):
        """The guest is asked to shut down, and does it."""
        self.one.guest.check('mkdir -p /sbin && echo "#!/bin/sh\nexec poweroff -f" >/sbin/shutdown '
                             '&& chmod +x /sbin/shutdown')
        self.open('/vm/one')
        self.click('button', 'Shut down')
        self.see('Shut off')
        self.see('Will connect at start')
        self.assertEqual(self.one.state(), 'shut off')

    def test_4_shared(self):
        """A disk that a VM has can be chosen only with the word that both may write to it."""
        lun = self.array.luns[1]
        self.open('/vm/one', dark=True)
        self.attach_in_page(self.one, lun, 'Shareable')
        self.go('/vm/two')
        self.click('button', 'Attach a disk')
        self.see('one', within=lun.guid)
        self.assertIs(self.radio(lun, 'isDisabled'), True)
        self.assertIs(self.js('''return page.evaluate(() => {
            const colour = selector => getComputedStyle(document.querySelector(selector)).color;
            return colour('[role=dialog] tbody tr > td') !== colour('[role=dialog] thead th');
        })'''), True, 'what is used is grey')
        self.click_switch()
        self.choose(lun)
        self.see('Share it with one: both can write to it at the same time')
        self.shot('wizard-share')
        following = 'return page.getByRole("button", {name: "Next"}).isDisabled()'
        self.assertIs(self.js(following), True)
        self.js('await page.getByLabel("Share it with one").check()')
        self.assertIs(self.js(following), False)
        self.click_switch()
        self.assertIs(self.radio(lun, 'isChecked'), False)
        self.click_switch()
        self.choose(lun)
        self.assertIs(self.js('return page.getByLabel("Share it with one").isChecked()'), False)
        self.js('await page.getByLabel("Share it with one").check()')
        self.press('Next')
        self.assertIs(self.js('return page.getByLabel("Shareable").isChecked()'), True)
        self.press('Attach')
        self.no_dialog()
        self.see('shareable', within=lun.guid)
        self.go('/')
        for vm in ('one', 'two'):
            self.js('await page.getByRole("row").filter({hasText: args.guid}).getByRole("link", {name: args.vm})'
                    '.waitFor()', guid=lun.guid, vm=vm)

    def test_5_cancelled(self):
        """A task is cancelled where all are listed: here of a guest that does not listen."""
        self.open('/vm/two')
        self.click('button', 'Run')
        self.see('Running')
        self.click('button', 'Shut down')
        self.go('/tasks')
        self.see('two', within='Stop a VM')
        self.shot('task-running')
        self.click('button', 'Cancel', within='Stop a VM')
        self.js('await page.getByRole("row").filter({hasText: "Stop a VM"}).waitFor({state: "detached"})')
        self.assertEqual(self.two.state(), 'running')

    def test_6_copied(self):
        """A LUN ID by its button, over a question and on an origin that is not secure, too."""
        lun = self.array.luns[1]
        self.open('/vm/two')
        self.js('await page.context().grantPermissions(["clipboard-read", "clipboard-write"])')

        def copied(scope):
            self.js('''const scope = page.%s;
                       await page.evaluate(() => window.clipboard.writeText(''));
                       await scope.getByRole("button", {name: "Copy LUN ID " + args.guid}).click();
                       await page.waitForFunction(
                           async guid => await window.clipboard.readText() === guid, args.guid);'''
                    % scope, guid=lun.guid)

        keep = 'await page.evaluate(() => { window.clipboard = navigator.clipboard; })'
        hide = "await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', {value: undefined}))"
        self.js(keep)
        copied('getByRole("row").filter({hasText: args.guid})')
        self.js(hide)
        copied('getByRole("row").filter({hasText: args.guid})')
        self.click('button', 'Detach', within=lun.guid)
        copied('getByRole("dialog")')
