// SPDX-License-Identifier: Apache-2.0
/* vial graph --runtime: the instances that a query took, with times, as text, dot or JSON. */
#include "cli/query.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct shown {
    char *name;
    GPtrArray *params; /* char *: as written in Lua */
    const char *happening;
    gint64 duration;      /* microseconds */
    GArray *dependencies; /* ids */
    guint number;         /* in what is printed; G_MAXUINT: not below the query */
};

struct collected {
    const struct query_setup *setup;
    const char *rule; /* that answers the query */
    const struct value *value;
    GHashTable *shown; /* id -> struct shown */
    gint64 root;       /* id, or -1 */
};

static void shown_free(gpointer data)
{
    struct shown *shown = data;
    g_free(shown->name);
    g_ptr_array_unref(shown->params);
    g_array_unref(shown->dependencies);
    g_free(shown);
}

/* Is this what the query's params came to? */
static bool is_root(const struct collected *collected, const struct engine_instance *instance)
{
    if (strcmp(instance->rule, collected->rule) != 0 || instance->value == NULL ||
        !value_equal(instance->value, collected->value))
        return false;
    for (gsize i = 0; i < instance->param_count; i++) {
        bool given = false;
        for (guint k = 0; k < collected->setup->params->len; k++)
            given |= value_equal(instance->params[i], collected->setup->params->pdata[k]);
        if (!given)
            return false;
    }
    return true;
}

static void collect(const struct engine_instance *instance, void *user)
{
    struct collected *collected = user;
    struct shown *shown = g_new0(struct shown, 1);
    shown->name = query_instance(instance);
    shown->happening = query_happening(instance->asked ? instance->happening : ENGINE_MEMOISED);
    shown->duration = instance->duration;
    shown->params = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < instance->param_count; i++)
        g_ptr_array_add(shown->params, value_print(instance->params[i], 0));
    shown->dependencies = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_array_append_vals(shown->dependencies, instance->dependencies,
                        (guint)instance->dependency_count);
    shown->number = G_MAXUINT;
    g_hash_table_insert(collected->shown, GUINT_TO_POINTER(instance->id), shown);
    if (is_root(collected, instance))
        collected->root = instance->id;
}

/* What the query needed, itself first, each once. */
static GPtrArray *order(const struct collected *collected)
{
    GPtrArray *ordered = g_ptr_array_new();
    struct shown *root =
        g_hash_table_lookup(collected->shown, GUINT_TO_POINTER((guint)collected->root));
    root->number = 0;
    g_ptr_array_add(ordered, root);
    for (guint i = 0; i < ordered->len; i++) {
        const struct shown *at = ordered->pdata[i];
        for (guint d = 0; d < at->dependencies->len; d++) {
            guint32 id = g_array_index(at->dependencies, guint32, d);
            struct shown *below = g_hash_table_lookup(collected->shown, GUINT_TO_POINTER(id));
            g_assert(below != NULL);
            if (below->number != G_MAXUINT)
                continue;
            below->number = ordered->len;
            g_ptr_array_add(ordered, below);
        }
    }
    return ordered;
}

static const struct shown *dependency(const struct collected *collected, const struct shown *shown,
                                      guint index)
{
    return g_hash_table_lookup(
        collected->shown, GUINT_TO_POINTER(g_array_index(shown->dependencies, guint32, index)));
}

static void print_text(const struct collected *collected, const GPtrArray *ordered)
{
    for (guint i = 0; i < ordered->len; i++) {
        const struct shown *shown = ordered->pdata[i];
        printf("%s  (%s, %.1f ms)\n", shown->name, shown->happening,
               (double)shown->duration / 1000);
        for (guint d = 0; d < shown->dependencies->len; d++)
            printf("    %s\n", dependency(collected, shown, d)->name);
    }
}

/* As a string in dot. */
static void print_quoted(const char *text)
{
    for (putchar('"'); *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static void print_dot(const struct collected *collected, const GPtrArray *ordered)
{
    puts("digraph run {");
    for (guint i = 0; i < ordered->len; i++) {
        const struct shown *shown = ordered->pdata[i];
        printf("  n%u [shape=box, label=", i);
        print_quoted(shown->name);
        printf("\\n%s, %.1f ms\"];\n", shown->happening, (double)shown->duration / 1000);
        for (guint d = 0; d < shown->dependencies->len; d++)
            printf("  n%u -> n%u;\n", i, dependency(collected, shown, d)->number);
    }
    puts("}");
}

static json_t *json_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static void print_json(const struct collected *collected, const GPtrArray *ordered)
{
    json_t *nodes = json_array();
    for (guint i = 0; i < ordered->len; i++) {
        const struct shown *shown = ordered->pdata[i];
        json_t *params = json_array(), *dependencies = json_array();
        for (guint k = 0; k < shown->params->len; k++)
            json_array_append_new(params, json_text(shown->params->pdata[k]));
        for (guint d = 0; d < shown->dependencies->len; d++)
            json_array_append_new(dependencies,
                                  json_integer(dependency(collected, shown, d)->number));
        json_array_append_new(
            nodes, json_pack("{si so so ss sI so}", "id", (int)i, "name", json_text(shown->name),
                             "params", params, "happening", shown->happening, "microseconds",
                             (json_int_t)shown->duration, "dependencies", dependencies));
    }
    json_t *all = json_pack("{sb so}", "ok", 1, "nodes", nodes);
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

/* The rule that answers the query of the graph. */
static const char *answering_rule(const struct query_setup *setup)
{
    g_autofree const char **types = g_new0(const char *, setup->params->len + 1);
    gsize count;
    const struct graph_node *nodes = graph_nodes(setup->graph, &count);
    for (guint i = 0; i < setup->params->len; i++)
        types[i] = value_record_name(setup->params->pdata[i]);
    gint64 query = graph_find(setup->graph, setup->output, types, NULL);
    return nodes[nodes[query].dependencies[0].node].name;
}

int graph_runtime(const char *query, bool dot, bool json)
{
    struct query_setup setup = { 0 };
    g_autoptr(value) value = NULL;
    g_autoptr(GHashTable) shown = g_hash_table_new_full(NULL, NULL, NULL, shown_free);
    struct collected collected = { .setup = &setup, .shown = shown, .root = -1 };
    int status = query_open(&setup, 0);
    if (status == EXIT_OK)
        status = query_run(&setup, query, &value);
    if (status == EXIT_OK) {
        collected.value = value;
        collected.rule = answering_rule(&setup);
        engine_each(setup.engine, collect, &collected);
    }
    if (collected.root >= 0) {
        g_autoptr(GPtrArray) ordered = order(&collected);
        void (*print)(const struct collected *, const GPtrArray *) = dot    ? print_dot
                                                                     : json ? print_json
                                                                            : print_text;
        print(&collected, ordered);
    }
    query_close(&setup);
    return finish_output(status);
}
