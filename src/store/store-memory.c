// SPDX-License-Identifier: Apache-2.0
/*
 * The back end in memory: for tests, and for machines whose store cannot be written.
 *
 * One mutex guards everything; callbacks run on snapshots, outside it. Nothing here can be damaged.
 */
#include "store/store-internal.h"

#include "base/fault.h"
#include "base/fd.h"

struct memory_store {
    struct store base;
    GMutex lock;
    GHashTable *blobs;               /* struct digest * -> GBytes * */
    GTree *records[STORE_ROOTS + 1]; /* GBytes * -> GBytes *, in key order */
    GQueue log;                      /* of GBytes *, newest first */
    gsize log_bytes;
    GHashTable *claims; /* set of struct digest *: held */
    GCond claim_ended;
    guint64 generation;
};

enum {
    LOG_LIMIT = 8 << 20,
    CANCEL_POLL_MICROSECONDS = 20000
};

static struct memory_store *memory(struct store *store)
{
    return (struct memory_store *)store;
}

static void close_memory(struct store *store)
{
    struct memory_store *self = memory(store);
    g_hash_table_unref(self->blobs);
    for (int table = 1; table <= STORE_ROOTS; table++)
        g_tree_unref(self->records[table]);
    g_queue_clear_full(&self->log, (GDestroyNotify)g_bytes_unref);
    g_hash_table_unref(self->claims);
    g_cond_clear(&self->claim_ended);
    g_mutex_clear(&self->lock);
    g_free(self);
}

static GBytes *read_blob(struct store *store, const struct digest *digest)
{
    struct memory_store *self = memory(store);
    g_mutex_lock(&self->lock);
    GBytes *bytes = g_hash_table_lookup(self->blobs, digest);
    if (bytes != NULL)
        g_bytes_ref(bytes);
    g_mutex_unlock(&self->lock);
    return bytes;
}

static bool has(struct store *store, const struct digest *digest)
{
    g_autoptr(GBytes) bytes = read_blob(store, digest);
    return bytes != NULL;
}

static int open_blob(struct store *store, const struct digest *digest, GError **error)
{
    g_autoptr(GBytes) bytes = read_blob(store, digest);
    if (bytes == NULL)
        return -1;
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    return fd_from_bytes(data, size, error);
}

static void drop(struct store *store, const struct digest *digest)
{
    struct memory_store *self = memory(store);
    g_mutex_lock(&self->lock);
    if (g_hash_table_remove(self->blobs, digest))
        self->generation++;
    g_mutex_unlock(&self->lock);
}

static GBytes *record_get(struct store *store, enum store_table table, const void *key,
                          size_t key_size)
{
    struct memory_store *self = memory(store);
    g_autoptr(GBytes) name = g_bytes_new_static(key, key_size);
    g_mutex_lock(&self->lock);
    GBytes *value = g_tree_lookup(self->records[table], name);
    if (value != NULL)
        g_bytes_ref(value);
    g_mutex_unlock(&self->lock);
    return value;
}

static gboolean collect(void *key, void *value, void *user)
{
    g_ptr_array_add(user, g_bytes_ref(key));
    g_ptr_array_add(user, g_bytes_ref(value));
    return FALSE;
}

static void record_each(struct store *store, enum store_table table, store_record_visit visit,
                        void *user)
{
    struct memory_store *self = memory(store);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_mutex_lock(&self->lock);
    g_tree_foreach(self->records[table], collect, all);
    g_mutex_unlock(&self->lock);
    for (guint i = 0; i < all->len; i += 2)
        if (!visit(all->pdata[i], all->pdata[i + 1], user))
            return;
}

static guint64 generation(struct store *store)
{
    struct memory_store *self = memory(store);
    g_mutex_lock(&self->lock);
    guint64 value = self->generation;
    g_mutex_unlock(&self->lock);
    return value;
}

static bool all_known(struct memory_store *self, GHashTable *known, GError **error)
{
    GHashTableIter iter;
    void *digest;
    g_hash_table_iter_init(&iter, known);
    while (g_hash_table_iter_next(&iter, &digest, NULL))
        if (!g_hash_table_contains(self->blobs, digest))
            return store_fault_collected(digest, error);
    return true;
}

