// SPDX-License-Identifier: Apache-2.0
/*
 * oracle-view: run a command in a view of the whole machine and drop what it wrote; src/view/
 * alone, without session or sandbox. For root.
 *
 *   oracle-view [--plain] COMMAND…
 *   oracle-view [--plain] --nest SEED PARTS COMMAND…
 *
 * With --nest the command is run once for each part, with "I/PARTS" as last argument, in views upon
 * each other: nest.c.
 */
#include "entered.h"
#include "nest.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct call {
    bool plain;
    const char *seed, *parts; /* NULL: not nested */
    char **argv;
};

static int run_here(struct view *view, const char *root, char **argv)
{
    struct entered entered;
    if (!entered_start(&entered, view, root))
        return 125;
    int status = entered_run(&entered, STDOUT_FILENO, argv);
    entered_stop(&entered, view);
    return status;
}

static int run(const char *scratch, const struct call *call)
{
    g_autofree char *root = g_build_filename(scratch, "root", NULL);
    g_autofree char *data = g_build_filename(scratch, "data", NULL);
    g_autofree char *workspace = g_get_current_dir();
    g_autoptr(recorder) recorder = recorder_new(workspace);
    g_mkdir_with_parents(root, 0755);
    g_mkdir_with_parents(data, 0700);
    struct view_options options = { .root = open("/", O_PATH | O_CLOEXEC),
                                    .scratch = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                    .recorder = recorder,
                                    .processes = open("/proc", O_PATH | O_CLOEXEC),
                                    .plain = call->plain };
    if (call->seed != NULL) /* how many names a file has is not on record beyond two */
        options.recorder = NULL;
    if (options.scratch < 0) {
        perror("oracle-view");
        return 125;
    }
    g_autoptr(view) view = view_new(&options);
    if (call->seed == NULL)
        return run_here(view, root, call->argv);
    return nest(view, root, strtoull(call->seed, NULL, 10), atoi(call->parts), call->plain,
                call->argv);
}

int main(int argc, char **argv)
{
    struct call call = { .argv = argv + 1 };
    if (*call.argv != NULL && g_str_equal(*call.argv, "--plain")) {
        call.plain = true;
        call.argv++;
    }
    if (argc > 5 && g_str_equal(*call.argv, "--nest")) {
        call.seed = call.argv[1];
        call.parts = call.argv[2];
        call.argv += 3;
    }
    if (*call.argv == NULL) {
        fprintf(stderr, "usage: oracle-view [--plain] [--nest SEED PARTS] COMMAND…\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *scratch = g_dir_make_tmp("oracle-view-XXXXXX", &error);
    int status = error != NULL ? 125 : run(scratch, &call);
    if (error == NULL)
        fd_remove_tree(AT_FDCWD, scratch, &error);
    if (error != NULL)
        fprintf(stderr, "oracle-view: %s\n", error->message);
    return status;
}
