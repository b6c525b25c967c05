#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs Python tests, each class in private namespaces, each test with a deadline.

    sudo DL_BUILD=BUILDDIR tests/lib/runner.py [-k PATTERN] [--keep-going] DIRECTORY|FILE…

A test that is not over in time (its `deadline` attribute, else 120 s) is killed with everything in
its namespaces and counts as failed; the rest of its class goes on in new ones. Classes run side by
side. Logs of a class are shown if something in it failed. Ends with one line "N passed, N failed, N skipped".
"""

import argparse
import fnmatch
import glob
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import guest  # noqa: E402 (they live beside this file)
import namespace  # noqa: E402

DEADLINE = 120
CLASS_DEADLINE = 180
LOG_TAIL = 6000
DEAREST = 5  # classes of which is told what they cost


def indented(text):
    return '        ' + text.strip().replace('\n', '\n        ')


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return '%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped)


# ---- inside the namespaces -----------------------------------------------------------------------

class Reporter(unittest.TestResult):
    """Tells the outside, one JSON line for each thing that happens."""

    default_deadline = DEADLINE

    def __init__(self, stream):
        super().__init__()
        self._stream = stream
        self._failed = False

    def tell(self, event, test, text=''):
        name = getattr(test, '_testMethodName', None) or str(test).split()[0]
        self._stream.write(json.dumps({'event': event, 'test': name, 'text': text}) + '\n')
        self._stream.flush()

    def deadline_of(self, test):
        return getattr(getattr(test, test._testMethodName), 'deadline', self.default_deadline)

    def startTest(self, test):
        super().startTest(test)
        self._failed = False
        self.tell('start', test, str(self.deadline_of(test)))

    def stopTest(self, test):
        super().stopTest(test)
        self.tell('stop', test)

    def addSuccess(self, test):
        if not self._failed:
            self.tell('passed', test)

    def addFailure(self, test, err):
        self._failed = True
        self.tell('failed', test, self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._failed = True
            self.tell('failed', test, '%s: %s' % (subtest._subDescription(),
                                                  self._exc_info_to_string(err, test)))

    def addSkip(self, test, reason):
        self.tell('skipped', test, reason)

    def addExpectedFailure(self, test, err):
        self.addFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self.tell('passed', test)


def load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def classes_of(module):
    return [c for c in vars(module).values()
            if isinstance(c, type) and issubclass(c, unittest.TestCase)
            and c.__module__ == module.__name__]


def inside(path, class_name, methods, fd):
    stream = os.fdopen(fd, 'w')
    test_class = getattr(load(path), class_name)
    suite = unittest.TestSuite(test_class(method) for method in methods)
    suite.run(Reporter(stream))


# ---- outside -------------------------------------------------------------------------------------

class ClassResults:
    """What a class's reporter tells, as lines that are told to say(), and numbers."""

    def __init__(self, path, test_class, methods, say, timed=False):
        self.label = '%s.%s' % (os.path.splitext(os.path.basename(path))[0], test_class.__name__)
        self.left = list(methods)  # what was not run
        self.count = Count()
        self.current = None  # the test that is under way
        self.deadline = time.monotonic() + CLASS_DEADLINE  # of that
        self.failed_before = set()
        self.lost = False  # its process is, too early
        self.timed = timed
        self._say = say

    def _result(self, result, test, text=''):
        self._say('%-7s %s.%s%s' % (result, self.label, test, ': ' + text if text else ''))

    def _fail(self, test, text):
        self.count.failed += 1
        self._result('FAILED', test)
        self._say(indented(text))

    def event(self, event, test, text):
        if event == 'start':
            self.current = test
            self._started = time.monotonic()
            self.deadline = self._started + int(text)
        elif event == 'stop':
            self.current = None
            if test in self.left:
                self.left.remove(test)
            self.deadline = time.monotonic() + CLASS_DEADLINE
        elif event == 'note':
            self._say('        ' + text)
        elif event == 'passed':
            self.count.passed += 1
            self._result('passed', test, 'in %.1f s' % (time.monotonic() - self._started)
                         if self.timed else '')
        elif event == 'skipped':
            self.count.skipped += 1
            self._result('skipped', test, text)
        elif event == 'failed' and test not in self.failed_before:
            self.failed_before.add(test)
            self._fail(test, text)
            if test.startswith('setUpClass'):
                self.left = []

    def end_early(self, text):
        """What is left of the class can go on elsewhere if it was a test that failed."""
        self.lost = True
        self._fail(self.current or '(the class)', text)
        self.left = [name for name in self.left if self.current and name != self.current]


