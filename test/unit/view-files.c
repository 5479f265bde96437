// SPDX-License-Identifier: Apache-2.0
/* What is in files: read from below until it is written, then from scratch/. */
#include "view-support.h"

#include <linux/falloc.h>

struct fixture {
    struct scene scene;
    struct asker asker;
};

static void set_up(struct fixture *fixture, gconstpointer data)
{
    scene_init(&fixture->scene);
    host_write(&fixture->scene, "f", "below");
    asker_init(&fixture->asker, &fixture->scene);
}

static void tear_down(struct fixture *fixture, gconstpointer data)
{
    asker_release(&fixture->asker);
    scene_release(&fixture->scene);
}

static void assert_below(struct fixture *fixture, const char *path, const char *expected)
{
    g_autofree char *text = read_text(fixture->scene.host, path);
    g_assert_cmpstr(text, ==, expected);
}

static guint scratch_files(const struct fixture *fixture)
{
    g_autofree char *path = g_strconcat(fixture->scene.path, "/scratch", NULL);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    guint count = 0;
    while (g_dir_read_name(directory) != NULL)
        count++;
    return count;
}

static void what_is_written_stays_in_the_view(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), handle = open_file(asker, node, O_WRONLY);
    g_assert_cmpint(write_at(asker, node, handle, 2, "LO"), ==, 0);
    close_file(asker, node, handle);
    assert_content(asker, "f", "beLOw");
    overwrite(asker, node, "new");
    assert_content(asker, "f", "new");
    g_assert_cmpuint(attributes(asker, node).size, ==, 3);
    make_file(asker, FUSE_ROOT_ID, "made", "made");
    assert_content(asker, "made", "made");
    assert_below(fixture, "f", "below");
    assert_below(fixture, "made", NULL);
}

static void a_reader_sees_what_is_written_after_it_opened(struct fixture *fixture,
                                                          gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), reader = open_file(asker, node, O_RDONLY);
    g_autofree char *before = read_handle(asker, node, reader);
    guint64 writer = open_file(asker, node, O_RDWR);
    g_assert_cmpint(write_at(asker, node, writer, 0, "B"), ==, 0);
    g_autofree char *after = read_handle(asker, node, reader);
    g_assert_cmpstr(before, ==, "below");
    g_assert_cmpstr(after, ==, "Below");
    overwrite(asker, node, "");
    g_autofree char *emptied = read_handle(asker, node, reader);
    g_assert_cmpstr(emptied, ==, "");
    close_file(asker, node, reader);
    close_file(asker, node, writer);
}

/* The kernel refuses it first. */
static void who_opened_to_read_cannot_write(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), handle = open_file(asker, node, O_RDONLY);
    g_assert_cmpint(write_at(asker, node, handle, 0, "x"), ==, -EBADF);
    assert_below(fixture, "f", "below");
}

static void a_removed_file_lasts_until_it_is_closed(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node, handle = create(asker, FUSE_ROOT_ID, "t", &node);
    g_assert_cmpint(write_at(asker, node, handle, 0, "data"), ==, 0);
    g_assert_cmpint(unlink_name(asker, FUSE_ROOT_ID, "t"), ==, 0);
    g_assert_cmpuint(lookup(asker, FUSE_ROOT_ID, "t"), ==, 0);
    g_assert_cmpuint(attributes(asker, node).nlink, ==, 0);
    g_autofree char *text = read_handle(asker, node, handle);
    g_assert_cmpstr(text, ==, "data");
    guint64 again = make_file(asker, FUSE_ROOT_ID, "t", "another");
    g_assert_cmpuint(again, !=, node);
    g_assert_cmpuint(scratch_files(fixture), ==, 2);
    forget(asker, node, 1);
    g_autofree char *still = read_handle(asker, node, handle);
    g_assert_cmpstr(still, ==, "data");
    close_file(asker, node, handle);
    g_assert_cmpuint(scratch_files(fixture), ==, 1);
    assert_content(asker, "t", "another");
}

