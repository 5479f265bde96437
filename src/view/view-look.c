// SPDX-License-Identifier: Apache-2.0
/* Opcodes that look at names, attributes, links, listings and extended attributes. */
#include "view/view-internal.h"

#include "base/fd.h"

#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>

/* --- names ------------------------------------------------------------------------------------ */

/*
 * The name is good for ever, the attributes are not: whoever wants them asks, and so is known to
 * have asked. They are needed for the kind of the node alone. Where nobody keeps record, and
 * nothing changes, they are good for ever, too.
 */
void view_answer_entry(struct request *request, struct node *node, struct fuse_entry_out *out)
{
    *out = (struct fuse_entry_out){
        .nodeid = node->id,
        .entry_valid = VIEW_FOREVER,
    };
    node_attributes(request->view, node, &out->attr);
    if (request->view->fixed && request->view->recorder == NULL)
        out->attr_valid = VIEW_FOREVER;
    node->lookups++;
}

int view_lookup(struct request *request)
{
    struct entry *entry;
    int rc = permission(request, request->node, X_OK);
    if (rc == 0)
        rc = entry_find(request->view, request->node, request->name, &entry);
    if (rc < 0) {
        observe_unreachable(request, request->node, request->name);
        return rc;
    }
    struct fuse_entry_out *out = request->out;
    request->out_size = sizeof *out;
    if (entry->state == ENTRY_PRESENT) {
        view_answer_entry(request, entry->node, out);
        observe(request, entry->node, TRACE_KIND);
        return 0;
    }
    *out = (struct fuse_entry_out){ .entry_valid = VIEW_FOREVER }; /* the kernel may keep that */
    observe_absent(request, entry);
    return 0;
}

int view_forget(struct request *request)
{
    const struct fuse_forget_in *in = request->argument;
    struct node *node = node_get(request->view, request->header->nodeid);
    if (node != NULL)
        node_forget(request->view, node, in->nlookup);
    return VIEW_NO_REPLY; /* nobody waits for one */
}

int view_batch_forget(struct request *request)
{
    const struct fuse_batch_forget_in *in = request->argument;
    const struct fuse_forget_one *one = (const void *)request->data;
    size_t count = MIN(in->count, request->data_size / sizeof *one);
    for (size_t i = 0; i < count; i++) {
        struct node *node = node_get(request->view, one[i].nodeid);
        if (node != NULL)
            node_forget(request->view, node, one[i].nlookup);
    }
    return VIEW_NO_REPLY;
}

/* --- attributes ------------------------------------------------------------------------------- */

static guint32 aspects_of_attributes(const struct node *node)
{
    return S_ISLNK(node->mode)   ? TRACE_TARGET
           : S_ISREG(node->mode) ? TRACE_CONTENT | TRACE_TIME
                                 : TRACE_CONTENT;
}

int view_getattr(struct request *request)
{
    struct fuse_attr_out *out = request->out;
    *out = (struct fuse_attr_out){ .attr_valid = VIEW_FOREVER };
    if (S_ISLNK(request->node->mode)) /* its length */
        node_read_target(request->view, request->node);
    node_clock(request->view, request->node);
    node_attributes(request->view, request->node, &out->attr);
    request->out_size = sizeof *out;
    observe(request, request->node, aspects_of_attributes(request->node));
    if (observe_time_is_open(request->view, request->node))
        out->attr_valid = 0;
    return 0;
}

int view_readlink(struct request *request)
{
    if (!S_ISLNK(request->node->mode))
        return -EINVAL;
    int rc = node_read_target(request->view, request->node);
    if (rc < 0)
        return rc;
    request->out_size = strlen(request->node->target);
    memcpy(request->out, request->node->target, request->out_size);
    observe(request, request->node, TRACE_TARGET);
    return 0;
}

int view_access(struct request *request)
{
    const struct fuse_access_in *in = request->argument;
    int mask = (int)in->mask & (R_OK | W_OK | X_OK);
    int rc = permission(request, request->node, mask);
    bool passes = S_ISDIR(request->node->mode) && mask == X_OK && rc == 0;
    if (mask != 0) /* the answer depends on the permission bits */
        observe(request, request->node, passes ? TRACE_KIND : TRACE_CONTENT);
    return rc;
}

/* The same on every machine: how full a disk is nobody can have on record. */
int view_statfs(struct request *request)
{
    struct fuse_statfs_out *out = request->out;
    *out = (struct fuse_statfs_out){
        .st = { .blocks = 1u << 28,
                .bfree = 1u << 27,
                .bavail = 1u << 27,
                .files = 1u << 28,
                .ffree = 1u << 27,
                .bsize = VIEW_BLOCK,
                .frsize = VIEW_BLOCK,
                .namelen = NAME_MAX },
    };
    request->out_size = sizeof *out;
    return 0;
}

/* --- listings --------------------------------------------------------------------------------- */

int view_opendir(struct request *request)
{
    if (!S_ISDIR(request->node->mode))
        return -ENOTDIR;
    int rc = permission(request, request->node, R_OK);
    if (rc < 0) {
        observe_unlisted(request, request->node);
        return rc;
    }
    struct handle *handle = handle_new(request->view, request->node, O_DIRECTORY);
    handle->kind = HANDLE_DIRECTORY;
    struct protocol_open_out *out = request->out;
    *out = (struct protocol_open_out){ .fh = handle->id };
    request->out_size = sizeof *out;
    return 0;
}

static gint compare_listed(gconstpointer a, gconstpointer b)
{
    const struct listed *const *one = a, *const *other = b;
    return strcmp((*one)->name, (*other)->name);
}

