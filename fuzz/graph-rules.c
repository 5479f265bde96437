// SPDX-License-Identifier: Apache-2.0
/*
 * Input: rules and queries as test/unit/graph-support.h reads them. Whatever they say, the solve
 * ends, and a graph has one source for each key, whose in-set has in it what a get provides.
 */
#include "../test/unit/graph-support.h"

#include <stdint.h>

/* What is consumed below a get must have in it all that the get provides. */
static void check_consumed(const struct graph_node *target, const char *const *provides)
{
    for (; *provides != NULL; provides++)
        g_assert_true(g_strv_contains(target->params, *provides));
}

/* A rule's in-set is what its sources consume, less what its gets provide. */
static void check_in_set(const struct graph_node *nodes, const struct graph_node *node)
{
    for (guint d = 0; d < node->dependency_count; d++) {
        const struct graph_dependency *dependency = &node->dependencies[d];
        const struct graph_node *target = &nodes[dependency->node];
        g_assert_true(target->kind != GRAPH_QUERY);
        g_assert_cmpstr(target->output, ==, dependency->output);
        check_consumed(target, dependency->provides);
        for (guint i = 0; target->params[i] != NULL; i++)
            g_assert_true(g_strv_contains(node->params, target->params[i]) ||
                          g_strv_contains(dependency->provides, target->params[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 600)
        return 0;
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(graph) graph = support_solve(text);
    gsize count, errors;
    const struct graph_node *nodes = graph_nodes(graph, &count);
    graph_errors(graph, &errors);
    g_assert_true(errors == 0 || count == 0);
    for (gsize i = 0; i < count; i++)
        check_in_set(nodes, &nodes[i]);
    g_autofree char *json = graph_json(graph, count > 0 ? 0 : -1);
    g_autofree char *dot = graph_dot(graph, -1);
    return 0;
}