class ClassRun(ClassResults):
    """One run of (the rest of) a class in its namespaces."""

    def __init__(self, path, test_class, methods, environment, logs, say):
        super().__init__(path, test_class, methods, say)
        self.path, self.test_class = path, test_class
        self.over = False
        self.processor_time = 0  # seconds, of all that ran in its namespaces
        self._begun = time.monotonic()
        self._logs = logs
        self._buffer = b''
        read, write = os.pipe()
        os.makedirs(logs, exist_ok=True)
        os.chmod(logs, 0o755)
        with open(logs + '/output', 'ab') as output:
            self._process = subprocess.Popen(
                namespace.command('/usr/bin/python3', '-B', os.path.abspath(__file__), '--inside',
                                  path, test_class.__name__, str(write), *methods),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(write,),
                env={**environment, 'DL_LAB_LOGS': logs}, preexec_fn=namespace.die_with_parent)
        os.close(write)
        self._pipe = read

    def fileno(self):
        return self._pipe

    def _wait(self, timeout=None):
        """Its status. What the kernel counts of children comes when one is waited for, with those
        that it had waited for itself; PID 1 of the namespaces waits for all in them."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = self._process.wait(timeout)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.processor_time = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return status

    def _kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._wait()

    def cost(self):
        return (self.processor_time, '%s: %.0f s, %.0f s of processor time'
                % (self.label, time.monotonic() - self._begun, self.processor_time))

    def read(self):
        """What it has told; .over and .count then have the results."""
        chunk = os.read(self._pipe, 65536)
        if not chunk:
            self._finish()
            return
        *lines, self._buffer = (self._buffer + chunk).split(b'\n')
        for line in lines:
            message = json.loads(line)
            self.event(message['event'], message['test'], message['text'])

    def kill_if_late(self):
        if time.monotonic() > self.deadline:
            self._kill()
            self.end_early('not over in time, killed')
            self._end()

    def _finish(self):
        try:
            status = self._wait(30)
        except subprocess.TimeoutExpired:
            self._kill()
            status = 'not ending'
        if self.current or (self.left and not self.failed_before):
            self.end_early('its process ended (%s)' % status)
        self._end()

    def _end(self):
        self.over = True
        os.close(self._pipe)
        if self.count.failed:
            self._show_logs()
        shutil.rmtree(self._logs, ignore_errors=True)

    def _show_logs(self):
        for directory, _, names in sorted(os.walk(self._logs)):
            for name in sorted(names):
                path = os.path.join(directory, name)
                with open(path, 'rb') as f:
                    size = f.seek(0, os.SEEK_END)
                    f.seek(max(0, size - LOG_TAIL))
                    text = f.read().decode(errors='replace').strip()
                if text:
                    self._say('        ---- %s' % os.path.relpath(path, self._logs))
                    self._say(indented(text))


def methods_of(path, test_class, pattern=None):
    """The names of a class's tests that match."""
    names = unittest.TestLoader().getTestCaseNames(test_class)
    if not pattern:
        return names
    label = '%s.%s.' % (os.path.splitext(os.path.basename(path))[0], test_class.__name__)
    return [n for n in names if fnmatch.fnmatch(label + n, '*%s*' % pattern)]


class Runner:
    """Classes run side by side, one more than there are processors, since most wait more than they
    compute. One whose `minutes` attribute says that it takes so long begins before the others, or
    all would wait for it at the end; one whose `alone` is true (it measures time, or takes the
    machine for itself) runs after them, with no other. What classes say is not mixed: that of each
    comes when it is over."""

    def __init__(self, environment, pattern=None, keep_going=True):
        self._environment = environment
        self._pattern = pattern
        self._keep_going = keep_going
        self._n_runs = 0
        self._costs = []
        self.count = Count()

    def run(self, paths):
        """Runs files, and the test_*.py of directories; whether all went well."""
        files = []
        for path in paths:
            files += sorted(glob.glob(path + '/test_*.py')) if os.path.isdir(path) else [path]
        together, alone = [], []
        for path in files:
            for test_class in classes_of(load(path)):
                methods = methods_of(path, test_class, self._pattern)
                if methods:
                    (alone if getattr(test_class, 'alone', False) else together).append(
                        (os.path.abspath(path), test_class, methods))
        together.sort(key=lambda run: -getattr(run[1], 'minutes', 0))
        self._run_all(together, min(os.cpu_count() + 1, len(together)))
        self._run_all(alone, 1)
        if len(self._costs) > 1:
            print('   the dearest:')
            for _, text in sorted(self._costs, reverse=True)[:DEAREST]:
                print('        ' + text, flush=True)
        return not self.count.failed

    def _run_all(self, queue, width):
        running = {}  # ClassRun → what it has said; None: that is shown as it comes
        while True:
            while (queue and len(running) < width and
                   (self._keep_going or not self.count.failed)):
                said = [] if width > 1 else None
                running[self._start(*queue.pop(0), said)] = said
            if not running:
                return
            left = min(run.deadline for run in running) - time.monotonic()
            for run in select.select(running, [], [], max(0, left))[0]:
                run.read()
            for run in [r for r in running if not r.over]:
                run.kill_if_late()
            for run in [r for r in running if r.over]:
                for text in running.pop(run) or ():
                    print(text, flush=True)
                self.count.add(run.count)
                self._costs.append(run.cost())
                if run.left:
                    queue.insert(0, (run.path, run.test_class, run.left))

    def _start(self, path, test_class, methods, said):
        self._n_runs += 1
        logs = '%s/%d' % (self._environment['DL_LOGS'], self._n_runs)
        say = said.append if said is not None else lambda text: print(text, flush=True)
        return ClassRun(path, test_class, methods, self._environment, logs, say)


def installed(build, directory):
    """Installs a build into a directory, once for all labs."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir',
                    directory], check=True, stdout=subprocess.DEVNULL)
    return directory


def lab_environment(build, work):
    """What the processes of a lab are told. Makes what they cannot make without a network."""
    for kernel in (guest.CLOUD, guest.FULL):
        guest.image(kernel)
    return {**os.environ, 'DL_BUILD': os.path.abspath(build), 'DL_LOGS': work + '/logs',
            'DL_DEST': installed(build, work + '/installed')}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('-k', dest='pattern')
    parser.add_argument('--keep-going', action='store_true')
    parser.add_argument('paths', nargs='+')
    arguments = parser.parse_args()
    work = tempfile.mkdtemp(prefix='directlun-tests.')
    os.chmod(work, 0o755)
    try:
        runner = Runner(lab_environment(os.environ['DL_BUILD'], work), arguments.pattern,
                        arguments.keep_going)
        good = runner.run(arguments.paths)
        print(runner.count)
        return 0 if good and runner.count.passed else 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--inside']:
        inside(sys.argv[2], sys.argv[3], sys.argv[5:], int(sys.argv[4]))
    else:
        sys.exit(main())
