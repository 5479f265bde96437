// SPDX-License-Identifier: Apache-2.0
/* One blob as a file: written, replaced or linked, always verified. */
#ifndef STORE_MATERIALIZE_INTERNAL_H
#define STORE_MATERIALIZE_INTERNAL_H

#include "store/store.h"

#include <sys/types.h>

#define BLOB_BUFFER_SIZE (256 * 1024)

struct blob_file {
    struct store *store;
    const struct digest *digest;
    int directory;
    const char *name;      /* one component */
    const char *what;      /* its path, for messages */
    mode_t mode;           /* less umask */
    bool exact;            /* the mode is as it is, whatever the umask */
    gint64 mtime;          /* ns; -1: leave */
    gint64 compiled_mtime; /* the same for what a compiler made; 0: mtime */
    uid_t owner;           /* -1: leave; group alike */
    gid_t group;
    bool observed; /* ask for its times before they are set: see observe() in materialize.c */
    const volatile int *cancel; /* may be NULL */
    guint8 *buffer;             /* BLOB_BUFFER_SIZE */
};

/*
 * Make the file `name`; on failure nothing of that name is left. Returns a descriptor on it, -1 on
 * error: FAULT_CONFLICT if the name is taken, FAULT_MISSING for a blob that is not there or
 * damaged.
 */
int blob_create(const struct blob_file *file, GError **error);

/* The same, but appears complete and in place of any file or link of that name. */
int blob_replace(const struct blob_file *file, GError **error);

/*
 * Link the object file itself, hashed once per process. *linked says whether that was possible: not
 * for small blobs, across file systems, where the name is taken, or if the object's executable bits
 * are others than in file->mode.
 */
bool blob_link(const struct blob_file *file, bool *linked, GError **error);

#endif
