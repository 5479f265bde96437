// SPDX-License-Identifier: Apache-2.0
/*
 * Writing to a view by its owner, not by a process in it: what a stored result left is put into a
 * child, which is then committed like one that has run.
 */
#include "view/view-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <string.h>
#include <unistd.h>

static bool failed(GError **error, int rc, const char *path)
{
    g_autofree char *quoted = path_quote(path);
    return fault_errno(error, -rc, "cannot put back %s", quoted);
}

static void record(struct view *view, const char *path, unsigned what)
{
    if (view->recorder != NULL)
        recorder_write(view->recorder, path, 0, what);
}

static void take_away(struct view *view, struct entry *entry)
{
    if (entry->state == ENTRY_PRESENT)
        entry_remove(view, entry);
}

/* --- the way ---------------------------------------------------------------------------------- */

static struct node *add_node(struct view *view, struct entry *entry, guint32 mode)
{
    struct node *node = node_new(view, mode);
    node->changed = true;
    take_away(view, entry);
    entry_place(view, entry, node);
    return node;
}

/* The entry of the last name; directories on the way are made unless `only_known`. */
static int find_entry(struct view *view, const char *path, bool only_known, struct entry **out)
{
    struct node *directory = view->top;
    g_auto(GStrv) names = g_strsplit(path + 1, "/", -1);
    for (char **name = names; *name != NULL; name++) {
        int rc = entry_find(view, directory, *name, out);
        if (rc < 0)
            return rc;
        if (name[1] == NULL)
            return 0;
        bool there = (*out)->state == ENTRY_PRESENT && S_ISDIR((*out)->node->mode);
        if (!there && only_known)
            return -ENOENT;
        directory = there ? (*out)->node : add_node(view, *out, S_IFDIR | 0755);
    }
    return -EINVAL;
}

/* --- what is put there ------------------------------------------------------------------------ */

/* The node is ours alone and has no data yet. */
static int fill(struct view *view, struct node *node, const struct view_file *file)
{
    struct stat status;
    int rc = data_create(view, node);
    autofd int to = rc < 0 ? -1 : data_open(view, node, O_RDWR);
    if (rc < 0 || to < 0)
        return rc < 0 ? rc : to;
    if (fstat(file->content, &status) < 0)
        return -errno;
    g_autoptr(GError) error = NULL;
    if (fd_copy(file->content, to, status.st_size, "data", NULL, &error))
        return 0;
    return errno != 0 ? -errno : -EIO;
}

static int put(struct view *view, const struct view_file *file)
{
    struct entry *entry;
    int rc = find_entry(view, file->path, false, &entry);
    if (rc < 0)
        return rc;
    bool stays = S_ISDIR(file->mode) && entry->state == ENTRY_PRESENT && S_ISDIR(entry->node->mode);
    struct node *node = stays ? entry->node : add_node(view, entry, file->mode);
    node_save_written(view, node);
    node->mode = (node->mode & S_IFMT) | (file->mode & 07777);
    node->changed = true;
    if (S_ISREG(file->mode) && (rc = fill(view, node, file)) < 0)
        return rc;
    if (S_ISLNK(file->mode))
        node->target = g_strdup(file->target);
    if (file->xattrs != NULL) {
        g_clear_pointer(&node->xattrs, g_hash_table_unref);
        node->xattrs = g_hash_table_ref(file->xattrs);
    }
    if (file->time == 0)
        return 0;
    node->atime = node->mtime = file->time;
    node->timed = true;
    return node->data == DATA_SCRATCH ? data_set_times(view, node) : 0;
}

bool view_put(struct view *view, const struct view_file *file, GError **error)
{
    g_assert(file->path[0] == '/');
    g_mutex_lock(&view->lock);
    int rc = put(view, file);
    g_mutex_unlock(&view->lock);
    record(view, file->path, TRACE_CREATED | (S_ISREG(file->mode) ? TRACE_WROTE : 0u));
    return rc == 0 || failed(error, rc, file->path);
}

static int put_link(struct view *view, const char *path, const char *other)
{
    struct entry *from, *to;
    int rc = find_entry(view, other, true, &from);
    if (rc == 0)
        rc = from->state != ENTRY_PRESENT ? -ENOENT
             : S_ISDIR(from->node->mode)  ? -EPERM
                                          : find_entry(view, path, false, &to);
    if (rc < 0 || (to->state == ENTRY_PRESENT && to->node == from->node))
        return rc;
    struct node *node = from->node;
    take_away(view, to);
    entry_place(view, to, node);
    node->linked_elsewhere |= node->below;
    return 0;
}

bool view_put_link(struct view *view, const char *path, const char *other, GError **error)
{
    g_mutex_lock(&view->lock);
    int rc = put_link(view, path, other);
    g_mutex_unlock(&view->lock);
    record(view, path, TRACE_CREATED);
    return rc == 0 || failed(error, rc, path);
}

bool view_put_away(struct view *view, const char *path, GError **error)
{
    struct entry *entry;
    g_mutex_lock(&view->lock);
    int rc = find_entry(view, path, true, &entry);
    if (rc == 0)
        take_away(view, entry);
    g_mutex_unlock(&view->lock);
    record(view, path, TRACE_REMOVED);
    return rc == 0 || rc == -ENOENT || rc == -ENOTDIR || failed(error, rc, path);
}
