#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print store.tsv: keys, entries, records and the log put together by hand, without vial's code.

XXH3 comes from the reference library, through ctypes.
"""
import ctypes
import hashlib
import struct

xxhash = ctypes.CDLL("libxxhash.so.0")


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


xxhash.XXH3_128bits.restype = Hash128
xxhash.XXH3_64bits.restype = ctypes.c_uint64
for function in xxhash.XXH3_128bits, xxhash.XXH3_64bits:
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def xxh128(data):
    value = xxhash.XXH3_128bits(data, len(data))
    return struct.pack(">QQ", value.high, value.low)


def xxh64(data):
    return struct.pack(">Q", xxhash.XXH3_64bits(data, len(data)))


def blob_key(content):
    return b"\0" + hashlib.sha256(content).digest() + struct.pack(">Q", len(content))


def record(table, key, value):
    name = bytes([table]) + key
    return xxh128(struct.pack(">Q", len(name)) + name + value) + value


def log_entry(payload):
    return b"\xf1vl\n" + struct.pack(">I", len(payload)) + xxh64(payload) + payload


def format_line(version):
    text = b"vial store " + version
    return text + b" " + hashlib.sha256(text).hexdigest()[:8].encode() + b"\n"


VALUES = {
    "format": format_line(b"1"),
    "blob-key": blob_key(b"content"),
    "blob-key-empty": blob_key(b""),
    "object-entry": b"\2" + struct.pack(">Qq", 0x0123456789ABCDEF, -2),
    "object-name": b"objects/ed/" + hashlib.sha256(b"content").hexdigest()[2:].encode(),
    "record": record(4, b"key", b"value"),
    "record-empty": record(1, b"k", b""),
    "record-long": record(3, b"\0" * 480, bytes(range(256)) * 8),
    "log-entry": log_entry(b"payload"),
    "log-entry-empty": log_entry(b""),
}
for name, value in VALUES.items():
    print(name, value.hex(), sep="\t")
