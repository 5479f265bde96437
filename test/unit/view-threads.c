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

/* --- children --------------------------------------------------------------------------------- */

static int finished; /* atomic */

static guint64 node_of(struct asker *asker, const char *name)
{
    return lookup(asker, lookup(asker, FUSE_ROOT_ID, "d"), name);
}

/* Two writes that a snapshot may come between; each leaves one letter throughout. */
static gpointer rewrite(gpointer data)
{
    struct asker asker;
    asker_init(&asker, &scene);
    for (guint round = 0; g_atomic_int_get(&finished) == 0; round++) {
        char text[65];
        memset(text, 'a' + (int)(round % 26), 64);
        text[64] = '\0';
        guint64 node = node_of(&asker, "f"), handle = open_file(&asker, node, O_WRONLY);
        g_assert_cmpint(write_at(&asker, node, handle, 0, text), ==, 0);
        close_file(&asker, node, handle);
        rename_name(&asker, walk(&asker, "d"), "g", FUSE_ROOT_ID, "moved", 0);
        rename_name(&asker, FUSE_ROOT_ID, "moved", walk(&asker, "d"), "g", 0);
        g_free(names_of(&asker, walk(&asker, "d")));
    }
    asker_release(&asker);
    return NULL;
}

/* What a child sees of the parent does not change while it looks, and what it leaves is there. */
static void run_child(struct asker *parent, guint round)
{
    char name[16];
    g_autoptr(snapshot) now = view_snapshot(scene.view, NULL);
    const struct view_options options = { .below = now, .label = round + 1, .processes = -1 };
    struct scene own = scene;
    struct asker asker;
    own.view = view_new(&options);
    asker_init(&asker, &own);
    g_autofree char *first = content(&asker, node_of(&asker, "f"));
    g_assert_cmpuint(strlen(first), ==, 64);
    g_assert_cmpuint(strspn(first, (char[]){ *first, '\0' }), ==, 64);
    g_snprintf(name, sizeof name, "n%u", round % 5);
    guint64 node = lookup(&asker, FUSE_ROOT_ID, name);
    if (node != 0)
        overwrite(&asker, node, name);
    else
        make_file(&asker, FUSE_ROOT_ID, name, name);
    g_autofree char *second = content(&asker, node_of(&asker, "f"));
    g_assert_cmpstr(first, ==, second);
    bool moved = lookup(&asker, FUSE_ROOT_ID, "moved") != 0;
    g_assert_true(moved != (node_of(&asker, "g") != 0));
    asker_release(&asker);
    g_assert_true(view_commit(own.view, 0, NULL, NULL));
    view_free(own.view);
    assert_content(parent, name, name);
}

static void children_come_and_go_while_the_parent_writes(void)
{
    struct asker asker;
    char start[65];
    memset(start, 'z', 64);
    start[64] = '\0';
    scene_init(&scene);
    host_mkdir(&scene, "d");
    host_write(&scene, "d/f", start);
    host_write(&scene, "d/g", "g");
    asker_init(&asker, &scene);
    g_atomic_int_set(&finished, 0);
    GThread *thread = g_thread_new("writes", rewrite, NULL);
    for (guint round = 0; round < ROUNDS; round++)
        run_child(&asker, round);
    g_atomic_int_set(&finished, 1);
    g_thread_join(thread);
    g_assert_null(scene.view->latest);
    asker_release(&asker);
    scene_release(&scene);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/view/threads/threads_answer_at_the_same_time",
                    threads_answer_at_the_same_time);
    g_test_add_func("/view/threads/children_come_and_go_while_the_parent_writes",
                    children_come_and_go_while_the_parent_writes);
    return g_test_run();
}
