#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial trace, and vial why of runs in a view.
load helper

setup() {
    fresh
    echo one >in
    mkdir dir
}

@test "trace shows who read, listed, missed and wrote what" {
    ln -s in link
    vial run --view sh -c 'cat link; ls dir; test -e gone; echo >out; cat <out; rm in'
    exits 0 vial trace
    contains "$output" " sh -c "
    contains "$output" " cat link "
    local line
    for line in 'absent   gone' 'link     link -> in' 'listed   dir' 'wrote    out' 'removed  in'; do
        contains "$output" "$line"
    done
    contains "$(grep -A99 ' cat link ' <<<"$output")" 'read     in'
    same "$(grep -c 'read     out' <<<"$output")" 0
}

@test "trace of a process shows it and what is below it" {
    vial run --view sh -c 'test -e one; sh -c "test -e two; :"'
    local number
    number=$(vial trace --json | jq -r 'select(.argv[2] == "test -e two; :").process')
    exits 0 vial trace -p "$number"
    contains "$output" 'absent   two'
    same "$(grep -c 'absent   one' <<<"$output")" 0
    exits 2 vial trace --process 99
    exits 2 vial trace --process -1
}

@test "trace --json has a line for each process, fact and write" {
    vial run --view sh -c 'cat in >out; test -e gone; :'
    vial trace --json >lines
    jq -es 'map(select(.process and .argv)) | length > 1' lines
    same "$(jq -r 'select(.path == "in") | .kind, .hash, .size, .mode' lines)" \
        "$(printf 'file\n%s\n4\n0644' "$(sha256sum in | cut -d' ' -f1)")"
    jq -es 'map(select(.path == "in"))[0].aspects.content as $reader
        | map(select(.process == $reader and .argv))[0].argv == ["cat", "in"]' lines
    same "$(jq -r 'select(.path == "gone").kind' lines)" nothing
    jq -es 'map(select(.written == "out"))[0].what | contains(["created", "wrote"])' lines
}

@test "trace of a hit shows what was seen when it ran" {
    vial run --view cat in
    vial run --view cat in
    same "$(vial log --json | jq -r '.[0].result')" hit
    same "$(vial trace @0 --json)" "$(vial trace @1 --json)"
}

@test "a sealed run and one that was not stored have a trace, one that was evicted has none" {
    vial run cat in
    exits 0 vial trace
    contains "$output" 'read     in'
    vial run --view --net cat in
    exits 0 vial trace
    contains "$output" 'read     in'
    exits 0 vial why
    contains "$output" 'not stored: it could use the network'
    exits 0 vial run --keep-sandbox --refresh cat in
    rm -rf "$(grep -o '/[^;]*/kept-[^;]*' <<<"$stderr")"
    exits 1 vial trace
    contains "$stderr" 'did not run in a view'
    vial run --view cat in
    exits 0 vial trace
    vial gc --max-size 0
    exits 1 vial trace
    exits 2 vial trace @99
    exits 2 vial trace nonsense
}

@test "why names what a run in a view found otherwise" {
    local command='cat in; ls dir; test -e gone; test new -nt in; :'
    vial run --view sh -c "$command"
    echo two >in
    touch dir/x gone
    vial run --view sh -c "$command"
    exits 0 vial why
    contains "$output" 'read in: mode 0644, '
    contains "$output" 'listed dir: other names'
    contains "$output" 'found gone: (absent) -> file'
    vial run --view sh -c "$command"
    exits 0 vial why
    contains "$output" 'was reused'
}

# during COMMAND…: run it while a run in a view has read `in` and goes on.
during() {
    cat >wait.sh <<'END'
cat in >/dev/null
trap 'kill $!' USR1
tail -f /dev/null &
echo ready
wait $!
exit 0
END
    : >said
    vial run --view bash wait.sh "$BATS_TEST_TMPDIR" >said 2>warned &
    local run=$!
    until grep -q ready said; do
        kill -0 "$run" || fail "$(cat warned)" || return
        sleep 0.01
    done
    "$@"
    kill -USR1 "$(pgrep -f "^bash wait.sh $BATS_TEST_TMPDIR\$")"
    wait "$run"
}

edit_and_revert() {
    cp -p in saved
    echo two >in
    cat saved >in
    touch -r saved in
}

@test "a run is not stored if a file it read was edited meanwhile, even if it was put back" {
    during :
    same "$(cat warned)" ''
    vial run --view bash wait.sh "$BATS_TEST_TMPDIR"
    same "$(vial log --json | jq -r '.[0].result')" hit
    echo three >in
    during edit_and_revert
    contains "$(cat warned)" 'not stored: in changed while it was in use'
    same "$(vial log --json | jq -c '.[0] | [.result, .stored]')" '["run",false]'
    exits 0 vial trace
    contains "$output" 'read     in'
    exits 0 vial why
    contains "$output" 'was not stored: in changed while it was in use'
}

@test "why shows which lines of a text became which, within bounds" {
    seq 1 30 >text
    head -c 1000 /dev/urandom >binary
    vial run --view sh -c 'cat text binary >out'
    sed -i 's/^7$/seven/; /^20$/d' text
    echo changed >>binary
    vial run --view sh -c 'cat text binary >out'
    exits 0 vial why
    contains "$output" 'read text:'
    contains "$output" $'    @@ -7,14 +7,13 @@\n    -7\n    +seven\n    -20'
    contains "$output" 'read binary:'
    same "$(grep -c '^    ' <<<"$output")" 4
    seq 1001 1100 >text
    vial run --view sh -c 'cat text binary >out'
    exits 0 vial why
    contains "$output" '    -1'
    contains "$output" 'more lines)'
    same "$(grep -c '^    [-+]' <<<"$output")" 20
    exits 0 vial why out
    contains "$output" 'out was written by @0: sh -c cat text binary'
}

@test "what a run left to look at goes in a collection before any result does" {
    head -c 100000 /dev/urandom >big
    vial run --view sh -c 'wc -c <big >out'
    exits 0 vial gc --max-size 50K
    exits 0 vial trace
    contains "$output" 'read     big'
    same "$(vial run --view --events events sh -c 'wc -c <big >out'; finished events result)" hit
    exits 0 vial gc --max-size 0
    exits 1 vial trace
    contains "$stderr" 'has no trace'
}

@test "a touch changes no order of times, an edit does" {
    echo two >later
    local command='[[ in -nt later ]]; echo $?'
    vial run --view bash -c "$command"
    touch in
    same "$(vial run --view bash -c "$command")" "$(vial run --view bash -c "$command")"
    same "$(vial log --json | jq -c '[.[].result]')" '["hit","hit","run"]'
    echo three >in
    same "$(vial run --view bash -c "$command")" 0
    exits 0 vial why
    contains "$output" 'order of times: in is newer than later now'
}
