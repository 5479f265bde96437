// SPDX-License-Identifier: Apache-2.0
/* Names: looked up, made, moved, removed, listed; and the numbers of what they lead to. */
#include "view-support.h"

struct fixture {
    struct scene scene;
    struct asker asker;
};

/* f and g, and d with a and b in it, and l that leads to f. */
static void set_up(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    scene_init(scene);
    host_write(scene, "f", "f");
    host_write(scene, "g", "g");
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

/* --- looking ---------------------------------------------------------------------------------- */

static void what_is_not_there_may_be_kept_by_the_kernel(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpuint(lookup(asker, FUSE_ROOT_ID, "none"), ==, 0);
    const struct fuse_entry_out *out = asker->request.out;
    g_assert_cmpuint(out->entry_valid, >, 3600);
    host_write(&fixture->scene, "none", "it has come since");
    g_assert_cmpuint(lookup(asker, FUSE_ROOT_ID, "none"), ==, 0);
    assert_names(asker, FUSE_ROOT_ID, "d f g l ");
}

/* A stat must be told from a walk. */
static void a_name_is_given_without_attributes(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    walk(asker, "d/a");
    const struct fuse_entry_out *out = asker->request.out;
    g_assert_cmpuint(out->attr_valid, ==, 0);
    g_assert_cmpuint(out->attr_valid_nsec, ==, 0);
}

static void names_may_be_long_but_not_too_long(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_autofree char *longest = g_strnfill(NAME_MAX, '\xff');
    g_autofree char *longer = g_strnfill(NAME_MAX + 1, 'x');
    make_file(asker, FUSE_ROOT_ID, longest, "long");
    assert_content(asker, longest, "long");
    g_assert_cmpint(ask_name(asker, FUSE_LOOKUP, FUSE_ROOT_ID, longer), ==, -ENAMETOOLONG);
    g_assert_cmpint(try_mkdir(asker, FUSE_ROOT_ID, longer), ==, -ENAMETOOLONG);
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "f", FUSE_ROOT_ID, longer, 0), ==,
                    -ENAMETOOLONG);
}

static void only_directories_have_names_in_them(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 file = walk(asker, "f");
    g_assert_cmpint(try_mkdir(asker, file, "x"), ==, -ENOTDIR);
    g_assert_cmpint(unlink_name(asker, file, "x"), ==, -ENOTDIR);
}

static void a_path_below_may_be_longer_than_the_kernel_takes(struct fixture *fixture,
                                                             gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_autofree char *name = g_strnfill(200, 'n');
    int at = dup(fixture->scene.host);
    for (int i = 0; i < 50; i++) { /* 10,000 bytes */
        g_assert_cmpint(mkdirat(at, name, 0755), ==, 0);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    int file = openat(at, "deep", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    g_assert_cmpint(write(file, "deep", 4), ==, 4);
    g_assert_cmpint(symlinkat("target", at, "link"), ==, 0);
    close(file);
    close(at);
    guint64 node = FUSE_ROOT_ID;
    for (int i = 0; i < 50; i++)
        node = lookup(asker, node, name);
    assert_names(asker, node, "deep link ");
    g_autofree char *text = content(asker, lookup(asker, node, "deep"));
    g_assert_cmpstr(text, ==, "deep");
    guint64 link = lookup(asker, node, "link");
    g_assert_cmpint(ask_argument(asker, FUSE_READLINK, link, NULL, 0), ==, 0);
    g_assert_cmpuint(asker->request.out_size, ==, 6);
}

/* --- making and removing ---------------------------------------------------------------------- */

static void a_removed_name_is_absent_and_can_be_made_again(struct fixture *fixture,
                                                           gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(unlink_name(asker, FUSE_ROOT_ID, "f"), ==, 0);
    g_assert_cmpint(unlink_name(asker, FUSE_ROOT_ID, "f"), ==, -ENOENT);
    g_assert_cmpuint(lookup(asker, FUSE_ROOT_ID, "f"), ==, 0);
    assert_names(asker, FUSE_ROOT_ID, "d g l ");
    make_directory(asker, FUSE_ROOT_ID, "f");
    assert_names(asker, walk(asker, "f"), "");
    assert_names(asker, FUSE_ROOT_ID, "d f g l ");
    g_autofree char *below = read_text(fixture->scene.host, "f");
    g_assert_cmpstr(below, ==, "f");
}

static void only_an_empty_directory_is_removed(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, FUSE_ROOT_ID, "d"), ==, -ENOTEMPTY);
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, FUSE_ROOT_ID, "f"), ==, -ENOTDIR);
    g_assert_cmpint(unlink_name(asker, FUSE_ROOT_ID, "d"), ==, -EISDIR);
    guint64 directory = walk(asker, "d");
    unlink_name(asker, directory, "a");
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, FUSE_ROOT_ID, "d"), ==, -ENOTEMPTY);
    unlink_name(asker, directory, "b");
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, FUSE_ROOT_ID, "d"), ==, 0);
    guint64 made = make_directory(asker, FUSE_ROOT_ID, "d");
    assert_names(asker, made, ""); /* nothing of what lies below */
    g_assert_cmpuint(lookup(asker, made, "a"), ==, 0);
}

