# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/bench/run does once the packages are there. Outside: builds a release, and starts
itself again in private namespaces, once for each measurement. Inside: measures, and tells the
rows of the table.

Everything that is compared is measured side by side: its rounds alternate, and the medians of the
rounds are compared, so that whatever else the machine does meanwhile hits all alike."""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, TOP + '/tests/lib', TOP + '/tests/gui']
sys.dont_write_bytecode = True

TOOLS = {  # name → what it needs; DL: the service's own libraries
    'relay': (), 'bare-inventory': ('libiscsi',), 'client': ('libsystemd',),
    'bare-plug': ('libvirt',), 'bare-uevents': ('libudev',), 'store-latency': ('DL', 'glib-2.0', 'libsystemd', 'sqlite3')}
MEASUREMENTS = ('list-one-target', 'list-many-targets', 'hot-plug', 'activation', 'scale',
                'uevents', 'page', 'store')


def build(work):
    """A build as packages have it, and the tools of the measurements: its directory."""
    directory = work + '/build'
    commands = [['meson', 'setup', directory, TOP, '--buildtype=release', '-Dtests=false',
                 '-Dman=false', '-Dcockpit=enabled'],
                ['ninja', '-C', directory]]
    for name, needs in TOOLS.items():
        commands.append(['sh', '-c', compile_line(name, needs, directory)])
    with open(work + '/build.log', 'w+') as log:
        for command in commands:
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=subprocess.STDOUT, timeout=900).returncode:
                log.seek(0)
                print(log.read()[-8000:])
                raise SystemExit('FAILED: it does not build')
    return directory


def compile_line(name, needs, directory):
    line = 'gcc -O2 -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter %s/%s.c -o %s/%s' \
        % (shlex.quote(HERE), name, shlex.quote(directory), name)
    packages = [n for n in needs if n != 'DL']
    if 'DL' in needs:
        line += ' -I%s/src' % shlex.quote(TOP) + ''.join(' %s/src/%s/libdl-%s.a' % (shlex.quote(directory), n, n)
                        for n in ('store', 'loop', 'util'))
    return line + (' $(pkg-config --cflags --libs %s)' % ' '.join(packages) if packages else '')


def machine():
    """One line about where this was measured."""
    with open('/proc/cpuinfo') as f:
        model = re.search(r'^model name\s*: (.*)$', f.read(), re.M)
    virtual = subprocess.run(['systemd-detect-virt', '--vm'], stdout=subprocess.PIPE, text=True)
    return '%s, %d cores%s, Linux %s' % (
        model.group(1) if model else platform.machine(), os.cpu_count(),
        ', in a VM (%s)' % virtual.stdout.strip() if virtual.returncode == 0 else '',
        platform.release())


def print_table(rows):
    print('\n| what | next to | is | ratio | goal |\n|---|---|---|---|---|')
    for row in rows:
        print('| %s |' % ' | '.join(row), flush=True)


def outside(work, arguments):
    import browser
    import namespace
    import runner
    chosen = [name for name in MEASUREMENTS if (arguments.name or '') in name]
    print('building', flush=True)
    load = os.getloadavg()[0]
    directory = build(work)
    environment = runner.lab_environment(directory, work)
    if arguments.profile:
        environment['DL_BENCH_PROFILE'] = os.path.abspath(arguments.profile)
    if 'page' in chosen:
        problem = browser.bring(work + '/gui-packages')
        if problem:
            print(problem)
            raise SystemExit('FAILED: npm ci for tests/gui')
        environment['DL_GUI'] = work + '/gui-packages'
    rows, failed = [], []
    for name in chosen:
        print('measuring: ' + name, flush=True)
        environment['DL_BENCH_STATE'] = '%s/state-%s' % (work, name)
        environment['DL_LAB_LOGS'] = '%s/logs/%s' % (work, name)
        os.makedirs(environment['DL_LAB_LOGS'])
        result = subprocess.run(
            namespace.command('/usr/bin/python3', '-B', os.path.abspath(__file__), '--inside', name,
                              '1' if arguments.quick else '0'),
            env=environment, stdout=subprocess.PIPE, text=True, timeout=1800,
            preexec_fn=namespace.die_with_parent)
        for line in result.stdout.splitlines():
            if line.startswith('row: '):
                rows.append(json.loads(line[5:]))
            else:
                print('  ' + line, flush=True)
        if result.returncode:
            failed.append(name)
            print('  FAILED; the service said:\n' + log_tail(environment['DL_LAB_LOGS']))
    print('\nMeasured on: %s, with a load of %.1f before it began' % (machine(), load))
    print_table(rows)
    if failed:
        print('\nFAILED: ' + ', '.join(failed))
    return 1 if failed else 0


def log_tail(logs):
    path = logs + '/directlund.log'
    if not os.path.exists(path):
        return ''
    with open(path, errors='replace') as f:
        return f.read()[-4000:]


def main():
    if sys.argv[1] == '--inside':
        import measure
        return measure.run(sys.argv[2], sys.argv[3] == '1')
    parser = argparse.ArgumentParser(prog='tests/bench/run')
    parser.add_argument('--quick', action='store_true', help='few rounds')
    parser.add_argument('-k', dest='name', help='only measurements with this in their name')
    parser.add_argument('--profile', metavar='FILE',
                        help="what the service does meanwhile, for perf report")
    return outside(sys.argv[1], parser.parse_args(sys.argv[2:]))


if __name__ == '__main__':
    sys.exit(main())
