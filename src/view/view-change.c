// SPDX-License-Identifier: Apache-2.0
/* Opcodes that change names and attributes. */
#include "view/view-internal.h"

#include "base/fd.h"

#include <linux/xattr.h>
#include <string.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#endif

/* --- names ------------------------------------------------------------------------------------ */

static void touch_directory(struct view *view, struct node *directory)
{
    node_save(view, directory);
    directory->mtime = directory->ctime = view_now();
    directory->timed = true;
}

void entry_place(struct view *view, struct entry *entry, struct node *node)
{
    entry_save(view, entry);
    node_save(view, node);
    entry->changed = true;
    if (node->ino == 0)
        node->ino = number_for(view, entry);
    node->nlink += !S_ISDIR(node->mode) || node->nlink == 0;
    node->ctime = view_now();
    entry_attach(entry, node);
    touch_directory(view, entry->directory);
}

void entry_remove(struct view *view, struct entry *entry)
{
    entry_save(view, entry);
    node_save(view, entry->node);
    struct node *node = entry_detach(view, entry);
    touch_directory(view, entry->directory);
    node->nlink -= node->nlink > 0;
    node->ctime = view_now();
    node->linked_elsewhere |= node->nlink > 0;
    node_settle(view, node);
}

/* The entry for a new name, which must not be there. */
static int find_free(struct request *request, struct entry **out)
{
    int rc = entry_find(request->view, request->node, request->name, out);
    if (rc == 0 && (*out)->state == ENTRY_PRESENT)
        rc = -EEXIST;
    if (rc == 0)
        rc = permission_to_change(request, request->node);
    if (rc == 0)
        observe_absent(request, *out);
    return rc;
}

/* Whose it is, and what a directory with the set-group-ID bit hands down. */
void node_dress(const struct request *request, const struct node *directory, struct node *node)
{
    node->uid = request->header->uid;
    node->gid = request->header->gid;
    node->changed = true;
    if ((directory->mode & S_ISGID) == 0)
        return;
    node->gid = directory->gid;
    if (S_ISDIR(node->mode))
        node->mode |= S_ISGID;
}

/* Give a new node its name and answer with it. */
static int answer_new(struct request *request, struct entry *entry, struct node *node)
{
    struct fuse_entry_out *out = request->out;
    node_dress(request, request->node, node);
    entry_place(request->view, entry, node);
    observe_name_change(request, request->node, entry->name, TRACE_CREATED);
    view_answer_entry(request, node, out);
    out->attr_valid = VIEW_FOREVER; /* its own writing */
    request->out_size = sizeof *out;
    return 0;
}

int view_mknod(struct request *request)
{
    const struct fuse_mknod_in *in = request->argument;
    guint32 kind = in->mode & S_IFMT;
    struct entry *entry;
    int rc = find_free(request, &entry);
    if (rc < 0)
        return rc;
    if (kind != S_IFREG && kind != S_IFIFO && kind != S_IFSOCK)
        return -EPERM; /* no devices */
    struct node *node = node_new(request->view, in->mode);
    if (kind == S_IFREG && (rc = data_create(request->view, node)) < 0) {
        node_free(request->view, node);
        return rc;
    }
    return answer_new(request, entry, node);
}

int view_mkdir(struct request *request)
{
    const struct fuse_mkdir_in *in = request->argument;
    struct entry *entry;
    int rc = find_free(request, &entry);
    if (rc < 0)
        return rc;
    return answer_new(request, entry, node_new(request->view, S_IFDIR | (in->mode & 07777)));
}

int view_symlink(struct request *request)
{
    struct entry *entry;
    int rc = find_free(request, &entry);
    if (rc < 0)
        return rc;
    struct node *node = node_new(request->view, S_IFLNK | 0777);
    node->target = g_strdup(request->other);
    return answer_new(request, entry, node);
}

int view_link(struct request *request)
{
    const struct fuse_link_in *in = request->argument;
    struct node *node = node_get(request->view, in->oldnodeid);
    struct entry *entry;
    if (node == NULL)
        return -ESTALE;
    if (S_ISDIR(node->mode))
        return -EPERM;
    int rc = find_free(request, &entry);
    if (rc < 0)
        return rc;
    struct fuse_entry_out *out = request->out;
    entry_place(request->view, entry, node);
    node->linked_elsewhere |= node->below;
    observe_name_change(request, request->node, entry->name, TRACE_CREATED);
    view_answer_entry(request, node, out);
    request->out_size = sizeof *out;
    return 0;
}

