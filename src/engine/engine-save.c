// SPDX-License-Identifier: Apache-2.0
/*
 * Writing what a run has found out: one chunk or more, the roots that were asked for, the manifest,
 * all in one batch (V7). When what later chunks have replaced outgrows the rest, all that the
 * manifest's roots reach is written anew, and what they do not reach is left out: that bounds it.
 */
#include "engine/memo-internal.h"

#include <string.h>

enum {
    CHUNK_BYTES = 8 << 20,
    SLACK_BYTES = 1 << 20, /* replaced bytes that are not worth writing all anew */
    CHUNKS_USUAL = 64,
};

struct saving {
    struct engine *engine;
    struct memo *memo;
    struct store_batch *batch;
    GByteArray *out;    /* data, facts and instances */
    GByteArray *states; /* which come after them, since they name any of them */
    GArray *chunks;     /* struct digest: of `states` so far */
    bool failed;
};

/* --- chunks ----------------------------------------------------------------------------------- */

static void flush(struct saving *saving, GByteArray *bytes, GArray *chunks, gsize least)
{
    struct digest digest;
    if (bytes->len <= least)
        return;
    if (store_batch_put(saving->batch, bytes->data, bytes->len, &digest, NULL))
        g_array_append_val(chunks, digest);
    else
        saving->failed = true;
    g_byte_array_set_size(bytes, 0);
}

static guint32 number_datum(struct saving *saving, struct datum *datum)
{
    if (datum->id != ENGINE_NONE)
        return datum->id;
    struct value *value = datum_value(datum);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    struct digest digest;
    value_encode_to(value, bytes);
    if (bytes->len > MEMO_INLINE_MAX) {
        if (!store_batch_put(saving->batch, bytes->data, bytes->len, &digest, NULL))
            saving->failed = true;
        g_array_append_val(saving->memo->manifest.values, datum->digest);
    }
    memo_put(saving->out, &(struct memo_entry){
                              .tag = MEMO_DATUM, .digest = datum->digest, .data = bytes->data });
    return datum->id = saving->memo->data++;
}

static guint32 number_fact(struct saving *saving, struct known_fact *known)
{
    if (known->id != ENGINE_NONE)
        return known->id;
    memo_put(saving->out, &(struct memo_entry){ .tag = MEMO_FACT, .fact = known->fact });
    return known->id = saving->memo->facts++;
}

static guint32 number_instance(struct saving *saving, struct instance *instance)
{
    if (instance->memo != ENGINE_NONE)
        return instance->memo;
    guint count = saving->engine->plans[instance->plan].param_count;
    g_autofree guint32 *params = g_new(guint32, count + 1);
    for (guint i = 0; i < count; i++)
        params[i] = number_datum(saving, instance->params[i]);
    memo_put(saving->out, &(struct memo_entry){ .tag = MEMO_INSTANCE,
                                                .plan = instance->plan,
                                                .params = params,
                                                .param_count = count });
    return instance->memo = saving->memo->instances++;
}

static void put_state(struct saving *saving, struct instance *instance)
{
    const struct record *record = &instance->record;
    g_autofree struct memo_edge *edges = g_new(struct memo_edge, record->edge_count + 1);
    g_autofree struct memo_fact_edge *facts = g_new(struct memo_fact_edge, record->fact_count + 1);
    for (guint32 i = 0; i < record->edge_count; i++) {
        const struct edge *edge = &record->edges[i];
        edges[i] = (struct memo_edge){
            .to = number_instance(saving, instance_at(saving->engine, edge->to)),
            .seen = number_datum(saving, edge->seen),
            .last = edge->last,
        };
    }
    for (guint32 i = 0; i < record->fact_count; i++)
        facts[i] = (struct memo_fact_edge){ number_fact(saving, record->facts[i].fact),
                                            record->facts[i].seen };
    const struct memo_entry entry = {
        .tag = MEMO_STATE,
        .instance = number_instance(saving, instance),
        .value = number_datum(saving, instance->value),
        .duration = (guint64)MAX(instance->duration, 0),
        .edges = edges,
        .edge_count = record->edge_count,
        .facts = facts,
        .fact_count = record->fact_count,
    };
    memo_put(saving->states, &entry);
    instance->changed = false;
    flush(saving, saving->out, saving->memo->manifest.chunks, CHUNK_BYTES);
    flush(saving, saving->states, saving->chunks, CHUNK_BYTES);
}

