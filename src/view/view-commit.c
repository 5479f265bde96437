// SPDX-License-Identifier: Apache-2.0
/*
 * A child's delta becomes part of its parent's state. In steps, all under the parent's lock:
 *
 *   fold      what the child has on record goes to the parent's record, as the state at the child's
 *             start had it; conflicts of what was read
 *   pair      each node of the child that is changed, or whose names are, gets its *twin*: the node
 *             of the parent that it is, found by where it lay at the start, or a new one
 *   detach    changed names lose what the parent has there
 *   attach    and get the twin of what the child has
 *   dress     twins get content and attributes
 *
 * and then, without the lock, the parent's mount is told. Nobody asks the child any more.
 */
#include "view/view-internal.h"

#include "base/fault.h"
#include "base/path.h"

#include <string.h>

struct change {             /* a changed name of the child, and where it is in the parent */
    struct node *directory; /* the parent's */
    const struct entry *entry;
    struct entry *twin;
    bool settled; /* it is in the parent what it is in the child */
};

struct notice {
    guint64 id;
    char *name; /* NULL: the node itself */
    bool flag;  /* of a name: it is a directory; else: its data */
};

struct commit {
    struct view *child, *parent;
    guint64 start; /* epoch */
    guint32 process;
    GHashTable *twins;   /* the child's node -> the parent's, pinned */
    GArray *changes;     /* struct change */
    GPtrArray *detached; /* struct node of the parent, pinned */
    GArray *notices;
    GPtrArray *conflicts;
    GHashTable *found; /* path -> struct view_conflict */
    bool keep_readers; /* other children are at work */
};

struct reading { /* by a child that was committed while others were at work */
    guint64 epoch, label;
    unsigned aspects;
};

/* --- conflicts -------------------------------------------------------------------------------- */

void view_conflict_free(struct view_conflict *conflict)
{
    if (conflict == NULL)
        return;
    g_free(conflict->path);
    g_free(conflict);
}

/* One for each path, the gravest: whoever writes a name has mostly looked for it, too. */
static void add_conflict(struct commit *commit, const char *path, enum view_conflict_kind kind,
                         guint64 other)
{
    if (commit->conflicts == NULL)
        return;
    struct view_conflict *conflict = g_hash_table_lookup(commit->found, path);
    if (conflict != NULL && conflict->kind <= kind)
        return;
    if (conflict == NULL) {
        conflict = g_new0(struct view_conflict, 1);
        conflict->path = g_strdup(path);
        g_hash_table_insert(commit->found, conflict->path, conflict);
        g_ptr_array_add(commit->conflicts, conflict);
    }
    conflict->kind = kind;
    conflict->other = other;
}

static char *path_of(const struct node *directory, const char *name)
{
    GString *path = g_string_new(NULL);
    if (name != NULL)
        entry_path(directory, name, path);
    else
        node_path(directory, path);
    if (path->len == 0)
        g_string_append_c(path, '/');
    return g_string_free(path, FALSE);
}

static void check_readers(struct commit *commit, const char *path, unsigned aspects)
{
    const struct reading *reading = g_hash_table_lookup(commit->parent->readers, path);
    if (reading != NULL && reading->label != commit->child->label &&
        reading->epoch > commit->start && (reading->aspects & aspects) != 0)
        add_conflict(commit, path, VIEW_WROTE_LATER, reading->label);
}

static void check_parent_readers(struct commit *commit, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    check_readers(commit, parent, TRACE_NAMES);
}

/* --- fold ------------------------------------------------------------------------------------- */

#define TRACE_OF_DATA (TRACE_CONTENT | TRACE_TIME | TRACE_XATTRS)

