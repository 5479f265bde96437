#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial why, log, stats, gc, doctor and the event stream.
load helper

@test "why names the file, the argument, the variable that changed" {
    echo one >in
    miss cat in
    exits 0 vial why
    contains "$output" "no earlier run"
    hit cat in
    exits 0 vial why
    contains "$output" "was reused"
    echo two >in
    miss cat in
    exits 0 vial why
    contains "$output" "input in:"
    miss -e NAME=x cat in
    exits 0 vial why
    contains "$output" "environment NAME: (unset) -> x"
    miss cat -n in
    exits 0 vial why
    contains "$output" "argument 1: in -> -n"
    exits 0 vial why @3
    contains "$output" "was reused"
    exits 2 vial why @99
    exits 2 vial why @nonsense
}

@test "why of a sealed run after an observed one says that, and not all that it entails" {
    echo one >in
    # shellcheck disable=SC2034
    OBSERVED=1
    miss cat in
    miss --sealed cat in
    exits 0 vial why
    contains "$output" "kind of run: observed -> sealed"
    [[ $output != *environment* && $output != *machine* ]]
}

@test "why of an output explains the run that wrote it" {
    echo one >in
    miss sh -c 'cat in >out'
    miss sh -c 'cat in >other'
    echo two >in
    miss sh -c 'cat in >out'
    exits 0 vial why out
    contains "$output" 'out was written by @0'
    contains "$output" 'in changed'
    exits 0 vial why "$PWD/other"
    contains "$output" 'other was written by @1'
    mkdir d
    cd d
    exits 0 vial why ../other
    contains "$output" 'other was written by @1'
    exits 1 vial why in
    contains "$stderr" 'no recorded run'
    exits 1 vial why /etc/passwd
}

@test "why still names what changed after gc, which removes the inputs themselves" {
    mkdir src
    head -c 100000 /dev/urandom >src/big
    miss wc -c src/big
    echo more >>src/big
    miss wc -c src/big
    exits 0 vial gc --max-size 50K
    exits 0 vial why
    contains "$output" "input src/big:"
    hit wc -c src/big
}

@test "log lists runs of this workspace, the latest first" {
    miss echo one
    hit echo one
    miss echo two
    exits 0 vial log
    same "$(wc -l <<<"$output")" 3
    contains "$(head -1 <<<"$output")" "echo two"
    contains "$(sed -n 2p <<<"$output")" hit
    same "$(vial log --json | jq -r '.[1].result')" hit
    same "$(vial log -n 1 | wc -l)" 1
    cd /
    exits 0 vial log
    same "$output" ""
}

@test "stats count hits, misses and the time saved" {
    miss sleep 0.2
    hit sleep 0.2
    same "$(vial stats --json | jq -c '[.hits, .misses, .results]')" '[1,1,1]'
    vial stats --json | jq -e '.saved_seconds > 0.1'
    exits 0 vial store stats
}

@test "gc evicts what was used least recently, never what a live result names" {
    miss sh -c 'head -c 300000 /dev/urandom >a'
    miss sh -c 'head -c 300000 /dev/urandom >b'
    rm a b
    hit sh -c 'head -c 300000 /dev/urandom >a'
    rm a
    exits 0 vial gc --max-size 400K
    rm -f a b
    hit sh -c 'head -c 300000 /dev/urandom >a'
    rm -f a b
    miss sh -c 'head -c 300000 /dev/urandom >b'
    exits 0 vial gc --max-size 0
    rm -f a b
    miss sh -c 'head -c 300000 /dev/urandom >a'
    exits 2 vial gc
    exits 2 vial gc --max-size much
}

@test "doctor says what this machine offers" {
    exits 0 vial doctor
    contains "$output" namespaces
    contains "$output" reflink
    run without_namespaces vial doctor
    contains "$output" "no   namespaces"
}

@test "a run that does not come to its end is finished too, with what vial exits with" {
    exits 127 vial run --events "$EVENTS" no-such-program
    same "$(finished "$EVENTS" result) $(finished "$EVENTS" exit)" "failed 127"
    mkdir locked
    chmod 555 locked
    exits 125 as_user vial run --events "$EVENTS" -- sh -c 'chmod 755 locked; echo x >locked/x'
    same "$(finished "$EVENTS" result) $(finished "$EVENTS" exit)" "failed 125"
    contains "$(finished "$EVENTS" reason)" locked/x
    chmod 755 locked
    exits 0 as_user vial log
    contains "$output" "run"
}

@test "every event is one JSON object a line, and the last is finished" {
    miss sh -c 'echo x >x'
    jq -e . "$EVENTS" >/dev/null
    same "$(tail -1 "$EVENTS" | jq -r .event)" finished
    same "$(tail -1 "$EVENTS" | jq -r .exit)" 0
    exits 125 vial run --events /no/such/place -- true
}

@test "nothing is added to what a command prints" {
    exits 0 vial run echo hello
    same "$output" hello
    same "$stderr" ""
    exits 0 vial run echo hello
    same "$output" hello
    same "$stderr" ""
}

@test "identical commands at the same moment run once" {
    for i in 1 2 3 4; do
        vial run --events "$EVENTS.$i" -- sh -c 'sleep 0.5; date +%N' >"../out.$i" &
    done
    wait
    cmp ../out.1 ../out.2 && cmp ../out.1 ../out.3 && cmp ../out.1 ../out.4
    same "$(cat "$EVENTS".* | grep -c '"result":"run"')" 1
}

@test "a run in a view whose result is not kept is explained all the same" {
    # shellcheck disable=SC2034
    OBSERVED=1
    vial run true
    vial run --net -e A=1 true
    exits 0 vial why
    contains "$output" "it could use the network"
    contains "$output" "environment A: (unset) -> 1"
    [[ $output != *"no longer known"* ]]
}
