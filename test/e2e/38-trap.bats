#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Under the exec trap (doc/design/exec-trap.md) every command does what it does without.
load helper
OBSERVED=yes

setup() {
    fresh
    PATH=/usr/bin:/bin
}

# stopped: how many calls were stopped in the last run, each of which was answered.
stopped() {
    jq -r 'select(.event == "trapped") | select(.stopped == .answered) | .stopped' "$EVENTS" | tail -n 1
}

# alike COMMAND…: it prints and exits in the same way whatever is trapped, with and without pass-through,
# with the system bound and served; and something was trapped.
alike() {
    local status=0 trapped mode
    "$VIAL" run --refresh "$@" >plain.out 2>plain.err || status=$?
    for mode in --plain --system=observe ''; do
        trapped=0
        "$VIAL" run --refresh --trap=all ${mode:+"$mode"} --events "$EVENTS" "$@" >trap.out 2>trap.err || trapped=$?
        same "$trapped" "$status"
        cmp plain.out trap.out
        cmp plain.err trap.err
        [[ $(stopped) -gt 0 ]] || fail "nothing was stopped in $mode"
    done
}

@test "a process has its arguments, name, program, environment, descriptors and limits" {
    cat >look.sh <<'END'
readlink /proc/$$/exe
bash -c 'echo $0 "$@"' name a "b c" ''
(exec -a other bash -c 'echo "$0"; tr "\0" " " </proc/$$/cmdline; readlink /proc/$$/exe; cat /proc/$$/comm')
ls /proc/self/fd
env -i A=1 /usr/bin/env
(ulimit -n 33; bash -c 'ulimit -n')
umask 027; bash -c umask
(cd /usr; /bin/pwd)
exec 7<>file
sh -c 'echo seven >&7; ls -l /proc/self/fd/7' | grep -o 'work/file'
cat file
END
    alike bash look.sh
}

@test "signals, sessions and exit states are as the caller set them" {
    cat >signals.sh <<'END'
grep -E '^(Sig|Shd)(Blk|Ign|Cgt)' /proc/self/status
trap '' USR1; grep SigIgn /proc/self/status; trap - USR1
sh -c 'kill -TERM $$'; echo $?
sh -c 'exit 7'; echo $?
timeout 5 sh -c 'exit 3'; echo $?
setsid sh -c 'test $(ps -o pgid= $$) = $$ && test $(ps -o sid= $$) = $$'; echo $?
echo word | cat | tr w W
END
    alike bash signals.sh
}

@test "who executes a path gets the error that there is" {
    cat >errors.py <<'END'
import errno, os, subprocess

def error(path):
    try:
        subprocess.run([path], check=True)
    except OSError as error:
        return errno.errorcode[error.errno]

open("interpreter", "w").write("#!/no/such/program\n")
open("plain", "w").write("echo plain\n")
open("empty", "w")
open("foreign", "wb").write(b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\xff\x7f" + b"\0" * 100)
open("mode", "w").write("#!/bin/sh\n")
for name in ("interpreter", "plain", "empty", "foreign"):
    os.chmod(name, 0o755)
for name in ("interpreter", "plain", "empty", "foreign", "mode", "missing"):
    print(name, error("./" + name), flush=True)
subprocess.run(["sh", "-c", "./plain"], check=True)
END
    alike /usr/bin/python3 errors.py
}

@test "scripts, programs that execute themselves, descriptors, vfork, spawn and threads" {
    # shellcheck disable=SC2016
    printf '#!/usr/bin/perl -w\nprint "@ARGV $^W $0\\n"\n' >script.pl
    printf '#!./script.pl x\n' >nested
    printf 'int main(void) { return 9; }\n' >nine.c
    cc -static -o nine nine.c
    chmod +x script.pl nested
    cat >calls.py <<'END'
import os, subprocess, sys, threading

def child(run):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

def by_thread(*call):
    thread = threading.Thread(target=lambda: os.execv(*call))
    thread.start()
    thread.join()

def spawn(argv, environment):
    print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(argv[0], argv, environment), 0)[1]), flush=True)

