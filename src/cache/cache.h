// SPDX-License-Identifier: Apache-2.0
/*
 * Results by key, and what may be reused.
 *
 * A sealed action's strong key is its digest: it names everything the command could see. A result
 * is reused only if every blob it names is there (V5); one whose blobs were evicted is a miss.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "action/action.h"

#define CACHE_KEY_SIZE 40

/* The record key of `digest`: hash, then size as eight big-endian bytes. */
void cache_key(const struct digest *digest, guint8 out[CACHE_KEY_SIZE]);

struct cached {
    struct result *result; /* owned; NULL: nothing usable */
    struct tree *outputs;  /* owned */
    char *reason;          /* owned; why there is nothing usable, as "…" in "run again: …" */
};
void cached_clear(struct cached *cached);

/*
 * Find the result of the action `key`. A result that failed counts only with `failures`. Never an
 * error: what is damaged or gone is a miss with a reason.
 */
bool cache_find(struct store *store, const struct digest *key, bool failures, struct cached *out);

/* The result of the action `key`, whether its blobs are there or not; NULL: there is none. */
struct result *cache_result(struct store *store, const struct digest *key);

/*
 * May this result be stored? NULL, or a sentence why not (V8): interrupted, timed out, something
 * that could not be held. Borrowed.
 */
const char *cache_refusal(const struct result *result);

/* Let `batch` record the result under `key`; it becomes visible with the blobs that it names. */
void cache_record(struct store_batch *batch, const struct digest *key, const struct result *result);

/*
 * Let `batch` record that people may want to look at `tree`, which is in the store or in the batch,
 * at `time` (microseconds since the epoch) and later. It stays if there is room
 * (STORE_OPTIONAL_MAX), the newest longest.
 */
void cache_record_kept(struct store_batch *batch, const struct digest *tree, gint64 time);

/*
 * Keep the store below `limit` bytes on disk: once in some 64 stored results (chosen by `key`) its
 * size is looked at, and if it has outgrown the limit, results are evicted down to three quarters
 * of it. False: nothing was evicted. Errors are not worth a run's attention: the next time will do.
 */
bool cache_trim(struct store *store, const struct digest *key, guint64 limit,
                struct store_gc_result *out);

/* store_gc() with results ordered by their last use in the history. */
bool cache_gc(struct store *store, guint64 max_bytes, struct store_gc_result *out, GError **error);

#endif
