// SPDX-License-Identifier: Apache-2.0
/* Traces as bytes: doc/format/trace.md. */
#include "trace/trace-internal.h"

#include "base/fault.h"

#include <string.h>

/* Who asked first: fields 4 to 9 of a fact, and from 12 on for the aspects that came later. */
#define LOW_ASPECTS 6u

static guint32 asked_field(guint32 bit)
{
    return bit < LOW_ASPECTS ? 4 + bit : 6 + bit;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Strings and lists of strings get numbers, from 1, in the order of their first use. */
struct numbering {
    GHashTable *strings; /* char* -> number */
    GHashTable *lists;   /* GBytes (the encoded list) -> number */
    GByteArray *out;
    GByteArray *scratch;
};

static guint32 number_string(struct numbering *numbering, const char *text)
{
    if (text == NULL)
        return 0;
    guint32 number = GPOINTER_TO_UINT(g_hash_table_lookup(numbering->strings, text));
    if (number != 0)
        return number;
    number = g_hash_table_size(numbering->strings) + 1;
    g_hash_table_insert(numbering->strings, (gpointer)text, GUINT_TO_POINTER(number));
    wire_put_bytes(numbering->out, 1, text, strlen(text));
    return number;
}

static guint32 number_list(struct numbering *numbering, char *const *list)
{
    if (list == NULL || *list == NULL)
        return 0;
    GByteArray *encoded = g_byte_array_new();
    for (; *list != NULL; list++)
        wire_put_varint(encoded, 1, number_string(numbering, *list));
    g_autoptr(GBytes) key = g_byte_array_free_to_bytes(encoded);
    guint32 number = GPOINTER_TO_UINT(g_hash_table_lookup(numbering->lists, key));
    if (number != 0)
        return number;
    number = g_hash_table_size(numbering->lists) + 1;
    wire_put_bytes(numbering->out, 2, g_bytes_get_data(key, NULL), g_bytes_get_size(key));
    g_hash_table_insert(numbering->lists, g_steal_pointer(&key), GUINT_TO_POINTER(number));
    return number;
}

static void put_process(struct numbering *numbering, const struct trace_process *process)
{
    guint32 argv = number_list(numbering, process->argv);
    guint32 environment = number_list(numbering, process->environment);
    guint32 directory = number_string(numbering, process->directory);
    guint32 program = number_string(numbering, process->program);
    g_byte_array_set_size(numbering->scratch, 0);
    wire_put_varint(numbering->scratch, 1, process->pid);
    wire_put_varint(numbering->scratch, 2, process->start);
    wire_put_varint(numbering->scratch, 3, process->parent);
    wire_put_varint(numbering->scratch, 4, argv);
    wire_put_varint(numbering->scratch, 5, environment);
    wire_put_varint(numbering->scratch, 6, directory);
    wire_put_varint(numbering->scratch, 7, program);
    wire_put_message(numbering->out, 3, numbering->scratch);
}

static void put_processes(const struct trace *trace, GByteArray *out)
{
    struct numbering numbering = {
        .strings = g_hash_table_new(g_str_hash, g_str_equal),
        .lists =
            g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL),
        .out = out,
        .scratch = g_byte_array_new(),
    };
    for (guint32 i = 1; i <= trace_process_count(trace); i++)
        put_process(&numbering, trace_process(trace, i));
    g_hash_table_unref(numbering.strings);
    g_hash_table_unref(numbering.lists);
    g_byte_array_unref(numbering.scratch);
}

static void put_facts(const struct trace *trace, GByteArray *out)
{
    g_autoptr(GByteArray) fact_bytes = g_byte_array_new();
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    const char *last = NULL;
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        g_byte_array_set_size(fact_bytes, 0);
        path_put(fact_bytes, &last, fact->path);
        wire_put_varint(fact_bytes, 3, fact->aspects);
        for (guint32 bit = 0; bit < LOW_ASPECTS; bit++)
            wire_put_varint(fact_bytes, asked_field(bit), fact->asked[bit]);
        wire_put_varint(fact_bytes, 10, fact->unstable);
        value_put(fact_bytes, 11, fact->aspects, &fact->value, scratch);
        for (guint32 bit = LOW_ASPECTS; bit < TRACE_ASPECTS; bit++)
            wire_put_varint(fact_bytes, asked_field(bit), fact->asked[bit]);
        wire_put_message(out, 4, fact_bytes);
    }
}

