#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs in a view, when things go wrong and where things are odd: as root and as an ordinary user, with
# pass-through and without.
# shellcheck disable=SC2016 # the commands are for the shell in the view
load helper

setup() {
    fresh
    export TMPDIR=$BATS_TEST_TMPDIR/scratch
    mkdir --mode=1777 "$TMPDIR"
    chmod 1777 "$TMPDIR" "$BATS_TEST_TMPDIR"
    NUMBER=$((300000 + BASHPID)) # of seconds: an argument that no other sleep has
    MODE=root
    [[ $(id -u) != 0 ]] || mknod --mode=666 "$BATS_TEST_TMPDIR/fuse" c 10 229
}

TEST_SECONDS=300
MODES="root plain user user-plain"

# each_mode FUNCTION: in a fresh workspace as root and as a user, with and without pass-through.
each_mode() {
    for MODE in $MODES; do
        [[ $(id -u) == 0 || $MODE != user* ]] || continue
        rm -rf "$WORK" && mkdir "$WORK" && : >"$WORK/vial.lua" && cd "$WORK"
        "$1" || fail "$1 as $MODE"
    done
}

# view ARGUMENT…: vial run --view in the mode that is being tested.
view() {
    local options=()
    [[ $MODE != *plain ]] || options=(--plain)
    if [[ $MODE == user* && $(id -u) == 0 ]]; then
        as_user true # hands over what the test made
        with_fuse setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
            "$BATS_TEST_TMPDIR/bin/vial" run --view "${options[@]}" "$@"
    else
        vial run --view "${options[@]}" "$@"
    fi
}

# with_fuse COMMAND…: where /dev/fuse is everybody's, as udev makes it and some containers do not.
with_fuse() {
    unshare --mount sh -ec 'mount --bind "$0" /dev/fuse; exec "$@"' "$BATS_TEST_TMPDIR/fuse" "$@"
}

# nothing_left: no process of this test and no file below $TMPDIR, before long.
nothing_left() {
    local -i tries=$((500 * ${PATIENCE:-1}))
    until [[ -z $(find "$TMPDIR" -mindepth 2; pgrep -f "sleep $NUMBER") ]]; do
        ((tries-- > 0)) || fail "left: $(find "$TMPDIR"; pgrep -af "sleep $NUMBER")"
        sleep 0.02
    done
}

# untouched: nothing of the command is in the workspace.
untouched() {
    same "$(find . -mindepth 1)" ./vial.lua
}

# whole: what there is of the command is nothing or what it wrote last.
whole() {
    same "$(cat f* 2>/dev/null | sort -u)" "$(cat f* 2>/dev/null | grep -x text | sort -u)"
}

# processes: of the run of this test, the first started first: vial and the supervisor.
processes() {
    pgrep -f "^[^ ]*vial run --view.*sleep $NUMBER"
}

# command_of: the shell that is the command; its parent is the init of the view.
command_of() {
    pgrep -f "^sh -c .*sleep $NUMBER" | head -n 1
}

init_of() {
    ps -o ppid= "$(command_of)" | tr -d ' '
}

# during FUNCTION COMMAND: call the function once the command in the view has said "ready".
# What the run printed is in $output and ../err, its status in $status.
during() {
    local line
    rm -f ../pipe && mkfifo ../pipe
    view --no-cache -- sh -c "$2" >../pipe 2>../err 8>&- &
    local run=$!
    exec 8<../pipe
    until [[ $line == ready ]]; do
        read -r line <&8 || fail "it is not ready" "$(cat ../err)"
    done
    "$1"
    output=$(timeout 30 cat <&8) || fail "the run does not end" "$(cat ../err)"
    exec 8<&-
    status=0
    wait "$run" || status=$?
}

ENDLESS='echo ready; sleep '"NUMBER"' & i=0; while :; do i=$((i+1)); echo text >f$((i%50)); done'

# --- sudden ends ----------------------------------------------------------------------------------

kill_first() { kill -KILL "$(processes | head -n 1)"; }
kill_supervisor() { kill -KILL "$(processes | tail -n 1)"; }
kill_init() { kill -KILL "$(init_of)"; }
kill_command() { kill -KILL "$(command_of)"; }

killed() {
    during "$1" "${ENDLESS/NUMBER/$NUMBER}"
    ((status != 0))
    nothing_left
    [[ $1 == kill_command ]] || untouched
    whole
    view sh -c 'echo fine >out' && same "$(cat out)" fine
    rm out
}

killed_vial() { killed kill_first; }
killed_supervisor() { killed kill_supervisor; }
killed_init() { killed kill_init; }
killed_command() { killed kill_command && same "$status" 137; }

