// SPDX-License-Identifier: Apache-2.0
/* From requests to the record: what the process that asked learned of what lies below. */
#include "view/view-internal.h"

#include <string.h>

/* --- facts ------------------------------------------------------------------------------------ */

static guint32 process_of(const struct request *request)
{
    return callers_number(request->view->callers, request->header->pid);
}

static char *path_below(const struct node *node)
{
    GString *path = g_string_new("/");
    g_autoptr(GString) rest = g_string_new(NULL);
    node_below(node, rest);
    g_string_append(path, rest->str);
    return g_string_free(path, FALSE);
}

static char *entry_path_below(const struct node *directory, const char *name)
{
    g_autofree char *path = path_below(directory);
    return g_strconcat(path[1] == '\0' ? "" : path, "/", name, NULL);
}

/* Times in a tree follow from contents (view_options.time): there those are what was learned. */
static guint32 by_content(const struct view *view, guint32 aspects)
{
    return view->times_follow && (aspects & TRACE_TIME) != 0
               ? (aspects & ~(guint32)TRACE_TIME) | TRACE_CONTENT
               : aspects;
}

static void note(struct view *view, const struct node *node, const char *path, guint32 aspects,
                 guint32 process)
{
    const struct sight sight = {
        .kind = trace_kind_of(node->mode_below),
        .mode = trace_mode(node->mode_below, node->links_below),
        .stamp = S_ISREG(node->mode_below) && node->content == NULL ? &node->stamp : NULL,
        .digest = node->content,
        .target = node->target,
        .time = node->mtime,
        .xattrs = node->xattrs_below,
    };
    recorder_note(view->recorder, path, by_content(view, aspects), process, &sight);
}

static void note_own_name(const struct request *request, struct node *node, guint32 aspects)
{
    struct view *view = request->view;
    guint32 process = process_of(request);
    if (callers_is_blind(view->callers, process))
        aspects &= ~(guint32)TRACE_TIME;
    if ((aspects & ~node->noted) == 0)
        return;
    g_autofree char *path = path_below(node);
    note(view, node, path, aspects, process);
    node->noted |= aspects | TRACE_KIND;
}

/*
 * Of a file with several names below, the kernel does not say by which one it is used: what was
 * learned of it was learned of each that was looked up.
 */
static void note_other_names(const struct request *request, const struct node *node)
{
    guint32 process = 0;
    for (struct entry *entry = node->names; entry != NULL; entry = entry->next) {
        guint32 missing = node->noted & ~entry->noted;
        if (missing == 0 || !entry->below || entry->changed)
            continue;
        g_autofree char *path = entry_path_below(entry->directory, entry->name);
        process = process != 0 ? process : process_of(request);
        note(request->view, node, path, missing, process);
        entry->noted |= missing;
    }
}

/*
 * What the action made itself is nothing that it learned, nor is what it has overwritten: whoever
 * opened it to do so noted the content then.
 */
void observe(struct request *request, struct node *node, guint32 aspects)
{
    if (request->view->recorder == NULL || !node->below)
        return;
    if (node->data == DATA_SCRATCH)
        aspects &= ~(guint32)(TRACE_CONTENT | TRACE_TIME);
    if (node->timed)
        aspects &= ~(guint32)TRACE_TIME;
    if ((aspects & ~node->noted) != 0)
        note_own_name(request, node, aspects);
    if (node->names != NULL && node->names->next != NULL)
        note_other_names(request, node);
}

bool observe_time_is_open(const struct view *view, const struct node *node)
{
    return view->recorder != NULL && node->data == DATA_BELOW && !node->timed &&
           (node->noted & TRACE_TIME) == 0;
}

/* A name that this action took away, or that it saw come, is absent by its own doing. */
void observe_absent(struct request *request, struct entry *entry)
{
    struct view *view = request->view;
    if (view->recorder == NULL || entry->noted != 0 || entry->changed || entry->below ||
        entry->state != ENTRY_ABSENT || !entry->directory->below)
        return;
    entry->noted = TRACE_ABSENT;
    g_autofree char *path = entry_path_below(entry->directory, entry->name);
    const struct sight sight = { .kind = TRACE_NOTHING };
    recorder_note(view->recorder, path, TRACE_ABSENT, process_of(request), &sight);
}