static int find_victim(struct request *request, struct entry **out)
{
    int rc = entry_find(request->view, request->node, request->name, out);
    if (rc == 0 && (*out)->state != ENTRY_PRESENT)
        rc = -ENOENT;
    return rc < 0 ? rc : permission_to_change(request, request->node);
}

int view_unlink(struct request *request)
{
    struct entry *entry;
    int rc = find_victim(request, &entry);
    if (rc < 0)
        return rc;
    if (S_ISDIR(entry->node->mode))
        return -EISDIR;
    observe_name_change(request, request->node, entry->name, TRACE_REMOVED);
    entry_remove(request->view, entry);
    return 0;
}

/* Whoever learns that a directory is empty has as good as listed it. */
static int require_empty(struct request *request, struct node *directory)
{
    int rc = directory_list(request->view, directory);
    if (rc < 0)
        return rc;
    observe_listing(request, directory);
    return directory_is_empty(directory) ? 0 : -ENOTEMPTY;
}

int view_rmdir(struct request *request)
{
    struct entry *entry;
    int rc = find_victim(request, &entry);
    if (rc < 0)
        return rc;
    if (!S_ISDIR(entry->node->mode))
        return -ENOTDIR;
    rc = require_empty(request, entry->node);
    if (rc < 0)
        return rc;
    observe_name_change(request, request->node, entry->name, TRACE_REMOVED);
    entry_remove(request->view, entry);
    return 0;
}

/* --- rename ----------------------------------------------------------------------------------- */

static bool is_at_or_below(const struct node *node, const struct node *top)
{
    while (node != top && node->names != NULL)
        node = node->names->directory;
    return node == top;
}

static int may_replace(struct request *request, const struct node *moved, struct node *victim)
{
    if (S_ISDIR(victim->mode) && !S_ISDIR(moved->mode))
        return -EISDIR;
    if (!S_ISDIR(victim->mode))
        return S_ISDIR(moved->mode) ? -ENOTDIR : 0;
    return require_empty(request, victim);
}

static void move_node(struct view *view, struct entry *from, struct entry *to)
{
    entry_save(view, from);
    entry_save(view, to);
    node_save(view, from->node);
    struct node *node = entry_detach(view, from);
    touch_directory(view, from->directory);
    to->changed = true;
    node->ctime = view_now();
    node->linked_elsewhere |= node->below;
    entry_attach(to, node);
    touch_directory(view, to->directory);
}

static void exchange(struct view *view, struct entry *one, struct entry *other)
{
    entry_save(view, one);
    entry_save(view, other);
    node_save(view, one->node);
    node_save(view, other->node);
    struct node *first = entry_detach(view, one), *second = entry_detach(view, other);
    entry_attach(one, second);
    entry_attach(other, first);
    first->linked_elsewhere |= first->below;
    second->linked_elsewhere |= second->below;
    first->ctime = second->ctime = view_now();
    touch_directory(view, one->directory);
    touch_directory(view, other->directory);
}

static int check_rename(struct request *request, struct node *target, struct entry *from,
                        struct entry *to, guint32 flags)
{
    if (from->state != ENTRY_PRESENT)
        return -ENOENT;
    if (S_ISDIR(from->node->mode) && is_at_or_below(target, from->node))
        return -EINVAL;
    if (flags == RENAME_NOREPLACE && to->state == ENTRY_PRESENT)
        return -EEXIST;
    if (flags == RENAME_EXCHANGE && to->state != ENTRY_PRESENT)
        return -ENOENT;
    if (flags == RENAME_EXCHANGE && S_ISDIR(to->node->mode) &&
        is_at_or_below(request->node, to->node))
        return -EINVAL;
    int rc = permission_to_change(request, request->node);
    return rc < 0 ? rc : permission_to_change(request, target);
}