static bool commit(struct store *store, struct store_changes *changes, GError **error)
{
    struct memory_store *self = memory(store);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    if (self->generation != changes->generation && !all_known(self, changes->known, error))
        return false;
    GHashTableIter iter;
    void *digest, *bytes;
    g_hash_table_iter_init(&iter, changes->blobs);
    while (g_hash_table_iter_next(&iter, &digest, &bytes))
        g_hash_table_insert(self->blobs, g_memdup2(digest, sizeof(struct digest)),
                            g_bytes_ref(bytes));
    for (guint i = 0; i < changes->records->len; i++) {
        const struct store_change *change = changes->records->pdata[i];
        GTree *table = self->records[change->table];
        if (change->value != NULL)
            g_tree_replace(table, g_bytes_ref(change->key), g_bytes_ref(change->value));
        else
            g_tree_remove(table, change->key);
    }
    return true;
}

static bool log_append(struct store *store, GBytes *entry, GError **error)
{
    struct memory_store *self = memory(store);
    g_mutex_lock(&self->lock);
    g_queue_push_head(&self->log, g_bytes_ref(entry));
    self->log_bytes += g_bytes_get_size(entry);
    while (self->log_bytes > LOG_LIMIT && self->log.length > 1) {
        g_autoptr(GBytes) oldest = g_queue_pop_tail(&self->log);
        self->log_bytes -= g_bytes_get_size(oldest);
    }
    g_mutex_unlock(&self->lock);
    return true;
}

static void log_each(struct store *store, store_log_visit visit, void *user)
{
    struct memory_store *self = memory(store);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_mutex_lock(&self->lock);
    for (GList *item = self->log.head; item != NULL; item = item->next)
        g_ptr_array_add(all, g_bytes_ref(item->data));
    g_mutex_unlock(&self->lock);
    for (guint i = 0; i < all->len; i++)
        if (!visit(all->pdata[i], user))
            return;
}

struct memory_claim {
    struct store_claim base;
    struct digest key;
};

/* A raised `cancel` is noticed within CANCEL_POLL_MICROSECONDS: a signal handler cannot signal a
 * GCond. */
static struct store_claim *claim(struct store *store, const struct digest *key,
                                 const volatile int *cancel, bool *waited, GError **error)
{
    struct memory_store *self = memory(store);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    while (g_hash_table_contains(self->claims, key)) {
        *waited = true;
        if (store_is_cancelled(cancel)) {
            fault_set(error, FAULT_CANCELLED, "cancelled while waiting for an identical action");
            return NULL;
        }
        g_cond_wait_until(&self->claim_ended, &self->lock,
                          g_get_monotonic_time() + CANCEL_POLL_MICROSECONDS);
    }
    struct memory_claim *claim = g_new0(struct memory_claim, 1);
    *claim = (struct memory_claim){ .base = { .store = store }, .key = *key };
    g_hash_table_add(self->claims, &claim->key);
    return &claim->base;
}

static void claim_release(struct store_claim *base)
{
    struct memory_store *self = memory(base->store);
    struct memory_claim *claim = (struct memory_claim *)base;
    g_mutex_lock(&self->lock);
    g_hash_table_remove(self->claims, &claim->key);
    g_cond_broadcast(&self->claim_ended);
    g_mutex_unlock(&self->lock);
    g_free(claim);
}

static void count(struct memory_store *self, struct store_statistics *out)
{
    GHashTableIter iter;
    void *digest;
    g_hash_table_iter_init(&iter, self->blobs);
    while (g_hash_table_iter_next(&iter, &digest, NULL)) {
        out->blobs++;
        out->blob_bytes += (guint64)((const struct digest *)digest)->size;
    }
    for (int table = 1; table <= STORE_ROOTS; table++)
        out->records[table] = (guint64)g_tree_nnodes(self->records[table]);
}

static bool statistics(struct store *store, struct store_statistics *out, GError **error)
{
    struct memory_store *self = memory(store);
    g_mutex_lock(&self->lock);
    count(self, out);
    g_mutex_unlock(&self->lock);
    return true;
}

