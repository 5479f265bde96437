// SPDX-License-Identifier: Apache-2.0
/*
 * Rules and queries as lines of text, for tests and fuzz targets:
 *
 *     rule NAME OUTPUT [PARAM]… [; OUTPUT [INPUT]…]…      after each ';' a get
 *     query OUTPUT [PARAM]…
 *
 * A line's number is its place. Lines that are neither are passed over.
 */
#ifndef TEST_GRAPH_SUPPORT_H
#define TEST_GRAPH_SUPPORT_H

#include "graph/graph.h"

#include <string.h>

typedef GStrv graph_words;

/* "a  b c" as words; none are empty. */
static inline GStrv support_words(const char *text)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_auto(GStrv) parts = g_strsplit_set(text, " \t", -1);
    for (char **part = parts; *part != NULL; part++)
        if (**part != '\0')
            g_ptr_array_add(words, g_strdup(*part));
    g_ptr_array_add(words, NULL);
    return (GStrv)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

static inline void support_rule(struct graph_input *input, const char *text, guint line)
{
    g_auto(GStrv) parts = g_strsplit(text, ";", -1);
    g_auto(GStrv) head = support_words(parts[0]);
    if (g_strv_length(head) < 3)
        return;
    guint count = g_strv_length(parts) - 1, used = 0;
    g_autofree struct graph_get *gets = g_new0(struct graph_get, count + 1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    for (guint i = 0; i < count; i++) {
        GStrv words = support_words(parts[i + 1]);
        g_ptr_array_add(kept, words);
        if (words[0] != NULL)
            gets[used++] =
                (struct graph_get){ words[0], (const char *const *)(words[1] ? words + 1 : NULL) };
    }
    const struct graph_rule rule = { .name = head[1],
                                     .output = head[2],
                                     .params = (const char *const *)(head + 3),
                                     .gets = gets,
                                     .get_count = used,
                                     .file = "rules",
                                     .line = line };
    graph_input_rule(input, &rule);
}

static inline struct graph_input *support_read(const char *text)
{
    struct graph_input *input = graph_input_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) words = support_words(lines[i]);
        if (words[0] == NULL)
            continue;
        if (strcmp(words[0], "rule") == 0)
            support_rule(input, lines[i], i + 1);
        if (strcmp(words[0], "query") == 0 && words[1] != NULL) {
            const struct graph_query query = { words[1], (const char *const *)(words + 2), "rules",
                                               i + 1 };
            graph_input_query(input, &query);
        }
    }
    return input;
}

static inline struct graph *support_solve(const char *text)
{
    g_autoptr(graph_input) input = support_read(text);
    return graph_solve(input);
}

#endif
