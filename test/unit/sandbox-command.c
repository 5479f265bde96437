// SPDX-License-Identifier: Apache-2.0
/* The command: how it is found, what it reads and writes, how it ends and how it is ended. */
#include "sandbox-support.h"

#include <signal.h>
#include <sys/file.h>

/* --- finding it ------------------------------------------------------------------------------- */

static bool try_argv(struct box *box, const char *program)
{
    box_set_argv(box, (const char *const[]){ program, "argument", NULL });
    return box_try(box);
}

static void missing_program_names_where_it_was_searched(void)
{
    g_autoptr(box) box = box_new();
    g_assert_false(try_argv(box, "no-such-program"));
    assert_fault(box->error, FAULT_NOT_FOUND, "no-such-program");
    assert_fault(box->error, FAULT_NOT_FOUND, "/usr/bin:/bin");
    g_assert_false(try_argv(box, "./no-such-program"));
    assert_fault(box->error, FAULT_NOT_FOUND, "./no-such-program");
    g_assert_false(try_argv(box, ""));
    assert_fault(box->error, FAULT_NOT_FOUND, "\"\"");
    g_assert_false(try_argv(box, "/usr/bin/env/x"));
    assert_fault(box->error, FAULT_NOT_FOUND, "/usr/bin/env/x");
}

static void path_is_the_action_s(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "bin/tool*=#!/bin/sh\necho own $1\n", "first/tool=not executable\n");
    g_strfreev(box->action->environment);
    box->action->environment = g_strsplit("PATH=first:bin:/usr/bin", "\n", -1);
    g_assert_true(try_argv(box, "tool"));
    g_assert_cmpstr(box->out->str, ==, "own argument\n");
    g_strfreev(box->action->environment);
    box->action->environment = g_strsplit("NOPATH=bin", "\n", -1);
    g_assert_false(try_argv(box, "tool"));
    g_assert_true(try_argv(box, "true"));
}

