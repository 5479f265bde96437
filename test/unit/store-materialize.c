// SPDX-License-Identifier: Apache-2.0
/* Materialise: what is written, what is never touched, and what a later capture may believe of it.
 */
#include "store-scene.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

/* A scene whose tree is in the store, and a destination beside it. */
struct stage {
    struct scene from, to;
    struct tree *tree;
};
typedef struct stage stage;

static void stage_init(struct stage *stage)
{
    scene_init(&stage->from);
    scene_init(&stage->to);
}

static void stage_release(struct stage *stage)
{
    tree_unref(stage->tree);
    scene_release(&stage->from);
    scene_release(&stage->to);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(stage, stage_release)

static void stage_store(struct stage *stage)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(store_batch) batch = store_batch_new(stage->from.store);
    struct capture_request request = scene_request(&stage->from);
    request.batch = batch;
    tree_unref(stage->tree);
    stage->tree = scene_try(&stage->from, &request, NULL, &error);
    g_assert_no_error(error);
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
}

static struct materialize_request stage_request(const struct stage *stage)
{
    return (struct materialize_request){
        .store = stage->from.store,
        .tree = stage->tree,
        .directory = stage->to.directory,
        .name = stage->to.path,
        .mtime = -1,
        .owner = (uid_t)-1,
        .group = (gid_t)-1,
        .jobs = 2,
    };
}

static void stage_write(const struct materialize_request *request)
{
    g_autoptr(GError) error = NULL;
    store_materialize(request, &error);
    g_assert_no_error(error);
}

static void stage_refuses(const struct materialize_request *request, enum fault code,
                          const char *path)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(store_materialize(request, &error));
    g_assert_error(error, FAULT, (int)code);
    if (strstr(error->message, path) == NULL)
        g_error("\"%s\" does not name %s", error->message, path);
}

static guint count_entries(const struct scene *scene, const char *path)
{
    guint count = 0;
    g_autofree char *whole = g_build_filename(scene->path, path, NULL);
    g_autoptr(GDir) directory = g_dir_open(whole, 0, NULL);
    while (g_dir_read_name(directory) != NULL)
        count++;
    return count;
}

static void build_mixed(const struct scene *scene)
{
    g_autofree char *large = g_strnfill(700001, 'L');
    scene_write(scene, "file", "content");
    scene_write(scene, "d/e/large", large);
    scene_write(scene, "d/new\nline", "");
    scene_write(scene, "d/run", "#!/bin/sh\n");
    g_assert_cmpint(fchmodat(scene->directory, "d/run", 0755, 0), ==, 0);
    g_assert_cmpint(symlinkat("../file", scene->directory, "d/link"), ==, 0);
    scene_make_directory(scene, "empty/too");
}

/* --- what is written ---------------------------------------------------------------------------
 */

static void a_tree_written_is_captured_the_same(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    const struct materialize_request request = stage_request(&stage);
    stage_write(&request);
    g_autoptr(tree) found = scene_capture(&stage.to, NULL);
    assert_same_tree(found, stage.tree);
}

static void modes_are_less_umask(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    const struct materialize_request request = stage_request(&stage);
    mode_t before = umask(0027);
    stage_write(&request);
    umask(before);
    g_assert_cmpint(scene_stat(&stage.to, "file").st_mode, ==, S_IFREG | 0640);
    g_assert_cmpint(scene_stat(&stage.to, "d/e/large").st_mode, ==, S_IFREG | 0640);
    g_assert_cmpint(scene_stat(&stage.to, "d/run").st_mode, ==, S_IFREG | 0750);
    g_assert_cmpint(scene_stat(&stage.to, "d/e").st_mode, ==, S_IFDIR | 0750);
}

static void everything_has_the_time_asked_for(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    struct materialize_request request = stage_request(&stage);
    request.mtime = G_GINT64_CONSTANT(1234567890123456789);
    stage_write(&request);
    const char *const paths[] = { ".",     "file",   "d",     "d/e",      "d/e/large",
                                  "d/run", "d/link", "empty", "empty/too" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_test_message("%s", paths[i]);
        struct stat status = scene_stat(&stage.to, paths[i]);
        g_assert_cmpint(fd_nanoseconds(status.st_mtim), ==, request.mtime);
    }
}

