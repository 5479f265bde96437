#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A memo as doc/format/memo.md says: name, digest, bytes in hexadecimal.

usage: memo.py > memo.tsv
"""
import hashlib


def number(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def digest(data, size=None):
    return number(len(data) if size is None else size) + hashlib.sha256(data).digest()


def text(data):
    return number(len(data)) + data


def message(tag, body):
    return bytes([tag << 3 | 2]) + text(body)


def reapi(data):
    size = b"\x10" + number(len(data)) if data else b""
    return message(1, hashlib.sha256(data).hexdigest().encode()) + size


VALUE = bytes.fromhex("06044e616d65010576616c7565040178")  # Name{value="x"}
SEEN = number(2 * 3 + 1) + digest(b"content")
CHUNK = (
    b"\1" + digest(VALUE) + VALUE
    + b"\1" + digest(b"\0") + b"\0"
    + b"\1" + number(70000) + hashlib.sha256(b"large").digest()
    + b"\2" + b"\1" + text(b"src/a.c")
    + b"\2" + b"\3" + text(b"PATH")
    + b"\3" + number(300) + number(1) + number(0)
    + b"\3" + number(2) + number(0)
    + b"\4" + number(0) + number(2) + number(1000)
    + number(2) + number(2 * 1 + 0) + number(1) + number(2 * 1 + 1) + number(1)
    + number(2) + number(0) + SEEN + number(1) + number(0)
)
ROOT = (
    text(VALUE) + number(3)
    + b"\1" + number(0) + text(b"src/a.c") + SEEN
    + b"\1" + number(4) + text(b"b.c") + number(0)
    + b"\2" + number(3) + text(b"") + number(2 * 9)
)
MANIFEST = (
    b"\x08" + number(1000000) + b"\x10" + number(5)
    + message(3, reapi(b"chunk")) + message(3, reapi(b"another")) + message(4, reapi(b"value"))
    + message(5, message(1, reapi(b"key")) + message(2, reapi(b"root")) + message(3, reapi(b"")) + b"\x20" + number(7))
)

for name, data in {"chunk": CHUNK, "root": ROOT, "manifest": MANIFEST}.items():
    print(f"{name}\t{hashlib.sha256(data).hexdigest()}/{len(data)}\t{data.hex()}")
