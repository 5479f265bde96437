// SPDX-License-Identifier: Apache-2.0
/*
 * A run in a view, as far as it differs from a sealed one: its inputs are not named beforehand but
 * found out, so that looking up takes two phases and recording comes after the fact.
 *
 * Life cycle: observed_new() … observed_find() … with observed_recorder() while the command runs …
 * observed_seal() when it has ended … observed_record(), observed_learn() … observed_free().
 */
#ifndef SESSION_OBSERVED_H
#define SESSION_OBSERVED_H

#include "session/session-internal.h"
#include "trace/trace.h"

struct observed;
typedef struct observed observed;

struct observed *observed_new(struct session *session, struct store *store);
void observed_free(struct observed *observed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(observed, observed_free)

/* Properties of the platform that a view shows: who and where the caller is. Replaces *platform. */
void observed_add_platform(const struct session *session, char ***platform);

/*
 * Has an earlier execution of the action `weak` seen what one would see now? Sets *key to its
 * strong key. False: *reason says why not (owned by the caller), or there is an error.
 */
bool observed_find(struct observed *observed, const struct digest *weak, struct digest *key,
                   char **reason, GError **error);

struct recorder *observed_recorder(struct observed *observed); /* borrowed */
struct trace_state *observed_times(struct observed *observed); /* borrowed: for the view's clock */

/* Everything has ended. Returns why the result must not be stored (V8), borrowed, or NULL. */
const char *observed_seal(struct observed *observed);

/*
 * Let `batch` record what an execution of `weak` has seen; *key is the strong key; `result` learns
 * what to keep.
 */
bool observed_record(struct observed *observed, struct store_batch *batch,
                     const struct digest *weak, struct result *result, struct digest *key,
                     GError **error);

/* What looking up has learned about times, if anything. */
bool observed_has_learned(const struct observed *observed);
void observed_flush(struct observed *observed, struct store_batch *batch);

/* Outputs have the times at which they were written, and keep them as long as their content. */
void observed_learn(struct observed *observed, const struct tree *outputs,
                    const struct result *result, struct store_batch *batch);

#endif
