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

/* Print what the query comes to, unless that is *last, which it then is. */
static int answer(struct query_setup *setup, const char *query, bool explained, char **last)
{
    g_autoptr(value) value = NULL;
    int status = query_run(setup, query, &value);
    if (explained)
        explain(setup->engine, query);
    g_autofree char *text = value == NULL ? NULL : value_print(value, 0);
    if (text != NULL && g_strcmp0(text, *last) != 0) {
        puts(text);
        fflush(stdout);
    }
    g_free(*last);
    *last = g_steal_pointer(&text);
    return status;
}

/* Answer anew whenever something has changed, until a signal comes. */
static int answer_and_watch(struct query_setup *setup, const char *query, bool explained, int jobs)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *last = NULL;
    g_autoptr(watch) watch =
        watch_new(session_workspace(setup->session), store_path(setup->store), &error);
    if (watch == NULL)
        return fail(error);
    int status;
    query_interrupts(watch);
    do {
        status = query_refresh(setup, jobs);
        if (status == EXIT_OK)
            status = answer(setup, query, explained, &last);
        if (setup->session == NULL || status == EXIT_USAGE)
            break; /* nothing that a change of files could mend */
    } while (query_signal() == 0 && watch_wait(watch, &error));
    query_interrupts(NULL);
    if (query_signal() != 0)
        return 128 + query_signal();
    return error == NULL ? status : fail(error);
}

int command_query(int argc, char **argv)
{
    gboolean explained = FALSE, watching = FALSE;
    gint jobs = 0;
    const GOptionEntry entries[] = {
        { "explain", 0, 0, G_OPTION_ARG_NONE, &explained, "Say which rules ran, and which did not",
          NULL },
        { "watch", 0, 0, G_OPTION_ARG_NONE, &watching, "Answer again whenever something changes",
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
    g_autofree char *last = NULL;
    int status = query_open(&setup, jobs);
    if (watching && setup.session != NULL)
        status = answer_and_watch(&setup, argv[0], explained, jobs);
    else if (status == EXIT_OK)
        status = answer(&setup, argv[0], explained, &last);
    query_close(&setup);
    return finish_output(status);
}
