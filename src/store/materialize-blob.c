// SPDX-License-Identifier: Apache-2.0
/* Writes one blob as a file, hashing what it writes, and links objects that were hashed before. */
#include "store/materialize-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "store/materialize.h"
#include "store/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Up to this size a blob is read and verified in memory, and its file opened after that. */
#define WHOLE_SIZE BLOB_BUFFER_SIZE

/* Below this a copy costs less than a link and the look at the object. */
#define LINK_SIZE (64 * 1024)

#define PROC_SIZE 40

static char *proc_path(int descriptor, char path[PROC_SIZE])
{
    g_snprintf(path, PROC_SIZE, "/proc/self/fd/%d", descriptor);
    return path;
}

/* --- objects that were hashed before ------------------------------------------------------------
 */

struct verified { /* an object file that was hashed by this process */
    struct digest digest;
    guint64 device, inode;
    struct statx_timestamp made; /* the number of a removed object may come again */
};

static pthread_mutex_t verified_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *verified; /* struct digest * (in the value) -> struct verified * */

/* False where the file system does not say when a file was made: then it is hashed each time. */
static bool describe_object(const struct digest *digest, int object, struct verified *out)
{
    struct statx status;
    if (statx(object, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) < 0 ||
        (status.stx_mask & STATX_BTIME) == 0)
        return false;
    *out = (struct verified){
        .digest = *digest,
        .device = makedev(status.stx_dev_major, status.stx_dev_minor),
        .inode = status.stx_ino,
        .made = status.stx_btime,
    };
    return true;
}

static bool is_verified(const struct digest *digest, int object)
{
    struct verified now;
    if (!describe_object(digest, object, &now))
        return false;
    pthread_mutex_lock(&verified_lock);
    const struct verified *found = verified == NULL ? NULL : g_hash_table_lookup(verified, digest);
    bool same = found != NULL && found->device == now.device && found->inode == now.inode &&
                found->made.tv_sec == now.made.tv_sec && found->made.tv_nsec == now.made.tv_nsec;
    pthread_mutex_unlock(&verified_lock);
    return same;
}

