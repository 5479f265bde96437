// SPDX-License-Identifier: Apache-2.0
/* What a sealed command can see, reach and be. */
#include "sandbox-support.h"

#include <signal.h>

static char *program; /* this test, to be run in a sandbox itself */

static void root_holds_only_what_is_promised(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "ls -A /; ls -A /home /home/vial /tmp /workspace");
    g_auto(GStrv) lines = g_strsplit(box->out->str, "\n\n", 2);
    g_auto(GStrv) entries = g_strsplit(lines[0], "\n", -1);
    static const char *const promised[] = { "bin",   "dev",   "etc",       "home", "lib",
                                            "lib32", "lib64", "libx32",    "proc", "sbin",
                                            "tmp",   "usr",   "workspace", NULL };
    for (char **entry = entries; *entry != NULL && strcmp(*entry, "/home:") != 0; entry++)
        if (!g_strv_contains(promised, *entry))
            g_error("the root shows %s", *entry);
    g_assert_nonnull(
        strstr(box->out->str, "/home:\nvial\n\n/home/vial:\n\n/tmp:\n\n/workspace:\n"));
}

static void user_and_host_have_fixed_names(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box,
             "id -u; id -g; id -un; id -gn; hostname; uname -n; cat /etc/hostname; echo ~vial");
    g_assert_cmpstr(box->out->str, ==, "1000\n1000\nvial\nvial\nvial\nvial\nvial\n/home/vial\n");
}

static void environment_is_the_action_s_alone(void)
{
    g_autoptr(box) box = box_new();
    g_setenv("VIAL_TEST_LEAK", "1", TRUE);
    box_set_argv(box, (const char *const[]){ "env", NULL });
    g_assert_true(box_try(box));
    g_assert_cmpstr(box->out->str, ==, "HOME=/home/vial\nPATH=/usr/bin:/bin\n");
    g_unsetenv("VIAL_TEST_LEAK");
}

static void nothing_but_three_places_can_be_written(void)
{
    g_autoptr(box) box = box_new();
    const struct result *result =
        box_run(box, "for place in / /usr /etc /bin /lib /dev /usr/local /home /proc /dev/pts; do\n"
                     "    (: > $place/written) && echo wrote to $place\n"
                     "done 2>/dev/null\n"
                     "for place in /home/vial /tmp /workspace /dev/shm; do\n"
                     "    : > $place/written || echo cannot write to $place\n"
                     "done\n"
                     "chmod 777 /dev/null /etc /usr 2>/dev/null && echo changed a mode\n"
                     "rm /workspace/written");
    g_assert_cmpint(result->exit_code, ==, 0);
    g_assert_cmpstr(box->both->str, ==, "");
    g_assert_cmpint((gint)tree_size(box->execution.outputs), ==, 0);
}

static void devices_work(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box,
             "echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 &&\n"
             "test $(head -c 8 /dev/urandom | wc -c) = 8 &&\n"
             "test $(head -c 8 /dev/random | wc -c) = 8 &&\n"
             "! (echo x > /dev/full) 2>/dev/null && (exec 3<>/dev/ptmx) && test -d /dev/pts &&\n"
             "! (exec 3<>/dev/tty) 2>/dev/null &&\n"
             "echo in | cat /dev/stdin && echo out > /dev/stdout && cat < /dev/fd/0 &&\n"
             "ls /dev/pts");
    g_assert_cmpstr(box->out->str, ==, " 00 00 00\nin\nout\nptmx\n");
}

static void processes_are_its_own(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "echo $$; cat /proc/1/comm; set -- /proc/[0-9]*; echo $*; kill -9 1;\n"
                  "kill -0 1 && echo init lives");
    g_assert_cmpstr(box->out->str, ==, "2\ninit\n/proc/1 /proc/2\ninit lives\n");
}

/* The sandbox's init is a copy of vial, whose arguments are none of the command's business. */
static void command_line_of_vial_is_hidden(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/environ 2>/dev/null; true");
    g_assert_null(strstr(box->out->str, "sandbox-isolation"));
}

