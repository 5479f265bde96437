#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs in a view: never a wrong hit, no needless run.

load helper
TEST_SECONDS=600

@test "nothing in the table of temptations fools a run in a view" {
    run "$ROOT/test/fooling/fooling"
    [[ $status == 0 ]] || fail "$output"
}

@test "a build is looked up anew when a fact of it changes, and not when anything else does" {
    run "$ROOT/test/fooling/mutate.py" --count 40
    [[ $status == 0 ]] || fail "$output"
}
