// SPDX-License-Identifier: Apache-2.0
/* Rules that run, on an engine that keeps nothing. */
#include "rules-support.h"

struct scene {
    struct rules *rules;
    struct graph *graph;
    GArray *engine_rules;
    struct engine *engine;
};

static void scene_open(struct scene *scene, const char *text)
{
    scene->rules = FILES("vial.lua", text);
    scene->graph = graph_solve(rules_graph_input(scene->rules));
    scene->engine_rules = rules_for_engine(scene->rules);
    g_autoptr(GError) error = NULL;
    const struct engine_options options = {
        .graph = scene->graph,
        .rules = (const struct engine_rule *)(void *)scene->engine_rules->data,
        .rule_count = scene->engine_rules->len,
    };
    g_autofree char *faults = support_faults(scene->rules);
    g_assert_cmpstr(faults, ==, "");
    scene->engine = engine_new(&options, &error);
    g_assert_no_error(error);
}

static void scene_close(struct scene *scene)
{
    engine_free(scene->engine);
    g_array_unref(scene->engine_rules);
    graph_free(scene->graph);
    rules_free(scene->rules);
}

/* The value as text, or the first line of what failed. */
static char *ask(struct scene *scene, const char *query)
{
    g_autofree char *output = NULL;
    g_autoptr(GPtrArray) params = NULL;
    g_autoptr(GError) error = NULL;
    struct engine_result result = { 0 };
    if (!rules_evaluate_query(scene->rules, query, &output, &params, &error))
        return g_strdup(error->message);
    const struct engine_request request = { output, (struct value *const *)params->pdata,
                                            params->len };
    engine_run(scene->engine, &request, 1, &result, &error);
    g_assert_no_error(error);
    char *text = result.value != NULL ? value_print(result.value, 0) : g_strdup(result.error);
    if (result.value == NULL && strchr(text, '\n') != NULL)
        *strchr(text, '\n') = '\0';
    engine_results_clear(&result, 1);
    return text;
}

static void assert_asked(struct scene *scene, const char *query, const char *wanted)
{
    g_autofree char *got = ask(scene, query);
    g_assert_cmpstr(got, ==, wanted);
}

static void assert_ran(const struct scene *scene, guint64 ran)
{
    struct engine_statistics counts;
    engine_statistics(scene->engine, &counts);
    g_assert_cmpuint(counts.ran, ==, ran);
}

static void test_gets(void)
{
    static const char text[] =
        "record 'A' { 'n' } record 'B' { 'n' } record 'Sum' { 'n' } record 'All' { 'list' }\n"
        "rule 'sum' { output = 'Sum', params = { 'B', 'A' },\n"
        "  run = function(b, a) return Sum { n = 10 * b.n + a.n } end }\n"
        "rule 'all' { output = 'All', gets = { { 'Sum', { 'A', 'B' } } }, run = function()\n"
        "  local function sum(a, b) return { 'Sum', B { n = b }, A { n = a } } end\n"
        "  local ok, one = pcall(get, 'Sum', A { n = 1 }, B { n = 2 })\n"
        "  assert(ok and #get_all {} == 0)\n"
        "  local list = { one.n }\n"
        "  for i, s in ipairs(get_all { sum(3, 4), sum(1, 2), sum(3, 4) }) do list[i + 1] = s.n "
        "end\n"
        "  return All { list = list } end }\n"
        "query { output = 'All' }\nquery { output = 'Sum', params = { 'A', 'B' } }";
    struct scene scene;
    scene_open(&scene, text);
    assert_asked(&scene, "All()", "All{list={21, 43, 21, 43}}");
    assert_ran(&scene, 3);
    assert_asked(&scene, "All", "All{list={21, 43, 21, 43}}");
    assert_ran(&scene, 0);
    assert_asked(&scene, "Sum(A{n=1}, B{n=2})", "Sum{n=21}");
    assert_asked(&scene, "Sum(B{n=2}, A{n=1})", "Sum{n=21}");
    assert_ran(&scene, 0);
    scene_close(&scene);
}

/* Many gets at once, and rules far below one another. */
static void test_many(void)
{
    static const char text[] =
        "record 'N' { 'n' } record 'F' { 'n' } record 'Wide' { 'n' }\n"
        "rule 'down' { output = 'F', params = { 'N' }, gets = { { 'F', 'N' } }, run = function(n)\n"
        "  if n.n == 0 then return F { n = 0 } end\n"
        "  return F { n = get('F', N { n = n.n - 1 }).n + 1 } end }\n"
        "rule 'wide' { output = 'Wide', gets = { { 'F', 'N' } }, run = function()\n"
        "  local all, sum = {}, 0\n"
        "  for i = 1, 2000 do all[i] = { 'F', N { n = i } } end\n"
        "  for _, f in ipairs(get_all(all)) do sum = sum + f.n end\n"
        "  return Wide { n = sum } end }\n"
        "query { output = 'Wide' }\nquery { output = 'F', params = { 'N' } }";
    struct scene scene;
    scene_open(&scene, text);
    assert_asked(&scene, "F(N{n=1000})", "F{n=1000}");
    assert_asked(&scene, "Wide()", "Wide{n=2001000}");
    assert_ran(&scene, 1001);
    scene_close(&scene);
}

