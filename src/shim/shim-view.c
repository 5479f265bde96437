// SPDX-License-Identifier: Apache-2.0
/*
 * A program in a view of its own. A child makes user and mount namespaces, in them the view with
 * the mounts that stand over it, and executes the program there. This process stays where it was
 * and is what the caller waits for: it passes signals on, and ends as the child has ended once the
 * session has what was written.
 *
 * The child is in a new user namespace, since nobody else may mount; with identity maps, which this
 * process writes, because root's may have several lines, which take a capability outside.
 */
#include "shim/shim-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    PATH_SIZE = 4096, /* all that getcwd() can say */
    SET_SIZE = 8,     /* of the kernel's signal set */
    DETACH = 2,       /* MNT_DETACH */
};

struct action_of_signal { /* as the kernel has it */
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
};

struct texts { /* of the session's answer */
    const char *user_map, *group_map, *user, *group, *binds, *end;
};

struct nest {
    const struct program *program;
    struct texts texts;
    int session;
    int link[2]; /* to the child and back; [1] is the child's */
    unsigned long mask;
    struct action_of_signal on_child; /* what the caller had set for SIGCHLD */
    char directory[PATH_SIZE];
};

static const char *after(const char *text)
{
    return text + length_of(text) + 1;
}

static bool transfer_byte(long number, int file, char *byte)
{
    long result;
    do
        result = call(number, file, (long)byte, 1, 0, 0);
    while (result == -EINTR);
    return result == 1;
}

static bool say(int file, char byte)
{
    return transfer_byte(SYS_write, file, &byte);
}

static bool hear(int file, char byte)
{
    char got = 0;
    return transfer_byte(SYS_read, file, &got) && got == byte;
}

/* --- the child -------------------------------------------------------------------------------- */

static bool set(int context, const char *name, const char *value)
{
    return call(SYS_fsconfig, context, FSCONFIG_SET_STRING, (long)name, (long)value, 0) == 0;
}

static const char *print_number(char *end, unsigned number)
{
    *--end = '\0';
    do
        *--end = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return end;
}

static int mount_device(const struct nest *nest, int device)
{
    char text[12];
    int context = (int)call(SYS_fsopen, (long)"fuse", FSOPEN_CLOEXEC, 0, 0, 0);
    if (context < 0 || !set(context, "fd", print_number(text + sizeof text, (unsigned)device)) ||
        !set(context, "rootmode", "40000") || !set(context, "user_id", nest->texts.user) ||
        !set(context, "group_id", nest->texts.group) || !set(context, "source", "vial") ||
        call(SYS_fsconfig, context, FSCONFIG_SET_FLAG, (long)"allow_other", 0, 0) != 0 ||
        call(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) != 0)
        return -1;
    int mount = (int)call(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0);
    call(SYS_close, context, 0, 0, 0, 0);
    return mount;
}

