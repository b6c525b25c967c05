# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs classes of tests on a machine that has the build installed; from outside.

A machine is booted for the first of them, and a new one when it is lost: a test that hangs in the
kernel takes its machine with it, and the rest of its class goes on in the next.
"""

import os
import shutil
import tempfile
import time

import guest
import image
import machine
import runner

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
INSTALL_DEADLINE = 180
GRACE = 30  # seconds that a test has more here than in the machine, where its journal can be had
SETTINGS = '''[Daemon]
LogLevel=debug
'''


class Tester:
    """staged: a directory with what the build installs. say() gets what is to be told, line by line."""

    def __init__(self, staged, work, say):
        self._staged, self._work, self._say = staged, work, say
        self.machine = None  # while there is one
        self.count = runner.Count()

    # ---- the machine

    def boot(self):
        if self.machine:
            return
        started = time.monotonic()
        directory = tempfile.mkdtemp(dir=self._work, prefix='machine.')
        os.chmod(directory, 0o755)
        shutil.copytree(guest.image(), directory + '/guest')
        guest.compile_sg(directory + '/guest/sg')
        self.machine = machine.Machine(image.image(), SOURCE + '/tests', directory)
        try:
            self.machine.wait_booted()
            booted = time.monotonic()
            self.install()
        except Exception:
            self.lose()
            raise
        self._say('   booted in %.0f s, installed in %.0f s'
                  % (booted - started, time.monotonic() - booted))

    def install(self):
        work = self.machine.work
        shutil.rmtree(work + '/installed', ignore_errors=True)
        shutil.copytree(self._staged, work + '/installed', symlinks=True)
        with open(work + '/directlund.conf', 'w') as f:
            f.write(SETTINGS)
        said = []
        if self.machine.ask(time.monotonic() + INSTALL_DEADLINE, lambda *e: said.append(e[2]),
                             'install'):
            raise machine.Gone('the installation failed: ' + ''.join(said))

    def lose(self):
        """Gives up the machine; what it said last."""
        if self.machine:
            self._say(runner.indented('---- console\n' + self.machine.said()))
        self.close()

    def close(self):
        if self.machine:
            self.machine.kill()
            shutil.rmtree(self.machine.work)
            self.machine = None

    def end(self):
        """The machine is asked how it is, and powers off."""
        if not self.machine:
            return
        problem = self.machine.end()
        if problem:
            self.failed('the end', problem)
            self.lose()
        else:
            self.count.passed += 1
            self._say('passed  vm.the end')
            self.close()

    # ---- tests

    def failed(self, name, text):
        self.count.failed += 1
        self._say('FAILED  vm.%s\n%s' % (name, runner.indented(text)))

    def run(self, path, test_class, methods):
        while methods:
            methods = self._class(path, test_class, methods)

    def _class(self, path, test_class, methods):
        """Runs (the rest of) a class; what is left of it when the machine is lost."""
        results = runner.ClassResults(path, test_class, methods, self._say, timed=True)
        output = []
        boot = 0
        try:
            self.boot()
            while self._part(path, test_class.__name__, results, boot, output):
                boot += 1
                self.machine.cut_power()
            if results.count.failed and output:
                self._say(runner.indented('---- output\n' + ''.join(output)))
        except (machine.Gone, OSError) as error:
            results.end_early(str(error))
            self.lose()
        self.count.add(results.count)
        return results.left if results.lost else []

    def _part(self, path, name, results, boot, output):
        """Until the class is over (False), or a test of it wants the power cut (True)."""
        cuts = []

        def each(event, test, text):
            if event == 'out':
                output.append(text)
            elif event == 'cut':
                cuts.append(test)
            else:
                results.event(event, test, text)
            return bool(cuts)

        there = '%s/%s' % (image.TESTS, os.path.relpath(path, SOURCE + '/tests'))
        self.machine.ask(lambda: results.deadline + GRACE, each, 'class', path=there, name=name,
                          methods=results.left, boot=boot)
        if not cuts and (results.current or (results.left and not results.failed_before)):
            results.end_early('its process ended')
        return bool(cuts)
