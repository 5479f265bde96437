#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Machines that grant less: no root, no namespaces, nowhere to write, other file systems, odd names.
load helper

setup() {
    fresh
    export TMPDIR=$BATS_TEST_TMPDIR/scratch
    mkdir --mode=1777 "$TMPDIR"
    chmod 1777 "$BATS_TEST_TMPDIR" # an ordinary user's store goes there
    NUMBER=$((200000 + BASHPID)) # of seconds: an argument that no other sleep has
}

# nothing_left: no process of this test and no file below $TMPDIR, before long.
nothing_left() {
    local -i tries=$((500 * ${PATIENCE:-1}))
    until [[ -z $(find "$TMPDIR" -mindepth 2; pgrep -f "sleep $NUMBER") ]]; do
        ((tries-- > 0)) || fail "left: $(find "$TMPDIR"; pgrep -af "sleep $NUMBER")"
        sleep 0.02
    done
}

# privately FUNCTION: as root of a mount namespace of its own, where it may mount what it likes.
privately() {
    local user=()
    [[ $(id -u) == 0 ]] || user=(--map-root-user)
    EVENTS=$EVENTS WORK=$WORK unshare "${user[@]}" --mount bash -euc "$(declare -f vial fail same \
        contains works works_on_overlay "$1"); $1" || fail "$1 failed"
}

# works [PREFIX…]: a run of something new, its hit, an edit and a failure.
works() {
    local text=$RANDOM$RANDOM$RANDOM expected out
    echo "$text" >input
    for expected in run hit; do
        rm -rf out d "$EVENTS"
        out=$("$@" vial run --events "$EVENTS" -i input -- \
            sh -c 'cat input; cp input out; mkdir d; echo x >d/x; chmod 750 d/x')
        same "$out $(cat out d/x) $(stat -c %a d/x)" "$text $text"$'\n'"x 750"
        contains "$(tail -n 1 "$EVENTS")" "\"result\":\"$expected\""
    done
    echo "other $text" >input
    same "$("$@" vial run -- sh -c 'cat input; cp input out')" "other $text"
    same "$(cat out)" "other $text"
    ! "$@" vial run -- false
    "$@" vial store verify >/dev/null
    rm -rf input out d "$EVENTS"
}

# --- an ordinary user ------------------------------------------------------------------------------

@test "an ordinary user gets the same results, sealed" {
    works as_user
    exits 0 as_user vial run sh -c 'id -u; hostname; ls /'
    same "$(head -n 2 <<<"$output")" $'1000\nvial'
    [[ $output != *root* ]]
    nothing_left
}

@test "an ordinary user: kills leave nothing and lose nothing" {
    cp "$BATS_TEST_DIRNAME/kill.py" "$WORK"
    as_user python3 kill.py "${SEED:-1}" 20 2 "$WORK"
}

@test "an input that may not be read is named, and may be left out" {
    echo secret >secret
    echo plain >plain
    as_user chmod 0 secret
    exits 125 as_user vial run cat plain
    contains "$stderr" "$WORK/secret: Permission denied"
    exits 0 as_user vial run -i '!secret' -- ls
    same "$output" $'plain\nvial.lua'
    mkdir locked
    as_user chmod 0 locked
    exits 125 as_user vial run -i '!secret' -- ls
    contains "$stderr" "$WORK/locked: Permission denied"
    exits 0 as_user vial run -i '!secret' -i '!locked' -- ls
    exits 125 as_user vial store put .
    contains "$stderr" "Permission denied"
}

@test "outputs in directories that may not be written, and outputs that may not be read, come back" {
    script='mkdir -p d/e; echo in >d/e/in; chmod 400 d/e/in; echo q >q; chmod 0 q d/e; chmod 555 d'
    for how in miss hit; do
        "$how" -i vial.lua -- sh -c "$script"
        same "$(stat -c %a d q)" $'555\n0'
        chmod u+rwx d d/e q
        same "$(cat d/e/in q)" $'in\nq'
        rm -rf d q
    done
    rm -rf "$VIAL_STORE" # an ordinary user, from the beginning
    for how in run hit; do
        rm -f "$EVENTS"
        as_user vial run --events "$EVENTS" -i vial.lua -- sh -c "$script"
        same "$(finished "$EVENTS" result)" "$how"
        same "$(stat -c %a d q)" $'555\n0'
        as_user chmod u+rwx d
        as_user chmod u+rwx d/e q
        same "$(cat d/e/in q)" $'in\nq'
        rm -rf d q
    done
    nothing_left
}

