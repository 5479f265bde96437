// SPDX-License-Identifier: Apache-2.0
/*
 * Collection: mark, sweep the index, then the files, then the index's own size.
 *
 * All of it under STORE_LOCK_WRITE, so that no commit of another process falls in between. A batch
 * there that counts on a blob swept here finds the counter of removals moved and looks again
 * (FAULT_MISSING for its caller). Records go before the blobs that they name, and the index is
 * committed before files go: a crash leaves files that no entry names, for the next collection.
 *
 * On a full disk even deleting needs room, for LMDB copies the pages that it changes. Then the file
 * `reserve`, which is there for this, goes first; then the object files (an entry without its file
 * is a miss); and the entries in small transactions, of which each makes room for the next.
 *
 * RESULTS and ROOTS are what keeps blobs. STAT and PATH_SETS records keep nothing and have no age;
 * when one of these tables outgrows an eighth of the limit it is emptied, which costs rehashing and
 * a few misses.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct collection {
    struct store *store;
    guint64 max_bytes;
    store_describe describe;
    void *user;
    struct store_gc_result *out;
    struct store_mark mark;
    struct store_write *write;
    GPtrArray *doomed;   /* GBytes *: keys in the index to delete, records first */
    guint from, to;      /* those of them that the next transaction deletes */
    GHashTable *objects; /* set of char *: "ab/cdef…" that stay */
    guint64 table_bytes;
    GPtrArray *table_keys;
};

/* --- mark ------------------------------------------------------------------------------------- */

static struct store_blob_entry look(struct store_write *write, const struct digest *digest,
                                    GBytes **whole)
{
    guint8 key[STORE_BLOB_KEY], prefix[STORE_OBJECT_ENTRY];
    size_t size;
    store_blob_key(digest, key);
    if (!store_write_get(write, key, sizeof key, prefix, sizeof prefix, &size, whole))
        return (struct store_blob_entry){ .kind = STORE_BLOB_GONE };
    return store_blob_entry_decode(digest, prefix, size);
}

static bool holds(const struct digest *digest, void *source)
{
    struct collection *run = source;
    return look(run->write, digest, NULL).kind != STORE_BLOB_GONE;
}

static GBytes *read_directory(const struct digest *digest, void *source)
{
    struct collection *run = source;
    g_autoptr(GBytes) whole = NULL;
    g_autoptr(GBytes) bytes = NULL;
    struct store_blob_entry entry = look(run->write, digest, &whole);
    if (entry.kind == STORE_BLOB_INLINE)
        bytes = g_bytes_new_from_bytes(whole, 1, g_bytes_get_size(whole) - 1);
    else if (entry.kind == STORE_BLOB_OBJECT)
        bytes = store_object_read(store_disk(run->store), digest);
    struct digest found;
    if (bytes == NULL)
        return NULL;
    digest_of_bytes(bytes, &found);
    return digest_equal(&found, digest) ? g_steal_pointer(&bytes) : NULL;
}

static bool mark_record(const struct store_pair *pair, void *user)
{
    struct collection *run = user;
    gsize size;
    const guint8 *key = g_bytes_get_data(pair->key, &size);
    if (pair->size == 0) {
        g_ptr_array_add(run->doomed, g_bytes_ref(pair->key));
        return true;
    }
    g_autoptr(GBytes) value = store_disk_record_value(key, size, pair->value);
    g_autoptr(GBytes) name = g_bytes_new_from_bytes(pair->key, 1, size - 1);
    store_mark_add(&run->mark, (enum store_table)key[0], name, value);
    return true;
}

static void doom_evicted(struct collection *run)
{
    for (guint i = 0; i < run->mark.evicted->len; i++) {
        const struct store_mark_record *record = run->mark.evicted->pdata[i];
        gsize size;
        const void *name = g_bytes_get_data(record->key, &size);
        GByteArray *key = g_byte_array_new();
        g_byte_array_append(key, &(guint8){ (guint8)record->table }, 1);
        g_byte_array_append(key, name, (guint)size);
        g_ptr_array_add(run->doomed, g_byte_array_free_to_bytes(key));
    }
    run->out->evicted = run->mark.evicted->len;
}

/* --- sweep ------------------------------------------------------------------------------------ */

static bool sweep_blob(const struct store_pair *pair, void *user)
{
    struct collection *run = user;
    struct store_gc_result *out = run->out;
    struct digest digest;
    gsize size;
    const void *key = g_bytes_get_data(pair->key, &size);
    bool is_blob = store_blob_key_digest(key, size, &digest);
    struct store_blob_entry entry = { .kind = STORE_BLOB_GONE };
    if (is_blob)
        entry = store_blob_entry_decode(&digest, g_bytes_get_data(pair->value, NULL), pair->size);
    if (entry.kind == STORE_BLOB_GONE || !g_hash_table_contains(run->mark.kept, &digest)) {
        g_ptr_array_add(run->doomed, g_bytes_ref(pair->key));
        if (entry.kind != STORE_BLOB_GONE) {
            out->blobs_removed++;
            out->bytes_removed += (guint64)digest.size;
        }
        return true;
    }
    out->blobs_kept++;
    out->bytes_kept += (guint64)digest.size;
    if (entry.kind == STORE_BLOB_OBJECT) {
        char name[STORE_OBJECT_NAME];
        store_object_name(&digest, name);
        g_hash_table_add(run->objects, g_strdup(name + strlen("objects/")));
    }
    return true;
}

static bool weigh(const struct store_pair *pair, void *user)
{
    struct collection *run = user;
    run->table_bytes += pair->size + g_bytes_get_size(pair->key);
    g_ptr_array_add(pair->size == 0 ? run->doomed : run->table_keys, g_bytes_ref(pair->key));
    return true;
}

