#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial shell: a command in the view that a run had.
load helper

setup() {
    fresh
    echo one >in
    mkdir dir
    ln -s in link
}

@test "a shell sees what the run saw, whatever has become of it" {
    NAME=value vial run --view -C dir -- sh -c 'cat ../in ../link >/dev/null; ls .. >/dev/null
        test -e ../absent; echo made >../out'
    echo two >in
    rm link
    echo >absent
    chmod +x in
    # shellcheck disable=SC2016 # the inner shell expands it
    exits 0 vial shell @0 -- sh -c 'cat ../in; readlink ../link; ls ..; pwd; echo $NAME
        test -x ../in; echo $?'
    same "$output" "one
in
dir
in
link
vial.lua
$PWD/dir
value
1"
    same "$(cat in)" two
    exits 0 vial shell --after -- cat ../out
    same "$output" made
    exits 0 vial shell @0 --after -- sh -c 'cat ../in; echo changed >../in'
    same "$output" one
    same "$(cat in)" two
}

@test "a shell in the view of a hit is that of the run" {
    vial run --view sh -c 'cat in >out'
    vial run --view sh -c 'cat in >out'
    same "$(vial log --json | jq -r '.[0].result')" hit
    echo two >in
    exits 0 vial shell -- cat in
    same "$output" one
}

@test "a shell has vial's own input, and exits as its command does" {
    vial run --view cat in
    echo 'cat in; exit 7' >script
    exits 7 vial shell @0 <script
    same "$output" one
    exits 127 vial shell @0 -- no-such-program
    exits 125 vial shell @9 -- true
    contains "$stderr" 'there is no run @9'
    exits 125 vial shell @x
}

@test "a shell in the view of a sealed run has its inputs, and after it its outputs" {
    vial run -i in -- sh -c 'cat in >out; rm in'
    exits 0 vial shell @0 -- sh -c 'pwd; ls; cat in'
    same "$output" $'/workspace\nin\none'
    exits 0 vial shell @0 --after -- sh -c 'ls; cat out'
    same "$output" $'out\none'
}

@test "what is not kept any more is named" {
    head -c 100000 /dev/zero | tr '\\0' x >big
    vial run --view sh -c 'cat in big >/dev/null'
    echo edited >big
    vial gc --max-size 100K
    vial run --view true
    exits 0 vial shell @1 -- sh -c 'cat big'
    contains "$stderr" 'not kept any more: big'
    same "$output" edited
}

@test "a run that was not stored can be entered, but not after it" {
    vial run --view --net sh -c 'cat in >out'
    echo two >in
    exits 0 vial shell -- cat in
    same "$output" one
    exits 125 vial shell --after -- cat out
    contains "$stderr" 'what run @0 wrote is not kept'
}
