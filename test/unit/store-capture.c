// SPDX-License-Identifier: Apache-2.0
/* Capture: what ends up in the tree, what is refused, what changes under way, any size. */
#include "store-scene.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static guint count_names(const char *path)
{
    guint count = 0;
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    while (g_dir_read_name(directory) != NULL)
        count++;
    return count;
}

/* --- what ends up in the tree ------------------------------------------------------------------
 */

static void add(struct tree_builder *builder, const char *path, struct tree_entry entry)
{
    g_autoptr(GError) error = NULL;
    tree_builder_add(builder, path, &entry, &error);
    g_assert_no_error(error);
}

static void add_content(struct tree_builder *builder, const char *path, const char *text,
                        bool executable)
{
    struct tree_entry entry = { .kind = TREE_FILE, .executable = executable };
    digest_of(text, strlen(text), &entry.digest);
    add(builder, path, entry);
}

static void the_tree_is_what_the_directory_holds(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    const char *odd[] = { "a b", "new\nline", "ünï", "-dash", ".hidden", "x\"y'z\\", "a", "a.b" };
    struct tree_builder *builder = tree_builder_new();
    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
        g_autofree char *path = g_strconcat("sub dir/", odd[i], NULL);
        scene_write(&scene, path, odd[i]);
        add_content(builder, path, odd[i], false);
        scene_write(&scene, odd[i], "");
        add_content(builder, odd[i], "", false);
    }
    scene_write(&scene, "run", "#!/bin/sh\n");
    g_assert_cmpint(fchmodat(scene.directory, "run", 0700, 0), ==, 0);
    add_content(builder, "run", "#!/bin/sh\n", true);
    scene_write(&scene, "not-the-owner", "x");
    g_assert_cmpint(fchmodat(scene.directory, "not-the-owner", 0655, 0), ==, 0);
    add_content(builder, "not-the-owner", "x", false);
    scene_make_directory(&scene, "deep/er/empty");
    g_autoptr(tree) empty = tree_empty();
    add(builder, "deep/er/empty",
        (struct tree_entry){ .kind = TREE_DIRECTORY, .directory = empty });
    /* Links of every kind stay links, and none is followed. */
    const char *targets[] = { "run", "/etc", ".", "nowhere", "../..", "sub dir" };
    for (size_t i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_autofree char *path = g_strdup_printf("link%zu", i);
        g_assert_cmpint(symlinkat(targets[i], scene.directory, path), ==, 0);
        add(builder, path, (struct tree_entry){ .kind = TREE_SYMLINK, .target = targets[i] });
    }
    g_autoptr(tree) expected = tree_builder_finish(builder);
    g_autoptr(tree) found = scene_capture(&scene, NULL);
    assert_same_tree(found, expected);
    scene_age(&scene);
    g_autoptr(tree) second = scene_capture(&scene, NULL);
    assert_same_tree(second, expected);
    guint64 hashed = 0;
    g_autoptr(tree) cached = scene_capture(&scene, &hashed);
    assert_same_tree(cached, expected);
    g_assert_cmpuint(hashed, ==, 0);
}

static void an_empty_directory_is_the_empty_tree(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    g_autoptr(tree) found = scene_capture(&scene, NULL);
    g_assert_true(digest_equal(tree_digest(found), digest_empty()));
}

/* Sizes on both sides of every limit in the code: buffers, parts, batches. */
static void a_batch_gets_every_byte(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    const size_t sizes[] = { 0, 1, 32768, 32769, 131071, 131072, 131073, 400000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *name = g_strdup_printf("d/%zu", sizes[i]);
        g_autofree char *text = g_strnfill(sizes[i], (char)('a' + i));
        scene_write(&scene, name, text);
    }
    struct capture_request request = scene_request(&scene);
    g_autoptr(tree) hashed = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(store_batch) batch = store_batch_new(scene.store);
    request.batch = batch;
    g_autoptr(tree) stored = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);
    assert_same_tree(hashed, stored);
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
    g_assert_true(store_has_tree(scene.store, stored, &error));
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *name = g_strdup_printf("d/%zu", sizes[i]);
        g_autofree char *text = g_strnfill(sizes[i], (char)('a' + i));
        assert_file(stored, name, text);
        g_autoptr(GBytes) bytes =
            store_get(scene.store, &tree_lookup(stored, name)->digest, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL), (int)g_bytes_get_size(bytes), text,
                        (int)sizes[i]);
    }
}

