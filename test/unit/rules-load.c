// SPDX-License-Identifier: Apache-2.0
/* Files, includes and declarations, and what is said of wrong ones. */
#include "rules-support.h"

static char *json_of(struct rules *rules)
{
    g_autoptr(graph) graph = graph_solve(rules_graph_input(rules));
    char *json = graph_json(graph, -1);
    rules_free(rules);
    return json;
}

static void test_declared(void)
{
    g_autofree char *json = json_of(
        FILES("vial.lua", "rule 'z' { output = 'Z', params = { 'B', 'A' }, gets = { { 'Y', 'C' },\n"
                          "  { 'X', { 'E', 'D' } }, { 'W' }, { 'V', {} } } }\n"
                          "rule 'y' { output = 'Y', params = { 'C' } }\n"
                          "rule 'x' { output = 'X', params = { 'D', 'E' }, cacheable = false }\n"
                          "rule 'w' { output = 'W', params = {}, run = function() end }\n"
                          "rule 'v' { output = 'V' }\n"
                          "query { output = 'Z', params = { 'A', 'B' } }\n"
                          "query { output = 'V' }\n"));
    g_assert_nonnull(
        strstr(json, "{\"id\":1,\"kind\":\"query\",\"name\":\"Z\",\"output\":\"Z\",\"params\":"
                     "[\"A\",\"B\"],"));
    g_assert_nonnull(
        strstr(json, "\"name\":\"z\",\"output\":\"Z\",\"params\":[\"A\",\"B\"],\"dependencies\":["
                     "{\"output\":\"B\",\"provides\":[],"));
    g_assert_nonnull(strstr(json, "{\"output\":\"Y\",\"provides\":[\"C\"],"));
    g_assert_nonnull(strstr(json, "{\"output\":\"X\",\"provides\":[\"D\",\"E\"],"));
    g_assert_nonnull(strstr(json, "{\"output\":\"W\",\"provides\":[],"));
    g_assert_nonnull(strstr(json, "{\"output\":\"V\",\"provides\":[],"));
}

/* Of an empty and a missing list of params comes the same. */
static void test_no_params(void)
{
    g_autofree char *with =
        json_of(FILES("vial.lua", "rule 'a' { output = 'A', params = {}, gets = {} }\n"
                                  "query { output = 'A', params = {} }"));
    g_autofree char *without =
        json_of(FILES("vial.lua", "rule 'a' { output = 'A' }\nquery { output = 'A' }"));
    g_assert_cmpstr(with, ==, without);
    g_assert_nonnull(strstr(with, "\"ok\":true"));
}

static void test_include(void)
{
    static const char first[] = "local a, b = include 'sub/a.lua', include 'b.lua'\n"
                                "assert(a.one == 1 and b == a and include './sub/a.lua' == a)\n"
                                "assert(type(Name) == 'function')\n";
    assert_faults(FILES("dir/vial.lua", first, "dir/sub/a.lua",
                        "record 'Name' { 'x' }\nreturn { one = 1 }", "dir/b.lua",
                        "return include 'sub/../sub/a.lua'"),
                  "");
}

static void test_include_errors(void)
{
    static const char first[] = "include '../a.lua'\ninclude '/a.lua'\ninclude 'gone.lua'\n"
                                "include 'b.lua'\nassert(include('') == nil)";
    assert_faults(FILES("dir/vial.lua", first, "dir/b.lua", "\ninclude 'vial.lua'"),
                  "dir/b.lua:2: include \"vial.lua\": the file includes itself\n"
                  "dir/vial.lua:1: include \"../a.lua\": not a file below that of the first file\n"
                  "dir/vial.lua:2: include \"/a.lua\": not a file below that of the first file\n"
                  "dir/vial.lua:3: include \"gone.lua\": there is no dir/gone.lua\n"
                  "dir/vial.lua:5: include \"\": not a file below that of the first file\n");
    assert_faults(rules_load("vial.lua", &(struct rules_options){ .root = "/nowhere" }),
                  "vial.lua:0: cannot read /nowhere/vial.lua: No such file or directory\n");
}

