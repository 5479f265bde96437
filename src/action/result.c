// SPDX-License-Identifier: Apache-2.0
/* Results: life, encoding (doc/format/result.md) and the digests they name. */
#include "action/action.h"
#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"

#include <string.h>

static void extra_free(gpointer data)
{
    struct output_extra *extra = data;
    g_free(extra->path);
    g_free(extra->hard_link);
    g_clear_pointer(&extra->xattrs, g_bytes_unref);
    g_free(extra);
}

struct result *result_new(void)
{
    struct result *result = g_new0(struct result, 1);
    result->stdout_blob = result->stderr_blob = result->outputs = *digest_empty();
    result->order = g_array_new(FALSE, FALSE, sizeof(struct output_piece));
    result->observed = g_array_new(FALSE, FALSE, sizeof(struct digest));
    result->extras = g_ptr_array_new_with_free_func(extra_free);
    return result;
}

void result_free(struct result *result)
{
    if (result == NULL)
        return;
    g_array_unref(result->order);
    g_array_unref(result->observed);
    g_ptr_array_unref(result->extras);
    g_strfreev(result->deleted);
    g_strfreev(result->missing);
    g_free(result->uncacheable);
    g_free(result);
}

/* --- writing ---------------------------------------------------------------------------------- */

enum { /* message Result */
    EXIT_CODE = 1,
    SIGNAL = 2,
    TIMED_OUT = 3,
    STDOUT = 4,
    STDERR = 5,
    ORDER = 6,
    OUTPUTS = 7,
    DELETED = 8,
    MISSING = 9,
    EXTRA = 10,
    WALL = 11,
    USER = 12,
    SYSTEM = 13,
    MAX_RSS = 14,
    STARTED = 15,
    OBSERVED = 16,
};

static void put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

static void put_list(GByteArray *out, guint32 number, char **list)
{
    for (; list != NULL && *list != NULL; list++)
        wire_put_bytes(out, number, *list, strlen(*list));
}

static void put_extra(GByteArray *out, const struct output_extra *extra)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    wire_put_string(message, 1, extra->path);
    wire_put_varint(message, 2, (guint64)extra->mtime);
    wire_put_varint(message, 3, extra->mode);
    wire_put_string(message, 4, extra->hard_link);
    if (extra->xattrs != NULL)
        wire_put_bytes(message, 5, g_bytes_get_data(extra->xattrs, NULL),
                       g_bytes_get_size(extra->xattrs));
    wire_put_varint(message, 6, extra->sparse);
    wire_put_varint(message, 7, extra->fifo);
    wire_put_message(out, EXTRA, message);
}

GBytes *result_encode(const struct result *result)
{
    GByteArray *out = g_byte_array_new();
    wire_put_varint(out, EXIT_CODE, (guint64)result->exit_code);
    wire_put_varint(out, SIGNAL, (guint64)result->signal);
    wire_put_varint(out, TIMED_OUT, result->timed_out);
    put_digest(out, STDOUT, &result->stdout_blob);
    put_digest(out, STDERR, &result->stderr_blob);
    for (guint i = 0; i < result->order->len; i++) {
        const struct output_piece *piece = &g_array_index(result->order, struct output_piece, i);
        g_autoptr(GByteArray) message = g_byte_array_new();
        wire_put_varint(message, 1, piece->stream);
        wire_put_varint(message, 2, piece->size);
        wire_put_message(out, ORDER, message);
    }
    put_digest(out, OUTPUTS, &result->outputs);
    put_list(out, DELETED, result->deleted);
    put_list(out, MISSING, result->missing);
    for (guint i = 0; i < result->extras->len; i++)
        put_extra(out, result->extras->pdata[i]);
    wire_put_varint(out, WALL, (guint64)result->wall);
    wire_put_varint(out, USER, (guint64)result->user);
    wire_put_varint(out, SYSTEM, (guint64)result->system);
    wire_put_varint(out, MAX_RSS, (guint64)result->max_rss);
    wire_put_varint(out, STARTED, (guint64)result->started);
    for (guint i = 0; i < result->observed->len; i++)
        put_digest(out, OBSERVED, &g_array_index(result->observed, struct digest, i));
    return g_byte_array_free_to_bytes(out);
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool take_number(const struct wire_field *field, guint64 most, guint64 *out)
{
    *out = field->value;
    return field->type == WIRE_VARINT && field->value <= most;
}

static bool take_time(const struct wire_field *field, gint64 *out)
{
    guint64 value;
    bool ok = take_number(field, G_MAXINT64, &value);
    *out = (gint64)value;
    return ok;
}

static bool take_digest(const struct wire_field *field, struct digest *out)
{
    return field->type == WIRE_BYTES && digest_decode(field->data, field->size, out);
}

static bool take_path(const struct wire_field *field, char **out)
{
    g_free(*out);
    *out = wire_field_string(field);
    return *out != NULL && path_is_relative(*out);
}

static bool take_piece(const struct wire_field *outer, GArray *order)
{
    struct output_piece piece = { 0 };
    struct wire_reader reader;
    struct wire_field field;
    guint64 stream = 0;
    if (outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        bool ok = field.number == 1   ? take_number(&field, OUTPUT_STDERR, &stream)
                  : field.number == 2 ? take_number(&field, G_MAXINT64, &piece.size)
                                      : false;
        if (!ok)
            return false;
    }
    piece.stream = (guint32)stream;
    g_array_append_val(order, piece);
    return !reader.failed && stream >= OUTPUT_STDOUT && piece.size > 0;
}

static bool take_extra_field(const struct wire_field *field, struct output_extra *extra)
{
    guint64 value = 0;
    bool ok;
    switch (field->number) {
    case 1:
        return take_path(field, &extra->path);
    case 2:
        extra->mtime = (gint64)field->value; /* times before 1970 are negative */
        return field->type == WIRE_VARINT;
    case 3:
        ok = take_number(field, 07777, &value);
        extra->mode = (guint32)value;
        return ok;
    case 4:
        return take_path(field, &extra->hard_link);
    case 5:
        g_clear_pointer(&extra->xattrs, g_bytes_unref);
        extra->xattrs = g_bytes_new(field->data, field->size);
        return field->type == WIRE_BYTES;
    case 6:
        extra->sparse = true;
        return take_number(field, 1, &value);
    case 7:
        extra->fifo = true;
        return take_number(field, 1, &value);
    default:
        return false;
    }
}

static bool take_extra(const struct wire_field *outer, GPtrArray *extras)
{
    if (outer->type != WIRE_BYTES)
        return false;
    struct output_extra *extra = g_new0(struct output_extra, 1);
    g_ptr_array_add(extras, extra);
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field))
        if (!take_extra_field(&field, extra))
            return false;
    return !reader.failed && extra->path != NULL;
}

