// SPDX-License-Identifier: Apache-2.0
/* The memo as bytes: chunks, roots and the manifest. Canonical, and bounded when read. */
#include "engine/memo.h"

#include "base/fault.h"
#include "base/wire.h"

#include <string.h>

/* --- numbers and texts ------------------------------------------------------------------------ */

static void put_byte(GByteArray *out, guint8 byte)
{
    g_byte_array_append(out, &byte, 1);
}

static void put_number(GByteArray *out, guint64 number)
{
    guint8 bytes[10];
    guint count = 0;
    for (; number > 0x7f; number >>= 7)
        bytes[count++] = (guint8)(number | 0x80);
    bytes[count++] = (guint8)number;
    g_byte_array_append(out, bytes, count);
}

static void put_bytes(GByteArray *out, const void *data, gsize size)
{
    g_byte_array_append(out, data, (guint)size);
}

static bool fail(struct memo_reader *reader)
{
    reader->failed = true;
    return false;
}

static bool take_number(struct memo_reader *reader, guint64 *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (reader->at == reader->end)
            return fail(reader);
        guint8 byte = *reader->at++;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            return fail(reader);
        *out |= (guint64)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return fail(reader);
}

static bool take_id(struct memo_reader *reader, guint32 *out)
{
    guint64 number;
    if (!take_number(reader, &number) || number >= G_MAXUINT32)
        return fail(reader);
    *out = (guint32)number;
    return true;
}

static const guint8 *take_bytes(struct memo_reader *reader, guint64 size)
{
    if (size > (guint64)(reader->end - reader->at)) {
        fail(reader);
        return NULL;
    }
    const guint8 *data = reader->at;
    reader->at += size;
    return data;
}

/* How many of what takes a byte each at least. */
static bool take_count(struct memo_reader *reader, guint32 *out)
{
    return take_id(reader, out) && (*out <= (guint64)(reader->end - reader->at) || fail(reader));
}

static void put_digest(GByteArray *out, const struct digest *digest)
{
    put_number(out, (guint64)digest->size);
    put_bytes(out, digest->hash, sizeof digest->hash);
}

static bool take_digest(struct memo_reader *reader, struct digest *out)
{
    guint64 size;
    const guint8 *hash;
    if (!take_number(reader, &size) || size > G_MAXINT64 ||
        (hash = take_bytes(reader, sizeof out->hash)) == NULL)
        return fail(reader);
    memcpy(out->hash, hash, sizeof out->hash);
    out->size = (gint64)size;
    return true;
}

/* What it is, and one if a digest follows: those of what is not there are zero. */
static void put_answer(GByteArray *out, const struct fact_answer *answer)
{
    static const struct digest zero = { 0 };
    bool plain = digest_equal(&answer->digest, &zero);
    put_number(out, (guint64)answer->what << 1 | !plain);
    if (!plain)
        put_digest(out, &answer->digest);
}

static bool take_answer(struct memo_reader *reader, struct fact_answer *out)
{
    static const struct digest zero = { 0 };
    guint64 number;
    *out = (struct fact_answer){ 0 };
    if (!take_number(reader, &number) || number >> 1 > G_MAXUINT32)
        return fail(reader);
    out->what = (guint32)(number >> 1);
    if ((number & 1) == 0)
        return true;
    return take_digest(reader, &out->digest) &&
           (!digest_equal(&out->digest, &zero) || fail(reader));
}

/* --- chunks ----------------------------------------------------------------------------------- */

static void put_state(GByteArray *out, const struct memo_entry *entry)
{
    put_number(out, entry->instance);
    put_number(out, entry->value);
    put_number(out, entry->duration);
    put_number(out, entry->edge_count);
    for (guint32 i = 0; i < entry->edge_count; i++) {
        put_number(out, (guint64)entry->edges[i].to << 1 | entry->edges[i].last);
        put_number(out, entry->edges[i].seen);
    }
    put_number(out, entry->fact_count);
    for (guint32 i = 0; i < entry->fact_count; i++) {
        put_number(out, entry->facts[i].fact);
        put_answer(out, &entry->facts[i].seen);
    }
}

