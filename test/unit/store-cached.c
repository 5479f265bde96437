// SPDX-License-Identifier: Apache-2.0
/* Capture through the stat cache: what is unchanged is not read, and no change ever goes unseen. */
#include "store-scene.h"

#include <stdatomic.h>
#include <stdio.h>

/* --- no change goes unseen ---------------------------------------------------------------------
 */

static void swap(const struct scene *scene, const char *a, const char *b)
{
    g_assert_cmpint(renameat(scene->directory, a, scene->directory, "swap"), ==, 0);
    g_assert_cmpint(renameat(scene->directory, b, scene->directory, a), ==, 0);
    g_assert_cmpint(renameat(scene->directory, "swap", scene->directory, b), ==, 0);
}

static void change_in_place(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    scene_write(scene, "d/file", "new");
    scene_restore_times(scene, "d/file", &before);
}

static void replace_by_rename(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    scene_write(scene, "d/file~", "new");
    scene_restore_times(scene, "d/file~", &before);
    g_assert_cmpint(renameat(scene->directory, "d/file~", scene->directory, "d/file"), ==, 0);
}

static void change_through_a_hard_link(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    g_assert_cmpint(linkat(scene->directory, "d/file", scene->directory, "other", 0), ==, 0);
    scene_write(scene, "other", "new");
    scene_restore_times(scene, "other", &before);
    g_assert_cmpint(unlinkat(scene->directory, "other", 0), ==, 0);
}

static void change_through_a_mapping(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    autofd int file = openat(scene->directory, "d/file", O_RDWR | O_CLOEXEC);
    g_autoptr(GMappedFile) mapped = g_mapped_file_new_from_fd(file, TRUE, NULL);
    g_assert_cmpint(pwrite(file, "new", 3, 0), ==, 3);
    scene_restore_times(scene, "d/file", &before);
}

static void replace_the_directory(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    scene_write(scene, "e/file", "new");
    scene_restore_times(scene, "e/file", &before);
    swap(scene, "d", "e");
}

static void move_the_clock_back(const struct scene *scene)
{
    const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
    scene_write(scene, "d/file", "new");
    g_assert_cmpint(utimensat(scene->directory, "d/file", times, 0), ==, 0);
}

static void move_the_clock_forward(const struct scene *scene)
{
    const struct timespec times[2] = { { 4000000000, 0 }, { 4000000000, 0 } };
    scene_write(scene, "d/file", "new");
    g_assert_cmpint(utimensat(scene->directory, "d/file", times, 0), ==, 0);
}

static void (*const changes[])(const struct scene *scene) = {
    change_in_place,          replace_by_rename,     change_through_a_hard_link,
    change_through_a_mapping, replace_the_directory, move_the_clock_back,
    move_the_clock_forward,
};

/* Old file or file of this very moment: whatever happens to it, the next capture must see it. */
static void a_change_of_equal_size_and_time_is_seen(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++)
        for (unsigned round = 0; round < 40; round++) {
            g_auto(scene) scene = { 0 };
            scene_init(&scene);
            scene_make_directory(&scene, "e");
            scene_write(&scene, "d/file", "old");
            if (round == 0)
                scene_age(&scene);
            g_autoptr(tree) before = scene_capture(&scene, NULL);
            assert_file(before, "d/file", "old");
            changes[i](&scene);
            g_autoptr(tree) after = scene_capture(&scene, NULL);
            assert_file(after, "d/file", "new");
        }
}

static void a_file_with_a_time_in_the_future_is_never_trusted(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "file", "x");
    move_the_clock_forward(&(struct scene){ .directory = scene.directory });
    scene_age(&scene);
    for (unsigned i = 0; i < 3; i++) {
        guint64 hashed = 0;
        g_autoptr(tree) tree = scene_capture(&scene, &hashed);
        g_assert_cmpuint(hashed, ==, i == 0 ? 2 : 1);
    }
}

