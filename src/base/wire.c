// SPDX-License-Identifier: Apache-2.0
/* Protobuf wire format: varints and length-delimited fields, bounded when read. */
#include "base/wire.h"

#include <string.h>

void wire_reader_init(struct wire_reader *reader, const void *data, size_t size)
{
    reader->at = data;
    reader->end = size > 0 ? reader->at + size : reader->at; /* NULL + 0 is undefined in C */
    reader->failed = false;
}

static bool fail(struct wire_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
    return false;
}

/* At most ten bytes; the tenth may carry one bit only, and no byte but the first may be zero. */
static bool read_varint(struct wire_reader *reader, guint64 *out)
{
    guint64 value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (reader->at == reader->end)
            return fail(reader);
        guint8 byte = *reader->at++;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            return fail(reader);
        value |= (guint64)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return fail(reader);
}

static bool read_fixed(struct wire_reader *reader, size_t width, guint64 *out)
{
    if ((size_t)(reader->end - reader->at) < width)
        return fail(reader);
    *out = 0;
    for (size_t i = 0; i < width; i++)
        *out |= (guint64)reader->at[i] << (8 * i);
    reader->at += width;
    return true;
}

bool wire_next(struct wire_reader *reader, struct wire_field *field)
{
    guint64 tag;
    if (reader->at == reader->end || !read_varint(reader, &tag))
        return false;
    *field =
        (struct wire_field){ .number = (guint32)(tag >> 3), .type = (enum wire_type)(tag & 7) };
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return fail(reader);
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(reader, &field->value);
    case WIRE_FIXED64:
        return read_fixed(reader, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(reader, 4, &field->value);
    case WIRE_BYTES:
        if (!read_varint(reader, &field->value))
            return false;
        if (field->value > (guint64)(reader->end - reader->at))
            return fail(reader);
        field->data = reader->at;
        field->size = (size_t)field->value;
        reader->at += field->size;
        return true;
    default:
        return fail(reader);
    }
}

char *wire_field_string(const struct wire_field *field)
{
    if (field->type != WIRE_BYTES || memchr(field->data, '\0', field->size) != NULL)
        return NULL;
    if (!g_utf8_validate((const char *)field->data, (gssize)field->size, NULL))
        return NULL;
    return g_strndup((const char *)field->data, field->size);
}

/* Returns how many bytes it wrote, ten at most. */
static guint write_varint(guint8 *out, guint64 value)
{
    guint count = 0;
    for (; value >= 0x80; value >>= 7)
        out[count++] = (guint8)(value | 0x80);
    out[count++] = (guint8)value;
    return count;
}

/* A tag and the varint that follows it: the value, or the length of what comes then. */
static void append_head(GByteArray *out, guint32 number, enum wire_type type, guint64 value)
{
    guint8 bytes[20];
    guint count = write_varint(bytes, (guint64)number << 3 | type);
    count += write_varint(bytes + count, value);
    g_byte_array_append(out, bytes, count);
}

void wire_put_varint(GByteArray *out, guint32 number, guint64 value)
{
    if (value != 0)
        append_head(out, number, WIRE_VARINT, value);
}

void wire_put_bytes(GByteArray *out, guint32 number, const void *data, size_t size)
{
    g_assert(size <= G_MAXUINT);
    append_head(out, number, WIRE_BYTES, size);
    if (size > 0)
        g_byte_array_append(out, data, (guint)size);
}

void wire_put_string(GByteArray *out, guint32 number, const char *value)
{
    if (value != NULL && *value != '\0')
        wire_put_bytes(out, number, value, strlen(value));
}

void wire_put_message(GByteArray *out, guint32 number, const GByteArray *message)
{
    wire_put_bytes(out, number, message->data, message->len);
}
