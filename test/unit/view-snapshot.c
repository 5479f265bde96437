// SPDX-License-Identifier: Apache-2.0
/* Snapshots, child views upon them, roll back and commit. */
#include "view-support.h"

#include <glib/gstdio.h>

struct child {
    struct scene scene;
    struct asker asker;
};

/* ThreadSanitizer counts 64 locks of one thread, and gives up at more when it looks for deadlocks.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}

static void child_open(struct child *child, struct scene *parent, struct snapshot *snapshot,
                       guint64 label)
{
    child->scene = *parent;
    child->scene.recorder = recorder_new("/");
    const struct view_options options = {
        .below = snapshot, .label = label, .recorder = child->scene.recorder, .processes = -1
    };
    child->scene.view = view_new(&options);
    asker_init(&child->asker, &child->scene);
}

/* Of the present state. */
static void child_begin(struct child *child, struct scene *parent, guint64 label)
{
    g_autoptr(snapshot) now = view_snapshot(parent->view, NULL);
    g_assert_nonnull(now);
    child_open(child, parent, now, label);
}

static void child_drop(struct child *child)
{
    asker_release(&child->asker);
    view_free(child->scene.view);
    recorder_free(child->scene.recorder);
}

/* What conflicts there were: "path kind other" a line. */
static char *child_commit(struct child *child)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) conflicts =
        g_ptr_array_new_with_free_func((GDestroyNotify)view_conflict_free);
    view_commit(child->scene.view, 0, conflicts, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < conflicts->len; i++) {
        const struct view_conflict *one = conflicts->pdata[i];
        g_string_append_printf(text, "%s %d %d\n", one->path, (int)one->kind, (int)one->other);
    }
    child_drop(child);
    return g_string_free(text, FALSE);
}

static void assert_commit(struct child *child, const char *conflicts)
{
    g_autofree char *found = child_commit(child);
    g_assert_cmpstr(found, ==, conflicts);
}

static void assert_child_facts(struct child *child, const char *expected)
{
    struct view_hash closure = { child->scene.view, hash_host, &child->scene };
    GString *text = g_string_new(NULL);
    g_autoptr(trace) trace = recorder_seal(child->scene.recorder, view_hash, &closure);
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        g_string_append(text, *fact->path == '\0' ? "." : fact->path);
        for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
            if ((fact->aspects & 1u << bit) != 0)
                g_string_append_printf(text, " %s", trace_aspect_name(1u << bit));
        if ((fact->aspects & TRACE_CONTENT) != 0 && fact->value.kind == TRACE_FILE)
            g_string_append_printf(text, " %d", (int)fact->value.digest.size);
        g_string_append(text, fact->unstable ? " unstable\n" : "\n");
    }
    g_assert_cmpstr(text->str, ==, expected);
    g_string_free(text, TRUE);
}

struct fixture {
    struct scene scene;
    struct asker asker;
};

static void set_up(struct fixture *fixture, gconstpointer unused)
{
    scene_init(&fixture->scene);
    host_mkdir(&fixture->scene, "d");
    host_write(&fixture->scene, "d/a", "a below");
    host_write(&fixture->scene, "d/b", "b below");
    host_write(&fixture->scene, "f", "f below");
    asker_init(&fixture->asker, &fixture->scene);
}

static void tear_down(struct fixture *fixture, gconstpointer unused)
{
    asker_release(&fixture->asker);
    scene_release(&fixture->scene);
}

/* --- what a child sees ------------------------------------------------------------------------ */

