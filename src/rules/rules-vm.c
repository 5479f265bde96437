// SPDX-License-Identifier: Apache-2.0
/*
 * The interpreter: one Lua state whose memory and instructions are counted.
 *
 * Instructions are counted by a hook. Once the budget is gone the hook fires at every instruction,
 * so that whoever catches the error gets no further. Memory counts against the budget as well, so
 * that a loop over a long string is not cheaper than one over its bytes.
 */
#include "rules/rules-internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 1000
#define BYTES_PER_INSTRUCTION 32

struct rules *vm_rules(lua_State *lua)
{
    return *(struct rules **)lua_getextraspace(lua);
}

void lua_enter(struct rules *rules)
{
    rules->lenient++;
}

void lua_leave(struct rules *rules)
{
    rules->lenient--;
}

/*
 * Lua answers a refusal with a full collection, which allocates nothing, and asks for the same
 * again. So a refusal that is not followed by just that was final: the limit counts as reached,
 * whoever caught the error.
 */
static void *allocate(void *user, void *block, size_t old, size_t size)
{
    struct rules *rules = user;
    if (block == NULL)
        old = 0; /* Lua says here what kind of object it is */
    if (size > old) {
        rules->spent |= rules->refused != 0 && rules->refused != size;
        bool over = rules->lenient == 0 && rules->memory + (size - old) > rules->memory_limit;
        rules->spent |= over && rules->refused == size;
        rules->refused = over ? size : 0;
        if (over)
            return NULL;
    }
    if (size == 0) {
        free(block);
        rules->memory -= old;
        return NULL;
    }
    void *made = realloc(block, size);
    if (made == NULL)
        return size <= old ? block : NULL; /* Lua relies on shrinking */
    if (size > old)
        rules->remaining -= (gint64)((size - old) / BYTES_PER_INSTRUCTION);
    rules->memory = rules->memory - old + size;
    return made;
}

static const char *limit_text(const struct rules *rules)
{
    return rules->remaining < 0 ? "stopped: too many instructions; is there an endless loop?"
                                : "stopped: too much memory";
}

static void on_count(lua_State *lua, lua_Debug *where)
{
    struct rules *rules = vm_rules(lua);
    if (!rules->spent)
        rules->remaining -= STEP;
    rules->spent |= rules->remaining < 0;
    if (!rules->spent || rules->lenient > 0)
        return;
    lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
    luaL_error(lua, "%s", limit_text(rules));
}

void vm_charge(lua_State *lua, guint64 instructions)
{
    struct rules *rules = vm_rules(lua);
    bool over = instructions > (guint64)G_MAXINT64 / 2;
    rules->remaining = over ? -1 : rules->remaining - (gint64)instructions;
    if (rules->remaining >= 0 || rules->lenient > 0)
        return;
    rules->spent = true;
    lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
    luaL_error(lua, "%s", limit_text(rules));
}

void vm_charge_memory(lua_State *lua, gint64 bytes)
{
    struct rules *rules = vm_rules(lua);
    rules->memory = (size_t)((gint64)rules->memory + bytes);
    if (bytes <= 0 || rules->lenient > 0 || rules->memory <= rules->memory_limit)
        return;
    lua_gc(lua, LUA_GCCOLLECT);
    if (rules->memory <= rules->memory_limit)
        return;
    rules->spent = true;
    lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
    luaL_error(lua, "%s", limit_text(rules));
}

gint64 vm_budget(const struct rules *rules)
{
    return (gint64)MIN(rules->instructions, (guint64)G_MAXINT64 / 2);
}

void vm_spend(struct rules *rules, lua_State *thread, gint64 instructions)
{
    rules->remaining = instructions;
    rules->spent = instructions < 0;
    rules->refused = 0;
    lua_sethook(thread, on_count, LUA_MASKCOUNT, STEP);
}

bool vm_is_spent(const struct rules *rules)
{
    return rules->spent || rules->refused != 0;
}