static void what_cannot_be_executed_is_told_apart(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "plain=text\n", "lost*=#!/no/such/interpreter -x\n", "dos*=#!/bin/sh\r\n",
               "binary*=\177ELF\002\001\001 broken", "junk*=\001\002\003", "directory/file=x");
    g_assert_false(try_argv(box, "./plain"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "Permission denied");
    g_assert_false(try_argv(box, "./directory"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "./directory");
    g_assert_false(try_argv(box, "./lost"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "interpreter /no/such/interpreter is not");
    g_assert_false(try_argv(box, "./dos"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "interpreter \"/bin/sh\\r\" is not");
}

static void put_program(struct box *box, const char *name, const void *data, size_t size)
{
    struct tree_entry entry = { .name = name, .kind = TREE_FILE, .executable = true };
    g_assert_true(store_batch_put(box->batch, data, size, &entry.digest, NULL));
    g_assert_true(store_batch_commit(box->batch, NULL));
    tree_unref(box->action->inputs);
    box->action->inputs = tree_new(&entry, 1, NULL);
}

static void binary_that_is_none_is_not_fed_to_the_shell(void)
{
    g_autoptr(box) box = box_new();
    put_program(box, "wrong", "\177ELF\002\001\001\000\000machine code\n", 23);
    g_assert_false(try_argv(box, "./wrong"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "./wrong");
    put_program(box, "junk", "\001\000\n", 3);
    g_assert_false(try_argv(box, "./junk"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "./junk");
}

/* A copy of true whose dynamic linker has another name. */
static void missing_dynamic_linker_is_named(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents("/usr/bin/true", &bytes, &size, NULL));
    char *linker = memmem(bytes, size, "/ld-", 4);
    g_assert_nonnull(linker);
    memcpy(linker, "/xy-", 4);
    put_program(box, "true", bytes, size);
    g_assert_false(try_argv(box, "./true"));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "/xy-linux");
}

static void script_without_interpreter_is_the_shell_s(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "script*=echo $0 $1\n", "empty*=");
    g_assert_true(try_argv(box, "./script"));
    g_assert_cmpstr(box->out->str, ==, "./script argument\n");
    g_assert_true(try_argv(box, "./empty"));
    g_assert_cmpint(box->execution.result->exit_code, ==, 0);
}

static void long_arguments_arrive_and_longer_ones_are_refused(void)
{
    g_autoptr(box) box = box_new();
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *word = g_strnfill(1000, 'x');
    g_ptr_array_add(argv, (char *)"sh");
    g_ptr_array_add(argv, (char *)"-c");
    g_ptr_array_add(argv, (char *)"echo $# ${#1}");
    for (int i = 0; i < 201; i++)
        g_ptr_array_add(argv, word);
    g_ptr_array_add(argv, NULL);
    box_set_argv(box, (const char *const *)argv->pdata);
    g_assert_true(box_try(box));
    g_assert_cmpstr(box->out->str, ==, "200 1000\n");
    g_autofree char *huge = g_strnfill(200 * 1000, 'y'); /* one string may have 128 KiB */
    box_set_argv(box, (const char *const[]){ "echo", huge, NULL });
    g_assert_false(box_try(box));
    assert_fault(box->error, FAULT_NOT_RUNNABLE, "too long");
}

static void working_directory_is_made_if_need_be(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "there/file=x", "alias->there", "plain=x");
    g_free(box->action->directory);
    box->action->directory = g_strdup("there");
    box_pass(box, "pwd; ls");
    g_assert_nonnull(strstr(box->out->str, "/there\nfile\n"));
    g_free(box->action->directory);
    box->action->directory = g_strdup("new/below");
    box_pass(box, "pwd; echo x > made");
    assert_tree(box->execution.outputs, "new/below/made=x\n");
    box_pass(box, "cd ..; rmdir below");
    g_assert_null(box->execution.result->deleted);
    g_free(box->action->directory);
    box->action->directory = g_strdup("plain/below");
    box_set_argv(box, (const char *const[]){ "true", NULL });
    g_assert_false(box_try(box));
    assert_fault(box->error, FAULT_CONFLICT, "plain");
}

/* --- streams ---------------------------------------------------------------------------------- */

static void assert_blob(struct box *box, const struct digest *digest, const char *content,
                        size_t size)
{
    g_assert_true(store_batch_commit(box->batch, NULL));
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = store_get(box->store, digest, &error);
    g_assert_no_error(error);
    g_assert_true(g_bytes_get_size(bytes) == size &&
                  memcmp(g_bytes_get_data(bytes, NULL), content, size) == 0);
}

static void streams_are_kept_in_order_of_arrival(void)
{
    g_autoptr(box) box = box_new();
    /* The pauses are the subject: without them the kernel may hand over both pipes at once. */
    struct result *result = box_run(box, "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo a; "
                                         "sleep 0.05; echo b; exit 3");
    g_assert_cmpint(result->exit_code, ==, 3);
    g_assert_cmpstr(box->both->str, ==, "one\ntwo\na\nb\n");
    g_assert_cmpuint(result->order->len, ==, 3);
    static const struct output_piece expected[] = { { OUTPUT_STDOUT, 4 },
                                                    { OUTPUT_STDERR, 4 },
                                                    { OUTPUT_STDOUT, 4 } };
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpuint(g_array_index(result->order, struct output_piece, i).stream, ==,
                         expected[i].stream);
        g_assert_cmpuint(g_array_index(result->order, struct output_piece, i).size, ==,
                         expected[i].size);
    }
    assert_blob(box, &result->stdout_blob, "one\na\nb\n", 8);
    assert_blob(box, &result->stderr_blob, "two\n", 4);
}