static bool is_kept(const struct engine *engine, const struct instance *instance)
{
    return instance->value != NULL && !instance->unkept &&
           !engine->plans[instance->plan].rule->uncacheable;
}

/* --- what is below ---------------------------------------------------------------------------- */

/* Marks by id all that `from` reaches, itself included; `visit` may be NULL. */
static void reach(struct engine *engine, struct instance *from, guint8 *marks,
                  void (*visit)(struct instance *instance, void *user), void *user)
{
    g_autoptr(GPtrArray) pending = g_ptr_array_new();
    if (marks[from->id])
        return;
    marks[from->id] = 1;
    g_ptr_array_add(pending, from);
    while (pending->len > 0) {
        struct instance *at = g_ptr_array_steal_index_fast(pending, pending->len - 1);
        if (visit != NULL)
            visit(at, user);
        for (guint32 i = 0; i < at->record.edge_count; i++) {
            guint32 to = at->record.edges[i].to;
            if (!marks[to])
                g_ptr_array_add(pending, instance_at(engine, to));
            marks[to] = 1;
        }
    }
}

struct below {
    const struct engine *engine;
    GArray *facts; /* struct memo_root_fact, as they come */
    bool kept;     /* nothing has to run in every run */
};

static void note_below(struct instance *instance, void *user)
{
    struct below *below = user;
    below->kept = below->kept && is_kept(below->engine, instance);
    for (guint32 i = 0; i < instance->record.fact_count; i++) {
        const struct fact_edge *edge = &instance->record.facts[i];
        const struct memo_root_fact fact = { edge->fact->fact, edge->seen };
        g_array_append_val(below->facts, fact);
    }
}

/* --- roots ------------------------------------------------------------------------------------ */

static void put_root(struct saving *saving, const struct root *root, struct memo_root *record)
{
    struct memo_root_name name = { .key = root->key,
                                   .instance = number_instance(saving, root->wait.to) };
    g_autoptr(GBytes) bytes = memo_root_encode(record);
    g_autoptr(GBytes) kept = memo_kept_encode(record);
    gsize size, kept_size;
    const void *data = g_bytes_get_data(bytes, &size);
    const void *kept_data = g_bytes_get_data(kept, &kept_size);
    GArray *roots = saving->memo->manifest.roots;
    if (!store_batch_put(saving->batch, data, size, &name.blob, NULL) ||
        !store_batch_put(saving->batch, kept_data, kept_size, &name.kept, NULL)) {
        saving->failed = true;
        return;
    }
    g_array_prepend_val(roots, name);
    if (roots->len > MEMO_ROOTS_MAX)
        g_array_set_size(roots, MEMO_ROOTS_MAX);
}

static void save_root(struct saving *saving, const struct root *root)
{
    struct engine *engine = saving->engine;
    struct instance *instance = root->wait.to;
    gssize found = memo_find_root(saving->memo, &root->key);
    if (found >= 0)
        g_array_remove_index(saving->memo->manifest.roots, (guint)found);
    g_autofree guint8 *marks = g_new0(guint8, engine->instances->len);
    struct below below = { engine, g_array_new(FALSE, FALSE, sizeof(struct memo_root_fact)), true };
    reach(engine, instance, marks, note_below, &below);
    struct memo_root record = { .facts = below.facts };
    if (below.kept && memo_merge_facts(below.facts)) {
        record.value = value_encode(datum_value(instance->value));
        put_root(saving, root, &record);
    }
    memo_root_clear(&record);
}

static bool is_answered(const struct engine *engine, const struct root *root)
{
    return root->wait.to != NULL && instance_is_valid(engine, root->wait.to);
}

/* --- all -------------------------------------------------------------------------------------- */

static guint64 total(const GArray *chunks)
{
    guint64 bytes = 0;
    for (guint i = 0; i < chunks->len; i++)
        bytes += (guint64)g_array_index(chunks, struct digest, i).size;
    return bytes;
}

