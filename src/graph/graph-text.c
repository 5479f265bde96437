// SPDX-License-Identifier: Apache-2.0
/* A solved graph for people: what each query and rule needs, and who makes it. */
#include "graph/graph-internal.h"

#include <string.h>

static void append_list(GString *out, const char *const *names)
{
    for (guint i = 0; names[i] != NULL; i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", names[i]);
}

/* How others call a node: copies of a rule differ in their params. */
static void append_source(GString *out, const struct graph_node *node)
{
    if (node->kind == GRAPH_PARAM) {
        g_string_append(out, "the param");
        return;
    }
    g_string_append_printf(out, "%s(", node->name);
    append_list(out, node->params);
    g_string_append_c(out, ')');
}

static void append_node(GString *out, const struct graph *graph, const struct graph_node *node)
{
    if (node->kind == GRAPH_QUERY)
        g_string_append(out, "query ");
    append_source(out, node);
    if (node->kind == GRAPH_RULE)
        g_string_append_printf(out, ": %s", node->output);
    g_string_append_c(out, '\n');
    for (guint d = 0; d < node->dependency_count; d++) {
        const struct graph_dependency *dependency = &node->dependencies[d];
        g_string_append_printf(out, "    %s", dependency->output);
        if (dependency->provides[0] != NULL) {
            g_string_append(out, " for ");
            append_list(out, dependency->provides);
        }
        g_string_append(out, " <- ");
        append_source(out, &g_array_index(graph->nodes, struct graph_node, dependency->node));
        g_string_append_c(out, '\n');
    }
}

char *graph_text(const struct graph *graph, gint64 root)
{
    GString *out = g_string_new(NULL);
    g_autofree guint *number = part_numbers(graph, root);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const struct graph_node *node = &g_array_index(graph->nodes, struct graph_node, i);
        if (number[i] != NONE && node->kind != GRAPH_PARAM)
            append_node(out, graph, node);
    }
    return g_string_free(out, FALSE);
}
