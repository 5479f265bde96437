#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print directory.tsv: Directory messages put together by hand, without any of vial's code."""
import hashlib


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def digest(size, sha):
    return field(1, sha.encode()) + (b"\x10" + varint(size) if size else b"")


def digest_of(content):
    return digest(len(content), hashlib.sha256(content).hexdigest())


def file(name, content, executable=False, of=None):
    body = field(1, name.encode()) + field(2, of or digest_of(content))
    return field(1, body + (b"\x20\x01" if executable else b""))


def directory(name, message):
    return field(2, field(1, name.encode()) + field(2, digest_of(message)))


def link(name, target):
    return field(3, field(1, name.encode()) + field(2, target.encode()))


# The lists in the order of the bytes of the names, written down in that order, never sorted here.
CASES = {
    "empty": b"",
    "file": file("roland", b"European Burmese"),
    "empty-file": file("empty", b""),
    "executable": file("run", b"#!/bin/sh\n", executable=True),
    "link": link("here", "../there"),
    "empty-directory": directory("d", b""),
    "nested": directory("a", directory("b", file("c", b"deep"))),
    "kinds": file("b", b"1") + file("d", b"2") + directory("a", b"") + directory("e", b"")
    + link("c", "x") + link("f", "y"),
    "order": file("A", b"") + file("a", b"") + file("a b", b"") + file("a-b", b"")
    + file("a.b", b"") + file("ab", b"") + file("é", b"") + file("\uffff", b"")
    + file("\U00010000", b""),
    "newline": file("a\nb", b"x") + link("c\td", "e\nf"),
    "long-name": file("n" * 200, b"x"),
    "large": file("disk", None, of=digest(5_000_000_000, "0123456789abcdef" * 4)),
    "many": b"".join(file(f"f{i:03}", f"{i}".encode()) for i in range(300)),
}

for case, message in CASES.items():
    print(case, f"{hashlib.sha256(message).hexdigest()}/{len(message)}", message.hex(), sep="\t")
