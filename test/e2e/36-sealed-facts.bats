#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A sealed run is found again by what it looked at, among the inputs that it was given.
load helper

setup() {
    fresh
    echo one >in
    echo unread >other
}

@test "an edit of an input that was not read is a hit, of one that was read a run" {
    miss -i in -i other -- sh -c 'cat in >out'
    echo edited >other
    hit -i in -i other -- sh -c 'cat in >out'
    same "$(cat other)" edited
    echo two >in
    miss -i in -i other -- sh -c 'cat in >out'
    same "$(cat out)" two
    echo one >in
    echo again >other
    hit -i in -i other -- sh -c 'cat in >out'
    same "$(cat out)" one
    exits 0 vial why
    contains "$output" 'was reused'
    exits 0 vial trace
    contains "$output" 'read     in'
    [[ $output != *other* ]] || fail "$output"
}

@test "a name that appears where it was looked for, or in a directory that was listed, is a run" {
    miss --sealed -- sh -c 'test -e found || echo not; :'
    echo >elsewhere
    hit --sealed -- sh -c 'test -e found || echo not; :'
    echo >found
    miss --sealed -- sh -c 'test -e found || echo not; :'
    miss --sealed -- sh -c 'ls'
    echo edited >other
    hit --sealed -- sh -c 'ls'
    echo >new
    miss --sealed -- sh -c 'ls'
}

@test "what was written as it was before, unread, is no output of another state" {
    miss --sealed -- sh -c 'echo unread >other'
    echo changed >other
    miss --sealed -- sh -c 'echo unread >other'
    same "$(cat other)" unread
}

@test "what was written over unread is an output whatever it was" {
    miss -i other -- sh -c 'echo new >other'
    same "$(cat other)" new
    echo edited >other
    hit -i other -- sh -c 'echo new >other'
    same "$(cat other)" new
}

@test "a mode, a move and a removal depend on what they happen to" {
    mkdir d
    echo x >d/x
    miss -i other -i d -- sh -c 'chmod +x other; mv d e'
    same "$(cat e/x)" x
    [[ -x other && ! -e d ]]
    chmod -x other
    mv e d
    echo edited >other
    miss -i other -i d -- sh -c 'chmod +x other; mv d e'
    same "$(cat other)" edited
    chmod -x other
    mv e d
    echo y >d/y
    miss -i other -i d -- sh -c 'chmod +x other; mv d e'
    same "$(cat e/y)" y
}

@test "an input where an output is declared counts though nobody reads it" {
    miss -i . -o '*.txt' -- sh -c 'echo one >made.txt'
    echo mine >note.txt
    miss -i . -o '*.txt' -- sh -c 'echo one >made.txt'
    echo edited >note.txt
    miss -i . -o '*.txt' -- sh -c 'echo one >made.txt'
    same "$(cat note.txt)" edited
    echo edited >other
    hit -i . -o '*.txt' -- sh -c 'echo one >made.txt'
}

@test "times that follow from a content count as that content" {
    printf '\177ELF\2\1\1' >object.o
    local command='[ object.o -ot in ]'
    miss --sealed --cache-failures -- sh -c "$command"
    echo text >object.o
    [[ $(vial run --sealed --cache-failures --events "$EVENTS" -- sh -c "$command"; echo $?) == 1 ]]
    same "$(jq -r 'select(.event == "lookup").result' "$EVENTS" | tail -1)" miss
}

@test "where inputs are laid out as files nothing is on record" {
    miss --keep-sandbox -i in -i other -- sh -c 'cat in >elsewhere'
    rm -rf "$(grep -o '/[^;]*/kept-[^;]*' <<<"$stderr")" elsewhere
    echo again >other
    miss -i in -i other -- sh -c 'cat in >elsewhere'
}