@test "kill -9 of vial during writes leaves nothing" { each_mode killed_vial; }
@test "kill -9 of the supervisor of a view leaves nothing" { each_mode killed_supervisor; }
@test "kill -9 of the init of a view leaves nothing" { each_mode killed_init; }
@test "kill -9 of the command leaves nothing" { each_mode killed_command; }

@test "Ctrl-C ends a command that writes in a view" {
    exits 130 python3 "$BATS_TEST_DIRNAME/terminal.py" "$VIAL" run --view --no-cache -- \
        sh -c "${ENDLESS/NUMBER/$NUMBER}"
    nothing_left
    whole
}

abort_connection() {
    local init number
    init=$(init_of)
    number=$(awk '$5 == "/" && / - fuse/ { sub("0:", "", $3); print $3 }' "/proc/$init/mountinfo")
    unshare --mount bash -euc 'mount -t fusectl none /sys/fs/fuse/connections
        echo 1 >"/sys/fs/fuse/connections/$1/abort"' bash "$number"
}

aborted() {
    during abort_connection "echo ready; sleep $NUMBER & while echo x >f; do :; done; exit 7"
    same "$status" 125
    contains "$(cat ../err)" "file system was taken away"
    nothing_left
    untouched
}

@test "a view that is aborted from outside ends the run" {
    [[ $(id -u) == 0 ]] || skip "root alone may abort"
    each_mode aborted
}

timed_out() {
    status=0
    view --timeout 0.3 sh -c "echo half >half; sleep $NUMBER & sleep $NUMBER" 2>../err || status=$?
    same "$status" 124
    nothing_left
    same "$(cat half)" half # as it would be without vial
}

@test "a command in a view that takes too long ends with 124 and all that it started" {
    each_mode timed_out
}

left_running() {
    view sh -c "(trap '' HUP; setsid sleep $NUMBER; echo late >late) & echo done >out"
    nothing_left
    same "$(cat out) $(ls)" "done out"$'\n'"vial.lua"
}

@test "what the command leaves running ends with it" { each_mode left_running; }

# --- full, read-only, changing --------------------------------------------------------------------

full() {
    mount -t tmpfs -o size=4M,mode=1777 none "$TMPDIR"
    run view sh -c 'head -c 9M /dev/zero >big || echo full; rm big; echo fits >out; exit 3'
    same "$status ${lines[-1]}" "3 full"
    same "$(cat out)" fits
    view sh -c 'head -c 9M /dev/zero >big; rm big; echo fits >out' 2>/dev/null
    same "$(cat out)" fits
    same "$(find "$TMPDIR" -mindepth 2)" ''
    umount "$TMPDIR"
}

