// SPDX-License-Identifier: Apache-2.0
/* JSON and dot, byte by byte, and look-ups of queries. */
#include "graph-support.h"

static const char rules[] = "rule text Text Name; Style\n"
                            "rule style Style\n"
                            "rule page Page; Text Name\n"
                            "rule left Left Name\n"
                            "query Page\n"
                            "query Text Name Extra\n";

static void assert_golden(const char *name, const char *got)
{
    g_autofree char *path = g_build_filename(GOLDEN, name, NULL);
    g_autofree char *wanted = NULL;
    g_assert_true(g_file_get_contents(path, &wanted, NULL, NULL));
    g_autofree char *line = g_strconcat(got, g_str_has_suffix(got, "\n") ? "" : "\n", NULL);
    g_assert_cmpstr(line, ==, wanted);
}

static void test_json(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    g_autofree char *json = graph_json(graph, -1);
    assert_golden("graph.json", json);
}

static void test_part(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    const char *const params[] = { "Name", "Extra", NULL };
    gint64 node = graph_find(graph, "Text", params, NULL);
    g_autofree char *json = graph_json(graph, node);
    assert_golden("graph-part.json", json);
}

static void test_errors(void)
{
    g_autoptr(graph) graph = support_solve("rule a A B\nrule a C\nrule d D; E F\nrule e E G; H\n"
                                           "rule h H\nrule i H\nquery A\nquery D G\nquery E G\n");
    g_autofree char *json = graph_json(graph, -1);
    assert_golden("graph-errors.json", json);
}

static void test_dot(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    g_autofree char *dot = graph_dot(graph, -1);
    assert_golden("graph.dot", dot);
}

static void test_text(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    g_autofree char *text = graph_text(graph, -1);
    g_assert_cmpstr(text, ==,
                    "query Page()\n"
                    "    Page <- page()\n"
                    "query Text(Extra, Name)\n"
                    "    Text <- text(Name)\n"
                    "page(): Page\n"
                    "    Text for Name <- text(Name)\n"
                    "style(): Style\n"
                    "text(Name): Text\n"
                    "    Name <- the param\n"
                    "    Style <- style()\n");
}

/* Another query may be wrong, another rule unused: neither is this query's affair. */
static void test_only(void)
{
    const char *const a[] = { "A", NULL };
    g_autoptr(graph_input) input =
        support_read("rule x X A\nrule y Y B\nrule z Z\nquery X A\nquery Y\n");
    g_autoptr(graph) whole = graph_solve(input);
    g_autoptr(graph) only = graph_solve_only(input, "X", a);
    gsize count;
    graph_errors(whole, &count);
    g_assert_cmpuint(count, ==, 1);
    graph_errors(only, &count);
    g_assert_cmpuint(count, ==, 0);
    graph_warnings(only, &count);
    g_assert_cmpuint(count, ==, 0);
    graph_nodes(only, &count);
    g_assert_cmpuint(count, ==, 3);
}

/* Of a set of rules with errors, too. */
static void test_declares(void)
{
    const char *const names[] = { "B", "A", NULL };
    struct graph_error *error = NULL;
    g_autoptr(graph_input) input = support_read("query X A B\nquery Y\n");
    g_assert_true(graph_input_declares(input, "X", names, NULL));
    g_assert_true(graph_input_declares(input, "Y", NULL, NULL));
    g_assert_false(graph_input_declares(input, "X", NULL, &error));
    g_assert_cmpint(error->kind, ==, GRAPH_UNDECLARED_QUERY);
    g_assert_cmpstr(error->candidates[0], ==, "X(A, B)");
    graph_error_free(error);
}

