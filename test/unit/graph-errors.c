// SPDX-License-Identifier: Apache-2.0
/* What errors and warnings say: enough to act on, once, in order. */
#include "graph-support.h"

/* The one error of `text` must have all of `parts` in its message. */
static void check(const char *text, enum graph_fault kind, const char *node,
                  const char *const *parts)
{
    g_autoptr(graph) graph = support_solve(text);
    gsize count;
    const struct graph_error *error = graph_errors(graph, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(error->kind, ==, kind);
    g_assert_cmpstr(error->node, ==, node);
    for (; *parts != NULL; parts++)
        if (strstr(error->message, *parts) == NULL)
            g_error("\"%s\" is not in: %s", *parts, error->message);
}

#define CHECK(text, kind, node, ...) \
    check(text, kind, node, (const char *const[]){ __VA_ARGS__, NULL })

static void test_missing_param(void)
{
    CHECK("rule x X Y\nrule y Y A\nquery X B", GRAPH_NO_SOURCE, "y",
          "no source of A for rule \"y\": no rule returns it",
          "asked for by query X(B) -> rule \"x\" -> rule \"y\"", "add A to the query");
}

static void test_consumed_above(void)
{
    CHECK("rule y Y A; B C\nrule b B A C\nquery Y A", GRAPH_NO_SOURCE, "b", "in scope: C",
          "rule \"y\" above takes A");
}

static void test_candidates_that_want_what_was_consumed(void)
{
    CHECK("rule y Y A; B C\nrule b B A C\nrule d B A C\nquery Y A", GRAPH_NO_SOURCE, "y",
          "fits (in scope: C)",
          "rule \"b\": takes A, which is not in scope here; in scope: C; "
          "rule \"y\" above takes A as a param, which ends its scope there");
}

static void test_not_consumed(void)
{
    CHECK("rule z Z; A B\nrule a A C\nquery Z C", GRAPH_NO_SOURCE, "z", "rule \"z\" (get A <- B)",
          "rule \"a\": does not use all that is provided (B)");
}

static void test_each_candidate(void)
{
    CHECK("rule z Z; A B\nrule a A C\nrule b A B D\nrule c A E\nrule e E B F\nquery Z C",
          GRAPH_NO_SOURCE, "z", "rule \"a\": does not use", "rule \"b\": takes D",
          "rule \"c\": needs rule \"e\", which takes F");
}

static void test_no_rule(void)
{
    CHECK("rule x X; Y A\nquery X", GRAPH_NO_RULE, "x", "no rule returns it",
          "add a rule that returns Y");
    CHECK("query X A", GRAPH_NO_RULE, "X(A)", "no source of X for query X(A)");
}

static void test_ambiguous(void)
{
    CHECK("rule x X D\nrule d1 D A\nrule d2 D B\nquery X A B", GRAPH_AMBIGUOUS, "x",
          "rule \"d1\", which uses {A}", "rule \"d2\", which uses {B}", "query X(A, B)");
}

static void test_duplicate(void)
{
    CHECK("rule x X\nrule x Y\nquery X", GRAPH_DUPLICATE_RULE, "x", "rules:1", "rules:2");
}

static void test_all_at_once(void)
{
    g_autoptr(graph) graph = support_solve("query Z\nrule a A B\nrule c C; D\nrule d D\nrule e D\n"
                                           "rule a F\nquery A\nquery C\nquery C Y\nquery A Y\n");
    static const char *const nodes[] = { "Z()", "a", "c", "a" };
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    g_assert_cmpuint(count, ==, G_N_ELEMENTS(nodes));
    for (gsize i = 0; i < count; i++) {
        g_assert_cmpstr(errors[i].node, ==, nodes[i]);
        g_assert_true(i == 0 || errors[i - 1].line <= errors[i].line);
    }
}

static void test_unused(void)
{
    g_autoptr(graph) graph = support_solve("rule x X\nrule y Y\nquery X");
    gsize count;
    const struct graph_error *warnings = graph_warnings(graph, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(warnings->kind, ==, GRAPH_UNUSED_RULE);
    g_assert_cmpstr(warnings->node, ==, "y");
    g_assert_cmpuint(warnings->line, ==, 2);
}

static void test_ungrounded(void)
{
    g_autoptr(graph) graph =
        support_solve("rule a A B\nrule b B C\nrule c C B\nrule f F N; F N\nquery A\nquery F N");
    gsize count;
    const struct graph_error *warnings = graph_warnings(graph, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(warnings->kind, ==, GRAPH_UNGROUNDED);
    g_assert_nonnull(strstr(warnings->message, "b -> c -> b"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/errors/a param that nobody provides", test_missing_param);
    g_test_add_func("/graph/errors/a param that was consumed above", test_consumed_above);
    g_test_add_func("/graph/errors/candidates that want what was consumed",
                    test_candidates_that_want_what_was_consumed);
    g_test_add_func("/graph/errors/a rule that does not use what a get provides",
                    test_not_consumed);
    g_test_add_func("/graph/errors/why each rule does not fit", test_each_candidate);
    g_test_add_func("/graph/errors/a type that no rule returns", test_no_rule);
    g_test_add_func("/graph/errors/both candidates of a tie are named", test_ambiguous);
    g_test_add_func("/graph/errors/both places of a name are named", test_duplicate);
    g_test_add_func("/graph/errors/all at once, sorted, none twice", test_all_at_once);
    g_test_add_func("/graph/errors/a rule that no query uses is a warning", test_unused);
    g_test_add_func("/graph/errors/a cycle that provides nothing is a warning", test_ungrounded);
    return g_test_run();
}