static void megabytes_on_both_streams_are_kept(void)
{
    g_autoptr(box) box = box_new();
    struct result *result = box_run(box, "head -c 10000000 /dev/zero >&2 & "
                                         "head -c 10000000 /dev/zero; wait");
    g_assert_cmpuint(box->out->len, ==, 10000000);
    g_assert_cmpuint(box->err->len, ==, 10000000);
    assert_blob(box, &result->stdout_blob, box->out->str, box->out->len);
    assert_blob(box, &result->stderr_blob, box->err->str, box->err->len);
    guint64 sum = 0;
    for (guint i = 0; i < result->order->len; i++)
        sum += g_array_index(result->order, struct output_piece, i).size;
    g_assert_cmpuint(sum, ==, 20000000);
    g_assert_cmpint(box_leftovers(box), ==, 1);
}

static void closed_streams_do_not_end_the_run(void)
{
    g_autoptr(box) box = box_new();
    struct result *result = box_run(box, "exec >&- 2>&-; sleep 0.1; echo made > file; exit 4");
    g_assert_cmpint(result->exit_code, ==, 4);
    assert_tree(box->execution.outputs, "file=made\n");
}

static void standard_input_is_the_blob_or_nothing(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "wc -c; readlink /proc/self/fd/0");
    g_assert_cmpstr(box->out->str, ==, "0\n/dev/null\n");
    g_autofree char *big = g_strnfill(3000000, 'z');
    g_assert_true(store_batch_put(box->batch, big, 3000000, &box->action->stdin_blob, NULL));
    g_assert_true(store_batch_commit(box->batch, NULL));
    box_pass(box, "wc -c; wc -c < /dev/stdin");
    g_assert_cmpstr(box->out->str, ==, "3000000\n3000000\n");
}

static void lost_input_is_an_error_and_no_run(void)
{
    g_autoptr(box) box = box_new();
    digest_of("nowhere", 7, &box->action->stdin_blob);
    box_set_argv(box, (const char *const[]){ "cat", NULL });
    g_assert_false(box_try(box));
    assert_fault(box->error, FAULT_MISSING, "");
    g_assert_cmpint(box_leftovers(box), ==, 0);
}

/* --- ending ----------------------------------------------------------------------------------- */

static void signal_that_ends_it_is_reported(void)
{
    g_autoptr(box) box = box_new();
    struct result *result = box_run(box, "kill -SEGV $$");
    g_assert_cmpint(result->signal, ==, SIGSEGV);
    g_assert_cmpint(result->exit_code, ==, 128 + SIGSEGV);
    g_assert_false(result->timed_out);
}

static void resources_are_those_of_the_whole_tree(void)
{
    g_autoptr(box) box = box_new();
    struct result *result =
        box_run(box, "(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done) & wait; sleep 0.1");
    g_assert_cmpint(result->user + result->system, >, 10 * 1000);
    g_assert_cmpint(result->wall, >=, 100 * 1000);
    g_assert_cmpint(result->max_rss, >, 100 * 1024);
    g_assert_cmpint(ABS(g_get_real_time() - result->started), <, 60 * G_USEC_PER_SEC);
}

static void time_limit_ends_it_politely(void)
{
    g_autoptr(box) box = box_new();
    box->action->timeout = 1000 * 1000;
    struct result *result =
        box_run(box, "trap 'echo bye; exit 7' TERM; echo > begun; while :; do sleep 0.01; done");
    g_assert_true(result->timed_out);
    g_assert_cmpint(result->exit_code, ==, 124);
    g_assert_cmpstr(box->out->str, ==, "bye\n");
    g_assert_nonnull(result->uncacheable);
    assert_tree(box->execution.outputs, "begun=\n");
}

static void time_limit_ends_the_deaf(void)
{
    g_autoptr(box) box = box_new();
    box->action->timeout = 100 * 1000;
    struct result *result = box_run(box, "trap '' TERM; while :; do sleep 0.05; done");
    g_assert_true(result->timed_out);
    g_assert_cmpint(result->signal, ==, SIGKILL);
    g_assert_cmpint(result->exit_code, ==, 124);
    g_assert_cmpint(result->wall, >=, 2 * G_USEC_PER_SEC);
}

static volatile int interrupt, interrupt_count;

static void note_interrupt(int number)
{
    interrupt = SIGINT;
    interrupt_count++;
}