static struct listed *list_entry(struct view *view, struct entry *entry)
{
    size_t size = strlen(entry->name) + 1;
    struct listed *listed = g_malloc(sizeof *listed + size);
    if (entry->state == ENTRY_UNSEEN && entry->ino == 0)
        entry->ino = number_for(view, entry);
    listed->kind = entry->node != NULL ? entry->node->mode & S_IFMT : entry->kind;
    listed->ino = entry->node != NULL ? entry->node->ino : entry->ino;
    listed->own = entry->changed;
    memcpy(listed->name, entry->name, size);
    return listed;
}

/* Sorted: the order of the host's file system tells one machine from another. */
GPtrArray *directory_listing(struct view *view, struct node *directory)
{
    GPtrArray *listing = g_ptr_array_new_full(g_hash_table_size(directory->children), g_free);
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, directory->children);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        struct entry *entry = value;
        if (entry->state != ENTRY_ABSENT)
            g_ptr_array_add(listing, list_entry(view, entry));
    }
    g_ptr_array_sort(listing, compare_listed);
    return listing;
}

static int make_listing(struct request *request, struct handle *handle)
{
    struct node *directory = handle->node;
    int rc = directory_list(request->view, directory);
    if (rc < 0) {
        observe_unlisted(request, directory);
        return rc;
    }
    g_clear_pointer(&handle->listing, g_ptr_array_unref);
    handle->listing = directory_listing(request->view, directory);
    observe_listing(request, directory);
    return 0;
}

static bool put_name(struct request *request, size_t limit, const char *name, guint64 ino,
                     guint32 kind, guint64 next)
{
    size_t length = strlen(name);
    size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    if (request->out_size + size > limit)
        return false;
    struct fuse_dirent *out = (void *)((guint8 *)request->out + request->out_size);
    memset(out, 0, size);
    out->ino = ino;
    out->off = next;
    out->namelen = (guint32)length;
    out->type = IFTODT(kind);
    memcpy(out->name, name, length);
    request->out_size += size;
    return true;
}

static const struct node *parent_of(const struct node *directory)
{
    return directory->names != NULL ? directory->names->directory : directory;
}

int view_readdir(struct request *request)
{
    const struct fuse_read_in *in = request->argument;
    struct handle *handle = handle_get(request->view, in->fh);
    if (handle == NULL || handle->kind != HANDLE_DIRECTORY)
        return -EBADF;
    if (in->offset == 0 || handle->listing == NULL) {
        int rc = make_listing(request, handle);
        if (rc < 0)
            return rc;
    }
    size_t limit = MIN(in->size, VIEW_MAX_WRITE);
    const struct node *directory = handle->node;
    guint64 at = in->offset;
    if (at == 0 && put_name(request, limit, ".", directory->ino, S_IFDIR, 1))
        at = 1;
    if (at == 1 && put_name(request, limit, "..", parent_of(directory)->ino, S_IFDIR, 2))
        at = 2;
    for (; at >= 2 && at - 2 < handle->listing->len; at++) {
        const struct listed *listed = handle->listing->pdata[at - 2];
        if (!put_name(request, limit, listed->name, listed->ino, listed->kind, at + 1))
            break;
    }
    return 0;
}

/* --- extended attributes ---------------------------------------------------------------------- */

/* The user's own; of what the system keeps in others (security.*, system.*) there is none. */
static bool is_shown(const char *name)
{
    return strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0;
}

static GHashTable *read_xattrs_below(struct view *view, const struct node *node)
{
    const struct below_operations *operations = view->below->operations;
    if (!node->below || S_ISLNK(node->mode) || operations->read_attributes == NULL)
        return NULL;
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    return operations->read_attributes(view->below, path->str);
}

void node_read_xattrs(struct view *view, struct node *node)
{
    if (node->xattrs != NULL)
        return;
    node->xattrs = read_xattrs_below(view, node);
    if (node->xattrs == NULL)
        node->xattrs =
            g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    node->xattrs_below = trace_xattrs_hash(node->xattrs);
}

static int answer_sized(struct request *request, guint32 wanted, const void *data, size_t size)
{
    struct fuse_getxattr_out *out = request->out;
    if (wanted == 0) {
        *out = (struct fuse_getxattr_out){ .size = (guint32)size };
        request->out_size = sizeof *out;
        return 0;
    }
    if (size > XATTR_SIZE_MAX) /* the kernel takes no more */
        return -E2BIG;
    if (size > wanted)
        return -ERANGE;
    if (size > 0) /* of nothing, data may be NULL */
        memcpy(request->out, data, size);
    request->out_size = size;
    return 0;
}

int view_getxattr(struct request *request)
{
    const struct fuse_getxattr_in *in = request->argument;
    struct node *node = request->node;
    if (strcmp(request->name, XATTR_USER_PREFIX) == 0)
        return -EINVAL;
    if (!is_shown(request->name))
        return strncmp(request->name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) == 0 ||
                       strncmp(request->name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0
                   ? -ENODATA
                   : -EOPNOTSUPP;
    node_read_xattrs(request->view, node);
    GBytes *value = g_hash_table_lookup(node->xattrs, request->name);
    observe(request, node, TRACE_XATTRS);
    if (value == NULL)
        return -ENODATA;
    return answer_sized(request, in->size, g_bytes_get_data(value, NULL), g_bytes_get_size(value));
}

int view_listxattr(struct request *request)
{
    const struct fuse_getxattr_in *in = request->argument;
    struct node *node = request->node;
    node_read_xattrs(request->view, node);
    observe(request, node, TRACE_XATTRS);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(node->xattrs), (GCompareFunc)strcmp);
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (const GList *at = names; at != NULL; at = at->next)
        g_byte_array_append(all, at->data, (guint)strlen(at->data) + 1);
    return answer_sized(request, in->size, all->data, all->len);
}
