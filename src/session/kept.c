// SPDX-License-Identifier: Apache-2.0
/* What runs leave to look at. */
#include "session/kept.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "cache/cache.h"
#include "cache/seen.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* --- keeping ---------------------------------------------------------------------------------- */

/* Is the content in the store or, from now on, in the batch? */
static bool put_content(struct session *session, struct store *store, struct store_batch *batch,
                        const struct trace_fact *fact)
{
    struct digest found;
    struct stat status;
    if (store_has(store, &fact->value.digest))
        return true;
    autofd int file = fd_open_beneath(session->root_fd, fact->path,
                                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    return file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_size == fact->value.digest.size &&
           store_batch_put_file(batch, file, status.st_size, fact->path, NULL, &found, NULL) &&
           digest_equal(&found, &fact->value.digest);
}

static bool is_worth_it(const struct trace_fact *fact, guint64 total)
{
    const struct trace_value *value = &fact->value;
    guint64 size = (guint64)value->digest.size;
    return (fact->aspects & TRACE_CONTENT) != 0 && value->kind == TRACE_FILE &&
           !value->unreadable && !fact->unstable && path_is_relative(fact->path) &&
           size <= KEPT_FILE_MAX && total + size <= KEPT_RUN_MAX;
}

static bool add_inputs(struct session *session, struct store *store, struct store_batch *batch,
                       const struct trace *trace, struct tree_builder *builder, GError **error)
{
    guint64 total = 0;
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        if (!is_worth_it(fact, total) || !put_content(session, store, batch, fact))
            continue;
        total += (guint64)fact->value.digest.size;
        const struct tree_entry entry = { .kind = TREE_FILE,
                                          .digest = fact->value.digest,
                                          .executable = (fact->value.mode & 0100) != 0 };
        g_autofree char *path = g_strconcat("inputs/", fact->path, NULL);
        if (!tree_builder_add(builder, path, &entry, error))
            return false;
    }
    return true;
}

bool kept_record(struct session *session, struct store *store, struct store_batch *batch,
                 const struct trace *trace, struct digest *out, GError **error)
{
    g_autoptr(tree_builder) builder = tree_builder_new();
    struct tree_entry entry = { .kind = TREE_FILE };
    g_autoptr(GBytes) bytes = trace_encode(trace);
    if (!store_batch_put(batch, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                         &entry.digest, error) ||
        !tree_builder_add(builder, "trace", &entry, error) ||
        !add_inputs(session, store, batch, trace, builder, error))
        return false;
    g_autoptr(tree) tree = tree_builder_finish(g_steal_pointer(&builder));
    if (!store_batch_count_on(batch, tree))
        return fault_set(error, FAULT_MISSING, "an input was collected meanwhile");
    if (!store_batch_put_tree(batch, tree, error))
        return false;
    *out = *tree_digest(tree);
    cache_record_kept(batch, out, g_get_real_time());
    return true;
}

/* --- looking ---------------------------------------------------------------------------------- */

struct origin {
    const struct history_entry *of;
    struct digest kept; /* size 0: not found yet */
};

static bool find_origin(const struct history_entry *entry, void *user)
{
    struct origin *origin = user;
    if (!digest_equal(&entry->key, &origin->of->key) || entry->kept.size == 0)
        return true;
    origin->kept = entry->kept;
    return false;
}

/* A hit has left nothing; the run whose result it reused has the same key. */
static struct tree *load(struct session *session, const struct history_entry *entry)
{
    struct origin origin = { .of = entry, .kept = entry->kept };
    if (origin.kept.size == 0 && entry->hit)
        history_each(session->store, find_origin, &origin);
    return origin.kept.size == 0 ? NULL : store_get_tree(session->store, &origin.kept, NULL);
}

/* That of a run in a view, whose key comes from what it saw, is kept by its weak key. */
struct action *kept_action(struct session *session, const struct history_entry *entry)
{
    struct action *action = action_load(session->store, &entry->key, NULL);
    return action != NULL ? action : action_load(session->store, &entry->weak, NULL);
}

struct tree *kept_inputs(struct session *session, const struct history_entry *entry)
{
    g_autoptr(tree) tree = load(session, entry);
    const struct tree_entry *inputs = tree == NULL ? NULL : tree_child(tree, "inputs");
    return inputs != NULL && inputs->kind == TREE_DIRECTORY ? tree_ref(inputs->directory)
                                                            : tree_empty();
}

struct trace *kept_trace(struct session *session, const struct history_entry *entry, GError **error)
{
    g_autoptr(tree) tree = load(session, entry);
    const struct tree_entry *file = tree == NULL ? NULL : tree_child(tree, "trace");
    g_autoptr(GBytes) bytes = file == NULL || file->kind != TREE_FILE
                                  ? NULL
                                  : store_get(session->store, &file->digest, NULL);
    return bytes != NULL ? trace_decode(bytes, error)
                         : seen_trace(session->store, &entry->key, error);
}
