# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every e2e test starts from: a store, a home and a workspace of its own, and nothing shared.
#
# A test file says `load helper` and gets, in each test:
#   $VIAL          the program under test      $VIAL_STORE, $HOME   fresh
#   $WORK          an empty directory that is the working directory, with no workspace above it
#   vial …         runs it                     $EVENTS              where hit and miss write events
# A file with a setup() of its own calls fresh first.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${VIAL:=$ROOT/build/vial}"
EVENTS=$BATS_TEST_TMPDIR/events

setup() {
    fresh
}

fresh() {
    export VIAL HOME=$BATS_TEST_TMPDIR/home VIAL_STORE=$BATS_TEST_TMPDIR/store LC_ALL=C.UTF-8
    export XDG_CACHE_HOME=$HOME/.cache
    WORK=$BATS_TEST_TMPDIR/work
    mkdir -p "$HOME" "$WORK"
    : >"$WORK/vial.lua"
    cd "$WORK" || return 1
    watch $BASHPID
}

# What a test may take; a file that needs longer sets it after loading this one. tools/check raises
# PATIENCE for slow builds.
TEST_SECONDS=120

# watch PID: kill whatever runs below the test PID once it takes too long, so that a command that
# hangs fails its own test and no other. bats of Debian 12 has no limit of its own.
watch() {
    (
        for descriptor in /proc/self/fd/*; do
            descriptor=${descriptor##*/}
            ((descriptor < 3)) || eval "exec $descriptor>&-"
        done
        cd / && trap - EXIT DEBUG ERR && set +eET
        timeout "$((TEST_SECONDS * ${PATIENCE:-1}))" tail --pid="$1" -f /dev/null
        [[ $? != 124 ]] || kill_below "$1"
    ) </dev/null >/dev/null 2>&1 &
    disown
}

# kill_below PID: every process below it but this one's own.
kill_below() {
    local child
    for child in $(ps -o pid= --ppid "$1"); do
        [[ $child != "$BASHPID" ]] || continue
        kill_below "$child"
        kill -KILL "$child"
    done
}

# Tests of what a sealed run is leave --sealed out; a file whose runs are in views sets OBSERVED.
vial() {
    if [[ ${1-} == run && -z ${OBSERVED-} && " $* " != *" --view "* ]]; then
        "$VIAL" run --sealed "${@:2}"
    else
        "$VIAL" "$@"
    fi
}

# traced OPTION… COMMAND…: under strace, where the leak checker of a sanitized build cannot work.
traced() {
    ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace "$@"
}

fail() {
    printf '%s\n' "$@" >&2
    return 1
}

# show: what the last `run` gave, for a failed assertion.
show() {
    printf 'status %s\n--- stdout\n%s\n--- stderr\n%s\n' "$status" "$output" "${stderr-}"
}

# same ACTUAL EXPECTED
same() {
    [[ $1 == "$2" ]] || fail "got:      $1" "expected: $2"
}

# contains TEXT PART
contains() {
    [[ $1 == *"$2"* ]] || fail "this:" "$1" "does not contain: $2"
}

# exits STATUS COMMAND…: fills $output and $stderr.
exits() {
    local expected=$1
    shift
    if [[ $expected == 127 ]]; then
        run -127 --separate-stderr "$@" # bats warns of a 127 that is not announced
    else
        run --separate-stderr "$@"
    fi
    [[ $status == "$expected" ]] || fail "$* should exit with $expected" "$(show)"
}

# finished FILE KEY: a value of the last event, which must be the finished one.
finished() {
    tail -n 1 "$1" | jq -er --arg key "$2" \
        'if .event == "finished" then .[$key] | if . == null then error("no " + $key) else tostring end
         else error("the last event is " + .event) end'
}

# events FILE NAME: every event of that name, one JSON object a line.
events() {
    jq -c --arg name "$2" 'select(.event == $name)' "$1"
}

# hit ARGUMENT…, miss ARGUMENT…: `vial run ARGUMENT…` came from the cache, or had to run. The
# command's own exit status, stdout and stderr are in $status, $output and $stderr.
hit() {
    ran_as hit "$@"
}

miss() {
    ran_as run "$@"
}

ran_as() {
    local expected=$1 result
    shift
    rm -f "$EVENTS"
    run --separate-stderr vial run --events "$EVENTS" "$@"
    [[ -s $EVENTS ]] || fail "no events from: vial run $*" "$(show)"
    result=$(finished "$EVENTS" result) || fail "$(cat "$EVENTS")" "$(show)"
    [[ $result == "$expected" ]] || fail "vial run $*: $result, expected $expected" "$(show)" \
        "$(events "$EVENTS" lookup)"
}

# as_user COMMAND…: as an ordinary user without any privilege. What the test made so far, store and
# home included, becomes that user's; `vial` is a copy that the user can reach.
as_user() {
    if [[ $(id -u) != 0 ]]; then
        "$@"
        return
    fi
    if [[ ! -e $BATS_TEST_TMPDIR/bin/vial ]]; then
        install -D "$VIAL" "$BATS_TEST_TMPDIR/bin/vial"
        chmod a+rx "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$BATS_TEST_TMPDIR"
        chmod a+rx "$BATS_TEST_TMPDIR/bin"
    fi
    local path
    for path in "$HOME" "$VIAL_STORE" "$WORK" "$EVENTS"; do
        [[ ! -e $path ]] || chown -R 65534:65534 "$path"
    done
    VIAL=$BATS_TEST_TMPDIR/bin/vial setpriv --reuid 65534 --regid 65534 --clear-groups \
        --no-new-privs bash -c "$(declare -f vial); "'"$@"' bash "$@"
}

# without_namespaces COMMAND…: where the kernel refuses every new namespace, as in many containers.
without_namespaces() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --user --map-root-user bash -c "$(declare -f vial)"'
        for kind in user mnt pid ipc uts net cgroup time; do
            echo 0 >/proc/sys/user/max_${kind}_namespaces || exit 99
        done
        "$@"' bash "$@"
}
