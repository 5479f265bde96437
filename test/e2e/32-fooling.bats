#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs in a view: never a wrong hit, no needless run.

load helper
TEST_SECONDS=600

@test "nothing in the table of temptations fools a run in a view" {
    run "$ROOT/test/fooling/fooling"
    [[ $status == 0 ]] || fail "$output"
}
