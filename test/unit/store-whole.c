// SPDX-License-Identifier: Apache-2.0
/* The digest of a whole directory from one record: used while nothing changes, and only then. */
#include "store-scene.h"

#include <stdio.h>

static struct capture_request whole_request(const struct scene *scene, const struct glob *select)
{
    struct capture_request request = scene_request(scene);
    request.select = select;
    request.outputs = true;
    return request;
}

static struct digest whole(const struct scene *scene, const struct glob *select)
{
    g_autoptr(GError) error = NULL;
    const struct capture_request request = whole_request(scene, select);
    struct digest digest = { 0 };
    bool ok = store_digest_directory(&request, &digest, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    return digest;
}

static bool is_recorded(const struct scene *scene, const struct glob *select)
{
    const struct capture_request request = whole_request(scene, select);
    struct digest ignored;
    return whole_recall(&request, &ignored);
}

static struct glob *without(const char *pattern)
{
    struct glob *glob = glob_new();
    g_assert_true(glob_add(glob, "", pattern, NULL));
    return glob;
}

static void fill(const struct scene *scene)
{
    scene_write(scene, "d/file", "old");
    scene_write(scene, "d/other", "o");
    scene_write(scene, "top", "t");
    scene_make_directory(scene, "e");
    scene_make_directory(scene, "e/empty");
    g_assert_cmpint(symlinkat("file", scene->directory, "d/link"), ==, 0);
}

/* --- every change is seen --------------------------------------------------------------------- */

static void change_in_place(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    scene_write(scene, "d/file", "new");
    scene_restore_times(scene, "d/file", &before);
}

static void replace_by_rename(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    scene_write(scene, "new", "new");
    scene_restore_times(scene, "new", &before);
    g_assert_cmpint(renameat(scene->directory, "new", scene->directory, "d/file"), ==, 0);
}

static void change_through_a_hard_link(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/file");
    g_assert_cmpint(linkat(scene->directory, "d/file", scene->directory, "hard", 0), ==, 0);
    scene_write(scene, "hard", "new");
    scene_restore_times(scene, "hard", &before);
    g_assert_cmpint(unlinkat(scene->directory, "hard", 0), ==, 0);
}

static void make_executable(const struct scene *scene)
{
    g_assert_cmpint(fchmodat(scene->directory, "top", 0755, 0), ==, 0);
}

static void remove_file(const struct scene *scene)
{
    g_assert_cmpint(unlinkat(scene->directory, "d/other", 0), ==, 0);
}

static void add_deep_down(const struct scene *scene)
{
    scene_write(scene, "e/empty/new", "n");
}

static void remove_empty_directory(const struct scene *scene)
{
    g_assert_cmpint(unlinkat(scene->directory, "e/empty", AT_REMOVEDIR), ==, 0);
}

static void turn_link(const struct scene *scene)
{
    struct stat before = scene_stat(scene, "d/link");
    g_assert_cmpint(symlinkat("fils", scene->directory, "new"), ==, 0);
    scene_restore_times(scene, "new", &before);
    g_assert_cmpint(renameat(scene->directory, "new", scene->directory, "d/link"), ==, 0);
}

static void link_in_place_of_a_file(const struct scene *scene)
{
    g_assert_cmpint(unlinkat(scene->directory, "top", 0), ==, 0);
    g_assert_cmpint(symlinkat("d/other", scene->directory, "top"), ==, 0);
}

static void link_in_place_of_a_directory(const struct scene *scene)
{
    g_assert_cmpint(renameat(scene->directory, "d", scene->directory, "hidden"), ==, 0);
    g_assert_cmpint(symlinkat("hidden", scene->directory, "d"), ==, 0);
}

static void swap_directories(const struct scene *scene)
{
    scene_write(scene, "e/file", "new");
    g_assert_cmpint(renameat(scene->directory, "d", scene->directory, "x"), ==, 0);
    g_assert_cmpint(renameat(scene->directory, "e", scene->directory, "d"), ==, 0);
    g_assert_cmpint(renameat(scene->directory, "x", scene->directory, "e"), ==, 0);
}

static void move_the_clock_back(const struct scene *scene)
{
    const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
    scene_write(scene, "d/file", "new");
    g_assert_cmpint(utimensat(scene->directory, "d/file", times, 0), ==, 0);
}

static void (*const changes[])(const struct scene *scene) = {
    change_in_place,
    replace_by_rename,
    change_through_a_hard_link,
    make_executable,
    remove_file,
    add_deep_down,
    remove_empty_directory,
    turn_link,
    link_in_place_of_a_file,
    link_in_place_of_a_directory,
    swap_directories,
    move_the_clock_back,
};

/* Recorded long ago or made at this very moment: whatever happens, the next digest is another. */
static void every_change_is_seen(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++)
        for (unsigned round = 0; round < 20; round++) {
            g_auto(scene) scene = { 0 };
            scene_init(&scene);
            fill(&scene);
            if (round == 0)
                scene_age(&scene);
            const struct digest before = whole(&scene, NULL);
            g_assert_true(round > 0 || is_recorded(&scene, NULL));
            changes[i](&scene);
            const struct digest after = whole(&scene, NULL);
            if (digest_equal(&before, &after))
                g_error("change %zu was not seen in round %u", i, round);
        }
}

