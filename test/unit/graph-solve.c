// SPDX-License-Identifier: Apache-2.0
/* Which source each key gets: the examples of doc/design/rule-graph.md, one test each. */
#include "graph-random.h"
#include "graph-support.h"

/*
 * What a query came to, as text: "x{A}(param A, y{B}[B](…))": rule, in-set, dependencies with what
 * a get provides in brackets; a node that is already on the way is only named. Or the kinds, types
 * and nodes of the errors.
 */
static void draw(const struct graph_node *nodes, guint id, GString *out, guint depth)
{
    const struct graph_node *node = &nodes[id];
    if (node->kind == GRAPH_PARAM) {
        g_string_append_printf(out, "%s", node->name);
        return;
    }
    g_autofree char *params = g_strjoinv(",", (char **)node->params);
    g_string_append_printf(out, "%s{%s}", node->name, params);
    if (node->dependency_count == 0 || depth == 0)
        return;
    g_string_append_c(out, '(');
    for (guint i = 0; i < node->dependency_count; i++) {
        const struct graph_dependency *dependency = &node->dependencies[i];
        g_autofree char *provides = g_strjoinv(",", (char **)dependency->provides);
        g_string_append(out, i == 0 ? "" : ", ");
        if (*provides != '\0')
            g_string_append_printf(out, "[%s]", provides);
        draw(nodes, dependency->node, out, depth - 1);
    }
    g_string_append_c(out, ')');
}

static char *outcome(const char *text)
{
    g_autoptr(graph) graph = support_solve(text);
    GString *out = g_string_new(NULL);
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    for (gsize i = 0; i < count; i++)
        g_string_append_printf(out, "%s%s %s %s", i == 0 ? "" : "; ",
                               graph_fault_name(errors[i].kind), errors[i].output, errors[i].node);
    const struct graph_node *nodes = graph_nodes(graph, &count);
    for (guint i = 0; i < count && nodes[i].kind == GRAPH_QUERY; i++) {
        g_string_append(out, i == 0 ? "" : "; ");
        draw(nodes, i, out, 4);
    }
    return g_string_free(out, FALSE);
}

static const struct {
    const char *name, *text, *outcome;
} examples[] = {
    { "a param answers a positional param", "rule x X A\nquery X A", "X{A}(x{A}(A))" },
    { "a rule answers what is no param", "rule x X A\nrule a A B\nquery X B",
      "X{B}(x{B}(a{B}(B)))" },
    { "a param flows through rules that do not name it", "rule x X Y\nrule y Y A\nquery X A",
      "X{A}(x{A}(y{A}(A)))" },
    { "a query need not use all its params", "rule x X A\nquery X A B", "X{A,B}(x{A}(A))" },
    { "a param leaves the scope of whoever takes it", "rule y Y A; B C\nrule b B A C\nquery Y A",
      "no_source A b" },
    { "a param used by two gets is in scope of both",
      "rule w W; B C; D E\nrule b B A C\nrule d D A E\nquery W A",
      "W{A}(w{A}([C]b{A,C}(A, C), [E]d{A,E}(A, E)))" },
    { "a get's source must use what is provided", "rule z Z; A B\nrule a A C\nquery Z C",
      "no_source A z" },
    { "a param never answers a get", "rule z Z; A B\nquery Z A", "no_rule A z" },
    { "a param never answers a get that provides nothing", "rule z Z; A\nquery Z A",
      "no_rule A z" },
    { "a get of a type from that type is legal", "rule r R; A A\nrule a A A\nquery R",
      "R{}(r{}([A]a{A}(A)))" },
    { "a get provides several params", "rule r R; X A B\nrule x X A B\nrule y X A\nquery R",
      "R{}(r{}([A,B]x{A,B}(A, B)))" },
    { "the smallest in-set wins", "rule x X; D\nrule d1 D A\nrule d2 D B C\nquery X A B C",
      "X{A,B,C}(x{A}(d1{A}(A)))" },
    { "what needs no param beats a param", "rule x X A\nrule a A\nquery X A", "X{A}(x{}(a{}))" },
    { "equal sizes are ambiguous", "rule x X; D\nrule d1 D A B\nrule d2 D B C\nquery X A B C",
      "ambiguous D x" },
    { "a param and a rule of one param are ambiguous", "rule x X A\nrule a A B\nquery X A B",
      "ambiguous A x" },
    { "two rules that need nothing are ambiguous", "rule a A\nrule b A\nquery A",
      "ambiguous A A()" },
    { "a smaller source hides what is ambiguous",
      "rule x X; D\nrule d D\nrule e D F\nrule f F "
      "A\nrule g F A\nquery X A",
      "X{A}(x{}(d{}))" },
    { "a rule is copied for each scope",
      "rule x X; D\nrule d1 D A B\nrule d2 D B C\nquery X A B\nquery X B C",
      "X{A,B}(x{A,B}(d1{A,B}(A, B))); X{B,C}(x{B,C}(d2{B,C}(B, C)))" },
    { "a get picks the copy that uses what it provides",
      "rule x X; D\nrule d1 D A B\nrule d2 D B C\nrule r R; X A\nquery R B C",
      "R{B,C}(r{B}([A]x{A,B}(d1{A,B}(A, B))))" },
    { "what is provided is used rather than a default",
      "rule a0 A\nrule x X A\nrule y Y X\nrule r R; Y A\nquery R\nquery Y",
      "R{}(r{}([A]y{A}(x{A}(A)))); Y{}(y{}(x{}(a0{})))" },
    { "copies that come out equal are one",
      "rule x X A\nrule u U X B\nrule v V X C\nrule w W U V\nquery W A B C",
      "W{A,B,C}(w{A,B,C}(u{A,B}(x{A}(A), B), v{A,C}(x{A}(A), C)))" },
    { "recursion through a get that provides", "rule fib F N; F N\nquery F N",
      "F{N}(fib{N}(N, [N]fib{N}(N, [N]fib{N}(N, [N]fib{N}))))" },
    { "rules may need one another", "rule a A; B N\nrule b B N; A\nquery A",
      "A{}(a{}([N]b{N}(N, a{}([N]b{N}))))" },
    { "a cycle of params alone is legal", "rule a A B\nrule b B A\nquery A",
      "A{}(a{}(b{}(a{}(b{}))))" },
    { "conversions both ways do not get in the way",
      "rule ba B A\nrule ab A B\nquery B A\nquery A B", "A{B}(ab{B}(B)); B{A}(ba{A}(A))" },
    { "a cycle does not win over what is grounded",
      "rule n N M\nrule m M P\nrule p P M\nrule k N A\nquery N A", "N{A}(k{A}(A))" },
    { "two ways to one in-set are ambiguous, be one of them round about",
      "rule n N M\nrule m M N\nrule k N A\nquery N A", "ambiguous N m" },
    { "a cycle consumes nothing by itself", "rule r R; R I\nquery R I", "no_source R r" },
    { "a query may be a param", "query A A", "A{A}(A)" },
    { "a type may be a param here and made by a rule there",
      "rule x X A\nrule a A B\nrule r R; X A\nquery X B\nquery R",
      "R{}(r{}([A]x{A}(A))); X{B}(x{B}(a{B}(B)))" },
};

