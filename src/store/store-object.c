// SPDX-License-Identifier: Apache-2.0
/*
 * Large blobs as files, and the temporary files that they begin as.
 *
 * An object is written to tmp/<process>/<n>, synced, and renamed to objects/ab/<62 hex> inside the
 * write transaction that names it; the rename is synced after the commit. Whatever a crash leaves
 * behind is harmless: a temporary file without its process, a file that no entry names, an entry
 * whose file is not there, which is a miss.
 *
 * tmp/<process> is locked (flock on the directory) as long as its process lives, so that collection
 * can tell what is stale without trusting process numbers or clocks.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* Up to this many files are synced one by one, more by one syncfs(); see doc/format/store.md. */
enum {
    SYNC_ONE_BY_ONE = 16
};

/* Between two of these a sync looks whether it is cancelled. */
#define SYNC_PIECE ((gint64)32 << 20)

/* --- temporary files -------------------------------------------------------------------------- */

/*
 * The collector may lock and remove the directory between mkdir and flock. Then it has no links any
 * more when we get the lock, and we make another.
 */
static int make_temporary(struct store_disk *disk, char **name, GError **error)
{
    for (;;) {
        g_autofree char *path = g_strdup_printf("tmp/%08x%08x", g_random_int(), g_random_int());
        if (mkdirat(disk->directory, path, 0700) < 0) {
            if (errno == EEXIST)
                continue;
            fault_errno(error, errno, "cannot make %s/%s", disk->path, path);
            return -1;
        }
        autofd int directory =
            openat(disk->directory, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat status;
        if (directory < 0 && errno == ENOENT)
            continue;
        if (directory < 0 || flock(directory, LOCK_EX) < 0 || fstat(directory, &status) < 0) {
            fault_errno(error, errno, "cannot lock %s/%s", disk->path, path);
            return -1;
        }
        if (status.st_nlink > 0) {
            *name = g_steal_pointer(&path);
            return fd_steal(&directory);
        }
    }
}

int store_object_stage(struct store *store, char **name, GError **error)
{
    struct store_disk *disk = store_disk(store);
    pthread_mutex_lock(&disk->staging);
    if (disk->temporary < 0)
        disk->temporary = make_temporary(disk, &disk->temporary_name, error);
    bool ready = disk->temporary >= 0;
    if (ready)
        *name = g_strdup_printf("%s/%" G_GUINT64_FORMAT, disk->temporary_name, ++disk->staged);
    pthread_mutex_unlock(&disk->staging);
    if (!ready)
        return -1;
    int file = openat(disk->directory, *name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file >= 0 && fchmod(file, 0444) == 0) /* whatever the umask */
        return file;
    fault_errno(error, errno, "cannot make %s/%s", disk->path, *name);
    fd_close(&file);
    g_clear_pointer(name, g_free);
    return -1;
}

void store_object_unstage(struct store *store, const char *name)
{
    unlinkat(store_disk(store)->directory, name, 0);
}

static void remove_if_stale(int directory, const char *name)
{
    autofd int stale = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (stale >= 0 && flock(stale, LOCK_EX | LOCK_NB) == 0)
        fd_remove_tree(directory, name, NULL);
    else if (stale < 0 && errno != ENOENT)
        unlinkat(directory, name, 0); /* not a directory: nothing of ours */
}

/* Names in `path`; the caller closes. A directory that cannot be read has none. */
static DIR *list(int directory, const char *path)
{
    int file = openat(directory, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = file < 0 ? NULL : fdopendir(file);
    if (stream == NULL)
        fd_close(&file);
    return stream;
}

void store_object_sweep_temporary(const struct store_disk *disk)
{
    DIR *stream = list(disk->directory, "tmp");
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.')
            remove_if_stale(dirfd(stream), entry->d_name);
    if (stream != NULL)
        closedir(stream);
}

/* --- reading ---------------------------------------------------------------------------------- */

bool store_object_stat(const struct store_disk *disk, const struct digest *digest,
                       struct store_blob_entry *entry)
{
    char name[STORE_OBJECT_NAME];
    struct stat status;
    store_object_name(digest, name);
    if (fstatat(disk->directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode) || status.st_size != digest->size)
        return false;
    if (entry != NULL)
        *entry = (struct store_blob_entry){ .kind = STORE_BLOB_OBJECT,
                                            .inode = status.st_ino,
                                            .changed = fd_nanoseconds(status.st_ctim) };
    return true;
}

int store_object_open(const struct store_disk *disk, const struct digest *digest)
{
    char name[STORE_OBJECT_NAME];
    struct stat status;
    store_object_name(digest, name);
    autofd int file = openat(disk->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_size != digest->size)
        return -1;
    return fd_steal(&file);
}

GBytes *store_object_read(const struct store_disk *disk, const struct digest *digest)
{
    autofd int file = store_object_open(disk, digest);
    g_autofree guint8 *data = file < 0 ? NULL : g_try_malloc((gsize)digest->size + 1);
    if (data == NULL ||
        fd_read_full(file, data, (size_t)digest->size, "an object", NULL) != digest->size)
        return NULL;
    return g_bytes_new_take(g_steal_pointer(&data), (gsize)digest->size);
}

bool store_object_verify(const struct store_disk *disk, const struct digest *digest)
{
    enum {
        CHUNK = 256 << 10
    };
    autofd int file = store_object_open(disk, digest);
    g_autofree guint8 *buffer = file < 0 ? NULL : g_malloc(CHUNK);
    struct digest_context context;
    struct digest found;
    gssize count = file < 0 ? -1 : 0;
    digest_init(&context);
    while (count >= 0 && (count = fd_read_full(file, buffer, CHUNK, "an object", NULL)) > 0)
        digest_update(&context, buffer, (size_t)count);
    digest_finish(&context, &found);
    return count == 0 && digest_equal(&found, digest);
}

void store_object_remove(const struct store_disk *disk, const struct digest *digest)
{
    char name[STORE_OBJECT_NAME];
    store_object_name(digest, name);
    unlinkat(disk->directory, name, 0);
}

static bool visit_fan(const struct store_disk *disk, int objects, const char *fan,
                      store_object_visit visit, void *user)
{
    DIR *stream = list(objects, fan);
    struct dirent *entry;
    bool more = true;
    while (more && stream != NULL && (entry = readdir(stream)) != NULL) {
        struct stat status;
        if (entry->d_name[0] == '.' ||
            fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        g_autofree char *name = g_strconcat(fan, "/", entry->d_name, NULL);
        more = visit(name, &status, user);
    }
    if (stream != NULL)
        closedir(stream);
    return more;
}

void store_object_each(const struct store_disk *disk, store_object_visit visit, void *user)
{
    DIR *stream = list(disk->directory, "objects");
    struct dirent *entry;
    bool more = true;
    while (more && stream != NULL && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.')
            more = visit_fan(disk, dirfd(stream), entry->d_name, visit, user);
    if (stream != NULL)
        closedir(stream);
}

/* --- publishing ------------------------------------------------------------------------------- */

static bool sync_path(const struct store_disk *disk, const char *name, int flags, GError **error)
{
    autofd int file = openat(disk->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
    if (file < 0 || ((flags & O_DIRECTORY) != 0 ? fsync(file) : fdatasync(file)) < 0)
        return fault_errno(error, errno, "cannot sync %s/%s", disk->path, name);
    return true;
}

static bool sync_all(const struct store_disk *disk, GError **error)
{
    return syncfs(disk->directory) == 0 ||
           fault_errno(error, errno, "cannot sync the file system of %s", disk->path);
}

/*
 * Nothing ends an fsync() that waits for gigabytes. So large files are written out before it, piece
 * by piece; what that says of errors, fsync() says again.
 */
static bool write_out(const struct store_disk *disk, const struct store_staged *staged,
                      const volatile int *cancel, GError **error)
{
    if (staged->digest.size <= SYNC_PIECE)
        return true;
    autofd int file = openat(disk->directory, staged->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    for (gint64 at = 0; file >= 0 && at < staged->digest.size; at += SYNC_PIECE) {
        if (*cancel != 0)
            return fault_set(error, FAULT_CANCELLED, "interrupted while writing %s/%s", disk->path,
                             staged->name);
        sync_file_range(file, at, SYNC_PIECE,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER);
    }
    return true;
}

bool store_object_sync(const struct store_disk *disk, const struct store_changes *changes,
                       GError **error)
{
    const GPtrArray *staged = changes->staged;
    for (guint i = 0; changes->cancel != NULL && i < staged->len; i++)
        if (!write_out(disk, staged->pdata[i], changes->cancel, error))
            return false;
    if (staged->len > SYNC_ONE_BY_ONE)
        return sync_all(disk, error);
    for (guint i = 0; i < staged->len; i++) {
        const struct store_staged *one = staged->pdata[i];
        if (!sync_path(disk, one->name, 0, error))
            return false;
    }
    return true;
}

bool store_object_sync_names(const struct store_disk *disk, GPtrArray *staged, GError **error)
{
    guint8 done[256 / 8] = { 0 };
    guint published = 0;
    for (guint i = 0; i < staged->len; i++)
        published += ((const struct store_staged *)staged->pdata[i])->published;
    if (published > SYNC_ONE_BY_ONE)
        return sync_all(disk, error);
    for (guint i = 0; i < staged->len; i++) {
        const struct store_staged *one = staged->pdata[i];
        guint8 fan = one->digest.hash[0];
        if (!one->published || (done[fan / 8] & 1u << fan % 8) != 0)
            continue;
        done[fan / 8] |= (guint8)(1u << fan % 8);
        char name[STORE_OBJECT_NAME];
        store_object_name(&one->digest, name);
        *strrchr(name, '/') = '\0';
        if (!sync_path(disk, name, O_DIRECTORY, error))
            return false;
    }
    return published == 0 || sync_path(disk, "objects", O_DIRECTORY, error);
}

bool store_object_publish(const struct store_disk *disk, struct store_staged *staged,
                          GError **error)
{
    char name[STORE_OBJECT_NAME];
    store_object_name(&staged->digest, name);
    int result = renameat(disk->directory, staged->name, disk->directory, name);
    if (result < 0 && errno == ENOENT) {
        char *slash = strrchr(name, '/');
        *slash = '\0';
        if (mkdirat(disk->directory, name, 0700) < 0 && errno != EEXIST)
            return fault_errno(error, errno, "cannot make %s/%s", disk->path, name);
        *slash = '/';
        result = renameat(disk->directory, staged->name, disk->directory, name);
    }
    if (result < 0)
        return fault_errno(error, errno, "cannot rename %s/%s to %s", disk->path, staged->name,
                           name);
    staged->published = true;
    return true;
}
