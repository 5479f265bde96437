#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The examples do what they show.
load helper

@test "polyglot: what an edit does not change is memoized, and so is everything once it is taken back" {
    unset VIAL_STORE
    exits 0 "$ROOT/examples/polyglot/demo" "$VIAL"
    same "$output" "$(cat "$ROOT/examples/polyglot/expected")"
    same "$stderr" ""
}

@test "polyglot: a program that does not compile is named, with the rules that wanted it" {
    cp -r "$ROOT/examples/polyglot/." .
    echo 'int x = ;' >>src/greet.c
    exits 1 vial query 'Report()'
    contains "$stderr" 'src/greet.o cannot be made:'
    contains "$stderr" "src/greet.c:9:9: error: expected expression"
    contains "$stderr" '  in compile(Source{path="src/greet.c"})'
    contains "$stderr" '  in query Report()'
    exits 0 vial graph vial.lua
    same "$stderr" ''
}

@test "polyglot: a query with a param, and a file that appears" {
    cp -r "$ROOT/examples/polyglot/." .
    exits 0 vial query 'Program(Main{path="src/main.c"})'
    contains "$output" 'path="src/main"}'
    exits 0 vial query 'Report()'
    contains "$output" 'passed=2, failed=0'
    echo 'exit 3' >test/other.sh
    exits 0 vial query --explain -j 1 'Report()'
    contains "$output" 'passed=2, failed=1'
    contains "$stderr" 'vial.process test/other.sh  (ran'
    contains "$stderr" 'vial.process test/main.sh  (memoized)'
}
