// SPDX-License-Identifier: Apache-2.0
/*
 * The machine as a world: files of the workspace and outside of it, the caller's environment, what
 * the store holds. Costs one stat per file while nothing has changed. May be asked from any thread.
 */
#ifndef ENGINE_WORLD_HOST_H
#define ENGINE_WORLD_HOST_H

#include "engine/fact.h"
#include "store/capture.h"

enum { /* fact_answer.what */
    WORLD_MISSING = 0,
    WORLD_THERE = 1,      /* a variable, blob, tree, selection, or machine */
    WORLD_UNREADABLE = 2, /* and there is no digest */
    WORLD_FILE = 3,       /* digest of the content */
    WORLD_EXECUTABLE = 4, /* a file that its owner may execute; likewise */
    WORLD_DIRECTORY = 5,  /* NAMES: digest of names and kinds */
    WORLD_LINK = 6,       /* digest of the target */
    WORLD_OTHER = 7,
};

struct host_world_options {
    const char *root; /* the workspace; absolute */
    struct store *store;
    struct stat_cache *stats; /* flushed into the store when a run is over */
};
/* All options must outlive it, `root` excepted. */
struct world *host_world_new(const struct host_world_options *options, GError **error);

/*
 * What the patterns (a line each, glob.h) select of the workspace, .git and the store left out
 * unless a pattern names them. With a batch contents go there.
 */
struct tree *host_world_select(struct world *world, const char *patterns, struct store_batch *batch,
                               GError **error);

#endif