/* A writer that never rests: what is taken down is never mixed of two states. */
static void a_change_back_gives_the_first_digest_again(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    const struct digest before = whole(&scene, NULL);
    scene_write(&scene, "top", "u");
    const struct digest between = whole(&scene, NULL);
    scene_write(&scene, "top", "t");
    for (unsigned i = 0; i < 2; i++) {
        const struct digest after = whole(&scene, NULL);
        g_assert_true(digest_equal(&before, &after));
        g_assert_false(digest_equal(&before, &between));
        scene_age(&scene);
    }
}

/* --- what it is the digest of ----------------------------------------------------------------- */

static void it_is_that_of_the_tree(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    g_autoptr(tree) tree = scene_capture(&scene, NULL);
    for (unsigned i = 0; i < 2; i++) {
        const struct digest digest = whole(&scene, NULL);
        g_assert_true(digest_equal(&digest, tree_digest(tree)));
        g_assert_true(is_recorded(&scene, NULL));
    }
}

static void what_is_left_out_counts_by_name(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    g_assert_cmpint(mkfifoat(scene.directory, "fifo", 0644), ==, 0);
    scene_age(&scene);
    const struct digest before = whole(&scene, NULL);
    g_assert_true(is_recorded(&scene, NULL));
    g_assert_cmpint(renameat(scene.directory, "fifo", scene.directory, "tube"), ==, 0);
    const struct digest after = whole(&scene, NULL);
    g_assert_false(digest_equal(&before, &after));
}

static void selections_have_records_of_their_own(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    g_autoptr(glob) no_top = without("!top");
    g_autoptr(glob) no_other = without("!other");
    const struct digest all = whole(&scene, NULL);
    g_assert_false(is_recorded(&scene, no_top));
    const struct digest first = whole(&scene, no_top);
    g_assert_false(is_recorded(&scene, no_other));
    const struct digest second = whole(&scene, no_other);
    g_assert_false(digest_equal(&all, &first));
    g_assert_false(digest_equal(&first, &second));
    scene_write(&scene, "top", "T"); /* in place: its directory does not change */
    g_assert_true(is_recorded(&scene, no_top));
    g_assert_false(is_recorded(&scene, no_other));
    g_assert_false(is_recorded(&scene, NULL));
}

/* --- when there is no record ------------------------------------------------------------------ */

static void young_files_are_not_recorded(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    const struct timespec future[2] = { { 4000000000, 0 }, { 4000000000, 0 } };
    g_assert_cmpint(utimensat(scene.directory, "top", future, 0), ==, 0);
    scene_age(&scene);
    whole(&scene, NULL);
    g_assert_false(is_recorded(&scene, NULL));
}

