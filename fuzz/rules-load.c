// SPDX-License-Identifier: Apache-2.0
/*
 * Input: files, each after a line "-- file: PATH"; what stands before the first is vial.lua.
 * Whatever they say, loading ends within its limits, and what was loaded can be solved and printed.
 */
#include "base/fault.h"
#include "rules/rules.h"

#include <stdint.h>
#include <string.h>

static const char mark[] = "\n-- file: ";

static GBytes *read_part(const char *path, void *user, GError **error)
{
    const char *text = user;
    if (strcmp(path, "vial.lua") == 0) {
        const char *end = strstr(text, mark);
        return g_bytes_new(text, end == NULL ? strlen(text) : (gsize)(end - text));
    }
    for (const char *at = strstr(text, mark); at != NULL; at = strstr(at, mark)) {
        at += strlen(mark);
        const char *line = strchr(at, '\n'), *end = strstr(at, mark);
        if (line == NULL || strlen(path) != (gsize)(line - at) ||
            strncmp(at, path, strlen(path)) != 0)
            continue;
        return g_bytes_new(line, end == NULL ? strlen(line) : (gsize)(end - line));
    }
    fault_set(error, FAULT_MISSING, "there is no %s", path);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    const struct rules_options options = {
        .read = read_part, .user = text, .instructions = 200000, .memory = 4 << 20
    };
    g_autoptr(rules) rules = rules_load("vial.lua", &options);
    g_autoptr(graph) graph = graph_solve(rules_graph_input(rules));
    gsize nodes, errors;
    graph_nodes(graph, &nodes);
    graph_errors(graph, &errors);
    g_assert_true(errors == 0 || nodes == 0);
    g_autofree char *json = graph_json(graph, -1);
    g_assert_true(g_str_has_prefix(json, errors > 0 ? "{\"ok\":false" : "{\"ok\":true"));
    return 0;
}
