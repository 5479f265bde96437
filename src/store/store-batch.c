// SPDX-License-Identifier: Apache-2.0
/*
 * A batch: hashes what comes in, keeps each blob once, and hands all to the back end together.
 *
 * Invariants
 *  1. Each digest put so far is in exactly one of `blobs` (waiting in memory), `staged` (waiting
 *     in a temporary file) and `known` (was in the store when it was looked up, or got there by an
 *     early commit).
 *  2. `generation` was read before the first look-up. If it has not moved by the time of the
 *     commit, nothing known can have gone.
 *  3. A batch whose early commit failed, or that goes on after a failure, commits nothing more:
 *     `failure` says why.
 */
#include "store/store-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "store/pump.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Blobs waiting in memory beyond this are committed early. */
enum {
    EARLY_COMMIT_BYTES = 16 << 20,
    COPY_BYTES = 256 << 10
};

struct store_batch {
    struct store *store;
    GMutex lock; /* guards all below; never held while bytes are read, hashed or committed */
    struct store_changes changes;
    GHashTable *staged; /* set: struct digest * within changes.staged */
    guint64 waiting;    /* bytes in changes.blobs */
    GError *failure;
    bool goes_on;
};

void store_change_free(struct store_change *change)
{
    g_bytes_unref(change->key);
    g_clear_pointer(&change->value, g_bytes_unref);
    g_free(change);
}

static void staged_free(void *data)
{
    struct store_staged *staged = data;
    g_free(staged->name);
    g_free(staged);
}

static GHashTable *digest_table(GDestroyNotify free_value)
{
    return g_hash_table_new_full(digest_hash, digest_hash_equal, g_free, free_value);
}

static void fill(struct store_batch *batch)
{
    batch->changes = (struct store_changes){
        .blobs = digest_table((GDestroyNotify)g_bytes_unref),
        .staged = g_ptr_array_new_with_free_func(staged_free),
        .records = g_ptr_array_new_with_free_func((GDestroyNotify)store_change_free),
        .known = digest_table(NULL),
        .generation = batch->store->ops->generation(batch->store),
    };
    batch->staged = g_hash_table_new(digest_hash, digest_hash_equal);
    batch->waiting = 0;
}

static void changes_release(struct store *store, struct store_changes *changes)
{
    for (guint i = 0; i < changes->staged->len; i++) {
        const struct store_staged *staged = g_ptr_array_index(changes->staged, i);
        if (!staged->published)
            store->ops->unstage(store, staged->name);
    }
    g_hash_table_unref(changes->blobs);
    g_ptr_array_unref(changes->staged);
    g_ptr_array_unref(changes->records);
    g_hash_table_unref(changes->known);
}

static void drain(struct store_batch *batch)
{
    g_hash_table_unref(batch->staged);
    changes_release(batch->store, &batch->changes);
    g_clear_error(&batch->failure);
}

struct store_batch *store_batch_new(struct store *store)
{
    struct store_batch *batch = g_new0(struct store_batch, 1);
    batch->store = store;
    g_mutex_init(&batch->lock);
    fill(batch);
    return batch;
}

void store_batch_free(struct store_batch *batch)
{
    if (batch == NULL)
        return;
    drain(batch);
    g_mutex_clear(&batch->lock);
    g_free(batch);
}

static bool seen(const struct store_batch *batch, const struct digest *digest)
{
    return g_hash_table_contains(batch->changes.known, digest) ||
           g_hash_table_contains(batch->changes.blobs, digest) ||
           g_hash_table_contains(batch->staged, digest);
}

/* Is `digest` already in the batch or the store? Notes it in the latter case. */
static bool have(struct store_batch *batch, const struct digest *digest)
{
    g_mutex_lock(&batch->lock);
    bool found = seen(batch, digest);
    g_mutex_unlock(&batch->lock);
    if (found || !store_has(batch->store, digest))
        return found;
    g_mutex_lock(&batch->lock);
    if (!seen(batch, digest))
        g_hash_table_add(batch->changes.known, g_memdup2(digest, sizeof *digest));
    g_mutex_unlock(&batch->lock);
    return true;
}

