# SPDX-License-Identifier: Apache-2.0
"""A hit of a run in a view: every fact that it recorded is asked again.

Goal: 10,000 facts in 15 ms, one stat each and no file read. What a stat costs on the machine is shown by find, with a
predicate that needs one for each file, and by git status."""
import os
import shutil
import subprocess
import sys
import tempfile

from measure import compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3)) * 10
PER_DIRECTORY = 50


def workspace(root, count):
    path = os.path.join(root, f"files-{count}")
    for i in range(count):
        directory = os.path.join(path, f"d{i // PER_DIRECTORY:04}")
        if i % PER_DIRECTORY == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"file-{i:06}.c"), "w") as file:
            file.write(f"int number_{i};\n")
    open(os.path.join(path, "vial.lua"), "w").close()
    for arguments in ["init", "-q"], ["add", "."]:
        subprocess.run(["git", *arguments], cwd=path, check=True)
    return path


def hits(root, count):
    path = workspace(root, count)
    env = dict(os.environ, VIAL_STORE=os.path.join(root, f"store-{count}"))
    options = {"cwd": path, "env": env}
    read_all = [VIAL, "run", "--view", "sh", "-c", "cat d*/* >/dev/null"]
    subprocess.run(["sleep", "0.1"], check=True)  # past the racy window of fresh files
    for _ in range(2):
        subprocess.run(read_all, cwd=path, env=env, check=True)
    candidates = {
        "find, a stat a file": (None, ["find", ".", "-type", "f", "-size", "+1G"], options),
        "git status": (None, ["git", "status", "--porcelain", "-uno"], options),
        "reading all, hit": (None, read_all, options),
        "reading none, hit": (None, [VIAL, "run", "--view", "true"], options),
    }
    table(f"{count:,} files read", compare(candidates, ROUNDS), "find, a stat a file")


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        print(machine(root))
        for count in 1_000, 10_000:
            hits(root, count)
    finally:
        shutil.rmtree(root)


main()