static void names_that_are_there_are_not_made_again(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(try_mkdir(asker, FUSE_ROOT_ID, "f"), ==, -EEXIST);
    g_assert_cmpint(try_symlink(asker, FUSE_ROOT_ID, "d", "x"), ==, -EEXIST);
    g_assert_cmpint(try_mknod(asker, FUSE_ROOT_ID, "l", S_IFIFO | 0644), ==, -EEXIST);
    g_assert_cmpint(try_link(asker, walk(asker, "g"), FUSE_ROOT_ID, "f"), ==, -EEXIST);
    g_assert_cmpint(try_mknod(asker, FUSE_ROOT_ID, "null", S_IFCHR | 0666), ==, -EPERM);
    g_assert_cmpint(try_mknod(asker, FUSE_ROOT_ID, "fifo", S_IFIFO | 0644), ==, 0);
    assert_names(asker, FUSE_ROOT_ID, "d f fifo g l ");
}

/* --- links ------------------------------------------------------------------------------------ */

static void a_file_below_gets_further_names(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f");
    g_assert_cmpint(try_link(asker, node, walk(asker, "d"), "other"), ==, 0);
    g_assert_cmpuint(answered_node(asker), ==, node);
    assert_content(asker, "d/other", "f");
    assert_content(asker, "f", "f");
    g_assert_cmpuint(attributes(asker, node).nlink, ==, 2);
    overwrite(asker, node, "both");
    assert_content(asker, "d/other", "both");
    unlink_name(asker, FUSE_ROOT_ID, "f");
    assert_content(asker, "d/other", "both");
    g_assert_cmpuint(attributes(asker, node).nlink, ==, 1);
    g_assert_cmpint(try_link(asker, walk(asker, "d"), FUSE_ROOT_ID, "x"), ==, -EPERM);
}

static void several_names_below_are_one_file(struct fixture *fixture, gconstpointer data)
{
    struct scene *scene = &fixture->scene;
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(linkat(scene->host, "f", scene->host, "d/f2", 0), ==, 0);
    guint64 one = walk(asker, "f");
    overwrite(asker, one, "through f");
    unlink_name(asker, FUSE_ROOT_ID, "f");
    forget(asker, one, 1);
    assert_content(asker, "d/f2", "through f");
    g_assert_cmpuint(attributes(asker, walk(asker, "d/f2")).nlink, ==, 1);
}

/* --- rename ----------------------------------------------------------------------------------- */

struct move { /* in the directory of set_up(), of which e is an empty one */
    const char *from, *to;
    guint32 flags;
    int expected;
    const char *names; /* afterwards */
};

static void renames_do_what_the_kind_of_either_allows(struct fixture *fixture, gconstpointer data)
{
    enum {
        NOREPLACE = 1,
        EXCHANGE = 2,
        WHITEOUT = 4
    };
    static const struct move moves[] = {
        { "f", "new", 0, 0, "d e g l new " },
        { "f", "g", 0, 0, "d e g l " },
        { "f", "f", 0, 0, "d e f g l " },
        { "f", "l", 0, 0, "d e g l " },
        { "l", "f", 0, 0, "d e f g " },
        { "f", "d", 0, -EISDIR, "d e f g l " },
        { "d", "f", 0, -ENOTDIR, "d e f g l " },
        { "d", "new", 0, 0, "e f g l new " },
        { "d", "e", 0, 0, "e f g l " },
        { "e", "d", 0, -ENOTEMPTY, "d e f g l " },
        { "none", "f", 0, -ENOENT, "d e f g l " },
        { "none", "new", EXCHANGE, -ENOENT, "d e f g l " },
        { "f", "new", NOREPLACE, 0, "d e g l new " },
        { "f", "g", NOREPLACE, -EEXIST, "d e f g l " },
        { "f", "d", EXCHANGE, 0, "d e f g l " },
        { "f", "none", EXCHANGE, -ENOENT, "d e f g l " },
        { "f", "new", WHITEOUT, -EINVAL, "d e f g l " },
        { "f", "new", NOREPLACE | EXCHANGE, -EINVAL, "d e f g l " },
    };
    host_mkdir(&fixture->scene, "e");
    for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
        const struct move *move = &moves[i];
        g_autoptr(view) view = scene_view(&fixture->scene);
        struct asker *asker = &fixture->asker;
        asker->request.view = view;
        g_test_message("%s to %s, %u", move->from, move->to, move->flags);
        g_assert_cmpint(
            rename_name(asker, FUSE_ROOT_ID, move->from, FUSE_ROOT_ID, move->to, move->flags), ==,
            move->expected);
        assert_names(asker, FUSE_ROOT_ID, move->names);
        if (move->expected == 0 && move->flags != EXCHANGE && strcmp(move->from, "f") == 0)
            assert_content(asker, move->to, "f");
        if (move->expected == 0 && strcmp(move->from, "d") == 0)
            assert_names(asker, walk(asker, move->to), "a b ");
    }
}