static void a_child_sees_what_its_parent_wrote_before_and_nothing_after(struct fixture *fixture,
                                                                        gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 made = make_file(parent, FUSE_ROOT_ID, "new", "first");
    overwrite(parent, walk(parent, "f"), "changed");
    g_assert_cmpint(unlink_name(parent, walk(parent, "d"), "b"), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    overwrite(parent, made, "second");
    overwrite(parent, walk(parent, "d/a"), "a above");
    g_assert_cmpint(unlink_name(parent, FUSE_ROOT_ID, "f"), ==, 0);
    make_file(parent, walk(parent, "d"), "late", "late");
    g_assert_cmpint(rename_name(parent, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "e", 0), ==, 0);
    assert_content(&child.asker, "new", "first");
    assert_content(&child.asker, "f", "changed");
    assert_content(&child.asker, "d/a", "a below");
    g_assert_cmpuint(walk(&child.asker, "d/b"), ==, 0);
    g_assert_cmpuint(walk(&child.asker, "d/late"), ==, 0);
    g_assert_cmpuint(walk(&child.asker, "e"), ==, 0);
    assert_names(&child.asker, FUSE_ROOT_ID, "d f new ");
    assert_names(&child.asker, walk(&child.asker, "d"), "a ");
    child_drop(&child);
    assert_names(parent, FUSE_ROOT_ID, "e new ");
}

static void attributes_are_those_of_the_moment(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 node = make_file(parent, FUSE_ROOT_ID, "new", "12345");
    const struct fuse_setattr_in first = { .valid = FATTR_MTIME, .mtime = 1000 };
    const struct fuse_setattr_in second = { .valid = FATTR_MTIME, .mtime = 2000 };
    g_assert_cmpint(set_mode_of(parent, node, 0600), ==, 0);
    g_assert_cmpint(set_attributes_of(parent, node, first), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    g_assert_cmpint(set_mode_of(parent, node, 0755), ==, 0);
    g_assert_cmpint(set_attributes_of(parent, node, second), ==, 0);
    g_assert_cmpint(try_link(parent, node, FUSE_ROOT_ID, "other"), ==, 0);
    const struct fuse_attr seen = attributes(&child.asker, walk(&child.asker, "new"));
    g_assert_cmpuint(seen.mode & 07777, ==, 0600);
    g_assert_cmpuint(seen.mtime, ==, 1000);
    g_assert_cmpuint(seen.nlink, ==, 1);
    g_assert_cmpuint(seen.size, ==, 5);
    g_assert_cmpuint(seen.ino, ==, attributes(parent, node).ino);
    g_assert_cmpuint(attributes(parent, node).mtime, ==, 2000);
    child_drop(&child);
}

static void what_is_written_through_an_open_file_is_hidden(struct fixture *fixture,
                                                           gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 node, handle = create(parent, FUSE_ROOT_ID, "log", &node);
    g_assert_cmpint(write_at(parent, node, handle, 0, "one"), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    g_assert_cmpint(write_at(parent, node, handle, 0, "two, and more"), ==, 0);
    assert_content(&child.asker, "log", "one");
    close_file(parent, node, handle);
    assert_content(parent, "log", "two, and more");
    child_drop(&child);
}

/* The earlier snapshot has the same file as long as nothing but attributes has changed. */
static void nor_does_it_show_in_an_earlier_snapshot(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child first, second;
    guint64 node = make_file(parent, FUSE_ROOT_ID, "log", "one");
    child_begin(&first, &fixture->scene, 1);
    g_assert_cmpint(set_mode_of(parent, node, 0600), ==, 0);
    guint64 seen = walk(&first.asker, "log"), reader = open_file(&first.asker, seen, O_RDONLY);
    guint64 handle = open_file(parent, node, O_RDWR);
    child_begin(&second, &fixture->scene, 2);
    g_assert_cmpint(write_at(parent, node, handle, 0, "two"), ==, 0);
    g_autofree char *text = read_handle(&first.asker, seen, reader);
    g_assert_cmpstr(text, ==, "one");
    assert_content(&second.asker, "log", "one");
    close_file(parent, node, handle);
    assert_content(parent, "log", "two");
    child_drop(&second);
    child_drop(&first);
}

static void several_snapshots_stay_what_they_were(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child children[10];
    char text[16];
    guint64 node = make_file(parent, FUSE_ROOT_ID, "n", "start");
    for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
        g_snprintf(text, sizeof text, "text %u", i);
        overwrite(parent, node, text);
        if (i % 3 == 2) {
            g_assert_cmpint(unlink_name(parent, FUSE_ROOT_ID, "n"), ==, 0);
            node = make_file(parent, FUSE_ROOT_ID, "n", text);
        }
        child_begin(&children[i], &fixture->scene, i + 1);
    }
    overwrite(parent, node, "end");
    for (guint at = 0; at < G_N_ELEMENTS(children); at++) { /* freed in another order */
        guint i = at * 7 % G_N_ELEMENTS(children);
        g_snprintf(text, sizeof text, "text %u", i);
        assert_content(&children[i].asker, "n", text);
        child_drop(&children[i]);
    }
    autofd int scratch = openat(fixture->scene.scratch, ".", O_RDONLY | O_DIRECTORY);
    assert_content(parent, "n", "end");
    g_assert_null(fixture->scene.view->latest);
    g_assert_cmpint(faccessat(scratch, "1", F_OK, 0), ==, -1); /* the first file is gone */
}

/* --- roll back and commit --------------------------------------------------------------------- */

static void a_dropped_child_leaves_nothing(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    make_file(parent, FUSE_ROOT_ID, "mine", "mine");
    child_begin(&child, &fixture->scene, 1);
    overwrite(&child.asker, walk(&child.asker, "mine"), "theirs");
    overwrite(&child.asker, walk(&child.asker, "f"), "theirs");
    make_file(&child.asker, FUSE_ROOT_ID, "x", "x");
    g_assert_cmpint(rename_name(&child.asker, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "e", 0), ==, 0);
    child_drop(&child);
    assert_names(parent, FUSE_ROOT_ID, "d f mine ");
    assert_content(parent, "mine", "mine");
    assert_content(parent, "f", "f below");
}

static void a_commit_brings_files_names_and_attributes(struct fixture *fixture,
                                                       gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 kept = make_file(parent, FUSE_ROOT_ID, "kept", "kept");
    make_file(parent, FUSE_ROOT_ID, "gone", "gone");
    child_begin(&child, &fixture->scene, 1);
    struct asker *asker = &child.asker;
    guint64 directory = make_directory(asker, FUSE_ROOT_ID, "new");
    make_file(asker, directory, "file", "text");
    g_assert_cmpint(try_symlink(asker, directory, "link", "file"), ==, 0);
    g_assert_cmpint(try_link(asker, walk(asker, "kept"), directory, "other"), ==, 0);
    g_assert_cmpint(unlink_name(asker, FUSE_ROOT_ID, "gone"), ==, 0);
    g_assert_cmpint(unlink_name(asker, walk(asker, "d"), "b"), ==, 0);
    overwrite(asker, walk(asker, "f"), "changed");
    g_assert_cmpint(set_mode_of(asker, walk(asker, "d/a"), 0700), ==, 0);
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "d", directory, "moved", 0), ==, 0);
    assert_commit(&child, "");
    assert_names(parent, FUSE_ROOT_ID, "f kept new ");
    assert_names(parent, walk(parent, "new"), "file link moved other ");
    assert_names(parent, walk(parent, "new/moved"), "a ");
    assert_content(parent, "new/file", "text");
    assert_content(parent, "new/moved/a", "a below");
    assert_content(parent, "f", "changed");
    g_assert_cmpuint(walk(parent, "new/other"), ==, kept);
    g_assert_cmpuint(attributes(parent, kept).nlink, ==, 2);
    g_assert_cmpuint(attributes(parent, walk(parent, "new/moved/a")).mode & 0777, ==, 0700);
}

