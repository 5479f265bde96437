// SPDX-License-Identifier: Apache-2.0
/* What commit gives outputs besides their content. */
#include "commit-support.h"

#include "sandbox/sandbox.h"

#include <sys/xattr.h>

#define SECOND G_GINT64_CONSTANT(1000000000)

/* --- times ------------------------------------------------------------------------------------ */

struct times {
    struct ground ground;
    struct run run;
    gint64 before;
};

static void times_init(struct times *times, bool from_store)
{
    ground_init(&times->ground);
    LAY(times->ground.workspace, "input=1", "same=1");
    set_time(times->ground.workspace, "same", 5 * SECOND);
    times->before = g_get_real_time() * 1000;
    run_init(&times->run, &times->ground, NULL);
    times->run.from_store = from_store;
    LAY(times->ground.from, "natural=1", "chosen=1", "ancient=1", "input-time=1", "unknown=1",
        "same=1");
    gint64 start = times->run.result->started * 1000;
    times->run.result->wall = 1000000;
    extra_of(&times->run, "natural", 0644, start + SECOND / 2);
    extra_of(&times->run, "chosen", 0644, 1000000000 * SECOND + 1);
    extra_of(&times->run, "ancient", 0644, -SECOND - 1);
    extra_of(&times->run, "input-time", 0644, SANDBOX_INPUT_TIME);
    extra_of(&times->run, "same", 0644, start + SECOND / 2);
}

static void times_release(struct times *times)
{
    run_release(&times->run);
    ground_release(&times->ground);
}

static void times_are_those_of_the_run(void)
{
    for (int from_store = 0; from_store < 2; from_store++) {
        struct times times;
        times_init(&times, from_store);
        times.run.commit.newest = times.run.result->started * 1000 - SECOND;
        finish_well(&times.run);
        int workspace = times.ground.workspace;
        g_assert_cmpint(time_of_path(workspace, "natural"), ==,
                        times.run.result->started * 1000 + SECOND / 2);
        g_assert_cmpint(time_of_path(workspace, "chosen"), ==, 1000000000 * SECOND + 1);
        g_assert_cmpint(time_of_path(workspace, "ancient"), ==, -SECOND - 1);
        g_assert_cmpint(time_of_path(workspace, "same"), ==, 5 * SECOND);
        g_assert_cmpint(time_of_path(workspace, "input-time"), >=, times.before);
        g_assert_cmpint(time_of_path(workspace, "unknown"), >=, times.before);
        times_release(&times);
    }
}

/* A hit from long ago in a fresh checkout: make must not find outputs older than their inputs. */
static void times_are_later_than_the_inputs(void)
{
    for (int from_store = 0; from_store < 2; from_store++) {
        struct times times;
        times_init(&times, from_store);
        times.run.commit.newest = times.run.result->started * 1000 + 1;
        finish_well(&times.run);
        int workspace = times.ground.workspace;
        gint64 now = time_of_path(workspace, "unknown");
        g_assert_cmpint(now, >=, times.before);
        g_assert_cmpint(time_of_path(workspace, "natural"), ==, now);
        g_assert_cmpint(time_of_path(workspace, "chosen"), ==, 1000000000 * SECOND + 1);
        g_assert_cmpint(time_of_path(workspace, "same"), ==, 5 * SECOND);
        times_release(&times);
    }
}

/* --- modes ------------------------------------------------------------------------------------ */

static void modes_are_the_usual_or_the_chosen_ones(void)
{
    static const struct {
        const char *line, *path;
        guint32 mode, expected;
    } cases[] = {
        { "plain=1", "plain", 0644, 0640 },      { "program*=1", "program", 0755, 0750 },
        { "secret=1", "secret", 0600, 0600 },    { "open=1", "open", 0666, 0666 },
        { "setuid*=1", "setuid", 04755, 04755 }, { "locked=1", "locked", 0, 0 },
        { "odd*=1", "odd", 0711, 0711 },         { "d/", "d", 0755, 0750 },
        { "private/", "private", 0700, 0700 },   { "sticky/", "sticky", 01777, 01777 },
        { "shared/", "shared", 02775, 02775 },   { "closed/x=1", "closed", 0500, 0500 },
    };
    for (int from_store = 0; from_store < 2; from_store++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        run_init(&run, &ground, NULL);
        run.from_store = from_store;
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
            LAY(ground.from, cases[i].line);
            extra_of(&run, cases[i].path, cases[i].mode, 0);
        }
        mode_t mask = umask(027);
        finish_well(&run);
        g_assert_cmpuint(umask(mask), ==, 027);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
            g_test_message("%s", cases[i].path);
            g_assert_cmpuint(status_of(ground.workspace, cases[i].path).st_mode & 07777, ==,
                             cases[i].expected);
        }
        run_release(&run);
        ground_release(&ground);
    }
}

