// SPDX-License-Identifier: Apache-2.0
/* What earlier executions saw: looking it up, comparing, recording. */
#include "cache/seen.h"

#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"
#include "cache/cache.h"

#include <string.h>

enum {
    EXECUTIONS_MAX = 32,
    KEY_SIZE = 1 + CACHE_KEY_SIZE,
};

struct execution_seen {
    struct seen_entry entry;
    struct path_set *set;
    struct trace_value *answers; /* one for each path of the set; times are ranks */
    GStringChunk *texts;
    bool looked_for, usable; /* set and answers */
    bool results_looked_for;
    struct tree *outputs; /* NULL: gone */
    struct result *result;
};

struct seen {
    struct store *store;
    struct digest weak;
    GPtrArray *executions; /* struct execution_seen, newest first */
};

/* --- the record ------------------------------------------------------------------------------- */

static void put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

GBytes *seen_encode(const struct seen_entry *entries, size_t count)
{
    GByteArray *out = g_byte_array_new();
    for (size_t i = 0; i < count; i++) {
        g_autoptr(GByteArray) message = g_byte_array_new();
        put_digest(message, 1, &entries[i].path_set);
        put_digest(message, 2, &entries[i].values);
        put_digest(message, 3, &entries[i].key);
        wire_put_message(out, 1, message);
    }
    return g_byte_array_free_to_bytes(out);
}

static bool take_entry(const struct wire_field *outer, struct seen_entry *out)
{
    struct digest *digests[] = { NULL, &out->path_set, &out->values, &out->key };
    struct wire_reader reader;
    struct wire_field field;
    guint32 expected = 1;
    if (outer->number != 1 || outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (expected > 3 || field.number != expected || field.type != WIRE_BYTES ||
            !digest_decode(field.data, field.size, digests[expected]))
            return false;
        expected++;
    }
    return !reader.failed && expected == 4;
}

GArray *seen_decode(GBytes *bytes, GError **error)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct seen_entry));
    struct wire_reader reader;
    struct wire_field field;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field)) {
        struct seen_entry entry;
        ok = entries->len < EXECUTIONS_MAX && take_entry(&field, &entry);
        if (ok)
            g_array_append_val(entries, entry);
    }
    if (ok && !reader.failed)
        return g_steal_pointer(&entries);
    fault_set(error, FAULT_CORRUPT, "the record of what was seen is malformed");
    return NULL;
}

static void make_key(const struct digest *weak, guint8 key[KEY_SIZE])
{
    key[0] = 's';
    cache_key(weak, key + 1);
}

/* --- loading ---------------------------------------------------------------------------------- */

static void execution_free(gpointer data)
{
    struct execution_seen *execution = data;
    path_set_unref(execution->set);
    g_free(execution->answers);
    if (execution->texts != NULL)
        g_string_chunk_free(execution->texts);
    tree_unref(execution->outputs);
    result_free(execution->result);
    g_free(execution);
}

struct seen *seen_load(struct store *store, const struct digest *weak)
{
    guint8 key[KEY_SIZE];
    struct seen *seen = g_new0(struct seen, 1);
    seen->store = store;
    seen->weak = *weak;
    seen->executions = g_ptr_array_new_with_free_func(execution_free);
    make_key(weak, key);
    g_autoptr(GBytes) value = store_record_get(store, STORE_PATH_SETS, key, sizeof key);
    g_autoptr(GArray) entries = value == NULL ? NULL : seen_decode(value, NULL);
    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        struct execution_seen *execution = g_new0(struct execution_seen, 1);
        execution->entry = g_array_index(entries, struct seen_entry, i);
        g_ptr_array_add(seen->executions, execution);
    }
    return seen;
}

void seen_free(struct seen *seen)
{
    if (seen == NULL)
        return;
    g_ptr_array_unref(seen->executions);
    g_free(seen);
}

bool seen_is_empty(const struct seen *seen)
{
    return seen->executions->len == 0;
}

static struct execution_seen *execution_at(const struct seen *seen, guint index)
{
    return seen->executions->pdata[index];
}

/* Executions that asked the same share the set, which is most of them. */
static struct path_set *load_set(const struct seen *seen, const struct digest *digest)
{
    for (guint i = 0; i < seen->executions->len; i++) {
        const struct execution_seen *other = execution_at(seen, i);
        if (other->set != NULL && digest_equal(&other->entry.path_set, digest))
            return path_set_ref(other->set);
    }
    g_autoptr(GBytes) bytes = store_get(seen->store, digest, NULL);
    return bytes == NULL ? NULL : path_set_decode(bytes, NULL);
}

