// SPDX-License-Identifier: Apache-2.0
/*
 * Snapshots of a view, and what they need to stay as they were: former states of nodes and entries,
 * each kept by the latest snapshot that shows it.
 */
#include "view/view-internal.h"

#include "base/fault.h"

#include <string.h>

/* --- former states ---------------------------------------------------------------------------- */

/* So that whoever asks by path can pass by what is as it is below. */
static void touch(struct node *node)
{
    if (node->touched)
        return;
    node->touched = true;
    for (struct entry *entry = node->names; entry != NULL; entry = entry->next)
        touch(entry->directory);
}

static bool must_be_kept(const struct view *view, guint64 epoch)
{
    return view->latest != NULL && view->latest->epoch >= epoch;
}

static struct node_version *keep_node(struct view *view, struct node *node)
{
    struct node_version *version = g_new0(struct node_version, 1);
    struct fuse_attr present;
    node_attributes(view, node, &present); /* those of the file in scratch/ */
    version->was = *node;
    if (node->xattrs != NULL)
        g_hash_table_ref(node->xattrs);
    version->of = node;
    version->older = node->older;
    node->older = version;
    g_ptr_array_add(view->latest->nodes, version);
    return version;
}

void node_save(struct view *view, struct node *node)
{
    touch(node);
    if (node->epoch >= view->epoch)
        return;
    if (must_be_kept(view, node->epoch))
        keep_node(view, node);
    node->epoch = view->epoch;
}

void node_save_written(struct view *view, struct node *node)
{
    node_save(view, node);
    node->written = view->epoch;
    node->writer = view->writer;
}

void entry_save(struct view *view, struct entry *entry)
{
    touch(entry->directory);
    entry->directory->renamed = view->epoch;
    entry->writer = view->writer;
    if (entry->epoch >= view->epoch)
        return;
    if (must_be_kept(view, entry->epoch)) {
        struct entry_version *version = g_new0(struct entry_version, 1);
        *version = (struct entry_version){ .older = entry->older,
                                           .of = entry,
                                           .epoch = entry->epoch,
                                           .node = entry->node,
                                           .state = entry->state,
                                           .changed = entry->changed,
                                           .made = entry->made };
        if (entry->node != NULL)
            entry->node->pins++;
        entry->older = version;
        g_ptr_array_add(view->latest->entries, version);
    }
    entry->epoch = view->epoch;
}

const struct node *node_as_of(const struct node *node, guint64 epoch)
{
    if (node->epoch <= epoch)
        return node;
    for (const struct node_version *at = node->older; at != NULL; at = at->older)
        if (at->was.epoch <= epoch)
            return &at->was;
    return node; /* newer than the snapshot: only its own nodes lead there */
}

enum entry_state entry_as_of(const struct entry *entry, guint64 epoch, struct node **node,
                             bool *changed)
{
    *node = entry->node;
    *changed = entry->changed;
    if (entry->epoch <= epoch)
        return entry->state;
    for (const struct entry_version *at = entry->older; at != NULL; at = at->older)
        if (at->epoch <= epoch) {
            *node = at->node;
            *changed = at->changed;
            return at->state;
        }
    *node = NULL;
    return ENTRY_UNSEEN;
}

/* Through handles that were open at the time of the snapshot, too. */
bool node_was_written(struct view *view, struct node *node, guint64 epoch)
{
    if (node->written > epoch)
        return true;
    const struct node *was = node_as_of(node, epoch);
    struct fuse_attr present;
    if (was == node || was->data != DATA_SCRATCH || node->data != DATA_SCRATCH)
        return false;
    node_attributes(view, node, &present);
    return was->size != node->size || was->mtime != node->mtime;
}

void node_unpin(struct view *view, struct node *node)
{
    node->pins--;
    node_settle(view, node);
}

void node_forget_versions(struct view *view, struct node *node)
{
    for (struct node_version *at = node->older; at != NULL; at = at->older) {
        data_drop_version(view, at);
        at->of = NULL;
    }
    node->older = NULL;
}

void entry_forget_versions(struct entry *entry)
{
    for (struct entry_version *at = entry->older; at != NULL; at = at->older)
        at->of = NULL;
    entry->older = NULL;
}

/* --- snapshots -------------------------------------------------------------------------------- */

static bool is_open_for_writing(const struct handle *handle)
{
    return handle->kind != HANDLE_DIRECTORY && (handle->flags & O_ACCMODE) != O_RDONLY;
}