static int rename_to(struct request *request, guint64 target_id, guint32 flags)
{
    struct view *view = request->view;
    struct node *target = node_get(view, target_id);
    struct entry *from, *to;
    if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
        return -EINVAL;
    if (target == NULL)
        return -ESTALE;
    int rc = entry_find(view, request->node, request->name, &from);
    if (rc == 0)
        rc = entry_find(view, target, request->other, &to);
    if (rc == 0)
        rc = check_rename(request, target, from, to, flags);
    if (rc < 0 || (to->state == ENTRY_PRESENT && from->node == to->node))
        return rc;
    if (flags != RENAME_EXCHANGE && to->state == ENTRY_PRESENT &&
        (rc = may_replace(request, from->node, to->node)) < 0)
        return rc;
    observe_absent(request, to);
    guint32 other = flags == RENAME_EXCHANGE ? TRACE_CREATED : TRACE_REMOVED;
    observe_name_change(request, request->node, from->name, other | TRACE_RENAMED);
    observe_name_change(request, target, to->name, TRACE_CREATED | TRACE_RENAMED);
    if (flags == RENAME_EXCHANGE) {
        exchange(view, from, to);
        return 0;
    }
    if (to->state == ENTRY_PRESENT)
        entry_remove(view, to);
    move_node(view, from, to);
    return 0;
}

int view_rename(struct request *request)
{
    const struct fuse_rename_in *in = request->argument;
    return rename_to(request, in->newdir, 0);
}

int view_rename2(struct request *request)
{
    const struct fuse_rename2_in *in = request->argument;
    return rename_to(request, in->newdir, in->flags);
}

/* --- attributes ------------------------------------------------------------------------------- */

static int may_set(struct request *request, struct node *node, const struct fuse_setattr_in *in)
{
    bool owns = permission_owns(request, node);
    guint32 explicit_times = in->valid & (FATTR_ATIME | FATTR_MTIME);
    explicit_times &= ~((in->valid & FATTR_ATIME_NOW ? FATTR_ATIME : 0) |
                        (in->valid & FATTR_MTIME_NOW ? FATTR_MTIME : 0u));
    if ((in->valid & FATTR_MODE) != 0 && !owns)
        return -EPERM;
    if ((in->valid & FATTR_UID) != 0 && request->header->uid != 0 &&
        (!owns || in->uid != node->uid))
        return -EPERM;
    if ((in->valid & FATTR_GID) != 0 && request->header->uid != 0 &&
        (!owns || (in->gid != node->gid && in->gid != request->header->gid)))
        return -EPERM;
    if (explicit_times != 0 && !owns)
        return -EPERM;
    bool writes = (in->valid & FATTR_SIZE) != 0 && (in->valid & FATTR_FH) == 0;
    bool touches = (in->valid & (FATTR_ATIME | FATTR_MTIME)) != 0 && !owns;
    return writes || touches ? permission(request, node, W_OK) : 0;
}

static void set_mode(struct request *request, struct node *node, const struct fuse_setattr_in *in)
{
    node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
    if (request->header->uid != 0 && request->header->gid != node->gid && !S_ISDIR(node->mode))
        node->mode &= ~(guint32)S_ISGID;
}

static void set_owner(struct node *node, const struct fuse_setattr_in *in)
{
    if ((in->valid & FATTR_UID) != 0)
        node->uid = in->uid;
    if ((in->valid & FATTR_GID) != 0)
        node->gid = in->gid;
    if (!S_ISDIR(node->mode))
        node_drop_privileges(node);
}

static gint64 chosen_time(guint32 now, guint64 seconds, guint32 nanoseconds)
{
    if (now != 0)
        return view_now();
    return fd_nanoseconds((struct timespec){ (time_t)seconds, (long)nanoseconds });
}

static int set_times(struct view *view, struct node *node, const struct fuse_setattr_in *in)
{
    struct fuse_attr present;
    node_clock(view, node);
    node_attributes(view, node, &present); /* those of the file in scratch/ */
    if ((in->valid & FATTR_ATIME) != 0)
        node->atime = chosen_time(in->valid & FATTR_ATIME_NOW, in->atime, in->atimensec);
    if ((in->valid & FATTR_MTIME) != 0) {
        node->mtime = chosen_time(in->valid & FATTR_MTIME_NOW, in->mtime, in->mtimensec);
        node->timed = true;
    }
    return node->data == DATA_SCRATCH ? data_set_times(view, node) : 0;
}