static void check_reading(struct commit *commit, const struct where *where, const char *path,
                          unsigned aspects)
{
    struct view *parent = commit->parent;
    struct node *node = where->node;
    if (where->entry != NULL && where->entry->epoch > commit->start)
        add_conflict(commit, path, VIEW_READ_OLDER, where->entry->writer);
    else if (node != NULL && (aspects & TRACE_OF_DATA) != 0 && !S_ISDIR(node->mode) &&
             node_was_written(parent, node, commit->start))
        add_conflict(commit, path, VIEW_READ_OLDER, node->writer);
    else if (node != NULL && (aspects & TRACE_NAMES) != 0 && node->renamed > commit->start)
        add_conflict(commit, path, VIEW_READ_OLDER, node->writer);
    if (!commit->keep_readers)
        return;
    struct reading *reading = g_hash_table_lookup(parent->readers, path);
    if (reading == NULL) {
        reading = g_new0(struct reading, 1);
        g_hash_table_insert(parent->readers, g_strdup(path), reading);
    }
    *reading = (struct reading){ parent->epoch, commit->child->label, reading->aspects | aspects };
}

/* What lay below the parent when the child learned of it, in the parent's own terms. */
static void fold_node(struct commit *commit, struct node *node, unsigned aspects,
                      const struct sight *sight)
{
    struct view *parent = commit->parent;
    const struct node *was = node_as_of(node, commit->start);
    if (!node->below)
        return;
    if (was->data == DATA_SCRATCH)
        aspects &= ~(unsigned)(TRACE_CONTENT | TRACE_TIME);
    if (was->timed)
        aspects &= ~(unsigned)TRACE_TIME;
    struct sight own = *sight;
    own.mode = trace_mode(node->mode_below, node->links_below);
    if (was->xattrs != NULL)
        own.xattrs = node->xattrs_below;
    if ((aspects & TRACE_NAMES) != 0 && sight->digest != NULL) {
        observe_names_folded(parent, node, commit->process);
        aspects &= ~(unsigned)TRACE_NAMES;
    }
    if ((aspects & ~node->noted) == 0)
        return;
    g_autoptr(GString) path = g_string_new("/");
    g_autoptr(GString) rest = g_string_new(NULL);
    node_below(node, rest);
    g_string_append(path, rest->str);
    recorder_note(parent->recorder, path->str, aspects, commit->process, &own);
    node->noted |= aspects | TRACE_KIND;
}

static void fold_fact(const char *path, unsigned aspects, bool unstable, const struct sight *sight,
                      void *user)
{
    struct commit *commit = user;
    struct view *parent = commit->parent;
    g_autoptr(GString) below = g_string_new("/");
    g_autoptr(GString) further = g_string_new(NULL);
    struct where where = { .below = further };
    int rc = snapshot_walk(commit->child->start, path + 1, false, &where);
    if (rc <= 0)
        check_reading(commit, &where, path, aspects);
    if (parent->recorder == NULL)
        return;
    if (unstable)
        recorder_unstable(parent->recorder, path);
    else if (rc == 0)
        fold_node(commit, where.node, aspects, sight);
    else if (!where.own) {
        g_string_append(below, rc > 0 ? further->str : path + 1);
        recorder_note(parent->recorder, below->str, aspects, commit->process, sight);
    }
}

static void fold_written(const char *path, unsigned what, void *user)
{
    const struct commit *commit = user;
    if (commit->parent->recorder != NULL)
        recorder_write(commit->parent->recorder, path, commit->process, what);
}

static void fold_reason(const char *reason, void *user)
{
    const struct commit *commit = user;
    if (commit->parent->recorder != NULL)
        recorder_uncacheable(commit->parent->recorder, reason);
}

static void fold(struct commit *commit)
{
    static const struct recorder_visitor visitor = { fold_fact, fold_written, fold_reason };
    commit->keep_readers = commit->parent->latest->earlier != NULL;
    if (commit->child->recorder != NULL)
        recorder_visit(commit->child->recorder, &visitor, commit);
    else
        fold_reason("a command in it was not observed", commit);
}

/* --- pair ------------------------------------------------------------------------------------- */

