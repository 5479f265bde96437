// SPDX-License-Identifier: Apache-2.0
/* What was written, laid out as files; and who may write it. */
#include "view-support.h"

#include <sys/resource.h>
#include <sys/xattr.h>

struct fixture {
    struct scene scene;
    struct asker asker;
    int out;
    GPtrArray *deleted, *elsewhere;
};

/* The prefix is w, with f in it, and d with a and b. */
static void set_up(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    scene_init(scene);
    host_mkdir(scene, "w");
    host_mkdir(scene, "other");
    host_write(scene, "w/f", "f");
    host_mkdir(scene, "w/d");
    host_write(scene, "w/d/a", "a");
    host_write(scene, "w/d/b", "b");
    asker_init(&fixture->asker, scene);
    g_assert_cmpint(mkdirat(scene->scratch, "out", 0755), ==, 0);
    fixture->out = openat(scene->scratch, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture->deleted = g_ptr_array_new_with_free_func(g_free);
    fixture->elsewhere = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(struct fixture *fixture, gconstpointer data)
{
    close(fixture->out);
    g_ptr_array_unref(fixture->deleted);
    g_ptr_array_unref(fixture->elsewhere);
    asker_release(&fixture->asker);
    scene_release(&fixture->scene);
}

static void lay_out(struct fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    view_lay_out(fixture->scene.view, "/w", fixture->out, fixture->deleted, fixture->elsewhere,
                 &error);
    g_assert_no_error(error);
}

static void assert_out(struct fixture *fixture, const char *path, const char *expected)
{
    g_autofree char *text = read_text(fixture->out, path);
    g_assert_cmpstr(text, ==, expected);
}

static void assert_lines(const GPtrArray *lines, const char *expected)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(text, "%s ", (const char *)lines->pdata[i]);
    g_autofree char *got = g_string_free(text, FALSE);
    g_assert_cmpstr(got, ==, expected);
}

static struct stat stat_out(struct fixture *fixture, const char *path)
{
    struct stat status;
    g_assert_cmpint(fstatat(fixture->out, path, &status, AT_SYMLINK_NOFOLLOW), ==, 0);
    return status;
}

/* Every name below the outputs, sorted, each with a space behind it. */
static void assert_tree(struct fixture *fixture, const char *expected)
{
    g_autofree char *command =
        g_strdup_printf("cd '%s/scratch/out' && find . -mindepth 1 -printf '%%P\\0' | "
                        "LC_ALL=C sort -z | tr '\\0\\n' '  '",
                        fixture->scene.path);
    g_autofree char *got = NULL;
    char *argv[] = { (char *)"sh", (char *)"-c", command, NULL };
    g_assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &got, NULL, NULL, NULL));
    g_assert_cmpstr(got, ==, expected);
}

/* --- outputs ---------------------------------------------------------------------------------- */

static void what_is_only_read_is_no_output(struct fixture *fixture, gconstpointer data)
{
    assert_content(&fixture->asker, "w/d/a", "a");
    assert_names(&fixture->asker, walk(&fixture->asker, "w"), "d f ");
    lay_out(fixture);
    assert_tree(fixture, "");
    assert_lines(fixture->deleted, "");
}

static void what_is_written_is_laid_out(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    overwrite(asker, walk(asker, "w/d/a"), "new");
    guint64 made = make_directory(asker, walk(asker, "w"), "m");
    make_file(asker, made, "\xff odd\nname", "odd");
    g_assert_cmpint(try_symlink(asker, made, "l", "../f"), ==, 0);
    g_assert_cmpint(try_mknod(asker, made, "p", S_IFIFO | 0640), ==, 0);
    make_directory(asker, made, "empty");
    lay_out(fixture);
    assert_tree(fixture, "d d/a m m/empty m/l m/p m/\xff odd name ");
    assert_out(fixture, "d/a", "new");
    assert_out(fixture, "m/\xff odd\nname", "odd");
    g_assert_cmpuint(stat_out(fixture, "m/p").st_mode, ==, S_IFIFO | 0640);
    char target[8] = "";
    g_assert_cmpint(readlinkat(fixture->out, "m/l", target, sizeof target), ==, 4);
    g_assert_cmpstr(target, ==, "../f");
}

