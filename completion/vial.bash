# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of vial's command line for bash. Options come from --help, so that they cannot drift.

_vial_commands='run query graph why trace shell compdb log stats store gc doctor'
_vial_store_commands='put cat ls get merge subset add-prefix remove-prefix diff verify gc stats'

# The options that the help of `vial …` lists.
_vial_options() {
    "$@" --help 2>/dev/null </dev/null | sed -n 's/^ \+\(-[^ ].*\)/\1/p' | sed 's/  .*//' |
        grep -oE '(^|[ ,])--?[A-Za-z][-A-Za-z]*' | tr -d ' ,'
}

# _vial_reply HOW… CURRENT: what compgen makes of it.
_vial_reply() {
    mapfile -t COMPREPLY < <(compgen "${@:1:$#-1}" -- "${!#}")
}

# Complete the value of option $1, or fail if it takes none.
_vial_value() {
    case $1 in
    -C | --directory) _vial_reply -d "$2" ;;
    -e | --env) _vial_reply -v "$2" ;;
    -i | --input | -o | --output | --stdin | --events | --cache-dir) _vial_reply -f "$2" ;;
    --commit) _vial_reply -W 'always success never' "$2" ;;
    --system) _vial_reply -W 'bind observe' "$2" ;;
    -j | --jobs | -n | --number | -p | --process | --timeout | --check | --max-size) ;;
    *) return 1 ;;
    esac
}

# Index of the word that names the command to run, or fail if that is still to come. In bash "=" is a
# word of its own.
_vial_command_start() {
    local index=2
    while ((index <= COMP_CWORD)); do
        case ${COMP_WORDS[index]} in
        --) ((++index <= COMP_CWORD)) && echo "$index" && return ;;
        -[Ceijo] | --directory | --env | --input | --jobs | --output | \
            --stdin | --events | --cache-dir | --timeout | --check | --commit | --system)
            [[ ${COMP_WORDS[index + 1]-} == = ]] || ((index += 1))
            [[ ${COMP_WORDS[index + 1]-} == = ]] && ((index += 2))
            ((index += 1))
            ;;
        -*) ((index += 1)) ;;
        *) echo "$index" && return ;;
        esac
    done
    return 1
}

# Words $1… are a command line of their own.
_vial_command_line() {
    if declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        _vial_reply -c "$2"
    else
        _vial_reply -f "$2"
    fi
}

_vial() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} start
    local command=("${COMP_WORDS[@]:0:2}")
    [[ ${COMP_WORDS[1]} == store ]] && command=("${COMP_WORDS[@]:0:3}")
    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    [[ $current == = ]] && current=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _vial_reply -W "$_vial_commands --help --version" "$current"
    elif [[ ${COMP_WORDS[1]} == run ]] && start=$(_vial_command_start); then
        _vial_command_line "$start" "$current"
    elif _vial_value "$previous" "$current"; then
        return
    elif [[ $current == -* ]]; then
        _vial_reply -W "$(_vial_options "${command[@]}")" "$current"
    elif [[ ${COMP_WORDS[1]} == store ]] && ((COMP_CWORD == 2)); then
        _vial_reply -W "$_vial_store_commands" "$current"
    else
        _vial_reply -f "$current"
    fi
}

complete -o filenames -o bashdefault -F _vial vial