static useconds_t repetition;

/* The command is ready for signals: let one come while vial waits. */
static void start_alarm(enum output_stream stream, const void *data, size_t size, void *user)
{
    take_output(stream, data, size, user);
    if (memmem(data, size, "ready\n", 6) != NULL)
        ualarm(50 * 1000, repetition);
}

static void arm(struct box *box)
{
    interrupt = interrupt_count = 0;
    repetition = 0;
    box->request.interrupt = &interrupt;
    box->request.interrupt_count = &interrupt_count;
    box->request.output = start_alarm;
    signal(SIGALRM, note_interrupt);
}

static void interrupt_reaches_the_command(void)
{
    g_autoptr(box) box = box_new();
    arm(box);
    struct result *result =
        box_run(box, "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.01; done");
    g_assert_cmpstr(box->out->str, ==, "ready\ncaught\n");
    g_assert_cmpint(result->exit_code, ==, 9);
    g_assert_nonnull(result->uncacheable);
}

static void interrupt_reaches_the_whole_group(void)
{
    g_autoptr(box) box = box_new();
    arm(box);
    struct result *result = box_run(box, "echo ready; sleep 100; echo not reached");
    g_assert_cmpint(result->signal, ==, SIGINT);
    g_assert_cmpint(result->exit_code, ==, 130);
    g_assert_cmpstr(box->out->str, ==, "ready\n");
    g_assert_cmpint(result->wall, <, 5 * G_USEC_PER_SEC);
}

static void second_interrupt_kills(void)
{
    g_autoptr(box) box = box_new();
    arm(box);
    repetition = 100 * 1000;
    struct result *result = box_run(box, "trap '' INT; echo ready; while :; do sleep 0.05; done");
    ualarm(0, 0);
    g_assert_cmpint(result->signal, ==, SIGKILL);
    g_assert_cmpint(result->wall, <, 4 * G_USEC_PER_SEC);
}

static void interrupted_before_the_start_it_does_not_run(void)
{
    g_autoptr(box) box = box_new();
    arm(box);
    note_interrupt(0);
    box_set_argv(box, (const char *const[]){ "true", NULL });
    g_assert_false(box_try(box));
    assert_fault(box->error, FAULT_CANCELLED, "");
}

#ifdef __SANITIZE_ADDRESS__
enum {
    WITH_ASAN = true
};
#else
enum {
    WITH_ASAN = false
};
#endif

/* --- many at once ----------------------------------------------------------------------------- */

/*
 * Each thread executes a program that it has just written, while others fork: a descriptor of one
 * run in the processes of another would keep the file busy, or a stream open for ever.
 */
