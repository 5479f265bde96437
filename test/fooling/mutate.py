#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The mutation oracle: what is on record of a real build, against what the build depends on.

A part of vial itself is built by make in a view. Then, again and again, by a seed:
  - what one recorded fact says of a file in the workspace is made untrue: the look-up must miss;
  - a file that no fact speaks of is edited: the look-up must hit, and a native build of that tree
    must give the same outputs.
Everything is put back after each look-up. `vial run --dry-run` looks up and learns nothing.
"""
import argparse
import collections
import filecmp
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PARTS = ("base", "tree")
MAKEFILE = """CFLAGS := -O0 -Isrc -D_GNU_SOURCE $(shell pkg-config --cflags glib-2.0 nettle)
OBJECTS := $(patsubst %.c,%.o,$(wildcard src/*/*.c))
all.a: $(OBJECTS)
\tar rcs $@ $^
%.o: %.c
\t$(CC) $(CFLAGS) -MMD -c -o $@ $<
-include $(OBJECTS:.o=.d)
"""


class Project:
    def __init__(self, base, vial):
        self.work, self.vial = base / "work", vial
        self.variables = dict(os.environ, VIAL_STORE=str(base / "store"))
        for part in PARTS:
            shutil.copytree(ROOT / "src" / part, self.work / "src" / part)
        shutil.copytree(ROOT / "doc", self.work / "doc")
        (self.work / "vial.lua").touch()
        (self.work / "Makefile").write_text(MAKEFILE)

    def run(self, *options):
        return subprocess.run([self.vial, "run", "--view", *options, "--", "make"], cwd=self.work,
                              env=self.variables, check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    def hits(self):
        return self.run("--dry-run").startswith("would reuse")

    def facts(self):
        lines = subprocess.run([self.vial, "trace", "--json"], cwd=self.work, env=self.variables,
                               check=True, text=True, stdout=subprocess.PIPE).stdout
        records = (json.loads(line) for line in lines.splitlines())
        return {record["path"]: record for record in records
                if "aspects" in record and not record["path"].startswith("/")}

    def native_differs(self, base):
        """Is what a native build makes of the sources as they are not what lies there?"""
        copy = base / "native"
        shutil.copytree(self.work, copy, ignore=shutil.ignore_patterns("*.o", "*.d", "*.a"))
        try:
            subprocess.run(["make", "-s", "-j2"], cwd=copy, check=True)
            outputs = [path.relative_to(copy) for path in copy.rglob("*.[od]")]
            return [str(path) for path in outputs
                    if not filecmp.cmp(copy / path, self.work / path, shallow=False)]
        finally:
            shutil.rmtree(copy)


def edit(path, undo):
    """Another content; all times but ctime as before, which is the harder case."""
    status, content = path.stat(), path.read_bytes()

    def put(data):
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    undo.append(lambda: put(content))
    put(content[:-1] + b" " if content.endswith(b"\n") else content + b" ")


def falsify(path, aspect, chance, undo):
    """Make one aspect of what was seen at `path` untrue; what was done, or None if nothing can be."""
    if aspect == "absent" and path.parent.is_dir() and not os.path.lexists(path):
        path.touch()
        undo.append(path.unlink)
    elif aspect == "kind" and path.is_file():
        kept = path.with_name(path.name + ".kept")
        path.rename(kept)
        undo.append(lambda: kept.rename(path))
    elif aspect == "names" and path.is_dir():
        new = path / "appeared"
        new.touch()
        undo.append(new.unlink)
    elif aspect == "content" and path.is_file():
        if chance.random() < 0.3:
            mode = path.stat().st_mode & 0o7777
            undo.append(lambda: path.chmod(mode))
            path.chmod(mode ^ 0o040)
            return "mode"
        edit(path, undo)
    else:
        return None
    return aspect


def mutate(project, facts, chance, base, natively):
    """What was done, if anything, and what went wrong with it, or None."""
    undo, own = [], (".o", ".d", ".a")
    inputs = sorted(path for path in facts if not path.endswith(own))
    unread = sorted(str(path.relative_to(project.work)) for path in project.work.rglob("*")
                    if path.is_file() and str(path.relative_to(project.work)) not in facts)
    try:
        if chance.random() < 0.3:
            path = chance.choice(unread)
            edit(project.work / path, undo)
            if not project.hits():
                return "unread", f"needless miss: nobody had read {path}"
            differing = project.native_differs(base) if natively else []
            return "unread", f"{path} is no fact, and decides {differing}" if differing else None
        aspect = chance.choice(("absent", "kind", "content", "names"))
        path = chance.choice([path for path in inputs if aspect in facts[path]["aspects"]])
        done = falsify(project.work / path, aspect, chance, undo)
        hits = done is not None and project.hits()
        return done, f"wrong hit: {done} of {path} changed" if hits else None
    finally:
        for step in reversed(undo):
            step()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vial", default=os.environ.get("VIAL", ROOT / "build/vial"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--base", default="/var/tmp")
    options = parser.parse_args()
    base = pathlib.Path(tempfile.mkdtemp(prefix="vial-mutate-", dir=options.base))
    chance, failures, natively = random.Random(options.seed), [], 3
    counts = collections.Counter()
    try:
        project = Project(base, str(pathlib.Path(options.vial).resolve()))
        project.run()
        facts = project.facts()
        if not facts or not project.hits():
            failures.append("the build itself is not found again")
        for number in range(options.count if not failures else 0):
            done, wrong = mutate(project, facts, chance, base, natively > 0)
            natively -= done == "unread"
            counts[done] += 1
            failures += [f"change {number}: {wrong}"] if wrong else []
            if not project.hits():
                failures.append(f"change {number}: put back, and not found again")
                break
    finally:
        shutil.rmtree(base)
    del counts[None]
    print(*failures, f"seed {options.seed}: {sum(counts.values())} changes {dict(counts)}, "
          f"{len(failures)} wrong", sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