static void set_verified(const struct digest *digest, int object)
{
    g_autofree struct verified *made = g_new(struct verified, 1);
    if (!describe_object(digest, object, made))
        return;
    pthread_mutex_lock(&verified_lock);
    if (verified == NULL)
        verified = g_hash_table_new_full(digest_hash, digest_hash_equal, NULL, g_free);
    struct digest *key = &made->digest;
    g_hash_table_replace(verified, key, g_steal_pointer(&made));
    pthread_mutex_unlock(&verified_lock);
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool report_damage(const struct blob_file *file, GError **error)
{
    char text[DIGEST_TEXT_SIZE];
    store_drop(file->store, file->digest);
    return fault_set(error, FAULT_MISSING, "the store's copy of %s, %s, was damaged and is dropped",
                     file->what, digest_print(file->digest, text));
}

/* Hash what is behind `from`; write it to `to` on the way unless that is -1. */
static bool pump(const struct blob_file *file, int from, int to, GError **error)
{
    g_autoptr(GError) cause = NULL;
    struct digest found;
    const struct pump bytes = {
        .from = from,
        .to = to,
        .size = file->digest->size,
        .what = file->what,
        .to_what = file->what,
        .cancel = file->cancel,
        .buffer = file->buffer,
        .buffer_size = BLOB_BUFFER_SIZE,
    };
    enum pump_end end = pump_bytes(&bytes, &found, &cause);
    if (end == PUMP_UNWRITABLE || end == PUMP_CANCELLED) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    return (end == PUMP_DONE && digest_equal(&found, file->digest)) || report_damage(file, error);
}

bool store_is_compiled(const void *start, size_t size)
{
    static const struct {
        size_t size;
        const char *bytes;
    } magic[] = { { 4, "\177ELF" }, { 7, "!<arch>" },          { 7, "!<thin>" },
                  { 4, "gpch" },    { 4, "\312\376\272\276" }, { 4, "\0asm" } };
    for (size_t i = 0; i < G_N_ELEMENTS(magic); i++)
        if (size >= magic[i].size && memcmp(start, magic[i].bytes, magic[i].size) == 0)
            return true;
    return false;
}

/* *compiled: did a compiler make what is written to `to`? */
static bool fill(const struct blob_file *file, int to, bool *compiled, GError **error)
{
    if (file->digest->size <= WHOLE_SIZE) {
        g_autoptr(GBytes) bytes = store_get(file->store, file->digest, error);
        if (bytes == NULL)
            return false;
        *compiled = store_is_compiled(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        return fd_write_all(to, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), file->what,
                            error);
    }
    guint8 start[STORE_MAGIC];
    autofd int from = store_open_blob(file->store, file->digest, error);
    if (from < 0)
        return false;
    *compiled = pread(from, start, sizeof start, 0) == sizeof start &&
                store_is_compiled(start, sizeof start);
    if (is_verified(file->digest, from))
        return fd_copy(from, to, (off_t)file->digest->size, file->what, file->cancel, error);
    if (ioctl(to, FICLONE, from) == 0)
        return pump(file, to, -1, error);
    return pump(file, from, to, error);
}

static bool set_attributes(const struct blob_file *file, int made, bool compiled, GError **error)
{
    if ((file->owner != (uid_t)-1 || file->group != (gid_t)-1) &&
        fchown(made, file->owner, file->group) < 0)
        return fault_errno(error, errno, "cannot change the owner of %s", file->what);
    if (file->exact && fchmod(made, file->mode) < 0)
        return fault_errno(error, errno, "cannot set the mode of %s", file->what);
    if (file->mtime < 0)
        return true;
    struct stat asked;
    if (file->observed)
        fstat(made, &asked);
    gint64 mtime = compiled && file->compiled_mtime != 0 ? file->compiled_mtime : file->mtime;
    const struct timespec times[2] = { fd_timespec(mtime), fd_timespec(mtime) };
    return futimens(made, times) == 0 ||
           fault_errno(error, errno, "cannot set the time of %s", file->what);
}

/* --- files ------------------------------------------------------------------------------------ */

int blob_create(const struct blob_file *file, GError **error)
{
    autofd int made = openat(file->directory, file->name,
                             O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file->mode);
    if (made < 0) {
        if (errno == EEXIST)
            fault_set(error, FAULT_CONFLICT, "%s exists already", file->what);
        else
            fault_errno(error, errno, "cannot create %s", file->what);
        return -1;
    }
    bool compiled;
    if (fill(file, made, &compiled, error) && set_attributes(file, made, compiled, error))
        return fd_steal(&made);
    unlinkat(file->directory, file->name, 0);
    return -1;
}

int blob_replace(const struct blob_file *file, GError **error)
{
    char *temporary;
    autofd int made = fd_create_unnamed(file->directory, file->mode, &temporary);
    if (made < 0) {
        fault_errno(error, errno, "cannot create %s", file->what);
        return -1;
    }
    bool compiled;
    if (!fill(file, made, &compiled, error) || !set_attributes(file, made, compiled, error)) {
        fd_discard(file->directory, &temporary);
        return -1;
    }
    if (fd_publish(file->directory, made, &temporary, file->name))
        return fd_steal(&made);
    fault_errno(error, errno, "cannot write %s", file->what);
    return -1;
}

bool store_check_blob(struct store *store, const struct digest *digest, const char *what,
                      const volatile int *cancel, GError **error)
{
    if (digest->size <= WHOLE_SIZE) {
        g_autoptr(GBytes) bytes = store_get(store, digest, error);
        return bytes != NULL;
    }
    g_autofree guint8 *buffer = g_malloc(BLOB_BUFFER_SIZE);
    const struct blob_file file = {
        .store = store, .digest = digest, .what = what, .cancel = cancel, .buffer = buffer
    };
    autofd int object = store_open_blob(store, digest, error);
    if (object < 0 || !pump(&file, object, -1, error))
        return false;
    set_verified(digest, object);
    return true;
}

bool store_copy_blob(struct store *store, const struct digest *digest, int to, const char *what,
                     const volatile int *cancel, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(BLOB_BUFFER_SIZE);
    const struct blob_file file = {
        .store = store, .digest = digest, .what = what, .cancel = cancel, .buffer = buffer
    };
    bool ignored;
    return fill(&file, to, &ignored, error);
}

bool store_write_file(struct store *store, const struct digest *digest, int directory,
                      const char *name, mode_t mode, gint64 mtime, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(BLOB_BUFFER_SIZE);
    g_autofree char *what = path_quote(name);
    const struct blob_file file = {
        .store = store,
        .digest = digest,
        .directory = directory,
        .name = name,
        .what = what,
        .mode = mode,
        .exact = true,
        .mtime = mtime,
        .owner = (uid_t)-1,
        .group = (gid_t)-1,
        .buffer = buffer,
    };
    autofd int made = blob_replace(&file, error);
    return made >= 0;
}

/* --- links to objects --------------------------------------------------------------------------
 */

/* The time of an object means nothing to the store, so all who link it may agree on one. */
static bool set_object_time(const struct blob_file *file, int object, const struct stat *status)
{
    if (file->mtime < 0 || fd_nanoseconds(status->st_mtim) == file->mtime)
        return true;
    return set_attributes(
        &(struct blob_file){ .mtime = file->mtime, .owner = (uid_t)-1, .group = (gid_t)-1 }, object,
        false, NULL);
}

bool blob_link(const struct blob_file *file, bool *linked, GError **error)
{
    struct stat status;
    char path[PROC_SIZE];
    *linked = false;
    if (file->digest->size < LINK_SIZE)
        return true;
    autofd int object = store_open_blob(file->store, file->digest, error);
    if (object < 0)
        return false;
    if (fstat(object, &status) < 0 || status.st_nlink == 0 || (status.st_mode & 0222) != 0 ||
        (status.st_mode & 0111) != (file->mode & 0111))
        return true;
    if (!is_verified(file->digest, object)) {
        if (!pump(file, object, -1, error))
            return false;
        set_verified(file->digest, object);
    }
    *linked = set_object_time(file, object, &status) &&
              linkat(AT_FDCWD, proc_path(object, path), file->directory, file->name,
                     AT_SYMLINK_FOLLOW) == 0;
    return true;
}