static void everything_has_the_owner_asked_for(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    struct materialize_request request = stage_request(&stage);
    request.owner = getuid() == 0 ? 12345 : getuid(); /* who is not root has nobody else to give */
    request.group = getuid() == 0 ? 23456 : getgid();
    stage_write(&request);
    const char *const paths[] = { ".", "file", "d", "d/e", "d/e/large", "d/link", "empty/too" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        struct stat status = scene_stat(&stage.to, paths[i]);
        g_assert_cmpuint(status.st_uid, ==, request.owner);
        g_assert_cmpuint(status.st_gid, ==, request.group);
    }
}

static void build_big(const struct scene *scene)
{
    for (unsigned i = 0; i < 400; i++) {
        g_autofree char *path = g_strdup_printf(i % 4 == 0 ? "wide/%u/file" : "flat/%u", i);
        scene_write(scene, path, path);
    }
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *path = g_strdup_printf("flat/large%u", i);
        g_autofree char *text = g_strnfill(500000 + i, (char)('a' + i));
        scene_write(scene, path, text);
    }
}

static void any_number_of_threads_writes_the_same(void)
{
    g_auto(scene) from = { 0 };
    scene_init(&from);
    build_big(&from);
    for (unsigned jobs = 1; jobs < 4; jobs++) {
        g_auto(stage) stage = { 0 };
        stage_init(&stage);
        const struct scene own = stage.from;
        stage.from = from;
        stage_store(&stage);
        stage.from = own;
        struct materialize_request request = stage_request(&stage);
        request.store = from.store;
        request.jobs = jobs;
        request.mtime = 1000;
        stage_write(&request);
        g_autoptr(tree) found = scene_capture(&stage.to, NULL);
        assert_same_tree(found, stage.tree);
        g_assert_cmpuint(count_entries(&stage.to, "flat"), ==, 320);
        g_assert_cmpint(fd_nanoseconds(scene_stat(&stage.to, "flat").st_mtim), ==, 1000);
    }
}

static void deep_trees_need_few_descriptors(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    g_autofree char *name = g_strnfill(200, 'd');
    autofd int at = openat(stage.from.directory, ".", O_PATH | O_CLOEXEC);
    for (unsigned i = 0; i < 60; i++) {
        g_assert_cmpint(mkdirat(at, name, 0755), ==, 0);
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        fd_close(&at);
        at = next;
    }
    autofd int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    g_assert_cmpint(write(file, "x", 1), ==, 1);
    fd_close(&file);
    fd_close(&at);
    stage_store(&stage);
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    autofd int lowest = dup(stage.to.directory);
    few.rlim_cur = (rlim_t)lowest + 1 + 2 * 3;
    const struct materialize_request request = stage_request(&stage);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    stage_write(&request);
    setrlimit(RLIMIT_NOFILE, &before);
    g_autoptr(tree) found = scene_capture(&stage.to, NULL);
    assert_same_tree(found, stage.tree);
}

static void a_raised_flag_ends_it(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    const volatile int cancel = 1;
    struct materialize_request request = stage_request(&stage);
    request.cancel = &cancel;
    stage_refuses(&request, FAULT_CANCELLED, "");
    g_assert_cmpuint(count_entries(&stage.to, "."), ==, 0);
}

/* --- what is in the way ------------------------------------------------------------------------
 */

static void what_is_in_the_way_stops_everything(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    scene_write(&stage.to, "d/e/large", "mine");
    scene_write(&stage.to, "unrelated", "mine");
    struct materialize_request request = stage_request(&stage);
    stage_refuses(&request, FAULT_CONFLICT, "/d/e/large");
    g_assert_cmpuint(count_entries(&stage.to, "."), ==, 2);
    g_assert_cmpuint(count_entries(&stage.to, "d"), ==, 1);
    g_autofree char *mine = scene_read(stage.to.directory, "d/e/large");
    g_assert_cmpstr(mine, ==, "mine");

    request.overwrite = true;
    stage_write(&request);
    g_autofree char *kept = scene_read(stage.to.directory, "unrelated");
    g_assert_cmpstr(kept, ==, "mine");
    g_assert_cmpint(unlinkat(stage.to.directory, "unrelated", 0), ==, 0);
    g_autoptr(tree) found = scene_capture(&stage.to, NULL);
    assert_same_tree(found, stage.tree);
}