static void a_known_file_is_read_again_only_if_the_store_lacks_it(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "a", "first");
    scene_write(&scene, "b", "second");
    scene_age(&scene);
    g_autoptr(tree) tree = scene_capture(&scene, NULL);

    g_autoptr(store_batch) batch = store_batch_new(scene.store);
    struct capture_request request = scene_request(&scene);
    request.batch = batch;
    const guint64 expected[] = { 2, 0, 1 };
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        guint64 hashed = 0;
        if (i == 2)
            store_drop(scene.store, &tree_child(tree, "b")->digest);
        g_autoptr(tree) again = scene_try(&scene, &request, &hashed, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(hashed, ==, expected[i]);
        store_batch_commit(batch, &error);
        g_assert_no_error(error);
        g_assert_true(store_has_tree(scene.store, again, &error));
    }
}

static void the_count_and_the_newest_time_are_told(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    const struct timespec times[] = { { 5, 7 }, { 1600000000, 123456789 }, { 4, 0 } };
    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *name = g_strdup_printf("%zu/file", i);
        scene_write(&scene, name, "four");
        const struct timespec both[2] = { times[i], times[i] };
        g_assert_cmpint(utimensat(scene.directory, name, both, 0), ==, 0);
    }
    struct capture capture;
    const struct capture_request request = scene_request(&scene);
    g_assert_true(store_capture(scene.store, &request, &capture, &error));
    g_assert_cmpuint(capture.files, ==, 3);
    g_assert_cmpuint(capture.files_hashed, ==, 3);
    g_assert_cmpuint(capture.bytes_hashed, ==, 12);
    g_assert_cmpint(capture.newest, ==, G_GINT64_CONSTANT(1600000000123456789));
    g_assert_null(capture.unsupported);
    capture_clear(&capture);
}

/* --- what is refused ---------------------------------------------------------------------------
 */

static void make_socket(const struct scene *scene, const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    autofd int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", scene->directory,
               name);
    g_assert_cmpint(bind(made, (const struct sockaddr *)&address, sizeof address), ==, 0);
}

static void make_odd(const struct scene *scene, const char *name)
{
    if (strstr(name, "fifo") != NULL)
        g_assert_cmpint(mkfifoat(scene->directory, name, 0600), ==, 0);
    else if (strstr(name, "socket") != NULL)
        make_socket(scene, name);
    else if (strstr(name, "link") != NULL)
        g_assert_cmpint(symlinkat("\xff", scene->directory, name), ==, 0);
    else
        scene_write(scene, name, "x");
}

