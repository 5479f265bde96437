// SPDX-License-Identifier: Apache-2.0
/*
 * A snapshot of a view as what lies below another. Runs in whoever asks the upper view, which holds
 * that view's lock; takes the lower one's: locks are taken from the child to the parent.
 */
#include "view/view-internal.h"

#include "base/fd.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

struct stack {
    struct below below;
    struct snapshot *snapshot;
};

static struct snapshot *snapshot_of(struct below *below)
{
    return ((struct stack *)below)->snapshot;
}

/* --- the way through names -------------------------------------------------------------------- */

/* The rest of the way is not ours. */
static int ask_further(const struct node *directory, const char *rest, struct where *out)
{
    node_below(directory, out->below);
    if (out->below->len > 0 && *rest != '\0')
        g_string_append_c(out->below, '/');
    g_string_append(out->below, rest);
    return 1;
}

static int not_there(struct where *out, bool own, int rc)
{
    out->own = own;
    return rc;
}

/* One name: 0 and *node, 1 if what lies below decides, or a negative errno. */
static int step(struct snapshot *snapshot, struct node **node, const char *name, bool known,
                struct where *out)
{
    struct view *view = snapshot->view;
    struct node *directory = *node;
    struct entry *entry = g_hash_table_lookup(directory->children, name);
    bool changed = false;
    enum entry_state state = ENTRY_UNSEEN;
    if (entry != NULL)
        state = entry_as_of(entry, snapshot->epoch, node, &changed);
    if (state == ENTRY_UNSEEN && !directory->below) {
        out->entry = entry;
        return not_there(out, true, -ENOENT);
    }
    if (state == ENTRY_UNSEEN && !known && view->start != NULL)
        return 1;
    if (state == ENTRY_UNSEEN) { /* nobody has changed it: it is what it was */
        int rc = entry_find(view, directory, name, &entry);
        if (rc < 0)
            return rc;
        state = entry->state;
        *node = entry->node;
    }
    out->entry = entry;
    return state == ENTRY_PRESENT ? 0 : not_there(out, changed, -ENOENT);
}

