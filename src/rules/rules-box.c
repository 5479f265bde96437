// SPDX-License-Identifier: Apache-2.0
/*
 * Values in Lua: nil, booleans, integers and strings are Lua's own, records and lists are userdata
 * that hold a reference. Tables become lists, or records where a constructor is called.
 */
#include "rules/rules-internal.h"

#include <string.h>

#define RECORD "record"
#define LIST "list"

struct box {
    struct value *value;
    gint64 charged; /* bytes that Lua's allocator does not know of */
};

struct value *box_value(lua_State *lua, int index)
{
    struct box *box = luaL_testudata(lua, index, RECORD);
    if (box == NULL)
        box = luaL_testudata(lua, index, LIST);
    return box == NULL ? NULL : box->value;
}

static void box_make(lua_State *lua, struct value *value, gint64 charged)
{
    struct box *box = lua_newuserdatauv(lua, sizeof *box, 0);
    *box = (struct box){ value_ref(value), 0 };
    luaL_setmetatable(lua, value_kind(value) == VALUE_LIST ? LIST : RECORD);
    box->charged = charged;
    vm_charge_memory(lua, charged);
}

void box_push(lua_State *lua, struct value *value)
{
    gsize size;
    switch (value_kind(value)) {
    case VALUE_NIL:
        lua_pushnil(lua);
        break;
    case VALUE_BOOLEAN:
        lua_pushboolean(lua, value_truth(value));
        break;
    case VALUE_INTEGER:
        lua_pushinteger(lua, value_number(value));
        break;
    case VALUE_STRING: {
        const char *bytes = value_bytes(value, &size);
        lua_pushlstring(lua, bytes, size);
        break;
    }
    default:
        box_make(lua, value, 0);
    }
}

/* --- from Lua --------------------------------------------------------------------------------- */

static struct value *take_error(char **problem, GError *error)
{
    *problem = g_strdup(error->message);
    g_error_free(error);
    return NULL;
}

/* The length of a table that has keys 1 to n and no others, or -1. */
static gint64 sequence_length(lua_State *lua, int index)
{
    gint64 count = 0, length = (gint64)lua_rawlen(lua, index);
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        if (!lua_isinteger(lua, -2) || lua_tointeger(lua, -2) < 1 ||
            lua_tointeger(lua, -2) > length) {
            lua_pop(lua, 2);
            return -1;
        }
        count++;
    }
    return count == length ? length : -1;
}

/* Of the table on top of the stack, whose content that is. */
static struct value *take_items(lua_State *lua, char **problem)
{
    int index = lua_gettop(lua);
    gint64 count = sequence_length(lua, index);
    if (count < 0) {
        *problem = g_strdup("a table here must be a list: keys from 1 on, without gaps");
        return NULL;
    }
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (gint64 i = 1; i <= count; i++) {
        lua_rawgeti(lua, index, i);
        struct value *item = box_take(lua, index + 1, problem);
        lua_settop(lua, index);
        if (item == NULL)
            return NULL;
        g_ptr_array_add(items, item);
    }
    GError *error = NULL;
    struct value *list = value_list((struct value *const *)items->pdata, items->len, &error);
    return list != NULL ? list : take_error(problem, error);
}

static struct value *take_list(lua_State *lua, int index, char **problem)
{
    lua_pushvalue(lua, index);
    freeze_see_through(lua, -1);
    struct value *list = take_items(lua, problem);
    lua_pop(lua, 1);
    return list;
}

struct value *box_take(lua_State *lua, int index, char **problem)
{
    size_t size;
    int whole;
    lua_Integer number;
    const char *bytes;
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        return value_nil();
    case LUA_TBOOLEAN:
        return value_boolean(lua_toboolean(lua, index));
    case LUA_TSTRING:
        bytes = lua_tolstring(lua, index, &size);
        return value_string(bytes, size);
    case LUA_TNUMBER:
        number = lua_tointegerx(lua, index, &whole);
        if (whole)
            return value_integer(number);
        *problem = g_strdup("a number in a record must be whole");
        return NULL;
    case LUA_TTABLE:
        if (lua_gettop(lua) < VALUE_DEPTH_LIMIT * 8 && lua_checkstack(lua, 8))
            return take_list(lua, index, problem);
        *problem = g_strdup("tables are nested too deep");
        return NULL;
    case LUA_TUSERDATA:
        return value_ref(box_value(lua, index));
    default:
        *problem = g_strdup_printf("a %s cannot be kept in a record", luaL_typename(lua, index));
        return NULL;
    }
}

/* --- constructors ----------------------------------------------------------------------------- */

static char *field_list(const struct value_type *type)
{
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < value_type_count(type); i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", value_type_field(type, i));
    if (out->len == 0)
        g_string_append(out, "none");
    return g_string_free(out, FALSE);
}

/* NULL if all keys of the table at 1 are fields of the type; else the first that is not. */
static char *unknown_field(lua_State *lua, const struct value_type *type)
{
    g_autofree char *worst = NULL;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
        bool text = lua_type(lua, -2) == LUA_TSTRING;
        if (text && value_type_find(type, lua_tostring(lua, -2)) >= 0)
            continue;
        char *name = text ? g_strdup_printf("\"%s\"", lua_tostring(lua, -2))
                          : g_strdup_printf("for a key of type %s", luaL_typename(lua, -2));
        if (worst == NULL || strcmp(name, worst) < 0) {
            g_free(worst);
            worst = name;
        } else {
            g_free(name);
        }
    }
    if (worst == NULL)
        return NULL;
    g_autofree char *fields = field_list(type);
    return g_strdup_printf("record %s has no field %s; its fields: %s", value_type_name(type),
                           worst, fields);
}

