#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kill vial at random instants, and look at what is left of it.

usage: kill.py SEED KILLS WORKERS DIRECTORY

Each worker is a process with a workspace and a TMPDIR of its own below DIRECTORY; all share
$VIAL_STORE. After each kill: no process, mount or file of the killed vial is left, and the
workspace holds nothing but whole files. Then the same again without a kill gives the right bytes.
"""
import ctypes
import hashlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

VIAL = os.environ["VIAL"]
PATIENCE = 60 * int(os.environ.get("PATIENCE", "1"))
PR_SET_CHILD_SUBREAPER = 36
SOURCES = 30


class Wrong(Exception):
    pass


def until(test, what):
    """Wait until test() gives nothing; what it still gives at the end is what is wrong."""
    deadline = time.monotonic() + PATIENCE
    while left := test():
        if time.monotonic() > deadline:
            raise Wrong(f"{what}: {left}")
        time.sleep(0.003)


def children():
    """Whoever loses its parent becomes a child of this process, so nobody below can hide."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return []
    return pathlib.Path("/proc/thread-self/children").read_text().split()


class Worker:
    def __init__(self, number, seed, base):
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.work = base / f"work-{number}"
        self.scratch = base / f"scratch-{number}"
        self.place = base / f"put-{number}"
        for path in (self.work, self.scratch, self.place):
            path.mkdir()
        (self.work / "vial.lua").touch()
        for i in range(SOURCES):
            (self.work / f"source-{i:02}").write_text(f"{i}\n" * (1 + i * i))
        self.environment = dict(os.environ, TMPDIR=str(self.scratch))
        self.times = {}
        self.serial = 0
        self.right = {}  # output -> digests that it has had

    # What is killed. Each gives the arguments and the files that must be there when it is done.

    def run(self):
        """Many inputs, small and large outputs, leftover processes, both streams, a deletion."""
        self.serial += 1
        (self.work / f"source-{self.random.randrange(SOURCES):02}").write_text(f"{self.serial}\n")
        (self.work / "old").touch()
        size = self.random.choice((10, 5000, 1000000))
        script = (f"sleep 1000 & (setsid sleep 1000 &); cat source-* >all; mkdir -p d; "
                  f"yes {self.serial} | head -c {size} >d/large; ln -sf all link; rm -f old; "
                  f"echo out; echo err >&2")
        sources = sorted(self.work.glob("source-*"))
        line = f"{self.serial}\n".encode()
        return (["run", "--", "sh", "-c", script],
                {"all": b"".join(path.read_bytes() for path in sources),
                 "d/large": (line * (size // len(line) + 1))[:size]})

    def again(self):
        """A hit, after its outputs were deleted."""
        for name in ("again", "twice"):
            (self.work / name).unlink(missing_ok=True)
        size = 1000000
        return (["run", "-i", "vial.lua", "-o", "again", "-o", "twice", "--", "sh", "-c",
                 f"yes | head -c {size} | tee again twice >/dev/null"],
                {"again": b"y\n" * (size // 2), "twice": b"y\n" * (size // 2)})

    def put(self):
        self.serial += 1
        line = f"{self.number} {self.serial}\n".encode()
        for i in range(10):
            (self.place / f"file-{i}").write_bytes(b"%d %s" % (i, line * 100))
        (self.place / "large").write_bytes(line * 100000)
        return ["store", "put", str(self.place)], {}

    def collect(self):
        return ["gc", "--max-size", "20M"], {}

    def start(self, arguments):
        return subprocess.Popen([VIAL, *arguments], cwd=self.work, env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)

    def look(self, outputs):
        """What lies about after a kill."""
        until(children, "processes are left")
        until(lambda: [str(path) for path in self.scratch.rglob("*")
                       if path != self.scratch / f"vial-{os.geteuid()}"], "files are left")
        if str(self.scratch) in pathlib.Path("/proc/self/mountinfo").read_text():
            raise Wrong("a mount is left")
        # Linux cannot replace a file by one that has no name yet. So an output that replaces an
        # earlier one has a temporary name between two system calls, when it is complete.
        for path in self.work.rglob(".vial-*"):
            names = [name for name, content in outputs.items() if path.read_bytes() == content]
            if not any((self.work / name).exists() for name in names):
                raise Wrong(f"a temporary file is left in the workspace: {path}")
            path.unlink()
        for name, content in outputs.items():
            path = self.work / name
            found = path.read_bytes() if path.exists() else content
            if found != content and hashlib.sha256(found).digest() not in self.right.get(name, ()):
                raise Wrong(f"{name} was written in part")

    def finish(self, kind, arguments, outputs):
        """The same without a kill."""
        start = time.monotonic()
        process = self.start(arguments)
        out, err = process.communicate(timeout=PATIENCE)
        self.times[kind] = time.monotonic() - start
        if process.returncode != 0:
            raise Wrong(f"{arguments}: status {process.returncode}, {err.decode()}")
        # One that loses a race with collections twice goes on without the store, and says so.
        err = [line for line in err.splitlines() if not line.startswith(b"vial: ")]
        if kind == "run" and (out, err) != (b"out\n", [b"err"]):
            raise Wrong(f"{arguments}: {out} and {err}")
        if kind == "put" and not re.fullmatch(rb"[0-9a-f]{64}/\d+\n", out):
            raise Wrong(f"{arguments}: {out}")
        for name, content in outputs.items():
            self.right.setdefault(name, set()).add(hashlib.sha256(content).digest())
            if (self.work / name).read_bytes() != content:
                raise Wrong(f"{arguments}: {name} is wrong")

    def kill(self):
        kind = self.random.choice(("run", "run", "again", "put", "put", "collect"))
        arguments, outputs = getattr(self, kind)()
        process = self.start(arguments)
        time.sleep(self.random.uniform(0, 1.1 * self.times.get(kind, 0.2)))
        process.kill()
        process.communicate()
        try:
            self.look(outputs)
            self.finish(kind, arguments, outputs)
        except Wrong as wrong:
            raise Wrong(f"after a kill of {arguments}: {wrong}") from None
        return process.returncode == -signal.SIGKILL

    def kills(self, count):
        done = 0
        while done < count:
            done += self.kill()


def work(number, seed, count, base):
    """One worker's process; the exit status."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("kill.py: cannot become a subreaper")
    try:
        Worker(number, seed, base).kills(count)
    except Wrong as wrong:
        print(f"kill.py: {wrong}", file=sys.stderr)
        return 1
    return 0


def main():
    seed, count, workers, base = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    crew = []
    for number in range(workers):
        pid = os.fork()
        if pid == 0:
            os._exit(work(number, seed, count // workers, pathlib.Path(base)))
        crew.append(pid)
    if any([os.waitpid(pid, 0)[1] != 0 for pid in crew]):
        sys.exit(1)
    verify = subprocess.run([VIAL, "store", "verify"], capture_output=True, text=True)
    if verify.returncode != 0 or " 0 damaged" not in verify.stdout:
        sys.exit(f"kill.py: verify: {verify.stdout}{verify.stderr}")


if __name__ == "__main__":
    main()
