// SPDX-License-Identifier: Apache-2.0
/* vial shell: a shell, or another command, in the view that a run had. */
#include "base/fault.h"
#include "cli/cli.h"
#include "session/session.h"
#include "ui/ui.h"

#include <signal.h>
#include <stdio.h>

static int run_shell(const struct shell_request *request, GError **error)
{
    int status = EXIT_FAILED;
    g_autoptr(store) store = open_store(false, &status);
    if (store == NULL)
        return EXIT_FAILED;
    const struct text_options options = { .stream = stderr };
    g_autofree char *here = g_get_current_dir();
    struct event_sink *text = ui_text_new(&options);
    g_autoptr(session) session = session_open(here, store, text, error);
    signal(SIGINT, SIG_IGN); /* is the shell's */
    signal(SIGQUIT, SIG_IGN);
    bool ok = session != NULL && session_shell(session, request, &status, error);
    ui_free(text, NULL);
    if (ok)
        return status;
    fprintf(stderr, "vial: %s\n", (*error)->message);
    return g_error_matches(*error, FAULT, FAULT_NOT_FOUND)      ? EXIT_NOT_FOUND
           : g_error_matches(*error, FAULT, FAULT_NOT_RUNNABLE) ? EXIT_NOT_RUNNABLE
                                                                : EXIT_FAILED;
}

int command_shell(int argc, char **argv)
{
    gboolean after = FALSE;
    const GOptionEntry entries[] = {
        { "after", 0, 0, G_OPTION_ARG_NONE, &after, "With what the run wrote", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "shell",
        .arguments = "[RUN] [--] [COMMAND [ARGUMENT…]]",
        .summary =
            "Start a shell, or COMMAND, in the view that a run had (default @0, the latest).",
        .entries = entries,
        .least = 0,
        .most = -1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_FAILED;
    char *shell[] = { (char *)"/bin/sh", NULL };
    g_autoptr(GError) error = NULL;
    struct shell_request request = { .argv = shell };
    if (argc > 0 && argv[0][0] == '@') {
        if (!options_run_number(argv[0], &request.number, &error)) {
            fprintf(stderr, "vial: %s\n", error->message);
            return EXIT_FAILED;
        }
        argc--;
        argv++;
        if (argc > 0 && g_str_equal(argv[0], "--after")) {
            after = TRUE;
            argc--;
            argv++;
        }
        if (argc > 0 && g_str_equal(argv[0], "--")) {
            argc--;
            argv++;
        }
    }
    request.after = after;
    if (argc > 0)
        request.argv = argv;
    return run_shell(&request, &error);
}
