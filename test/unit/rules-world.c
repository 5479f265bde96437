// SPDX-License-Identifier: Apache-2.0
/* What Lua code can and cannot do. */
#include "rules-support.h"

static void test_absent(void)
{
    static const char *const names[] = {
        "io",     "os",           "debug",  "package",      "require",
        "dofile", "loadfile",     "load",   "print",        "coroutine",
        "rawset", "rawget",       "_G",     "setmetatable", "xpcall",
        "warn",   "getmetatable", "rawlen", "rawequal",     "collectgarbage",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *text = g_strdup_printf("local x = %s", names[i]);
        g_autofree char *why = g_strdup_printf("there is no \"%s\"", names[i]);
        assert_stops(text, why);
    }
    assert_stops("math.random()", "there is no \"random\"");
    assert_stops("local x = string.dump", "there is no \"dump\"");
    assert_stops("local x = (''):dump()", "there is no \"dump\"");
}

static void test_no_addresses(void)
{
    assert_runs("assert(tostring({}) == 'table')\n"
                "assert(tostring(pairs) == 'function')\n"
                "assert(string.format('%s %s', {}, pairs) == 'table function')\n"
                "assert(tostring(Digest{hash='x'}) == 'Digest{hash=\"x\"}')\n"
                "assert(string.format('%s', Digest{hash='x'}) == 'Digest{hash=\"x\"}')\n"
                "assert(string.format('%5.1f %d %q %%', 2.25, 7, 'a') == '  2.2 7 \"a\" %')\n");
    assert_stops("string.format('%-5p', {})", "string.format has no %p here");
    assert_stops("local s = 'a' .. {}", "attempt to concatenate a table value");
}

static void test_sealed(void)
{
    assert_stops("x = 1", "\"x\" cannot be set here; make it local");
    assert_stops("pairs = nil", "\"pairs\" cannot be set here; make it local");
    assert_stops("string.find = nil", "\"find\" cannot be set here; make it local");
    assert_stops("local x = y", "there is no \"y\"");
}

static void test_pairs(void)
{
    assert_runs(
        "local t, seen = { 10, 20, 30, z=1, b=2, a=3, [2.5]=4, [-1]=5, [true]=6 }, {}\n"
        "for k, v in pairs(t) do seen[#seen + 1] = tostring(k) .. '=' .. v end\n"
        "assert(table.concat(seen, ' ') == '-1=5 1=10 2=20 2.5=4 3=30 a=3 b=2 z=1 true=6')\n");
    assert_runs("local t, seen = { a=1, b=2, c=3 }, ''\n"
                "for k in pairs(t) do seen = seen .. k; t.b = nil end\n"
                "assert(seen == 'ac')\n"
                "assert(next(t) == 'a' and next(t, 'a') == 'c' and next(t, 'c') == nil)\n"
                "assert(next({}) == nil)\n");
    assert_stops("for k in pairs({ [{}] = 1 }) do end",
                 "the keys of this table have no order: one is a table");
}

/* The order of many keys, whatever order they came in. */
static void test_pairs_many(void)
{
    assert_runs("local t = {}\n"
                "for i = 1, 5000 do t['k' .. (i * 7919) % 5003] = i end\n"
                "local last = ''\n"
                "for k in pairs(t) do assert(last < k); last = k end\n");
}

static void test_sort(void)
{
    assert_runs("local t = {}\n"
                "for i = 1, 500 do t[i] = (i * 7919) % 503 end\n"
                "table.sort(t)\n"
                "for i = 2, #t do assert(t[i - 1] <= t[i]) end\n"
                "table.sort(t, function(a, b) return a > b end)\n"
                "for i = 2, #t do assert(t[i - 1] >= t[i]) end\n"
                "local s = { {1, 'a'}, {0, 'b'}, {1, 'c'}, {0, 'd'} }\n"
                "table.sort(s, function(a, b) return a[1] < b[1] end)\n"
                "assert(s[1][2] .. s[2][2] .. s[3][2] .. s[4][2] == 'bdac')\n"
                "table.sort({})\n");
    assert_stops("table.sort({ 1, 'a' })", "attempt to compare string with number");
}

static void test_records(void)
{
    assert_runs("local P = record 'P' { 'x', 'y' }\n"
                "local a, b = P { x = 1, y = { 'a', P {} } }, P { y = { 'a', P {} }, x = 1.0 }\n"
                "assert(a == b and a ~= P { x = 2 } and a ~= 1)\n"
                "assert(a.x == 1 and #a.y == 2 and a.y[2].x == nil and a.y[3] == nil)\n"
                "assert(type(a) == 'record' and type(a.y) == 'list')\n"
                "assert(tostring(a) == 'P{x=1, y={\"a\", P{x=nil, y=nil}}}', tostring(a))\n"
                "local seen = ''\n"
                "for k in pairs(a) do seen = seen .. k end\n"
                "for i, v in ipairs(a.y) do seen = seen .. i end\n"
                "for i, v in pairs(a.y) do seen = seen .. i end\n"
                "assert(seen == 'xy1212', seen)\n"
                "assert(table.concat(P { x = { 'p', 'q' } }.x, '-') == 'p-q')\n"
                "assert(P { x = a.y }.x == a.y)\n");
}