static void what_stands_beside_is_no_conflict(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    scene_write(&stage.to, "d/e/other", "mine");
    const struct materialize_request request = stage_request(&stage);
    stage_write(&request);
    g_autofree char *mine = scene_read(stage.to.directory, "d/e/other");
    g_assert_cmpstr(mine, ==, "mine");
}

static void a_directory_is_never_replaced(void)
{
    const char *const paths[] = { "file", "d/link" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_auto(stage) stage = { 0 };
        stage_init(&stage);
        build_mixed(&stage.from);
        stage_store(&stage);
        scene_make_directory(&stage.to, paths[i]);
        struct materialize_request request = stage_request(&stage);
        request.overwrite = true;
        stage_refuses(&request, FAULT_CONFLICT, paths[i]);
        g_assert_cmpuint(count_entries(&stage.to, "."), ==, 1);
        g_assert_cmpuint(count_entries(&stage.to, paths[i]), ==, 0);
    }
}

/* Links planted where directories, files and links of the tree belong must not lead outside. */
static void nothing_is_written_through_a_planted_link(void)
{
    const char *const paths[] = { "d", "d/e", "file", "d/link", "d/e/large", "empty" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_auto(stage) stage = { 0 };
        g_auto(scene) outside = { 0 };
        g_autoptr(GError) error = NULL;
        stage_init(&stage);
        scene_init(&outside);
        build_mixed(&stage.from);
        stage_store(&stage);
        scene_write(&outside, "large", "outside");
        g_autofree char *target = strchr(paths[i], 'e') != NULL && strchr(paths[i], 'l') != NULL
                                      ? g_build_filename(outside.path, "large", NULL)
                                      : g_strdup(outside.path);
        fd_make_parents(stage.to.directory, paths[i], &error);
        g_assert_no_error(error);
        g_assert_cmpint(symlinkat(target, stage.to.directory, paths[i]), ==, 0);
        struct materialize_request request = stage_request(&stage);
        stage_refuses(&request, FAULT_CONFLICT, paths[i]);
        request.overwrite = true;
        stage_write(&request);
        g_autoptr(tree) found = scene_capture(&stage.to, NULL);
        assert_same_tree(found, stage.tree);
        g_assert_cmpuint(count_entries(&outside, "."), ==, 1);
        g_autofree char *untouched = scene_read(outside.directory, "large");
        g_assert_cmpstr(untouched, ==, "outside");
    }
}

static void a_file_is_replaced_not_written_into(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    scene_write(&stage.to, "file", "mine");
    scene_write(&stage.to, "d/e/large", "mine");
    g_assert_cmpint(linkat(stage.to.directory, "file", stage.to.directory, "other", 0), ==, 0);
    autofd int open_before = openat(stage.to.directory, "d/e/large", O_RDONLY | O_CLOEXEC);
    struct materialize_request request = stage_request(&stage);
    request.overwrite = true;
    stage_write(&request);
    g_autofree char *other = scene_read(stage.to.directory, "other");
    g_assert_cmpstr(other, ==, "mine");
    char text[5] = { 0 };
    g_assert_cmpint(read(open_before, text, sizeof text), ==, 4);
    g_assert_cmpstr(text, ==, "mine");
    g_assert_cmpuint(count_entries(&stage.to, "."), ==, 4); /* no temporary name is left */
    g_assert_cmpuint(count_entries(&stage.to, "d/e"), ==, 1);
}

/* --- what the store has lost -------------------------------------------------------------------
 */

static void a_missing_blob_leaves_no_file(void)
{
    const char *const paths[] = { "file", "d/e/large" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_auto(stage) stage = { 0 };
        stage_init(&stage);
        build_mixed(&stage.from);
        stage_store(&stage);
        store_drop(stage.from.store, &tree_lookup(stage.tree, paths[i])->digest);
        struct materialize_request request = stage_request(&stage);
        stage_refuses(&request, FAULT_MISSING, "");
        g_assert_cmpint(faccessat(stage.to.directory, paths[i], F_OK, AT_SYMLINK_NOFOLLOW), ==, -1);

        /* Nor does it cost the file that was there. */
        scene_write(&stage.to, paths[i], "mine");
        request.overwrite = true;
        stage_refuses(&request, FAULT_MISSING, "");
        g_autofree char *mine = scene_read(stage.to.directory, paths[i]);
        g_assert_cmpstr(mine, ==, "mine");
    }
}

