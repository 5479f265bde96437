// SPDX-License-Identifier: Apache-2.0
/*
 * One instance being computed: asking again for what it was computed from, or running its task.
 *
 * | phase  | slots ask for                              | then |
 * |--------|--------------------------------------------|------------------------------------------|
 * | CHECK  | what was asked for at once, group by group | next group; cleaned; or PARAMS | | PARAMS
 * | positional params                          | start the task, TASK                     | | TASK
 * | what the task wants                        | resume it, until it is done or fails     |
 *
 * Checking in groups keeps invariant 2 of engine.h: a group is asked for only if all before it came
 * back equal, so a run from nothing would have asked for it as well.
 */
#include "engine/engine-internal.h"

#include <string.h>

/* --- waiting ---------------------------------------------------------------------------------- */

void task_wake(struct engine *engine, struct activity *activity)
{
    if (activity->queued)
        return;
    activity->queued = true;
    g_ptr_array_add(engine->ready, activity);
}

static void wait_unlink(struct wait *wait)
{
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    wait->link = NULL;
}

void task_forget(struct engine *engine, struct wait *wait)
{
    struct activity *activity = wait->to->activity;
    wait_unlink(wait);
    if (activity->waiters == NULL) /* finds out at its next step that nobody wants it */
        task_wake(engine, activity);
}

static struct activity *activity_new(struct engine *engine, struct instance *instance)
{
    struct activity *activity = g_new0(struct activity, 1);
    bool again = engine->plans[instance->plan].rule->uncacheable || instance->unkept;
    activity->call.engine = engine;
    activity->instance = instance;
    activity->phase = instance->value == NULL || again ? PHASE_PARAMS : PHASE_CHECK;
    activity->edges = g_array_new(FALSE, FALSE, sizeof(struct edge));
    return activity;
}

static void happen(struct engine *engine, struct instance *instance, enum engine_happening what)
{
    struct engine_statistics *statistics = &engine->statistics;
    guint64 *const counters[] = {
        [ENGINE_RAN] = &statistics->ran,           [ENGINE_CLEANED] = &statistics->cleaned,
        [ENGINE_MEMOISED] = &statistics->memoised, [ENGINE_BROKE] = &statistics->failed,
        [ENGINE_DROPPED] = &statistics->cancelled,
    };
    ++*counters[what];
    instance->happening = (guint8)what;
    instance->asked = engine->run;
    if (engine->options.happened == NULL)
        return;
    struct engine_instance shown;
    instance_describe(engine, instance, &shown);
    engine->options.happened(&shown, engine->options.user);
    g_free((guint32 *)shown.dependencies);
    g_free((struct value **)shown.params);
}

bool task_ask(struct engine *engine, struct wait *wait)
{
    struct instance *to = wait->to;
    if (instance_has_failed(engine, to))
        return true;
    if (instance_is_valid(engine, to)) {
        if (to->asked != engine->run)
            happen(engine, to, ENGINE_MEMOISED);
        return true;
    }
    if (to->activity == NULL) {
        to->activity = activity_new(engine, to);
        task_wake(engine, to->activity);
    }
    wait->link = &to->activity->waiters;
    wait->next = to->activity->waiters;
    if (wait->next != NULL)
        wait->next->link = &wait->next;
    to->activity->waiters = wait;
    return false;
}

static void slots_clear(struct engine *engine, struct activity *activity)
{
    for (guint i = 0; i < activity->slot_count; i++) {
        if (activity->slots[i].wait.link != NULL)
            task_forget(engine, &activity->slots[i].wait);
        value_unref(activity->slots[i].direct);
    }
    g_clear_pointer(&activity->slots, g_free);
    activity->slot_count = activity->pending = 0;
    activity->asked = false;
}

static void slots_new(struct activity *activity, guint count)
{
    activity->slots = g_new0(struct slot, count);
    activity->slot_count = count;
}

static void note_cause(struct activity *activity, struct failure *cause)
{
    if (activity->cause == NULL)
        activity->cause = failure_ref(cause);
}

