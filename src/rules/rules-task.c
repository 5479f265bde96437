// SPDX-License-Identifier: Apache-2.0
/*
 * A rule that runs: a coroutine that hands its gets to the engine and goes on with the results.
 *
 * A get that fails is never seen by the rule, which is dropped then, so pcall cannot make a result
 * of a failure that may be gone in the next run.
 */
#include "rules/rules-internal.h"

#include <string.h>

struct task {
    struct rules *rules;
    struct declared_rule *rule;
    lua_State *thread;
    int reference;    /* keeps the thread */
    GPtrArray *given; /* struct value: params, until the first resume */
    GArray *gets;     /* of struct engine_get, which own their inputs */
    bool all;         /* the results go into one table */
    gint64 remaining; /* of the instructions */
};

static void get_clear(gpointer data)
{
    struct engine_get *get = data;
    for (gsize i = 0; i < get->count; i++)
        value_unref(get->inputs[i]);
    g_free((gpointer)get->inputs);
}

static void *task_start(const struct engine_rule *engine_rule, struct engine_call *call,
                        struct value *const *params)
{
    struct declared_rule *rule = engine_rule->data;
    struct rules *rules = rule->rules;
    struct task *task = g_new0(struct task, 1);
    *task = (struct task){ .rules = rules, .rule = rule, .reference = LUA_NOREF };
    task->gets = g_array_new(FALSE, TRUE, sizeof(struct engine_get));
    g_array_set_clear_func(task->gets, get_clear);
    task->given = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (guint i = 0; i < g_strv_length(rule->params); i++)
        g_ptr_array_add(task->given, value_ref(params[i]));
    task->remaining = vm_budget(rules);
    return task;
}

static void task_free(void *data)
{
    struct task *task = data;
    lua_enter(task->rules);
    luaL_unref(task->rules->lua, LUA_REGISTRYINDEX, task->reference);
    lua_leave(task->rules);
    g_ptr_array_unref(task->given);
    g_array_unref(task->gets);
    g_free(task);
}

/* --- gets ------------------------------------------------------------------------------------- */

/* The declared get for these inputs, or NULL. */
static const struct declared_get *find_get(const struct declared_rule *rule, const char *output,
                                           struct value *const *inputs, gsize count)
{
    for (guint i = 0; i < rule->gets->len; i++) {
        const struct declared_get *get = &g_array_index(rule->gets, struct declared_get, i);
        bool same = strcmp(get->output, output) == 0 && g_strv_length(get->inputs) == count;
        for (gsize k = 0; k < count && same; k++)
            same = g_strv_contains((const char *const *)get->inputs, value_record_name(inputs[k]));
        for (gsize k = 1; k < count && same; k++)
            same = strcmp(value_record_name(inputs[k]), value_record_name(inputs[k - 1])) != 0;
        if (same)
            return get;
    }
    return NULL;
}

static void describe_get(GString *out, const char *output, const char *const *inputs)
{
    g_string_append_printf(out, "%s <- {", output);
    for (gsize i = 0; inputs[i] != NULL; i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", inputs[i]);
    g_string_append_c(out, '}');
}

static char *undeclared(const struct declared_rule *rule, const char *output, GPtrArray *inputs)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GString *out = g_string_new("this get is not among the gets of the rule: ");
    for (guint i = 0; i < inputs->len; i++)
        g_ptr_array_add(names, (gpointer)value_record_name(inputs->pdata[i]));
    g_ptr_array_add(names, NULL);
    describe_get(out, output, (const char *const *)names->pdata);
    g_string_append(out, rule->gets->len == 0 ? "; it has none" : "; it has ");
    for (guint i = 0; i < rule->gets->len; i++) {
        const struct declared_get *get = &g_array_index(rule->gets, struct declared_get, i);
        g_string_append(out, i == 0 ? "" : ", ");
        describe_get(out, get->output, (const char *const *)get->inputs);
    }
    return g_string_free(out, FALSE);
}

