// SPDX-License-Identifier: Apache-2.0
/*
 * A program in parts, each run in a view of a stack that grows and shrinks at random: on the top,
 * or in a child of it that is committed at once. Besides,
 *
 *   - a part is run before in a child that is dropped: nothing of it may show;
 *   - after each commit the parent, whose mount has seen the tree before, must show the child's;
 *   - a child of a snapshot taken earlier must show the tree of that time.
 */
#include "nest.h"

#include "entered.h"
#include "generate.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct level {
    struct view *view; /* of the lowest, the caller's */
    struct entered entered;
    struct snapshot *old; /* NULL: none taken */
    char *tree;           /* as it was then */
};

struct nest {
    struct random random;
    GArray *levels; /* struct level; the last is the top */
    const char *root;
    bool plain;
    char **argv;
    int capture; /* a file in memory */
    int status;
    guint64 children;
};

static struct level *top_of(const struct nest *nest)
{
    return &g_array_index(nest->levels, struct level, nest->levels->len - 1);
}

static void check(struct nest *nest, bool good, const char *what)
{
    if (good)
        return;
    printf("NEST %s\n", what);
    fflush(stdout);
}

/* --- commands ----------------------------------------------------------------------------------
 */

static void run_part(struct nest *nest, const struct level *level, const char *part, int output)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (char **word = nest->argv; *word != NULL; word++)
        g_ptr_array_add(argv, *word);
    g_ptr_array_add(argv, (char *)part);
    g_ptr_array_add(argv, NULL);
    int status = entered_run(&level->entered, output, (char **)argv->pdata);
    nest->status = nest->status != 0 ? nest->status : status;
}

/* The same with "dump" in place of "run", by a process of that level. */
static char *tree_of(struct nest *nest, const struct level *level)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (char **word = nest->argv; *word != NULL; word++)
        g_ptr_array_add(argv, g_str_equal(*word, "run") ? "dump" : *word);
    g_ptr_array_add(argv, NULL);
    if (ftruncate(nest->capture, 0) != 0 || lseek(nest->capture, 0, SEEK_SET) != 0)
        return NULL;
    int status = entered_run(&level->entered, nest->capture, (char **)argv->pdata);
    nest->status = nest->status != 0 ? nest->status : status;
    lseek(nest->capture, 0, SEEK_SET);
    g_autoptr(GBytes) bytes = fd_read_all(nest->capture, 1 << 28, "tree", NULL);
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* --- levels ------------------------------------------------------------------------------------
 */

static bool start_on(struct nest *nest, struct snapshot *snapshot, struct level *out)
{
    const struct view_options options = {
        .below = snapshot, .label = ++nest->children, .processes = -1, .plain = nest->plain
    };
    *out = (struct level){ .view = view_new(&options) };
    if (entered_start(&out->entered, out->view, nest->root))
        return true;
    check(nest, false, "no child could be started");
    g_clear_pointer(&out->view, view_free);
    return false;
}

static bool start_child(struct nest *nest, struct level *out)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(snapshot) now = view_snapshot(top_of(nest)->view, &error);
    check(nest, now != NULL, "no snapshot could be taken");
    return now != NULL && start_on(nest, now, out);
}

/* The child on an older snapshot sees the tree of that time. */
static void forget_old(struct nest *nest, struct level *level)
{
    struct level child;
    if (level->old != NULL && start_on(nest, level->old, &child)) {
        g_autofree char *tree = tree_of(nest, &child);
        check(nest, g_strcmp0(tree, level->tree) == 0, "an old snapshot has changed");
        entered_stop(&child.entered, child.view);
        view_free(child.view);
    }
    g_clear_pointer(&level->old, snapshot_unref);
    g_clear_pointer(&level->tree, g_free);
}

static void remember(struct nest *nest, struct level *level)
{
    forget_old(nest, level);
    level->tree = tree_of(nest, level);
    level->old = view_snapshot(level->view, NULL);
}

static void commit(struct nest *nest, struct level *child, struct level *parent)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) conflicts =
        g_ptr_array_new_with_free_func((GDestroyNotify)view_conflict_free);
    g_autofree char *before = tree_of(nest, child);
    forget_old(nest, child);
    entered_stop(&child->entered, child->view);
    check(nest, view_commit(child->view, 0, conflicts, &error), "a commit failed");
    check(nest, conflicts->len == 0, "there was a conflict");
    view_free(child->view);
    g_autofree char *after = tree_of(nest, parent);
    check(nest, g_strcmp0(before, after) == 0, "the parent does not show what was committed");
}

static void push(struct nest *nest)
{
    struct level child;
    g_free(tree_of(nest, top_of(nest))); /* so that the kernel has it in its caches */
    if (start_child(nest, &child))
        g_array_append_val(nest->levels, child);
}

static void pop(struct nest *nest)
{
    struct level child = *top_of(nest);
    g_array_set_size(nest->levels, nest->levels->len - 1);
    commit(nest, &child, top_of(nest));
}

/* --- parts -------------------------------------------------------------------------------------
 */

static void run_and_drop(struct nest *nest, const char *part)
{
    struct level child;
    g_autofree char *before = tree_of(nest, top_of(nest));
    if (!start_child(nest, &child))
        return;
    lseek(nest->capture, 0, SEEK_SET);
    run_part(nest, &child, part, nest->capture);
    entered_stop(&child.entered, child.view);
    view_free(child.view);
    g_autofree char *after = tree_of(nest, top_of(nest));
    check(nest, g_strcmp0(before, after) == 0, "something of a dropped child is left");
}

static void do_part(struct nest *nest, const char *part)
{
    struct level child;
    if (random_percent(&nest->random, 40))
        push(nest);
    else if (nest->levels->len > 1 && random_percent(&nest->random, 50))
        pop(nest);
    if (random_percent(&nest->random, 30))
        run_and_drop(nest, part);
    if (random_percent(&nest->random, 30))
        remember(nest, top_of(nest));
    if (!random_percent(&nest->random, 50)) {
        run_part(nest, top_of(nest), part, STDOUT_FILENO);
    } else if (start_child(nest, &child)) {
        run_part(nest, &child, part, STDOUT_FILENO);
        commit(nest, &child, top_of(nest));
    }
    if (random_percent(&nest->random, 30))
        forget_old(nest, top_of(nest));
}

int nest(struct view *view, const char *root, guint64 seed, int parts, bool plain, char **argv)
{
    g_autoptr(GArray) levels = g_array_new(FALSE, FALSE, sizeof(struct level));
    struct nest nest = { { seed }, levels, root, plain, argv, memfd_create("tree", 0), 0, 0 };
    struct level first = { .view = view };
    if (!entered_start(&first.entered, view, root))
        return 125;
    g_array_append_val(levels, first);
    for (int i = 0; i < parts && nest.status == 0; i++) {
        g_autofree char *part = g_strdup_printf("%d/%d", i, parts);
        do_part(&nest, part);
    }
    while (levels->len > 1)
        pop(&nest);
    forget_old(&nest, top_of(&nest));
    entered_stop(&top_of(&nest)->entered, view);
    close(nest.capture);
    return nest.status;
}