@test "a full scratch directory is the command's error, not the view's" {
    [[ $(id -u) == 0 ]] || skip "root alone may mount"
    unshare --mount bash -euc "$(declare -f full view same fail as_user with_fuse vial each_mode)
        MODES='$MODES' WORK='$WORK' EVENTS='$EVENTS' BATS_TEST_TMPDIR='$BATS_TEST_TMPDIR' BATS_RUN_TMPDIR='$BATS_RUN_TMPDIR'
        run() { status=0; output=\$(\"\$@\" 2>/dev/null) || status=\$?; mapfile -t lines <<<\"\$output\"; }
        each_mode full"
}

# A view shows nothing of what changes after it has looked, so a signal says that it has changed.
WAIT='go=; trap "go=1" TERM; echo ready; until [ "$go" ]; do sleep 0.02; done; : sleep '
go_on() { kill -TERM "$(processes | head -n 1)"; }

edit() {
    echo "the user's" >in
    echo "the user's" >new
    go_on
}

edited() {
    echo before >in
    during edit "cat in; test -e new; $WAIT$NUMBER"'
        echo mine >in; echo mine >new; echo mine >other'
    same "$status" 0
    same "$(cat in new other)" $'the user\'s\nthe user\'s\nmine'
    contains "$(cat ../err)" 'kept your in: '
    contains "$(cat ../err)" 'kept your new: '
}

@test "what the user edits during the run stays, and vial says so" { each_mode edited; }

change_below() {
    rm -r dir gone && mkfifo gone && echo now a file >dir && ln -sfn vial.lua link && rm file
    mkdir file && : >late
    go_on
}

changed_below() {
    mkdir dir && echo a >dir/a && echo g >gone && ln -s gone link && echo f >file
    during change_below "cat dir/a gone link file; $WAIT$NUMBER"'
        cat dir/a; cat gone; cat link; cat file; ls; echo x >>gone; echo x >>file; echo end'
    same "$status" 0
    contains "$output" end
}

@test "files that vanish or change their kind below hold up nobody" { each_mode changed_below; }

read_only() {
    mount --bind . . && mount -o remount,bind,ro . && cd "$PWD"
    status=0
    view sh -c 'echo x >out; cat out' >../stdout 2>../err || status=$?
    same "$status $(cat ../stdout)" "125 x"
    contains "$(cat ../err)" 'cannot write out: Read-only file system'
    view cat vial.lua
    cd / && umount "$WORK" && cd "$WORK"
}

@test "in a read-only workspace the command writes and the commit fails" {
    [[ $(id -u) == 0 ]] || skip "root alone may mount"
    unshare --mount bash -euc "$(declare -f read_only view same fail contains as_user with_fuse vial each_mode)
        MODES='$MODES' WORK='$WORK' EVENTS='$EVENTS' BATS_TEST_TMPDIR='$BATS_TEST_TMPDIR' BATS_RUN_TMPDIR='$BATS_RUN_TMPDIR'
        each_mode read_only"
}

# --- places ---------------------------------------------------------------------------------------

@test "a workspace may lie anywhere" {
    [[ $(id -u) == 0 ]] || skip "root alone may write there"
    local place options top
    for place in /tmp /usr /usr/local /home /root /var/lib /opt /etc /run /srv ''; do
        for options in --view "--view --plain"; do
            top="$place/vial test-$NUMBER"
            mkdir "$top" && : >"$top/vial.lua" && cd "$top"
            # shellcheck disable=SC2086 # two words
            same "$(vial run $options sh -c 'pwd; cc --version >/dev/null; echo x >out; cat out')" \
                "$top"$'\n'x
            same "$(cat out)" x
            cd "$WORK" && rm -r "$top"
        done
    done
}

odd_path() {
    local top=$WORK/$' a\n"b" \\'
    mkdir "$top" && : >"$top/vial.lua" && cd "$top"
    same "$(view sh -c 'pwd; echo x >"o
u t"; ls -b')" "$top"$'\no\\nu\\ t\nvial.lua'
    same "$(cat $'o\nu t')" x
}

@test "a workspace may have an odd name" { each_mode odd_path; }

# --- what the machine does not have ---------------------------------------------------------------

@test "without /dev/fuse a view is refused, and vial says so" {
    [[ $(id -u) == 0 ]] || skip "root alone may mount"
    unshare --mount bash -euc 'mkdir /tmp/devices.$$ && mount -t tmpfs none /tmp/devices.$$
        for node in null zero full random urandom tty; do
            : >/tmp/devices.$$/$node && mount --bind /dev/$node /tmp/devices.$$/$node
        done
        mount --rbind /tmp/devices.$$ /dev
        status=0
        "$1" run --view true 2>"$2" || status=$?
        [[ $status == 125 ]]' bash "$VIAL" ../err
    rmdir /tmp/devices.*
    contains "$(cat ../err)" 'cannot open /dev/fuse'
    nothing_left
}

@test "without namespaces a view is refused, and vial says so" {
    exits 125 without_namespaces vial run --view true
    contains "$stderr" 'cannot make namespaces'
    nothing_left
}

# --- ordinary and heavy use -----------------------------------------------------------------------

inside() {
    local inner=$VIAL
    [[ $MODE != user* ]] || inner=$BATS_TEST_TMPDIR/bin/vial
    view true
    view "$inner" run --view sh -c 'echo inner >out; cat vial.lua out' >../stdout 2>../err
    same "$(cat ../stdout out)" $'inner\ninner'
    view "$inner" run sh -c 'echo sealed >out2' 2>../err
    same "$(cat out2)" sealed
    nothing_left
}

@test "vial works in a view, too" { each_mode inside; }

standard_input() {
    echo text >in
    same "$(view cat <in)" text
    same "$(echo piped | view cat)" piped
    same "$(view cat </dev/null)" ''
    same "$(view sh -c 'read a; echo "$a"; cat' < <(seq 3))" $'1\n2\n3'
}

@test "standard input reaches the command in a view" { each_mode standard_input; }

many_files() {
    mkdir d && (cd d && seq 100000 | xargs touch)
    # shellcheck disable=SC2012
    same "$(view sh -c 'ls d | wc -l; rm d/5*; ls -f d | wc -l; echo x >d/new')" \
        $'100000\n88891'
    same "$(find d -type f | wc -l)" 88890
    same "$(cat d/new)" x
}

@test "100,000 files in a directory" {
    MODES=root
    each_mode many_files
}

@test "64 views at once" {
    local i
    for MODE in root user-plain; do
        for ((i = 0; i < 64; i++)); do
            mkdir -p "$MODE/$i" && : >"$MODE/$i/vial.lua"
        done
        [[ $MODE == root ]] || as_user true
        for ((i = 0; i < 64; i++)); do
            (cd "$MODE/$i" && view sh -c 'for n in 1 2 3; do echo $0 >f$n; done; cat f*' "$i" >out.txt) &
        done
        wait
        for ((i = 0; i < 64; i++)); do
            same "$(cat "$MODE/$i/"{f1,f2,f3} | sort -u)" "$i"
        done
    done
    nothing_left
}
