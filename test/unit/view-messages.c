// SPDX-License-Identifier: Apache-2.0
/* Messages that the kernel would never send: they are refused, and nothing comes of them. */
#include "view-support.h"

struct fixture {
    struct scene scene;
    struct asker asker;
};

static void set_up(struct fixture *fixture, gconstpointer data)
{
    scene_init(&fixture->scene);
    host_mkdir(&fixture->scene, "d");
    host_write(&fixture->scene, "d/f", "below");
    asker_init(&fixture->asker, &fixture->scene);
}

static void tear_down(struct fixture *fixture, gconstpointer data)
{
    asker_release(&fixture->asker);
    scene_release(&fixture->scene);
}

static void names_that_are_no_names_are_refused(struct fixture *fixture, gconstpointer data)
{
    static const char *const names[] = { "", ".", "..", "/", "d/f", "../host", "/etc/passwd" };
    struct asker *asker = &fixture->asker;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_cmpint(ask_name(asker, FUSE_LOOKUP, FUSE_ROOT_ID, names[i]), ==, -EINVAL);
        g_assert_cmpint(try_mkdir(asker, FUSE_ROOT_ID, names[i]), ==, -EINVAL);
        g_assert_cmpint(try_symlink(asker, FUSE_ROOT_ID, names[i], "x"), ==, -EINVAL);
        g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, names[i], 0), ==,
                        -EINVAL);
    }
    g_assert_cmpint(try_symlink(asker, FUSE_ROOT_ID, "l", "/any/../target/"), ==, 0);
    assert_names(asker, FUSE_ROOT_ID, "d l ");
}

/* The shorter by one byte, and the shorter the worse. */
static void a_message_that_was_cut_off_is_refused(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpuint(walk(asker, "d/f"), !=, 0);
    struct fuse_in_header *header = (void *)asker->message;
    guint32 whole = header->len;
    for (guint32 size = 0; size < whole; size++) {
        g_autofree guint8 *cut = g_memdup2(asker->message, MAX(size, 1));
        if (size >= sizeof *header)
            ((struct fuse_in_header *)(void *)cut)->len = size;
        int rc = view_dispatch(&asker->request, cut, size);
        g_assert_cmpint(rc, ==, size < sizeof *header ? VIEW_NO_REPLY : -EINVAL);
    }
}

static void extensions_are_no_part_of_what_counts(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    walk(asker, "d");
    struct fuse_in_header *header = (void *)asker->message;
    header->total_extlen = 1; /* 8 bytes of which the name would be part */
    g_assert_cmpint(view_dispatch(&asker->request, asker->message, header->len), ==, -EINVAL);
    header->total_extlen = G_MAXUINT16;
    g_assert_cmpint(view_dispatch(&asker->request, asker->message, header->len), ==, -EINVAL);
}

static void nodes_and_handles_that_are_not_there_are_stale(struct fixture *fixture,
                                                           gconstpointer data)
{
    static const guint64 nodes[] = { 0, 2, 77, G_MAXUINT64 };
    struct asker *asker = &fixture->asker;
    const struct fuse_read_in in = { .fh = 9, .size = 10 };
    for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
        g_assert_cmpint(ask_name(asker, FUSE_LOOKUP, nodes[i], "d"), ==, -ESTALE);
        forget(asker, nodes[i], 1);
    }
    g_assert_cmpint(ask_argument(asker, FUSE_READ, 1, &in, sizeof in), ==, -EBADF);
    g_assert_cmpint(ask_argument(asker, FUSE_READDIR, 1, &in, sizeof in), ==, -EBADF);
    g_assert_cmpint(write_at(asker, 1, 9, 0, "x"), ==, -EBADF);
    close_file(asker, 1, 9);
}

static void what_is_no_file_is_not_read_as_one(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    g_assert_cmpint(mkfifoat(fixture->scene.host, "fifo", 0644), ==, 0);
    guint64 fifo = walk(asker, "fifo"), directory = walk(asker, "d"), handle;
    const struct fuse_lseek_in seek = { .whence = SEEK_DATA };
    g_assert_cmpint(ask_argument(asker, FUSE_LSEEK, fifo, &seek, sizeof seek), ==, -ESPIPE);
    g_assert_cmpint(ask_argument(asker, FUSE_LSEEK, directory, &seek, sizeof seek), ==, -ESPIPE);
    g_assert_cmpint(try_open(asker, fifo, O_RDONLY, &handle), ==, -EACCES);
    const struct fuse_fallocate_in allocate = {
        .fh = open_file(asker, directory, O_DIRECTORY),
        .length = 10,
    };
    g_assert_cmpint(ask_argument(asker, FUSE_FALLOCATE, directory, &allocate, sizeof allocate), ==,
                    -EBADF);
    g_assert_cmpint(write_at(asker, directory, allocate.fh, 0, "x"), ==, -EBADF);
}

/* Its children would outlive their names. */
static void nothing_is_made_in_a_removed_directory(struct fixture *fixture, gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 made = make_directory(asker, FUSE_ROOT_ID, "n");
    guint64 file = make_file(asker, FUSE_ROOT_ID, "file", "x");
    g_assert_cmpint(ask_name(asker, FUSE_RMDIR, FUSE_ROOT_ID, "n"), ==, 0);
    g_assert_cmpint(try_mkdir(asker, made, "x"), ==, -ENOENT);
    g_assert_cmpint(try_link(asker, file, made, "x"), ==, -ENOENT);
    g_assert_cmpint(try_mknod(asker, made, "x", S_IFREG | 0644), ==, -ENOENT);
    g_assert_cmpint(rename_name(asker, FUSE_ROOT_ID, "file", made, "x", 0), ==, -ENOENT);
    forget(asker, made, 1);
    assert_content(asker, "file", "x");
}

static void attributes_are_listed_up_to_the_limit_of_the_kernel(struct fixture *fixture,
                                                                gconstpointer data)
{
    struct asker *asker = &fixture->asker;
    guint64 node = make_file(asker, FUSE_ROOT_ID, "x", "");
    char name[300];
    for (int i = 0; i < 6000; i++) {
        g_snprintf(name, sizeof name, "user.%0200d", i);
        struct fuse_setxattr_in in = { .size = 1 };
        const struct question question = { .opcode = FUSE_SETXATTR,
                                           .node = node,
                                           .argument = &in,
                                           .size = FUSE_COMPAT_SETXATTR_IN_SIZE,
                                           .name = name,
                                           .data = "v",
                                           .data_size = 1 };
        g_assert_cmpint(ask(asker, &question), ==, 0);
    }
    const struct fuse_getxattr_in in = { .size = G_MAXUINT32 };
    g_assert_cmpint(ask_argument(asker, FUSE_LISTXATTR, node, &in, sizeof in), ==, -E2BIG);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(struct fixture *, gconstpointer);
    } tests[] = {
        { "names-that-are-no-names-are-refused", names_that_are_no_names_are_refused },
        { "a-message-that-was-cut-off-is-refused", a_message_that_was_cut_off_is_refused },
        { "extensions-are-no-part-of-what-counts", extensions_are_no_part_of_what_counts },
        { "nodes-and-handles-that-are-not-there-are-stale",
          nodes_and_handles_that_are_not_there_are_stale },
        { "what-is-no-file-is-not-read-as-one", what_is_no_file_is_not_read_as_one },
        { "nothing-is-made-in-a-removed-directory", nothing_is_made_in_a_removed_directory },
        { "attributes-are-listed-up-to-the-limit-of-the-kernel",
          attributes_are_listed_up_to_the_limit_of_the_kernel },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/view/messages/", tests[i].name, NULL);
        g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
