// SPDX-License-Identifier: Apache-2.0
/*
 * From directories to trees: walk, hash in parallel, remember what hashed to what.
 *
 * The stat cache holds, per directory (device, inode), what each file in it hashed to and the
 * identity it had then (inode, size, mtime, ctime). A file whose identity is unchanged is not read.
 * Git's racy rule: an entry is trusted only if the file's mtime and ctime lie before the moment its
 * hashing began, by more than the file system's clock tick (two seconds where times carry no
 * fraction); younger files are hashed again. A clock that jumps back can only make files look racy.
 */
#ifndef STORE_CAPTURE_H
#define STORE_CAPTURE_H

#include "store/store.h"
#include "tree/glob.h"

#include <sys/stat.h>

/*
 * The cache itself: backed by STORE_STAT of `store`, or by memory alone if store is NULL.
 * Thread-safe. stat_cache_flush() writes what was learned into `batch`.
 */
struct stat_cache;
typedef struct stat_cache stat_cache;
struct stat_cache *stat_cache_new(struct store *store);
void stat_cache_free(struct stat_cache *cache);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(stat_cache, stat_cache_free)
/* From now on *cancel raised ends the hashing of a file, which counts as changed; NULL: nothing. */
void stat_cache_heed(struct stat_cache *cache, const volatile int *cancel);
bool stat_cache_dirty(const struct stat_cache *cache);
void stat_cache_flush(struct stat_cache *cache, struct store_batch *batch);

/* Progress: called from one thread at a time, a few times a second at most. */
typedef void (*capture_progress)(guint64 files, guint64 bytes_hashed, void *user);

struct capture_request {
    int directory;              /* root, open for reading */
    const char *name;           /* its path, for messages */
    const struct glob *select;  /* NULL: everything */
    struct stat_cache *cache;   /* NULL: hash everything */
    struct store_batch *batch;  /* contents and directories go here; NULL: hash only */
    unsigned jobs;              /* threads; 0: one per processor */
    bool outputs;               /* what a tree cannot hold is left out and listed, not an error */
    bool fifos;                 /* FIFOs are left out and listed apart, not an error */
    const volatile int *cancel; /* raised: stop with FAULT_CANCELLED; may be NULL */
    capture_progress progress;  /* may be NULL */
    void *user;
};

struct capture {
    struct tree *tree; /* owned */
    guint64 files, files_hashed, bytes_hashed;
    gint64 newest;          /* newest mtime of a regular file, ns since the epoch; 0: none */
    GPtrArray *unsupported; /* char*: "path: why", only with request.outputs; else NULL */
    GPtrArray *fifos;       /* char*: paths, ascending, only with request.fifos; else NULL */
};
void capture_clear(struct capture *capture);

/*
 * Links stay links; executable means any x bit for the owner. A name that is not UTF-8, a FIFO,
 * socket or device, or a file that cannot be read is an error that names the path, unless
 * `select` leaves it out, or `outputs` or `fifos` is set. A file that changes while it is read is
 * read again, thrice; then FAULT_CHANGED. With a batch, contents whose identity is known are read
 * only if the store lacks the blob.
 */
bool store_capture(struct store *store, const struct capture_request *request, struct capture *out,
                   GError **error);

/*
 * Digest of what store_capture() finds: the tree, and the list of what is left out. `request` has a
 * cache, `outputs` and no batch. While nothing has changed this costs one lstat() per file and
 * directory, and none per link.
 */
bool store_digest_directory(const struct capture_request *request, struct digest *out,
                            GError **error);

/*
 * Digest of the one regular file `path` (absolute; links are followed), through the cache. For
 * files outside of any tree: a program, a package database.
 */
bool store_digest_file(struct stat_cache *cache, const char *path, struct digest *out,
                       GError **error);

/* --- files one by one ------------------------------------------------------------------------- */

/*
 * Some files of one directory, through its record: for whoever asks for single files again and
 * again. Names that ascend cost no search, others an index. One thread; several for one directory
 * do no harm.
 */
enum stat_outcome {
    STAT_DIGESTED,
    STAT_CHANGED,    /* no longer the file of that status */
    STAT_UNREADABLE, /* cannot be opened, or read */
};
struct stat_files;
struct stat_files *stat_files_open(struct stat_cache *cache, int directory); /* O_PATH will do */
void stat_files_close(struct stat_files *files);         /* what was learned goes to the cache */
bool stat_files_learned(const struct stat_files *files); /* is there anything? */

/*
 * Digest of the regular file `name` in `directory` (the same one), of which fstatat() just said
 * `status`: from the record, else by reading it.
 */
enum stat_outcome stat_files_digest(struct stat_files *files, int directory, const char *name,
                                    const struct stat *status, struct digest *out);

/*
 * The digest that stat_listing_remember() was given for what the directory of this status lists:
 * as long as nothing in it was added, removed or renamed. It is the caller's own; only for file
 * systems where a directory's times tell.
 */
bool stat_listing_recall(struct stat_cache *cache, const struct stat *directory,
                         struct digest *out);
gint64 stat_listing_begin(void); /* before the fstat() whose status is given back here */
void stat_listing_remember(struct stat_cache *cache, int directory, const struct stat *before,
                           gint64 began, const struct digest *digest);

#endif