static void a_moved_directory_shows_what_lies_below_it(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 made = make_directory(asker, FUSE_ROOT_ID, "n");
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "d", made, "m", 0), ==, 0);
    assert_content(asker, "n/m/a", "a");
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "n", FUSE_ROOT_ID, "d", 0), ==, 0);
    assert_content(asker, "d/m/b", "b"); /* asked for only now, two moves later */
    assert_names(asker, walk(asker, "d"), "m ");
    g_assert_cmpuint(walk(asker, "d/a"), ==, 0);
}

static void no_directory_is_moved_into_itself(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 directory = walk(asker, "d"), inner = make_directory(asker, directory, "in");
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "d", inner, "x", 0), ==, -EINVAL);
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "d", directory, "x", 0), ==, -EINVAL);
    g_assert_cmpint(rename_name(asker, directory, "in", FUSE_ROOT_ID, "d", 2), ==, -EINVAL);
    g_assert_cmpint(rename_name(asker, directory, "in", FUSE_ROOT_ID, "d", 0), ==, -ENOTEMPTY);
}

static void a_replaced_file_lasts_for_those_who_have_it_open(struct fixture *fixture,
                                                             gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "g"), handle = open_file(asker, node, O_RDONLY);
    rename_name(asker, FUSE_ROOT_ID, "f", FUSE_ROOT_ID, "g", 0);
    g_autofree char *text = read_handle(asker, node, handle);
    g_assert_cmpstr(text, ==, "g");
    close_file(asker, node, handle);
    assert_content(asker, "g", "f");
}

/* --- listings and numbers --------------------------------------------------------------------- */

static void a_listing_looks_at_no_name_and_yet_knows_its_number(struct fixture *fixture,
                                                                gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 handle = open_file(asker, FUSE_ROOT_ID, O_DIRECTORY);
    const struct fuse_read_in in = { .fh = handle, .size = 4096 };
    guint nodes = fixture->scene.view->nodes.items->len;
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof in), ==, 0);
    g_assert_cmpuint(fixture->scene.view->nodes.items->len, ==, nodes);
    g_autofree guint8 *listing = g_memdup2(asker->request.out, asker->request.out_size);
    size_t size = asker->request.out_size, checked = 0;
    for (size_t at = 0; at < size;) {
        const struct fuse_dirent *one = (const void *)(listing + at);
        g_autofree char *name = g_strndup(one->name, one->namelen);
        at += FUSE_DIRENT_SIZE(one);
        if (one->off <= 2)
            continue;
        struct fuse_attr found = attributes(asker, walk(asker, name));
        g_assert_cmpuint(found.ino, ==, one->ino);
        g_assert_cmpuint(IFTODT(found.mode), ==, one->type);
        checked++;
    }
    g_assert_cmpuint(checked, ==, 4);
}

static void a_listing_goes_on_where_it_was_whatever_changes(struct fixture *fixture,
                                                            gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 handle = open_file(asker, FUSE_ROOT_ID, O_DIRECTORY);
    struct fuse_read_in in = { .fh = handle, .size = 32 * 3 }; /* ".", ".." and "d" */
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof in), ==, 0);
    g_assert_cmpuint(asker->request.out_size, ==, 96);
    unlink_name(asker, FUSE_ROOT_ID, "f");
    make_file(asker, FUSE_ROOT_ID, "a-new-one", "");
    in.offset = 3;
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof in), ==, 0);
    g_assert_cmpstr(((const struct fuse_dirent *)asker->request.out)->name, ==, "f");
    in.offset = G_MAXUINT64;
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof in), ==, 0);
    g_assert_cmpuint(asker->request.out_size, ==, 0);
    in.offset = 0; /* rewinddir() */
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof in), ==, 0);
    assert_names(asker, FUSE_ROOT_ID, "a-new-one d g l ");
}