static void it_is_not_believed_after_a_restart(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    whole(&scene, NULL);
    g_assert_true(is_recorded(&scene, NULL));
    guint8 key[WHOLE_KEY_SIZE];
    struct stat status;
    struct digest empty;
    g_assert_cmpint(fstat(scene.directory, &status), ==, 0);
    stat_cache_key(key, status.st_dev, status.st_ino);
    digest_of("", 0, &empty);
    memcpy(key + STAT_KEY_SIZE, empty.hash, DIGEST_HASH_SIZE);
    g_autoptr(GBytes) record = stat_cache_get_key(scene.cache, key, sizeof key);
    g_assert_nonnull(record);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree guint8 *bytes =
            g_memdup2(g_bytes_get_data(record, NULL), g_bytes_get_size(record));
        bytes[1] ^= (guint8)i; /* of the kernel's run */
        g_autoptr(GBytes) other = g_bytes_new(bytes, g_bytes_get_size(record));
        stat_cache_put_key(scene.cache, key, sizeof key, other);
        g_assert_true(is_recorded(&scene, NULL) == (i == 0));
    }
}

/* Root reads everything, so there it can only be seen that root is told apart. */
static void what_becomes_readable_is_seen(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    g_assert_cmpint(fchmodat(scene.directory, "d", 0, 0), ==, 0);
    g_assert_cmpint(fchmodat(scene.directory, ".", 0755, 0), ==, 0);
    scene_age(&scene);
    bool root = geteuid() == 0;
    if (root)
        g_assert_cmpint(seteuid(65534), ==, 0);
    const struct digest closed = whole(&scene, NULL);
    bool recorded = is_recorded(&scene, NULL);
    if (root)
        g_assert_cmpint(seteuid(0), ==, 0);
    else
        g_assert_cmpint(fchmodat(scene.directory, "d", 0755, 0), ==, 0);
    bool still = is_recorded(&scene, NULL);
    const struct digest open = whole(&scene, NULL);
    g_assert_cmpint(fchmodat(scene.directory, "d", 0755, 0), ==, 0);
    g_assert_true(recorded);
    g_assert_false(still);
    g_assert_false(digest_equal(&closed, &open));
}

static void damaged_records_are_read_past(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    fill(&scene);
    scene_age(&scene);
    const struct digest right = whole(&scene, NULL);
    guint8 key[WHOLE_KEY_SIZE];
    struct stat status;
    struct digest empty;
    g_assert_cmpint(fstat(scene.directory, &status), ==, 0);
    stat_cache_key(key, status.st_dev, status.st_ino);
    digest_of("", 0, &empty);
    memcpy(key + STAT_KEY_SIZE, empty.hash, DIGEST_HASH_SIZE);
    g_autoptr(GBytes) record = stat_cache_get_key(scene.cache, key, sizeof key);
    g_assert_nonnull(record);
    for (gsize size = 0; size < g_bytes_get_size(record); size++) {
        g_autoptr(GBytes) cut = g_bytes_new(g_bytes_get_data(record, NULL), size);
        stat_cache_put_key(scene.cache, key, sizeof key, cut);
        g_assert_false(is_recorded(&scene, NULL));
    }
    const struct digest again = whole(&scene, NULL);
    g_assert_true(digest_equal(&right, &again));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/whole/every-change-is-seen", every_change_is_seen);
    g_test_add_func("/store/whole/a-change-back-gives-the-first-digest-again",
                    a_change_back_gives_the_first_digest_again);
    g_test_add_func("/store/whole/it-is-that-of-the-tree", it_is_that_of_the_tree);
    g_test_add_func("/store/whole/what-is-left-out-counts-by-name",
                    what_is_left_out_counts_by_name);
    g_test_add_func("/store/whole/selections-have-records-of-their-own",
                    selections_have_records_of_their_own);
    g_test_add_func("/store/whole/young-files-are-not-recorded", young_files_are_not_recorded);
    g_test_add_func("/store/whole/it-is-not-believed-after-a-restart",
                    it_is_not_believed_after_a_restart);
    g_test_add_func("/store/whole/what-becomes-readable-is-seen", what_becomes_readable_is_seen);
    g_test_add_func("/store/whole/damaged-records-are-read-past", damaged_records_are_read_past);
    return g_test_run();
}
