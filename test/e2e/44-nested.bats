#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A leaf under the exec trap runs in a view of its own (doc/design/exec-trap.md), which nobody notices who does
# not run beside it. A script called protoc is a leaf.
load helper
OBSERVED=yes
TEST_SECONDS=40

setup() {
    fresh
    PATH=/usr/bin:/bin
    mkdir bin
    cat >bin/protoc <<'END'
#!/bin/bash
"$@"
END
    chmod +x bin/protoc
}

# trapped KEY: a value of the last run's event; all that were stopped have been answered.
trapped() {
    jq -r --arg key "$1" 'select(.event == "trapped") | select(.stopped == .answered) | .[$key]' "$EVENTS" | tail -n 1
}

# alike N COMMAND…: it prints, exits and leaves what it does without a trap, with N leaves in views of their own,
# with the system bound and served.
alike() {
    local number=$1 status=0 nested mode
    shift
    "$VIAL" run --refresh "$@" >../plain.out 2>../plain.err || status=$?
    find . -type f ! -path './bin/*' | sort | xargs sha256sum >../plain.files
    for mode in '' --plain --system=observe; do
        nested=0
        rm -rf made
        "$VIAL" run --refresh --trap=leaves ${mode:+"$mode"} --events "$EVENTS" "$@" >../nested.out 2>../nested.err || nested=$?
        same "$nested" "$status"
        cmp ../plain.out ../nested.out
        cmp ../plain.err ../nested.err
        find . -type f ! -path './bin/*' | sort | xargs sha256sum | diff ../plain.files -
        same "$(trapped committed)" "$number"
        same "$(trapped conflicts)" 0
    done
}

@test "a leaf has its arguments, directory, descriptors, signals and ids, and its exit state is seen" {
    cat >look.sh <<'END'
bin/protoc printf '<%s>' a "b c" ''
(cd bin; umask 027; ./protoc pwd; ./protoc umask)
bin/protoc ls /proc/self/fd
bin/protoc id
exec 7<>/tmp/seven
bin/protoc sh -c 'echo seven >&7'; cat /tmp/seven
(trap '' CHLD USR1; bin/protoc grep -E '^(Sig|Shd)(Blk|Ign|Cgt)' /proc/self/status)
(exec -a other bin/protoc sh -c 'ps -o pgid= $$ | wc -l')
(ulimit -n 40; bin/protoc sh -c 'ulimit -n')
echo word | bin/protoc tr w W | cat
bin/protoc sh -c 'exit 7'; echo $?
bin/protoc sh -c 'kill -TERM $PPID'; echo $?
env -i A=1 bin/protoc /usr/bin/env | grep -c A=1
END
    alike 13 bash look.sh
}

@test "signals reach a leaf; who stops, continues or kills it means the program" {
    cat >signals.sh <<'END'
state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status"; }
bin/protoc eval 'trap "exit 4" USR1; echo >/tmp/ready; while :; do :; done' & leaf=$!
until [[ -e /tmp/ready ]]; do :; done
kill -USR1 $leaf; wait $leaf; echo $?
bin/protoc eval 'echo $BASHPID >/tmp/pid; mv /tmp/pid /tmp/hung; exec sleep 1000' & leaf=$!
until [[ -e /tmp/hung ]]; do :; done
kill -KILL $leaf; wait $leaf 2>/dev/null; echo $?
while kill -0 $(cat /tmp/hung) 2>/dev/null; do :; done
bin/protoc eval 'kill -STOP $BASHPID; exit 5' & leaf=$!
until [[ $(state $leaf) == T ]]; do :; done
kill -CONT $leaf; wait $leaf; echo $?
END
    alike 3 bash signals.sh
}