static bool verify(struct store *store, bool repair, store_damage report, void *user,
                   struct store_verify_result *out, GError **error)
{
    struct store_statistics all;
    if (!store_statistics(store, &all, error))
        return false;
    out->blobs = all.blobs;
    out->bytes = all.blob_bytes;
    for (int table = 1; table <= STORE_ROOTS; table++)
        out->records += all.records[table];
    return true;
}

static GBytes *mark_read(const struct digest *digest, void *source)
{
    struct memory_store *self = source;
    GBytes *bytes = g_hash_table_lookup(self->blobs, digest);
    return bytes != NULL ? g_bytes_ref(bytes) : NULL;
}

static bool mark_holds(const struct digest *digest, void *source)
{
    struct memory_store *self = source;
    return g_hash_table_contains(self->blobs, digest);
}

struct marking {
    struct store_mark *mark;
    enum store_table table;
};

static gboolean mark_record(void *key, void *value, void *user)
{
    const struct marking *marking = user;
    store_mark_add(marking->mark, marking->table, key, value);
    return FALSE;
}

static void sweep(struct memory_store *self, const struct store_mark *mark,
                  struct store_gc_result *out)
{
    for (guint i = 0; i < mark->evicted->len; i++) {
        const struct store_mark_record *record = mark->evicted->pdata[i];
        g_tree_remove(self->records[record->table], record->key);
        out->evicted++;
    }
    GHashTableIter iter;
    void *digest;
    g_hash_table_iter_init(&iter, self->blobs);
    while (g_hash_table_iter_next(&iter, &digest, NULL)) {
        guint64 size = (guint64)((const struct digest *)digest)->size;
        if (g_hash_table_contains(mark->kept, digest)) {
            out->blobs_kept++;
            out->bytes_kept += size;
        } else {
            out->blobs_removed++;
            out->bytes_removed += size;
            g_hash_table_iter_remove(&iter);
        }
    }
}

static bool gc(struct store *store, guint64 max_bytes, store_describe describe, void *user,
               struct store_gc_result *out, GError **error)
{
    struct memory_store *self = memory(store);
    struct store_mark_source from = { mark_read, mark_holds, self };
    struct store_mark mark;
    store_mark_init(&mark, &from, describe, user);
    g_mutex_lock(&self->lock);
    struct marking results = { &mark, STORE_RESULTS }, roots = { &mark, STORE_ROOTS };
    struct marking memos = { &mark, STORE_MEMO };
    g_tree_foreach(self->records[STORE_RESULTS], mark_record, &results);
    g_tree_foreach(self->records[STORE_MEMO], mark_record, &memos);
    g_tree_foreach(self->records[STORE_ROOTS], mark_record, &roots);
    store_mark_finish(&mark, max_bytes);
    sweep(self, &mark, out);
    if (out->blobs_removed > 0)
        self->generation++;
    g_mutex_unlock(&self->lock);
    store_mark_release(&mark);
    return true;
}

static const struct store_ops memory_ops = {
    .close = close_memory,
    .has = has,
    .read = read_blob,
    .open_blob = open_blob,
    .drop = drop,
    .record_get = record_get,
    .record_each = record_each,
    .generation = generation,
    .commit = commit,
    .log_append = log_append,
    .log_each = log_each,
    .claim = claim,
    .claim_release = claim_release,
    .statistics = statistics,
    .verify = verify,
    .gc = gc,
};

static int compare_keys(const void *a, const void *b, void *user)
{
    return g_bytes_compare(a, b);
}

struct store *store_new_memory(void)
{
    struct memory_store *self = g_new0(struct memory_store, 1);
    self->base = (struct store){
        .ops = &memory_ops,
        .path = g_strdup("(memory)"),
        .inline_limit = G_MAXSIZE,
    };
    g_mutex_init(&self->lock);
    g_cond_init(&self->claim_ended);
    self->blobs = g_hash_table_new_full(digest_hash, digest_hash_equal, g_free,
                                        (GDestroyNotify)g_bytes_unref);
    self->claims = g_hash_table_new(digest_hash, digest_hash_equal);
    for (int table = 1; table <= STORE_ROOTS; table++)
        self->records[table] = g_tree_new_full(compare_keys, NULL, (GDestroyNotify)g_bytes_unref,
                                               (GDestroyNotify)g_bytes_unref);
    return &self->base;
}
