// SPDX-License-Identifier: Apache-2.0
/* The canonical encoding of values, and its bounded reader: doc/format/value.md. */
#include "base/fault.h"
#include "engine/value-internal.h"

#include <string.h>

enum tag {
    TAG_NIL = 0,
    TAG_FALSE = 1,
    TAG_TRUE = 2,
    TAG_INTEGER = 3,
    TAG_STRING = 4,
    TAG_LIST = 5,
    TAG_RECORD = 6,
};

/* --- writing ---------------------------------------------------------------------------------- */

static void put_byte(GByteArray *out, guint8 byte)
{
    g_byte_array_append(out, &byte, 1);
}

static void put_number(GByteArray *out, guint64 number)
{
    for (; number > 0x7f; number >>= 7)
        put_byte(out, (guint8)(number | 0x80));
    put_byte(out, (guint8)number);
}

static void put_string(GByteArray *out, const char *data, gsize size)
{
    put_number(out, size);
    g_byte_array_append(out, (const guint8 *)data, (guint)size);
}

/* Small numbers of either sign are short. */
static guint64 zigzag(gint64 number)
{
    return ((guint64)number << 1) ^ (guint64)(number >> 63);
}

void value_encode_to(const struct value *value, GByteArray *out)
{
    switch (value->kind) {
    case VALUE_NIL:
        put_byte(out, TAG_NIL);
        return;
    case VALUE_BOOLEAN:
        put_byte(out, value->number != 0 ? TAG_TRUE : TAG_FALSE);
        return;
    case VALUE_INTEGER:
        put_byte(out, TAG_INTEGER);
        put_number(out, zigzag(value->number));
        return;
    case VALUE_STRING:
        put_byte(out, TAG_STRING);
        put_string(out, value->bytes, value->count);
        return;
    default:
        break;
    }
    put_byte(out, value->kind == VALUE_LIST ? TAG_LIST : TAG_RECORD);
    if (value->kind == VALUE_RECORD)
        put_string(out, value->type->name, strlen(value->type->name));
    put_number(out, value->count);
    for (gsize i = 0; i < value->count; i++) {
        if (value->kind == VALUE_RECORD)
            put_string(out, value->type->fields[i], strlen(value->type->fields[i]));
        value_encode_to(value->items[i], out);
    }
}

GBytes *value_encode(const struct value *value)
{
    GByteArray *out = g_byte_array_new();
    value_encode_to(value, out);
    return g_byte_array_free_to_bytes(out);
}

const struct digest *value_digest(const struct value *value)
{
    struct value *mutable = (struct value *)value;
    struct digest *known = g_atomic_pointer_get(&mutable->digest);
    if (known != NULL)
        return known;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    value_encode_to(value, bytes);
    struct digest *made = g_new(struct digest, 1);
    digest_of(bytes->data, bytes->len, made);
    if (g_atomic_pointer_compare_and_exchange(&mutable->digest, NULL, made))
        return made;
    g_free(made); /* another thread was faster */
    return g_atomic_pointer_get(&mutable->digest);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
    const guint8 *at, *end;
    struct value_type *last; /* records of one type tend to stand together; owned */
};

static bool take_byte(struct reader *reader, guint8 *out)
{
    if (reader->at == reader->end)
        return false;
    *out = *reader->at++;
    return true;
}

/* As few bytes as will do, or it is not canonical. */
static bool take_number(struct reader *reader, guint64 *out)
{
    guint8 byte;
    *out = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (!take_byte(reader, &byte) || (shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            return false;
        *out |= (guint64)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

static bool take_string(struct reader *reader, const char **data, gsize *size)
{
    guint64 length;
    if (!take_number(reader, &length) || length > (guint64)(reader->end - reader->at))
        return false;
    *data = (const char *)reader->at;
    *size = (gsize)length;
    reader->at += length;
    return true;
}

static char *take_name(struct reader *reader)
{
    const char *data;
    gsize size;
    if (!take_string(reader, &data, &size) || memchr(data, '\0', size) != NULL)
        return NULL;
    return g_strndup(data, size);
}

static struct value *take_value(struct reader *reader, guint depth);

/* Every item takes a byte at least, which bounds what a false count can make us allocate. */
static bool take_count(struct reader *reader, guint64 *count)
{
    return take_number(reader, count) && *count <= (guint64)(reader->end - reader->at);
}

static struct value *take_list(struct reader *reader, guint depth)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    guint64 count;
    if (!take_count(reader, &count))
        return NULL;
    for (guint64 i = 0; i < count; i++) {
        struct value *item = take_value(reader, depth + 1);
        if (item == NULL)
            return NULL;
        g_ptr_array_add(items, item);
    }
    return value_list((struct value *const *)items->pdata, items->len, NULL);
}

/* The type of the record before it, if that is what this one says. */
static struct value_type *recognise(struct reader *reader, const char *name, GPtrArray *fields)
{
    const char *const *names = (const char *const *)fields->pdata;
    struct value_type *last = reader->last;
    if (last != NULL && strcmp(last->name, name) == 0 &&
        g_strv_equal((const char *const *)last->fields, names))
        return last;
    value_type_unref(last);
    reader->last = value_type_new(name, names, NULL);
    return reader->last;
}

static struct value *take_record(struct reader *reader, guint depth)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    g_autoptr(GPtrArray) fields = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *name = take_name(reader);
    guint64 count;
    if (name == NULL || !take_count(reader, &count))
        return NULL;
    for (guint64 i = 0; i < count; i++) {
        char *field = take_name(reader);
        if (field == NULL)
            return NULL;
        g_ptr_array_add(fields, field);
        struct value *item = take_value(reader, depth + 1);
        if (item == NULL)
            return NULL;
        g_ptr_array_add(items, item);
    }
    g_ptr_array_add(fields, NULL);
    struct value_type *type = recognise(reader, name, fields);
    return type == NULL ? NULL : value_record(type, (struct value *const *)items->pdata, NULL);
}

static struct value *take_value(struct reader *reader, guint depth)
{
    const char *data;
    guint64 number;
    gsize size;
    guint8 tag;
    if (depth >= VALUE_DEPTH_LIMIT || !take_byte(reader, &tag))
        return NULL;
    switch (tag) {
    case TAG_NIL:
        return value_nil();
    case TAG_FALSE:
    case TAG_TRUE:
        return value_boolean(tag == TAG_TRUE);
    case TAG_INTEGER:
        if (!take_number(reader, &number))
            return NULL;
        return value_integer((gint64)(number >> 1) ^ -(gint64)(number & 1));
    case TAG_STRING:
        return take_string(reader, &data, &size) ? value_string(data, size) : NULL;
    case TAG_LIST:
        return take_list(reader, depth);
    case TAG_RECORD:
        return take_record(reader, depth);
    default:
        return NULL;
    }
}

struct value *value_decode_data(const void *data, gsize size, GError **error)
{
    struct reader reader = { .at = data };
    reader.end = size > 0 ? reader.at + size : reader.at;
    g_autoptr(value) value = take_value(&reader, 0);
    value_type_unref(reader.last);
    if (value != NULL && reader.at == reader.end)
        return g_steal_pointer(&value);
    fault_set(error, FAULT_CORRUPT, "the encoding of a value is malformed");
    return NULL;
}

struct value *value_decode(GBytes *bytes, GError **error)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    return value_decode_data(data, size, error);
}