static void what_a_tree_cannot_hold_is_named(void)
{
    const struct {
        const char *name, *quoted, *why;
    } cases[] = {
        { "sub/fifo", "sub/fifo", "is a FIFO" },
        { "sub/socket", "sub/socket", "is a socket" },
        { "sub/link", "sub/link", "is a link whose target is not UTF-8" },
        { "sub/\xff\xfe", "sub/\\377\\376\"", "has a name that is not UTF-8" },
        { "\xff/file", "/\\377\"", "has a name that is not UTF-8" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(scene) scene = { 0 };
        g_autoptr(GError) error = NULL;
        scene_init(&scene);
        scene_write(&scene, "sub/good", "good");
        make_odd(&scene, cases[i].name);
        struct capture_request request = scene_request(&scene);
        scene_refuses(&scene, &request, FAULT_UNSUPPORTED, cases[i].quoted);
        scene_refuses(&scene, &request, FAULT_UNSUPPORTED, cases[i].why);

        /* Left out by a pattern, it is no matter. */
        g_autoptr(glob) glob = glob_new();
        g_assert_true(glob_add(glob, "", "good", &error));
        request.select = glob;
        g_autoptr(tree) selected = scene_try(&scene, &request, NULL, &error);
        g_assert_no_error(error);
        assert_file(selected, "sub/good", "good");

        /* Among outputs, it is listed. */
        request.select = NULL;
        request.outputs = true;
        struct capture capture;
        g_assert_true(store_capture(scene.store, &request, &capture, &error));
        assert_same_tree(capture.tree, selected);
        g_assert_cmpuint(capture.unsupported->len, ==, 1);
        const char *line = capture.unsupported->pdata[0];
        g_assert_true(g_str_has_suffix(line, cases[i].why));
        g_assert_false(g_str_has_prefix(line, "/"));
        capture_clear(&capture);
    }
}

static void unsupported_outputs_come_in_order(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    const char *names[] = { "z-fifo", "a-socket", "m/fifo", "m-fifo" };
    scene_make_directory(&scene, "m");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        make_odd(&scene, names[i]);
    struct capture_request request = scene_request(&scene);
    request.outputs = true;
    struct capture capture;
    g_assert_true(store_capture(scene.store, &request, &capture, &error));
    g_ptr_array_add(capture.unsupported, NULL);
    g_autofree char *all = g_strjoinv("\n", (char **)capture.unsupported->pdata);
    g_assert_cmpstr(all, ==,
                    "a-socket: is a socket\nm-fifo: is a FIFO\nm/fifo: is a FIFO\n"
                    "z-fifo: is a FIFO");
    g_ptr_array_remove_index(capture.unsupported, capture.unsupported->len - 1);
    capture_clear(&capture);
}

static void fifos_can_be_listed_apart(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    const char *names[] = { "z-fifo", "m/fifo", "m-fifo" };
    scene_make_directory(&scene, "m");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        make_odd(&scene, names[i]);
    struct capture_request request = scene_request(&scene);
    request.fifos = true;
    for (int again = 0; again < 2; again++) {
        struct capture capture;
        g_assert_true(store_capture(scene.store, &request, &capture, &error));
        g_ptr_array_add(capture.fifos, NULL);
        g_autofree char *all = g_strjoinv(" ", (char **)capture.fifos->pdata);
        g_ptr_array_remove_index(capture.fifos, capture.fifos->len - 1);
        g_assert_cmpstr(all, ==, "m-fifo m/fifo z-fifo");
        g_assert_null(capture.unsupported);
        g_assert_cmpuint(tree_size(capture.tree), ==, 1);
        g_assert_cmpuint(tree_size(tree_lookup(capture.tree, "m")->directory), ==, 0);
        capture_clear(&capture);
    }
    make_odd(&scene, "a-socket");
    struct capture capture;
    g_assert_false(store_capture(scene.store, &request, &capture, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
}

static void drop_rights(bool drop)
{
    if (getuid() == 0)
        g_assert_cmpint(seteuid(drop ? 65534 : 0), ==, 0);
}

static void what_cannot_be_read_is_named(void)
{
    const char *names[] = { "sub/secret", "closed" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(scene) scene = { 0 };
        g_autoptr(GError) error = NULL;
        scene_init(&scene);
        g_assert_cmpint(fchmod(scene.directory, 0755), ==, 0);
        scene_write(&scene, "sub/good", "good");
        if (i == 0)
            scene_write(&scene, names[i], "x");
        else
            scene_make_directory(&scene, names[i]);
        g_assert_cmpint(fchmodat(scene.directory, names[i], 0, 0), ==, 0);
        struct capture_request request = scene_request(&scene);
        drop_rights(true);
        scene_refuses(&scene, &request, FAULT_IO, names[i]);
        scene_refuses(&scene, &request, FAULT_IO, g_strerror(EACCES));

        request.outputs = true;
        struct capture capture;
        g_assert_true(store_capture(scene.store, &request, &capture, &error));
        g_autofree char *line = g_strdup_printf("%s: %s", names[i], g_strerror(EACCES));
        g_assert_cmpuint(capture.unsupported->len, ==, 1);
        g_assert_cmpstr(capture.unsupported->pdata[0], ==, line);
        assert_file(capture.tree, "sub/good", "good");
        g_assert_null(tree_lookup(capture.tree, names[i]));
        capture_clear(&capture);

        request.outputs = false;
        g_autoptr(glob) glob = glob_new();
        g_assert_true(glob_add(glob, "", "/sub/good", &error));
        request.select = glob;
        g_autoptr(tree) selected = scene_try(&scene, &request, NULL, &error);
        g_assert_no_error(error);
        drop_rights(false);
    }
}

static void what_is_no_directory_is_refused(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "file", "x");
    autofd int file = openat(scene.directory, "file", O_RDONLY | O_CLOEXEC);
    struct capture_request request = scene_request(&scene);
    request.directory = file;
    scene_refuses(&scene, &request, FAULT_IO, scene.path);
}

/* --- selection -------------------------------------------------------------------------------- */

static void only_what_is_selected_is_looked_at(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "src/a.c", "a");
    scene_write(&scene, "src/a.o", "o");
    scene_write(&scene, "src/deep/b.c", "b");
    scene_write(&scene, "out/c.c", "c");
    scene_make_directory(&scene, "src/empty");
    scene_make_directory(&scene, "kept/empty");
    scene_make_directory(&scene, "src/pruned");
    make_odd(&scene, "src/pruned/fifo");
    g_autoptr(tree) everything = NULL;
    const char *patterns[] = { "/src/**/*.c", "/src/*.c", "kept/", "!pruned/" };
    g_autoptr(glob) glob = glob_new();
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
        g_assert_true(glob_add(glob, "", patterns[i], &error));
    struct capture_request request = scene_request(&scene);
    request.select = glob;
    g_autoptr(tree) found = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);

    /* It is what tree_subset() makes of the whole. */
    request.outputs = true;
    request.select = NULL;
    everything = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(tree) expected = tree_subset(everything, glob);
    assert_same_tree(found, expected);
    assert_file(found, "src/deep/b.c", "b");
    g_assert_nonnull(tree_lookup(found, "kept/empty"));
    g_assert_null(tree_lookup(found, "src/empty"));
    g_assert_null(tree_lookup(found, "out"));
}