@test "modes are those that the command chose, from a run and from a hit, whatever the umask" {
    script='for mode in 0 111 400 600 644 664 666 755 777 2755 4755; do
            echo $mode >f$mode; chmod $mode f$mode; done; mkdir d; chmod 1777 d'
    expected=$'1777\n0\n111\n2755\n400\n4755\n600\n664\n666\n755\n777'
    for mask in 022 077; do
        for how in run hit; do
            (umask $mask && vial run -i vial.lua -- sh -c "$script")
            same "$mask $(stat -c %a d f0 f111 f2755 f400 f4755 f600 f664 f666)" \
                "$mask $(head -n 9 <<<"$expected")"
            same "$mask $(stat -c %a f644 f755)" \
                "$mask $(printf '%o\n%o' $((0666 & ~mask)) $((0777 & ~mask)))"
            rm -rf d f*
        done
    done
}

@test "a workspace that may not be written: what writes nothing works, what does says what not" {
    chmod 777 .
    as_user chmod 555 .
    exits 0 as_user vial run echo hello
    same "$output" hello
    exits 125 as_user vial run sh -c 'echo hello; echo text >out'
    same "$output" hello
    contains "$stderr" "cannot write out: Permission denied"
    [[ ! -e out ]]
    exits 0 as_user vial run --commit=never sh -c 'echo text >out'
}

# --- no namespaces ---------------------------------------------------------------------------------

@test "without namespaces a dry run and a FIFO that the command made are judged as a run would" {
    # shellcheck disable=SC2034
    OBSERVED=1
    for _ in 1 2; do
        exits 0 without_namespaces "$VIAL" run -- mkfifo p
        [[ -p p ]]
    done
    exits 0 without_namespaces "$VIAL" run --dry-run -- mkfifo p
    contains "$output" "would reuse"
    rm p
    exits 0 without_namespaces "$VIAL" run --dry-run -- mkfifo p
    contains "$output" "would reuse"
    exits 0 without_namespaces "$VIAL" run --dry-run -- mkfifo q
    contains "$output" "would run"
}

@test "without namespaces results are right, and none is given to a sealed run" {
    echo 1 >input
    for expected in run hit; do
        rm -f "$EVENTS"
        exits 0 without_namespaces "$VIAL" run --events "$EVENTS" -i input -- sh -c 'cat input; id -u'
        same "$output" $'1\n0'
        same "$(finished "$EVENTS" result)" "$expected"
    done
    miss -i input -- sh -c 'cat input; id -u'
    same "$output" $'1\n1000'
    hit -i input -- sh -c 'cat input; id -u'
}

@test "without namespaces a timeout ends the whole tree" {
    script="setsid sleep $NUMBER & (setsid sh -c 'trap \"\" TERM; sleep $NUMBER; sleep $NUMBER' &)
        sleep $NUMBER"
    exits 124 without_namespaces "$VIAL" run --timeout 0.3 -- sh -c "$script"
    nothing_left
}

@test "without namespaces daemons end with the command, and everything with vial" {
    exits 0 without_namespaces "$VIAL" run -- \
        sh -c "(setsid sh -c '(sleep $NUMBER >&2 &)' &); nohup sleep $NUMBER >/dev/null & echo x"
    same "$output" x
    nothing_left
    without_namespaces python3 "$BATS_TEST_DIRNAME/kill.py" "${SEED:-1}" 20 2 "$WORK"
}

@test "without namespaces, as an ordinary user who may not even ask" {
    in_prison() {
        as_user unshare --user --map-root-user bash -c 'for kind in user mnt pid ipc uts net cgroup
            do echo 0 >/proc/sys/user/max_${kind}_namespaces || exit 99; done
            shift; "$VIAL" "$@"' bash "$@"
    }
    works in_prison
    exits 1 in_prison vial doctor
    contains "$output" "user.max_user_namespaces"
}

@test "inside namespaces of others: as a fake root, with another proc, three deep" {
    works unshare --user --map-root-user "${BASH:-bash}" -c 'shift; exec "$VIAL" "$@"' bash
    works unshare --user --map-root-user --pid --fork --mount-proc bash -c '"$VIAL" "${@:2}"' bash
    install -D "$VIAL" bin/vial
    same "$(vial run bin/vial run bin/vial run sh -c 'hostname; echo deep >deep')" vial
    same "$(cat deep)" deep
    nothing_left
}

