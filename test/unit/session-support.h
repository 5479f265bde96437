// SPDX-License-Identifier: Apache-2.0
/* A workspace on disk, a session on it, and a sink that notes what was reported. */
#ifndef SESSION_SUPPORT_H
#define SESSION_SUPPORT_H

#include "action-support.h"
#include "base/fd.h"
#include "session/session-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct noting_sink {
    struct event_sink sink;
    GString *text; /* "conflict PATH\n" and the like */
};

static inline void note_event(struct event_sink *sink, const struct event *event)
{
    struct noting_sink *self = (struct noting_sink *)sink;
    const struct event_value *path = event_find(event, "path");
    g_string_append_printf(self->text, "%s%s%s\n", event_name(event->kind), path ? " " : "",
                           path ? path->text : "");
}

struct ground {
    char *scratch; /* holds ws/, from/ (where outputs lie) and outside/ */
    int workspace, from, outside;
    struct store *store;
    struct session session;
    struct noting_sink noted;
};

static inline int make_directory(const struct ground *ground, const char *name)
{
    g_autofree char *path = g_build_filename(ground->scratch, name, NULL);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    int made = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(made, >=, 0);
    return made;
}

static inline void ground_init(struct ground *ground)
{
    g_autoptr(GError) error = NULL;
    ground->scratch = g_dir_make_tmp("vial-session-XXXXXX", &error);
    g_assert_no_error(error);
    ground->workspace = make_directory(ground, "ws");
    ground->from = make_directory(ground, "from");
    ground->outside = make_directory(ground, "outside");
    ground->store = store_new_memory();
    ground->noted = (struct noting_sink){ { note_event }, g_string_new(NULL) };
    ground->session = (struct session){
        .store = ground->store,
        .sink = &ground->noted.sink,
        .root = g_build_filename(ground->scratch, "ws", NULL),
        .directory = g_strdup(""),
        .root_fd = ground->workspace,
    };
}

static inline void ground_release(struct ground *ground)
{
    g_autoptr(GError) error = NULL;
    close(ground->workspace);
    close(ground->from);
    close(ground->outside);
    fd_remove_tree(AT_FDCWD, ground->scratch, &error);
    g_assert_no_error(error);
    g_string_free(ground->noted.text, TRUE);
    g_free(ground->session.root);
    g_free(ground->session.directory);
    for (size_t i = 0; i < G_N_ELEMENTS(ground->session.own); i++)
        g_free(ground->session.own[i]);
    g_free(ground->scratch);
    store_close(ground->store);
}

/* --- files ------------------------------------------------------------------------------------ */

static inline void lay_file(int directory, const char *path, const char *text, mode_t mode)
{
    g_autoptr(GError) error = NULL;
    fd_make_parents(directory, path, &error);
    g_assert_no_error(error);
    unlinkat(directory, path, 0);
    autofd int file = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_assert_cmpint(file, >=, 0);
    fd_write_all(file, text, strlen(text), path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fchmod(file, mode), ==, 0);
}

/* One line as tree-support.h has it; "-path" takes away what is there, and all below. */
static inline void lay_line(int directory, const char *line)
{
    struct tree_entry entry;
    g_autofree char *target = NULL;
    if (*line == '-') {
        g_autoptr(GError) error = NULL;
        g_autofree char *parent = g_path_get_dirname(line + 1);
        g_autofree char *name = g_path_get_basename(line + 1);
        autofd int above = openat(directory, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd_remove_tree(above, name, &error);
        g_assert_no_error(error);
        return;
    }
    g_autofree char *path = parse_line(line, &entry, &target);
    g_assert_true(fd_make_parents(directory, path, NULL));
    if (entry.kind == TREE_FILE) {
        lay_file(directory, path, strchr(line, '=') + 1, entry.executable ? 0755 : 0644);
    } else if (entry.kind == TREE_SYMLINK) {
        unlinkat(directory, path, 0);
        g_assert_cmpint(symlinkat(target, directory, path), ==, 0);
    } else {
        g_assert_true(mkdirat(directory, path, 0755) == 0 || errno == EEXIST);
        tree_unref(entry.directory);
    }
}

static inline void lay_lines(int directory, const char *const *lines)
{
    for (; *lines != NULL; lines++)
        lay_line(directory, *lines);
}

#define LAY(directory, ...) \
    lay_lines(directory, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* What lies below `directory`, as `select` sees it; contents go into `store` unless it is NULL. */
static inline struct tree *capture_tree(int directory, const struct glob *select,
                                        struct store *store)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(store_batch) batch = store == NULL ? NULL : store_batch_new(store);
    struct capture_request request = {
        .directory = directory,
        .name = "tested",
        .select = select,
        .batch = batch,
        .jobs = 1,
        .outputs = true,
    };
    struct capture capture = { 0 };
    store_capture(store, &request, &capture, &error);
    g_assert_no_error(error);
    if (batch != NULL)
        store_batch_commit(batch, &error);
    g_assert_no_error(error);
    struct tree *tree = g_steal_pointer(&capture.tree);
    capture_clear(&capture);
    return tree;
}

/* Nothing but this lies below `directory`; a file left over from writing would show. */
#define assert_disk(directory, ...)                                   \
    do {                                                              \
        g_autoptr(tree) found_ = capture_tree(directory, NULL, NULL); \
        assert_tree(found_, __VA_ARGS__);                             \
    } while (0)

static inline struct stat status_of(int directory, const char *path)
{
    struct stat status;
    g_assert_cmpint(fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW), ==, 0);
    return status;
}

static inline void set_time(int directory, const char *path, gint64 nanoseconds)
{
    struct timespec times[2] = { fd_timespec(nanoseconds), fd_timespec(nanoseconds) };
    g_assert_cmpint(utimensat(directory, path, times, AT_SYMLINK_NOFOLLOW), ==, 0);
}

static inline gint64 time_of_path(int directory, const char *path)
{
    return fd_nanoseconds(status_of(directory, path).st_mtim);
}

static inline gint64 clock_time(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return fd_nanoseconds(now);
}

/*
 * Whatever is written from now on has a later time than now: files get theirs from the coarse
 * clock, which is some milliseconds behind.
 */
static inline void next_tick(void)
{
    for (gint64 start = clock_time(CLOCK_REALTIME); clock_time(CLOCK_REALTIME_COARSE) <= start;)
        continue;
}

#endif
