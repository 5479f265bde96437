// SPDX-License-Identifier: Apache-2.0
/* Of run.c alone: what needs no more of a run than what is passed. */
#ifndef SESSION_RUN_REPORT_H
#define SESSION_RUN_REPORT_H

#include "action/action.h"
#include "base/event.h"
#include "session/trap.h"
#include "store/store.h"

/* EVENT_MISSING for each declared output that nothing matched. */
void report_missing(struct event_sink *sink, const struct result *result);

/* A warning that names what a run in a view wrote outside of the workspace; NULL: nothing. */
void report_dropped(struct event_sink *sink, char *const *paths);

/* How many execve() the trap stopped; NULL: there is none. */
void report_trapped(struct event_sink *sink, struct trap *trap);

/* Add to *error, "not found", where the caller's PATH leads to `name`. */
void hint_at_program(const char *name, GError **error);

/* Evict other results than `key`, and say so, if the store has outgrown `limit`; 0: there is none.
 */
void trim_store(struct event_sink *sink, struct store *store, const struct digest *key,
                guint64 limit);

#endif