void observe_unreachable(struct request *request, const struct node *directory, const char *name)
{
    if (request->view->recorder == NULL || !directory->below || directory->changed)
        return;
    g_autofree char *path = entry_path_below(directory, name);
    const struct sight sight = { .kind = TRACE_UNREACHABLE };
    recorder_note(request->view->recorder, path, TRACE_KIND, process_of(request), &sight);
}

void observe_vanished(struct view *view, const struct entry *entry)
{
    g_autofree char *path = entry_path_below(entry->directory, entry->name);
    if (view->recorder != NULL)
        recorder_unstable(view->recorder, path);
}

/* The names below, whatever has become of them: what the action did to them is its own writing. */
static void digest_names(struct node *directory, struct digest *out)
{
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, directory->children);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        const struct entry *entry = value;
        guint32 kind = entry->kind;
        const struct trace_name name = { entry->name, trace_kind_of(kind) };
        if (entry->below)
            g_array_append_val(names, name);
    }
    trace_names_digest((struct trace_name *)(void *)names->data, names->len, out);
}

static void note_names(struct view *view, struct node *directory, const struct digest *digest,
                       guint32 process)
{
    g_autofree char *path = path_below(directory);
    const struct sight sight = { .kind = TRACE_DIRECTORY,
                                 .mode = directory->mode_below,
                                 .digest = digest };
    recorder_note(view->recorder, path, TRACE_NAMES, process, &sight);
    directory->noted |= TRACE_NAMES | TRACE_KIND;
}

void observe_unlisted(struct request *request, struct node *directory)
{
    if (request->view->recorder != NULL && directory->below && !directory->changed)
        note_names(request->view, directory, NULL, process_of(request));
}

void observe_listing(struct request *request, struct node *directory)
{
    struct view *view = request->view;
    struct digest digest;
    if (view->recorder == NULL || !directory->below || (directory->noted & TRACE_NAMES) != 0)
        return;
    digest_names(directory, &digest);
    note_names(view, directory, &digest, process_of(request));
}

void observe_names_folded(struct view *view, struct node *directory, guint32 process)
{
    struct digest digest;
    if ((directory->noted & TRACE_NAMES) != 0 || directory_list(view, directory) < 0)
        return;
    digest_names(directory, &digest);
    note_names(view, directory, &digest, process);
}

void observe_kept(struct view *view, struct node *node)
{
    struct digest digest;
    if (view->recorder == NULL || !node->below)
        return;
    if (S_ISDIR(node->mode_below)) {
        digest_names(node, &digest);
        if ((node->noted & TRACE_NAMES) == 0)
            note_names(view, node, &digest, 0);
    } else if ((node->noted & TRACE_CONTENT) == 0) {
        g_autofree char *path = path_below(node);
        note(view, node, path, S_ISLNK(node->mode) ? TRACE_TARGET : TRACE_CONTENT, 0);
    }
}

void observe_attributes_kept(struct view *view, struct node *node)
{
    if (view->recorder == NULL || !node->below || node->xattrs_below == NULL ||
        (node->noted & TRACE_XATTRS) != 0)
        return;
    g_autofree char *path = path_below(node);
    note(view, node, path, TRACE_XATTRS, 0);
    node->noted |= TRACE_XATTRS;
}

/* --- writing ---------------------------------------------------------------------------------- */

void observe_write(struct request *request, const struct node *node, guint32 what)
{
    g_autoptr(GString) path = g_string_new(NULL);
    if (request->view->recorder != NULL && node_path(node, path))
        recorder_write(request->view->recorder, path->len > 0 ? path->str : "/",
                       process_of(request), what);
}

void observe_name_change(struct request *request, const struct node *directory, const char *name,
                         guint32 what)
{
    g_autoptr(GString) path = g_string_new(NULL);
    if (request->view->recorder != NULL && entry_path(directory, name, path))
        recorder_write(request->view->recorder, path->str, process_of(request), what);
}
