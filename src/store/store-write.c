// SPDX-License-Identifier: Apache-2.0
/*
 * The one write transaction: who may write, what is checked before, what is done when it fails.
 *
 * Invariants
 *  1. LMDB's writer mutex is only ever asked for under STORE_LOCK_WRITE, after a look for the mark
 * of damage. If a guarded call leaves that mutex locked, the mark is made before STORE_LOCK_WRITE
 * is let go; so nobody waits for a mutex that will not come free.
 *  2. No page is changed before store_pages_check_*() has passed it. Putting touches the pages on
 *     the way to the key and the list of free pages. Deleting may merge any two neighbours and is
 *     done only after store_write_check_all(): so it is left to collection, and what is dropped
 *     before is overwritten with an empty value.
 *  3. A full map is never seen by a caller: it is doubled and the body runs again.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    MAIN_DATABASE = 1
};

bool store_disk_lock(const struct store_disk *disk, int byte, short type, bool wait)
{
    if (disk->lock < 0)
        return true;
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int result;
    do
        result = fcntl(disk->lock, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    while (result < 0 && errno == EINTR);
    return result == 0;
}

/* --- errors ----------------------------------------------------------------------------------- */

/* LMDB reports a write cut short by a full disk as EIO. */
static bool is_full(const struct store_disk *disk)
{
    struct statvfs status;
    return fstatvfs(disk->directory, &status) == 0 && status.f_bavail * status.f_bsize < 1 << 20;
}

static bool damaged(const struct store_index *index, const char *what, GError **error)
{
    return fault_set(error, FAULT_DAMAGED,
                     "the index %s is damaged (%s): nothing is stored; it is set aside and begun "
                     "anew by the next vial that has the store to itself",
                     index->path, what);
}

static bool explain(const struct store_write *write, GError **error)
{
    struct store_index *index = write->disk->index;
    if (store_index_is_damage(write->rc)) {
        store_index_mark_damaged(index);
        return damaged(index,
                       write->pages.damage != NULL ? write->pages.damage
                       : write->rc == STORE_FAULT  ? "it could not be read"
                                                   : mdb_strerror(write->rc),
                       error);
    }
    if (write->rc == EIO && is_full(write->disk))
        return fault_errno(error, ENOSPC, "cannot write %s", index->path);
    if (write->rc > 0)
        return fault_errno(error, write->rc, "cannot write %s", index->path);
    return fault_set(error, FAULT_IO, "cannot write %s: %s", index->path, mdb_strerror(write->rc));
}

/* --- the transaction -------------------------------------------------------------------------- */

static bool check_start(struct store_write *write)
{
    int file;
    mdb_env_get_fd(write->disk->index->env, &file);
    if (!store_pages_open(&write->pages, file))
        return false;
    if (mdb_txn_id(write->txn) == write->pages.transaction + 1)
        return store_pages_check_free(&write->pages);
    write->pages.damage = "LMDB's lock file is of another transaction";
    return false;
}

static int begin(struct store_write *write)
{
    struct store_index *index = write->disk->index;
    int rc = index->env == NULL ? MDB_CORRUPTED : store_index_reap_readers(index);
    if (rc == 0)
        rc = store_index_begin(index, 0, &write->txn);
    return rc == 0 && !check_start(write) ? MDB_CORRUPTED : rc;
}

/* Returns 0, or why not; with *error set, it was the body that refused. */
static int attempt(struct store_disk *disk, store_write_body body, void *user, GError **error)
{
    struct store_write write = { .disk = disk };
    struct store_index *index = disk->index;
    pthread_rwlock_rdlock(&index->map_lock);
    write.rc = begin(&write);
    bool done = write.rc == 0 && body(&write, user, error) && write.rc == 0;
    if (done) {
        write.rc = STORE_GUARDED(STORE_FAULT, mdb_txn_commit(write.txn));
    } else if (write.txn != NULL && write.rc != STORE_FAULT) {
        store_index_abort(index, write.txn);
    }
    if (write.rc == STORE_FAULT) /* not aborted: LMDB would free its cursors on dead stack frames */
        store_index_wreck(index);
    pthread_rwlock_unlock(&index->map_lock);
    g_assert(done || write.rc != 0 || *error != NULL);
    bool again = write.rc == MDB_MAP_FULL || write.rc == MDB_MAP_RESIZED;
    if (write.rc != 0 && !again && *error == NULL)
        explain(&write, error);
    store_pages_release(&write.pages);
    return write.rc;
}

bool store_write_locked(struct store_disk *disk, store_write_body body, void *user, GError **error)
{
    struct store_index *index = disk->index;
    for (;;) {
        if (atomic_load(&index->damaged) || store_index_is_marked(disk->directory)) {
            atomic_store(&index->damaged, true);
            return damaged(index, "found before", error);
        }
        g_autoptr(GError) cause = NULL;
        int rc = attempt(disk, body, user, &cause);
        if (cause != NULL) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        if (rc == 0)
            return true;
        if (!(rc == MDB_MAP_FULL ? store_index_grow : store_index_adopt_size)(index, error))
            return false;
    }
}