/* Numbers of a file that is made, forgotten or not, and removed again and again. */
static void collect_numbers(struct fixture *fixture, bool forgotten, guint64 numbers[static 20])
{
    struct asker *asker = &fixture->asker;
    g_autoptr(view) view = scene_view(&fixture->scene);
    asker->request.view = view;
    for (int i = 0; i < 20; i++) {
        guint64 node = make_file(asker, FUSE_ROOT_ID, "conftest.c", "");
        numbers[i] = attributes(asker, node).ino;
        unlink_name(asker, FUSE_ROOT_ID, "conftest.c");
        if (forgotten)
            forget(asker, node, 1);
    }
}

static void numbers_do_not_depend_on_when_the_kernel_forgets(struct fixture *fixture,
                                                             gconstpointer data)
{
    guint64 one[20], other[20];
    collect_numbers(fixture, true, one);
    collect_numbers(fixture, false, other);
    for (int i = 0; i < 20; i++) {
        g_assert_cmpuint(one[i], ==, other[i]);
        g_assert_cmpuint(one[i], >, 1);
        g_assert_cmpuint(one[i], <=, G_MAXUINT32);
        for (int j = 0; j < i; j++)
            g_assert_cmpuint(one[i], !=, one[j]);
    }
}

static void a_number_stays_with_the_file_that_moves(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 number = attributes(asker, walk(asker, "f")).ino;
    rename_name(asker, FUSE_ROOT_ID, "f", FUSE_ROOT_ID, "moved", 0);
    guint64 other = attributes(asker, make_file(asker, FUSE_ROOT_ID, "f", "")).ino;
    g_assert_cmpuint(attributes(asker, walk(asker, "moved")).ino, ==, number);
    g_assert_cmpuint(other, !=, number);
}

static void a_node_is_forgotten_only_when_nobody_knows_it(struct fixture *fixture,
                                                          gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = make_file(asker, FUSE_ROOT_ID, "t", "");
    g_assert_cmpuint(lookup(asker, FUSE_ROOT_ID, "t"), ==, node);
    unlink_name(asker, FUSE_ROOT_ID, "t");
    forget(asker, node, 1);
    g_assert_cmpuint(attributes(asker, node).nlink, ==, 0);
    const struct {
        struct fuse_batch_forget_in in;
        struct fuse_forget_one one[2];
    } batch = { { .count = 99 }, { { .nodeid = node, .nlookup = 1 }, { .nodeid = 9999 } } };
    g_assert_cmpint(ask_argument(asker, FUSE_BATCH_FORGET, 0, &batch, sizeof batch), ==,
                    VIEW_NO_REPLY);
    const struct fuse_getattr_in in = { 0 };
    g_assert_cmpint(ask_argument(asker, FUSE_GETATTR, node, &in, sizeof in), ==, -ESTALE);
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
        TEST(what_is_not_there_may_be_kept_by_the_kernel),
        TEST(a_name_is_given_without_attributes),
        TEST(names_may_be_long_but_not_too_long),
        TEST(only_directories_have_names_in_them),
        TEST(a_path_below_may_be_longer_than_the_kernel_takes),
        TEST(a_removed_name_is_absent_and_can_be_made_again),
        TEST(only_an_empty_directory_is_removed),
        TEST(names_that_are_there_are_not_made_again),
        TEST(a_file_below_gets_further_names),
        TEST(several_names_below_are_one_file),
        TEST(renames_do_what_the_kind_of_either_allows),
        TEST(a_moved_directory_shows_what_lies_below_it),
        TEST(no_directory_is_moved_into_itself),
        TEST(a_replaced_file_lasts_for_those_who_have_it_open),
        TEST(a_listing_looks_at_no_name_and_yet_knows_its_number),
        TEST(a_listing_goes_on_where_it_was_whatever_changes),
        TEST(numbers_do_not_depend_on_when_the_kernel_forgets),
        TEST(a_number_stays_with_the_file_that_moves),
        TEST(a_node_is_forgotten_only_when_nobody_knows_it),
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/view/names/", tests[i].name, NULL);
        g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