static bool load_execution(const struct seen *seen, struct execution_seen *execution)
{
    if (execution->looked_for)
        return execution->usable;
    execution->looked_for = true;
    execution->set = load_set(seen, &execution->entry.path_set);
    g_autoptr(GBytes) values = store_get(seen->store, &execution->entry.values, NULL);
    if (execution->set == NULL || values == NULL)
        return false;
    execution->answers = g_new0(struct trace_value, path_set_count(execution->set));
    execution->texts = g_string_chunk_new(1024);
    execution->usable =
        path_set_decode_values(execution->set, values, execution->texts, execution->answers, NULL);
    return execution->usable;
}

/* What it left behind; false: that is not known any more. */
static bool load_outputs(const struct seen *seen, struct execution_seen *execution)
{
    if (execution->results_looked_for)
        return execution->outputs != NULL;
    execution->results_looked_for = true;
    guint8 key[CACHE_KEY_SIZE];
    cache_key(&execution->entry.key, key);
    g_autoptr(GBytes) value = store_record_get(seen->store, STORE_RESULTS, key, sizeof key);
    execution->result = value == NULL ? NULL : result_decode(value, NULL);
    if (execution->result != NULL)
        execution->outputs = store_get_tree(seen->store, &execution->result->outputs, NULL);
    return execution->outputs != NULL;
}

/* --- one answer ------------------------------------------------------------------------------- */

/* Times apart, which are compared all together. */
static bool is_same(unsigned aspects, const struct trace_value *a, const struct trace_value *b)
{
    if (a->kind != b->kind)
        return false;
    if ((aspects & TRACE_CONTENT) != 0 && a->kind != TRACE_LINK &&
        (a->mode & TRACE_MODE) != (b->mode & TRACE_MODE))
        return false;
    if ((aspects & TRACE_CONTENT) != 0 && a->kind == TRACE_FILE &&
        (a->unreadable != b->unreadable ||
         (!a->unreadable && !digest_equal(&a->digest, &b->digest))))
        return false;
    if ((aspects & TRACE_NAMES) != 0 && a->kind == TRACE_DIRECTORY &&
        (a->unreadable != b->unreadable ||
         (!a->unreadable && !digest_equal(&a->digest, &b->digest))))
        return false;
    if ((aspects & TRACE_XATTRS) != 0 && g_strcmp0(a->xattrs, b->xattrs) != 0)
        return false;
    return (aspects & TRACE_TARGET) == 0 || a->kind != TRACE_LINK ||
           g_strcmp0(a->target, b->target) == 0;
}

struct search {
    struct seen *seen;
    struct trace_state *state;
    GError *error;
};

static bool ask(struct search *search, const char *path, unsigned aspects, struct trace_value *out)
{
    const struct trace_question question = { .path = path, .aspects = aspects | TRACE_KIND };
    *out = (struct trace_value){ 0 };
    return search->state->operations->look_up(search->state, &question, 1, out, &search->error);
}

static bool was_deleted(const struct result *result, const char *path)
{
    for (char **deleted = result->deleted; deleted != NULL && *deleted != NULL; deleted++)
        if (strcmp(*deleted, path) == 0)
            return true;
    return false;
}

static bool made_fifo(const struct result *result, const char *path)
{
    for (guint i = 0; i < result->extras->len; i++) {
        const struct output_extra *extra = result->extras->pdata[i];
        if (extra->fifo && strcmp(extra->path, path) == 0)
            return true;
    }
    return false;
}

