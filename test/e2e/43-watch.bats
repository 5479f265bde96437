#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial query --watch: one process that answers again.
load helper

# shows LINE…: what the watching process has printed so far comes to be this.
shows() {
    local want got=
    want=$(printf '%s\n' "$@")
    for ((tries = 0; tries < 600; tries++)); do
        got=$(cat answers)
        [[ $got != "$want" ]] || return 0
        sleep 0.05
    done
    same "$got" "$want"
}

watch_text() {
    mkdir -p src
    printf '%s\n' 'record "Text" { "all" }' \
        'rule "text" { output = "Text", gets = { { "Snapshot", "PathGlobs" }, { "DigestContents", "Digest" } },' \
        '  run = function()' \
        '    local snapshot = get("Snapshot", PathGlobs { globs = { "src/**" } })' \
        '    local all = ""' \
        '    for _, file in ipairs(get("DigestContents", snapshot.digest).files) do all = all .. file.content end' \
        '    return Text { all = all } end }' \
        'query { output = "Text" }' >vial.lua
    : >answers
    "$VIAL" query --watch 'Text()' >answers 2>errors &
    watcher=$!
}

# ends STATUS SIGNAL
ends() {
    local status=0
    kill -s "$2" "$watcher"
    wait "$watcher" || status=$?
    same "$status" "$1"
}

@test "a changed file, a new one and one in a new directory are answered for, a touch is not" {
    mkdir src
    printf 'one ' >src/a
    watch_text
    shows 'Text{all="one "}'
    touch src/a
    printf 'two ' >src/a
    shows 'Text{all="one "}' 'Text{all="two "}'
    mkdir -p new/deep
    printf 'three ' >new/deep/b
    mv new src/new
    shows 'Text{all="one "}' 'Text{all="two "}' 'Text{all="two three "}'
    printf 'four ' >src/new/deep/b
    shows 'Text{all="one "}' 'Text{all="two "}' 'Text{all="two three "}' 'Text{all="two four "}'
    ends 143 TERM
}

@test "changed rules are loaded again, and broken ones waited for" {
    mkdir src
    printf 'x' >src/a
    watch_text
    shows 'Text{all="x"}'
    cp vial.lua good
    echo 'rule (' >>vial.lua
    for ((tries = 0; tries < 600; tries++)); do
        ! grep -q 'vial.lua:' errors || break
        sleep 0.05
    done
    grep -q 'vial.lua:' errors
    sed 's/all = all }/all = all .. "!" }/' good >vial.lua
    shows 'Text{all="x"}' 'Text{all="x!"}'
    ends 129 HUP
}