static gpointer run_many(gpointer data)
{
    for (int i = 0; i < 25; i++) {
        g_autoptr(box) box = box_new();
        g_autofree char *script = g_strdup_printf("run*=#!/bin/sh\necho %d; cat in; sleep 0\n", i);
        g_autofree char *input = g_strdup_printf("in=thread %p", data);
        g_autofree char *expected = g_strdup_printf("%d\nthread %p", i, data);
        box_inputs(box, script, input);
        box_set_argv(box, (const char *const[]){ "./run", NULL });
        box_try(box);
        g_assert_no_error(box->error);
        g_assert_cmpstr(box->out->str, ==, expected);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void)
{
    GThread *threads[4];
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("run", run_many, &threads[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

/* --- what it leaves running --------------------------------------------------------------------
 */

/* Locks are held by whoever is alive: `held` tells, once the run is over, whether anybody is. */
static bool is_locked(struct box *box)
{
    autofd int file = openat(box->execution.directory, "held", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(file, >=, 0);
    return flock(file, LOCK_EX | LOCK_NB) < 0;
}

static void daemons_end_with_the_command(void)
{
    g_autoptr(box) box = box_new();
    struct result *result =
        box_run(box, "exec 9> held; flock -s 9; (setsid sh -c 'trap \"\" TERM HUP INT; echo late; "
                     "sleep 1000 & sleep 1000' &) & wait; setsid sleep 1000 & sleep 0.1; exit 5");
    g_assert_cmpint(result->exit_code, ==, 5);
    g_assert_cmpstr(box->out->str, ==, "late\n");
    g_assert_false(is_locked(box));
}

static void crowds_end_with_the_command(void)
{
    g_autoptr(box) box = box_new();
    box_run(box, "exec 9> held; flock -s 9; trap '' TERM; n=0\n"
                 "more() { while :; do sleep 1000 & n=$((n+1)); test $n -gt 100 && wait; done; }\n"
                 "more & more & more & sleep 0.2");
    g_assert_false(is_locked(box));
}

static void stopped_command_is_still_ended(void)
{
    g_autoptr(box) box = box_new();
    box->action->timeout = 100 * 1000;
    struct result *result = box_run(box, "kill -STOP $$");
    g_assert_true(result->timed_out);
    g_assert_cmpint(result->signal, ==, SIGKILL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define P "/sandbox/command/"
    add_everywhere(P "missing-program-names-where-it-was-searched",
                   missing_program_names_where_it_was_searched);
    add_everywhere(P "path-is-the-action's", path_is_the_action_s);
    add_everywhere(P "what-cannot-be-executed-is-told-apart",
                   what_cannot_be_executed_is_told_apart);
    add_sealed(P "binary-that-is-none-is-not-fed-to-the-shell",
               binary_that_is_none_is_not_fed_to_the_shell);
    add_sealed(P "missing-dynamic-linker-is-named", missing_dynamic_linker_is_named);
    add_everywhere(P "script-without-interpreter-is-the-shell's",
                   script_without_interpreter_is_the_shell_s);
    add_sealed(P "long-arguments-arrive-and-longer-ones-are-refused",
               long_arguments_arrive_and_longer_ones_are_refused);
    add_everywhere(P "working-directory-is-made-if-need-be", working_directory_is_made_if_need_be);
    add_everywhere(P "streams-are-kept-in-order-of-arrival", streams_are_kept_in_order_of_arrival);
    add_everywhere(P "megabytes-on-both-streams-are-kept", megabytes_on_both_streams_are_kept);
    add_everywhere(P "closed-streams-do-not-end-the-run", closed_streams_do_not_end_the_run);
    add_everywhere(P "standard-input-is-the-blob-or-nothing",
                   standard_input_is_the_blob_or_nothing);
    add_sealed(P "lost-input-is-an-error-and-no-run", lost_input_is_an_error_and_no_run);
    add_everywhere(P "signal-that-ends-it-is-reported", signal_that_ends_it_is_reported);
    add_everywhere(P "resources-are-those-of-the-whole-tree",
                   resources_are_those_of_the_whole_tree);
    add_everywhere(P "time-limit-ends-it-politely", time_limit_ends_it_politely);
    add_case(P "time-limit-ends-the-deaf", "user-directory", time_limit_ends_the_deaf,
             SANDBOX_DIRECTORY, true);
    add_everywhere(P "interrupt-reaches-the-command", interrupt_reaches_the_command);
    add_everywhere(P "interrupt-reaches-the-whole-group", interrupt_reaches_the_whole_group);
    add_everywhere(P "second-interrupt-kills", second_interrupt_kills);
    add_sealed(P "interrupted-before-the-start-it-does-not-run",
               interrupted_before_the_start_it_does_not_run);
    /* After a fork() the supervisor calls malloc(), which glibc allows; ASan's of GCC 12 is left
     * locked if another thread was in it. */
    if (!WITH_ASAN)
        add_everywhere(P "threads-do-not-disturb-each-other", threads_do_not_disturb_each_other);
    add_everywhere(P "daemons-end-with-the-command", daemons_end_with_the_command);
    add_everywhere(P "crowds-end-with-the-command", crowds_end_with_the_command);
    add_case(P "stopped-command-is-still-ended", "user-directory", stopped_command_is_still_ended,
             SANDBOX_DIRECTORY, true);
    return g_test_run();
}