static bool pass_on(int session, int device)
{
    char byte = SHIM_MOUNTED;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .header = { CMSG_LEN(sizeof device), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    *(int *)(void *)CMSG_DATA(&control.header) = device;
    return call(SYS_sendmsg, session, (long)&message, MSG_NOSIGNAL, 0, 0) == 1 &&
           hear(session, SHIM_SERVED);
}

/* The kernel takes the root for user 0's until it has asked for its attributes. */
static int make_view(const struct nest *nest)
{
    struct stat status;
    int device = (int)call(SYS_openat, AT_FDCWD, (long)"/dev/fuse", O_RDWR | O_CLOEXEC, 0, 0);
    int mount = device < 0 ? -1 : mount_device(nest, device);
    if (mount < 0 || !pass_on(nest->session, device))
        return -1;
    call(SYS_close, device, 0, 0, 0, 0);
    return call(SYS_newfstatat, mount, (long)"", (long)&status, AT_EMPTY_PATH, 0) == 0 ? mount : -1;
}

static bool attach(int tree, int to, const char *path)
{
    return tree >= 0 &&
           call(SYS_move_mount, tree, (long)"", to, (long)path, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/*
 * Absolute paths lead to the old root as before, though the new one lies over it; what is relative
 * to `root` leads to the new one. With what is bound around a directory of the view comes the old
 * view's, which the new one's then covers.
 */
static bool bind_path(int root, const char *path, const char *inner)
{
    const unsigned clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    int within = -ENOENT;
    if (*inner != '\0')
        within = (int)call(SYS_open_tree, root, (long)(inner + 1), clone, 0, 0);
    if (within < 0 && within != -ENOENT)
        return false;
    int tree = (int)call(SYS_open_tree, AT_FDCWD, (long)path, clone | AT_RECURSIVE, 0, 0);
    if (!attach(tree, root, path + 1) || (within >= 0 && !attach(within, root, inner + 1)))
        return false;
    call(SYS_close, tree, 0, 0, 0, 0);
    call(SYS_close, within, 0, 0, 0, 0);
    return true;
}

/* Not by chroot(), in which there could be no user namespaces. */
static bool enter(const struct nest *nest, int root)
{
    if (!attach(root, AT_FDCWD, "/"))
        return false;
    for (const char *at = nest->texts.binds; at < nest->texts.end; at = after(after(at)))
        if (!bind_path(root, at, after(at)))
            return false;
    return call(SYS_fchdir, root, 0, 0, 0, 0) == 0 &&
           call(SYS_pivot_root, (long)".", (long)".", 0, 0, 0) == 0 &&
           call(SYS_umount2, (long)".", DETACH, 0, 0, 0) == 0 &&
           call(SYS_chdir, (long)nest->directory, 0, 0, 0, 0) == 0;
}

/*
 * The child's end of `link` closes when the program is executed. Who kills this process's parent
 * means the program.
 */
__attribute__((noreturn)) static void become_program(const struct nest *nest)
{
    call(SYS_close, nest->link[0], 0, 0, 0, 0);
    call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int root = hear(nest->link[1], 'g') ? make_view(nest) : -1;
    if (root >= 0 && enter(nest, root)) {
        call(SYS_rt_sigaction, SIGCHLD, (long)&nest->on_child, 0, SET_SIZE, 0);
        call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&nest->mask, 0, SET_SIZE, 0);
        execute(nest->program);
    }
    say(nest->link[1], 'f');
    for (;;)
        call(SYS_exit_group, 127, 0, 0, 0, 0);
}

/* --- this process ----------------------------------------------------------------------------- */

static bool write_map(long child, const char *name, const char *text)
{
    char path[64] = "/proc/", number[12];
    char *at = path + length_of(path);
    for (const char *from = print_number(number + sizeof number, (unsigned)child); *from != '\0';)
        *at++ = *from++;
    while ((*at++ = *name++) != '\0')
        continue;
    int file = (int)call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0, 0);
    long size = (long)length_of(text);
    bool ok = file >= 0 && call(SYS_write, file, (long)text, size, 0, 0) == size;
    call(SYS_close, file, 0, 0, 0, 0);
    return ok;
}

/* What the terminal sends goes to the whole process group, and so to the child, too. */
static bool has_child_got(const siginfo_t *info)
{
    int number = info->si_signo;
    return number == SIGCHLD ||
           (info->si_code == SI_KERNEL &&
            (number == SIGINT || number == SIGQUIT || number == SIGTSTP || number == SIGHUP));
}

/* A stopped child is a stopped program to the caller: this process stops likewise. */
static int await(long child)
{
    const unsigned long all = ~0UL;
    int status;
    for (;;) {
        siginfo_t info = { 0 };
        long got = call(SYS_wait4, child, (long)&status, WNOHANG | WUNTRACED, 0, 0);
        if (got == child && !WIFSTOPPED(status))
            return status;
        if (got == child) {
            call(SYS_kill, call(SYS_getpid, 0, 0, 0, 0, 0), SIGSTOP, 0, 0, 0);
            call(SYS_kill, child, SIGCONT, 0, 0, 0);
            continue;
        }
        if (call(SYS_rt_sigtimedwait, (long)&all, (long)&info, 0, SET_SIZE, 0) > 0 &&
            !has_child_got(&info))
            call(SYS_kill, child, info.si_signo, 0, 0, 0);
    }
}

/* The program has left its core already, if any. */
__attribute__((noreturn)) static void end_as(int status)
{
    static const struct rlimit none = { 0, 0 };
    static const struct action_of_signal by_default = { 0 };
    const unsigned long open = 0;
    int number = WTERMSIG(status);
    if (WIFSIGNALED(status)) {
        call(SYS_prlimit64, 0, RLIMIT_CORE, (long)&none, 0, 0);
        call(SYS_rt_sigaction, number, (long)&by_default, 0, SET_SIZE, 0);
        call(SYS_kill, call(SYS_getpid, 0, 0, 0, 0, 0), number, 0, 0, 0);
        call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&open, 0, SET_SIZE, 0);
    }
    for (;;)
        call(SYS_exit_group, WIFSIGNALED(status) ? 128 + number : WEXITSTATUS(status), 0, 0, 0, 0);
}

