// SPDX-License-Identifier: Apache-2.0
/*
 * The supervisor: starts init, and outlives vial just long enough to kill what runs and to remove
 * what lies on disk.
 *
 * Forked from a vial that may have threads: only system calls, until the removal, which allocates.
 * That is sound with glibc, whose fork() leaves malloc usable in the child. All signals stay
 * blocked, so that neither the terminal nor a kill of vial's process group reaches it.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct supervisor {
    const struct plan *plan;
    int parent[2]; /* init reads [0] */
    int process;   /* pidfd of init; -1: it is gone */
    pid_t init;
};

/*
 * Close all but what is needed: a lock of the store, or a pipe that somebody reads to its end, must
 * not live as long as this process. 0 to 2 become /dev/null for the same reason.
 */
static bool close_others(const struct plan *plan)
{
    int kept[] = { 2,
                   plan->base,
                   plan->lifeline[1],
                   plan->control[1],
                   plan->output[1],
                   plan->errors[1],
                   MAX(plan->inherited, 2) };
    for (size_t i = 1; i < G_N_ELEMENTS(kept); i++)
        for (size_t k = i; k > 0 && kept[k] < kept[k - 1]; k--) {
            int other = kept[k];
            kept[k] = kept[k - 1];
            kept[k - 1] = other;
        }
    for (size_t i = 1; i < G_N_ELEMENTS(kept); i++)
        if (kept[i] - kept[i - 1] > 1)
            close_range((unsigned)kept[i - 1] + 1, (unsigned)kept[i] - 1, 0);
    close_range((unsigned)kept[G_N_ELEMENTS(kept) - 1] + 1, ~0u, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return sandbox_fail(plan->report, "open", "/dev/null");
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    if (null > 2)
        close(null);
    return true;
}

/* --- init ------------------------------------------------------------------------------------- */

static bool write_map(struct supervisor *self, int process, const char *name, const char *map)
{
    int file = openat(process, name, O_WRONLY | O_CLOEXEC);
    bool ok = file >= 0 && write(file, map, strlen(map)) == (ssize_t)strlen(map);
    if (!ok)
        sandbox_fail(self->plan->report, "write", name);
    if (file >= 0)
        close(file);
    return ok;
}

static int open_process(pid_t pid)
{
    char path[32] = "/proc/", digits[16];
    size_t length = strlen(path), count = 0;
    for (; pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        path[length++] = digits[--count];
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Written from outside, since root's map to another user needs CAP_SETUID out here. */
static bool write_maps(struct supervisor *self)
{
    if (self->plan->level == SANDBOX_DIRECTORY)
        return true;
    int process = open_process(self->init);
    if (process < 0)
        return sandbox_fail(self->plan->report, "find init in", "/proc");
    bool all = self->plan->view != NULL && geteuid() == 0; /* root stays root, groups and all */
    bool ok = (all || write_map(self, process, "setgroups", "deny")) &&
              write_map(self, process, "gid_map", self->plan->group_map) &&
              write_map(self, process, "uid_map", self->plan->user_map);
    close(process);
    return ok;
}

/*
 * Like fork(), in new namespaces. Not clone3(): filters of containers cannot look into its
 * arguments and so refuse all of it.
 */
static pid_t fork_into(unsigned long flags, int *process)
{
    flags |= CLONE_PIDFD | SIGCHLD;
#ifdef __s390__
    return (pid_t)syscall(SYS_clone, NULL, flags, process, NULL, NULL);
#else
    return (pid_t)syscall(SYS_clone, flags, NULL, process, NULL, NULL);
#endif
}

static bool start_init(struct supervisor *self)
{
    const struct plan *plan = self->plan;
    unsigned long flags = 0;
    if (plan->level == SANDBOX_NAMESPACES)
        flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (plan->level == SANDBOX_NAMESPACES && !plan->network)
        flags |= CLONE_NEWNET;
    if (pipe2(self->parent, O_CLOEXEC) < 0)
        return sandbox_fail(self->plan->report, "make a pipe", NULL);
    if (fchdir(plan->base) < 0) /* init's way to the run's directory */
        return sandbox_fail(self->plan->report, "enter the directory of", plan->path);
    /* Root's groups would otherwise follow into the namespace, where nothing can drop them. */
    if (plan->separate && syscall(SYS_setgroups, 0, NULL) < 0)
        return sandbox_fail(self->plan->report, "drop groups", NULL);
    self->init = fork_into(flags, &self->process);
    if (self->init == 0) {
        close(plan->lifeline[1]);
        close(self->parent[1]);
        sandbox_init(plan, self->parent[0]);
    }
    if (self->init < 0)
        sandbox_fail(self->plan->report, SANDBOX_CLONE, NULL);
    close(self->parent[0]);
    if (self->init > 0 && write_maps(self) &&
        (write(self->parent[1], "", 1) == 1 || sandbox_fail(self->plan->report, "wake init", NULL)))
        return true;
    close(self->parent[1]); /* ends init */
    return false;
}

/* --- parallel load, for --check ----------------------------------------------------------------
 */

/* Outside the namespaces, so that the command can see them by their heat alone. */
static void burn(void)
{
    pid_t parent = getpid();
    for (long i = sysconf(_SC_NPROCESSORS_ONLN); i > 0; i--) {
        if (fork() != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0u, 0);
        while (getppid() == parent)
            for (volatile int turns = 1000000; turns > 0; turns--)
                continue;
        _exit(0);
    }
}

/* --- until the end ---------------------------------------------------------------------------- */

static void reap_init(struct supervisor *self)
{
    if (self->process < 0)
        return;
    while (waitpid(self->init, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(self->process);
    self->process = -1;
    if (self->plan->level == SANDBOX_DIRECTORY || self->plan->vary != 0)
        sandbox_kill_children();
}

/* Runs beside vial's capture of the outputs. */
static void tidy(const struct supervisor *self)
{
    static const char *const parts[] = { "home", "tmp", "input" };
    autofd int directory =
        openat(self->plan->base, self->plan->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (size_t i = 0; !self->plan->keep && i < G_N_ELEMENTS(parts); i++)
        fd_remove_tree(directory, parts[i], NULL);
}

/* Until vial has released the run or died; true if the directory is to stay. */
static bool attend(struct supervisor *self)
{
    bool keep = false;
    for (;;) {
        struct pollfd polls[] = { { .fd = self->plan->lifeline[1], .events = POLLIN },
                                  { .fd = self->process, .events = POLLIN } };
        if (poll(polls, 2, -1) < 0)
            continue;
        if (polls[1].revents != 0) {
            reap_init(self);
            tidy(self);
        }
        int order = 0;
        if (polls[0].revents == 0)
            continue;
        if (recv(polls[0].fd, &order, sizeof order, 0) <= 0)
            return keep;
        keep = order == ORDER_KEEP;
    }
}

void sandbox_supervise(const struct plan *plan)
{
    struct supervisor self = { .plan = plan, .process = -1 };
    setpgid(0, 0);
    prctl(PR_SET_NAME, "vial-supervisor");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_DUMPABLE, 1); /* else, after a change of user, init's maps would not be ours */
    signal(SIGCHLD, SIG_DFL);  /* ignored, it would let init vanish unreaped */
    umask(0);                  /* init makes files with the modes it says */
    if (!close_others(plan) || !start_init(&self))
        sandbox_report(plan);
    else if (plan->vary % 2 == 1)
        burn();
    close(plan->control[1]);
    close(plan->output[1]);
    close(plan->errors[1]);
    bool keep = attend(&self);
    if (self.process >= 0)
        syscall(SYS_pidfd_send_signal, self.process, SIGKILL, NULL, 0);
    reap_init(&self);
    _exit(keep || fd_remove_tree(plan->base, plan->name, NULL) ? 0 : 1);
}
