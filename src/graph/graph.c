// SPDX-License-Identifier: Apache-2.0
/* The solve from end to end, reports, and look-ups in a finished graph. */
#include "graph/graph-internal.h"

#include <string.h>

static void number_params(struct solver *solver)
{
    const struct graph_input *input = solver->input;
    guint types = input->types->len;
    g_autofree bool *is_param = g_new0(bool, types + 1);
    for (guint i = 0; i < solver->query_count; i++)
        for (guint k = 0; k < solver->queries[i].key.input_count; k++)
            is_param[solver->queries[i].key.inputs[k]] = true;
    for (guint i = 0; i < solver->rule_count; i++)
        for (guint k = 0; k < solver->rules[i].key_count; k++)
            for (guint n = 0; n < solver->rules[i].keys[k].input_count; n++)
                is_param[solver->rules[i].keys[k].inputs[n]] = true;
    solver->param_of = arena_take(&solver->arena, (types + 1) * sizeof(guint));
    solver->param_type = arena_take(&solver->arena, (types + 1) * sizeof(guint));
    for (guint i = 0; i < types; i++) {
        solver->param_of[i] = NONE;
        if (is_param[i])
            solver->param_type[solver->param_count++] = i;
    }
}

static gint compare_types(gconstpointer a, gconstpointer b, gpointer input)
{
    return strcmp(type_at(input, *(const guint *)a)->name, type_at(input, *(const guint *)b)->name);
}

static gint compare_queries(gconstpointer a, gconstpointer b, gpointer input)
{
    const struct key *x = &((const struct query *)a)->key, *y = &((const struct query *)b)->key;
    gint order = compare_types(&x->output, &y->output, input);
    for (guint i = 0; order == 0 && i < MIN(x->input_count, y->input_count); i++)
        order = compare_types(&x->inputs[i], &y->inputs[i], input);
    return order != 0 ? order : (gint)x->input_count - (gint)y->input_count;
}

static void provide(struct solver *solver, struct key *key)
{
    word *set = solver->scratch[0];
    memset(set, 0, solver->sets.width * sizeof(word));
    for (guint i = 0; i < key->input_count; i++)
        set_add(set, solver->param_of[key->inputs[i]]);
    key->provides = sets_intern(&solver->sets, set);
}

static void copy_declarations(struct solver *solver, const struct graph_input *input)
{
    solver->input = input;
    solver->rule_count = input->rules->len;
    solver->query_count = input->queries->len;
    solver->rules = arena_take(&solver->arena, (solver->rule_count + 1) * sizeof(struct rule));
    solver->queries = arena_take(&solver->arena, (solver->query_count + 1) * sizeof(struct query));
    if (solver->rule_count > 0)
        memcpy(solver->rules, input->rules->data, solver->rule_count * sizeof(struct rule));
    if (solver->query_count > 0)
        memcpy(solver->queries, input->queries->data, solver->query_count * sizeof(struct query));
}

/* The solver's own copies of rules and queries, with bit sets, params numbered by name. */
static void prepare(struct solver *solver, const struct graph_input *input, gint64 only)
{
    copy_declarations(solver, input);
    if (only >= 0) {
        solver->queries[0] = solver->queries[only];
        solver->query_count = 1;
        solver->partial = true;
    }
    number_params(solver);
    g_qsort_with_data(solver->param_type, (gint)solver->param_count, sizeof(guint), compare_types,
                      (gpointer)input);
    for (guint i = 0; i < solver->param_count; i++)
        solver->param_of[solver->param_type[i]] = i;
    g_qsort_with_data(solver->queries, (gint)solver->query_count, sizeof(struct query),
                      compare_queries, (gpointer)input);
    sets_init(&solver->sets, &solver->arena, solver->param_count);
    for (guint i = 0; i < G_N_ELEMENTS(solver->scratch); i++)
        solver->scratch[i] = set_new(&solver->sets);
    for (guint i = 0; i < solver->query_count; i++)
        provide(solver, &solver->queries[i].key);
    for (guint i = 0; i < solver->rule_count; i++) {
        struct rule *rule = &solver->rules[i];
        struct key *keys = arena_take(&solver->arena, rule->key_count * sizeof(struct key));
        for (guint k = 0; k < rule->key_count; k++) {
            keys[k] = rule->keys[k];
            provide(solver, &keys[k]);
        }
        rule->keys = keys;
        rule->live = set_new(&solver->sets);
    }
}