/* --- under way ---------------------------------------------------------------------------------
 */

struct changer {
    const struct scene *scene;
    atomic_bool stop;
    atomic_uint rounds;
};

static void *write_without_end(void *user)
{
    struct changer *changer = user;
    autofd int file = openat(changer->scene->directory, "big", O_WRONLY | O_CLOEXEC);
    while (!changer->stop) {
        const char byte = (char)changer->rounds++;
        g_assert_cmpint(pwrite(file, &byte, 1, 0), ==, 1);
    }
    return NULL;
}

static void a_file_that_never_rests_is_an_error(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    g_autofree char *text = g_strnfill(16 << 20, 'x');
    scene_write(&scene, "big", text);
    struct changer changer = { .scene = &scene };
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, write_without_end, &changer), ==, 0);
    while (changer.rounds == 0)
        sched_yield();
    struct capture_request request = scene_request(&scene);
    scene_refuses(&scene, &request, FAULT_CHANGED, "/big");
    g_autoptr(store_batch) batch = store_batch_new(scene.store);
    request.batch = batch;
    scene_refuses(&scene, &request, FAULT_CHANGED, "/big");
    changer.stop = true;
    pthread_join(thread, NULL);
    g_autoptr(tree) at_rest = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);
    text[0] = (char)(changer.rounds - 1);
    struct digest expected;
    digest_of(text, 16 << 20, &expected);
    g_assert_true(digest_equal(&tree_child(at_rest, "big")->digest, &expected));
}

