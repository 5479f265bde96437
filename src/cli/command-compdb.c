// SPDX-License-Identifier: Apache-2.0
/* vial compdb: a compilation database from what runs have on record. */
#include "cli/cli.h"
#include "session/session.h"

#include <stdio.h>
#include <string.h>

static int write_database(const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (strcmp(path, "-") == 0) {
        fputs(text, stdout);
        return finish_output(EXIT_OK);
    }
    if (g_file_set_contents(path, text, -1, &error))
        return EXIT_OK;
    return fail(error);
}

int command_compdb(int argc, char **argv)
{
    g_autofree char *output = NULL;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
          "Write FILE (default: compile_commands.json of the workspace; -: standard output)",
          "FILE" },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "compdb",
        .arguments = "[RUN]",
        .summary = "Write compile_commands.json of what a run (default: all recorded) compiled.",
        .entries = entries,
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
    g_autofree char *text =
        session == NULL ? NULL : session_compdb(session, argc > 0 ? &number : NULL, &error);
    if (text == NULL)
        return fail(error);
    g_autofree char *path = output != NULL ? g_strdup(output)
                                           : g_build_filename(session_workspace(session),
                                                              "compile_commands.json", NULL);
    return write_database(path, text);
}
