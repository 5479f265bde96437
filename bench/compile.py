# SPDX-License-Identifier: Apache-2.0
"""One compilation of vial's own: native, through ccache, and through vial; missed and hit.

A hit of vial's vouches for more than ccache's (all of /etc, the package database, the workspace)."""
import os
import shutil
import subprocess
import sys
import tempfile

from measure import compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3))
SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        print(machine(root))
        shutil.copytree(SOURCE, os.path.join(root, "work", "src"))
        flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], check=True, capture_output=True,
                               text=True).stdout.split()
        compiler = ["gcc", "-D_GNU_SOURCE", "-O2", "-Isrc", *flags, "-c", "src/session/commit.c", "-o", "commit.o"]
        options = {
            "cwd": os.path.join(root, "work"),
            "env": dict(os.environ, VIAL_STORE=os.path.join(root, "store"), CCACHE_DIR=os.path.join(root, "ccache")),
        }
        vial = [VIAL, "run", "-i", "src", "-o", "commit.o"]
        candidates = {"gcc -c": (None, compiler, options)}
        if shutil.which("ccache"):
            candidates["ccache gcc -c, miss"] = (None, ["env", "CCACHE_RECACHE=1", "ccache", *compiler], options)
            candidates["ccache gcc -c, hit"] = (None, ["ccache", *compiler], options)
        else:
            print("\nno ccache: it is missing (apt-get install ccache)")
        candidates["vial run gcc -c, miss"] = (None, [*vial, "--refresh", "--", *compiler], options)
        candidates["vial run gcc -c, hit"] = (None, [*vial, "--", *compiler], options)
        count = sum(len(files) for _, _, files in os.walk(os.path.join(root, "work", "src")))
        table(f"compile one file, {count} inputs", compare(candidates, ROUNDS * 10), "gcc -c")
    finally:
        shutil.rmtree(root)


main()
