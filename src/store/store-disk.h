// SPDX-License-Identifier: Apache-2.0
/*
 * The back end on disk: what its files share. Layout and formats: doc/format/store.md.
 *
 *   record    bytes <-> meaning; no I/O
 *   guard     a bad memory access inside LMDB becomes a return value
 *   pages     is what LMDB is about to change sound?
 *   index     the LMDB environment: reading, growing, what to do about damage
 *   write     the one write transaction
 *   object    large blobs as files, and the temporary files that they begin as
 *   open      finding, making, sharing and closing the directory
 *   lmdb      the vtable
 *
 * Locks, in the order in which they are taken (bytes are bytes of the file `lock`):
 *
 *   byte STORE_LOCK_OPEN    shared by whoever has the store open; alone to replace index/
 *   store_disk.writer       one writing thread of this process
 *   byte STORE_LOCK_WRITE   one writing process; nobody else adds or removes objects
 *   store_index.map_lock    shared by transactions; alone to move or reopen the map
 *   LMDB's own              never waited for: STORE_LOCK_WRITE comes before
 */
#ifndef STORE_STORE_DISK_H
#define STORE_STORE_DISK_H

#include "store/store-internal.h"

#include <lmdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/stat.h>

G_STATIC_ASSERT(sizeof(size_t) == 8); /* maps, page numbers */

/* --- record ----------------------------------------------------------------------------------- */

enum {
    STORE_BLOBS = 0,         /* table number of blobs, before those of enum store_table */
    STORE_INTERNAL = 255,    /* table of what the store notes for itself */
    STORE_BLOB_KEY = 1 + 40, /* table, hash, size */
    STORE_CHECKSUM = 16,
    STORE_OBJECT_NAME = sizeof "objects/ab/" + 62, /* with NUL */
    STORE_LOG_HEADER = 16,
};

void store_blob_key(const struct digest *digest, guint8 out[STORE_BLOB_KEY]);
/* false: not the key of a blob. */
bool store_blob_key_digest(const void *key, size_t size, struct digest *out);

enum store_blob_kind {
    STORE_BLOB_GONE = 0,   /* also anything malformed */
    STORE_BLOB_INLINE = 1, /* the bytes follow */
    STORE_BLOB_OBJECT = 2, /* inode and change time of the file follow */
};

struct store_blob_entry {
    enum store_blob_kind kind;
    guint64 inode;
    gint64 changed; /* ns since the epoch */
};
enum {
    STORE_OBJECT_ENTRY = 1 + 8 + 8
};
void store_object_entry(const struct store_blob_entry *entry, guint8 out[STORE_OBJECT_ENTRY]);

/* `data` holds the first min(size, STORE_OBJECT_ENTRY) bytes of an entry of `size` bytes. */
struct store_blob_entry store_blob_entry_decode(const struct digest *digest, const void *data,
                                                size_t size);

void store_object_name(const struct digest *digest, char out[STORE_OBJECT_NAME]);

/* `key` begins with the table. */
void store_record_checksum(const void *key, size_t key_size, const void *value, size_t size,
                           guint8 out[STORE_CHECKSUM]);
/* The value inside a stored record; false: damaged. */
bool store_record_open(const void *key, size_t key_size, const void *data, size_t size,
                       const guint8 **value, size_t *value_size);

void store_log_header(const void *payload, size_t size, guint8 out[STORE_LOG_HEADER]);
/* The next sound entry at or after *at; moves *at past it. False: there is none. */
bool store_log_next(const guint8 *data, size_t size, size_t *at, const guint8 **payload,
                    size_t *payload_size);

/* --- guard ------------------------------------------------------------------------------------ */

/*
 * LMDB trusts its file. A flipped bit makes it follow a wild pointer, a truncated file makes the
 * map end early, and a failed check of its own makes it call abort(). Inside STORE_GUARDED, SIGSEGV
 * and SIGBUS of this thread and LMDB's failed checks come back as `otherwise`. What LMDB held then
 * (memory, its writer mutex) stays held: such an environment is used no more and never closed.
 * store-write.c keeps other processes from waiting for that mutex.
 *
 * Outside a guard the signals go where they went before. The guarded expression must not own
 * anything: nothing is cleaned up on the way out.
 */
