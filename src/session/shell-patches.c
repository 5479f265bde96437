// SPDX-License-Identifier: Apache-2.0
/* From facts and outputs to what is shown otherwise than the host has it now. */
#include "session/shell.h"

#include <string.h>

struct patches *patches_new(const char *workspace)
{
    struct patches *made = g_new0(struct patches, 1);
    made->list = g_ptr_array_new_with_free_func(g_free);
    made->texts = g_string_chunk_new(4096);
    made->prefix = g_string_chunk_insert(made->texts, workspace + 1);
    return made;
}

void patches_free(struct patches *patches)
{
    if (patches == NULL)
        return;
    g_ptr_array_unref(patches->list);
    g_string_chunk_free(patches->texts);
    g_free(patches);
}

static struct view_patch *add(struct patches *patches, const char *path, enum patch_kind kind)
{
    struct view_patch *patch = g_new0(struct view_patch, 1);
    g_autofree char *full = g_strconcat(patches->prefix, "/", path, NULL);
    patch->path = g_string_chunk_insert(patches->texts, full);
    patch->kind = kind;
    patch->mode = kind == PATCH_LINK ? 0777 : kind == PATCH_DIRECTORY ? 0755 : 0644;
    g_ptr_array_add(patches->list, patch);
    return patch;
}

/* --- what was seen ---------------------------------------------------------------------------- */

struct past {
    struct patches *patches;
    struct trace_state *now;
    const struct tree *kept;
    gint64 oldest; /* ns: every rank of the order of times is a second after that */
    GPtrArray *missing;
};

static struct trace_value is_now(const struct past *past, const struct trace_fact *fact)
{
    const struct trace_question question = { fact->path, fact->aspects | TRACE_KIND };
    struct trace_value value = { 0 };
    past->now->operations->look_up(past->now, &question, 1, &value, NULL);
    return value;
}

static gint64 time_of(const struct past *past, const struct trace_fact *fact)
{
    return past->oldest + fact->value.time * G_GINT64_CONSTANT(1000000000);
}

static void add_file(const struct past *past, const struct trace_fact *fact)
{
    const struct tree_entry *entry = tree_lookup(past->kept, fact->path);
    const struct trace_value now = is_now(past, fact), *then = &fact->value;
    if ((fact->aspects & TRACE_CONTENT) == 0 || then->unreadable)
        return;
    bool kept = entry != NULL && entry->kind == TREE_FILE;
    if (!kept && now.kind == TRACE_FILE && digest_equal(&now.digest, &then->digest))
        return;
    if (!kept) {
        g_ptr_array_add(past->missing, g_strdup(fact->path));
        return;
    }
    struct view_patch *patch = add(past->patches, fact->path, PATCH_FILE);
    patch->digest = then->digest;
    patch->mode = then->mode & 07777;
    patch->time = time_of(past, fact);
}

static void add_seen(const struct past *past, const struct trace_fact *fact)
{
    const struct trace_value *then = &fact->value;
    switch (then->kind) {
    case TRACE_NOTHING:
        add(past->patches, fact->path, PATCH_ABSENT);
        break;
    case TRACE_FILE:
        add_file(past, fact);
        break;
    case TRACE_LINK:
        if ((fact->aspects & TRACE_TARGET) != 0)
            add(past->patches, fact->path, PATCH_LINK)->target =
                g_string_chunk_insert(past->patches->texts, then->target);
        break;
    case TRACE_DIRECTORY:
        if (is_now(past, fact).kind != TRACE_DIRECTORY)
            add(past->patches, fact->path, PATCH_DIRECTORY)->time = past->oldest;
        break;
    default:
        break;
    }
}

void patches_add_seen(struct patches *patches, struct session *session, const struct trace *trace,
                      const struct tree *kept, gint64 time, GPtrArray *missing)
{
    size_t count = trace_fact_count(trace);
    g_autoptr(trace_state) now = trace_host_state_new(session->root, session->stats, NULL);
    const struct past past = { patches, now, kept,
                               time - (gint64)(count + 1) * G_GINT64_CONSTANT(1000000000),
                               missing };
    for (size_t i = 0; i < count; i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        if (fact->path[0] != '/' && fact->path[0] != '\0')
            add_seen(&past, fact);
    }
}

/* --- what it made ----------------------------------------------------------------------------- */

struct made {
    struct patches *patches;
    GHashTable *extras; /* path -> struct output_extra */
    gint64 time;
};

static bool add_output(const char *path, const struct tree_entry *entry, void *user)
{
    const struct made *made = user;
    const struct output_extra *extra = g_hash_table_lookup(made->extras, path);
    enum patch_kind kind = entry->kind == TREE_FILE      ? PATCH_FILE
                           : entry->kind == TREE_SYMLINK ? PATCH_LINK
                                                         : PATCH_DIRECTORY;
    struct view_patch *patch = add(made->patches, path, kind);
    patch->time = extra != NULL && kind == PATCH_FILE ? extra->mtime : made->time;
    if (kind == PATCH_LINK) {
        patch->target = g_string_chunk_insert(made->patches->texts, entry->target);
        return true;
    }
    if (kind == PATCH_FILE)
        patch->digest = entry->digest;
    patch->mode = extra != NULL                              ? extra->mode & 07777
                  : kind == PATCH_FILE && !entry->executable ? 0644
                                                             : 0755;
    return true;
}

void patches_add_outputs(struct patches *patches, const struct tree *outputs,
                         const struct result *result, gint64 time)
{
    g_autoptr(GHashTable) extras = g_hash_table_new(g_str_hash, g_str_equal);
    struct made made = { patches, extras, time };
    for (guint i = 0; i < result->extras->len; i++) {
        struct output_extra *extra = result->extras->pdata[i];
        g_hash_table_insert(extras, extra->path, extra);
    }
    for (char **path = result->deleted; path != NULL && *path != NULL; path++)
        add(patches, *path, PATCH_ABSENT);
    tree_walk(outputs, add_output, &made);
}
