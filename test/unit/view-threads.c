// SPDX-License-Identifier: Apache-2.0
/* Several threads that answer at once, as a view's server threads do: for TSan, and for the sums.
 */
#include "view-support.h"

enum {
    THREADS = 4,
    ROUNDS = 400,
};

static struct scene scene;

/* Names of its own and names that all fight for. */
static void stir(struct asker *asker, guint64 shared, guint id, guint round)
{
    char own[32], common[32];
    g_snprintf(own, sizeof own, "own-%u-%u", id, round % 7);
    g_snprintf(common, sizeof common, "common-%u", round % 5);
    guint64 node = lookup(asker, shared, own);
    if (node == 0)
        node = make_file(asker, shared, own, own);
    g_autofree char *text = content(asker, node);
    g_assert_cmpstr(text, ==, own);
    attributes(asker, node);
    int rc = try_mkdir(asker, shared, common);
    g_assert_true(rc == 0 || rc == -EEXIST);
    rc = ask_name(asker, FUSE_RMDIR, shared, common);
    g_assert_true(rc == 0 || rc == -ENOENT);
    rc = rename_name(asker, shared, own, shared, "everybody's", 0);
    g_assert_cmpint(rc, ==, 0);
    g_free(names_of(asker, shared));
}

/* One of them writes to what others read: each read gives what was there before or after. */
static void read_below(struct asker *asker, guint id, guint round)
{
    char name[32];
    g_snprintf(name, sizeof name, "d/f%u", round % 20);
    guint64 node = walk(asker, name), handle = open_file(asker, node, O_RDONLY);
    if (id == round % THREADS)
        overwrite(asker, node, "written");
    g_autofree char *text = read_handle(asker, node, handle);
    g_assert_true(*text == '\0' || strcmp(text, "below") == 0 || strcmp(text, "written") == 0);
    close_file(asker, node, handle);
    forget(asker, node, 1);
}

static gpointer work(gpointer data)
{
    struct asker asker;
    asker_init(&asker, &scene);
    guint64 shared = lookup(&asker, FUSE_ROOT_ID, "shared");
    for (guint round = 0; round < ROUNDS; round++) {
        stir(&asker, shared, GPOINTER_TO_UINT(data), round);
        read_below(&asker, GPOINTER_TO_UINT(data), round);
    }
    asker_release(&asker);
    return NULL;
}

static void threads_answer_at_the_same_time(void)
{
    GThread *threads[THREADS];
    struct asker asker;
    scene_init(&scene);
    host_mkdir(&scene, "d");
    for (int i = 0; i < 20; i++) {
        char name[32];
        g_snprintf(name, sizeof name, "d/f%d", i);
        host_write(&scene, name, "below");
    }
    asker_init(&asker, &scene);
    make_directory(&asker, FUSE_ROOT_ID, "shared");
    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("answers", work, GUINT_TO_POINTER(i));
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    for (int i = 0; i < 20; i++) {
        char name[32];
        g_snprintf(name, sizeof name, "d/f%d", i);
        assert_content(&asker, name, "written");
        g_autofree char *below = read_text(scene.host, name);
        g_assert_cmpstr(below, ==, "below");
    }
    assert_names(&asker, walk(&asker, "shared"), "everybody's ");
    g_assert_cmpuint(scene.view->handles.items->len - scene.view->handles.free->len, ==, 0);
    asker_release(&asker);
    scene_release(&scene);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/view/threads/threads_answer_at_the_same_time",
                    threads_answer_at_the_same_time);
    return g_test_run();
}
