#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Signals reach the command, and whatever ends it, nothing is left.
load helper

setup() {
    fresh
    export TMPDIR=$BATS_TEST_TMPDIR/scratch
    mkdir "$TMPDIR"
    NUMBER=$((100000 + BASHPID)) # of seconds: an argument that no other sleep has
}

# Run vial on a terminal, where Ctrl-C is typed for each line "ready" or "again".
on_terminal() {
    exits "$1" python3 "$BATS_TEST_DIRNAME/terminal.py" "$VIAL" run --no-cache -- "${@:2}"
}

# Send signal $1 to `vial run sh -c $2` once the command has said "ready"; vial's status is $status.
signalled() {
    mkfifo ../pipe
    # A shell's background job ignores SIGINT and SIGQUIT, unless told otherwise.
    env --default-signal=INT,QUIT "$VIAL" run "${OPTION:---no-cache}" -- sh -c "$2" >../pipe 2>../err &
    local vial=$! line
    exec 8<../pipe
    read -r line <&8
    same "$line" ready
    kill -"$1" "$vial"
    output=$(cat <&8)
    exec 8<&-
    status=0
    wait "$vial" || status=$?
    rm ../pipe
}

# nothing_left: no process of this test and no file below $TMPDIR, before long.
nothing_left() {
    local -i tries=$((500 * ${PATIENCE:-1}))
    until [[ -z $(find "$TMPDIR" -mindepth 2; pgrep -f "sleep $NUMBER") ]]; do
        ((tries-- > 0)) || fail "left: $(find "$TMPDIR"; pgrep -af "sleep $NUMBER")"
        sleep 0.02
    done
}

# Send SIGTERM to `vial run "$@"` once it reads a file named "huge": it ends soon, with 143; or with
# ENDED, the status of a command that may just have ended when the signal comes.
stopped_while_reading() {
    "$VIAL" run "$@" >../out 2>../err &
    local vial=$!
    local -i tries=$((1500 * ${PATIENCE:-1}))
    until find "/proc/$vial/fd" -lname '*/huge*' 2>/dev/null | grep -q .; do
        ((tries-- > 0)) || fail "huge is not read"
        sleep 0.02
    done
    kill -TERM "$vial"
    tries=$((1500 * ${PATIENCE:-1}))
    while [[ -e /proc/$vial && $(ps -o stat= -p "$vial") != Z* ]]; do
        ((tries-- > 0)) || { kill -KILL "$vial"; fail "it reads on"; }
        sleep 0.02
    done
    status=0
    wait "$vial" || status=$?
    [[ $status == "${ENDED-}" ]] || {
        same "$status" 143
        contains "$(cat ../err)" interrupted
    }
    nothing_left
}

@test "Ctrl-C reaches the command, which may tidy up and choose its status" {
    on_terminal 3 sh -c 'trap "echo tidy; echo done >tidied; exit 3" INT; sleep '"$NUMBER"' & echo ready; wait'
    contains "$output" tidy
    same "$(cat tidied)" "done"
    nothing_left
}

@test "Ctrl-C ends a command that does not care with 130, and all that it started" {
    on_terminal 130 sh -c "sleep $NUMBER & setsid sleep $NUMBER & echo ready; wait"
    nothing_left
}

@test "a second Ctrl-C kills a command that does not heed the first" {
    on_terminal 137 sh -c "trap 'echo again' INT; echo ready; while :; do sleep $NUMBER; done"
    nothing_left
}

@test "SIGINT, SIGTERM, SIGHUP and SIGQUIT to vial end the command with 128 and their number" {
    for signal in INT:130 TERM:143 HUP:129 QUIT:131; do
        signalled "${signal%:*}" "echo ready; setsid sleep $NUMBER & exec sleep $NUMBER"
        same "$status" "${signal#*:}"
        nothing_left
    done
}

@test "a command that handles the signal ends as it likes" {
    signalled TERM 'trap "echo heard; exit 0" TERM; echo ready; while :; do sleep 0.1; done'
    same "$output" heard
    same "$status" 0
}

@test "the history says why an interrupted run had to run" {
    OBSERVED=1
    local command='read -r word <in; echo "$word"; test "$word" = one || exec sleep '"$NUMBER"
    echo one >in
    exits 0 vial run sh -c "$command"
    mkfifo ../pipe
    for word in two three; do
        echo $word >in
        "$VIAL" run sh -c "$command" >../pipe 2>../err &
        local vial=$! line
        exec 8<../pipe
        read -r line <&8
        same "$line" $word
        kill -TERM "$vial"
        status=0
        wait "$vial" || status=$?
        exec 8<&-
        same "$status" 143
        exits 0 vial why
        contains "$output" "ran: in changed. It was not stored: it was interrupted."
        exits 0 vial log --json
        same "$(jq -r '.[0] | .exit, .stored, .reason, .miss' <<<"$output" | paste -sd' ')" \
            "143 false it was interrupted in changed"
        nothing_left
    done
}

