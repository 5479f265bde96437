// SPDX-License-Identifier: Apache-2.0
/* Operations on names: they make, move and remove them. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What almost every program does: a new file with its content, or the old one anew. */
static void run_create(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    size_t size = (size_t)CLAMP(a[1].number, 0, 1 << 20);
    g_autofree char *data = g_malloc(size + 1);
    pattern_fill(data, size, a[2].number);
    int file = openat(place.directory, place.path,
                      O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, (mode_t)a[3].number);
    if (!answer_status(answer, file))
        return;
    answer_add(answer, " ");
    answer_number(answer, write(file, data, size));
    close(file);
}

static void run_cat(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    int file = openat(place.directory, place.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (!answer_status(answer, file))
        return;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        answer_add(answer, " %s", kind_of_mode(status.st_mode));
    } else {
        gint64 size;
        guint64 digest = digest_file(file, &size);
        answer_add(answer, " %" G_GINT64_FORMAT " %08x", size, (unsigned)digest);
    }
    close(file);
}

static void run_mkdir(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, mkdirat(place.directory, place.path, (mode_t)a[1].number));
}

static const struct flag unlink_flags[] = {
    { "0", 0 },
    { "AT_REMOVEDIR", AT_REMOVEDIR },
    { NULL, 0 },
};

static void run_unlink(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, unlinkat(place.directory, place.path, (int)a[1].number));
}

/* The target may begin with '@': absolute, into the workspace. */
static void run_symlink(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[1].text);
    bool absolute = a[0].text[0] == '@';
    g_autofree char *target = g_strconcat(absolute ? actor->root : "", a[0].text + absolute, NULL);
    answer_status(answer, symlinkat(target, place.directory, place.path));
}

static void run_readlink(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    char target[PATH_MAX + 1] = { 0 };
    ssize_t length = readlinkat(place.directory, place.path, target, PATH_MAX);
    if (answer_number(answer, length))
        answer_path(answer, actor, target);
}

static const struct flag link_flags[] = {
    { "0", 0 },
    { "AT_SYMLINK_FOLLOW", AT_SYMLINK_FOLLOW },
    { NULL, 0 },
};

static void run_link(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) from = actor_place(actor, a[0].text);
    g_auto(place) to = actor_place(actor, a[1].text);
    answer_status(answer,
                  linkat(from.directory, from.path, to.directory, to.path, (int)a[2].number));
}

/* Give an open file, which may have none, a name. */
static void run_linkfd(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) to = actor_place(actor, a[1].text);
    int file = actor_slot(actor, a[0].number);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file);
    answer_status(answer, linkat(AT_FDCWD, path, to.directory, to.path, AT_SYMLINK_FOLLOW));
}

static const struct flag rename_flags[] = {
    { "0", 0 },
    { "NOREPLACE", RENAME_NOREPLACE },
    { "EXCHANGE", RENAME_EXCHANGE },
    { NULL, 0 },
};

static void run_rename(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) from = actor_place(actor, a[0].text);
    g_auto(place) to = actor_place(actor, a[1].text);
    answer_status(
        answer, renameat2(from.directory, from.path, to.directory, to.path, (unsigned)a[2].number));
}

static const struct flag kind_flags[] = {
    { "FILE", S_IFREG }, { "FIFO", S_IFIFO }, { "SOCKET", S_IFSOCK },
    { "DIR", S_IFDIR },  /* EPERM: mkdir makes these */
    { "LINK", S_IFLNK }, /* EINVAL */
    { NULL, 0 },
};

static void run_mknod(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    mode_t mode = (mode_t)a[1].number | (mode_t)a[2].number;
    answer_status(answer, mknodat(place.directory, place.path, mode, 0));
}

/* --- sockets -----------------------------------------------------------------------------------
 */

/* sun_path holds 107 bytes; a descriptor of the directory makes any path shorter than that. */
static bool socket_address(const struct place *place, int *parent, struct sockaddr_un *address)
{
    g_autofree char *directory = g_path_get_dirname(place->plain);
    g_autofree char *name = g_path_get_basename(place->plain);
    *parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (*parent < 0)
        return false;
    int length =
        snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *parent, name);
    if (length < (int)sizeof address->sun_path)
        return true;
    close(*parent);
    errno = ENAMETOOLONG;
    return false;
}

static int make_socket(const struct place *place, bool listens)
{
    struct sockaddr_un address;
    int parent;
    if (!socket_address(place, &parent, &address))
        return -1;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = listens ? bind(server, (struct sockaddr *)&address, sizeof address)
                         : connect(server, (struct sockaddr *)&address, sizeof address);
    int number = errno;
    close(parent);
    if (result == 0 && (!listens || listen(server, 20) == 0))
        return server;
    close(server);
    errno = number;
    return -1;
}

static void run_bind(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[1].text);
    int server = make_socket(&place, true);
    answer_status(answer, server);
    actor_put(actor, a[0].number, server);
}

static void run_connect(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    int client = make_socket(&place, false);
    if (answer_status(answer, client))
        close(client);
}

const struct kind name_kinds[] = {
    { "create", "pnno", NULL, run_create },
    { "cat", "p", NULL, run_cat },
    { "mkdir", "po", NULL, run_mkdir },
    { "unlink", "pf", unlink_flags, run_unlink },
    { "symlink", "tp", NULL, run_symlink },
    { "readlink", "p", NULL, run_readlink },
    { "link", "ppf", link_flags, run_link },
    { "linkfd", "sp", NULL, run_linkfd },
    { "rename", "ppf", rename_flags, run_rename },
    { "mknod", "pfo", kind_flags, run_mknod },
    { "bind", "sp", NULL, run_bind },
    { "connect", "p", NULL, run_connect },
    { NULL, NULL, NULL, NULL },
};
