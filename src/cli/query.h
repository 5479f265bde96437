// SPDX-License-Identifier: Apache-2.0
/* What commands that run rules have in common. */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include "cli/cli.h"
#include "engine/intrinsics.h"
#include "engine/watch.h"
#include "rules/rules.h"
#include "session/session.h"

/* All of a workspace that an engine needs, zeroed at first. */
struct query_setup {
    struct store *store;
    struct session *session;
    struct rules *rules;
    struct graph *graph;
    struct intrinsics *intrinsics;
    GArray *engine_rules;
    struct engine *engine;
    char *output; /* of the query that was run; with its params, struct value */
    GPtrArray *params;
};

/*
 * Of the workspace around the working directory, with so many processes at once (0: as many as
 * processors). EXIT_OK, or after printing why not, another.
 */
int query_open(struct query_setup *setup, int jobs);
void query_close(struct query_setup *setup);

/*
 * Run a query such as 'T(A{x=1})' and print what failed; a signal cancels it. *value is the
 * caller's.
 */
int query_run(struct query_setup *setup, const char *text, struct value **value);

/* The signal that came since the first query_run(); 0: none. */
int query_signal(void);
/* It also ends the wait of `watch`; NULL: of none. */
void query_interrupts(struct watch *watch);

/*
 * Load the rules again if they have changed; also if they could not be used before. EXIT_OK: the
 * engine is there.
 */
int query_refresh(struct query_setup *setup, int jobs);

/* "FILE:LINE: PREFIX MESSAGE" on stderr. */
void query_report(const struct graph_error *report, const char *prefix);

/* `vial graph --runtime`: run a query and print which instances it took. */
int graph_runtime(const char *query, bool dot, bool json);

/* "ran", "cleaned", … */
const char *query_happening(enum engine_happening happening);
/* "rule(Param{…})"; of a process that has a description, that. */
char *query_instance(const struct engine_instance *instance);

#endif
