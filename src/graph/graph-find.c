// SPDX-License-Identifier: Apache-2.0
/* Looks up declared queries; one that is not declared is answered with the one nearest to it. */
#include "graph/graph-internal.h"

#include <string.h>

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once, ended with NULL; the texts are the caller's. */
static GPtrArray *as_set(const char *const *params)
{
    GPtrArray *set = g_ptr_array_new();
    for (; params != NULL && *params != NULL; params++)
        g_ptr_array_add(set, (gpointer)*params);
    g_ptr_array_sort(set, compare_texts);
    for (guint i = set->len; i > 1; i--)
        if (strcmp(set->pdata[i - 1], set->pdata[i - 2]) == 0)
            g_ptr_array_remove_index(set, i - 1);
    g_ptr_array_add(set, NULL);
    return set;
}

/* How many params two sets do not share. */
static guint distance(const char *const *a, const char *const *b)
{
    guint apart = 0;
    while (*a != NULL || *b != NULL) {
        gint order = *a == NULL ? 1 : *b == NULL ? -1 : strcmp(*a, *b);
        a += order <= 0;
        b += order >= 0;
        apart += order != 0;
    }
    return apart;
}

static char *signature(const char *output, const char *const *params)
{
    g_autofree char *list = g_strjoinv(", ", (char **)params);
    return g_strdup_printf("%s(%s)", output, list);
}

/* `near` may be NULL. */
static struct graph_error *undeclared(const char *output, const char *const *params,
                                      const char *near)
{
    g_autofree char *asked = signature(output, params);
    const char *candidates[] = { near, NULL };
    struct graph_error *error = g_new0(struct graph_error, 1);
    error->kind = GRAPH_UNDECLARED_QUERY;
    error->output = g_strdup(output);
    error->candidates = (const char *const *)g_strdupv((char **)candidates);
    if (near == NULL)
        error->message = g_strdup_printf("query %s is not declared, nor is any other that asks for "
                                         "%s\n  declare it",
                                         asked, output);
    else
        error->message = g_strdup_printf("query %s is not declared; the nearest declared one is "
                                         "%s\n  declare it, or ask for that one",
                                         asked, near);
    error->node = g_steal_pointer(&asked);
    return error;
}

/* Of a declared query, as in as_set(). */
static const char **declared_params(const struct graph_input *input, const struct key *key)
{
    const char **params = g_new0(const char *, key->input_count + 1);
    for (guint i = 0; i < key->input_count; i++)
        params[i] = type_at(input, key->inputs[i])->name;
    return params;
}

/* The first of the declared queries with the fewest params too many or too few, or -1. */
static gint64 find_nearest(const struct graph_input *input, const char *output,
                           const char *const *wanted, guint *apart)
{
    gint64 nearest = -1;
    *apart = G_MAXUINT;
    for (guint i = 0; i < input->queries->len; i++) {
        const struct key *key = &g_array_index(input->queries, struct query, i).key;
        if (strcmp(type_at(input, key->output)->name, output) != 0)
            continue;
        g_autofree const char **params = declared_params(input, key);
        guint here = distance(params, wanted);
        if (here >= *apart)
            continue;
        *apart = here;
        nearest = i;
    }
    return nearest;
}

gint64 input_find(const struct graph_input *input, const char *output, const char *const *params)
{
    g_autoptr(GPtrArray) set = as_set(params);
    guint apart;
    gint64 nearest = find_nearest(input, output, (const char *const *)set->pdata, &apart);
    return apart == 0 ? nearest : -1;
}

bool graph_input_declares(const struct graph_input *input, const char *output,
                          const char *const *params, struct graph_error **error)
{
    g_autoptr(GPtrArray) set = as_set(params);
    const char *const *wanted = (const char *const *)set->pdata;
    guint apart;
    gint64 nearest = find_nearest(input, output, wanted, &apart);
    if (apart == 0)
        return true;
    g_autofree char *near = NULL;
    if (nearest >= 0) {
        const struct key *key = &g_array_index(input->queries, struct query, nearest).key;
        g_autofree const char **declared = declared_params(input, key);
        near = signature(output, declared);
    }
    if (error != NULL)
        *error = undeclared(output, wanted, near);
    return false;
}

gint64 graph_find(const struct graph *graph, const char *output, const char *const *params,
                  struct graph_error **error)
{
    g_autoptr(GPtrArray) set = as_set(params);
    const char *const *wanted = (const char *const *)set->pdata;
    const struct graph_node *nearest = NULL;
    guint apart = G_MAXUINT;
    for (guint i = 0; i < graph->nodes->len; i++) {
        const struct graph_node *node = &g_array_index(graph->nodes, struct graph_node, i);
        if (node->kind != GRAPH_QUERY || strcmp(node->output, output) != 0)
            continue;
        guint here = distance(node->params, wanted);
        if (here == 0)
            return i;
        if (here < apart) {
            apart = here;
            nearest = node;
        }
    }
    g_autofree char *near = nearest ? signature(nearest->output, nearest->params) : NULL;
    if (error != NULL)
        *error = undeclared(output, wanted, near);
    return -1;
}

void graph_error_free(struct graph_error *error)
{
    if (error == NULL)
        return;
    g_free((char *)error->output);
    g_free((char *)error->node);
    g_free((char *)error->file);
    g_free((char *)error->message);
    g_strfreev((char **)error->candidates);
    g_free(error);
}
