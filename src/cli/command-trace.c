// SPDX-License-Identifier: Apache-2.0
/* vial trace: what a run saw and wrote, and who in it. */
#include "base/fault.h"
#include "cli/cli.h"
#include "session/session.h"

#include <stdio.h>

static struct trace *find_trace(struct store *store, guint number, int process, GError **error)
{
    g_autofree char *here = g_get_current_dir();
    g_autoptr(session) session = session_open(here, store, NULL, error);
    g_autoptr(trace) trace = session == NULL ? NULL : session_trace(session, number, error);
    if (trace == NULL)
        return NULL;
    if (process < 0 || (guint32)process > trace_process_count(trace)) {
        fault_set(error, FAULT_USAGE, "run @%u has no process %d: they are 1 to %u", number,
                  process, trace_process_count(trace));
        return NULL;
    }
    return g_steal_pointer(&trace);
}

int command_trace(int argc, char **argv)
{
    gboolean json = FALSE;
    int process = 0, status = EXIT_FAILED;
    const GOptionEntry entries[] = {
        { "process", 'p', 0, G_OPTION_ARG_INT, &process, "Only process N and those below it", "N" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print lines of JSON", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "trace",
        .arguments = "[RUN]",
        .summary = "Show what a run in a view (default @0, the latest here) saw and wrote.",
        .entries = entries,
        .least = 0,
        .most = 1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    guint number = 0;
    g_autoptr(GError) error = NULL;
    if (argc > 0 && !options_run_number(argv[0], &number, &error))
        return fail(error);
    g_autoptr(store) store = open_store(true, &status);
    if (store == NULL)
        return status;
    g_autoptr(trace) trace = find_trace(store, number, process, &error);
    if (trace == NULL)
        return fail(error);
    g_autofree char *text = json ? trace_print_lines(trace, (guint32)process)
                                 : trace_print_tree(trace, (guint32)process);
    fputs(text, stdout);
    return finish_output(EXIT_OK);
}