static void unchanged_files_are_not_read(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "a", "1");
    scene_write(&scene, "d/b", "2");
    scene_write(&scene, "d/c", "3");
    g_assert_cmpint(linkat(scene.directory, "a", scene.directory, "d/hard", 0), ==, 0);
    scene_age(&scene);
    guint64 hashed = 0;
    g_autoptr(tree) first = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 4);
    g_autoptr(tree) second = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 0);

    scene_write(&scene, "d/b", "9");
    swap(&scene, "a", "d/c");
    g_autoptr(tree) third = scene_capture(&scene, NULL);
    assert_file(third, "d/b", "9");
    assert_file(third, "a", "3");
    assert_file(third, "d/c", "1");
    assert_file(third, "d/hard", "1");

    /* In a cache of its own process, and of a later one. */
    g_autoptr(GError) error = NULL;
    g_autoptr(store_batch) batch = store_batch_new(scene.store);
    scene_age(&scene);
    g_autoptr(tree) fourth = scene_capture(&scene, NULL);
    stat_cache_flush(scene.cache, batch);
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
    stat_cache_free(scene.cache);
    scene.cache = stat_cache_new(scene.store);
    g_autoptr(tree) fifth = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 0);
    assert_same_tree(fifth, third);
    g_assert_false(stat_cache_dirty(scene.cache));
}

/* Found by the test after this one: what was known of the link outlived its replacement. */
static void a_link_replaced_while_it_was_left_out_is_seen(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "file", "1");
    g_assert_cmpint(symlinkat("a", scene.directory, "x"), ==, 0);
    scene_age(&scene);
    g_autoptr(tree) first = scene_capture(&scene, NULL);
    g_assert_cmpint(unlinkat(scene.directory, "x", 0), ==, 0);
    scene_write(&scene, "x", "2");
    scene_age(&scene);
    g_autoptr(glob) glob = glob_new();
    g_assert_true(glob_add(glob, "", "file", &error));
    struct capture_request request = scene_request(&scene);
    request.select = glob;
    g_autoptr(tree) part = scene_try(&scene, &request, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(tree) whole = scene_capture(&scene, NULL);
    assert_file(whole, "x", "2");
}

struct chance {
    const struct scene *scene;
    GRand *rand;
};

static char *random_path(struct chance *chance)
{
    const gint32 a = g_rand_int_range(chance->rand, 0, 3), b = g_rand_int_range(chance->rand, 0, 4);
    return g_rand_boolean(chance->rand) ? g_strdup_printf("%d/%d", a, b)
                                        : g_strdup_printf("%d/%d/x", a, b);
}

