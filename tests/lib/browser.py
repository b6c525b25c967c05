# SPDX-License-Identifier: LGPL-2.1-or-later
"""What drives the browser of tests/gui: brought by npm, while there is a network."""

import os
import shutil
import subprocess

GUI = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'gui')


def bring(directory):
    """Makes the directory that DL_GUI is to name; what npm says if that fails, or None."""
    shutil.copytree(GUI, directory)
    result = subprocess.run(['npm', 'ci', '--ignore-scripts', '--prefer-offline'], cwd=directory,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=300)
    return result.stdout if result.returncode else None
