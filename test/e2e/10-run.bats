#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial run: what is reused, what runs, and what the caller sees of it.
load helper

program() {
    printf '#include <stdio.h>\n#include "greeting.h"\nint main(void) { puts(GREETING); return 0; }\n' >main.c
    printf '#define GREETING "%s"\n' "$1" >greeting.h
}

@test "a compiler runs once, and its output comes from the cache the second time" {
    program hello
    miss cc -o main main.c
    hit cc -o main main.c
    same "$(./main)" hello
}

@test "an edit runs again, a revert does not" {
    program hello
    miss cc -o main main.c
    program other
    miss cc -o main main.c
    same "$(./main)" other
    program hello
    hit cc -o main main.c
    same "$(./main)" hello
}

@test "a command reads its inputs only if the store lacks one of them" {
    program hello
    miss cat main.c greeting.h
    same "$(events "$EVENTS" captured | wc -l)" 2
    miss wc main.c greeting.h
    same "$(events "$EVENTS" captured | wc -l)" 1
    echo changed >>main.c
    miss tail -n 1 main.c
    same "$output" changed
    same "$(events "$EVENTS" captured | wc -l)" 2
}

@test "a deleted output comes back" {
    program hello
    miss cc -o main main.c
    rm main
    hit cc -o main main.c
    same "$(./main)" hello
}

@test "two checkouts share results wherever they lie" {
    program hello
    miss cc -g -o main main.c
    mkdir -p "$BATS_TEST_TMPDIR/other/place"
    cp vial.lua main.c greeting.h "$BATS_TEST_TMPDIR/other/place"
    cd "$BATS_TEST_TMPDIR/other/place"
    hit cc -g -o main main.c
    same "$(./main)" hello
}

@test "with -i only what is declared is there, and only it matters" {
    echo a >a
    echo b >b
    miss -i a -- ls
    same "$output" a
    echo changed >b
    hit -i a -- ls
    same "$output" a
}

@test "-i and -o are relative to where one stands" {
    mkdir -p sub/deep
    echo text >sub/in
    cd sub
    miss -i in -o deep/out -- cp in deep/out
    same "$(cat deep/out)" text
    cd deep
    hit -C .. -i in -o deep/out -- cp in deep/out
    miss -i ../in -o out2 -- cp ../in out2
    same "$(cat out2)" text
}

@test "output arrives as it was written, on the stream it was written to" {
    miss sh -c 'echo out; echo err >&2; echo out2'
    same "$output" $'out\nout2'
    same "$stderr" err
    hit sh -c 'echo out; echo err >&2; echo out2'
    same "$output" $'out\nout2'
    same "$stderr" err
}

@test "streams that share a descriptor keep their order when replayed" {
    script='for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done'
    "$VIAL" run -- sh -c "$script" >../first 2>&1
    "$VIAL" run -- sh -c "$script" >../second 2>&1
    cmp ../first ../second
}

@test "the exit status is the command's, and a failure runs again" {
    exits 7 vial run sh -c 'exit 7'
    miss sh -c 'exit 7'
    same "$status" 7
    miss --cache-failures sh -c 'exit 8'
    hit --cache-failures sh -c 'exit 8'
    same "$status" 8
}

@test "a command killed by a signal gives 128 and its number" {
    exits 137 vial run sh -c 'kill -9 $$'
    exits 143 vial run sh -c 'kill -TERM $$'
}

@test "a program that does not exist gives 127, one that cannot be run 126, misuse 125" {
    exits 127 vial run no-such-program
    contains "$stderr" no-such-program
    echo text >plain
    exits 126 vial run ./plain
    contains "$stderr" plain
    exits 125 vial run --no-such-option true
    exits 125 vial run
    exits 125 vial run -i no-such-file -- true
    contains "$stderr" no-such-file
    exits 125 vial run -i /etc/passwd -- true
    contains "$stderr" "outside the workspace"
    exits 125 vial run --check 0 true
    exits 125 vial run --timeout -1 true
}

