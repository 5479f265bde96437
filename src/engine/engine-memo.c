// SPDX-License-Identifier: Apache-2.0
/*
 * Keeping the graph in the store: answering from a root's facts alone, loading, appending.
 *
 * A memo that lacks a chunk, or has one that makes no sense, counts as empty. It is replaced by one
 * that is written anew, so damage lasts for one run. Two processes that save at once lose what the
 * first one saved: it is computed again.
 */
#include "base/fault.h"
#include "engine/memo-internal.h"

#include <string.h>

#define DAY (24 * G_TIME_SPAN_HOUR)

/* --- the key ---------------------------------------------------------------------------------- */

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whatever decides what rules compute, and the numbers of plans. */
static void make_key(struct engine *engine, guint8 key[MEMO_KEY_SIZE])
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    struct digest_context context;
    struct digest digest;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, engine->rules);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct engine_rule *rule = value;
        char text[DIGEST_TEXT_SIZE];
        g_ptr_array_add(lines, g_strdup_printf("%s %s %d\n", digest_print(&rule->code, text),
                                               rule->name, rule->uncacheable));
    }
    g_ptr_array_sort(lines, compare_texts);
    digest_init(&context);
    const char *scope = engine->options.scope == NULL ? "" : engine->options.scope;
    digest_update(&context, scope, strlen(scope) + 1);
    for (guint i = 0; i < lines->len; i++)
        digest_update(&context, lines->pdata[i], strlen(lines->pdata[i]));
    g_autofree char *graph = graph_json(engine->options.graph, -1);
    digest_update(&context, graph, strlen(graph));
    digest_finish(&context, &digest);
    key[0] = 'm';
    cache_key(&digest, key + 1);
}

struct memo *memo_new(struct engine *engine)
{
    struct memo *memo = g_new0(struct memo, 1);
    make_key(engine, memo->key);
    memo_manifest_init(&memo->manifest);
    memo->chunks = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    memo->large = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GBytes) value =
        store_record_get(engine->options.store, STORE_MEMO, memo->key, MEMO_KEY_SIZE);
    if (value != NULL && memo_manifest_decode(value, &memo->manifest, NULL))
        return memo;
    memo_manifest_clear(&memo->manifest);
    memo_manifest_init(&memo->manifest);
    return memo;
}

void memo_free(struct memo *memo)
{
    if (memo == NULL)
        return;
    memo_manifest_clear(&memo->manifest);
    g_ptr_array_unref(memo->chunks);
    g_ptr_array_unref(memo->large);
    g_free(memo);
}

void memo_root_key(const struct engine *engine, struct root *root)
{
    struct digest_context context;
    digest_init(&context);
    digest_update(&context, &root->target, sizeof root->target);
    for (guint i = 0; i < engine->plans[root->target].param_count; i++)
        digest_update(&context, root->params[i]->digest.hash, DIGEST_HASH_SIZE);
    digest_finish(&context, &root->key);
}

gssize memo_find_root(const struct memo *memo, const struct digest *key)
{
    for (guint i = 0; i < memo->manifest.roots->len; i++)
        if (digest_equal(&g_array_index(memo->manifest.roots, struct memo_root_name, i).key, key))
            return i;
    return -1;
}

/* --- answering from roots --------------------------------------------------------------------- */

static gint compare_root_facts(gconstpointer a, gconstpointer b)
{
    const struct memo_root_fact *x = a, *y = b;
    return fact_compare(&x->fact, &y->fact);
}

static bool is_sorted(const GArray *facts)
{
    for (guint i = 1; i < facts->len; i++)
        if (compare_root_facts(&g_array_index(facts, struct memo_root_fact, i - 1),
                               &g_array_index(facts, struct memo_root_fact, i)) >= 0)
            return false;
    return true;
}

