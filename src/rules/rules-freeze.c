// SPDX-License-Identifier: Apache-2.0
/*
 * What a rule could leave behind for the next one: locals of its file, and tables in them. Before a
 * rule runs for the first time, all tables that it can reach become read-only; after each run its
 * file's locals are compared with what they were.
 *
 * A read-only table is empty, so that every access goes to its metatable, which leads to another
 * one with the content.
 */
#include "rules/rules-internal.h"

static const char content_key; /* its address: metatable -> table with the content */

/* Push the table with the content of the one at `index`, which may be that one. */
static void push_content(lua_State *lua, int index)
{
    lua_pushvalue(lua, index);
    if (!lua_getmetatable(lua, index))
        return;
    if (lua_rawgetp(lua, -1, &content_key) == LUA_TTABLE)
        lua_replace(lua, -3);
    else
        lua_pop(lua, 1);
    lua_pop(lua, 1);
}

bool freeze_see_through(lua_State *lua, int index)
{
    index = lua_absindex(lua, index);
    push_content(lua, index);
    bool frozen = !lua_rawequal(lua, -1, index);
    lua_replace(lua, index);
    return frozen;
}

static int refuse_change(lua_State *lua)
{
    return luaL_error(lua, "this table is a file's: a rule cannot change it");
}

static int content_length(lua_State *lua)
{
    push_content(lua, 1);
    lua_pushinteger(lua, (lua_Integer)lua_rawlen(lua, -1));
    return 1;
}

/* Make the table at `index`, which has no metatable, read-only; push the one with its content. */
static void freeze(lua_State *lua, int index)
{
    lua_newtable(lua);
    int content = lua_gettop(lua);
    for (lua_pushnil(lua); lua_next(lua, index) != 0;) {
        lua_pushvalue(lua, -2);
        lua_insert(lua, -2);
        lua_rawset(lua, content);
    }
    for (lua_pushnil(lua); lua_next(lua, index) != 0;) {
        lua_pop(lua, 1);
        lua_pushvalue(lua, -1);
        lua_pushnil(lua);
        lua_rawset(lua, index); /* clearing a field while walking is allowed */
    }
    lua_createtable(lua, 0, 4);
    lua_pushvalue(lua, content);
    lua_rawsetp(lua, -2, &content_key);
    lua_pushvalue(lua, content);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_change);
    lua_setfield(lua, -2, "__newindex");
    lua_pushcfunction(lua, content_length);
    lua_setfield(lua, -2, "__len");
    lua_setmetatable(lua, index);
}

/* --- the walk --------------------------------------------------------------------------------- */

struct walk {
    lua_State *lua;
    int queue, seen, locals; /* stack: lists of objects and of { function, number, value } */
    lua_Integer queued, local_count;
};

/* Pops the value on top, which is walked later if it leads anywhere. */
static void enqueue(struct walk *walk)
{
    lua_State *lua = walk->lua;
    if (!lua_istable(lua, -1) && !lua_isfunction(lua, -1)) {
        lua_pop(lua, 1);
        return;
    }
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, walk->seen) == LUA_TNIL) {
        lua_pushvalue(lua, -2);
        lua_pushboolean(lua, 1);
        lua_rawset(lua, walk->seen);
        lua_pushvalue(lua, -2);
        lua_rawseti(lua, walk->queue, ++walk->queued);
    }
    lua_pop(lua, 2);
}

/* The function on top of the stack: its upvalues are noted, once each. */
static void walk_function(struct walk *walk)
{
    lua_State *lua = walk->lua;
    int function = lua_gettop(lua);
    for (int n = 1; !lua_iscfunction(lua, function) && lua_getupvalue(lua, function, n); n++) {
        if (lua_rawgetp(lua, walk->seen, lua_upvalueid(lua, function, n)) == LUA_TNIL) {
            lua_pushboolean(lua, 1);
            lua_rawsetp(lua, walk->seen, lua_upvalueid(lua, function, n));
            lua_createtable(lua, 3, 0);
            lua_pushvalue(lua, function);
            lua_rawseti(lua, -2, 1);
            lua_pushinteger(lua, n);
            lua_rawseti(lua, -2, 2);
            lua_pushvalue(lua, function + 1);
            lua_rawseti(lua, -2, 3);
            lua_rawseti(lua, walk->locals, ++walk->local_count);
        }
        lua_settop(lua, function + 1);
        enqueue(walk);
    }
}

/* The table on top of the stack: read-only from now on. Those with another metatable are ours. */
static void walk_table(struct walk *walk)
{
    lua_State *lua = walk->lua;
    int table = lua_gettop(lua);
    if (lua_getmetatable(lua, table)) {
        lua_pop(lua, 1);
        push_content(lua, table);
        if (lua_rawequal(lua, -1, table))
            return;
    } else {
        freeze(lua, table);
    }
    int content = lua_gettop(lua);
    for (lua_pushnil(lua); lua_next(lua, content) != 0;) {
        enqueue(walk);
        lua_pushvalue(lua, -1);
        enqueue(walk);
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

void freeze_rule(struct declared_rule *rule)
{
    lua_State *lua = rule->rules->lua;
    if (rule->locals != LUA_NOREF)
        return;
    int base = lua_gettop(lua);
    luaL_checkstack(lua, 24, NULL);
    struct walk walk = { .lua = lua, .queue = base + 1, .seen = base + 2, .locals = base + 3 };
    lua_newtable(lua);
    lua_newtable(lua);
    lua_newtable(lua);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, rule->run);
    enqueue(&walk);
    for (lua_Integer i = 1; i <= walk.queued; i++) {
        lua_rawgeti(lua, walk.queue, i);
        if (lua_istable(lua, -1))
            walk_table(&walk);
        else
            walk_function(&walk);
        lua_settop(lua, base + 3);
    }
    rule->locals = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_settop(lua, base);
}

char *freeze_changed(const struct declared_rule *rule)
{
    lua_State *lua = rule->rules->lua;
    int base = lua_gettop(lua);
    char *changed = NULL;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, rule->locals);
    lua_Integer count = (lua_Integer)lua_rawlen(lua, base + 1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(lua, base + 1, i);
        lua_rawgeti(lua, base + 2, 1);
        lua_rawgeti(lua, base + 2, 2);
        lua_rawgeti(lua, base + 2, 3);
        int number = (int)lua_tointeger(lua, base + 4);
        const char *name = lua_getupvalue(lua, base + 3, number);
        if (name != NULL && !lua_rawequal(lua, -1, base + 5)) {
            g_free(changed);
            changed = g_strdup(name);
            lua_pushvalue(lua, base + 5);
            lua_setupvalue(lua, base + 3, number);
        }
        lua_settop(lua, base + 1);
    }
    lua_settop(lua, base);
    return changed;
}