/* What stands around the broken file, and in it before the error, is there. */
static void test_rest_is_loaded(void)
{
    static const char first[] =
        "include 'a.lua'\ninclude 'b.lua'\nquery { output = 'A' }\n"
        "query { output = 'B' }\nquery { output = 'C' }\nquery { output = 'D' }";
    assert_faults(FILES("vial.lua", first, "a.lua",
                        "rule 'a' { output = 'A' }\nlocal x = nil .. 1\nrule 'd' { output = 'D' }",
                        "b.lua", "rule 'b' { output = 'B' }\n\nlocal = 3"),
                  "a.lua:2: attempt to concatenate a nil value\n"
                  "b.lua:3: <name> expected near '='\n"
                  "vial.lua:4: no source of B for query B(): no rule returns it\n"
                  "vial.lua:5: no source of C for query C(): no rule returns it\n"
                  "vial.lua:6: no source of D for query D(): no rule returns it\n");
}

static void test_duplicates(void)
{
    assert_faults(FILES("vial.lua", "record 'A' { 'x' }\nrecord 'A' { 'x' }\nrecord 'Process' {}\n"
                                    "record 'table' {}\nrule 'r' { output = 'A' }\n"
                                    "rule 'r' { output = 'B' }\nquery { output = 'A' }"),
                  "vial.lua:2: record \"A\" is declared twice: at vial.lua:1 and at vial.lua:2\n"
                  "vial.lua:3: record \"Process\" is declared twice: built in and at vial.lua:3\n"
                  "vial.lua:4: record \"table\" would hide Lua's own \"table\"\n"
                  "vial.lua:6: rule \"r\" is declared twice: at vial.lua:5 and at vial.lua:6\n");
}

static void test_bad_declarations(void)
{
    static const char get[] = "a get must be { \"Out\" }, { \"Out\", \"In\" } or "
                              "{ \"Out\", { \"A\", \"B\" } }";
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "rule 'r' {}", "rule \"r\": must name a type: output = \"Type\"" },
        { "rule 'r' { output = 1 }", "rule \"r\": must name a type: output = \"Type\"" },
        { "rule 'r' { output = 'A B' }", "rule \"r\": must name a type: output = \"Type\"" },
        { "rule 'r' { output = 'A', params = 'B' }",
          "rule \"r\": params must be a list of names, not a string" },
        { "rule 'r' { output = 'A', params = { 'B', 2 } }",
          "rule \"r\": params must be a list of names; item 2 is none" },
        { "rule 'r' { output = 'A', prams = {} }",
          "rule \"r\": has \"prams\", which means nothing here (known: output, params, gets, "
          "cacheable, run)" },
        { "rule 'r' { output = 'A', gets = 1 }", "rule \"r\": gets must be a list of gets" },
        { "rule 'r' { output = 'A', run = 1 }", "rule \"r\": run must be a function" },
        { "rule 'r' { output = 'A', cacheable = 1 }",
          "rule \"r\": cacheable must be true or false" },
        { "rule 'r' (1)", "rule \"r\": needs a table: rule \"name\" { output = …, … }" },
        { "rule 'r(' { output = 'A' }", "rule \"r(\": that is not a name that a rule can have" },
        { "query { output = 'A', parms = {} }",
          "query: has \"parms\", which means nothing here (known: output, params)" },
        { "query 'A'", "query: needs a table: query { output = …, params = { … } }" },
        { "record 'end' {}", "record \"end\": that is not a name of letters, digits and _" },
        { "record 'A' { 'b-c' }", "record \"A\": \"b-c\" is not a name for a field" },
        { "record 'A' { 'b', 'b' }", "record A: two fields are called b" },
        { "record 'A' (1)", "record \"A\": the fields must be a list of names, not a number" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_stops(cases[i].text, cases[i].why);
    for (guint i = 0; i < 4; i++) {
        static const char *const gets[] = { "1", "{}", "{ 'A', 1 }", "{ 'A', 'B', 'C' }" };
        g_autofree char *text =
            g_strdup_printf("rule 'r' { output = 'A', gets = { %s } }", gets[i]);
        g_autofree char *why = g_strdup_printf("rule \"r\": %s", get);
        if (i != 2)
            assert_stops(text, why);
    }
    assert_stops("rule 'r' { output = 'A', gets = { { 'A', 1 } } }",
                 "rule \"r\": the inputs of a get must be a list of names, not a number");
}

