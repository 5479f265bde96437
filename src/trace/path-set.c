// SPDX-License-Identifier: Apache-2.0
/* Path sets: from traces, as bytes, and evaluated in a state. */
#include "trace/trace-internal.h"

#include "base/fault.h"

#define ASKED (TRACE_CONTENT | TRACE_NAMES | TRACE_TARGET | TRACE_TIME | TRACE_XATTRS)

struct path_set {
    gatomicrefcount references;
    GStringChunk *texts;
    GArray *questions; /* struct trace_question, by path */
    GBytes *bytes;
    struct digest digest;
};

static struct path_set *path_set_new(void)
{
    struct path_set *set = g_new0(struct path_set, 1);
    g_atomic_ref_count_init(&set->references);
    set->texts = g_string_chunk_new(4096);
    set->questions = g_array_new(FALSE, FALSE, sizeof(struct trace_question));
    return set;
}

struct path_set *path_set_ref(struct path_set *set)
{
    g_atomic_ref_count_inc(&set->references);
    return set;
}

void path_set_unref(struct path_set *set)
{
    if (set == NULL || !g_atomic_ref_count_dec(&set->references))
        return;
    g_string_chunk_free(set->texts);
    g_array_unref(set->questions);
    g_clear_pointer(&set->bytes, g_bytes_unref);
    g_free(set);
}

size_t path_set_count(const struct path_set *set)
{
    return set->questions->len;
}

const struct trace_question *path_set_at(const struct path_set *set, size_t index)
{
    g_assert(index < set->questions->len);
    return &g_array_index(set->questions, struct trace_question, index);
}

const struct digest *path_set_digest(const struct path_set *set)
{
    return &set->digest;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static GBytes *encode(const struct path_set *set)
{
    GByteArray *out = g_byte_array_sized_new(set->questions->len * 24);
    g_autoptr(GByteArray) entry = g_byte_array_new();
    const char *last = NULL;
    for (guint i = 0; i < set->questions->len; i++) {
        const struct trace_question *question = path_set_at(set, i);
        g_byte_array_set_size(entry, 0);
        path_put(entry, &last, question->path);
        wire_put_varint(entry, 3, question->aspects & ASKED);
        wire_put_message(out, 1, entry);
    }
    return g_byte_array_free_to_bytes(out);
}

struct path_set *path_set_of(const struct trace *trace)
{
    struct path_set *set = path_set_new();
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        const struct trace_question question = {
            .path = g_string_chunk_insert(set->texts, fact->path),
            .aspects = (fact->aspects & ASKED) | TRACE_KIND,
        };
        g_array_append_val(set->questions, question);
    }
    set->bytes = encode(set);
    digest_of_bytes(set->bytes, &set->digest);
    return set;
}

GBytes *path_set_encode(const struct path_set *set)
{
    return g_bytes_ref(set->bytes);
}

static bool take_entry(struct path_set *set, struct path_reader *paths,
                       const struct wire_field *outer)
{
    struct wire_reader reader;
    struct wire_field field, rest = { 0 };
    guint64 numbers[4] = { 0 };
    unsigned fields = 0;
    if (outer->number != 1 || outer->type != WIRE_BYTES || set->questions->len == TRACE_FACTS_MAX)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number > 3 || fields >> field.number != 0)
            return false;
        fields |= 1u << field.number;
        if (field.number == 2)
            rest = field;
        else if (field.type != WIRE_VARINT || field.value == 0)
            return false;
        else
            numbers[field.number] = field.value;
    }
    if (reader.failed || (fields & 1 << 2) == 0 || (numbers[3] & ~(guint64)ASKED) != 0)
        return false;
    const struct trace_question question = {
        .path = path_take(paths, numbers[1], &rest),
        .aspects = (unsigned)numbers[3] | TRACE_KIND,
    };
    g_array_append_val(set->questions, question);
    return question.path != NULL;
}

struct path_set *path_set_decode(GBytes *bytes, GError **error)
{
    g_autoptr(path_set) set = path_set_new();
    g_autoptr(GString) path = g_string_new(NULL);
    struct path_reader paths = { .texts = set->texts, .path = path };
    struct wire_reader reader;
    struct wire_field field;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field))
        ok = take_entry(set, &paths, &field);
    if (!ok || reader.failed) {
        fault_set(error, FAULT_CORRUPT, "a path set is malformed");
        return NULL;
    }
    set->bytes = g_bytes_ref(bytes);
    digest_of_bytes(bytes, &set->digest);
    return g_steal_pointer(&set);
}

/* --- values ----------------------------------------------------------------------------------- */

void trace_values(const struct trace *trace, GByteArray *values)
{
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        value_put(values, 1, fact->aspects & ASKED, &fact->value, scratch);
    }
}

static void rank_answers(const struct path_set *set, struct trace_value *answers)
{
    g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (guint pass = 0, at = 0; pass < 2; pass++) {
        for (guint i = 0; i < set->questions->len; i++) {
            if ((path_set_at(set, i)->aspects & trace_kind_aspects(answers[i].kind) & TRACE_TIME) ==
                0)
                continue;
            if (pass == 0)
                g_array_append_val(times, answers[i].time);
            else
                answers[i].time = g_array_index(times, gint64, at++);
        }
        if (pass == 0)
            trace_rank((gint64 *)times->data, times->len);
    }
}

bool path_set_answer(const struct path_set *set, struct trace_state *state,
                     struct trace_value *answers, GError **error)
{
    const struct trace_question *questions = (const struct trace_question *)set->questions->data;
    if (set->questions->len > 0 &&
        !state->operations->look_up(state, questions, set->questions->len, answers, error))
        return false;
    rank_answers(set, answers);
    return true;
}

bool path_set_evaluate(const struct path_set *set, struct trace_state *state, GByteArray *values,
                       GError **error)
{
    g_autofree struct trace_value *answers = g_new0(struct trace_value, set->questions->len);
    if (!path_set_answer(set, state, answers, error))
        return false;
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    for (guint i = 0; i < set->questions->len; i++)
        value_put(values, 1, path_set_at(set, i)->aspects, &answers[i], scratch);
    return true;
}

bool path_set_decode_values(const struct path_set *set, GBytes *values, GStringChunk *texts,
                            struct trace_value *answers, GError **error)
{
    struct wire_reader reader;
    struct wire_field field;
    size_t count = 0;
    wire_reader_init(&reader, g_bytes_get_data(values, NULL), g_bytes_get_size(values));
    while (count < path_set_count(set) && wire_next(&reader, &field) && field.number == 1 &&
           value_take(&field, path_set_at(set, count)->aspects & ASKED, texts, &answers[count]))
        count++;
    if (count == path_set_count(set) && !wire_next(&reader, &field) && !reader.failed)
        return true;
    return fault_set(error, FAULT_CORRUPT, "the values of a path set are malformed");
}

static void put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

void trace_strong_key(const struct digest *weak, const struct digest *path_set,
                      const GByteArray *values, struct digest *out)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    struct digest digest;
    digest_of(values->data, values->len, &digest);
    put_digest(message, 1, weak);
    put_digest(message, 2, path_set);
    put_digest(message, 3, &digest);
    digest_of(message->data, message->len, out);
}