# --- stores ----------------------------------------------------------------------------------------

@test "a store that may only be read is read, and is no reason to fail" {
    as_user vial run sh -c 'echo one >out'
    rm out
    as_user chmod -R a-w "$VIAL_STORE"
    for i in 1 2; do
        rm -f "$EVENTS"
        exits 0 as_user vial run --events "$EVENTS" sh -c 'echo one >out'
        same "$stderr $(cat out) $(finished "$EVENTS" result)" " one hit"
        exits 0 as_user vial run sh -c 'echo two; echo two >out'
        same "$output $(cat out)" "two two"
        same "$(grep -c . <<<"$stderr")" 1
        contains "$stderr" "the store $VIAL_STORE may only be read"
        same "$(echo piped | as_user vial run cat 2>/dev/null)" piped
        exits 125 as_user vial store put out
        contains "$stderr" "may only be read"
        exits 0 as_user vial store verify
        exits 0 as_user vial log
        exits 0 as_user vial stats
        rm out
    done
}

read_only_mount() {
    works
    vial run -i vial.lua -- echo kept
    mount --bind "$VIAL_STORE" "$VIAL_STORE"
    mount -o remount,ro,bind "$VIAL_STORE"
    same "$(vial run --events "$EVENTS" -i vial.lua -- echo kept)" kept
    contains "$(tail -n 1 "$EVENTS")" '"result":"hit"'
    same "$(vial run -i vial.lua -- echo new 2>&1)" \
        $'new\n'"vial: not stored: the store $VIAL_STORE may only be read"
    rm -rf "$WORK/none"
    mkdir "$WORK/none"
    mount -t tmpfs -o ro none "$WORK/none"
    same "$(VIAL_STORE=$WORK/none vial run -i vial.lua -- echo works 2>/dev/null)" works
}

@test "a store on a file system that is mounted read-only is read" {
    privately read_only_mount
}

@test "where no store can be, commands run all the same, and other commands say why not" {
    install -d -m 700 "$BATS_TEST_TMPDIR/roots/own"
    : >"$BATS_TEST_TMPDIR/file"
    for store in "$BATS_TEST_TMPDIR/file" "$BATS_TEST_TMPDIR/file/below" /dev/null/x /proc/none \
        "$BATS_TEST_TMPDIR/roots/own/store"; do
        export VIAL_STORE=$store
        for i in 1 2; do
            exits 0 as_user vial run -i vial.lua -- echo works
            same "$output" works
            contains "$stderr" "nothing will be reused or kept: cannot"
            contains "$stderr" "${store%/*}"
        done
        exits 125 as_user vial store put vial.lua
        contains "$stderr" "${store%/*}"
    done
}

@test "a store where no directory is yet is made, and nobody else may read it" {
    export VIAL_STORE=$BATS_TEST_TMPDIR/a/b/c
    miss echo works
    hit echo works
    same "$(stat -c %a "$VIAL_STORE")" 700
}

@test "a home that may not be written, or is not there, is no reason to fail" {
    unset VIAL_STORE XDG_CACHE_HOME
    chmod 555 "$HOME"
    VIAL_STORE='' exits 0 as_user vial run -- echo works
    same "$output" works
    contains "$stderr" "nothing will be reused or kept: cannot make the directory $HOME/.cache"
    HOME=/nonexistent exits 0 as_user vial run -- echo works
    same "$output" works
    exits 0 as_user env -u HOME "$VIAL" run -- echo works
    same "$output" works
}

@test "a directory of other things is not taken for a store, and nothing is made in it" {
    export VIAL_STORE=$BATS_TEST_TMPDIR/other
    mkdir "$VIAL_STORE"
    echo mine >"$VIAL_STORE/mine"
    exits 125 vial run echo works
    contains "$stderr" "$VIAL_STORE is not a store and not empty"
    exits 125 vial store put vial.lua
    same "$(ls -A "$VIAL_STORE")" mine
}

@test "a store of a later version is left alone, and what to do is said" {
    miss echo works
    line="vial store 2"
    echo "$line $(printf %s "$line" | sha256sum | cut -c 1-8)" >"$VIAL_STORE/format"
    before=$(find "$VIAL_STORE" -type f -exec sha256sum {} + | sort)
    for command in "run echo works" "store put vial.lua" "store verify --repair" log stats \
        "gc --max-size 1M"; do
        # shellcheck disable=SC2086 # words of a command line
        exits 125 vial $command
        contains "$stderr" "has format 2, and this vial knows 1: name another directory"
    done
    same "$(find "$VIAL_STORE" -type f -exec sha256sum {} + | sort)" "$before"
}