static void privileges_are_gone(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status | tr -d '\\t'");
    g_assert_cmpstr(box->out->str, ==,
                    "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
                    "CapAmb:0000000000000000\nNoNewPrivs:1\n");
}

static void network_is_a_loopback_of_its_own(void)
{
    g_autoptr(box) box = box_new();
    box_run(box, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '\n"
                 "bash -c 'exec 3<>/dev/tcp/127.0.0.1/9' 2>&1 | grep -o -m1 refused | head -1\n"
                 "bash -c 'exec 3<>/dev/tcp/192.0.2.1/9' 2>&1 | grep -o unreachable | head -1\n"
                 "getent hosts localhost vial | wc -l");
    g_assert_true(g_str_has_prefix(box->out->str, "lo\n"));
    g_assert_nonnull(strstr(box->out->str, "refused\nunreachable\n2\n"));
}

static void network_is_the_host_s_if_wanted(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *here = g_file_read_link("/proc/self/ns/net", NULL);
    box->action->network = true;
    box_pass(box,
             "readlink /proc/self/ns/net; test -r /etc/resolv.conf || test ! -e /etc/resolv.conf");
    g_assert_cmpstr(g_strchomp(box->out->str), ==, here);
}

static void usr_local_shows_only_to_who_asks(void)
{
    g_autoptr(box) box = box_new();
    if (!g_file_test("/usr/local", G_FILE_TEST_IS_DIR))
        return;
    box_pass(box, "ls -A /usr/local | wc -l");
    g_assert_cmpstr(box->out->str, ==, "0\n");
    g_strfreev(box->action->environment);
    box->action->environment = g_strsplit("PATH=/usr/local/bin:/usr/bin:/bin", "\n", -1);
    box_pass(box, "ls /usr/local");
    g_assert_nonnull(strstr(box->out->str, "bin\n"));
}

static void ignore_it(int number)
{
}

/* nohup, a pipeline's ignored SIGPIPE or vial's own handlers must not show. */
static void signals_are_as_after_login(void)
{
    g_autoptr(box) box = box_new();
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, ignore_it);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    void (*child_before)(int) = signal(SIGCHLD, SIG_IGN);
    box_set_argv(box,
                 (const char *const[]){ "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status", NULL });
    g_assert_true(box_try(box));
    g_assert_cmpstr(box->out->str, ==, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    signal(SIGHUP, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, pipe_before);
    signal(SIGCHLD, child_before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void descriptors_are_three(void)
{
    g_autoptr(box) box = box_new();
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec */
    box_set_argv(box, (const char *const[]){ "ls", "/proc/self/fd", NULL });
    g_assert_true(box_try(box));
    g_assert_cmpstr(box->out->str, ==, "0\n1\n2\n3\n"); /* 3 is the listing's own */
    close(leak);
}

static void limits_and_mask_are_fixed(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "input=x", "run*=x", "below/input=x");
    g_assert_true(store_batch_put(box->batch, "stdin\n", 6, &box->action->stdin_blob, NULL));
    g_assert_true(store_batch_commit(box->batch, NULL));
    mode_t before = umask(077);
    box_pass(box, "umask; ulimit -c; touch file; mkdir directory\n"
                  "stat -c %a file directory . below input run; cat");
    g_assert_cmpstr(box->out->str, ==, "0022\n0\n644\n755\n755\n755\n644\n755\nstdin\n");
    g_assert_cmpuint(umask(before), ==, 077);
}

static void session_has_no_terminal(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "set -- $(cut -d' ' -f 5-7 /proc/$$/stat); echo $(($1 == $$)) $(($2 == $$)) $3");
    g_assert_cmpstr(box->out->str, ==, "1 1 0\n");
}

/* Root's runs belong to a user who owns nothing else, so that they harm and read nothing of root.
 */
