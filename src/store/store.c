// SPDX-License-Identifier: Apache-2.0
/* The store as its callers see it: checks what goes in and comes out, and hands on to a back end.
 */
#include "store/store-internal.h"

#include "base/fault.h"

char *store_default_path(void)
{
    const char *chosen = g_getenv("VIAL_STORE");
    if (chosen != NULL && *chosen != '\0')
        return g_strdup(chosen);
    return g_build_filename(g_get_user_cache_dir(), "vial", NULL);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    char *path = g_steal_pointer(&store->path);
    store->ops->close(store);
    g_free(path);
}

const char *store_path(const struct store *store)
{
    return store->path;
}

bool store_is_read_only(const struct store *store)
{
    return store->read_only;
}

bool store_is_persistent(const struct store *store)
{
    return store->persistent;
}

bool store_has(struct store *store, const struct digest *digest)
{
    return store->ops->has(store, digest);
}

static bool missing(const struct digest *digest, const char *why, GError **error)
{
    char text[DIGEST_TEXT_SIZE];
    return fault_set(error, FAULT_MISSING, "the store does not hold %s%s",
                     digest_print(digest, text), why);
}

GBytes *store_get(struct store *store, const struct digest *digest, GError **error)
{
    g_autoptr(GBytes) bytes = store->ops->read(store, digest);
    if (bytes == NULL) {
        missing(digest, "", error);
        return NULL;
    }
    struct digest found;
    digest_of_bytes(bytes, &found);
    if (!digest_equal(&found, digest)) {
        store->ops->drop(store, digest);
        missing(digest, ": what it held under that name was damaged", error);
        return NULL;
    }
    return g_steal_pointer(&bytes);
}

int store_open_blob(struct store *store, const struct digest *digest, GError **error)
{
    g_autoptr(GError) cause = NULL;
    int descriptor = store->ops->open_blob(store, digest, &cause);
    if (descriptor >= 0)
        return descriptor;
    if (cause != NULL)
        g_propagate_error(error, g_steal_pointer(&cause));
    else
        missing(digest, "", error);
    return -1;
}

void store_drop(struct store *store, const struct digest *digest)
{
    store->ops->drop(store, digest);
}

static GBytes *fetch(const struct digest *digest, void *user, GError **error)
{
    return store_get(user, digest, error);
}

struct tree *store_get_tree(struct store *store, const struct digest *digest, GError **error)
{
    return tree_load(digest, fetch, store, error);
}

static bool has_children(const struct tree *directory, void *user, GError **error)
{
    struct store *store = user;
    if (!store_has(store, tree_digest(directory)))
        return missing(tree_digest(directory), " (a directory)", error);
    for (size_t i = 0; i < tree_size(directory); i++) {
        const struct tree_entry *entry = tree_at(directory, i);
        if (entry->kind == TREE_FILE && !store_has(store, &entry->digest)) {
            missing(&entry->digest, "", error);
            g_autofree char *described = tree_entry_describe(entry);
            g_prefix_error(error, "%s, %s: ", entry->name, described);
            return false;
        }
    }
    return true;
}

bool store_has_tree(struct store *store, const struct tree *tree, GError **error)
{
    return tree_each_directory(tree, has_children, store, error);
}

GBytes *store_record_get(struct store *store, enum store_table table, const void *key,
                         size_t key_size)
{
    g_assert(key_size > 0 && key_size <= STORE_KEY_MAX);
    return store->ops->record_get(store, table, key, key_size);
}

void store_record_each(struct store *store, enum store_table table, store_record_visit visit,
                       void *user)
{
    store->ops->record_each(store, table, visit, user);
}

bool store_record_put(struct store *store, enum store_table table, const void *key, size_t key_size,
                      GBytes *value, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    store_batch_put_record(batch, table, key, key_size, value);
    return store_batch_commit(batch, error);
}

bool store_log_append(struct store *store, GBytes *entry, GError **error)
{
    return store->ops->log_append(store, entry, error);
}

void store_log_each(struct store *store, store_log_visit visit, void *user)
{
    store->ops->log_each(store, visit, user);
}

struct store_claim *store_claim(struct store *store, const struct digest *key,
                                const volatile int *cancel, bool *waited, GError **error)
{
    *waited = false;
    return store->ops->claim(store, key, cancel, waited, error);
}

void store_claim_release(struct store_claim *claim)
{
    if (claim != NULL)
        claim->store->ops->claim_release(claim);
}

bool store_fault_collected(const struct digest *digest, GError **error)
{
    return missing(digest, " any more: it was collected while this batch was open", error);
}

bool store_is_cancelled(const volatile int *cancel)
{
    return cancel != NULL && *cancel != 0;
}

bool store_statistics(struct store *store, struct store_statistics *out, GError **error)
{
    memset(out, 0, sizeof *out);
    return store->ops->statistics(store, out, error);
}

bool store_verify(struct store *store, bool repair, store_damage report, void *user,
                  struct store_verify_result *out, GError **error)
{
    memset(out, 0, sizeof *out);
    return store->ops->verify(store, repair, report, user, out, error);
}

bool store_gc(struct store *store, guint64 max_bytes, store_describe describe, void *user,
              struct store_gc_result *out, GError **error)
{
    memset(out, 0, sizeof *out);
    return store->ops->gc(store, max_bytes, describe, user, out, error);
}
