// SPDX-License-Identifier: Apache-2.0
/* Immutable values: making, comparing, printing. */
#include "engine/value-internal.h"

#include "base/fault.h"

#include <string.h>

/* --- types ------------------------------------------------------------------------------------ */

static bool check_name(const char *type, const char *name, GError **error)
{
    if (*name != '\0' && g_utf8_validate(name, -1, NULL))
        return true;
    return fault_set(error, FAULT_USAGE, "record %s: names must be UTF-8 and not empty", type);
}

struct value_type *value_type_new(const char *name, const char *const *fields, GError **error)
{
    static const char *const none[] = { NULL };
    fields = fields == NULL ? none : fields;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    if (!check_name("type", name, error))
        return NULL;
    for (gsize i = 0; fields[i] != NULL; i++) {
        if (!check_name(name, fields[i], error))
            return NULL;
        if (!g_hash_table_add(seen, (gpointer)fields[i])) {
            fault_set(error, FAULT_USAGE, "record %s: two fields are called %s", name, fields[i]);
            return NULL;
        }
    }
    struct value_type *type = g_new0(struct value_type, 1);
    type->references = 1;
    type->name = g_strdup(name);
    type->fields = g_strdupv((char **)fields);
    type->count = g_strv_length(type->fields);
    type->hash = g_str_hash(name);
    for (gsize i = 0; i < type->count; i++)
        type->hash = value_mix(type->hash, g_str_hash(fields[i]));
    return type;
}

struct value_type *value_type_ref(struct value_type *type)
{
    g_atomic_int_inc(&type->references);
    return type;
}

void value_type_unref(struct value_type *type)
{
    if (type == NULL || !g_atomic_int_dec_and_test(&type->references))
        return;
    g_free(type->name);
    g_strfreev(type->fields);
    g_free(type);
}

const char *value_type_name(const struct value_type *type)
{
    return type->name;
}

gsize value_type_count(const struct value_type *type)
{
    return type->count;
}

const char *value_type_field(const struct value_type *type, gsize index)
{
    return index < type->count ? type->fields[index] : NULL;
}

gssize value_type_find(const struct value_type *type, const char *field)
{
    for (gsize i = 0; i < type->count; i++)
        if (strcmp(type->fields[i], field) == 0)
            return (gssize)i;
    return -1;
}

static bool is_same_type(const struct value_type *a, const struct value_type *b)
{
    return a == b || (a->hash == b->hash && strcmp(a->name, b->name) == 0 &&
                      g_strv_equal((const char *const *)a->fields, (const char *const *)b->fields));
}

/* --- making ----------------------------------------------------------------------------------- */

struct value *value_ref(struct value *value)
{
    g_atomic_int_inc(&value->references);
    return value;
}

/* Recursion goes as deep as values do, which invariant 3 limits. */
void value_unref(struct value *value)
{
    if (value == NULL || !g_atomic_int_dec_and_test(&value->references))
        return;
    if (value->kind == VALUE_LIST || value->kind == VALUE_RECORD)
        for (gsize i = 0; i < value->count; i++)
            value_unref(value->items[i]);
    value_type_unref(value->type);
    g_free(value->digest);
    g_free(value);
}

static struct value *make(enum value_kind kind, gsize extra)
{
    struct value *value = g_malloc(sizeof *value + extra);
    memset(value, 0, sizeof *value);
    value->references = 1;
    value->kind = (guint8)kind;
    value->hash = (guint)kind * 0x9e3779b1u;
    return value;
}

struct value *value_nil(void)
{
    return make(VALUE_NIL, 0);
}

struct value *value_boolean(bool truth)
{
    struct value *value = make(VALUE_BOOLEAN, 0);
    value->number = truth;
    value->hash = value_mix(value->hash, truth);
    return value;
}

struct value *value_integer(gint64 number)
{
    struct value *value = make(VALUE_INTEGER, 0);
    value->number = number;
    value->hash = value_mix(value_mix(value->hash, (guint)number), (guint)((guint64)number >> 32));
    return value;
}

struct value *value_string(const void *data, gsize size)
{
    struct value *value = make(VALUE_STRING, size + 1);
    guint32 hash = 2166136261u; /* FNV-1a */
    if (size > 0)
        memcpy(value->bytes, data, size);
    value->bytes[size] = '\0';
    for (gsize i = 0; i < size; i++)
        hash = (hash ^ (guint8)value->bytes[i]) * 16777619u;
    value->count = size;
    value->hash = value_mix(value->hash, hash);
    return value;
}

struct value *value_text(const char *text)
{
    return value_string(text, strlen(text));
}

static struct value *hold(enum value_kind kind, struct value *const *items, gsize count,
                          GError **error)
{
    g_autoptr(value) value = make(kind, count * sizeof *items);
    for (gsize i = 0; i < count; i++) {
        struct value *item = items[i] == NULL ? value_nil() : value_ref(items[i]);
        value->items[value->count++] = item;
        value->hash = value_mix(value->hash, item->hash);
        value->depth = MAX(value->depth, (guint8)(item->depth + 1));
    }
    if (value->depth < VALUE_DEPTH_LIMIT)
        return g_steal_pointer(&value);
    fault_set(error, FAULT_UNSUPPORTED, "a value is nested more than %d deep", VALUE_DEPTH_LIMIT);
    return NULL;
}

