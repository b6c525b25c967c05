# SPDX-License-Identifier: LGPL-2.1-or-later
"""The build that is installed on test hosts: DL_BUILD, or one that is made for it."""

import json
import os
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def command(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit('%s failed:\n%s' % (' '.join(argv), done.stdout[-8000:]))
    return done.stdout


def _check(directory):
    options = {o['name']: o['value']
               for o in json.loads(command('meson', 'introspect', '--buildoptions', directory))}
    if options.get('b_sanitize', 'none') not in ('none', []):
        sys.exit('%s is built with sanitizers; the unit would not let them work' % directory)


def build(work):
    """Its directory; one that is made is in the directory work."""
    directory = os.environ.get('DL_BUILD')
    if directory:
        _check(directory)
        return os.path.abspath(directory)
    directory = work + '/build'
    command('meson', 'setup', directory, SOURCE, '-Dbuildtype=release', '-Dtests=false',
            '-Dtest-hooks=true')
    command('ninja', '-C', directory)
    return directory
