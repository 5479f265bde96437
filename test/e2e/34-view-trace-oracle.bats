#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What strace shows that a program read, statted, listed or found absent is on record.

load helper

TEST_SECONDS=300

setup() {
    fresh
    mkdir -p include sub/deep
    echo '#define A 3' >include/a.h
    ln -s include/a.h linked.h
    printf '#include <stdio.h>\n#include "a.h"\n#include "linked.h"\nint main(void){return A-3;}\n' >a.c
    printf 'all: a\na: a.o\n\t$(CC) -o $@ $<\na.o: a.c include/a.h\n\t$(CC) -Iinclude -c $<\n' >Makefile
    printf 'project(a C)\ncmake_minimum_required(VERSION 3.20)\ninclude_directories(include)\nadd_executable(a a.c)\n' \
        >CMakeLists.txt
    echo x >sub/deep/file && ln sub/deep/file sub/second && ln -s .. sub/deep/up && ln -s ../sub sub/deep/dangling
    echo 'import os, sys, helper; print(os.path.exists("gone"), sorted(os.listdir("sub")), helper.x)' >main.py
    echo 'x = open("sub/second").read()' >helper.py
}

# covered COMMAND…: run it below strace in a view; all that it learned is on record.
covered() {
    rm -f log
    vial run --view -- strace -f -y -s 4096 -o log "$@" >/dev/null 2>errors ||
        fail "$*:" "$(tail -n 20 errors)"
    vial trace --json >"$BATS_TEST_TMPDIR/trace"
    run "$ROOT/test/oracle/trace-oracle" log "$BATS_TEST_TMPDIR/trace" "$WORK"
    [[ $status == 0 ]] || fail "$*:" "$output"
}

@test "what a shell, gcc, ld, make and cmake learned is on record" {
    covered sh -c 'cat linked.h; ls sub; test -e gone/x; cd sub/deep; cat up/second dangling/x ../../include/a.h; :'
    covered gcc -Iinclude -c a.c
    covered gcc -o a a.o
    covered ld -r -o b.o a.o
    rm -f a a.o
    covered make
    covered make
    covered cmake -S . -B out
    covered cmake --build out
}

@test "what python, tar and git learned is on record" {
    covered python3 main.py
    covered python3 -c 'import glob; print(glob.glob("**", recursive=True))'
    covered tar -cf a.tar sub include linked.h
    covered tar -xf a.tar -C sub/deep
    git init -q . && git add -A . 2>/dev/null
    git -c user.name=a -c user.email=b commit -qm first
    covered git status --porcelain
    covered git log --stat
    echo more >>a.c
    covered git diff
    covered git clone -q . clone
}

# What leaves a name that cannot be stored has no trace; of the others there are enough.
@test "what random programs learned is on record" {
    local player=$WORK/.player seed traced=0
    cp "$(dirname "$VIAL")/test/oracle/oracle-play" "$player"
    for seed in $(seq 2 "${TRACED_SEEDS:-25}"); do
        "$player" build "$seed-$seed" programs
        vial run --view -- strace -f -y -s 4096 -o log "$player" run "$seed-$seed" programs >/dev/null 2>errors ||
            fail "seed $seed:" "$(tail -n 20 errors)"
        if vial trace --json >"$BATS_TEST_TMPDIR/trace" 2>/dev/null; then
            run "$ROOT/test/oracle/trace-oracle" log "$BATS_TEST_TMPDIR/trace" "$WORK"
            [[ $status == 0 ]] || fail "seed $seed:" "$output"
            traced=$((traced + 1))
        fi
        rm -rf programs log
    done
    ((traced > 10)) || fail "only $traced runs were kept"
}

@test "a fact that is missing is found missing" {
    vial run --view -- strace -f -y -s 4096 -o log cat linked.h include/a.h sub/second
    facts=$(vial trace --json)
    for path in linked.h include/a.h include sub/second; do
        jq -c --arg path "$path" 'select(.path != $path)' <<<"$facts" >less
        run "$ROOT/test/oracle/trace-oracle" log less "$WORK"
        [[ $status == 1 && $output == *"$path"* ]] || fail "without $path:" "$output"
    done
    jq -c 'if .path == "sub/second" then del(.aspects.content) else . end' <<<"$facts" >less
    run "$ROOT/test/oracle/trace-oracle" log less "$WORK"
    contains "$output" "content '$WORK/sub/second': not on record"
}
