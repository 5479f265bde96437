// SPDX-License-Identifier: Apache-2.0
/* Reads queries as people write them, with types or with values. */
#include "base/fault.h"
#include "rules/rules-internal.h"

#include <string.h>

static bool wrong(const char *text, GError **error)
{
    return fault_set(error, FAULT_USAGE, "\"%s\" is not a query such as T(A, B)", text);
}

bool rules_parse_query(const char *text, char **output, char ***params, GError **error)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    char *open = strchr(copy, '(');
    if (open != NULL) {
        char *close = copy + strlen(copy) - 1;
        if (*close != ')')
            return wrong(text, error);
        *open = *close = '\0';
        g_strchomp(copy);
        g_auto(GStrv) words = g_strsplit(open + 1, ",", -1);
        bool none = *g_strstrip(open + 1) == '\0';
        for (char **word = words; !none && *word != NULL; word++) {
            if (!name_is_type(g_strstrip(*word)))
                return wrong(text, error);
            g_ptr_array_add(names, g_strdup(*word));
        }
    }
    if (!name_is_type(copy))
        return wrong(text, error);
    g_ptr_array_add(names, NULL);
    *output = g_steal_pointer(&copy);
    *params = (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
    return true;
}

/* --- with values ------------------------------------------------------------------------------ */

/* What stands on the stack above `base`, as params. */
static GPtrArray *take_params(lua_State *lua, int base, GError **error)
{
    g_autoptr(GPtrArray) params = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (int i = base + 1; i <= lua_gettop(lua); i++) {
        struct value *value = box_value(lua, i);
        if (value == NULL || value_kind(value) != VALUE_RECORD) {
            fault_set(error, FAULT_USAGE, "param %d of the query is a %s, not a record", i - base,
                      luaL_typename(lua, i));
            return NULL;
        }
        g_ptr_array_add(params, value_ref(value));
    }
    return g_steal_pointer(&params);
}

/* The values of a list of expressions; Lua's stack is as before. */
static GPtrArray *evaluate(struct rules *rules, const char *list, GError **error)
{
    lua_State *lua = rules->lua;
    int base = lua_gettop(lua);
    GPtrArray *params = NULL;
    g_autofree char *code = g_strdup_printf("return %s\n", list);
    lua_enter(rules);
    int status = luaL_loadbufferx(lua, code, strlen(code), "=query", "t");
    lua_leave(rules);
    vm_spend(rules, lua, vm_budget(rules));
    char *problem =
        status == LUA_OK ? vm_call(rules, lua, 0, LUA_MULTRET) : vm_message(rules, lua, status);
    if (problem == NULL)
        params = take_params(lua, base, error);
    else
        fault_set(error, FAULT_USAGE, "%s", problem);
    g_free(problem);
    lua_settop(lua, base);
    return params;
}

bool rules_evaluate_query(struct rules *rules, const char *text, char **output, GPtrArray **params,
                          GError **error)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    char *open = strchr(copy, '(');
    char *close = open == NULL ? NULL : copy + strlen(copy) - 1;
    if (open != NULL && *close == ')')
        *open = *close = '\0';
    else if (open != NULL)
        return wrong(text, error);
    g_strchomp(copy);
    if (!name_is_type(copy))
        return wrong(text, error);
    *params = evaluate(rules, open == NULL ? "" : open + 1, error);
    if (*params == NULL) {
        g_prefix_error(error, "\"%s\": ", text);
        return false;
    }
    *output = g_steal_pointer(&copy);
    return true;
}

GArray *rules_for_engine(struct rules *rules)
{
    GArray *out = g_array_new(FALSE, TRUE, sizeof(struct engine_rule));
    for (guint i = 0; i < rules->declared->len; i++) {
        struct declared_rule *declared = rules->declared->pdata[i];
        const struct engine_rule rule = { .name = declared->name,
                                          .operations = &task_operations,
                                          .data = declared,
                                          .code = rules->digest,
                                          .uncacheable = declared->uncacheable };
        g_array_append_val(out, rule);
    }
    return out;
}
