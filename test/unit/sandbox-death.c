// SPDX-License-Identifier: Apache-2.0
/* Whoever dies, and whenever: no process, no mount and no directory stays behind. */
#include "sandbox-support.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>

#define ROUNDS 50

/* Starts daemons, fills its directories, and would run for long. */
static const char busy[] = "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' &) & "
                           "i=0; while :; do mkdir -p $HOME/$i /tmp/$i $i/x 2>/dev/null; "
                           "echo $i > $i/x/file; i=$((i+1)); done";

static char *mounts(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/self/mounts", &text, NULL, NULL));
    return g_steal_pointer(&text);
}

/* Orphans become ours, so their end can be waited for. */
static void wait_for_everybody(void)
{
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    g_assert_cmpint(errno, ==, ECHILD);
}

static void run_until_killed(struct box *box)
{
    box_set_argv(box, (const char *const[]){ "sh", "-c", busy, NULL });
    box_try(box);
    _exit(1);
}

static void nothing_survives_the_death_of_vial(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *before = mounts();
    box_inputs(box, "a=1", "b/c=2", "b/d=3");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t vial = fork();
        if (vial == 0)
            run_until_killed(box);
        g_usleep((gulong)g_random_int_range(0, 12000)); /* the instant is the subject */
        kill(vial, SIGKILL);
        wait_for_everybody();
        g_assert_cmpint(box_leftovers(box), ==, 0);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    g_autofree char *after = mounts();
    g_assert_cmpstr(before, ==, after);
}

