// SPDX-License-Identifier: Apache-2.0
/*
 * Rules written in Lua 5.4: loads vial.lua and the files that it includes, in a world in which a
 * function can do nothing but compute. What it declares goes to graph/.
 *
 * Invariants
 *  1. Lua sees nothing that differs between two runs or machines: no files, time, random numbers or
 *     addresses, and tables are walked in the order of their keys.
 *  2. What one rule does cannot be told by another: globals, libraries and what files hold cannot
 * be changed by a rule.
 *  3. Whatever a file says, loading it ends, within limits on instructions and memory. A limit that
 *     was reached cannot be caught with pcall.
 *  4. A fault is reported with file and line, and the rest is loaded nevertheless.
 *
 * One thread at a time uses a set of rules. Life cycle: rules_load(), questions, rules_free().
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include "engine/engine.h"

struct rules;
typedef struct rules rules;

/* The content of a file; `path` is relative to the root. */
typedef GBytes *(*rules_read)(const char *path, void *user, GError **error);

struct rules_options {
    const char *root;     /* directory; NULL: the working directory */
    const char *shown;    /* goes before paths in messages: "" or "dir/"; NULL: "" */
    rules_read read;      /* NULL: files below root */
    void *user;           /* for read() */
    guint64 instructions; /* of Lua, for loading and for each run of a rule; 0: the default */
    size_t memory;        /* bytes, of Lua in all; 0: the default */
};

/*
 * Never NULL: what was wrong is a fault of the graph's input. `file` is relative to the root, and
 * includes stay within its directory. `options` may be NULL.
 */
struct rules *rules_load(const char *file, const struct rules_options *options);
void rules_free(struct rules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(rules, rules_free)

/* Rules, built-in ones included, queries and faults. */
const struct graph_input *rules_graph_input(const struct rules *rules);

/* Of the paths and contents of all files that were loaded. */
const struct digest *rules_digest(const struct rules *rules);

/*
 * The declared rules as the engine takes them: struct engine_rule, which the caller unrefs and
 * which need `rules` for as long as they are used.
 */
GArray *rules_for_engine(struct rules *rules);

/*
 * 'Out(A{x=1}, B{})': what it asks for, and what the constructors in it made, struct value; both
 * are the caller's. FAULT_USAGE.
 */
bool rules_evaluate_query(struct rules *rules, const char *text, char **output, GPtrArray **params,
                          GError **error);

/* "T(A, B)" or "T": an output and params, which end with NULL; both the caller's. FAULT_USAGE. */
bool rules_parse_query(const char *text, char **output, char ***params, GError **error);

#endif
