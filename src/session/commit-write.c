// SPDX-License-Identifier: Apache-2.0
/* Looks at one place of the workspace, and puts something there. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/wire.h"
#include "session/commit-internal.h"
#include "store/materialize.h"
#include "store/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A hole of less than this saves no block on common file systems. */
#define HOLE_SIZE 4096

/* --- what lies there -------------------------------------------------------------------------- */

static bool hash_file(int directory, const char *name, const struct stat *status,
                      const volatile int *cancel, struct digest *out)
{
    autofd int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    g_autofree char *buffer = g_malloc(1 << 17);
    const struct pump bytes = {
        .from = file,
        .to = -1,
        .size = status->st_size,
        .what = name,
        .cancel = cancel,
        .buffer = buffer,
        .buffer_size = 1 << 17,
    };
    return file >= 0 && pump_bytes(&bytes, out, NULL) == PUMP_DONE;
}

bool present_look(int directory, const char *name, const volatile int *cancel, struct present *out)
{
    out->entry = (struct tree_entry){ 0 };
    out->exists = fstatat(directory, name, &out->status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!out->exists)
        return errno == ENOENT;
    switch (out->status.st_mode & S_IFMT) {
    case S_IFREG:
        out->entry.kind = TREE_FILE;
        out->entry.executable = (out->status.st_mode & S_IXUSR) != 0;
        return hash_file(directory, name, &out->status, cancel, &out->entry.digest);
    case S_IFLNK: {
        ssize_t size = readlinkat(directory, name, out->target, sizeof out->target - 1);
        out->target[MAX(size, 0)] = '\0';
        out->entry.kind = TREE_SYMLINK;
        out->entry.target = out->target;
        return size >= 0;
    }
    case S_IFDIR:
        out->entry.kind = TREE_DIRECTORY;
        return true;
    default:
        return false;
    }
}

/* --- into place ------------------------------------------------------------------------------- */