/* What trace_xattrs_hash() says of the attributes that the result has kept; caller frees. */
static char *kept_xattrs(GBytes *bytes)
{
    g_autoptr(GHashTable) attributes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    struct wire_reader all, one;
    struct wire_field outer, field;
    wire_reader_init(&all, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (wire_next(&all, &outer) && outer.type == WIRE_BYTES) {
        g_autofree char *name = NULL;
        GBytes *value = NULL;
        wire_reader_init(&one, outer.data, outer.size);
        if (wire_next(&one, &field) && field.number == 1 && field.type == WIRE_BYTES)
            name = g_strndup((const char *)field.data, field.size);
        if (wire_next(&one, &field) && field.number == 2 && field.type == WIRE_BYTES)
            value = g_bytes_new(field.data, field.size);
        if (name != NULL && value != NULL)
            g_hash_table_insert(attributes, g_steal_pointer(&name), value);
        else
            g_clear_pointer(&value, g_bytes_unref);
    }
    return trace_xattrs_hash(attributes);
}

static bool has_left_xattrs(const struct result *result, const char *path,
                            const struct trace_value *now)
{
    for (guint i = 0; i < result->extras->len; i++) {
        const struct output_extra *extra = result->extras->pdata[i];
        if (strcmp(extra->path, path) != 0)
            continue;
        g_autofree char *hash = extra->xattrs == NULL ? NULL : kept_xattrs(extra->xattrs);
        return g_strcmp0(hash, now->xattrs) == 0;
    }
    return now->xattrs == NULL;
}

/* Is `now` what the execution left at `path`? Its extended attributes apart. */
static bool has_left(const struct execution_seen *execution, const char *path,
                     const struct trace_value *now)
{
    const struct tree_entry *entry = tree_lookup(execution->outputs, path);
    if (now->kind == TRACE_FIFO) /* beside the tree */
        return made_fifo(execution->result, path);
    if (entry == NULL)
        return now->kind == TRACE_NOTHING && was_deleted(execution->result, path);
    switch (entry->kind) {
    case TREE_DIRECTORY:
        return now->kind == TRACE_DIRECTORY;
    case TREE_SYMLINK:
        return now->kind == TRACE_LINK && g_strcmp0(now->target, entry->target) == 0;
    default:
        return now->kind == TRACE_FILE && !now->unreadable &&
               ((now->mode & 0100) != 0) == entry->executable &&
               digest_equal(&now->digest, &entry->digest);
    }
}

/* What the execution was told about `path`, or NULL. */
static const struct trace_value *answer_to(const struct execution_seen *execution, const char *path,
                                           unsigned *aspects)
{
    size_t low = 0, high = path_set_count(execution->set);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct trace_question *question = path_set_at(execution->set, middle);
        int order = trace_compare_paths(question->path, path);
        *aspects = question->aspects;
        if (order == 0)
            return &execution->answers[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Is `before`, of which `known` was asked, enough to look for what was there before that? */
static bool leads_on(unsigned aspects, unsigned known, const struct trace_value *before)
{
    return before->kind == TRACE_NOTHING || (aspects & ~known & TRACE_XATTRS) == 0;
}

/* Does one of the states that `path` rolls back to, step by step from `now`, give this answer? */
static bool rolls_back(struct search *search, const char *path, unsigned aspects,
                       const struct trace_value *now, const struct trace_value *wanted,
                       guint64 tried)
{
    struct seen *seen = search->seen;
    for (guint i = 0; i < seen->executions->len && i < 64; i++) {
        struct execution_seen *execution = execution_at(seen, i);
        guint64 bit = (guint64)1 << i;
        unsigned known;
        if ((tried & bit) != 0 || !load_outputs(seen, execution) ||
            !load_execution(seen, execution) || !has_left(execution, path, now) ||
            ((aspects & TRACE_XATTRS) != 0 && !has_left_xattrs(execution->result, path, now)))
            continue;
        const struct trace_value *before = answer_to(execution, path, &known);
        if (before == NULL)
            continue;
        bool told = before->kind == TRACE_NOTHING || (aspects & ~known & ~TRACE_TIME) == 0;
        if ((told && is_same(aspects, before, wanted)) ||
            (leads_on(aspects, known, before) &&
             rolls_back(search, path, aspects, before, wanted, tried | bit)))
            return true;
    }
    return false;
}

/* Own outputs lie in the workspace, and their paths are relative to it. */
static bool holds_rolled_back(struct search *search, const char *path, unsigned aspects,
                              const struct trace_value *wanted)
{
    struct trace_value now;
    return path[0] != '/' && path[0] != '\0' &&
           ask(search, path, TRACE_CONTENT | TRACE_TARGET | (aspects & TRACE_XATTRS), &now) &&
           rolls_back(search, path, aspects, &now, wanted, 0);
}

/* The same for a listing: names that roll back to nothing are taken out. */
static bool names_hold(struct search *search, const char *directory,
                       const struct trace_value *wanted)
{
    static const struct trace_value nothing = { .kind = TRACE_NOTHING };
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    struct digest digest;
    if (directory[0] == '/' ||
        !search->state->operations->list(search->state, directory, names, &search->error))
        return false;
    for (guint i = names->len; i-- > 0;) {
        const struct trace_name *name = &g_array_index(names, struct trace_name, i);
        g_autofree char *path = path_join(directory, name->name);
        if (holds_rolled_back(search, path, TRACE_KIND, &nothing))
            g_array_remove_index_fast(names, i);
    }
    trace_names_digest((struct trace_name *)(void *)names->data, names->len, &digest);
    return !wanted->unreadable && digest_equal(&digest, &wanted->digest);
}

/* *now holds: as it is, or rolled back. */
static bool holds(struct search *search, const struct trace_question *question,
                  const struct trace_value *now, const struct trace_value *wanted, bool *rolled)
{
    *rolled = false;
    if (is_same(question->aspects, now, wanted))
        return true;
    *rolled = true;
    if ((question->aspects & TRACE_NAMES) != 0 && now->kind == TRACE_DIRECTORY &&
        wanted->kind == TRACE_DIRECTORY &&
        is_same(question->aspects & ~(unsigned)TRACE_NAMES, now, wanted))
        return names_hold(search, question->path, wanted);
    return holds_rolled_back(search, question->path, question->aspects, wanted);
}

/* --- the order of times ----------------------------------------------------------------------- */

struct moment {
    gint64 rank, time;
    size_t index; /* of the question */
};

static gint compare_moments(gconstpointer a, gconstpointer b)
{
    const struct moment *one = a, *other = b;
    return one->rank < other->rank ? -1 : one->rank > other->rank;
}

/* Of what was not rolled back: what was has the time that it had. */
static bool order_holds(GArray *moments)
{
    g_array_sort(moments, compare_moments);
    for (guint i = 1; i < moments->len; i++) {
        const struct moment *before = &g_array_index(moments, struct moment, i - 1);
        const struct moment *after = &g_array_index(moments, struct moment, i);
        bool same = before->rank == after->rank;
        if (same ? before->time != after->time : before->time >= after->time)
            return false;
    }
    return true;
}

/*
 * Without what this execution wrote anew with the content that was there before: rolled back, that
 * has the time that it had.
 */
static void drop_rewritten(const struct search *search, struct execution_seen *execution,
                           const struct trace_value *now, GArray *moments)
{
    if (!load_outputs(search->seen, execution))
        return;
    for (guint i = moments->len; i-- > 0;) {
        size_t index = g_array_index(moments, struct moment, i).index;
        const char *path = path_set_at(execution->set, index)->path;
        if (path[0] != '/' && path[0] != '\0' && has_left(execution, path, &now[index]))
            g_array_remove_index_fast(moments, i);
    }
}

/* --- all answers ------------------------------------------------------------------------------ */

static char *difference(const char *path, unsigned aspects, const struct trace_value *now,
                        const struct trace_value *wanted)
{
    g_autofree char *quoted = path_quote(*path == '\0' ? "." : path);
    if (now->kind == TRACE_NOTHING)
        return g_strdup_printf("%s is gone", quoted);
    if (wanted->kind == TRACE_NOTHING)
        return g_strdup_printf("%s was not there", quoted);
    if (now->kind != wanted->kind)
        return g_strdup_printf("%s is a %s now, and was a %s", quoted, trace_kind_name(now->kind),
                               trace_kind_name(wanted->kind));
    if (is_same(aspects & ~(unsigned)TRACE_XATTRS, now, wanted))
        return g_strdup_printf("the extended attributes of %s changed", quoted);
    if (now->kind == TRACE_DIRECTORY)
        return g_strdup_printf("the directory %s lists other names", quoted);
    if (now->kind == TRACE_LINK)
        return g_strdup_printf("the link %s leads elsewhere", quoted);
    if (digest_equal(&now->digest, &wanted->digest))
        return g_strdup_printf("the mode of %s changed", quoted);
    return g_strdup_printf("%s changed", quoted);
}

static bool compare_answers(struct search *search, struct execution_seen *execution,
                            const struct trace_value *now, char **reason)
{
    g_autoptr(GArray) moments = g_array_new(FALSE, FALSE, sizeof(struct moment));
    for (size_t i = 0; i < path_set_count(execution->set); i++) {
        const struct trace_question *question = path_set_at(execution->set, i);
        const struct trace_value *wanted = &execution->answers[i];
        bool rolled;
        if (!holds(search, question, &now[i], wanted, &rolled)) {
            *reason = difference(question->path, question->aspects, &now[i], wanted);
            return false;
        }
        struct moment moment = { wanted->time, now[i].time, i };
        if (!rolled && (question->aspects & TRACE_TIME) != 0 && wanted->time != 0)
            g_array_append_val(moments, moment);
    }
    if (order_holds(moments))
        return true;
    drop_rewritten(search, execution, now, moments);
    if (order_holds(moments))
        return true;
    *reason = g_strdup("the order of the times of files changed");
    return false;
}

static bool is_seen_again(struct search *search, struct execution_seen *execution, char **reason)
{
    if (!load_execution(search->seen, execution)) {
        *reason = g_strdup("what an earlier run saw is gone or damaged");
        return false;
    }
    size_t count = path_set_count(execution->set);
    g_autofree struct trace_value *now = g_new0(struct trace_value, count + 1);
    if (count > 0 && !search->state->operations->look_up(
                         search->state, path_set_at(execution->set, 0), count, now, &search->error))
        return false;
    return compare_answers(search, execution, now, reason);
}

bool seen_find(struct seen *seen, struct trace_state *state, struct digest *key, char **reason,
               GError **error)
{
    struct search search = { .seen = seen, .state = state };
    *reason = NULL;
    for (guint i = 0; i < seen->executions->len; i++) {
        struct execution_seen *execution = execution_at(seen, i);
        g_autofree char *why = NULL;
        if (is_seen_again(&search, execution, &why)) {
            *key = execution->entry.key;
            g_clear_pointer(reason, g_free);
            return true;
        }
        if (search.error != NULL) {
            g_propagate_error(error, search.error);
            g_clear_pointer(reason, g_free);
            return false;
        }
        if (*reason == NULL)
            *reason = g_steal_pointer(&why);
    }
    if (*reason == NULL)
        *reason = g_strdup("no earlier run of this command here");
    return false;
}

/* --- recording -------------------------------------------------------------------------------- */

bool seen_record(const struct seen *seen, struct store_batch *batch, const struct trace *trace,
                 const struct digest *key, struct seen_entry *out, GError **error)
{
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GByteArray) values = g_byte_array_new();
    g_autoptr(GBytes) bytes = path_set_encode(set);
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(struct seen_entry));
    guint8 record[KEY_SIZE];
    trace_values(trace, values);
    if (key != NULL)
        out->key = *key;
    else
        trace_strong_key(&seen->weak, path_set_digest(set), values, &out->key);
    if (!store_batch_put(batch, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                         &out->path_set, error) ||
        !store_batch_put(batch, values->data, values->len, &out->values, error))
        return false;
    g_array_append_val(entries, *out);
    for (guint i = 0; i < seen->executions->len && entries->len < EXECUTIONS_MAX; i++) {
        const struct seen_entry *earlier = &execution_at(seen, i)->entry;
        if (!digest_equal(&earlier->key, &out->key))
            g_array_append_val(entries, *earlier);
    }
    g_autoptr(GBytes) value =
        seen_encode((const struct seen_entry *)(void *)entries->data, entries->len);
    make_key(&seen->weak, record);
    store_batch_put_record(batch, STORE_PATH_SETS, record, sizeof record, value);
    return true;
}

/* result.observed holds path set, values, trace, action. */
struct trace *seen_trace(struct store *store, const struct digest *key, GError **error)
{
    guint8 record[CACHE_KEY_SIZE];
    cache_key(key, record);
    g_autoptr(GBytes) value = store_record_get(store, STORE_RESULTS, record, sizeof record);
    g_autoptr(result) result = value == NULL ? NULL : result_decode(value, NULL);
    if (result == NULL) {
        fault_set(error, FAULT_MISSING, "its result is not kept any more");
        return NULL;
    }
    if (result->observed->len < 3) {
        fault_set(error, FAULT_MISSING, "it did not run in a view");
        return NULL;
    }
    g_autoptr(GBytes) bytes =
        store_get(store, &g_array_index(result->observed, struct digest, 2), error);
    return bytes == NULL ? NULL : trace_decode(bytes, error);
}