/* A get whose output is at `first` of the stack, and whose inputs follow up to `last`. */
static char *add_get(struct task *task, lua_State *lua, int first, int last)
{
    if (lua_type(lua, first) != LUA_TSTRING)
        return g_strdup("a get begins with the name of a type: get(\"Out\", …)");
    const char *output = lua_tostring(lua, first);
    g_autoptr(GPtrArray) inputs = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (int i = first + 1; i <= last; i++) {
        struct value *input = box_value(lua, i);
        if (input == NULL || value_kind(input) != VALUE_RECORD)
            return g_strdup_printf(
                "input %d of the get of %s is a %s, not a record", i - first, output,
                input != NULL ? value_kind_name(value_kind(input)) : luaL_typename(lua, i));
        g_ptr_array_add(inputs, value_ref(input));
    }
    struct value *const *values = (struct value *const *)inputs->pdata;
    const struct declared_get *declared = find_get(task->rule, output, values, inputs->len);
    if (declared == NULL)
        return undeclared(task->rule, output, inputs);
    gsize count;
    struct engine_get get = { .output = declared->output };
    get.inputs = (struct value *const *)g_ptr_array_steal(inputs, &count);
    get.count = count;
    g_array_append_val(task->gets, get);
    return NULL;
}

/* { "Out", a, b } at `at`. */
static char *add_listed_get(struct task *task, lua_State *lua, int at)
{
    int top = lua_gettop(lua);
    if (lua_type(lua, at) == LUA_TTABLE)
        freeze_see_through(lua, at);
    if (lua_type(lua, at) != LUA_TTABLE || lua_rawlen(lua, at) > 1000)
        return g_strdup("get_all takes a list of gets: { { \"Out\", a, b }, … }");
    int count = (int)lua_rawlen(lua, at);
    luaL_checkstack(lua, count + 4, NULL);
    for (int i = 1; i <= count; i++)
        lua_rawgeti(lua, at, i);
    char *problem = add_get(task, lua, top + 1, top + count);
    lua_settop(lua, top);
    return problem;
}

static char *add_all(struct task *task, lua_State *lua)
{
    char *problem = NULL;
    if (lua_type(lua, 1) != LUA_TTABLE)
        return g_strdup("get_all takes a list of gets: { { \"Out\", a, b }, … }");
    freeze_see_through(lua, 1);
    lua_Integer count = (lua_Integer)lua_rawlen(lua, 1);
    for (lua_Integer i = 1; i <= count && problem == NULL; i++) {
        lua_rawgeti(lua, 1, i);
        problem = add_listed_get(task, lua, lua_gettop(lua));
        lua_pop(lua, 1);
    }
    return problem;
}

static struct task *running(lua_State *lua)
{
    struct task *task = vm_rules(lua)->task;
    if (task == NULL)
        luaL_error(lua, "only a rule that runs can get");
    return task;
}

static int base_get(lua_State *lua)
{
    struct task *task = running(lua);
    lua_enter(task->rules);
    task->all = false;
    char *problem = add_get(task, lua, 1, lua_gettop(lua));
    lua_leave(task->rules);
    return problem != NULL ? vm_raise(lua, problem) : lua_yield(lua, 0);
}

static int base_get_all(lua_State *lua)
{
    struct task *task = running(lua);
    lua_enter(task->rules);
    lua_settop(lua, 1);
    task->all = true;
    char *problem = add_all(task, lua);
    lua_leave(task->rules);
    if (problem != NULL) {
        g_array_set_size(task->gets, 0);
        return vm_raise(lua, problem);
    }
    return lua_yield(lua, 0);
}

void task_open(lua_State *lua)
{
    static const luaL_Reg functions[] = { { "get", base_get },
                                          { "get_all", base_get_all },
                                          { NULL, NULL } };
    luaL_setfuncs(lua, functions, 0);
}

/* --- running ---------------------------------------------------------------------------------- */

/* Put the function and its params on a new thread. */
static int begin(struct task *task)
{
    lua_State *lua = task->rules->lua;
    freeze_rule(task->rule);
    task->thread = lua_newthread(lua);
    task->reference = luaL_ref(lua, LUA_REGISTRYINDEX);
    luaL_checkstack(task->thread, (int)task->given->len + 8, NULL);
    lua_rawgeti(task->thread, LUA_REGISTRYINDEX, task->rule->run);
    for (guint i = 0; i < task->given->len; i++)
        box_push(task->thread, task->given->pdata[i]);
    return (int)task->given->len;
}

