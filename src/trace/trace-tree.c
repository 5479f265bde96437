// SPDX-License-Identifier: Apache-2.0
/* A tree as a state: what a view of it shows to a sealed command. */
#include "trace/trace-internal.h"

#include "base/path.h"

struct tree_state {
    struct trace_state base;
    struct tree *tree;
};

static const struct tree *tree_of(const struct trace_state *state)
{
    return ((const struct tree_state *)state)->tree;
}

static enum trace_kind kind_of(const struct tree_entry *entry)
{
    switch (entry->kind) {
    case TREE_DIRECTORY:
        return TRACE_DIRECTORY;
    case TREE_SYMLINK:
        return TRACE_LINK;
    default:
        return TRACE_FILE;
    }
}

static void append_names(const struct tree *directory, GArray *names)
{
    for (size_t i = 0; i < tree_size(directory); i++) {
        const struct tree_entry *entry = tree_at(directory, i);
        const struct trace_name name = { .name = entry->name, .kind = kind_of(entry) };
        g_array_append_val(names, name);
    }
}

static void answer_directory(const struct tree *directory, unsigned aspects,
                             struct trace_value *out)
{
    out->kind = TRACE_DIRECTORY;
    out->mode = 0755;
    if ((aspects & TRACE_NAMES) == 0)
        return;
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    append_names(directory, names);
    trace_names_digest((struct trace_name *)(void *)names->data, names->len, &out->digest);
}

/* Times are no question here: they follow from contents. */
static void answer(const struct tree *tree, const struct trace_question *question,
                   struct trace_value *out)
{
    const char *path = question->path;
    const struct tree_entry *entry = path_is_relative(path) ? tree_lookup(tree, path) : NULL;
    *out = (struct trace_value){ .kind = TRACE_NOTHING };
    if (*path == '\0')
        answer_directory(tree, question->aspects, out);
    else if (entry == NULL)
        return;
    else if (entry->kind == TREE_DIRECTORY)
        answer_directory(entry->directory, question->aspects, out);
    else if (entry->kind == TREE_SYMLINK)
        *out = (struct trace_value){ .kind = TRACE_LINK, .target = entry->target };
    else
        *out = (struct trace_value){ .kind = TRACE_FILE,
                                     .mode = entry->executable ? 0755 : 0644,
                                     .digest = entry->digest };
}

static bool look_up(struct trace_state *state, const struct trace_question *questions, size_t count,
                    struct trace_value *answers, GError **error)
{
    for (size_t i = 0; i < count; i++)
        answer(tree_of(state), &questions[i], &answers[i]);
    return true;
}

static bool list(struct trace_state *state, const char *path, GArray *names, GError **error)
{
    const struct tree *tree = tree_of(state);
    const struct tree_entry *entry = path_is_relative(path) ? tree_lookup(tree, path) : NULL;
    if (*path != '\0' && (entry == NULL || entry->kind != TREE_DIRECTORY))
        return false;
    append_names(*path == '\0' ? tree : entry->directory, names);
    return true;
}

static void tree_free(struct trace_state *state)
{
    tree_unref(((struct tree_state *)state)->tree);
    g_free(state);
}

struct trace_state *trace_tree_state_new(struct tree *tree)
{
    static const struct trace_state_operations operations = { look_up, list, tree_free };
    struct tree_state *state = g_new0(struct tree_state, 1);
    state->base.operations = &operations;
    state->tree = tree_ref(tree);
    return &state->base;
}
