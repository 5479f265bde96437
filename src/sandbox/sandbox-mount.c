// SPDX-License-Identifier: Apache-2.0
/*
 * From the host's mounts to the sandbox's: carries out the plan's steps on a new root and moves
 * into it.
 *
 * Runs in init, whose user namespace owns its mount namespace: mounts are copies, so nothing here
 * reaches the host. The copies are slaves of the host's; what is bound is made private, so that
 * later mounts on the host do not appear either. pivot_root() rather than chroot(), since the
 * kernel refuses user namespaces, and so vial inside vial, to whoever is in a chroot.
 */
#include "sandbox/sandbox-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static bool make_target(const struct mount_step *step, struct report *report)
{
    if (mkdir(step->target, 0755) == 0 || errno == EEXIST)
        return true;
    return sandbox_fail(report, "make the directory", step->target);
}

static bool write_file(const char *path, const char *data, size_t size, mode_t mode,
                       struct report *report)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok = file >= 0 && write(file, data, size) == (ssize_t)size && fchmod(file, mode) == 0;
    if (file >= 0)
        close(file);
    return ok || sandbox_fail(report, "write", path);
}

static bool make_file(const char *path, const char *text, struct report *report)
{
    return write_file(path, text, strlen(text), 0644, report);
}

/* For all who run in there, whatever user they become. */
static bool make_listener(const char *path, const struct plan *plan, struct report *report)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = (listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
               chmod(path, 0666) == 0 && listen(listener, SOMAXCONN) == 0 &&
               sandbox_hand_up(plan, listener)) ||
              sandbox_fail(report, "listen on", path);
    if (listener >= 0)
        close(listener);
    return ok;
}

/* Attach a private copy of the mount at `source` to `target`, with more restrictions. */
static bool bind_mount(int from, const char *source, const char *target, unsigned recursive,
                       guint64 attributes, struct report *report)
{
    struct mount_attr change = { .attr_set = attributes, .propagation = MS_PRIVATE };
    int tree = open_tree(from, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
    if (tree < 0)
        return sandbox_fail(report, "bind", source);
    bool ok = mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &change, sizeof change) == 0 ||
              sandbox_fail(report, "restrict", source);
    ok = ok && (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) == 0 ||
                sandbox_fail(report, "mount", target));
    close(tree);
    return ok;
}

/* The file has to stay, since the kernel mounts nothing on a deleted one, as vial inside would. */
static bool cover_file(const struct mount_step *step, struct report *report)
{
    return make_file(step->options, step->source, report) &&
           bind_mount(AT_FDCWD, step->options, step->target, 0,
                      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, report);
}

static bool seal(const struct mount_step *step, struct report *report)
{
    struct mount_attr change = { .attr_set = MOUNT_ATTR_RDONLY };
    return mount_setattr(AT_FDCWD, step->target, 0, &change, sizeof change) == 0 ||
           sandbox_fail(report, "make read-only", step->target);
}

static bool mount_new(const struct mount_step *step, struct report *report)
{
    return make_target(step, report) &&
           (mount(step->source, step->target, step->source, step->flags, step->options) == 0 ||
            sandbox_fail(report, "mount a new", step->target));
}

