// SPDX-License-Identifier: Apache-2.0
/*
 * How long graph_solve() takes on made rule sets, by shape and number of rules.
 *
 * usage: bench-graph [SHAPE RULES [PARAMS]]     without words: the whole table
 *
 * chain   rule i takes type i+1
 * tree    rule i gets types 2i+1 and 2i+2
 * dense   rule i takes param i % PARAMS and makes 5 gets of later types, each of which provides the
 *         param of its rule; every 7th also takes what a rule makes of one of 4 params that only
 *         queries provide
 * cyclic  as dense, with gets of any type, and for every 10th type a second rule, for
 *         another param
 * random  2 positional params and 2 gets of PARAMS types in all, each get providing up to 2: the
 *         worst that search has found, most of it wrong; scopes then differ from use to use
 */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMBIENT 4
#define GETS 5
#define QUERIES 9

struct maker {
    struct graph_input *input;
    GRand *rand;
    guint rules, params;
};

static char *name(char kind, guint number)
{
    return g_strdup_printf("%c%u", kind, number);
}

static void add(struct maker *maker, guint number, char kind, GPtrArray *params, GPtrArray *gets)
{
    g_autofree char *label = name(kind, number), *output = name('T', number);
    g_autofree struct graph_get *made = g_new0(struct graph_get, gets->len / 2 + 1);
    g_autofree const char **inputs = g_new0(const char *, gets->len + 2);
    for (guint i = 0; i + 1 < gets->len; i += 2) {
        inputs[i] = gets->pdata[i + 1];
        made[i / 2] = (struct graph_get){ gets->pdata[i], inputs[i] ? &inputs[i] : NULL };
    }
    g_ptr_array_add(params, NULL);
    const struct graph_rule rule = { .name = label,
                                     .output = output,
                                     .params = (const char *const *)params->pdata,
                                     .gets = made,
                                     .get_count = gets->len / 2 };
    graph_input_rule(maker->input, &rule);
}

static void make_simple(struct maker *maker, bool tree)
{
    for (guint i = 0; i < maker->rules; i++) {
        g_autoptr(GPtrArray) params = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) gets = g_ptr_array_new_with_free_func(g_free);
        for (guint k = 1; tree && k <= 2 && 2 * i + k < maker->rules; k++) {
            g_ptr_array_add(gets, name('T', 2 * i + k));
            g_ptr_array_add(gets, NULL);
        }
        if (!tree)
            g_ptr_array_add(params, i + 1 < maker->rules ? name('T', i + 1) : name('G', 0));
        add(maker, i, 'r', params, gets);
    }
}

static void make_mesh(struct maker *maker, bool cyclic)
{
    for (guint i = 0; i < maker->rules; i++) {
        g_autoptr(GPtrArray) params = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) gets = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(params, name('P', i % maker->params));
        if (i % 7 == 0)
            g_ptr_array_add(params, name('O', (i / 7) % AMBIENT));
        for (guint k = 0; k < GETS && (cyclic || i + 1 < maker->rules); k++) {
            gint32 first = cyclic ? 0 : (gint32)i + 1;
            guint to = (guint)g_rand_int_range(maker->rand, first, (gint32)maker->rules);
            g_ptr_array_add(gets, name('T', to));
            g_ptr_array_add(gets, name('P', to % maker->params));
        }
        if (cyclic && i % 10 == 9) {
            g_autoptr(GPtrArray) more = g_ptr_array_new_with_free_func(g_free);
            g_autoptr(GPtrArray) none = g_ptr_array_new();
            g_ptr_array_add(more, name('P', (i + 1) % maker->params));
            add(maker, i, 's', more, none);
        }
        add(maker, i, 'r', params, gets);
    }
}

static char *any_type(struct maker *maker)
{
    return name('T', (guint)g_rand_int_range(maker->rand, 0, (gint32)maker->params));
}

