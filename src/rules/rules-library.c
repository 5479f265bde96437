// SPDX-License-Identifier: Apache-2.0
/*
 * What Lua code can call: the part of Lua's libraries that is the same on every machine and at
 * every time, and replacements of what would not be. Functions that loop in C pay for it.
 */
#include "rules/rules-internal.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

/* --- text ------------------------------------------------------------------------------------- */

/* Lua's own shows addresses. */
void library_tostring(lua_State *lua, int index)
{
    struct value *boxed = box_value(lua, index);
    if (boxed != NULL) {
        struct rules *rules = vm_rules(lua);
        lua_enter(rules);
        char *text = value_print(boxed, 0);
        lua_pushstring(lua, text);
        g_free(text);
        lua_leave(rules);
        vm_charge(lua, 0);
        return;
    }
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING:
        luaL_tolstring(lua, index, NULL);
        break;
    default:
        lua_pushstring(lua, luaL_typename(lua, index));
    }
}

static int base_tostring(lua_State *lua)
{
    luaL_checkany(lua, 1);
    library_tostring(lua, 1);
    return 1;
}

/* "record" and "list" are types of their own. */
static int base_type(lua_State *lua)
{
    luaL_checkany(lua, 1);
    const struct value *boxed = box_value(lua, 1);
    lua_pushstring(lua, boxed ? value_kind_name(value_kind(boxed)) : luaL_typename(lua, 1));
    return 1;
}

/* The original is upvalue 1. */
static int string_format(lua_State *lua)
{
    const char *format = luaL_checkstring(lua, 1);
    for (const char *at = strchr(format, '%'); at != NULL; at = strchr(at, '%')) {
        at += 1 + strspn(at + 1, "-+ #0123456789.");
        if (*at == 'p')
            return luaL_error(lua, "string.format has no %%p here");
        at += *at != '\0';
    }
    for (int i = 2, count = lua_gettop(lua); i <= count; i++) {
        if (lua_type(lua, i) <= LUA_TSTRING)
            continue;
        library_tostring(lua, i);
        lua_replace(lua, i);
    }
    return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

static int change_case(lua_State *lua, gchar (*change)(gchar))
{
    size_t size;
    const char *text = luaL_checklstring(lua, 1, &size);
    luaL_Buffer buffer;
    char *out = luaL_buffinitsize(lua, &buffer, size);
    for (size_t i = 0; i < size; i++)
        out[i] = change(text[i]);
    luaL_pushresultsize(&buffer, size);
    return 1;
}

/* Of ASCII: Lua's own go by the locale. */
static int string_upper(lua_State *lua)
{
    return change_case(lua, g_ascii_toupper);
}

static int string_lower(lua_State *lua)
{
    return change_case(lua, g_ascii_tolower);
}

static int string_rep(lua_State *lua)
{
    lua_Integer count = luaL_checkinteger(lua, 2);
    vm_charge(lua, count > 0 ? (guint64)count / 8 : 0);
    return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

/* --- order ------------------------------------------------------------------------------------ */

/* A key that has an order: number before string before boolean. */
struct key {
    int type;
    bool whole;
    lua_Integer integer;
    lua_Number number;
    const char *text; /* in Lua's memory */
    size_t size;
    int position; /* in the list of keys */
};

static bool key_read(lua_State *lua, int index, struct key *out)
{
    *out = (struct key){ .type = lua_type(lua, index) };
    switch (out->type) {
    case LUA_TNUMBER:
        out->whole = lua_isinteger(lua, index);
        out->integer = out->whole ? lua_tointeger(lua, index) : 0;
        out->number = lua_tonumber(lua, index);
        return true;
    case LUA_TSTRING:
        out->text = lua_tolstring(lua, index, &out->size);
        return true;
    case LUA_TBOOLEAN:
        out->integer = lua_toboolean(lua, index);
        return true;
    default:
        return false;
    }
}

static int key_compare(const void *first, const void *second)
{
    const struct key *a = first, *b = second;
    if (a->type != b->type) {
        int rank_a = a->type == LUA_TNUMBER ? 0 : a->type == LUA_TSTRING ? 1 : 2;
        int rank_b = b->type == LUA_TNUMBER ? 0 : b->type == LUA_TSTRING ? 1 : 2;
        return rank_a - rank_b;
    }
    if (a->type == LUA_TNUMBER && a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->type == LUA_TNUMBER && a->whole != b->whole)
        return a->whole ? -1 : 1;
    if (a->type != LUA_TSTRING)
        return a->integer < b->integer ? -1 : a->integer > b->integer;
    int order = memcmp(a->text, b->text, MIN(a->size, b->size));
    return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

static int key_error(lua_State *lua, int index)
{
    return luaL_error(lua, "the keys of this table have no order: one is a %s",
                      luaL_typename(lua, index));
}

/* Upvalues: what is walked, the list of its keys, how many were given. */
static int pairs_step(lua_State *lua)
{
    lua_Integer at = lua_tointeger(lua, lua_upvalueindex(3));
    for (;;) {
        at++;
        lua_pushinteger(lua, at);
        lua_replace(lua, lua_upvalueindex(3));
        if (lua_rawgeti(lua, lua_upvalueindex(2), at) == LUA_TNIL)
            return 1;
        lua_pushvalue(lua, -1);
        if (lua_gettable(lua, lua_upvalueindex(1)) != LUA_TNIL)
            return 2;
        lua_pop(lua, 2);
    }
}

/* Push the sorted list of the keys of the table at 1. */
static void push_table_keys(lua_State *lua)
{
    size_t count = 0;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1))
        count++;
    vm_charge(lua, count * 4);
    lua_createtable(lua, (int)count, 0);
    struct key *keys = lua_newuserdatauv(lua, (count + 1) * sizeof *keys, 0);
    size_t used = 0;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
        if (!key_read(lua, -2, &keys[used]))
            key_error(lua, -2);
        keys[used].position = (int)used + 1;
        used++;
        lua_pushvalue(lua, -2);
        lua_rawseti(lua, 2, (lua_Integer)used);
    }
    qsort(keys, count, sizeof *keys, key_compare);
    lua_createtable(lua, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, 2, keys[i].position);
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
}