static void a_mode_alone_is_a_change(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "a=1", "b=1", "mine=1", "d/x=1");
    set_time(ground.workspace, "a", 5 * SECOND);
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "mine=2");
    LAY(ground.from, "a=1", "b=1", "mine=1", "d/x=1");
    extra_of(&run, "a", 0600, 0);
    extra_of(&run, "b", 0644, 0);
    extra_of(&run, "mine", 0600, 0);
    extra_of(&run, "d", 0700, 0);
    finish_well(&run);
    g_assert_cmpuint(status_of(ground.workspace, "a").st_mode & 07777, ==, 0600);
    g_assert_cmpint(time_of_path(ground.workspace, "a"), ==, 5 * SECOND);
    g_assert_cmpuint(status_of(ground.workspace, "b").st_mode & 07777, ==, 0644);
    g_assert_cmpuint(status_of(ground.workspace, "mine").st_mode & 07777, ==, 0644);
    g_assert_cmpuint(status_of(ground.workspace, "d").st_mode & 07777, ==, 0700);
    assert_disk(ground.workspace, "a=1", "b=1", "mine=2", "d/x=1");
    run_release(&run);
    ground_release(&ground);
}

/* --- links, FIFOs, attributes, holes ---------------------------------------------------------- */

static void hard_links_stay_together(void)
{
    for (int from_store = 0; from_store < 2; from_store++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        LAY(ground.workspace, "b=old");
        run_init(&run, &ground, NULL);
        run.from_store = from_store;
        LAY(ground.from, "a=1", "b=1", "d/c=1", "other=1");
        extra_of(&run, "b", 0644, 0)->hard_link = g_strdup("a");
        extra_of(&run, "d/c", 0644, 0)->hard_link = g_strdup("a");
        finish_well(&run);
        assert_disk(ground.workspace, "a=1", "b=1", "d/c=1", "other=1");
        ino_t inode = status_of(ground.workspace, "a").st_ino;
        g_assert_true(status_of(ground.workspace, "b").st_ino == inode);
        g_assert_true(status_of(ground.workspace, "d/c").st_ino == inode);
        g_assert_cmpuint(status_of(ground.workspace, "other").st_nlink, ==, 1);
        run_release(&run);
        ground_release(&ground);
    }
}

static void nothing_is_linked_to_what_is_mine(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "secret=s");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "a=mine");
    LAY(ground.from, "a=1", "b=1", "c=2", "e=s");
    extra_of(&run, "b", 0644, 0)->hard_link = g_strdup("a");
    extra_of(&run, "c", 0644, 0)->hard_link = g_strdup("b");
    extra_of(&run, "e", 0644, 0)->hard_link = g_strdup("secret");
    finish_well(&run);
    assert_disk(ground.workspace, "a=mine", "b=1", "c=2", "e=s", "secret=s");
    g_assert_cmpuint(status_of(ground.workspace, "a").st_nlink, ==, 1);
    g_assert_cmpuint(status_of(ground.workspace, "secret").st_nlink, ==, 1);
    run_release(&run);
    ground_release(&ground);
}

static void fifos_are_made_but_not_over_files_of_mine(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "was=1", "full/x=1");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "mine=1");
    g_assert_cmpint(mkfifoat(ground.workspace, "there", 0600), ==, 0);
    static const char *const paths[] = { "d/new", "full", "mine", "there", "was" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        extra_of(&run, paths[i], 0600, 0)->fifo = true;
    ino_t inode = status_of(ground.workspace, "there").st_ino;
    finish_well(&run);
    g_assert_true(S_ISFIFO(status_of(ground.workspace, "d/new").st_mode));
    g_assert_cmpuint(status_of(ground.workspace, "d/new").st_mode & 07777, ==, 0600);
    g_assert_true(S_ISFIFO(status_of(ground.workspace, "was").st_mode));
    g_assert_true(status_of(ground.workspace, "there").st_ino == inode);
    assert_disk(ground.workspace, "mine=1", "d/", "full/x=1");
    g_assert_cmpstr(reported(&run), ==, "conflict full\nconflict mine\n");
    run_release(&run);
    ground_release(&ground);
}