#define STORE_GUARDED(otherwise, call)                     \
    ({                                                     \
        sigjmp_buf guard_jump_;                            \
        sigjmp_buf *const guard_outer_ = store_guard_jump; \
        volatile int guard_value_ = (otherwise);           \
        if (sigsetjmp(guard_jump_, 0) == 0) {              \
            store_guard_jump = &guard_jump_;               \
            atomic_signal_fence(memory_order_seq_cst);     \
            guard_value_ = (call);                         \
            atomic_signal_fence(memory_order_seq_cst);     \
        }                                                  \
        store_guard_jump = guard_outer_;                   \
        guard_value_;                                      \
    })
extern _Thread_local sigjmp_buf *volatile store_guard_jump;
void store_guard_install(void);
void store_guard_assert(MDB_env *env, const char *message); /* for mdb_env_set_assert */

/* --- pages ------------------------------------------------------------------------------------ */

/*
 * data.mdb as one transaction sees it, read by pread(): LMDB writes what it finds in a page header
 * into the heap; so before it changes a page, that page is checked here.
 */
struct store_pages {
    int file;            /* borrowed */
    guint64 next;        /* first page number never used */
    guint64 transaction; /* the last one committed */
    size_t page_size;
    guint64 root[2]; /* of LMDB's list of free pages, of ours; G_MAXUINT64: empty */
    unsigned depth[2];
    GHashTable *branches[2]; /* page number -> copy, checked */
    void *leaf;              /* copy of the last leaf */
    const char *damage;      /* what was found, for the message */
};

/* Checks both meta pages. All of these return false and set `damage`; release in any case. */
bool store_pages_open(struct store_pages *pages, int file);
void store_pages_release(struct store_pages *pages);
bool store_pages_check_free(struct store_pages *pages); /* the whole list of free pages */
bool store_pages_check_key(struct store_pages *pages, const void *key, size_t key_size);
bool store_pages_check_all(struct store_pages *pages);

/*
 * Does what LMDB returned from its map as a value or key lie within its page or run of pages? Its
 * size is a field of the page, and copying by it must not leave the map.
 */
bool store_pages_contain(const void *value, size_t size, size_t page_size, size_t map_size);

/* --- index ------------------------------------------------------------------------------------ */

enum {
    STORE_FAULT = -1
}; /* beside LMDB's codes and errno: a guarded call did not return */

struct store_index {
    MDB_env *env;
    char *path; /* of the directory, for messages and LMDB */
    int directory;
    bool read_only;
    bool unlocked; /* LMDB's lock file cannot be used: reads may see pages being rewritten */
    size_t map_size, page_size;
    pthread_rwlock_t map_lock;
    atomic_bool damaged; /* reads find nothing, writes fail */
    atomic_bool wrecked; /* a guarded call did not return: never close the environment */
    atomic_uint calls;   /* see store_index_relax() */
    pthread_mutex_t relax_lock;
    void *map; /* where LMDB's map was found, of map_size bytes; NULL: not looked for */
};

/*
 * index/ in `store`; `path` is the store's. NULL with *rc set: an errno (ENOENT: it is not there
 * yet), LMDB's code or STORE_FAULT; store_index_is_damage() tells whether the index is to blame.
 */
enum store_index_how {
    STORE_INDEX_READ,
    STORE_INDEX_WRITE,
    STORE_INDEX_CREATE, /* only under STORE_LOCK_WRITE */
};
struct store_index *store_index_open(int store, const char *path, enum store_index_how how,
                                     size_t map_size, int *rc);
void store_index_close(struct store_index *index);
int store_index_reopen(struct store_index *index);
bool store_index_is_damage(int rc);

/* Nothing of this environment is used again; the next store_open() sets it aside. */
void store_index_mark_damaged(struct store_index *index);
bool store_index_is_marked(int store); /* is there such a mark? */