struct value *value_list(struct value *const *items, gsize count, GError **error)
{
    return hold(VALUE_LIST, items, count, error);
}

struct value *value_record(struct value_type *type, struct value *const *fields, GError **error)
{
    struct value *value = hold(VALUE_RECORD, fields, type->count, error);
    if (value == NULL)
        return NULL;
    value->type = value_type_ref(type);
    value->hash = value_mix(value->hash, type->hash);
    return value;
}

/* --- asking ----------------------------------------------------------------------------------- */

enum value_kind value_kind(const struct value *value)
{
    return (enum value_kind)value->kind;
}

const char *value_kind_name(enum value_kind kind)
{
    static const char *const names[] = { "nil", "boolean", "integer", "string", "list", "record" };
    return names[kind];
}

bool value_truth(const struct value *value)
{
    return value->kind == VALUE_BOOLEAN && value->number != 0;
}

gint64 value_number(const struct value *value)
{
    return value->kind == VALUE_INTEGER ? value->number : 0;
}

const char *value_bytes(const struct value *value, gsize *size)
{
    bool is_string = value->kind == VALUE_STRING;
    if (size != NULL)
        *size = is_string ? value->count : 0;
    return is_string ? value->bytes : NULL;
}

static bool has_items(const struct value *value)
{
    return value->kind == VALUE_LIST || value->kind == VALUE_RECORD;
}

gsize value_count(const struct value *value)
{
    return has_items(value) ? value->count : 0;
}

struct value *value_at(const struct value *value, gsize index)
{
    return has_items(value) && index < value->count ? value->items[index] : NULL;
}

struct value *value_field(const struct value *value, const char *field)
{
    gssize index = value->kind == VALUE_RECORD ? value_type_find(value->type, field) : -1;
    return index < 0 ? NULL : value->items[index];
}

struct value_type *value_type_of(const struct value *value)
{
    return value->type;
}

const char *value_record_name(const struct value *value)
{
    return value->type == NULL ? NULL : value->type->name;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->hash != b->hash || a->count != b->count || a->number != b->number)
        return false;
    if (a->kind == VALUE_STRING)
        return memcmp(a->bytes, b->bytes, a->count) == 0;
    if (a->kind == VALUE_RECORD && !is_same_type(a->type, b->type))
        return false;
    for (gsize i = 0; has_items(a) && i < a->count; i++)
        if (!value_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

guint value_hash(gconstpointer value)
{
    return ((const struct value *)value)->hash;
}

gboolean value_hash_equal(gconstpointer a, gconstpointer b)
{
    return value_equal(a, b);
}

/* --- printing --------------------------------------------------------------------------------- */

/* Whole characters of UTF-8 that print stay; all else is escaped byte by byte. */
static void print_string(const struct value *value, GString *out, gsize limit)
{
    const char *at = value->bytes, *end = at + value->count;
    g_string_append_c(out, '"');
    while (at < end && out->len <= limit) {
        gunichar c = g_utf8_get_char_validated(at, end - at);
        if (*at == '"' || *at == '\\')
            g_string_append_printf(out, "\\%c", *at++);
        else if (*at == '\n' || *at == '\t')
            g_string_append_printf(out, "\\%c", *at++ == '\n' ? 'n' : 't');
        else if (c == 0 || c >= (gunichar)-2 || !g_unichar_isprint(c))
            g_string_append_printf(out, "\\x%02x", (guint8)*at++);
        else {
            g_string_append_unichar(out, c);
            at = g_utf8_next_char(at);
        }
    }
    g_string_append_c(out, '"');
}

static void print(const struct value *value, GString *out, gsize limit)
{
    switch (value->kind) {
    case VALUE_NIL:
        g_string_append(out, "nil");
        return;
    case VALUE_BOOLEAN:
        g_string_append(out, value->number != 0 ? "true" : "false");
        return;
    case VALUE_INTEGER:
        g_string_append_printf(out, "%" G_GINT64_FORMAT, value->number);
        return;
    case VALUE_STRING:
        print_string(value, out, limit);
        return;
    default:
        break;
    }
    if (value->kind == VALUE_RECORD)
        g_string_append(out, value->type->name);
    g_string_append_c(out, '{');
    for (gsize i = 0; i < value->count && out->len <= limit; i++) {
        g_string_append(out, i == 0 ? "" : ", ");
        if (value->kind == VALUE_RECORD)
            g_string_append_printf(out, "%s=", value->type->fields[i]);
        print(value->items[i], out, limit);
    }
    g_string_append_c(out, '}');
}

char *value_print(const struct value *value, gsize limit)
{
    GString *out = g_string_new(NULL);
    print(value, out, limit == 0 ? G_MAXSIZE : limit);
    if (limit == 0 || out->len <= limit)
        return g_string_free(out, FALSE);
    gsize end = limit;
    while (end > 0 && ((guint8)out->str[end] & 0xc0) == 0x80)
        end--;
    g_string_truncate(out, end);
    g_string_append(out, "…");
    return g_string_free(out, FALSE);
}