static bool trim_table(struct collection *run, enum store_table table)
{
    run->table_bytes = 0;
    run->table_keys = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    bool ok = store_write_each(run->write, (guint8)table, 0, weigh, run);
    if (ok && run->table_bytes > run->max_bytes / 8)
        g_ptr_array_extend_and_steal(run->doomed, run->table_keys);
    else
        g_ptr_array_unref(run->table_keys);
    return ok;
}

/* Changes nothing. Starts from nothing each time: it runs again if the map has to grow. */
static bool mark(struct store_write *write, void *user, GError **error)
{
    struct collection *run = user;
    struct store_mark_source from = { read_directory, holds, run };
    run->write = write;
    memset(run->out, 0, sizeof *run->out);
    g_ptr_array_set_size(run->doomed, 0);
    g_hash_table_remove_all(run->objects);
    store_mark_init(&run->mark, &from, run->describe, run->user);
    bool ok = store_write_each(write, STORE_RESULTS, G_MAXSIZE, mark_record, run) &&
              store_write_each(write, STORE_MEMO, G_MAXSIZE, mark_record, run) &&
              store_write_each(write, STORE_ROOTS, G_MAXSIZE, mark_record, run);
    if (ok) {
        store_mark_finish(&run->mark, run->max_bytes);
        doom_evicted(run);
        ok = write->rc == 0 && trim_table(run, STORE_STAT) && trim_table(run, STORE_PATH_SETS) &&
             store_write_each(write, STORE_BLOBS, STORE_OBJECT_ENTRY, sweep_blob, run);
    }
    store_mark_release(&run->mark);
    return ok;
}

static bool delete_some(struct store_write *write, void *user, GError **error)
{
    struct collection *run = user;
    if (!store_write_check_all(write))
        return false;
    for (guint i = run->from; i < run->to; i++) {
        gsize size;
        const void *key = g_bytes_get_data(run->doomed->pdata[i], &size);
        if (!store_write_delete(write, key, size))
            return false;
    }
    return store_write_bump_generation(write);
}

/* The files of what is to be deleted. The counter has moved, so nobody counts on them. */
static void remove_doomed_files(const struct collection *run)
{
    for (guint i = 0; i < run->doomed->len; i++) {
        gsize size;
        const void *key = g_bytes_get_data(run->doomed->pdata[i], &size);
        struct digest digest;
        if (store_blob_key_digest(key, size, &digest))
            store_object_remove(store_disk(run->store), &digest);
    }
}

static bool delete_range(struct collection *run, guint from, guint to, GError **error)
{
    run->from = from;
    run->to = to;
    return store_write_locked(store_disk(run->store), delete_some, run, error);
}

static bool sweep_crowded(struct collection *run, GError **error)
{
    guint count = run->doomed->len, done = 0, step = 16;
    unlinkat(store_disk(run->store)->directory, "reserve", 0);
    if (!delete_range(run, 0, 0, error)) /* the counter alone */
        return false;
    remove_doomed_files(run);
    while (done < count) {
        g_autoptr(GError) cause = NULL;
        guint to = done + MIN(step, count - done);
        if (delete_range(run, done, to, &cause)) {
            done = to;
            step *= 2;
        } else if (step > 1 && g_error_matches(cause, FAULT, FAULT_NO_SPACE)) {
            step = MAX(1, step / 4);
        } else {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
    return true;
}

static bool sweep(struct collection *run, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (run->doomed->len == 0 || delete_range(run, 0, run->doomed->len, &cause))
        return true;
    if (g_error_matches(cause, FAULT, FAULT_NO_SPACE))
        return sweep_crowded(run, error);
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

/* --- files ------------------------------------------------------------------------------------ */

struct removal {
    const struct store_disk *disk;
    GHashTable *stay;
};

static bool remove_unnamed(const char *name, const struct stat *status, void *user)
{
    const struct removal *removal = user;
    if (g_hash_table_contains(removal->stay, name))
        return true;
    g_autofree char *path = g_strconcat("objects/", name, NULL);
    fd_remove_tree(removal->disk->directory, path, NULL); /* what stays is found next time */
    return true;
}

static void remove_old_indexes(const struct store_disk *disk)
{
    for (unsigned number = 1;; number++) {
        g_autofree char *name = g_strdup_printf("index.damaged-%u", number);
        if (faccessat(disk->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && number > 1)
            return;
        fd_remove_tree(disk->directory, name, NULL);
    }
}

/* Under STORE_LOCK_WRITE still: nobody publishes an object meanwhile. */
static void sweep_files(struct store_disk *disk, const struct collection *run)
{
    struct removal removal = { disk, run->objects };
    store_object_each(disk, remove_unnamed, &removal);
    store_object_sweep_temporary(disk);
    remove_old_indexes(disk);
    store_disk_compact(disk);
    store_disk_make_reserve(disk);
}

bool store_disk_gc(struct store *store, guint64 max_bytes, store_describe describe, void *user,
                   struct store_gc_result *out, GError **error)
{
    g_autoptr(GPtrArray) doomed = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GHashTable) objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct collection run = { .store = store,
                              .max_bytes = max_bytes,
                              .describe = describe,
                              .user = user,
                              .out = out,
                              .doomed = doomed,
                              .objects = objects };
    if (store->read_only)
        return fault_set(error, FAULT_READ_ONLY, "the store %s may only be read", store->path);
    struct store_disk *disk = store_disk(store);
    if (!store_write_lock(disk, error))
        return false;
    bool ok = store_write_locked(disk, mark, &run, error) && sweep(&run, error);
    if (ok)
        sweep_files(disk, &run);
    store_write_unlock(disk);
    return ok;
}