/*
 * Look `key` up. Copies up to `prefix_size` bytes of the value into `prefix`, and the whole of it
 * into *whole unless that is NULL. Where neither is wanted the value's own pages, which can be far
 * from its key, are not touched. False: not there, or the index is damaged.
 */
bool store_index_get(struct store_index *index, const void *key, size_t key_size, void *prefix,
                     size_t prefix_size, size_t *size, GBytes **whole);

struct store_pair {
    GBytes *key;   /* with the table */
    GBytes *value; /* at most `limit` bytes of it */
    size_t size;   /* of the whole value */
};
void store_pair_free(struct store_pair *pair);

/*
 * The next few pairs of a table after `after` (NULL: from the start), in a transaction of its own,
 * so that a long visit holds up nobody. NULL when there are none left. *damage (may be NULL) is set
 * if the rest cannot be read.
 */
GPtrArray *store_index_scan(struct store_index *index, guint8 table, GBytes *after, size_t limit,
                            bool *damage);

/* The same inside a transaction; these return 0, LMDB's code, errno or STORE_FAULT. */
int store_index_begin(struct store_index *index, unsigned flags, MDB_txn **txn);
void store_index_abort(struct store_index *index, MDB_txn *txn);
/* `index` NULL: the pages have been checked, and may be LMDB's own copies. */
int store_index_look(const struct store_index *index, MDB_txn *txn, const void *key,
                     size_t key_size, void *prefix, size_t prefix_size, size_t *size,
                     GBytes **whole);
int store_index_fill(const struct store_index *index, MDB_txn *txn, guint8 table, GBytes *after,
                     size_t limit, GPtrArray *out);
/*
 * Pages of the file that look-ups have touched count as this process's memory, with all their
 * neighbours that the kernel maps along; over a large index that is hundreds of megabytes. Called
 * once for each look-up and each put, this gives them back now and then, if they are many.
 */
void store_index_relax(struct store_index *index);
int store_index_reap_readers(struct store_index *index);
void store_index_wreck(struct store_index *index); /* after STORE_FAULT in a write */

bool store_index_grow(struct store_index *index, GError **error);
bool store_index_adopt_size(struct store_index *index,
                            GError **error); /* another process grew it */

/* --- disk ------------------------------------------------------------------------------------- */

enum {
    STORE_LOCK_OPEN = 0,
    STORE_LOCK_WRITE = 1
};

/* One store directory as open in this process, shared by all `struct store` on it. */
struct store_disk {
    gatomicrefcount references;
    pid_t process;
    dev_t device;
    ino_t inode;
    char *path;
    int directory;
    int lock; /* -1: cannot be opened */
    bool read_only;
    struct store_index *index; /* NULL: damaged and in use elsewhere; the store looks empty */
    pthread_mutex_t writer;
    pthread_mutex_t staging; /* guards the three below */
    int temporary;           /* tmp/<name>, flocked while we live; -1: none yet */
    char *temporary_name;
    guint64 staged;
};

struct store_disk_store {
    struct store base;
    struct store_disk *disk;
};
static inline struct store_disk *store_disk(struct store *store)
{
    return ((struct store_disk_store *)store)->disk;
}

/* Open file description locks on `lock`. Waiting is not interrupted by signals. */
bool store_disk_lock(const struct store_disk *disk, int byte, short type, bool wait);

/* --- write ------------------------------------------------------------------------------------ */

struct store_write {
    struct store_disk *disk;
    MDB_txn *txn;
    struct store_pages pages;
    int rc; /* of the call that failed; 0: none */
};

/*
 * Run `body` in the write transaction and commit it. If the map is full it is grown and `body` runs
 * again from the start; so it may have no effect that does not bear repetition. `body` returns
 * false with *error set, or because one of the calls below did.
 */
typedef bool (*store_write_body)(struct store_write *write, void *user, GError **error);
bool store_write_run(struct store_disk *disk, store_write_body body, void *user, GError **error);

/* The same in steps, for what must follow a commit before anybody else writes. */
bool store_write_lock(struct store_disk *disk, GError **error);
bool store_write_locked(struct store_disk *disk, store_write_body body, void *user, GError **error);
void store_write_unlock(struct store_disk *disk);