struct place vm_place(lua_State *lua, int level)
{
    lua_Debug debug;
    struct place place = { 0 };
    if (!lua_getstack(lua, level, &debug) || !lua_getinfo(lua, "Sl", &debug) ||
        debug.currentline <= 0 || *debug.source != '@')
        return place;
    place.file = g_intern_string(debug.source + 1);
    place.line = (guint)debug.currentline;
    return place;
}

/* Runs where the error was raised. */
static int on_error(lua_State *lua)
{
    struct rules *rules = vm_rules(lua);
    rules->error = (struct place){ 0 };
    lua_Debug debug;
    for (int level = 0; rules->error.file == NULL && lua_getstack(lua, level, &debug); level++)
        rules->error = vm_place(lua, level);
    return 1;
}

/* Without the "file:line: " that Lua puts before it, shortened as only Lua does. */
static const char *skip_place(const struct rules *rules, const char *text)
{
    if (rules->error.file == NULL)
        return text;
    g_autofree char *line = g_strdup_printf(":%u: ", rules->error.line);
    const char *found = strstr(text, line);
    size_t length = found == NULL ? 0 : (size_t)(found - text);
    bool whole = length > 0 && strncmp(text, rules->error.file, length) == 0 &&
                 rules->error.file[length] == '\0';
    bool shortened = length > 3 && strncmp(text, "...", 3) == 0 &&
                     strlen(rules->error.file) >= length - 3 &&
                     strncmp(rules->error.file + strlen(rules->error.file) - (length - 3), text + 3,
                             length - 3) == 0;
    return whole || shortened ? found + strlen(line) : text;
}

char *vm_message(struct rules *rules, lua_State *lua, int status)
{
    char *message;
    if (vm_is_spent(rules))
        message = g_strdup(limit_text(rules));
    else if (status == LUA_ERRMEM)
        message = g_strdup("stopped: too much memory");
    else if (lua_type(lua, -1) == LUA_TSTRING)
        message = g_utf8_make_valid(skip_place(rules, lua_tostring(lua, -1)), -1);
    else
        message = g_strdup_printf("error with a value of type %s", luaL_typename(lua, -1));
    lua_pop(lua, 1);
    return message;
}

char *vm_call(struct rules *rules, lua_State *lua, int arguments, int results)
{
    int handler = lua_absindex(lua, -arguments - 1);
    lua_pushcfunction(lua, on_error);
    lua_insert(lua, handler);
    rules->error = (struct place){ 0 };
    int status = lua_pcall(lua, arguments, results, handler);
    lua_remove(lua, handler);
    if (status == LUA_OK && !vm_is_spent(rules))
        return NULL;
    if (status == LUA_OK) { /* a limit was reached, and the error caught */
        lua_settop(lua, handler - 1);
        lua_pushnil(lua);
    }
    return vm_message(rules, lua, status);
}

int vm_raise(lua_State *lua, char *text)
{
    struct rules *rules = vm_rules(lua);
    lua_enter(rules);
    luaL_where(lua, 1);
    lua_pushstring(lua, text);
    lua_concat(lua, 2);
    lua_leave(rules);
    g_free(text);
    return lua_error(lua);
}

static int fill(lua_State *lua)
{
    lua_newtable(lua);
    box_open(lua);
    library_open(lua);
    declare_open(lua);
    task_open(lua);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, LUA_REGISTRYINDEX, "vial.globals");
    library_seal(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    return 0;
}

bool vm_open(struct rules *rules)
{
    rules->lua = lua_newstate(allocate, rules);
    if (rules->lua == NULL)
        return false;
    *(struct rules **)lua_getextraspace(rules->lua) = rules;
    lua_enter(rules);
    lua_pushcfunction(rules->lua, fill);
    bool opened = lua_pcall(rules->lua, 0, 0, 0) == LUA_OK;
    lua_leave(rules);
    if (opened)
        vm_spend(rules, rules->lua, vm_budget(rules));
    return opened;
}