/* What is to be seen inside what is bound over it; the path to it is made if it is our own. */
static bool bind_around(const struct mount_step *step, int directory, struct report *report)
{
    bool host = step->source[0] == '/';
    int inner = open_tree(AT_FDCWD, step->options, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (inner < 0 && errno != ENOENT)
        return sandbox_fail(report, "bind", step->options);
    guint64 attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (host ? MOUNT_ATTR_RDONLY : 0);
    bool ok = bind_mount(host ? AT_FDCWD : directory, step->source, step->target,
                         host ? AT_RECURSIVE : 0, attributes, report);
    if (inner < 0)
        return ok;
    char path[PATH_MAX];
    size_t length = strlen(step->options);
    for (size_t i = strlen(step->target) + 1; ok && !host && i <= length; i++) {
        if (step->options[i] != '/' && step->options[i] != '\0')
            continue;
        memcpy(path, step->options, i);
        path[i] = '\0';
        ok = mkdir(path, 0755) == 0 || errno == EEXIST ||
             sandbox_fail(report, "make the directory", step->options);
    }
    ok = ok && (move_mount(inner, "", AT_FDCWD, step->options, MOVE_MOUNT_F_EMPTY_PATH) == 0 ||
                sandbox_fail(report, "mount", step->options));
    close(inner);
    return ok;
}

/*
 * The kernel takes the root for user 0's until it has asked for its attributes, and lets nobody
 * write in a directory of a user whom the namespace does not know.
 */
static bool settle_root(const char *path, struct report *report)
{
    struct stat status;
    return stat(path, &status) == 0 || sandbox_fail(report, "look at", path);
}

/* A view, detached; vial has the channel. */
static int make_view(const struct plan *plan, int device, bool fixed, struct report *report)
{
    int mount;
    const char *what;
    if (!view_mount(device, geteuid(), getegid(), fixed, &mount, &what)) {
        sandbox_fail(report, what, "/dev/fuse");
        return -1;
    }
    bool ok = sandbox_hand_up(plan, device) || sandbox_fail(report, "pass on", "/dev/fuse");
    close(device);
    return ok ? mount : -1;
}

static bool mount_view(const struct mount_step *step, const struct plan *plan, int device,
                       struct report *report)
{
    int mount = make_target(step, report) ? make_view(plan, device, false, report) : -1;
    if (mount < 0)
        return false;
    struct mount_attr change = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
    bool ok = (mount_setattr(mount, "", AT_EMPTY_PATH, &change, sizeof change) == 0 &&
               move_mount(mount, "", AT_FDCWD, step->target, MOVE_MOUNT_F_EMPTY_PATH) == 0) ||
              sandbox_fail(report, "mount", step->target);
    close(mount);
    return ok && settle_root(step->target, report);
}

static bool mount_system(const struct plan *plan, int directory, int device, struct report *report)
{
    int mount = make_view(plan, device, true, report);
    if (mount < 0)
        return false;
    bool ok = move_mount(mount, "", directory, SYSTEM_PLACE, MOVE_MOUNT_F_EMPTY_PATH) == 0 ||
              sandbox_fail(report, "mount", "the system");
    close(mount);
    return ok;
}

static bool carry_out(const struct mount_step *step, const struct plan *plan, int directory,
                      const int devices[2])
{
    struct report *report = plan->report;
    switch (step->kind) {
    case MOUNT_MKDIR:
        return make_target(step, report);
    case MOUNT_LINK:
        return symlink(step->source, step->target) == 0 ||
               sandbox_fail(report, "make the link", step->target);
    case MOUNT_HOST:
        return make_target(step, report) &&
               bind_mount(AT_FDCWD, step->source, step->target, AT_RECURSIVE,
                          MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, report);
    case MOUNT_SHARED:
        return make_target(step, report) &&
               bind_mount(AT_FDCWD, step->source, step->target, 0,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, report);
    case MOUNT_AROUND:
        return bind_around(step, directory, report);
    case MOUNT_HOST_FILE:
        return make_file(step->target, "", report) &&
               bind_mount(AT_FDCWD, step->source, step->target, 0,
                          MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, report);
    case MOUNT_OWN:
        return make_target(step, report) &&
               bind_mount(directory, step->source, step->target, 0,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, report);
    case MOUNT_VIEW:
        return mount_view(step, plan, devices[0], report);
    case MOUNT_SYSTEM:
        return mount_system(plan, directory, devices[1], report);
    case MOUNT_NEW:
        return mount_new(step, report);
    case MOUNT_FILE:
        return make_file(step->target, step->source, report);
    case MOUNT_PROGRAM:
        return write_file(step->target, step->source, step->flags, 0555, report);
    case MOUNT_LISTENER:
        return make_listener(step->target, plan, report);
    case MOUNT_TEXT:
        return cover_file(step, report);
    case MOUNT_SEAL:
        return seal(step, report);
    }
    g_assert_not_reached();
}

/*
 * A new tmpfs becomes the working directory. It is attached over the run's own directory, the one
 * place that is certainly there; `directory` still leads to what it covers.
 */
static bool make_root(int directory, struct report *report)
{
    int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        return sandbox_fail(report, "make a tmpfs", NULL);
    }
    int root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    close(context);
    if (root < 0 ||
        move_mount(root, "", directory, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
            0 ||
        fchdir(root) < 0) {
        return sandbox_fail(report, "mount", "/");
    }
    close(root);
    return true;
}

/*
 * The root of an observed run. It answers only once vial has the channel, so nothing may be looked
 * up in it before.
 */
static bool make_view_root(const struct plan *plan, int directory, int device,
                           struct report *report)
{
    int mount = make_view(plan, device, false, report);
    if (mount < 0)
        return false;
    if (move_mount(mount, "", directory, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
            0 ||
        fchdir(mount) < 0)
        return sandbox_fail(report, "mount", "/");
    close(mount);
    return geteuid() == 0 || settle_root(".", report);
}

/* Where vial learns about processes; it also tells that everything stands. */
static bool hand_up_processes(const struct plan *plan, struct report *report)
{
    int processes = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (processes >= 0 && sandbox_hand_up(plan, processes)) ||
              sandbox_fail(report, "pass on", "/proc");
    if (processes >= 0)
        close(processes);
    return ok;
}

/* The old root ends up stacked on the new one, where the working directory finds and drops it. */
static bool change_root(struct report *report)
{
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return sandbox_fail(report, "change to the new", "/");
    return (umount2(".", MNT_DETACH) == 0 && chdir("/") == 0) ||
           sandbox_fail(report, "leave the old", "/");
}

/* Programs and their tests expect 127.0.0.1 even where there is no network. */
static bool raise_loopback(struct report *report)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = made >= 0 && ioctl(made, SIOCSIFFLAGS, &request) == 0;
    if (made >= 0)
        close(made);
    return ok || errno == EAFNOSUPPORT || sandbox_fail(report, "raise the interface", "lo");
}

bool sandbox_enter(const struct plan *plan, int directory, const int devices[2])
{
    struct report *report = plan->report;
    if (!(plan->view != NULL ? make_view_root(plan, directory, devices[0], report)
                             : make_root(directory, report)))
        return false;
    for (guint i = 0; i < plan->mounts->len; i++)
        if (!carry_out(&g_array_index(plan->mounts, struct mount_step, i), plan, directory,
                       devices))
            return false;
    if (sethostname("vial", strlen("vial")) < 0)
        return sandbox_fail(report, "set the host name", NULL);
    return change_root(report) && (plan->network || raise_loopback(report)) &&
           (plan->view == NULL || hand_up_processes(plan, report));
}