/* The parent's node of one of the child's; NULL: it is no longer there. */
static struct node *twin_of(struct commit *commit, struct node *node)
{
    gpointer known;
    if (g_hash_table_lookup_extended(commit->twins, node, NULL, &known))
        return known;
    struct node *twin = NULL;
    if (node->below) {
        g_autoptr(GString) path = g_string_new(NULL);
        struct where where = { 0 };
        node_below(node, path);
        if (snapshot_walk(commit->child->start, path->str, true, &where) == 0)
            twin = where.node;
    } else {
        twin = node_new(commit->parent, node->mode);
        twin->nlink = 0;
    }
    if (twin != NULL)
        twin->pins++;
    g_hash_table_insert(commit->twins, node, twin);
    return twin;
}

static bool is_alive(const struct view *view, const struct node *node)
{
    return node == view->top || node->names != NULL;
}

/* A name that is neither here nor there is no change, whatever happened meanwhile. */
static int pair_name(struct commit *commit, struct node *directory, const struct entry *entry)
{
    struct change change = { .directory = directory, .entry = entry };
    int rc = entry_find(commit->parent, directory, entry->name, &change.twin);
    if (rc < 0)
        return rc;
    struct node *wanted = entry->state == ENTRY_PRESENT ? twin_of(commit, entry->node) : NULL;
    struct node *there = change.twin->state == ENTRY_PRESENT ? change.twin->node : NULL;
    g_autofree char *path = path_of(entry->directory, entry->name);
    if (wanted == there)
        return 0;
    if (change.twin->epoch > commit->start)
        add_conflict(commit, path, VIEW_BOTH_WROTE, change.twin->writer);
    else if (entry->directory->below && is_alive(commit->child, entry->directory) &&
             !is_alive(commit->parent, directory))
        add_conflict(commit, path, VIEW_GONE, directory->writer);
    check_readers(commit, path, ~0u);
    check_parent_readers(commit, path);
    g_array_append_val(commit->changes, change);
    return 0;
}

static int pair_directory(struct commit *commit, struct node *node)
{
    struct node *directory = twin_of(commit, node);
    GHashTableIter iterator;
    gpointer value;
    int rc = 0;
    g_hash_table_iter_init(&iterator, node->children);
    while (rc == 0 && directory != NULL && g_hash_table_iter_next(&iterator, NULL, &value)) {
        const struct entry *entry = value;
        if (entry->changed)
            rc = pair_name(commit, directory, entry);
    }
    return rc;
}

static bool is_dressed(const struct node *node)
{
    return !node->below || node->changed || node->data == DATA_SCRATCH || node->timed ||
           node->linked_elsewhere;
}

/* New nodes that have no name left are nobody's. */
static int pair(struct commit *commit)
{
    const struct view *child = commit->child;
    int rc = 0;
    for (guint i = 0; rc == 0 && i < child->nodes.items->len; i++) {
        struct node *node = child->nodes.items->pdata[i];
        if (node == NULL || !node->touched || (!node->below && !is_alive(child, node)))
            continue;
        if (S_ISDIR(node->mode))
            rc = pair_directory(commit, node);
        if (is_dressed(node))
            twin_of(commit, node);
    }
    return rc;
}

/* --- names ------------------------------------------------------------------------------------ */

static void add_notice(struct commit *commit, const struct node *node, const char *name, bool flag)
{
    const struct notice notice = { node->id, g_strdup(name), flag };
    if (node->lookups > 0 || node == commit->parent->top)
        g_array_append_val(commit->notices, notice);
    else
        g_free(notice.name);
}

static void detach(struct commit *commit, const struct change *change)
{
    struct entry *entry = change->twin;
    struct view *parent = commit->parent;
    bool directory = entry->node != NULL && S_ISDIR(entry->node->mode);
    add_notice(commit, change->directory, entry->name, directory);
    entry_save(parent, entry);
    entry->changed = true;
    if (entry->state != ENTRY_PRESENT)
        return;
    node_save(parent, entry->node);
    struct node *node = entry_detach(parent, entry);
    node->nlink -= node->nlink > 0;
    node->pins++;
    g_ptr_array_add(commit->detached, node);
    add_notice(commit, node, NULL, false);
}