static struct value *construct(lua_State *lua, struct value_type *type, char **problem)
{
    if (lua_type(lua, 1) != LUA_TTABLE) {
        *problem = g_strdup_printf("%s needs a table of fields: %s{…}", value_type_name(type),
                                   value_type_name(type));
        return NULL;
    }
    freeze_see_through(lua, 1);
    if ((*problem = unknown_field(lua, type)) != NULL)
        return NULL;
    g_autoptr(GPtrArray) fields = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (gsize i = 0; i < value_type_count(type); i++) {
        lua_pushstring(lua, value_type_field(type, i));
        lua_rawget(lua, 1);
        g_autofree char *why = NULL;
        struct value *field = box_take(lua, lua_gettop(lua), &why);
        lua_pop(lua, 1);
        if (field == NULL) {
            *problem =
                g_strdup_printf("%s.%s: %s", value_type_name(type), value_type_field(type, i), why);
            return NULL;
        }
        g_ptr_array_add(fields, field);
    }
    GError *error = NULL;
    struct value *record = value_record(type, (struct value *const *)fields->pdata, &error);
    return record != NULL ? record : take_error(problem, error);
}

/* What a new record takes of itself: shallow, since records in it were charged when made. */
static gint64 shallow_size(const struct value *value)
{
    gint64 size = 64;
    for (gsize i = 0; i < value_count(value); i++) {
        const struct value *item = value_at(value, i);
        gsize bytes = 0;
        value_bytes(item, &bytes);
        size += 64 + (gint64)bytes;
        if (value_kind(item) == VALUE_LIST)
            size += shallow_size(item);
    }
    return size;
}

static int constructor(lua_State *lua)
{
    struct rules *rules = vm_rules(lua);
    struct value_type *type = lua_touserdata(lua, lua_upvalueindex(1));
    char *problem = NULL;
    lua_enter(rules);
    lua_settop(lua, 1);
    struct value *record = construct(lua, type, &problem);
    gint64 size = 0;
    if (record != NULL) {
        size = shallow_size(record);
        box_make(lua, record, size);
        value_unref(record);
    }
    lua_leave(rules);
    if (record == NULL)
        return vm_raise(lua, problem);
    vm_charge(lua, (guint64)size / 32);
    vm_charge_memory(lua, 0);
    return 1;
}

void box_push_constructor(lua_State *lua, struct value_type *type)
{
    lua_pushlightuserdata(lua, type);
    lua_pushcclosure(lua, constructor, 1);
}

/* --- metamethods ------------------------------------------------------------------------------ */

static int box_gc(lua_State *lua)
{
    struct box *box = lua_touserdata(lua, 1);
    vm_rules(lua)->memory -= (size_t)box->charged;
    g_clear_pointer(&box->value, value_unref);
    return 0;
}

static int box_equal(lua_State *lua)
{
    const struct value *a = box_value(lua, 1), *b = box_value(lua, 2);
    lua_pushboolean(lua, a != NULL && b != NULL && value_equal(a, b));
    return 1;
}

static int box_text(lua_State *lua)
{
    library_tostring(lua, 1);
    return 1;
}

static int box_change(lua_State *lua)
{
    return luaL_error(lua, "a %s cannot be changed; make another",
                      value_kind_name(value_kind(box_value(lua, 1))));
}

/* For a key at 2. */
static char *no_field(lua_State *lua, const struct value_type *type)
{
    g_autofree char *fields = field_list(type);
    const char *key = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "of this kind";
    return g_strdup_printf("record %s has no field %s; its fields: %s", value_type_name(type), key,
                           fields);
}

static int record_index(lua_State *lua)
{
    const struct value *value = box_value(lua, 1);
    struct value_type *type = value_type_of(value);
    gssize at = lua_type(lua, 2) == LUA_TSTRING ? value_type_find(type, lua_tostring(lua, 2)) : -1;
    if (at >= 0) {
        box_push(lua, value_at(value, (gsize)at));
        return 1;
    }
    return vm_raise(lua, no_field(lua, type));
}

static int list_index(lua_State *lua)
{
    const struct value *value = box_value(lua, 1);
    if (lua_type(lua, 2) != LUA_TNUMBER)
        return luaL_error(lua, "a list has no field %s", luaL_tolstring(lua, 2, NULL));
    lua_Integer at = lua_tointeger(lua, 2);
    if (at >= 1 && (guint64)at <= value_count(value))
        box_push(lua, value_at(value, (gsize)at - 1));
    else
        lua_pushnil(lua);
    return 1;
}

static int list_length(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)value_count(box_value(lua, 1)));
    return 1;
}

void box_open(lua_State *lua)
{
    static const luaL_Reg records[] = {
        { "__gc", box_gc },           { "__eq", box_equal },       { "__tostring", box_text },
        { "__newindex", box_change }, { "__index", record_index }, { NULL, NULL },
    };
    static const luaL_Reg lists[] = {
        { "__gc", box_gc },
        { "__eq", box_equal },
        { "__tostring", box_text },
        { "__newindex", box_change },
        { "__index", list_index },
        { "__len", list_length },
        { NULL, NULL },
    };
    luaL_newmetatable(lua, RECORD);
    luaL_setfuncs(lua, records, 0);
    luaL_newmetatable(lua, LIST);
    luaL_setfuncs(lua, lists, 0);
    lua_pop(lua, 2);
}
