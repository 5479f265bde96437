// SPDX-License-Identifier: Apache-2.0
/*
 * init: pid 1 of the sandbox. Sets it up, runs the command, passes signals on, reaps, and ends with
 * the command, taking along whatever that left running.
 *
 * Only system calls here (sandbox-internal.h). All signals are blocked but SIGCHLD while waiting.
 * Without namespaces the same process is an ordinary one, and a subreaper.
 */
#include "sandbox/sandbox-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct init {
    const struct plan *plan;
    int directory, parent;
    pid_t command;
    int status;
};

/* --- killing ---------------------------------------------------------------------------------- */

/* Send SIGKILL to all children; false if the kernel does not list them. */
static bool signal_children(void)
{
    char text[4096];
    int file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t size;
    pid_t pid = 0;
    if (file < 0)
        return false;
    while ((size = read(file, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < size; i++) {
            if (text[i] != ' ') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            kill(pid, SIGKILL);
            pid = 0;
        }
    close(file);
    return true;
}

/* Each death makes the children of the dead ours, so this ends when nobody is left. */
void sandbox_kill_children(void)
{
    do {
        if (!signal_children())
            return;
    } while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

/* The reaping is left to do. */
static void kill_all(const struct init *self)
{
    if (self->plan->level == SANDBOX_NAMESPACES && getpid() == 1)
        kill(-1, SIGKILL); /* all at once: the kernel lets nobody fork meanwhile */
    else if (!signal_children() && self->command > 0)
        kill(-self->command, SIGKILL);
}

static void end_all(const struct init *self)
{
    kill_all(self);
    if (self->plan->level == SANDBOX_DIRECTORY)
        return sandbox_kill_children();
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void ignore(int number)
{
}

/* SIGCHLD only has to interrupt ppoll(). */
static void watch_children(void)
{
    struct sigaction action = { .sa_handler = ignore };
    sigaction(SIGCHLD, &action, NULL);
}

/*
 * The next order, or 0 after a signal. Nobody is left to give orders, or the supervisor is gone:
 * the end. PDEATHSIG alone would miss a supervisor that died before it was set.
 */
static int next_order(const struct init *self)
{
    struct pollfd polls[] = { { .fd = self->plan->control[1], .events = POLLIN },
                              { .fd = self->parent, .events = 0 } };
    sigset_t mask;
    int order = 0;
    sigfillset(&mask);
    sigdelset(&mask, SIGCHLD);
    if (ppoll(polls, 2, NULL, &mask) < 0)
        return 0;
    if (polls[1].revents == 0 && recv(polls[0].fd, &order, sizeof order, 0) == sizeof order)
        return order;
    end_all(self);
    _exit(1);
}

static bool reap(struct init *self)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == self->command) {
            self->status = status;
            return true;
        }
    return false;
}

static void await_command(struct init *self)
{
    while (!reap(self)) {
        int order = next_order(self);
        if (order == ORDER_KILL)
            kill_all(self);
        else if (order > 0)
            kill(-self->command, order);
    }
}

/* --- names ------------------------------------------------------------------------------------ */

/* Where this program's arguments lie, which everybody may read in /proc/1/cmdline. */
static struct {
    char *start, *end;
} arguments;

/* glibc hands main()'s arguments to constructors as well. */
__attribute__((constructor)) static void find_arguments(int count, char **list)
{
    if (count < 1)
        return;
    arguments.start = list[0];
    arguments.end = list[count - 1] + strlen(list[count - 1]);
}

/* Our copy of vial's command line is no business of the command's. */
static void rename_process(void)
{
    static const char name[] = "init";
    prctl(PR_SET_NAME, name);
    size_t size = (size_t)(arguments.end - arguments.start);
    if (size < sizeof name)
        return;
    memset(arguments.start, 0, size);
    memcpy(arguments.start, name, sizeof name);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Wait for our directory and our maps; in this order, for the way to it may be root's alone. */
static bool await_foundation(struct init *self)
{
    const struct plan *plan = self->plan;
    char byte;
    while (next_order(self) != ORDER_MADE)
        continue;
    self->directory = openat(AT_FDCWD, plan->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->directory < 0)
        return sandbox_fail(self->plan->report, "enter", plan->path);
    if (read(self->parent, &byte, 1) != 1)
        _exit(1); /* the supervisor failed and has said so, or is gone */
    return true;
}

/*
 * Become the inner user, who still has all capabilities in here until it executes something. A
 * change of user clears the death signal, which is why that is set last.
 */
static bool become_user(struct init *self)
{
    if (self->plan->separate && (syscall(SYS_setresgid, SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0 ||
                                 syscall(SYS_setresuid, SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0))
        return sandbox_fail(self->plan->report, "become the user", NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return true;
}

static bool set_up(struct init *self)
{
    const struct plan *plan = self->plan;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return sandbox_fail(plan->report, "give up new privileges", NULL);
    if (plan->level == SANDBOX_DIRECTORY) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        return await_foundation(self);
    }
    rename_process();
    int devices[2] = { -1, -1 };
    if (!await_foundation(self))
        return false;
    /* In the namespace that mounts, and yet by the user who may. */
    int views = plan->view != NULL ? 2 : plan->serve ? 1 : 0;
    for (int i = 0; i < views; i++)
        if ((devices[i] = open("/dev/fuse", O_RDWR | O_CLOEXEC)) < 0)
            return sandbox_fail(plan->report, "open", "/dev/fuse");
    return become_user(self) && sandbox_enter(plan, self->directory, devices);
}

/* For --check: other process ids, where the kernel lets the counter be set. */
static void vary(const struct plan *plan)
{
    if (plan->vary == 0 || plan->level != SANDBOX_NAMESPACES)
        return;
    char number[] = "1000";
    number[0] = (char)('1' + plan->vary % 9);
    int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, number, strlen(number)) < 0)
        return;
    close(file);
}

static gint64 now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Fills the report. */
static void run(struct init *self)
{
    const struct plan *plan = self->plan;
    struct report *report = plan->report;
    gint64 start = now();
    self->command = sandbox_start(plan, self->directory);
    close(plan->output[1]);
    close(plan->errors[1]);
    if (self->command == 0)
        return;
    await_command(self);
    report->wall = now() - start;
    end_all(self);
    if (report->kind != 0)
        return;
    getrusage(RUSAGE_CHILDREN, &report->usage);
    report->status = self->status;
    report->kind = REPORT_ENDED;
}

void sandbox_init(const struct plan *plan, int parent)
{
    struct init self = { .plan = plan, .directory = -1, .parent = parent };
    watch_children();
    if (set_up(&self)) {
        vary(plan);
        int order;
        while ((order = next_order(&self)) != ORDER_START && order != ORDER_PROBE)
            continue;
        if (order == ORDER_START)
            run(&self);
        else
            plan->report->kind = REPORT_ENDED;
    }
    sandbox_report(plan);
    _exit(0);
}
