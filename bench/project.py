# SPDX-License-Identifier: Apache-2.0
"""A project of many files, built by make and ninja natively, by make through ccache, by tup, below strace,
and by make through vial: the first build, and what comes after it.

Each candidate has a checkout, a cache and a home of its own. What a round changes is new in every round,
but for the revert."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from measure import Retired, compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3))
FILES = int(os.environ.get("VIAL_BENCH_FILES", 100))
HEADERS = 10

MAKEFILE = """OBJECTS := $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
CC := gcc
program: $(OBJECTS)
\t$(CC) -o $@ $^
%.o: %.c
\t$(CC) -O1 -MD -c -o $@ $<
-include $(OBJECTS:.o=.d)
"""
NINJA = """rule compile
  command = gcc -O1 -MD -MF $out.d -c -o $out $in
  depfile = $out.d
  deps = gcc
rule link
  command = gcc -o $out $in
"""
TUP = """: foreach *.c |> gcc -O1 -c -o %o %f |> %B.o
: *.o |> gcc -o %o %f |> program
"""


def sources(place):
    """FILES units, each of which includes the common header, one of HEADERS, and some of the system's."""
    def write(name, text):
        with open(os.path.join(place, name), "w") as file:
            file.write(text)
    write("common.h", "#ifndef COMMON\n#define COMMON\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
          "struct pair { int first, second; };\n#endif\n")
    for number in range(HEADERS):
        write(f"part{number}.h", "#include \"common.h\"\n" + "".join(
            f"static inline int part{number}_{each}(struct pair p) {{ return p.first * {each} + p.second; }}\n"
            for each in range(40)))
    for number in range(FILES):
        part = number % HEADERS
        write(f"unit{number}.c", f"#include \"part{part}.h\"\n" + "".join(
            f"int unit{number}_{each}(int x)\n{{\n    char text[64];\n    struct pair p = {{ x, {each} }};\n"
            f"    snprintf(text, sizeof text, \"%d\", part{part}_{each}(p));\n"
            f"    return (int)strlen(text) + atoi(text);\n}}\n" for each in range(30)))
    write("main.c", "".join(f"int unit{number}_1(int);\n" for number in range(FILES)) +
          "int main(void)\n{\n    int sum = 0;\n" +
          "".join(f"    sum += unit{number}_1(sum);\n" for number in range(FILES)) + "    return sum == 42;\n}\n")
    write("Makefile", MAKEFILE)
    write("Tupfile", TUP)
    units = ["main"] + [f"unit{number}" for number in range(FILES)]
    write("build.ninja", NINJA + "".join(f"build {unit}.o: compile {unit}.c\n" for unit in units) +
          "build program: link " + " ".join(f"{unit}.o" for unit in units) + "\n")
    write("vial.lua", "")


class Place:
    """A checkout with its caches."""

    def __init__(self, root, name, argv, retired):
        self.root, self.name, self.argv, self.retired = os.path.join(root, name.replace(" ", "-")), name, argv, retired
        self.work = os.path.join(self.root, "work")
        os.makedirs(self.root)
        self.env = dict(os.environ, HOME=self.root, VIAL_STORE=os.path.join(self.root, "store"),
                        CCACHE_DIR=os.path.join(self.root, "ccache"))
        self.rounds = 0

    def path(self, name):
        return os.path.join(self.work, name)

    def build(self):
        subprocess.run(self.argv, cwd=self.work, env=self.env, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fresh(self):
        """A checkout in which nothing was ever built, and empty caches."""
        self.retired.take(self.work, *(os.path.join(self.root, cache) for cache in ("store", "ccache")))()
        os.makedirs(self.work)
        sources(self.work)
        if self.argv[0] == "tup":
            subprocess.run(["tup", "init"], cwd=self.work, check=True, capture_output=True)

    def append(self, name, text):
        self.rounds += 1
        with open(self.path(name), "a") as file:
            file.write(text.format(self.rounds))

    def touch_header(self):
        os.utime(self.path("common.h"))

    def edit_unit(self):
        self.append("unit7.c", "int edited{}(void) {{ return 1; }}\n")

    def comment_header(self):
        self.append("part3.h", "/* {} */\n")

    def edit_and_revert(self):
        with open(self.path("unit7.c")) as file:
            before = file.read()
        self.edit_unit()
        self.build()
        second = int(time.time())
        while int(time.time()) == second:  # tup tells times apart by the second
            time.sleep(0.01)
        with open(self.path("unit7.c"), "w") as file:
            file.write(before)

    def delete_outputs(self):
        made = [self.path(name) for name in os.listdir(self.work)
                if name.endswith((".o", ".d")) or name in ("program", ".ninja_log", ".ninja_deps")]
        self.retired.take(*made)()


SCENARIOS = {
    "first build": Place.fresh,
    "nothing changed": lambda place: None,
    "touch of a header that all include": Place.touch_header,
    "an edit of one unit": Place.edit_unit,
    "a comment in a header of a tenth": Place.comment_header,
    "an edit and a build, then taken back": Place.edit_and_revert,
    "outputs deleted, caches warm": Place.delete_outputs,
}


def builders():
    found = {"make": ["make", "-j2"], "vial run make": [VIAL, "run", "--", "make", "-j2"]}
    for name, argv in {"ninja": ["ninja"], "ccache, make": ["make", "-j2", "CC=ccache gcc"], "tup": ["tup", "-j2"],
                       "strace, make": ["strace", "-f", "-o", "/dev/null", "make", "-j2"]}.items():
        needed = {"tup": ["tup", "fusermount3"]}.get(name, [name.split(",")[0]])
        if all(map(shutil.which, needed)):
            found[name] = argv
        else:
            print(f"\nno {name}: one of {needed} is missing")
    return found


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        print(machine(root))
        retired = Retired(root)
        places = [Place(root, name, argv, retired) for name, argv in builders().items()]
        for title, change in SCENARIOS.items():
            candidates = {
                place.name: ((lambda place=place: change(place)), place.argv, {"cwd": place.work, "env": place.env})
                for place in places if title == "first build" or not place.name.startswith("strace")
            }
            table(f"{title}, {FILES + 1} units", compare(candidates, ROUNDS), "make")
    finally:
        shutil.rmtree(root)


main()