/* One step of an adversary who puts all times back. What cannot be done is not done. */
static void mutate(struct chance *chance)
{
    const int directory = chance->scene->directory;
    g_autofree char *path = random_path(chance);
    g_autofree char *other = random_path(chance);
    g_autofree char *parent = g_path_get_dirname(path);
    struct stat above = { 0 }, before = { 0 };
    fstatat(directory, parent, &above, AT_SYMLINK_NOFOLLOW);
    bool there = fstatat(directory, path, &before, AT_SYMLINK_NOFOLLOW) == 0;
    autofd int file = -1;
    const char byte = (char)g_rand_int_range(chance->rand, 'a', 'z');
    switch (g_rand_int_range(chance->rand, 0, 8)) {
    case 0:
    case 1:
        mkdirat(directory, parent, 0755);
        file = openat(directory, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (file >= 0)
            g_assert_cmpint(write(file, &byte, 1), ==, 1);
        break;
    case 2:
        unlinkat(directory, path, 0);
        break;
    case 3:
        unlinkat(directory, parent, AT_REMOVEDIR);
        break;
    case 4:
        renameat(directory, path, directory, other);
        break;
    case 5:
        linkat(directory, path, directory, other, 0);
        break;
    case 6:
        symlinkat((const char[]){ byte, 0 }, directory, path);
        break;
    case 7:
        if (there && S_ISREG(before.st_mode))
            fchmodat(directory, path, before.st_mode ^ 0100, 0);
        break;
    }
    fd_close(&file);
    const struct timespec file_times[2] = { before.st_atim, before.st_mtim };
    const struct timespec parent_times[2] = { above.st_atim, above.st_mtim };
    if (there)
        utimensat(directory, path, file_times, AT_SYMLINK_NOFOLLOW);
    if (above.st_ino != 0)
        utimensat(directory, parent, parent_times, AT_SYMLINK_NOFOLLOW);
}

/* Whatever happened, a capture through the cache is the capture without it. */
static void the_cache_never_makes_a_difference(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    struct chance chance = { &scene, g_rand_new_with_seed(g_test_rand_int_range(0, G_MAXINT32)) };
    g_autoptr(glob) glob = glob_new();
    g_assert_true(glob_add(glob, "", "!/1/2", &error) && glob_add(glob, "", "!/2/*/x", &error));
    for (const char *top = "0"; *top < '3'; top = *top == '0' ? "1" : *top == '1' ? "2" : "3")
        scene_make_directory(&scene, top);
    for (unsigned round = 0; round < 400; round++) {
        for (gint32 steps = g_rand_int_range(chance.rand, 0, 4); steps > 0; steps--)
            mutate(&chance);
        if (round % 4 == 0)
            scene_age(&scene); /* else all is too young to be remembered */
        struct capture_request request = scene_request(&scene);
        request.select = round % 3 == 0 ? glob : NULL;
        g_autoptr(tree) cached = scene_try(&scene, &request, NULL, &error);
        g_assert_no_error(error);
        request.cache = NULL;
        g_autoptr(tree) fresh = scene_try(&scene, &request, NULL, &error);
        g_assert_no_error(error);
        assert_same_tree(cached, fresh);
        g_autoptr(GBytes) one = tree_encode(cached);
        struct digest digest;
        digest_of_bytes(one, &digest);
        g_assert_true(digest_equal(&digest, tree_digest(cached)));
    }
    g_rand_free(chance.rand);
}

static void a_damaged_record_is_no_record(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "a", "1");
    scene_write(&scene, "b", "2");
    scene_age(&scene);
    g_autoptr(tree) expected = scene_capture(&scene, NULL);
    struct stat status = scene_stat(&scene, ".");
    g_autoptr(GBytes) record = stat_cache_get(scene.cache, status.st_dev, status.st_ino);
    for (gsize size = 0; size < g_bytes_get_size(record); size++) {
        GByteArray *cut = g_byte_array_new();
        g_byte_array_append(cut, g_bytes_get_data(record, NULL), (guint)size);
        stat_cache_put(scene.cache, status.st_dev, status.st_ino, cut);
        guint64 hashed = 0;
        g_autoptr(tree) found = scene_capture(&scene, &hashed);
        assert_same_tree(found, expected);
        g_assert_cmpuint(hashed, >, 0);
    }
}

/* The record of the scene's root. */
static struct stat_header read_header(const struct scene *scene)
{
    struct stat status = scene_stat(scene, ".");
    struct stat_reader reader;
    g_autoptr(GBytes) record = stat_cache_get(scene->cache, status.st_dev, status.st_ino);
    g_assert_nonnull(record);
    stat_reader_init(&reader, record);
    g_assert_false(reader.failed);
    return reader.header;
}

static void a_directory_too_young_is_listed_again(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "a", "1");
    scene_age(&scene);
    g_autoptr(tree) first = scene_capture(&scene, NULL);
    g_assert_true(read_header(&scene).listed);
    g_assert_true(read_header(&scene).digested);

    const struct timespec future[2] = { { 4000000000, 0 }, { 4000000000, 0 } };
    scene_write(&scene, "b", "2");
    scene_age(&scene);
    g_assert_cmpint(futimens(scene.directory, future), ==, 0);
    g_autoptr(tree) second = scene_capture(&scene, NULL);
    g_assert_false(read_header(&scene).listed);
    g_assert_true(read_header(&scene).digested);
}

