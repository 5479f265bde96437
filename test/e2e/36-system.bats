#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The system in a view: the directories of PATH are served read-only; with --system=observe all of it is,
# and is on record.
load helper
OBSERVED=yes

# with_system COMMAND…: where /etc and one header of /usr are copies that may be changed.
with_system() {
    export COPY=$BATS_TEST_TMPDIR/system
    mkdir "$COPY"
    cp -a /etc "$COPY/etc"
    cp /usr/include/paths.h "$COPY/paths.h"
    # shellcheck disable=SC2016
    unshare --mount bash -euc 'mount --bind "$COPY/etc" /etc
        mount --bind "$COPY/paths.h" /usr/include/paths.h
        "$@"' bash "$@"
}

results() {
    "$VIAL" log --json | jq -r '[.[].result] | reverse | join(" ")'
}

# Run, change what nobody read, run, change what was read, run.
compile_thrice() {
    local run=("$VIAL" run "$1" -- sh -c "cat /etc/profile >copy; cc -c tiny.c")
    "${run[@]}"
    echo news >"$COPY/etc/news"
    "${run[@]}"
    echo '#define NEWS 1' >>"$COPY/paths.h"
    "${run[@]}"
}

@test "with --system=observe a run depends on the files of the system that it read, and on no other" {
    printf '#include <paths.h>\nint one;\n' >tiny.c
    export -f compile_thrice
    with_system bash -euc 'compile_thrice --system=observe'
    [[ $("$VIAL" log --json | jq -r '[.[].result] | reverse | join(" ")') == 'run hit run' ]]
    same "$("$VIAL" trace --json | jq -r 'select(.path == "/usr/include/paths.h") | .kind')" file
    same "$("$VIAL" trace --json | jq -r 'select(.path == "/etc/profile") | .kind')" file
    contains "$("$VIAL" why)" 'read /usr/include/paths.h'
}

@test "by default /etc as a whole is an input, and a header of a package is none" {
    printf '#include <paths.h>\nint one;\n' >tiny.c
    export -f compile_thrice
    with_system bash -euc 'compile_thrice --system=bind'
    same "$(results)" 'run run hit'
}

@test "with --system=observe what comes out is what comes out otherwise" {
    cat >Makefile <<'MAKE'
all: one list
one: one.c
	cc -g -o one one.c
list:
	stat -c '%n %s %F %A %Y' /usr/bin/env /etc/profile >list; readlink /lib64 >>list; head -c 100 /usr/bin/env >>list; echo "$$(command -v sh)" >>list
MAKE
    printf '#include <stdio.h>\nint main(void) { return puts("one") < 0; }\n' >one.c
    make
    mkdir outside
    mv one list outside
    exits 0 vial run --system=observe make
    cmp outside/one one
    cmp outside/list list
    rm one list
    exits 0 vial run --system=observe --plain --refresh make
    cmp outside/one one
    cmp outside/list list
}

@test "nobody writes to the system in a view" {
    cat >try.sh <<'END'
for try in 'touch /usr/bin/new' ': >/etc/new' 'chmod 0 /usr/bin/env' 'rm -f /usr/bin/env' \
    'mv /usr/bin/env /usr/bin/new' ': <>/usr/bin/env' 'ln -s x /usr/bin/new'; do
    sh -c "$try" 2>said && echo "could: $try"
    grep -q 'Read-only file system' said || echo "said: $(cat said)"
done
END
    local mode
    for mode in bind observe; do
        exits 0 vial run --refresh --system="$mode" sh try.sh
        same "$output" ''
    done
    [[ -x /usr/bin/env && ! -e /usr/bin/new && ! -e /etc/new ]]
}

@test "--system takes bind or observe, and is for a view" {
    exits 125 vial run --system=other true
    contains "$stderr" 'must be bind or observe'
    exits 125 vial run --system=observe -i vial.lua true
    contains "$stderr" 'goes neither with --sealed nor with -i'
}
