// SPDX-License-Identifier: Apache-2.0
/* JSON for programs and dot for eyes, of a whole graph or of the part below one node. */
#include "graph/graph-internal.h"

#include <string.h>

/* A JSON string, which dot reads as well but for \u: bytes that are not UTF-8 become U+FFFD. */
static void append_quoted(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(out, '"');
    for (const char *at = valid; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            g_string_append_printf(out, "\\%c", *at);
        else if (*at == '\n')
            g_string_append(out, "\\n");
        else if ((guchar)*at < 0x20)
            g_string_append_printf(out, "\\u%04x", (guint)(guchar)*at);
        else
            g_string_append_c(out, *at);
    }
    g_string_append_c(out, '"');
}

static void append_field(GString *out, const char *name, const char *text)
{
    g_string_append_printf(out, "\"%s\":", name);
    if (text == NULL)
        g_string_append(out, "null");
    else
        append_quoted(out, text);
}

static void append_list(GString *out, const char *name, const char *const *texts)
{
    g_string_append_printf(out, "\"%s\":[", name);
    for (guint i = 0; texts[i] != NULL; i++) {
        if (i > 0)
            g_string_append_c(out, ',');
        append_quoted(out, texts[i]);
    }
    g_string_append_c(out, ']');
}

static void append_error(GString *out, const struct graph_error *error)
{
    g_string_append_c(out, '{');
    append_field(out, "kind", graph_fault_name(error->kind));
    g_string_append_c(out, ',');
    append_field(out, "output", error->output);
    g_string_append_c(out, ',');
    append_field(out, "node", error->node);
    g_string_append_c(out, ',');
    append_field(out, "file", error->file);
    g_string_append_printf(out, ",\"line\":%u,", error->line);
    append_list(out, "candidates", error->candidates);
    g_string_append_c(out, ',');
    append_field(out, "message", error->message);
    g_string_append_c(out, '}');
}

static void append_errors(GString *out, const char *name, const struct graph_error *errors,
                          gsize count)
{
    g_string_append_printf(out, "\"%s\":[", name);
    for (gsize i = 0; i < count; i++) {
        if (i > 0)
            g_string_append_c(out, ',');
        append_error(out, &errors[i]);
    }
    g_string_append_c(out, ']');
}

guint *part_numbers(const struct graph *graph, gint64 root)
{
    guint count = graph->nodes->len, next = 0;
    guint *number = g_new(guint, count + 1);
    for (guint i = 0; i < count; i++)
        number[i] = root < 0 ? 0 : NONE;
    g_autoptr(GArray) work = g_array_new(FALSE, FALSE, sizeof(guint));
    if (root >= 0) {
        guint start = (guint)root;
        number[start] = 0;
        g_array_append_val(work, start);
    }
    while (work->len > 0) {
        guint at = g_array_index(work, guint, work->len - 1);
        g_array_set_size(work, work->len - 1);
        const struct graph_node *node = &g_array_index(graph->nodes, struct graph_node, at);
        for (guint d = 0; d < node->dependency_count; d++) {
            guint to = node->dependencies[d].node;
            if (number[to] == NONE)
                g_array_append_val(work, to);
            number[to] = 0;
        }
    }
    for (guint i = 0; i < count; i++)
        if (number[i] != NONE)
            number[i] = next++;
    return number;
}

static void append_node(GString *out, const struct graph_node *node, const guint *number, guint id)
{
    static const char *const kinds[] = { "query", "rule", "param" };
    g_string_append_printf(out, "{\"id\":%u,\"kind\":\"%s\",", number[id], kinds[node->kind]);
    append_field(out, "name", node->name);
    g_string_append_c(out, ',');
    append_field(out, "output", node->output);
    g_string_append_c(out, ',');
    append_list(out, "params", node->params);
    g_string_append(out, ",\"dependencies\":[");
    for (guint d = 0; d < node->dependency_count; d++) {
        const struct graph_dependency *dependency = &node->dependencies[d];
        g_string_append(out, d == 0 ? "{" : ",{");
        append_field(out, "output", dependency->output);
        g_string_append_c(out, ',');
        append_list(out, "provides", dependency->provides);
        g_string_append_printf(out, ",\"node\":%u}", number[dependency->node]);
    }
    g_string_append(out, "]}");
}

char *graph_json(const struct graph *graph, gint64 root)
{
    GString *out = g_string_new(NULL);
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    if (count > 0) {
        g_string_append(out, "{\"ok\":false,");
        append_errors(out, "errors", errors, count);
        g_string_append_c(out, '}');
        return g_string_free(out, FALSE);
    }
    g_autofree guint *number = part_numbers(graph, root);
    g_string_append(out, "{\"ok\":true,\"nodes\":[");
    for (guint i = 0; i < graph->nodes->len; i++) {
        if (number[i] == NONE)
            continue;
        if (number[i] > 0)
            g_string_append_c(out, ',');
        append_node(out, &g_array_index(graph->nodes, struct graph_node, i), number, i);
    }
    g_string_append(out, "],");
    const struct graph_error *warnings = graph_warnings(graph, &count);
    append_errors(out, "warnings", warnings, count);
    g_string_append_c(out, '}');
    return g_string_free(out, FALSE);
}

char *graph_error_json(const struct graph_error *error)
{
    GString *out = g_string_new("{\"ok\":false,");
    append_errors(out, "errors", error, 1);
    g_string_append_c(out, '}');
    return g_string_free(out, FALSE);
}

static char *label_of(const struct graph_node *node)
{
    g_autofree char *params = g_strjoinv(", ", (char **)node->params);
    switch (node->kind) {
    case GRAPH_QUERY:
        return g_strdup_printf("%s(%s)", node->name, params);
    case GRAPH_RULE:
        return g_strdup_printf("%s\n%s <- {%s}", node->name, node->output, params);
    default:
        return g_strdup(node->name);
    }
}

static void append_edges(GString *out, const struct graph_node *node, const guint *number, guint id)
{
    for (guint d = 0; d < node->dependency_count; d++) {
        const struct graph_dependency *dependency = &node->dependencies[d];
        g_autofree char *provides = g_strjoinv(", ", (char **)dependency->provides);
        g_string_append_printf(out, "  n%u -> n%u", number[id], number[dependency->node]);
        if (*provides != '\0') {
            g_string_append(out, " [label=");
            append_quoted(out, provides);
            g_string_append_c(out, ']');
        }
        g_string_append(out, ";\n");
    }
}

char *graph_dot(const struct graph *graph, gint64 root)
{
    static const char *const shapes[] = { "house", "box", "ellipse" };
    GString *out = g_string_new("digraph rules {\n");
    g_autofree guint *number = part_numbers(graph, root);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const struct graph_node *node = &g_array_index(graph->nodes, struct graph_node, i);
        if (number[i] == NONE)
            continue;
        g_autofree char *label = label_of(node);
        g_string_append_printf(out, "  n%u [shape=%s, label=", number[i], shapes[node->kind]);
        append_quoted(out, label);
        g_string_append(out, "];\n");
        append_edges(out, node, number, i);
    }
    g_string_append(out, "}\n");
    return g_string_free(out, FALSE);
}
