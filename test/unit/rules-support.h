// SPDX-License-Identifier: Apache-2.0
/* Rules out of texts in memory, and what was wrong with them. */
#ifndef TEST_RULES_SUPPORT_H
#define TEST_RULES_SUPPORT_H

#include "base/fault.h"
#include "rules/rules.h"

#include <string.h>

/* Files as path, text, path, text …, NULL. */
static inline GBytes *support_read_file(const char *path, void *files, GError **error)
{
    for (const char *const *file = files; *file != NULL; file += 2)
        if (strcmp(*file, path) == 0)
            return g_bytes_new(file[1], strlen(file[1]));
    fault_set(error, FAULT_MISSING, "there is no %s", path);
    return NULL;
}

static inline struct rules *support_files(const char *const *files)
{
    const struct rules_options options = {
        .read = support_read_file, .user = (void *)files, .instructions = 3000000, .memory = 8 << 20
    };
    return rules_load(files[0], &options);
}

#define FILES(...) support_files((const char *const[]){ __VA_ARGS__, NULL })

/* "file:line: message" of each error, one after the other; the first lines of messages only. */
static inline char *support_faults(const struct rules *rules)
{
    g_autoptr(graph) graph = graph_solve(rules_graph_input(rules));
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < count; i++) {
        g_auto(GStrv) lines = g_strsplit(errors[i].message, "\n", 2);
        g_string_append_printf(out, "%s:%u: %s\n", errors[i].file, errors[i].line, lines[0]);
    }
    return g_string_free(out, FALSE);
}

static inline void assert_faults(struct rules *rules, const char *wanted)
{
    g_autofree char *got = support_faults(rules);
    g_assert_cmpstr(got, ==, wanted);
    rules_free(rules);
}

/* The text runs without a fault: it asserts what it is about. */
static inline void assert_runs(const char *text)
{
    assert_faults(FILES("vial.lua", text), "");
}

/* The one fault of the text, in its line 1. */
static inline void assert_stops(const char *text, const char *why)
{
    g_autofree char *wanted = g_strdup_printf("vial.lua:1: %s\n", why);
    assert_faults(FILES("vial.lua", text), wanted);
}

#endif
