// SPDX-License-Identifier: Apache-2.0
/* Look-up, recording and eviction of results. */
#include "cache/cache.h"

#include "base/wire.h"
#include "cache/history.h"

#include <string.h>

void cache_key(const struct digest *digest, guint8 out[CACHE_KEY_SIZE])
{
    guint64 size = GUINT64_TO_BE((guint64)digest->size);
    memcpy(out, digest->hash, DIGEST_HASH_SIZE);
    memcpy(out + DIGEST_HASH_SIZE, &size, sizeof size);
}

void cached_clear(struct cached *cached)
{
    result_free(cached->result);
    g_clear_pointer(&cached->outputs, tree_unref);
    g_free(cached->reason);
    *cached = (struct cached){ 0 };
}

static bool miss(struct cached *out, char *reason)
{
    cached_clear(out);
    out->reason = reason;
    return false;
}

static bool is_whole(struct store *store, const struct cached *cached, GError **error)
{
    return store_has_tree(store, cached->outputs, error) &&
           (cached->result->stdout_blob.size == 0 ||
            store_has(store, &cached->result->stdout_blob)) &&
           (cached->result->stderr_blob.size == 0 ||
            store_has(store, &cached->result->stderr_blob));
}

struct result *cache_result(struct store *store, const struct digest *key)
{
    guint8 record[CACHE_KEY_SIZE];
    cache_key(key, record);
    g_autoptr(GBytes) value = store_record_get(store, STORE_RESULTS, record, sizeof record);
    return value == NULL ? NULL : result_decode(value, NULL);
}

bool cache_find(struct store *store, const struct digest *key, bool failures, struct cached *out)
{
    guint8 record[CACHE_KEY_SIZE];
    *out = (struct cached){ 0 };
    cache_key(key, record);
    g_autoptr(GBytes) value = store_record_get(store, STORE_RESULTS, record, sizeof record);
    if (value == NULL)
        return miss(out, g_strdup("no earlier run had these inputs"));
    out->result = result_decode(value, NULL);
    if (out->result == NULL)
        return miss(out, g_strdup("the stored result is damaged"));
    if (out->result->exit_code != 0 && !failures)
        return miss(out,
                    g_strdup_printf("it failed with status %d before", out->result->exit_code));
    g_autoptr(GError) error = NULL;
    out->outputs = store_get_tree(store, &out->result->outputs, &error);
    if (out->outputs == NULL || !is_whole(store, out, &error))
        return miss(out, g_strdup("a stored output is gone or damaged"));
    return true;
}

const char *cache_refusal(const struct result *result)
{
    if (result->timed_out)
        return "it ran out of time";
    return result->uncacheable;
}

void cache_record(struct store_batch *batch, const struct digest *key, const struct result *result)
{
    guint8 record[CACHE_KEY_SIZE];
    cache_key(key, record);
    g_autoptr(GBytes) value = result_encode(result);
    store_batch_put_record(batch, STORE_RESULTS, record, sizeof record, value);
}

enum {
    ROOT_OPTIONAL_SIZE = 9, /* time, then 1 */
};

void cache_record_kept(struct store_batch *batch, const struct digest *tree, gint64 time)
{
    guint8 record[CACHE_KEY_SIZE], value[ROOT_OPTIONAL_SIZE];
    guint64 big = GUINT64_TO_BE((guint64)time);
    cache_key(tree, record);
    memcpy(value, &big, sizeof big);
    value[sizeof big] = 1;
    g_autoptr(GBytes) bytes = g_bytes_new(value, sizeof value);
    store_batch_put_record(batch, STORE_ROOTS, record, sizeof record, bytes);
}

/* --- eviction --------------------------------------------------------------------------------- */

struct eviction {
    struct store *store;
    GHashTable *last_use; /* GBytes of CACHE_KEY_SIZE -> gint64* */
};

static bool note_use(const struct history_entry *entry, void *user)
{
    struct eviction *eviction = user;
    guint8 record[CACHE_KEY_SIZE];
    cache_key(&entry->key, record);
    GBytes *key = g_bytes_new(record, sizeof record);
    if (g_hash_table_contains(eviction->last_use, key)) /* newest first: the first one counts */
        g_bytes_unref(key);
    else
        g_hash_table_insert(eviction->last_use, key, g_memdup2(&entry->time, sizeof entry->time));
    return true;
}

static bool key_digest(GBytes *key, struct digest *out)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(key, &size);
    guint64 length;
    if (size != CACHE_KEY_SIZE)
        return false;
    memcpy(out->hash, data, DIGEST_HASH_SIZE);
    memcpy(&length, data + DIGEST_HASH_SIZE, sizeof length);
    out->size = (gint64)GUINT64_FROM_BE(length);
    return out->size >= 0;
}

