// SPDX-License-Identifier: Apache-2.0
/*
 * Warnings about a graph that is right as it is: rules that no query reaches, and cycles on which
 * no get provides anything. On such a cycle every instance has the same key as one above it: a run
 * that goes all the way round can never end well.
 */
#include "graph/graph-internal.h"

#include <string.h>

static void find_unused(struct solver *solver)
{
    const struct graph *graph = solver->graph;
    g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const struct graph_node *node = &g_array_index(graph->nodes, struct graph_node, i);
        if (node->kind == GRAPH_RULE)
            g_hash_table_add(used, (gpointer)node->name);
    }
    for (guint i = 0; i < solver->rule_count; i++) {
        const struct rule *rule = &solver->rules[i];
        if (rule->builtin || g_hash_table_contains(used, rule->name))
            continue;
        const char *output = type_at(solver->input, rule->output)->name;
        g_autofree char *message = g_strdup_printf(
            "rule \"%s\", which returns %s, is used by no query", rule->name, output);
        const struct graph_error warning = { .kind = GRAPH_UNUSED_RULE,
                                             .output = output,
                                             .node = rule->name,
                                             .file = rule->file,
                                             .line = rule->line,
                                             .message = message };
        graph_report(solver->graph, &warning);
    }
}

static const struct graph_node *node_of(const struct graph *graph, guint id)
{
    return &g_array_index(graph->nodes, struct graph_node, id);
}

/* Nodes that are left once all without a way on that provides nothing are gone, again and again. */
static bool *trim(const struct graph *graph)
{
    guint count = graph->nodes->len;
    bool *left = g_new(bool, count + 1);
    memset(left, true, count + 1);
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = count; i-- > 0;) {
            bool on = false;
            const struct graph_node *node = node_of(graph, i);
            for (guint d = 0; d < node->dependency_count && !on; d++)
                on = *node->dependencies[d].provides == NULL && left[node->dependencies[d].node];
            changed |= left[i] && !on;
            left[i] = left[i] && on;
        }
    }
    return left;
}

/* The shortest such way from `start` back to it, as node -> the one before; false if none. */
static bool way_back(const struct graph *graph, const bool *left, guint start, guint *before)
{
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < graph->nodes->len; i++)
        before[i] = NONE;
    g_array_append_val(queue, start);
    for (guint i = 0; i < queue->len; i++) {
        guint at = g_array_index(queue, guint, i);
        const struct graph_node *node = node_of(graph, at);
        for (guint d = 0; d < node->dependency_count; d++) {
            guint to = node->dependencies[d].node;
            if (*node->dependencies[d].provides != NULL || !left[to] || before[to] != NONE)
                continue;
            before[to] = at;
            if (to == start)
                return true;
            g_array_append_val(queue, to);
        }
    }
    return false;
}

static const struct rule *rule_named(const struct solver *solver, const char *name)
{
    gpointer id = g_hash_table_lookup(solver->input->rule_ids, name);
    return &solver->rules[GPOINTER_TO_UINT(id)];
}

static void report_cycle(struct solver *solver, guint start, const guint *before, bool *said)
{
    const struct graph *graph = solver->graph;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    guint at = start;
    do {
        said[at] = true;
        g_ptr_array_insert(names, 0, (gpointer)node_of(graph, at)->name);
        at = before[at];
    } while (at != start);
    g_ptr_array_insert(names, 0, (gpointer)node_of(graph, start)->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *cycle = g_strjoinv(" -> ", (char **)names->pdata);
    g_autofree char *message = g_strdup_printf(
        "%s: a cycle on which no get provides anything; a run that goes round it fails", cycle);
    const struct rule *rule = rule_named(solver, node_of(graph, start)->name);
    const struct graph_error warning = { .kind = GRAPH_UNGROUNDED,
                                         .output = node_of(graph, start)->output,
                                         .node = rule->name,
                                         .file = rule->file,
                                         .line = rule->line,
                                         .message = message };
    graph_report(solver->graph, &warning);
}

static void find_ungrounded(struct solver *solver)
{
    const struct graph *graph = solver->graph;
    guint count = graph->nodes->len;
    g_autofree bool *left = trim(graph);
    g_autofree bool *said = g_new0(bool, count + 1);
    g_autofree guint *before = g_new(guint, count + 1);
    for (guint i = 0; i < count; i++)
        if (left[i] && !said[i] && way_back(graph, left, i, before))
            report_cycle(solver, i, before, said);
}

void warnings_find(struct solver *solver)
{
    if (!solver->partial)
        find_unused(solver);
    find_ungrounded(solver);
}
