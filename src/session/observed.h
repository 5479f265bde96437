// SPDX-License-Identifier: Apache-2.0
/*
 * A run in a view: what it sees is found out, so that looking up takes two phases and recording
 * comes after the fact. The inputs of a sealed run are named beforehand; which of them it looked at
 * is found out all the same, so that an edit of another is a hit.
 *
 * Life cycle: observed_new() … observed_provide() if it is sealed … observed_find() … with
 * observed_recorder() while the command runs … observed_seal() when it has ended …
 * observed_record(), observed_learn() … observed_free().
 */
#ifndef SESSION_OBSERVED_H
#define SESSION_OBSERVED_H

#include "session/session-internal.h"
#include "trace/trace.h"

struct observed;
typedef struct observed observed;

/* `workspace`: where the command finds it (absolute). */
struct observed *observed_new(struct session *session, struct store *store, const char *workspace);
void observed_free(struct observed *observed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(observed, observed_free)

/*
 * The action is sealed, and a view shows it its inputs. `weak` becomes the key that what it sees is
 * found by: of the action without its inputs, but with those that lie where outputs are declared,
 * since they are output whether it looks at them or not.
 */
bool observed_provide(struct observed *observed, const struct action *action, struct digest *weak,
                      GError **error);

/*
 * Properties of the platform that a view shows: who the caller is, where the workspace, and unless
 * NULL what checkout the command has been told of; and which `caches` it shares. Replaces
 * *platform.
 */
void observed_add_platform(const char *workspace, const char *checkout, char *const *caches,
                           char ***platform);

/*
 * Has an earlier execution of the action `weak` seen what one would see now? Sets *key to that of
 * its result. False: *reason says why not (owned by the caller), or there is an error.
 */
bool observed_find(struct observed *observed, const struct digest *weak, struct digest *key,
                   char **reason, GError **error);

struct recorder *observed_recorder(struct observed *observed); /* borrowed */
struct trace_state *observed_times(struct observed *observed); /* borrowed: for the view's clock */
struct trace_state *observed_system_times(struct observed *observed); /* the same for that of the
                                                                          system */

/* Everything has ended. Returns why the result must not be stored (V8), borrowed, or NULL. */
const char *observed_seal(struct observed *observed);
const char *observed_refusal(const struct observed *observed); /* the same again */

/*
 * Let `batch` record what an execution of `weak` has seen; `result` learns what to keep. *key is
 * the action's if it is sealed; else it is set to the strong key.
 */
bool observed_record(struct observed *observed, struct store_batch *batch,
                     const struct digest *weak, struct result *result, struct digest *key,
                     GError **error);

/*
 * Let `batch` keep what there is to look at afterwards (kept.h), stored or not; *out names it for
 * the history.
 */
bool observed_keep(struct observed *observed, struct store_batch *batch, struct digest *out,
                   GError **error);

/* What looking up has learned about times, if anything. */
bool observed_has_learned(const struct observed *observed);
void observed_flush(struct observed *observed, struct store_batch *batch);

/* Outputs have the times at which they were written, and keep them as long as their content. */
void observed_learn(struct observed *observed, const struct tree *outputs,
                    const struct result *result, struct store_batch *batch);

#endif
