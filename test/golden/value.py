#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Values as doc/format/value.md says: name, digest, encoding in hexadecimal.

usage: value.py > value.tsv
"""
import hashlib


def number(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def string(data):
    return number(len(data)) + data


def integer(n):
    return b"\3" + number(2 * n if n >= 0 else -2 * n - 1)


def text(data):
    return b"\4" + string(data)


def record(name, fields):
    body = b"".join(string(field) + value for field, value in fields)
    return b"\6" + string(name) + number(len(fields)) + body


NIL, FALSE, TRUE = b"\0", b"\1", b"\2"
CASES = {
    "nil": NIL,
    "false": FALSE,
    "true": TRUE,
    "zero": integer(0),
    "minus-one": integer(-1),
    "300": integer(300),
    "largest": integer(2**63 - 1),
    "smallest": integer(-(2**63)),
    "empty-string": text(b""),
    "bytes": text(b"a\0b\xff"),
    "empty-list": b"\5" + number(0),
    "list": b"\5" + number(3) + integer(1) + text(b"two") + b"\5" + number(1) + NIL,
    "bare-record": record(b"Nothing", []),
    "record": record(b"Name", [(b"value", text(b"x"))]),
    "nested": record(b"Pair", [(b"z", record(b"Name", [(b"value", NIL)])), (b"a", TRUE)]),
}

for name, encoded in CASES.items():
    print(f"{name}\t{hashlib.sha256(encoded).hexdigest()}/{len(encoded)}\t{encoded.hex()}")