static void put_written(const struct trace *trace, GByteArray *out)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    const char *last = NULL;
    for (size_t i = 0; i < trace_written_count(trace); i++) {
        const struct trace_written *written = trace_written(trace, i);
        g_byte_array_set_size(message, 0);
        path_put(message, &last, written->path);
        wire_put_varint(message, 3, written->process);
        wire_put_varint(message, 4, written->what);
        wire_put_message(out, 5, message);
    }
}

GBytes *trace_encode(const struct trace *trace)
{
    GByteArray *out = g_byte_array_sized_new((guint)MIN(trace_fact_count(trace) * 96, 1u << 24));
    put_processes(trace, out);
    put_facts(trace, out);
    put_written(trace, out);
    wire_put_string(out, 6, trace->uncacheable);
    return g_byte_array_free_to_bytes(out);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct decoder {
    struct trace *trace;
    GStringChunk *texts;
    GPtrArray *strings;
    struct path_reader facts, written;
};

/*
 * The fields of a small message by number, ascending, none twice, no number above 12: numbers go to
 * `values`, bytes to `bytes`. `blobs` says which are bytes. The set of those present, 0 if
 * malformed.
 */
#define FIELDS 13u
struct fields {
    guint64 numbers[FIELDS];
    struct wire_field bytes[FIELDS];
    unsigned present;
};

static bool take_fields(const struct wire_field *outer, unsigned known, unsigned blobs,
                        struct fields *out)
{
    struct wire_reader reader;
    struct wire_field field;
    *out = (struct fields){ 0 };
    if (outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        bool blob = field.number < FIELDS && (blobs >> field.number & 1) != 0;
        if (field.number >= FIELDS || (known >> field.number & 1) == 0 ||
            out->present >> field.number != 0 ||
            (blob ? field.type != WIRE_BYTES : field.type != WIRE_VARINT || field.value == 0))
            return false;
        out->present |= 1u << field.number;
        out->numbers[field.number] = field.value;
        out->bytes[field.number] = field;
    }
    return !reader.failed;
}

static bool take_string(struct decoder *decoder, const struct wire_field *field)
{
    char *text = text_take(field, decoder->texts);
    if (text != NULL)
        g_ptr_array_add(decoder->strings, text);
    return text != NULL;
}

static bool take_list(struct decoder *decoder, const struct wire_field *outer)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    struct wire_reader reader;
    struct wire_field field;
    if (outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number != 1 || field.type != WIRE_VARINT || field.value == 0 ||
            field.value > decoder->strings->len)
            return false;
        g_ptr_array_add(list, decoder->strings->pdata[field.value - 1]);
    }
    if (reader.failed || list->len == 0)
        return false;
    g_ptr_array_add(list, NULL);
    g_ptr_array_add(decoder->trace->lists, g_ptr_array_free(g_steal_pointer(&list), FALSE));
    return true;
}

static bool take_process(struct decoder *decoder, const struct wire_field *outer)
{
    static char *no_list[] = { NULL };
    struct trace *trace = decoder->trace;
    struct fields fields;
    if (!take_fields(outer, 0xfe, 0, &fields))
        return false;
    const guint64 *numbers = fields.numbers;
    if (numbers[1] > G_MAXUINT32 || numbers[3] > trace->processes->len ||
        numbers[4] > trace->lists->len || numbers[5] > trace->lists->len ||
        numbers[6] > decoder->strings->len || numbers[7] > decoder->strings->len)
        return false;
    const struct trace_process process = {
        .pid = (guint32)numbers[1],
        .start = numbers[2],
        .parent = (guint32)numbers[3],
        .argv = numbers[4] == 0 ? no_list : trace->lists->pdata[numbers[4] - 1],
        .environment = numbers[5] == 0 ? no_list : trace->lists->pdata[numbers[5] - 1],
        .directory = numbers[6] == 0 ? NULL : decoder->strings->pdata[numbers[6] - 1],
        .program = numbers[7] == 0 ? NULL : decoder->strings->pdata[numbers[7] - 1],
    };
    g_array_append_val(trace->processes, process);
    return true;
}