static void modes_times_and_attributes_go_along(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 file = walk(asker, "w/f"), directory = walk(asker, "w/d");
    g_assert_cmpint(set_mode_of(asker, file, 0751), ==, 0); /* nothing else of it is written */
    g_assert_cmpint(set_mode_of(asker, directory, 0500), ==, 0);
    const struct fuse_setattr_in times = {
        .valid = FATTR_ATIME | FATTR_MTIME, .atime = 5, .mtime = 1000, .mtimensec = 7
    };
    g_assert_cmpint(set_attributes_of(asker, file, times), ==, 0);
    lay_out(fixture);
    assert_out(fixture, "f", "f");
    struct stat status = stat_out(fixture, "f");
    g_assert_cmpuint(status.st_mode, ==, S_IFREG | 0751);
    g_assert_cmpint(status.st_mtim.tv_sec, ==, 1000);
    g_assert_cmpint(status.st_mtim.tv_nsec, ==, 7);
    g_assert_cmpuint(stat_out(fixture, "d").st_mode, ==, S_IFDIR | 0500);
    assert_tree(fixture, "d f ");
}

static void links_stay_links(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w"), made = make_file(asker, top, "one", "shared");
    g_assert_cmpint(try_link(asker, made, walk(asker, "w/d"), "two"), ==, 0);
    g_assert_cmpint(try_link(asker, walk(asker, "w/f"), top, "f2"), ==, 0);
    lay_out(fixture);
    assert_out(fixture, "f2", "f");
    g_assert_cmpuint(stat_out(fixture, "one").st_ino, ==, stat_out(fixture, "d/two").st_ino);
    g_assert_cmpuint(stat_out(fixture, "one").st_nlink, ==, 2);
}

/* --- what is gone ----------------------------------------------------------------------------- */

static void removed_names_are_told(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w"), directory = walk(asker, "w/d");
    unlink_name(asker, top, "f");
    unlink_name(asker, directory, "a");
    make_file(asker, top, "brief", "");
    unlink_name(asker, top, "brief");
    lay_out(fixture);
    assert_tree(fixture, "");
    assert_lines(fixture->deleted, "d/a f ");
}

static void a_moved_directory_is_output_there_and_gone_here(struct fixture *fixture,
                                                            gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w");
    unlink_name(asker, walk(asker, "w/d"), "b");
    g_assert_cmpint(rename_name(asker, top, "d", top, "moved", 0), ==, 0);
    make_file(asker, walk(asker, "w/moved"), "c", "c");
    lay_out(fixture);
    assert_tree(fixture, "moved moved/a moved/c ");
    assert_out(fixture, "moved/a", "a");
    assert_lines(fixture->deleted, "d d/a d/b ");
}

static void a_directory_that_was_made_again_holds_what_it_holds_now(struct fixture *fixture,
                                                                    gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w"), directory = walk(asker, "w/d");
    unlink_name(asker, directory, "a");
    unlink_name(asker, directory, "b");
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, top, "d"), ==, 0);
    make_file(asker, make_directory(asker, top, "d"), "b", "new");
    lay_out(fixture);
    assert_tree(fixture, "d d/b ");
    assert_out(fixture, "d/b", "new");
    assert_lines(fixture->deleted, "d d/a d/b ");
}

static void a_file_in_the_place_of_a_directory(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w");
    g_assert_cmpint(rename_name(asker, top, "d", FUSE_ROOT_ID, "taken", 0), ==, 0);
    make_file(asker, top, "d", "a file");
    lay_out(fixture);
    assert_out(fixture, "d", "a file");
    assert_lines(fixture->deleted, "d d/a d/b ");
    assert_lines(fixture->elsewhere, "/taken ");
}

static void writing_elsewhere_is_told(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    make_file(asker, walk(asker, "other"), "x", "x");
    make_file(asker, FUSE_ROOT_ID, "top", "x");
    lay_out(fixture);
    assert_tree(fixture, "");
    assert_lines(fixture->elsewhere, "/other/x /top ");
}

static void a_deep_tree_is_laid_out(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_autofree char *name = g_strnfill(250, 'n');
    guint64 node = walk(asker, "w");
    for (int i = 0; i < 40; i++) /* longer than the kernel takes a path */
        node = make_directory(asker, node, name);
    make_file(asker, node, "deepest", "deep");
    lay_out(fixture);
    int at = dup(fixture->out);
    for (int i = 0; i < 40; i++) {
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
        g_assert_cmpint(at, >=, 0);
    }
    g_autofree char *text = read_text(at, "deepest");
    close(at);
    g_assert_cmpstr(text, ==, "deep");
}

static void an_aborted_view_gives_nothing(struct fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_atomic_int_set(&fixture->scene.view->aborted, 1);
    g_assert_false(
        view_lay_out(fixture->scene.view, "/w", fixture->out, fixture->deleted, NULL, &error));
    g_assert_nonnull(error);
}

/* --- who may ---------------------------------------------------------------------------------- */

