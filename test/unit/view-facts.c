// SPDX-License-Identifier: Apache-2.0
/* What is on record of each kind of access: DESIGN.md's table, "Recorded, per name". */
#include "view-support.h"

struct fixture {
    struct scene scene;
    struct asker asker;
};

/* d with a and b in it, f, and l that leads to f. */
static void set_up(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    scene_init(scene);
    host_write(scene, "f", "f");
    host_mkdir(scene, "d");
    host_write(scene, "d/a", "a");
    host_write(scene, "d/b", "b");
    g_assert_cmpint(symlinkat("f", scene->host, "l"), ==, 0);
    asker_init(&fixture->asker, scene);
}

static void tear_down(struct fixture *fixture, gconstpointer data)
{
    asker_release(&fixture->asker);
    scene_release(&fixture->scene);
}

static int access_to(struct asker *asker, guint64 node, int mask)
{
    const struct fuse_access_in in = { .mask = (guint32)mask };
    return ask_argument(asker, FUSE_ACCESS, node, &in, sizeof in);
}

static int read_link(struct asker *asker, guint64 node)
{
    return ask_argument(asker, FUSE_READLINK, node, NULL, 0);
}

/* --- the table -------------------------------------------------------------------------------- */

static void a_name_that_is_not_there_is_absent(struct fixture *fixture, gconstpointer data)
{
    walk(&fixture->asker, "none");
    walk(&fixture->asker, "d/none");
    assert_facts(&fixture->scene, "d kind\nd/none absent\nnone absent\n");
}

static void a_walk_tells_kinds_alone(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    walk(asker, "d/a");
    walk(asker, "l");
    g_assert_cmpint(access_to(asker, walk(asker, "d"), X_OK), ==, 0);
    g_assert_cmpint(access_to(asker, walk(asker, "f"), F_OK), ==, 0);
    assert_facts(&fixture->scene, "d kind\nd/a kind\nf kind\nl kind\n");
}

static void a_read_tells_the_content(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "d/a");
    close_file(asker, node, open_file(asker, node, O_RDONLY)); /* it could be mapped */
    assert_facts(&fixture->scene, "d kind\nd/a kind content\n");
}

static void an_execution_tells_the_content(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(fchmodat(fixture->scene.host, "f", 0755, 0), ==, 0);
    guint64 node = walk(asker, "f");
    close_file(asker, node, open_file(asker, node, O_RDONLY | VIEW_FMODE_EXEC));
    assert_facts(&fixture->scene, "f kind content\n");
}

static void attributes_tell_content_and_of_files_the_time(struct fixture *fixture,
                                                          gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    attributes(asker, walk(asker, "f"));
    attributes(asker, walk(asker, "d"));
    attributes(asker, walk(asker, "l"));
    assert_facts(&fixture->scene, "d kind content\nf kind content time\nl kind target\n");
}

static void permission_to_read_tells_the_mode(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(access_to(asker, walk(asker, "f"), R_OK), ==, 0);
    g_assert_cmpint(access_to(asker, walk(asker, "d"), W_OK), ==, 0);
    assert_facts(&fixture->scene, "d kind content\nf kind content\n");
}

static int get_xattr(struct asker *asker, guint64 node, const char *name)
{
    const struct fuse_getxattr_in in = { .size = 0 };
    const struct question question = {
        .opcode = FUSE_GETXATTR, .node = node, .argument = &in, .size = sizeof in, .name = name
    };
    return ask(asker, &question);
}

static void who_asks_for_attributes_of_the_user_learns_them(struct fixture *fixture,
                                                            gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    const struct fuse_getxattr_in in = { .size = 0 };
    g_assert_cmpint(get_xattr(asker, walk(asker, "f"), "user.x"), ==, -ENODATA);
    g_assert_cmpint(get_xattr(asker, walk(asker, "d/a"), "security.capability"), ==, -ENODATA);
    g_assert_cmpint(ask_argument(asker, FUSE_LISTXATTR, walk(asker, "d"), &in, sizeof in), ==, 0);
    g_assert_cmpint(get_xattr(asker, make_file(asker, FUSE_ROOT_ID, "own", ""), "user.x"), ==,
                    -ENODATA);
    assert_facts(&fixture->scene, "d kind xattrs\nd/a kind\nf kind xattrs\nown absent\n");
}