/* Number everything anew and keep only what roots reach. */
static void compact(struct saving *saving, const struct root *roots, gsize count)
{
    struct engine *engine = saving->engine;
    struct memo *memo = saving->memo;
    g_autofree guint8 *marks = g_new0(guint8, engine->instances->len + 1);
    g_autoptr(GHashTable) numbers = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < engine->instances->len; i++)
        if (instance_at(engine, i)->memo != ENGINE_NONE)
            g_hash_table_insert(numbers, GUINT_TO_POINTER(instance_at(engine, i)->memo),
                                instance_at(engine, i));
    g_autoptr(GPtrArray) targets = g_ptr_array_new();
    for (guint i = 0; i < memo->manifest.roots->len; i++) {
        struct memo_root_name *name =
            &g_array_index(memo->manifest.roots, struct memo_root_name, i);
        struct instance *to = g_hash_table_lookup(numbers, GUINT_TO_POINTER(name->instance));
        g_ptr_array_add(targets, to);
    }
    memo_renumber(engine);
    for (guint i = 0; i < targets->len; i++)
        if (targets->pdata[i] != NULL) {
            reach(engine, targets->pdata[i], marks, NULL, NULL);
            g_array_index(memo->manifest.roots, struct memo_root_name, i).instance =
                number_instance(saving, targets->pdata[i]);
        }
    for (gsize i = 0; i < count; i++)
        if (is_answered(engine, &roots[i]))
            reach(engine, roots[i].wait.to, marks, NULL, NULL);
    for (guint i = 0; i < engine->instances->len; i++)
        if (marks[i] && is_kept(engine, instance_at(engine, i)))
            put_state(saving, instance_at(engine, i));
}

static void append(struct saving *saving)
{
    struct engine *engine = saving->engine;
    for (guint i = 0; i < engine->instances->len; i++) {
        struct instance *instance = instance_at(engine, i);
        if (instance->changed && instance->asked == engine->run && is_kept(engine, instance))
            put_state(saving, instance);
    }
}

static void finish_chunks(struct saving *saving)
{
    GArray *chunks = saving->memo->manifest.chunks;
    flush(saving, saving->out, chunks, 0);
    flush(saving, saving->states, saving->chunks, 0);
    if (saving->chunks->len > 0)
        g_array_append_vals(chunks, saving->chunks->data, saving->chunks->len);
    g_array_set_size(saving->chunks, 0);
}

static bool commit(struct saving *saving)
{
    struct memo *memo = saving->memo;
    memo->manifest.last_use = g_get_real_time();
    g_autoptr(GBytes) value = memo_manifest_encode(&memo->manifest);
    store_batch_put_record(saving->batch, STORE_MEMO, memo->key, MEMO_KEY_SIZE, value);
    return !saving->failed && store_batch_commit(saving->batch, NULL);
}

static bool has_news(const struct engine *engine, const struct root *roots, gsize count)
{
    bool news = engine->statistics.ran > 0;
    for (gsize i = 0; i < count && !news; i++)
        news = is_answered(engine, &roots[i]) && (roots[i].wait.to->happening != ENGINE_MEMOISED ||
                                                  memo_find_root(engine->memo, &roots[i].key) < 0);
    return news && !store_is_read_only(engine->options.store);
}

static void write_states(struct saving *saving, const struct root *roots, gsize count)
{
    struct memo_manifest *manifest = &saving->memo->manifest;
    guint64 bytes = total(manifest->chunks), given = saving->engine->options.memo_slack;
    guint64 slack = given > 0 ? given : SLACK_BYTES;
    bool first = manifest->chunks->len == 0;
    bool anew = bytes > 2 * manifest->compact + slack || manifest->chunks->len > CHUNKS_USUAL;
    if (anew)
        compact(saving, roots, count);
    else
        append(saving);
    finish_chunks(saving);
    if (first || anew)
        manifest->compact = total(manifest->chunks);
}

void memo_save(struct engine *engine, const struct root *roots, gsize count)
{
    if (!has_news(engine, roots, count))
        return;
    struct saving saving = {
        .engine = engine,
        .memo = engine->memo,
        .batch = store_batch_new(engine->options.store),
        .out = g_byte_array_new(),
        .states = g_byte_array_new(),
        .chunks = g_array_new(FALSE, FALSE, sizeof(struct digest)),
    };
    write_states(&saving, roots, count);
    for (gsize i = 0; i < count; i++)
        if (is_answered(engine, &roots[i]))
            save_root(&saving, &roots[i]);
    finish_chunks(&saving);
    if (!commit(&saving)) /* what is in the store is not known: the next save is whole */
        memo_renumber(engine);
    store_batch_free(saving.batch);
    g_byte_array_unref(saving.out);
    g_byte_array_unref(saving.states);
    g_array_unref(saving.chunks);
}
