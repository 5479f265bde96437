// SPDX-License-Identifier: Apache-2.0
/* The start of a run's processes and the end of the last of them, from vial's side. */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals are blocked across the fork: vial's handlers must not run in the supervisor. */
static bool start_supervisor(struct launch *launch, GError **error)
{
    struct plan *plan = launch->plan;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0)
        sandbox_supervise(plan);
    int number = errno;
    setpgid(child, child); /* as shells do, on both sides: a kill of our group must not reach it */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0)
        return fault_errno(error, number, "cannot start the sandbox");
    launch->supervisor = child;
    fd_close(&plan->lifeline[1]);
    fd_close(&plan->control[1]);
    fd_close(&plan->inherited);
    fd_close(&plan->output[1]);
    fd_close(&plan->errors[1]);
    return true;
}

static bool make_part(struct launch *launch, const char *name, mode_t mode, GError **error)
{
    const struct plan *plan = launch->plan;
    if (mkdirat(launch->directory, name, 0700) < 0 ||
        fchmodat(launch->directory, name, mode, 0) < 0)
        return fault_errno(error, errno, "cannot make %s/%s", plan->path, name);
    if (plan->separate &&
        fchownat(launch->directory, name, SANDBOX_HOST_ID, SANDBOX_HOST_ID, 0) < 0)
        return fault_errno(error, errno, "cannot give away %s/%s", plan->path, name);
    return true;
}

/*
 * Made only now that there is a supervisor to remove it, should vial die; it is busy making
 * namespaces meanwhile. It stays locked as long as vial lives. The shared lock on the base keeps
 * sandbox_sweep() from seeing it unlocked.
 */
static bool make_directory(struct launch *launch, GError **error)
{
    struct plan *plan = launch->plan;
    autofd int lock = openat(plan->base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_SH) < 0)
        return fault_errno(error, errno, "cannot lock the directory of %s", plan->path);
    if (mkdirat(plan->base, plan->name, 0700) < 0)
        return fault_errno(error, errno, "cannot make the directory %s", plan->path);
    launch->directory =
        openat(plan->base, plan->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (launch->directory < 0 || flock(launch->directory, LOCK_EX) < 0 ||
        fchmod(launch->directory, 0711) < 0) /* the command's user has to get through */
        return fault_errno(error, errno, "cannot open the directory %s", plan->path);
    if (!make_part(launch, "work", 0755, error) || !make_part(launch, "home", 0755, error) ||
        !make_part(launch, "tmp", 01777, error) ||
        ((plan->view != NULL || plan->serve) && !make_part(launch, "delta", 0700, error)))
        return false;
    sandbox_order(launch, ORDER_MADE);
    return true;
}

bool sandbox_launch(const struct sandbox *sandbox, const struct action *action, bool keep,
                    struct launch *launch, GError **error)
{
    *launch = (struct launch){ .directory = -1, .view_files = { -1, -1, -1 } };
    launch->plan = sandbox_plan_new(sandbox, action, keep, error);
    if (launch->plan == NULL)
        return false;
    launch->temporary_base = sandbox->temporary ? g_strdup(sandbox->base_path) : NULL;
    if (start_supervisor(launch, error) && make_directory(launch, error))
        return true;
    sandbox_land(launch);
    return false;
}

void sandbox_order(struct launch *launch, int order)
{
    while (send(launch->plan->control[0], &order, sizeof order, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

/* Wait for the supervisor; what it could not remove, being killed itself, is removed here. */
static void await_supervisor(struct launch *launch)
{
    int status = 0;
    while (waitpid(launch->supervisor, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status != 0 && !launch->keep)
        fd_remove_tree(AT_FDCWD, launch->plan->path, NULL);
}

void sandbox_let_go(struct launch *launch)
{
    struct plan *plan = launch->plan;
    int order = ORDER_KEEP;
    if (launch->keep && plan->lifeline[0] >= 0)
        send(plan->lifeline[0], &order, sizeof order, MSG_NOSIGNAL);
    fd_close(&launch->directory);
    for (size_t i = 0; i < G_N_ELEMENTS(launch->view_files); i++)
        fd_close(&launch->view_files[i]);
    fd_close(&plan->control[0]);
    fd_close(&plan->lifeline[0]);
}

void sandbox_land(struct launch *launch)
{
    struct plan *plan = launch->plan;
    if (plan == NULL)
        return;
    sandbox_let_go(launch);
    if (launch->supervisor > 0)
        await_supervisor(launch);
    if (launch->temporary_base != NULL)
        rmdir(launch->temporary_base);
    g_free(launch->temporary_base);
    sandbox_plan_free(plan);
    *launch = (struct launch){ .directory = -1, .view_files = { -1, -1, -1 } };
}