static bool add_file_digests(const struct tree *directory, void *digests, GError **error)
{
    for (size_t i = 0; i < tree_size(directory); i++)
        if (tree_at(directory, i)->kind == TREE_FILE)
            g_array_append_val((GArray *)digests, tree_at(directory, i)->digest);
    return true;
}

static gint compare_digests(gconstpointer a, gconstpointer b)
{
    return memcmp(((const struct digest *)a)->hash, ((const struct digest *)b)->hash,
                  DIGEST_HASH_SIZE);
}
/*
 * The blobs that wait in memory, as changes of their own. They count as known from here on, so that
 * the last commit looks whether they are still there: nothing in the store names them until then.
 */
static void take_waiting(struct store_batch *batch, struct store_changes *out)
{
    *out = (struct store_changes){
        .blobs = batch->changes.blobs,
        .staged = g_ptr_array_new(),
        .records = g_ptr_array_new(),
        .known = digest_table(NULL),
        .generation = batch->changes.generation,
    };
    batch->changes.blobs = digest_table((GDestroyNotify)g_bytes_unref);
    batch->waiting = 0;
    GHashTableIter iter;
    void *digest;
    g_hash_table_iter_init(&iter, out->blobs);
    while (g_hash_table_iter_next(&iter, &digest, NULL))
        g_hash_table_add(batch->changes.known, g_memdup2(digest, sizeof(struct digest)));
}

static bool failed(struct store_batch *batch, GError **error)
{
    if (batch->failure != NULL && error != NULL)
        *error = g_error_copy(batch->failure);
    return batch->failure != NULL;
}

void store_batch_go_on(struct store_batch *batch)
{
    batch->goes_on = true;
}

void store_batch_heed(struct store_batch *batch, const volatile int *cancel)
{
    batch->changes.cancel = cancel;
}

/* There is no point in writing any more. */
static bool has_given_up(struct store_batch *batch)
{
    g_mutex_lock(&batch->lock);
    bool given_up = batch->goes_on && batch->failure != NULL;
    g_mutex_unlock(&batch->lock);
    return given_up;
}

/* Takes `cause`, which may be NULL if there was one before. */
static void give_up(struct store_batch *batch, GError *cause)
{
    g_mutex_lock(&batch->lock);
    if (batch->failure == NULL)
        batch->failure = g_steal_pointer(&cause);
    g_mutex_unlock(&batch->lock);
    g_clear_error(&cause);
}

static bool commit_early(struct store_batch *batch, struct store_changes *changes, GError **error)
{
    g_autoptr(GError) cause = NULL;
    bool ok = batch->store->ops->commit(batch->store, changes, &cause);
    changes_release(batch->store, changes);
    g_mutex_lock(&batch->lock);
    if (!ok && batch->failure == NULL)
        batch->failure = g_steal_pointer(&cause);
    ok = !failed(batch, error);
    g_mutex_unlock(&batch->lock);
    return ok;
}

/* Let `bytes`, new to the batch when last looked, wait for a commit. */
static bool add_waiting(struct store_batch *batch, const struct digest *digest, GBytes *bytes,
                        GError **error)
{
    struct store_changes early = { .blobs = NULL };
    g_mutex_lock(&batch->lock);
    if (!seen(batch, digest)) {
        g_hash_table_insert(batch->changes.blobs, g_memdup2(digest, sizeof *digest),
                            g_bytes_ref(bytes));
        batch->waiting += (guint64)digest->size;
        if (batch->waiting > EARLY_COMMIT_BYTES && batch->store->persistent)
            take_waiting(batch, &early);
    }
    bool ok = !failed(batch, error);
    g_mutex_unlock(&batch->lock);
    if (early.blobs == NULL)
        return ok;
    if (ok)
        return commit_early(batch, &early, error);
    changes_release(batch->store, &early);
    return false;
}

