// SPDX-License-Identifier: LGPL-2.1-or-later
// Builds the page and its unit tests: build.mjs NPM SOURCE_DIR BUILD_DIR PAGE_DIR. What comes from
// npm, and a copy of the sources beside it, are in the build directory; nothing is written to the
// source directory.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

const [npm, source, build, page] = process.argv.slice(2).map((path, n) => (n ? resolve(path) : path));

function run(program, ...args) {
    const { status, error } = spawnSync(program, args, { stdio: 'inherit', cwd: build });
    if (error || status !== 0) {
        console.error(`${program}: ${error?.message ?? `exit status ${status}`}`);
        process.exit(1);
    }
}

/** Brings the packages, if those of this lock file are not there. */
function bringPackages() {
    const wanted = readFileSync(join(source, 'package-lock.json'), 'utf8');
    const stamp = join(build, 'node_modules', '.complete');
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted)
        return;
    mkdirSync(build, { recursive: true });
    for (const name of ['package.json', 'package-lock.json', '.npmrc'])
        cpSync(join(source, name), join(build, name));
    run(npm, 'ci', '--ignore-scripts', '--prefer-offline', '--loglevel=error');
    writeFileSync(stamp, wanted);
}

/** What the modules of the source directory import is in the build directory. */
function copySources() {
    const work = join(build, 'sources');
    rmSync(work, { recursive: true, force: true });
    for (const name of ['src', 'test', 'po', 'tsconfig.json'])
        cpSync(join(source, name), join(work, name), { recursive: true });
    return work;
}

const compress = path => {
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    rmSync(path);
};

async function bundle(work) {
    rmSync(page, { recursive: true, force: true });
    mkdirSync(page, { recursive: true });
    await esbuild.build({
        entryPoints: { index: join(work, 'src/index.tsx') },
        outdir: page,
        bundle: true,
        minify: true,
        format: 'iife',
        target: ['chrome111', 'firefox115', 'safari16'],
        define: { 'process.env.NODE_ENV': '"production"' },
        loader: { '.woff2': 'file', '.woff': 'empty', '.ttf': 'empty', '.svg': 'empty', '.jpg': 'empty', '.png': 'empty' },
        assetNames: 'fonts/[name]',
        legalComments: 'linked',
        logLevel: 'warning',
    });
    cpSync(join(work, 'src/index.html'), join(page, 'index.html'));
    for (const name of ['index.js', 'index.css'])
        compress(join(page, name));
}

/** What Cockpit's navigation shows of the page. */
function menuLabels() {
    const { menu } = JSON.parse(readFileSync(join(source, 'manifest.json'), 'utf8'));
    return Object.values(menu).map(({ label }) => label);
}

/** For the page, and for Cockpit's navigation: it reads the page's own, or since release 300 or so
 *  one that has only the texts of the manifest. */
async function translations(work) {
    const { po } = await import(require.resolve('gettext-parser').replace(/index\.(cjs|js)$/, 'index.js'))
            .then(module => module.default ?? module);
    const labels = menuLabels();
    for (const name of readdirSync(join(work, 'po')).filter(each => each.endsWith('.po'))) {
        const { headers, translations: { '': entries } } = po.parse(readFileSync(join(work, 'po', name)));
        const language = name.slice(0, -3);
        const forms = /plural=([^;]+)/.exec(headers['Plural-Forms'])[1];
        const write = (file, chosen) => {
            const table = Object.fromEntries(chosen.map(({ msgid, msgstr }) => [msgid, [null, ...msgstr]]));
            writeFileSync(join(page, file),
                          `cockpit.locale({"":{"language":${JSON.stringify(language)},"plural-forms":(n) => ${forms}},`
                          + `${JSON.stringify(table).slice(1)});\n`);
        };
        const texts = Object.values(entries).filter(({ msgid }) => msgid);
        write(`po.${language}.js`, texts);
        write(`po.manifest.${language}.js`, texts.filter(({ msgid }) => labels.includes(msgid)));
    }
}

const tests = work => esbuild.build({
    entryPoints: readdirSync(join(work, 'test')).filter(name => name.endsWith('.test.ts'))
            .map(name => join(work, 'test', name)),
    outdir: join(build, 'tests'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
});

bringPackages();
const require = createRequire(join(build, 'package.json'));
const esbuild = require('esbuild');
const work = copySources();
run(process.execPath, require.resolve('typescript/bin/tsc'), '-p', work);
await Promise.all([bundle(work), tests(work)]);
await translations(work);