bool store_write_lock(struct store_disk *disk, GError **error)
{
    if (disk->index == NULL)
        return fault_set(error, FAULT_DAMAGED,
                         "the index of the store %s is damaged, and still in use by another vial",
                         disk->path);
    if (disk->read_only || disk->index->read_only)
        return fault_set(error, FAULT_READ_ONLY, "the store %s may only be read", disk->path);
    pthread_mutex_lock(&disk->writer);
    if (store_disk_lock(disk, STORE_LOCK_WRITE, F_WRLCK, true))
        return true;
    fault_errno(error, errno, "cannot lock %s/lock", disk->path);
    pthread_mutex_unlock(&disk->writer);
    return false;
}

void store_write_unlock(struct store_disk *disk)
{
    store_disk_lock(disk, STORE_LOCK_WRITE, F_UNLCK, false);
    pthread_mutex_unlock(&disk->writer);
}

bool store_write_run(struct store_disk *disk, store_write_body body, void *user, GError **error)
{
    if (!store_write_lock(disk, error))
        return false;
    bool ok = store_write_locked(disk, body, user, error);
    store_write_unlock(disk);
    return ok;
}

/* --- inside it -------------------------------------------------------------------------------- */

static bool sound(struct store_write *write, int rc)
{
    if (write->rc == 0 && rc != 0)
        write->rc = rc;
    return write->rc == 0;
}

static bool check_key(struct store_write *write, const void *key, size_t key_size)
{
    store_index_relax(write->disk->index);
    return write->rc == 0 &&
           (store_pages_check_key(&write->pages, key, key_size) || sound(write, MDB_CORRUPTED));
}

guint8 *store_write_reserve(struct store_write *write, const void *key, size_t key_size,
                            size_t value_size)
{
    MDB_val name = { key_size, (void *)key }, value = { value_size, NULL };
    if (!check_key(write, key, key_size) ||
        !sound(write, STORE_GUARDED(STORE_FAULT, mdb_put(write->txn, MAIN_DATABASE, &name, &value,
                                                         MDB_RESERVE))))
        return NULL;
    return value.mv_data;
}

bool store_write_get(struct store_write *write, const void *key, size_t key_size, void *prefix,
                     size_t prefix_size, size_t *size, GBytes **whole)
{
    if (whole != NULL)
        *whole = NULL;
    if (!check_key(write, key, key_size))
        return false;
    int rc = store_index_look(NULL, write->txn, key, key_size, prefix, prefix_size, size, whole);
    return rc != MDB_NOTFOUND && sound(write, rc);
}

bool store_write_check_all(struct store_write *write)
{
    return write->rc == 0 && (store_pages_check_all(&write->pages) || sound(write, MDB_CORRUPTED));
}

bool store_write_delete(struct store_write *write, const void *key, size_t key_size)
{
    if (!check_key(write, key, key_size)) /* for the pages of a large value */
        return false;
    MDB_val name = { key_size, (void *)key };
    int rc = STORE_GUARDED(STORE_FAULT, mdb_del(write->txn, MAIN_DATABASE, &name, NULL));
    return sound(write, rc == MDB_NOTFOUND ? 0 : rc);
}

bool store_write_each(struct store_write *write, guint8 table, size_t limit,
                      bool (*visit)(const struct store_pair *pair, void *user), void *user)
{
    g_autoptr(GBytes) after = NULL;
    while (write->rc == 0) {
        g_autoptr(GPtrArray) pairs =
            g_ptr_array_new_with_free_func((GDestroyNotify)store_pair_free);
        if (!sound(write,
                   store_index_fill(write->disk->index, write->txn, table, after, limit, pairs)))
            return false;
        if (pairs->len == 0)
            return true;
        for (guint i = 0; i < pairs->len; i++)
            if (!visit(pairs->pdata[i], user))
                return true;
        const struct store_pair *last = pairs->pdata[pairs->len - 1];
        g_clear_pointer(&after, g_bytes_unref);
        after = g_bytes_ref(last->key);
    }
    return false;
}

/* --- the counter of removals ------------------------------------------------------------------ */

static const guint8 generation_key[] = { STORE_INTERNAL, 'g' };

static guint64 decode_generation(const guint64 *value, bool found, size_t size)
{
    return found && size == sizeof *value ? GUINT64_FROM_BE(*value) : 0;
}

guint64 store_index_generation(struct store_index *index)
{
    guint64 value;
    size_t size;
    bool found = store_index_get(index, generation_key, sizeof generation_key, &value, sizeof value,
                                 &size, NULL);
    return decode_generation(&value, found, size);
}

guint64 store_write_generation(struct store_write *write)
{
    guint64 value;
    size_t size;
    bool found = store_write_get(write, generation_key, sizeof generation_key, &value, sizeof value,
                                 &size, NULL);
    return decode_generation(&value, found, size);
}

bool store_write_bump_generation(struct store_write *write)
{
    guint64 next = GUINT64_TO_BE(store_write_generation(write) + 1);
    guint8 *value = store_write_reserve(write, generation_key, sizeof generation_key, sizeof next);
    if (value != NULL)
        memcpy(value, &next, sizeof next);
    return value != NULL;
}
