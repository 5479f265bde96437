// SPDX-License-Identifier: Apache-2.0
/*
 * What rule results depend on outside of the graph: files, listings, variables, what the store
 * holds. The engine records which facts an intrinsic went by and what they were, and asks a *world*
 * for them again before it reuses the result (V5).
 */
#ifndef ENGINE_FACT_H
#define ENGINE_FACT_H

#include "tree/digest.h"

enum fact_kind {          /* numbers are part of the format */
    FACT_FILE = 1,        /* path: what is there; mode and content of a file, target of a link */
    FACT_NAMES = 2,       /* path of a directory: names and kinds in it */
    FACT_ENVIRONMENT = 3, /* name of a variable: set or not, and its value */
    FACT_BLOB = 4,        /* printed digest: does the store hold this blob? */
    FACT_TREE = 5,        /* printed digest: does it hold this tree with all its files? */
    FACT_PLATFORM = 6,    /* "PROGRAM\nPATH\nNETWORK": the machine as such a command sees it */
    FACT_GLOBS = 7,       /* patterns, one a line: the tree of what they select of the workspace */
};
#define FACT_KINDS 8

struct fact {
    enum fact_kind kind;
    const char *subject; /* paths as in trace/trace.h: relative to the workspace, or absolute */
};

/* The world's own way to say what it found; equal if the same. */
struct fact_answer {
    guint32 what;
    struct digest digest;
};

int fact_compare(const struct fact *a, const struct fact *b); /* by kind, then as paths sort */
bool fact_answer_equal(const struct fact_answer *a, const struct fact_answer *b);

struct world;
struct world_operations {
    /*
     * answers[i] for facts[i], which ascend by fact_compare(), none twice; asks anew. What is not
     * there, or cannot be read, is an answer. False: the world has no answer now.
     */
    bool (*look_up)(struct world *world, const struct fact *facts, gsize count,
                    struct fact_answer *answers, GError **error);
    void (*settle)(struct world *world); /* a run is over: keep what was learned. May be NULL */
    void (*free)(struct world *world);
};
struct world { /* embedded first by each implementation */
    const struct world_operations *operations;
};
typedef struct world world;

void world_free(struct world *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(world, world_free)

/* The one fact; from any thread, if the world says that it may be asked from several. */
bool world_ask(struct world *world, enum fact_kind kind, const char *subject,
               struct fact_answer *answer, GError **error);

/* Nothing but what is put there, for tests: what == 0 until then. */
struct world *world_memory_new(void);
void world_memory_put(struct world *world, enum fact_kind kind, const char *subject,
                      const struct fact_answer *answer);

#endif
