# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks of the source tree itself. Each takes its top directory and returns what is wrong: a list
of lines, empty if all is well."""

import os
import re
import subprocess

# util ← {scsi, content, loop} ← store ← {iscsi, host, virt} ← {core ← bus ← main, helper}: a layer includes itself and
# what is below it, never a neighbour.
LAYERS = {'util': 0, 'scsi': 1, 'content': 1, 'loop': 1, 'store': 2, 'iscsi': 3, 'host': 3, 'virt': 3, 'core': 4,
          'helper': 4, 'bus': 5, '': 6}

_SKIPPED = ('.git', 'corpus', 'data', 'golden', 'node_modules', '__pycache__')
_WITH_LICENSE = ('.c', '.h', '.py', '.sh', '.build', '.xml', '.policy', '.rules', '.service', '.in',
                 '.js', '.ts', '.tsx')


def files(top):
    """Paths below the top directory, sorted; without what is data or not ours."""
    for directory, names, found in os.walk(top):
        inside_tests = os.path.relpath(directory, top).startswith('tests')
        names[:] = sorted(n for n in names if n not in _SKIPPED or (n == 'data' and
                                                                   not inside_tests))
        names[:] = [n for n in names if not os.path.exists('%s/%s/meson-private' % (directory, n))]
        for name in sorted(found):
            yield os.path.relpath(os.path.join(directory, name), top)


def read(top, path):
    with open(os.path.join(top, path), errors='replace') as f:
        return f.read()


def clang_format(top):
    sources = [p for p in files(top) if p.endswith(('.c', '.h'))]
    result = subprocess.run(['clang-format', '--dry-run', '-Werror', *sources], cwd=top,
                            capture_output=True, text=True, timeout=300)
    if result.returncode == 0:
        return []
    wrong = re.findall(r'^(\S+?):(\d+):.*code should be clang-formatted', result.stderr, re.M)
    return sorted({'%s:%s: not as clang-format has it' % w for w in wrong}) or [result.stderr]


def include_order(top):
    problems = []
    for path in files(top):
        if not (path.startswith('src/') and path.endswith(('.c', '.h'))):
            continue
        parts = path.split('/')
        layer = parts[1] if len(parts) > 2 else ''
        if layer not in LAYERS:
            continue
        for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(top, path), re.M):
            other = included.split('/')[0] if '/' in included else layer
            if other == '..':
                problems.append('%s: includes "%s" by a relative path' % (path, included))
            elif other != layer and LAYERS.get(other, 99) >= LAYERS[layer]:
                problems.append('%s: includes "%s", which is not below %s'
                                % (path, included, layer or 'the top of src'))
    return problems


def license_headers(top):
    problems = []
    for path in files(top):
        head = '\n'.join(read(top, path).split('\n', 12)[:12])
        if path.endswith(_WITH_LICENSE) or head.startswith('#!'):
            if 'SPDX-License-Identifier: LGPL-2.1-or-later' not in head:
                problems.append('%s: no SPDX header' % path)
    return problems


def dry_runs(top):
    """Each step of the flows that clients start says what a dry run makes of it."""
    problems = []
    flows = [p for p in files(top) if p.startswith('src/core/flows/') and p.endswith('.c')]
    for path in flows:
        if path.endswith(('/recover.c', '/recover-image.c', '/flow-find-vm.c')):
            continue  # not started by a method with options
        source = read(top, path)
        for table in re.findall(r'\bconst DlStep \w+\[\] = \{(.*?)\};', source, re.S):
            for row in re.findall(r'\{([^{}]*)\}', table):
                if not re.search(r'\.dry = \w+', row):
                    problems.append('%s: a step without .dry: {%s}' % (path, row))
    return problems


ALL = {'dry runs': dry_runs, 'clang-format': clang_format, 'include order': include_order,
       'license headers': license_headers}
