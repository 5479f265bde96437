// SPDX-License-Identifier: Apache-2.0
/* The engine: making one, runs, and questions afterwards. */
#include "base/fault.h"
#include "engine/engine-internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- life ------------------------------------------------------------------------------------- */

static void copy_rules(struct engine *engine)
{
    engine->rules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (gsize i = 0; i < engine->options.rule_count; i++) {
        const struct engine_rule *rule = &engine->options.rules[i];
        char *name = g_strdup(rule->name);
        struct engine_rule *copy = g_memdup2(rule, sizeof *rule);
        copy->name = name;
        g_hash_table_replace(engine->rules, name, copy);
    }
    engine->options.rules = NULL;
}

struct engine *engine_new(const struct engine_options *options, GError **error)
{
    g_autoptr(engine) engine = g_new0(struct engine, 1);
    engine->options = *options;
    engine->revision = 1;
    g_mutex_init(&engine->lock);
    g_queue_init(&engine->completed);
    engine->ready = g_ptr_array_new();
    copy_rules(engine);
    tables_init(engine);
    engine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->wake < 0) {
        fault_errno(error, errno, "cannot make an eventfd");
        return NULL;
    }
    engine->plans = plans_new(options->graph, engine->rules, &engine->plan_count, error);
    if (engine->plans == NULL)
        return NULL;
    if (options->store != NULL)
        engine->memo = memo_new(engine);
    return g_steal_pointer(&engine);
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    tables_release(engine);
    memo_free(engine->memo);
    plans_free(engine->plans, engine->plan_count);
    g_hash_table_unref(engine->rules);
    g_ptr_array_unref(engine->ready);
    g_mutex_clear(&engine->lock);
    if (engine->wake >= 0)
        close(engine->wake);
    g_free(engine);
}

/* --- from other threads ----------------------------------------------------------------------- */

/* Failing with EAGAIN means that it is awake already. */
static void wake(struct engine *engine)
{
    const guint64 one = 1;
    ssize_t written = write(engine->wake, &one, sizeof one);
    (void)written;
}

void engine_cancel(struct engine *engine)
{
    g_atomic_int_set(&engine->cancelled, TRUE);
    wake(engine);
}

void engine_complete(struct engine_call *call, const struct engine_step *step)
{
    struct engine *engine = call->engine;
    struct activity *activity = (struct activity *)call;
    g_assert(step->outcome != ENGINE_LATER);
    g_mutex_lock(&engine->lock);
    activity->completion = *step;
    g_queue_push_tail(&engine->completed, activity);
    wake(engine);
    g_mutex_unlock(&engine->lock);
}

void engine_fact(struct engine_call *call, const struct fact *fact,
                 const struct fact_answer *answer)
{
    struct fact_report *report = g_new(struct fact_report, 1);
    *report = (struct fact_report){ { fact->kind, g_strdup(fact->subject) }, *answer };
    g_mutex_lock(&call->engine->lock);
    g_ptr_array_add(call->reported, report);
    g_mutex_unlock(&call->engine->lock);
}

void engine_unkept(struct engine_call *call)
{
    g_mutex_lock(&call->engine->lock);
    call->unkept = true;
    g_mutex_unlock(&call->engine->lock);
}

bool engine_is_cancelled(struct engine_call *call)
{
    return g_atomic_int_get(&call->cancelled) || g_atomic_int_get(&call->engine->cancelled);
}

/* --- a run ------------------------------------------------------------------------------------ */

static char *query_text(const struct engine_request *request)
{
    GString *out = g_string_new(request->output);
    g_string_append_c(out, '(');
    for (gsize i = 0; i < request->count; i++) {
        g_autofree char *text = value_print(request->params[i], 60);
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", text);
    }
    g_string_append_c(out, ')');
    return g_string_free(out, FALSE);
}

static gint compare_params(gconstpointer a, gconstpointer b)
{
    const struct value *x = *(struct value *const *)a, *y = *(struct value *const *)b;
    return g_strcmp0(value_record_name(x), value_record_name(y));
}

/* The param of this type; there is one, the query has been found by its types. */
static struct value *param_of(const GPtrArray *sorted, const char *type)
{
    for (guint i = 0; i < sorted->len; i++)
        if (strcmp(value_record_name(sorted->pdata[i]), type) == 0)
            return sorted->pdata[i];
    g_assert_not_reached();
}

