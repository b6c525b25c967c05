# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/run does once the packages are there: builds, tiers, checks, one closing line."""

import argparse
import fnmatch
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import browser  # noqa: E402 (they live beside this file)
import checks  # noqa: E402
import runner  # noqa: E402

TIERS = ('unit', 'bus', 'lab', 'gui', 'memory', 'hosts', 'threads', 'checks', 'vm')
BUILD_DEADLINE = 900
UNIT_DEADLINE = 900
HOSTS_DEADLINE = 1200
VM_DEADLINE = 2400
ENDS_WITHIN = 30  # what is told to end
VALGRIND = ('valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite '
            '--trace-children=no --suppressions=%s/tests/unit/valgrind.supp' % TOP)
# Real daemons, other programs, what only repeats others' paths many times, and what glibc's
# resolver keeps for threads that outlive the test.
NOT_FOR_VALGRIND = {'directlun:lab', 'scsi-id', 'helper-program', 'core-storm', 'iscsi-resolver'}
THREADED = ('loop-workers', 'virt-calls', 'libvirtd')
# Builds that are there for some of the unit tests: which. Nothing else of them is made.
ONLY = {
    'plain': lambda test: NOT_FOR_VALGRIND.isdisjoint((test['name'], *test['suite'])),
    'threads': lambda test: test['name'] in THREADED,
}
_CLOSING = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped$')


def say(text):
    print(text, flush=True)


def idle_time():
    """Seconds of all processors (proc(5), /proc/stat)."""
    with open('/proc/stat') as f:
        fields = f.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf('SC_CLK_TCK')