int snapshot_walk(struct snapshot *snapshot, const char *path, bool known, struct where *out)
{
    struct node *node = snapshot->view->top;
    known |= snapshot->view->start == NULL; /* what is asked of the host is asked once */
    while (*path != '\0') {
        if (!S_ISDIR(node->mode))
            return not_there(out, !node->below, -ENOTDIR);
        if (!node->touched && !known)
            return ask_further(node, path, out);
        const char *end = strchrnul(path, '/');
        char name[NAME_MAX + 1];
        if (end - path > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, (size_t)(end - path));
        name[end - path] = '\0';
        struct node *next = node;
        int rc = step(snapshot, &next, name, known, out);
        if (rc > 0)
            return ask_further(node, path, out);
        if (rc < 0)
            return rc;
        node = next;
        path = *end == '/' ? end + 1 : end;
    }
    out->node = node;
    return 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

struct asked {
    struct view *view; /* locked */
    struct below *further;
    guint64 epoch;
    struct where where;
};

/*
 * What does the path lead to? 0: where.node, as of `epoch`; positive: to where.below in `further`;
 * or a negative errno. answered() must follow.
 */
static int ask(struct below *below, const char *path, struct asked *asked)
{
    struct snapshot *snapshot = snapshot_of(below);
    *asked = (struct asked){
        .view = snapshot->view,
        .further = snapshot->view->below,
        .epoch = snapshot->epoch,
        .where = { .below = g_string_new(NULL) },
    };
    g_mutex_lock(&asked->view->lock);
    return snapshot_walk(snapshot, path, false, &asked->where);
}

static void answered(struct asked *asked)
{
    g_mutex_unlock(&asked->view->lock);
    g_string_free(asked->where.below, TRUE);
}

/* Bring what is known of the node's data up to date, if this is what it is now. */
static const struct node *present(struct view *view, struct node *node, guint64 epoch)
{
    struct fuse_attr attributes;
    const struct node *was = node_as_of(node, epoch);
    if (was == node)
        node_attributes(view, node, &attributes);
    return was;
}

/* Names of one file must lead to one node of whoever asks. */
static void fill_stamp(struct view *view, const struct node *node, const struct node *was,
                       struct trace_stamp *out)
{
    char name[24];
    struct stat status;
    *out = was->stamp;
    g_snprintf(name, sizeof name, "%" G_GINT64_MODIFIER "x", was->scratch);
    if (was->data == DATA_SCRATCH && fstatat(view->scratch, name, &status, 0) == 0)
        trace_stamp_of(&status, out);
    else if (!was->below)
        *out = (struct trace_stamp){ .device = (guint64)(guintptr)view, .inode = node->id };
}

static void fill(const struct asked *asked, struct node *node, struct below_file *out)
{
    const struct node *was = present(asked->view, node, asked->epoch);
    *out = (struct below_file){
        .status = { .st_mode = was->mode,
                    .st_nlink = was->nlink,
                    .st_uid = was->uid,
                    .st_gid = was->gid,
                    .st_size = (off_t)was->size,
                    .st_blocks = (blkcnt_t)was->blocks,
                    .st_atim = fd_timespec(was->atime),
                    .st_mtim = fd_timespec(was->mtime),
                    .st_ctim = fd_timespec(was->ctime) },
        .content = was->data == DATA_BELOW ? node->content : NULL,
        .ino = node->ino,
        .owned = true,
        .timed = was->data != DATA_BELOW || was->timed || was->clocked,
    };
    fill_stamp(asked->view, node, was, &out->stamp);
}

/* A file with several names below may be known by another of them, and be changed since. */
static struct node *known_by_another_name(struct view *view, const struct below_file *file)
{
    const struct node key = { .stamp = file->stamp };
    bool several = !S_ISDIR(file->status.st_mode) && file->status.st_nlink > 1;
    return several ? g_hash_table_lookup(view->links, &key) : NULL;
}

static int stack_look(struct below *below, const char *path, struct below_file *out)
{
    struct asked asked;
    int rc = ask(below, path, &asked);
    if (rc == 0)
        fill(&asked, asked.where.node, out);
    else if (rc < 0 && asked.where.entry != NULL)
        out->made = asked.where.entry->made;
    else if (rc > 0 && (rc = asked.further->operations->look(asked.further, asked.where.below->str,
                                                             out)) >= 0) {
        struct node *node = known_by_another_name(asked.view, out);
        if (node != NULL)
            fill(&asked, node, out);
    }
    answered(&asked);
    return rc;
}

static int open_node(struct view *view, struct node *node, guint64 epoch)
{
    const struct node *was = node_as_of(node, epoch);
    if (!S_ISREG(was->mode))
        return -EIO;
    if (was->data == DATA_SCRATCH)
        return data_open(view, was, O_RDONLY);
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    return view->below->operations->open(view->below, path->str);
}

static int open_further(const struct asked *asked)
{
    struct below_file file;
    const char *path = asked->where.below->str;
    int rc = asked->further->operations->look(asked->further, path, &file);
    struct node *node = rc < 0 ? NULL : known_by_another_name(asked->view, &file);
    return node != NULL ? open_node(asked->view, node, asked->epoch)
                        : asked->further->operations->open(asked->further, path);
}

static int stack_open(struct below *below, const char *path)
{
    struct asked asked;
    int rc = ask(below, path, &asked);
    if (rc >= 0)
        rc = rc == 0 ? open_node(asked.view, asked.where.node, asked.epoch) : open_further(&asked);
    answered(&asked);
    return rc;
}

/* --- listings --------------------------------------------------------------------------------- */

struct listing {
    struct node *directory;
    guint64 epoch;
    below_visit visit;
    void *user;
};

/* What lies below, unless it is known here. */
static void visit_below(const char *name, guint32 kind, guint64 ino, void *user)
{
    const struct listing *listing = user;
    if (g_hash_table_lookup(listing->directory->children, name) == NULL)
        listing->visit(name, kind, ino, listing->user);
}

static int list_node(struct view *view, struct listing *listing)
{
    struct node *directory = listing->directory, *node;
    if (!S_ISDIR(directory->mode))
        return -ENOTDIR;
    int rc = view->start == NULL ? directory_list(view, directory) : 0;
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, directory->children);
    while (rc == 0 && g_hash_table_iter_next(&iterator, NULL, &value)) {
        struct entry *entry = value;
        bool changed;
        enum entry_state state = entry_as_of(entry, listing->epoch, &node, &changed);
        if (state == ENTRY_PRESENT)
            listing->visit(entry->name, node->mode & S_IFMT, node->ino, listing->user);
        else if (state == ENTRY_UNSEEN && entry->below)
            listing->visit(entry->name, entry->kind, entry->ino, listing->user);
    }
    if (rc < 0 || !directory->below || directory->listed)
        return rc;
    g_autoptr(GString) below = g_string_new(NULL);
    node_below(directory, below);
    return view->below->operations->list(view->below, below->str, visit_below, listing);
}