/* Pages that somebody has written to in memory, and the kernel has not told us of. */
static void flush_mapped(struct view *view)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint64));
    g_mutex_lock(&view->lock);
    for (guint i = 0; i < view->handles.items->len; i++) {
        const struct handle *handle = view->handles.items->pdata[i];
        if (handle != NULL && handle->kind == HANDLE_CACHED && is_open_for_writing(handle))
            g_array_append_val(ids, handle->node->id);
    }
    g_mutex_unlock(&view->lock);
    for (guint i = 0; i < ids->len; i++)
        notify_node(view, g_array_index(ids, guint64, i), true);
}

/* What can be written, or is read, without our being asked, must not share its file from now on. */
static int split_open(struct view *view)
{
    for (guint i = 0; i < view->handles.items->len; i++) {
        struct handle *handle = view->handles.items->pdata[i];
        struct node *node = handle == NULL ? NULL : handle->node;
        if (node == NULL || node->data != DATA_SCRATCH || node->epoch >= view->epoch ||
            node->names == NULL || (!is_open_for_writing(handle) && handle->kind != HANDLE_PASSED))
            continue;
        node_save(view, node);
        int rc = data_split(view, node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct snapshot *view_snapshot(struct view *view, GError **error)
{
    flush_mapped(view);
    struct snapshot *made = g_new0(struct snapshot, 1);
    made->references = 1;
    made->view = view;
    made->entries = g_ptr_array_new_with_free_func(g_free);
    made->nodes = g_ptr_array_new();
    g_mutex_lock(&view->lock);
    made->epoch = view->epoch++;
    made->earlier = view->latest;
    if (made->earlier != NULL)
        made->earlier->later = made;
    view->latest = made;
    int rc = split_open(view);
    g_mutex_unlock(&view->lock);
    if (rc == 0)
        return made;
    snapshot_unref(made);
    fault_errno(error, -rc, "cannot copy a file that is being written");
    return NULL;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    g_atomic_int_inc(&snapshot->references);
    return snapshot;
}

static void cut_entry(struct entry_version *version)
{
    struct entry_version **link = &version->of->older;
    while (*link != version)
        link = &(*link)->older;
    *link = version->older;
}

static void cut_node(struct node_version *version)
{
    struct node_version **link = &version->of->older;
    while (*link != version)
        link = &(*link)->older;
    *link = version->older;
}

/* To the snapshot before, if that shows it, too. */
static void release_entry(struct snapshot *snapshot, struct entry_version *version)
{
    struct snapshot *earlier = snapshot->earlier;
    if (version->of != NULL && earlier != NULL && earlier->epoch >= version->epoch) {
        g_ptr_array_add(earlier->entries, version);
        return;
    }
    if (version->of != NULL)
        cut_entry(version);
    if (version->node != NULL)
        node_unpin(snapshot->view, version->node);
    g_free(version);
}

static void release_node(struct snapshot *snapshot, struct node_version *version)
{
    struct snapshot *earlier = snapshot->earlier;
    if (version->of != NULL && earlier != NULL && earlier->epoch >= version->was.epoch) {
        g_ptr_array_add(earlier->nodes, version);
        return;
    }
    if (version->of != NULL) {
        cut_node(version);
        data_drop_version(snapshot->view, version);
    }
    g_clear_pointer(&version->was.xattrs, g_hash_table_unref);
    g_free(version);
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL || !g_atomic_int_dec_and_test(&snapshot->references))
        return;
    struct view *view = snapshot->view;
    g_mutex_lock(&view->lock);
    for (guint i = 0; i < snapshot->nodes->len; i++)
        release_node(snapshot, snapshot->nodes->pdata[i]);
    g_ptr_array_set_free_func(snapshot->entries, NULL);
    for (guint i = 0; i < snapshot->entries->len; i++)
        release_entry(snapshot, snapshot->entries->pdata[i]);
    if (snapshot->earlier != NULL)
        snapshot->earlier->later = snapshot->later;
    if (snapshot->later != NULL)
        snapshot->later->earlier = snapshot->earlier;
    else
        view->latest = snapshot->earlier;
    if (view->latest == NULL)
        g_hash_table_remove_all(view->readers);
    g_mutex_unlock(&view->lock);
    g_ptr_array_unref(snapshot->entries);
    g_ptr_array_unref(snapshot->nodes);
    g_free(snapshot);
}
