// SPDX-License-Identifier: Apache-2.0
/*
 * Rule graph construction: from typed rules that never name one another to a graph in which every
 * input of every rule has exactly one source. Runs nothing, reads nothing, knows no Lua.
 *
 * What a right answer is stands in doc/design/rule-graph.md; the five phases are those of the
 * public page "Rule Graph Construction" (https://www.pantsbuild.org, Internal architecture).
 *
 * Invariants
 *  1. The answer depends on the set of rules and queries, not on the order in which they came.
 *  2. It ends on every input: nodes are keyed by (rule, scope, wanted params), all finite, and
 *     every later step only ever takes sources away.
 *  3. Phases mark sources and nodes as deleted, with a reason, and remove none; only prune_edges
 *     makes errors out of the reasons.
 *
 * Life cycle: graph_input_new(), any number of graph_input_rule() and graph_input_query(),
 * graph_solve(), questions, graph_free(). Texts handed in are copied. A graph is immutable and
 * independent of its input; any number of threads may ask it.
 */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include <glib.h>
#include <stdbool.h>

/* `output <- inputs`; inputs end with NULL, NULL is none, and their order does not matter. */
struct graph_get {
    const char *output;
    const char *const *inputs;
};

struct graph_rule {
    const char *name;
    const char *output;
    const char *const *params; /* positional, ends with NULL; NULL is none */
    const struct graph_get *gets;
    gsize get_count;
    const char *file; /* where it was declared, for messages; or NULL */
    guint line;
    bool builtin; /* nobody declared it, so nobody is warned if no query uses it */
};

struct graph_query {
    const char *output;
    const char *const *params; /* a set */
    const char *file;
    guint line;
};

struct graph_input;
typedef struct graph_input graph_input;

struct graph_input *graph_input_new(void);
void graph_input_free(struct graph_input *input);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(graph_input, graph_input_free)

/* A name that is taken is no failure here: graph_solve() reports it with both places. */
void graph_input_rule(struct graph_input *input, const struct graph_rule *rule);
/* The same query twice is one. */
void graph_input_query(struct graph_input *input, const struct graph_query *query);
/* What was wrong with the declarations themselves is reported with the rest, as GRAPH_LOAD. */
void graph_input_fault(struct graph_input *input, const char *file, guint line,
                       const char *message);

enum graph_kind {
    GRAPH_QUERY,
    GRAPH_RULE,
    GRAPH_PARAM,
};

struct graph_dependency {
    const char *output;
    const char *const *provides; /* of a get, sorted, ends with NULL; of a positional param empty */
    guint node;                  /* index into graph_nodes() */
};

/* Two nodes of one rule with one in-set can differ in their dependencies: a node is its index. */
struct graph_node {
    enum graph_kind kind;
    const char *name; /* of the rule; the type of a query or param */
    const char *output;
    const char *const *params; /* sorted: what is consumed; of a query what it declares */
    const struct graph_dependency *dependencies; /* positional params, then gets, as declared */
    guint dependency_count;
    guint positional_count; /* so many of them are positional params */
};

enum graph_fault {
    GRAPH_NO_SOURCE,
    GRAPH_AMBIGUOUS,
    GRAPH_NO_RULE,
    GRAPH_DUPLICATE_RULE,
    GRAPH_UNDECLARED_QUERY,
    GRAPH_UNUSED_RULE, /* this one and the next are warnings */
    GRAPH_UNGROUNDED,
    GRAPH_LOAD, /* a declaration, or a file of them, that cannot be read; output and node are NULL
                 */
};

struct graph_error {
    enum graph_fault kind;
    const char *output; /* the type that lacks a source */
    const char *node;   /* rule, or "query T(A, B)" */
    const char *file;   /* of the rule or query, or NULL */
    guint line;
    const char *const *candidates; /* rules; "param T" for a param; ends with NULL */
    const char *message;           /* several lines, the later ones indented */
};

const char *graph_fault_name(enum graph_fault kind); /* "no_source", … */

struct graph;
typedef struct graph graph;

/* Never NULL. With errors there are no nodes. */
struct graph *graph_solve(const struct graph_input *input);
/* As if this query, which is declared, were the only one; no rule is unused then. */
struct graph *graph_solve_only(const struct graph_input *input, const char *output,
                               const char *const *params);
void graph_free(struct graph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(graph, graph_free)

/* Sorted by place, node, output and kind. */
const struct graph_error *graph_errors(const struct graph *graph, gsize *count);
const struct graph_error *graph_warnings(const struct graph *graph, gsize *count);

/* What queries reach: queries, rules, params, each sorted by name and then params. */
const struct graph_node *graph_nodes(const struct graph *graph, gsize *count);

/*
 * Is this query declared? `params` is a set, NULL is none. If not, *error says so (unless that is
 * NULL), with the nearest declared query; it is the caller's.
 */
bool graph_input_declares(const struct graph_input *input, const char *output,
                          const char *const *params, struct graph_error **error);

/* The node of a declared query in a graph without errors; otherwise -1 and *error as above. */
gint64 graph_find(const struct graph *graph, const char *output, const char *const *params,
                  struct graph_error **error);
void graph_error_free(struct graph_error *error);

/* JSON on one line, without a newline: nodes and warnings, or errors; of `root`'s part if >= 0. */
char *graph_json(const struct graph *graph, gint64 root);
/* {"ok":false,"errors":[…]} of one error. */
char *graph_error_json(const struct graph_error *error);
/* For people: a paragraph per query and rule; of `root`'s part if >= 0. */
char *graph_text(const struct graph *graph, gint64 root);
/* For dot(1); of `root`'s part if >= 0. Without nodes it is an empty graph. */
char *graph_dot(const struct graph *graph, gint64 root);

#endif