/* --- one file ----------------------------------------------------------------------------------
 */

static void one_file_replaces_a_file_or_link(void)
{
    g_auto(stage) stage = { 0 };
    g_autoptr(GError) error = NULL;
    stage_init(&stage);
    build_mixed(&stage.from);
    stage_store(&stage);
    const char *const sources[] = { "file", "d/e/large", "d/new\nline" };
    for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
        const struct digest *digest = &tree_lookup(stage.tree, sources[i])->digest;
        g_autofree char *expected = scene_read(stage.from.directory, sources[i]);
        scene_write(&stage.to, "target", "target");
        g_assert_cmpint(symlinkat("target", stage.to.directory, "link"), ==, 0);
        scene_write(&stage.to, "mine", "mine");
        const char *const names[] = { "new", "mine", "link" };
        for (size_t k = 0; k < G_N_ELEMENTS(names); k++) {
            mode_t before = umask(0022);
            g_assert_true(store_write_file(stage.from.store, digest, stage.to.directory, names[k],
                                           0772, 5000000007, &error));
            umask(before);
            g_assert_no_error(error);
            g_autofree char *found = scene_read(stage.to.directory, names[k]);
            g_assert_cmpstr(found, ==, expected);
            struct stat status = scene_stat(&stage.to, names[k]);
            g_assert_cmpint(status.st_mode, ==, S_IFREG | 0772); /* whatever the umask */
            g_assert_cmpint(fd_nanoseconds(status.st_mtim), ==, 5000000007);
            g_assert_cmpuint(status.st_nlink, ==, 1);
        }
        g_autofree char *target = scene_read(stage.to.directory, "target");
        g_assert_cmpstr(target, ==, "target");
        g_assert_cmpuint(count_entries(&stage.to, "."), ==, 4);
        for (size_t k = 0; k < G_N_ELEMENTS(names); k++)
            g_assert_cmpint(unlinkat(stage.to.directory, names[k], 0), ==, 0);
    }
}