static void push_value_keys(lua_State *lua, const struct value *value)
{
    gsize count = value_count(value);
    vm_charge(lua, count);
    lua_createtable(lua, (int)count, 0);
    struct value_type *type = value_type_of(value);
    for (gsize i = 0; i < count; i++) {
        if (type != NULL)
            lua_pushstring(lua, value_type_field(type, i));
        else
            lua_pushinteger(lua, (lua_Integer)i + 1);
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
}

/* By number, then by bytes; the fields of a record as declared. */
static int base_pairs(lua_State *lua)
{
    lua_settop(lua, 1);
    const struct value *value = box_value(lua, 1);
    if (value == NULL) {
        luaL_checktype(lua, 1, LUA_TTABLE);
        freeze_see_through(lua, 1);
    }
    if (value != NULL)
        push_value_keys(lua, value);
    else
        push_table_keys(lua);
    lua_pushvalue(lua, 1);
    lua_insert(lua, -2);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, pairs_step, 3);
    return 1;
}

/* The least key above the one given, or the least. */
static int base_next(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    freeze_see_through(lua, 1);
    lua_settop(lua, 2);
    struct key from, best = { 0 }, key;
    bool first = lua_isnil(lua, 2), found = false;
    if (!first && !key_read(lua, 2, &from))
        return key_error(lua, 2);
    lua_pushnil(lua); /* 3: the best key */
    size_t count = 0;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
        count++;
        if (!key_read(lua, -2, &key))
            return key_error(lua, -2);
        if ((!first && key_compare(&key, &from) <= 0) || (found && key_compare(&key, &best) >= 0))
            continue;
        best = key;
        found = true;
        lua_pushvalue(lua, -2);
        lua_replace(lua, 3);
    }
    vm_charge(lua, count);
    if (!found)
        return 1;
    lua_pushvalue(lua, 3);
    lua_rawget(lua, 1);
    return 2;
}

/* Is the value on top less than the one below it? Pops both. */
static bool top_is_less(lua_State *lua)
{
    bool less;
    if (lua_isnil(lua, 2)) {
        less = lua_compare(lua, -1, -2, LUA_OPLT);
        lua_pop(lua, 2);
        return less;
    }
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, -2);
    lua_pushvalue(lua, -4);
    lua_call(lua, 2, 1);
    less = lua_toboolean(lua, -1);
    lua_pop(lua, 3);
    return less;
}

/* Merge [left, middle) and [middle, right) of the list at `from` into the one at `to`. */
static void merge(lua_State *lua, int from, int to, lua_Integer left, lua_Integer middle,
                  lua_Integer right)
{
    lua_Integer a = left, b = middle;
    for (lua_Integer out = left; out < right; out++) {
        bool second = a >= middle;
        if (!second && b < right) {
            lua_rawgeti(lua, from, a);
            lua_rawgeti(lua, from, b);
            second = top_is_less(lua);
        }
        lua_rawgeti(lua, from, second ? b++ : a++);
        lua_rawseti(lua, to, out);
    }
}

/* Stable, and the same every time; Lua's own picks pivots by the clock. */
static int table_sort(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    if (!lua_isnoneornil(lua, 2))
        luaL_checktype(lua, 2, LUA_TFUNCTION);
    lua_settop(lua, 2);
    if (freeze_see_through(lua, 1))
        return luaL_error(lua, "this table is a file's: a rule cannot sort it");
    lua_Integer count = (lua_Integer)lua_rawlen(lua, 1);
    vm_charge(lua, (guint64)count * 4);
    lua_createtable(lua, (int)count, 0);
    int from = 1, to = 3;
    for (lua_Integer width = 1; width < count; width *= 2) {
        vm_charge(lua, (guint64)count);
        for (lua_Integer left = 1; left <= count; left += 2 * width)
            merge(lua, from, to, left, MIN(left + width, count + 1),
                  MIN(left + 2 * width, count + 1));
        from = to;
        to = 4 - from;
    }
    for (lua_Integer i = 1; from == 3 && i <= count; i++) {
        lua_rawgeti(lua, 3, i);
        lua_rawseti(lua, 1, i);
    }
    return 0;
}

