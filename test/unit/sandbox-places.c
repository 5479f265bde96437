// SPDX-License-Identifier: Apache-2.0
/* Machines and directories that are not as one would wish: refused, masked, full, foreign. */
#include "sandbox-support.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

/* Run `test` in a child that may change its own world. */
static void in_child(void (*test)(void))
{
    pid_t child = fork();
    if (child == 0) {
        test();
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

static void write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        g_error("cannot write %s", path);
    close(file);
}

/* --- namespaces ------------------------------------------------------------------------------- */

static void refuse_namespaces(void)
{
    g_autofree char *users = g_strdup_printf("0 %u 1", geteuid());
    g_autofree char *groups = g_strdup_printf("0 %u 1", getegid());
    g_assert_cmpint(unshare(CLONE_NEWUSER), ==, 0);
    prctl(PR_SET_DUMPABLE, 1); /* or, after a change of user, our own /proc would be root's */
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", users);
    write_text("/proc/self/gid_map", groups);
    write_text("/proc/sys/user/max_user_namespaces", "0");
}

static void expect_directory_level(const char *why)
{
    g_autofree char *reason = NULL;
    g_assert_cmpint(sandbox_probe(&reason), ==, SANDBOX_DIRECTORY);
    if (strstr(reason, why) == NULL)
        g_error("\"%s\" does not mention \"%s\"", reason, why);
    g_autoptr(box) box = box_new();
    box_set_argv(box, (const char *const[]){ "true", NULL });
    g_assert_false(box_try(box));
    assert_fault(box->error, FAULT_SANDBOX, "");
    box->options.level = SANDBOX_DIRECTORY;
    box_pass(box, "echo > file");
    assert_tree(box->execution.outputs, "file=\n");
}

static void without_user_namespaces(void)
{
    refuse_namespaces();
    expect_directory_level("user.max_user_namespaces is 0");
}

static void refused_namespaces_are_explained(void)
{
    in_child(without_user_namespaces);
}

/* As container engines do. */
static void with_masked_proc(void)
{
    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    g_assert_cmpint(mount("tmpfs", "/proc/irq", "tmpfs", 0, NULL), ==, 0);
    expect_directory_level("masks parts of /proc");
}

static void masked_proc_is_explained(void)
{
    if (geteuid() == 0)
        in_child(with_masked_proc);
}

/* --- scratch ---------------------------------------------------------------------------------- */

/* /tmp is everybody's: a directory that waits for us there may be somebody else's trap. */
static void strangers_directory_is_not_used(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *base = box_base(box);
    g_assert_cmpint(g_mkdir(base, 0777), ==, 0);
    g_assert_cmpint(g_chmod(base, 0777), ==, 0);
    box_pass(box, "echo fine > file");
    assert_tree(box->execution.outputs, "file=fine\n");
    g_assert_cmpint(box_leftovers(box), ==, 0);
    execution_clear(&box->execution);
    g_assert_cmpint(g_rmdir(base), ==, 0);
    g_autoptr(GDir) scratch = g_dir_open(box->scratch, 0, NULL);
    g_assert_cmpstr(g_dir_read_name(scratch), ==, NULL);
}

static int box_leftovers_but_kept(const struct box *box)
{
    g_autofree char *base = box_base(box);
    g_autoptr(GDir) directory = g_dir_open(base, 0, NULL);
    int count = 0;
    for (const char *name; (name = g_dir_read_name(directory)) != NULL;)
        count += !g_str_has_prefix(name, "kept-");
    return count;
}

/* Nobody waits before the end, and what is left of the execution can still be asked for. */
static void what_is_let_go_goes_and_the_result_stays(void)
{
    for (int keep = 0; keep < 2; keep++) {
        g_autoptr(box) box = box_new();
        box->request.keep = keep;
        box_pass(box, "echo > /tmp/file; echo out > file");
        execution_let_go(&box->execution);
        execution_let_go(&box->execution);
        g_assert_cmpint(box->execution.directory, ==, -1);
        assert_tree(box->execution.outputs, "file=out\n");
        g_autofree char *kept = g_strdup(box->execution.kept);
        execution_clear(&box->execution);
        g_assert_cmpint(box_leftovers_but_kept(box), ==, 0);
        g_assert_true((kept != NULL) == keep);
        g_assert_true(kept == NULL || fd_remove_tree(AT_FDCWD, kept, NULL));
    }
}

static void scratch_that_cannot_be_written_is_an_error(void)
{
    g_autoptr(box) box = box_new();
    box->options.scratch = "/proc";
    box_set_argv(box, (const char *const[]){ "true", NULL });
    g_assert_false(box_try(box));
    g_assert_nonnull(strstr(box->error->message, "/proc/vial-"));
}

static void mount_scratch(struct box *box, unsigned long flags, const char *options)
{
    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    g_assert_cmpint(mount("tmpfs", box->scratch, "tmpfs", flags, options), ==, 0);
}

static void on_noexec(void)
{
    g_autoptr(box) box = box_new();
    mount_scratch(box, MS_NOEXEC, NULL);
    g_setenv("TMPDIR", box->scratch, TRUE);
    box->options.scratch = NULL;
    box_inputs(box, "run*=#!/bin/sh\necho ran\n");
    box_pass(box, "./run");
    g_assert_cmpstr(box->out->str, ==, "ran\n");
    execution_clear(&box->execution);
    umount(box->scratch);
}

static void scratch_that_forbids_execution_is_passed_over(void)
{
    if (geteuid() == 0)
        in_child(on_noexec);
}

static void on_full_disk(void)
{
    g_autoptr(box) box = box_new();
    mount_scratch(box, 0, "size=1M");
    const struct result *result =
        box_run(box, "head -c 100000 /dev/zero > fits; cat /dev/zero > $HOME/large");
    g_assert_cmpint(result->exit_code, !=, 0);
    g_assert_nonnull(strstr(box->err->str, "No space left"));
    g_assert_nonnull(tree_lookup(box->execution.outputs, "fits"));
    box_set_argv(box, (const char *const[]){ "cat", "/dev/zero", NULL });
    g_assert_false(box_try(box)); /* the stream does not fit */
    g_assert_error(box->error, FAULT, FAULT_NO_SPACE);
    g_assert_cmpint(box_leftovers(box), ==, 0);
    g_autofree char *big = g_strnfill(2 << 20, 'x');
    g_autofree char *line = g_strconcat("big=", big, NULL);
    box_inputs(box, line);
    g_assert_false(box_try(box)); /* nor does the input */
    g_assert_error(box->error, FAULT, FAULT_NO_SPACE);
    g_assert_cmpint(box_leftovers(box), ==, 0);
    umount(box->scratch);
}

static void full_disk_is_an_error_and_leaves_nothing(void)
{
    if (geteuid() == 0)
        in_child(on_full_disk);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define P "/sandbox/places/"
    add_sealed(P "refused-namespaces-are-explained", refused_namespaces_are_explained);
    add_sealed(P "masked-proc-is-explained", masked_proc_is_explained);
    add_sealed(P "strangers'-directory-is-not-used", strangers_directory_is_not_used);
    add_sealed(P "what-is-let-go-goes-and-the-result-stays",
               what_is_let_go_goes_and_the_result_stays);
    add_sealed(P "scratch-that-cannot-be-written-is-an-error",
               scratch_that_cannot_be_written_is_an_error);
    add_sealed(P "scratch-that-forbids-execution-is-passed-over",
               scratch_that_forbids_execution_is_passed_over);
    add_sealed(P "full-disk-is-an-error-and-leaves-nothing",
               full_disk_is_an_error_and_leaves_nothing);
    return g_test_run();
}
