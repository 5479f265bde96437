#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The tools that guard the source must themselves fail on bad input.
load helper

# source FILE LINE…: a file of a small source tree to check.
source_file() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" >"$file"
}

# function_of LINES: a C function that long, signature and braces included.
function_of() {
    printf 'int function_%s(void)\n{\n' "$1"
    for ((line = 4; line < $1; line++)); do
        printf '    one();\n'
    done
    printf '    return 0;\n}\n'
}

layers() {
    "$ROOT/tools/check-layers" "$WORK"
}

size() {
    "$ROOT/tools/check-size" "$WORK"
}

@test "layers: an include of a part below passes, of one's own part too" {
    source_file src/store/store.c '#include "store/store-internal.h"' '#include "tree/tree.h"' \
        '#include <glib.h>' '#include <sys/stat.h>'
    exits 0 layers
}

@test "layers: an include of a part above fails and names file, line and what is allowed" {
    source_file src/tree/tree.c '#include "tree/tree.h"' '#  include "store/store.h"'
    exits 1 layers
    contains "$output" 'src/tree/tree.c:2: tree must not include "store/store.h"'
    contains "$output" 'it may include: base'
}

@test "layers: each arrow of the design is judged as the design has it" {
    local good=(tree:base trace:action session:cache remote:session engine:cache engine:graph
        rules:engine ui:base cli:remote cli:ui cli:rules graph:base)
    local bad=(base:tree tree:store action:trace view:sandbox cache:session graph:tree
        engine:session engine:rules ui:tree ui:cli store:ui session:cli session:remote
        cache:engine graph:engine)
    local arrow
    for arrow in "${good[@]}"; do
        source_file "src/${arrow%:*}/${arrow/:/-}.c" "#include \"${arrow#*:}/b.h\""
    done
    exits 0 layers
    for arrow in "${bad[@]}"; do
        source_file "src/${arrow%:*}/${arrow/:/-}.c" "#include \"${arrow#*:}/b.h\""
    done
    exits 1 layers
    for arrow in "${bad[@]}"; do
        contains "$output" "src/${arrow%:*}/${arrow/:/-}.c:1: ${arrow%:*} must not include"
    done
    same "$(wc -l <<<"$output")" "${#bad[@]}"
}

@test "layers: another part's internal header is out of bounds, even for cli" {
    source_file src/cli/main.c '#include "store/store-internal.h"'
    exits 1 layers
    contains "$output" 'src/cli/main.c:1: "store/store-internal.h" is private to store'
}

@test "layers: no spelling of an include escapes the check" {
    local line
    for line in '#include "../store/store.h"' '#include "store.h"' '#include <store/store.h>' \
        '#include "tree/../store/store.h"' '	#	include	"store/store.h"'; do
        source_file src/tree/tree.c "$line"
        exits 1 layers
    done
}

@test "layers: a folder that is no part fails, and so does a tree without sources" {
    source_file src/util/util.c ''
    exits 1 layers
    rm -rf src
    exits 1 layers
}

@test "size: functions of 40 lines pass" {
    source_file src/tree/a.c "$(function_of 40)"
    exits 0 size
    contains "$output" '1 functions, 100.0%'
}

@test "size: a function of 80 lines passes among many small ones, one of 81 fails by name" {
    for i in {1..20}; do
        source_file "src/tree/$i.c" "$(function_of 10)"
    done
    source_file src/tree/long.c '/* What it does. */' "$(function_of 80)"
    exits 0 size
    source_file src/tree/long.c '/* What it does. */' "$(function_of 81)"
    exits 1 size
    contains "$output" 'src/tree/long.c:2: function_81: 81 lines, at most 80'
}

@test "size: fewer than nine in ten functions of at most 40 lines fail" {
    for i in {1..9}; do
        source_file "src/tree/$i.c" "$(function_of 10)"
    done
    source_file src/tree/x.c "$(function_of 41)"
    exits 0 size
    source_file src/tree/y.c "$(function_of 41)"
    exits 1 size
    contains "$output" 'src/tree/y.c:1: function_41: 41 lines'
    contains "$output" '11 functions, 81.8%'
}