@test "the value of a short option may stand right behind it" {
    echo text >in
    miss -iin -oout -eA=b -j2 -- sh -c 'cp in out; echo $A'
    same "$output" b
    same "$(cat out)" text
    hit -i in -o out -e A=b -j 2 sh -c 'cp in out; echo $A'
    exits 0 vial run echo -j4
    same "$output" -j4
    exits 0 vial log -n1
}

@test "nothing that --keep-sandbox would be asked for in vain is accepted" {
    exits 125 vial run --view --keep-sandbox true
    exits 125 vial run --check 2 --keep-sandbox true
}

@test "a timeout ends the whole tree with 124" {
    exits 124 vial run --timeout 0.3 -- sh -c 'sleep 1000 & sleep 1000'
    exits 124 vial run --timeout 0.3 -- sh -c 'trap "" TERM; while :; do sleep 1; done'
}

@test "the environment is the same whoever calls" {
    miss env
    first=$output
    export SECRET=1 LC_MESSAGES=de_DE
    hit env
    same "$output" "$first"
    contains "$output" PATH=/usr/bin:/bin
    [[ $output != *SECRET* ]]
    miss -e SECRET env
    contains "$output" SECRET=1
    hit -e SECRET=1 env
    export SECRET=2
    miss -e SECRET env
}

@test "nothing of the host but the system is visible" {
    echo secret >"$HOME/secret"
    exits 0 vial run ls -A / /home /tmp /workspace
    [[ $output != *secret* ]]
    exits 1 vial run test -e "$HOME/secret"
    exits 0 vial run sh -c 'id -u; pwd; hostname; ls /proc | grep -c "^[0-9]"'
    same "$(echo "$output" | head -3)" $'1000\n/workspace\nvial'
}

@test "the network is not there unless asked for, and then the result is not kept" {
    exits 0 vial run cat /proc/net/dev
    [[ $output != *eth* ]]
    same "$(echo "$output" | grep -c :)" 1
    miss --net true
    miss --net true
}

@test "the system cannot be written to" {
    exits 1 vial run sh -c 'touch /usr/x /etc/x /x 2>/dev/null && exit 0; exit 1'
}

@test "stdin is a file, a pipe or nothing, and part of the key" {
    echo one >../one
    echo two >../two
    miss cat <../one
    same "$output" one
    hit cat <../one
    miss cat <../two
    same "$output" two
    hit --stdin ../one -- cat
    same "$(echo two | vial run cat)" two
    same "$(vial run cat </dev/null)" ""
}

@test "timestamps of inputs are no inputs" {
    program hello
    miss cc -o main main.c
    touch -d 2001-01-01 main.c
    hit cc -o main main.c
    touch main.c greeting.h
    hit cc -o main main.c
}

@test "the executable bit is an input" {
    printf '#!/bin/sh\necho run\n' >script
    chmod +x script
    miss ./script
    chmod -x script
    exits 126 vial run ./script
    chmod +x script
    hit ./script
}

@test "a link and what it points to are inputs" {
    echo one >one
    echo two >two
    ln -s one link
    miss cat link
    ln -sfn two link
    miss cat link
    same "$output" two
    ln -sfn one link
    hit cat link
    same "$output" one
}

@test ".git is not an input" {
    rm vial.lua
    git init -q .
    echo text >file
    miss ls -A
    same "$output" file
    git add file
    hit ls -A
}

@test "who stands in .git and names its files means them" {
    rm vial.lua
    git init -q .
    cd .git
    miss -i HEAD -o copy -- cp HEAD copy
    same "$(cat copy)" "$(cat HEAD)"
    rm copy
    hit -i HEAD -o copy -- cp HEAD copy
    same "$(cat copy)" "$(cat HEAD)"
    echo text >../file
    miss -i .. -- sh -c 'ls -A . && cat ../file'
    same "$output" text
}