/* Room for the value of `key`, to be filled at once; NULL: failed. */
guint8 *store_write_reserve(struct store_write *write, const void *key, size_t key_size,
                            size_t value_size);
/* As store_index_get(). False with write->rc set only on failure. */
bool store_write_get(struct store_write *write, const void *key, size_t key_size, void *prefix,
                     size_t prefix_size, size_t *size, GBytes **whole);
/* What is not there is fine. Needs store_write_check_all() before the first. */
bool store_write_delete(struct store_write *write, const void *key, size_t key_size);
bool store_write_check_all(struct store_write *write);
bool store_write_bump_generation(struct store_write *write);
guint64 store_write_generation(struct store_write *write);
guint64 store_index_generation(struct store_index *index);
/* Calls `visit` for each pair of the table, values cut at `limit`; false stops. Before any change.
 */
bool store_write_each(struct store_write *write, guint8 table, size_t limit,
                      bool (*visit)(const struct store_pair *pair, void *user), void *user);

/* --- object ----------------------------------------------------------------------------------- */

int store_object_stage(struct store *store, char **name, GError **error);
void store_object_unstage(struct store *store, const char *name);

/* Is the file of this blob there, with the right size? Fills *entry (may be NULL) from it. */
bool store_object_stat(const struct store_disk *disk, const struct digest *digest,
                       struct store_blob_entry *entry);
int store_object_open(const struct store_disk *disk, const struct digest *digest);
/* The whole file, unverified; NULL: not there, of another size, or unreadable. */
GBytes *store_object_read(const struct store_disk *disk, const struct digest *digest);
bool store_object_verify(const struct store_disk *disk, const struct digest *digest);
void store_object_remove(const struct store_disk *disk, const struct digest *digest);

/* Before the index names them: the bytes. After: the names. */
bool store_object_sync(const struct store_disk *disk, const struct store_changes *changes,
                       GError **error);
bool store_object_sync_names(const struct store_disk *disk, GPtrArray *staged, GError **error);
/* Give it its final name, replacing what no index entry names. Under STORE_LOCK_WRITE. */
bool store_object_publish(const struct store_disk *disk, struct store_staged *staged,
                          GError **error);

/* Calls `visit` for every file in objects/ (name: as "ab/cdef…"); false stops. */
typedef bool (*store_object_visit)(const char *name, const struct stat *status, void *user);
void store_object_each(const struct store_disk *disk, store_object_visit visit, void *user);
/* Remove what dead processes left in tmp/. */
void store_object_sweep_temporary(const struct store_disk *disk);

/* --- the rest --------------------------------------------------------------------------------- */

extern const struct store_ops store_disk_ops;
void store_disk_close(struct store *store);
/* Make the file that collection gives up to get room on a full disk, if it is not there. */
void store_disk_make_reserve(const struct store_disk *disk);

bool store_disk_log_append(struct store *store, GBytes *entry, GError **error);
void store_disk_log_each(struct store *store, store_log_visit visit, void *user);
struct store_claim *store_disk_claim(struct store *store, const struct digest *key,
                                     const volatile int *cancel, bool *waited, GError **error);
void store_disk_claim_release(struct store_claim *claim);
bool store_disk_statistics(struct store *store, struct store_statistics *out, GError **error);
bool store_disk_verify(struct store *store, bool repair, store_damage report, void *user,
                       struct store_verify_result *out, GError **error);
bool store_disk_gc(struct store *store, guint64 max_bytes, store_describe describe, void *user,
                   struct store_gc_result *out, GError **error);
void store_disk_drop(struct store *store, const struct digest *digest);
GBytes *store_disk_read(struct store *store, const struct digest *digest);
/* What a record's bytes in the index hold; NULL: deleted or damaged. `key` begins with the table.
 */
GBytes *store_disk_record_value(const void *key, size_t key_size, GBytes *whole);

/* Write the index anew without its free pages, if nobody else has the store open. Under
 * STORE_LOCK_WRITE.
 */
bool store_disk_compact(struct store_disk *disk);

#endif
