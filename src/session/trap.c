// SPDX-License-Identifier: Apache-2.0
/* The session's side of the exec trap: tickets for the calls that are stopped, and a thread that
 * answers who comes with one. */
#include "session/trap.h"

#include "base/fd.h"
#include "session/nested.h"
#include "shim/shim.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const guint8 shim_program[] = {
#include "shim/shim-bytes.h"
};

struct trap {
    struct sandbox_trap sandbox;
    struct trap_policy policy;
    GMutex lock;
    GHashTable *tickets; /* text -> struct ticket */
    struct trap_counts counts;
    struct nested *nested; /* NULL: nothing can run in a view of its own */
    int listener, wake;    /* the event that ends the thread */
    GThread *thread;
};

struct ticket {
    char *name; /* argv[0] of the call */
    bool leaf;
};

static void ticket_free(gpointer data)
{
    struct ticket *ticket = data;
    g_free(ticket->name);
    g_free(ticket);
}

/* --- policy ----------------------------------------------------------------------------------- */

static const char *const orchestrators[] = {
    "autoreconf", "bash",    "cargo", "cmake", "configure", "ctest",  "dash",  "env",
    "find",       "gmake",   "go",    "ksh",   "libtool",   "make",   "meson", "ninja",
    "node",       "npm",     "nice",  "npx",   "perl",      "python", "samu",  "sh",
    "time",       "timeout", "xargs", "yarn",  "zsh",
};
static const char *const leaves[] = {
    "ar",   "as",    "bison", "c++",      "cc",    "clang",   "clang++",  "cpp",     "dot",
    "flex", "g++",   "gcc",   "gfortran", "javac", "ld",      "ld.bfd",   "ld.gold", "ld.lld",
    "lex",  "llc",   "m4",    "moc",      "nasm",  "objcopy", "pdflatex", "protoc",  "ranlib",
    "rcc",  "rustc", "strip", "swig",     "uic",   "yacc",
};
static const char *const tiny[] = {
    "basename", "cat",   "chmod",  "cp",       "cut",      "date", "dirname", "echo",
    "expr",     "false", "head",   "hostname", "id",       "ln",   "ls",      "mkdir",
    "mktemp",   "mv",    "printf", "pwd",      "readlink", "rm",   "rmdir",   "sed",
    "sleep",    "tail",  "test",   "touch",    "tr",       "true", "uname",   "wc",
};

static bool is_in(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

enum trap_class trap_classify(const char *program)
{
    const char *slash = strrchr(program, '/');
    g_autofree char *name = g_strdup(slash == NULL ? program : slash + 1);
    char *end = name + strlen(name);
    while (end > name && (g_ascii_isdigit(end[-1]) || end[-1] == '.'))
        end--;
    if (end > name && *end != '\0')
        end[end[-1] == '-' ? -1 : 0] = '\0';
    const char *base = strstr(name, "-linux-gnu-");
    base = base == NULL ? name : base + strlen("-linux-gnu-");
    return is_in(orchestrators, G_N_ELEMENTS(orchestrators), base) ? TRAP_ORCHESTRATOR
           : is_in(leaves, G_N_ELEMENTS(leaves), base)             ? TRAP_LEAF
           : is_in(tiny, G_N_ELEMENTS(tiny), base)                 ? TRAP_TINY
                                                                   : TRAP_UNKNOWN;
}

static bool is_wanted(const struct trap *trap, const struct view_call *call)
{
    return trap->policy.scope == TRAP_ALL || trap_classify(call->program) == TRAP_LEAF;
}

/* --- tickets ---------------------------------------------------------------------------------- */

/* In a thread of a view. */
static char *divert(const struct view_call *call, void *user)
{
    struct trap *trap = user;
    if (call->argv[0] == NULL || !is_wanted(trap, call))
        return NULL;
    g_mutex_lock(&trap->lock);
    char *key = g_strdup_printf("%u", ++trap->counts.stopped);
    struct ticket *ticket = g_new0(struct ticket, 1);
    ticket->name = g_strdup(call->argv[0]);
    ticket->leaf = trap_classify(call->program) == TRAP_LEAF;
    g_hash_table_insert(trap->tickets, key, ticket);
    char *text = g_strdup_printf("#!%s %s\n", SHIM_PATH, key);
    g_mutex_unlock(&trap->lock);
    return text;
}

/* Of who comes with the ticket; NULL: it is none, or was used before. */
static struct ticket *redeem(struct trap *trap, const char *text)
{
    gpointer key, value = NULL;
    g_mutex_lock(&trap->lock);
    if (g_hash_table_steal_extended(trap->tickets, text, &key, &value)) {
        g_free(key);
        trap->counts.answered++;
    }
    g_mutex_unlock(&trap->lock);
    return value;
}

/* --- conversations ---------------------------------------------------------------------------- */

/* A client that takes its answer slowly must not keep others waiting. */
static void run_here(int client, const char *name)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    g_byte_array_append(message, &(const guint8){ SHIM_RUN_HERE }, 1);
    g_byte_array_append(message, (const guint8 *)name, (guint)strlen(name));
    int room = (int)MIN(message->len, (guint)SHIM_ANSWER_MAX) + 4096;
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    while (send(client, message->data, message->len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
           errno == EINTR)
        continue;
}

/* What to do is decided here. Takes the client; one that asks nothing must not keep others waiting,
 * either. */
static void converse(struct trap *trap, int client)
{
    char text[32];
    ssize_t size = recv(client, text, sizeof text - 1, MSG_DONTWAIT);
    text[MAX(size, 0)] = '\0';
    struct ticket *ticket = size > 0 ? redeem(trap, text) : NULL;
    if (ticket != NULL && ticket->leaf && trap->nested != NULL) {
        nested_run(trap->nested, client, g_steal_pointer(&ticket->name));
    } else {
        if (ticket != NULL)
            run_here(client, ticket->name);
        close(client);
    }
    g_clear_pointer(&ticket, ticket_free);
}

static void accept_client(int listener, GArray *polls)
{
    const struct pollfd client = {
        .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC),
        .events = POLLIN,
    };
    if (client.fd >= 0)
        g_array_append_val(polls, client);
}

