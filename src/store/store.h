// SPDX-License-Identifier: Apache-2.0
/*
 * The content-addressed store: blobs by digest, records by key.
 *
 * Knows digests and trees; knows nothing of actions. Two back ends behind one vtable
 * (store-internal.h): memory, for tests and for machines whose store cannot be written, and LMDB
 * plus object files. Several processes and threads use one store at once.
 *
 * Invariants
 *  1. A blob hashes to its name: hashed as it enters, and again by store_get() (V1).
 *  2. A record is committed after everything it names, and carries a checksum over table, key and
 *     value; one that fails it is absent (V7). A crash loses work, never truth.
 *  3. Whatever is damaged, truncated or gone is *missing*, for the caller to make again. Damage is
 *     never returned as data.
 *  4. Nothing enters the index before its bytes are synced; a file in objects/ without an index
 *     entry does not exist.
 *
 * Life cycle: store_open()/store_new_memory() ... store_close(). All functions but those two may be
 * called from any thread. A batch belongs to one thread at a time.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "tree/tree.h"

struct store;
typedef struct store store;

/* The user's store: $VIAL_STORE, else $XDG_CACHE_HOME/vial, else ~/.cache/vial. Caller frees. */
char *store_default_path(void);

struct store_options {
    bool read_only;  /* never write, even where it is possible */
    size_t map_size; /* first size of the LMDB map in bytes; 0: the default. It grows by itself */
    size_t inline_limit; /* blobs up to this size live in LMDB; 0: the measured default */
};

/*
 * Open or create the store at `path` (mode 0700). `options` may be NULL. An index too damaged to
 * open is set aside (renamed, named in *notice) and begun anew; a store of another format is
 * FAULT_FORMAT. If the place cannot be written but holds a store, it opens read-only. *notice
 * (may be NULL) is set to a sentence for the user, or to NULL; caller frees.
 */
struct store *store_open(const char *path, const struct store_options *options, char **notice,
                         GError **error);
struct store *store_new_memory(void);
void store_close(struct store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store, store_close)

const char *store_path(const struct store *store); /* "(memory)" for the memory back end */
bool store_is_read_only(const struct store *store);
bool store_is_persistent(const struct store *store);

/* --- blobs ------------------------------------------------------------------------------------ */

/* Is it in the index (not: is it undamaged)? Trees: this directory's message alone. */
bool store_has(struct store *store, const struct digest *digest);

/* The whole blob, verified. FAULT_MISSING, also for one found damaged (and then dropped). */
GBytes *store_get(struct store *store, const struct digest *digest, GError **error);

/*
 * A descriptor on the blob at offset 0, read-only, its size checked, its bytes *not* verified: the
 * caller hashes while it copies, and calls store_drop() on a mismatch. Large blobs: the object file
 * itself; small ones: a memfd. -1 and FAULT_MISSING if it is not there.
 */
int store_open_blob(struct store *store, const struct digest *digest, GError **error);

/* Forget a blob that turned out to be damaged. Errors are ignored: it stays detectable. */
void store_drop(struct store *store, const struct digest *digest);

/* tree_load() over store_get(). */
struct tree *store_get_tree(struct store *store, const struct digest *digest, GError **error);

/* FAULT_MISSING naming the first blob of `tree` (files and directories) that is not there. */
bool store_has_tree(struct store *store, const struct tree *tree, GError **error);

/* --- records ---------------------------------------------------------------------------------- */

enum store_table {       /* numbers are part of the format */
    STORE_RESULTS = 1,   /* strong key -> result */
    STORE_PATH_SETS = 2, /* weak key -> path sets */
    STORE_STAT = 3,      /* directory (device, inode) -> what its files hashed to */
    STORE_MEMO = 4,      /* engine */
    STORE_ROOTS = 5,     /* digest -> when a user put it; keeps what it names */
};

/* Keys have 1 to STORE_KEY_MAX bytes (LMDB's limit less ours); values any number. */
#define STORE_KEY_MAX 480

/* Value or NULL: no such record, or one that is damaged. Caller unrefs. */
GBytes *store_record_get(struct store *store, enum store_table table, const void *key,
                         size_t key_size);

/* Visit all undamaged records of a table in key order; false from `visit` stops. */
typedef bool (*store_record_visit)(GBytes *key, GBytes *value, void *user);
void store_record_each(struct store *store, enum store_table table, store_record_visit visit,
                       void *user);

/* --- writing ---------------------------------------------------------------------------------- */

/*
 * A batch gathers blobs and records and makes them visible together. Large blobs go to temporary
 * files at once, small ones wait in memory (a batch that grows past some 16 MiB commits its blobs
 * early; records always wait for store_batch_commit()). Bytes are synced before the index names
 * them. Putting what is already there costs a look-up.
 */
struct store_batch;
typedef struct store_batch store_batch;
struct store_batch *store_batch_new(struct store *store);
void store_batch_free(struct store_batch *batch); /* drops what was not committed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_batch, store_batch_free)

/*
 * From now on what cannot be written is no error until store_batch_commit(), which then writes
 * nothing and gives the first one: all that is put is hashed all the same.
 */
void store_batch_go_on(struct store_batch *batch);

/*
 * From now on *cancel raised (NULL: nothing) ends store_batch_commit() with FAULT_CANCELLED while
 * it waits for large files to reach the disk.
 */
