// SPDX-License-Identifier: Apache-2.0
/* Copies large outputs before commit changes anything, so that this can be cancelled. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "session/commit-internal.h"
#include "session/session-internal.h"
#include "store/materialize.h"

#include <fcntl.h>

/* What is smaller is copied in a moment. */
#define STAGE_SIZE ((gint64)16 << 20)

/* Each holds a descriptor. */
#define STAGE_COUNT 64

static void close_staged(gpointer file)
{
    int descriptor = GPOINTER_TO_INT(file);
    fd_close(&descriptor);
}

GHashTable *stage_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_staged);
}

bool stage_wants(GHashTable *staged, const struct tree_entry *entry)
{
    return entry->kind == TREE_FILE && entry->digest.size >= STAGE_SIZE &&
           g_hash_table_size(staged) < STAGE_COUNT;
}

static bool copy(const struct commit *commit, const char *path, const struct tree_entry *entry,
                 int to, GError **error)
{
    g_autofree char *what = path_quote(path);
    if (commit->source < 0)
        return store_copy_blob(commit->store, &entry->digest, to, what, commit->cancel, error);
    autofd int from = fd_open_beneath(commit->source, path, O_RDONLY, 0);
    return from >= 0 && fd_copy(from, to, entry->digest.size, what, commit->cancel, error);
}

bool stage_file(GHashTable *staged, const struct commit *commit, const char *path,
                const struct tree_entry *entry, GError **error)
{
    g_autofree char *temporary = NULL;
    g_autoptr(GError) cause = NULL;
    int root = commit->session->root_fd;
    autofd int to = fd_create_unnamed(root, 0600, &temporary);
    if (to < 0)
        return true;
    bool ok = temporary == NULL && copy(commit, path, entry, to, &cause);
    fd_discard(root, &temporary);
    if (ok)
        g_hash_table_replace(staged, g_strdup(path), GINT_TO_POINTER(fd_steal(&to)));
    if (!g_error_matches(cause, FAULT, FAULT_CANCELLED))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

int stage_take(GHashTable *staged, const char *path, int directory)
{
    struct stat here, there;
    gpointer name, file;
    if (!g_hash_table_steal_extended(staged, path, &name, &file))
        return -1;
    g_free(name);
    autofd int taken = GPOINTER_TO_INT(file);
    if (fstat(taken, &here) < 0 || fstat(directory, &there) < 0 || here.st_dev != there.st_dev)
        return -1;
    return fd_steal(&taken);
}