static void root_s_commands_are_somebody_else(void)
{
    g_autoptr(box) box = box_new();
    struct stat status;
    if (geteuid() != 0)
        return;
    box_pass(box, "echo > made; cat /etc/shadow > leaked 2>/dev/null || echo refused");
    g_assert_cmpstr(box->out->str, ==, "refused\n");
    g_assert_cmpint(fstatat(box->execution.directory, "made", &status, 0), ==, 0);
    g_assert_cmpuint(status.st_uid, ==, 0x7669616c);
    g_assert_cmpuint(status.st_gid, ==, 0x7669616c);
}

/* --- vial inside vial --------------------------------------------------------------------------
 */

static int inside(void)
{
    g_autofree char *reason = NULL;
    if (sandbox_probe(&reason) != SANDBOX_NAMESPACES) {
        g_printerr("no namespaces inside: %s\n", reason);
        return 1;
    }
    test_level = SANDBOX_NAMESPACES;
    g_autoptr(box) box = box_new();
    box_inputs(box, "x=inner");
    box_pass(box, "cat x; echo; id -u; hostname; pwd; echo $$; echo > y");
    g_assert_cmpstr(box->out->str, ==, "inner\n1000\nvial\n/workspace\n2\n");
    assert_tree(box->execution.outputs, "y=\n");
    g_print("all well\n");
    return 0;
}

static void vial_works_inside_vial(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *bytes = NULL;
    gsize size;
    if (!g_file_get_contents(program, &bytes, &size, NULL))
        g_error("cannot read %s", program);
    struct tree_entry entry = { .name = "program", .kind = TREE_FILE, .executable = true };
    g_assert_true(store_batch_put(box->batch, bytes, size, &entry.digest, NULL));
    g_assert_true(store_batch_commit(box->batch, NULL));
    tree_unref(box->action->inputs);
    box->action->inputs = tree_new(&entry, 1, NULL);
    const struct result *result = box_run(box, "ASAN_OPTIONS=detect_leaks=0 ./program --inside");
    g_assert_cmpstr(box->err->str, ==, "");
    g_assert_cmpint(result->exit_code, ==, 0);
    g_assert_cmpstr(box->out->str, ==, "all well\n");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--inside") == 0)
        return inside();
    program = g_canonicalize_filename(argv[0], NULL);
    g_test_init(&argc, &argv, NULL);
#define P "/sandbox/isolation/"
    add_sealed(P "root-holds-only-what-is-promised", root_holds_only_what_is_promised);
    add_sealed(P "user-and-host-have-fixed-names", user_and_host_have_fixed_names);
    add_sealed(P "environment-is-the-action's-alone", environment_is_the_action_s_alone);
    add_sealed(P "nothing-but-three-places-can-be-written",
               nothing_but_three_places_can_be_written);
    add_sealed(P "devices-work", devices_work);
    add_sealed(P "processes-are-its-own", processes_are_its_own);
    add_sealed(P "command-line-of-vial-is-hidden", command_line_of_vial_is_hidden);
    add_sealed(P "privileges-are-gone", privileges_are_gone);
    add_sealed(P "network-is-a-loopback-of-its-own", network_is_a_loopback_of_its_own);
    add_sealed(P "network-is-the-host's-if-wanted", network_is_the_host_s_if_wanted);
    add_sealed(P "usr-local-shows-only-to-who-asks", usr_local_shows_only_to_who_asks);
    add_everywhere(P "signals-are-as-after-login", signals_are_as_after_login);
    add_everywhere(P "descriptors-are-three", descriptors_are_three);
    add_everywhere(P "limits-and-mask-are-fixed", limits_and_mask_are_fixed);
    add_everywhere(P "session-has-no-terminal", session_has_no_terminal);
    add_sealed(P "root's-commands-are-somebody-else", root_s_commands_are_somebody_else);
    add_sealed(P "vial-works-inside-vial", vial_works_inside_vial);
    return g_test_run();
}