/* An object may gain links without notice, but never another mode. */
static void the_executable_bit_is_always_the_present_one(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "object", "1");
    scene_age(&scene);
    g_autoptr(tree) plain = scene_capture(&scene, NULL);
    struct stat root = scene_stat(&scene, "."), status = scene_stat(&scene, "object");
    struct stat_header header = read_header(&scene);
    struct stat_entry entry = { .name = "object",
                                .kind = STAT_FILE,
                                .hash = tree_child(plain, "object")->digest.hash };
    stat_identify(&status, &entry.identity);
    entry.identity.ctime = STAT_CTIME_ANY;
    GByteArray *record = stat_record_new(&header);
    stat_record_add(record, &entry);
    stat_cache_put(scene.cache, root.st_dev, root.st_ino, record);

    guint64 hashed = 1;
    g_assert_cmpint(linkat(scene.directory, "object", scene.directory, "link", 0), ==, 0);
    g_assert_cmpint(unlinkat(scene.directory, "link", 0), ==, 0);
    g_autoptr(tree) linked = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 0);
    assert_same_tree(linked, plain);
    g_assert_cmpint(fchmodat(scene.directory, "object", 0755, 0), ==, 0);
    g_autoptr(tree) executable = scene_capture(&scene, NULL);
    g_assert_true(tree_child(executable, "object")->executable);
    g_assert_false(digest_equal(tree_digest(executable), tree_digest(plain)));
}

/* A record of another run of the kernel, made just before the power went. */
static void a_young_file_is_read_again_after_power_loss(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    scene_write(&scene, "a", "1");
    scene_age(&scene);
    g_autoptr(tree) before = scene_capture(&scene, NULL);
    struct stat status = scene_stat(&scene, ".");
    g_autoptr(GBytes) record = stat_cache_get(scene.cache, status.st_dev, status.st_ino);
    GByteArray *other = g_byte_array_new();
    g_byte_array_append(other, g_bytes_get_data(record, NULL), (guint)g_bytes_get_size(record));
    other->data[2] ^= 1; /* of the run's number */
    stat_cache_put(scene.cache, status.st_dev, status.st_ino, other);
    guint64 hashed = 0;
    g_autoptr(tree) after = scene_capture(&scene, &hashed);
    assert_same_tree(after, before);
    g_assert_cmpuint(hashed, ==, 1);
    g_autoptr(tree) again = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 0);
}

static void a_selection_keeps_what_is_known_of_the_rest(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "a.c", "a");
    scene_write(&scene, "b.h", "b");
    scene_write(&scene, "c.c", "c");
    scene_age(&scene);
    g_autoptr(tree) before = scene_capture(&scene, NULL);
    scene_write(&scene, "a.c", "A");
    scene_age(&scene);
    g_autoptr(glob) glob = glob_new();
    g_assert_true(glob_add(glob, "", "a.c", &error));
    struct capture_request request = scene_request(&scene);
    request.select = glob;
    guint64 hashed = 0;
    g_autoptr(tree) part = scene_try(&scene, &request, &hashed, &error);
    g_assert_cmpuint(hashed, ==, 1);
    g_autoptr(tree) after = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 0);
    assert_file(after, "a.c", "A");
    assert_file(after, "b.h", "b");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/store/cached/" name, function)
    ADD("a-selection-keeps-what-is-known-of-the-rest", a_selection_keeps_what_is_known_of_the_rest);
    ADD("a-change-of-equal-size-and-time-is-seen", a_change_of_equal_size_and_time_is_seen);
    ADD("a-file-with-a-time-in-the-future-is-never-trusted",
        a_file_with_a_time_in_the_future_is_never_trusted);
    ADD("unchanged-files-are-not-read", unchanged_files_are_not_read);
    ADD("a-link-replaced-while-it-was-left-out-is-seen",
        a_link_replaced_while_it_was_left_out_is_seen);
    ADD("the-cache-never-makes-a-difference", the_cache_never_makes_a_difference);
    ADD("a-damaged-record-is-no-record", a_damaged_record_is_no_record);
    ADD("a-directory-too-young-is-listed-again", a_directory_too_young_is_listed_again);
    ADD("the-executable-bit-is-always-the-present-one",
        the_executable_bit_is_always_the_present_one);
    ADD("a-young-file-is-read-again-after-power-loss", a_young_file_is_read_again_after_power_loss);
    return g_test_run();
}
