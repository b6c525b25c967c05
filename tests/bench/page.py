# SPDX-License-Identifier: LGPL-2.1-or-later
"""The measurement of the page in Cockpit with very many devices, next to a page of Cockpit's own: each
time in a new browser profile, which has nothing in its cache."""

import statistics

import gui
from measure import ROUNDS, add_null_targets, alternate, make_lab, milliseconds, row, say, spread, tool

N_TARGETS, N_LUNS = 8, 250
PAGE_ROWS = 100
OURS, COCKPITS = 'directlun/index.html#/?show=devices', 'users/index.html'
FIRST_ROW = '''
    const begun = performance.now();
    await t.open('it', args.url, {}, 'en');
    await t.pages.it.locator('tbody tr').first().waitFor();
    const first = performance.now() - begun;
'''
CLOSE = "await t.pages.it.context().close(); t.problems.splice(0);"
LOOK_THROUGH = '''
    const page = t.pages.it;
    for (let from = args.step + 1; from <= args.rows; from += args.step) {
        await page.getByRole('button', {name: 'Go to next page'}).click();
        await page.waitForFunction(
            start => document.querySelector('.pf-v6-c-pagination').innerText.includes(start), `${from} - `);
    }
    const all = performance.now() - begun;
'''


def measure(quick):
    world = make_lab(('bus', 'polkit', 'tgt'))
    browser = None
    try:
        tgtd = world.tgtds['tgt']
        add_null_targets(tgtd, N_TARGETS, N_LUNS)
        tool('client', 'list', tgtd.address, '3260')
        base = gui.serve(world) + '/cockpit/@localhost/'
        browser = gui.Browser(world)
        # Its session ends when no page is open.
        browser.run("await t.open('kept', args.url, {}, 'en')", url=base + COCKPITS)
        report(base, browser, quick)
    finally:
        if browser:
            browser.close()
        world.stop()


def report(base, browser, quick):
    def ours():
        return browser.run(FIRST_ROW + LOOK_THROUGH + CLOSE + 'return {first, all};', url=base + OURS,
                           rows=N_TARGETS * N_LUNS, step=PAGE_ROWS)

    def cockpits():
        return browser.run(FIRST_ROW + CLOSE + 'return first;', url=base + COCKPITS)

    values = alternate(3 if quick else ROUNDS[True], ours=ours, cockpits=cockpits)
    bare = statistics.median(values['cockpits'])
    first, through = ([each[name] for each in values['ours']] for name in ('first', 'all'))
    what = '{:,} devices'.format(N_TARGETS * N_LUNS)
    row('the page, %s: from nothing to the first row' % what, "Cockpit's own page *Accounts*: " + milliseconds(bare),
        milliseconds(statistics.median(first)), '%.2f' % (statistics.median(first) / bare), '')
    row('the page: until all %s have been shown, %d rows at a time' % (what, PAGE_ROWS), '',
        milliseconds(statistics.median(through)), '', '')
    say('first row %s, all %s, Accounts %s' % (spread(first), spread(through), spread(values['cockpits'])))