static void names_that_were_exchanged_in_a_child_are_exchanged(struct fixture *fixture,
                                                               gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 f = walk(parent, "f"), d = walk(parent, "d");
    child_begin(&child, &fixture->scene, 1);
    g_assert_cmpint(rename_name(&child.asker, FUSE_ROOT_ID, "f", FUSE_ROOT_ID, "d", 2), ==, 0);
    assert_commit(&child, "");
    g_assert_cmpuint(walk(parent, "f"), ==, d);
    g_assert_cmpuint(walk(parent, "d"), ==, f);
    assert_content(parent, "f/a", "a below");
}

static void an_open_file_of_the_parent_reads_what_a_child_wrote_in_place(struct fixture *fixture,
                                                                         gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 made = make_file(parent, FUSE_ROOT_ID, "new", "before");
    guint64 handle = open_file(parent, made, O_RDONLY);
    child_begin(&child, &fixture->scene, 1);
    overwrite(&child.asker, walk(&child.asker, "new"), "after");
    g_autofree char *before = read_handle(parent, made, handle);
    g_assert_cmpstr(before, ==, "before");
    assert_commit(&child, "");
    g_autofree char *after = read_handle(parent, made, handle);
    g_assert_cmpstr(after, ==, "after");
    close_file(parent, made, handle);
}