@test "a run that is interrupted before its command starts, or while its outputs are taken in, is in the history" {
    exits 0 vial run true
    stopped_while_reading sh -c 'truncate -s 1T huge'
    exits 0 vial why
    contains "$output" "It was not stored: it was interrupted."
    exits 0 vial log -n 1
    contains "$output" "exit 143"
    truncate -s 1T huge
    stopped_while_reading --sealed true
    exits 0 vial log
    same "$(wc -l <<<"$output")" 2 # nobody knows yet whether it would have run
}

@test "an interrupted run is not reused" {
    signalled TERM 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'
    same "$status" 0
    exits 0 vial run --dry-run -- sh -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'
    contains "$output" "would run"
}

@test "what nohup had ignored stays ignored" {
    mkfifo ../pipe
    (trap '' HUP && exec "$VIAL" run -- sh -c 'echo ready; sleep 0.3; echo end') >../pipe &
    vial=$!
    exec 8<../pipe
    read -r line <&8
    kill -HUP "$vial"
    same "$(cat <&8)" end
    wait "$vial"
}

@test "the death of vial is the death of the command and of everything it left behind" {
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:handle_segv=0
    for signal in KILL USR1 SEGV; do
        signalled "$signal" "echo ready; (setsid sleep $NUMBER &); sleep $NUMBER"
        ((status > 128))
        nothing_left
    done
}

@test "the death of the supervisor is the death of the command, and vial says so and tidies up" {
    mkfifo ../pipe
    "$VIAL" run -- sh -c "echo ready; (setsid sleep $NUMBER &); sleep $NUMBER" >../pipe 2>../err &
    vial=$!
    exec 8<../pipe
    read -r line <&8
    kill -KILL "$(pgrep --parent "$vial")"
    status=0
    wait "$vial" || status=$?
    same "$status" 125
    contains "$(cat ../err)" "killed"
    nothing_left
}

@test "a signal while standard input is read ends vial at once with 128 and its number" {
    for attempt in {1..10}; do
        rm -f ../input
        mkfifo ../input
        "$VIAL" run -- cat <../input &
        vial=$!
        exec 8>../input
        echo "$attempt" >&8
        # From its handler on, whatever it does just then.
        until (($(awk '/SigCgt/ { print "0x" $2 }' "/proc/$vial/status") & 1 << 14)); do :; done
        kill -TERM "$vial"
        status=0
        wait "$vial" || status=$?
        exec 8>&-
        same "$status" 143
    done
}

@test "daemons are dead when the command has ended" {
    script="(setsid sh -c '(sleep $NUMBER &)' &); nohup setsid sleep $NUMBER >/dev/null 2>&1 &
        echo made >out"
    miss sh -c "$script"
    same "$(cat out)" made
    nothing_left
}

@test "a timeout ends what ignores it" {
    exits 124 vial run --timeout 0.3 -- \
        sh -c "trap '' TERM INT HUP; (setsid sleep $NUMBER &); while :; do sleep $NUMBER; done"
    nothing_left
}

@test "a signal ends the taking in of an output that takes minutes to hash, and the workspace stays as it was" {
    mkdir kept && echo before >kept/file
    for way in --view --output=huge; do
        stopped_while_reading "$way" sh -c 'truncate -s 1T huge; echo after >kept/file'
        same "$(find . ! -name vial.lua -type f)" ./kept/file
        same "$(cat kept/file)" before
    done
}

@test "what an interrupted command left is in the workspace, and is not stored" {
    OPTION=--commit=always signalled TERM "head -c 40M /dev/zero | tr '\\0' x >large; echo ready; exec sleep $NUMBER"
    same "$status" 143
    same "$(stat -c %s large)" $((40 * 1024 * 1024))
    (($(du -sk "$VIAL_STORE" | cut -f1) < 10000)) || fail "it is in the store"
}

@test "a signal ends the hashing of an input, of standard input and of what a command looked at" {
    truncate -s 1T huge
    stopped_while_reading --sealed true
    stopped_while_reading --stdin huge true
    ENDED=0 stopped_while_reading head -c1 huge
    contains "$("$VIAL" run --dry-run head -c1 huge)" "would run"
}

@test "a hole is neither read nor stored" {
    for OBSERVED in "" 1; do
        for result in run hit; do
            exits 0 vial run --events ../events sh -c 'truncate -s 3G big; echo end >>big'
            same "$(finished ../events result)" $result
            same "$(stat -c %s big)" $((3 * 1024 * 1024 * 1024 + 4))
            (($(du -sk big "$VIAL_STORE" | awk '{ sum += $1 } END { print sum }') < 20000)) ||
                fail "the hole has blocks"
            same "$(tail -c 4 big)" end
            rm big
        done
    done
}