static int set_attributes(struct request *request, struct node *node,
                          const struct fuse_setattr_in *in)
{
    int rc = 0;
    if ((in->valid & FATTR_SIZE) != 0) {
        if (!S_ISREG(node->mode))
            return S_ISDIR(node->mode) ? -EISDIR : -EINVAL;
        if (in->size > 0)
            observe(request, node, TRACE_CONTENT);
        rc = data_resize(request->view, node, in->size);
        if ((in->valid & FATTR_KILL_SUIDGID) != 0)
            node_drop_privileges(node);
    }
    if (rc == 0 && (in->valid & FATTR_MODE) != 0)
        set_mode(request, node, in);
    if (rc == 0 && (in->valid & (FATTR_UID | FATTR_GID)) != 0)
        set_owner(node, in);
    if (rc == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME)) != 0)
        rc = set_times(request->view, node, in);
    return rc;
}

int view_setattr(struct request *request)
{
    const struct fuse_setattr_in *in = request->argument;
    struct node *node = request->node;
    struct fuse_attr_out *out = request->out;
    int rc = may_set(request, node, in);
    if (rc == 0)
        node_save_written(request->view, node);
    if (rc == 0)
        rc = set_attributes(request, node, in);
    if (rc < 0)
        return rc;
    bool wrote = (in->valid & FATTR_SIZE) != 0;
    node->changed = true;
    node->ctime = view_now();
    observe_write(request, node, wrote ? TRACE_WROTE : TRACE_ATTRIBUTES);
    /* What it did not write itself it has not learned yet. */
    *out = (struct fuse_attr_out){ .attr_valid = node->below ? 0 : VIEW_FOREVER };
    node_attributes(request->view, node, &out->attr);
    request->out_size = sizeof *out;
    return 0;
}

/* --- extended attributes ---------------------------------------------------------------------- */

static int may_set_xattr(struct request *request)
{
    if (strncmp(request->name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) != 0)
        return -EOPNOTSUPP;
    if (strcmp(request->name, XATTR_USER_PREFIX) == 0)
        return -EINVAL;
    return permission(request, request->node, W_OK);
}

/* Former states may have the table, those in which nobody had asked for it yet, too. */
static void own_xattrs(struct request *request, struct node *node)
{
    node_save_written(request->view, node);
    for (struct node_version *at = node->older; at != NULL; at = at->older)
        if (at->was.xattrs == NULL)
            at->was.xattrs = g_hash_table_ref(node->xattrs);
    GHashTable *own =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    GHashTableIter iterator;
    gpointer name, value;
    g_hash_table_iter_init(&iterator, node->xattrs);
    while (g_hash_table_iter_next(&iterator, &name, &value))
        g_hash_table_insert(own, g_strdup(name), g_bytes_ref(value));
    g_hash_table_unref(node->xattrs);
    node->xattrs = own;
}

static int xattr_changed(struct request *request)
{
    request->node->changed = true;
    request->node->ctime = view_now();
    observe_write(request, request->node, TRACE_ATTRIBUTES);
    return 0;
}

int view_setxattr(struct request *request)
{
    const struct fuse_setxattr_in *in = request->argument;
    struct node *node = request->node;
    int rc = may_set_xattr(request);
    if (rc < 0)
        return rc;
    if (in->size > request->data_size)
        return -EINVAL;
    node_read_xattrs(request->view, node);
    observe(request, node, TRACE_XATTRS); /* the others stay, and so are part of what it leaves */
    bool there = g_hash_table_contains(node->xattrs, request->name);
    if ((in->flags & XATTR_CREATE) != 0 && there)
        return -EEXIST;
    if ((in->flags & XATTR_REPLACE) != 0 && !there)
        return -ENODATA;
    own_xattrs(request, node);
    g_hash_table_insert(node->xattrs, g_strdup(request->name),
                        g_bytes_new(request->data, in->size));
    return xattr_changed(request);
}

int view_removexattr(struct request *request)
{
    int rc = may_set_xattr(request);
    if (rc < 0)
        return rc;
    node_read_xattrs(request->view, request->node);
    observe(request, request->node, TRACE_XATTRS);
    if (!g_hash_table_contains(request->node->xattrs, request->name))
        return -ENODATA;
    own_xattrs(request, request->node);
    g_hash_table_remove(request->node->xattrs, request->name);
    return xattr_changed(request);
}
