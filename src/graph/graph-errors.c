// SPDX-License-Identifier: Apache-2.0
/* Says what a person can act on: who lacks what, how it was asked for, what came nearest, and why.
 */
#include "graph/graph-internal.h"

#include <string.h>

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void describe_names(GPtrArray *names, GString *out)
{
    g_ptr_array_sort(names, compare_texts);
    for (guint i = 0; i < names->len; i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", (char *)names->pdata[i]);
}

static const char *param_name(const struct solver *solver, guint param)
{
    return type_at(solver->input, solver->param_type[param])->name;
}

void set_describe(const struct solver *solver, const word *set, GString *out)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < solver->param_count; i++)
        if (set_has(set, i))
            g_ptr_array_add(names, (gpointer)param_name(solver, i));
    describe_names(names, out);
}

static const char *type_name(const struct solver *solver, guint type)
{
    return type_at(solver->input, type)->name;
}

static void describe_inputs(const struct solver *solver, const struct key *key, GString *out)
{
    for (guint i = 0; i < key->input_count; i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", type_name(solver, key->inputs[i]));
}

static void describe_query(const struct solver *solver, const struct query *query, GString *out)
{
    g_string_append_printf(out, "%s(", type_name(solver, query->key.output));
    describe_inputs(solver, &query->key, out);
    g_string_append_c(out, ')');
}

static void describe_node(const struct solver *solver, const struct node *node, GString *out)
{
    if (node->kind == NODE_QUERY) {
        g_string_append(out, "query ");
        describe_query(solver, &solver->queries[node->of], out);
    } else {
        g_string_append_printf(out, "rule \"%s\"", solver->rules[node->of].name);
    }
}

static void describe_path(const struct solver *solver, const GArray *path, GString *out)
{
    g_string_append(out, "\n  asked for by ");
    for (guint i = 0; i < path->len; i++) {
        if (i > 0)
            g_string_append(out, " -> ");
        describe_node(solver, node_at(solver, g_array_index(path, guint, i)), out);
    }
}

static void describe_scope(const struct solver *solver, const word *scope, GString *out)
{
    if (set_size(scope, solver->sets.width) == 0) {
        g_string_append(out, "no param that matters is in scope");
        return;
    }
    g_string_append(out, "in scope: ");
    set_describe(solver, scope, out);
}

/* What the sources of a choice have: of a get, its inputs and what the rule does not take itself.
 */
static const word *scope_of_sources(struct solver *solver, const struct choice *choice)
{
    const struct node *node = node_at(solver, choice->node);
    if (!choice->key->get || node->kind == NODE_QUERY)
        return node->scope;
    word *scope = set_new(&solver->sets);
    const struct rule *rule = &solver->rules[node->of];
    memcpy(scope, node->scope, solver->sets.width * sizeof *scope);
    for (guint i = 0; i < rule->positional; i++) {
        guint param = solver->param_of[rule->keys[i].output];
        if (param != NONE)
            scope[param / 64] &= ~((word)1 << (param % 64));
    }
    for (guint i = 0; i < solver->sets.width; i++)
        scope[i] |= choice->provides[i];
    return scope;
}

/* "", or who among the first `length` of the path took this param out of scope. */
static void describe_consumer(const struct solver *solver, const GArray *path, guint type,
                              GString *out)
{
    guint param = solver->param_of[type];
    for (guint i = 0; param != NONE && i < path->len; i++) {
        const struct node *node = node_at(solver, g_array_index(path, guint, i));
        if (node->kind == NODE_QUERY || !set_has(node->scope, param))
            continue;
        const struct rule *rule = &solver->rules[node->of];
        for (guint k = 0; k < rule->positional; k++)
            if (rule->keys[k].output == type) {
                g_string_append_printf(out,
                                       "; rule \"%s\" above takes %s as a param, which ends "
                                       "its scope there",
                                       rule->name, type_name(solver, type));
                return;
            }
    }
}

/* The first choice at or below a node that has no source for a reason of its own. */
static const struct choice *root_cause(const struct solver *solver, guint id)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    while (g_hash_table_add(seen, GUINT_TO_POINTER(id))) {
        const struct node *node = node_at(solver, id);
        const struct choice *choice = NULL;
        for (guint i = 0; i < node->choice_count && choice == NULL; i++)
            if (choice_live(solver, choice_at(solver, node->choice + i)) == 0)
                choice = choice_at(solver, node->choice + i);
        if (choice == NULL)
            return NULL;
        bool single = choice->source_count == 1 || choice->key == NULL;
        if (!single || source_at(solver, choice->source)->reason != UNSATISFIABLE)
            return choice;
        id = source_at(solver, choice->source)->target;
    }
    return NULL;
}

