// SPDX-License-Identifier: Apache-2.0
/* States as such, and the one that is a table. */
#include "trace/trace-internal.h"

#include <string.h>

void trace_state_free(struct trace_state *state)
{
    if (state != NULL)
        state->operations->free(state);
}

/* --- the table ---------------------------------------------------------------------------------
 */

struct memory_state {
    struct trace_state base;
    GTree *values; /* char* -> struct trace_value*, by trace_compare_paths() */
};

static struct memory_state *memory(struct trace_state *state)
{
    return (struct memory_state *)state;
}

/* Where the name of the last component begins, and the directory ends. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_child(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    const char *name = base_name(path);
    if (*name == '\0')
        return false;
    if (length == 0 || strcmp(directory, "/") == 0)
        return name == path + length;
    return strncmp(path, directory, length) == 0 && path[length] == '/' &&
           name == path + length + 1;
}

struct listing {
    const char *directory;
    GArray *names;
};

static gboolean list_child(void *key, void *data, void *user)
{
    struct listing *listing = user;
    const struct trace_value *value = data;
    const struct trace_name name = { .name = base_name(key), .kind = value->kind };
    if (is_child(key, listing->directory))
        g_array_append_val(listing->names, name);
    return FALSE;
}

static bool memory_list(struct trace_state *state, const char *path, GArray *names, GError **error)
{
    const struct trace_value *value = g_tree_lookup(memory(state)->values, path);
    if (value == NULL || value->kind != TRACE_DIRECTORY || value->unreadable)
        return false;
    struct listing listing = { .directory = path, .names = names };
    g_tree_foreach(memory(state)->values, list_child, &listing);
    return true;
}

static bool memory_look_up(struct trace_state *state, const struct trace_question *questions,
                           size_t count, struct trace_value *answers, GError **error)
{
    for (size_t i = 0; i < count; i++) {
        g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
        const struct trace_value *value = g_tree_lookup(memory(state)->values, questions[i].path);
        if (value == NULL)
            continue;
        answers[i] = *value;
        if ((questions[i].aspects & TRACE_NAMES) != 0 &&
            memory_list(state, questions[i].path, names, error))
            trace_names_digest((struct trace_name *)names->data, names->len, &answers[i].digest);
    }
    return true;
}

static void memory_free(struct trace_state *state)
{
    g_tree_unref(memory(state)->values);
    g_free(state);
}

static void free_value(void *data)
{
    struct trace_value *value = data;
    g_free((char *)value->target);
    g_free((char *)value->xattrs);
    g_free(value);
}

static int compare_keys(gconstpointer a, gconstpointer b, gpointer user)
{
    return trace_compare_paths(a, b);
}

struct trace_state *trace_memory_state_new(void)
{
    static const struct trace_state_operations operations = { memory_look_up, memory_list,
                                                              memory_free };
    static const struct trace_value root = { .kind = TRACE_DIRECTORY, .mode = 0755 };
    struct memory_state *state = g_new0(struct memory_state, 1);
    state->base.operations = &operations;
    state->values = g_tree_new_full(compare_keys, NULL, g_free, free_value);
    trace_memory_state_put(&state->base, "", &root);
    trace_memory_state_put(&state->base, "/", &root);
    return &state->base;
}

void trace_memory_state_put(struct trace_state *state, const char *path,
                            const struct trace_value *value)
{
    if (value->kind == TRACE_NOTHING) {
        g_tree_remove(memory(state)->values, path);
        return;
    }
    struct trace_value *copy = g_memdup2(value, sizeof *value);
    copy->target = g_strdup(value->target);
    copy->xattrs = g_strdup(value->xattrs);
    g_tree_replace(memory(state)->values, g_strdup(path), copy);
}