bool memo_merge_facts(GArray *facts)
{
    guint used = 0;
    if (!is_sorted(facts))
        g_array_sort(facts, compare_root_facts);
    for (guint i = 0; i < facts->len; i++) {
        const struct memo_root_fact *fact = &g_array_index(facts, struct memo_root_fact, i);
        struct memo_root_fact *last =
            used == 0 ? NULL : &g_array_index(facts, struct memo_root_fact, used - 1);
        if (last == NULL || compare_root_facts(last, fact) != 0)
            g_array_index(facts, struct memo_root_fact, used++) = *fact;
        else if (!fact_answer_equal(&last->answer, &fact->answer))
            return false;
    }
    g_array_set_size(facts, used);
    return true;
}

struct answers {
    GArray *facts; /* struct memo_root_fact, merged */
    struct fact_answer *now;
    GPtrArray *roots; /* struct memo_root *: own the subjects */
};

static void root_free(gpointer data)
{
    memo_root_clear(data);
    g_free(data);
}

/* All roots that are queries; false: one is not on record. */
static bool gather_roots(struct engine *engine, struct root *roots, gsize count,
                         struct answers *answers)
{
    const struct memo *memo = engine->memo;
    for (gsize i = 0; i < count; i++) {
        if (roots[i].params == NULL)
            continue;
        gssize found = memo_find_root(memo, &roots[i].key);
        if (found < 0)
            return false;
        const struct memo_root_name *name =
            &g_array_index(memo->manifest.roots, struct memo_root_name, (guint)found);
        g_autoptr(GBytes) bytes = store_get(engine->options.store, &name->blob, NULL);
        struct memo_root *root = g_new0(struct memo_root, 1);
        g_ptr_array_add(answers->roots, root);
        if (bytes == NULL || !memo_root_decode(bytes, root, NULL))
            return false;
        roots[i].value = value_decode(root->value, NULL);
        if (roots[i].value == NULL)
            return false;
        g_array_append_vals(answers->facts, root->facts->data, root->facts->len);
    }
    return memo_merge_facts(answers->facts);
}

static bool ask_world(struct engine *engine, struct answers *answers, GError **error)
{
    guint count = answers->facts->len;
    struct world *world = engine->options.world;
    g_autofree struct fact *facts = g_new(struct fact, count + 1);
    answers->now = g_new0(struct fact_answer, count + 1);
    for (guint i = 0; i < count; i++)
        facts[i] = g_array_index(answers->facts, struct memo_root_fact, i).fact;
    engine->statistics.facts += count;
    return count == 0 || world == NULL ||
           world->operations->look_up(world, facts, count, answers->now, error);
}

static bool all_hold(const struct answers *answers)
{
    for (guint i = 0; i < answers->facts->len; i++)
        if (!fact_answer_equal(&g_array_index(answers->facts, struct memo_root_fact, i).answer,
                               &answers->now[i]))
            return false;
    return true;
}

/* What the world has said is not asked for again. */
static void hand_over(struct engine *engine, const struct answers *answers)
{
    for (guint i = 0; i < answers->facts->len; i++) {
        const struct known_fact key = {
            .fact = g_array_index(answers->facts, struct memo_root_fact, i).fact
        };
        struct known_fact *known = g_hash_table_lookup(engine->facts, &key);
        if (known == NULL)
            continue;
        known->answer = answers->now[i];
        known->run = engine->run;
    }
}

/* The manifest's time of use is exact to a day, so that a run that changes nothing writes nothing.
 */
static void note_use(struct engine *engine)
{
    struct memo *memo = engine->memo;
    gint64 now = g_get_real_time();
    if (now - memo->manifest.last_use < DAY || store_is_read_only(engine->options.store))
        return;
    memo->manifest.last_use = now;
    g_autoptr(GBytes) value = memo_manifest_encode(&memo->manifest);
    store_record_put(engine->options.store, STORE_MEMO, memo->key, MEMO_KEY_SIZE, value, NULL);
}

static void clear_values(struct root *roots, gsize count)
{
    for (gsize i = 0; i < count; i++)
        g_clear_pointer(&roots[i].value, value_unref);
}

