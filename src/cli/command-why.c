// SPDX-License-Identifier: Apache-2.0
/* vial why: explains a run. */
#include "cli/cli.h"
#include "session/session.h"

#include <stdio.h>

int command_why(int argc, char **argv)
{
    const struct usage usage = {
        .name = "why",
        .arguments = "[RUN]",
        .summary = "Explain why a run (default @0, the latest here) was reused or not.",
        .least = 0,
        .most = 1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    guint number = 0;
    int status = EXIT_FAILED;
    g_autoptr(GError) error = NULL;
    if (argc > 0 && !options_run_number(argv[0], &number, &error))
        return fail(error);
    g_autoptr(store) store = open_store(true, &status);
    if (store == NULL)
        return status;
    g_autofree char *here = g_get_current_dir();
    g_autoptr(session) session = session_open(here, store, NULL, &error);
    g_autofree char *text = session == NULL ? NULL : session_why(session, number, &error);
    if (text == NULL)
        return fail(error);
    fputs(text, stdout);
    return finish_output(EXIT_OK);
}
