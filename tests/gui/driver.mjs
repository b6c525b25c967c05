// SPDX-License-Identifier: LGPL-2.1-or-later
// A browser for tests in Python: each line on the standard input is {"code", "args"}, and the answer
// a line {"value"} or {"error"}. The code is the body of an async function of t and args; t has the
// browser, the open pages by name (t.pages), and what went wrong in them (t.problems).

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [profile] = process.argv.slice(2);
const require = createRequire(join(process.env.DL_GUI, 'package.json'));
const { chromium } = require('playwright-core');
const axePath = require.resolve('axe-core/axe.min.js');
const AsyncFunction = (async () => {}).constructor;
const PATIENCE = 15_000;

const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        `--crash-dumps-dir=${profile}`],
});

const t = {
    browser,
    pages: {},
    problems: [],

    /** Opens a page in a profile of its own. */
    async open(name, url, options, language) {
        const context = await browser.newContext({ viewport: { width: 1400, height: 700 }, ...options });
        context.setDefaultTimeout(PATIENCE);
        await context.addCookies([{ name: 'CockpitLang', value: language, url }]);
        const page = await context.newPage();
        page.on('console', message => message.type() === 'error' && t.problems.push(`console: ${message.text()}`));
        page.on('pageerror', error => t.problems.push(`error: ${error.stack ?? error}`));
        page.on('requestfailed', request => {
            t.problems.push(`request: ${request.url()}: ${request.failure()?.errorText}`);
        });
        page.on('response', response => {
            if (response.status() >= 400)
                t.problems.push(`response: ${response.url()}: ${response.status()}`);
        });
        t.pages[name] = page;
        await page.goto(url);
    },

    /** What axe finds wrong in a page. */
    async axe(page) {
        if (!await page.evaluate(() => 'axe' in window)) {
            // In the page's own world a script may not be put in: Cockpit's policy forbids it.
            const { readFileSync } = await import('node:fs');
            await page.evaluate(readFileSync(axePath, 'utf8'));
        }
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        return violations.flatMap(({ id, help, nodes }) =>
            nodes.map(node => `${id}: ${help}: ${node.html.slice(0, 300)} ${node.failureSummary ?? ''}`));
    },
};

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`);
say({ value: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
    const { code, args } = JSON.parse(line);
    try {
        say({ value: await new AsyncFunction('t', 'args', code)(t, args) ?? null });
    } catch (error) {
        say({ error: String(error.stack ?? error) });
    }
}
await browser.close();
