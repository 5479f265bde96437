#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What must not break vial: kills, damage, full disks, many at once, clocks, descriptors, sizes.
load helper

TEST_SECONDS=240

setup() {
    fresh
    export TMPDIR=$BATS_TEST_TMPDIR/scratch
    mkdir "$TMPDIR"
}

teardown() {
    [[ -z ${MEMORY-} ]] || rm -rf "$MEMORY"
}

# in_memory: from here on all lies on a tmpfs, if there is one, for tests that make very many files.
in_memory() {
    [[ -w /dev/shm ]] || return 0
    MEMORY=$(mktemp -d /dev/shm/vial-e2e.XXXXXX)
    export TMPDIR=$MEMORY/scratch VIAL_STORE=$MEMORY/store
    mkdir "$TMPDIR" "$MEMORY/work"
    : >"$MEMORY/work/vial.lua"
    cd "$MEMORY/work"
}

# nothing_left: no file of a run below $TMPDIR.
nothing_left() {
    same "$(find "$TMPDIR" -mindepth 2)" ""
}

# privately FUNCTION: in a mount namespace of its own, where it may mount what it likes.
privately() {
    local user=()
    [[ $(id -u) == 0 ]] || user=(--map-root-user)
    EVENTS=$EVENTS unshare "${user[@]}" --mount bash -euc "$(declare -f vial fail same contains status_of \
        nothing_left "$1"); $1" || fail "$1 failed"
}

# status_of COMMAND…: fills $status, $output and $stderr, where there is no bats.
status_of() {
    status=0
    output=$("$@" 2>"$TMPDIR/stderr") || status=$?
    stderr=$(<"$TMPDIR/stderr")
    rm "$TMPDIR/stderr"
}

# --- kills and damage ------------------------------------------------------------------------------

@test "kill -9 at 200 random instants of runs, puts and collections leaves nothing and loses nothing" {
    python3 "$BATS_TEST_DIRNAME/kill.py" "${SEED:-1}" 200 4 "$BATS_TEST_TMPDIR"
}

@test "no damage to the index makes a wrong byte, a crash or a store of no use" {
    in_memory
    python3 "$BATS_TEST_DIRNAME/damage.py" "${SEED:-1}" "$PWD/damage" \
        50:index/data.mdb 15:index/lock.mdb
}

@test "no damage to any other file of the store makes a wrong byte, a crash or a store of no use" {
    in_memory
    python3 "$BATS_TEST_DIRNAME/damage.py" "${SEED:-1}" "$PWD/damage" \
        '15:objects/*/*' 8:log 8:format 4:claims 4:lock
}

