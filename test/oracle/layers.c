// SPDX-License-Identifier: Apache-2.0
/*
 * oracle-layers: what snapshots, views upon each other and commits cost. For root.
 *
 *   oracle-layers DIRECTORY       an empty directory, which is the host
 *
 * A line each: what, and its time in microseconds.
 */
#include "entered.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *what, gint64 began, unsigned count)
{
    printf("%-52s %10.2f us\n", what, (double)(g_get_monotonic_time() - began) / count);
}

static struct view *child_of(struct view *parent)
{
    g_autoptr(snapshot) now = view_snapshot(parent, NULL);
    const struct view_options options = { .below = now, .label = 1, .processes = -1 };
    return view_new(&options);
}

static void put(struct view *view, const char *directory, unsigned number, const char *text)
{
    autofd int data = fd_from_bytes(text, strlen(text), NULL);
    g_autofree char *path = g_strdup_printf("%s/n%u", directory, number);
    const struct view_file file = { .path = path, .mode = S_IFREG | 0644, .content = data };
    if (!view_put(view, &file, NULL))
        abort();
}

static void commit(struct view *child)
{
    if (!view_commit(child, 0, NULL, NULL))
        abort();
    view_free(child);
}

static void measure_snapshots(struct view *view)
{
    enum {
        COUNT = 10000
    };
    gint64 began = g_get_monotonic_time();
    for (unsigned i = 0; i < COUNT; i++)
        snapshot_unref(view_snapshot(view, NULL));
    say("snapshot, taken and dropped", began, COUNT);
    began = g_get_monotonic_time();
    for (unsigned i = 0; i < COUNT; i++)
        view_free(child_of(view));
    say("child, made and dropped", began, COUNT);
}

/* As the kernel would ask, by the state that a child has below it. */
static void measure_depth(struct view *view, const char *directory, unsigned depth)
{
    enum {
        NAMES = 2000
    };
    g_autoptr(GPtrArray) views = g_ptr_array_new();
    g_ptr_array_add(views, view);
    for (unsigned i = 0; i < depth; i++) {
        struct view *child = child_of(views->pdata[i]);
        put(child, directory, 100000 + i, "x");
        g_ptr_array_add(views, child);
    }
    g_autoptr(snapshot) top = view_snapshot(views->pdata[depth], NULL);
    g_autoptr(trace_state) host = trace_memory_state_new();
    struct trace_state *state = view_state_new(top, "/", host);
    g_autofree char *text = g_strdup_printf("name looked for through %u views", depth);
    gint64 began = g_get_monotonic_time();
    for (unsigned i = 0; i < NAMES; i++) {
        g_autofree char *path = g_strdup_printf("%s/absent%u", directory + 1, i);
        const struct trace_question question = { path, TRACE_KIND };
        struct trace_value answer = { 0 };
        if (!state->operations->look_up(state, &question, 1, &answer, NULL))
            abort();
    }
    say(text, began, NAMES);
    trace_state_free(state);
    g_clear_pointer(&top, snapshot_unref);
    for (unsigned i = depth; i > 0; i--)
        view_free(views->pdata[i]);
}

/* The parent's mount has seen the names, so that the kernel has them to forget. */
static void measure_commits(struct view *view, const struct entered *entered, const char *directory,
                            unsigned count)
{
    char *const list[] = { "ls", "-l", (char *)directory, NULL };
    autofd int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (unsigned i = 0; i < 2; i++) {
        struct view *child = child_of(view);
        for (unsigned n = 0; n < count; n++)
            put(child, directory, n, i == 0 ? "first" : "second");
        g_autofree char *text = g_strdup_printf(
            i == 0 ? "commit of %u new names, each" : "commit of %u known names, each", count);
        gint64 began = g_get_monotonic_time();
        commit(child);
        say(text, began, count);
        entered_run(entered, nothing, list);
    }
}

static int measure(struct view *view, const char *root, const char *directory)
{
    struct entered entered;
    if (!entered_start(&entered, view, root))
        return 1;
    measure_snapshots(view);
    for (unsigned depth = 0; depth <= 128; depth = depth == 0 ? 1 : depth * 8)
        measure_depth(view, directory, depth);
    measure_commits(view, &entered, directory, 1000);
    measure_commits(view, &entered, directory, 10000);
    entered_stop(&entered, view);
    return 0;
}

int main(int argc, char **argv)
{
    g_autofree char *scratch = g_dir_make_tmp("oracle-layers-XXXXXX", NULL);
    g_autofree char *root = g_build_filename(scratch, "root", NULL);
    g_autofree char *data = g_build_filename(scratch, "data", NULL);
    if (argc != 2 || argv[1][0] != '/' || g_mkdir_with_parents(root, 0755) != 0 ||
        g_mkdir_with_parents(data, 0700) != 0) {
        fprintf(stderr, "usage: oracle-layers DIRECTORY\n");
        return 2;
    }
    const struct view_options options = { .root = open("/", O_PATH | O_CLOEXEC),
                                          .scratch = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                          .processes = -1 };
    struct view *view = view_new(&options);
    int status = measure(view, root, argv[1]);
    view_free(view);
    fd_remove_tree(AT_FDCWD, scratch, NULL);
    return status;
}
