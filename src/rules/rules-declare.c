// SPDX-License-Identifier: Apache-2.0
/*
 * record, rule and query: what a file declares. A bad declaration is a fault with its line, and the
 * file goes on.
 */
#include "rules/rules-internal.h"

#include <string.h>

void rules_fault(struct rules *rules, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    graph_input_fault(rules->input, place.file, place.line, message);
}

void record_free(gpointer data)
{
    struct record *record = data;
    value_type_unref(record->type);
    g_free(record);
}

static void get_clear(gpointer data)
{
    struct declared_get *get = data;
    g_free(get->output);
    g_strfreev(get->inputs);
}

void declared_rule_free(gpointer data)
{
    struct declared_rule *rule = data;
    g_free(rule->name);
    g_free(rule->output);
    g_strfreev(rule->params);
    g_array_unref(rule->gets);
    g_free(rule);
}

/* Types are written in queries, `T(A, B)`, so these characters are not part of a name. */
bool name_is_type(const char *name)
{
    if (*name == '\0' || !g_utf8_validate(name, -1, NULL))
        return false;
    for (; *name != '\0'; name++)
        if ((guchar)*name <= ' ' || *name == 0x7f || strchr("(),{}\"", *name) != NULL)
            return false;
    return true;
}

static bool name_is_identifier(const char *name)
{
    static const char *const reserved[] = {
        "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
        "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
        "repeat",   "return", "then", "true", "until",  "while",
    };
    if (!g_ascii_isalpha(*name) && *name != '_')
        return false;
    for (const char *at = name; *at != '\0'; at++)
        if (!g_ascii_isalnum(*at) && *at != '_')
            return false;
    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return false;
    return true;
}

/* --- reading tables; between lua_enter() and lua_leave() ---------------------------------------
 */

/* The text at the index, or NULL: of another type, or with a NUL in it. */
static const char *plain_text(lua_State *lua, int index)
{
    size_t size;
    if (lua_type(lua, index) != LUA_TSTRING)
        return NULL;
    const char *text = lua_tolstring(lua, index, &size);
    return strlen(text) == size ? text : NULL;
}

/* Texts of the list at the index; NULL and *problem if it is none. A missing list is empty. */
static char **text_list(lua_State *lua, int index, const char *what, bool types, char **problem)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    index = lua_absindex(lua, index);
    if (!lua_isnoneornil(lua, index) && !lua_istable(lua, index)) {
        *problem = g_strdup_printf("%s must be a list of names, not a %s", what,
                                   luaL_typename(lua, index));
        return NULL;
    }
    lua_Integer count = lua_istable(lua, index) ? (lua_Integer)lua_rawlen(lua, index) : 0;
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(lua, index, i);
        const char *text = plain_text(lua, -1);
        if (text == NULL || (types && !name_is_type(text)))
            *problem = g_strdup_printf("%s must be a list of names; item %d is none", what, (int)i);
        else
            g_ptr_array_add(texts, g_strdup(text));
        lua_pop(lua, 1);
        if (*problem != NULL)
            return NULL;
    }
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&texts), FALSE);
}

/* Push field `name` of the table at 1. */
static int push_field(lua_State *lua, const char *name)
{
    lua_pushstring(lua, name);
    return lua_rawget(lua, 1);
}

/* The first key of the table at 1 that is none of `known`; NULL if there is none. */
static char *unknown_key(lua_State *lua, const char *const *known)
{
    g_autofree char *worst = NULL;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
        const char *key = plain_text(lua, -2);
        if (key != NULL && g_strv_contains(known, key))
            continue;
        key = key != NULL ? key : luaL_typename(lua, -2);
        if (worst != NULL && strcmp(key, worst) >= 0)
            continue;
        g_free(worst);
        worst = g_strdup(key);
    }
    g_autofree char *names = g_strjoinv(", ", (char **)known);
    return worst == NULL
               ? NULL
               : g_strdup_printf("has \"%s\", which means nothing here (known: %s)", worst, names);
}

static char *read_output(lua_State *lua, char **output)
{
    push_field(lua, "output");
    const char *text = plain_text(lua, -1);
    bool good = text != NULL && name_is_type(text);
    if (good)
        *output = g_strdup(text);
    lua_pop(lua, 1);
    return good ? NULL : g_strdup("must name a type: output = \"Type\"");
}

static char *read_params(lua_State *lua, char ***params)
{
    char *problem = NULL;
    push_field(lua, "params");
    *params = text_list(lua, -1, "params", true, &problem);
    lua_pop(lua, 1);
    return problem;
}

/* { "Out" }, { "Out", "In" } or { "Out", { "A", "B" } }, on top of the stack. */
static char *read_get(lua_State *lua, struct declared_get *get)
{
    static const char *const shape = "a get must be { \"Out\" }, { \"Out\", \"In\" } or "
                                     "{ \"Out\", { \"A\", \"B\" } }";
    int at = lua_gettop(lua);
    char *problem = NULL;
    if (!lua_istable(lua, at) || lua_rawlen(lua, at) > 2)
        return g_strdup(shape);
    lua_rawgeti(lua, at, 1);
    const char *output = plain_text(lua, -1);
    if (output == NULL || !name_is_type(output))
        return g_strdup(shape);
    get->output = g_strdup(output);
    if (lua_rawgeti(lua, at, 2) == LUA_TSTRING) {
        const char *input = plain_text(lua, -1);
        if (input == NULL || !name_is_type(input))
            return g_strdup(shape);
        get->inputs = g_new0(char *, 2);
        get->inputs[0] = g_strdup(input);
    } else {
        get->inputs = text_list(lua, -1, "the inputs of a get", true, &problem);
    }
    return problem;
}

