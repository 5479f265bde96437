// SPDX-License-Identifier: Apache-2.0
/* The tables of the engine: one datum per value, one entry per fact, one instance per key. */
#include "engine/engine-internal.h"

#include <string.h>

/* --- data ------------------------------------------------------------------------------------- */

struct datum *datum_ref(struct datum *datum)
{
    datum->references++;
    return datum;
}

void datum_unref(struct engine *engine, struct datum *datum)
{
    if (datum == NULL || --datum->references > 0)
        return;
    if (!engine->closing) /* then all of the table goes at once */
        g_hash_table_remove(engine->data, datum);
    value_unref(datum->value);
    g_free(datum);
}

struct datum *datum_take(struct engine *engine, struct value *value)
{
    struct datum *known = g_hash_table_lookup(engine->data, value_digest(value));
    if (known == NULL) {
        known = g_new0(struct datum, 1);
        known->digest = *value_digest(value);
        known->id = ENGINE_NONE;
        g_hash_table_add(engine->data, known);
    }
    if (known->value == NULL)
        known->value = value_ref(value);
    return datum_ref(known);
}

/* The bytes have been checked against their digest, so they are what some vial wrote. */
struct value *datum_value(struct datum *datum)
{
    if (datum->value == NULL)
        datum->value = value_decode_data(datum->encoded, (gsize)datum->digest.size, NULL);
    g_assert(datum->value != NULL);
    return datum->value;
}

/* --- facts ------------------------------------------------------------------------------------ */

static guint known_fact_hash(gconstpointer data)
{
    const struct known_fact *known = data;
    return g_str_hash(known->fact.subject) ^ (guint)known->fact.kind << 28;
}

static gboolean known_fact_equal(gconstpointer a, gconstpointer b)
{
    const struct known_fact *x = a, *y = b;
    return x->fact.kind == y->fact.kind && strcmp(x->fact.subject, y->fact.subject) == 0;
}

struct known_fact *fact_take(struct engine *engine, const struct fact *fact)
{
    const struct known_fact key = { .fact = *fact };
    struct known_fact *known = g_hash_table_lookup(engine->facts, &key);
    if (known == NULL) {
        known = g_new0(struct known_fact, 1);
        known->fact = (struct fact){ fact->kind, g_strdup(fact->subject) };
        known->id = ENGINE_NONE;
        g_hash_table_add(engine->facts, known);
    }
    known->references++;
    return known;
}

void fact_drop(struct engine *engine, struct known_fact *fact)
{
    if (--fact->references > 0)
        return;
    if (!engine->closing)
        g_hash_table_remove(engine->facts, fact);
    g_free((char *)fact->fact.subject);
    g_free(fact);
}

static int compare_facts(gconstpointer a, gconstpointer b)
{
    const struct known_fact *x = *(struct known_fact *const *)a;
    const struct known_fact *y = *(struct known_fact *const *)b;
    return fact_compare(&x->fact, &y->fact);
}

/* What memo_answer() has asked for already is up to date. */
bool facts_ask(struct engine *engine, bool *changed, GError **error)
{
    struct world *world = engine->options.world;
    guint all, count = 0;
    g_autofree struct known_fact **sorted =
        (struct known_fact **)g_hash_table_get_keys_as_array(engine->facts, &all);
    for (guint i = 0; i < all; i++)
        if (sorted[i]->run != engine->run)
            sorted[count++] = sorted[i];
    *changed = false;
    engine->statistics.facts += count;
    if (count == 0 || world == NULL)
        return true;
    qsort(sorted, count, sizeof(struct known_fact *), compare_facts);
    g_autofree struct fact *facts = g_new(struct fact, count);
    g_autofree struct fact_answer *answers = g_new0(struct fact_answer, count);
    for (guint i = 0; i < count; i++)
        facts[i] = sorted[i]->fact;
    if (!world->operations->look_up(world, facts, count, answers, error))
        return false;
    for (guint i = 0; i < count; i++) {
        struct known_fact *known = sorted[i];
        known->run = engine->run;
        *changed = *changed || !fact_answer_equal(&known->answer, &answers[i]);
        known->answer = answers[i];
    }
    return true;
}

/* --- instances -------------------------------------------------------------------------------- */

static guint hash_key(guint plan, struct datum *const *params, guint count)
{
    guint hash = plan * 0x9e3779b1u;
    for (guint i = 0; i < count; i++)
        hash = (hash ^ digest_hash(&params[i]->digest)) * 0x85ebca6bu;
    return hash ^ hash >> 15;
}

/*
 * The table's functions know no engine, and the number of params stands in the plan. So the table
 * is keyed by hash, and instances of one hash are chained by hand.
 */
struct instance *instance_take(struct engine *engine, guint plan, struct datum **params)
{
    guint count = engine->plans[plan].param_count;
    gpointer hash = GUINT_TO_POINTER(hash_key(plan, params, count));
    struct instance *first = g_hash_table_lookup(engine->table, hash);
    for (struct instance *known = first; known != NULL; known = known->next)
        if (known->plan == plan &&
            memcmp(known->params, params, count * sizeof(struct datum *)) == 0) {
            for (guint i = 0; i < count; i++)
                datum_unref(engine, params[i]);
            return known;
        }
    struct instance *made = g_malloc0(sizeof *made + count * sizeof(struct datum *));
    made->id = engine->instances->len;
    made->plan = plan;
    made->memo = ENGINE_NONE;
    made->next = first;
    for (guint i = 0; i < count; i++)
        made->params[i] = params[i];
    g_ptr_array_add(engine->instances, made);
    g_hash_table_insert(engine->table, hash, made);
    return made;
}

void record_release(struct engine *engine, struct record *record)
{
    for (guint32 i = 0; i < record->edge_count; i++)
        datum_unref(engine, record->edges[i].seen);
    for (guint32 i = 0; i < record->fact_count; i++)
        fact_drop(engine, record->facts[i].fact);
    g_free(record->edges);
    g_free(record->facts);
    *record = (struct record){ 0 };
}

static void instance_free(struct engine *engine, struct instance *instance)
{
    for (guint i = 0; i < engine->plans[instance->plan].param_count; i++)
        datum_unref(engine, instance->params[i]);
    record_release(engine, &instance->record);
    datum_unref(engine, instance->value);
    failure_unref(instance->failure);
    g_free(instance);
}

void tables_init(struct engine *engine)
{
    engine->data = g_hash_table_new(digest_hash, digest_hash_equal);
    engine->facts = g_hash_table_new(known_fact_hash, known_fact_equal);
    engine->table = g_hash_table_new(NULL, NULL);
    engine->instances = g_ptr_array_new();
}

void tables_release(struct engine *engine)
{
    g_hash_table_unref(engine->table);
    g_hash_table_unref(engine->facts);
    g_hash_table_unref(engine->data);
    engine->closing = true;
    for (guint i = 0; i < engine->instances->len; i++)
        instance_free(engine, instance_at(engine, i));
    g_ptr_array_unref(engine->instances);
}
