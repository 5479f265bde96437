// SPDX-License-Identifier: Apache-2.0
/*
 * Phase 3, monomorphize: takes sources away until each choice has one, or a tie.
 *
 * A source goes when it is certain to be beaten whatever becomes of the rest: each node has a lower
 * and an upper bound of its in-set, and a node is sure if its keys have sources that will do in any
 * case. Bounds only narrow and sources only go, so the order of visits changes nothing. Strongly
 * connected components are taken sources first: outside a cycle one visit is enough.
 */
#include "graph/graph-internal.h"

#include <string.h>

static bool choice_grounded(const struct solver *solver, const struct choice *choice)
{
    for (guint i = 0; i < choice->source_count; i++) {
        const struct source *source = source_at(solver, choice->source + i);
        if (source->reason != LIVE)
            continue;
        if (source->param || choice->provides != solver->sets.empty ||
            node_at(solver, source->target)->grounded)
            return true;
    }
    return false;
}

static bool node_grounded(const struct solver *solver, const struct node *node)
{
    for (guint i = 0; i < node->choice_count; i++)
        if (!choice_grounded(solver, choice_at(solver, node->choice + i)))
            return false;
    return !node->dead;
}

static void find_grounded(struct solver *solver)
{
    g_autoptr(GArray) work = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint id = 0; id < solver->nodes->len; id++)
        g_array_append_val(work, id);
    while (work->len > 0) {
        guint id = g_array_index(work, guint, work->len - 1);
        struct node *node = node_at(solver, id);
        g_array_set_size(work, work->len - 1);
        if (node->grounded || !node_grounded(solver, node))
            continue;
        node->grounded = true;
        for (guint u = solver->user_start[id]; u < solver->user_start[id + 1]; u++)
            g_array_append_val(work, choice_at(solver, solver->user[u])->node);
    }
}

static bool source_grounded(const struct solver *solver, const struct source *source)
{
    return source->param || node_at(solver, source->target)->grounded;
}

/* Where something grounded will do, nothing that only a cycle supports is a source. */
static void drop_ungrounded(struct solver *solver)
{
    find_grounded(solver);
    for (guint c = 0; c < solver->choices->len; c++) {
        const struct choice *choice = choice_at(solver, c);
        bool any = false;
        for (guint i = 0; i < choice->source_count; i++) {
            const struct source *source = source_at(solver, choice->source + i);
            any |= source->reason == LIVE && source_grounded(solver, source);
        }
        for (guint i = 0; any && i < choice->source_count; i++) {
            struct source *source = source_at(solver, choice->source + i);
            if (source->reason == LIVE && !source_grounded(solver, source))
                source->reason = NEEDS_ITSELF;
        }
    }
}

/* What is known of a source: its size, and how much of what is wanted it uses, from and to. */
struct measure {
    struct source *source;
    guint least, most, least_used, most_used;
    bool sure;
};

static bool is_sure(const struct solver *solver, const struct choice *choice,
                    const struct source *source)
{
    if (source->param)
        return true;
    const struct node *node = node_at(solver, source->target);
    return node->sure && set_within(choice->provides, node->low, solver->sets.width);
}

static struct measure measure(const struct solver *solver, const struct choice *choice,
                              struct source *source)
{
    guint width = solver->sets.width;
    struct measure of = { .source = source, .sure = is_sure(solver, choice, source) };
    if (source->param) {
        of.least = of.most = 1;
        of.least_used = of.most_used = set_has(choice->wanted, source->target);
        return of;
    }
    const struct node *node = node_at(solver, source->target);
    of.least = set_size(node->low, width);
    of.most = set_size(node->high, width);
    of.least_used = set_common(node->low, choice->wanted, width);
    of.most_used = set_common(node->high, choice->wanted, width);
    return of;
}

static bool beaten(const struct measure *loser, const struct measure *winner)
{
    if (loser == winner || !winner->sure)
        return false;
    if (winner->least_used > loser->most_used)
        return true;
    return winner->least_used >= loser->most_used && winner->most < loser->least;
}

