// SPDX-License-Identifier: Apache-2.0
#include "entered.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
    char what[64]; /* empty: mounted, the channel comes with it */
    int number;
};

static bool send_with(int socket, struct iovec *part, int descriptor)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct msghdr header = { .msg_iov = part, .msg_iovlen = 1 };
    if (descriptor >= 0) {
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
    }
    return sendmsg(socket, &header, MSG_NOSIGNAL) == (ssize_t)part->iov_len;
}

static ssize_t receive(int socket, struct iovec *part, int *descriptor)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr header = {
        .msg_iov = part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    *descriptor = -1;
    ssize_t size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (size > 0 && CMSG_FIRSTHDR(&header) != NULL)
        memcpy(descriptor, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof *descriptor);
    return size;
}

static bool send_channel(int socket, struct message *message, int channel)
{
    struct iovec part = { message, sizeof *message };
    return send_with(socket, &part, channel);
}

static int receive_channel(int socket, struct message *message)
{
    struct iovec part = { message, sizeof *message };
    int channel;
    *message = (struct message){ .what = "start", .number = EPIPE };
    receive(socket, &part, &channel);
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

static void enter(int socket, const char *root)
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
}

static int finish(pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Words that end with NUL, and the descriptor of what they print to. */
static int run_words(char *words, size_t size, int output)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (char *at = words; at < words + size; at += strlen(at) + 1)
        g_ptr_array_add(argv, at);
    g_ptr_array_add(argv, NULL);
    pid_t pid = fork();
    if (pid != 0)
        return finish(pid);
    dup2(output, STDOUT_FILENO);
    execvp(argv->pdata[0], (char **)argv->pdata);
    perror(argv->pdata[0]);
    _exit(127);
}

static G_GNUC_NORETURN void work(int socket)
{
    char words[1 << 15];
    for (;;) {
        struct iovec part = { words, sizeof words - 1 };
        int output;
        ssize_t size = receive(socket, &part, &output);
        if (size <= 0)
            _exit(0);
        words[size] = '\0';
        int status = run_words(words, (size_t)size, output);
        close(output);
        if (write(socket, &status, sizeof status) != (ssize_t)sizeof status)
            _exit(125);
    }
}

/* --- the process that serves -------------------------------------------------------------------
 */

bool entered_start(struct entered *entered, struct view *view, const char *root)
{
    int sockets[2];
    struct message message;
    g_autoptr(GError) error = NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return false;
    entered->pid = fork();
    if (entered->pid == 0) {
        close(sockets[0]);
        enter(sockets[1], root);
        work(sockets[1]);
    }
    close(sockets[1]);
    entered->socket = sockets[0];
    int channel = receive_channel(sockets[0], &message);
    if (channel < 0 || !view_serve(view, channel, &error)) {
        fprintf(stderr, "oracle-view: %s: %s\n", message.what,
                error != NULL ? error->message : g_strerror(message.number));
        return false;
    }
    return write(sockets[0], "", 1) == 1;
}

int entered_run(const struct entered *entered, int output, char *const *argv)
{
    g_autoptr(GByteArray) words = g_byte_array_new();
    int status;
    for (; *argv != NULL; argv++)
        g_byte_array_append(words, (const guint8 *)*argv, (guint)strlen(*argv) + 1);
    struct iovec part = { words->data, words->len };
    if (!send_with(entered->socket, &part, output) ||
        read(entered->socket, &status, sizeof status) != (ssize_t)sizeof status)
        return 125;
    return status;
}

void entered_stop(struct entered *entered, struct view *view)
{
    shutdown(entered->socket, SHUT_RDWR);
    close(entered->socket);
    finish(entered->pid);
    view_wait(view);
}
