#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every execve() of a run in a view is on record, whoever makes it and whatever the program asks for.
load helper
OBSERVED=yes

setup() {
    fresh
    PATH=/usr/bin:/bin
}

# below PATTERN: the command lines that the one with PATTERN in it led to, an image of its own each.
below() {
    "$VIAL" trace --json | jq -r --arg name "$1" -s 'map(select(.argv)) as $all
        | def of($number): $all[] | select(.parent == $number) | ., of(.process);
          of($all | map(select(.argv | join(" ") | contains($name)))[0].process) | .argv | join(" ")'
}

@test "processes that ask for nothing are on record, with who made them" {
    exits 0 vial run sh -c '/bin/true one; env -i A=1 /bin/true two; sh -c "/bin/true three; :"; :'
    same "$(below '/bin/true one; env' | grep -v '^sh -c /bin/true one' | sort)" "$(printf '%s\n' \
        '/bin/true one' 'env -i A=1 /bin/true two' '/bin/true two' 'sh -c /bin/true three; :' \
        '/bin/true three' | sort)"
    same "$("$VIAL" trace --json | jq -c 'select(.argv == ["/bin/true", "two"]) | [.program, .environment, .directory]')" \
        "[\"/usr/bin/true\",[\"A=1\"],\"$PWD\"]"
}

@test "vfork, posix_spawn, a thread and a descriptor are on record; what fails is not" {
    printf 'neither\n' >neither
    chmod +x neither
    cat >calls.py <<'END'
import os, subprocess, threading

def child(run):
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

def by_thread():
    thread = threading.Thread(target=lambda: os.execv("/bin/true", ["by thread"]))
    thread.start()
    thread.join()

def fail():
    try:
        os.execv("./neither", ["fails"])
    except OSError as error:
        assert error.errno == 8

subprocess.run(["/bin/true", "by vfork"], check=True)
os.waitpid(os.posix_spawn("/bin/true", ["by spawn"], {"B": "2"}), 0)
child(by_thread)
child(lambda: os.execve(os.open("/bin/true", os.O_RDONLY), ["by descriptor"], {}))
child(fail)
END
    exits 0 vial run /usr/bin/python3 calls.py
    same "$(below 'calls.py' | grep -v calls.py | sort)" \
        "$(printf '%s\n' '/bin/true by vfork' 'by descriptor' 'by spawn' 'by thread')"
}

@test "scripts are on record with what interprets them, static programs by themselves" {
    printf '#!/bin/sh -e\n/bin/true inside\n' >script
    chmod +x script
    printf 'int main(void) { return 0; }\n' >one.c
    cc -static -o static one.c
    exits 0 vial run sh -c './script argument; ./static; ldd ./static; :'
    local seen
    seen=$(below './script argument; ./static')
    contains "$seen" '/bin/sh -e ./script argument'
    contains "$seen" '/bin/true inside'
    contains "$seen" './static'
    contains "$seen" 'ldd ./static'
    same "$(grep -c '^./script' <<<"$seen")" 0
}

@test "hundreds of processes, several at once, are all on record once" {
    exits 0 vial run sh -c 'seq 300 | xargs -P 8 -n 1 /bin/true'
    same "$("$VIAL" trace --json | jq -r 'select(.argv[0]? == "/bin/true") | .argv[1]' | sort -n)" "$(seq 300)"
}

@test "a command line as long as the kernel takes is on record" {
    cat >long.py <<'END'
import subprocess
subprocess.run(["/bin/true", "x" * 100000, "y" * 100000], check=True)
END
    exits 0 vial run /usr/bin/python3 long.py
    same "$("$VIAL" trace --json | jq -c 'select(.argv[0]? == "/bin/true") | .argv | map(length)')" '[9,100000,100000]'
}