/* The query's params by type; NULL and *error: they are none. */
static GPtrArray *sort_params(const struct engine_request *request, char **error)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    for (gsize i = 0; i < request->count; i++) {
        if (request->params[i] == NULL || value_record_name(request->params[i]) == NULL) {
            *error = g_strdup("a param of a query must be a record");
            return NULL;
        }
        g_ptr_array_add(sorted, request->params[i]);
    }
    g_ptr_array_sort(sorted, compare_params);
    for (guint i = 1; i < sorted->len; i++)
        if (compare_params(&sorted->pdata[i - 1], &sorted->pdata[i]) == 0) {
            *error = g_strdup_printf("two params of a query are a %s",
                                     value_record_name(sorted->pdata[i]));
            return NULL;
        }
    return g_steal_pointer(&sorted);
}

static void root_init(struct engine *engine, const struct engine_request *request,
                      struct root *root)
{
    g_autoptr(GPtrArray) sorted = sort_params(request, &root->error);
    if (sorted == NULL)
        return;
    g_autofree const char **types = g_new0(const char *, sorted->len + 1);
    for (guint i = 0; i < sorted->len; i++)
        types[i] = value_record_name(sorted->pdata[i]);
    struct graph_error *fault = NULL;
    gint64 found = graph_find(engine->options.graph, request->output, types, &fault);
    if (found < 0) {
        root->error = g_strdup(fault->message);
        graph_error_free(fault);
        return;
    }
    const struct plan *plan = &engine->plans[found];
    const struct link *link = &plan->links[0];
    const struct plan *target = &engine->plans[link->target];
    if (target->node->kind == GRAPH_PARAM) {
        root->direct = param_of(sorted, target->node->name);
        return;
    }
    root->target = link->target;
    root->params = g_new(struct datum *, target->param_count + 1);
    for (guint i = 0; i < target->param_count; i++)
        root->params[i] = datum_take(engine, param_of(sorted, target->node->params[i]));
    memo_root_key(engine, root);
}

/* Now that the memo is loaded, or there is none. */
static void root_place(struct engine *engine, struct root *root)
{
    if (root->params != NULL)
        root->wait.to = instance_take(engine, root->target, root->params);
    g_clear_pointer(&root->params, g_free);
}

static void root_release(struct engine *engine, struct root *root)
{
    for (guint i = 0; root->params != NULL && i < engine->plans[root->target].param_count; i++)
        datum_unref(engine, root->params[i]);
    g_free(root->params);
    g_free(root->error);
    value_unref(root->value);
}

static void take_completed(struct engine *engine)
{
    guint64 count;
    ssize_t got = read(engine->wake, &count, sizeof count);
    (void)got;
    g_mutex_lock(&engine->lock);
    GQueue completed = engine->completed;
    g_queue_init(&engine->completed);
    g_mutex_unlock(&engine->lock);
    struct activity *activity;
    while ((activity = g_queue_pop_head(&completed)) != NULL) {
        activity->completed = true;
        engine->outstanding--;
        task_wake(engine, activity);
    }
}

static void wait_for_others(struct engine *engine)
{
    struct pollfd descriptor = { .fd = engine->wake, .events = POLLIN };
    while (poll(&descriptor, 1, -1) < 0 && errno == EINTR)
        ;
}

static void forget_roots(struct engine *engine, struct root *roots, gsize count)
{
    for (gsize i = 0; i < count; i++)
        if (roots[i].wait.link != NULL) {
            task_forget(engine, &roots[i].wait);
            engine->open--;
            roots[i].error = g_strdup("cancelled");
        }
}

static struct instance *first_open(const struct root *roots, gsize count)
{
    for (gsize i = 0; i < count; i++)
        if (roots[i].wait.link != NULL)
            return roots[i].wait.to;
    g_assert_not_reached();
}

static void work(struct engine *engine, struct root *roots, gsize count)
{
    while (engine->open > 0 || engine->outstanding > 0 || engine->ready->len > 0) {
        if (g_atomic_int_get(&engine->cancelled))
            forget_roots(engine, roots, count);
        if (engine->ready->len > 0) {
            task_step(engine, g_ptr_array_steal_index(engine->ready, engine->ready->len - 1));
            continue;
        }
        if (engine->outstanding > 0) {
            wait_for_others(engine);
            take_completed(engine);
        } else if (engine->open > 0)
            cycle_break(engine, first_open(roots, count));
    }
}

/*
 * What the world says now decides whether anything has to be checked. True and *answered: not even
 * the graph has to be loaded.
 */
