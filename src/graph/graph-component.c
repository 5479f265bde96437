// SPDX-License-Identifier: Apache-2.0
/* Strongly connected components of what is live, each after all that it can reach. */
#include "graph/graph-internal.h"

/* Tarjan's algorithm without recursion. `at` is the source that a node's walk has come to. */
struct walk {
    component_visit *visit;
    void *data;
    guint *index, *lowest, *choice, *at;
    GArray *stack, *path;
    bool *on_stack;
    guint next;
};

static void enter(struct walk *walk, guint id)
{
    walk->index[id] = walk->lowest[id] = walk->next++;
    walk->on_stack[id] = true;
    g_array_append_val(walk->stack, id);
    g_array_append_val(walk->path, id);
}

/* The next node below `id` that has to be entered, or NONE. */
static guint descend(struct solver *solver, struct walk *walk, guint id)
{
    const struct node *node = node_at(solver, id);
    for (; walk->choice[id] < node->choice_count; walk->choice[id]++, walk->at[id] = 0) {
        const struct choice *choice = choice_at(solver, node->choice + walk->choice[id]);
        while (walk->at[id] < choice->source_count) {
            const struct source *source = source_at(solver, choice->source + walk->at[id]++);
            if (source->param || source->reason != LIVE)
                continue;
            if (walk->index[source->target] == 0)
                return source->target;
            if (walk->on_stack[source->target])
                walk->lowest[id] = MIN(walk->lowest[id], walk->index[source->target]);
        }
    }
    return NONE;
}

static void leave(struct solver *solver, struct walk *walk, guint id)
{
    g_array_set_size(walk->path, walk->path->len - 1);
    if (walk->path->len > 0) {
        guint above = g_array_index(walk->path, guint, walk->path->len - 1);
        walk->lowest[above] = MIN(walk->lowest[above], walk->lowest[id]);
    }
    if (walk->lowest[id] != walk->index[id])
        return;
    guint start = walk->stack->len;
    do {
        start--;
        walk->on_stack[g_array_index(walk->stack, guint, start)] = false;
    } while (g_array_index(walk->stack, guint, start) != id);
    guint count = walk->stack->len - start;
    guint *ids = &g_array_index(walk->stack, guint, start);
    /* What was entered last is used by what was entered before it. */
    for (guint i = 0; i < count / 2; i++) {
        guint swapped = ids[i];
        ids[i] = ids[count - 1 - i];
        ids[count - 1 - i] = swapped;
    }
    walk->visit(solver, ids, count, walk->data);
    g_array_set_size(walk->stack, start);
}

void components_visit(struct solver *solver, component_visit *visit, void *data)
{
    guint count = solver->nodes->len;
    g_autofree guint *numbers = g_new0(guint, (gsize)count * 4 + 1);
    g_autofree bool *on_stack = g_new0(bool, count + 1);
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GArray) path = g_array_new(FALSE, FALSE, sizeof(guint));
    struct walk walk = { .visit = visit,
                         .data = data,
                         .index = numbers,
                         .lowest = numbers + count,
                         .choice = numbers + (gsize)2 * count,
                         .at = numbers + (gsize)3 * count,
                         .stack = stack,
                         .path = path,
                         .on_stack = on_stack,
                         .next = 1 };
    for (guint root = 0; root < count; root++) {
        if (walk.index[root] != 0)
            continue;
        enter(&walk, root);
        while (path->len > 0) {
            guint id = g_array_index(path, guint, path->len - 1);
            guint below = descend(solver, &walk, id);
            if (below != NONE)
                enter(&walk, below);
            else
                leave(solver, &walk, id);
        }
    }
}
