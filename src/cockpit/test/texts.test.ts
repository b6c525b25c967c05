// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

const top = process.env.DL_COCKPIT ?? '.';

function sources(directory: string): string[] {
    return readdirSync(directory, { withFileTypes: true }).flatMap(entry => {
        const path = join(directory, entry.name);
        return entry.isDirectory() ? sources(path) : /\.tsx?$/.test(path) ? [readFileSync(path, 'utf8')] : [];
    });
}

test('every text of the page is translated, and nothing else', () => {
    const code = sources(join(top, 'src')).join('\n');
    const { menu } = JSON.parse(readFileSync(join(top, 'manifest.json'), 'utf8'));
    const used = new Set([...code.matchAll(/\b_\("([^"]*)"\)/g)].map(found => found[1]));
    used.add(menu.index.label); // which Cockpit's own page looks up in this package's translations
    const calls = [...code.matchAll(/[^\w.]_\((?!\))/g)].length;
    assert.equal(calls, [...code.matchAll(/\b_\("([^"]*)"\)/g)].length, 'a text that is no literal');
    for (const name of readdirSync(join(top, 'po')).filter(each => each.endsWith('.po'))) {
        const entries = [...readFileSync(join(top, 'po', name), 'utf8').matchAll(/^msgid "(.+)"\nmsgstr "(.*)"$/gm)];
        assert.deepEqual(entries.filter(entry => !entry[2]), [], name);
        assert.deepEqual(new Set(entries.map(entry => entry[1])), used, name);
        for (const [, from, to] of entries)
            assert.deepEqual(to!.match(/\$\d/g)?.sort(), from!.match(/\$\d/g)?.sort(), from);
    }
});
