// SPDX-License-Identifier: Apache-2.0
/*
 * A place to run actions in, for tests: scratch directory, store, executor, and what came out.
 *
 * Each test runs as every kind of caller that this machine allows: root, an ordinary user, and
 * both without namespaces. Other users than root run in a child process, which hands its verdict
 * back as its exit status.
 */
#ifndef SANDBOX_SUPPORT_H
#define SANDBOX_SUPPORT_H

#include "base/fault.h"
#include "base/fd.h"
#include "sandbox/sandbox.h"
#include "tree-support.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORDINARY_USER 54321

/* --- boxes ------------------------------------------------------------------------------------ */

struct box {
    char *scratch;
    struct store *store;
    struct store_batch *batch;
    struct action *action;
    struct execution_request request;
    struct execution execution;
    GString *out, *err, *both;
    GError *error;
    struct sandbox_options options;
};

static enum sandbox_level test_level;

static inline void take_output(enum output_stream stream, const void *data, size_t size, void *user)
{
    struct box *box = user;
    g_string_append_len(stream == OUTPUT_STDOUT ? box->out : box->err, data, (gssize)size);
    g_string_append_len(box->both, data, (gssize)size);
}

static inline struct box *box_new(void)
{
    struct box *box = g_new0(struct box, 1);
    box->scratch = g_dir_make_tmp("test-sandbox-XXXXXX", NULL);
    g_assert_nonnull(box->scratch);
    box->store = store_new_memory();
    box->batch = store_batch_new(box->store);
    box->action = action_new();
    box->out = g_string_new(NULL);
    box->err = g_string_new(NULL);
    box->both = g_string_new(NULL);
    box->options = (struct sandbox_options){ .level = test_level, .scratch = box->scratch };
    g_strfreev(box->action->environment);
    box->action->environment = g_strsplit("HOME=/home/vial PATH=/usr/bin:/bin", " ", -1);
    box->request = (struct execution_request){
        .action = box->action,
        .store = box->store,
        .batch = box->batch,
        .output = take_output,
        .user = box,
        .jobs = 1,
    };
    box->execution.directory = -1;
    return box;
}

/* Inputs as lines of tree-support.h, contents into the store. */
#define box_inputs(box, ...) box_give(box, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
static inline void box_give(struct box *box, const char *const *lines)
{
    tree_unref(box->action->inputs);
    box->action->inputs = tree_of(lines);
    for (; *lines != NULL; lines++) {
        const char *content = strchr(*lines, '=');
        struct digest ignored;
        if (content != NULL)
            g_assert_true(
                store_batch_put(box->batch, content + 1, strlen(content + 1), &ignored, NULL));
    }
    g_assert_true(store_batch_commit(box->batch, NULL));
}

#define box_outputs(box, ...) \
    box_declare(box, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
static inline void box_declare(struct box *box, const char *const *patterns)
{
    g_strfreev(box->action->outputs);
    box->action->outputs = g_strdupv((char **)patterns);
}

static inline void box_set_argv(struct box *box, const char *const *argv)
{
    g_strfreev(box->action->argv);
    box->action->argv = g_strdupv((char **)argv);
}

/* Run what argv says; false and box->error if it did not start. */
static inline bool box_try(struct box *box)
{
    execution_clear(&box->execution);
    g_string_truncate(box->out, 0);
    g_string_truncate(box->err, 0);
    g_string_truncate(box->both, 0);
    g_clear_error(&box->error);
    struct executor *executor = sandbox_new(&box->options, &box->error);
    if (executor == NULL)
        return false;
    bool ok = executor_run(executor, &box->request, &box->execution, &box->error);
    executor_free(executor);
    g_assert_true(ok == (box->error == NULL));
    g_assert_true(ok == (box->execution.result != NULL));
    return ok;
}

static inline struct result *box_run(struct box *box, const char *script)
{
    box_set_argv(box, (const char *const[]){ "sh", "-c", script, NULL });
    box_try(box);
    g_assert_no_error(box->error);
    return box->execution.result;
}

/* Run `script`, which must succeed silently; its output is in box->out. */
static inline void box_pass(struct box *box, const char *script)
{
    const struct result *result = box_run(box, script);
    g_assert_cmpstr(box->err->str, ==, "");
    g_assert_cmpint(result->exit_code, ==, 0);
}

static inline char *box_base(const struct box *box)
{
    return g_strdup_printf("%s/vial-%u", box->scratch, (unsigned)geteuid());
}

/* How many directories of runs there are. */
static inline int box_leftovers(const struct box *box)
{
    g_autofree char *base = box_base(box);
    g_autoptr(GDir) directory = g_dir_open(base, 0, NULL);
    int count = 0;
    while (directory != NULL && g_dir_read_name(directory) != NULL)
        count++;
    return count;
}

static inline void box_free(struct box *box)
{
    execution_clear(&box->execution);
    g_assert_cmpint(box_leftovers(box), ==, 0);
    action_free(box->action);
    store_batch_free(box->batch);
    store_close(box->store);
    g_string_free(box->out, TRUE);
    g_string_free(box->err, TRUE);
    g_string_free(box->both, TRUE);
    g_clear_error(&box->error);
    fd_remove_tree(AT_FDCWD, box->scratch, NULL);
    g_free(box->scratch);
    g_free(box);
}
typedef struct box box;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(box, box_free)

static inline void assert_fault(const GError *error, enum fault code, const char *part)
{
    g_assert_error(error, FAULT, (gint)code);
    if (strstr(error->message, part) == NULL)
        g_error("\"%s\" does not mention \"%s\"", error->message, part);
}

/* --- who runs them ---------------------------------------------------------------------------- */

struct test_case {
    void (*run)(void);
    enum sandbox_level level;
    bool ordinary; /* not root */
};

static inline void run_case(gconstpointer data)
{
    const struct test_case *test = data;
    const char *preload = g_getenv("LD_PRELOAD");
    if (preload != NULL && strstr(preload, "vgpreload") != NULL)
        return g_test_skip("valgrind 3.19 lacks openat2(), mount_setattr() and a real vfork()");
    test_level = test->level;
    if (!test->ordinary || geteuid() != 0) {
        test->run();
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        if (chdir("/") < 0 || setgid(ORDINARY_USER) < 0 || setuid(ORDINARY_USER) < 0)
            _exit(99);
        test->run();
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

static inline void add_case(const char *path, const char *who, void (*run)(void),
                            enum sandbox_level level, bool ordinary)
{
    struct test_case *test = g_new(struct test_case, 1); /* lives as long as the tests */
    g_autofree char *name = g_strconcat(path, "/", who, NULL);
    *test = (struct test_case){ run, level, ordinary };
    g_test_add_data_func_full(name, test, run_case, g_free);
}

/* With namespaces: as root, if we are, and as an ordinary user. */
static inline void add_sealed(const char *path, void (*run)(void))
{
    if (geteuid() == 0)
        add_case(path, "root", run, SANDBOX_NAMESPACES, false);
    add_case(path, "user", run, SANDBOX_NAMESPACES, true);
}

/* Without namespaces as well. */
static inline void add_everywhere(const char *path, void (*run)(void))
{
    add_sealed(path, run);
    if (geteuid() == 0)
        add_case(path, "root-directory", run, SANDBOX_DIRECTORY, false);
    add_case(path, "user-directory", run, SANDBOX_DIRECTORY, true);
}

#endif