void store_batch_heed(struct store_batch *batch, const volatile int *cancel);

/* Thread-safe, unlike the rest of a batch: capture's threads share one. */
bool store_batch_put(struct store_batch *batch, const void *data, size_t size, struct digest *out,
                     GError **error);

/*
 * The rest of the file behind `descriptor`, hashed and stored in one pass. `size` is what fstat
 * said; a file that is longer or shorter when read is FAULT_CHANGED. Holes take no space in the
 * store either. *cancel (may be NULL) raised: FAULT_CANCELLED. Thread-safe.
 */
bool store_batch_put_file(struct store_batch *batch, int descriptor, gint64 size, const char *what,
                          const volatile int *cancel, struct digest *out, GError **error);

/*
 * Is the content of each file of `tree` in the store, or in the batch? The commit then sees to it
 * that it still is. Asks in the order of the index, which for a large tree takes a third of the
 * time that any other order does. True as well for a batch that has given up.
 */
bool store_batch_count_on(struct store_batch *batch, const struct tree *tree);

/* Every directory message of the tree. */
bool store_batch_put_tree(struct store_batch *batch, const struct tree *tree, GError **error);

/* value == NULL deletes the record. */
void store_batch_put_record(struct store_batch *batch, enum store_table table, const void *key,
                            size_t key_size, GBytes *value);

/*
 * Make all of it visible and durable. A blob that was there when it was put but has been collected
 * since fails the commit with FAULT_MISSING and writes nothing: capture again and retry. After
 * success or failure the batch is empty.
 */
bool store_batch_commit(struct store_batch *batch, GError **error);

/* One record alone. */
bool store_record_put(struct store *store, enum store_table table, const void *key, size_t key_size,
                      GBytes *value, GError **error);

/* --- the log of runs -------------------------------------------------------------------------- */

/*
 * An append-only file of checksummed entries, never synced: after power loss its end may be gone,
 * which loses history and nothing else. Entries are opaque here. Bounded: past a few MiB the older
 * half goes.
 */
bool store_log_append(struct store *store, GBytes *entry, GError **error);

/* Newest first; false from `visit` stops. Damaged stretches are skipped. */
typedef bool (*store_log_visit)(GBytes *entry, void *user);
void store_log_each(struct store *store, store_log_visit visit, void *user);

/* --- mutual exclusion ------------------------------------------------------------------------- */

/*
 * Wait until no other process holds the claim on `key` and take it, so that identical actions at
 * the same moment run once. *waited says whether somebody else had it. The claim ends with
 * store_claim_release() or with the process. A store that cannot be written gives out claims that
 * exclude nobody. NULL only if `cancel` (may be NULL) was raised while waiting: FAULT_CANCELLED.
 */
struct store_claim;
struct store_claim *store_claim(struct store *store, const struct digest *key,
                                const volatile int *cancel, bool *waited, GError **error);
void store_claim_release(struct store_claim *claim);

/* --- upkeep ----------------------------------------------------------------------------------- */

struct store_statistics {
    guint64 blobs, blob_bytes;     /* all blobs */
    guint64 objects, object_bytes; /* those of them that are files */
    guint64 records[STORE_ROOTS + 1];
    guint64 disk_bytes; /* what the store takes on disk: index, objects, log */
};
bool store_statistics(struct store *store, struct store_statistics *out, GError **error);

/* Rehash every blob, check every record; report each damage, and drop it if `repair`. */
typedef void (*store_damage)(const char *what, void *user);
struct store_verify_result {
    guint64 blobs, records, bytes, damaged, removed;
};
bool store_verify(struct store *store, bool repair, store_damage report, void *user,
                  struct store_verify_result *out, GError **error);

/*
 * Evict until blobs take at most `max_bytes`: the records of RESULTS, MEMO and ROOTS are ordered by
 * last use, newest first; each keeps the blobs that it names as long as the sum fits; the first
 * that no longer fits and all older ones go, and so does every blob that no remaining one names. Of
 * those that are optional the newest stay, in up to a quarter of `max_bytes` that the others leave,
 * and at most STORE_OPTIONAL_MAX. Stat and path-set records whose use is gone may go too. Runs in
 * one write transaction, so that no commit of another process falls between mark and sweep.
 */
#define STORE_OPTIONAL_MAX ((guint64)1 << 30)
struct store_reference {
    gint64 last_use; /* any order-preserving number; microseconds since the epoch by habit */
    bool optional;   /* stays only in the room that the others leave, and within limits */
    GArray *blobs;   /* of struct digest; owned by the caller of describe's caller, i.e. gc */
    GArray *trees;   /* of struct digest: roots that are followed */
    GArray
        *directories; /* of struct digest: roots of which the directory messages are kept alone */

    /* A blob as the collection sees it, verified; NULL: not there. Caller unrefs. */
    GBytes *(*read)(const struct digest *digest, void *source);
    void *source;
};
/*
 * Fill `out` (arrays are made and empty) for one record; false: malformed, evict it. It may not
 * call the store, only out->read().
 */
typedef bool (*store_describe)(enum store_table table, GBytes *key, GBytes *value,
                               struct store_reference *out, void *user);
struct store_gc_result {
    guint64 evicted, blobs_removed, bytes_removed, blobs_kept, bytes_kept;
};
bool store_gc(struct store *store, guint64 max_bytes, store_describe describe, void *user,
              struct store_gc_result *out, GError **error);

#endif
