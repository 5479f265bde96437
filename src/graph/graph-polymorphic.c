// SPDX-License-Identifier: Apache-2.0
/*
 * Phase 1, initial_polymorphic: which params are in scope where, and all that could be a source.
 *
 * Scopes flow down from queries and gets. A scope is cut to what could be consumed at or below the
 * rule (`live`), so that nodes which differ in nothing that matters are one from the start. This
 * loses no answer: an in-set is part of `live`, and a param outside it is in nobody's way.
 */
#include "graph/graph-internal.h"

#include <string.h>

struct identity {
    guint rule;
    bool prefers, either;
    const word *scope, *wanted;
};

static guint identity_hash(gconstpointer data)
{
    const struct identity *identity = data;
    gsize sum = identity->rule * 2654435761u + identity->prefers * 2u + identity->either;
    sum = (sum ^ ((gsize)identity->scope >> 3)) * 0x9e3779b97f4a7c15u;
    sum = (sum ^ ((gsize)identity->wanted >> 3)) * 0x9e3779b97f4a7c15u;
    return (guint)(sum >> 32);
}

static gboolean identity_equal(gconstpointer a, gconstpointer b)
{
    const struct identity *x = a, *y = b;
    return x->rule == y->rule && x->prefers == y->prefers && x->either == y->either &&
           x->scope == y->scope && x->wanted == y->wanted;
}

static const GArray *rules_of(const struct solver *solver, guint type)
{
    return type_at(solver->input, type)->rules;
}

/* live(rule) grows from what is below key `key`; true if it did. */
static bool widen(struct solver *solver, struct rule *rule, const struct key *key)
{
    const GArray *rules = rules_of(solver, key->output);
    bool chooses = rule->chooses || rules->len > 1, changed = false;
    if (!key->get && rules->len > 0 && solver->param_of[key->output] != NONE)
        chooses = true;
    for (guint i = 0; i < rules->len; i++) {
        const struct rule *below = &solver->rules[g_array_index(rules, guint, i)];
        chooses |= below->chooses;
        for (guint w = 0; w < solver->sets.width; w++) {
            word more = below->live[w] & ~key->provides[w] & ~rule->live[w];
            rule->live[w] |= more;
            changed |= more != 0;
        }
    }
    changed |= chooses != rule->chooses;
    rule->chooses = chooses;
    return changed;
}

/* Which rules have a key of this type: whom a change of live() concerns. */
static GPtrArray *askers(const struct solver *solver)
{
    GPtrArray *of = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    for (guint i = 0; i < solver->input->types->len; i++)
        g_ptr_array_add(of, g_array_new(FALSE, FALSE, sizeof(guint)));
    for (guint i = 0; i < solver->rule_count; i++)
        for (guint k = 0; k < solver->rules[i].key_count; k++)
            g_array_append_val((GArray *)of->pdata[solver->rules[i].keys[k].output], i);
    return of;
}

static void find_live(struct solver *solver)
{
    g_autoptr(GPtrArray) of = askers(solver);
    g_autoptr(GQueue) queue = g_queue_new();
    g_autofree bool *queued = g_new0(bool, solver->rule_count + 1);
    for (guint i = 0; i < solver->rule_count; i++) {
        struct rule *rule = &solver->rules[i];
        for (guint k = 0; k < rule->positional; k++)
            if (solver->param_of[rule->keys[k].output] != NONE)
                set_add(rule->live, solver->param_of[rule->keys[k].output]);
        g_queue_push_tail(queue, GUINT_TO_POINTER(i));
        queued[i] = true;
    }
    while (!g_queue_is_empty(queue)) {
        guint at = GPOINTER_TO_UINT(g_queue_pop_tail(queue));
        struct rule *rule = &solver->rules[at];
        bool changed = false;
        queued[at] = false;
        for (guint k = 0; k < rule->key_count; k++)
            changed |= widen(solver, rule, &rule->keys[k]);
        const GArray *users = of->pdata[rule->output];
        for (guint i = 0; changed && i < users->len; i++) {
            guint user = g_array_index(users, guint, i);
            if (!queued[user])
                g_queue_push_tail(queue, GUINT_TO_POINTER(user));
            queued[user] = true;
        }
    }
}

