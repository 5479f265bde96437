// SPDX-License-Identifier: Apache-2.0
/*
 * Phase 5, finalize: what queries reach, with equal nodes joined.
 *
 * Nodes of one rule that differed in scope but came out with one in-set and equal dependencies are
 * one: the coarsest partition in which the classes of all dependencies agree, by refinement.
 */
#include "graph/graph-internal.h"

#include <string.h>

struct final {
    struct solver *solver;
    GArray *reached; /* nodes of the solver; params are numbered after all of those */
    guint *class;    /* node or param -> class, NONE if not reached */
    guint *next;
    GHashTable *classes; /* GBytes -> class */
};

static guint target_of(const struct final *final, const struct choice *choice)
{
    const struct source *source = choice_sole(final->solver, choice);
    return source->param ? final->solver->nodes->len + source->target
                         : node_resolve(final->solver, source->target);
}

static bool is_param(const struct final *final, guint id)
{
    return id >= final->solver->nodes->len;
}

static void reach(struct final *final)
{
    struct solver *solver = final->solver;
    for (guint id = 0; id < solver->query_count; id++) {
        g_array_append_val(final->reached, id);
        final->class[id] = 0;
    }
    for (guint i = 0; i < final->reached->len; i++) {
        guint id = g_array_index(final->reached, guint, i);
        if (is_param(final, id))
            continue;
        const struct node *node = node_at(solver, id);
        for (guint c = 0; c < node->choice_count; c++) {
            guint target = target_of(final, choice_at(solver, node->choice + c));
            if (final->class[target] == NONE)
                g_array_append_val(final->reached, target);
            final->class[target] = 0;
        }
    }
}

static void add_number(GByteArray *key, guint number)
{
    g_byte_array_append(key, (const guint8 *)&number, sizeof number);
}

/* Who a node is: itself for queries and params; rule, in-set and the classes below for a rule. */
static GBytes *identity(const struct final *final, guint id, bool with_dependencies)
{
    GByteArray *key = g_byte_array_new();
    const struct solver *solver = final->solver;
    const struct node *node = is_param(final, id) ? NULL : node_at(solver, id);
    if (node == NULL || node->kind == NODE_QUERY) {
        add_number(key, id);
        return g_byte_array_free_to_bytes(key);
    }
    add_number(key, NONE);
    add_number(key, node->of);
    g_byte_array_append(key, (const guint8 *)node->high, solver->sets.width * sizeof(word));
    for (guint c = 0; with_dependencies && c < node->choice_count; c++)
        add_number(key, final->class[target_of(final, choice_at(solver, node->choice + c))]);
    return g_byte_array_free_to_bytes(key);
}

static guint partition(struct final *final, bool with_dependencies)
{
    g_hash_table_remove_all(final->classes);
    for (guint i = 0; i < final->reached->len; i++) {
        guint id = g_array_index(final->reached, guint, i);
        GBytes *key = identity(final, id, with_dependencies);
        gpointer known;
        guint class = g_hash_table_size(final->classes);
        if (g_hash_table_lookup_extended(final->classes, key, NULL, &known)) {
            class = GPOINTER_TO_UINT(known);
            g_bytes_unref(key);
        } else {
            g_hash_table_insert(final->classes, key, GUINT_TO_POINTER(class));
        }
        final->next[id] = class;
    }
    guint *swapped = final->class;
    final->class = final->next;
    final->next = swapped;
    return g_hash_table_size(final->classes);
}

static const char *const *names_of(struct solver *solver, const word *set)
{
    struct arena *arena = &solver->graph->arena;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < solver->param_count; i++)
        if (set_has(set, i))
            g_ptr_array_add(names, (gpointer)arena_text(
                                       arena, type_at(solver->input, solver->param_type[i])->name));
    /* Bits are in the order of names. */
    const char **copy = arena_take(arena, (names->len + 1) * sizeof *copy);
    for (guint i = 0; i < names->len; i++)
        copy[i] = names->pdata[i];
    return copy;
}