/* The last one first: what is ready is a stack, so they start in order. */
static void slots_ask(struct engine *engine, struct activity *activity)
{
    activity->asked = true;
    for (guint i = activity->slot_count; i-- > 0;) {
        struct slot *slot = &activity->slots[i];
        slot->wait.requester = activity;
        if (slot->direct != NULL)
            continue;
        if (!task_ask(engine, &slot->wait))
            activity->pending++;
        else if (instance_has_failed(engine, slot->wait.to))
            note_cause(activity, slot->wait.to->failure);
    }
}

static struct value *slot_value(const struct slot *slot)
{
    return slot->direct != NULL ? slot->direct : datum_value(slot->wait.to->value);
}

/* --- the end of an activity ------------------------------------------------------------------- */

static void report_free(gpointer data)
{
    struct fact_report *report = data;
    g_free((char *)report->fact.subject);
    g_free(report);
}

static void forget_record(struct engine *engine, struct activity *activity)
{
    struct record record = { .edges = (struct edge *)(void *)activity->edges->data,
                             .edge_count = activity->edges->len };
    for (guint32 i = 0; i < record.edge_count; i++)
        datum_unref(engine, record.edges[i].seen);
    g_array_set_size(activity->edges, 0);
}

static void end_task(struct engine *engine, struct activity *activity)
{
    const struct plan *plan = &engine->plans[activity->instance->plan];
    if (activity->task != NULL)
        plan->rule->operations->free(g_steal_pointer(&activity->task));
    for (guint i = 0; activity->params != NULL && i < plan->node->positional_count; i++)
        value_unref(activity->params[i]);
    g_clear_pointer(&activity->params, g_free);
    g_clear_pointer(&activity->call.reported, g_ptr_array_unref);
    activity->call.unkept = false;
}

static void activity_free(struct engine *engine, struct activity *activity)
{
    slots_clear(engine, activity);
    end_task(engine, activity);
    forget_record(engine, activity);
    g_array_unref(activity->edges);
    failure_unref(activity->cause);
    activity->instance->activity = NULL;
    g_free(activity);
}

/* Tell whoever waits; nobody runs before the stack says so. */
static void settle(struct engine *engine, struct activity *activity)
{
    struct instance *instance = activity->instance;
    while (activity->waiters != NULL) {
        struct wait *wait = activity->waiters;
        wait_unlink(wait);
        if (wait->requester == NULL) {
            engine->open--;
            continue;
        }
        if (wait->requester == activity) /* it waited for itself, and goes now */
            continue;
        if (instance_has_failed(engine, instance))
            note_cause(wait->requester, instance->failure);
        if (--wait->requester->pending == 0 || wait->requester->cause != NULL)
            task_wake(engine, wait->requester);
    }
    activity_free(engine, activity);
}

static void settle_failed(struct engine *engine, struct activity *activity, struct failure *failure)
{
    struct instance *instance = activity->instance;
    failure_unref(instance->failure);
    instance->failure = failure;
    instance->failed = engine->run;
    instance->duration = activity->duration;
    happen(engine, instance, ENGINE_BROKE);
    settle(engine, activity);
}

static void fail(struct engine *engine, struct activity *activity, const char *text)
{
    settle_failed(engine, activity, failure_new(text, activity->instance));
}

/* --- checking --------------------------------------------------------------------------------- */

static void begin_run(struct engine *engine, struct activity *activity)
{
    slots_clear(engine, activity);
    activity->phase = PHASE_PARAMS;
}

static bool facts_hold(const struct record *record)
{
    for (guint32 i = 0; i < record->fact_count; i++)
        if (!fact_answer_equal(&record->facts[i].seen, &record->facts[i].fact->answer))
            return false;
    return true;
}

static bool group_holds(struct engine *engine, const struct activity *activity)
{
    const struct edge *edges = activity->instance->record.edges + activity->checked;
    for (guint i = 0; i < activity->slot_count; i++)
        if (edges[i].seen != instance_at(engine, edges[i].to)->value)
            return false;
    return true;
}

/* Cleaned if something below it ran, or was cleaned itself. */
static void settle_clean(struct engine *engine, struct activity *activity)
{
    struct instance *instance = activity->instance;
    bool touched = false;
    for (guint32 i = 0; i < instance->record.edge_count && !touched; i++) {
        const struct instance *to = instance_at(engine, instance->record.edges[i].to);
        touched = to->happening != ENGINE_MEMOISED;
    }
    instance->verified = engine->revision;
    happen(engine, instance, touched ? ENGINE_CLEANED : ENGINE_MEMOISED);
    settle(engine, activity);
}