/* --- what remains of Lua's own ---------------------------------------------------------------- */

/* Pays for the length of its first argument, then is the original, upvalue 1. */
static int paid(lua_State *lua)
{
    vm_charge(lua, lua_rawlen(lua, 1) / 8);
    return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

/* As many steps as it is told to, even of a table that has nothing there. */
static int table_move(lua_State *lua)
{
    lua_Integer first = luaL_checkinteger(lua, 2), last = luaL_checkinteger(lua, 3);
    if (last >= first)
        vm_charge(lua, (guint64)last - (guint64)first);
    return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

/* A function of Lua's library, and how it is wrapped, if it is. */
struct kept {
    const char *name;
    lua_CFunction wrapper;
};

/* From the library on top of the stack into the table below it; pops the library. */
static void keep(lua_State *lua, const struct kept *kept)
{
    for (; kept->name != NULL; kept++) {
        lua_getfield(lua, -1, kept->name);
        if (kept->wrapper != NULL)
            lua_pushcclosure(lua, kept->wrapper, 1);
        lua_setfield(lua, -3, kept->name);
    }
    lua_pop(lua, 1);
}

static const struct kept base_kept[] = {
    { "assert", NULL }, { "error", NULL },    { "ipairs", NULL }, { "pcall", NULL },
    { "select", NULL }, { "tonumber", NULL }, { NULL, NULL },
};
static const struct kept string_kept[] = {
    { "byte", NULL }, { "char", NULL },      { "format", string_format },
    { "len", NULL },  { "rep", string_rep }, { "reverse", NULL },
    { "sub", NULL },  { NULL, NULL },
};
static const struct kept table_kept[] = {
    { "concat", paid },     { "insert", paid }, { "pack", NULL }, { "remove", paid },
    { "move", table_move }, { "unpack", paid }, { NULL, NULL },
};
static const struct kept math_kept[] = {
    { "abs", NULL },  { "ceil", NULL },       { "floor", NULL },      { "fmod", NULL },
    { "huge", NULL }, { "maxinteger", NULL }, { "mininteger", NULL }, { "max", NULL },
    { "min", NULL },  { "modf", NULL },       { "sqrt", NULL },       { "tointeger", NULL },
    { "type", NULL }, { "ult", NULL },        { NULL, NULL },
};
static const struct kept utf8_kept[] = {
    { "char", NULL }, { "charpattern", NULL }, { "codepoint", paid }, { "codes", paid },
    { "len", paid },  { "offset", paid },      { NULL, NULL },
};
static const luaL_Reg base_own[] = {
    { "next", base_next }, { "pairs", base_pairs }, { "tostring", base_tostring },
    { "type", base_type }, { NULL, NULL },
};
static const luaL_Reg string_own[] = { { "lower", string_lower },
                                       { "upper", string_upper },
                                       { NULL, NULL } };
static const luaL_Reg table_own[] = { { "sort", table_sort }, { NULL, NULL } };

static int refuse_change(lua_State *lua)
{
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return luaL_error(lua, "\"%s\" cannot be set here; make it local", name);
}

static int refuse_unknown(lua_State *lua)
{
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return luaL_error(lua, "there is no \"%s\"", name);
}

void library_seal(lua_State *lua)
{
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, refuse_unknown);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_newtable(lua);
    lua_createtable(lua, 0, 2);
    lua_rotate(lua, -3, -1); /* seal, metatable, what is sealed */
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_change);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
}

static void open_one(lua_State *lua, const char *name, lua_CFunction open, const struct kept *kept,
                     const luaL_Reg *own, const luaL_Reg *more)
{
    lua_newtable(lua);
    lua_pushcfunction(lua, open);
    lua_call(lua, 0, 1);
    keep(lua, kept);
    if (own != NULL)
        luaL_setfuncs(lua, own, 0);
    if (more != NULL)
        luaL_setfuncs(lua, more, 0);
    library_seal(lua);
    lua_setfield(lua, -2, name);
}

void library_open(lua_State *lua)
{
    lua_pushcfunction(lua, luaopen_base);
    lua_call(lua, 0, 1);
    keep(lua, base_kept);
    luaL_setfuncs(lua, base_own, 0);
    open_one(lua, "string", luaopen_string, string_kept, string_own, pattern_functions);
    open_one(lua, "table", luaopen_table, table_kept, table_own, NULL);
    open_one(lua, "math", luaopen_math, math_kept, NULL, NULL);
    open_one(lua, "utf8", luaopen_utf8, utf8_kept, NULL, NULL);
    lua_pushliteral(lua, ""); /* methods of strings: ours */
    lua_getmetatable(lua, -1);
    lua_getfield(lua, -3, "string");
    lua_setfield(lua, -2, "__index");
    lua_pop(lua, 2);
}
