// SPDX-License-Identifier: Apache-2.0
/* What --check changes about files and time; process ids and load are init's and the supervisor's.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct reordering {
    int work;
    int aside; /* an empty directory on the same file system */
    GError **error;
};

/* Give every entry a new place in its directory's list: out, and in again, last first. */
static bool reorder_directory(const struct reordering *reordering, int directory,
                              const struct tree *tree, const char *path)
{
    struct stat status;
    bool ok = fstat(directory, &status) == 0;
    for (size_t i = 0; ok && i < tree_size(tree); i++) {
        const char *name = tree_at(tree, i)->name;
        ok = renameat(directory, name, reordering->aside, name) == 0;
    }
    for (size_t i = tree_size(tree); ok && i > 0; i--) {
        const char *name = tree_at(tree, i - 1)->name;
        ok = renameat(reordering->aside, name, directory, name) == 0;
    }
    const struct timespec times[2] = { status.st_atim, status.st_mtim };
    if (!ok || futimens(directory, times) < 0)
        return fault_errno(reordering->error, errno, "cannot reorder %s", path);
    return true;
}

static bool reorder_entry(const char *path, const struct tree_entry *entry, void *user)
{
    const struct reordering *reordering = user;
    if (entry->kind != TREE_DIRECTORY)
        return true;
    autofd int directory = fd_open_beneath(reordering->work, path, O_RDONLY | O_DIRECTORY, 0);
    if (directory < 0)
        return fault_errno(reordering->error, errno, "cannot open %s", path);
    return reorder_directory(reordering, directory, entry->directory, path);
}

bool sandbox_reorder(int directory, int work, const struct tree *tree, GError **error)
{
    static const char name[] = "aside";
    if (mkdirat(directory, name, 0700) < 0)
        return fault_errno(error, errno, "cannot make a directory in the sandbox");
    autofd int aside = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct reordering reordering = { work, aside, error };
    bool ok = reorder_directory(&reordering, work, tree, SANDBOX_ROOT) &&
              tree_walk(tree, reorder_entry, &reordering);
    unlinkat(directory, name, AT_REMOVEDIR);
    return ok;
}

/* A signal ends the wait; whoever waits looks at the interrupt next. */
void sandbox_await_second(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec++;
    now.tv_nsec = 0;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &now, NULL);
}