static void one_file_that_is_missing_changes_nothing(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    scene_write(&stage.to, "mine", "mine");
    scene_make_directory(&stage.to, "directory");
    for (gint64 size = 1; size < 1 << 20; size += (1 << 20) - 2) {
        g_autoptr(GError) error = NULL;
        struct digest digest = { .hash = { 1 }, .size = size };
        g_assert_false(store_write_file(stage.from.store, &digest, stage.to.directory, "mine", 0644,
                                        -1, &error));
        g_assert_error(error, FAULT, FAULT_MISSING);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(store_batch) batch = store_batch_new(stage.from.store);
    struct digest digest;
    g_assert_true(store_batch_put(batch, "x", 1, &digest, &error));
    g_assert_true(store_batch_commit(batch, &error));
    g_assert_false(store_write_file(stage.from.store, &digest, stage.to.directory, "directory",
                                    0644, -1, &error));
    g_assert_error(error, FAULT, FAULT_IO);
    g_autofree char *mine = scene_read(stage.to.directory, "mine");
    g_assert_cmpstr(mine, ==, "mine");
    g_assert_cmpuint(count_entries(&stage.to, "."), ==, 2);
}

/* --- objects -----------------------------------------------------------------------------------
 */

/* A stage whose store is on disk: large blobs are files in objects/. */
static void stage_init_disk(struct stage *stage)
{
    g_autoptr(GError) error = NULL;
    stage_init(stage);
    stat_cache_free(stage->from.cache);
    store_close(stage->from.store);
    g_autofree char *path = g_build_filename(stage->to.path, "store", NULL);
    stage->from.store = store_open(path, NULL, NULL, &error);
    g_assert_no_error(error);
    stage->from.cache = stat_cache_new(stage->from.store);
    g_assert_cmpint(mkdirat(stage->to.directory, "out", 0755), ==, 0);
}

static struct materialize_request disk_request(const struct stage *stage, int directory)
{
    struct materialize_request request = stage_request(stage);
    request.directory = directory;
    return request;
}

static char *object_path(const struct stage *stage, const char *path)
{
    char hash[DIGEST_HASH_SIZE * 2 + 1];
    digest_print_hash(&tree_lookup(stage->tree, path)->digest, hash);
    return g_strdup_printf("store/objects/%.2s/%s", hash, hash + 2);
}

static void flip(const struct scene *scene, const char *path, off_t at)
{
    char byte;
    g_assert_cmpint(fchmodat(scene->directory, path, 0644, 0), ==, 0);
    autofd int file = openat(scene->directory, path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pread(file, &byte, 1, at), ==, 1);
    byte = (char)~byte;
    g_assert_cmpint(pwrite(file, &byte, 1, at), ==, 1);
    g_assert_cmpint(fchmod(file, 0444), ==, 0);
}

static void a_damaged_object_is_missing_and_leaves_no_file(void)
{
    for (unsigned round = 0; round < 4; round++) {
        g_auto(stage) stage = { 0 };
        g_autoptr(GError) error = NULL;
        stage_init_disk(&stage);
        build_mixed(&stage.from);
        stage_store(&stage);
        const struct digest *digest = &tree_lookup(stage.tree, "d/e/large")->digest;
        g_autofree char *object = object_path(&stage, "d/e/large");
        flip(&stage.to, object, round % 2 == 0 ? 0 : 700000);
        autofd int out = openat(stage.to.directory, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct materialize_request request = disk_request(&stage, out);
        request.hard_links = round / 2 == 1;
        stage_refuses(&request, FAULT_MISSING, "d/e/large");
        g_assert_cmpint(faccessat(out, "d/e/large", F_OK, AT_SYMLINK_NOFOLLOW), ==, -1);
        g_assert_false(store_has(stage.from.store, digest));
        g_assert_false(store_write_file(stage.from.store, digest, out, "x", 0644, -1, &error));
        g_assert_error(error, FAULT, FAULT_MISSING);

        /* Put again, all is well. */
        stage_store(&stage);
        request.tree = stage.tree;
        request.overwrite = true;
        stage_write(&request);
    }
}

static void large_files_may_be_links_to_their_objects(void)
{
    g_auto(stage) stage = { 0 };
    g_autoptr(GError) error = NULL;
    stage_init_disk(&stage);
    build_mixed(&stage.from);
    g_autofree char *program = g_strnfill(300000, 'P');
    scene_write(&stage.from, "program", program);
    g_assert_cmpint(fchmodat(stage.from.directory, "program", 0755, 0), ==, 0);
    stage_store(&stage);
    g_autofree char *object = object_path(&stage, "d/e/large");
    autofd int out = openat(stage.to.directory, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct materialize_request request = disk_request(&stage, out);
    request.hard_links = true;
    request.learn = stage.to.cache;
    request.mtime = 1000;
    stage_write(&request);

    struct stat link = scene_stat(&stage.to, "out/d/e/large");
    struct stat original = scene_stat(&stage.to, object);
    g_assert_cmpuint(link.st_ino, ==, original.st_ino);
    g_assert_cmpint(link.st_mode, ==, S_IFREG | 0444);
    g_assert_cmpint(fd_nanoseconds(link.st_mtim), ==, 1000);
    /* What must be executable is a copy, for the object is not; so is what is small. */
    g_assert_cmpuint(scene_stat(&stage.to, "out/program").st_nlink, ==, 1);
    g_assert_cmpuint(scene_stat(&stage.to, "out/file").st_nlink, ==, 1);

    /* Others who link the object change its ctime, which must not cost another read of it. */
    g_assert_cmpint(linkat(stage.to.directory, object, stage.to.directory, "third", 0), ==, 0);
    struct capture_request capture = scene_request(&stage.to);
    struct capture captured;
    capture.directory = out;
    g_assert_true(store_capture(stage.from.store, &capture, &captured, &error));
    assert_same_tree(captured.tree, stage.tree);
    g_assert_cmpuint(captured.bytes_hashed, <, 700001);
    capture_clear(&captured);
    g_assert_true(store_has(stage.from.store, &tree_lookup(stage.tree, "d/e/large")->digest));

    /* A name that is taken is never linked over without leave. */
    request.learn = NULL;
    stage_refuses(&request, FAULT_CONFLICT, "/");
    request.overwrite = true;
    stage_write(&request);
    g_assert_true(store_capture(stage.from.store, &capture, &captured, &error));
    assert_same_tree(captured.tree, stage.tree);
    capture_clear(&captured);
}

/* --- what a capture may believe -----------------------------------------------------------------
 */

static void what_was_written_long_ago_is_not_read_again(void)
{
    g_auto(stage) stage = { 0 };
    stage_init(&stage);
    build_big(&stage.from); /* takes longer to write than the clock's tick */
    stage_store(&stage);
    struct materialize_request request = stage_request(&stage);
    request.learn = stage.to.cache;
    request.mtime = 1000;
    request.jobs = 1;
    stage_write(&request);
    guint64 hashed = 0;
    g_autoptr(tree) found = scene_capture(&stage.to, &hashed);
    assert_same_tree(found, stage.tree);
    g_assert_cmpuint(hashed, <, 420);
}

/* Whatever a process does in the first instant, with the times put back, must be seen. */
static void a_change_right_after_is_seen(void)
{
    for (unsigned round = 0; round < 60; round++) {
        g_auto(stage) stage = { 0 };
        stage_init(&stage);
        build_mixed(&stage.from);
        stage_store(&stage);
        struct materialize_request request = stage_request(&stage);
        request.learn = stage.to.cache;
        request.mtime = 1000;
        stage_write(&request);
        const char *const paths[] = { "file", "d/run", "d/e/large" };
        const char *path = paths[round % 3];
        struct stat before = scene_stat(&stage.to, path);
        autofd int file = openat(stage.to.directory, path, O_WRONLY | O_CLOEXEC);
        g_assert_cmpint(pwrite(file, "!", 1, 3), ==, 1);
        fd_close(&file);
        scene_restore_times(&stage.to, path, &before);
        g_assert_cmpint(unlinkat(stage.to.directory, "d/link", 0), ==, 0);
        g_assert_cmpint(symlinkat("../fild", stage.to.directory, "d/link"), ==, 0);
        scene_restore_times(&stage.to, "d/link", &before);
        g_autoptr(tree) found = scene_capture(&stage.to, NULL);
        g_autofree char *expected = scene_read(stage.to.directory, path);
        assert_file(found, path, expected);
        g_assert_cmpint(expected[3], ==, '!');
        g_assert_cmpstr(tree_lookup(found, "d/link")->target, ==, "../fild");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/store/materialize/" name, function)
    ADD("a-tree-written-is-captured-the-same", a_tree_written_is_captured_the_same);
    ADD("modes-are-less-umask", modes_are_less_umask);
    ADD("everything-has-the-time-asked-for", everything_has_the_time_asked_for);
    ADD("everything-has-the-owner-asked-for", everything_has_the_owner_asked_for);
    ADD("any-number-of-threads-writes-the-same", any_number_of_threads_writes_the_same);
    ADD("deep-trees-need-few-descriptors", deep_trees_need_few_descriptors);
    ADD("a-raised-flag-ends-it", a_raised_flag_ends_it);
    ADD("what-is-in-the-way-stops-everything", what_is_in_the_way_stops_everything);
    ADD("what-stands-beside-is-no-conflict", what_stands_beside_is_no_conflict);
    ADD("a-directory-is-never-replaced", a_directory_is_never_replaced);
    ADD("nothing-is-written-through-a-planted-link", nothing_is_written_through_a_planted_link);
    ADD("a-file-is-replaced-not-written-into", a_file_is_replaced_not_written_into);
    ADD("a-missing-blob-leaves-no-file", a_missing_blob_leaves_no_file);
    ADD("one-file-replaces-a-file-or-link", one_file_replaces_a_file_or_link);
    ADD("one-file-that-is-missing-changes-nothing", one_file_that_is_missing_changes_nothing);
    ADD("a-damaged-object-is-missing-and-leaves-no-file",
        a_damaged_object_is_missing_and_leaves_no_file);
    ADD("large-files-may-be-links-to-their-objects", large_files_may_be_links_to_their_objects);
    ADD("what-was-written-long-ago-is-not-read-again", what_was_written_long_ago_is_not_read_again);
    ADD("a-change-right-after-is-seen", a_change_right_after_is_seen);
    return g_test_run();
}