static void *rewrite_with_old_times(void *user)
{
    struct changer *changer = user;
    while (!changer->stop) {
        char text[16];
        g_snprintf(text, sizeof text, "%08u", ++changer->rounds);
        struct stat before = scene_stat(changer->scene, "file");
        scene_write(changer->scene, "file~", text);
        scene_restore_times(changer->scene, "file~", &before);
        g_assert_cmpint(
            renameat(changer->scene->directory, "file~", changer->scene->directory, "file"), ==, 0);
        autofd int file = openat(changer->scene->directory, "other", O_WRONLY | O_CLOEXEC);
        g_assert_cmpint(pwrite(file, text, 8, 0), ==, 8);
    }
    return NULL;
}

/* Captures while a writer is at work may see old or new; what they remember must not be wrong. */
static void nothing_wrong_is_remembered(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    for (unsigned round = 0; round < 20; round++) {
        scene_write(&scene, "file", "00000000");
        scene_write(&scene, "other", "00000000");
        struct changer changer = { .scene = &scene };
        pthread_t thread;
        g_assert_cmpint(pthread_create(&thread, NULL, rewrite_with_old_times, &changer), ==, 0);
        const struct capture_request request = scene_request(&scene);
        for (unsigned i = 0; i < 20; i++) {
            g_autoptr(GError) error = NULL;
            g_autoptr(tree) tree = scene_try(&scene, &request, NULL, &error);
            if (tree == NULL)
                g_assert_error(error, FAULT, FAULT_CHANGED);
        }
        changer.stop = true;
        pthread_join(thread, NULL);
        g_autofree char *file = scene_read(scene.directory, "file");
        g_autofree char *other = scene_read(scene.directory, "other");
        for (unsigned i = 0; i < 2; i++) {
            g_autoptr(tree) after = scene_capture(&scene, NULL);
            assert_file(after, "file", file);
            assert_file(after, "other", other);
            scene_age(&scene);
        }
    }
}

static void *come_and_go(void *user)
{
    struct changer *changer = user;
    const int directory = changer->scene->directory;
    while (!changer->stop) {
        changer->rounds++;
        scene_write(changer->scene, "d/file", "x");
        g_assert_cmpint(symlinkat("x", directory, "d/link"), ==, 0);
        scene_write(changer->scene, "d/sub/file", "x");
        g_assert_cmpint(unlinkat(directory, "d/link", 0), ==, 0);
        g_assert_cmpint(unlinkat(directory, "d/file", 0), ==, 0);
        g_assert_cmpint(unlinkat(directory, "d/sub/file", 0), ==, 0);
        g_assert_cmpint(unlinkat(directory, "d/sub", AT_REMOVEDIR), ==, 0);
    }
    return NULL;
}

static void what_vanishes_meanwhile_was_never_there(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "d/stays", "here");
    struct changer changer = { .scene = &scene };
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, come_and_go, &changer), ==, 0);
    for (unsigned i = 0; i < 300 || changer.rounds < 300; i++) {
        g_autoptr(tree) tree = scene_capture(&scene, NULL);
        assert_file(tree, "d/stays", "here");
    }
    changer.stop = true;
    pthread_join(thread, NULL);
}

static void a_raised_flag_ends_it(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "d/file", "x");
    const volatile int cancel = 1;
    struct capture_request request = scene_request(&scene);
    request.cancel = &cancel;
    scene_refuses(&scene, &request, FAULT_CANCELLED, "");
}

/* --- sizes ------------------------------------------------------------------------------------ */

struct reports {
    guint64 files, calls;
};

static void report(guint64 files, guint64 bytes, void *user)
{
    struct reports *reports = user;
    g_assert_cmpuint(files, >=, reports->files);
    reports->files = files;
    reports->calls++;
}

/* More directories, and more files in one, than a part or a helper takes at once. */
static void build_wide(const struct scene *scene)
{
    for (unsigned i = 0; i < 1100; i++) {
        g_autofree char *path = g_strdup_printf(i % 4 == 0 ? "wide/%u/file" : "flat/%u", i);
        scene_write(scene, path, path);
    }
    for (unsigned i = 0; i < 40; i++) {
        g_autofree char *path = g_strdup_printf("flat/big%u", i);
        g_autofree char *text = g_strnfill(60000, (char)('0' + i));
        scene_write(scene, path, text);
    }
}

