// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a solved rule graph: computes what a query asks for, and never runs a rule again while what
 * it went by is the same. Knows graphs, values, facts and the store; knows no Lua.
 *
 * An *instance* is a node of the graph and the values of its in-set params. It is computed by a
 * task, which asks for more instances as it goes. What it asked for, and the facts that it went by,
 * are on record with its value. In a later run an instance is *cleaned*, without running, if all of
 * that comes back equal, asked again in the same order; else it runs anew.
 *
 * Invariants
 *  1. No value is given out that a computation from nothing would not give.
 *  2. A rule runs only if it has no value yet, or one of its dependencies or facts has another
 *     value, or it is uncacheable and has not run in this run.
 *  3. An instance runs once at a time: equal requests wait for the same task.
 *  4. A failure is forgotten at the end of the run. So is what runs without a requester: it is
 *     cancelled.
 *
 * Threads. One thread at a time calls engine_new(), engine_run(), engine_free() and the questions;
 * all operations of tasks are called on the thread that is in engine_run(), never two at once.
 * engine_complete(), engine_fact(), engine_unkept() and engine_is_cancelled() may be called from
 * any thread between a task's start and its completion; engine_cancel() from any thread or signal
 * handler while the engine exists.
 *
 * Params and results are records: a value's type is its record's name. Everything else is an error
 * of the rule.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/fact.h"
#include "engine/value.h"
#include "graph/graph.h"
#include "store/store.h"

struct engine;
typedef struct engine engine;
struct engine_call; /* one task, as the engine sees it */

/* --- rules ------------------------------------------------------------------------------------ */

struct engine_get {
    const char *output;
    struct value *const *inputs; /* in any order; types differ */
    gsize count;
};

enum engine_outcome {
    ENGINE_WANTS, /* resume() again with the results of all `gets`, in their order */
    ENGINE_DONE,
    ENGINE_FAILED,
    ENGINE_LATER, /* engine_complete() will say */
};

struct engine_step {
    enum engine_outcome outcome;
    const struct engine_get *gets; /* WANTS: all at once; borrowed until the task is called again */
    gsize get_count;               /* 0 is fine */
    struct value *value;           /* DONE: the reference goes to the engine */
    char *error;                   /* FAILED: one line or several, with the place; freed by it */
};

struct engine_rule;

struct engine_operations {
    /*
     * A new task of `rule`. `params` are the values of its positional params as declared, valid
     * until free(). `call` stands for the task towards the engine; it is valid until free() begins.
     */
    void *(*start)(const struct engine_rule *rule, struct engine_call *call,
                   struct value *const *params);
    /*
     * Go on: first with no results, then with those asked for, borrowed. A task whose get fails is
     * not resumed: it fails with the same error, and is freed. *step is zeroed.
     */
    void (*resume)(void *task, struct value *const *results, gsize count, struct engine_step *step);
    /*
     * Nobody wants the result any more, and engine_complete() is outstanding: hurry. It must still
     * be called. NULL: nothing to hurry.
     */
    void (*cancel)(void *task);
    void (*free)(void *task); /* also of one that was cancelled between two resumes */
    /*
     * Where the task stands, such as "vial.lua:7", for people to see when what it asked for has
     * failed; freed by the engine. NULL, also as the answer: nobody knows.
     */
    char *(*where)(void *task);
};

struct engine_rule {
    const char *name; /* as in the graph */
    const struct engine_operations *operations;
    void *data;         /* for operations->start() */
    struct digest code; /* of whatever decides what it does: another code is another rule */
    bool uncacheable;   /* runs once in every run */
};

/* --- for tasks -------------------------------------------------------------------------------- */

/* Exactly once for each ENGINE_LATER. WANTS is allowed: `gets` must stay until the next resume. */
void engine_complete(struct engine_call *call, const struct engine_step *step);

/* The task went by this fact, and found this. */
void engine_fact(struct engine_call *call, const struct fact *fact,
                 const struct fact_answer *answer);

/* What this task gives counts in this run only (V8). */
void engine_unkept(struct engine_call *call);

/* Nobody wants the result any more. */
bool engine_is_cancelled(struct engine_call *call);

/* --- the engine ------------------------------------------------------------------------------- */

enum engine_happening {
    ENGINE_RAN,
    ENGINE_CLEANED,  /* dependencies and facts asked again: all equal */
    ENGINE_MEMOISED, /* nothing had to be asked again below it */
    ENGINE_BROKE,    /* it failed, or something that it asked for did */
    ENGINE_DROPPED,  /* cancelled */
};

struct engine_instance {
    guint32 id; /* from 0; stays the same as long as the engine exists */
    const char *rule;
    struct value *const *params; /* the in-set, sorted by type */
    gsize param_count;
    struct value *value;             /* NULL: none */
    enum engine_happening happening; /* in the last run in which it was asked for */
    bool asked;                      /* in the last run */
    gint64 duration; /* microseconds inside the rule when it last ran, without waiting */
    const guint32 *dependencies; /* ids */
    gsize dependency_count;
};
typedef void (*engine_visit)(const struct engine_instance *instance, void *user);

struct engine_options {
    const struct graph *graph;       /* without errors; must outlive the engine */
    const struct engine_rule *rules; /* copied, but for what they point to; any order */
    gsize rule_count;
    struct world *world; /* who answers facts; NULL: nobody, there are none */
    struct store *store; /* keeps the memo; NULL: it is forgotten with the engine */
    const char *scope;   /* tells memos of one store apart: the workspace's path; NULL: "" */
    guint64 memo_slack;  /* replaced bytes in the memo that are put up with; 0: the usual */
    /* Called in engine_run() as it happens; valid during the call. NULL: nobody listens. */
    engine_visit happened;
    void *user;
};

/* FAULT_USAGE: a rule of the graph is not among `rules`. */
struct engine *engine_new(const struct engine_options *options, GError **error);
void engine_free(struct engine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(engine, engine_free)

struct engine_request {
    const char *output;
    struct value *const *params; /* of a declared query, in any order */
    gsize count;
};
struct engine_result {
    struct value *value; /* owned by the caller; NULL: failed */
    char *error; /* owned: what failed, then a line for each rule from there up to the query */
};

/*
 * Instances that wait for one another fail, and are named, as soon as nothing else goes on.
 *
 * One run: answer all requests, side by side; results[i] for requests[i]. Facts are asked anew
 * first. The first failure of a request ends that request alone. Returns when nothing runs any
 * more. False: the facts could not be asked for, nothing has run, and results are empty.
 */
bool engine_run(struct engine *engine, const struct engine_request *requests, gsize count,
                struct engine_result *results, GError **error);
void engine_results_clear(struct engine_result *results, gsize count);

/* End the run that goes on, or else the next one: requests fail as cancelled. Async-signal-safe. */
void engine_cancel(struct engine *engine);

struct engine_statistics { /* of the last run */
    guint64 ran, cleaned, memoised, failed, cancelled;
    guint64 facts;     /* asked for */
    guint64 instances; /* known; 0 as long as all requests were answered without them */
};
void engine_statistics(const struct engine *engine, struct engine_statistics *out);

/* All instances that are known, by id, those of the memo included. */
void engine_each(struct engine *engine, engine_visit visit, void *user);

#endif
