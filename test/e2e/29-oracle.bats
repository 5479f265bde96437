#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The differential oracle itself: it must find what is there, and nothing that is not.

load helper

oracle() {
    "$ROOT/test/oracle/oracle" --player "$(dirname "$VIAL")/test/oracle/oracle-play" "$@"
}

# Of another kind than the directory of the tests, where the machine has one.
other_file_system() {
    mktemp -d /dev/shm/vial-oracle-XXXXXX
}

@test "random programs get the same answers from two native file systems" {
    other=$(other_file_system)
    run oracle --directory "$BATS_TEST_TMPDIR" --other-directory "$other" 1-150
    rm -rf "$other"
    [[ $status == 0 && $output == *"150 programs, 0 differ"* ]] || fail "$(show)"
}

@test "a difference is found, cut down to what shows it, and kept so that it can be replayed" {
    mkdir seeds
    run oracle --directory "$WORK" --view-command 'prlimit --nofile=9' --keep seeds --most 1 1-20
    [[ $status == 1 && $output == *EMFILE* ]] || fail "$(show)"
    kept=$(echo seeds/*.txt)
    [[ $(wc -l <"$kept") -le 16 ]] || fail "not short:" "$(cat "$kept")"
    exits 1 oracle --directory "$WORK" --view-command 'prlimit --nofile=9' --replay "$kept"
    exits 0 oracle --directory "$WORK" --replay "$kept"
}

@test "a program written out and read again is the same program" {
    play=$(dirname "$VIAL")/test/oracle/oracle-play
    "$play" print 1-60 >programs
    mkdir seed text # of one length: it is part of the answers
    "$play" build 1-60 "$PWD/seed" && "$play" build programs "$PWD/text"
    "$play" run 1-60 "$PWD/seed" >seed.out && "$play" run programs "$PWD/text" >text.out
    diff seed.out text.out
}

@test "a thread that dies or never ends is reported, not waited for" {
    play=$(dirname "$VIAL")/test/oracle/oracle-play
    printf '%s\n' 'program x' 'p1.0 open %0 "a" O_RDWR|O_CREAT 644' 'p0.0 cat "a"' \
        'p1.0 pwrite %0 8192 9000 1' 'p0.0 cat "a"' >programs
    "$play" build programs "$PWD"
    run prlimit --fsize=4096:4096 "$play" run programs "$PWD"
    [[ $output == *"DIED 2"* ]] || fail "$(show)"
}

@test "an operation that nobody knows is an error with its line" {
    printf '%s\n' 'program x' 'p0.0 cat "a"' 'p0.0 catch "a"' >programs
    exits 1 "$(dirname "$VIAL")/test/oracle/oracle-play" print programs
    contains "$stderr" 'programs:3: not an operation: p0.0 catch "a"'
}
