// SPDX-License-Identifier: Apache-2.0
/* The graph made ready for use: for each dependency where the params of its target come from. */
#include "base/fault.h"
#include "engine/engine-internal.h"

#include <string.h>

static gint64 position(const char *const *names, const char *name)
{
    for (gint64 i = 0; names != NULL && names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* The graph sees to it that what is not provided is among the own params. */
static void link_init(struct link *link, const struct graph_node *node,
                      const struct graph_dependency *dependency, const struct graph_node *target)
{
    guint count = g_strv_length((char **)target->params);
    *link = (struct link){ .dependency = dependency,
                           .provided = g_strv_length((char **)dependency->provides),
                           .target = dependency->node,
                           .sources = g_new0(struct source, count) };
    for (guint i = 0; i < count; i++) {
        gint64 provided = position(dependency->provides, target->params[i]);
        gint64 own = position(node->params, target->params[i]);
        g_assert(provided >= 0 || own >= 0);
        link->sources[i] =
            (struct source){ provided >= 0, (guint)(provided >= 0 ? provided : own) };
    }
}

struct plan *plans_new(const struct graph *graph, GHashTable *rules, gsize *count, GError **error)
{
    const struct graph_node *nodes = graph_nodes(graph, count);
    struct plan *plans = g_new0(struct plan, *count + 1);
    for (gsize i = 0; i < *count; i++) {
        struct plan *plan = &plans[i];
        plan->node = &nodes[i];
        plan->param_count = g_strv_length((char **)nodes[i].params);
        plan->rule = nodes[i].kind == GRAPH_RULE ? g_hash_table_lookup(rules, nodes[i].name) : NULL;
        plan->links = g_new0(struct link, nodes[i].dependency_count);
        for (guint d = 0; d < nodes[i].dependency_count; d++)
            link_init(&plan->links[d], &nodes[i], &nodes[i].dependencies[d],
                      &nodes[nodes[i].dependencies[d].node]);
        if (nodes[i].kind == GRAPH_RULE && plan->rule == NULL) {
            fault_set(error, FAULT_USAGE, "nothing is known of how to run rule %s", nodes[i].name);
            plans_free(plans, *count);
            return NULL;
        }
    }
    return plans;
}

void plans_free(struct plan *plans, gsize count)
{
    for (gsize i = 0; plans != NULL && i < count; i++) {
        for (guint d = 0; plans[i].links != NULL && d < plans[i].node->dependency_count; d++)
            g_free(plans[i].links[d].sources);
        g_free(plans[i].links);
    }
    g_free(plans);
}

const struct link *plan_find(const struct plan *plan, const char *output, const char *const *types)
{
    const struct graph_node *node = plan->node;
    for (guint d = node->positional_count; d < node->dependency_count; d++)
        if (strcmp(node->dependencies[d].output, output) == 0 &&
            g_strv_equal(node->dependencies[d].provides, types))
            return &plan->links[d];
    return NULL;
}
