// SPDX-License-Identifier: Apache-2.0
/*
 * Phase 2, live_param_labeled: what has no source goes, and each node is labelled with every param
 * that any of its live sources could consume; so far an upper bound of its in-set.
 *
 * in(node) = union over its choices of (in(source) less what the get provides); the least solution,
 * as in live variable analysis, so that a cycle consumes nothing by itself.
 */
#include "graph/graph-internal.h"

guint choice_live(const struct solver *solver, const struct choice *choice)
{
    guint live = 0;
    for (guint i = 0; i < choice->source_count; i++)
        live += source_at(solver, choice->source + i)->reason == LIVE;
    return live;
}

struct source *choice_sole(const struct solver *solver, const struct choice *choice)
{
    struct source *sole = NULL;
    for (guint i = 0; i < choice->source_count; i++) {
        struct source *source = source_at(solver, choice->source + i);
        if (source->reason == LIVE && sole != NULL)
            return NULL;
        if (source->reason == LIVE)
            sole = source;
    }
    return sole;
}

guint node_resolve(const struct solver *solver, guint id)
{
    const struct node *node = node_at(solver, id);
    if (node->kind != NODE_EITHER)
        return id;
    const struct source *sole = choice_sole(solver, choice_at(solver, node->choice));
    return sole == NULL ? id : sole->target;
}

static bool lacks_source(const struct solver *solver, const struct node *node)
{
    for (guint i = 0; i < node->choice_count; i++)
        if (choice_live(solver, choice_at(solver, node->choice + i)) == 0)
            return true;
    return false;
}

void live_spread_death(struct solver *solver, guint first)
{
    g_autoptr(GArray) dying = g_array_new(FALSE, FALSE, sizeof(guint));
    g_array_append_val(dying, first);
    while (dying->len > 0) {
        guint id = g_array_index(dying, guint, dying->len - 1);
        g_array_set_size(dying, dying->len - 1);
        struct node *node = node_at(solver, id);
        if (node->dead || !lacks_source(solver, node))
            continue;
        node->dead = true;
        for (guint u = solver->user_start[id]; u < solver->user_start[id + 1]; u++) {
            const struct choice *choice = choice_at(solver, solver->user[u]);
            for (guint i = 0; i < choice->source_count; i++) {
                struct source *source = source_at(solver, choice->source + i);
                if (!source->param && source->target == id && source->reason == LIVE)
                    source->reason = UNSATISFIABLE;
            }
            g_array_append_val(dying, choice->node);
        }
    }
}

static void raise_choice(struct solver *solver, const struct choice *choice, word *low, word *high)
{
    word *all = solver->scratch[2], *some = solver->scratch[3];
    for (guint w = 0; w < solver->sets.width; w++) {
        all[w] = ~(word)0;
        some[w] = 0;
    }
    for (guint i = 0; i < choice->source_count; i++) {
        const struct source *source = source_at(solver, choice->source + i);
        if (source->reason != LIVE)
            continue;
        const struct node *node = source->param ? NULL : node_at(solver, source->target);
        for (guint w = 0; w < solver->sets.width; w++) {
            word one = source->target / 64 == w ? (word)1 << (source->target % 64) : 0;
            all[w] &= node == NULL ? one : node->low[w];
            some[w] |= node == NULL ? one : node->high[w];
        }
    }
    for (guint w = 0; w < solver->sets.width; w++) {
        low[w] |= all[w] & ~choice->provides[w];
        high[w] |= some[w] & ~choice->provides[w];
    }
}

bool live_raise(struct solver *solver, guint id)
{
    struct node *node = node_at(solver, id);
    if (node->dead)
        return false;
    word *low = solver->scratch[0], *high = solver->scratch[1];
    bool changed = false;
    for (guint w = 0; w < solver->sets.width; w++)
        low[w] = high[w] = 0;
    for (guint i = 0; i < node->choice_count; i++)
        raise_choice(solver, choice_at(solver, node->choice + i), low, high);
    for (guint w = 0; w < solver->sets.width; w++) {
        changed |= low[w] != node->low[w] || high[w] != node->high[w];
        node->low[w] |= low[w];
        node->high[w] |= high[w];
    }
    return changed;
}

static void label(struct solver *solver)
{
    guint count = solver->nodes->len;
    g_autoptr(GArray) work = g_array_sized_new(FALSE, FALSE, sizeof(guint), count);
    g_autofree bool *waits = g_new0(bool, count + 1);
    /* Sources are mostly made after who asks for them: from the back, most are known in time. */
    for (guint id = 0; id < count; id++) {
        g_array_append_val(work, id);
        waits[id] = true;
    }
    while (work->len > 0) {
        guint id = g_array_index(work, guint, work->len - 1);
        g_array_set_size(work, work->len - 1);
        waits[id] = false;
        if (!live_raise(solver, id))
            continue;
        for (guint u = solver->user_start[id]; u < solver->user_start[id + 1]; u++) {
            guint user = choice_at(solver, solver->user[u])->node;
            if (!waits[user])
                g_array_append_val(work, user);
            waits[user] = true;
        }
    }
}

bool live_drop_unused(struct solver *solver, const struct choice *choice)
{
    bool dropped = false;
    for (guint i = 0; i < choice->source_count; i++) {
        struct source *source = source_at(solver, choice->source + i);
        if (source->param || source->reason != LIVE)
            continue;
        const word *high = node_at(solver, source->target)->high;
        if (set_within(choice->provides, high, solver->sets.width))
            continue;
        source->reason = DOES_NOT_CONSUME;
        dropped = true;
    }
    return dropped;
}

void phase_live_param_labeled(struct solver *solver)
{
    for (guint id = 0; id < solver->nodes->len; id++)
        live_spread_death(solver, id);
    label(solver);
    for (guint i = 0; i < solver->choices->len; i++)
        live_drop_unused(solver, choice_at(solver, i));
    for (guint id = 0; id < solver->nodes->len; id++)
        live_spread_death(solver, id);
}