static void a_listing_tells_the_names(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    assert_names(asker, walk(asker, "d"), "a b ");
    assert_facts(&fixture->scene, "d kind names\n");
}

static void a_link_tells_its_target_when_it_is_read(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(read_link(asker, walk(asker, "l")), ==, 0);
    assert_facts(&fixture->scene, "l kind target\n");
}

/* --- own writing ------------------------------------------------------------------------------ */

static void what_it_made_itself_tells_nothing(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 made = make_directory(asker, FUSE_ROOT_ID, "m");
    make_file(asker, made, "x", "x");
    g_assert_cmpint(try_symlink(asker, made, "l", "x"), ==, 0);
    assert_content(asker, "m/x", "x");
    g_assert_cmpint(read_link(asker, walk(asker, "m/l")), ==, 0);
    attributes(asker, walk(asker, "m/x"));
    assert_names(asker, made, "l x ");
    walk(asker, "m/none");
    assert_facts(&fixture->scene, "m absent\n"); /* what mkdir told */
}

static void what_it_removed_is_absent_by_its_own_doing(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    walk(asker, "f");
    unlink_name(asker, FUSE_ROOT_ID, "f");
    walk(asker, "f");
    assert_facts(&fixture->scene, "f kind\n");
}

static void who_overwrites_does_not_learn_what_was_there(struct fixture *fixture,
                                                         gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    overwrite(asker, walk(asker, "f"), "new");
    attributes(asker, walk(asker, "f"));
    assert_content(asker, "f", "new");
    assert_facts(&fixture->scene, "f kind\n");
}

static void who_appends_depends_on_what_was_there(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f");
    close_file(asker, node, open_file(asker, node, O_WRONLY | O_APPEND));
    assert_facts(&fixture->scene, "f kind content\n");
}

static void a_listing_leaves_out_what_it_did_itself(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    struct asker *asker = &fixture->asker;
    guint64 directory = walk(asker, "d");
    make_file(asker, directory, "own", "");
    unlink_name(asker, directory, "a");
    assert_names(asker, directory, "b own ");
    struct trace_name names[] = { { "a", TRACE_FILE }, { "b", TRACE_FILE } };
    struct digest expected;
    trace_names_digest(names, G_N_ELEMENTS(names), &expected);
    g_autoptr(trace) trace = recorder_seal(scene->recorder, hash_host, scene);
    const struct trace_fact *fact = trace_find(trace, "d");
    g_assert_true(digest_equal(&fact->value.digest, &expected));
}

/* --- moved and linked ------------------------------------------------------------------------- */

static void a_moved_file_is_still_what_lay_where_it_was(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    rename_name(asker, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "moved", 0);
    assert_content(asker, "moved/a", "a");
    walk(asker, "d/a");
    assert_facts(&fixture->scene, "d kind\nd/a kind content\nmoved absent\n");
}

