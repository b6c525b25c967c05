#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs Python tests, each class in private namespaces, each test with a deadline.

    sudo DL_BUILD=BUILDDIR tests/lib/runner.py [-k PATTERN] [--keep-going] DIRECTORY|FILE…

A test that is not over in time (its `deadline` attribute, else 120 s) is killed with everything in
its namespaces and counts as failed; the rest of its class goes on in new ones. Logs of a class are
shown if something in it failed. Ends with one line "N passed, N failed, N skipped".
"""

import argparse
import fnmatch
import glob
import importlib.util
import json
import os
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

    def __init__(self, stream):
        super().__init__()
        self._stream = stream
        self._failed = False

    def tell(self, event, test, text=''):
        name = getattr(test, '_testMethodName', None) or str(test).split()[0]
        self._stream.write(json.dumps({'event': event, 'test': name, 'text': text}) + '\n')
        self._stream.flush()

    def startTest(self, test):
        super().startTest(test)
        self._failed = False
        method = getattr(test, test._testMethodName)
        self.tell('start', test, str(getattr(method, 'deadline', DEADLINE)))

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

class ClassRun:
    """One run of (the rest of) a class in its namespaces."""

    def __init__(self, path, class_name, methods, environment, logs):
        self.label = '%s.%s' % (os.path.splitext(os.path.basename(path))[0], class_name)
        self.left = list(methods)
        self.count = Count()
        self._current = None
        self._failed_before = set()
        self._logs = logs
        read, write = os.pipe()
        os.makedirs(logs, exist_ok=True)
        os.chmod(logs, 0o755)
        with open(logs + '/output', 'ab') as output:
            self._process = subprocess.Popen(
                namespace.command('/usr/bin/python3', '-B', os.path.abspath(__file__), '--inside',
                                  path, class_name, str(write), *methods),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(write,),
                env={**environment, 'DL_LAB_LOGS': logs}, preexec_fn=namespace.die_with_parent)
        os.close(write)
        self._pipe = read
        self._deadline = time.monotonic() + CLASS_DEADLINE

    def _say(self, result, test, text=''):
        print('%-7s %s.%s%s' % (result, self.label, test, ': ' + text if text else ''), flush=True)

    def _fail(self, test, text):
        self.count.failed += 1
        self._say('FAILED', test)
        print('        ' + text.strip().replace('\n', '\n        '), flush=True)

    def _event(self, event, test, text):
        if event == 'start':
            self._current = test
            self._deadline = time.monotonic() + int(text)
        elif event == 'stop':
            self._current = None
            if test in self.left:
                self.left.remove(test)
            self._deadline = time.monotonic() + CLASS_DEADLINE
        elif event == 'note':
            print('        ' + text, flush=True)
        elif event == 'passed':
            self.count.passed += 1
            self._say('passed', test)
        elif event == 'skipped':
            self.count.skipped += 1
            self._say('skipped', test, text)
        elif event == 'failed' and test not in self._failed_before:
            self._failed_before.add(test)
            self._fail(test, text)
            if test.startswith('setUpClass'):
                self.left = []

    def _kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def run(self):
        """Returns the methods that could not be run; .count has the results."""
        buffer = b''
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._pipe], [], [], left)[0]:
                self._kill()
                self._end_early('not over in time, killed')
                break
            chunk = os.read(self._pipe, 65536)
            if not chunk:
                self._finish()
                break
            *lines, buffer = (buffer + chunk).split(b'\n')
            for line in lines:
                message = json.loads(line)
                self._event(message['event'], message['test'], message['text'])
        os.close(self._pipe)
        if self.count.failed:
            self.show_logs()
        return self.left

    def _finish(self):
        try:
            status = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._kill()
            status = 'not ending'
        if self._current or (self.left and not self._failed_before):
            self._end_early('its process ended (%s)' % status)

    def _end_early(self, text):
        """What is left of the class can go on in new namespaces if it was a test that failed."""
        self._fail(self._current or '(the class)', text)
        self.left = [name for name in self.left if self._current and name != self._current]

    def show_logs(self):
        for directory, _, names in sorted(os.walk(self._logs)):
            for name in sorted(names):
                path = os.path.join(directory, name)
                with open(path, 'rb') as f:
                    size = f.seek(0, os.SEEK_END)
                    f.seek(max(0, size - LOG_TAIL))
                    text = f.read().decode(errors='replace').strip()
                if text:
                    print('        ---- %s' % os.path.relpath(path, self._logs))
                    print('        ' + text.replace('\n', '\n        '), flush=True)


class Runner:
    def __init__(self, environment, pattern=None, keep_going=True):
        self._environment = environment
        self._pattern = pattern
        self._keep_going = keep_going
        self.count = Count()

    def _methods(self, path, test_class):
        names = unittest.TestLoader().getTestCaseNames(test_class)
        if not self._pattern:
            return names
        label = '%s.%s.' % (os.path.splitext(os.path.basename(path))[0], test_class.__name__)
        return [n for n in names if fnmatch.fnmatch(label + n, '*%s*' % self._pattern)]

    def run(self, paths):
        """Runs files, and the test_*.py of directories; whether all went well."""
        files = []
        for path in paths:
            files += sorted(glob.glob(path + '/test_*.py')) if os.path.isdir(path) else [path]
        for path in files:
            for test_class in classes_of(load(path)):
                self._run_class(path, test_class)
                if self.count.failed and not self._keep_going:
                    return False
        return not self.count.failed

    def _run_class(self, path, test_class):
        left = self._methods(path, test_class)
        n = 0
        while left:
            n += 1
            logs = '%s/%s.%d' % (self._environment['DL_LOGS'], test_class.__name__, n)
            run = ClassRun(os.path.abspath(path), test_class.__name__, left, self._environment,
                           logs)
            left = run.run()
            self.count.add(run.count)
            shutil.rmtree(logs, ignore_errors=True)


def installed(build, directory):
    """Installs a build into a directory, once for all labs."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir',
                    directory], check=True, stdout=subprocess.DEVNULL)
    return directory


def lab_environment(build, work):
    """What the processes of a lab are told. Makes what they cannot make without a network."""
    guest.image()
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
