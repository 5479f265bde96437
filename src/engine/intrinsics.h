// SPDX-License-Identifier: Apache-2.0
/*
 * What vial itself can do for rules, in C: run processes, read files of the workspace, work on
 * trees in the store, read the environment, find programs. Each is a rule of one param; man/
 * vial-rules.scd describes the records.
 *
 * All work is done by a pool of threads. Processes go the one way: cache/perform.h.
 *
 * Life cycle: intrinsics_new() … engines with intrinsics_rules() and intrinsics_world() …
 * intrinsics_free() after them.
 */
#ifndef ENGINE_INTRINSICS_H
#define ENGINE_INTRINSICS_H

#include "engine/engine.h"

struct intrinsics;
typedef struct intrinsics intrinsics;

struct intrinsics_options {
    const char *workspace; /* absolute */
    struct store *store;
    unsigned jobs; /* processes at once; 0: one per processor */
};
struct intrinsics *intrinsics_new(const struct intrinsics_options *options, GError **error);
void intrinsics_free(struct intrinsics *intrinsics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(intrinsics, intrinsics_free)

/* For engine_options; theirs. */
const struct engine_rule *intrinsics_rules(const struct intrinsics *intrinsics, gsize *count);
struct world *intrinsics_world(const struct intrinsics *intrinsics);

/* Records that go in or come out, and the rules between them, for whoever declares them. */
struct intrinsic_record {
    const char *name;
    const char *fields[8]; /* up to the first NULL */
};
struct intrinsic_rule {
    const char *name, *output, *param;
};
const struct intrinsic_record *intrinsic_records(gsize *count);
const struct intrinsic_rule *intrinsic_rules(gsize *count);

#endif