/* The rule as it is by itself is best, unless the other way certainly uses more. */
static bool eliminate_either(const struct measure *plain, const struct measure *eager)
{
    if (plain->sure && plain->least_used >= eager->most_used)
        eager->source->reason = LARGER;
    else if (eager->sure && eager->least_used > plain->most_used)
        plain->source->reason = LARGER;
    else
        return false;
    return true;
}

static bool eliminate(struct solver *solver, const struct choice *choice, GArray *measures)
{
    bool changed = live_drop_unused(solver, choice);
    g_array_set_size(measures, 0);
    for (guint i = 0; i < choice->source_count; i++) {
        struct source *source = source_at(solver, choice->source + i);
        if (source->reason != LIVE)
            continue;
        struct measure of = measure(solver, choice, source);
        g_array_append_val(measures, of);
    }
    const struct measure *all = (const struct measure *)(void *)measures->data;
    if (measures->len < 2)
        return changed;
    if (choice->key == NULL)
        return eliminate_either(&all[0], &all[1]) || changed;
    for (guint i = 0; i < measures->len; i++)
        for (guint k = 0; k < measures->len && all[i].source->reason == LIVE; k++)
            if (beaten(&all[i], &all[k])) {
                all[i].source->reason = LARGER;
                changed = true;
            }
    return changed;
}

static bool node_sure(const struct solver *solver, const struct node *node)
{
    for (guint c = 0; c < node->choice_count; c++) {
        const struct choice *choice = choice_at(solver, node->choice + c);
        bool any = false;
        for (guint i = 0; i < choice->source_count && !any; i++) {
            const struct source *source = source_at(solver, choice->source + i);
            any = source->reason == LIVE && is_sure(solver, choice, source);
        }
        if (!any)
            return false;
    }
    return !node->dead;
}

/* Bounds of a component's nodes from scratch; the rest of what they use is settled. */
static void settle(struct solver *solver, const guint *ids, guint count)
{
    for (guint i = 0; i < count; i++) {
        struct node *node = node_at(solver, ids[i]);
        memset(node->high, 0, solver->sets.width * sizeof(word));
        node->sure = !node->dead;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < count; i++)
            changed |= live_raise(solver, ids[i]);
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < count; i++) {
            struct node *node = node_at(solver, ids[i]);
            if (node->sure && !node_sure(solver, node)) {
                node->sure = false;
                changed = true;
            }
        }
    }
}

static void narrow(struct solver *solver, const guint *ids, guint count, GArray *measures)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < count; i++)
            live_spread_death(solver, ids[i]);
        settle(solver, ids, count);
        for (guint i = 0; i < count; i++) {
            const struct node *node = node_at(solver, ids[i]);
            for (guint c = 0; !node->dead && c < node->choice_count; c++)
                changed |= eliminate(solver, choice_at(solver, node->choice + c), measures);
        }
    }
}

/*
 * Where nothing narrows any more, what a rule uses by itself is not going to be known: the other
 * way is taken if that is certain to use more.
 */
static bool take_certain(struct solver *solver, const guint *ids, guint count)
{
    bool changed = false;
    for (guint i = 0; i < count; i++) {
        const struct node *node = node_at(solver, ids[i]);
        if (node->kind != NODE_EITHER || node->dead)
            continue;
        const struct choice *choice = choice_at(solver, node->choice);
        if (choice_live(solver, choice) < 2)
            continue;
        struct measure plain = measure(solver, choice, source_at(solver, choice->source));
        struct measure eager = measure(solver, choice, source_at(solver, choice->source + 1));
        if (!eager.sure || eager.least_used <= plain.least_used)
            continue;
        plain.source->reason = LARGER;
        changed = true;
    }
    return changed;
}

static void decide(struct solver *solver, const guint *ids, guint count, void *measures)
{
    do
        narrow(solver, ids, count, measures);
    while (take_certain(solver, ids, count));
}

void phase_monomorphize(struct solver *solver)
{
    g_autoptr(GArray) measures = g_array_new(FALSE, FALSE, sizeof(struct measure));
    drop_ungrounded(solver);
    components_visit(solver, decide, measures);
}