static int stack_list(struct below *below, const char *path, below_visit visit, void *user)
{
    struct asked asked;
    int rc = ask(below, path, &asked);
    struct listing listing = { asked.where.node, asked.epoch, visit, user };
    if (rc == 0)
        rc = list_node(asked.view, &listing);
    else if (rc > 0)
        rc = asked.further->operations->list(asked.further, asked.where.below->str, visit, user);
    answered(&asked);
    return rc;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int stack_read_link(struct below *below, const char *path, char **target)
{
    struct asked asked;
    int rc = ask(below, path, &asked);
    if (rc == 0 && (rc = node_read_target(asked.view, asked.where.node)) == 0)
        *target = g_strdup(asked.where.node->target);
    else if (rc > 0)
        rc = asked.further->operations->read_link(asked.further, asked.where.below->str, target);
    answered(&asked);
    return rc;
}

/* As permission() has it for the owner of all that lies below. */
static int permit_node(struct view *view, struct node *node, guint64 epoch, int mask)
{
    const struct node *was = node_as_of(node, epoch);
    if (was->below && !was->changed) {
        g_autoptr(GString) path = g_string_new(NULL);
        node_below(node, path);
        return view->below->operations->permit(view->below, path->str, mask);
    }
    guint32 granted = was->uid == view->owner   ? was->mode >> 6
                      : was->gid == view->group ? was->mode >> 3
                                                : was->mode;
    return ((guint32)mask & ~granted & 7) != 0 ? -EACCES : 0;
}

static int stack_permit(struct below *below, const char *path, int mask)
{
    struct asked asked;
    int rc = ask(below, path, &asked);
    if (rc == 0)
        rc = permit_node(asked.view, asked.where.node, asked.epoch, mask);
    else if (rc > 0)
        rc = asked.further->operations->permit(asked.further, asked.where.below->str, mask);
    else
        rc = 0; /* whoever uses it will see */
    answered(&asked);
    return rc;
}

static GHashTable *xattrs_of(struct view *view, struct node *node, guint64 epoch)
{
    node_read_xattrs(view, node);
    const struct node *was = node_as_of(node, epoch);
    return g_hash_table_ref(was->xattrs != NULL ? was->xattrs : node->xattrs);
}

static GHashTable *stack_read_attributes(struct below *below, const char *path)
{
    struct asked asked;
    GHashTable *found = NULL;
    int rc = ask(below, path, &asked);
    if (rc == 0)
        found = xattrs_of(asked.view, asked.where.node, asked.epoch);
    else if (rc > 0 && asked.further->operations->read_attributes != NULL)
        found = asked.further->operations->read_attributes(asked.further, asked.where.below->str);
    answered(&asked);
    return found;
}

static gint64 stack_clock(struct below *below, const char *path)
{
    struct asked asked;
    gint64 time = 0;
    int rc = ask(below, path, &asked);
    struct node *node = asked.where.node;
    if (rc == 0 && node_as_of(node, asked.epoch) == node)
        node_clock(asked.view, node);
    const struct node *was = rc == 0 ? present(asked.view, node, asked.epoch) : NULL;
    if (was != NULL && (was->clocked || was->timed || was->data != DATA_BELOW))
        time = was->mtime;
    else if (was != NULL)
        node_below(node, asked.where.below);
    if (rc > 0 || (was != NULL && time == 0))
        time = asked.further->operations->clock(asked.further, asked.where.below->str);
    answered(&asked);
    return time;
}

static void stack_free(struct below *below)
{
    snapshot_unref(snapshot_of(below));
    g_free(below);
}

struct below *below_snapshot_new(struct snapshot *snapshot)
{
    static const struct below_operations operations = {
        .look = stack_look,
        .open = stack_open,
        .list = stack_list,
        .read_link = stack_read_link,
        .permit = stack_permit,
        .read_attributes = stack_read_attributes,
        .clock = stack_clock,
        .free = stack_free,
    };
    struct stack *made = g_new0(struct stack, 1);
    made->below.operations = &operations;
    made->snapshot = snapshot_ref(snapshot);
    return &made->below;
}

/* --- contents --------------------------------------------------------------------------------- */

/* The file in scratch/ that `path` had at the start of `view`, or a negative errno: *host is where
 * it then lies on the host, since an ancestor may have renamed it. */
static int open_written(const struct view *view, const char *path, char **host)
{
    int file = -ENOENT;
    char *at = g_strdup(path + 1);
    for (struct snapshot *start = view->start; file == -ENOENT && start != NULL;
         start = start->view->start) {
        g_autoptr(GString) below = g_string_new(NULL);
        struct where where = { .below = below };
        g_mutex_lock(&start->view->lock);
        int rc = snapshot_walk(start, at, false, &where);
        const struct node *was = rc == 0 ? node_as_of(where.node, start->epoch) : NULL;
        if (was != NULL && was->data == DATA_SCRATCH)
            file = data_open(start->view, was, O_RDONLY);
        else if (was != NULL && was->below)
            node_below(where.node, below);
        g_mutex_unlock(&start->view->lock);
        if (file != -ENOENT || rc < 0)
            break;
        g_free(at);
        at = g_strdup(below->str);
    }
    *host = g_strconcat("/", at, NULL);
    g_free(at);
    return file;
}

/* Nobody writes to the files of a snapshot. */
static void hash_written(int file, struct seal_item *item)
{
    if (digest_file(file, &item->digest) && item->digest.size == item->stamp.size)
        item->outcome = SEAL_HASHED;
}

/* Those that are left go on together, so that they can be hashed by several threads. */
void view_hash(struct seal_item *items, size_t count, void *user)
{
    const struct view_hash *closure = user;
    g_autoptr(GArray) rest = g_array_new(FALSE, FALSE, sizeof *items);
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(size_t));
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < count; i++) {
        char *host;
        autofd int file = open_written(closure->view, items[i].path, &host);
        g_ptr_array_add(paths, host);
        if (file >= 0) {
            hash_written(file, &items[i]);
            continue;
        }
        struct seal_item item = items[i];
        item.path = host;
        g_array_append_val(rest, item);
        g_array_append_val(places, i);
    }
    if (rest->len > 0)
        closure->host((struct seal_item *)(void *)rest->data, rest->len, closure->host_user);
    for (guint i = 0; i < rest->len; i++) {
        struct seal_item *item = &items[g_array_index(places, size_t, i)];
        item->outcome = g_array_index(rest, struct seal_item, i).outcome;
        item->digest = g_array_index(rest, struct seal_item, i).digest;
    }
}
