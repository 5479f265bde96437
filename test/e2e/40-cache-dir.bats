#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial run --cache-dir: directories that are shared with the host, and no facts.
load helper
OBSERVED=1

# shellcheck disable=SC2016 # the inner shells expand it
@test "what is read in a cache directory is no input, what is written there is there" {
    mkdir "$HOME/cache"
    echo one >"$HOME/cache/in"
    echo source >in
    local command='cat in; cat "$HOME/cache/in"; echo two >"$HOME/cache/made"'
    miss --cache-dir "$HOME/cache" sh -c "$command"
    same "$output" $'source\none'
    same "$(cat "$HOME/cache/made")" two
    echo changed >"$HOME/cache/in"
    hit --cache-dir "$HOME/cache" sh -c "$command"
    echo edited >in
    miss --cache-dir "$HOME/cache" sh -c "$command"
    same "$output" $'edited\nchanged'
    [[ $stderr != *dropped* ]] || fail "$stderr"
}

# shellcheck disable=SC2016,SC2088
@test "a cache directory is made, ~ is the home, and without the option it is another run" {
    miss --cache-dir '~/.npm' --cache-dir .cache sh -c 'echo 1 >"$HOME/.npm/x"; echo 2 >.cache/y'
    same "$(cat "$HOME/.npm/x" .cache/y)" $'1\n2'
    hit --cache-dir .cache --cache-dir '~/.npm' sh -c 'echo 1 >"$HOME/.npm/x"; echo 2 >.cache/y'
    miss sh -c 'echo 1 >.cache/x; echo 2 >.cache/y'
    miss --canonical --cache-dir .cache sh -c 'cat .cache/y; echo 3 >.cache/y'
    same "$output" 2
    same "$(cat .cache/y)" 3
}

@test "a cache directory that holds the workspace, or of a sealed run, is refused" {
    exits 125 vial run --cache-dir . true
    contains "$stderr" 'not a directory beside the workspace'
    exits 125 vial run --cache-dir / true
    exits 125 vial run --cache-dir x -i in true
    contains "$stderr" 'sealed'
    touch file
    exits 125 vial run --cache-dir file true
}

@test "an ordinary user has cache directories, too" {
    mkdir cache
    export OBSERVED
    as_user vial run --cache-dir cache sh -c 'echo 1 >cache/x'
    same "$(cat cache/x)" 1
}