static void attach(struct commit *commit, const struct change *change)
{
    struct view *parent = commit->parent;
    if (change->entry->state != ENTRY_PRESENT)
        return;
    struct node *node = twin_of(commit, change->entry->node);
    if (node == NULL)
        return;
    node_save(parent, node);
    entry_attach(change->twin, node);
    change->twin->made = MAX(change->twin->made, change->entry->made);
    node->nlink += !S_ISDIR(node->mode) || node->nlink == 0;
    guint64 ino = change->entry->node->ino;
    if (node->ino == 0 && g_hash_table_add(parent->inodes, GSIZE_TO_POINTER(ino)))
        node->ino = ino;
    else if (node->ino == 0)
        node->ino = number_for(parent, change->twin);
    add_notice(commit, node, NULL, false);
}

/* --- content ---------------------------------------------------------------------------------- */

/*
 * A program that is passed through from below cannot be led to other data: its names get a new
 * node, and whoever has it open keeps what was there.
 */
static struct node *replace_passed(struct commit *commit, struct node *node)
{
    struct view *parent = commit->parent;
    struct node *made = node_new(parent, node->mode);
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    made->below = true;
    made->stamp = node->stamp;
    made->mode_below = node->mode_below;
    made->links_below = node->links_below;
    made->origin = g_string_free(g_steal_pointer(&path), FALSE);
    made->noted = node->noted;
    made->ino = node->ino;
    made->nlink = node->nlink;
    node_save(parent, node);
    node->nlink = 0;
    while (node->names != NULL) {
        struct entry *entry = node->names;
        entry_save(parent, entry);
        add_notice(commit, entry->directory, entry->name, false);
        entry_detach(parent, entry);
        entry_attach(entry, made);
    }
    if (g_hash_table_lookup(parent->links, node) == node) {
        g_hash_table_remove(parent->links, node);
        g_hash_table_add(parent->links, made);
    }
    return made;
}

static int take_data(struct commit *commit, struct node *node, struct node **twin)
{
    if (node->data != DATA_SCRATCH)
        return 0;
    if ((*twin)->passed > 0 && (*twin)->data == DATA_BELOW) {
        struct node *made = replace_passed(commit, *twin);
        made->pins++;
        g_hash_table_insert(commit->twins, node, made);
        g_ptr_array_add(commit->detached, *twin);
        *twin = made;
    }
    guint64 scratch = node->scratch;
    node->scratch = 0;
    return data_replace(commit->parent, *twin, scratch);
}

static void take_attributes(struct view *parent, struct node *node, struct node *twin)
{
    struct fuse_attr present;
    node_attributes(parent, twin, &present); /* those of the file in scratch/ */
    bool keeps = twin->data == DATA_SCRATCH && node->data != DATA_SCRATCH;
    if (node->timed || !node->below || node->data == DATA_SCRATCH) {
        twin->atime = node->atime;
        twin->mtime = node->mtime;
        twin->timed |= node->timed;
    }
    if (keeps && node->timed)
        data_set_times(parent, twin);
    twin->ctime = MAX(twin->ctime, node->ctime);
    twin->changed |= node->changed;
    twin->linked_elsewhere |= node->linked_elsewhere;
    if (!node->changed)
        return;
    twin->mode = node->mode;
    twin->uid = node->uid;
    twin->gid = node->gid;
    twin->rdev = node->rdev;
    if (node->xattrs != NULL) {
        node_read_xattrs(parent, twin);
        g_hash_table_unref(twin->xattrs);
        twin->xattrs = g_hash_table_ref(node->xattrs);
    }
    if (twin->target == NULL)
        twin->target = g_strdup(node->target);
}