static char *read_gets(lua_State *lua, GArray *gets)
{
    int type = push_field(lua, "gets"), top = lua_gettop(lua);
    char *problem = NULL;
    if (type != LUA_TNIL && type != LUA_TTABLE)
        problem = g_strdup("gets must be a list of gets");
    lua_Integer count = type == LUA_TTABLE ? (lua_Integer)lua_rawlen(lua, top) : 0;
    for (lua_Integer i = 1; i <= count && problem == NULL; i++) {
        struct declared_get get = { 0 };
        lua_rawgeti(lua, top, i);
        problem = read_get(lua, &get);
        g_array_append_val(gets, get);
        lua_settop(lua, top);
    }
    lua_settop(lua, top - 1);
    return problem;
}

/* `cacheable` and `run`. */
static char *read_manner(struct rules *rules, lua_State *lua, struct declared_rule *rule)
{
    int type = push_field(lua, "cacheable");
    rule->uncacheable = type == LUA_TBOOLEAN && !lua_toboolean(lua, -1);
    lua_pop(lua, 1);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        return g_strdup("cacheable must be true or false");
    type = push_field(lua, "run");
    if (type == LUA_TFUNCTION) {
        rule->run = luaL_ref(lua, LUA_REGISTRYINDEX);
        return NULL;
    }
    lua_pop(lua, 1);
    return type == LUA_TNIL ? NULL : g_strdup("run must be a function");
}

/* --- declaring -------------------------------------------------------------------------------- */

static void place_text(struct place place, GString *out)
{
    if (place.file == NULL)
        g_string_append(out, "built in");
    else
        g_string_append_printf(out, "at %s:%u", place.file, place.line);
}

void declare_record_of(struct rules *rules, const char *name, const char *const *fields,
                       struct place place)
{
    const struct record *known = g_hash_table_lookup(rules->records, name);
    lua_State *lua = rules->lua;
    if (known != NULL) {
        g_autoptr(GString) places = g_string_new(NULL);
        place_text(known->place, places);
        rules_fault(rules, place,
                    "record \"%s\" is declared twice: %s and at %s:%u\n  give one of them another "
                    "name",
                    name, places->str, place.file, place.line);
        return;
    }
    g_autoptr(GError) error = NULL;
    struct value_type *type = value_type_new(name, fields, &error);
    if (type == NULL) {
        rules_fault(rules, place, "%s", error->message);
        return;
    }
    lua_getfield(lua, LUA_REGISTRYINDEX, "vial.globals");
    lua_pushstring(lua, name);
    bool taken = lua_rawget(lua, -2) != LUA_TNIL;
    if (!taken) {
        struct record *record = g_new0(struct record, 1);
        *record = (struct record){ g_intern_string(name), type, place };
        g_hash_table_insert(rules->records, (gpointer)record->name, record);
        lua_pushstring(lua, name);
        box_push_constructor(lua, type);
        lua_rawset(lua, -4);
    } else {
        value_type_unref(type);
        rules_fault(rules, place, "record \"%s\" would hide Lua's own \"%s\"", name, name);
    }
    lua_pop(lua, 2);
}

static void declare_record(struct rules *rules, lua_State *lua, const char *name,
                           struct place place)
{
    char *problem = NULL;
    g_auto(GStrv) fields = text_list(lua, 1, "the fields", false, &problem);
    for (guint i = 0; problem == NULL && fields[i] != NULL; i++)
        if (!name_is_identifier(fields[i]))
            problem = g_strdup_printf("\"%s\" is not a name for a field", fields[i]);
    if (problem == NULL && !name_is_identifier(name))
        problem = g_strdup("that is not a name of letters, digits and _");
    if (problem == NULL)
        declare_record_of(rules, name, (const char *const *)fields, place);
    else
        rules_fault(rules, place, "record \"%s\": %s", name, problem);
    g_free(problem);
}

/* To the graph, which says what is wrong with it; to the engine if it is the first of its name. */
static void add_rule(struct rules *rules, struct declared_rule *rule)
{
    g_autofree struct graph_get *gets = g_new0(struct graph_get, rule->gets->len + 1);
    for (guint i = 0; i < rule->gets->len; i++) {
        const struct declared_get *get = &g_array_index(rule->gets, struct declared_get, i);
        gets[i] = (struct graph_get){ get->output, (const char *const *)get->inputs };
    }
    const struct graph_rule made = { .name = rule->name,
                                     .output = rule->output,
                                     .params = (const char *const *)rule->params,
                                     .gets = gets,
                                     .get_count = rule->gets->len,
                                     .file = rule->place.file,
                                     .line = rule->place.line };
    graph_input_rule(rules->input, &made);
    g_ptr_array_add(rules->declared, rule);
    if (!g_hash_table_contains(rules->names, rule->name))
        g_hash_table_insert(rules->names, rule->name, rule);
}