static void extended_attributes_of_a_snapshot_stay(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 node = make_file(parent, FUSE_ROOT_ID, "new", "x");
    const struct fuse_setxattr_in in = { .size = 1 };
    struct question question = { .opcode = FUSE_SETXATTR,
                                 .node = node,
                                 .argument = &in,
                                 .size = FUSE_COMPAT_SETXATTR_IN_SIZE,
                                 .name = "user.a",
                                 .data = "1",
                                 .data_size = 1 };
    g_assert_cmpint(ask(parent, &question), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    question.data = "2";
    g_assert_cmpint(ask(parent, &question), ==, 0);
    const struct fuse_getxattr_in get = { .size = 10 };
    question = (struct question){ .opcode = FUSE_GETXATTR,
                                  .node = walk(&child.asker, "new"),
                                  .argument = &get,
                                  .size = sizeof get,
                                  .name = "user.a" };
    g_assert_cmpint(ask(&child.asker, &question), ==, 0);
    g_assert_cmpuint(*(const guint8 *)child.asker.request.out, ==, '1');
    child_drop(&child);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void a_new_file_in_the_place_of_a_renamed_one_has_another_number(struct fixture *fixture,
                                                                        gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    make_file(parent, FUSE_ROOT_ID, "p", "p");
    g_assert_cmpint(rename_name(parent, FUSE_ROOT_ID, "p", FUSE_ROOT_ID, "q", 0), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    guint64 made = make_file(&child.asker, FUSE_ROOT_ID, "p", "p");
    guint64 other = walk(&child.asker, "q");
    g_assert_cmpuint(attributes(&child.asker, made).ino, !=, attributes(&child.asker, other).ino);
    child_drop(&child);
}

static void names_of_one_file_are_one_file_through_layers(struct fixture *fixture,
                                                          gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    g_assert_cmpint(linkat(fixture->scene.host, "f", fixture->scene.host, "g", 0), ==, 0);
    overwrite(parent, walk(parent, "f"), "through f");
    child_begin(&child, &fixture->scene, 1);
    guint64 one = walk(&child.asker, "g"), other = walk(&child.asker, "f");
    g_assert_cmpuint(one, ==, other);
    assert_content(&child.asker, "g", "through f");
    overwrite(&child.asker, one, "through g");
    assert_commit(&child, "");
    assert_content(parent, "f", "through g");
    assert_content(parent, "g", "through g");
}

/* --- depth ------------------------------------------------------------------------------------ */

enum {
    DEEP = 120
};

static void a_hundred_views_upon_each_other(struct fixture *fixture, gconstpointer unused)
{
    struct child *children = g_new0(struct child, DEEP);
    char name[16];
    for (guint i = 0; i < DEEP; i++) {
        struct scene *parent = i == 0 ? &fixture->scene : &children[i - 1].scene;
        child_begin(&children[i], parent, i + 1);
        g_snprintf(name, sizeof name, "n%03u", i);
        make_file(&children[i].asker, walk(&children[i].asker, "d"), name, name);
        if (i % 10 != 9)
            continue;
        struct asker *asker = &children[i].asker; /* so that not all lies where its name says */
        guint64 root = FUSE_ROOT_ID;
        g_assert_cmpint(rename_name(asker, root, "d", root, "e", 0), ==, 0);
        g_assert_cmpint(rename_name(asker, root, "e", root, "d", 0), ==, 0);
    }
    struct asker *top = &children[DEEP - 1].asker;
    assert_content(top, "d/n000", "n000");
    assert_content(top, "d/n057", "n057");
    assert_content(top, "d/a", "a below");
    g_assert_cmpuint(walk(top, "d/absent"), ==, 0);
    for (guint i = DEEP; i-- > 0;)
        assert_commit(&children[i], "");
    assert_content(&fixture->asker, "d/n119", "n119");
    assert_content(&fixture->asker, "d/n000", "n000");
    g_free(children);
}

static void nothing_grows_with_the_number_of_commits(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    guint nodes = 0;
    for (guint i = 0; i < 500; i++) {
        struct child child;
        child_begin(&child, &fixture->scene, i + 1);
        guint64 node = walk(&child.asker, "out");
        if (node != 0)
            g_assert_cmpint(unlink_name(&child.asker, FUSE_ROOT_ID, "out"), ==, 0);
        make_file(&child.asker, FUSE_ROOT_ID, "out", "out");
        make_file(&child.asker, FUSE_ROOT_ID, "temporary", "");
        g_assert_cmpint(unlink_name(&child.asker, FUSE_ROOT_ID, "temporary"), ==, 0);
        assert_commit(&child, "");
        if (i == 10)
            nodes = fixture->scene.view->nodes.items->len;
    }
    g_assert_cmpuint(fixture->scene.view->nodes.items->len, ==, nodes);
    assert_content(parent, "out", "out");
    g_autoptr(GDir) scratch = NULL;
    g_autofree char *path = g_build_filename(fixture->scene.path, "scratch", NULL);
    scratch = g_dir_open(path, 0, NULL);
    guint files = 0;
    while (g_dir_read_name(scratch) != NULL)
        files++;
    g_assert_cmpuint(files, ==, 1);
}

/* --- facts ------------------------------------------------------------------------------------ */

static void
what_a_child_learns_of_its_parents_writing_is_a_fact_of_the_child(struct fixture *fixture,
                                                                  gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    guint64 node = make_file(parent, FUSE_ROOT_ID, "new", "12345");
    child_begin(&child, &fixture->scene, 1);
    overwrite(parent, node, "123");
    assert_content(&child.asker, "new", "12345");
    assert_content(&child.asker, "f", "f below");
    assert_child_facts(&child, "f kind content 7\nnew kind content 5\n");
    child_drop(&child);
}

static void only_what_the_parent_did_not_write_is_a_fact_of_the_parent(struct fixture *fixture,
                                                                       gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    make_file(parent, FUSE_ROOT_ID, "new", "12345");
    g_assert_cmpint(rename_name(parent, walk(parent, "d"), "b", FUSE_ROOT_ID, "moved", 0), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    assert_content(&child.asker, "new", "12345");
    assert_content(&child.asker, "f", "f below");
    assert_content(&child.asker, "moved", "b below");
    g_assert_cmpuint(walk(&child.asker, "absent"), ==, 0);
    g_assert_cmpuint(walk(&child.asker, "d/b"), ==, 0);
    assert_commit(&child, "");
    assert_facts(&fixture->scene, "absent absent\nd kind\nd/b kind content\nf kind content\n"
                                  "moved absent\nnew absent\n");
}

/* --- what a caller needs ---------------------------------------------------------------------- */

static void a_child_is_laid_out_and_committed(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    g_autofree char *path = g_build_filename(fixture->scene.path, "out", NULL);
    g_autoptr(GPtrArray) deleted = g_ptr_array_new_with_free_func(g_free);
    child_begin(&child, &fixture->scene, 1);
    guint64 made = make_file(&child.asker, FUSE_ROOT_ID, "new", "new");
    g_assert_cmpint(set_mode_of(&child.asker, made, 0444), ==, 0);
    overwrite(&child.asker, walk(&child.asker, "d/a"), "changed");
    g_assert_cmpint(unlink_name(&child.asker, FUSE_ROOT_ID, "f"), ==, 0);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    autofd int out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_true(view_lay_out(child.scene.view, "/", out, deleted, NULL, NULL));
    g_autofree char *one = read_text(out, "new"), *other = read_text(out, "d/a");
    g_assert_cmpstr(one, ==, "new");
    g_assert_cmpstr(other, ==, "changed");
    g_assert_cmpuint(deleted->len, ==, 1);
    assert_commit(&child, "");
    assert_content(parent, "new", "new");
    assert_content(parent, "d/a", "changed");
    guint64 node = walk(parent, "new");
    g_assert_cmpint(set_mode_of(parent, node, 0644), ==, 0);
    overwrite(parent, node, "again");
    assert_content(parent, "new", "again");
}

static void a_stored_result_is_put_into_a_child(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    g_autoptr(GError) error = NULL;
    autofd int data = fd_from_bytes("result", 6, NULL);
    const struct view_file file = {
        .path = "/out/deep/file", .mode = S_IFREG | 0755, .content = data, .time = 5000000000
    };
    const struct view_file over = { .path = "/f", .mode = S_IFREG | 0644, .content = data };
    const struct view_file link = { .path = "/out/l", .mode = S_IFLNK | 0777, .target = "deep" };
    child_begin(&child, &fixture->scene, 1);
    g_assert_true(view_put(child.scene.view, &file, &error));
    g_assert_true(view_put(child.scene.view, &over, &error));
    g_assert_true(view_put(child.scene.view, &link, &error));
    g_assert_true(view_put_link(child.scene.view, "/out/again", "/out/deep/file", &error));
    g_assert_true(view_put_away(child.scene.view, "/d", &error));
    g_assert_true(view_put_away(child.scene.view, "/never/there", &error));
    g_assert_no_error(error);
    assert_commit(&child, "");
    assert_names(parent, FUSE_ROOT_ID, "f out ");
    assert_names(parent, walk(parent, "out"), "again deep l ");
    assert_content(parent, "out/deep/file", "result");
    assert_content(parent, "f", "result");
    const struct fuse_attr seen = attributes(parent, walk(parent, "out/again"));
    g_assert_cmpuint(seen.mode & 07777, ==, 0755);
    g_assert_cmpuint(seen.mtime, ==, 5);
    g_assert_cmpuint(seen.nlink, ==, 2);
}

/* In the state of the moment the facts of a child hold, and later not. */
static void facts_can_be_asked_of_a_snapshot(struct fixture *fixture, gconstpointer unused)
{
    struct asker *parent = &fixture->asker;
    struct child child;
    g_autofree char *root = g_build_filename(fixture->scene.path, "host", NULL);
    g_autoptr(trace_state) nothing = trace_memory_state_new();
    g_autoptr(GByteArray) then = g_byte_array_new();
    g_autoptr(GByteArray) now = g_byte_array_new();
    g_autoptr(GByteArray) recorded = g_byte_array_new();
    guint64 node = make_file(parent, FUSE_ROOT_ID, "new", "12345");
    make_directory(parent, FUSE_ROOT_ID, "e");
    make_file(parent, walk(parent, "e"), "in", "in");
    g_assert_cmpint(try_symlink(parent, FUSE_ROOT_ID, "l", "new"), ==, 0);
    child_begin(&child, &fixture->scene, 1);
    assert_content(&child.asker, "new", "12345");
    assert_names(&child.asker, walk(&child.asker, "e"), "in ");
    g_assert_cmpint(ask_argument(&child.asker, FUSE_READLINK, walk(&child.asker, "l"), NULL, 0), ==,
                    0);
    struct view_hash closure = { child.scene.view, hash_host, &child.scene };
    g_autoptr(trace) trace = recorder_seal(child.scene.recorder, view_hash, &closure);
    g_autoptr(path_set) set = path_set_of(trace);
    trace_values(trace, recorded);
    g_autoptr(trace_state) before = view_state_new(child.scene.view->start, "/", nothing);
    g_assert_true(path_set_evaluate(set, before, then, NULL));
    g_assert_cmpmem(then->data, then->len, recorded->data, recorded->len);
    overwrite(parent, node, "other");
    g_autoptr(snapshot) later = view_snapshot(fixture->scene.view, NULL);
    g_autoptr(trace_state) after = view_state_new(later, "/", nothing);
    g_assert_true(path_set_evaluate(set, after, now, NULL));
    g_assert_true(then->len != now->len || memcmp(then->data, now->data, now->len) != 0);
    child_drop(&child);
}

/* --- the session pins what it saw ------------------------------------------------------------- */

static void a_host_file_that_changes_between_two_children_is_told(struct fixture *fixture,
                                                                  gconstpointer unused)
{
    struct child first, second;
    child_begin(&first, &fixture->scene, 1);
    assert_content(&first.asker, "f", "f below");
    assert_child_facts(&first, "f kind content 7\n");
    assert_commit(&first, "");
    host_write(&fixture->scene, "f", "edited meanwhile");
    child_begin(&second, &fixture->scene, 2);
    guint64 node = walk(&second.asker, "f");
    g_assert_cmpuint(attributes(&second.asker, node).size, ==, 7);
    g_free(content(&second.asker, node));
    struct view_hash closure = { second.scene.view, hash_host, &second.scene };
    g_autoptr(trace) trace = recorder_seal(second.scene.recorder, view_hash, &closure);
    g_autofree char *refusal = trace_refusal(trace);
    g_assert_nonnull(refusal);
    g_assert_nonnull(strstr(refusal, "f"));
    child_drop(&second);
    assert_facts(&fixture->scene, "f kind content unstable\n");
}

/* --- conflicts -------------------------------------------------------------------------------- */

static void two_children_that_write_one_path_conflict(struct fixture *fixture, gconstpointer unused)
{
    struct child one, two;
    child_begin(&one, &fixture->scene, 1);
    child_begin(&two, &fixture->scene, 2);
    make_file(&one.asker, FUSE_ROOT_ID, "x", "one");
    make_file(&two.asker, FUSE_ROOT_ID, "x", "two");
    make_file(&two.asker, FUSE_ROOT_ID, "y", "two");
    assert_commit(&one, "");
    assert_commit(&two, "/x 1 1\n");
    assert_content(&fixture->asker, "x", "two");
}

static void so_do_two_that_write_to_one_file(struct fixture *fixture, gconstpointer unused)
{
    struct child one, two;
    child_begin(&one, &fixture->scene, 1);
    child_begin(&two, &fixture->scene, 2);
    overwrite(&one.asker, walk(&one.asker, "f"), "one");
    overwrite(&two.asker, walk(&two.asker, "f"), "two");
    assert_commit(&one, "");
    assert_commit(&two, "/f 1 1\n");
    assert_content(&fixture->asker, "f", "two");
}

static void a_child_that_read_what_another_has_written_since_conflicts(struct fixture *fixture,
                                                                       gconstpointer unused)
{
    struct child reader, writer;
    child_begin(&reader, &fixture->scene, 1);
    child_begin(&writer, &fixture->scene, 2);
    assert_content(&reader.asker, "f", "f below");
    g_assert_cmpuint(walk(&reader.asker, "x"), ==, 0);
    overwrite(&writer.asker, walk(&writer.asker, "f"), "written");
    make_file(&writer.asker, FUSE_ROOT_ID, "x", "written");
    assert_commit(&writer, "");
    g_autofree char *found = child_commit(&reader);
    g_assert_nonnull(strstr(found, "/f 2 2\n"));
    g_assert_nonnull(strstr(found, "/x 2 2\n"));
    g_assert_cmpuint(strlen(found), ==, 14);
}

static void so_does_one_that_writes_what_another_had_read(struct fixture *fixture,
                                                          gconstpointer unused)
{
    struct child reader, writer;
    child_begin(&reader, &fixture->scene, 1);
    child_begin(&writer, &fixture->scene, 2);
    assert_content(&reader.asker, "f", "f below");
    overwrite(&writer.asker, walk(&writer.asker, "f"), "written");
    assert_commit(&reader, "");
    assert_commit(&writer, "/f 3 1\n");
}

static void children_one_after_the_other_do_not_conflict(struct fixture *fixture,
                                                         gconstpointer unused)
{
    struct child one, two;
    child_begin(&one, &fixture->scene, 1);
    overwrite(&one.asker, walk(&one.asker, "f"), "one");
    make_file(&one.asker, FUSE_ROOT_ID, "x", "one");
    assert_commit(&one, "");
    child_begin(&two, &fixture->scene, 2);
    assert_content(&two.asker, "f", "one");
    overwrite(&two.asker, walk(&two.asker, "f"), "two");
    overwrite(&two.asker, walk(&two.asker, "x"), "two");
    assert_names(&two.asker, FUSE_ROOT_ID, "d f x ");
    assert_commit(&two, "");
    assert_content(&fixture->asker, "x", "two");
}

#define ADD(name) g_test_add("/view/snapshot/" #name, struct fixture, NULL, set_up, name, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(a_child_sees_what_its_parent_wrote_before_and_nothing_after);
    ADD(attributes_are_those_of_the_moment);
    ADD(what_is_written_through_an_open_file_is_hidden);
    ADD(nor_does_it_show_in_an_earlier_snapshot);
    ADD(several_snapshots_stay_what_they_were);
    ADD(a_dropped_child_leaves_nothing);
    ADD(a_commit_brings_files_names_and_attributes);
    ADD(names_that_were_exchanged_in_a_child_are_exchanged);
    ADD(an_open_file_of_the_parent_reads_what_a_child_wrote_in_place);
    ADD(extended_attributes_of_a_snapshot_stay);
    ADD(a_new_file_in_the_place_of_a_renamed_one_has_another_number);
    ADD(names_of_one_file_are_one_file_through_layers);
    ADD(a_hundred_views_upon_each_other);
    ADD(nothing_grows_with_the_number_of_commits);
    ADD(what_a_child_learns_of_its_parents_writing_is_a_fact_of_the_child);
    ADD(only_what_the_parent_did_not_write_is_a_fact_of_the_parent);
    ADD(a_child_is_laid_out_and_committed);
    ADD(a_stored_result_is_put_into_a_child);
    ADD(a_host_file_that_changes_between_two_children_is_told);
    ADD(facts_can_be_asked_of_a_snapshot);
    ADD(two_children_that_write_one_path_conflict);
    ADD(so_do_two_that_write_to_one_file);
    ADD(a_child_that_read_what_another_has_written_since_conflicts);
    ADD(so_does_one_that_writes_what_another_had_read);
    ADD(children_one_after_the_other_do_not_conflict);
    return g_test_run();
}