static bool take_observed(const struct wire_field *field, GArray *observed)
{
    struct digest digest;
    bool ok = take_digest(field, &digest);
    if (ok)
        g_array_append_val(observed, digest);
    return ok;
}

static bool take_listed(const struct wire_field *field, GPtrArray *list, bool is_path)
{
    char *text = wire_field_string(field);
    if (text != NULL)
        g_ptr_array_add(list, text);
    return text != NULL && (!is_path || path_is_relative(text));
}

static bool take_field(const struct wire_field *field, struct result *result, GPtrArray *deleted,
                       GPtrArray *missing)
{
    guint64 value = 0;
    bool ok;
    switch (field->number) {
    case EXIT_CODE:
        ok = take_number(field, 255, &value);
        result->exit_code = (int)value;
        return ok;
    case SIGNAL:
        ok = take_number(field, 127, &value);
        result->signal = (int)value;
        return ok;
    case TIMED_OUT:
        result->timed_out = true;
        return take_number(field, 1, &value);
    case STDOUT:
        return take_digest(field, &result->stdout_blob);
    case STDERR:
        return take_digest(field, &result->stderr_blob);
    case ORDER:
        return take_piece(field, result->order);
    case OUTPUTS:
        return take_digest(field, &result->outputs);
    case DELETED:
        return take_listed(field, deleted, true);
    case MISSING:
        return take_listed(field, missing, false);
    case EXTRA:
        return take_extra(field, result->extras);
    case WALL:
        return take_time(field, &result->wall);
    case USER:
        return take_time(field, &result->user);
    case SYSTEM:
        return take_time(field, &result->system);
    case MAX_RSS:
        return take_time(field, &result->max_rss);
    case STARTED:
        return take_time(field, &result->started);
    case OBSERVED:
        return take_observed(field, result->observed);
    default:
        return false;
    }
}

/* The pieces must add up to the streams: whoever replays them relies on it. */
static bool order_fits(const struct result *result)
{
    gint64 left[] = {
        [OUTPUT_STDOUT] = result->stdout_blob.size, [OUTPUT_STDERR] = result->stderr_blob.size
    };
    for (guint i = 0; i < result->order->len; i++) {
        const struct output_piece *piece = &g_array_index(result->order, struct output_piece, i);
        if (piece->size > (guint64)left[piece->stream])
            return false;
        left[piece->stream] -= (gint64)piece->size;
    }
    return left[OUTPUT_STDOUT] == 0 && left[OUTPUT_STDERR] == 0;
}

static char **finish_list(GPtrArray **list)
{
    if ((*list)->len == 0)
        return NULL;
    g_ptr_array_add(*list, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(list), FALSE);
}

struct result *result_decode(GBytes *bytes, GError **error)
{
    g_autoptr(result) result = result_new();
    g_autoptr(GPtrArray) deleted = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    struct wire_reader reader;
    struct wire_field field;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field))
        ok = take_field(&field, result, deleted, missing);
    if (!ok || reader.failed || !order_fits(result)) {
        fault_set(error, FAULT_CORRUPT, "a stored result is malformed");
        return NULL;
    }
    result->deleted = finish_list(&deleted);
    result->missing = finish_list(&missing);
    return g_steal_pointer(&result);
}

void result_references(const struct result *result, GArray *blobs, GArray *trees)
{
    g_array_append_val(blobs, result->stdout_blob);
    g_array_append_val(blobs, result->stderr_blob);
    g_array_append_vals(blobs, result->observed->data, result->observed->len);
    g_array_append_val(trees, result->outputs);
}
