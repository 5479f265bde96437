#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial run --canonical: the workspace is at /workspace, and results move between checkouts.
load helper
OBSERVED=1

setup() {
    fresh
    mkdir one two
    touch one/vial.lua two/vial.lua
    cd one || return 1
    echo '#include "h.h"' >a.c
    echo 'int f(void) { return 1; }' >h.h
    echo notes >NOTES
    cp -p a.c h.h NOTES ../two
}

@test "a second checkout has a hit of the first one, and outputs that are the same" {
    miss --canonical cc -g -MD -c a.c -o a.o
    cd ../two
    echo other >NOTES
    hit --canonical cc -g -MD -c a.c -o a.o
    cmp a.o ../one/a.o
    echo '/* edited */' >>h.h
    miss --canonical cc -g -MD -c a.c -o a.o
    cd ../one
    hit --canonical cc -g -MD -c a.c -o a.o
    miss cc -g -MD -c a.c -o a.o
}

@test "the command is not told where the checkout lies" {
    mkdir dir
    # shellcheck disable=SC2016 # the inner shell expands it
    OLDPWD=$PWD miss --canonical -C dir -- sh -c 'pwd; /bin/pwd; echo $PWD $OLDPWD; env; ls -la ..
        cat /proc/self/environ; readlink /proc/self/cwd; :'
    same "$(head -n 3 <<<"$output")" $'/workspace/dir\n/workspace/dir\n/workspace/dir'
    [[ $(tr '\\0' '\n' <<<"$output" | grep -v '^VIAL=\|^BATS\|^HOME=\|^XDG\|^_=\|^PATH=\|^TMPDIR=') != \
        *"$PWD"* ]] || fail "$output"
}

teardown() {
    [[ -z ${place-} ]] || rm -rf "$place"
}

@test "what is given by its own path is found, and is part of the key" {
    place=$(mktemp -d /var/tmp/canonical.XXXXXX) # /tmp is private
    cd ..
    mv one two "$place"
    cd "$place/one"
    miss --canonical cat "$PWD/NOTES"
    same "$output" notes
    # shellcheck disable=SC2016 # the inner shell expands it
    miss --canonical sh -c 'echo written >"$0/out"' "$PWD"
    same "$(cat out)" written
    hit --canonical cat "$PWD/NOTES"
    cd ../two
    miss --canonical cat "$PWD/NOTES"
}

@test "an edit, a touch and a stale output are what they are without --canonical" {
    printf 'a: b\n\tcp b a\n' >Makefile
    echo 1 >b
    miss --canonical make
    same "$(cat a)" 1
    touch b
    rm a
    hit --canonical make
    same "$(cat a)" 1
    echo 2 >b
    miss --canonical make
    same "$(cat a)" 2
    hit --canonical make
    exits 0 vial shell @0 -- sh -c 'pwd; cat b'
    same "$output" $'/workspace\n2'
}

@test "why explains a canonical run, which no workspace within the system can have" {
    echo 1 >in
    miss --canonical sh -c 'cat in >out; cat out'
    echo 2 >in
    miss --canonical sh -c 'cat in >out; cat out'
    exits 0 vial why
    contains "$output" 'read in:'
    exits 125 vial run --canonical -C /usr/share -- true
    contains "$stderr" 'lies within the system'
}
