// SPDX-License-Identifier: Apache-2.0
/*
 * A file system of type fuse, detached. System calls alone: the caller is a forked child of a
 * process with threads.
 */
#include "view/view-internal.h"

#include <sys/mount.h>
#include <unistd.h>

static char *print_number(char *end, guint64 number, unsigned base)
{
    *--end = '\0';
    do
        *--end = (char)('0' + number % base);
    while ((number /= base) > 0);
    return end;
}

static bool set(int context, const char *name, guint64 number, unsigned base)
{
    char text[24];
    return fsconfig(context, FSCONFIG_SET_STRING, name,
                    print_number(text + sizeof text, number, base), 0) == 0;
}

static bool configure(int context, int channel, uid_t owner, gid_t group, bool fixed)
{
    return set(context, "fd", (guint64)channel, 10) && set(context, "rootmode", S_IFDIR, 8) &&
           set(context, "user_id", owner, 10) && set(context, "group_id", group, 10) &&
           fsconfig(context, FSCONFIG_SET_FLAG, "allow_other", NULL, 0) == 0 &&
           (!fixed || fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) == 0) &&
           fsconfig(context, FSCONFIG_SET_STRING, "source", "vial", 0) == 0;
}

/* Whatever fails leaves errno, which close() must not change. */
static bool give_up(int descriptor, const char *step, const char **what)
{
    int number = errno;
    if (descriptor >= 0)
        close(descriptor);
    errno = number;
    *what = step;
    return false;
}

bool view_mount(int channel, uid_t owner, gid_t group, bool fixed, int *mount, const char **what)
{
    int context = fsopen("fuse", FSOPEN_CLOEXEC);
    if (context < 0)
        return give_up(-1, "make a file system of type", what);
    if (!configure(context, channel, owner, group, fixed) ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
        (*mount = fsmount(context, FSMOUNT_CLOEXEC, 0)) < 0)
        return give_up(context, "set up the file system of", what);
    close(context);
    return true;
}