void memo_put(GByteArray *out, const struct memo_entry *entry)
{
    put_byte(out, (guint8)entry->tag);
    switch (entry->tag) {
    case MEMO_DATUM:
        put_digest(out, &entry->digest);
        if (entry->digest.size <= MEMO_INLINE_MAX)
            put_bytes(out, entry->data, (gsize)entry->digest.size);
        return;
    case MEMO_FACT:
        put_byte(out, (guint8)entry->fact.kind);
        put_number(out, strlen(entry->fact.subject));
        put_bytes(out, entry->fact.subject, strlen(entry->fact.subject));
        return;
    case MEMO_INSTANCE:
        put_number(out, entry->plan);
        put_number(out, entry->param_count);
        for (guint32 i = 0; i < entry->param_count; i++)
            put_number(out, entry->params[i]);
        return;
    default:
        put_state(out, entry);
    }
}

void memo_reader_init(struct memo_reader *reader, const void *data, gsize size)
{
    *reader = (struct memo_reader){
        .at = data,
        .params = g_array_new(FALSE, FALSE, sizeof(guint32)),
        .edges = g_array_new(FALSE, FALSE, sizeof(struct memo_edge)),
        .facts = g_array_new(FALSE, FALSE, sizeof(struct memo_fact_edge)),
        .subject = g_string_new(NULL),
    };
    reader->end = size > 0 ? reader->at + size : reader->at;
}

void memo_reader_release(struct memo_reader *reader)
{
    g_array_unref(reader->params);
    g_array_unref(reader->edges);
    g_array_unref(reader->facts);
    g_string_free(reader->subject, TRUE);
}

static bool take_kind(struct memo_reader *reader, enum fact_kind *out)
{
    const guint8 *kind = take_bytes(reader, 1);
    if (kind == NULL || *kind == 0 || *kind >= FACT_KINDS)
        return fail(reader);
    *out = (enum fact_kind) * kind;
    return true;
}

/* Bytes without NUL, behind what `subject` holds. */
static bool take_text(struct memo_reader *reader)
{
    guint64 size;
    const guint8 *data;
    if (!take_number(reader, &size) || (data = take_bytes(reader, size)) == NULL ||
        memchr(data, '\0', (gsize)size) != NULL)
        return fail(reader);
    g_string_append_len(reader->subject, (const char *)data, (gssize)size);
    return true;
}

static bool take_fact(struct memo_reader *reader, struct memo_entry *entry)
{
    g_string_truncate(reader->subject, 0);
    if (!take_kind(reader, &entry->fact.kind) || !take_text(reader))
        return false;
    entry->fact.subject = reader->subject->str;
    return true;
}

static bool take_instance(struct memo_reader *reader, struct memo_entry *entry)
{
    g_array_set_size(reader->params, 0);
    if (!take_id(reader, &entry->plan) || !take_count(reader, &entry->param_count))
        return false;
    for (guint32 i = 0; i < entry->param_count; i++) {
        guint32 param;
        if (!take_id(reader, &param))
            return false;
        g_array_append_val(reader->params, param);
    }
    entry->params = (const guint32 *)(void *)reader->params->data;
    return true;
}

static bool take_edges(struct memo_reader *reader, struct memo_entry *entry)
{
    g_array_set_size(reader->edges, 0);
    if (!take_count(reader, &entry->edge_count))
        return false;
    for (guint32 i = 0; i < entry->edge_count; i++) {
        struct memo_edge edge;
        guint64 to;
        if (!take_number(reader, &to) || to >> 1 >= G_MAXUINT32 || !take_id(reader, &edge.seen))
            return fail(reader);
        edge.to = (guint32)(to >> 1);
        edge.last = (to & 1) != 0;
        if (i + 1 == entry->edge_count && !edge.last)
            return fail(reader);
        g_array_append_val(reader->edges, edge);
    }
    entry->edges = (const struct memo_edge *)(void *)reader->edges->data;
    return true;
}

static bool take_state(struct memo_reader *reader, struct memo_entry *entry)
{
    g_array_set_size(reader->facts, 0);
    if (!take_id(reader, &entry->instance) || !take_id(reader, &entry->value) ||
        !take_number(reader, &entry->duration) || entry->duration > G_MAXINT64 ||
        !take_edges(reader, entry) || !take_count(reader, &entry->fact_count))
        return fail(reader);
    for (guint32 i = 0; i < entry->fact_count; i++) {
        struct memo_fact_edge edge;
        if (!take_id(reader, &edge.fact) || !take_answer(reader, &edge.seen))
            return false;
        g_array_append_val(reader->facts, edge);
    }
    entry->facts = (const struct memo_fact_edge *)(void *)reader->facts->data;
    return true;
}

