// SPDX-License-Identifier: Apache-2.0
/* vial graph: solves the rule graph of a file and shows it. */
#include "cli/query.h"

#include <stdio.h>
#include <string.h>

struct request {
    gboolean dot, json, runtime;
    char *query;
};

static int print_graph(const struct request *request, const struct graph *graph, gint64 root)
{
    gsize errors, warnings;
    const struct graph_error *error = graph_errors(graph, &errors);
    const struct graph_error *warning = graph_warnings(graph, &warnings);
    if (request->json) {
        g_autofree char *json = graph_json(graph, root);
        puts(json);
        return finish_output(errors > 0 ? EXIT_NO : EXIT_OK);
    }
    for (gsize i = 0; i < errors; i++)
        query_report(&error[i], "");
    for (gsize i = 0; i < warnings; i++)
        query_report(&warning[i], "warning: ");
    if (errors > 0)
        return finish_output(EXIT_NO);
    g_autofree char *text = request->dot ? graph_dot(graph, root) : graph_text(graph, root);
    fputs(text, stdout);
    return finish_output(EXIT_OK);
}

static int print_undeclared(const struct request *request, struct graph_error *error,
                            const char *file)
{
    error->file = g_strdup(file);
    if (request->json) {
        g_autofree char *json = graph_error_json(error);
        puts(json);
    } else {
        query_report(error, "");
    }
    graph_error_free(error);
    return finish_output(EXIT_NO);
}

/* The part of one query is right even where others are wrong. */
static int show_query(const struct request *request, const struct graph_input *input,
                      const char *file)
{
    g_autofree char *output = NULL;
    g_auto(GStrv) names = NULL;
    g_autoptr(GError) error = NULL;
    struct graph_error *undeclared = NULL;
    if (!rules_parse_query(request->query, &output, &names, &error))
        return fail(error);
    const char *const *params = (const char *const *)names;
    g_autoptr(graph) graph = graph_solve(input);
    gsize errors;
    graph_errors(graph, &errors);
    if (!graph_input_declares(input, output, params, &undeclared))
        return print_undeclared(request, undeclared, file);
    if (errors > 0) {
        g_autoptr(graph) only = graph_solve_only(input, output, params);
        return print_graph(request, only, -1);
    }
    return print_graph(request, graph, graph_find(graph, output, params, NULL));
}

static struct rules *load(const char *file)
{
    g_autofree char *root = g_path_get_dirname(file);
    g_autofree char *name = g_path_get_basename(file);
    const char *slash = strrchr(file, '/');
    g_autofree char *shown = slash == NULL ? NULL : g_strndup(file, (gsize)(slash + 1 - file));
    const struct rules_options options = { .root = root, .shown = shown };
    return rules_load(name, &options);
}

int command_graph(int argc, char **argv)
{
    struct request request = { 0 };
    const GOptionEntry entries[] = {
        { "dot", 0, 0, G_OPTION_ARG_NONE, &request.dot, "Print for dot(1)", NULL },
        { "json", 0, 0, G_OPTION_ARG_NONE, &request.json, "Print JSON", NULL },
        { "query", 0, 0, G_OPTION_ARG_STRING, &request.query, "Show the part of this query",
          "'T(A, B)'" },
        { "runtime", 0, 0, G_OPTION_ARG_NONE, &request.runtime,
          "Run the query of the workspace, 'T(A{…})', and show what ran", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "graph",
        .arguments = "FILE | --runtime --query 'T(A{…})'",
        .summary = "Check the rules that FILE declares and show which uses which.",
        .entries = entries,
        .mixed = true,
        .least = 0,
        .most = 1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    g_autofree char *query = request.query;
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    const char *wrong = request.dot && request.json     ? "--dot and --json exclude each other"
                        : !request.runtime && argc == 0 ? "a file of rules is missing"
                        : request.runtime && (argc > 0 || query == NULL)
                            ? "--runtime takes --query 'T(A{…})', and no file"
                            : NULL;
    if (wrong != NULL) {
        fprintf(stderr, "vial graph: %s\n", wrong);
        return EXIT_USAGE;
    }
    if (request.runtime)
        return graph_runtime(query, request.dot, request.json);
    g_autoptr(rules) rules = load(argv[0]);
    const struct graph_input *input = rules_graph_input(rules);
    if (query != NULL)
        return show_query(&request, input, argv[0]);
    g_autoptr(graph) graph = graph_solve(input);
    return print_graph(&request, graph, -1);
}