/* A name that nobody has. */
static char *temporary_name(void)
{
    return g_strdup_printf(".vial-%08x%08x~", g_random_int(), g_random_int());
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_untouched(const struct place *place)
{
    const struct stat *before = &place->present->status;
    struct stat now;
    return place->present->exists &&
           fstatat(place->directory, place->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
           now.st_size == before->st_size && same_time(now.st_mtim, before->st_mtim) &&
           same_time(now.st_ctim, before->st_ctim);
}

static bool move(const struct place *place, const char *temporary)
{
    int directory = place->directory;
    if (is_untouched(place))
        return renameat(directory, temporary, directory, place->name) == 0;
    if (renameat2(directory, temporary, directory, place->name, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL) /* of a file system that does not know the flag */
        return false;
    struct stat status;
    if (fstatat(directory, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return renameat(directory, temporary, directory, place->name) == 0;
    errno = EEXIST;
    return false;
}

/* Move the complete `temporary` to its place, or remove it. */
static bool put_in_place(const struct place *place, const char *temporary, GError **error)
{
    int number = move(place, temporary) ? 0 : errno;
    unlinkat(place->directory, temporary, 0); /* rename onto another link of the file left it */
    if (number == EEXIST)
        return fault_set(error, FAULT_CONFLICT, "%s was changed while it was replaced",
                         place->what);
    return number == 0 || fault_errno(error, number, "cannot write %s", place->what);
}

/* --- what a file is besides its content ------------------------------------------------------- */

static bool set_attribute(int file, const struct wire_field *attribute, const char *path,
                          GError **error)
{
    g_autofree char *name = NULL;
    struct wire_reader reader;
    struct wire_field field, value = { 0 };
    wire_reader_init(&reader, attribute->data, attribute->size);
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && name == NULL && field.type == WIRE_BYTES)
            name = g_strndup((const char *)field.data, field.size); /* need not be UTF-8 */
        else if (field.number == 2 && field.type == WIRE_BYTES)
            value = field;
    }
    if (name == NULL || !g_str_has_prefix(name, "user."))
        return true; /* never written, so never obeyed */
    return fsetxattr(file, name, value.data, value.size, 0) == 0 || errno == EOPNOTSUPP ||
           fault_errno(error, errno, "cannot set the attribute %s of %s", name, path);
}

static bool set_attributes(int file, const struct output_extra *extra, const char *path,
                           GError **error)
{
    struct wire_reader reader;
    struct wire_field field;
    if (extra == NULL || extra->xattrs == NULL)
        return true;
    wire_reader_init(&reader, g_bytes_get_data(extra->xattrs, NULL),
                     g_bytes_get_size(extra->xattrs));
    while (wire_next(&reader, &field))
        if (field.type == WIRE_BYTES && !set_attribute(file, &field, path, error))
            return false;
    return true;
}

/* Names of the attributes of `extra`. */
static GHashTable *attribute_names(const struct output_extra *extra)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct wire_reader reader, inner;
    struct wire_field field, name;
    if (extra->xattrs == NULL)
        return names;
    wire_reader_init(&reader, g_bytes_get_data(extra->xattrs, NULL),
                     g_bytes_get_size(extra->xattrs));
    while (wire_next(&reader, &field)) {
        if (field.type != WIRE_BYTES)
            continue;
        wire_reader_init(&inner, field.data, field.size);
        if (wire_next(&inner, &name) && name.number == 1 && name.type == WIRE_BYTES)
            g_hash_table_add(names, g_strndup((const char *)name.data, name.size));
    }
    return names;
}

bool replace_attributes(int file, const char *path, const struct output_extra *extra,
                        GError **error)
{
    ssize_t size = flistxattr(file, NULL, 0);
    if (size <= 0 && extra->xattrs == NULL)
        return true;
    g_autofree char *list = g_malloc0((gsize)MAX(size, 0) + 1);
    g_autoptr(GHashTable) wanted = attribute_names(extra);
    size = flistxattr(file, list, (gsize)MAX(size, 0));
    for (const char *name = list; name < list + MAX(size, 0); name += strlen(name) + 1)
        if (g_str_has_prefix(name, "user.") && !g_hash_table_contains(wanted, name) &&
            fremovexattr(file, name) < 0 && errno != ENODATA)
            return fault_errno(error, errno, "cannot remove the attribute %s of %s", name, path);
    return set_attributes(file, extra, path, error);
}

/* Zeros that the command did not write need no blocks here either. What fails saves no space. */
static void punch_holes(int file, gint64 size)
{
    g_autofree char *buffer = g_malloc(HOLE_SIZE);
    off_t start, end;
    for (off_t at = 0; at + HOLE_SIZE <= size; at += HOLE_SIZE) {
        fd_find_data(file, at, size, &start, &end);
        at = start - start % HOLE_SIZE; /* what is a hole already */
        if (at + HOLE_SIZE > size || pread(file, buffer, HOLE_SIZE, at) != HOLE_SIZE)
            return;
        bool zero = *buffer == '\0' && memcmp(buffer, buffer + 1, HOLE_SIZE - 1) == 0;
        if (zero && fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, HOLE_SIZE) < 0)
            return;
    }
}

static bool dress_file(int file, const struct place *place, const struct dress *dress, gint64 size,
                       GError **error)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, fd_timespec(dress->mtime) };
    if (dress->extra != NULL && dress->extra->sparse)
        punch_holes(file, size);
    return set_attributes(file, dress->extra, place->what, error) &&
           ((fchmod(file, dress->mode) == 0 && futimens(file, times) == 0) ||
            fault_errno(error, errno, "cannot set mode and time of %s", place->what));
}

bool dress_directory(int directory, const char *path, const struct dress *dress, bool timed,
                     GError **error)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, fd_timespec(dress->mtime) };
    return set_attributes(directory, dress->extra, path, error) &&
           ((fchmod(directory, dress->mode) == 0 && (!timed || futimens(directory, times) == 0)) ||
            fault_errno(error, errno, "cannot set the mode of %s", path));
}

