// SPDX-License-Identifier: Apache-2.0
/* What the tests of capture and materialise share: a directory to spoil, and captures of it. */
#ifndef TEST_STORE_SCENE_H
#define TEST_STORE_SCENE_H

#include "base/fault.h"
#include "base/fd.h"
#include "store/capture-internal.h"
#include "store/materialize.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

struct scene {
    char *path;
    int directory;
    struct store *store;
    struct stat_cache *cache;
};

G_GNUC_UNUSED static void scene_init(struct scene *scene)
{
    g_autoptr(GError) error = NULL;
    scene->path = g_dir_make_tmp("vial-scene-XXXXXX", &error);
    g_assert_no_error(error);
    scene->directory = open(scene->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(scene->directory, >=, 0);
    scene->store = store_new_memory();
    scene->cache = stat_cache_new(scene->store);
}

G_GNUC_UNUSED static void scene_release(struct scene *scene)
{
    g_autoptr(GError) error = NULL;
    stat_cache_free(scene->cache);
    store_close(scene->store);
    close(scene->directory);
    fd_remove_tree(AT_FDCWD, scene->path, &error);
    g_assert_no_error(error);
    g_free(scene->path);
}
typedef struct scene scene;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(scene, scene_release)

/* Write all of `text` over whatever is at `path`, in place. */
G_GNUC_UNUSED static void scene_write(const struct scene *scene, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    fd_make_parents(scene->directory, path, &error);
    g_assert_no_error(error);
    autofd int file =
        openat(scene->directory, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    g_assert_cmpint(file, >=, 0);
    fd_write_all(file, text, strlen(text), path, &error);
    g_assert_no_error(error);
}

G_GNUC_UNUSED static char *scene_read(int directory, const char *path)
{
    g_autoptr(GError) error = NULL;
    autofd int file = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    g_assert_cmpint(file, >=, 0);
    g_autoptr(GBytes) bytes = fd_read_all(file, 1 << 30, path, &error);
    g_assert_no_error(error);
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

G_GNUC_UNUSED static void scene_make_directory(const struct scene *scene, const char *path)
{
    g_autoptr(GError) error = NULL;
    fd_make_parents(scene->directory, path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(mkdirat(scene->directory, path, 0755), ==, 0);
}

/* Until all that was written so far is older than the clock's tick: then identities may be kept. */
G_GNUC_UNUSED static void scene_age(const struct scene *scene)
{
    const struct stat_clock clock = stat_clock(scene->directory);
    gint64 start = stat_now();
    while (stat_now() <= start + 2 * clock.slack)
        sched_yield();
}

G_GNUC_UNUSED static struct capture_request scene_request(const struct scene *scene)
{
    return (struct capture_request){
        .directory = scene->directory,
        .name = scene->path,
        .cache = scene->cache,
        .jobs = 2,
    };
}

G_GNUC_UNUSED static struct tree *scene_try(const struct scene *scene,
                                            const struct capture_request *request, guint64 *hashed,
                                            GError **error)
{
    struct capture capture;
    if (!store_capture(scene->store, request, &capture, error))
        return NULL;
    if (hashed != NULL)
        *hashed = capture.files_hashed;
    struct tree *tree = g_steal_pointer(&capture.tree);
    capture_clear(&capture);
    return tree;
}

/* Capture everything; *hashed (may be NULL): how many files had to be read. */
G_GNUC_UNUSED static struct tree *scene_capture(const struct scene *scene, guint64 *hashed)
{
    g_autoptr(GError) error = NULL;
    const struct capture_request request = scene_request(scene);
    struct tree *tree = scene_try(scene, &request, hashed, &error);
    g_assert_no_error(error);
    return tree;
}

/* The capture must fail with `code` and name `path`. */
G_GNUC_UNUSED static void scene_refuses(const struct scene *scene,
                                        const struct capture_request *request, enum fault code,
                                        const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) tree = scene_try(scene, request, NULL, &error);
    g_assert_error(error, FAULT, (int)code);
    g_assert_null(tree);
    if (strstr(error->message, path) == NULL)
        g_error("\"%s\" does not name %s", error->message, path);
}

/* `path` is a file that holds `text`. */
G_GNUC_UNUSED static void assert_file(const struct tree *tree, const char *path, const char *text)
{
    const struct tree_entry *entry = tree_lookup(tree, path);
    struct digest digest;
    digest_of(text, strlen(text), &digest);
    g_assert_nonnull(entry);
    g_assert_cmpint(entry->kind, ==, TREE_FILE);
    g_assert_true(digest_equal(&entry->digest, &digest));
}

static bool print_difference(const char *path, const struct tree_entry *before,
                             const struct tree_entry *after, void *user)
{
    g_autofree char *one = before == NULL ? g_strdup("nothing") : tree_entry_describe(before);
    g_autofree char *other = after == NULL ? g_strdup("nothing") : tree_entry_describe(after);
    g_test_message("%s: %s, %s", path, one, other);
    return true;
}

G_GNUC_UNUSED static void assert_same_tree(const struct tree *a, const struct tree *b)
{
    char one[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    if (!digest_equal(tree_digest(a), tree_digest(b)))
        tree_diff(a, b, print_difference, NULL);
    g_assert_cmpstr(digest_print(tree_digest(a), one), ==, digest_print(tree_digest(b), other));
}

/* Give back the times that `path` had, as cp -p, rsync and the like do. */
G_GNUC_UNUSED static void scene_restore_times(const struct scene *scene, const char *path,
                                              const struct stat *status)
{
    const struct timespec times[2] = { status->st_atim, status->st_mtim };
    g_assert_cmpint(utimensat(scene->directory, path, times, AT_SYMLINK_NOFOLLOW), ==, 0);
}

G_GNUC_UNUSED static struct stat scene_stat(const struct scene *scene, const char *path)
{
    struct stat status;
    g_assert_cmpint(fstatat(scene->directory, path, &status, AT_SYMLINK_NOFOLLOW), ==, 0);
    return status;
}

#endif
