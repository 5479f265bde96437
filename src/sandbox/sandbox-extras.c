// SPDX-License-Identifier: Apache-2.0
/* What a tree cannot hold of the outputs, read off the files that the command left. */
#include "sandbox/sandbox-internal.h"

#include "base/fd.h"
#include "base/wire.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FIFO_ENDING ": is a FIFO"

struct noting {
    const struct files *files;
    GHashTable *inodes; /* inode -> path of the first output with it; all on one file system */
    GPtrArray *extras;
};

/* Attributes of the user's own, as { name = 1, value = 2 } in field 1 each; NULL: none. */
static GBytes *read_attributes(const char *path)
{
    ssize_t size = llistxattr(path, NULL, 0);
    if (size <= 0)
        return NULL;
    g_autofree char *names = g_malloc0((gsize)size + 1);
    g_autoptr(GByteArray) all = g_byte_array_new();
    size = llistxattr(path, names, (gsize)size);
    for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        ssize_t length = strncmp(name, "user.", 5) != 0 ? -1 : lgetxattr(path, name, NULL, 0);
        if (length < 0)
            continue;
        g_autofree char *value = g_malloc((gsize)length + 1);
        length = lgetxattr(path, name, value, (gsize)length);
        g_autoptr(GByteArray) one = g_byte_array_new();
        wire_put_bytes(one, 1, name, strlen(name));
        wire_put_bytes(one, 2, value, (size_t)MAX(length, 0));
        wire_put_message(all, 1, one);
    }
    return all->len == 0 ? NULL : g_byte_array_free_to_bytes(g_steal_pointer(&all));
}

static struct output_extra *add_extra(struct noting *noting, const char *path,
                                      const struct stat *status)
{
    struct output_extra *extra = g_new0(struct output_extra, 1);
    gpointer mode = GUINT_TO_POINTER(status->st_mode & 07777), widened;
    if (noting->files->modes != NULL &&
        g_hash_table_lookup_extended(noting->files->modes, path, NULL, &widened))
        mode = widened;
    extra->path = g_strdup(path);
    extra->mtime = fd_nanoseconds(status->st_mtim);
    extra->mode = GPOINTER_TO_UINT(mode);
    g_ptr_array_add(noting->extras, extra);
    return extra;
}

static bool note_entry(const char *path, const struct tree_entry *entry, void *user)
{
    struct noting *noting = user;
    struct stat status;
    if (fstatat(noting->files->work, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return true; /* a path longer than the kernel takes */
    struct output_extra *extra = add_extra(noting, path, &status);
    if (entry->kind == TREE_SYMLINK)
        return true;
    g_autofree char *whole = g_strdup_printf("/proc/self/fd/%d/%s", noting->files->work, path);
    extra->xattrs = read_attributes(whole);
    if (entry->kind != TREE_FILE)
        return true;
    extra->sparse = status.st_blocks * 512 < status.st_size;
    guint64 inode = status.st_ino;
    const char *first = status.st_nlink < 2 ? NULL : g_hash_table_lookup(noting->inodes, &inode);
    if (first != NULL)
        extra->hard_link = g_strdup(first);
    else if (status.st_nlink > 1)
        g_hash_table_insert(noting->inodes, g_memdup2(&inode, sizeof inode), extra->path);
    return true;
}

/* Is this, of what capture left out, a FIFO? It can be made anew, so it is noted and no loss. */
static bool note_fifo(struct noting *noting, const char *unsupported)
{
    if (!g_str_has_suffix(unsupported, FIFO_ENDING))
        return false;
    gsize length = strlen(unsupported) - strlen(FIFO_ENDING);
    bool quoted = *unsupported == '"'; /* path_quote() */
    g_autofree char *text = g_strndup(unsupported + quoted, length - (quoted ? 2 : 0));
    g_autofree char *path = quoted ? g_strcompress(text) : g_strdup(text);
    struct stat status;
    if (fstatat(noting->files->work, path, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISFIFO(status.st_mode))
        return false;
    add_extra(noting, path, &status)->fifo = true;
    return true;
}

static gint compare_paths(gconstpointer a, gconstpointer b)
{
    const struct output_extra *const *one = a, *const *other = b;
    return strcmp((*one)->path, (*other)->path);
}

void sandbox_note_extras(const struct files *files, const struct tree *outputs,
                         const GPtrArray *unsupported, struct result *result)
{
    g_autoptr(GHashTable) inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    struct noting noting = { files, inodes, result->extras };
    tree_walk(outputs, note_entry, &noting);
    for (guint i = 0; i < unsupported->len; i++)
        if (!note_fifo(&noting, unsupported->pdata[i]) && result->uncacheable == NULL)
            result->uncacheable = g_strdup_printf("an output cannot be stored: %s",
                                                  (const char *)unsupported->pdata[i]);
    g_ptr_array_sort(result->extras, compare_paths);
}