/* Terminals and `kill -- -PGID` reach vial's whole group; the supervisor must outlive that. */
static void nothing_survives_the_death_of_the_group(void)
{
    g_autoptr(box) box = box_new();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int round = 0; round < 10; round++) {
        pid_t vial = fork();
        if (vial == 0) {
            setpgid(0, 0);
            run_until_killed(box);
        }
        setpgid(vial, vial);
        g_usleep((gulong)g_random_int_range(0, 20000));
        kill(-vial, SIGINT);
        kill(-vial, SIGHUP);
        kill(-vial, SIGKILL);
        wait_for_everybody();
        g_assert_cmpint(box_leftovers(box), ==, 0);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static pid_t first_child(pid_t of)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", of, of);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

static int generation; /* 1: the supervisor, 2: init */

static void kill_one(enum output_stream stream, const void *data, size_t size, void *user)
{
    pid_t victim = getpid();
    for (int i = 0; i < generation; i++)
        victim = first_child(victim);
    g_assert_cmpint(victim, >, 1);
    g_assert_cmpint(kill(victim, SIGKILL), ==, 0);
}

static void die_below(int generation_wanted)
{
    g_autoptr(box) box = box_new();
    generation = generation_wanted;
    box->request.output = kill_one;
    g_autofree char *script = g_strconcat("echo now; ", busy, NULL);
    box_set_argv(box, (const char *const[]){ "sh", "-c", script, NULL });
    g_assert_false(box_try(box)); /* returns once nobody holds the streams */
    assert_fault(box->error, FAULT_SANDBOX, "killed");
    g_assert_cmpint(box_leftovers(box), ==, 0);
}

static void death_of_the_supervisor_ends_all(void)
{
    die_below(1);
}

static void death_of_init_ends_all(void)
{
    die_below(2);
}

/* --- leftovers -------------------------------------------------------------------------------- */

static struct box *swept;

static void sweep_meanwhile(enum output_stream stream, const void *data, size_t size, void *user)
{
    sandbox_sweep(swept->scratch);
}

static void sweep_removes_the_dead_and_spares_the_living(void)
{
    g_autoptr(box) box = box_new();
    swept = box;
    box->request.output = sweep_meanwhile;
    g_autofree char *base = box_base(box);
    g_autofree char *dead = g_strconcat(base, "/run-0123/work/deep", NULL);
    g_autofree char *kept = g_strconcat(base, "/kept-0123", NULL);
    sandbox_sweep(box->scratch); /* when there is not even the base */
    g_assert_cmpint(g_mkdir(base, 0700), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(dead, 0700), ==, 0);
    g_assert_cmpint(g_mkdir(kept, 0700), ==, 0);
    box_pass(box, "echo sweep; echo still here > file");
    g_assert_false(g_file_test(dead, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_rmdir(kept), ==, 0);
}

/* --- kept ------------------------------------------------------------------------------------- */

static void kept_run_can_be_repeated(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "sub dir/in=input\n");
    g_free(box->action->directory);
    box->action->directory = g_strdup("sub dir");
    g_strfreev(box->action->environment);
    box->action->environment =
        g_strsplit("HOME=/home/vial\tPATH=/usr/bin:/bin\tODD=it's \"odd\"", "\t", -1);
    g_assert_true(store_batch_put(box->batch, "stdin\n", 6, &box->action->stdin_blob, NULL));
    g_assert_true(store_batch_commit(box->batch, NULL));
    box->request.keep = true;
    const struct result *result =
        box_run(box, "pwd; cat in -; echo \"$ODD\" '$'; hostname; echo made > out; exit 7");
    g_assert_cmpint(result->exit_code, ==, 7);
    g_autofree char *kept = g_strdup(box->execution.kept);
    g_assert_nonnull(kept);
    execution_clear(&box->execution);
    g_autofree char *script = g_strconcat(kept, "/rerun", NULL);
    g_autofree char *made = g_strconcat(kept, "/work/sub dir/out", NULL);
    g_assert_true(g_file_test(made, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(made), ==, 0);
    g_autofree char *out = NULL, *err = NULL;
    char *argv[] = { script, NULL };
    int status;
    g_assert_true(g_spawn_sync("/", argv, NULL, 0, NULL, NULL, &out, &err, &status, NULL));
    g_assert_cmpstr(err, ==, "");
    g_assert_cmpint(WEXITSTATUS(status), ==, 7);
    if (test_level == SANDBOX_NAMESPACES)
        g_assert_cmpstr(out, ==, box->out->str);
    g_assert_nonnull(strstr(out, "/sub dir\ninput\nstdin\nit's \"odd\" $\n"));
    g_assert_true(g_file_test(made, G_FILE_TEST_EXISTS));
    sandbox_sweep(box->scratch);
    g_assert_cmpint(box_leftovers(box), ==, 1);
    g_assert_true(fd_remove_tree(AT_FDCWD, kept, NULL));
}

static void nothing_is_kept_of_what_did_not_run(void)
{
    g_autoptr(box) box = box_new();
    box->request.keep = true;
    box_set_argv(box, (const char *const[]){ "no-such-program", NULL });
    g_assert_false(box_try(box));
    g_assert_cmpint(box_leftovers(box), ==, 0);
}

/* --- variations ------------------------------------------------------------------------------- */

static void variations_change_only_what_they_may(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "a=1", "b=2", "d/x=1", "d/y*=2", "d/z->x");
    box_pass(box, "echo $$ $(ls -U) $(ls -U d); find . | sort | xargs stat -c '%n %A %Y'");
    g_auto(GStrv) plain = g_strsplit(box->out->str, "\n", 2);
    for (unsigned vary = 1; vary < 3; vary++) {
        box->options.vary = vary;
        gint64 second = g_get_real_time() / G_USEC_PER_SEC;
        box_pass(box, "echo $$ $(ls -U) $(ls -U d); find . | sort | xargs stat -c '%n %A %Y'");
        g_assert_cmpint(box->execution.result->started / G_USEC_PER_SEC, >, second);
        g_auto(GStrv) varied = g_strsplit(box->out->str, "\n", 2);
        g_assert_cmpstr(varied[1], ==, plain[1]);
        if (test_level == SANDBOX_NAMESPACES &&
            g_file_test("/proc/sys/kernel/ns_last_pid", G_FILE_TEST_EXISTS))
            g_assert_cmpstr(varied[0], !=, plain[0]);
        g_assert_cmpint((gint)tree_size(box->execution.outputs), ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define P "/sandbox/death/"
    add_everywhere(P "nothing-survives-the-death-of-vial", nothing_survives_the_death_of_vial);
    add_everywhere(P "nothing-survives-the-death-of-the-group",
                   nothing_survives_the_death_of_the_group);
    add_everywhere(P "death-of-the-supervisor-ends-all", death_of_the_supervisor_ends_all);
    add_everywhere(P "death-of-init-ends-all", death_of_init_ends_all);
    add_everywhere(P "sweep-removes-the-dead-and-spares-the-living",
                   sweep_removes_the_dead_and_spares_the_living);
    add_everywhere(P "kept-run-can-be-repeated", kept_run_can_be_repeated);
    add_sealed(P "nothing-is-kept-of-what-did-not-run", nothing_is_kept_of_what_did_not_run);
    add_everywhere(P "variations-change-only-what-they-may", variations_change_only_what_they_may);
    return g_test_run();
}
