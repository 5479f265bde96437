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
#include <stdio.h>
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

/* Between two of these a copy looks whether it is cancelled. */
#define COPY_STEP ((off_t)32 << 20)

struct copy {
    int from, to;
    const char *what;
    const volatile int *cancel;
};

static bool is_cancelled(const struct copy *copy, GError **error)
{
    if (copy->cancel == NULL || *copy->cancel == 0)
        return false;
    return !fault_set(error, FAULT_CANCELLED, "interrupted while copying %s", copy->what);
}

static bool copy_in_memory(const struct copy *copy, off_t at, off_t size, GError **error)
{
    int from = copy->from, to = copy->to;
    const char *what = copy->what;
    g_autofree char *buffer = g_malloc(1 << 17);
    while (at < size) {
        if (is_cancelled(copy, error))
            return false;
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

void fd_find_data(int file, off_t at, off_t size, off_t *start, off_t *end)
{
    *start = lseek(file, at, SEEK_DATA);
    if (*start < 0) {
        bool hole = errno == ENXIO && lseek(file, 0, SEEK_END) >= size;
        *start = hole ? size : at;
        *end = size;
        return;
    }
    *start = MIN(*start, size);
    *end = *start < size ? lseek(file, *start, SEEK_HOLE) : size;
    if (*end < 0 || *end > size)
        *end = size;
}

static bool copy_stretch(const struct copy *copy, off_t start, off_t end, GError **error)
{
    loff_t in = start, out = start;
    while (in < end) {
        if (is_cancelled(copy, error))
            return false;
        ssize_t count =
            copy_file_range(copy->from, &in, copy->to, &out, (size_t)MIN(end - in, COPY_STEP), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == ENOSPC || errno == EDQUOT))
            return fault_errno(error, errno, "cannot write a copy of %s", copy->what);
        if (count <= 0) /* refused for these file systems, or a file the kernel reports as empty */
            return copy_in_memory(copy, in, end, error);
    }
    return true;
}

static bool copy_stretches(const struct copy *copy, off_t size, GError **error)
{
    off_t start, end, offset = lseek(copy->from, 0, SEEK_CUR);
    bool ok = true;
    for (off_t at = 0; ok && at < size; at = end) {
        fd_find_data(copy->from, at, size, &start, &end);
        ok = copy_stretch(copy, start, end, error);
        if (ok && start == size && ftruncate(copy->to, size) < 0)
            ok = fault_errno(error, errno, "cannot write a copy of %s", copy->what);
    }
    if (offset >= 0)
        lseek(copy->from, offset, SEEK_SET);
    return ok;
}

bool fd_copy(int from, int to, off_t size, const char *what, const volatile int *cancel,
             GError **error)
{
    const struct copy copy = { from, to, what, cancel };
    struct stat status;
    if (ioctl(to, FICLONE, from) == 0) { /* all of it, however long it is by now */
        if (fstat(to, &status) < 0 || (status.st_size > size && ftruncate(to, size) < 0))
            return fault_errno(error, errno, "cannot write a copy of %s", what);
        return status.st_size >= size ||
               fault_set(error, FAULT_CHANGED, "%s became shorter while it was read", what);
    }
    return copy_stretches(&copy, size, error);
}

/* --- files that appear complete --------------------------------------------------------------- */

static char *temporary_name(void)
{
    return g_strdup_printf(".vial-%08x%08x~", g_random_int(), g_random_int());
}

int fd_create_unnamed(int directory, mode_t mode, char **name)
{
    *name = NULL;
    int made = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    while (made < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ||
                        (*name != NULL && errno == EEXIST))) {
        g_free(*name);
        *name = temporary_name();
        made = openat(directory, *name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
    }
    if (made < 0)
        g_clear_pointer(name, g_free);
    return made;
}

void fd_discard(int directory, char **temporary)
{
    int saved = errno;
    if (*temporary != NULL)
        unlinkat(directory, *temporary, 0);
    g_clear_pointer(temporary, g_free);
    errno = saved;
}

bool fd_link(int file, int directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) == 0;
}