static void declare_rule(struct rules *rules, lua_State *lua, const char *name, struct place place)
{
    static const char *const known[] = { "output", "params", "gets", "cacheable", "run", NULL };
    struct declared_rule *rule = g_new0(struct declared_rule, 1);
    *rule = (struct declared_rule){ .rules = rules,
                                    .name = g_strdup(name),
                                    .run = LUA_NOREF,
                                    .locals = LUA_NOREF,
                                    .place = place };
    rule->gets = g_array_new(FALSE, TRUE, sizeof(struct declared_get));
    g_array_set_clear_func(rule->gets, get_clear);
    char *problem = NULL;
    if (!name_is_type(name) || g_str_has_prefix(name, "vial."))
        problem = g_strdup("that is not a name that a rule can have");
    else if (lua_type(lua, 1) != LUA_TTABLE)
        problem = g_strdup("needs a table: rule \"name\" { output = …, … }");
    if (problem == NULL)
        problem = unknown_key(lua, known);
    if (problem == NULL)
        problem = read_output(lua, &rule->output);
    if (problem == NULL)
        problem = read_params(lua, &rule->params);
    if (problem == NULL)
        problem = read_gets(lua, rule->gets);
    if (problem == NULL)
        problem = read_manner(rules, lua, rule);
    if (problem == NULL) {
        add_rule(rules, rule);
        return;
    }
    rules_fault(rules, place, "rule \"%s\": %s", name, problem);
    g_free(problem);
    declared_rule_free(rule);
}

static void declare_query(struct rules *rules, lua_State *lua, struct place place)
{
    static const char *const known[] = { "output", "params", NULL };
    g_autofree char *output = NULL, *problem = NULL;
    g_auto(GStrv) params = NULL;
    if (lua_type(lua, 1) != LUA_TTABLE)
        problem = g_strdup("needs a table: query { output = …, params = { … } }");
    if (problem == NULL)
        problem = unknown_key(lua, known);
    if (problem == NULL)
        problem = read_output(lua, &output);
    if (problem == NULL)
        problem = read_params(lua, &params);
    if (problem != NULL) {
        rules_fault(rules, place, "query: %s", problem);
        return;
    }
    const struct graph_query query = { output, (const char *const *)params, place.file,
                                       place.line };
    graph_input_query(rules->input, &query);
}

/* --- what Lua calls --------------------------------------------------------------------------- */

static struct place caller(lua_State *lua)
{
    struct place place = vm_place(lua, 1);
    struct rules *rules = vm_rules(lua);
    if (rules->loading->len == 0)
        luaL_error(lua, "declarations are made while files are loaded, not by a rule");
    return place;
}

/* Upvalues: name, file and line of the first call. */
static int declare_named(lua_State *lua,
                         void (*declare)(struct rules *, lua_State *, const char *, struct place))
{
    struct rules *rules = vm_rules(lua);
    caller(lua);
    const struct place place = { lua_touserdata(lua, lua_upvalueindex(2)),
                                 (guint)lua_tointeger(lua, lua_upvalueindex(3)) };
    const char *name = lua_tostring(lua, lua_upvalueindex(1));
    lua_settop(lua, 1);
    lua_enter(rules);
    declare(rules, lua, name, place);
    lua_leave(rules);
    return 0;
}

static int record_fields(lua_State *lua)
{
    declare_named(lua, declare_record);
    struct rules *rules = vm_rules(lua);
    lua_enter(rules);
    lua_getfield(lua, LUA_REGISTRYINDEX, "vial.globals");
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_rawget(lua, -2);
    lua_leave(rules);
    return 1;
}

static int rule_table(lua_State *lua)
{
    return declare_named(lua, declare_rule);
}

static int push_second(lua_State *lua, lua_CFunction second)
{
    struct place place = caller(lua);
    size_t size;
    const char *name = luaL_checklstring(lua, 1, &size);
    luaL_argcheck(lua, strlen(name) == size && g_utf8_validate(name, -1, NULL), 1,
                  "the name is not UTF-8");
    lua_settop(lua, 1);
    lua_pushlightuserdata(lua, (gpointer)place.file);
    lua_pushinteger(lua, place.line);
    lua_pushcclosure(lua, second, 3);
    return 1;
}

static int base_record(lua_State *lua)
{
    return push_second(lua, record_fields);
}

static int base_rule(lua_State *lua)
{
    return push_second(lua, rule_table);
}

static int base_query(lua_State *lua)
{
    struct rules *rules = vm_rules(lua);
    struct place place = caller(lua);
    lua_settop(lua, 1);
    lua_enter(rules);
    declare_query(rules, lua, place);
    lua_leave(rules);
    return 0;
}

void declare_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        { "record", base_record },   { "rule", base_rule }, { "query", base_query },
        { "include", load_include }, { NULL, NULL },
    };
    luaL_setfuncs(lua, functions, 0);
}