@test "size: a signature over several lines counts, a table does not" {
    source_file src/tree/a.c 'static const int table[] = {' "$(yes '    1,' | head -n 100)" '};' '' \
        'static int' 'two(int a,' '    int b)' "$(function_of 80 | tail -n +2)"
    exits 1 size
    contains "$output" 'src/tree/a.c:104: two: 82 lines'
}

@test "size: a file of 901 lines fails, also a test" {
    source_file src/tree/a.c "$(function_of 10)"
    source_file test/e2e/a.bats "$(yes '# line' | head -n 900)"
    exits 0 size
    source_file test/e2e/a.bats "$(yes '# line' | head -n 901)"
    exits 1 size
    contains "$output" 'test/e2e/a.bats: 901 lines, at most 900'
}

# bats_file BODY: a file for tools/check to run.
bats_file() {
    printf '@test "outer" { %s; }\n' "$1" >"$WORK/inner.bats"
}

check_inner() {
    env -u BATS_TEST_TMPDIR -u BATS_RUN_TMPDIR -u BATS_TEST_FILTER "$@" \
        "$ROOT/tools/check" --build "$WORK" --file "$WORK/inner.bats" e2e
}

@test "check: the last line counts what passed and failed, and the status follows it" {
    bats_file true
    exits 0 check_inner env
    same "$(tail -n 1 <<<"$output")" '1 passed, 0 failed'
    bats_file 'echo the reason; false'
    exits 1 check_inner env
    contains "$output" 'FAILED e2e: outer'
    contains "$output" 'the reason'
    same "$(tail -n 1 <<<"$output")" '0 passed, 1 failed'
}

@test "check: a skipped test is a failure in CI, and only there" {
    bats_file 'skip "no such kernel"'
    exits 0 check_inner env CI=
    same "$(tail -n 1 <<<"$output")" '0 passed, 0 failed'
    exits 1 check_inner env CI=true
    contains "$output" 'no such kernel'
    same "$(tail -n 1 <<<"$output")" '0 passed, 1 failed'
}

@test "check: tests that were announced and never reached are failures" {
    mkdir bin
    printf '#!/bin/sh\necho 1..3\necho ok 1 first\n' >bin/bats
    chmod +x bin/bats
    bats_file true
    PATH=$WORK/bin:$PATH exits 1 check_inner env
    same "$(tail -n 1 <<<"$output")" '1 passed, 2 failed'
}

@test "check: a file that does not parse is a failure" {
    printf '@test "outer" {\n' >"$WORK/inner.bats"
    exits 1 check_inner env
    contains "$(tail -n 1 <<<"$output")" '0 passed, '
}

@test "check: a sanitizer report counts although the program that made it seemed to succeed" {
    # shellcheck disable=SC2016 # the inner shell expands it
    bats_file 'log=${ASAN_OPTIONS#log_path=}; echo "heap-use-after-free" >"${log%%:*}.1"'
    exits 1 check_inner env
    contains "$output" 'heap-use-after-free'
    same "$(tail -n 1 <<<"$output")" '1 passed, 1 failed'
}

