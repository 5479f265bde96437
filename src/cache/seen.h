// SPDX-License-Identifier: Apache-2.0
/*
 * The second phase of look-up: what earlier executions of one action saw, and whether another one
 * would see the same today (V5).
 *
 * Per weak key a bounded list, newest first, of executions: what each asked (a path set), what the
 * answers were, and the strong key of its result. An execution is found again if every answer still
 * holds. So that an action's own outputs do not count against it, an answer also holds if what lies
 * at the path now is what an execution of the same action left there, and the answer is what that
 * execution found there before: its writing counts as rolled back. Format: doc/format/seen.md.
 */
#ifndef CACHE_SEEN_H
#define CACHE_SEEN_H

#include "trace/trace.h"

struct seen;
typedef struct seen seen;

/* What is known for `weak`; empty if nothing is. What is damaged or evicted is left out. */
struct seen *seen_load(struct store *store, const struct digest *weak);
void seen_free(struct seen *seen);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(seen, seen_free)

bool seen_is_empty(const struct seen *seen);

/*
 * The key of the newest execution that would see the same in `state`. False: there is none;
 * *reason (owned by the caller) then says what differs from the newest one. False with an error:
 * the state has no answer now.
 */
bool seen_find(struct seen *seen, struct trace_state *state, struct digest *key, char **reason,
               GError **error);

struct seen_entry {
    struct digest path_set, values; /* blobs */
    struct digest key;              /* of the result */
};

/*
 * Let `batch` record an execution as the newest. Its result has the key `key`, or, if that is NULL,
 * the strong key of what it saw.
 */
bool seen_record(const struct seen *seen, struct store_batch *batch, const struct trace *trace,
                 const struct digest *key, struct seen_entry *out, GError **error);

/*
 * All that was recorded of the execution whose result has the key `key`. FAULT_MISSING: that
 * is no execution in a view, or it is not kept any more.
 */
struct trace *seen_trace(struct store *store, const struct digest *key, GError **error);

/* --- the record, for fuzzing --------------------------------------------------------------------
 */

GBytes *seen_encode(const struct seen_entry *entries, size_t count);
GArray *seen_decode(GBytes *bytes, GError **error); /* struct seen_entry; FAULT_CORRUPT */

#endif