/* A link cannot replace a name; a rename can, and there is a temporary name just that long. */
bool fd_publish(int directory, int file, char **temporary, const char *name)
{
    if (*temporary == NULL && fd_link(file, directory, name))
        return true;
    while (*temporary == NULL) {
        *temporary = temporary_name();
        if (fd_link(file, directory, *temporary))
            break;
        g_clear_pointer(temporary, g_free);
        if (errno != EEXIST)
            return false;
    }
    bool ok = renameat(directory, *temporary, directory, name) == 0;
    if (ok)
        g_clear_pointer(temporary, g_free);
    else
        fd_discard(directory, temporary);
    return ok;
}

bool fd_make_parents(int directory, const char *path, GError **error)
{
    g_autofree char *copy = g_strdup(path);
    char *slash = copy + strspn(copy, "/");
    while ((slash = strchr(slash, '/')) != NULL) {
        size_t slashes = strspn(slash, "/");
        if (slash[slashes] == '\0') /* what a trailing slash follows is no parent */
            break;
        *slash = '\0';
        if (mkdirat(directory, copy, 0777) < 0 && errno != EEXIST)
            return fault_errno(error, errno, "cannot make the directory %s", copy);
        *slash = '/';
        slash += slashes;
    }
    return true;
}

/* mkdir, for which a directory that is there already is as good. */
static int make_directory(const char *path, mode_t mode)
{
    struct stat status;
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &status) == 0)
        return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
    return errno;
}

bool fd_make_directories(const char *path, mode_t mode, GError **error)
{
    int number = make_directory(path, mode);
    if (number == ENOENT) {
        if (!fd_make_parents(AT_FDCWD, path, error))
            return false;
        number = make_directory(path, mode);
    }
    return number == 0 || fault_errno(error, number, "cannot make the directory %s", path);
}

/*
 * Removal goes down and up again with one open directory, so that no depth exhausts descriptors or
 * the stack: on the way up, ".." must be the directory that was left.
 */
struct level {
    dev_t device;
    ino_t inode;
    GPtrArray *names; /* directories in it still to be removed; the last one is being emptied */
};

struct removal {
    const char *root; /* as the caller calls it */
    GArray *levels;   /* of struct level */
    int current;      /* the directory of the last level */
};

static void level_clear(void *level)
{
    g_ptr_array_unref(((struct level *)level)->names);
}

static void removal_clear(struct removal *removal)
{
    g_array_unref(removal->levels);
    fd_close(&removal->current);
}

static struct level *top_level(const struct removal *removal)
{
    return &g_array_index(removal->levels, struct level, removal->levels->len - 1);
}

/* False, and an error that names the directory being emptied, and `name` in it unless NULL. */
static bool removal_failed(const struct removal *removal, int number, const char *name,
                           GError **error)
{
    g_autoptr(GString) path = g_string_new(removal->root);
    for (guint i = 0; i + 1 < removal->levels->len; i++) {
        GPtrArray *names = g_array_index(removal->levels, struct level, i).names;
        g_string_append_printf(path, "/%s", (char *)names->pdata[names->len - 1]);
    }
    if (name != NULL)
        g_string_append_printf(path, "/%s", name);
    return fault_errno(error, number, "cannot remove %s", path->str);
}