static void describe_cause(const struct solver *solver, const GArray *path, guint id, GString *out)
{
    const struct choice *cause = root_cause(solver, id);
    if (cause == NULL) {
        g_string_append(out, "lacks a source itself");
        return;
    }
    const struct node *node = node_at(solver, cause->node);
    if (cause->node != id && node->of != node_at(solver, id)->of)
        g_string_append_printf(out, "needs rule \"%s\", which ", solver->rules[node->of].name);
    const char *type = type_name(solver, cause->key->output);
    if (cause->key->get)
        g_string_append_printf(out, "has no source for its get of %s; ", type);
    else if (type_at(solver->input, cause->key->output)->rules->len == 0)
        g_string_append_printf(out, "takes %s, which is not in scope here; ", type);
    else
        g_string_append_printf(out,
                               "takes %s, which is not in scope and which no rule that "
                               "returns it can make here; ",
                               type);
    describe_scope(solver, node->scope, out);
    describe_consumer(solver, path, cause->key->output, out);
}

static void describe_source(const struct solver *solver, const GArray *path,
                            const struct choice *choice, const struct source *source, GString *out)
{
    const struct node *node = node_at(solver, source->target);
    g_string_append_printf(out, "\n  rule \"%s\": ", solver->rules[node->of].name);
    if (source->reason == DOES_NOT_CONSUME) {
        g_string_append(out, "does not use all that is provided (");
        set_describe(solver, choice->provides, out);
        g_string_append(out, "), by itself or below");
    } else if (source->reason == NEEDS_ITSELF) {
        g_string_append(out, "needs its own result");
    } else {
        describe_cause(solver, path, source->target, out);
    }
}

static void describe_asker(const struct solver *solver, const struct choice *choice, GString *out)
{
    describe_node(solver, node_at(solver, choice->node), out);
    if (!choice->key->get)
        return;
    g_string_append_printf(out, " (get %s <- ", type_name(solver, choice->key->output));
    if (choice->key->input_count == 0)
        g_string_append(out, "nothing");
    describe_inputs(solver, choice->key, out);
    g_string_append_c(out, ')');
}

static GPtrArray *candidates_of(const struct solver *solver, const struct choice *choice, bool live)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < choice->source_count; i++) {
        const struct source *source = source_at(solver, choice->source + i);
        if (live && source->reason != LIVE)
            continue;
        const char *name = source->param ? param_name(solver, source->target)
                                         : solver->rules[node_at(solver, source->target)->of].name;
        g_ptr_array_add(names, g_strconcat(source->param ? "param " : "", name, NULL));
    }
    g_ptr_array_sort(names, compare_texts);
    g_ptr_array_add(names, NULL);
    return names;
}

/* `body` tells errors apart; one that differs only in the path to it is said once. */
static void report(struct solver *solver, enum graph_fault kind, const GArray *path,
                   const struct choice *choice, GPtrArray *candidates, GString *body,
                   const char *advice)
{
    g_autofree char *identity = g_strdup_printf("%d %p %s", kind, choice->key, body->str);
    if (!g_hash_table_add(solver->reported, g_steal_pointer(&identity)))
        return;
    const struct node *node = node_at(solver, choice->node);
    bool query = node->kind == NODE_QUERY;
    g_autoptr(GString) name = g_string_new(NULL);
    if (query)
        describe_query(solver, &solver->queries[node->of], name);
    else
        g_string_append(name, solver->rules[node->of].name);
    describe_path(solver, path, body);
    g_string_append_printf(body, "\n  %s", advice);
    const struct graph_error error = {
        .kind = kind,
        .output = type_name(solver, choice->key->output),
        .node = name->str,
        .file = query ? solver->queries[node->of].file : solver->rules[node->of].file,
        .line = query ? solver->queries[node->of].line : solver->rules[node->of].line,
        .candidates = (const char *const *)candidates->pdata,
        .message = body->str,
    };
    graph_report(solver->graph, &error);
}

static void report_nothing_returns(struct solver *solver, const GArray *path,
                                   const struct choice *choice, GString *body)
{
    const struct node *node = node_at(solver, choice->node);
    const char *type = type_name(solver, choice->key->output);
    bool param = !choice->key->get && node->kind != NODE_QUERY;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_ptr_array_add(none, NULL);
    g_string_append_printf(body, "no source of %s for ", type);
    describe_asker(solver, choice, body);
    g_string_append(body, ": no rule returns it");
    if (param) {
        g_string_append(body, ", and no caller provides it (");
        describe_scope(solver, node->scope, body);
        describe_consumer(solver, path, choice->key->output, body);
        g_string_append_c(body, ')');
    }
    g_autofree char *advice =
        param ? g_strdup_printf("add %s to the query or to a get on this path, or a rule that "
                                "returns %s",
                                type, type)
              : g_strdup_printf("add a rule that returns %s", type);
    report(solver, param ? GRAPH_NO_SOURCE : GRAPH_NO_RULE, path, choice, none, body, advice);
}

