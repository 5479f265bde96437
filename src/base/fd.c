// SPDX-License-Identifier: Apache-2.0
/* Whole reads, writes, copies and removals on file descriptors. */
#include "base/fd.h"

#include "base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_close(int *descriptor)
{
    if (*descriptor >= 0) {
        int saved = errno;
        close(*descriptor);
        errno = saved;
        *descriptor = -1;
    }
}

void fd_cleanup(int *descriptor)
{
    fd_close(descriptor);
}

int fd_steal(int *descriptor)
{
    int value = *descriptor;
    *descriptor = -1;
    return value;
}

bool fd_write_all(int descriptor, const void *data, size_t size, const char *what, GError **error)
{
    const char *at = data;
    while (size > 0) {
        ssize_t count = write(descriptor, at, MIN(size, (size_t)1 << 30));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fault_errno(error, errno, "cannot write %s", what);
        at += count;
        size -= (size_t)count;
    }
    return true;
}

gssize fd_read_full(int descriptor, void *data, size_t size, const char *what, GError **error)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = read(descriptor, (char *)data + done, MIN(size - done, (size_t)1 << 30));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            fault_errno(error, errno, "cannot read %s", what);
            return -1;
        }
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (gssize)done;
}

GBytes *fd_read_all(int descriptor, size_t limit, const char *what, GError **error)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    struct stat status;
    size_t step = 65536;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
        step = MIN((size_t)status.st_size, limit) + 1; /* one more byte sees the end at once */
    for (;;) {
        guint before = all->len;
        if (before > limit || step > G_MAXUINT - before) {
            fault_set(error, FAULT_UNSUPPORTED, "%s is larger than %zu bytes", what, limit);
            return NULL;
        }
        g_byte_array_set_size(all, before + (guint)step);
        gssize count = fd_read_full(descriptor, all->data + before, step, what, error);
        if (count < 0)
            return NULL;
        g_byte_array_set_size(all, before + (guint)count);
        if ((size_t)count < step && all->len <= limit)
            return g_byte_array_free_to_bytes(g_steal_pointer(&all));
        step = MAX((size_t)65536, step);
    }
}

static bool copy_in_memory(int from, int to, off_t at, off_t size, const char *what, GError **error)
{
    g_autofree char *buffer = g_malloc(1 << 17);
    while (at < size) {
        ssize_t count = pread(from, buffer, (size_t)MIN(size - at, 1 << 17), at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fault_errno(error, errno, "cannot read %s", what);
        if (count == 0)
            return fault_set(error, FAULT_CHANGED, "%s became shorter while it was read", what);
        if (lseek(to, at, SEEK_SET) < 0)
            return fault_errno(error, errno, "cannot write a copy of %s", what);
        if (!fd_write_all(to, buffer, (size_t)count, what, error))
            return false;
        at += count;
    }
    return true;
}

bool fd_copy(int from, int to, off_t size, const char *what, GError **error)
{
    if (ioctl(to, FICLONE, from) == 0)
        return true;
    loff_t in = 0, out = 0;
    while (in < size) {
        ssize_t count = copy_file_range(from, &in, to, &out, (size_t)(size - in), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == ENOSPC || errno == EDQUOT))
            return fault_errno(error, errno, "cannot write a copy of %s", what);
        if (count <= 0) /* refused for these file systems, or a file the kernel reports as empty */
            return copy_in_memory(from, to, in, size, what, error);
    }
    return true;
}

bool fd_make_parents(int directory, const char *path, GError **error)
{
    g_autofree char *copy = g_strdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(directory, copy, 0777) < 0 && errno != EEXIST)
            return fault_errno(error, errno, "cannot make the directory %s", copy);
        *slash = '/';
    }
    return true;
}

bool fd_make_directories(const char *path, mode_t mode, GError **error)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return true;
    if (errno != ENOENT)
        return fault_errno(error, errno, "cannot make the directory %s", path);
    if (!fd_make_parents(AT_FDCWD, path, error))
        return false;
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return fault_errno(error, errno, "cannot make the directory %s", path);
    return true;
}

/*
 * Empty and close the directory behind `descriptor`. Depth costs descriptors, so a very deep tree
 * is taken apart level by level by the caller's retry (remove_directory).
 */
static bool empty_directory(int descriptor, dev_t device, GError **error);

static bool remove_directory(int directory, const char *name, dev_t device, GError **error)
{
    int child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0 && errno == EACCES && fchmodat(directory, name, 0700, 0) == 0)
        child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) {
        if (errno == ENOENT)
            return true;
        return fault_errno(error, errno, "cannot open %s for removal", name);
    }
    if (!empty_directory(child, device, error))
        return false;
    if (unlinkat(directory, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fault_errno(error, errno, "cannot remove the directory %s", name);
    return true;
}

static bool remove_entry(int directory, const char *name, dev_t device, GError **error)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno == EISDIR || errno == EPERM)
        return remove_directory(directory, name, device, error);
    return fault_errno(error, errno, "cannot remove %s", name);
}

static bool empty_directory(int descriptor, dev_t device, GError **error)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0 || status.st_dev != device) {
        close(descriptor);
        return fault_set(error, FAULT_IO, "a mount appeared below a directory being removed");
    }
    if ((status.st_mode & 0700) != 0700)
        fchmod(descriptor, 0700);
    DIR *stream = fdopendir(descriptor);
    if (stream == NULL) {
        close(descriptor);
        return fault_errno(error, errno, "cannot list a directory being removed");
    }
    bool ok = true;
    struct dirent *entry;
    while (ok && (entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = entry->d_type == DT_DIR
                     ? remove_directory(dirfd(stream), entry->d_name, device, error)
                     : remove_entry(dirfd(stream), entry->d_name, device, error);
    closedir(stream);
    return ok;
}

bool fd_remove_tree(int directory, const char *name, GError **error)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || fault_errno(error, errno, "cannot remove %s", name);
    if (S_ISDIR(status.st_mode))
        return remove_directory(directory, name, status.st_dev, error);
    return remove_entry(directory, name, status.st_dev, error);
}

int fd_open_beneath(int directory, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (guint64)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long result;
    do
        result = syscall(SYS_openat2, directory, path, &how, sizeof how);
    while (result < 0 && (errno == EINTR || errno == EAGAIN));
    return (int)result;
}

int fd_from_bytes(const void *data, size_t size, GError **error)
{
    autofd int made = memfd_create("vial", MFD_CLOEXEC);
    if (made < 0) {
        fault_errno(error, errno, "cannot make an anonymous file");
        return -1;
    }
    if (!fd_write_all(made, data, size, "an anonymous file", error))
        return -1;
    lseek(made, 0, SEEK_SET);
    return fd_steal(&made);
}
