// SPDX-License-Identifier: Apache-2.0
/*
 * From trees to directories. Every blob is hashed on its way out (V1): one that is damaged is
 * dropped from the store and reported as FAULT_MISSING, with nothing half written under its name.
 */
#ifndef STORE_MATERIALIZE_H
#define STORE_MATERIALIZE_H

#include "store/capture.h"

struct materialize_request {
    struct store *store;
    const struct tree *tree;
    int directory;         /* where to; must exist */
    const char *name;      /* its path, for messages */
    bool overwrite;        /* replace files and links that are in the way (never directories
                              by files); otherwise FAULT_CONFLICT before anything is written */
    gint64 mtime;          /* ns since the epoch, for files, links and directories, the destination
                              itself included; -1: now */
    gint64 compiled_mtime; /* instead of mtime for files with a compiler's magic number (ELF, ar,
                              precompiled header, Java class, WebAssembly); 0: no difference */
    uid_t owner;           /* (uid_t)-1: leave; the destination included; group alike */
    gid_t group;
    bool hard_links;          /* large blobs may be linked to the object file: only where the reader
                                 can neither write nor chmod it (another owner) */
    struct stat_cache *learn; /* filled with the identity of what was written; may be NULL */
    unsigned jobs;
    const volatile int *cancel;
};

/*
 * Regular files get mode 0666 or 0777 less umask, but 0444/0555 when hard-linked; directories 0777
 * less umask.
 */
bool store_materialize(const struct materialize_request *request, GError **error);

/* Do these first bytes of a file, STORE_MAGIC of them or all, have a compiler's magic number? */
#define STORE_MAGIC 8
bool store_is_compiled(const void *start, size_t size);

/*
 * Write blob `digest` to the empty file behind `to`, verified; `what` is its path, for messages.
 * *cancel (may be NULL) raised: FAULT_CANCELLED.
 */
bool store_copy_blob(struct store *store, const struct digest *digest, int to, const char *what,
                     const volatile int *cancel, GError **error);

/* Is blob `digest` there and undamaged? FAULT_MISSING if not; FAULT_CANCELLED as above. */
bool store_check_blob(struct store *store, const struct digest *digest, const char *what,
                      const volatile int *cancel, GError **error);

/*
 * Write blob `digest` to the new file `name` in `directory`, verified, via a temporary name so that
 * the file appears complete or not at all; `mode` is set exactly, whatever the umask. Replaces a
 * file or link of that name. mtime as above.
 */
bool store_write_file(struct store *store, const struct digest *digest, int directory,
                      const char *name, mode_t mode, gint64 mtime, GError **error);

#endif