static struct graph_node make_node(struct final *final, guint id)
{
    struct solver *solver = final->solver;
    struct arena *arena = &solver->graph->arena;
    if (is_param(final, id)) {
        g_autofree word *self = g_new0(word, solver->sets.width);
        guint param = id - solver->nodes->len;
        set_add(self, param);
        const char *name =
            arena_text(arena, type_at(solver->input, solver->param_type[param])->name);
        return (struct graph_node){ GRAPH_PARAM, name, name, names_of(solver, self), NULL, 0, 0 };
    }
    const struct node *node = node_at(solver, id);
    bool query = node->kind == NODE_QUERY;
    guint output = query ? solver->queries[node->of].key.output : solver->rules[node->of].output;
    struct graph_node made = { .kind = query ? GRAPH_QUERY : GRAPH_RULE,
                               .output = arena_text(arena, type_at(solver->input, output)->name),
                               .params = names_of(solver, query ? node->scope : node->high),
                               .dependency_count = node->choice_count,
                               .positional_count = query ? 0 : solver->rules[node->of].positional };
    made.name = query ? made.output : arena_text(arena, solver->rules[node->of].name);
    struct graph_dependency *dependencies =
        arena_take(arena, node->choice_count * sizeof *dependencies);
    for (guint c = 0; c < node->choice_count; c++) {
        const struct choice *choice = choice_at(solver, node->choice + c);
        dependencies[c] = (struct graph_dependency){
            .output = arena_text(arena, type_at(solver->input, choice->key->output)->name),
            .provides = names_of(solver, choice->provides),
            .node = final->class[target_of(final, choice)],
        };
    }
    made.dependencies = dependencies;
    return made;
}

struct numbered {
    struct graph_node node;
    guint class;
};

static gint compare_params(const char *const *a, const char *const *b)
{
    for (; *a != NULL && *b != NULL; a++, b++)
        if (strcmp(*a, *b) != 0)
            return strcmp(*a, *b);
    return (*a != NULL) - (*b != NULL);
}

static gint compare_nodes(gconstpointer a, gconstpointer b)
{
    const struct numbered *x = a, *y = b;
    if (x->node.kind != y->node.kind)
        return (gint)x->node.kind - (gint)y->node.kind;
    gint order = strcmp(x->node.name, y->node.name);
    if (order == 0)
        order = compare_params(x->node.params, y->node.params);
    /* Classes are numbered in the order of the walk, which starts from sorted queries. */
    return order != 0 ? order : (gint)x->class - (gint)y->class;
}

static void build(struct final *final, guint class_count)
{
    struct solver *solver = final->solver;
    g_autoptr(GArray) made = g_array_new(FALSE, TRUE, sizeof(struct numbered));
    g_autofree bool *seen = g_new0(bool, class_count + 1);
    for (guint i = 0; i < final->reached->len; i++) {
        guint id = g_array_index(final->reached, guint, i), class = final->class[id];
        if (seen[class])
            continue;
        seen[class] = true;
        struct numbered numbered = { make_node(final, id), class };
        g_array_append_val(made, numbered);
    }
    g_array_sort(made, compare_nodes);
    g_autofree guint *number = g_new0(guint, class_count + 1);
    for (guint i = 0; i < made->len; i++)
        number[g_array_index(made, struct numbered, i).class] = i;
    for (guint i = 0; i < made->len; i++) {
        struct graph_node node = g_array_index(made, struct numbered, i).node;
        struct graph_dependency *dependencies = (struct graph_dependency *)node.dependencies;
        for (guint d = 0; d < node.dependency_count; d++)
            dependencies[d].node = number[dependencies[d].node];
        g_array_append_val(solver->graph->nodes, node);
    }
}

void phase_finalize(struct solver *solver)
{
    guint count = solver->nodes->len + solver->param_count;
    struct final final = { .solver = solver,
                           .reached = g_array_new(FALSE, FALSE, sizeof(guint)),
                           .class = g_new(guint, count + 1),
                           .next = g_new(guint, count + 1),
                           .classes = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                                            (GDestroyNotify)g_bytes_unref, NULL) };
    for (guint i = 0; i <= count; i++)
        final.class[i] = final.next[i] = NONE;
    reach(&final);
    guint classes = partition(&final, false), finer;
    while ((finer = partition(&final, true)) != classes)
        classes = finer;
    build(&final, classes);
    g_hash_table_unref(final.classes);
    g_array_unref(final.reached);
    g_free(final.class);
    g_free(final.next);
}
