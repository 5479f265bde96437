// SPDX-License-Identifier: Apache-2.0
/*
 * Commands that run in a view of their own: a child of the view that the rest of the run is in, of
 * which they see the state at their start, and which has what they wrote before anybody can see
 * that they have ended. The shim (shim/shim.h) makes the mount and runs the program; here is the
 * session's half of that conversation, in a thread for each command.
 *
 * Life cycle: nested_new() … nested_run() from one thread … every process has ended …
 * nested_free().
 */
#ifndef SESSION_NESTED_H
#define SESSION_NESTED_H

#include "sandbox/sandbox.h"

struct nested;
typedef struct nested nested;

struct nested_counts {
    guint committed; /* commands whose delta has become part of the view */
    guint conflicts; /* paths at which two at the same time met (struct view_conflict) */
};

struct nested *nested_new(const struct sandbox_ground *ground);        /* borrowed */
void nested_free(struct nested *nested, struct nested_counts *counts); /* waits for all of them */

/* `client` is a shim that waits for its answer, `name` the program's argv[0]. Takes both. */
void nested_run(struct nested *nested, int client, char *name);

#endif
