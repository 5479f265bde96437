// SPDX-License-Identifier: Apache-2.0
/* Values and paths as bytes: what traces, path sets and strong keys are made of. */
#include "trace/trace-internal.h"

#include <string.h>

/* --- values ----------------------------------------------------------------------------------- */

static void put_digest(GByteArray *out, const struct digest *digest)
{
    wire_put_bytes(out, 4, digest->hash, DIGEST_HASH_SIZE);
    wire_put_varint(out, 5, (guint64)digest->size);
}

void value_put(GByteArray *out, guint32 number, unsigned aspects, const struct trace_value *value,
               GByteArray *scratch)
{
    unsigned told = aspects & trace_kind_aspects(value->kind);
    bool opened =
        (told & TRACE_NAMES) != 0 || ((told & TRACE_CONTENT) != 0 && value->kind == TRACE_FILE);
    g_byte_array_set_size(scratch, 0);
    wire_put_varint(scratch, 1, value->kind);
    if ((told & TRACE_CONTENT) != 0)
        wire_put_varint(scratch, 2, value->mode & TRACE_MODE);
    if (opened)
        wire_put_varint(scratch, 3, value->unreadable);
    if (opened && !value->unreadable)
        put_digest(scratch, &value->digest);
    if ((told & TRACE_TARGET) != 0)
        wire_put_bytes(scratch, 6, value->target, strlen(value->target));
    if ((told & TRACE_TIME) != 0)
        wire_put_varint(scratch, 7, (guint64)value->time);
    if ((told & TRACE_XATTRS) != 0 && value->xattrs != NULL)
        wire_put_string(scratch, 8, value->xattrs);
    wire_put_message(out, number, scratch);
}

static bool take_number(struct trace_value *value, const struct wire_field *field)
{
    if (field->type != WIRE_VARINT || field->value == 0)
        return false;
    switch (field->number) {
    case 1:
        value->kind = (enum trace_kind)field->value;
        return field->value <= TRACE_UNREACHABLE;
    case 2:
        value->mode = (guint32)field->value;
        return (field->value & ~(guint64)TRACE_MODE) == 0;
    case 3:
        value->unreadable = true;
        return field->value == 1;
    case 5:
        value->digest.size = (gint64)field->value;
        return field->value <= G_MAXINT64;
    case 7:
        value->time = (gint64)field->value;
        return field->value <= G_MAXINT64;
    default:
        return false;
    }
}

/* Are exactly those fields there that value_put() writes? */
static bool is_canonical(unsigned aspects, const struct trace_value *value, unsigned fields)
{
    unsigned told = aspects & trace_kind_aspects(value->kind);
    bool opened =
        (told & TRACE_NAMES) != 0 || ((told & TRACE_CONTENT) != 0 && value->kind == TRACE_FILE);
    bool hash = (fields & 1 << 4) != 0;
    return hash == (opened && !value->unreadable) &&
           (value->mode == 0 || (told & TRACE_CONTENT) != 0) && (opened || !value->unreadable) &&
           (hash || value->digest.size == 0) &&
           (value->target != NULL) == ((told & TRACE_TARGET) != 0) &&
           (value->time != 0) == ((told & TRACE_TIME) != 0) &&
           (value->xattrs == NULL || (told & TRACE_XATTRS) != 0);
}

/* A hash in hexadecimal, as trace_xattrs_hash() writes it. */
static const char *take_hash(const struct wire_field *field, GStringChunk *texts)
{
    const char *text = text_take(field, texts);
    return text != NULL && strlen(text) == DIGEST_HASH_SIZE * 2 &&
                   strspn(text, "0123456789abcdef") == DIGEST_HASH_SIZE * 2
               ? text
               : NULL;
}

bool value_take(const struct wire_field *outer, unsigned aspects, GStringChunk *texts,
                struct trace_value *out)
{
    struct wire_reader reader;
    struct wire_field field;
    unsigned fields = 0;
    *out = (struct trace_value){ 0 };
    if (outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number > 8 || fields >> field.number != 0)
            return false; /* unknown, repeated or out of order */
        fields |= 1u << field.number;
        if (field.number == 4) {
            if (field.type != WIRE_BYTES || field.size != DIGEST_HASH_SIZE)
                return false;
            memcpy(out->digest.hash, field.data, DIGEST_HASH_SIZE);
        } else if (field.number == 6) {
            if ((out->target = text_take(&field, texts)) == NULL)
                return false;
        } else if (field.number == 8) {
            if ((out->xattrs = take_hash(&field, texts)) == NULL)
                return false;
        } else if (!take_number(out, &field)) {
            return false;
        }
    }
    return !reader.failed && is_canonical(aspects, out, fields);
}

/* --- texts and paths -------------------------------------------------------------------------- */

char *text_take(const struct wire_field *field, GStringChunk *texts)
{
    if (field->type != WIRE_BYTES || memchr(field->data, '\0', field->size) != NULL)
        return NULL;
    return g_string_chunk_insert_len(texts, (const char *)field->data, (gssize)field->size);
}

void path_put(GByteArray *out, const char **last, const char *path)
{
    size_t shared = 0;
    while (*last != NULL && path[shared] != '\0' && (*last)[shared] == path[shared])
        shared++;
    wire_put_varint(out, 1, shared);
    wire_put_bytes(out, 2, path + shared, strlen(path + shared));
    *last = path;
}

/* As trace.h keeps paths: "", "/", "a/b", "/a/b"; no component empty, "." or "..". */
static bool is_kept_form(const char *path)
{
    const char *at = path[0] == '/' ? path + 1 : path;
    if (*at == '\0')
        return true;
    for (;;) {
        size_t length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        if (at[length] == '\0')
            return true;
        at += length + 1;
    }
}

const char *path_take(struct path_reader *reader, guint64 shared, const struct wire_field *rest)
{
    size_t length = reader->last == NULL ? 0 : strlen(reader->last);
    if (rest->type != WIRE_BYTES || memchr(rest->data, '\0', rest->size) != NULL ||
        shared > length || rest->size > TRACE_TEXT_MAX - reader->total ||
        shared > TRACE_TEXT_MAX - reader->total - rest->size)
        return NULL;
    if (shared < length && rest->size > 0 && reader->last[shared] == (char)rest->data[0])
        return NULL; /* more is shared than it says */
    reader->total += shared + rest->size;
    g_string_truncate(reader->path, 0);
    g_string_append_len(reader->path, reader->last, (gssize)shared);
    g_string_append_len(reader->path, (const char *)rest->data, (gssize)rest->size);
    if (!is_kept_form(reader->path->str))
        return NULL;
    int order = reader->last == NULL ? 1 : trace_compare_paths(reader->path->str, reader->last);
    if (order < 0 || (order == 0 && !reader->repeats))
        return NULL;
    reader->last =
        g_string_chunk_insert_len(reader->texts, reader->path->str, (gssize)reader->path->len);
    return reader->last;
}
