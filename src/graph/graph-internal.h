// SPDX-License-Identifier: Apache-2.0
/*
 * What the phases share. Everything lives in the arena of one solve and is thrown away with it;
 * the finished graph has an arena of its own.
 *
 * A node stands for "this rule, with these params in scope". Each of its keys (positional param or
 * get) becomes a `choice`, which has `sources`: params, or nodes of rules. Ids are indices.
 */
#ifndef GRAPH_INTERNAL_H
#define GRAPH_INTERNAL_H

#include "graph/graph.h"

#define NONE G_MAXUINT

struct arena {
    char *at;
    gsize left;
    GPtrArray *blocks;
};
void arena_init(struct arena *arena);
void arena_release(struct arena *arena);
void *arena_take(struct arena *arena, gsize size); /* zeroed, aligned for words */
const char *arena_text(struct arena *arena, const char *text);

/* Sets of params: `width` words each. Interned ones are equal where their pointers are. */
typedef guint64 word;

struct sets {
    guint width;
    struct arena *arena;
    const word **slots;
    guint slot_mask, count;
    const word *empty;
};
void sets_init(struct sets *sets, struct arena *arena, guint members);
void sets_release(struct sets *sets);
const word *sets_intern(struct sets *sets, const word *set);
word *set_new(struct sets *sets);

static inline bool set_has(const word *set, guint member)
{
    return (set[member / 64] >> (member % 64)) & 1;
}
static inline void set_add(word *set, guint member)
{
    set[member / 64] |= (word)1 << (member % 64);
}
bool set_within(const word *a, const word *b, guint width);
bool set_same(const word *a, const word *b, guint width);
guint set_size(const word *a, guint width);
guint set_common(const word *a, const word *b, guint width);

/* What was declared, with types as numbers. */
struct type {
    const char *name;
    GArray *rules;
};

struct key {
    guint output;
    const guint *inputs; /* types, sorted by name, each once */
    guint input_count;
    bool get;
    const word *provides; /* the inputs; the solver's */
};

struct rule {
    const char *name, *file;
    guint line, output;
    struct key *keys; /* positional params first */
    guint key_count, positional;
    word *live; /* params that it or what is below could consume, in any scope */
    bool builtin;
    bool chooses; /* it or something below may have more than one source for a key */
};

struct query {
    const char *file;
    guint line;
    struct key key; /* its inputs are the params */
};

struct duplicate {
    guint first;
    const char *file;
    guint line;
};

struct fault {
    const char *file, *message;
    guint line;
};

struct graph_input {
    struct arena arena;
    GHashTable *type_ids, *rule_ids;
    GArray *types, *rules, *queries, *duplicates, *faults;
};

/* Index of a declared query, or -1. */
gint64 input_find(const struct graph_input *input, const char *output, const char *const *params);

enum reason {
    LIVE,
    DOES_NOT_CONSUME, /* the source does not use what the get provides */
    UNSATISFIABLE,    /* the source lacks a source itself */
    NEEDS_ITSELF,     /* only a cycle that provides nothing supports it, and another is better */
    LARGER,           /* another source has a smaller in-set, or uses more of what is wanted */
};

struct source {
    guint target; /* node, or bit of a param */
    bool param;
    guint8 reason;
};

struct choice {
    guint node;
    const struct key *key; /* NULL: between the two ways of a NODE_EITHER */
    const word *wanted;    /* sources that use more of these come first */
    const word *provides;
    guint source, source_count;
};

enum node_kind {
    NODE_QUERY,
    NODE_RULE,
    NODE_EITHER, /* one choice: the rule as it is by itself, or as it uses more of `wanted` */
};

struct node {
    guint8 kind;
    bool prefers; /* NODE_RULE that hands `wanted` on to its sources */
    bool dead, grounded, sure;
    guint of; /* rule or query */
    const word *scope, *wanted;
    guint choice, choice_count;
    word *low, *high; /* bounds of the in-set */
};

struct solver {
    const struct graph_input *input;
    struct arena arena;
    struct sets sets;
    struct rule *rules; /* copies, with sets in them */
    struct query *queries;
    guint rule_count, query_count;
    bool partial;      /* not all queries are looked at, so unused rules are no news */
    guint *param_of;   /* type -> bit in sets; NONE: no query and no get provides it */
    guint *param_type; /* bit -> type */
    guint param_count;
    GArray *nodes, *choices, *sources;
    GHashTable *known;        /* nodes by rule, scope and wanted */
    guint *user_start, *user; /* node -> choices that have it as a source */
    word *scratch[4];
    struct graph *graph;
    GHashTable *reported;
};

static inline struct node *node_at(const struct solver *solver, guint id)
{
    return &g_array_index(solver->nodes, struct node, id);
}
static inline struct choice *choice_at(const struct solver *solver, guint id)
{
    return &g_array_index(solver->choices, struct choice, id);
}
static inline struct source *source_at(const struct solver *solver, guint id)
{
    return &g_array_index(solver->sources, struct source, id);
}
static inline struct type *type_at(const struct graph_input *input, guint id)
{
    return &g_array_index(input->types, struct type, id);
}

struct source *choice_sole(const struct solver *solver, const struct choice *choice); /* or NULL */
guint choice_live(const struct solver *solver, const struct choice *choice);
/* A node that chooses between two ways stands for the one chosen. */
guint node_resolve(const struct solver *solver, guint id);

void phase_initial_polymorphic(struct solver *solver);
void phase_live_param_labeled(struct solver *solver);
void phase_monomorphize(struct solver *solver);
void phase_prune_edges(struct solver *solver);
void phase_finalize(struct solver *solver);

/* Take away what has no source, and whatever needs it. */
void live_spread_death(struct solver *solver, guint node);
/* Mark sources that cannot consume what is provided; true if there were any. */
bool live_drop_unused(struct solver *solver, const struct choice *choice);
/* One step of the equations of in-sets; true if `node` changed. */
bool live_raise(struct solver *solver, guint node);

/* Calls `visit` for each component; it may take sources away from the component's own nodes. */
typedef void component_visit(struct solver *solver, const guint *ids, guint count, void *data);
void components_visit(struct solver *solver, component_visit *visit, void *data);

struct graph {
    struct arena arena;
    GArray *nodes, *errors, *warnings;
};

/* Copies everything; `candidates` may be NULL. */
void graph_report(struct graph *graph, const struct graph_error *error);
void graph_sort_reports(struct graph *graph);

/* Errors, made from what the phases left. `path` holds node ids, query first, to `choice`'s. */
void errors_no_source(struct solver *solver, const GArray *path, const struct choice *choice);
void errors_ambiguous(struct solver *solver, const GArray *path, const struct choice *choice);
void errors_duplicates(struct solver *solver);
void errors_faults(struct solver *solver);
/* Warnings about a graph without errors. */
void warnings_find(struct solver *solver);
/* Node -> its number in the part below `root` (< 0: all), or NONE. Caller frees. */
guint *part_numbers(const struct graph *graph, gint64 root);
void set_describe(const struct solver *solver, const word *set, GString *out);

#endif