/* Closing the connection without an answer is one, too. */
static void serve_clients(struct trap *trap, GArray *polls)
{
    for (guint i = polls->len; i > 2; i--) {
        const struct pollfd *client = &g_array_index(polls, struct pollfd, i - 1);
        if (client->revents == 0)
            continue;
        converse(trap, client->fd);
        g_array_remove_index_fast(polls, i - 1);
    }
}

static gpointer serve(gpointer data)
{
    struct trap *trap = data;
    g_autoptr(GArray) polls = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    const struct pollfd first[] = { { .fd = trap->wake, .events = POLLIN },
                                    { .fd = trap->listener, .events = POLLIN } };
    g_array_append_vals(polls, first, G_N_ELEMENTS(first));
    for (;;) {
        struct pollfd *all = (struct pollfd *)(void *)polls->data;
        if (poll(all, polls->len, -1) < 0 && errno != EINTR)
            break;
        if (all[0].revents != 0)
            break;
        bool more = all[1].revents != 0;
        serve_clients(trap, polls);
        if (more)
            accept_client(trap->listener, polls);
    }
    for (guint i = 2; i < polls->len; i++)
        close(g_array_index(polls, struct pollfd, i).fd);
    return NULL;
}

/* Signals are for the thread that waits for the command. */
static void start(int listener, const struct sandbox_ground *ground, void *user)
{
    struct trap *trap = user;
    sigset_t all, before;
    trap->listener = listener;
    trap->nested = ground == NULL ? NULL : nested_new(ground);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    trap->thread = g_thread_try_new("trap", serve, trap, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (trap->thread == NULL)
        fd_close(&trap->listener); /* who connects is refused, and runs its program */
}

static void end(void *user)
{
    struct trap *trap = user;
    struct nested_counts counts = { 0 };
    if (trap->thread != NULL) {
        const guint64 one = 1;
        while (write(trap->wake, &one, sizeof one) < 0 && errno == EINTR)
            continue;
        g_thread_join(g_steal_pointer(&trap->thread));
    }
    fd_close(&trap->listener);
    if (trap->nested == NULL)
        return;
    nested_free(g_steal_pointer(&trap->nested), &counts);
    trap->counts.committed = counts.committed;
    trap->counts.conflicts = counts.conflicts;
}

/* --- life ------------------------------------------------------------------------------------- */

struct trap *trap_new(const struct trap_policy *policy)
{
    if (policy->scope == TRAP_NOTHING)
        return NULL;
    struct trap *trap = g_new0(struct trap, 1);
    trap->sandbox = (struct sandbox_trap){
        .view = { .divert = divert, .user = trap },
        .program_path = SHIM_PATH,
        .socket_path = SHIM_SOCKET,
        .program = shim_program,
        .program_size = sizeof shim_program,
        .listen = start,
        .end = end,
        .user = trap,
    };
    trap->policy = *policy;
    g_mutex_init(&trap->lock);
    trap->tickets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, ticket_free);
    trap->listener = -1;
    trap->wake = eventfd(0, EFD_CLOEXEC);
    return trap;
}

void trap_free(struct trap *trap)
{
    if (trap == NULL)
        return;
    end(trap);
    fd_close(&trap->wake);
    g_hash_table_unref(trap->tickets);
    g_mutex_clear(&trap->lock);
    g_free(trap);
}

const struct sandbox_trap *trap_sandbox(struct trap *trap)
{
    return trap == NULL ? NULL : &trap->sandbox;
}

void trap_counts(struct trap *trap, struct trap_counts *counts)
{
    g_mutex_lock(&trap->lock);
    *counts = trap->counts;
    g_mutex_unlock(&trap->lock);
}
