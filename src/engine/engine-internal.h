// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of the engine share. All of it belongs to the thread that is in engine_run(), but
 * for what `engine.lock` guards.
 *
 * Invariants
 *  1. A datum stands for one value: two data are the same pointer if and only if their values are
 *     equal. So comparing what a dependency was with what it is compares pointers.
 *  2. An instance is found by its plan and the data of its params; there is one of each.
 *  3. `verified == engine.revision` means: the value is what a computation now would give.
 *     The revision rises when a fact has changed, or something has to run once in every run.
 *  4. An instance that is being computed has one activity; an activity is freed by its own step
 *     alone, and stands at most once in `ready`.
 */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include "engine/engine.h"

#define ENGINE_NONE G_MAXUINT32

/* --- plan: the graph, ready for use ----------------------------------------------------------- */

struct source { /* of one param of the target */
    bool provided;
    guint index; /* into what the get provides, sorted by type; or into the own params */
};

struct link {
    const struct graph_dependency *dependency;
    guint provided;         /* how many */
    guint target;           /* plan */
    struct source *sources; /* for each param of the target; of a param node for itself */
};

struct plan {
    const struct graph_node *node;
    const struct engine_rule *rule; /* NULL: query or param */
    guint param_count;
    struct link *links;
};

struct plan *plans_new(const struct graph *graph, GHashTable *rules, gsize *count, GError **error);
void plans_free(struct plan *plans, gsize count);
/* The dependency that `output` <- inputs of these (sorted) types means; NULL: none. */
const struct link *plan_find(const struct plan *plan, const char *output, const char *const *types);

/* --- data, facts, instances ------------------------------------------------------------------- */

struct datum {
    struct digest digest; /* first: it is its own key */
    guint references;
    guint32 id;            /* in the memo; ENGINE_NONE: not there */
    struct value *value;   /* NULL: not loaded yet */
    const guint8 *encoded; /* in the memo's bytes; NULL: there is `value` */
};

struct known_fact {
    struct fact fact; /* subject is owned */
    struct fact_answer answer;
    guint references;
    guint32 run; /* in which it was asked */
    guint32 id;  /* in the memo */
};

struct edge {
    guint32 to;         /* instance */
    bool last;          /* of those that were asked for at once */
    struct datum *seen; /* a reference */
};

struct fact_edge {
    struct known_fact *fact; /* a reference */
    struct fact_answer seen;
};

/* What a value was computed from. */
struct record {
    struct edge *edges;
    struct fact_edge *facts;
    guint32 edge_count, fact_count;
};

struct failure {
    guint references;
    char *text;            /* of the cause; NULL: it is `cause` */
    struct failure *cause; /* a reference */
    struct instance *where;
    char *place; /* in the source of the rule; or NULL */
};

struct activity;

struct instance {
    guint32 id, plan;
    guint32 memo;        /* number in the memo; ENGINE_NONE: not there */
    struct datum *value; /* NULL: none yet */
    struct record record;
    guint32 verified; /* revision */
    guint32 asked;    /* run */
    guint32 failed;   /* run in which `failure` came about */
    guint8 happening; /* enum engine_happening */
    bool unkept;      /* the value counts in its revision only */
    bool changed;     /* is not in the memo as it is here */
    gint64 duration;
    struct failure *failure;
    struct activity *activity;
    struct instance *next; /* of the same hash */
    struct datum *params[];
};

/* --- activities ------------------------------------------------------------------------------- */

struct wait { /* one requester for one instance; in the target's list while it is pending */
    struct activity *requester; /* NULL: a request of engine_run() */
    struct instance *to;
    struct wait *next, **link; /* link == NULL: not pending */
};

enum phase {
    PHASE_CHECK,  /* asking again for what the value was computed from */
    PHASE_PARAMS, /* asking for the positional params */
    PHASE_TASK,
};

struct fact_report {
    struct fact fact; /* subject is owned */
    struct fact_answer answer;
};

struct engine_call {
    struct engine *engine;
    gint cancelled;      /* atomic */
    bool unkept;         /* guarded by engine.lock, and so is the next */
    GPtrArray *reported; /* struct fact_report * */
};

struct slot { /* one thing asked for */
    struct wait wait;
    struct value *direct; /* a param itself, a reference; NULL: wait.to gives it */
};

