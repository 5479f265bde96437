// SPDX-License-Identifier: Apache-2.0
/*
 * Phase 4, prune_edges: walks from the queries and makes errors of choices without exactly one
 * source. Each error is made as deep as it can be: a source that is itself at fault is walked, too.
 */
#include "graph/graph-internal.h"

struct prune {
    struct solver *solver;
    GArray *queue; /* nodes in the order of the walk: breadth first, so that paths are short */
    guint *above;  /* node -> who led to it; itself for a query; NONE: not seen */
    bool *faulty;
    bool *postponed; /* nodes with choices whose tie may come from below */
};

static void push(struct prune *prune, guint id, guint from)
{
    if (prune->above[id] != NONE)
        return;
    prune->above[id] = from;
    g_array_append_val(prune->queue, id);
}

static GArray *path_to(const struct prune *prune, guint id)
{
    GArray *path = g_array_new(FALSE, FALSE, sizeof(guint));
    for (; prune->above[id] != id; id = prune->above[id])
        if (node_at(prune->solver, id)->kind != NODE_EITHER)
            g_array_prepend_val(path, id);
    g_array_prepend_val(path, id);
    return path;
}

static void visit_missing(struct prune *prune, guint id, const struct choice *choice)
{
    struct solver *solver = prune->solver;
    bool single = choice->source_count == 1 || choice->key == NULL;
    if (single) {
        const struct source *source = source_at(solver, choice->source);
        if (source->reason == UNSATISFIABLE) {
            push(prune, source->target, id);
            return;
        }
    }
    g_autoptr(GArray) path = path_to(prune, id);
    prune->faulty[id] = true;
    errors_no_source(solver, path, choice);
}

static bool exact(const struct solver *solver, const struct source *source)
{
    if (source->param)
        return true;
    const struct node *node = node_at(solver, source->target);
    return set_same(node->low, node->high, solver->sets.width);
}

static void visit_tie(struct prune *prune, guint id, const struct choice *choice)
{
    struct solver *solver = prune->solver;
    bool below = false;
    for (guint i = 0; i < choice->source_count; i++) {
        const struct source *source = source_at(solver, choice->source + i);
        if (source->reason != LIVE || exact(solver, source))
            continue;
        push(prune, source->target, id);
        below = true;
    }
    if (below || choice->key == NULL) {
        prune->postponed[id] = true;
        return;
    }
    g_autoptr(GArray) path = path_to(prune, id);
    prune->faulty[id] = true;
    errors_ambiguous(solver, path, choice);
}

static void visit(struct prune *prune, guint id)
{
    const struct node *node = node_at(prune->solver, id);
    for (guint i = 0; i < node->choice_count; i++) {
        const struct choice *choice = choice_at(prune->solver, node->choice + i);
        guint live = choice_live(prune->solver, choice);
        if (live == 0) {
            visit_missing(prune, id, choice);
        } else if (live == 1) {
            const struct source *source = choice_sole(prune->solver, choice);
            if (!source->param)
                push(prune, source->target, id);
        } else {
            visit_tie(prune, id, choice);
        }
    }
}

static bool fault_below(const struct prune *prune, const struct node *node)
{
    for (guint c = 0; c < node->choice_count; c++) {
        const struct choice *choice = choice_at(prune->solver, node->choice + c);
        for (guint i = 0; i < choice->source_count; i++) {
            const struct source *source = source_at(prune->solver, choice->source + i);
            if (!source->param && source->reason == LIVE && prune->faulty[source->target])
                return true;
        }
    }
    return false;
}

static void report_tie(struct prune *prune, const struct choice *choice)
{
    g_autoptr(GArray) path = path_to(prune, choice->node);
    errors_ambiguous(prune->solver, path, choice);
}

/*
 * Ties that nothing below explains: what each source uses depends on which of them is taken. All
 * that a component has are reported, unless there is an error in it or below it.
 */
static void explain(struct solver *solver, const guint *ids, guint count, void *data)
{
    struct prune *prune = data;
    bool faulty = false, tied = false;
    for (guint i = 0; i < count; i++)
        faulty |= prune->faulty[ids[i]] || fault_below(prune, node_at(solver, ids[i]));
    for (guint i = 0; i < count; i++) {
        const struct node *node = node_at(solver, ids[i]);
        for (guint c = 0; prune->postponed[ids[i]] && c < node->choice_count; c++) {
            const struct choice *choice = choice_at(solver, node->choice + c);
            if (choice_live(solver, choice) < 2)
                continue;
            tied = true;
            if (!faulty)
                report_tie(prune, choice);
        }
    }
    for (guint i = 0; i < count; i++)
        prune->faulty[ids[i]] = faulty || tied;
}

void phase_prune_edges(struct solver *solver)
{
    guint count = solver->nodes->len;
    g_autofree guint *above = g_new(guint, count + 1);
    g_autofree bool *faulty = g_new0(bool, count + 1);
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autofree bool *postponed = g_new0(bool, count + 1);
    struct prune prune = { solver, queue, above, faulty, postponed };
    for (guint id = 0; id < count; id++)
        above[id] = NONE;
    errors_faults(solver);
    errors_duplicates(solver);
    for (guint id = 0; id < solver->query_count; id++)
        push(&prune, id, id);
    for (guint i = 0; i < queue->len; i++)
        visit(&prune, g_array_index(queue, guint, i));
    components_visit(solver, explain, &prune);
}