# --- file systems ----------------------------------------------------------------------------------

# works_on_overlay PLACE…: with an overlayfs over each of these directories.
works_on_overlay() {
    local place layers
    for place in "$@"; do
        layers=$HOME/layers/${place##*/}
        mkdir -p "$place" "$layers"/{lower,upper,work}
        [[ ! -e $place/vial.lua ]] || cp "$place/vial.lua" "$layers/lower"
        mount -t overlay none "$place" \
            -o "lowerdir=$layers/lower,upperdir=$layers/upper,workdir=$layers/work"
    done
    cd "$WORK"
    works
    head -c 3000000 /dev/urandom >large
    vial run -- sh -c 'cp large copy; echo x >>large'
    cmp <(cat copy; echo x) large
    cd /
}

everything_on_overlay() {
    mkdir "$HOME/layers"
    mount -t tmpfs none "$HOME/layers"
    works_on_overlay "$WORK" "$VIAL_STORE" "$TMPDIR"
}

one_by_one_on_overlay() {
    mkdir "$HOME/layers"
    mount -t tmpfs none "$HOME/layers"
    local place
    for place in "$VIAL_STORE" "$TMPDIR" "$WORK"; do
        works_on_overlay "$place"
        umount "$place"
    done
}

each_on_its_own() {
    mkdir -p "$VIAL_STORE"
    mount -t tmpfs none "$VIAL_STORE"
    works
    head -c 3000000 /dev/urandom >large
    vial run -- sh -c 'cp large copy'
    cmp copy large
    mount -t tmpfs none "$TMPDIR"
    works
    vial run -- sh -c 'cp large copy2'
    cmp copy2 large
    mkdir mounted
    mount -t tmpfs none mounted
    echo inside >mounted/file
    same "$(vial run -- sh -c 'cat mounted/file; echo new >mounted/new')" inside
    same "$(cat mounted/new)" new
}

@test "everything on overlayfs" {
    privately everything_on_overlay
}

@test "store, TMPDIR or workspace on overlayfs" {
    privately one_by_one_on_overlay
}

@test "store, TMPDIR and a part of the workspace on file systems of their own" {
    privately each_on_its_own
}

no_fuse() {
    mkdir dev
    mount -t tmpfs none dev
    local name
    for name in null zero full random urandom tty; do
        : >"dev/$name"
        mount --bind "/dev/$name" "dev/$name"
    done
    ln -s /proc/self/fd dev/fd
    mount --move dev /dev
    rmdir dev
    works
    contains "$(vial doctor || true)" "no   FUSE"
}

@test "without /dev/fuse and most of /dev" {
    privately no_fuse
}

other_fuse() {
    mount --bind /dev/null /dev/fuse
    works
    contains "$(vial doctor || true)" "no   FUSE"
}

@test "with another device in the place of /dev/fuse" {
    # shellcheck disable=SC2034
    OBSERVED=1
    privately other_fuse
}

@test "spaces and newlines in the names of workspace, store and TMPDIR" {
    base=$BATS_TEST_TMPDIR/$'a  b\nc'
    export VIAL_STORE=$base/$'st\n ore' TMPDIR=$base/$'tm  p\n'
    mkdir -p "$base/w w"$'\n' "$TMPDIR"
    cd "$base/w w"$'\n'
    : >vial.lua
    works
    digest=$(vial store put .)
    exits 0 vial store get "$digest" "../g t"
    diff -r . "../g t"
    exits 0 vial log
    exits 0 vial why
    nothing_left
}

# --- limits ----------------------------------------------------------------------------------------

@test "few descriptors, a small stack and a limit on file sizes" {
    for i in {1..200}; do echo "$i" >"f$i"; done
    head -c 3000000 /dev/zero >large
    for i in miss hit; do
        (ulimit -n 40 -s 256 && "$i" sh -c 'cat f* | wc -l')
    done
    (ulimit -f 100 && exits 0 vial run -i vial.lua -- echo works && same "$output" works)
    (ulimit -f 100 && exits 125 vial run cat large && contains "$stderr" "File too large")
    (ulimit -f 100 && exits 125 vial store put large && contains "$stderr" "File too large")
    exits 0 vial store verify
    nothing_left
}