static void a_file_without_a_name_can_be_given_one(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    const struct fuse_create_in in = { .flags = O_RDWR | O_TMPFILE, .mode = S_IFREG | 0600 };
    const struct question question = { .opcode = FUSE_TMPFILE,
                                       .node = FUSE_ROOT_ID,
                                       .argument = &in,
                                       .size = sizeof in,
                                       .name = "/" };
    guint64 nodes[2], handles[2];
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(ask(asker, &question), ==, 0);
        const struct {
            struct fuse_entry_out entry;
            struct protocol_open_out open;
        } *out = asker->request.out;
        nodes[i] = out->entry.nodeid;
        handles[i] = out->open.fh;
        g_assert_cmpuint(out->entry.attr.nlink, ==, 0);
        g_assert_cmpint(write_at(asker, nodes[i], handles[i], 0, "tmp"), ==, 0);
    }
    g_assert_cmpint(try_link(asker, nodes[0], FUSE_ROOT_ID, "named"), ==, 0);
    for (int i = 0; i < 2; i++) {
        close_file(asker, nodes[i], handles[i]);
        forget(asker, nodes[i], 1);
    }
    g_assert_cmpuint(scratch_files(fixture), ==, 1);
    assert_content(asker, "named", "tmp");
    g_assert_cmpuint(attributes(asker, nodes[0]).nlink, ==, 1);
}

static void a_file_that_became_a_pipe_below_holds_up_nobody(struct fixture *fixture,
                                                            gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), handle;
    g_assert_cmpint(unlinkat(fixture->scene.host, "f", 0), ==, 0);
    g_assert_cmpint(mkfifoat(fixture->scene.host, "f", 0644), ==, 0);
    g_assert_cmpint(try_open(asker, node, O_RDONLY, &handle), ==, -EIO);
    g_assert_cmpint(try_open(asker, node, O_RDWR, &handle), ==, -EIO);
    assert_facts(&fixture->scene, "f kind content unstable\n");
}

static void a_file_that_vanished_below_cannot_be_opened(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), handle;
    g_assert_cmpint(unlinkat(fixture->scene.host, "f", 0), ==, 0);
    g_assert_cmpint(try_open(asker, node, O_RDONLY, &handle), ==, -ENOENT);
    overwrite(asker, node, "mine");
    assert_content(asker, "f", "mine");
}

static void what_was_opened_is_read_though_it_is_another_below(struct fixture *fixture,
                                                               gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f"), handle = open_file(asker, node, O_RDONLY);
    g_assert_cmpint(unlinkat(fixture->scene.host, "f", 0), ==, 0);
    host_write(&fixture->scene, "f", "other");
    g_autofree char *text = read_handle(asker, node, handle);
    g_assert_cmpstr(text, ==, "below");
    close_file(asker, node, handle);
    assert_facts(&fixture->scene, "f kind content unstable\n");
}

static void sizes_and_holes_are_kept(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node, handle = create(asker, FUSE_ROOT_ID, "h", &node);
    g_assert_cmpint(write_at(asker, node, handle, 1 << 20, "end"), ==, 0);
    const struct fuse_lseek_in seek = { .fh = handle, .whence = SEEK_DATA };
    g_assert_cmpint(ask_argument(asker, FUSE_LSEEK, node, &seek, sizeof seek), ==, 0);
    guint64 first = ((const struct fuse_lseek_out *)asker->request.out)->offset;
    g_assert_cmpuint(first, <=, 1 << 20);
    struct fuse_attr found = attributes(asker, node);
    g_assert_cmpuint(found.size, ==, (1 << 20) + 3);
    g_assert_cmpuint(found.blocks, <=, (found.size + 4095) / 512);
    const struct fuse_fallocate_in allocate = {
        .fh = handle, .mode = FALLOC_FL_KEEP_SIZE, .offset = 0, .length = 2 << 20
    };
    int rc = ask_argument(asker, FUSE_FALLOCATE, node, &allocate, sizeof allocate);
    g_assert_true(rc == 0 || rc == -EOPNOTSUPP);
    g_assert_cmpuint(attributes(asker, node).size, ==, (1 << 20) + 3);
    struct fuse_setattr_in shorter = { .valid = FATTR_SIZE, .size = 5 };
    g_assert_cmpint(set_attributes_of(asker, node, shorter), ==, 0);
    g_assert_cmpuint(attributes(asker, node).size, ==, 5);
    shorter.size = (guint64)1 << 63;
    g_assert_cmpint(set_attributes_of(asker, node, shorter), ==, -EINVAL);
}