/* True: go on with the activity, which is still there. */
static bool check(struct engine *engine, struct activity *activity)
{
    const struct record *record = &activity->instance->record;
    if (activity->asked) {
        if (!group_holds(engine, activity)) {
            begin_run(engine, activity);
            return true;
        }
        activity->checked += activity->slot_count;
        slots_clear(engine, activity);
    } else if (!facts_hold(record)) {
        begin_run(engine, activity);
        return true;
    }
    if (activity->checked == record->edge_count) {
        settle_clean(engine, activity);
        return false;
    }
    guint count = 1;
    while (!record->edges[activity->checked + count - 1].last)
        count++;
    slots_new(activity, count);
    for (guint i = 0; i < count; i++)
        activity->slots[i].wait.to = instance_at(engine, record->edges[activity->checked + i].to);
    slots_ask(engine, activity);
    return true;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* What `link` leads to, given what the get provides. NULL: the value itself is in *direct. */
static struct instance *follow(struct engine *engine, const struct instance *from,
                               const struct link *link, struct value *const *provided,
                               struct value **direct)
{
    const struct plan *target = &engine->plans[link->target];
    if (target->node->kind == GRAPH_PARAM) {
        *direct = value_ref(datum_value(from->params[link->sources[0].index]));
        return NULL;
    }
    g_autofree struct datum **params = g_new(struct datum *, target->param_count + 1);
    for (guint i = 0; i < target->param_count; i++) {
        const struct source *source = &link->sources[i];
        params[i] = source->provided ? datum_take(engine, provided[source->index])
                                     : datum_ref(from->params[source->index]);
    }
    return instance_take(engine, link->target, params);
}

/* The answered slots become edges of the new record: one group. */
static void note_edges(struct activity *activity)
{
    guint before = activity->edges->len;
    for (guint i = 0; i < activity->slot_count; i++) {
        const struct slot *slot = &activity->slots[i];
        if (slot->direct != NULL)
            continue;
        const struct edge edge = { .to = slot->wait.to->id,
                                   .seen = datum_ref(slot->wait.to->value) };
        g_array_append_val(activity->edges, edge);
    }
    if (activity->edges->len > before)
        g_array_index(activity->edges, struct edge, activity->edges->len - 1).last = true;
}

static int compare_types(gconstpointer a, gconstpointer b)
{
    const struct value *x = *(struct value *const *)a, *y = *(struct value *const *)b;
    return strcmp(value_record_name(x), value_record_name(y));
}

static char *describe_get(const struct engine_get *get)
{
    GString *out = g_string_new(get->output);
    for (gsize i = 0; i < get->count; i++) {
        const struct value *input = get->inputs[i];
        const char *name = input == NULL ? "nil" : value_record_name(input);
        g_string_append_printf(out, "%s%s", i == 0 ? " <- " : ", ",
                               name != NULL ? name : value_kind_name(value_kind(input)));
    }
    return g_string_free(out, FALSE);
}

static char *refuse_get(const struct plan *plan, const struct engine_get *get)
{
    g_autofree char *asked = describe_get(get);
    GString *out = g_string_new(NULL);
    g_string_printf(out, "%s asks for %s, which it does not declare; it declares", plan->node->name,
                    asked);
    for (guint d = plan->node->positional_count; d < plan->node->dependency_count; d++) {
        const struct graph_dependency *dependency = &plan->node->dependencies[d];
        g_autofree char *inputs = g_strjoinv(", ", (char **)dependency->provides);
        g_string_append_printf(out, "%s %s%s%s", d == plan->node->positional_count ? "" : ",",
                               dependency->output, *inputs == '\0' ? "" : " <- ", inputs);
    }
    if (plan->node->positional_count == plan->node->dependency_count)
        g_string_append(out, " no gets");
    return g_string_free(out, FALSE);
}

/* Fill `slot` with what the get asks for; else why it cannot be asked. */
static char *resolve(struct engine *engine, const struct activity *activity,
                     const struct engine_get *get, struct slot *slot)
{
    const struct plan *plan = &engine->plans[activity->instance->plan];
    g_autofree struct value **inputs = g_new(struct value *, get->count + 1);
    g_autofree const char **types = g_new0(const char *, get->count + 1);
    for (gsize i = 0; i < get->count; i++) {
        inputs[i] = get->inputs[i];
        if (inputs[i] == NULL || value_kind(inputs[i]) != VALUE_RECORD)
            return refuse_get(plan, get);
    }
    qsort(inputs, get->count, sizeof *inputs, compare_types);
    for (gsize i = 0; i < get->count; i++)
        types[i] = value_record_name(inputs[i]);
    const struct link *link = plan_find(plan, get->output, types);
    if (link == NULL)
        return refuse_get(plan, get);
    slot->wait.to = follow(engine, activity->instance, link, inputs, &slot->direct);
    return NULL;
}

/* --- running ---------------------------------------------------------------------------------- */

static void ask_params(struct engine *engine, struct activity *activity)
{
    const struct plan *plan = &engine->plans[activity->instance->plan];
    slots_new(activity, plan->node->positional_count);
    for (guint i = 0; i < activity->slot_count; i++) {
        struct slot *slot = &activity->slots[i];
        slot->wait.to = follow(engine, activity->instance, &plan->links[i], NULL, &slot->direct);
    }
    slots_ask(engine, activity);
}

static void start_task(struct engine *engine, struct activity *activity)
{
    const struct engine_rule *rule = engine->plans[activity->instance->plan].rule;
    activity->params = g_new(struct value *, activity->slot_count + 1);
    for (guint i = 0; i < activity->slot_count; i++)
        activity->params[i] = value_ref(slot_value(&activity->slots[i]));
    activity->call.reported = g_ptr_array_new_with_free_func(report_free);
    activity->task = rule->operations->start(rule, &activity->call, activity->params);
    slots_clear(engine, activity);
    activity->phase = PHASE_TASK;
}

/* The facts go into the record; what this run knew of them before stays as it is. */
static void note_facts(struct engine *engine, struct activity *activity, struct record *record)
{
    GPtrArray *reported = activity->call.reported;
    record->facts = g_new(struct fact_edge, reported->len);
    for (guint i = 0; i < reported->len; i++) {
        const struct fact_report *report = reported->pdata[i];
        struct known_fact *known = fact_take(engine, &report->fact);
        if (known->run != engine->run)
            known->answer = report->answer;
        known->run = engine->run;
        record->facts[record->fact_count++] = (struct fact_edge){ known, report->answer };
    }
}

static void settle_done(struct engine *engine, struct activity *activity, struct value *value)
{
    struct instance *instance = activity->instance;
    struct record record = { .edge_count = activity->edges->len };
    struct datum *datum = datum_take(engine, value);
    value_unref(value);
    g_mutex_lock(&engine->lock);
    instance->unkept = activity->call.unkept;
    note_facts(engine, activity, &record);
    g_mutex_unlock(&engine->lock);
    record.edges = g_memdup2(activity->edges->data, record.edge_count * sizeof(struct edge));
    g_array_set_size(activity->edges, 0); /* their references are the record's now */
    record_release(engine, &instance->record);
    instance->record = record;
    datum_unref(engine, instance->value);
    instance->value = datum;
    instance->verified = engine->revision;
    instance->duration = activity->duration;
    instance->changed = true;
    engine->repeats =
        engine->repeats || instance->unkept || engine->plans[instance->plan].rule->uncacheable;
    happen(engine, instance, ENGINE_RAN);
    settle(engine, activity);
}

static void take_done(struct engine *engine, struct activity *activity, struct value *value)
{
    const char *output = engine->plans[activity->instance->plan].node->output;
    const char *type = value == NULL ? NULL : value_record_name(value);
    if (g_strcmp0(type, output) == 0) {
        settle_done(engine, activity, value);
        return;
    }
    g_autofree char *text = g_strdup_printf(
        "it returned a %s, not a %s",
        type != NULL ? type : value_kind_name(value == NULL ? VALUE_NIL : value_kind(value)),
        output);
    value_unref(value);
    fail(engine, activity, text);
}

/* True: the activity is still there. */
static bool take_step(struct engine *engine, struct activity *activity, struct engine_step *step)
{
    g_autofree char *refused = NULL;
    g_autofree char *error = step->error;
    switch (step->outcome) {
    case ENGINE_DONE:
        take_done(engine, activity, step->value);
        return false;
    case ENGINE_FAILED:
        fail(engine, activity, error != NULL ? error : "it failed");
        return false;
    case ENGINE_LATER:
        activity->later = true;
        engine->outstanding++;
        return true;
    default:
        break;
    }
    slots_new(activity, (guint)step->get_count);
    for (gsize i = 0; i < step->get_count && refused == NULL; i++)
        refused = resolve(engine, activity, &step->gets[i], &activity->slots[i]);
    if (refused != NULL) {
        fail(engine, activity, refused);
        return false;
    }
    slots_ask(engine, activity);
    return true;
}

static bool resume(struct engine *engine, struct activity *activity)
{
    const struct engine_rule *rule = engine->plans[activity->instance->plan].rule;
    g_autofree struct value **results = g_new(struct value *, activity->slot_count + 1);
    guint count = activity->slot_count;
    for (guint i = 0; i < count; i++)
        results[i] = value_ref(slot_value(&activity->slots[i]));
    note_edges(activity);
    slots_clear(engine, activity);
    struct engine_step step = { 0 };
    activity->since = g_get_monotonic_time();
    rule->operations->resume(activity->task, results, count, &step);
    for (guint i = 0; i < count; i++)
        value_unref(results[i]);
    if (step.outcome != ENGINE_LATER)
        activity->duration += g_get_monotonic_time() - activity->since;
    return take_step(engine, activity, &step);
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool advance(struct engine *engine, struct activity *activity)
{
    if (activity->phase == PHASE_CHECK)
        return check(engine, activity);
    if (activity->phase == PHASE_TASK)
        return resume(engine, activity);
    if (!activity->asked) {
        ask_params(engine, activity);
        return true;
    }
    note_edges(activity);
    start_task(engine, activity);
    return true;
}

static void hurry(struct engine *engine, struct activity *activity)
{
    const struct plan *plan = &engine->plans[activity->instance->plan];
    if (activity->waiters != NULL || activity->hurried)
        return;
    activity->hurried = true;
    g_atomic_int_set(&activity->call.cancelled, TRUE);
    if (plan->rule->operations->cancel != NULL)
        plan->rule->operations->cancel(activity->task);
}

static void step_free(struct engine_step *step)
{
    value_unref(step->value);
    g_free(step->error);
    *step = (struct engine_step){ 0 };
}

/* It was told to hurry, and now somebody wants it after all: what it came to counts for nothing. */
static void start_over(struct engine *engine, struct activity *activity)
{
    step_free(&activity->completion);
    end_task(engine, activity);
    forget_record(engine, activity);
    activity->hurried = false;
    g_atomic_int_set(&activity->call.cancelled, FALSE);
    begin_run(engine, activity);
}

static void drop(struct engine *engine, struct activity *activity)
{
    if (activity->completed)
        step_free(&activity->completion);
    happen(engine, activity->instance, ENGINE_DROPPED);
    settle(engine, activity);
}

/* What it asked for has failed. */
static void fail_after(struct engine *engine, struct activity *activity)
{
    const struct engine_rule *rule = engine->plans[activity->instance->plan].rule;
    struct failure *failure = failure_after(activity->cause, activity->instance);
    if (activity->task != NULL && rule->operations->where != NULL)
        failure->place = rule->operations->where(activity->task);
    settle_failed(engine, activity, failure);
}

void task_step(struct engine *engine, struct activity *activity)
{
    bool there = true;
    activity->queued = false;
    if (activity->later && !activity->completed) {
        hurry(engine, activity);
        return;
    }
    if (activity->waiters == NULL) {
        drop(engine, activity);
        return;
    }
    if (activity->completed) {
        activity->completed = activity->later = false;
        activity->duration += g_get_monotonic_time() - activity->since;
        struct engine_step step = activity->completion;
        if (activity->hurried && step.outcome != ENGINE_DONE)
            start_over(engine, activity);
        else {
            activity->completion = (struct engine_step){ 0 };
            there = take_step(engine, activity, &step);
        }
    }
    while (there && activity->cause == NULL && activity->pending == 0 && !activity->later)
        there = advance(engine, activity);
    if (there && activity->cause != NULL)
        fail_after(engine, activity);
}
