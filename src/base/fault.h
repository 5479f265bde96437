// SPDX-License-Identifier: Apache-2.0
/*
 * The one registry of what can go wrong.
 *
 * Every error below cli is a GError of this domain. The message is made where the cause is known
 * and names what, where and why; callers prefix it outward with g_prefix_error(). A code never
 * changes its number and is never reused: scripts and the event stream see them (doc/errors.md).
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <glib.h>

#define FAULT fault_quark()

enum fault {
    FAULT_USAGE = 1,         /* what the caller asked for makes no sense */
    FAULT_IO = 2,            /* a system call failed */
    FAULT_CORRUPT = 3,       /* bytes are not what their name, checksum or format says */
    FAULT_MISSING = 4,       /* the store does not hold this blob or record */
    FAULT_CONFLICT = 5,      /* two trees, or a tree and the user's file, disagree about a path */
    FAULT_UNSUPPORTED = 6,   /* a thing that a tree cannot hold (FIFO, name that is not UTF-8) */
    FAULT_CHANGED = 7,       /* a file kept changing while it was read */
    FAULT_NO_SPACE = 8,      /* the disk, or a quota, is full */
    FAULT_FORMAT = 9,        /* a store of another format version */
    FAULT_CANCELLED = 10,    /* the user interrupted */
    FAULT_READ_ONLY = 11,    /* a write to a store that may only be read */
    FAULT_SANDBOX = 12,      /* the sandbox could not be set up */
    FAULT_NOT_FOUND = 13,    /* the program to run does not exist (shells say 127) */
    FAULT_NOT_RUNNABLE = 14, /* the program exists and cannot be executed (shells say 126) */
    FAULT_DAMAGED = 15,      /* the index of the store is damaged and was, or must be, set aside */
    FAULT_VIEW = 16,         /* the file system of a view could not be mounted */
};

GQuark fault_quark(void);

/*
 * Set *error from errno `number`: "WHAT: strerror". ENOSPC and EDQUOT become FAULT_NO_SPACE, EROFS
 * FAULT_READ_ONLY, everything else FAULT_IO. Always returns false, so that callers can
 * `return fault_errno(...)`, and leaves `number` in errno.
 */
gboolean fault_errno(GError **error, int number, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Set *error to `code` with a formatted message; always returns false. */
gboolean fault_set(GError **error, enum fault code, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
