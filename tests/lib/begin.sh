# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by tests/run and tests/demo, with $tests set: root, packages, a directory for everything
# that is made ($work), and one trap that removes it and ends $child.
set -u
. "$tests/lib/packages.sh"

finish() {
        trap '' INT TERM HUP
        if [ -n "${child:-}" ]; then
                kill -TERM "$child" 2>/dev/null
                wait "$child" 2>/dev/null
        fi
        allow_daemons
        [ -z "${work:-}" ] || rm -rf "$work"
}

begin() { # NAME
        if [ "$(id -u)" != 0 ]; then
                echo "$1 makes namespaces and installs packages: run it as root" >&2
                exit 1
        fi
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
        work=$(mktemp -d "${TMPDIR:-/tmp}/directlun-tests.XXXXXXXX") || exit 1
        chmod 755 "$work"
        export TMPDIR=$work
        trap finish EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        install_packages "$tests/packages" "$work/apt.log"
}

# Runs a program with this one's input, so that a signal ends both.
follow() {
        local status
        "$@" <&0 &
        child=$!
        wait "$child"
        status=$?
        child=
        return "$status"
}