/* solver->scratch[0] = (set & mask) interned. */
static const word *intersect(struct solver *solver, const word *set, const word *mask)
{
    for (guint w = 0; w < solver->sets.width; w++)
        solver->scratch[0][w] = set[w] & mask[w];
    return sets_intern(&solver->sets, solver->scratch[0]);
}

static guint node_add(struct solver *solver, const struct node *node)
{
    struct node made = *node;
    made.low = set_new(&solver->sets);
    made.high = set_new(&solver->sets);
    g_array_append_val(solver->nodes, made);
    return solver->nodes->len - 1;
}

/* Params of the scope that the rule names as positional: they leave the scope of what is below. */
static const word *taken_by(struct solver *solver, const struct rule *rule, const word *scope)
{
    word *taken = solver->scratch[1];
    memset(taken, 0, solver->sets.width * sizeof(word));
    for (guint k = 0; k < rule->positional; k++) {
        guint param = solver->param_of[rule->keys[k].output];
        if (param != NONE && set_has(scope, param))
            set_add(taken, param);
    }
    return sets_intern(&solver->sets, taken);
}

static guint node_known(struct solver *solver, guint rule, const word *scope, const word *wanted,
                        bool prefers, bool either)
{
    struct identity identity = { rule, prefers, either, scope, wanted };
    gpointer known;
    if (g_hash_table_lookup_extended(solver->known, &identity, NULL, &known))
        return GPOINTER_TO_UINT(known);
    struct node node = { .kind = either ? NODE_EITHER : NODE_RULE,
                         .prefers = prefers,
                         .of = rule,
                         .scope = scope,
                         .wanted = wanted };
    guint id = node_add(solver, &node);
    struct identity *kept = arena_take(&solver->arena, sizeof *kept);
    *kept = identity;
    g_hash_table_insert(solver->known, kept, GUINT_TO_POINTER(id));
    return id;
}

/* The node of `rule` where `scope` is to be had and it would be good to use `wanted`. */
static guint node_for(struct solver *solver, guint rule, const word *scope, const word *wanted)
{
    const struct rule *of = &solver->rules[rule];
    scope = intersect(solver, scope, of->live);
    wanted = of->chooses ? intersect(solver, wanted, scope) : solver->sets.empty;
    const word *taken = taken_by(solver, of, scope);
    bool either = !set_within(wanted, taken, solver->sets.width);
    return node_known(solver, rule, scope, wanted, false, either);
}

static struct choice *choice_add(struct solver *solver, guint node, const struct key *key,
                                 const word *provides, const word *wanted)
{
    struct choice choice = { .node = node,
                             .key = key,
                             .provides = provides,
                             .wanted = wanted,
                             .source = solver->sources->len };
    g_array_append_val(solver->choices, choice);
    return choice_at(solver, solver->choices->len - 1);
}

static void source_add(struct solver *solver, guint target, bool param)
{
    struct source source = { .target = target, .param = param };
    g_array_append_val(solver->sources, source);
}

static void add_rules(struct solver *solver, const struct key *key, const word *wanted,
                      const word *scope)
{
    const GArray *rules = rules_of(solver, key->output);
    for (guint i = 0; i < rules->len; i++) {
        guint target = node_for(solver, g_array_index(rules, guint, i), scope, wanted);
        source_add(solver, target, false);
    }
}