static void test_faults(void)
{
    g_autoptr(graph_input) input = support_read("rule x X\nquery X\nquery Y\n");
    const struct graph_rule builtin = { .name = "b", .output = "B", .builtin = true };
    graph_input_rule(input, &builtin);
    graph_input_fault(input, "file", 7, "no such thing");
    g_autoptr(graph) graph = graph_solve(input);
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    g_assert_cmpuint(count, ==, 2);
    g_assert_cmpint(errors[0].kind, ==, GRAPH_LOAD);
    g_assert_cmpstr(errors[0].message, ==, "no such thing");
    g_assert_cmpuint(errors[0].line, ==, 7);
    g_assert_cmpint(errors[1].kind, ==, GRAPH_NO_RULE);
}

static void test_builtin(void)
{
    g_autoptr(graph_input) input = support_read("rule x X\nrule y Y\nquery X\n");
    const struct graph_rule builtin = { .name = "b", .output = "B", .builtin = true };
    graph_input_rule(input, &builtin);
    g_autoptr(graph) graph = graph_solve(input);
    gsize count;
    const struct graph_error *warnings = graph_warnings(graph, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpstr(warnings[0].node, ==, "y");
}

static void test_odd_names(void)
{
    g_autoptr(graph_input) input = graph_input_new();
    const struct graph_rule rule = { .name = "a\"b\\\x01\xff", .output = "T\n" };
    const struct graph_query query = { .output = "T\n" };
    graph_input_rule(input, &rule);
    graph_input_query(input, &query);
    g_autoptr(graph) graph = graph_solve(input);
    g_autofree char *json = graph_json(graph, -1);
    g_assert_nonnull(
        strstr(json, "\"name\":\"a\\\"b\\\\\\u0001\xef\xbf\xbd\",\"output\":\"T\\n\""));
}

static void test_find_is_a_set(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    const char *const one[] = { "Name", "Extra", NULL };
    const char *const other[] = { "Extra", "Name", "Name", NULL };
    g_assert_cmpint(graph_find(graph, "Text", one, NULL), >=, 0);
    g_assert_cmpint(graph_find(graph, "Text", one, NULL), ==,
                    graph_find(graph, "Text", other, NULL));
    g_assert_cmpint(graph_find(graph, "Page", NULL, NULL), >=, 0);
}

static void test_undeclared(void)
{
    g_autoptr(graph) graph = support_solve(rules);
    const char *const name[] = { "Name", NULL };
    struct graph_error *error = NULL;
    g_assert_cmpint(graph_find(graph, "Text", name, &error), ==, -1);
    g_assert_cmpint(error->kind, ==, GRAPH_UNDECLARED_QUERY);
    g_assert_cmpstr(error->candidates[0], ==, "Text(Extra, Name)");
    g_assert_nonnull(strstr(error->message, "Text(Name)"));
    g_autofree char *json = graph_error_json(error);
    g_assert_true(
        g_str_has_prefix(json, "{\"ok\":false,\"errors\":[{\"kind\":\"undeclared_query\","));
    graph_error_free(error);
    g_assert_cmpint(graph_find(graph, "Nothing", NULL, &error), ==, -1);
    g_assert_null(error->candidates[0]);
    graph_error_free(error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/print/a graph as JSON", test_json);
    g_test_add_func("/graph/print/the part below a query", test_part);
    g_test_add_func("/graph/print/errors as JSON", test_errors);
    g_test_add_func("/graph/print/a graph for dot", test_dot);
    g_test_add_func("/graph/print/a graph for people", test_text);
    g_test_add_func("/graph/print/one query alone", test_only);
    g_test_add_func("/graph/print/is a query declared?", test_declares);
    g_test_add_func("/graph/print/faults of the declarations", test_faults);
    g_test_add_func("/graph/print/nobody is warned of what nobody declared", test_builtin);
    g_test_add_func("/graph/print/names that JSON must quote", test_odd_names);
    g_test_add_func("/graph/print/the params of a query are a set", test_find_is_a_set);
    g_test_add_func("/graph/print/an undeclared query names the nearest", test_undeclared);
    return g_test_run();
}