static void add_staged(struct store_batch *batch, const struct digest *digest, char *name)
{
    g_mutex_lock(&batch->lock);
    bool duplicate = seen(batch, digest);
    if (!duplicate) {
        struct store_staged *staged = g_new0(struct store_staged, 1);
        *staged = (struct store_staged){ .digest = *digest, .name = name };
        g_ptr_array_add(batch->changes.staged, staged);
        g_hash_table_add(batch->staged, &staged->digest);
    }
    g_mutex_unlock(&batch->lock);
    if (duplicate) {
        batch->store->ops->unstage(batch->store, name);
        g_free(name);
    }
}

static bool refused(struct store *store, GError **error)
{
    if (store->read_only)
        fault_set(error, FAULT_READ_ONLY, "the store %s may only be read", store->path);
    return store->read_only;
}

static bool put_bytes(struct store_batch *batch, GBytes *bytes, struct digest *out, GError **error)
{
    digest_of_bytes(bytes, out);
    if (have(batch, out))
        return true;
    return !refused(batch->store, error) && add_waiting(batch, out, bytes, error);
}

static bool put_data(struct store_batch *batch, const void *data, size_t size,
                     const struct digest *out, GError **error)
{
    if (have(batch, out))
        return true;
    if (refused(batch->store, error))
        return false;
    if (size <= batch->store->inline_limit) {
        g_autoptr(GBytes) bytes = g_bytes_new(data, size);
        return add_waiting(batch, out, bytes, error);
    }
    g_autofree char *name = NULL;
    autofd int file = batch->store->ops->stage(batch->store, &name, error);
    if (file < 0)
        return false;
    if (!fd_write_all(file, data, size, batch->store->path, error)) {
        batch->store->ops->unstage(batch->store, name);
        return false;
    }
    add_staged(batch, out, g_steal_pointer(&name));
    return true;
}

bool store_batch_count_on(struct store_batch *batch, const struct tree *tree)
{
    g_autoptr(GArray) digests = g_array_new(FALSE, FALSE, sizeof(struct digest));
    if (has_given_up(batch))
        return true;
    tree_each_directory(tree, add_file_digests, digests, NULL);
    g_array_sort(digests, compare_digests);
    for (guint i = 0; i < digests->len; i++)
        if (!have(batch, &g_array_index(digests, struct digest, i)))
            return false;
    return true;
}

bool store_batch_put(struct store_batch *batch, const void *data, size_t size, struct digest *out,
                     GError **error)
{
    GError *cause = NULL;
    digest_of(data, size, out);
    if (has_given_up(batch) || put_data(batch, data, size, out, &cause))
        return true;
    if (batch->goes_on)
        give_up(batch, cause);
    else
        g_propagate_error(error, cause);
    return batch->goes_on;
}

static bool changed(const char *what, GError **error)
{
    return fault_set(error, FAULT_CHANGED, "%s changed its size while it was read", what);
}

static bool put_small_file(struct store_batch *batch, int descriptor, gint64 size, const char *what,
                           struct digest *out, GError **error)
{
    g_autofree char *data = g_try_malloc((gsize)size + 1); /* the byte beyond shows a longer file */
    if (data == NULL)
        return fault_set(error, FAULT_NO_SPACE, "no memory for %s (%" G_GINT64_FORMAT " bytes)",
                         what, size);
    gssize count = fd_read_full(descriptor, data, (size_t)size + 1, what, error);
    if (count < 0)
        return false;
    if (count != size)
        return changed(what, error);
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_steal_pointer(&data), (gsize)size);
    return put_bytes(batch, bytes, out, error);
}

/* A file to be put. */
struct source {
    int descriptor;
    gint64 size;
    const char *what;
    const volatile int *cancel;
};