@test "setup: a machine that has everything is left alone, an unknown set is refused" {
    mkdir bin
    printf '#!/bin/sh\necho "ii "\n' >bin/dpkg-query
    printf '#!/bin/sh\necho called >>"%s"\n' "$WORK/called" >bin/apt-get
    chmod +x bin/*
    PATH=$WORK/bin:$PATH exits 0 "$ROOT/tools/setup" fuzz
    [[ ! -e called ]]
    exits 2 "$ROOT/tools/setup" everything
}

@test "setup: what is missing is installed by name after one update, without questions" {
    mkdir bin
    # shellcheck disable=SC2016 # the inner shell expands it
    printf '#!/bin/sh\nfor last; do :; done\n[ "$last" != meson ] && echo "ii "\n' >bin/dpkg-query
    # shellcheck disable=SC2016 # the inner shell expands it
    printf '#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >>"%s"\n' "$WORK/called" >bin/apt-get
    printf '#!/bin/sh\nexec "$@"\n' >bin/sudo
    chmod +x bin/*
    PATH=$WORK/bin:$PATH exits 0 env -u DEBIAN_FRONTEND "$ROOT/tools/setup"
    same "$(wc -l <called)" 2
    contains "$(head -n 1 called)" update
    contains "$(tail -n 1 called)" ' meson'
    contains "$(tail -n 1 called)" noninteractive
}

@test "setup: every library that the build asks for is on its list" {
    local libraries library package
    mapfile -t libraries < <(sed -n "s/.* = dependency('\([^']*\)'.*/\1/p" "$ROOT/meson.build")
    for library in "${libraries[@]}"; do
        [[ $library != threads ]] || continue
        package=$(dpkg -S "$(pkg-config --variable=pcfiledir "$library")/$library.pc")
        grep -qw -- "${package%%:*}" "$ROOT/tools/setup" || fail "not installed: $package"
    done
    [[ -n $package ]]
}

@test "helper: as_user has no privilege, owns its store and workspace and reaches vial" {
    mkdir "$VIAL_STORE"
    touch "$WORK/made-by-root"
    # shellcheck disable=SC2016 # the inner shell expands it
    as_user bash -c '
        [[ $(id -u) != 0 ]] || exit 1
        grep -q "^CapEff:.0*$" /proc/self/status || exit 2
        touch "$VIAL_STORE/a" "$HOME/a" made-by-root a || exit 3
        "$VIAL" --version >/dev/null; [[ $? != 12[67] ]] || exit 4'
    exits 0 as_user vial --version
}

@test "helper: without_namespaces refuses every kind of namespace" {
    without_namespaces true
    local kind
    for kind in user mount pid ipc uts net; do
        exits 1 without_namespaces unshare "--$kind" true
        [[ $kind == user ]] || exits 1 without_namespaces unshare --user "--$kind" true
    done
    exits 3 without_namespaces bash -c 'exit 3'
}

@test "helper: a command that hangs fails its own test, and wait does not wait for the watch" {
    printf '%s\n' "load $ROOT/test/e2e/helper" TEST_SECONDS=1 \
        '@test "hangs" { sleep 60; }' '@test "waits" { true & wait; }' >inner.bats
    run -1 env -u BATS_TEST_FILTER bats --formatter tap inner.bats
    contains "$output" 'not ok 1 hangs'
    contains "$output" 'ok 2 waits'
}

@test "helper: finished reads the last event and refuses any other" {
    printf '%s\n' '{"event":"started"}' '{"event":"finished","result":"hit","exit":0}' >events
    same "$(finished events result)" hit
    same "$(finished events exit)" 0
    exits 5 finished events nothing
    echo '{"event":"started","result":"hit"}' >>events
    exits 5 finished events result
    same "$(events events finished | jq -r .result)" hit
}

@test "make: install, demo and bench work in directories with spaces" {
    mkdir -p "a b/build" "a b/examples/self" "a b/bench" bin
    cp "$ROOT/Makefile" "a b"
    touch "a b/build/build.ninja"
    # shellcheck disable=SC2016 # the scripts expand it
    for program in bin/meson bin/ninja "a b/examples/self/demo" "a b/bench/run"; do
        printf '#!/bin/bash\nprintf "<%%s>" "${0##*/}" "$@"; echo\n' >"$program"
        chmod +x "$program"
    done
    mkdir "a b/tools"
    ln -s /bin/true "a b/tools/setup"
    export PATH=$PWD/bin:$PATH
    local here=$PWD
    cd "a b"
    sed -i 's/ >\/dev\/null$//' Makefile
    exits 0 make install PREFIX="$here/c d"
    contains "$output" "<--prefix=$here/c d>"
    exits 0 make install PREFIX=relative
    contains "$output" "<--prefix=$here/a b/relative>"
    exits 0 make demo
    contains "$output" "<demo><$here/a b/build/vial>"
    exits 0 make bench
    contains "$output" "<run><$here/a b/build/vial>"
}
