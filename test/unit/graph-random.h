// SPDX-License-Identifier: Apache-2.0
/* Random rule sets over the types A, B, C …; rules are called r0, r1 … */
#ifndef TEST_GRAPH_RANDOM_H
#define TEST_GRAPH_RANDOM_H

#include <glib.h>
#include <stdlib.h>

#define RANDOM_RULES 64
#define RANDOM_KEYS 6

struct random_rule {
    int output, param_count, get_count;
    int params[RANDOM_KEYS];
    struct {
        int output;
        guint64 inputs;
    } gets[RANDOM_KEYS];
};

struct random_set {
    int types, rule_count, query_count;
    struct random_rule rules[RANDOM_RULES];
    struct {
        int output;
        guint64 params;
    } queries[8];
};

struct random_shape {
    int types, rules, params, gets, queries, inputs; /* at most, of each */
};

static inline guint64 random_types(GRand *rand, int types, int most)
{
    guint64 set = 0;
    for (int i = g_rand_int_range(rand, 0, most + 1); i > 0; i--)
        set |= (guint64)1 << g_rand_int_range(rand, 0, types);
    return set;
}

static inline void random_make(GRand *rand, const struct random_shape *shape,
                               struct random_set *set)
{
    *set = (struct random_set){ .types = g_rand_int_range(rand, 2, shape->types + 1) };
    set->rule_count = g_rand_int_range(rand, 1, shape->rules + 1);
    set->query_count = g_rand_int_range(rand, 1, shape->queries + 1);
    for (int i = 0; i < set->rule_count; i++) {
        struct random_rule *rule = &set->rules[i];
        rule->output = g_rand_int_range(rand, 0, set->types);
        rule->param_count = g_rand_int_range(rand, 0, shape->params + 1);
        rule->get_count = g_rand_int_range(rand, 0, shape->gets + 1);
        for (int k = 0; k < rule->param_count; k++)
            rule->params[k] = g_rand_int_range(rand, 0, set->types);
        for (int k = 0; k < rule->get_count; k++) {
            rule->gets[k].output = g_rand_int_range(rand, 0, set->types);
            rule->gets[k].inputs = random_types(rand, set->types, shape->inputs);
        }
    }
    for (int i = 0; i < set->query_count; i++) {
        set->queries[i].output = g_rand_int_range(rand, 0, set->types);
        set->queries[i].params = random_types(rand, set->types, 3);
        for (int k = 0; k < i; k++)
            if (set->queries[k].output == set->queries[i].output &&
                set->queries[k].params == set->queries[i].params) {
                set->query_count = i;
                return;
            }
    }
}

/* Small enough for every assignment of sources to be tried. */
static inline void random_small(GRand *rand, struct random_set *set)
{
    static const struct random_shape shapes[] = {
        { 3, 4, 2, 1, 2, 1 }, { 4, 5, 1, 2, 2, 2 }, { 6, 7, 2, 1, 2, 2 }, { 5, 6, 2, 2, 1, 1 }
    };
    random_make(rand, &shapes[g_rand_int_range(rand, 0, (gint32)G_N_ELEMENTS(shapes))], set);
}

static inline GStrv random_params(guint64 params)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (int i = 0; i < 64; i++)
        if ((params >> i) & 1)
            g_ptr_array_add(names, g_strdup_printf("%c", 'A' + i));
    g_ptr_array_add(names, NULL);
    return (GStrv)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static inline void random_append_types(guint64 set, GString *out)
{
    for (int i = 0; i < 64; i++)
        if ((set >> i) & 1)
            g_string_append_printf(out, " %c", 'A' + i);
}

/* As errors name it: "A(B, C)". */
static inline void random_append_query(const struct random_set *set, int query, GString *out)
{
    g_auto(GStrv) params = random_params(set->queries[query].params);
    g_autofree char *list = g_strjoinv(", ", params);
    g_string_append_printf(out, "%c(%s)", 'A' + set->queries[query].output, list);
}

static inline char *random_text(const struct random_set *set)
{
    GString *out = g_string_new(NULL);
    for (int i = 0; i < set->rule_count; i++) {
        const struct random_rule *rule = &set->rules[i];
        g_string_append_printf(out, "rule r%d %c", i, 'A' + rule->output);
        for (int k = 0; k < rule->param_count; k++)
            g_string_append_printf(out, " %c", 'A' + rule->params[k]);
        for (int k = 0; k < rule->get_count; k++) {
            g_string_append_printf(out, "; %c", 'A' + rule->gets[k].output);
            random_append_types(rule->gets[k].inputs, out);
        }
        g_string_append_c(out, '\n');
    }
    for (int i = 0; i < set->query_count; i++) {
        g_string_append_printf(out, "query %c", 'A' + set->queries[i].output);
        random_append_types(set->queries[i].params, out);
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}

#endif
