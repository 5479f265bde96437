// SPDX-License-Identifier: Apache-2.0
/*
 * Own outputs: what earlier executions of the same command left in the workspace counts as rolled
 * back before its key is made, so that `vial run cc -o x x.c` is a hit the second time although x
 * now lies among the inputs.
 *
 * Per weak key and path: pairs (state before, state after), newest first. If the present state of a
 * path equals a recorded `after`, the state `before` takes its place. This decides only *which*
 * input tree the command gets; the key always covers the tree it does get, so no answer of this
 * table can make a wrong hit. A FIFO is no input, so one that an earlier execution made goes, and
 * any other is reported. Format: doc/format/own-outputs.md.
 */
#ifndef CACHE_OWN_H
#define CACHE_OWN_H

#include "action/action.h"

struct own;
typedef struct own own;

/* What is known for `weak`; empty if nothing is, or if the record is damaged. */
struct own *own_load(struct store *store, const struct digest *weak);
void own_free(struct own *own);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(own, own_free)

/* The workspace as it was captured. */
struct own_present {
    struct tree *tree;
    const GPtrArray *fifos;    /* char *, ascending: what lies beside the tree; NULL: none */
    const struct glob *select; /* what was captured; NULL: everything */
};

/*
 * The tree with own outputs rolled back. A state whose content `store` no longer holds is not
 * brought back, nor is a path that `select` leaves out; a directory that own outputs brought about
 * goes if nothing else is in it. *foreign, unless NULL: the first FIFO that was not rolled back,
 * borrowed from present->fifos, or NULL.
 */
struct tree *own_roll_back(const struct own *own, struct store *store,
                           const struct own_present *present, const char **foreign);

/*
 * Learn from an execution that started with `inputs` and left `outputs`, and the FIFOs and
 * deletions of `result`. Returns whether anything new was learned.
 */
bool own_learn(struct own *own, const struct tree *inputs, const struct tree *outputs,
               const struct result *result);

/*
 * Forget paths that are neither in the workspace nor among the outputs and FIFOs just learned, if
 * they are more than OWN_LEFT_OVERS: a command that makes other names each time would have a table
 * without end. What is forgotten costs a miss should it come back.
 */
enum {
    OWN_LEFT_OVERS = 1000
};
void own_forget(struct own *own, const struct own_present *present, const struct tree *outputs,
                const struct result *result);

GBytes *own_encode(const struct own *own);
struct own *own_decode(GBytes *bytes, GError **error);
void own_record(const struct own *own, struct store_batch *batch, const struct digest *weak);

#endif
