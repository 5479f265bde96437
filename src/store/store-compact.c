// SPDX-License-Identifier: Apache-2.0
/*
 * Writing the index anew without its free pages: LMDB never makes its file smaller.
 *
 * Pairs are copied here, one by one in key order, rather than by mdb_env_copy2(): that reads on a
 * thread of its own, outside any guard, and fails on pages that a crash has leaked.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char copy_directory[] = "tmp/compact", copy_file[] = "tmp/compact/data.mdb";

enum {
    MAIN_DATABASE = 1,
    WORTH_IT = 4 << 20,
    COMMIT_BYTES = 32 << 20
};

/* Bytes of free pages; 0 if unknown. */
static guint64 free_bytes(struct store_index *index)
{
    MDB_stat all;
    MDB_envinfo info;
    if (STORE_GUARDED(STORE_FAULT, mdb_env_stat(index->env, &all)) != 0 ||
        STORE_GUARDED(STORE_FAULT, mdb_env_info(index->env, &info)) != 0)
        return 0;
    guint64 used = all.ms_branch_pages + all.ms_leaf_pages + all.ms_overflow_pages;
    return used > info.me_last_pgno ? 0 : (info.me_last_pgno - used) * all.ms_psize;
}

static int append(MDB_txn *txn, const struct store_pair *pair)
{
    gsize key_size, size;
    const void *key_data = g_bytes_get_data(pair->key, &key_size);
    const void *data = g_bytes_get_data(pair->value, &size);
    MDB_val key = { key_size, (void *)key_data }, value = { size, (void *)data };
    return mdb_put(txn, MAIN_DATABASE, &key, &value, MDB_APPEND);
}

static int copy_table(struct store_index *from, MDB_env *to, guint8 table)
{
    g_autoptr(GBytes) after = NULL;
    bool damage = false;
    for (;;) {
        MDB_txn *txn;
        MDB_dbi database;
        size_t bytes = 0;
        int rc = mdb_txn_begin(to, NULL, 0, &txn);
        if (rc != 0)
            return rc;
        rc = mdb_dbi_open(txn, NULL, 0, &database);
        g_autoptr(GPtrArray) pairs = NULL;
        while (rc == 0 && bytes < COMMIT_BYTES) {
            g_clear_pointer(&pairs, g_ptr_array_unref);
            pairs = store_index_scan(from, table, after, G_MAXSIZE, &damage);
            if (pairs == NULL)
                break;
            for (guint i = 0; rc == 0 && i < pairs->len; i++) {
                const struct store_pair *pair = pairs->pdata[i];
                bytes += pair->size;
                rc = append(txn, pair);
                g_clear_pointer(&after, g_bytes_unref);
                after = g_bytes_ref(pair->key);
            }
        }
        if (rc != 0)
            mdb_txn_abort(txn);
        else
            rc = mdb_txn_commit(txn);
        if (rc != 0 || pairs == NULL)
            return rc != 0 ? rc : damage ? MDB_CORRUPTED : 0;
    }
}

/* A whole copy of the index in the directory `path`, synced. */
static bool copy_index(struct store_index *from, const char *path)
{
    MDB_env *to;
    if (mdb_env_create(&to) != 0)
        return false;
    mdb_env_set_mapsize(to, from->map_size);
    int rc = mdb_env_open(to, path, MDB_NOLOCK | MDB_NOSYNC, 0600);
    for (int table = 0; rc == 0 && table <= STORE_INTERNAL; table++)
        rc = copy_table(from, to, (guint8)table);
    if (rc == 0)
        rc = mdb_env_sync(to, 1);
    mdb_env_close(to);
    return rc == 0;
}

/*
 * Under STORE_LOCK_WRITE and STORE_LOCK_OPEN alone: no other process has the file open, and this
 * one's readers wait for map_lock.
 */
static bool replace(struct store_disk *disk)
{
    struct store_index *index = disk->index;
    pthread_rwlock_wrlock(&index->map_lock);
    bool ok = renameat(disk->directory, copy_file, disk->directory, "index/data.mdb") == 0;
    if (ok) {
        fsync(index->directory);
        ok = store_index_reopen(index) == 0;
    }
    pthread_rwlock_unlock(&index->map_lock);
    return ok;
}

bool store_disk_compact(struct store_disk *disk)
{
    struct stat status;
    guint64 wasted = free_bytes(disk->index);
    if (wasted < WORTH_IT || fstatat(disk->directory, "index/data.mdb", &status, 0) < 0 ||
        wasted < (guint64)status.st_size / 4 ||
        !store_disk_lock(disk, STORE_LOCK_OPEN, F_WRLCK, false))
        return false;
    g_autofree char *path = g_build_filename(disk->path, copy_directory, NULL);
    bool done = fd_remove_tree(disk->directory, copy_directory, NULL) &&
                mkdirat(disk->directory, copy_directory, 0700) == 0 &&
                copy_index(disk->index, path) && replace(disk);
    fd_remove_tree(disk->directory, copy_directory, NULL);
    store_disk_lock(disk, STORE_LOCK_OPEN, F_RDLCK, false);
    return done;
}
