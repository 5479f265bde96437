// SPDX-License-Identifier: Apache-2.0
/*
 * What a run leaves to look at, whether its result is stored or not: the trace, and the files of
 * the workspace that it read, as they were. `vial why` shows what changed in them, `vial shell`
 * shows them in their places. Nothing depends on it: it goes before any result does.
 */
#ifndef SESSION_KEPT_H
#define SESSION_KEPT_H

#include "cache/history.h"
#include "session/session-internal.h"
#include "trace/trace.h"

/* Larger files are not kept, and no more than this of one run. */
#define KEPT_FILE_MAX (G_GUINT64_CONSTANT(8) << 20)
#define KEPT_RUN_MAX (G_GUINT64_CONSTANT(128) << 20)

/*
 * Let `batch` keep what `trace` has on record; *out names it in the history. Files that are not in
 * `store` yet are read from the workspace; one that has changed since is left out.
 */
bool kept_record(struct session *session, struct store *store, struct store_batch *batch,
                 const struct trace *trace, struct digest *out, GError **error);

/* What ran; NULL: it is not kept any more. */
struct action *kept_action(struct session *session, const struct history_entry *entry);

/* The trace of a run, as long as its result or what it left is there. FAULT_MISSING. */
struct trace *kept_trace(struct session *session, const struct history_entry *entry,
                         GError **error);

/*
 * The files that the run `entry`, or the one whose result it reused, has left: a tree like the
 * workspace. The empty tree: there are none any more.
 */
struct tree *kept_inputs(struct session *session, const struct history_entry *entry);

#endif
