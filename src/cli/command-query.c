// SPDX-License-Identifier: Apache-2.0
/* vial query: asks the rules of the workspace for a value. */
#include "cli/query.h"

#include <stdio.h>

static void explain_instance(const struct engine_instance *instance, void *user)
{
    if (!instance->asked)
        return;
    g_autofree char *text = query_instance(instance);
    fprintf(stderr, "%s  (%s", text, query_happening(instance->happening));
    if (instance->happening == ENGINE_RAN)
        fprintf(stderr, ", %.1f ms", (double)instance->duration / 1000);
    fputs(")\n", stderr);
}

static void explain(struct engine *engine, const char *query)
{
    struct engine_statistics counts;
    engine_each(engine, explain_instance, NULL);
    engine_statistics(engine, &counts);
    if (counts.instances == 0 && counts.memoised > 0) /* nobody had to look below the query */
        fprintf(stderr, "%s  (%s)\n", query, query_happening(ENGINE_MEMOISED));
    fprintf(stderr,
            "%" G_GUINT64_FORMAT " ran, %" G_GUINT64_FORMAT " cleaned, %" G_GUINT64_FORMAT
            " memoized, %" G_GUINT64_FORMAT " failed\n",
            counts.ran, counts.cleaned, counts.memoised, counts.failed);
}

int command_query(int argc, char **argv)
{
    gboolean explained = FALSE;
    gint jobs = 0;
    const GOptionEntry entries[] = {
        { "explain", 0, 0, G_OPTION_ARG_NONE, &explained, "Say which rules ran, and which did not",
          NULL },
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &jobs, "Run N processes at once", "N" },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "query",
        .arguments = "'TYPE(PARAM{…}, …)'",
        .summary = "Ask the rules of the workspace for a value.",
        .entries = entries,
        .mixed = true,
        .least = 1,
        .most = 1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    if (jobs < 0) {
        fputs("vial query: -j takes a number from 1 on\n", stderr);
        return EXIT_USAGE;
    }
    struct query_setup setup = { 0 };
    g_autoptr(value) value = NULL;
    int status = query_open(&setup, jobs);
    if (status == EXIT_OK)
        status = query_run(&setup, argv[0], &value);
    if (explained && setup.engine != NULL)
        explain(setup.engine, argv[0]);
    g_autofree char *text = value == NULL ? NULL : value_print(value, 0);
    if (text != NULL)
        puts(text);
    query_close(&setup);
    return finish_output(status);
}
