// SPDX-License-Identifier: Apache-2.0
/* Takes rules and queries in and turns the names of types into numbers. */
#include "graph/graph-internal.h"

#include <string.h>

static void clear_type(gpointer data)
{
    struct type *type = data;
    g_clear_pointer(&type->rules, g_array_unref);
}

struct graph_input *graph_input_new(void)
{
    struct graph_input *input = g_new0(struct graph_input, 1);
    arena_init(&input->arena);
    input->type_ids = g_hash_table_new(g_str_hash, g_str_equal);
    input->rule_ids = g_hash_table_new(g_str_hash, g_str_equal);
    input->types = g_array_new(FALSE, TRUE, sizeof(struct type));
    g_array_set_clear_func(input->types, clear_type);
    input->rules = g_array_new(FALSE, TRUE, sizeof(struct rule));
    input->queries = g_array_new(FALSE, TRUE, sizeof(struct query));
    input->duplicates = g_array_new(FALSE, TRUE, sizeof(struct duplicate));
    input->faults = g_array_new(FALSE, TRUE, sizeof(struct fault));
    return input;
}

void graph_input_free(struct graph_input *input)
{
    if (input == NULL)
        return;
    g_array_unref(input->types);
    g_array_unref(input->rules);
    g_array_unref(input->queries);
    g_array_unref(input->duplicates);
    g_array_unref(input->faults);
    g_hash_table_unref(input->type_ids);
    g_hash_table_unref(input->rule_ids);
    arena_release(&input->arena);
    g_free(input);
}

static guint type_id(struct graph_input *input, const char *name)
{
    gpointer known;
    if (g_hash_table_lookup_extended(input->type_ids, name, NULL, &known))
        return GPOINTER_TO_UINT(known);
    struct type type = { .name = arena_text(&input->arena, name),
                         .rules = g_array_new(FALSE, FALSE, sizeof(guint)) };
    guint id = input->types->len;
    g_array_append_val(input->types, type);
    g_hash_table_insert(input->type_ids, (gpointer)type.name, GUINT_TO_POINTER(id));
    return id;
}

static gint compare_types(gconstpointer a, gconstpointer b, gpointer input)
{
    return strcmp(type_at(input, *(const guint *)a)->name, type_at(input, *(const guint *)b)->name);
}

static struct key make_key(struct graph_input *input, const char *output, const char *const *inputs,
                           bool get)
{
    struct key key = { .output = type_id(input, output), .get = get };
    guint count = inputs == NULL ? 0 : g_strv_length((char **)inputs);
    guint *types = arena_take(&input->arena, count * sizeof(guint));
    for (guint i = 0; i < count; i++)
        types[i] = type_id(input, inputs[i]);
    g_qsort_with_data(types, (gint)count, sizeof(guint), compare_types, input);
    for (guint i = 0; i < count; i++)
        if (i == 0 || types[i] != types[key.input_count - 1])
            types[key.input_count++] = types[i];
    key.inputs = types;
    return key;
}

void graph_input_rule(struct graph_input *input, const struct graph_rule *rule)
{
    gpointer first;
    if (g_hash_table_lookup_extended(input->rule_ids, rule->name, NULL, &first)) {
        struct duplicate duplicate = { .first = GPOINTER_TO_UINT(first),
                                       .file = arena_text(&input->arena, rule->file),
                                       .line = rule->line };
        g_array_append_val(input->duplicates, duplicate);
        return;
    }
    struct rule made = { .name = arena_text(&input->arena, rule->name),
                         .file = arena_text(&input->arena, rule->file),
                         .line = rule->line,
                         .builtin = rule->builtin,
                         .output = type_id(input, rule->output) };
    made.positional = rule->params == NULL ? 0 : g_strv_length((char **)rule->params);
    made.key_count = made.positional + (guint)rule->get_count;
    made.keys = arena_take(&input->arena, made.key_count * sizeof(struct key));
    for (guint i = 0; i < made.positional; i++)
        made.keys[i] = make_key(input, rule->params[i], NULL, false);
    for (gsize i = 0; i < rule->get_count; i++)
        made.keys[made.positional + i] =
            make_key(input, rule->gets[i].output, rule->gets[i].inputs, true);
    guint id = input->rules->len;
    g_array_append_val(input->rules, made);
    g_array_append_val(type_at(input, made.output)->rules, id);
    g_hash_table_insert(input->rule_ids, (gpointer)made.name, GUINT_TO_POINTER(id));
}

static bool same_key(const struct key *a, const struct key *b)
{
    return a->output == b->output && a->input_count == b->input_count &&
           (a->input_count == 0 ||
            memcmp(a->inputs, b->inputs, a->input_count * sizeof(guint)) == 0);
}

void graph_input_query(struct graph_input *input, const struct graph_query *query)
{
    struct query made = { .file = arena_text(&input->arena, query->file),
                          .line = query->line,
                          .key = make_key(input, query->output, query->params, false) };
    for (guint i = 0; i < input->queries->len; i++)
        if (same_key(&g_array_index(input->queries, struct query, i).key, &made.key))
            return;
    g_array_append_val(input->queries, made);
}

void graph_input_fault(struct graph_input *input, const char *file, guint line, const char *message)
{
    struct fault made = { .file = arena_text(&input->arena, file),
                          .message = arena_text(&input->arena, message),
                          .line = line };
    g_array_append_val(input->faults, made);
}
