// SPDX-License-Identifier: Apache-2.0
/* What the files of intrinsics share. */
#ifndef ENGINE_INTRINSICS_INTERNAL_H
#define ENGINE_INTRINSICS_INTERNAL_H

#include "engine/intrinsics.h"
#include "engine/world-host.h"

struct workers;
struct intrinsic_task;

/* On a thread of the pool. NULL: *error says why. */
typedef struct value *(*intrinsic_body)(struct intrinsic_task *task, struct value *param,
                                        GError **error);

struct intrinsic {
    struct intrinsic_rule rule;
    intrinsic_body body;
};

struct bound { /* an intrinsic of these options: data of its rule */
    struct intrinsics *intrinsics;
    const struct intrinsic *intrinsic;
};

struct intrinsics {
    struct store *store;
    struct stat_cache *stats;
    struct world *world;
    struct workers *workers;
    struct engine_rule *rules;
    struct bound *bound;
    struct value_type **types; /* as intrinsic_records() */
};

struct intrinsic_task {
    struct intrinsics *intrinsics;
    const struct intrinsic *intrinsic;
    struct engine_call *call;
    struct value *param;
    volatile int interrupt, interrupt_count; /* for a process: executor.h */
};

/* --- values: intrinsics-values.c -------------------------------------------------------------- */

/* Takes the references to fields, as many as the record has. */
struct value *make_record(const struct intrinsics *intrinsics, const char *name,
                          struct value **fields);
struct value *make_texts(const GPtrArray *texts); /* a list of strings */
struct value *make_list(const GPtrArray *values);
struct value *make_digest(const struct intrinsics *intrinsics, const struct digest *digest);

/* Fields of the record `from`. Of another kind than asked for: FAULT_USAGE, which names them. */
const char *take_text(const struct value *from, const char *field, GError **error); /* no NUL */
char **take_texts(const struct value *from, const char *field, GError **error);     /* nil: empty */
bool take_integer(const struct value *from, const char *field, gint64 *out, GError **error);
bool take_digest(const struct value *value, struct digest *out, GError **error); /* a Digest */
struct tree *take_tree(struct intrinsic_task *task, const struct value *value, GError **error);
struct glob *take_globs(const struct value *from, const char *field, GError **error);
bool usage(GError **error, const struct value *from, const char *field, const char *wanted);

/* --- facts ------------------------------------------------------------------------------------ */

/* The task goes by this, as the world says it is. */
bool note_fact(struct intrinsic_task *task, enum fact_kind kind, const char *subject,
               struct fact_answer *out, GError **error);
/* The result names this tree or blob, which has just been stored. */
void note_stored(struct intrinsic_task *task, enum fact_kind kind, const struct digest *digest);
/* Store the directories of `tree`, and make a Digest of it. */
struct value *give_tree(struct intrinsic_task *task, const struct tree *tree, GError **error);

/* --- bodies ----------------------------------------------------------------------------------- */

struct value *do_process(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_find_binary(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_environment(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_path_globs(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_create_digest(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_merge_digests(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_digest_subset(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_add_prefix(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_remove_prefix(struct intrinsic_task *task, struct value *param, GError **error);
struct value *do_digest_contents(struct intrinsic_task *task, struct value *param, GError **error);

#endif