struct activity {
    struct engine_call call;
    struct instance *instance;
    enum phase phase;
    bool queued; /* stands in `ready` */
    bool asked;  /* the slots are what this phase is about */
    bool later, completed, hurried;
    void *task;
    struct wait *waiters; /* who wants this */
    struct slot *slots;
    guint slot_count, pending;
    guint32 checked;       /* edges of the old record that are found equal */
    GArray *edges;         /* struct edge: the new record */
    struct value **params; /* positional, references */
    struct failure *cause; /* a dependency failed; a reference */
    struct engine_step completion;
    gint64 duration, since; /* microseconds */
};

struct engine {
    struct engine_options options;
    GHashTable *rules; /* name -> struct engine_rule * */
    struct plan *plans;
    gsize plan_count;
    GHashTable *data;     /* set of struct datum * */
    GHashTable *facts;    /* set of struct known_fact * */
    GHashTable *table;    /* hash -> struct instance *, chained */
    GPtrArray *instances; /* by id */
    guint32 run, revision;
    bool closing;      /* the tables are gone already */
    bool repeats;      /* something has to run in every run */
    GPtrArray *ready;  /* struct activity *, a stack */
    guint outstanding; /* activities that are LATER */
    guint open;        /* requests of engine_run() that are not settled */
    struct engine_statistics statistics;
    int wake;       /* eventfd */
    gint cancelled; /* atomic */
    GMutex lock;
    GQueue completed;  /* struct activity *; guarded by lock */
    struct memo *memo; /* NULL: nothing is kept */
};

/* A request of engine_run(). */
struct root {
    struct wait wait;
    struct value *direct;  /* the query is for one of its params; borrowed */
    guint target;          /* plan */
    struct datum **params; /* of the target; NULL: `direct`, `error`, or the wait has them */
    struct digest key;     /* of target and params */
    char *error;
    struct value *value; /* from the memo; a reference */
};

struct memo *memo_new(struct engine *engine);
void memo_free(struct memo *memo);
void memo_root_key(const struct engine *engine, struct root *root);
/*
 * Answer all roots from what is on record with them, if it is and all facts below them are as they
 * were. False without an error: the graph is needed, and from now on it is loaded. What was asked
 * of the world is not asked again in this run.
 */
bool memo_answer(struct engine *engine, struct root *roots, gsize count, GError **error);
/* Keep what this run has found out; what cannot be kept is computed again. */
void memo_save(struct engine *engine, const struct root *roots, gsize count);
/* Load the graph, if that has not been done. */
void memo_load(struct engine *engine);

struct datum *datum_take(struct engine *engine,
                         struct value *value); /* a reference; borrows value */
struct datum *datum_ref(struct datum *datum);
void datum_unref(struct engine *engine, struct datum *datum);
struct value *datum_value(struct datum *datum); /* borrowed */

/* A reference. */
struct known_fact *fact_take(struct engine *engine, const struct fact *fact);
void fact_drop(struct engine *engine, struct known_fact *fact);
bool facts_ask(struct engine *engine, bool *changed, GError **error);

/* Takes the references to `params`. */
struct instance *instance_take(struct engine *engine, guint plan, struct datum **params);
void record_release(struct engine *engine, struct record *record);
void tables_init(struct engine *engine);
void tables_release(struct engine *engine);
void instance_describe(struct engine *engine, const struct instance *instance,
                       struct engine_instance *out);

static inline struct instance *instance_at(const struct engine *engine, guint32 id)
{
    return engine->instances->pdata[id];
}

/* --- failures --------------------------------------------------------------------------------- */

struct failure *failure_new(const char *text, struct instance *where); /* copies */
struct failure *failure_after(struct failure *cause, struct instance *where);
struct failure *failure_ref(struct failure *failure);
void failure_unref(struct failure *failure);
/* The text of the cause, and a line for each rule from there to the one that was asked for. */
char *failure_print(struct engine *engine, const struct failure *failure);
void instance_print(struct engine *engine, const struct instance *instance, GString *out);

/* --- tasks ------------------------------------------------------------------------------------ */

/* Ask for an instance on behalf of `wait`; true: it is settled already. */
bool task_ask(struct engine *engine, struct wait *wait);
/* Not wanted any more. */
void task_forget(struct engine *engine, struct wait *wait);
void task_wake(struct engine *engine, struct activity *activity);
/* Go on with an activity that was taken from `ready`. */
void task_step(struct engine *engine, struct activity *activity);
/* Nothing can go on: find instances that wait for one another, and let one of them fail. */
void cycle_break(struct engine *engine, struct instance *from);

static inline bool instance_has_failed(const struct engine *engine, const struct instance *instance)
{
    return instance->failure != NULL && instance->failed == engine->run;
}
static inline bool instance_is_valid(const struct engine *engine, const struct instance *instance)
{
    return instance->value != NULL && instance->verified == engine->revision;
}

#endif