static void a_file_below_keeps_its_time_when_it_is_opened_to_be_written(struct fixture *fixture,
                                                                        gconstpointer data)
{
    const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
    g_assert_cmpint(utimensat(fixture->scene.host, "f", times, 0), ==, 0);
    struct asker *asker = &fixture->asker;
    guint64 node = walk(asker, "f");
    close_file(asker, node, open_file(asker, node, O_RDWR));
    struct fuse_attr found = attributes(asker, node);
    g_assert_cmpuint(found.mtime, ==, 2000);
    g_assert_cmpuint(found.mtimensec, ==, 7);
}

static void a_write_takes_set_user_id_away(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node, handle = create(asker, FUSE_ROOT_ID, "s", &node);
    g_assert_cmpint(set_mode_of(asker, node, S_IFREG | 06755), ==, 0);
    const struct fuse_write_in in = { .fh = handle,
                                      .size = 1,
                                      .write_flags = FUSE_WRITE_KILL_SUIDGID };
    const struct question question = { .opcode = FUSE_WRITE,
                                       .node = node,
                                       .argument = &in,
                                       .size = sizeof in,
                                       .data = "x",
                                       .data_size = 1 };
    g_assert_cmpint(ask(asker, &question), ==, 0);
    g_assert_cmpuint(attributes(asker, node).mode, ==, S_IFREG | 0755);
}

static void what_a_trap_diverts_is_read_by_that_call_alone(struct fixture *fixture,
                                                           gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = make_file(asker, FUSE_ROOT_ID, "program", "#!/bin/sh\n");
    set_mode_of(asker, node, 0755);
    asker->request.diversion = g_strdup("#!/run/vial/shim 1\n");
    guint64 diverted = open_file(asker, node, VIEW_FMODE_EXEC);
    const struct protocol_open_out *out = asker->request.out;
    g_assert_cmpuint(out->open_flags & FOPEN_DIRECT_IO, !=, 0);
    g_assert_null(asker->request.diversion);
    guint64 executed = open_file(asker, node, VIEW_FMODE_EXEC);
    g_assert_cmpuint(out->open_flags & FOPEN_DIRECT_IO, ==, 0);
    g_autofree char *shown = read_handle(asker, node, diverted);
    g_autofree char *real = read_handle(asker, node, executed);
    g_assert_cmpstr(shown, ==, "#!/run/vial/shim 1\n");
    g_assert_cmpstr(real, ==, "#!/bin/sh\n");
    const struct fuse_read_in past = { .fh = diverted, .size = 10, .offset = 1000 };
    g_assert_cmpint(ask_argument(asker, FUSE_READ, node, &past, sizeof past), ==, 0);
    g_assert_cmpuint(asker->request.out_size, ==, 0);
    close_file(asker, node, diverted);
    close_file(asker, node, executed);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(struct fixture *, gconstpointer);
    } tests[] = {
        { "what-is-written-stays-in-the-view", what_is_written_stays_in_the_view },
        { "a-reader-sees-what-is-written-after-it-opened",
          a_reader_sees_what_is_written_after_it_opened },
        { "who-opened-to-read-cannot-write", who_opened_to_read_cannot_write },
        { "a-removed-file-lasts-until-it-is-closed", a_removed_file_lasts_until_it_is_closed },
        { "a-file-without-a-name-can-be-given-one", a_file_without_a_name_can_be_given_one },
        { "a-file-that-became-a-pipe-below-holds-up-nobody",
          a_file_that_became_a_pipe_below_holds_up_nobody },
        { "a-file-that-vanished-below-cannot-be-opened",
          a_file_that_vanished_below_cannot_be_opened },
        { "what-was-opened-is-read-though-it-is-another-below",
          what_was_opened_is_read_though_it_is_another_below },
        { "sizes-and-holes-are-kept", sizes_and_holes_are_kept },
        { "a-file-below-keeps-its-time-when-it-is-opened-to-be-written",
          a_file_below_keeps_its_time_when_it_is_opened_to_be_written },
        { "a-write-takes-set-user-id-away", a_write_takes_set_user_id_away },
        { "what-a-trap-diverts-is-read-by-that-call-alone",
          what_a_trap_diverts_is_read_by_that_call_alone },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/view/files/", tests[i].name, NULL);
        g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