def begin(argv, **options):
    """Starts a command, for finish()."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors='replace',
                            start_new_session=True, **options)


def finish(process, timeout, each_line=None):
    """Waits for a command; its exit status (None: not over in time, and killed with what it started)
    and output. each_line is called for each line as it comes."""
    late = []

    def kill(*_):
        late.append(True)
        os.killpg(process.pid, signal.SIGKILL)

    previous = signal.signal(signal.SIGALRM, kill)
    signal.alarm(timeout)
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if each_line:
                each_line(line.rstrip('\n'))
        status = process.wait()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return None if late else status, ''.join(lines)


def call(argv, timeout, each_line=None, **options):
    """begin() and finish()."""
    return finish(begin(argv, **options), timeout, each_line)


class Suite:
    def __init__(self, work, arguments):
        self.work = work
        self.pattern = arguments.pattern
        self.keep_going = arguments.keep_going
        self.tiers = arguments.tiers
        self.count = runner.Count()
        self._builds = {}
        self._begun = {}  # tier → its program, which runs beside another tier

    def passed(self, name):
        self.count.passed += 1
        say('passed  ' + name)

    def failed(self, name, text=''):
        self.count.failed += 1
        say('FAILED  ' + name)
        if text:
            say(runner.indented(text[-20000:]))

    # ---- builds

    def build(self, name):
        """The directory of a build, made at its first use; None if it fails (counted once)."""
        if name not in self._builds:
            self._builds[name] = self._build(name)
        return self._builds[name]

    def _build(self, name):
        options = {'sanitized': ['-Db_sanitize=address,undefined', '-Db_lundef=false',
                                 '-Dtest-hooks=true', '-Dcockpit=enabled'],
                   'plain': ['-Dtest-hooks=true', '-Dcockpit=disabled'],
                   'threads': ['-Db_sanitize=thread', '-Db_lundef=false', '-Dcockpit=disabled'],
                   'release': ['--buildtype=release', '-Dtest-hooks=true', '-Dman=true',
                               '-Dcockpit=disabled']}[name]
        directory = '%s/%s' % (self.work, name)
        say('building (%s)' % name)
        started = time.monotonic()
        for command in (lambda: ['meson', 'setup', directory, TOP, '-Dwerror=true', *options],
                        lambda: ['ninja', '-C', directory, *self._targets(name, directory)]):
            status, output = call(command(), BUILD_DEADLINE)
            if status != 0:
                said = re.sub(r'^\[\d+/\d+\] .*\n', '', output, flags=re.M)
                self.failed('build (%s)' % name,
                            said if status is not None else said + '\nnot over in time')
                return None
        self.passed('build (%s), without a warning, in %.0f s' % (name, time.monotonic() - started))
        return directory

    def _tests(self, name, directory):
        """The unit tests that a build is for, as meson describes them."""
        tests = json.loads(call(['meson', 'introspect', directory, '--tests'], 60)[1])
        return list(filter(ONLY.get(name), tests))

    def _targets(self, name, directory):
        """What ninja is to make of a build; nothing named: all."""
        if name not in ONLY:
            return []
        needed = {t for test in self._tests(name, directory) for t in test['depends']}
        targets = json.loads(call(['meson', 'introspect', directory, '--targets'], 60)[1])
        return [os.path.relpath(file, directory)
                for target in targets if target['id'] in needed for file in target['filename']]

    # ---- tiers

    def run(self):
        try:
            return self._run()
        finally:
            for process in self._begun.values():
                process.terminate()
                try:
                    process.wait(ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)

    def _run(self):
        for tier in TIERS:
            if tier not in self.tiers:
                continue
            if self.count.failed and not self.keep_going:
                say('the rest is left out (--keep-going runs it)')
                break
            say('== ' + tier)
            started, idle = time.monotonic(), idle_time()
            getattr(self, '_' + tier)()
            took = time.monotonic() - started
            say('   %s took %.0f s; the processors had nothing to do for %.0f %% of it'
                % (tier, took, 100 * (idle_time() - idle) / took / os.cpu_count()))
        say(str(self.count))
        return 0 if self.count.passed and not self.count.failed else 1

    def _unit(self):
        self._meson_test('sanitized')

    def _memory(self):
        """What no sanitizer sees: use of what was never written, and leaks from GLib's slices. The
        hosts begin beside it: they wait half of the time, and this never does."""
        if 'hosts' in self.tiers:
            self._begin_program('hosts')
        self._meson_test('plain', VALGRIND)

    def _threads(self):
        """The code that runs on more than one thread, under ThreadSanitizer."""
        supp = TOP + '/tests/unit/virt/tsan.supp'
        os.environ['TSAN_OPTIONS'] = ('exitcode=66:ignore_noninstrumented_modules=1:'
                                      'suppressions=' + supp)
        self._meson_test('threads')

    def _meson_test(self, build_name, wrapper=None):
        """Runs the programs that a build is for and that match the pattern."""
        build = self.build(build_name)
        if not build:
            return
        names = [t['name'] for t in self._tests(build_name, build)
                 if fnmatch.fnmatch(t['name'], '*%s*' % (self.pattern or ''))]
        if not names:
            return
        # Four for each processor: most do nothing but wait for what they have asked for.
        command = ['meson', 'test', '-C', build, '--no-rebuild', '-t', '10',
                   '--num-processes', str(4 * os.cpu_count())]
        if wrapper:
            command += ['--wrapper', wrapper]
        status, output = call(command + names, UNIT_DEADLINE,
                              lambda line: say(line) if re.match(r' *\d+/\d+ ', line) else None)
        logs = glob.glob(build + '/meson-logs/testlog*.json')
        if status is None or not logs:
            self.failed('meson test (%s)' % build_name, output)
            return
        with open(logs[0]) as f:
            for line in f:
                self._unit_result(json.loads(line))

    def _unit_result(self, test):
        """One program: its TAP lines are the tests, if it writes any."""
        stdout = test.get('stdout') or ''
        points = re.findall(r'^(ok|not ok)\b(.*)$', stdout, re.M)
        skips = [text for verdict, text in points if re.search(r'# *SKIP', text, re.I)]
        bad = sum(verdict == 'not ok' for verdict, _ in points)
        if test['result'] == 'SKIP' and not points:
            skips = ['the whole program']
        good = len(points) - bad - len(skips) if points else int(test['result'] == 'OK')
        if test['result'] not in ('OK', 'SKIP') and not bad:
            bad = 1
        self.count.passed += good
        self.count.skipped += len(skips)
        for text in skips:
            say('skipped %s: %s' % (test['name'], text.strip()))
        if bad:
            self.count.failed += bad - 1
            self.failed('%s (%s)' % (test['name'], test['result']),
                        '\n'.join(stdout.splitlines()[-60:]) + '\n' + (test.get('stderr') or ''))

    def _python(self, directory):
        build = self.build('sanitized')
        if not build:
            return
        work = '%s/%s' % (self.work, os.path.basename(directory))
        os.mkdir(work, 0o755)
        tests = runner.Runner(runner.lab_environment(build, work), self.pattern, self.keep_going)
        tests.run([directory])
        self.count.add(tests.count)

    def _bus(self):
        self._python(TOP + '/tests/bus')

    def _lab(self):
        release = None if self.pattern else self.build('release')
        if release:  # a few tests are about what users run
            os.environ['DL_RELEASE'] = release
        self._python(TOP + '/tests/lab')

    def _gui(self):
        """The page in Cockpit."""
        packages = self.work + '/gui-packages'
        problem = browser.bring(packages)
        if problem:
            self.failed('npm ci for tests/gui', problem)
            return
        screenshots = os.environ.get('DL_SCREENSHOTS') or self.work + '/screenshots'
        os.makedirs(screenshots, exist_ok=True)
        os.environ.update(DL_GUI=packages, DL_SCREENSHOTS=screenshots)
        self._python(TOP + '/tests/gui')

    def _hosts(self):
        self._program('hosts', HOSTS_DEADLINE)

    def _vm(self):
        self._program('vm', VM_DEADLINE)

    def _begin_program(self, tier):
        """A tier that installs a build on machines of its own, and reports as this does."""
        build = self.build('release')
        if build:
            self._begun[tier] = begin(['%s/tests/%s/run' % (TOP, tier)] +
                                      (['-k', self.pattern] if self.pattern else []),
                                      env={**os.environ, 'DL_BUILD': build, 'TMPDIR': self.work})

    def _program(self, tier, deadline):
        if tier not in self._begun:
            self._begin_program(tier)
        if tier not in self._begun:
            return
        status, output = finish(self._begun.pop(tier), deadline,
                                lambda line: _CLOSING.match(line) or say(line))
        closing = _CLOSING.match((output.splitlines() or [''])[-1])
        if not closing:
            self.failed(tier, 'no closing line, exit status %s' % status)
            return
        self.count.passed += int(closing.group(1))
        self.count.failed += int(closing.group(2))
        self.count.skipped += int(closing.group(3))
        if status and not int(closing.group(2)):
            self.failed(tier, 'exit status %s' % status)

    def _checks(self):
        for name, check in checks.ALL.items():
            if self.pattern and not fnmatch.fnmatch(name, '*%s*' % self.pattern):
                continue
            problems = check(TOP)
            if problems:
                self.failed(name, '\n'.join(problems))
            else:
                self.passed(name)
        if not self.pattern:
            self.build('release')


def tier_list(text):
    tiers = text.split(',')
    for tier in tiers:
        if tier not in TIERS:
            raise argparse.ArgumentTypeError('%s is none of %s' % (tier, ', '.join(TIERS)))
    return tiers


def main():
    parser = argparse.ArgumentParser(prog='tests/run', description='Builds and tests everything.')
    parser.add_argument('--tier', dest='tiers', type=tier_list, default=list(TIERS),
                        help='only these, separated by commas: ' + ', '.join(TIERS))
    parser.add_argument('--keep-going', action='store_true',
                        help='run the later tiers too when something failed')
    parser.add_argument('-k', dest='pattern', metavar='PATTERN',
                        help='only tests whose name contains this (shell wildcards)')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ['PYTHONDONTWRITEBYTECODE'] = '1'
    return Suite(sys.argv[1], parser.parse_args(sys.argv[2:])).run()


if __name__ == '__main__':
    sys.exit(main())
