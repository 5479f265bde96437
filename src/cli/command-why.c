// SPDX-License-Identifier: Apache-2.0
/* vial why: explains a run. */
#include "cli/cli.h"
#include "session/session.h"

#include <stdio.h>

/* A run is @3 or 3, unless there is a file of that name. */
static bool names_file(const char *word)
{
    bool digits = word[strspn(word, "0123456789")] == '\0' && *word != '\0';
    return (*word != '@' && !digits) || g_file_test(word, G_FILE_TEST_EXISTS);
}

int command_why(int argc, char **argv)
{
    const struct usage usage = {
        .name = "why",
        .arguments = "[RUN|OUTPUT]",
        .summary = "Explain why a run (default @0, the latest here), or the one that wrote OUTPUT, "
                   "was reused or not.",
        .least = 0,
        .most = 1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    guint number = 0;
    int status = EXIT_FAILED;
    g_autoptr(GError) error = NULL;
    bool output = argc > 0 && names_file(argv[0]);
    if (argc > 0 && !output && !options_run_number(argv[0], &number, &error))
        return fail(error);
    g_autoptr(store) store = open_store(true, &status);
    if (store == NULL)
        return status;
    g_autofree char *here = g_get_current_dir();
    g_autoptr(session) session = session_open(here, store, NULL, &error);
    g_autofree char *path = output ? g_canonicalize_filename(argv[0], here) : NULL;
    g_autofree char *text = session == NULL ? NULL
                            : output        ? session_why_output(session, path, &error)
                                            : session_why(session, number, &error);
    if (text == NULL)
        return fail(error);
    fputs(text, stdout);
    return finish_output(EXIT_OK);
}
