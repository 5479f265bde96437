// SPDX-License-Identifier: Apache-2.0
/* Counting what a store holds, rehashing all of it, and dropping what is damaged. */
#include "store/store-disk.h"

#include "base/fault.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Visit every pair of a table; false: the index could not be read to the end. */
static bool each_pair(struct store_index *index, int table, size_t limit,
                      void (*visit)(const struct store_pair *pair, void *user), void *user)
{
    g_autoptr(GBytes) after = NULL;
    bool damage = false;
    for (;;) {
        g_autoptr(GPtrArray) pairs = store_index_scan(index, (guint8)table, after, limit, &damage);
        if (pairs == NULL)
            return !damage;
        for (guint i = 0; i < pairs->len; i++)
            visit(pairs->pdata[i], user);
        const struct store_pair *last = pairs->pdata[pairs->len - 1];
        g_clear_pointer(&after, g_bytes_unref);
        after = g_bytes_ref(last->key);
    }
}

static bool pair_digest(const struct store_pair *pair, struct digest *out)
{
    gsize size;
    const void *key = g_bytes_get_data(pair->key, &size);
    return store_blob_key_digest(key, size, out);
}

static struct store_blob_entry pair_entry(const struct store_pair *pair,
                                          const struct digest *digest)
{
    return store_blob_entry_decode(digest, g_bytes_get_data(pair->value, NULL), pair->size);
}

/* --- statistics ------------------------------------------------------------------------------- */

static void count_blob(const struct store_pair *pair, void *user)
{
    struct store_statistics *out = user;
    struct digest digest;
    if (!pair_digest(pair, &digest))
        return;
    struct store_blob_entry entry = pair_entry(pair, &digest);
    if (entry.kind == STORE_BLOB_GONE)
        return;
    out->blobs++;
    out->blob_bytes += (guint64)digest.size;
    if (entry.kind == STORE_BLOB_OBJECT) {
        out->objects++;
        out->object_bytes += (guint64)digest.size;
    }
}

static void count_record(const struct store_pair *pair, void *user)
{
    guint64 *count = user;
    *count += pair->size > 0;
}

static void add_disk(guint64 *bytes, int directory, const char *name)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        *bytes += (guint64)status.st_blocks * 512;
}

static bool add_object(const char *name, const struct stat *status, void *user)
{
    *(guint64 *)user += (guint64)status->st_blocks * 512;
    return true;
}

bool store_disk_statistics(struct store *store, struct store_statistics *out, GError **error)
{
    struct store_disk *disk = store_disk(store);
    bool whole = each_pair(disk->index, STORE_BLOBS, STORE_OBJECT_ENTRY, count_blob, out);
    for (int table = 1; table <= STORE_ROOTS; table++)
        whole = each_pair(disk->index, table, 1, count_record, &out->records[table]) && whole;
    add_disk(&out->disk_bytes, disk->directory, "index/data.mdb");
    add_disk(&out->disk_bytes, disk->directory, "index/lock.mdb");
    add_disk(&out->disk_bytes, disk->directory, "log");
    store_object_each(disk, add_object, &out->disk_bytes);
    return whole ||
           fault_set(error, FAULT_DAMAGED,
                     "the index of the store %s is damaged, and will be begun anew", disk->path);
}

/* --- dropping --------------------------------------------------------------------------------- */

struct discard {
    GBytes *key;
    bool removed;
    struct digest object; /* size -1: none */
};

static bool is_sound(struct store_write *write, const guint8 *key, gsize key_size, GBytes *whole,
                     struct digest *object)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(whole, &size);
    struct digest digest, found;
    if (key[0] != STORE_BLOBS) {
        g_autoptr(GBytes) value = store_disk_record_value(key, key_size, whole);
        return value != NULL;
    }
    if (!store_blob_key_digest(key, key_size, &digest))
        return false;
    struct store_blob_entry entry = store_blob_entry_decode(&digest, data, size);
    if (entry.kind == STORE_BLOB_INLINE)
        digest_of(data + 1, size - 1, &found);
    if (entry.kind == STORE_BLOB_OBJECT)
        *object = digest;
    return entry.kind == STORE_BLOB_OBJECT
               ? store_object_verify(write->disk, &digest)
               : entry.kind == STORE_BLOB_INLINE && digest_equal(&found, &digest);
}

/*
 * Somebody may have dropped it and stored it anew since the damage was found, so it is looked at
 * again. It gets an empty value instead of a deletion: see store-write.c, invariant 2.
 */
static bool discard_body(struct store_write *write, void *user, GError **error)
{
    struct discard *discard = user;
    g_autoptr(GBytes) whole = NULL;
    size_t size;
    gsize key_size;
    const guint8 *key = g_bytes_get_data(discard->key, &key_size);
    discard->object.size = -1;
    if (!store_write_get(write, key, key_size, NULL, 0, &size, &whole) || size == 0 ||
        is_sound(write, key, key_size, whole, &discard->object))
        return write->rc == 0;
    discard->removed = true;
    return store_write_reserve(write, key, key_size, 0) != NULL &&
           store_write_bump_generation(write);
}