static void what_is_moved_into_the_outputs_was_read(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    g_autoptr(GPtrArray) deleted = g_ptr_array_new_with_free_func(g_free);
    rename_name(&fixture->asker, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "moved", 0);
    g_assert_cmpint(mkdirat(scene->scratch, "out", 0755), ==, 0);
    autofd int out = openat(scene->scratch, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_true(view_lay_out(scene->view, "/", out, deleted, NULL, NULL));
    assert_facts(scene, "d kind names\nd/a kind content\nd/b kind content\nmoved absent\n");
}

/* The kernel asks by node: it does not say by which name. */
static void every_name_of_a_file_that_has_several_is_on_record(struct fixture *fixture,
                                                               gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(linkat(scene->host, "f", scene->host, "d/f2", 0), ==, 0);
    g_assert_cmpint(linkat(scene->host, "f", scene->host, "f3", 0), ==, 0);
    walk(asker, "f");
    assert_content(asker, "d/f2", "f");
    assert_facts(scene, "d kind\nd/f2 kind content\nf kind content\n");
}

static void a_name_that_comes_later_is_on_record_as_well(struct fixture *fixture,
                                                         gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(linkat(scene->host, "f", scene->host, "f2", 0), ==, 0);
    assert_content(asker, "f", "f");
    walk(asker, "f2");
    assert_facts(scene, "f kind content\nf2 kind content\n");
}

/* --- what is refused, and what changes -------------------------------------------------------- */

static void what_is_refused_is_on_record(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    struct asker *asker = &fixture->asker;
    guint64 handle;
    host_mkdir(scene, "closed");
    host_write(scene, "secret", "secret");
    g_assert_cmpint(fchmodat(scene->host, "closed", 0700, 0), ==, 0);
    g_assert_cmpint(fchmodat(scene->host, "secret", 0600, 0), ==, 0);
    if (getuid() != 0) {
        g_test_skip("another user can be played by root alone");
        return;
    }
    scene->uid = scene->gid = 12345;
    g_assert_cmpint(try_open(asker, walk(asker, "secret"), O_RDONLY, &handle), ==, -EACCES);
    guint64 closed = walk(asker, "closed");
    g_assert_cmpint(try_open(asker, closed, O_DIRECTORY, &handle), ==, -EACCES);
    g_assert_cmpint(ask_name(asker, FUSE_LOOKUP, closed, "in"), ==, -EACCES);
    g_assert_cmpint(access_to(asker, walk(asker, "d"), W_OK), ==, -EACCES);
    assert_facts(scene, "closed kind names\nclosed/in kind\nd kind content\n"
                        "secret kind content\n");
}

static void a_name_that_was_listed_and_has_gone_is_unstable(struct fixture *fixture,
                                                            gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    assert_names(asker, walk(asker, "d"), "a b ");
    g_assert_cmpint(unlinkat(fixture->scene.host, "d/a", 0), ==, 0);
    g_assert_cmpuint(walk(asker, "d/a"), ==, 0);
    assert_facts(&fixture->scene, "d kind names\nd/a kind unstable\n");
}

static void a_file_that_changes_in_between_is_unstable(struct fixture *fixture, gconstpointer data)
{
    assert_content(&fixture->asker, "d/a", "a");
    host_write(&fixture->scene, "d/a", "longer");
    assert_facts(&fixture->scene, "d kind\nd/a kind content unstable\n");
}

#define TEST(name)  \
    {               \
#name, name \
    }

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(struct fixture *, gconstpointer);
    } tests[] = {
        TEST(a_name_that_is_not_there_is_absent),
        TEST(a_walk_tells_kinds_alone),
        TEST(a_read_tells_the_content),
        TEST(an_execution_tells_the_content),
        TEST(attributes_tell_content_and_of_files_the_time),
        TEST(permission_to_read_tells_the_mode),
        TEST(who_asks_for_attributes_of_the_user_learns_them),
        TEST(a_listing_tells_the_names),
        TEST(a_link_tells_its_target_when_it_is_read),
        TEST(what_it_made_itself_tells_nothing),
        TEST(what_it_removed_is_absent_by_its_own_doing),
        TEST(who_overwrites_does_not_learn_what_was_there),
        TEST(who_appends_depends_on_what_was_there),
        TEST(a_listing_leaves_out_what_it_did_itself),
        TEST(a_moved_file_is_still_what_lay_where_it_was),
        TEST(what_is_moved_into_the_outputs_was_read),
        TEST(every_name_of_a_file_that_has_several_is_on_record),
        TEST(a_name_that_comes_later_is_on_record_as_well),
        TEST(what_is_refused_is_on_record),
        TEST(a_name_that_was_listed_and_has_gone_is_unstable),
        TEST(a_file_that_changes_in_between_is_unstable),
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/view/facts/", tests[i].name, NULL);
        g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
