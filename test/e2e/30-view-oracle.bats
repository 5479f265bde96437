#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The file system of a view answers as the one below it does. test/oracle/oracle.h says how this is
# asked.

load helper

TEST_SECONDS=400
: "${PROGRAMS:=250}" # thrice as many are run

oracle() {
    "$ROOT/test/oracle/oracle" --player "$(dirname "$VIAL")/test/oracle/oracle-play" \
        --directory "$BATS_TEST_TMPDIR" "$@"
}

in_view() {
    oracle --view-command "$VIAL run --view --" "$@"
}

# src/view/ alone, without sandbox and commit.
in_bare_view() {
    [[ $(id -u) == 0 ]] || skip "oracle-view needs root"
    oracle --view-command "$(dirname "$VIAL")/test/oracle/oracle-view${1:+ $1}" --uncommitted \
        "${@:2}"
}

@test "calls answer in a view as natively, errors above all" {
    exits 0 in_view --table "$ROOT/test/oracle/errors.txt"
    contains "$output" "answers, 0 wrong"
}

# In a mount namespace where everybody may open /dev/fuse, as udev has it; without udev it is root's.
with_open_fuse() {
    if [[ $(id -u) != 0 ]]; then
        "$@"
        return
    fi
    export WORK EVENTS BATS_RUN_TMPDIR BATS_TEST_TMPDIR
    mknod -m 666 "$BATS_TEST_TMPDIR/fuse" c 10 229
    unshare --mount bash -c "$(declare -f vial as_user)"'
        mount --bind "$BATS_TEST_TMPDIR/fuse" /dev/fuse || exit 99
        "$@"' bash "$@"
}

@test "calls of an ordinary user answer in a view as natively" {
    cp -r "$ROOT/test/oracle" "$WORK/oracle"
    cp "$(dirname "$VIAL")/test/oracle/oracle-play" "$WORK/oracle/play"
    mkdir "$VIAL_STORE"
    # shellcheck disable=SC2016 # the inner shell expands it
    exits 0 with_open_fuse as_user sh -c '"$1/oracle" --player "$1/play" --directory "$1" \
        --view-command "$VIAL run --view --" --table "$1/errors.txt"' sh "$WORK/oracle"
    contains "$output" "answers, 0 wrong"
}

@test "random programs see in a view what they see natively" {
    exits 0 in_bare_view "" 1-$((2 * PROGRAMS))
    exits 0 in_bare_view --plain 100001-$((100000 + PROGRAMS))
}

# In parts, in views upon each other that are committed and dropped at random; test/oracle/nest.c.
@test "programs in parts, in child views and snapshots, go as those parts one after the other" {
    [[ $(id -u) == 0 ]] || skip "oracle-view needs root"
    view=$(dirname "$VIAL")/test/oracle/oracle-view
    for seed in 1 2 3 4 5; do
        exits 0 oracle --uncommitted --parts 8 --view-command "$view --nest $seed 8" \
            $((seed * 1000))-$((seed * 1000 + 39))
    done
    exits 0 oracle --uncommitted --parts 8 --view-command "$view --plain --nest 6 8" 6000-6039
}

# Of the seeds that are left out: 79 writes to a file that has a name on the host which the view
# has never been asked for.
@test "what random programs leave in a view reaches the host as if they had run there" {
    exits 0 in_view 1-78 80-200
    arguments=()
    for kept in "$ROOT"/test/oracle/seeds/commit/*.txt; do
        arguments+=(--replay "$kept")
    done
    exits 0 in_view "${arguments[@]}"
}

@test "programs that once showed a difference show none" {
    arguments=()
    for kept in "$ROOT"/test/oracle/seeds/*.txt; do
        arguments+=(--replay "$kept")
    done
    exits 0 in_bare_view "" "${arguments[@]}"
    exits 0 in_bare_view --plain "${arguments[@]}"
}

@test "random input and output in one file gives what a copy in memory says" {
    fsx=./fsx # a view has a /tmp of its own, where the build may lie
    cp "$(dirname "$VIAL")/test/oracle/oracle-fsx" "$fsx"
    for seed in 1 2 3 4; do
        head -c 100000 "$(command -v bash)" >native
        cp native view
        expected=$("$fsx" $seed 2000 native)
        same "$(vial run --view -- "$fsx" $seed 2000 view)" "$expected"
        cmp native view
        rm native view
    done
}
