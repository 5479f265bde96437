// SPDX-License-Identifier: Apache-2.0
/*
 * What the store's files share: the vtable of a back end, the batch, the mark phase of collection.
 *
 * A back end embeds `struct store` as its first member. Everything above the vtable (hashing,
 * deduplication within a batch, early commits, following trees) is done once, in store.c,
 * store-batch.c and store-mark.c; a back end keeps bytes and makes them visible together.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "store/store.h"

#include <string.h>

/* A record to write, or to delete if value is NULL. */
struct store_change {
    enum store_table table;
    GBytes *key;
    GBytes *value;
};
void store_change_free(struct store_change *change);

/* A large blob in a temporary file of the back end. */
struct store_staged {
    struct digest digest;
    char *name;     /* relative to the back end's directory; the file is the back end's to remove */
    bool published; /* it has its final name; set by the back end, for its own retries */
};

/* What one commit writes, and which blobs it takes for granted. */
struct store_changes {
    GHashTable *blobs;          /* struct digest * -> GBytes *: held in memory */
    GPtrArray *staged;          /* of struct store_staged */
    GPtrArray *records;         /* of struct store_change, applied in order */
    GHashTable *known;          /* set of struct digest *: were there when put; checked again */
    guint64 generation;         /* of removals, read before the first of `known` was looked up */
    const volatile int *cancel; /* raised while files are synced: FAULT_CANCELLED; may be NULL */
};

struct store_ops {
    void (*close)(struct store *store);
    bool (*has)(struct store *store, const struct digest *digest);
    /* The bytes as they are held, not verified; NULL: not there (or of another size). */
    GBytes *(*read)(struct store *store, const struct digest *digest);
    int (*open_blob)(struct store *store, const struct digest *digest, GError **error);
    void (*drop)(struct store *store, const struct digest *digest);
    GBytes *(*record_get)(struct store *store, enum store_table table, const void *key,
                          size_t key_size);
    void (*record_each)(struct store *store, enum store_table table, store_record_visit visit,
                        void *user);

    /* Counts removals of blobs: while it stands still, what was there is there. */
    guint64 (*generation)(struct store *store);
    /* A new temporary file open for writing, its name in *name; NULL where all is in memory. */
    int (*stage)(struct store *store, char **name, GError **error);
    void (*unstage)(struct store *store, const char *name);
    /* All of `changes` or nothing. FAULT_MISSING if one of `known` has gone. */
    bool (*commit)(struct store *store, struct store_changes *changes, GError **error);

    bool (*log_append)(struct store *store, GBytes *entry, GError **error);
    void (*log_each)(struct store *store, store_log_visit visit, void *user);
    struct store_claim *(*claim)(struct store *store, const struct digest *key,
                                 const volatile int *cancel, bool *waited, GError **error);
    void (*claim_release)(struct store_claim *claim);
    bool (*statistics)(struct store *store, struct store_statistics *out, GError **error);
    bool (*verify)(struct store *store, bool repair, store_damage report, void *user,
                   struct store_verify_result *out, GError **error);
    bool (*gc)(struct store *store, guint64 max_bytes, store_describe describe, void *user,
               struct store_gc_result *out, GError **error);
};

struct store {
    const struct store_ops *ops;
    char *path; /* owned; freed by store_close() after ops->close */
    bool read_only, persistent;
    size_t inline_limit; /* larger blobs are staged */
};

struct store_claim {
    struct store *store;
};

/* A blob that a batch took for granted has gone; returns false. */
bool store_fault_collected(const struct digest *digest, GError **error);

bool store_is_cancelled(const volatile int *cancel);

/*
 * The mark phase, the same for every back end, which brings its own readers. `read` returns the
 * directory message or NULL, `holds` says whether a blob is there (absent ones cost nothing and
 * are kept by nobody).
 */
struct store_mark_source {
    GBytes *(*read)(const struct digest *digest, void *source);
    bool (*holds)(const struct digest *digest, void *source);
    void *source;
};

struct store_mark_record {
    enum store_table table;
    GBytes *key;
    struct store_reference reference; /* its arrays are owned */
};

struct store_mark {
    struct store_mark_source from;
    store_describe describe;
    void *user;
    GPtrArray *records; /* of struct store_mark_record: RESULTS and ROOTS */
    GPtrArray *evicted; /* of struct store_mark_record; what store_mark_finish() found must go */
    GHashTable *kept;   /* keys: struct digest * */
    guint64 kept_bytes;
};
void store_mark_init(struct store_mark *mark, const struct store_mark_source *from,
                     store_describe describe, void *user);
void store_mark_release(struct store_mark *mark);
/* One record; value == NULL: it is damaged, and goes. */
void store_mark_add(struct store_mark *mark, enum store_table table, GBytes *key, GBytes *value);
void store_mark_finish(struct store_mark *mark, guint64 max_bytes);

#endif