void errors_no_source(struct solver *solver, const GArray *path, const struct choice *choice)
{
    g_autoptr(GString) body = g_string_new(NULL);
    if (choice->source_count == 0) {
        report_nothing_returns(solver, path, choice, body);
        return;
    }
    const char *type = type_name(solver, choice->key->output);
    g_string_append_printf(body, "no source of %s for ", type);
    describe_asker(solver, choice, body);
    g_string_append_printf(body, ": none of the rules that return it fits (");
    describe_scope(solver, scope_of_sources(solver, choice), body);
    describe_consumer(solver, path, choice->key->output, body);
    g_string_append_c(body, ')');
    /* What would fit but for what the get provides is nearest, then what lacks something. */
    for (int reason = DOES_NOT_CONSUME; reason <= LARGER; reason++)
        for (guint i = 0; i < choice->source_count; i++) {
            const struct source *source = source_at(solver, choice->source + i);
            if (source->reason == reason)
                describe_source(solver, path, choice, source, body);
        }
    g_autoptr(GPtrArray) candidates = candidates_of(solver, choice, false);
    report(solver, GRAPH_NO_SOURCE, path, choice, candidates, body,
           choice->key->get
               ? "make one of them use what is provided, provide what it lacks, or add "
                 "a rule that fits"
               : "provide what one of them lacks, or add a rule that fits");
}

/* The choice that a person made or can make: what a node that prefers stands for is not shown. */
static const struct choice *shown_choice(struct solver *solver, const struct choice *choice)
{
    while (choice->key == NULL) {
        guint id = source_at(solver, choice->source + 1)->target;
        const struct node *node = node_at(solver, id);
        const struct choice *found = NULL;
        for (guint i = 0; i < node->choice_count && found == NULL; i++)
            if (choice_live(solver, choice_at(solver, node->choice + i)) > 1)
                found = choice_at(solver, node->choice + i);
        choice = found != NULL ? found : choice_at(solver, node->choice);
    }
    return choice;
}

void errors_ambiguous(struct solver *solver, const GArray *path, const struct choice *choice)
{
    choice = shown_choice(solver, choice);
    g_autoptr(GString) body = g_string_new(NULL);
    g_autoptr(GPtrArray) candidates = candidates_of(solver, choice, true);
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_string_append_printf(body, "too many sources of %s for ",
                           type_name(solver, choice->key->output));
    describe_asker(solver, choice, body);
    g_string_append(body, ": equally good are");
    for (guint i = 0; i < choice->source_count; i++) {
        const struct source *source = source_at(solver, choice->source + i);
        if (source->reason != LIVE)
            continue;
        g_autoptr(GString) line = g_string_new(NULL);
        if (source->param) {
            g_string_append_printf(line, "\n  the param %s", param_name(solver, source->target));
        } else {
            const struct node *node = node_at(solver, source->target);
            bool known = set_same(node->low, node->high, solver->sets.width);
            g_string_append_printf(line, "\n  rule \"%s\", which uses %s{",
                                   solver->rules[node->of].name, known ? "" : "some of ");
            set_describe(solver, node->high, line);
            g_string_append_c(line, '}');
        }
        g_ptr_array_add(lines, g_string_free(g_steal_pointer(&line), FALSE));
    }
    g_ptr_array_sort(lines, compare_texts);
    for (guint i = 0; i < lines->len; i++)
        g_string_append(body, lines->pdata[i]);
    report(solver, GRAPH_AMBIGUOUS, path, choice, candidates, body,
           "remove one of them, or provide a param that only one of them uses");
}

static void append_place(GString *out, const char *file, guint line)
{
    if (file == NULL)
        g_string_append(out, "a place unknown");
    else
        g_string_append_printf(out, "%s:%u", file, line);
}

void errors_duplicates(struct solver *solver)
{
    const GArray *duplicates = solver->input->duplicates;
    for (guint i = 0; i < duplicates->len; i++) {
        const struct duplicate *duplicate = &g_array_index(duplicates, struct duplicate, i);
        const struct rule *first = &solver->rules[duplicate->first];
        g_autoptr(GString) body = g_string_new(NULL);
        g_string_append_printf(body, "rule \"%s\" is declared twice: at ", first->name);
        append_place(body, first->file, first->line);
        g_string_append(body, " and at ");
        append_place(body, duplicate->file, duplicate->line);
        g_string_append(body, "\n  give one of them another name");
        const char *const candidates[] = { first->name, NULL };
        const struct graph_error error = { .kind = GRAPH_DUPLICATE_RULE,
                                           .output = type_name(solver, first->output),
                                           .node = first->name,
                                           .file = duplicate->file,
                                           .line = duplicate->line,
                                           .candidates = candidates,
                                           .message = body->str };
        graph_report(solver->graph, &error);
    }
}

void errors_faults(struct solver *solver)
{
    const GArray *faults = solver->input->faults;
    for (guint i = 0; i < faults->len; i++) {
        const struct fault *fault = &g_array_index(faults, struct fault, i);
        const struct graph_error error = {
            .kind = GRAPH_LOAD, .file = fault->file, .line = fault->line, .message = fault->message
        };
        graph_report(solver->graph, &error);
    }
}
