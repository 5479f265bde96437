// SPDX-License-Identifier: Apache-2.0
/*
 * The log of runs: one file that everybody appends to.
 *
 * An entry is one write() to a file opened with O_APPEND, so entries of several processes do not
 * mix. Appenders hold a shared lock on the file; whoever cuts it takes the lock alone, writes the
 * newer half to a new file and renames that over it. An appender that waited meanwhile finds that
 * the name leads to another file now, and begins again.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LOG_LIMIT = 8 << 20,
    READ_LIMIT = 64 << 20
};

static bool lock_log(int file, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
    int result;
    do
        result = fcntl(file, F_OFD_SETLKW, &lock);
    while (result < 0 && errno == EINTR);
    return result == 0;
}

/* Open the file that has the name `log` while we hold the lock. */
static int open_log(const struct store_disk *disk, short type, GError **error)
{
    for (;;) {
        autofd int file = openat(disk->directory, "log",
                                 O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat opened, named;
        if (file < 0 || !lock_log(file, type) || fstat(file, &opened) < 0) {
            fault_errno(error, errno, "cannot open %s/log", disk->path);
            return -1;
        }
        if (fstatat(disk->directory, "log", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            named.st_ino == opened.st_ino && named.st_dev == opened.st_dev)
            return fd_steal(&file);
    }
}

/* NULL if it cannot be read; whatever lies beyond READ_LIMIT is ignored. */
static GBytes *read_log(int file)
{
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0)
        return NULL;
    gsize size = (gsize)MIN(status.st_size, (off_t)READ_LIMIT);
    g_autofree guint8 *data = g_malloc(size + 1);
    if (lseek(file, status.st_size - (off_t)size, SEEK_SET) < 0)
        return NULL;
    gssize count = fd_read_full(file, data, size, "log", NULL);
    return count < 0 ? NULL : g_bytes_new_take(g_steal_pointer(&data), (gsize)count);
}

/* The newer half, from a whole entry on, under the name `log`. Losing this race is fine. */
static bool cut(const struct store_disk *disk, GError **error)
{
    autofd int file = open_log(disk, F_WRLCK, error);
    struct stat status;
    if (file < 0)
        return false;
    if (fstat(file, &status) < 0 || status.st_size <= LOG_LIMIT)
        return true;
    g_autoptr(GBytes) all = read_log(file);
    if (all == NULL)
        return true;
    gsize size;
    const guint8 *data = g_bytes_get_data(all, &size), *payload;
    size_t at = size - MIN(size, LOG_LIMIT / 2), payload_size;
    bool found = store_log_next(data, size, &at, &payload, &payload_size);
    size_t start = found ? (size_t)(payload - data) - STORE_LOG_HEADER : size;
    autofd int out = openat(disk->directory, "log.new",
                            O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return fault_errno(error, errno, "cannot make %s/log.new", disk->path);
    return fd_write_all(out, data + start, size - start, disk->path, error) &&
           (renameat(disk->directory, "log.new", disk->directory, "log") == 0 ||
            fault_errno(error, errno, "cannot replace %s/log", disk->path));
}

bool store_disk_log_append(struct store *store, GBytes *entry, GError **error)
{
    struct store_disk *disk = store_disk(store);
    gsize size;
    const void *data = g_bytes_get_data(entry, &size);
    if (store->read_only)
        return fault_set(error, FAULT_READ_ONLY, "the store %s may only be read", disk->path);
    if (size > LOG_LIMIT / 4)
        return fault_set(error, FAULT_UNSUPPORTED, "an entry of %zu bytes is too long for %s/log",
                         size, disk->path);
    g_autofree guint8 *framed = g_malloc(STORE_LOG_HEADER + size);
    store_log_header(data, size, framed);
    if (size > 0)
        memcpy(framed + STORE_LOG_HEADER, data, size);

    autofd int file = open_log(disk, F_RDLCK, error);
    if (file < 0)
        return false;
    ssize_t count;
    do
        count = write(file, framed, STORE_LOG_HEADER + size);
    while (count < 0 && errno == EINTR);
    if (count != (ssize_t)(STORE_LOG_HEADER + size)) /* a torn one is skipped by readers */
        return fault_errno(error, count < 0 ? errno : ENOSPC, "cannot write %s/log", disk->path);
    struct stat status;
    bool long_enough = fstat(file, &status) == 0 && status.st_size > LOG_LIMIT;
    fd_close(&file); /* and with it the lock */
    return !long_enough || cut(disk, error);
}

void store_disk_log_each(struct store *store, store_log_visit visit, void *user)
{
    autofd int file =
        openat(store_disk(store)->directory, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    g_autoptr(GBytes) all = read_log(file);
    if (all == NULL)
        return;
    gsize size;
    const guint8 *data = g_bytes_get_data(all, &size), *payload;
    size_t at = 0, payload_size;
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    while (store_log_next(data, size, &at, &payload, &payload_size))
        g_ptr_array_add(entries,
                        g_bytes_new_from_bytes(all, (gsize)(payload - data), payload_size));
    for (guint i = entries->len; i > 0; i--)
        if (!visit(entries->pdata[i - 1], user))
            return;
}