/* Remove `name` from the current directory, or note that it is a directory. */
static bool remove_entry(struct removal *removal, const char *name, unsigned char type,
                         GError **error)
{
    struct stat status;
    bool directory = type == DT_DIR;
    if (!directory && unlinkat(removal->current, name, 0) < 0) {
        int number = errno;
        if (number == ENOENT)
            return true;
        /* Where the type was unknown: EISDIR, or EPERM as POSIX has it. */
        directory = fstatat(removal->current, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISDIR(status.st_mode);
        if (!directory)
            return removal_failed(removal, number, name, error);
    }
    if (directory)
        g_ptr_array_add(top_level(removal)->names, g_strdup(name));
    return true;
}

static bool remove_entries(struct removal *removal, GError **error)
{
    autofd int listed = openat(removal->current, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = listed < 0 ? NULL : fdopendir(listed);
    if (stream == NULL)
        return removal_failed(removal, errno, NULL, error);
    fd_steal(&listed);
    bool ok = true;
    struct dirent *entry;
    while (ok && (errno = 0, entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = remove_entry(removal, entry->d_name, entry->d_type, error);
    if (ok && errno != 0)
        ok = removal_failed(removal, errno, NULL, error);
    closedir(stream);
    return ok;
}

/* Open `name` in `directory` and remove all in it but directories. */
static bool descend(struct removal *removal, int directory, const char *name, GError **error)
{
    static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    autofd int child = openat(directory, name, flags);
    if (child < 0 && errno == EACCES && fchmodat(directory, name, 0700, 0) == 0)
        child = openat(directory, name, flags);
    GPtrArray *names = removal->levels->len > 0 ? top_level(removal)->names : NULL;
    if (child < 0 && errno == ENOENT) { /* somebody else removed it */
        if (names != NULL)
            g_ptr_array_set_size(names, (int)names->len - 1);
        return true;
    }
    struct stat status;
    if (child < 0 || fstat(child, &status) < 0)
        return removal_failed(removal, errno, names != NULL ? name : NULL, error);
    if (names != NULL && status.st_dev != top_level(removal)->device)
        return removal_failed(removal, EXDEV, name, error);
    if ((status.st_mode & 0700) != 0700 && fchmod(child, 0700) < 0)
        return removal_failed(removal, errno, names != NULL ? name : NULL, error);
    struct level level = { status.st_dev, status.st_ino, g_ptr_array_new_with_free_func(g_free) };
    g_array_append_val(removal->levels, level);
    fd_close(&removal->current);
    removal->current = fd_steal(&child);
    return remove_entries(removal, error);
}

/* The current directory is empty: go back to the one that holds it and remove it there. */
static bool ascend(struct removal *removal, GError **error)
{
    autofd int parent = openat(removal->current, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    if (parent < 0 || fstat(parent, &status) < 0)
        return removal_failed(removal, errno, NULL, error);
    g_array_set_size(removal->levels, removal->levels->len - 1);
    struct level *level = top_level(removal);
    const char *name = level->names->pdata[level->names->len - 1];
    if (status.st_dev != level->device || status.st_ino != level->inode)
        return removal_failed(removal, EBUSY, name, error); /* moved elsewhere meanwhile */
    fd_close(&removal->current);
    removal->current = fd_steal(&parent);
    if (unlinkat(removal->current, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return removal_failed(removal, errno, name, error);
    g_ptr_array_set_size(level->names, (int)level->names->len - 1);
    return true;
}

static bool empty_directory(int directory, const char *name, GError **error)
{
    __attribute__((cleanup(removal_clear))) struct removal removal = {
        .root = name,
        .levels = g_array_new(FALSE, FALSE, sizeof(struct level)),
        .current = -1,
    };
    g_array_set_clear_func(removal.levels, level_clear);
    bool ok = descend(&removal, directory, name, error);
    while (ok && removal.levels->len > 0) {
        GPtrArray *names = top_level(&removal)->names;
        if (names->len > 0)
            ok = descend(&removal, removal.current, names->pdata[names->len - 1], error);
        else if (removal.levels->len > 1)
            ok = ascend(&removal, error);
        else
            break;
    }
    return ok;
}

bool fd_remove_tree(int directory, const char *name, GError **error)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || fault_errno(error, errno, "cannot remove %s", name);
    bool is_directory = S_ISDIR(status.st_mode);
    if (is_directory && !empty_directory(directory, name, error))
        return false;
    if (unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        return fault_errno(error, errno, "cannot remove %s", name);
    return true;
}

/*
 * The same by hand, for valgrind and for sandboxes that do not know openat2, and for paths that are
 * longer than a system call takes.
 */
static int open_by_components(int directory, const char *path, int flags, mode_t mode)
{
    autofd int above = -1;
    for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        g_autofree char *name = g_strndup(path, (size_t)(slash - path));
        if (*name == '\0' || strcmp(name, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        int next = openat(above < 0 ? directory : above, name,
                          O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -1;
        fd_close(&above);
        above = next;
    }
    if (strcmp(path, "..") == 0) {
        errno = EXDEV;
        return -1;
    }
    return openat(above < 0 ? directory : above, path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
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
    if (result < 0 && (errno == ENOSYS || (errno == ENAMETOOLONG && strlen(path) >= PATH_MAX)))
        return open_by_components(directory, path, flags, mode);
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