/* Hash the rest of it on its way into `to`, unless that is -1. */
static bool copy_and_hash(const struct source *source, int to, const char *store_path,
                          struct digest *out, GError **error)
{
    g_autofree char *buffer = g_malloc(COPY_BYTES);
    const struct pump bytes = {
        .from = source->descriptor,
        .to = to,
        .size = source->size,
        .what = source->what,
        .to_what = store_path,
        .cancel = source->cancel,
        .buffer = buffer,
        .buffer_size = COPY_BYTES,
    };
    return pump_bytes(&bytes, out, error) == PUMP_DONE &&
           (out->size == source->size || changed(source->what, error));
}

static bool put_file(struct store_batch *batch, const struct source *source, struct digest *out,
                     GError **error)
{
    struct store *store = batch->store;
    if ((guint64)source->size <= store->inline_limit)
        return put_small_file(batch, source->descriptor, source->size, source->what, out, error);
    if (refused(store, error))
        return false;
    g_autofree char *name = NULL;
    autofd int file = store->ops->stage(store, &name, error);
    if (file < 0)
        return false;
    if (!copy_and_hash(source, file, store->path, out, error)) {
        store->ops->unstage(store, name);
        return false;
    }
    if (have(batch, out))
        store->ops->unstage(store, name);
    else
        add_staged(batch, out, g_steal_pointer(&name));
    return true;
}

bool store_batch_put_file(struct store_batch *batch, int descriptor, gint64 size, const char *what,
                          const volatile int *cancel, struct digest *out, GError **error)
{
    const struct source source = { descriptor, size, what, cancel };
    g_autoptr(GError) cause = NULL;
    off_t start = batch->goes_on ? lseek(descriptor, 0, SEEK_CUR) : 0;
    if (!has_given_up(batch) && put_file(batch, &source, out, &cause))
        return true;
    if (!batch->goes_on || g_error_matches(cause, FAULT, FAULT_CANCELLED)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    /* If it can be read once more, it was the writing that failed. */
    if (lseek(descriptor, start, SEEK_SET) < 0)
        return fault_errno(error, errno, "cannot rewind %s", what);
    if (!copy_and_hash(&source, -1, NULL, out, error))
        return false;
    give_up(batch, g_steal_pointer(&cause));
    return true;
}

static bool put_directory(const struct tree *directory, void *user, GError **error)
{
    struct store_batch *batch = user;
    if (have(batch, tree_digest(directory)))
        return true;
    g_autoptr(GBytes) message = tree_encode(directory);
    struct digest digest;
    gsize size;
    const void *data = g_bytes_get_data(message, &size);
    return store_batch_put(batch, data, size, &digest, error);
}

bool store_batch_put_tree(struct store_batch *batch, const struct tree *tree, GError **error)
{
    return tree_each_directory(tree, put_directory, batch, error);
}

void store_batch_put_record(struct store_batch *batch, enum store_table table, const void *key,
                            size_t key_size, GBytes *value)
{
    g_assert(key_size > 0 && key_size <= STORE_KEY_MAX);
    struct store_change *change = g_new0(struct store_change, 1);
    change->table = table;
    change->key = g_bytes_new(key, key_size);
    change->value = value != NULL ? g_bytes_ref(value) : NULL;
    g_mutex_lock(&batch->lock);
    g_ptr_array_add(batch->changes.records, change);
    g_mutex_unlock(&batch->lock);
}

static bool is_empty(const struct store_changes *changes)
{
    return g_hash_table_size(changes->blobs) == 0 && changes->staged->len == 0 &&
           changes->records->len == 0 && g_hash_table_size(changes->known) == 0;
}

bool store_batch_commit(struct store_batch *batch, GError **error)
{
    struct store *store = batch->store;
    bool ok = !failed(batch, error);
    if (ok && !is_empty(&batch->changes)) {
        bool writes = g_hash_table_size(batch->changes.blobs) > 0 ||
                      batch->changes.staged->len > 0 || batch->changes.records->len > 0;
        ok =
            !(writes && refused(store, error)) && store->ops->commit(store, &batch->changes, error);
    }
    drain(batch);
    fill(batch);
    return ok;
}
