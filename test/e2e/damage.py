#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damage copies of a populated store: vial never gives a wrong byte, never crashes, goes on.

usage: damage.py SEED DIRECTORY COUNT:FILES…

COUNT times: copy the store, take one of the files that the glob FILES means in it, and flip a bit,
cut it off, lengthen it, overwrite a stretch, empty or remove it. Then `vial run` must be right,
other commands right or an error, and in the end a result must be kept and reused again.
"""
import concurrent.futures
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys

VIAL = os.environ["VIAL"]
PATIENCE = 60 * int(os.environ.get("PATIENCE", "1"))
SIZES = (100, 20000, 300000)
SCRIPT = "cat input large >all; mkdir d; cp large d/copy; echo out; echo err >&2"


class Wrong(Exception):
    pass


def content(size):
    line = f"content of {size}\n".encode()
    return (line * (size // len(line) + 1))[:size]


class Place:
    """A store and a workspace."""

    def __init__(self, base):
        self.base, self.store, self.work = base, base / "store", base / "work"

    def vial(self, *arguments):
        environment = dict(os.environ, VIAL_STORE=str(self.store))
        try:
            done = subprocess.run([VIAL, *arguments], cwd=self.work, env=environment,
                                  capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{arguments}: hangs") from None
        if done.returncode < 0 or done.returncode >= 128:
            raise Wrong(f"{arguments}: status {done.returncode}, {done.stderr.decode()}")
        return done

    def populate(self):
        put = self.base / "put"
        for path in (self.work, put):
            path.mkdir(parents=True)
        (self.work / "vial.lua").touch()
        (self.work / "input").write_text("input\n")
        (self.work / "large").write_bytes(content(300000))
        for size in SIZES:
            (put / f"file-{size}").write_bytes(content(size))
        self.vial("store", "put", str(put))
        for i in range(40):  # so that the index has more than one level
            self.vial("run", "-i", "input", "-o", "o", "--", "sh", "-c", f"echo {i} >o")
        (self.work / "o").unlink()
        self.run()

    def run(self):
        """The same command with the same inputs: from the store or not, it must be right."""
        shutil.rmtree(self.work / "d", ignore_errors=True)
        (self.work / "all").unlink(missing_ok=True)
        done = self.vial("run", "--", "sh", "-c", SCRIPT)
        err = [line for line in done.stderr.splitlines() if not line.startswith(b"vial: ")]
        if done.returncode != 0 or done.stdout != b"out\n" or err != [b"err"]:
            raise Wrong(f"run: status {done.returncode}, {done.stdout}, {done.stderr}")
        if (self.work / "all").read_bytes() != b"input\n" + content(300000):
            raise Wrong("run: all is wrong")
        if (self.work / "d/copy").read_bytes() != content(300000):
            raise Wrong("run: d/copy is wrong")

    def look(self):
        """Commands that only ask: right, or an error."""
        for size in SIZES:
            data = content(size)
            done = self.vial("store", "cat", f"{hashlib.sha256(data).hexdigest()}/{size}")
            if done.stdout != data and (done.returncode == 0 or done.stdout != b""):
                raise Wrong(f"store cat: status {done.returncode}, wrong bytes")
        for arguments in (("store", "verify"), ("log",), ("why",), ("stats",)):
            self.vial(*arguments)

    def goes_on(self):
        self.vial("store", "verify", "--repair")
        events = self.base / "events"
        for _ in range(2):
            events.unlink(missing_ok=True)
            done = self.vial("run", "--events", str(events), "-i", "input", "--", "echo", "new")
            if done.returncode != 0 or done.stdout != b"new\n":
                raise Wrong(f"later run: status {done.returncode}, {done.stdout}, {done.stderr}")
        if '"result":"hit"' not in events.read_text():
            raise Wrong(f"nothing is reused any more: {done.stderr.decode()}")


def hurt(path, chance):
    data = bytearray(path.read_bytes())
    kind = chance.choice(("flip",) * 6 + ("zero", "noise", "cut", "grow", "empty", "remove"))
    at = chance.randrange(len(data)) if data else 0
    size = min(chance.choice((1, 8, 100, 4096)), len(data) - at)
    if kind == "flip" and data:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "zero":
        data[at:at + size] = bytes(size)
    elif kind == "noise":
        data[at:at + size] = chance.randbytes(size)
    elif kind == "cut":
        del data[at:]
    elif kind == "grow":
        data += chance.randbytes(chance.choice((1, 4096, 100000)))
    elif kind == "empty":
        data.clear()
    path.unlink()
    if kind != "remove":
        path.write_bytes(data)
        path.chmod(0o600)
    return f"{kind} at {at} of {path.name}"


def one(whole, name, chance, files):
    place = Place(whole.base / name)
    shutil.copytree(whole.work, place.work)
    shutil.copytree(whole.store, place.store)
    what = hurt(chance.choice(sorted(place.store.glob(files))), chance)
    steps = [place.run, place.look]
    chance.shuffle(steps)
    try:
        for step in (*steps, place.run, place.goes_on):
            step()
    except Wrong as wrong:
        raise Wrong(f"{name}: {what}: {wrong}") from None
    shutil.rmtree(place.base)


def main():
    seed, base, orders = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    whole = Place(base)
    whole.populate()
    found = []
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        jobs = []
        for order in orders:
            count, files = order.split(":")
            for i in range(int(count)):
                name = f"{files.replace('/', '-').replace('*', 'x')}-{i}"
                chance = random.Random(f"{seed}/{name}")
                jobs.append(pool.submit(one, whole, name, chance, files))
        for job in jobs:
            try:
                job.result()
            except Wrong as wrong:
                found.append(str(wrong))
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
