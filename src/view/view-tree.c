// SPDX-License-Identifier: Apache-2.0
/*
 * A tree as what lies below: nothing of it is on disk before somebody reads it, so that it costs
 * the same however large it is. Small contents are in memory while they are open, large ones are
 * the store's object files.
 */
#include "base/fd.h"
#include "store/materialize.h"
#include "tree/tree.h"
#include "view/view-below.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct grove {
    struct below below;
    struct tree *tree;
    struct store *store;
    int fallback;
    gint64 time, compiled;
};

static struct grove *grove(struct below *below)
{
    return (struct grove *)below;
}

static mode_t mode_of(const struct tree_entry *entry)
{
    switch (entry->kind) {
    case TREE_DIRECTORY:
        return S_IFDIR | 0755;
    case TREE_SYMLINK:
        return S_IFLNK | 0777;
    default:
        return entry->executable ? S_IFREG | 0755 : S_IFREG | 0644;
    }
}

static int tree_look(struct below *below, const char *path, struct below_file *out)
{
    const struct tree_entry *entry = *path == '\0' ? NULL : tree_lookup(grove(below)->tree, path);
    *out = (struct below_file){ 0 };
    if (entry == NULL && *path != '\0')
        return -ENOENT;
    out->status.st_mode = entry == NULL ? S_IFDIR | 0755 : mode_of(entry);
    out->status.st_nlink = 1;
    out->status.st_mtim = out->status.st_ctim = fd_timespec(grove(below)->time);
    trace_stamp_of(&out->status, &out->stamp);
    if (entry == NULL || entry->kind != TREE_FILE)
        return 0;
    out->content = &entry->digest;
    out->status.st_size = (off_t)entry->digest.size;
    out->status.st_blocks = (blkcnt_t)((entry->digest.size + 511) / 512);
    out->stamp.size = out->status.st_size;
    return 0;
}

/* Larger ones are not held in memory, but read twice: once to be sure, once by who wants them. */
enum {
    WHOLE_SIZE = 1 << 20
};

static int open_whole(struct store *store, const struct digest *digest)
{
    g_autoptr(GBytes) bytes = store_get(store, digest, NULL);
    return bytes == NULL
               ? -1
               : fd_from_bytes(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), NULL);
}

/* V1: what leaves the store is what its name says. */
static bool is_sound(struct store *store, const struct digest *digest, int file)
{
    struct digest_context context;
    struct digest found;
    g_autofree guint8 *buffer = g_malloc(WHOLE_SIZE);
    ssize_t size;
    digest_init(&context);
    for (off_t at = 0; (size = pread(file, buffer, WHOLE_SIZE, at)) > 0; at += size)
        digest_update(&context, buffer, (size_t)size);
    digest_finish(&context, &found);
    if (digest_equal(&found, digest))
        return true;
    store_drop(store, digest);
    return false;
}

/* A copy, since others may write there while it is being read; -1: it is something else by now. */
static int copy_fallback(int directory, const char *path, const struct digest *digest)
{
    struct digest_context context;
    struct digest found;
    g_autofree guint8 *buffer = g_malloc(WHOLE_SIZE);
    ssize_t size;
    autofd int from =
        fd_open_beneath(directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    autofd int copy = from < 0 ? -1 : fd_from_bytes("", 0, NULL);
    if (copy < 0)
        return -1;
    digest_init(&context);
    while ((size = read(from, buffer, WHOLE_SIZE)) > 0) {
        digest_update(&context, buffer, (size_t)size);
        if (!fd_write_all(copy, buffer, (size_t)size, path, NULL))
            return -1;
    }
    digest_finish(&context, &found);
    return digest_equal(&found, digest) ? fd_steal(&copy) : -1;
}

static int open_stored(struct store *store, const struct digest *digest)
{
    if (digest->size <= WHOLE_SIZE)
        return open_whole(store, digest);
    autofd int file = store_open_blob(store, digest, NULL);
    return file >= 0 && is_sound(store, digest, file) ? fd_steal(&file) : -1;
}

int below_open_stored(struct store *store, const struct digest *digest)
{
    int file = open_stored(store, digest);
    return file < 0 ? -EIO : file;
}

static int tree_open(struct below *below, const char *path)
{
    const struct tree_entry *entry = tree_lookup(grove(below)->tree, path);
    if (entry == NULL || entry->kind != TREE_FILE)
        return -EIO;
    int file = open_stored(grove(below)->store, &entry->digest);
    if (file < 0 && grove(below)->fallback >= 0)
        file = copy_fallback(grove(below)->fallback, path, &entry->digest);
    return file < 0 ? -EIO : file;
}

static int tree_list(struct below *below, const char *path, below_visit visit, void *user)
{
    const struct tree *tree = grove(below)->tree;
    const struct tree_entry *entry = *path == '\0' ? NULL : tree_lookup(tree, path);
    if (*path != '\0' && (entry == NULL || entry->kind != TREE_DIRECTORY))
        return -ENOTDIR;
    const struct tree *directory = entry == NULL ? tree : entry->directory;
    for (size_t i = 0; i < tree_size(directory); i++) {
        const struct tree_entry *child = tree_at(directory, i);
        visit(child->name, mode_of(child) & S_IFMT, 0, user);
    }
    return 0;
}

static int tree_read_link(struct below *below, const char *path, char **target)
{
    const struct tree_entry *entry = tree_lookup(grove(below)->tree, path);
    if (entry == NULL || entry->kind != TREE_SYMLINK)
        return -EINVAL;
    *target = g_strdup(entry->target);
    return 0;
}

/* All of it belongs to whoever looks at it. */
static int tree_permit(struct below *below, const char *path, int mask)
{
    const struct tree_entry *entry = *path == '\0' ? NULL : tree_lookup(grove(below)->tree, path);
    bool executable = entry == NULL || (mode_of(entry) & S_IXUSR) != 0;
    return (mask & X_OK) != 0 && !executable ? -EACCES : 0;
}

static void tree_below_free(struct below *below)
{
    tree_unref(grove(below)->tree);
    g_free(below);
}

/* It depends on the content. */
static gint64 tree_clock(struct below *below, const char *path)
{
    if (grove(below)->compiled == 0)
        return 0;
    guint8 start[STORE_MAGIC];
    autofd int file = tree_open(below, path);
    bool made = file >= 0 && pread(file, start, sizeof start, 0) == sizeof start &&
                store_is_compiled(start, sizeof start);
    return made ? grove(below)->compiled : grove(below)->time;
}

static const struct below_operations operations = {
    .look = tree_look,
    .open = tree_open,
    .list = tree_list,
    .read_link = tree_read_link,
    .permit = tree_permit,
    .clock = tree_clock,
    .free = tree_below_free,
};

struct below *below_tree_new(struct tree *tree, struct store *store, int fallback, gint64 time,
                             gint64 compiled)
{
    struct grove *made = g_new0(struct grove, 1);
    made->below.operations = &operations;
    made->tree = tree_ref(tree);
    made->store = store;
    made->fallback = fallback;
    made->time = time;
    made->compiled = compiled;
    return &made->below;
}
