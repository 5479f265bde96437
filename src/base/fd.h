// SPDX-License-Identifier: Apache-2.0
/*
 * File descriptors and what GLib lacks around them: scope clean-up, whole reads and writes, copies
 * that share blocks where the kernel can, removal of trees that never follows a link.
 *
 * Knows nothing of builds. Every function that can fail sets a FAULT error that names `what`, the
 * path as the user knows it. Descriptors returned are close-on-exec and owned by the caller.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* `autofd int f = open(...)`: closed when the scope ends, unless fd_steal(&f) moved it out. */
#define autofd __attribute__((cleanup(fd_cleanup)))

void fd_cleanup(int *descriptor);
void fd_close(int *descriptor); /* close if >= 0, set to -1; errors are not retried (close(2)) */
int fd_steal(int *descriptor);

bool fd_write_all(int descriptor, const void *data, size_t size, const char *what, GError **error);

/* Read until `size` bytes or end of file; returns the count, -1 on error. */
gssize fd_read_full(int descriptor, void *data, size_t size, const char *what, GError **error);

/* All bytes from the present offset to the end of file; more than `limit` is FAULT_UNSUPPORTED. */
GBytes *fd_read_all(int descriptor, size_t limit, const char *what, GError **error);

/*
 * Copy `size` bytes from offset 0 of `from` to offset 0 of `to` (a new, empty file): reflink, then
 * copy_file_range, then read and write. Holes stay holes. A source that ends early is
 * FAULT_CHANGED; *cancel (may be NULL) raised is FAULT_CANCELLED.
 */
bool fd_copy(int from, int to, off_t size, const char *what, const volatile int *cancel,
             GError **error);

/*
 * The first stretch of data at or after `at` in a file of `size` bytes, [*start, *end); what lies
 * before it is a hole, and *start == size means that all is. Where the file system cannot tell, or
 * the file is shorter by now, all is data. Moves the file's offset.
 */
void fd_find_data(int file, off_t at, off_t size, off_t *start, off_t *end);

/*
 * A new file in `directory`, to be filled and published: it has no name, so that nothing is left of
 * it if the process dies, or a temporary *name where the file system cannot do that (else NULL).
 * `mode` is less umask. Open for reading and writing; -1 and errno on failure.
 */
int fd_create_unnamed(int directory, mode_t mode, char **name);

/* Give that file, of which there is no temporary *name, the new name `name`; false and errno. */
bool fd_link(int file, int directory, const char *name);

/*
 * Call that file `name`, in place of any file or link of that name, and free *temporary. On failure
 * nothing is left of the file; false and errno.
 */
bool fd_publish(int directory, int file, char **temporary, const char *name);

/* Drop it instead. */
void fd_discard(int directory, char **temporary);

/* Make every missing parent directory of `path`, relative to `directory`, mode 0777 & ~umask. */
bool fd_make_parents(int directory, const char *path, GError **error);

/* Make `path` and its missing parents, absolute or relative to the working directory. */
bool fd_make_directories(const char *path, mode_t mode, GError **error);

/*
 * Remove `name` in `directory` and all below it, never following a link, never leaving the file
 * system of `name`; directories without write or search permission are given it first.
 * A name that is not there is success.
 */
bool fd_remove_tree(int directory, const char *name, GError **error);

/*
 * Open `path`, without "..", below `directory` without following any symbolic link (openat2 with
 * RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS; where that is unknown, component by component). -1 and
 * errno on failure; a link in the way is ELOOP or ENOTDIR.
 */
int fd_open_beneath(int directory, const char *path, int flags, mode_t mode);

/* An anonymous, close-on-exec file in memory that holds `data`, at offset 0; -1 on error. */
int fd_from_bytes(const void *data, size_t size, GError **error);

/* Nanoseconds since the epoch of a struct timespec; beyond the years 1677 to 2262, the limit. */
static inline gint64 fd_nanoseconds(struct timespec time)
{
    if (time.tv_sec >= G_MAXINT64 / 1000000000)
        return G_MAXINT64;
    if (time.tv_sec <= G_MININT64 / 1000000000)
        return G_MININT64;
    return (gint64)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* The same back, before 1970 too: tv_nsec is never negative. */
static inline struct timespec fd_timespec(gint64 nanoseconds)
{
    gint64 part = nanoseconds % 1000000000;
    return (struct timespec){ .tv_sec = nanoseconds / 1000000000 - (part < 0),
                              .tv_nsec = part + (part < 0 ? 1000000000 : 0) };
}

#endif