SELF = "import os, sys; print(sys.argv, os.readlink('/proc/self/exe'))"
subprocess.run(["./script.pl", "one", "two words"], check=True)
subprocess.run(["./nested", "y"])
print(subprocess.run(["./nine"]).returncode, flush=True)
spawn(["/bin/echo", "spawned"], {})
child(lambda: by_thread("/bin/echo", ["echo", "by a thread"]))
child(lambda: os.execve(os.open("/bin/echo", os.O_RDONLY), ["echo", "by a descriptor"], {}))
child(lambda: os.execv("/proc/self/exe", ["python3", "-c", SELF, "again"]))
child(lambda: os.execvp("busybox-is-not-here", ["x"]))
print(len(subprocess.run(["/bin/echo", "x" * 100000, "y" * 100000], stdout=subprocess.PIPE).stdout), flush=True)
print(len(subprocess.run(["z" * 100000, "-c", "echo ${#0}"], executable="/bin/sh", stdout=subprocess.PIPE).stdout),
      flush=True)
END
    alike /usr/bin/python3 calls.py 2>&1
}

@test "an ordinary user's commands are stopped, and are alike, too" {
    [[ $(id -u) == 0 ]] || skip "the user is that already"
    mknod --mode=666 "$BATS_TEST_TMPDIR/fuse" c 10 229
    # shellcheck disable=SC2016
    printf 'readlink /proc/$$/exe; bash -c "echo \\$0 \\$UID" name; sh -c "exit 3"; echo $?\n' >look.sh
    as_user true # hands over what the test made
    local mode
    for mode in --trap=all '--trap=all --system=observe' ''; do
        # shellcheck disable=SC2016,SC2086
        unshare --mount sh -ec 'mount --bind "$0" /dev/fuse; exec "$@"' "$BATS_TEST_TMPDIR/fuse" \
            setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
            "$BATS_TEST_TMPDIR/bin/vial" run --view --refresh --events events $mode bash look.sh >"$BATS_TEST_TMPDIR/seen"
        same "$(cat "$BATS_TEST_TMPDIR/seen")" "$(printf '%s\n' /usr/bin/bash 'name 65534' 3)"
    done
    same "$(jq -s 'map(select(.event == "trapped") | .stopped == .answered and .stopped > 2)' -c events)" '[true,true]'
}

@test "readers of a program see its bytes while it is executed by others" {
    cat >readers.sh <<'END'
for i in $(seq 40); do /usr/bin/env true; done &
for i in $(seq 40); do bash -c 'bash -c true'; done &
for i in $(seq 40); do sha256sum /usr/bin/env /usr/bin/bash /usr/bin/true; done | sort -u
wait
END
    alike bash readers.sh
}

@test "a build under the trap makes what it makes natively" {
    mkdir sub
    printf 'int one(void);\nint main(void) { return one(); }\n' >main.c
    printf 'int one(void) { return 0; }\n' >sub/one.c
    cat >Makefile <<'END'
main: main.o sub/libone.a
	gcc -o $@ main.o sub/libone.a
sub/libone.a: sub/one.c
	$(MAKE) -C sub libone.a
END
    printf 'libone.a: one.o\n\tar rcsD $@ one.o\n' >sub/Makefile
    make -j2
    find . -name '*.o' -o -name '*.a' -o -name main | sort | xargs sha256sum >native
    rm main main.o sub/one.o sub/libone.a
    exits 0 vial run --trap=all --events "$EVENTS" make -j2
    sha256sum --check native
    same "$(stopped)" 6 # make twice, cc twice, ar and gcc; what these execute is in views of their own
    make -q
    rm main main.o sub/one.o sub/libone.a
    exits 0 vial run --refresh --trap=leaves --events "$EVENTS" make -j2
    sha256sum --check native
    same "$(stopped)" 4 # without make
}

@test "what was stopped is on record as what it is, once" {
    cat >tree.sh <<'END'
/bin/true one
sh -c '/bin/true two; :'
END
    chmod +x tree.sh
    vial run --trap=all bash tree.sh
    same "$("$VIAL" trace --json | jq -r 'select(.argv) | .argv | join(" ") | select(test("true"))' | sort)" \
        "$(printf '%s\n' '/bin/true one' '/bin/true two' 'sh -c /bin/true two; :')"
    same "$("$VIAL" trace --json | grep -c /run/vial/shim)" 0
}