/* One key of a node whose sources see `below` and who wants `wanted` of them. */
static void expand_key(struct solver *solver, guint id, const struct key *key, const word *below,
                       const word *wanted)
{
    struct node node = *node_at(solver, id);
    bool query = node.kind == NODE_QUERY;
    const word *provides = query ? solver->sets.empty : key->provides;
    guint param = key->get ? NONE : solver->param_of[key->output];
    bool in_scope = param != NONE && set_has(node.scope, param);
    bool asked_for = in_scope && set_has(node.wanted, param);
    word *scope = solver->scratch[2], *hoped = solver->scratch[3];
    for (guint w = 0; w < solver->sets.width; w++) {
        scope[w] = below[w] | provides[w];
        hoped[w] = provides[w] | wanted[w];
    }
    const word *kept_scope = sets_intern(&solver->sets, scope);
    const word *kept_hope = sets_intern(&solver->sets, hoped);
    guint start = solver->choices->len;
    choice_add(solver, id, key, provides, kept_hope);
    if (in_scope)
        source_add(solver, param, true);
    if (!asked_for)
        add_rules(solver, key, kept_hope, kept_scope);
    struct choice *choice = choice_at(solver, start);
    choice->source_count = solver->sources->len - choice->source;
}

static void expand_either(struct solver *solver, guint id)
{
    struct node node = *node_at(solver, id);
    const word *taken = taken_by(solver, &solver->rules[node.of], node.scope);
    const word *own = intersect(solver, node.wanted, taken);
    guint plain = node_known(solver, node.of, node.scope, own, false, false);
    guint eager = node_known(solver, node.of, node.scope, node.wanted, true, false);
    choice_add(solver, id, NULL, solver->sets.empty, node.wanted)->source_count = 2;
    source_add(solver, plain, false);
    source_add(solver, eager, false);
}

static void expand_rule(struct solver *solver, guint id)
{
    struct node node = *node_at(solver, id);
    const struct rule *rule = &solver->rules[node.of];
    const word *taken = taken_by(solver, rule, node.scope);
    word *set = solver->scratch[0];
    for (guint w = 0; w < solver->sets.width; w++)
        set[w] = node.scope[w] & ~taken[w];
    const word *below = sets_intern(&solver->sets, set);
    const word *wanted = solver->sets.empty;
    if (node.prefers)
        wanted = intersect(solver, node.wanted, below);
    for (guint k = 0; k < rule->key_count; k++)
        expand_key(solver, id, &rule->keys[k], below, wanted);
}

static void expand(struct solver *solver, guint id)
{
    node_at(solver, id)->choice = solver->choices->len;
    struct node node = *node_at(solver, id);
    if (node.kind == NODE_QUERY)
        expand_key(solver, id, &solver->queries[node.of].key, node.scope, solver->sets.empty);
    else if (node.kind == NODE_EITHER)
        expand_either(solver, id);
    else
        expand_rule(solver, id);
    node_at(solver, id)->choice_count = solver->choices->len - node.choice;
}

/* Who has a node as a source, as one flat table. */
static void index_users(struct solver *solver)
{
    guint count = solver->nodes->len;
    solver->user_start = arena_take(&solver->arena, (count + 2) * sizeof(guint));
    solver->user = arena_take(&solver->arena, (solver->sources->len + 1) * sizeof(guint));
    for (guint i = 0; i < solver->sources->len; i++)
        if (!source_at(solver, i)->param)
            solver->user_start[source_at(solver, i)->target + 2]++;
    for (guint i = 2; i < count + 2; i++)
        solver->user_start[i] += solver->user_start[i - 1];
    for (guint c = 0; c < solver->choices->len; c++) {
        const struct choice *choice = choice_at(solver, c);
        for (guint i = 0; i < choice->source_count; i++) {
            const struct source *source = source_at(solver, choice->source + i);
            if (!source->param)
                solver->user[solver->user_start[source->target + 1]++] = c;
        }
    }
}

void phase_initial_polymorphic(struct solver *solver)
{
    solver->known = g_hash_table_new(identity_hash, identity_equal);
    find_live(solver);
    for (guint i = 0; i < solver->query_count; i++) {
        struct node node = { .kind = NODE_QUERY,
                             .of = i,
                             .scope = solver->queries[i].key.provides,
                             .wanted = solver->sets.empty };
        node_add(solver, &node);
    }
    /* Each node is made once and visited once. */
    for (guint id = 0; id < solver->nodes->len; id++)
        expand(solver, id);
    index_users(solver);
}