bool memo_answer(struct engine *engine, struct root *roots, gsize count, GError **error)
{
    struct answers answers = { 0 };
    bool ok = false, asked = false;
    if (engine->memo->loaded)
        return false;
    answers.facts = g_array_new(FALSE, FALSE, sizeof(struct memo_root_fact));
    answers.roots = g_ptr_array_new_with_free_func(root_free);
    if (gather_roots(engine, roots, count, &answers)) {
        asked = ask_world(engine, &answers, error);
        ok = asked && all_hold(&answers);
    }
    if (ok) {
        engine->statistics.memoised = answers.roots->len;
        note_use(engine);
    } else {
        clear_values(roots, count);
        memo_load(engine);
        if (asked)
            hand_over(engine, &answers);
    }
    g_free(answers.now);
    g_array_unref(answers.facts);
    g_ptr_array_unref(answers.roots);
    return ok;
}

/* --- loading ---------------------------------------------------------------------------------- */

struct loading {
    struct engine *engine;
    GPtrArray *data, *facts, *instances; /* by number; references of the first two */
    GPtrArray *large;                    /* GBytes *; data point into them */
};

static bool load_datum(struct loading *loading, const struct memo_entry *entry)
{
    struct engine *engine = loading->engine;
    struct datum *datum = g_hash_table_lookup(engine->data, &entry->digest);
    if (datum == NULL) {
        datum = g_new0(struct datum, 1);
        datum->digest = entry->digest;
        g_hash_table_add(engine->data, datum);
    }
    datum->encoded = entry->data;
    datum->id = loading->data->len;
    g_ptr_array_add(loading->data, datum_ref(datum));
    if (entry->data != NULL)
        return true;
    /* All values are here once the memo is loaded: none can turn out to be lost later. */
    GBytes *bytes = store_get(engine->options.store, &entry->digest, NULL);
    if (bytes == NULL)
        return false;
    g_ptr_array_add(loading->large, bytes);
    datum->encoded = g_bytes_get_data(bytes, NULL);
    return true;
}

static bool load_fact(struct loading *loading, const struct memo_entry *entry)
{
    struct known_fact *known = fact_take(loading->engine, &entry->fact);
    known->id = loading->facts->len;
    g_ptr_array_add(loading->facts, known);
    return true;
}

static bool load_instance(struct loading *loading, const struct memo_entry *entry)
{
    struct engine *engine = loading->engine;
    if (entry->plan >= engine->plan_count || engine->plans[entry->plan].rule == NULL ||
        entry->param_count != engine->plans[entry->plan].param_count)
        return false;
    g_autofree struct datum **params = g_new(struct datum *, entry->param_count + 1);
    for (guint32 i = 0; i < entry->param_count; i++)
        if (entry->params[i] >= loading->data->len)
            return false;
    for (guint32 i = 0; i < entry->param_count; i++)
        params[i] = datum_ref(loading->data->pdata[entry->params[i]]);
    struct instance *instance = instance_take(engine, entry->plan, params);
    instance->memo = loading->instances->len;
    g_ptr_array_add(loading->instances, instance);
    return true;
}

static bool state_is_sound(const struct loading *loading, const struct memo_entry *entry)
{
    if (entry->instance >= loading->instances->len || entry->value >= loading->data->len)
        return false;
    for (guint32 i = 0; i < entry->edge_count; i++)
        if (entry->edges[i].to >= loading->instances->len ||
            entry->edges[i].seen >= loading->data->len)
            return false;
    for (guint32 i = 0; i < entry->fact_count; i++)
        if (entry->facts[i].fact >= loading->facts->len)
            return false;
    return true;
}