static void test_failures(void)
{
    static const struct {
        const char *code, *why;
    } cases[] = {
        { "error('boom')", "vial.lua:2: boom" },
        { "error({})", "vial.lua:2: error with a value of type table" },
        { "return 1", "vial.lua:1: rule \"r\" returned a number, not a record of type Out" },
        { "return { 1 }", "vial.lua:1: rule \"r\" returned a table, not a record of type Out" },
        { "return n", "vial.lua:1: rule \"r\" returned a In, not a record of type Out" },
        { "", "vial.lua:1: rule \"r\" returned nothing, not a record of type Out" },
        { "get(1)", "vial.lua:2: a get begins with the name of a type: get(\"Out\", …)" },
        { "get('Other')",
          "vial.lua:2: this get is not among the gets of the rule: Other <- {}; it has "
          "Low <- {Key}" },
        { "get('Low', n)",
          "vial.lua:2: this get is not among the gets of the rule: Low <- {In}; it "
          "has Low <- {Key}" },
        { "get('Low', { n = 1 })",
          "vial.lua:2: input 1 of the get of Low is a table, not a record" },
        { "get_all { 'Low' }",
          "vial.lua:2: get_all takes a list of gets: { { \"Out\", a, b }, … }" },
        { "get_all { { 'Low', Key {} }, { 'Low' } }",
          "vial.lua:2: this get is not among the gets of the rule: Low <- {}; it has Low <- "
          "{Key}" },
        { "pcall(get, 'Low', Key {})", "vial.lua:4: low" },
        { "record 'X' {}",
          "vial.lua:2: declarations are made while files are loaded, not by a rule" },
        { "while true do end",
          "vial.lua:2: stopped: too many instructions; is there an endless loop?" },
        { "while true do pcall(function() while true do end end) end",
          "vial.lua:2: stopped: too many instructions; is there an endless loop?" },
        { "kept = 1",
          "vial.lua:1: rule \"r\" set \"kept\", which is local to its file: a rule cannot "
          "change what the next one sees" },
        { "list[2] = 1", "vial.lua:2: this table is a file's: a rule cannot change it" },
        { "pcall(string.rep, 'x', 9e6)", "vial.lua:1: stopped: too much memory" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf(
            "local kept, list = 0, { 1 }; rule 'r' { output = 'Out', params = { 'In' }, gets = { { "
            "'Low', 'Key' } }, "
            "run = function(n)\n%s\nend }\n"
            "rule 'low' { output = 'Low', params = { 'Key' }, run = function() error('low') end }\n"
            "record 'In' { 'n' } record 'Out' { 'n' } record 'Low' {} record 'Key' {}\n"
            "query { output = 'Out', params = { 'In' } }",
            cases[i].code);
        struct scene scene;
        scene_open(&scene, text);
        assert_asked(&scene, "Out(In{})", cases[i].why);
        assert_asked(&scene, "Out(In{n=1})", cases[i].why); /* it is no worse the second time */
        scene_close(&scene);
    }
}

static void test_replaced(void)
{
    static const char text[] =
        "rule 'fake' { output = 'ProcessResult', params = { 'Process' }, run = function(process)\n"
        "  return ProcessResult { stdout = process.argv[1] } end }\n"
        "rule 'out' { output = 'Out', gets = { { 'ProcessResult', 'Process' } }, run = function()\n"
        "  return Out { x = get('ProcessResult', Process { argv = { 'echo' } }).stdout } end }\n"
        "record 'Out' { 'x' } query { output = 'Out' }";
    struct scene scene;
    scene_open(&scene, text);
    assert_asked(&scene, "Out()", "Out{x=\"echo\"}");
    scene_close(&scene);
}

static void test_no_run(void)
{
    struct scene scene;
    scene_open(&scene, "record 'A' {} rule 'a' { output = 'A' } query { output = 'A' }");
    assert_asked(&scene, "A()", "vial.lua:1: rule \"a\" has no run");
    assert_asked(&scene, "A(1)", "\"A(1)\": param 1 of the query is a number, not a record");
    assert_asked(&scene, "A(", "\"A(\" is not a query such as T(A, B)");
    assert_asked(&scene, "A(get('A'))", "\"A(get('A'))\": query:1: only a rule that runs can get");
    scene_close(&scene);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/run/get and get_all", test_gets);
    g_test_add_func("/rules/run/many and deep gets", test_many);
    g_test_add_func("/rules/run/what fails, and where", test_failures);
    g_test_add_func("/rules/run/a declared rule in place of a built-in one", test_replaced);
    g_test_add_func("/rules/run/queries and rules that cannot run", test_no_run);
    return g_test_run();
}
