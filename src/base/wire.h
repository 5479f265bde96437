// SPDX-License-Identifier: Apache-2.0
/*
 * The protobuf wire format, canonical on the way out and bounded on the way in.
 *
 * vial's trees, actions and records are protobuf messages (the Remote Execution API's where it has
 * one), few and small enough that a generated binding would be more code than this.
 * Reference: https://protobuf.dev/programming-guides/encoding/
 *
 * Writing: fields in tag order, defaults omitted by wire_put_*; that, with sorted lists, makes the
 * encoding canonical. Reading: wire_next() never looks beyond `end`; lengths are checked before
 * use, group tags and overlong varints are errors. The reader borrows the bytes it is given.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <glib.h>
#include <stdbool.h>

struct wire_reader {
    const guint8 *at, *end;
    bool failed; /* malformed bytes were met; wire_next() has returned false for good */
};

struct wire_field {
    guint32 number;
    enum wire_type {
        WIRE_VARINT = 0,
        WIRE_FIXED64 = 1,
        WIRE_BYTES = 2,
        WIRE_FIXED32 = 5,
    } type;
    guint64 value;      /* WIRE_VARINT and the fixed types */
    const guint8 *data; /* WIRE_BYTES: `size` bytes inside the reader's buffer */
    size_t size;
};

void wire_reader_init(struct wire_reader *reader, const void *data, size_t size);

/* The next field; false at the end or, with `failed` set, on malformed bytes. */
bool wire_next(struct wire_reader *reader, struct wire_field *field);

/* The field's bytes as a NUL-terminated string: NULL unless WIRE_BYTES, UTF-8 and without NUL. */
char *wire_field_string(const struct wire_field *field);

/* Omitted when zero, empty or false. Negative int64 values take ten bytes, as protobuf has it. */
void wire_put_varint(GByteArray *out, guint32 number, guint64 value);
void wire_put_string(GByteArray *out, guint32 number, const char *value);

/* Written even when empty: list elements and sub-messages that are present. */
void wire_put_bytes(GByteArray *out, guint32 number, const void *data, size_t size);
void wire_put_message(GByteArray *out, guint32 number, const GByteArray *message);

#endif
