#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print action.txt, result.txt, history.txt, own-outputs.txt, trace.txt, path-set.txt, clock.txt
or seen.txt: messages put together by hand from doc/format/, without any of vial's code.

usage: records.py action|result|history|own-outputs|trace|path-set|clock|seen
"""
import hashlib
import sys


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(tag, value):
    return bytes([tag << 3]) + varint(value)


def field(tag, payload):
    payload = payload.encode() if isinstance(payload, str) else payload
    return bytes([tag << 3 | 2]) + varint(len(payload)) + payload


def digest(content):
    content = content.encode() if isinstance(content, str) else content
    size = number(2, len(content)) if content else b""
    return field(1, hashlib.sha256(content).hexdigest()) + size


def text(content):
    return f"{hashlib.sha256(content).hexdigest()}/{len(content)}"


def pair(name, value):
    return field(1, name) + (field(2, value) if value else b"")


def file(name, content):
    return field(1, field(1, name) + field(2, digest(content)))


# --- actions: lists stand in the order in which they must come out, never sorted here

COMMANDS = {
    "minimal": (
        field(1, "true")
        + field(5, field(1, pair("outputs", "changed"))),
        b"",
        b"",
    ),
    "full": (
        field(1, "cc") + field(1, "-o") + field(1, "x y") + field(1, "")
        + field(2, pair("A", "")) + field(2, pair("A0", "1=2")) + field(2, pair("PATH", "/bin"))
        + field(5, b"".join(field(1, pair(*property)) for property in [
            ("architecture", "x86_64"),
            ("kernel", "6.1"),
            ("network", "host"),
            ("output-glob", "!/x"),
            ("output-glob", "/**/*.o"),
            ("output-glob", "/other"),
            ("stdin", text(b"hello")),
            ("usr", "1"),
            ("usr-local", "2"),
        ]))
        + field(6, "sub")
        + field(7, "a*b") + field(7, "aAb") + field(7, "d/x y"),
        file("a.c", "int main;"),
        number(1, 90) + number(2, 500000000),
    ),
    "bytes": (
        field(1, b"\xff\n") + field(2, pair("N", b"\xfe"))
        + field(5, field(1, pair("output-glob", b"/\xfd"))),
        b"",
        number(2, 1000),
    ),
    "nothing-declared": (field(1, "true") + field(5, b""), b"", b""),
}


def action():
    for case, (command, inputs, timeout) in COMMANDS.items():
        weak = field(1, digest(command)) + (field(6, timeout) if timeout else b"")
        message = field(1, digest(command)) + field(2, digest(inputs))
        message += field(6, timeout) if timeout else b""
        print(case, text(message), text(weak), message.hex(), command.hex(), sep="\t")


# --- results

def extra(path, mtime=0, mode=0, hard_link="", xattrs=None, sparse=0, fifo=0):
    out = field(1, path)
    out += number(2, mtime) if mtime else b""
    out += number(3, mode) if mode else b""
    out += field(4, hard_link) if hard_link else b""
    out += field(5, xattrs) if xattrs is not None else b""
    return field(10, out + (number(6, 1) if sparse else b"") + (number(7, 1) if fifo else b""))


def piece(stream, size):
    return field(6, number(1, stream) + number(2, size))


RESULTS = {
    "empty": field(4, digest("")) + field(5, digest("")) + field(7, digest("")),
    "full": number(1, 137) + number(2, 9) + number(3, 1)
    + field(4, digest("out")) + field(5, digest("error"))
    + piece(1, 2) + piece(2, 5) + piece(1, 1)
    + field(7, digest(file("o", "x")))
    + field(8, "gone") + field(8, "gone/too")
    + field(9, "/**/*.o") + field(9, "never")
    + extra("a", mtime=-1, mode=0o6755) + extra("b", hard_link="a", sparse=1)
    + extra("f", mtime=1, mode=0o600, fifo=1)
    + extra("x", xattrs=field(1, field(1, "user.k") + field(2, b"\0")))
    + number(11, 1500000) + number(12, 2) + number(13, 3) + number(14, 4096)
    + number(15, 1700000000000000),
}


# --- history

HISTORY = {
    "hit": number(1, 1700000000000000) + field(2, "/w") + field(3, "cc") + field(3, "")
    + field(4, digest("key")) + field(5, digest("weak")) + number(6, 1)
    + number(9, 1000) + number(10, 2000000),
    "run": number(1, 1700000000000001) + field(2, b"/\xff") + field(3, "false")
    + field(4, digest("key")) + field(5, digest("weak")) + number(7, 1) + number(8, 255)
    + number(9, 7) + number(10, 8) + field(11, "no earlier run had these inputs"),
    "kept": number(1, 1700000000000002) + field(2, "/w") + field(3, "make")
    + field(4, digest("key")) + field(5, digest("weak")) + number(9, 7) + number(10, 8)
    + field(11, "it read a clock") + field(12, digest("kept")),
}


# --- own outputs

ABSENT, FILE, EXECUTABLE, LINK, DIRECTORY, FIFO = range(6)


def state(kind, content=None):
    out = number(1, kind) if kind else b""
    if kind in (FILE, EXECUTABLE):
        out += field(2, digest(content))
    return out + (field(3, content) if kind == LINK else b"")


def path(name, *pairs):
    inner = b"".join(field(2, field(1, before) + field(2, after)) for before, after in pairs)
    return field(1, field(1, name) + inner)


OWN = {
    "empty": b"",
    "kinds": path("d", (state(ABSENT), state(DIRECTORY)))
    + path("d/l", (state(ABSENT), state(LINK, "../x")))
    + path("gone", (state(FILE, "old"), state(ABSENT)))
    + path("x", (state(FILE, "2"), state(FILE, "3")), (state(FILE, "1"), state(EXECUTABLE, ""))),
    "fifo": path("f", (state(FILE, "1"), state(FIFO))) + path("p", (state(ABSENT), state(FIFO))),
}


# --- traces and path sets

def value(kind, mode=0, unreadable=0, content=None, target=None, rank=0, xattrs=None):
    out = number(1, kind) if kind else b""
    out += number(2, mode) if mode else b""
    out += number(3, 1) if unreadable else b""
    if content is not None:
        out += field(4, hashlib.sha256(content).digest()) + number(5, len(content))
    out += field(6, target) if target is not None else b""
    out += number(7, rank) if rank else b""
    return out + (field(8, hashlib.sha256(xattrs).hexdigest()) if xattrs is not None else b"")


def fact(shared, rest, aspects, asked, what, unstable=0):
    out = number(1, shared) if shared else b""
    out += field(2, rest) + number(3, aspects)
    for bit in range(6):
        out += number(4 + bit, asked[bit]) if asked.get(bit) else b""
    return field(4, out + (number(10, 1) if unstable else b"") + field(11, what)
                 + (number(12, asked[6]) if asked.get(6) else b""))


def written(shared, rest, process, what):
    out = number(1, shared) if shared else b""
    return field(5, out + field(2, rest) + number(3, process) + number(4, what))


def numbers(tag, *values):
    return b"".join(number(tag, value) for value in values)


NONE, REGULAR, FOLDER, SYMLINK, PIPE = range(5)
XATTRS = field(1, field(1, "user.a") + field(2, "")) + field(1, field(1, "user.b") + field(2, b"\0\xff"))
LISTING = bytes([REGULAR]) + b"a.c\0" + bytes([FOLDER]) + b"d\0"

TRACES = {
    "empty": b"",
    "full": field(1, "make") + field(2, numbers(1, 1))
    + field(1, "A=1") + field(1, b"B=\xff") + field(2, numbers(1, 2, 3))
    + field(1, "/w") + field(1, "/usr/bin/make")
    + field(3, number(1, 10) + number(2, 99) + numbers(4, 1) + number(5, 2) + number(6, 4)
            + number(7, 5))
    + field(1, "cc") + field(1, "-c") + field(1, "a.c") + field(2, numbers(1, 6, 7, 8))
    + field(1, "/usr/bin/cc")
    + field(3, number(1, 11) + number(2, 100) + number(3, 1) + number(4, 3) + number(5, 2)
            + number(6, 4) + number(7, 9))
    + fact(0, "", 2 | 8, {1: 1, 3: 1}, value(FOLDER, content=LISTING))
    + fact(0, "/etc/t", 2 | 32, {1: 1, 5: 1}, value(REGULAR, rank=2))
    + fact(1, "x", 2, {1: 1}, value(REGULAR), unstable=1)
    + fact(0, "a.c", 2 | 4 | 32, {1: 1, 2: 2, 5: 1},
           value(REGULAR, mode=0o644, content=b"int main;", rank=1))
    + fact(2, "o", 1, {0: 1}, value(NONE))
    + fact(0, "d", 2, {1: 1}, value(FOLDER))
    + fact(1, "/l", 2 | 16, {1: 2, 4: 2}, value(SYMLINK, target="../x"))
    + fact(2, "p", 2 | 4, {1: 2, 2: 2}, value(PIPE, mode=0o600))
    + fact(1, b"-e/\xff", 2 | 4, {1: 2, 2: 2}, value(REGULAR, unreadable=1))
    + fact(0, "e", 2 | 64, {1: 2, 6: 1}, value(REGULAR, xattrs=XATTRS))
    + fact(0, "g", 2 | 64, {1: 1, 6: 1}, value(FOLDER))
    + written(0, "a.o", 2, 1 | 2) + written(0, "d/gone", 1, 4)
    + field(6, "it used the network"),
}


def entry(shared, rest, aspects):
    out = number(1, shared) if shared else b""
    return field(1, out + field(2, rest) + (number(3, aspects) if aspects else b""))


PATH_SETS = {
    "empty": b"",
    "full": entry(0, "", 8) + entry(0, "/etc/t", 32) + entry(1, "x", 0) + entry(0, "a.c", 4 | 32)
    + entry(2, "o", 0) + entry(0, "d", 0) + entry(1, "/l", 16) + entry(2, "p", 4)
    + entry(1, b"-e/\xff", 4) + entry(0, "e", 64) + entry(0, "g", 64),
}

VALUES = b"".join(field(1, one) for one in [
    value(FOLDER, content=LISTING), value(REGULAR, rank=2), value(REGULAR),
    value(REGULAR, mode=0o644, content=b"int main;", rank=1), value(NONE), value(FOLDER),
    value(SYMLINK, target="../x"), value(PIPE, mode=0o600), value(REGULAR, unreadable=1),
    value(REGULAR, xattrs=XATTRS), value(FOLDER),
])
PATH_SETS["values"] = VALUES
PATH_SETS["strong"] = (field(1, digest("weak")) + field(2, digest(PATH_SETS["full"]))
                       + field(3, digest(VALUES)))


# --- the change clock

def moment(name, content, time):
    hashed = field(2, hashlib.sha256(content).digest())
    size = number(3, len(content)) if content else b""
    return field(1, field(1, name) + hashed + size + (number(4, time) if time else b""))


CLOCK = {"folder": moment("a", b"text", 1700000000123456789) + moment("b", b"", 0)
         + moment(b"\xff", b"x", -7)}


# --- what executions saw

def seen(*names):
    return field(1, b"".join(field(1 + i, digest(name)) for i, name in enumerate(names)))


SEEN = {"empty": b"", "two": seen("paths", "values", "key") + seen("", "other values", "older key")}

RECORDS = {"result": RESULTS, "history": HISTORY, "own-outputs": OWN, "trace": TRACES,
           "path-set": PATH_SETS, "clock": CLOCK, "seen": SEEN}

if __name__ == "__main__":
    if sys.argv[1] == "action":
        action()
    else:
        for case, message in RECORDS[sys.argv[1]].items():
            print(case, text(message), message.hex(), sep="\t")