static bool load_state(struct loading *loading, const struct memo_entry *entry)
{
    struct engine *engine = loading->engine;
    if (!state_is_sound(loading, entry))
        return false;
    struct instance *instance = loading->instances->pdata[entry->instance];
    struct record record = { g_new(struct edge, entry->edge_count),
                             g_new(struct fact_edge, entry->fact_count), entry->edge_count,
                             entry->fact_count };
    for (guint32 i = 0; i < entry->edge_count; i++) {
        const struct memo_edge *edge = &entry->edges[i];
        const struct instance *to = loading->instances->pdata[edge->to];
        record.edges[i] =
            (struct edge){ to->id, edge->last, datum_ref(loading->data->pdata[edge->seen]) };
    }
    for (guint32 i = 0; i < entry->fact_count; i++) {
        struct known_fact *known = loading->facts->pdata[entry->facts[i].fact];
        known->references++;
        record.facts[i] = (struct fact_edge){ known, entry->facts[i].seen };
    }
    record_release(engine, &instance->record);
    datum_unref(engine, instance->value);
    instance->record = record;
    instance->value = datum_ref(loading->data->pdata[entry->value]);
    instance->duration = (gint64)entry->duration;
    return true;
}

static bool load_chunk(struct loading *loading, GBytes *chunk)
{
    static bool (*const loaders[])(struct loading *, const struct memo_entry *) = {
        [MEMO_DATUM] = load_datum,
        [MEMO_FACT] = load_fact,
        [MEMO_INSTANCE] = load_instance,
        [MEMO_STATE] = load_state,
    };
    struct memo_reader reader;
    struct memo_entry entry;
    gsize size;
    const void *data = g_bytes_get_data(chunk, &size);
    bool ok = true;
    memo_reader_init(&reader, data, size);
    while (ok && memo_next(&reader, &entry))
        ok = loaders[entry.tag](loading, &entry);
    ok = ok && !reader.failed;
    memo_reader_release(&reader);
    return ok;
}

/* All of it, or nothing. */
static bool fetch_chunks(struct engine *engine)
{
    struct memo *memo = engine->memo;
    for (guint i = 0; i < memo->manifest.chunks->len; i++) {
        GBytes *chunk = store_get(engine->options.store,
                                  &g_array_index(memo->manifest.chunks, struct digest, i), NULL);
        if (chunk == NULL)
            return false;
        g_ptr_array_add(memo->chunks, chunk);
    }
    return true;
}

/* The next save writes everything that is known. */
void memo_renumber(struct engine *engine)
{
    struct memo *memo = engine->memo;
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, engine->data);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        ((struct datum *)key)->id = ENGINE_NONE;
    g_hash_table_iter_init(&iter, engine->facts);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        ((struct known_fact *)key)->id = ENGINE_NONE;
    for (guint i = 0; i < engine->instances->len; i++) {
        instance_at(engine, i)->memo = ENGINE_NONE;
        instance_at(engine, i)->changed = instance_at(engine, i)->value != NULL;
    }
    memo->data = memo->facts = memo->instances = 0;
    g_array_set_size(memo->manifest.chunks, 0);
    g_array_set_size(memo->manifest.values, 0);
}

/* Instances stay, but without values: they are as if nobody had ever asked for them. */
static void forget_all(struct engine *engine)
{
    for (guint i = 0; i < engine->instances->len; i++) {
        struct instance *instance = instance_at(engine, i);
        record_release(engine, &instance->record);
        datum_unref(engine, g_steal_pointer(&instance->value));
    }
    memo_renumber(engine);
    g_array_set_size(engine->memo->manifest.roots, 0);
}

void memo_load(struct engine *engine)
{
    struct memo *memo = engine->memo;
    struct loading loading = { engine, g_ptr_array_new(), g_ptr_array_new(), g_ptr_array_new(),
                               memo->large };
    if (memo->loaded)
        return;
    memo->loaded = true;
    bool ok = fetch_chunks(engine);
    for (guint i = 0; ok && i < memo->chunks->len; i++)
        ok = load_chunk(&loading, memo->chunks->pdata[i]);
    memo->data = loading.data->len;
    memo->facts = loading.facts->len;
    memo->instances = loading.instances->len;
    if (!ok)
        forget_all(engine);
    for (guint i = 0; i < loading.data->len; i++)
        datum_unref(engine, loading.data->pdata[i]);
    for (guint i = 0; i < loading.facts->len; i++)
        fact_drop(engine, loading.facts->pdata[i]);
    g_ptr_array_unref(loading.data);
    g_ptr_array_unref(loading.facts);
    g_ptr_array_unref(loading.instances);
}