@test "what a leaf wrote is there when it has ended, and nothing is lost on the way" {
    cat >write.sh <<'END'
mkdir -p made/d; echo old >made/old; echo kept >made/kept
for i in $(seq 20); do
    bin/protoc sh -c "echo $i >made/n; echo $i >made/f$i; mv made/f$i made/d/g$i; echo $i >>made/log"
    cat made/n made/d/g$i made/log
done
bin/protoc rm made/old; ls made
bin/protoc sh -c 'chmod 640 made/kept; ln -s kept made/link; ln made/kept made/hard; touch -d @1 made/n'
stat -c '%n %a %h %F' made/*; stat -c %Y made/n
exec >made/out; bin/protoc echo one; echo two; bin/protoc echo three
END
    alike 24 bash write.sh
}

@test "leaves that run at the same time do not see each other's files, and meeting is counted" {
    cat >beside.sh <<'END'
mkfifo /tmp/wrote /tmp/go
bin/protoc eval 'echo first >made; echo >/tmp/wrote; read <>/tmp/go' &
read </tmp/wrote
bin/protoc eval 'cat made || echo none'
ls made || echo none
echo >/tmp/go
wait
cat made
END
    exits 0 "$VIAL" run --trap=leaves --events "$EVENTS" bash beside.sh
    same "$output" "$(printf '%s\n' none none first)"
    same "$(trapped committed)" 2
    same "$(trapped conflicts)" 1
    same "$(cat made)" first
    # Another order would have left something else, so this one is not what others get.
    contains "$("$VIAL" why)" "met at $WORK/made"
    rm made
    miss --trap=leaves bash beside.sh
}

@test "what a leaf looked at is on record: another content is another run" {
    echo '#define X 1' >x.h
    printf '#include "x.h"\nint x = X;\n' >x.c
    exits 0 "$VIAL" run --trap=leaves --events "$EVENTS" bash -c 'gcc -c x.c'
    same "$(trapped committed)" 1
    hit --trap=leaves bash -c 'gcc -c x.c'
    echo '#define X 2' >x.h
    miss --trap=leaves bash -c 'gcc -c x.c'
    gcc -c -o native.o x.c
    cmp x.o native.o
    echo >y.h
    sed -i 's/x.h/y.h/; s/X/3/' x.c
    miss --trap=leaves bash -c 'gcc -c x.c'
    echo '#error' >x.h
    hit --trap=leaves bash -c 'gcc -c x.c'
}

@test "a leaf for which no view can be made runs in its caller's" {
    cat >narrow.sh <<'END'
exec 3<&0 4<&0 5<&0 6<&0 7<&0 8<&0
ulimit -n 12
bin/as here >made
(bin/as signals; exit 3); echo $?
END
    cp /bin/echo bin/as
    exits 0 "$VIAL" run --trap=leaves --events "$EVENTS" sh narrow.sh
    same "$output" "$(printf '%s\n' signals 3)"
    same "$(cat made)" here
    same "$(trapped stopped) $(trapped committed)" '2 0'
}

@test "an ordinary user's leaves run in views of their own, too" {
    [[ $(id -u) == 0 ]] || skip "the user is that already"
    mknod --mode=666 "$BATS_TEST_TMPDIR/fuse" c 10 229
    printf 'int main(void) { return 0; }\n' >main.c
    as_user true # hands over what the test made
    # shellcheck disable=SC2016
    unshare --mount sh -ec 'mount --bind "$0" /dev/fuse; exec "$@"' "$BATS_TEST_TMPDIR/fuse" \
        setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
        "$BATS_TEST_TMPDIR/bin/vial" run --view --trap=leaves --events events \
        bash -c 'gcc -o main main.c && ./main && bin/protoc id -u' >"$BATS_TEST_TMPDIR/seen"
    same "$(cat "$BATS_TEST_TMPDIR/seen")" 65534
    same "$(jq -r 'select(.event == "trapped") | .committed' events)" 2
    gcc -o native main.c
    cmp main native
}

@test "a build in which every compiler, archiver and link has its view is the native one" {
    local i
    for i in 1 2 3 4 5 6; do printf '#include "x.h"\nint f%s(void) { return X; }\n' "$i" >"f$i.c"; done
    printf 'int f1(void);\nint main(void) { return f1(); }\n' >main.c
    echo '#define X 0' >x.h
    cat >Makefile <<'END'
main: main.o lib.a
	gcc -o $@ main.o lib.a
lib.a: f1.o f2.o f3.o f4.o f5.o f6.o
	ar rcsD $@ $^
%.o: %.c
	gcc -MMD -g -c -o $@ $<
-include $(wildcard *.d)
END
    make -j2
    find . -name '*.[oad]' -o -name main | sort | xargs sha256sum >native
    rm -f ./*.[oad] main
    exits 0 "$VIAL" run --trap=leaves --events "$EVENTS" make -j2
    same "$(trapped committed)" 9
    same "$(trapped conflicts)" 0
    sha256sum --check --quiet native
    make -q
    echo '#define X 1' >x.h
    exits 0 "$VIAL" run --trap=leaves --events "$EVENTS" make -j2
    same "$(trapped committed)" 8 # six compilers, the archiver and the link
    make -q
}
