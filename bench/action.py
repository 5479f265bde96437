#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A trivial sealed action against fork + exec, missed and hit, and as the number of inputs grows.

Goals: miss <= fork+exec + 2.5 ms; hit <= 3 ms with 100 inputs, <= 25 ms with 10,000."""
import os
import shutil
import subprocess
import sys
import tempfile

from measure import compare, table

VIAL = os.path.abspath(sys.argv[1])


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


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        for count in (1, 100, 10_000):
            path = workspace(root, count)
            env = dict(os.environ, VIAL_STORE=os.path.join(root, f"store-{count}"))
            options = {"cwd": path, "env": env}
            subprocess.run(["sleep", "0.1"], check=True)  # past the racy window of fresh files
            candidates = {
                "true": (None, ["/bin/true"], options),
                "vial run true, hit": (None, [VIAL, "run", "true"], options),
                "vial run --refresh true, miss": (None, [VIAL, "run", "--refresh", "true"], options),
                "vial --version": (None, [VIAL, "--version"], options),
            }
            table(f"trivial action, {count} inputs", compare(candidates, 200 if count < 1000 else 30),
                  "true")
    finally:
        shutil.rmtree(root)


main()
