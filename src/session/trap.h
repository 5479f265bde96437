// SPDX-License-Identifier: Apache-2.0
/*
 * The exec trap of one run: which execve() of the command's processes is stopped, and what becomes
 * of it. How it works is in doc/design/exec-trap.md.
 *
 * A program that is stopped is replaced by the shim (src/shim), which asks what to do. A leaf is to
 * run in a view of its own (session/nested.h); everything else there and then, in the same process:
 * the process tree, the descriptors and the times of its signals are those of an untrapped run. A
 * further answer (its result is known) would be another member of enum shim_answer.
 *
 * Life cycle: trap_new() … sandbox_view.trap = trap_sandbox() … the run ends … trap_free().
 */
#ifndef SESSION_TRAP_H
#define SESSION_TRAP_H

#include "sandbox/sandbox.h"

enum trap_class {
    TRAP_ORCHESTRATOR, /* runs others: these are worth a look, not itself */
    TRAP_LEAF,         /* does its work itself, or by helpers that nobody else uses */
    TRAP_TINY,         /* over before anybody could have asked */
    TRAP_UNKNOWN,
};

/* A plain struct: from options today. Names are base names, without a target's prefix or a version.
 */
struct trap_policy {
    enum trap_scope {
        TRAP_NOTHING,
        TRAP_LEAVES,
        TRAP_ALL, /* whatever can be: for tests */
    } scope;
};
enum trap_class trap_classify(const char *program);

struct trap;
typedef struct trap trap;

struct trap *trap_new(const struct trap_policy *policy); /* NULL: it traps nothing */
void trap_free(struct trap *trap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(trap, trap_free)

const struct sandbox_trap *trap_sandbox(struct trap *trap); /* of NULL: NULL */

struct trap_counts {
    guint stopped, answered; /* so far */
    guint committed;         /* of them in a view of their own, and */
    guint conflicts;         /* paths at which these met; both known at the end of the run */
};
void trap_counts(struct trap *trap, struct trap_counts *counts);

#endif
