// SPDX-License-Identifier: Apache-2.0
/*
 * oracle-view: run a command in a view of the whole machine and drop what it wrote; src/view/
 * alone, without session or sandbox. For root.
 *
 *   oracle-view [--plain] SCRATCH COMMAND…      SCRATCH is an empty directory outside of what is
 * used
 */
#include "base/fd.h"
#include "trace/trace.h"
#include "view/view.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
    char what[64]; /* empty: mounted, the channel comes with it */
    int number;
};

static bool send_channel(int socket, const struct message *message, int channel)
{
    struct iovec part = { (void *)message, sizeof *message };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    if (channel >= 0) {
        memcpy(CMSG_DATA(&control.header), &channel, sizeof channel);
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
    }
    return sendmsg(socket, &header, MSG_NOSIGNAL) == (ssize_t)sizeof *message;
}

static int receive_channel(int socket, struct message *message)
{
    struct iovec part = { message, sizeof *message };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int channel = -1;
    *message = (struct message){ .what = "start", .number = EPIPE };
    if (recvmsg(socket, &header, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof *message &&
        message->what[0] == '\0' && CMSG_FIRSTHDR(&header) != NULL)
        memcpy(&channel, CMSG_DATA(&control.header), sizeof channel);
    return channel;
}

/* --- the process that enters -------------------------------------------------------------------
 */

static void give_up(int socket, const char *what)
{
    struct message message = { .number = errno };
    g_strlcpy(message.what, what, sizeof message.what);
    send_channel(socket, &message, -1);
    _exit(125);
}

static void bind_place(int socket, const char *root, const char *place)
{
    g_autofree char *target = g_strconcat(root, place, NULL);
    if (mount(place, target, NULL, MS_BIND | MS_REC, NULL) != 0)
        give_up(socket, place);
}

static void enter(int socket, const char *root, char **argv)
{
    g_autofree char *directory = g_get_current_dir();
    struct message message = { 0 };
    const char *what = NULL;
    int tree, channel = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        give_up(socket, "unshare");
    if (channel < 0)
        give_up(socket, "open /dev/fuse");
    if (!view_mount(channel, 0, 0, false, &tree, &what))
        give_up(socket, what);
    send_channel(socket, &message, channel);
    close(channel);
    if (read(socket, &message, 1) != 1)
        _exit(125);
    if (move_mount(tree, "", AT_FDCWD, root, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        give_up(socket, "move_mount");
    close(tree);
    bind_place(socket, root, "/proc");
    bind_place(socket, root, "/dev");
    if (chroot(root) != 0 || chdir(directory) != 0)
        give_up(socket, "chroot");
    close(socket);
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* --- the process that serves -------------------------------------------------------------------
 */

static int serve(struct view *view, int socket, pid_t child)
{
    struct message message;
    g_autoptr(GError) error = NULL;
    int status = 0;
    int channel = receive_channel(socket, &message);
    if (channel < 0 || !view_serve(view, channel, &error)) {
        fprintf(stderr, "oracle-view: %s: %s\n", message.what,
                error != NULL ? error->message : g_strerror(message.number));
        waitpid(child, &status, 0);
        return 125;
    }
    if (write(socket, "", 1) != 1)
        perror("oracle-view");
    waitpid(child, &status, 0);
    view_wait(view);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *scratch, bool plain, char **argv)
{
    g_autofree char *root = g_build_filename(scratch, "root", NULL);
    g_autofree char *data = g_build_filename(scratch, "data", NULL);
    g_autofree char *workspace = g_get_current_dir();
    g_autoptr(recorder) recorder = recorder_new(workspace);
    int sockets[2];
    g_mkdir_with_parents(root, 0755);
    g_mkdir_with_parents(data, 0700);
    struct view_options options = { .root = open("/", O_PATH | O_CLOEXEC),
                                    .scratch = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                    .recorder = recorder,
                                    .processes = open("/proc", O_PATH | O_CLOEXEC),
                                    .plain = plain };
    if (options.scratch < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        perror("oracle-view");
        return 125;
    }
    pid_t child = fork();
    if (child == 0) {
        close(sockets[0]);
        enter(sockets[1], root, argv);
    }
    close(sockets[1]);
    g_autoptr(view) view = view_new(&options);
    return serve(view, sockets[0], child);
}

int main(int argc, char **argv)
{
    bool plain = argc > 1 && g_str_equal(argv[1], "--plain");
    if (argc < 2 + plain) {
        fprintf(stderr, "usage: oracle-view [--plain] COMMAND…\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *scratch = g_dir_make_tmp("oracle-view-XXXXXX", &error);
    int status = error != NULL ? 125 : run(scratch, plain, argv + 1 + plain);
    if (error == NULL)
        fd_remove_tree(AT_FDCWD, scratch, &error);
    if (error != NULL)
        fprintf(stderr, "oracle-view: %s\n", error->message);
    return status;
}
