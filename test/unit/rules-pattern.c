// SPDX-License-Identifier: Apache-2.0
/* Patterns go as Lua's own do: random ones are given to both. */
#include "rules-support.h"
#include "rules/rules-internal.h"

#include <lualib.h>

#define ROUNDS 40000

static const char *const pieces[] = {
    "a",    "b",     "c",    ".",    "%a", "%d",   "%W",   "%s",    "[ab]",   "[^a]", "[a-c]",
    "[]a]", "[%a-]", "[a-]", "[^]]", "%.", "*",    "+",    "-",     "?",      "*",    "-",
    "(",    ")",     "()",   "%1",   "%2", "%b()", "%bab", "%f[a]", "%f[%A]", "^",    "$",
    "%",    "[",     "]",    "%f",   "%b", "[^",   "x",    "%0",    "\xe4",
};
static const char *const subjects[] = { "a", "b", "c", "ab", " ", "1",    "(", ")",
                                        "]", "-", ".", "aa", "x", "\xe4", "" };
static const char *const replacements[] = { "", "x", "%0", "<%1>", "%2", "%%", "%", "%x", "%0%0" };

static char *some_of(GRand *rand, const char *const *from, gsize count, gint32 most)
{
    GString *out = g_string_new(NULL);
    for (gint32 i = g_rand_int_range(rand, 0, most + 1); i > 0; i--)
        g_string_append(out, from[g_rand_int_range(rand, 0, (gint32)count)]);
    return g_string_free(out, FALSE);
}

/* Results as one text; of errors, just that there was one. NULL: given up, no comparison. */
static char *outcome(lua_State *lua, lua_CFunction function, const char *subject,
                     const char *pattern, const char *replacement, int start)
{
    lua_settop(lua, 0);
    lua_pushcfunction(lua, function);
    lua_pushstring(lua, subject);
    lua_pushstring(lua, pattern);
    if (replacement != NULL)
        lua_pushstring(lua, replacement);
    else
        lua_pushinteger(lua, start);
    if (lua_pcall(lua, 3, LUA_MULTRET, 0) != LUA_OK)
        return strstr(lua_tostring(lua, -1), "too complex") ? NULL : g_strdup("error");
    GString *out = g_string_new(NULL);
    for (int i = 1, count = lua_gettop(lua); i <= count; i++)
        g_string_append_printf(out, "%s:%s ", luaL_typename(lua, i),
                               lua_isnil(lua, i) ? "" : lua_tostring(lua, i));
    return g_string_free(out, FALSE);
}

/* All matches of gmatch, through both. */
static char *outcomes(lua_State *lua, lua_CFunction function, const char *subject,
                      const char *pattern)
{
    lua_settop(lua, 0);
    lua_pushcfunction(lua, function);
    lua_pushstring(lua, subject);
    lua_pushstring(lua, pattern);
    lua_call(lua, 2, 1);
    GString *out = g_string_new(NULL);
    for (;;) {
        lua_settop(lua, 1);
        lua_pushvalue(lua, 1);
        if (lua_pcall(lua, 0, LUA_MULTRET, 0) != LUA_OK) {
            g_string_append(out, "error");
            break;
        }
        if (lua_gettop(lua) == 1)
            break;
        for (int i = 2, count = lua_gettop(lua); i <= count; i++)
            g_string_append_printf(out, "%s:%s ", luaL_typename(lua, i), lua_tostring(lua, i));
    }
    return g_string_free(out, FALSE);
}

static lua_CFunction theirs(lua_State *lua, const char *name)
{
    lua_settop(lua, 0);
    lua_getglobal(lua, "string");
    lua_getfield(lua, -1, name);
    return lua_tocfunction(lua, -1);
}

static void test_random(void)
{
    g_autoptr(rules) rules = FILES("vial.lua", "");
    lua_State *lua = luaL_newstate();
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    luaL_openlibs(lua);
    gsize compared = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const luaL_Reg *ours = &pattern_functions[i % 4];
        g_autofree char *pattern = some_of(rand, pieces, G_N_ELEMENTS(pieces), 6);
        g_autofree char *subject = some_of(rand, subjects, G_N_ELEMENTS(subjects), 8);
        const char *replacement =
            replacements[g_rand_int_range(rand, 0, G_N_ELEMENTS(replacements))];
        int start = g_rand_int_range(rand, -9, 10);
        bool each = strcmp(ours->name, "gmatch") == 0, sub = strcmp(ours->name, "gsub") == 0;
        lua_CFunction own = theirs(lua, ours->name);
        vm_spend(rules, rules->lua, vm_budget(rules));
        g_autofree char *a = each ? outcomes(rules->lua, ours->func, subject, pattern)
                                  : outcome(rules->lua, ours->func, subject, pattern,
                                            sub ? replacement : NULL, start);
        g_autofree char *b =
            each ? outcomes(lua, own, subject, pattern)
                 : outcome(lua, own, subject, pattern, sub ? replacement : NULL, start);
        if (a != NULL && b != NULL && strcmp(a, b) != 0)
            g_error("%s('%s', '%s', '%s', %d): %s, not %s", ours->name, subject, pattern,
                    replacement, start, a, b);
        compared += a != NULL && b != NULL && strcmp(a, "error") != 0;
    }
    g_assert_cmpuint(compared, >, ROUNDS / 3);
    lua_settop(rules->lua, 0);
    lua_close(lua);
    g_rand_free(rand);
}

static void test_functions(void)
{
    assert_runs("assert(('abc'):find('b', 1, true) == 2 and ('a.c'):find('.', 2, true) == 2)\n"
                "assert(('abc'):find('') == 1 and ('abc'):find('', 9) == nil)\n"
                "assert(('hello'):gsub('l', { l = 'L' }) == 'heLLo')\n"
                "assert(('hello'):gsub('(l)(.)', function(a, b) return b .. a end) == 'hello')\n"
                "assert(('abc'):gsub('%w', '%0%0', 2) == 'aabbc')\n"
                "assert(('hello'):gsub('l', function() end) == 'hello')\n"
                "local n = 0; for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do n = n + v end\n"
                "assert(n == 3)\n"
                "assert(('key = value'):match('^(%w+)%s*=%s*(%w+)$') == 'key')\n"
                "assert(('\\0a\\0'):find('%z') == nil and ('a\\0b'):match('\\0b') == '\\0b')\n"
                "assert(('STRASSE'):lower() == 'strasse' and ('\\xe4'):upper() == '\\xe4')\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/pattern/random ones go as in Lua", test_random);
    g_test_add_func("/rules/pattern/functions that take patterns", test_functions);
    return g_test_run();
}