static void make_random(struct maker *maker)
{
    for (guint i = 0; i < maker->rules; i++) {
        g_autofree char *label = name('r', i), *output = any_type(maker);
        char *words[8];
        for (guint k = 0; k < G_N_ELEMENTS(words); k++)
            words[k] = any_type(maker);
        const char *const params[] = { words[0], words[1], NULL };
        const char *const first[] = { words[2], words[3], NULL };
        const char *const second[] = { words[4], words[5], NULL };
        const struct graph_get gets[] = { { words[6], first }, { words[7], second } };
        const struct graph_rule rule = { .name = label,
                                         .output = output,
                                         .params = params,
                                         .gets = gets,
                                         .get_count = G_N_ELEMENTS(gets) };
        graph_input_rule(maker->input, &rule);
        for (guint k = 0; k < G_N_ELEMENTS(words); k++)
            g_free(words[k]);
    }
}

/* What depends on a param that only queries provide: o0 turns G0 into O0, and so on. */
static void make_ambient(struct maker *maker)
{
    for (guint i = 0; i < AMBIENT; i++) {
        g_autofree char *label = name('o', i), *output = name('O', i), *param = name('G', i);
        const char *const params[] = { param, NULL };
        const struct graph_rule rule = { .name = label, .output = output, .params = params };
        graph_input_rule(maker->input, &rule);
    }
}

static void make_queries(struct maker *maker)
{
    for (guint i = 0; i < QUERIES && i < maker->rules; i++) {
        g_autoptr(GPtrArray) params = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *output = name('T', i);
        g_ptr_array_add(params, name('P', i % maker->params));
        for (guint k = 0; k <= AMBIENT; k++)
            g_ptr_array_add(params, name('G', k));
        g_ptr_array_add(params, NULL);
        const struct graph_query query = { .output = output,
                                           .params = (const char *const *)params->pdata };
        graph_input_query(maker->input, &query);
    }
}

static gint compare_times(gconstpointer a, gconstpointer b)
{
    return *(const gint64 *)a < *(const gint64 *)b ? -1 : 1;
}

static void measure(const char *shape, guint rules, guint params)
{
    enum {
        ROUNDS = 5,
    };
    gint64 times[ROUNDS];
    gsize nodes = 0, errors = 0;
    g_autoptr(graph_input) input = graph_input_new();
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    struct maker maker = { input, rand, rules, params };
    if (strcmp(shape, "chain") == 0 || strcmp(shape, "tree") == 0)
        make_simple(&maker, *shape == 't');
    else if (strcmp(shape, "random") == 0)
        make_random(&maker);
    else
        make_mesh(&maker, *shape == 'c');
    make_ambient(&maker);
    make_queries(&maker);
    for (int i = 0; i < ROUNDS; i++) {
        gint64 start = g_get_monotonic_time();
        g_autoptr(graph) graph = graph_solve(input);
        times[i] = g_get_monotonic_time() - start;
        graph_nodes(graph, &nodes);
        graph_errors(graph, &errors);
    }
    qsort(times, ROUNDS, sizeof times[0], compare_times);
    printf("%-7s %6u %7u %10.2f %10.2f %8zu %7zu\n", shape, rules, params, (double)times[0] / 1e3,
           (double)times[ROUNDS / 2] / 1e3, nodes, errors);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const shapes[] = { "chain", "tree", "dense", "cyclic" };
    static const guint sizes[] = { 46, 100, 500, 1000, 2000, 5000 };
    printf("%-7s %6s %7s %10s %10s %8s %7s\n", "shape", "rules", "params", "best ms", "median ms",
           "nodes", "errors");
    if (argc > 2) {
        measure(argv[1], (guint)atoi(argv[2]), argc > 3 ? (guint)atoi(argv[3]) : 8);
        return 0;
    }
    for (gsize s = 0; s < G_N_ELEMENTS(shapes); s++)
        for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
            measure(shapes[s], sizes[i], 8);
    for (guint types = 4; types <= 10; types += 2)
        measure("random", 2 * types, types);
    return 0;
}
