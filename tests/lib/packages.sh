# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by tests/run and tests/demo: brings in what tests/packages names. Says nothing when
# everything is there.

# A package's init script must not start its daemon on this machine: the lab runs its own.
forbid_daemons() {
        [ -e /usr/sbin/policy-rc.d ] && return 0
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        DL_POLICY_RC_D=/usr/sbin/policy-rc.d
}

allow_daemons() {
        [ -z "${DL_POLICY_RC_D:-}" ] || rm -f "$DL_POLICY_RC_D"
        DL_POLICY_RC_D=
}

missing_packages() { # LIST
        local package status
        sed 's/#.*//' "$1" | tr -s ' \t' '\n' | while read -r package; do
                [ -n "$package" ] || continue
                case $package in
                *:*) # PROGRAM:PACKAGE, where the program may have come in another way
                        ! command -v "${package%%:*}" >/dev/null || continue
                        package=${package#*:}
                        ;;
                esac
                status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) || status=
                [ "${status%"${status##*[! ]}"}" = ii ] || echo "$package"
        done
}

install_packages() { # LIST LOG
        local missing
        missing=$(missing_packages "$1")
        [ -n "$missing" ] || return 0
        echo "installing $(echo "$missing" | wc -l) packages with apt-get"
        forbid_daemons
        if ! { apt-get -q update &&
                # shellcheck disable=SC2086
                DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
                        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 $missing; } >"$2" 2>&1; then
                allow_daemons
                tail -n 40 "$2" >&2
                echo "the packages that the tests need could not be installed" >&2
                return 1
        fi
        allow_daemons
}