static bool begin(struct engine *engine, struct root *roots, gsize count, bool *answered,
                  GError **error)
{
    bool changed;
    GError *local = NULL;
    engine->statistics = (struct engine_statistics){ 0 };
    engine->run++;
    *answered = engine->memo != NULL && memo_answer(engine, roots, count, &local);
    if (*answered || local != NULL) {
        if (local != NULL)
            g_propagate_error(error, local);
        return *answered;
    }
    if (!facts_ask(engine, &changed, error))
        return false;
    if (changed || engine->repeats)
        engine->revision++;
    return true;
}

static void compute(struct engine *engine, struct root *roots, gsize count)
{
    for (gsize i = 0; i < count; i++)
        root_place(engine, &roots[i]);
    for (gsize i = count; i-- > 0;)
        if (roots[i].wait.to != NULL && !task_ask(engine, &roots[i].wait))
            engine->open++;
    work(engine, roots, count);
    if (engine->memo != NULL)
        memo_save(engine, roots, count);
}

static void answer(struct engine *engine, const struct engine_request *request,
                   const struct root *root, struct engine_result *out)
{
    struct instance *instance = root->wait.to;
    *out = (struct engine_result){ 0 };
    if (root->direct != NULL)
        out->value = value_ref(root->direct);
    else if (root->error != NULL)
        out->error = g_strdup(root->error);
    else if (root->value != NULL)
        out->value = value_ref(root->value);
    else if (instance_has_failed(engine, instance)) {
        g_autofree char *chain = failure_print(engine, instance->failure);
        g_autofree char *query = query_text(request);
        out->error = g_strconcat(chain, "\n  in query ", query, NULL);
    } else
        out->value = value_ref(datum_value(instance->value));
}

bool engine_run(struct engine *engine, const struct engine_request *requests, gsize count,
                struct engine_result *results, GError **error)
{
    g_autofree struct root *roots = g_new0(struct root, count);
    bool answered;
    memset(results, 0, count * sizeof *results);
    for (gsize i = 0; i < count; i++)
        root_init(engine, &requests[i], &roots[i]);
    bool ok = begin(engine, roots, count, &answered, error);
    if (ok && !answered)
        compute(engine, roots, count);
    for (gsize i = 0; i < count; i++) {
        if (ok)
            answer(engine, &requests[i], &roots[i], &results[i]);
        root_release(engine, &roots[i]);
    }
    engine->statistics.instances = engine->instances->len;
    struct world *world = engine->options.world;
    if (world != NULL && world->operations->settle != NULL)
        world->operations->settle(world);
    g_atomic_int_set(&engine->cancelled, FALSE);
    return ok;
}

void engine_results_clear(struct engine_result *results, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        value_unref(results[i].value);
        g_free(results[i].error);
        results[i] = (struct engine_result){ 0 };
    }
}

/* --- questions -------------------------------------------------------------------------------- */

void engine_statistics(const struct engine *engine, struct engine_statistics *out)
{
    *out = engine->statistics;
}

void instance_describe(struct engine *engine, const struct instance *instance,
                       struct engine_instance *out)
{
    const struct plan *plan = &engine->plans[instance->plan];
    const struct record *record = &instance->record;
    struct value **params = g_new(struct value *, plan->param_count + 1);
    guint32 *dependencies = g_new(guint32, record->edge_count + 1);
    for (guint i = 0; i < plan->param_count; i++)
        params[i] = datum_value(instance->params[i]);
    for (guint32 i = 0; i < record->edge_count; i++)
        dependencies[i] = record->edges[i].to;
    *out = (struct engine_instance){
        .id = instance->id,
        .rule = plan->node->name,
        .params = params,
        .param_count = plan->param_count,
        .value = instance->value == NULL ? NULL : datum_value(instance->value),
        .happening = instance->happening,
        .asked = instance->asked == engine->run,
        .duration = instance->duration,
        .dependencies = dependencies,
        .dependency_count = record->edge_count,
    };
}

void engine_each(struct engine *engine, engine_visit visit, void *user)
{
    if (engine->memo != NULL)
        memo_load(engine);
    for (guint i = 0; i < engine->instances->len; i++) {
        struct engine_instance shown;
        instance_describe(engine, instance_at(engine, i), &shown);
        visit(&shown, user);
        g_free((guint32 *)shown.dependencies);
        g_free((struct value **)shown.params);
    }
}
