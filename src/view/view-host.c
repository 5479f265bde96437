// SPDX-License-Identifier: Apache-2.0
/* A directory of the host as what lies below. It is live: others may change it at any time. */
#include "base/fd.h"
#include "view/view-below.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct host {
    struct below below;
    int root;
    struct trace_state *times;
};

void below_free(struct below *below)
{
    if (below != NULL)
        below->operations->free(below);
}

static const struct host *host(const struct below *below)
{
    return (const struct host *)below;
}

/*
 * The directory to look in and the name to look for; a path that is too long for the kernel is
 * walked. Returns a descriptor, `base` itself if need be, or -1. *opened is the caller's to close.
 */
static int approach(int base, const char *path, const char **name, int *opened)
{
    *opened = -1;
    *name = path;
    while (strlen(*name) >= PATH_MAX - NAME_MAX - 2) {
        const char *end = *name + PATH_MAX - NAME_MAX - 3;
        while (end > *name && *end != '/')
            end--;
        g_autofree char *part = g_strndup(*name, (gsize)(end - *name));
        int next = openat(*opened >= 0 ? *opened : base, part,
                          O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fd_close(opened);
        if (next < 0 || end == *name)
            return -1;
        *opened = next;
        *name = end + 1;
    }
    return *opened >= 0 ? *opened : base;
}

static int host_look(struct below *below, const char *path, struct below_file *out)
{
    const char *name;
    autofd int opened = -1;
    int directory = approach(host(below)->root, path, &name, &opened);
    *out = (struct below_file){ 0 };
    if (directory < 0 ||
        fstatat(directory, name, &out->status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return -errno;
    trace_stamp_of(&out->status, &out->stamp);
    return 0;
}

static int open_below(const struct below *below, const char *path, int flags)
{
    const char *name;
    autofd int opened = -1;
    int directory = approach(host(below)->root, *path == '\0' ? "." : path, &name, &opened);
    int file = directory < 0 ? -1 : fd_open_beneath(directory, name, flags | O_CLOEXEC, 0);
    return file < 0 ? -errno : file;
}

/* What has become something else meanwhile is not read: a FIFO would hold up everybody. */
static int host_open(struct below *below, const char *path)
{
    struct stat status;
    autofd int file = open_below(below, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return file;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode) ? fd_steal(&file) : -EIO;
}

static guint32 kind_of(int directory, const struct dirent *found)
{
    struct stat status;
    if (found->d_type != DT_UNKNOWN)
        return DTTOIF(found->d_type);
    return fstatat(directory, found->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_mode & S_IFMT
               : 0;
}

static int host_list(struct below *below, const char *path, below_visit visit, void *user)
{
    int file = open_below(below, path, O_RDONLY | O_DIRECTORY);
    if (file < 0)
        return file;
    DIR *stream = fdopendir(file);
    if (stream == NULL) {
        close(file);
        return -ENOMEM;
    }
    const struct dirent *found;
    while ((found = readdir(stream)) != NULL)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            visit(found->d_name, kind_of(dirfd(stream), found), 0, user);
    closedir(stream);
    return 0;
}

static int host_read_link(struct below *below, const char *path, char **target)
{
    const char *name;
    char text[PATH_MAX];
    autofd int opened = -1;
    int directory = approach(host(below)->root, path, &name, &opened);
    ssize_t length = directory < 0 ? -1 : readlinkat(directory, name, text, sizeof text);
    if (length < 0)
        return -errno;
    *target = g_strndup(text, (gsize)length);
    return 0;
}

static int host_permit(struct below *below, const char *path, int mask)
{
    const char *name;
    autofd int opened = -1;
    int directory = approach(host(below)->root, *path == '\0' ? "." : path, &name, &opened);
    int flags = AT_EACCESS | AT_SYMLINK_NOFOLLOW;
    if (directory >= 0 && faccessat(directory, name, mask, flags) == 0)
        return 0;
    if (errno == ENOENT || errno == ENOTDIR) /* it has gone: whoever uses it will see */
        return 0;
    return errno == EROFS ? -EROFS : -EACCES;
}

static GHashTable *host_read_attributes(struct below *below, const char *path)
{
    autofd int file = open_below(below, path, O_PATH | O_NOFOLLOW);
    return file < 0 ? NULL : trace_xattrs_read(file);
}

static gint64 host_clock(struct below *below, const char *path)
{
    struct trace_state *times = host(below)->times;
    if (times == NULL)
        return 0;
    g_autofree char *absolute = g_strconcat("/", path, NULL);
    const struct trace_question question = { absolute, TRACE_KIND | TRACE_CONTENT | TRACE_TIME };
    struct trace_value answer = { 0 };
    bool known = times->operations->look_up(times, &question, 1, &answer, NULL);
    return known && answer.kind == TRACE_FILE ? answer.time : 0;
}

static void host_free(struct below *below)
{
    g_free(below);
}

struct below *below_host_new(int root, struct trace_state *times)
{
    static const struct below_operations operations = {
        .look = host_look,
        .open = host_open,
        .list = host_list,
        .read_link = host_read_link,
        .permit = host_permit,
        .read_attributes = host_read_attributes,
        .clock = host_clock,
        .free = host_free,
    };
    struct host *made = g_new0(struct host, 1);
    made->below.operations = &operations;
    made->root = root;
    made->times = times;
    return &made->below;
}