static bool take_fact(struct decoder *decoder, const struct wire_field *outer)
{
    struct trace *trace = decoder->trace;
    struct fields fields;
    struct trace_fact fact;
    const unsigned needed = 1 << 2 | 1 << 3 | 1 << 11;
    if (trace->facts->len == TRACE_FACTS_MAX ||
        !take_fields(outer, 0x1ffe, 1 << 2 | 1 << 11, &fields) ||
        (fields.present & needed) != needed || fields.numbers[3] >= 1 << TRACE_ASPECTS ||
        fields.numbers[10] > 1)
        return false;
    fact = (struct trace_fact){
        .path = path_take(&decoder->facts, fields.numbers[1], &fields.bytes[2]),
        .aspects = (unsigned)fields.numbers[3],
        .unstable = fields.numbers[10] == 1,
    };
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++) {
        guint64 process = fields.numbers[asked_field(bit)];
        fact.asked[bit] = (guint32)process;
        if (process > trace->processes->len)
            return false;
    }
    if (fact.path == NULL ||
        !value_take(&fields.bytes[11], fact.aspects, decoder->texts, &fact.value))
        return false;
    g_array_append_val(trace->facts, fact);
    return true;
}

static bool take_written(struct decoder *decoder, const struct wire_field *outer)
{
    struct trace *trace = decoder->trace;
    struct fields fields;
    if (trace->written->len == TRACE_FACTS_MAX || !take_fields(outer, 0x1e, 1 << 2, &fields) ||
        (fields.present & 1 << 2) == 0 || fields.numbers[3] > trace->processes->len ||
        fields.numbers[4] > G_MAXUINT32)
        return false;
    const struct trace_written written = {
        .path = path_take(&decoder->written, fields.numbers[1], &fields.bytes[2]),
        .process = (guint32)fields.numbers[3],
        .what = (unsigned)fields.numbers[4],
    };
    if (written.path == NULL)
        return false;
    if (trace->written->len > 0) {
        const struct trace_written *last = trace_written(trace, trace->written->len - 1);
        if (strcmp(last->path, written.path) == 0 && last->process >= written.process)
            return false;
    }
    g_array_append_val(trace->written, written);
    return true;
}

static bool take_field(struct decoder *decoder, const struct wire_field *field)
{
    switch (field->number) {
    case 1:
        return take_string(decoder, field);
    case 2:
        return take_list(decoder, field);
    case 3:
        return take_process(decoder, field);
    case 4:
        return take_fact(decoder, field);
    case 5:
        return take_written(decoder, field);
    case 6:
        g_free(decoder->trace->uncacheable);
        return field->size > 0 && (decoder->trace->uncacheable = wire_field_string(field)) != NULL;
    default:
        return false;
    }
}

struct trace *trace_decode(GBytes *bytes, GError **error)
{
    g_autoptr(trace) trace = trace_new();
    g_autoptr(GPtrArray) strings = g_ptr_array_new();
    g_autoptr(GString) scratch = g_string_new(NULL);
    GStringChunk *texts = g_string_chunk_new(4096);
    g_ptr_array_add(trace->texts, texts);
    struct decoder decoder = {
        .trace = trace,
        .texts = texts,
        .strings = strings,
        .facts = { .texts = texts, .path = scratch },
        .written = { .texts = texts, .path = scratch, .repeats = true },
    };
    struct wire_reader reader;
    struct wire_field field;
    guint32 last = 0;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field)) {
        /* Strings, lists and processes come as they are needed; then facts, writes, a reason. */
        ok = field.number >= 4 ? field.number >= last : last < 4;
        ok = ok && (field.number != 6 || last != 6) && take_field(&decoder, &field);
        last = field.number;
    }
    if (!ok || reader.failed) {
        fault_set(error, FAULT_CORRUPT, "a trace is malformed");
        return NULL;
    }
    return g_steal_pointer(&trace);
}
