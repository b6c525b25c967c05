# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion of directlunctl(1). What is there is asked from the service; without it, nothing is
# offered.

_directlunctl_words() {
        directlunctl --quiet --no-ask-password __complete "$@" 2>/dev/null
}

_directlunctl_options() {
        local common='--json --no-legend --no-ask-password --timeout --quiet --dry-run --help'

        case $1 in
        discover) echo "$common --user --secret-file --secret-fd --ask-secret --target-user" \
                "--target-secret-file --target-secret-fd --ask-target-secret" ;;
        connect) echo "$common --pin --guid --data-path --paths --interface" ;;
        unmanage | claim | release) echo "$common --force" ;;
        plug) echo "$common --force --image" ;;
        list) echo "$common --refresh --check-status" ;;
        create) echo "$common --alias --description" ;;
        attach) echo "$common --iface --device --index --boot-order --address --shared --readonly" \
                "--optional --image --propagate-errors --discard --reservations --no-plug" \
                "--data-path --alias --description --lun --secret-file --secret-fd --ask-secret" \
                "--force --if-needed" ;;
        snapshot) echo "$common --quiesce" ;;
        merge) echo "$common --bandwidth" ;;
        run) echo "$common --on --autostart" ;;
        stop) echo "$common --graceful" ;;
        '') echo "$common --version" ;;
        *) echo "$common" ;;
        esac
}

# What may follow an option; fails if it takes no value.
_directlunctl_values() {
        case $1 in
        --json) echo 'short pretty off' ;;
        --iface) echo 'virtio scsi sata ide' ;;
        --device) echo 'disk lun' ;;
        --data-path) echo 'auto qemu block' ;;
        --guid) _directlunctl_words luns ;;
        --on) _directlunctl_words hosts ;;
        --timeout | --user | --secret-fd | --target-user | --target-secret-fd | --alias | \
                --description | --bandwidth | --paths | --interface | --image | --index | --boot-order | --address | --lun) ;;
        *) return 1 ;;
        esac
}

# The words that a command takes, from those that are there already.
_directlunctl_arguments() {
        local command=$1 count=$2 first=$3

        case $command in
        '') echo 'discover connect unmanage targets list show explain remove-stale create claim release' \
                'attach plug unplug detach images snapshot merge revert vms run stop prepare-start' \
                'jobs cancel monitor' ;;
        connect | unmanage) ((count == 0)) && _directlunctl_words targets ;;
        list) _directlunctl_words luns ;;
        show) ((count == 0)) && _directlunctl_words objects ;;
        create | explain | remove-stale | claim | release) ((count == 0)) && _directlunctl_words luns ;;
        attach)
                ((count == 0)) && _directlunctl_words vms
                ((count == 1)) && _directlunctl_words disks
                ;;
        plug | unplug | detach)
                ((count == 0)) && _directlunctl_words vms
                ((count == 1)) && _directlunctl_words disks-of "$first"
                ;;
        images | snapshot) ((count == 0)) && _directlunctl_words vdisks ;;
        merge | revert)
                ((count == 0)) && _directlunctl_words vdisks
                ((count == 1)) && _directlunctl_words images-of "$first"
                ;;
        run | stop) ((count == 0)) && _directlunctl_words vms ;;
        cancel) ((count == 0)) && _directlunctl_words jobs ;;
        esac
}

# The shell splits words at = and : too, so the line is put together again.
_directlunctl() {
        local i word joined=() current command='' first='' count=0 value_of='' candidates prefix=''
        local glued=0

        for ((i = 1; i <= COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                if [[ ${#joined[@]} -gt 0 && ($glued == 1 || $word == [=:]*) ]]; then
                        joined[-1]+=$word
                else
                        joined+=("$word")
                fi
                [[ $word == *[=:] && $i -lt $COMP_CWORD ]] && glued=1 || glued=0
        done
        current=${joined[-1]}
        for ((i = 0; i < ${#joined[@]} - 1; i++)); do
                word=${joined[i]}
                if [[ -n $value_of ]]; then
                        value_of=''
                elif [[ $word == --*=* ]]; then
                        :
                elif [[ $word == -* ]]; then
                        case $word in
                        --secret-file | --target-secret-file) value_of=$word ;;
                        *) _directlunctl_values "$word" >/dev/null && value_of=$word ;;
                        esac
                elif [[ -z $command ]]; then
                        command=$word
                else
                        ((count++ == 0)) && first=$word
                fi
        done

        COMPREPLY=()
        if [[ $current == --*=* ]]; then
                value_of=${current%%=*}
                prefix=$value_of=
                current=${current#*=}
        fi
        case $value_of in
        --secret-file | --target-secret-file)
                mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$current")
                return
                ;;
        ?*) candidates=$(_directlunctl_values "$value_of") ;;
        *)
                if [[ $current == -* ]]; then
                        candidates=$(_directlunctl_options "$command")
                else
                        candidates=$(_directlunctl_arguments "$command" "$count" "$first")
                fi
                ;;
        esac
        mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$candidates" -- "$current")

        # readline replaces only what follows the last = or : of the line
        if [[ $COMP_WORDBREAKS == *[=:]* && $prefix$current == *[=:]* ]]; then
                word=$prefix$current
                word=${word%"${word##*[=:]}"}
                COMPREPLY=("${COMPREPLY[@]#"$word"}")
        fi
}

complete -F _directlunctl directlunctl