/* Lay FIFOs as an earlier run left them, and capture the workspace around them. */
static GPtrArray *begin_with_fifos(struct run *run, struct ground *ground, const char *const *paths)
{
    GPtrArray *fifos = g_ptr_array_new();
    for (; *paths != NULL; paths++) {
        g_assert_cmpint(mkfifoat(ground->workspace, *paths, 0600), ==, 0);
        g_ptr_array_add(fifos, (gpointer)*paths);
    }
    next_tick();
    run_init(run, ground, NULL);
    run->commit.fifos = fifos;
    next_tick();
    return fifos;
}

static bool is_fifo(const struct ground *ground, const char *path)
{
    struct stat status;
    return fstatat(ground->workspace, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISFIFO(status.st_mode);
}

static void fifos_of_an_earlier_run_give_way_or_go(void)
{
    static const char *const paths[] = { "again", "directory", "file", "gone", "input", NULL };
    for (int failure = 0; failure < 2; failure++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        g_autoptr(GPtrArray) fifos = begin_with_fifos(&run, &ground, paths);
        ino_t inode = status_of(ground.workspace, "again").st_ino;
        g_autoptr(store_batch) batch = store_batch_new(ground.store);
        struct digest digest;
        g_assert_true(store_batch_put(batch, "1", 1, &digest, NULL));
        g_assert_true(store_batch_commit(batch, NULL));
        g_autoptr(tree) inputs = TREE("input=1");
        run.commit.inputs = inputs;
        run.result->exit_code = failure;
        LAY(ground.from, "file=2", "directory/x=3");
        extra_of(&run, "again", 0600, 0)->fifo = true;
        delete_input(&run, "again"); /* where the sandbox saw a file give way to it */
        finish_well(&run);
        g_assert_true(status_of(ground.workspace, "again").st_ino == inode);
        g_assert_true(is_fifo(&ground, "gone") == failure);
        g_assert_true(is_fifo(&ground, "input") == failure);
        g_assert_false(is_fifo(&ground, "file") || is_fifo(&ground, "directory"));
        g_assert_cmpstr(reported(&run), ==, "");
        run_release(&run);
        ground_release(&ground);
    }
}

/* One that came meanwhile, one where a run's own was, and one that somebody has used. */
static void fifos_of_mine_stay(void)
{
    static const char *const paths[] = { "mine", "used", NULL };
    struct ground ground;
    struct run run;
    ground_init(&ground);
    g_autoptr(GPtrArray) fifos = begin_with_fifos(&run, &ground, paths);
    g_assert_cmpint(unlinkat(ground.workspace, "mine", 0), ==, 0);
    g_assert_cmpint(mkfifoat(ground.workspace, "mine", 0600), ==, 0);
    g_assert_cmpint(mkfifoat(ground.workspace, "new", 0600), ==, 0);
    g_assert_cmpint(fchmodat(ground.workspace, "used", 0620, 0), ==, 0);
    LAY(ground.from, "mine=1", "new=2");
    finish_well(&run);
    for (size_t i = 0; i < 3; i++)
        g_assert_true(is_fifo(&ground, (const char *[]){ "mine", "new", "used" }[i]));
    g_assert_cmpstr(reported(&run), ==, "conflict used\nconflict mine\nconflict new\n");
    run_release(&run);
    ground_release(&ground);
}

static void attributes_are_restored(void)
{
    for (int from_store = 0; from_store < 2; from_store++) {
        struct ground ground;
        struct run run;
        char value[8];
        ground_init(&ground);
        run_init(&run, &ground, NULL);
        run.from_store = from_store;
        LAY(ground.from, "a=1", "d/");
        static const char encoded[] = "\x0a\x0b\x0a\x06user.k\x12\x01v"
                                      "\x0a\x11\x0a\x0ctrusted.evil\x12\x01x";
        extra_of(&run, "a", 0444, 0)->xattrs = g_bytes_new_static(encoded, sizeof encoded - 1);
        extra_of(&run, "d", 0555, 0)->xattrs = g_bytes_new_static(encoded, sizeof encoded - 1);
        finish_well(&run);
        static const char *const paths[] = { "a", "d" };
        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
            g_autofree char *path = g_build_filename(ground.session.root, paths[i], NULL);
            ssize_t size = lgetxattr(path, "user.k", value, sizeof value);
            g_assert_cmpmem(value, (int)MAX(size, 0), "v", 1);
            g_assert_cmpint(lgetxattr(path, "trusted.evil", value, sizeof value), <, 0);
        }
        run_release(&run);
        ground_release(&ground);
    }
}

