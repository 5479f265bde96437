// SPDX-License-Identifier: Apache-2.0
/* The session's side of the exec trap, asked as a shim would ask it. */
#include "session/trap.h"
#include "shim/shim.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
    struct trap *trap;
    char *path;
};

static void set_up(struct fixture *fixture, gconstpointer data)
{
    const struct trap_policy policy = { .scope = GPOINTER_TO_INT(data) };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    fixture->path = g_build_filename(g_get_tmp_dir(), "vial-trap-XXXXXX", NULL);
    g_assert_nonnull(g_mkdtemp(fixture->path));
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fixture->path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(listener, 8), ==, 0);
    fixture->trap = trap_new(&policy);
    const struct sandbox_trap *trap = trap_sandbox(fixture->trap);
    trap->listen(listener, NULL, trap->user);
}

static void tear_down(struct fixture *fixture, gconstpointer data)
{
    g_autofree char *socket = g_build_filename(fixture->path, "socket", NULL);
    trap_free(fixture->trap);
    unlink(socket);
    rmdir(fixture->path);
    g_free(fixture->path);
}

static char *divert(struct fixture *fixture, const char *program, const char *name)
{
    const struct view_trap *trap = &trap_sandbox(fixture->trap)->view;
    char *const argv[] = { (char *)name, NULL };
    const struct view_call call = {
        .process = 1, .name = program, .program = program, .argv = argv, .environment = argv + 1
    };
    return trap->divert(&call, trap->user);
}

/* What the ticket in the text of a diversion is answered; NULL: the connection is closed. */
static char *redeem(struct fixture *fixture, const char *text)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *ticket = strrchr(text, ' ') + 1;
    char *answer = g_malloc0(SHIM_ANSWER_MAX + 1);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fixture->path);
    int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(client, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(send(client, ticket, strcspn(ticket, "\n"), MSG_NOSIGNAL), >, 0);
    ssize_t size = recv(client, answer, SHIM_ANSWER_MAX, 0);
    close(client);
    if (size <= 0)
        g_clear_pointer(&answer, g_free);
    return answer;
}

static void a_ticket_is_good_for_one_answer(struct fixture *fixture, gconstpointer data)
{
    struct trap_counts counts;
    g_autofree char *one = divert(fixture, "/usr/bin/true", "first");
    g_autofree char *other = divert(fixture, "/usr/bin/true", "");
    g_assert_cmpstr(one, !=, other);
    g_assert_true(g_str_has_prefix(one, "#!" SHIM_PATH " "));
    g_assert_true(g_str_has_suffix(one, "\n"));
    g_assert_cmpuint(strlen(one), <=, VIEW_DIVERSION);
    g_autofree char *second = redeem(fixture, other), *first = redeem(fixture, one);
    g_assert_cmpstr(first, ==, "hfirst");
    g_assert_cmpstr(second, ==, "h");
    g_assert_null(redeem(fixture, one));
    g_assert_null(redeem(fixture, " nonsense"));
    trap_counts(fixture->trap, &counts);
    g_assert_cmpuint(counts.stopped, ==, 2);
    g_assert_cmpuint(counts.answered, ==, 2);
}

static void a_long_name_comes_back_whole(struct fixture *fixture, gconstpointer data)
{
    g_autofree char *name = g_strnfill(131071, 'n');
    g_autofree char *text = divert(fixture, "/usr/bin/true", name);
    g_autofree char *answer = redeem(fixture, text);
    g_assert_cmpstr(answer + 1, ==, name);
}

static void who_asks_nothing_keeps_nobody_waiting(struct fixture *fixture, gconstpointer data)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fixture->path);
    int silent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(silent, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_autofree char *text = divert(fixture, "/usr/bin/true", "name");
    g_autofree char *answer = redeem(fixture, text);
    g_assert_cmpstr(answer, ==, "hname");
    close(silent);
}

static void leaves_alone_are_stopped_if_that_is_wanted(struct fixture *fixture, gconstpointer data)
{
    g_autofree char *compiler = divert(fixture, "/usr/bin/x86_64-linux-gnu-gcc-12", "cc");
    g_assert_nonnull(compiler);
    g_assert_null(divert(fixture, "/usr/bin/make", "make"));
    g_assert_null(divert(fixture, "/usr/bin/true", "true"));
    g_assert_null(divert(fixture, "/work/generate", "generate"));
}

static void programs_are_told_by_their_names(void)
{
    g_assert_cmpint(trap_classify("/usr/bin/gcc"), ==, TRAP_LEAF);
    g_assert_cmpint(trap_classify("/usr/bin/g++-12"), ==, TRAP_LEAF);
    g_assert_cmpint(trap_classify("x86_64-linux-gnu-ar"), ==, TRAP_LEAF);
    g_assert_cmpint(trap_classify("/usr/bin/python3.11"), ==, TRAP_ORCHESTRATOR);
    g_assert_cmpint(trap_classify("/bin/sh"), ==, TRAP_ORCHESTRATOR);
    g_assert_cmpint(trap_classify("/bin/rm"), ==, TRAP_TINY);
    g_assert_cmpint(trap_classify("/work/generate"), ==, TRAP_UNKNOWN);
    g_assert_cmpint(trap_classify("2"), ==, TRAP_UNKNOWN);
    g_assert_cmpint(trap_classify(""), ==, TRAP_UNKNOWN);
    g_assert_null(trap_new(&(struct trap_policy){ TRAP_NOTHING }));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum trap_scope scope;
        void (*test)(struct fixture *, gconstpointer);
    } tests[] = {
        { "a-ticket-is-good-for-one-answer", TRAP_ALL, a_ticket_is_good_for_one_answer },
        { "a-long-name-comes-back-whole", TRAP_ALL, a_long_name_comes_back_whole },
        { "who-asks-nothing-keeps-nobody-waiting", TRAP_ALL,
          who_asks_nothing_keeps_nobody_waiting },
        { "leaves-alone-are-stopped-if-that-is-wanted", TRAP_LEAVES,
          leaves_alone_are_stopped_if_that_is_wanted },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/session/trap/", tests[i].name, NULL);
        g_test_add(path, struct fixture, GINT_TO_POINTER(tests[i].scope), set_up, tests[i].test,
                   tear_down);
    }
    g_test_add_func("/session/trap/programs-are-told-by-their-names",
                    programs_are_told_by_their_names);
    return g_test_run();
}
