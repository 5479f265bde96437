// SPDX-License-Identifier: Apache-2.0
/* Single files and listings through the stat cache, alone and beside captures. */
#include "store-scene.h"

static enum stat_outcome digest_name(const struct scene *scene, struct stat_cache *cache,
                                     const char *name, const struct stat *status,
                                     struct digest *out)
{
    struct stat_files *files = stat_files_open(cache, scene->directory);
    enum stat_outcome outcome = stat_files_digest(files, scene->directory, name, status, out);
    stat_files_close(files);
    return outcome;
}

static void assert_digest(const struct scene *scene, const char *name, const char *text)
{
    const struct stat status = scene_stat(scene, name);
    struct digest expected, found;
    digest_of(text, strlen(text), &expected);
    g_assert_cmpint(digest_name(scene, scene->cache, name, &status, &found), ==, STAT_DIGESTED);
    g_assert_true(digest_equal(&found, &expected));
}

/* Does the cache say what `name` held when it was seen as `status`, though it is gone by now? */
static bool is_remembered(const struct scene *scene, const char *name)
{
    const struct stat status = scene_stat(scene, name);
    struct digest found;
    g_assert_cmpint(unlinkat(scene->directory, name, 0), ==, 0);
    enum stat_outcome outcome = digest_name(scene, scene->cache, name, &status, &found);
    g_assert_true(outcome == STAT_DIGESTED || outcome == STAT_CHANGED);
    return outcome == STAT_DIGESTED;
}

static void a_known_file_is_not_read_again(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    scene_age(&scene);
    assert_digest(&scene, "f", "text");
    g_assert_true(is_remembered(&scene, "f"));
}

static void what_a_capture_learned_is_known(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    scene_age(&scene);
    g_autoptr(tree) tree = scene_capture(&scene, NULL);
    g_assert_true(is_remembered(&scene, "f"));
}

static void a_capture_knows_what_was_learned(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    scene_write(&scene, "g", "other");
    scene_age(&scene);
    assert_digest(&scene, "f", "text");
    guint64 hashed;
    g_autoptr(tree) tree = scene_capture(&scene, &hashed);
    g_assert_cmpuint(hashed, ==, 1);
    assert_file(tree, "f", "text");
    assert_file(tree, "g", "other");
}

static void a_file_from_the_future_is_not_remembered(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1ll << 33 } };
    g_assert_cmpint(utimensat(scene.directory, "f", times, 0), ==, 0);
    scene_age(&scene);
    assert_digest(&scene, "f", "text");
    g_assert_false(is_remembered(&scene, "f"));
}

static void another_file_than_the_one_looked_at_is_told_apart(void)
{
    g_auto(scene) scene;
    struct digest found;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    scene_age(&scene);
    const struct stat status = scene_stat(&scene, "f");
    assert_digest(&scene, "f", "text");
    scene_write(&scene, "f", "TEXT");
    scene_restore_times(&scene, "f", &status);
    assert_digest(&scene, "f", "TEXT");
    g_assert_cmpint(digest_name(&scene, NULL, "f", &status, &found), ==, STAT_CHANGED);
    g_assert_cmpint(symlinkat("f", scene.directory, "l"), ==, 0);
    g_assert_cmpint(digest_name(&scene, NULL, "l", &status, &found), ==, STAT_CHANGED);
    g_assert_cmpint(mkfifoat(scene.directory, "p", 0600), ==, 0);
    g_assert_cmpint(digest_name(&scene, NULL, "p", &status, &found), ==, STAT_CHANGED);
}

static void names_may_be_asked_in_any_order_and_again(void)
{
    static const char *const names[] = { "b", "a", "c", "a", "\xff", "c", "b", "a" };
    g_auto(scene) scene;
    scene_init(&scene);
    for (guint i = 0; i < 5; i++)
        scene_write(&scene, names[i], names[i]);
    scene_age(&scene);
    for (guint pass = 0; pass < 2; pass++) {
        struct stat_files *files = stat_files_open(scene.cache, scene.directory);
        for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
            const struct stat status = scene_stat(&scene, names[i]);
            struct digest expected, found;
            digest_of(names[i], strlen(names[i]), &expected);
            g_assert_cmpint(stat_files_digest(files, scene.directory, names[i], &status, &found),
                            ==, STAT_DIGESTED);
            g_assert_true(digest_equal(&found, &expected));
        }
        stat_files_close(files);
    }
    g_assert_true(is_remembered(&scene, "b"));
    g_assert_false(
        is_remembered(&scene, "\xff")); /* captures trust that recorded names are UTF-8 */
}

/* --- beside captures, at random ----------------------------------------------------------------
 */