@test "of a result with a damaged output nothing is in the way when the command runs again" {
    # shellcheck disable=SC2034
    OBSERVED=1
    head -c 300000 /dev/urandom >large
    miss sh -c 'mkdir d && cp large d/copy'
    for object in "$VIAL_STORE"/objects/*/*; do
        chmod u+w "$object"
        printf x | dd of="$object" bs=1 seek=1000 conv=notrunc status=none
    done
    rm -r d
    miss sh -c 'mkdir d && cp large d/copy'
    same "$status$stderr" 0
    cmp large d/copy
    rm -r d
    hit sh -c 'mkdir d && cp large d/copy'
    cmp large d/copy
}

# --- full disks ------------------------------------------------------------------------------------

full_store() {
    mkdir "$VIAL_STORE"
    mount -t tmpfs -o size=20M none "$VIAL_STORE"
    head -c 3000000 /dev/urandom >in
    for i in 1 2 3 4 5 6 7 8; do
        status_of vial run -i in -o "out$i" -- sh -c "cat in in >out$i; echo $i >>out$i; echo ok"
        same "$status$output" 0ok
        same "$(cat in in | cat - <(echo "$i") | sha256sum)" "$(sha256sum <"out$i")"
        same "$(wc -l <<<"$stderr")" 1 # nothing, or one line that says so
    done
    contains "$stderr" "not stored"
    contains "$stderr" "No space left on device"
    status_of vial store put out1 out2 out3
    same "$status" 125
    contains "$stderr" "No space left on device"
    status_of vial store verify
    same "$status" 0
    status_of vial run -i vial.lua -- echo small
    same "$status$output" 0small

    status_of dd if=/dev/zero of="$VIAL_STORE/ballast" bs=4k # not one block is free
    status_of vial run -i in -o copy -- sh -c 'cp in copy; echo ok'
    same "$status$output" 0ok
    cmp in copy
    status=0
    output=$(echo piped | vial run -i vial.lua -- cat) || status=$?
    same "$status$output" 0piped
    status_of vial gc --max-size 1M
    same "$status" 0
    rm "$VIAL_STORE/ballast"

    status_of vial run -i in -o out1 -- sh -c "cat in in >out1; echo 1 >>out1; echo ok"
    same "$status$output$stderr" 0ok
    vial run --events "$EVENTS" -i in -o out1 -- sh -c "cat in in >out1; echo 1 >>out1; echo ok"
    contains "$(<"$EVENTS")" '"result":"hit"'
    vial store put in
    vial store verify
    nothing_left
}

@test "a store on a full disk: runs give all their outputs, and say once that they are not kept" {
    privately full_store
}

full_workspace() {
    mount -t tmpfs -o size=4M none .
    cd .
    : >vial.lua
    echo old >large
    local command=(-i vial.lua -o small -o large -o z --
        sh -c 'echo s >small; head -c 10000000 /dev/zero >large; echo z >z')
    for how in run hit; do
        status_of vial run "${command[@]}"
        same "$how $status" "$how 125"
        contains "$stderr" "cannot write large: No space left on device"
        same "$(cat large small z)" $'old\ns\nz'
        same "$(ls -A)" $'large\nsmall\nvial.lua\nz'
        rm small z
    done
    mount -o remount,size=40M "$PWD"
    vial run "${command[@]}"
    same "$(stat -c %s large)" 10000000
    nothing_left
}

@test "a full disk under the workspace: what does not fit is named, and not half written" {
    privately full_workspace
}

full_scratch() {
    mount -t tmpfs -o size=4M none "$TMPDIR"
    head -c 10000000 /dev/zero >in
    status_of vial run -i in -- wc -c in # nothing of it has to lie there
    same "$status$output" "010000000 in"
    status_of vial run --refresh --keep-sandbox -i in -- wc -c in
    same "$status" 125
    contains "$stderr" "No space left on device"
    status_of vial run -i vial.lua -- head -c 10000000 /dev/zero
    same "$status" 125
    contains "$stderr" "No space left on device"
    status_of vial run -i vial.lua -- echo works
    same "$status$output" 0works
    nothing_left
}

@test "a full disk under TMPDIR is an error that says so, and leaves nothing" {
    privately full_scratch
}

# --- many at once ----------------------------------------------------------------------------------

# expect DIRECTORY OUTPUT SCRIPT: notes in ../failures what is not so.
expect() {
    local output
    output=$(cd "$1" && vial run -- sh -c "$3" 2>"../$1.err") && [[ $output == "$2" ]] ||
        echo "$1: $3: $output $(<"$1.err")" >>failures
    ! grep -v -e 'collected' "$1.err" >>failures || true
}

@test "two vials on one store a hundred times, with puts and collections: all right, none fails" {
    cd "$BATS_TEST_TMPDIR"
    mkdir one two put
    touch one/vial.lua two/vial.lua failures
    head -c 300000 /dev/urandom | tee one/large >two/large
    for i in {1..50}; do
        echo "$i" | tee one/in two/in >put/in
        cp one/large put; echo "$i" >>put/large
        expect one "$i" "cat in; cp large large-$((i % 3)); echo $i >out" &
        expect two "$i" "cat in; cp large large-$((i % 3)); echo $i >out" &
        vial store put put >/dev/null 2>>failures &
        ((i % 5 != 0)) || vial gc --max-size 300K >/dev/null 2>>failures &
        wait
        same "$(cat one/out two/out failures)" "$i"$'\n'"$i"
        cmp one/large "two/large-$((i % 3))"
        expect one "$i" "cat in # $i" &
        expect two 300000 "wc -c <large # $i" &
        wait
        same "$(cat failures)" ""
    done
    exits 0 vial store verify
    contains "$output" " 0 damaged"
}

@test "many that begin a store at once agree on it" {
    for i in {1..12}; do
        (vial run -i vial.lua -- echo "$i" >"../out-$i" 2>&1) &
    done
    wait
    same "$(cat ../out-*| sort -n | tr '\n' ' ')" "1 2 3 4 5 6 7 8 9 10 11 12 "
    exits 0 vial store verify
}

@test "inputs that a collection takes while they are laid out go in again" {
    head -c 3000000 /dev/urandom >large
    touch ../go
    while [[ -e ../go ]]; do vial gc --max-size 0 >/dev/null 2>../gc-err || break; done &
    for i in {1..5}; do
        exits 0 vial run -- sh -c "wc -c <large # $i"
        same "$output" 3000000
        piped=$(seq 20000 | vial run -i vial.lua -- sh -c "wc -l # $i" 2>/dev/null)
        same "$piped" 20000
    done
    rm ../go
    wait
    same "$(cat ../gc-err)" ""
}

# --- clocks ----------------------------------------------------------------------------------------

@test "an edit is seen whatever the times of the file: in the future, in the past, put back" {
    for time in '2099-01-01' '2400-01-01' '1970-01-01 UTC' '1901-01-01' '2001-09-09'; do
        echo "one $time" >in
        touch -d "$time" in
        miss cat in
        hit cat in
        printf '%s' 'six' | dd of=in conv=notrunc status=none # of the same size, in place
        touch -d "$time" in
        miss cat in
        same "$output" "six $time"
        echo "two $time" >../new
        touch -d "$time" ../new
        mv ../new in
        miss cat in
        same "$output" "two $time"
    done
}

@test "times that a command chose come back, those before and at 1970 too" {
    script='touch -d 2099-01-01UTC a; touch -d 1950-01-01UTC b; touch -d @0 c; touch -d @1.5 d'
    for how in miss hit; do
        "$how" sh -c "$script"
        same "$(stat -c %.1Y a b c d | tr '\n' ' ')" "4070908800.0 -631152000.0 0.0 1.5 "
        rm a b c d
    done
}

@test "make is content after a run whose sources come from the future or the past" {
    printf 'out: in\n\tcp in out\n' >Makefile
    for time in '-1 hour' '1980-01-01' now; do
        echo "$time" >in
        touch -d "$time" in
        miss make
        make -q
        rm out
        hit make
        make -q
    done
}

# --- descriptors -----------------------------------------------------------------------------------

@test "closed descriptors do no harm to the store and are no reason to fail" {
    for i in 1 2; do
        "$VIAL" run -- sh -c 'yes | head -c 100000; echo err >&2; echo made >out' <&- >&- 2>&-
        "$VIAL" run -- sh -c 'yes | head -c 100000; echo err >&2; echo made >out' >&- 2>&-
        same "$("$VIAL" run -- sh -c 'echo out; cat' <&-)" out
        same "$(cat out)" made
        same "$("$VIAL" run -- sh -c 'echo out; echo err >&2' 2>&-)" out
    done
    status=0
    "$VIAL" store put out >&- 2>&- || status=$?
    same "$status" 125
    exits 0 vial store verify
    contains "$output" " 0 damaged"
}

@test "a reader that left early is no reason to fail, and outputs appear all the same" {
    for i in 1 2; do
        rm -f out
        same "$("$VIAL" run -- sh -c 'yes | head -c 3000000; echo made >out' | head -n 1)" y
        "$VIAL" run -- sh -c 'yes | head -c 3000000; echo made >out' | true
        same "${PIPESTATUS[0]}" 0
        same "$(cat out)" made
    done
}

@test "output that a full device swallowed is a failure" {
    for how in run hit; do
        status=0
        "$VIAL" run -- sh -c 'yes | head -c 300000; echo made >out' >/dev/full 2>../err || status=$?
        same "$how $status" "$how 125"
        contains "$(cat ../err)" "No space left on device"
        same "$(cat out)" made
    done
    for command in "store put out" log stats why doctor --help --version "run --help"; do
        status=0
        # shellcheck disable=SC2086 # words of a command line
        "$VIAL" $command >/dev/full 2>../err || status=$?
        same "$command $status" "$command 125"
        contains "$(cat ../err)" "No space left on device"
    done
}

@test "the file of --events may lie in the workspace" {
    for how in run hit hit; do
        rm -f out
        vial run --events events -- sh -c 'ls -A; echo made >out'
        same "$(cat out)" made
        same "$(finished events result)" "$how"
        same "$(ls -A)" $'events\nout\nvial.lua'
    done
}

@test "piped standard input is there for every run of --check" {
    same "$(echo text | "$VIAL" run --check 3 -- cat 2>&1)" $'text\nvial: 3 runs, no difference'
}

@test "standard input from a file begins and ends where the shell's stands" {
    printf 'one\ntwo\nthree\n' >../lines
    same "$({
        read -r line
        vial run --no-cache -- cat
        read -r line
        echo "then $line"
    } <../lines)" $'two\nthree\nthen two'
}

# --- sizes -----------------------------------------------------------------------------------------

@test "a hundred thousand files: right, and at most 200 MB of memory" {
    in_memory
    python3 -c '
import os
for i in range(500):
    os.mkdir(f"d{i}")
    for j in range(200):
        with open(f"d{i}/f{j}", "w") as file:
            file.write(f"{i} {j}\n")'
    measured() {
        python3 -c '
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(status)' "$VIAL" "$@"
    }
    for how in run hit; do
        exits 0 measured run --events "$EVENTS" -- sh -c 'find . -type f | wc -l; cat d499/f199 >out'
        same "${lines[0]}" 100001
        same "$(cat out)" "499 199"
        same "$(finished "$EVENTS" result)" "$how"
        grep -q __asan_init "$VIAL" || ((lines[1] <= 200)) || fail "${lines[1]} MB"
    done
}

@test "ten thousand tiny outputs, deep ones, long names: all come back" {
    in_memory
    name=$(printf 'n%.0s' {1..255})
    script='mkdir t; seq 10000 | split -l 1 -a 4 - t/
        for i in $(seq 200); do mkdir dir; cd dir; done; echo bottom >file; cd /workspace
        mkdir -p long/'$name'; echo 1 >long/'$name/$name'; ln -s '$name$name$name' long/link'
    for how in miss hit; do
        "$how" sh -c "$script"
        same "$(find t -type f | wc -l)" 10000
        same "$(cat t/* | sort -n | sha256sum)" "$(seq 10000 | sha256sum)"
        path=$(printf 'dir/%.0s' {1..200})
        same "$(cat "${path}file")" bottom
        same "$(cat "long/$name/$name")" 1
        same "$(readlink long/link)" "$name$name$name"
        rm -rf t dir long
    done
    nothing_left
}

@test "an output of 200 MB and 200 kB of arguments come through" {
    in_memory
    half=$(printf 'a%.0s' {1..100000})
    for how in miss hit; do
        "$how" sh -c 'head -c 200000000 /dev/zero >large; echo ${#1} ${#2}' sh "$half" "$half"
        same "$output" "100000 100000"
        same "$(stat -c %s large)" 200000000
        rm large
    done
    nothing_left
}