static void solver_init(struct solver *solver, const struct graph_input *input, gint64 only)
{
    *solver = (struct solver){ .graph = g_new0(struct graph, 1) };
    arena_init(&solver->graph->arena);
    solver->graph->nodes = g_array_new(FALSE, TRUE, sizeof(struct graph_node));
    solver->graph->errors = g_array_new(FALSE, TRUE, sizeof(struct graph_error));
    solver->graph->warnings = g_array_new(FALSE, TRUE, sizeof(struct graph_error));
    arena_init(&solver->arena);
    solver->nodes = g_array_new(FALSE, TRUE, sizeof(struct node));
    solver->choices = g_array_new(FALSE, TRUE, sizeof(struct choice));
    solver->sources = g_array_new(FALSE, TRUE, sizeof(struct source));
    solver->reported = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    prepare(solver, input, only);
}

static struct graph *solver_release(struct solver *solver)
{
    g_array_unref(solver->nodes);
    g_array_unref(solver->choices);
    g_array_unref(solver->sources);
    g_hash_table_unref(solver->known);
    g_hash_table_unref(solver->reported);
    sets_release(&solver->sets);
    arena_release(&solver->arena);
    return solver->graph;
}

static struct graph *solve(const struct graph_input *input, gint64 only)
{
    struct solver solver;
    solver_init(&solver, input, only);
    phase_initial_polymorphic(&solver);
    phase_live_param_labeled(&solver);
    phase_monomorphize(&solver);
    phase_prune_edges(&solver);
    if (solver.graph->errors->len == 0) {
        phase_finalize(&solver);
        warnings_find(&solver);
    }
    graph_sort_reports(solver.graph);
    return solver_release(&solver);
}

struct graph *graph_solve(const struct graph_input *input)
{
    return solve(input, -1);
}

struct graph *graph_solve_only(const struct graph_input *input, const char *output,
                               const char *const *params)
{
    gint64 only = input_find(input, output, params);
    g_assert(only >= 0);
    return solve(input, only);
}

void graph_free(struct graph *graph)
{
    if (graph == NULL)
        return;
    g_array_unref(graph->nodes);
    g_array_unref(graph->errors);
    g_array_unref(graph->warnings);
    arena_release(&graph->arena);
    g_free(graph);
}

void graph_report(struct graph *graph, const struct graph_error *error)
{
    struct arena *arena = &graph->arena;
    struct graph_error kept = *error;
    kept.output = arena_text(arena, error->output);
    kept.node = arena_text(arena, error->node);
    kept.file = arena_text(arena, error->file);
    kept.message = arena_text(arena, error->message);
    guint count = error->candidates == NULL ? 0 : g_strv_length((char **)error->candidates);
    const char **candidates = arena_take(arena, (count + 1) * sizeof *candidates);
    guint unique = 0;
    for (guint i = 0; i < count; i++)
        if (unique == 0 || strcmp(candidates[unique - 1], error->candidates[i]) != 0)
            candidates[unique++] = arena_text(arena, error->candidates[i]);
    kept.candidates = candidates;
    bool warning = kept.kind == GRAPH_UNUSED_RULE || kept.kind == GRAPH_UNGROUNDED;
    g_array_append_val(warning ? graph->warnings : graph->errors, kept);
}

static gint compare_reports(gconstpointer a, gconstpointer b)
{
    const struct graph_error *x = a, *y = b;
    gint order = g_strcmp0(x->file, y->file);
    if (order == 0 && x->line != y->line)
        order = x->line < y->line ? -1 : 1;
    if (order == 0)
        order = g_strcmp0(x->node, y->node);
    if (order == 0)
        order = g_strcmp0(x->output, y->output);
    if (order == 0)
        order = (gint)x->kind - (gint)y->kind;
    return order != 0 ? order : strcmp(x->message, y->message);
}

void graph_sort_reports(struct graph *graph)
{
    g_array_sort(graph->errors, compare_reports);
    g_array_sort(graph->warnings, compare_reports);
}

const struct graph_error *graph_errors(const struct graph *graph, gsize *count)
{
    *count = graph->errors->len;
    return (const struct graph_error *)(void *)graph->errors->data;
}

const struct graph_error *graph_warnings(const struct graph *graph, gsize *count)
{
    *count = graph->warnings->len;
    return (const struct graph_error *)(void *)graph->warnings->data;
}

const struct graph_node *graph_nodes(const struct graph *graph, gsize *count)
{
    *count = graph->nodes->len;
    return (const struct graph_node *)(void *)graph->nodes->data;
}

const char *graph_fault_name(enum graph_fault kind)
{
    static const char *const names[] = {
        [GRAPH_NO_SOURCE] = "no_source",
        [GRAPH_AMBIGUOUS] = "ambiguous",
        [GRAPH_NO_RULE] = "no_rule",
        [GRAPH_DUPLICATE_RULE] = "duplicate_rule",
        [GRAPH_UNDECLARED_QUERY] = "undeclared_query",
        [GRAPH_UNUSED_RULE] = "unused_rule",
        [GRAPH_UNGROUNDED] = "ungrounded_cycle",
        [GRAPH_LOAD] = "load",
    };
    return names[kind];
}