static void any_number_of_threads_finds_the_same(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    build_wide(&scene);
    struct capture_request request = scene_request(&scene);
    request.jobs = 1;
    request.cache = NULL;
    guint64 hashed = 0;
    g_autoptr(tree) expected = scene_try(&scene, &request, &hashed, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(hashed, ==, 1140);
    guint threads = count_names("/proc/self/task"), descriptors = count_names("/proc/self/fd");
    struct reports reports = { 0 };
    request.progress = report;
    request.user = &reports;
    request.cache = scene.cache;
    scene_age(&scene);
    for (request.jobs = 0; request.jobs < 9; request.jobs++) {
        g_autoptr(tree) found = scene_try(&scene, &request, &hashed, &error);
        g_assert_no_error(error);
        assert_same_tree(found, expected);
        g_assert_cmpuint(hashed, ==, request.jobs == 0 ? 1140 : 0);
        reports.files = 0;
    }
    g_assert_cmpuint(reports.calls, >=, 9);
    g_assert_cmpuint(count_names("/proc/self/task"), ==, threads);
    g_assert_cmpuint(count_names("/proc/self/fd"), ==, descriptors);
}

/* Returns the level at which the last directory stands. */
static void build_deep(const struct scene *scene, guint levels)
{
    g_autofree char *name = g_strnfill(200, 'd');
    autofd int at = openat(scene->directory, ".", O_PATH | O_CLOEXEC);
    for (guint i = 0; i < levels; i++) {
        g_assert_cmpint(mkdirat(at, name, 0755), ==, 0);
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        fd_close(&at);
        at = next;
        autofd int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        g_assert_cmpint(write(file, "x", 1), ==, 1);
    }
}

static void deep_and_wide_trees_need_few_descriptors(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    build_deep(&scene, 60); /* three times the longest path that a system call takes */
    build_wide(&scene);
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    autofd int lowest = dup(scene.directory);
    few.rlim_cur = (rlim_t)lowest + 1 + 2 * 3;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    g_autoptr(tree) tree = scene_capture(&scene, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    struct tree_totals totals;
    tree_totals(tree, &totals);
    g_assert_cmpuint(totals.files, ==, 60 + 1140);
    g_assert_cmpuint(totals.directories, ==, 60 + 277);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/store/capture/" name, function)
    ADD("the-tree-is-what-the-directory-holds", the_tree_is_what_the_directory_holds);
    ADD("an-empty-directory-is-the-empty-tree", an_empty_directory_is_the_empty_tree);
    ADD("a-batch-gets-every-byte", a_batch_gets_every_byte);
    ADD("a-known-file-is-read-again-only-if-the-store-lacks-it",
        a_known_file_is_read_again_only_if_the_store_lacks_it);
    ADD("the-count-and-the-newest-time-are-told", the_count_and_the_newest_time_are_told);
    ADD("what-a-tree-cannot-hold-is-named", what_a_tree_cannot_hold_is_named);
    ADD("unsupported-outputs-come-in-order", unsupported_outputs_come_in_order);
    ADD("fifos-can-be-listed-apart", fifos_can_be_listed_apart);
    ADD("what-cannot-be-read-is-named", what_cannot_be_read_is_named);
    ADD("what-is-no-directory-is-refused", what_is_no_directory_is_refused);
    ADD("only-what-is-selected-is-looked-at", only_what_is_selected_is_looked_at);
    ADD("a-file-that-never-rests-is-an-error", a_file_that_never_rests_is_an_error);
    ADD("nothing-wrong-is-remembered", nothing_wrong_is_remembered);
    ADD("what-vanishes-meanwhile-was-never-there", what_vanishes_meanwhile_was_never_there);
    ADD("a-raised-flag-ends-it", a_raised_flag_ends_it);
    ADD("any-number-of-threads-finds-the-same", any_number_of_threads_finds_the_same);
    ADD("deep-and-wide-trees-need-few-descriptors", deep_and_wide_trees_need_few_descriptors);
    return g_test_run();
}