static void another_user_may_do_what_modes_say(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 top = walk(asker, "w"), file = walk(asker, "w/f"), handle;
    fixture->scene.uid = fixture->scene.gid = 12345;
    if (getuid() != 0) {
        g_test_skip("another user can be played by root alone");
        return;
    }
    g_assert_cmpint(try_open(asker, file, O_RDONLY, &handle), ==, 0);
    g_assert_cmpint(try_open(asker, file, O_WRONLY, &handle), ==, -EACCES);
    g_assert_cmpint(try_open(asker, file, O_RDONLY | O_TRUNC, &handle), ==, -EACCES);
    g_assert_cmpint(try_open(asker, file, O_RDONLY | VIEW_FMODE_EXEC, &handle), ==, -EACCES);
    g_assert_cmpint(try_mkdir(asker, top, "x"), ==, -EACCES);
    g_assert_cmpint(unlink_name(asker, top, "f"), ==, -EACCES);
    g_assert_cmpint(rename_name(asker, top, "f", top, "g", 0), ==, -EACCES);
    g_assert_cmpint(set_mode_of(asker, file, 0777), ==, -EPERM);
    const struct fuse_setattr_in size = { .valid = FATTR_SIZE, .size = 0 };
    g_assert_cmpint(set_attributes_of(asker, file, size), ==, -EACCES);
    const struct fuse_setattr_in owner = { .valid = FATTR_UID, .uid = 12345 };
    g_assert_cmpint(set_attributes_of(asker, file, owner), ==, -EPERM);
    fixture->scene.uid = fixture->scene.gid = 0;
    g_assert_cmpint(set_mode_of(asker, top, 0777), ==, 0);
    fixture->scene.uid = fixture->scene.gid = 12345;
    guint64 own = make_file(asker, top, "own", "x");
    struct fuse_attr found = attributes(asker, own);
    g_assert_cmpuint(found.uid, ==, 12345);
    g_assert_cmpint(set_mode_of(asker, own, 0600), ==, 0);
    lay_out(fixture);
    assert_out(fixture, "own", "x");
}

static void attributes_of_the_user_go_along(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    if (fsetxattr(fixture->out, "user.try", "", 0, 0) < 0) {
        g_test_skip("no extended attributes on the file system of temporary files");
        return;
    }
    const struct fuse_setxattr_in in = { .size = 5 };
    const struct question question = { .opcode = FUSE_SETXATTR,
                                       .node = walk(asker, "w/f"),
                                       .argument = &in,
                                       .size = FUSE_COMPAT_SETXATTR_IN_SIZE,
                                       .name = "user.a",
                                       .data = "value",
                                       .data_size = 5 };
    g_assert_cmpint(ask(asker, &question), ==, 0);
    lay_out(fixture);
    char value[8] = "";
    autofd int file = openat(fixture->out, "f", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fgetxattr(file, "user.a", value, sizeof value), ==, 5);
    g_assert_cmpstr(value, ==, "value");
}

#define TEST(name)  \
    {               \
#name, name \
    }

static void deep_directories_need_no_descriptor_each(struct fixture *fixture, gconstpointer data)
{
    enum {
        DEEP = 400
    };
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "w");
    struct rlimit before, few;
    g_autoptr(GString) path = g_string_new(NULL);
    for (guint i = 0; i < DEEP; i++) {
        node = make_directory(asker, node, "d2");
        g_string_append(path, "d2/");
        make_file(asker, node, "z", "after the directory");
    }
    g_assert_cmpint(set_mode_of(asker, node, 0710), ==, 0);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    few = (struct rlimit){ 150, before.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    lay_out(fixture);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_cmpuint(stat_out(fixture, path->str).st_mode & 07777, ==, 0710);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *file = g_strconcat(path->str, "z", NULL);
        assert_out(fixture, file, "after the directory");
        g_string_truncate(path, strlen("d2/"));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(struct fixture *, gconstpointer);
    } tests[] = {
        TEST(what_is_only_read_is_no_output),
        TEST(what_is_written_is_laid_out),
        TEST(modes_times_and_attributes_go_along),
        TEST(links_stay_links),
        TEST(removed_names_are_told),
        TEST(a_moved_directory_is_output_there_and_gone_here),
        TEST(a_directory_that_was_made_again_holds_what_it_holds_now),
        TEST(a_file_in_the_place_of_a_directory),
        TEST(writing_elsewhere_is_told),
        TEST(deep_directories_need_no_descriptor_each),
        TEST(a_deep_tree_is_laid_out),
        TEST(an_aborted_view_gives_nothing),
        TEST(another_user_may_do_what_modes_say),
        TEST(attributes_of_the_user_go_along),
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/view/layout/", tests[i].name, NULL);
        g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