@test "names with spaces, newlines, dashes and metacharacters are just names" {
    name=$'a b\nc*[x]?-'
    echo text >"$name"
    echo text >-dash
    miss -i "$name" -o $'out a b\nc\\*\\[x\\]\\?-' -- cp "$name" "out $name"
    same "$(cat "out $name")" text
    hit -i "$name" -o "out $name" -- cp "$name" "out $name" # it exists now: a name, not a pattern
    miss -i -dash -- cat ./-dash
    same "$output" text
}

@test "--dry-run says what would happen and changes nothing" {
    program hello
    exits 0 vial run --dry-run cc -o main main.c
    contains "$output" "would run"
    [[ ! -e main ]]
    miss cc -o main main.c
    rm main
    exits 0 vial run --dry-run cc -o main main.c
    contains "$output" "would reuse"
    [[ ! -e main ]]
}

@test "--no-cache and --refresh run again" {
    miss date +%N
    first=$output
    hit date +%N
    same "$output" "$first"
    miss --no-cache date +%N
    [[ $output != "$first" ]]
    hit date +%N
    same "$output" "$first"
    miss --refresh date +%N
    second=$output
    hit date +%N
    same "$output" "$second"
}

@test "--keep-sandbox leaves a directory in which the command can be repeated" {
    echo text >in
    exits 0 vial run --keep-sandbox cp in out
    directory=$(sed -n 's/^vial: the sandbox is \(.*\); repeat .*/\1/p' <<<"$stderr")
    [[ -d $directory ]] || fail "$(show)"
    exits 0 "$directory/rerun"
    rm -rf "$directory"
}

@test "--check names what is not reproducible" {
    exits 0 vial run --check 3 -- sh -c 'echo same >same'
    exits 1 vial run --check 2 -- sh -c 'echo same; date +%N >&2'
    contains "$stderr" "(standard error): other content, first at offset"
    exits 1 vial run --check 3 -- sh -c 'echo same >same; date +%N >differs'
    contains "$stderr" differs
    contains "$stderr" "offset"
    [[ $stderr != *" same:"* ]]
    [[ ! -e same && ! -e differs ]]
}

@test "vial inside vial works" {
    cp "$VIAL" ./vial-program
    exits 0 vial run ./vial-program run echo inner
    same "$output" inner
}

@test "a program of the caller's PATH that is hidden is named" {
    mkdir -p "$HOME/bin"
    printf '#!/bin/sh\n' >"$HOME/bin/my-tool"
    chmod +x "$HOME/bin/my-tool"
    PATH=$HOME/bin:$PATH exits 127 vial run my-tool
    contains "$stderr" "$HOME/bin/my-tool"
}

@test "a compiler upgrade is a miss" {
    mkdir -p "$BATS_TEST_TMPDIR/sys"
    [[ $(id -u) == 0 ]] || skip "replacing a program below /usr/local needs root"
    tool=/usr/local/bin/vial-test-$$
    printf '#!/bin/sh\necho version 1\n' >"$tool"
    chmod +x "$tool"
    run vial run "$tool"
    first=$output
    run vial run --dry-run "$tool"
    again=$output
    printf '#!/bin/sh\necho version 2\n' >"$tool"
    run vial run "$tool"
    second=$output
    rm -f "$tool"
    same "$first" "version 1"
    contains "$again" "would reuse"
    same "$second" "version 2"
}

@test "a large output and many outputs come back whole" {
    miss sh -c 'head -c 30000000 /dev/urandom >big; mkdir many; for i in $(seq 500); do echo $i >many/$i; done'
    sum=$(cat big many/* | sha256sum)
    rm -r big many
    hit sh -c 'head -c 30000000 /dev/urandom >big; mkdir many; for i in $(seq 500); do echo $i >many/$i; done'
    same "$(cat big many/* | sha256sum)" "$sum"
}