static void test_example(gconstpointer data)
{
    guint i = GPOINTER_TO_UINT(data);
    g_autofree char *got = outcome(examples[i].text);
    g_assert_cmpstr(got, ==, examples[i].outcome);
}

static char *shuffled(GRand *rand, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gint32 i = (gint32)g_strv_length(lines) - 1; i > 0; i--) {
        gint32 other = g_rand_int_range(rand, 0, i + 1);
        char *line = lines[i];
        lines[i] = lines[other];
        lines[other] = line;
    }
    return g_strjoinv("\n", lines);
}

static void test_order(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    for (int i = 0; i < 2000; i++) {
        struct random_set set;
        random_small(rand, &set);
        g_autofree char *text = random_text(&set);
        g_autofree char *other = shuffled(rand, text);
        g_autoptr(graph) a = support_solve(text);
        g_autoptr(graph) b = support_solve(other);
        gsize errors;
        graph_errors(a, &errors);
        if (errors > 0)
            continue; /* places differ */
        g_autofree char *dot_a = graph_dot(a, -1), *dot_b = graph_dot(b, -1);
        g_assert_cmpstr(dot_a, ==, dot_b);
    }
}

/* Every kind of set that could be large: many of everything, dense and cyclic, or narrow and deep.
 */
static void test_ends(void)
{
    static const struct random_shape shapes[] = { { 4, 24, 3, 3, 4, 3 }, { 5, 12, 5, 5, 8, 3 },
                                                  { 6, 12, 2, 3, 4, 2 }, { 6, 20, 2, 2, 4, 2 },
                                                  { 8, 12, 2, 2, 4, 1 }, { 3, 60, 3, 3, 8, 2 } };
    const char *wish = g_getenv("GRAPH_TERMINATION_SETS");
    int want = wish != NULL ? atoi(wish) : 300;
    gint64 longest = 0;
    int right = 0;
    guint32 worst = 0;
    for (guint32 seed = 1; seed <= (guint32)want; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        struct random_set set;
        random_make(rand, &shapes[seed % G_N_ELEMENTS(shapes)], &set);
        g_autofree char *text = random_text(&set);
        gint64 start = g_get_monotonic_time();
        g_autoptr(graph) graph = support_solve(text);
        gint64 took = g_get_monotonic_time() - start;
        gsize errors;
        graph_errors(graph, &errors);
        right += errors == 0;
        worst = took > longest ? seed : worst;
        longest = MAX(longest, took);
    }
    g_test_message("%d sets, %d without errors, longest %.1f ms (seed %u)", want, right,
                   (double)longest / 1000, worst);
    g_assert_cmpint(right, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(examples); i++) {
        g_autofree char *path = g_strconcat("/graph/solve/", examples[i].name, NULL);
        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_example);
    }
    g_test_add_func("/graph/solve/the order of rules and queries does not matter", test_order);
    g_test_add_func("/graph/solve/random sets of all kinds come to an end", test_ends);
    return g_test_run();
}