static bool discard(struct store_disk *disk, GBytes *key, guint64 *removed, GError **error)
{
    struct discard discard = { .key = key };
    if (!store_write_lock(disk, error))
        return false;
    bool ok = store_write_locked(disk, discard_body, &discard, error);
    if (ok && discard.removed && discard.object.size >= 0)
        store_object_remove(disk, &discard.object);
    store_write_unlock(disk);
    *removed += ok && discard.removed;
    return ok;
}

void store_disk_drop(struct store *store, const struct digest *digest)
{
    guint8 key[STORE_BLOB_KEY];
    guint64 removed = 0;
    store_blob_key(digest, key);
    g_autoptr(GBytes) name = g_bytes_new(key, sizeof key);
    if (!store->read_only)
        discard(store_disk(store), name, &removed, NULL);
}

/* --- verify ----------------------------------------------------------------------------------- */

struct verification {
    struct store *store;
    struct store_verify_result *out;
    store_damage report;
    void *user;
    GPtrArray *bad; /* GBytes *: keys to drop */
};

static void found_damage(struct verification *run, const struct store_pair *pair, const char *what)
{
    run->out->damaged++;
    g_ptr_array_add(run->bad, g_bytes_ref(pair->key));
    if (run->report != NULL)
        run->report(what, run->user);
}

static void check_blob(const struct store_pair *pair, void *user)
{
    struct verification *run = user;
    struct digest digest, found;
    if (pair->size == 0)
        return; /* dropped before */
    run->out->blobs++;
    if (!pair_digest(pair, &digest)) {
        found_damage(run, pair, "an entry of the index without a digest");
        return;
    }
    char text[DIGEST_TEXT_SIZE];
    digest_print(&digest, text);
    run->out->bytes += (guint64)digest.size;
    struct store_blob_entry entry = pair_entry(pair, &digest);
    const char *what = NULL;
    if (entry.kind == STORE_BLOB_GONE) {
        what = "its entry in the index is damaged";
    } else if (entry.kind == STORE_BLOB_INLINE) {
        const guint8 *data = g_bytes_get_data(pair->value, NULL);
        digest_of(data + 1, pair->size - 1, &found);
        what = digest_equal(&found, &digest) ? NULL : "its bytes in the index are damaged";
    } else if (!store_object_stat(store_disk(run->store), &digest, NULL)) {
        what = "its file in objects/ is missing or of another size";
    } else if (!store_object_verify(store_disk(run->store), &digest)) {
        what = "its file in objects/ is damaged";
    }
    if (what != NULL) {
        g_autofree char *message = g_strdup_printf("blob %s: %s", text, what);
        found_damage(run, pair, message);
    }
}

static void check_record(const struct store_pair *pair, void *user)
{
    static const char *const names[] = { "", "result", "path set", "stat cache", "memo", "root" };
    struct verification *run = user;
    gsize size;
    const guint8 *key = g_bytes_get_data(pair->key, &size);
    if (pair->size == 0)
        return;
    run->out->records++;
    g_autoptr(GBytes) value = store_disk_record_value(key, size, pair->value);
    if (value != NULL)
        return;
    g_autoptr(GString) message = g_string_new(NULL);
    g_string_printf(message, "%s record ", names[key[0]]);
    for (gsize i = 1; i < size; i++)
        g_string_append_printf(message, "%02x", key[i]);
    g_string_append(message, ": its checksum does not match");
    found_damage(run, pair, message->str);
}

/* The structure of the index, which no walk over its pairs sees in full. Changes nothing. */
static bool check_structure(struct store_write *write, void *user, GError **error)
{
    return store_write_check_all(write);
}

bool store_disk_verify(struct store *store, bool repair, store_damage report, void *user,
                       struct store_verify_result *out, GError **error)
{
    struct store_disk *disk = store_disk(store);
    g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    struct verification run = { store, out, report, user, bad };
    g_autoptr(GError) cause = NULL;
    bool sound = store->read_only || store_write_run(disk, check_structure, NULL, &cause);
    if (!sound && !g_error_matches(cause, FAULT, FAULT_DAMAGED)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    sound = sound && each_pair(disk->index, STORE_BLOBS, G_MAXSIZE, check_blob, &run);
    for (int table = 1; sound && table <= STORE_ROOTS; table++)
        sound = each_pair(disk->index, table, G_MAXSIZE, check_record, &run);
    if (!sound) {
        out->damaged++;
        if (report != NULL)
            report(cause != NULL ? cause->message : "the index could not be read", user);
        return true; /* the next store_open() sets it aside, repair or not */
    }
    for (guint i = 0; repair && i < bad->len; i++)
        if (!discard(disk, bad->pdata[i], &out->removed, error))
            return false;
    return true;
}