/* Messages have the whole path, and no more places than one, however long the path is. */
static void test_long_path(void)
{
    static const char path[] = "a-directory-with-a-long-name/another-one-that-is-longer-still/"
                               "and-a-third/vial.lua";
    g_autofree char *wanted = g_strdup_printf("%s:2: why\n", path);
    assert_faults(FILES(path, "\nerror 'why'"), wanted);
    g_autofree char *syntax = g_strdup_printf("%s:3: unexpected symbol near '='\n", path);
    assert_faults(FILES(path, "\n\n="), syntax);
}

static void test_digest(void)
{
    g_autoptr(rules) one = FILES("vial.lua", "include 'a.lua'", "a.lua", "return 1");
    g_autoptr(rules) same = FILES("vial.lua", "include 'a.lua'", "a.lua", "return 1", "b.lua", "");
    g_autoptr(rules) other = FILES("vial.lua", "include 'a.lua'", "a.lua", "return 2");
    g_assert_true(digest_equal(rules_digest(one), rules_digest(same)));
    g_assert_false(digest_equal(rules_digest(one), rules_digest(other)));
}

static void test_no_bytecode(void)
{
    g_autoptr(rules) rules = FILES("vial.lua", "\x1bLua");
    g_autofree char *got = support_faults(rules);
    g_assert_nonnull(strstr(got, "attempt to load a binary chunk"));
}

static void test_query(void)
{
    static const char *const wrong[] = { "",      "T(",  "T)",     "T(A", "T(A,)",
                                         "T(,A)", "(A)", "T(A B)", "T U" };
    g_autofree char *output = NULL;
    g_auto(GStrv) params = NULL;
    g_assert_true(rules_parse_query(" T ( B,A ) ", &output, &params, NULL));
    g_assert_cmpstr(output, ==, "T");
    g_assert_cmpuint(g_strv_length(params), ==, 2);
    g_assert_cmpstr(params[0], ==, "B");
    g_assert_cmpstr(params[1], ==, "A");
    g_clear_pointer(&output, g_free);
    g_clear_pointer(&params, g_strfreev);
    g_assert_true(rules_parse_query("T()", &output, &params, NULL));
    g_assert_cmpuint(g_strv_length(params), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(rules_parse_query(wrong[i], &output, &params, &error));
        g_assert_error(error, FAULT, FAULT_USAGE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/load/rules and queries", test_declared);
    g_test_add_func("/rules/load/no params are an empty list of them", test_no_params);
    g_test_add_func("/rules/load/include gives what the file returned", test_include);
    g_test_add_func("/rules/load/includes that are refused", test_include_errors);
    g_test_add_func("/rules/load/the rest is loaded", test_rest_is_loaded);
    g_test_add_func("/rules/load/names that are taken", test_duplicates);
    g_test_add_func("/rules/load/bad declarations", test_bad_declarations);
    g_test_add_func("/rules/load/long paths", test_long_path);
    g_test_add_func("/rules/load/the digest is that of what was loaded", test_digest);
    g_test_add_func("/rules/load/bytecode is refused", test_no_bytecode);
    g_test_add_func("/rules/load/queries as text", test_query);
    return g_test_run();
}