static int dress(struct commit *commit, struct node *node, struct node *twin)
{
    struct view *parent = commit->parent;
    bool writes = !node->below || node->changed || node->data == DATA_SCRATCH;
    struct fuse_attr present;
    if (!is_dressed(node))
        return 0;
    if (node->below && writes) {
        g_autofree char *path = path_of(node, NULL);
        if (!S_ISDIR(node->mode) && node_was_written(parent, twin, commit->start))
            add_conflict(commit, path, VIEW_BOTH_WROTE, twin->writer);
        check_readers(commit, path, TRACE_OF_DATA);
    }
    node_attributes(commit->child, node, &present);
    if (writes)
        node_save_written(parent, twin);
    else
        node_save(parent, twin);
    int rc = take_data(commit, node, &twin);
    if (rc == 0)
        take_attributes(parent, node, twin);
    add_notice(commit, twin, NULL, node->data == DATA_SCRATCH);
    return rc;
}

static int dress_all(struct commit *commit)
{
    g_autoptr(GList) nodes = g_hash_table_get_keys(commit->twins);
    int rc = 0;
    for (const GList *at = nodes; rc == 0 && at != NULL; at = at->next) {
        struct node *twin = g_hash_table_lookup(commit->twins, at->data);
        if (twin != NULL)
            rc = dress(commit, at->data, twin);
    }
    return rc;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int apply(struct commit *commit)
{
    GArray *changes = commit->changes;
    int rc = pair(commit);
    for (guint i = 0; rc == 0 && i < changes->len; i++)
        detach(commit, &g_array_index(changes, struct change, i));
    for (guint i = 0; rc == 0 && i < changes->len; i++)
        attach(commit, &g_array_index(changes, struct change, i));
    if (rc == 0)
        rc = dress_all(commit);
    return rc;
}

static void settle(struct commit *commit)
{
    GHashTableIter iterator;
    gpointer twin;
    g_hash_table_iter_init(&iterator, commit->twins);
    while (g_hash_table_iter_next(&iterator, NULL, &twin))
        if (twin != NULL)
            node_unpin(commit->parent, twin);
    for (guint i = 0; i < commit->detached->len; i++)
        node_unpin(commit->parent, commit->detached->pdata[i]);
}

static void tell(const struct commit *commit)
{
    for (guint i = 0; i < commit->notices->len; i++) {
        const struct notice *notice = &g_array_index(commit->notices, struct notice, i);
        if (notice->name != NULL)
            notify_entry(commit->parent, notice->id, notice->name, notice->flag);
        else
            notify_node(commit->parent, notice->id, notice->flag);
    }
}

static void notice_clear(void *data)
{
    g_free(((struct notice *)data)->name);
}

bool view_commit(struct view *child, guint32 process, GPtrArray *conflicts, GError **error)
{
    g_autoptr(GHashTable) twins = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) detached = g_ptr_array_new();
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(struct change));
    g_autoptr(GArray) notices = g_array_new(FALSE, FALSE, sizeof(struct notice));
    g_autoptr(GHashTable) found = g_hash_table_new(g_str_hash, g_str_equal);
    g_assert(child->start != NULL && child->latest == NULL);
    struct view *parent = child->start->view;
    struct commit commit = { child,    parent,  child->start->epoch, process, twins, changes,
                             detached, notices, conflicts,           found,   false };
    if (g_atomic_int_get(&child->aborted))
        return fault_set(error, FAULT_SANDBOX, "the command's file system was taken away from it");
    g_array_set_clear_func(notices, notice_clear);
    g_mutex_lock(&parent->lock);
    parent->writer = child->label;
    fold(&commit);
    int rc = apply(&commit);
    settle(&commit);
    parent->writer = 0;
    g_mutex_unlock(&parent->lock);
    tell(&commit);
    return rc == 0 || fault_errno(error, -rc, "cannot take over what a command wrote");
}