/* What takes long is done before the first change. */
static void a_cancelled_commit_changes_nothing(void)
{
    static const volatile int raised = 1;
    for (int round = 0; round < 4; round++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        run_init(&run, &ground, NULL);
        run.from_store = round % 2 == 1;
        run.commit.cancel = round < 2 ? &raised : NULL;
        LAY(ground.from, "a=new", "d/large=start");
        autofd int file = openat(ground.from, "d/large", O_WRONLY);
        g_assert_cmpint(ftruncate(file, 20 << 20), ==, 0);
        g_assert_cmpint(pwrite(file, "end", 3, (20 << 20) - 3), ==, 3);
        if (round < 2) {
            finish(&run);
            g_assert_error(run.error, FAULT, FAULT_CANCELLED);
            g_autoptr(tree) found = capture_tree(ground.workspace, NULL, NULL);
            g_assert_cmpuint(tree_size(found), ==, 0);
        } else {
            finish_well(&run);
            g_autoptr(tree) found = capture_tree(ground.workspace, NULL, NULL);
            assert_same_tree(found, run.outputs);
        }
        run_release(&run);
        ground_release(&ground);
    }
}

static void holes_stay_holes(void)
{
    enum {
        SIZE = 1 << 20
    };
    for (int from_store = 0; from_store < 2; from_store++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        run_init(&run, &ground, NULL);
        run.from_store = from_store;
        LAY(ground.from, "sparse=start", "dense=start");
        for (int i = 0; i < 2; i++) {
            autofd int file = openat(ground.from, i == 0 ? "sparse" : "dense", O_WRONLY);
            g_assert_cmpint(ftruncate(file, SIZE), ==, 0);
            g_assert_cmpint(pwrite(file, "end", 3, SIZE - 3), ==, 3);
        }
        extra_of(&run, "sparse", 0644, 0)->sparse = true;
        extra_of(&run, "dense", 0644, 0);
        finish_well(&run);
        g_autoptr(tree) found = capture_tree(ground.workspace, NULL, NULL);
        assert_same_tree(found, run.outputs);
        g_assert_cmpint(status_of(ground.workspace, "sparse").st_blocks * 512, <=, 65536);
        run_release(&run);
        ground_release(&ground);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        void (*function)(void);
    } tests[] = {
        { "/outputs/times/are-those-of-the-run", times_are_those_of_the_run },
        { "/outputs/times/are-later-than-the-inputs", times_are_later_than_the_inputs },
        { "/outputs/modes/usual-or-chosen", modes_are_the_usual_or_the_chosen_ones },
        { "/outputs/modes/alone-are-a-change", a_mode_alone_is_a_change },
        { "/outputs/links/stay-together", hard_links_stay_together },
        { "/outputs/links/not-to-what-is-mine", nothing_is_linked_to_what_is_mine },
        { "/outputs/fifos/are-made-but-not-over-files-of-mine",
          fifos_are_made_but_not_over_files_of_mine },
        { "/outputs/fifos/of-an-earlier-run-give-way-or-go",
          fifos_of_an_earlier_run_give_way_or_go },
        { "/outputs/fifos/of-mine-stay", fifos_of_mine_stay },
        { "/outputs/attributes/are-restored", attributes_are_restored },
        { "/outputs/cancelled/changes-nothing", a_cancelled_commit_changes_nothing },
        { "/outputs/holes/stay-holes", holes_stay_holes },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add_func(tests[i].path, tests[i].function);
    return g_test_run();
}
