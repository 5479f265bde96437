#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print stat.tsv: records of the stat cache put together by hand, without any of vial's code."""
import hashlib
import struct


def entry(name, kind, inode, size, mtime, ctime, rest):
    return name.encode() + b"\0" + bytes([kind]) + struct.pack("<QqqQ", inode, size, mtime, ctime) + rest


def file(name, content, inode, mtime, ctime):
    ctime &= 2**64 - 1
    return entry(name, 1, inode, len(content), mtime, ctime, hashlib.sha256(content).digest())


def link(name, target, inode, mtime, ctime):
    return entry(name, 2, inode, len(target.encode()), mtime, ctime, target.encode() + b"\0")


VERSION = b"\1"
RECORDS = {
    "empty": VERSION,
    "one": VERSION + file("a.c", b"int a;\n", 77, 1700000000123456789, 1700000001987654321),
    "many": VERSION
    + file(" space", b"", 2**63 + 5, 0, 1)
    + link("l\nink", "../ziel ü", 4, -1, 2)
    + file("object", b"x" * 70000, 9, 3, -(2**63))
    + file("ünicode", b"y", 10, 4, 5),
    "alone": VERSION + file("", b"content", 11, 6, 7),
}
for name, record in RECORDS.items():
    print(name, record.hex(), sep="\t")
