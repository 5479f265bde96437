// SPDX-License-Identifier: Apache-2.0
/*
 * A sealed action whose inputs are in the store: found, or run and recorded. For whoever has no
 * workspace to capture from and commit to; session/ has its own way through the same steps.
 */
#ifndef CACHE_PERFORM_H
#define CACHE_PERFORM_H

#include "action/executor.h"
#include "cache/cache.h"

struct perform_request {
    struct store *store;
    struct stat_cache *stats; /* of the machine's files */
    struct action *action;    /* all set but `platform`, which is filled in */
    unsigned jobs;            /* threads for laying out and capturing; 0: one per processor */
    const volatile int *interrupt, *interrupt_count; /* executor.h */
};

struct performed {
    bool hit;
    struct digest key;
    struct result *result; /* owned */
    char *refusal;         /* owned: why it was not stored (V8); NULL: it was */
};
void performed_clear(struct performed *performed);

/*
 * The properties of the machine that the action can see, at the level that sandboxes have here.
 * Caller frees.
 */
char **perform_platform(struct stat_cache *stats, const struct action *action, GError **error);

/*
 * One of several equal actions at the same moment runs, the others wait for its result. A result
 * that says that the command failed is as good as any. False: it did neither run nor was it found;
 * FAULT_MISSING: an input is not in the store.
 */
bool cache_perform(const struct perform_request *request, struct performed *out, GError **error);

#endif