static int push_results(struct task *task, struct value *const *results, gsize count)
{
    luaL_checkstack(task->thread, 8, NULL);
    if (!task->all) {
        box_push(task->thread, results[0]);
        return 1;
    }
    lua_createtable(task->thread, (int)count, 0);
    for (gsize i = 0; i < count; i++) {
        box_push(task->thread, results[i]);
        lua_rawseti(task->thread, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static char *at_place(const struct place *place, const char *message)
{
    return place->file == NULL ? g_strdup(message)
                               : g_strdup_printf("%s:%u: %s", place->file, place->line, message);
}

/* What the function returned, on top of `count` values. */
static void finish(struct task *task, int count, struct engine_step *step)
{
    const struct declared_rule *rule = task->rule;
    struct value *value = count == 0 ? NULL : box_value(task->thread, -count);
    if (value != NULL && value_kind(value) == VALUE_RECORD &&
        strcmp(value_record_name(value), rule->output) == 0) {
        step->outcome = ENGINE_DONE;
        step->value = value_ref(value);
        return;
    }
    const char *what = count == 0                          ? "nothing"
                       : value == NULL                     ? luaL_typename(task->thread, -count)
                       : value_kind(value) == VALUE_RECORD ? value_record_name(value)
                                                           : "list";
    g_autofree char *message =
        g_strdup_printf("rule \"%s\" returned %s%s, not a record of type %s", rule->name,
                        count == 0 ? "" : "a ", what, rule->output);
    step->outcome = ENGINE_FAILED;
    step->error = at_place(&rule->place, message);
}

/* The innermost line of Lua. */
static struct place task_place(const struct task *task)
{
    lua_Debug debug;
    struct place place = { 0 };
    for (int level = 0;
         place.file == NULL && task->thread != NULL && lua_getstack(task->thread, level, &debug);
         level++)
        place = vm_place(task->thread, level);
    return place;
}

static char *task_where(void *task)
{
    struct place place = task_place(task);
    return place.file == NULL ? NULL : g_strdup_printf("%s:%u", place.file, place.line);
}

static void fail(struct task *task, int status, struct engine_step *step)
{
    struct rules *rules = task->rules;
    rules->error = task_place(task);
    g_autofree char *message = vm_message(rules, task->thread, status);
    step->outcome = ENGINE_FAILED;
    step->error = at_place(rules->error.file != NULL ? &rules->error : &task->rule->place, message);
}

/* Whether it did so before depends on what ran before. */
static void refuse_change(const struct task *task, const char *name, struct engine_step *step)
{
    g_autofree char *message =
        g_strdup_printf("rule \"%s\" set \"%s\", which is local to its file: a rule cannot change "
                        "what the next one sees",
                        task->rule->name, name);
    step->outcome = ENGINE_FAILED;
    step->error = at_place(&task->rule->place, message);
}

static void task_resume(void *data, struct value *const *results, gsize count,
                        struct engine_step *step)
{
    struct task *task = data;
    struct rules *rules = task->rules;
    if (task->rule->run == LUA_NOREF) {
        step->outcome = ENGINE_FAILED;
        g_autofree char *message = g_strdup_printf("rule \"%s\" has no run", task->rule->name);
        step->error = at_place(&task->rule->place, message);
        return;
    }
    lua_enter(rules);
    int arguments = task->thread == NULL ? begin(task) : push_results(task, results, count);
    lua_leave(rules);
    g_array_set_size(task->gets, 0);
    int returned = 0;
    vm_spend(rules, task->thread, task->remaining);
    rules->task = task;
    int status = lua_resume(task->thread, rules->lua, arguments, &returned);
    rules->task = NULL;
    task->remaining = rules->remaining;
    lua_enter(rules);
    g_autofree char *changed = freeze_changed(task->rule);
    lua_leave(rules);
    if (vm_is_spent(rules) || (status != LUA_OK && status != LUA_YIELD)) {
        if (status == LUA_OK || status == LUA_YIELD)
            lua_pushnil(task->thread);
        fail(task, status, step);
        return;
    }
    if (changed != NULL) {
        refuse_change(task, changed, step);
        return;
    }
    if (status == LUA_OK) {
        finish(task, returned, step);
        return;
    }
    step->outcome = ENGINE_WANTS;
    step->gets = (const struct engine_get *)(void *)task->gets->data;
    step->get_count = task->gets->len;
}

const struct engine_operations task_operations = {
    .start = task_start,
    .resume = task_resume,
    .free = task_free,
    .where = task_where,
};
