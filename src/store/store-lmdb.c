// SPDX-License-Identifier: Apache-2.0
/* The back end on disk: blobs, records and commits over the index and the object files. */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

/* --- blobs ------------------------------------------------------------------------------------ */

static struct store_blob_entry look_up(struct store_disk *disk, const struct digest *digest,
                                       GBytes **whole)
{
    guint8 key[STORE_BLOB_KEY], prefix[STORE_OBJECT_ENTRY];
    size_t size;
    store_blob_key(digest, key);
    if (!store_index_get(disk->index, key, sizeof key, prefix, sizeof prefix, &size, whole))
        return (struct store_blob_entry){ .kind = STORE_BLOB_GONE };
    return store_blob_entry_decode(digest, prefix, size);
}

/* A value that is longer than any other kind's holds the bytes themselves. */
static bool is_inline_by_size(struct store_disk *disk, const struct digest *digest)
{
    guint8 key[STORE_BLOB_KEY];
    size_t size;
    store_blob_key(digest, key);
    return store_index_get(disk->index, key, sizeof key, NULL, 0, &size, NULL) &&
           size > STORE_OBJECT_ENTRY && size == (size_t)digest->size + 1;
}

static bool has(struct store *store, const struct digest *digest)
{
    struct store_disk *disk = store_disk(store);
    if (digest->size >= STORE_OBJECT_ENTRY && (guint64)digest->size <= store->inline_limit &&
        is_inline_by_size(disk, digest))
        return true;
    struct store_blob_entry entry = look_up(disk, digest, NULL);
    return entry.kind == STORE_BLOB_INLINE ||
           (entry.kind == STORE_BLOB_OBJECT && store_object_stat(disk, digest, NULL));
}

GBytes *store_disk_read(struct store *store, const struct digest *digest)
{
    struct store_disk *disk = store_disk(store);
    g_autoptr(GBytes) whole = NULL;
    struct store_blob_entry entry = look_up(disk, digest, &whole);
    if (entry.kind == STORE_BLOB_INLINE && g_bytes_get_size(whole) == (gsize)digest->size + 1)
        return g_bytes_new_from_bytes(whole, 1, (gsize)digest->size);
    return entry.kind == STORE_BLOB_OBJECT ? store_object_read(disk, digest) : NULL;
}

static int open_blob(struct store *store, const struct digest *digest, GError **error)
{
    struct store_disk *disk = store_disk(store);
    g_autoptr(GBytes) whole = NULL;
    struct store_blob_entry entry = look_up(disk, digest, &whole);
    if (entry.kind == STORE_BLOB_OBJECT)
        return store_object_open(disk, digest);
    if (entry.kind != STORE_BLOB_INLINE || g_bytes_get_size(whole) != (gsize)digest->size + 1)
        return -1;
    const guint8 *data = g_bytes_get_data(whole, NULL);
    return fd_from_bytes(data + 1, (size_t)digest->size, error);
}

static struct store_blob_entry look_up_in(struct store_write *write, const struct digest *digest,
                                          GBytes **whole)
{
    guint8 key[STORE_BLOB_KEY], prefix[STORE_OBJECT_ENTRY];
    size_t size;
    store_blob_key(digest, key);
    if (!store_write_get(write, key, sizeof key, prefix, sizeof prefix, &size, whole))
        return (struct store_blob_entry){ .kind = STORE_BLOB_GONE };
    return store_blob_entry_decode(digest, prefix, size);
}

/* --- records ---------------------------------------------------------------------------------- */

/* `whole` is what the index holds under `key`; NULL: deleted or damaged. */
GBytes *store_disk_record_value(const void *key, size_t key_size, GBytes *whole)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(whole, &size), *value;
    size_t value_size;
    if (!store_record_open(key, key_size, data, size, &value, &value_size))
        return NULL;
    return g_bytes_new_from_bytes(whole, STORE_CHECKSUM, value_size);
}

struct record_key {
    guint8 bytes[1 + STORE_KEY_MAX];
    size_t size;
};

static struct record_key record_key(enum store_table table, const void *key, size_t size)
{
    struct record_key made = { .bytes = { (guint8)table }, .size = 1 + size };
    memcpy(made.bytes + 1, key, size);
    return made;
}

static GBytes *record_get(struct store *store, enum store_table table, const void *key,
                          size_t key_size)
{
    struct record_key name = record_key(table, key, key_size);
    g_autoptr(GBytes) whole = NULL;
    size_t size;
    if (!store_index_get(store_disk(store)->index, name.bytes, name.size, NULL, 0, &size, &whole))
        return NULL;
    return store_disk_record_value(name.bytes, name.size, whole);
}

static bool visit_record(const struct store_pair *pair, store_record_visit visit, void *user)
{
    gsize size;
    const void *key = g_bytes_get_data(pair->key, &size);
    g_autoptr(GBytes) value = store_disk_record_value(key, size, pair->value);
    if (value == NULL)
        return true;
    g_autoptr(GBytes) name = g_bytes_new_from_bytes(pair->key, 1, size - 1);
    return visit(name, value, user);
}

static void record_each(struct store *store, enum store_table table, store_record_visit visit,
                        void *user)
{
    g_autoptr(GBytes) after = NULL;
    for (;;) {
        g_autoptr(GPtrArray) pairs =
            store_index_scan(store_disk(store)->index, (guint8)table, after, G_MAXSIZE, NULL);
        if (pairs == NULL)
            return;
        for (guint i = 0; i < pairs->len; i++)
            if (!visit_record(pairs->pdata[i], visit, user))
                return;
        const struct store_pair *last = pairs->pdata[pairs->len - 1];
        g_clear_pointer(&after, g_bytes_unref);
        after = g_bytes_ref(last->key);
    }
}