bool memo_next(struct memo_reader *reader, struct memo_entry *entry)
{
    *entry = (struct memo_entry){ 0 };
    if (reader->failed || reader->at == reader->end)
        return false;
    entry->tag = (enum memo_tag) * reader->at++;
    switch (entry->tag) {
    case MEMO_DATUM:
        if (!take_digest(reader, &entry->digest))
            return false;
        if (entry->digest.size <= MEMO_INLINE_MAX)
            entry->data = take_bytes(reader, (guint64)entry->digest.size);
        return !reader->failed;
    case MEMO_FACT:
        return take_fact(reader, entry);
    case MEMO_INSTANCE:
        return take_instance(reader, entry);
    case MEMO_STATE:
        return take_state(reader, entry);
    default:
        return fail(reader);
    }
}

/* --- roots ------------------------------------------------------------------------------------ */

void memo_root_clear(struct memo_root *root)
{
    g_clear_pointer(&root->value, g_bytes_unref);
    g_clear_pointer(&root->facts, g_array_unref);
    g_clear_pointer(&root->texts, g_string_chunk_free);
}

static guint common(const char *a, const char *b)
{
    guint length = 0;
    while (a[length] != '\0' && a[length] == b[length])
        length++;
    return length;
}

GBytes *memo_root_encode(const struct memo_root *root)
{
    GByteArray *out = g_byte_array_new();
    gsize size;
    const void *data = g_bytes_get_data(root->value, &size);
    const char *last = "";
    put_number(out, size);
    put_bytes(out, data, size);
    put_number(out, root->facts->len);
    for (guint i = 0; i < root->facts->len; i++) {
        const struct memo_root_fact *fact = &g_array_index(root->facts, struct memo_root_fact, i);
        guint shared = common(last, fact->fact.subject);
        last = fact->fact.subject;
        put_byte(out, (guint8)fact->fact.kind);
        put_number(out, shared);
        put_number(out, strlen(last + shared));
        put_bytes(out, last + shared, strlen(last + shared));
        put_answer(out, &fact->answer);
    }
    return g_byte_array_free_to_bytes(out);
}

/* Ascending, and no longer than needed: there is one encoding. */
static bool take_root_fact(struct memo_reader *reader, const struct memo_root *root,
                           struct memo_root_fact *out)
{
    static const struct fact none = { 0, "" };
    guint count = root->facts->len;
    const struct fact *last =
        count == 0 ? &none : &g_array_index(root->facts, struct memo_root_fact, count - 1).fact;
    guint64 shared;
    if (!take_kind(reader, &out->fact.kind) || !take_number(reader, &shared) ||
        shared > strlen(last->subject))
        return fail(reader);
    g_string_truncate(reader->subject, 0);
    g_string_append_len(reader->subject, last->subject, (gssize)shared);
    if (!take_text(reader) || !take_answer(reader, &out->answer))
        return false;
    out->fact.subject = g_string_chunk_insert(root->texts, reader->subject->str);
    return (common(last->subject, out->fact.subject) == shared &&
            fact_compare(last, &out->fact) < 0) ||
           fail(reader);
}

bool memo_root_decode(GBytes *bytes, struct memo_root *out, GError **error)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    struct memo_reader reader;
    guint64 value_size;
    guint32 count;
    *out = (struct memo_root){ .facts = g_array_new(FALSE, FALSE, sizeof(struct memo_root_fact)),
                               .texts = g_string_chunk_new(4096) };
    memo_reader_init(&reader, data, size);
    const guint8 *value = NULL;
    if (take_number(&reader, &value_size))
        value = take_bytes(&reader, value_size);
    if (value != NULL) /* borrowed, but kept by a reference */
        out->value =
            g_bytes_new_from_bytes(bytes, (gsize)(value - (const guint8 *)data), (gsize)value_size);
    if (value != NULL && take_count(&reader, &count))
        for (guint32 i = 0; i < count && !reader.failed; i++) {
            struct memo_root_fact fact;
            if (take_root_fact(&reader, out, &fact))
                g_array_append_val(out->facts, fact);
        }
    bool ok = value != NULL && !reader.failed && reader.at == reader.end;
    memo_reader_release(&reader);
    if (ok)
        return true;
    memo_root_clear(out);
    return fault_set(error, FAULT_CORRUPT, "a root of the memo is malformed");
}

/* --- the manifest ----------------------------------------------------------------------------- */

void memo_manifest_init(struct memo_manifest *manifest)
{
    *manifest = (struct memo_manifest){
        .chunks = g_array_new(FALSE, FALSE, sizeof(struct digest)),
        .values = g_array_new(FALSE, FALSE, sizeof(struct digest)),
        .roots = g_array_new(FALSE, FALSE, sizeof(struct memo_root_name)),
    };
}

