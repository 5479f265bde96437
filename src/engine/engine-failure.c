// SPDX-License-Identifier: Apache-2.0
/* Failures as chains of rules, and rules that wait for one another. */
#include "engine/engine-internal.h"

enum {
    PRINT_VALUE = 60, /* bytes of a param in a chain */
    PRINT_CHAIN = 30, /* lines at each end of a long chain */
};

struct failure *failure_new(const char *text, struct instance *where)
{
    struct failure *failure = g_new0(struct failure, 1);
    failure->references = 1;
    failure->text = g_strdup(text);
    failure->where = where;
    return failure;
}

struct failure *failure_after(struct failure *cause, struct instance *where)
{
    struct failure *failure = g_new0(struct failure, 1);
    failure->references = 1;
    failure->cause = failure_ref(cause);
    failure->where = where;
    return failure;
}

struct failure *failure_ref(struct failure *failure)
{
    failure->references++;
    return failure;
}

/* Not recursive: a chain is as long as rules are deep. */
void failure_unref(struct failure *failure)
{
    while (failure != NULL && --failure->references == 0) {
        struct failure *cause = failure->cause;
        g_free(failure->text);
        g_free(failure->place);
        g_free(failure);
        failure = cause;
    }
}

void instance_print(struct engine *engine, const struct instance *instance, GString *out)
{
    const struct plan *plan = &engine->plans[instance->plan];
    g_string_append_printf(out, "%s(", plan->node->name);
    for (guint i = 0; i < plan->param_count; i++) {
        g_autofree char *text = value_print(datum_value(instance->params[i]), PRINT_VALUE);
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", text);
    }
    g_string_append_c(out, ')');
}

char *failure_print(struct engine *engine, const struct failure *failure)
{
    g_autoptr(GPtrArray) chain = g_ptr_array_new();
    GString *out = g_string_new(NULL);
    for (; failure != NULL; failure = failure->cause) {
        if (failure->where != NULL)
            g_ptr_array_add(chain, (gpointer)failure);
        if (failure->text != NULL)
            g_string_append(out, failure->text);
    }
    for (guint i = chain->len; i-- > 0;) {
        guint from_cause = chain->len - 1 - i;
        if (from_cause >= PRINT_CHAIN && i >= PRINT_CHAIN) {
            if (from_cause == PRINT_CHAIN)
                g_string_append_printf(out, "\n  … %u more", chain->len - 2 * PRINT_CHAIN);
            continue;
        }
        const struct failure *at = chain->pdata[i];
        g_string_append(out, "\n  in ");
        instance_print(engine, at->where, out);
        if (at->place != NULL)
            g_string_append_printf(out, ", %s", at->place);
    }
    return g_string_free(out, FALSE);
}

/* --- cycles ----------------------------------------------------------------------------------- */

/* What an activity that cannot go on waits for; NULL: nothing that is open. */
static struct instance *waits_for(const struct activity *activity)
{
    for (guint i = 0; i < activity->slot_count; i++)
        if (activity->slots[i].wait.link != NULL)
            return activity->slots[i].wait.to;
    return NULL;
}

static void print_cycle(struct engine *engine, struct instance *start, GString *out)
{
    struct instance *at = start;
    guint length = 0;
    g_string_append(out, "a rule needs its own result");
    do {
        g_string_append(out, length == 0 ? "\n  " : "\n  asks for ");
        instance_print(engine, at, out);
        at = waits_for(at->activity);
        if (++length == 2 * PRINT_CHAIN && at != start) {
            g_string_append(out, "\n  …");
            break;
        }
    } while (at != start);
    g_string_append(out, "\n  asks for ");
    instance_print(engine, start, out);
}

/*
 * Nothing is ready and nothing will complete, so whatever is open waits for something that is: the
 * first wait of each leads into a cycle.
 */
void cycle_break(struct engine *engine, struct instance *from)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    struct instance *at = from;
    while (g_hash_table_add(seen, at)) {
        g_assert(at != NULL && at->activity != NULL);
        at = waits_for(at->activity);
    }
    print_cycle(engine, at, text);
    at->activity->cause = failure_new(text->str, NULL);
    task_wake(engine, at->activity);
}
