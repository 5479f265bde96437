// SPDX-License-Identifier: Apache-2.0
/*
 * Rules for tests of the engine. Types are records with one field, "v". A rule is a function that
 * is called for each step with what it has been given so far, and says what next.
 */
#ifndef TEST_ENGINE_SUPPORT_H
#define TEST_ENGINE_SUPPORT_H

#include "engine/engine.h"
#include "graph-support.h"

static inline struct value *support_record(const char *type, struct value *field)
{
    static const char *const fields[] = { "v", NULL };
    g_autoptr(value_type) made = value_type_new(type, fields, NULL);
    struct value *record = value_record(made, &field, NULL);
    value_unref(field);
    return record;
}

static inline struct value *support_number(const char *type, gint64 number)
{
    return support_record(type, value_integer(number));
}

static inline gint64 support_of(const struct value *record)
{
    return value_number(value_field(record, "v"));
}

struct support_task {
    const struct engine_rule *rule;
    struct engine_call *call;
    struct value *const *params;
    int step; /* how often it was resumed before */
    struct value *const *results;
    gsize count;
    GPtrArray *kept;         /* values that live as long as the task */
    struct engine_get *gets; /* what support_want() gathers */
    gsize get_count;
    gint64 number; /* the rule's own */
};

typedef void (*support_body)(struct support_task *task, struct engine_step *step);

struct support_rule {
    const char *name;
    support_body body;
    void *user;
    bool uncacheable;
    int starts, frees, cancels; /* counted */
};

/* One more thing to ask for at once; takes the inputs, which end with NULL. */
static inline void support_want(struct support_task *task, struct engine_step *step,
                                const char *output, ...)
{
    va_list inputs;
    guint first = task->kept->len;
    struct value *input;
    va_start(inputs, output);
    while ((input = va_arg(inputs, struct value *)) != NULL)
        g_ptr_array_add(task->kept, input);
    va_end(inputs);
    gsize count = task->kept->len - first;
    struct value **copies = g_new(struct value *, count + 1);
    for (gsize i = 0; i < count; i++)
        copies[i] = task->kept->pdata[first + i];
    task->gets = g_renew(struct engine_get, task->gets, task->get_count + 1);
    task->gets[task->get_count++] = (struct engine_get){ output, copies, count };
    step->outcome = ENGINE_WANTS;
    step->gets = task->gets;
    step->get_count = task->get_count;
}

static inline void support_done(struct engine_step *step, struct value *value)
{
    step->outcome = ENGINE_DONE;
    step->value = value;
}

static inline void support_fail(struct engine_step *step, const char *text)
{
    step->outcome = ENGINE_FAILED;
    step->error = g_strdup(text);
}

static inline struct support_rule *support_rule_of(const struct support_task *task)
{
    return task->rule->data;
}

static inline void *support_start(const struct engine_rule *rule, struct engine_call *call,
                                  struct value *const *params)
{
    struct support_task *task = g_new0(struct support_task, 1);
    task->rule = rule;
    task->call = call;
    task->params = params;
    task->kept = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    support_rule_of(task)->starts++;
    return task;
}

static inline void support_forget_gets(struct support_task *task)
{
    for (gsize i = 0; i < task->get_count; i++)
        g_free((struct value **)task->gets[i].inputs);
    task->get_count = 0;
}

static inline void support_resume(void *data, struct value *const *results, gsize count,
                                  struct engine_step *step)
{
    struct support_task *task = data;
    support_forget_gets(task);
    task->results = results;
    task->count = count;
    support_rule_of(task)->body(task, step);
    task->step++;
}

static inline void support_cancel(void *data)
{
    struct support_task *task = data;
    support_rule_of(task)->cancels++;
}

static inline void support_free(void *data)
{
    struct support_task *task = data;
    support_rule_of(task)->frees++;
    support_forget_gets(task);
    g_free(task->gets);
    g_ptr_array_unref(task->kept);
    g_free(task);
}

static const struct engine_operations support_operations = { support_start, support_resume,
                                                             support_cancel, support_free };

struct support_engine {
    struct graph *graph;
    struct engine *engine;
};

/* `slack`: engine_options.memo_slack. `text` as in graph-support.h; a rule for each of `rules`,
 * up to the one without a name. */
static inline void support_open_in(struct support_engine *out, const char *text,
                                   struct support_rule *rules, struct world *world,
                                   struct store *store, guint64 slack)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) made = g_array_new(FALSE, TRUE, sizeof(struct engine_rule));
    gsize count;
    for (struct support_rule *rule = rules; rule->name != NULL; rule++) {
        const struct engine_rule one = { .name = rule->name,
                                         .operations = &support_operations,
                                         .data = rule,
                                         .uncacheable = rule->uncacheable };
        g_array_append_val(made, one);
    }
    out->graph = support_solve(text);
    graph_errors(out->graph, &count);
    g_assert_cmpuint(count, ==, 0);
    const struct engine_options options = { .graph = out->graph,
                                            .rules = (struct engine_rule *)(void *)made->data,
                                            .rule_count = made->len,
                                            .world = world,
                                            .store = store,
                                            .memo_slack = slack };
    out->engine = engine_new(&options, &error);
    g_assert_no_error(error);
}

static inline void support_close(struct support_engine *opened)
{
    engine_free(opened->engine);
    graph_free(opened->graph);
}

#endif
