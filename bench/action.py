# SPDX-License-Identifier: Apache-2.0
"""A trivial action, sealed and observed, against fork + exec, missed and hit, and as the number of inputs grows;
starting up; memory.

Goals: miss <= fork+exec + 2.5 ms; hit <= 3 ms with 100 inputs, <= 25 ms with 10,000; 200 MB with 100,000.
The sandbox's directory is made on disk and, to tell the disk's share, on tmpfs as well."""
import os
import shutil
import subprocess
import sys
import tempfile

from measure import compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3))
MEMORY = "/dev/shm"


def workspace(root, count):
    path = os.path.join(root, f"inputs-{count}")
    os.makedirs(path)
    open(os.path.join(path, "vial.lua"), "w").close()
    for i in range(count - 1):
        directory = os.path.join(path, f"d{i // 100:04}")
        if i % 100 == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"f{i:06}"), "w") as file:
            file.write(f"content of {i}\n" * 20)
    return path


def trivial(root, count, rounds, on_disk):
    path = workspace(root, count)
    env = dict(os.environ, VIAL_STORE=os.path.join(root, f"store-{count}"))
    options = {"cwd": path, "env": env}
    in_memory = {"cwd": path, "env": dict(env, TMPDIR=MEMORY)}
    subprocess.run(["sleep", "0.1"], check=True)  # past the racy window of fresh files
    candidates = {
        "true": (None, ["/bin/true"], options),
        "vial --version": (None, [VIAL, "--version"], options),
        "sealed, hit": (None, [VIAL, "run", "--sealed", "true"], options),
        "observed, hit": (None, [VIAL, "run", "true"], options),
    }
    miss = [VIAL, "run", "--refresh", "true"], [VIAL, "run", "--refresh", "--sealed", "true"]
    if on_disk:
        candidates["sealed, miss"] = (None, miss[1], options)
        candidates["observed, miss"] = (None, miss[0], options)
    if os.path.isdir(MEMORY):
        candidates["sealed, miss; scratch on tmpfs"] = (None, miss[1], in_memory)
    table(f"trivial action, {count:,} inputs", compare(candidates, rounds), "true")


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        print(machine(root))
        trivial(root, 1, ROUNDS * 60, True)
        trivial(root, 100, ROUNDS * 60, True)
        trivial(root, 10_000, ROUNDS * 3, False)
        trivial(root, 100_000, ROUNDS, False)
    finally:
        shutil.rmtree(root)


main()