__attribute__((noreturn)) static void stand_for(const struct nest *nest, long child)
{
    int status = await(child);
    if (say(nest->session, SHIM_ENDED) && hear(nest->session, SHIM_COMMITTED))
        end_as(status);
    complain("vial: cannot keep what was written by ", nest->program->path);
    end_as(125 << 8);
}

/* Who waits for any child of its own will not find this one: it ends, or has ended, here. */
static void put_back(const struct nest *nest, long child)
{
    if (child > 0)
        while (call(SYS_wait4, child, 0, 0, 0, 0) == -EINTR)
            continue;
    call(SYS_rt_sigaction, SIGCHLD, (long)&nest->on_child, 0, SET_SIZE, 0);
    call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&nest->mask, 0, SET_SIZE, 0);
}

static bool prepare(struct nest *nest)
{
    return call(SYS_getcwd, (long)nest->directory, sizeof nest->directory, 0, 0, 0) > 0 &&
           nest->directory[0] == '/' &&
           call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (long)nest->link, 0) ==
               0;
}

/* With the caller's disposition of SIGCHLD the child might leave no status. */
static void hold_signals(struct nest *nest)
{
    static const struct action_of_signal by_default = { 0 };
    const unsigned long all = ~0UL;
    call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&nest->mask, SET_SIZE, 0);
    call(SYS_rt_sigaction, SIGCHLD, (long)&by_default, (long)&nest->on_child, SET_SIZE, 0);
}

void run_in_view(const struct program *program, int session, const char *at, const char *end)
{
    static struct nest nest;
    nest.program = program;
    nest.session = session;
    nest.texts.user_map = after(at);
    nest.texts.group_map = after(nest.texts.user_map);
    nest.texts.user = after(nest.texts.group_map);
    nest.texts.group = after(nest.texts.user);
    nest.texts.binds = after(nest.texts.group);
    nest.texts.end = end;
    if (!prepare(&nest))
        return;
    hold_signals(&nest);
    long child = call(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        become_program(&nest);
    call(SYS_close, nest.link[1], 0, 0, 0, 0);
    if (child > 0 && write_map(child, "/uid_map", nest.texts.user_map) &&
        write_map(child, "/gid_map", nest.texts.group_map) && say(nest.link[0], 'g')) {
        char byte;
        if (!transfer_byte(SYS_read, nest.link[0], &byte)) { /* it is executed, or was killed */
            call(SYS_close, nest.link[0], 0, 0, 0, 0);
            stand_for(&nest, child);
        }
    }
    call(SYS_close, nest.link[0], 0, 0, 0, 0);
    put_back(&nest, child);
}
