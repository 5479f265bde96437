#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a memo costs a new process, by its size: bench/engine.c runs the rules.

Goals, for 1,000,000 instances: nothing changed <= 0.5 s of CPU and <= 300 MB; growth linear."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROGRAM = pathlib.Path(sys.argv[1]).parent / "bench" / "bench-engine"
FILES = [6_900, 27_600, 110_300]


def run(place, files):
    out = subprocess.run([PROGRAM, place, str(files)], check=True, capture_output=True, text=True)
    return out.stdout.split()


def row(what, figures):
    instances, ran, cpu, wall, memory = figures
    print(f"{int(instances):>10,} {what:<28} {int(ran):>10,} {float(cpu):>8.3f} {float(wall):>8.3f} "
          f"{int(memory):>6} {float(cpu) / int(instances) * 1e6:>8.2f}")


print(f"{'instances':>10} {'what':<28} {'ran':>10} {'CPU, s':>8} {'wall, s':>8} {'MB':>6} {'µs each':>8}")
for files in FILES:
    place = tempfile.mkdtemp(prefix="vial-bench-engine-")
    try:
        row("from nothing", run(place, files))
        run(place, files)  # stat cache: what was too young to be trusted
        row("nothing changed", min((run(place, files) for _ in range(3)), key=lambda r: float(r[2])))
        with open(os.path.join(place, "files", "d000000", "f000007.c"), "a") as file:
            file.write("/* edited */\n")
        row("one file changed", run(place, files))
        row("nothing changed since", run(place, files))
    finally:
        shutil.rmtree(place)
