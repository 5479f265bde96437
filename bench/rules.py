#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long `vial graph` takes as a process: Lua read and run, the graph solved, JSON printed.

The sets are those of bench/graph.c, written as Lua: `dense` rules take a param and make 5 gets of later types,
`cyclic` ones of any, with a second rule for every 10th type. The alternative is the same program that prints its
version. Goals: 46 rules and 9 queries with deep recursion <= 2 ms, 2,000 rules <= 100 ms."""
import pathlib
import random
import sys
import tempfile

import measure

ROUNDS, PARAMS, AMBIENT, GETS, QUERIES = 15, 8, 4, 5, 9


def names(words):
    return "{ " + ", ".join(f'"{word}"' for word in words) + " }"


def rule(name, output, params, gets):
    asked = ", ".join(f'{{ "{out}", "{given}" }}' for out, given in gets)
    return (f'rule "{name}" {{ output = "{output}", params = {names(params)}, gets = {{ {asked} }},\n'
            f"  run = function(...) return ... end }}\n")


def made(rules, cyclic):
    """A set of so many rules as the text of a file."""
    rand, text = random.Random(1), []
    for i in range(rules):
        params = [f"P{i % PARAMS}"] + ([f"O{i // 7 % AMBIENT}"] if i % 7 == 0 else [])
        first = 0 if cyclic else i + 1
        targets = [rand.randrange(first, rules) for _ in range(GETS if first < rules else 0)]
        if cyclic and i % 10 == 9:
            text.append(rule(f"s{i}", f"T{i}", [f"P{(i + 1) % PARAMS}"], []))
        text.append(rule(f"r{i}", f"T{i}", params, [(f"T{to}", f"P{to % PARAMS}") for to in targets]))
    text += [rule(f"o{i}", f"O{i}", [f"G{i}"], []) for i in range(AMBIENT)]
    for i in range(min(QUERIES, rules)):
        params = [f"P{i % PARAMS}"] + [f"G{k}" for k in range(AMBIENT)]
        text.append(f'query {{ output = "T{i}", params = {names(params)} }}\n')
    return "".join(text)


def best(candidate, argv):
    """Shortest wall-clock and CPU time, in ms: what another process on the machine adds is not ours."""
    for _ in range(ROUNDS):
        wall, cpu, _ = measure.spawn(argv)
        candidate.wall.append(wall * 1e3)
        candidate.cpu.append(cpu * 1e3)
    return min(candidate.wall), min(candidate.cpu)


def main():
    vial = str(pathlib.Path(sys.argv[1]).resolve())
    print(f"{'shape':7} {'rules':>6} {'KiB':>5} {'wall ms':>8} {'cpu ms':>8}")
    print("{:7} {:6} {:5} {:8.1f} {:8.1f}".format("version", 0, 0, *best(measure.Sample(), [vial, "--version"])))
    with tempfile.TemporaryDirectory() as place:
        file = pathlib.Path(place, "vial.lua")
        for cyclic in (False, True):
            for rules in (46, 500, 2000):
                file.write_text(made(rules, cyclic))
                times = best(measure.Sample(), [vial, "graph", "--json", str(file)])
                print("{:7} {:6} {:5} {:8.1f} {:8.1f}".format("cyclic" if cyclic else "dense", rules,
                                                             file.stat().st_size // 1024, *times))


if __name__ == "__main__":
    main()