void memo_manifest_clear(struct memo_manifest *manifest)
{
    g_clear_pointer(&manifest->chunks, g_array_unref);
    g_clear_pointer(&manifest->values, g_array_unref);
    g_clear_pointer(&manifest->roots, g_array_unref);
}

static void wire_put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

static void wire_put_digests(GByteArray *out, guint32 number, const GArray *digests)
{
    for (guint i = 0; i < digests->len; i++)
        wire_put_digest(out, number, &g_array_index(digests, struct digest, i));
}

GBytes *memo_kept_encode(const struct memo_root *root)
{
    GByteArray *out = g_byte_array_new();
    for (guint i = 0; i < root->facts->len; i++) {
        const struct fact *fact = &g_array_index(root->facts, struct memo_root_fact, i).fact;
        struct digest digest;
        bool tree = fact->kind == FACT_TREE;
        if ((tree || fact->kind == FACT_BLOB) && digest_parse(fact->subject, &digest, NULL))
            wire_put_digest(out, tree ? 2 : 1, &digest);
    }
    return g_byte_array_free_to_bytes(out);
}

GBytes *memo_manifest_encode(const struct memo_manifest *manifest)
{
    GByteArray *out = g_byte_array_new();
    wire_put_varint(out, 1, (guint64)manifest->last_use);
    wire_put_varint(out, 2, manifest->compact);
    wire_put_digests(out, 3, manifest->chunks);
    wire_put_digests(out, 4, manifest->values);
    for (guint i = 0; i < manifest->roots->len; i++) {
        const struct memo_root_name *root =
            &g_array_index(manifest->roots, struct memo_root_name, i);
        g_autoptr(GByteArray) message = g_byte_array_new();
        wire_put_digest(message, 1, &root->key);
        wire_put_digest(message, 2, &root->blob);
        wire_put_digest(message, 3, &root->kept);
        wire_put_varint(message, 4, root->instance);
        wire_put_message(out, 5, message);
    }
    return g_byte_array_free_to_bytes(out);
}

static bool decode_root_name(const struct wire_field *outer, struct memo_root_name *out)
{
    struct digest *const digests[] = { NULL, &out->key, &out->blob, &out->kept };
    struct wire_reader reader;
    struct wire_field field;
    guint32 last = 0;
    *out = (struct memo_root_name){ 0 };
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number != last + 1)
            return false;
        last = field.number;
        if (last <= 3 && field.type == WIRE_BYTES &&
            digest_decode(field.data, field.size, digests[last]))
            continue;
        if (last != 4 || field.type != WIRE_VARINT || field.value == 0 ||
            field.value >= G_MAXUINT32)
            return false;
        out->instance = (guint32)field.value;
    }
    return !reader.failed && last >= 3;
}

static bool decode_manifest_field(const struct wire_field *field, struct memo_manifest *out)
{
    struct memo_root_name root;
    struct digest digest;
    GArray *digests = field->number == 3 ? out->chunks : out->values;
    switch (field->number) {
    case 1:
    case 2:
        if (field->type != WIRE_VARINT || field->value == 0 || field->value > G_MAXINT64)
            return false;
        if (field->number == 1)
            out->last_use = (gint64)field->value;
        else
            out->compact = field->value;
        return true;
    case 3:
    case 4:
        if (field->type != WIRE_BYTES || !digest_decode(field->data, field->size, &digest))
            return false;
        g_array_append_val(digests, digest);
        return out->chunks->len <= MEMO_CHUNKS_MAX;
    case 5:
        if (field->type != WIRE_BYTES || !decode_root_name(field, &root))
            return false;
        g_array_append_val(out->roots, root);
        return out->roots->len <= MEMO_ROOTS_MAX;
    default:
        return false;
    }
}

bool memo_manifest_decode(GBytes *bytes, struct memo_manifest *out, GError **error)
{
    struct wire_reader reader;
    struct wire_field field;
    guint32 last = 0;
    bool ok = true;
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    wire_reader_init(&reader, data, size);
    while (ok && wire_next(&reader, &field)) {
        ok = (field.number >= 3 ? field.number >= last : field.number > last) &&
             decode_manifest_field(&field, out);
        last = field.number;
    }
    if (ok && !reader.failed)
        return true;
    return fault_set(error, FAULT_CORRUPT, "the manifest of the memo is malformed");
}