/* If this is an action: its Command and the directories of its inputs. `vial why` compares them. */
static void name_action(const struct digest *digest, struct store_reference *out)
{
    struct digest command, inputs;
    g_autoptr(GBytes) message = out->read(digest, out->source);
    g_array_append_val(out->blobs, *digest);
    if (message == NULL || !action_references(message, &command, &inputs))
        return;
    g_array_append_val(out->blobs, command);
    g_array_append_val(out->directories, inputs);
}

/* What a root of a memo keeps besides: blobs (1) and trees (2). */
static void name_kept(const struct digest *digest, struct store_reference *out)
{
    struct wire_reader reader;
    struct wire_field field;
    struct digest named;
    g_autoptr(GBytes) message = out->read(digest, out->source);
    g_array_append_val(out->blobs, *digest);
    if (message == NULL)
        return;
    wire_reader_init(&reader, g_bytes_get_data(message, NULL), g_bytes_get_size(message));
    while (wire_next(&reader, &field))
        if (field.type == WIRE_BYTES && digest_decode(field.data, field.size, &named))
            g_array_append_val(field.number == 2 ? out->trees : out->blobs, named);
}

/* The engine's manifest (doc/format/memo.md), as far as it names what must stay. */
static bool describe_memo(GBytes *value, struct store_reference *out)
{
    struct wire_reader reader, inner;
    struct wire_field field, part;
    struct digest digest;
    wire_reader_init(&reader, g_bytes_get_data(value, NULL), g_bytes_get_size(value));
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            out->last_use = (gint64)field.value;
        else if ((field.number == 3 || field.number == 4) && field.type == WIRE_BYTES &&
                 digest_decode(field.data, field.size, &digest))
            g_array_append_val(out->blobs, digest);
        else if (field.number == 5 && field.type == WIRE_BYTES) {
            wire_reader_init(&inner, field.data, field.size);
            while (wire_next(&inner, &part)) {
                if (part.type != WIRE_BYTES || !digest_decode(part.data, part.size, &digest))
                    continue;
                if (part.number == 2)
                    g_array_append_val(out->blobs, digest);
                else if (part.number == 3)
                    name_kept(&digest, out);
            }
        }
    }
    return !reader.failed;
}

static bool describe(enum store_table table, GBytes *key, GBytes *value,
                     struct store_reference *out, void *user)
{
    struct eviction *eviction = user;
    struct digest digest;
    if (table == STORE_MEMO)
        return describe_memo(value, out);
    if (!key_digest(key, &digest))
        return false;
    gsize size;
    const guint8 *data = g_bytes_get_data(value, &size);
    if (table == STORE_ROOTS) {
        guint64 time;
        if (size != sizeof time && (size != ROOT_OPTIONAL_SIZE || data[sizeof time] != 1))
            return false;
        memcpy(&time, data, sizeof time);
        out->optional = size == ROOT_OPTIONAL_SIZE;
        out->last_use = (gint64)GUINT64_FROM_BE(time);
        g_array_append_val(out->trees, digest);
        return true;
    }
    g_autoptr(result) result = result_decode(value, NULL);
    if (result == NULL)
        return false;
    const gint64 *used = g_hash_table_lookup(eviction->last_use, key);
    out->last_use = used == NULL ? result->started : MAX(*used, result->started);
    result_references(result, out->blobs, out->trees);
    name_action(&digest, out);
    for (guint i = 0; i < result->observed->len; i++)
        name_action(&g_array_index(result->observed, struct digest, i), out);
    return true;
}

bool cache_gc(struct store *store, guint64 max_bytes, struct store_gc_result *out, GError **error)
{
    struct eviction eviction = {
        .store = store,
        .last_use = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                          (GDestroyNotify)g_bytes_unref, g_free),
    };
    history_each(store, note_use, &eviction);
    bool ok = store_gc(store, max_bytes, describe, &eviction, out, error);
    g_hash_table_unref(eviction.last_use);
    return ok;
}

bool cache_trim(struct store *store, const struct digest *key, guint64 limit,
                struct store_gc_result *out)
{
    struct store_statistics sizes;
    if (key->hash[0] % 64 != 0 || store_is_read_only(store) || !store_is_persistent(store))
        return false;
    if (!store_statistics(store, &sizes, NULL) || sizes.disk_bytes <= limit)
        return false;
    return cache_gc(store, limit / 4 * 3, out, NULL);
}