/* --- making ----------------------------------------------------------------------------------- */

/*
 * Nothing is to be left if vial is killed, so what can be made at its place at once is; only what
 * replaces something needs a temporary name, from one system call to the next.
 */
static bool publish(const struct place *place, int file, char **temporary, GError **error)
{
    if (*temporary == NULL && fd_link(file, place->directory, place->name))
        return true;
    if (*temporary == NULL) {
        *temporary = temporary_name();
        if (!fd_link(file, place->directory, *temporary))
            return fault_errno(error, errno, "cannot write %s", place->what);
    }
    return put_in_place(place, *temporary, error);
}

bool place_file(const struct place *place, int source, const struct tree_entry *entry,
                const struct dress *dress, GError **error)
{
    autofd int from = fd_open_beneath(source, place->path, O_RDONLY, 0);
    if (from < 0)
        return fault_errno(error, errno, "cannot read the output %s", place->what);
    g_autofree char *temporary = NULL;
    autofd int to = fd_create_unnamed(place->directory, 0600, &temporary);
    if (to < 0)
        return fault_errno(error, errno, "cannot write %s", place->what);
    if (fd_copy(from, to, entry->digest.size, place->what, NULL, error) &&
        dress_file(to, place, dress, entry->digest.size, error))
        return publish(place, to, &temporary, error);
    fd_discard(place->directory, &temporary);
    return false;
}

bool place_blob(const struct place *place, struct store *store, const struct tree_entry *entry,
                const struct dress *dress, GError **error)
{
    g_autofree char *temporary = NULL;
    autofd int to = fd_create_unnamed(place->directory, 0600, &temporary);
    if (to < 0)
        return fault_errno(error, errno, "cannot write %s", place->what);
    if (store_copy_blob(store, &entry->digest, to, place->what, NULL, error) &&
        dress_file(to, place, dress, entry->digest.size, error))
        return publish(place, to, &temporary, error);
    fd_discard(place->directory, &temporary);
    return false;
}

bool place_ready(const struct place *place, int file, const struct tree_entry *entry,
                 const struct dress *dress, GError **error)
{
    g_autofree char *temporary = NULL;
    return dress_file(file, place, dress, entry->digest.size, error) &&
           publish(place, file, &temporary, error);
}

bool place_hard_link(const struct place *place, int directory, const char *name, GError **error)
{
    g_autofree char *temporary = temporary_name();
    if (linkat(directory, name, place->directory, place->name, 0) == 0)
        return true;
    if (linkat(directory, name, place->directory, temporary, 0) < 0)
        return fault_errno(error, errno, "cannot link %s", place->what);
    return put_in_place(place, temporary, error);
}

static bool set_link_time(const struct place *place, const char *name, gint64 mtime, GError **error)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, fd_timespec(mtime) };
    return mtime == 0 || utimensat(place->directory, name, times, AT_SYMLINK_NOFOLLOW) == 0 ||
           fault_errno(error, errno, "cannot set the time of %s", place->what);
}

bool place_symlink(const struct place *place, const char *target, gint64 mtime, GError **error)
{
    g_autofree char *temporary = temporary_name();
    if (symlinkat(target, place->directory, place->name) == 0)
        return set_link_time(place, place->name, mtime, error);
    if (symlinkat(target, place->directory, temporary) < 0)
        return fault_errno(error, errno, "cannot make the link %s", place->what);
    if (set_link_time(place, temporary, mtime, error))
        return put_in_place(place, temporary, error);
    unlinkat(place->directory, temporary, 0);
    return false;
}

bool place_fifo(const struct place *place, mode_t mode, GError **error)
{
    g_autofree char *temporary = temporary_name();
    if (mkfifoat(place->directory, temporary, 0600) == 0 &&
        fchmodat(place->directory, temporary, mode, 0) == 0)
        return put_in_place(place, temporary, error);
    int number = errno;
    unlinkat(place->directory, temporary, 0);
    return fault_errno(error, number, "cannot make the FIFO %s", place->what);
}