static void test_record_errors(void)
{
    assert_stops("local P = record 'P' { 'x', 'y' }; local p = P { z = 1 }",
                 "record P has no field \"z\"; its fields: x, y");
    assert_stops("local P = record 'P' { 'x' }; local p = P { 1 }",
                 "record P has no field for a key of type number; its fields: x");
    assert_stops("local P = record 'P' { 'x' }; P {}.x = 1",
                 "a record cannot be changed; make another");
    assert_stops("local P = record 'P' { 'x' }; P { x = {} }.x[1] = 1",
                 "a list cannot be changed; make another");
    assert_stops("local P = record 'P' { 'x' }; local y = P {}.y",
                 "record P has no field y; its fields: x");
    assert_stops("local P = record 'P' { 'x' }; local p = P { x = 0.5 }",
                 "P.x: a number in a record must be whole");
    assert_stops("local P = record 'P' { 'x' }; local p = P { x = pairs }",
                 "P.x: a function cannot be kept in a record");
    assert_stops("local P = record 'P' { 'x' }; local p = P { x = { a = 1 } }",
                 "P.x: a table here must be a list: keys from 1 on, without gaps");
    assert_stops("local P = record 'P' { 'x' }; local p = P(1)", "P needs a table of fields: P{…}");
    assert_stops("local P = record 'P' { 'x' }; local t = {}; t[1] = t; local p = P { x = t }",
                 "P.x: tables are nested too deep");
    assert_stops(
        "local P = record 'P' { 'x' }; local p = P {}; for i = 1, 1e4 do p = P { x = p } end",
        "a value is nested more than 200 deep");
}

static const char endless[] = "stopped: too many instructions; is there an endless loop?";

static void test_instructions(void)
{
    assert_stops("while true do end", endless);
    assert_stops("while true do pcall(function() while true do end end) end", endless);
    assert_stops("local function f() return f() end f()", endless);
    assert_stops("repeat local t = table.move({}, 1, 1 << 60, 2) until false", endless);
    assert_stops("(''):rep(1 << 60)", endless);
    assert_stops("local s = ('a'):rep(100); s:find(('a-'):rep(20) .. 'b')", endless);
    assert_stops("local s = ('a'):rep(1e4); for i = 1, 1e6 do s:gsub('.', '%0%0') end", endless);
    assert_stops("local t = {}; for i = 1, 1e4 do t[i] = i end "
                 "for i = 1, 1e6 do table.insert(t, 1, i); table.sort(t) end",
                 endless);
    assert_stops("local s = ('a'):rep(1e6); for i = 1, 1e9 do local x = s .. i end", endless);
    assert_stops("for i = 1, 1e9 do local p = CreateDigest { files = { ('a'):rep(1e4) } } end",
                 endless);
}

static void test_memory(void)
{
    static const char full[] = "stopped: too much memory";
    g_autofree char *got = NULL;
    assert_faults(
        FILES("vial.lua", "local t = {}\nfor i = 1, 1e4 do t[i] = ('x'):rep(1e5) .. i end"),
        "vial.lua:0: stopped: too much memory\n");
    assert_faults(FILES("vial.lua", "local t = {}\nfor i = 1, 1e4 do t[i] = "
                                    "Digest { hash = ('x'):rep(1e4) .. i } end"),
                  "vial.lua:0: stopped: too much memory\n");
    struct rules *caught = FILES("vial.lua", "pcall(string.rep, 'x', 9e6)\nlocal x = 1");
    got = support_faults(caught);
    g_assert_nonnull(strstr(got, full));
    rules_free(caught);
    assert_runs("for i = 1, 12 do local t = ('x'):rep(1e6) end");
}

static void test_stack(void)
{
    g_autofree char *got = NULL;
    struct rules *rules = FILES("vial.lua", "local function f() return 1 + f() end f()");
    got = support_faults(rules);
    g_assert_nonnull(strstr(got, "stopped: too much memory"));
    rules_free(rules);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/world/what is not there", test_absent);
    g_test_add_func("/rules/world/no addresses", test_no_addresses);
    g_test_add_func("/rules/world/globals and libraries are sealed", test_sealed);
    g_test_add_func("/rules/world/pairs and next go by order", test_pairs);
    g_test_add_func("/rules/world/pairs of many keys", test_pairs_many);
    g_test_add_func("/rules/world/sort is stable", test_sort);
    g_test_add_func("/rules/world/records and lists", test_records);
    g_test_add_func("/rules/world/what records refuse", test_record_errors);
    g_test_add_func("/rules/world/what takes too long is stopped", test_instructions);
    g_test_add_func("/rules/world/what takes too much memory is stopped", test_memory);
    g_test_add_func("/rules/world/endless recursion", test_stack);
    return g_test_run();
}