/* --- commit ----------------------------------------------------------------------------------- */

static guint64 generation(struct store *store)
{
    return store_index_generation(store_disk(store)->index);
}

static bool is_present(struct store_write *write, const struct digest *digest)
{
    struct store_blob_entry entry = look_up_in(write, digest, NULL);
    return entry.kind == STORE_BLOB_INLINE ||
           (entry.kind == STORE_BLOB_OBJECT && store_object_stat(write->disk, digest, NULL));
}

static bool check_known(struct store_write *write, GHashTable *known, GError **error)
{
    GHashTableIter iter;
    void *digest;
    g_hash_table_iter_init(&iter, known);
    while (g_hash_table_iter_next(&iter, &digest, NULL)) {
        if (is_present(write, digest))
            continue;
        return write->rc == 0 && store_fault_collected(digest, error);
    }
    return true;
}

static bool put_inline(struct store_write *write, const struct digest *digest, GBytes *bytes)
{
    guint8 key[STORE_BLOB_KEY];
    if (is_present(write, digest))
        return true;
    store_blob_key(digest, key);
    guint8 *value = store_write_reserve(write, key, sizeof key, (size_t)digest->size + 1);
    if (value == NULL)
        return false;
    value[0] = STORE_BLOB_INLINE;
    if (digest->size > 0)
        memcpy(value + 1, g_bytes_get_data(bytes, NULL), (size_t)digest->size);
    return true;
}

static bool put_staged(struct store_write *write, struct store_staged *staged, GError **error)
{
    struct store_disk *disk = write->disk;
    guint8 key[STORE_BLOB_KEY];
    struct store_blob_entry entry;
    if (is_present(write, &staged->digest))
        return true;
    if (!staged->published && !store_object_publish(disk, staged, error))
        return false;
    if (!store_object_stat(disk, &staged->digest, &entry))
        return fault_set(error, FAULT_IO, "a file that was put in %s/objects has gone", disk->path);
    store_blob_key(&staged->digest, key);
    guint8 *value = store_write_reserve(write, key, sizeof key, STORE_OBJECT_ENTRY);
    if (value != NULL)
        store_object_entry(&entry, value);
    return value != NULL;
}

static bool put_record(struct store_write *write, const struct store_change *change)
{
    gsize key_size, size = 0;
    const void *bytes = g_bytes_get_data(change->key, &key_size);
    struct record_key key = record_key(change->table, bytes, key_size);
    if (change->value == NULL) {
        bool there = store_write_get(write, key.bytes, key.size, NULL, 0, &size, NULL);
        return there ? store_write_reserve(write, key.bytes, key.size, 0) != NULL : write->rc == 0;
    }
    const void *data = g_bytes_get_data(change->value, &size);
    guint8 *value = store_write_reserve(write, key.bytes, key.size, STORE_CHECKSUM + size);
    if (value == NULL)
        return false;
    store_record_checksum(key.bytes, key.size, data, size, value);
    if (size > 0)
        memcpy(value + STORE_CHECKSUM, data, size);
    return true;
}

static bool commit_body(struct store_write *write, void *user, GError **error)
{
    struct store_changes *changes = user;
    if (store_write_generation(write) != changes->generation &&
        !check_known(write, changes->known, error))
        return false;
    for (guint i = 0; i < changes->staged->len; i++)
        if (!put_staged(write, changes->staged->pdata[i], error))
            return false;
    GHashTableIter iter;
    void *digest, *bytes;
    g_hash_table_iter_init(&iter, changes->blobs);
    while (g_hash_table_iter_next(&iter, &digest, &bytes))
        if (!put_inline(write, digest, bytes))
            return false;
    for (guint i = 0; i < changes->records->len; i++)
        if (!put_record(write, changes->records->pdata[i]))
            return false;
    return true;
}

/* A batch that changes nothing needs no transaction: all it counts on is there if nothing went. */
static bool is_confirmed(struct store_disk *disk, const struct store_changes *changes)
{
    return changes->staged->len == 0 && g_hash_table_size(changes->blobs) == 0 &&
           changes->records->len == 0 && disk->index != NULL &&
           store_index_generation(disk->index) == changes->generation;
}

static bool commit(struct store *store, struct store_changes *changes, GError **error)
{
    struct store_disk *disk = store_disk(store);
    return is_confirmed(disk, changes) || (store_object_sync(disk, changes, error) &&
                                           store_write_run(disk, commit_body, changes, error) &&
                                           store_object_sync_names(disk, changes->staged, error));
}

const struct store_ops store_disk_ops = {
    .close = store_disk_close,
    .has = has,
    .read = store_disk_read,
    .open_blob = open_blob,
    .drop = store_disk_drop,
    .record_get = record_get,
    .record_each = record_each,
    .generation = generation,
    .stage = store_object_stage,
    .unstage = store_object_unstage,
    .commit = commit,
    .log_append = store_disk_log_append,
    .log_each = store_disk_log_each,
    .claim = store_disk_claim,
    .claim_release = store_disk_claim_release,
    .statistics = store_disk_statistics,
    .verify = store_disk_verify,
    .gc = store_disk_gc,
};
