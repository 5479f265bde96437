#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print stat.tsv: records of the stat cache put together by hand, without any of vial's code."""
import hashlib
import struct

LISTED, DIGESTED = 1, 2


def sha(content):
    return hashlib.sha256(content).digest()


def record(flags, boot, recorded, mtime, ctime, tree, *entries):
    digest = sha(tree) + struct.pack("<q", len(tree)) if flags & DIGESTED else bytes(40)
    start = bytes([1, flags]) + struct.pack("<Qqqq", boot, recorded, mtime, ctime)
    return start + digest + struct.pack("<I", len(entries)) + b"".join(entries)


def entry(kind, name):
    return bytes([kind]) + name.encode() + b"\0"


def identity(inode, mtime, ctime, size):
    return struct.pack("<Qqqq", inode, mtime, ctime, size)


def file(name, content, inode, mtime, ctime, executable=False):
    start = entry(2 if executable else 1, name)
    return start + identity(inode, mtime, ctime, len(content)) + sha(content)


def link(name, target, inode, mtime, ctime):
    target = target.encode()
    return entry(3, name) + identity(inode, mtime, ctime, len(target)) + target + b"\0"


def directory(name, message):
    return entry(4, name) + struct.pack("<q", len(message)) + sha(message)


def whole(boot, digest_of, *rows):
    start = bytes([1]) + struct.pack("<Q", boot) + sha(digest_of) + struct.pack("<q", len(digest_of))
    return start + struct.pack("<I", len(rows)) + b"".join(rows)


def row(mode, inode, size, mtime, ctime, path):
    return struct.pack("<IQqqq", mode, inode, size, mtime, ctime) + path.encode() + b"\0"


RECORDS = {
    "empty": record(LISTED | DIGESTED, 2**64 - 1, 3, -4, 5, b""),
    "one": record(0, 1, 2, 3, 4, b"", file("a.c", b"int a;\n", 77, 1700000000123456789, 1700000001987654321)),
    "many": record(
        LISTED | DIGESTED,
        0x0123456789ABCDEF,
        1800000000000000001,
        -1,
        1700000000000000002,
        b"tree",
        file(" space", b"", 2**63 + 5, 0, 1),
        directory("d", b"below"),
        link("l\nink", "../ziel ü", 4, -1, 2),
        file("object", b"x" * 70000, 9, 3, -(2**63), True),
        entry(5, "other"),
        file("ünicode", b"y", 10, 4, 5),
    ),
    "whole": whole(
        0x0123456789ABCDEF,
        b"tree",
        row(0o40755, 2, 4096, 1700000000000000002, 3, ""),
        row(0o40700 | 2**31, 2**63 + 5, 0, -1, 2, "ssl/private"),
        row(0o100644, 7, 70000, 0, 1, "ünicode\n"),
    ),
    "alone": record(0, 8, 9, 0, 0, b"", file("", b"content", 11, 6, 7)),
}
for name, value in RECORDS.items():
    print(name, value.hex(), sep="\t")
