#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Documentation, --help and completion say the same.
load helper

# options: the options among the lines on standard input that begin like one; each help option once.
options() {
    sed 's/  .*//' | grep -oE '(^|[ ,*])--?[A-Za-z][-A-Za-z]*' | tr -d ' ,*' |
        grep -vxE -- '-h|-\?|--help' | sort -u
}

# help COMMAND…: the options that its --help lists.
help_options() {
    vial "$@" --help | sed -n 's/^ \+-/-/p' | options
}

# man_options PAGE: the options that a line of the page begins with.
man_options() {
    sed -n 's/^\*-/-/p' "$ROOT/man/$1.scd" | options
}

# The commands, and those of store, that the pages describe.
store_commands() {
    sed -n '/^# SUBCOMMANDS/,/^# OPTIONS/s/^\*\([a-z-]*\)\*.*/\1/p' "$ROOT/man/vial-store.scd"
}

commands() {
    sed -n '/^# COMMANDS/,/^# OPTIONS/s/^\*vial-\([a-z]*\)\*(1)$/\1/p' "$ROOT/man/vial.scd"
}

# listed COMMAND…: the commands that its --help lists, two spaces in.
listed() {
    vial "$@" --help | sed -nE 's/^  ([a-z][a-z-]*)( .*)?$/\1/p' | sort -u
}

# complete_line WORD…: what bash offers for the last word.
complete_line() {
    PATH=$(dirname "$VIAL"):$PATH bash --norc --noprofile -c '
        source "$1/completion/vial.bash"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _vial
        printf "%s\n" "${COMPREPLY[@]}" | sort -u' bash "$ROOT" "$@"
}

@test "man: every page is well formed" {
    local page
    for page in "$ROOT"/man/*.scd; do
        exits 0 scdoc <"$page"
    done
}

@test "man: every command has a page and every page a command, but for the one on rules" {
    same "$({ echo rules && commands; } | sort)" \
        "$(cd "$ROOT/man" && printf '%s\n' vial-*.scd | sed 's/vial-\(.*\).scd/\1/' | sort)"
}

@test "man: the build makes every page" {
    for page in "$ROOT"/man/*.scd; do
        compgen -G "$(dirname "$VIAL")/man/$(basename "$page" .scd).[17]" || fail "not built: $page"
    done
}

@test "help: vial --help lists the commands of vial(1), and no other" {
    exits 0 vial --help
    same "$(listed)" "$(commands | sort)"
}

@test "help: vial store --help lists the subcommands of vial-store(1), and no other" {
    exits 0 vial store --help
    same "$(listed store)" "$(store_commands | sort)"
}

@test "help: the options of every command are those of its page" {
    local command subcommand
    for command in $(commands); do
        exits 0 vial "$command" --help
        [[ $command != store ]] || continue
        same "$command: $(help_options "$command")" "$command: $(man_options "vial-$command")"
    done
    for subcommand in $(store_commands); do
        exits 0 vial store "$subcommand" --help
        help_options store "$subcommand"
    done | sort -u >in-help
    same "store: $(cat in-help)" "store: $(man_options vial-store)"
}

@test "help: vial help COMMAND is vial COMMAND --help, and no command is an error" {
    exits 0 vial help gc
    same "$output" "$(vial gc --help)"
    exits 2 vial help no-such-command
    contains "$stderr" no-such-command
}

@test "help: --version prints name and version, and the options of vial are those of vial(1)" {
    exits 0 vial --version
    [[ $output =~ ^vial\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "$(show)"
    same "$(help_options)" "$(man_options vial)"
}

@test "completion: commands and subcommands are those of the pages" {
    same "$(complete_line vial '' | grep -v ^-)" "$(commands | sort)"
    same "$(complete_line vial store '')" "$(store_commands | sort)"
    same "$(complete_line vial st)" "$(printf 'stats\nstore')"
}

@test "completion: options are those of the help" {
    same "$(complete_line vial run - | options)" "$(man_options vial-run)"
    contains "$(complete_line vial store get --f)" --force
}

@test "completion: values, files and the command to run" {
    touch file-one
    mkdir dir-one
    same "$(complete_line vial run -i file)" file-one
    same "$(complete_line vial run -C d)" dir-one
    same "$(complete_line vial run --directory = d)" dir-one
    same "$(complete_line vial run --input = file-one --jobs 2 setar)" setarch
    same "$(complete_line vial run --commit = su)" success
    same "$(complete_line vial run --commit s)" success
    same "$(complete_line vial store put f)" file-one
    same "$(complete_line vial run -i f -- setar)" setarch
    same "$(complete_line vial run setar)" setarch
    same "$(complete_line vial run -e A = b --commit = never --net setar)" setarch
    same "$(complete_line vial run -- cat file-)" file-one
    same "$(complete_line vial run cat -n file-)" file-one
}