static void spoil(const struct scene *scene, GRand *random, const char *name)
{
    g_autofree char *text = g_strdup_printf("%d", g_rand_int_range(random, 0, 100));
    struct stat status;
    bool there = fstatat(scene->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    int way = g_rand_int_range(random, 0, 5);
    if (there && way < 2)
        unlinkat(scene->directory, name, 0);
    if (way == 1)
        g_assert_cmpint(symlinkat(text, scene->directory, name), ==, 0);
    else if (way >= 2 && (!there || S_ISREG(status.st_mode)))
        scene_write(scene, name, text);
    if (there && way == 3 && S_ISREG(status.st_mode))
        scene_restore_times(scene, name, &status);
}

static void ask(const struct scene *scene, struct stat_files *files, const char *name)
{
    struct stat status;
    struct digest found, expected;
    if (fstatat(scene->directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return;
    g_assert_cmpint(stat_files_digest(files, scene->directory, name, &status, &found), ==,
                    STAT_DIGESTED);
    g_autofree char *text = scene_read(scene->directory, name);
    digest_of(text, strlen(text), &expected);
    g_assert_true(digest_equal(&found, &expected));
}

static void both_say_what_is_there_whatever_happened_before(void)
{
    static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
    for (guint seed = 0; seed < 12; seed++) {
        g_auto(scene) scene;
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        scene_init(&scene);
        for (guint step = 0; step < 12; step++) {
            for (int i = g_rand_int_range(random, 0, 3); i > 0; i--)
                spoil(&scene, random, names[g_rand_int_range(random, 0, 6)]);
            if (g_rand_boolean(random))
                scene_age(&scene);
            struct stat_files *files = stat_files_open(scene.cache, scene.directory);
            for (int i = g_rand_int_range(random, 0, 6); i > 0; i--)
                ask(&scene, files, names[g_rand_int_range(random, 0, 6)]);
            stat_files_close(files);
            if (g_rand_boolean(random))
                continue;
            g_autoptr(tree) cached = scene_capture(&scene, NULL);
            struct capture_request request = scene_request(&scene);
            request.cache = NULL;
            g_autoptr(tree) fresh = scene_try(&scene, &request, NULL, NULL);
            g_test_message("seed %u, step %u", seed, step);
            assert_same_tree(cached, fresh);
        }
    }
}

/* --- listings --------------------------------------------------------------------------------- */

static bool listing_is_known(const struct scene *scene, const struct digest *expected)
{
    struct stat status = scene_stat(scene, ".");
    struct digest found;
    bool known = stat_listing_recall(scene->cache, &status, &found);
    g_assert_true(!known || digest_equal(&found, expected));
    return known;
}

static void remember_listing(const struct scene *scene, const struct digest *digest)
{
    gint64 began = stat_listing_begin();
    struct stat status = scene_stat(scene, ".");
    stat_listing_remember(scene->cache, scene->directory, &status, began, digest);
}

static void a_listing_is_known_until_a_name_comes_or_goes(void)
{
    g_auto(scene) scene;
    struct digest digest;
    digest_of("names", 5, &digest);
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    if (!stat_clock(scene.directory).listings) {
        g_test_skip("the times of directories do not tell here");
        return;
    }
    scene_age(&scene);
    g_assert_false(listing_is_known(&scene, &digest));
    remember_listing(&scene, &digest);
    g_assert_true(listing_is_known(&scene, &digest));
    scene_write(&scene, "f", "edited");
    g_assert_true(listing_is_known(&scene, &digest));
    scene_write(&scene, "g", "new");
    g_assert_false(listing_is_known(&scene, &digest));
    scene_age(&scene);
    remember_listing(&scene, &digest);
    g_assert_cmpint(unlinkat(scene.directory, "g", 0), ==, 0);
    g_assert_false(listing_is_known(&scene, &digest));
}

static void a_listing_that_changed_meanwhile_is_not_remembered(void)
{
    g_auto(scene) scene;
    struct digest digest;
    digest_of("names", 5, &digest);
    scene_init(&scene);
    scene_age(&scene);
    gint64 began = stat_listing_begin();
    struct stat status = scene_stat(&scene, ".");
    scene_write(&scene, "g", "new");
    stat_listing_remember(scene.cache, scene.directory, &status, began, &digest);
    g_assert_false(stat_listing_recall(scene.cache, &status, &digest));
}

static void damaged_listings_are_as_none(void)
{
    g_auto(scene) scene;
    struct digest digest;
    guint8 key[STAT_KEY_SIZE + 1] = { 0 };
    scene_init(&scene);
    struct stat status = scene_stat(&scene, ".");
    stat_cache_key(key, status.st_dev, status.st_ino);
    key[STAT_KEY_SIZE] = 'n';
    for (guint size = 0; size < 120; size++) {
        g_autofree guint8 *data = g_malloc(size + 1);
        memset(data, 0xff, size);
        g_autoptr(GBytes) record = g_bytes_new(data, size);
        stat_cache_put_key(scene.cache, key, sizeof key, record);
        g_assert_false(stat_listing_recall(scene.cache, &status, &digest));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/files/a-known-file-is-not-read-again", a_known_file_is_not_read_again);
    g_test_add_func("/store/files/what-a-capture-learned-is-known",
                    what_a_capture_learned_is_known);
    g_test_add_func("/store/files/a-capture-knows-what-was-learned",
                    a_capture_knows_what_was_learned);
    g_test_add_func("/store/files/a-file-from-the-future-is-not-remembered",
                    a_file_from_the_future_is_not_remembered);
    g_test_add_func("/store/files/another-file-than-the-one-looked-at-is-told-apart",
                    another_file_than_the_one_looked_at_is_told_apart);
    g_test_add_func("/store/files/names-may-be-asked-in-any-order-and-again",
                    names_may_be_asked_in_any_order_and_again);
    g_test_add_func("/store/files/both-say-what-is-there-whatever-happened-before",
                    both_say_what_is_there_whatever_happened_before);
    g_test_add_func("/store/files/a-listing-is-known-until-a-name-comes-or-goes",
                    a_listing_is_known_until_a_name_comes_or_goes);
    g_test_add_func("/store/files/a-listing-that-changed-meanwhile-is-not-remembered",
                    a_listing_that_changed_meanwhile_is_not_remembered);
    g_test_add_func("/store/files/damaged-listings-are-as-none", damaged_listings_are_as_none);
    return g_test_run();
}
