// SPDX-License-Identifier: Apache-2.0
/* Records of intrinsics: taking them apart, with a message for what does not fit, and making them.
 */
#include "base/fault.h"
#include "engine/intrinsics-internal.h"

#include <string.h>

/* --- making ----------------------------------------------------------------------------------- */

struct value *make_record(const struct intrinsics *intrinsics, const char *name,
                          struct value **fields)
{
    gsize count;
    const struct intrinsic_record *records = intrinsic_records(&count);
    for (gsize i = 0; i < count; i++) {
        if (strcmp(records[i].name, name) != 0)
            continue;
        struct value *made = value_record(intrinsics->types[i], fields, NULL);
        for (gsize f = 0; f < value_type_count(intrinsics->types[i]); f++)
            value_unref(fields[f]);
        return made;
    }
    g_assert_not_reached();
}

struct value *make_list(const GPtrArray *values)
{
    return value_list((struct value *const *)values->pdata, values->len, NULL);
}

struct value *make_texts(const GPtrArray *texts)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (guint i = 0; i < texts->len; i++)
        g_ptr_array_add(values, value_text(texts->pdata[i]));
    return make_list(values);
}

struct value *make_digest(const struct intrinsics *intrinsics, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    struct value *field = value_text(digest_print(digest, text));
    return make_record(intrinsics, "Digest", &field);
}

/* --- taking ----------------------------------------------------------------------------------- */

bool usage(GError **error, const struct value *from, const char *field, const char *wanted)
{
    return fault_set(error, FAULT_USAGE, "%s: %s must be %s", value_record_name(from), field,
                     wanted);
}

/* NULL: none, or it has a NUL in it. */
static const char *as_text(const struct value *value)
{
    gsize size;
    const char *text = value == NULL ? NULL : value_bytes(value, &size);
    return text == NULL || strlen(text) != size ? NULL : text;
}

const char *take_text(const struct value *from, const char *field, GError **error)
{
    const char *text = as_text(value_field(from, field));
    if (text == NULL)
        usage(error, from, field, "a string");
    return text;
}

static bool is_nil(const struct value *value)
{
    return value == NULL || value_kind(value) == VALUE_NIL;
}

char **take_texts(const struct value *from, const char *field, GError **error)
{
    const struct value *list = value_field(from, field);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    bool ok = is_nil(list) || value_kind(list) == VALUE_LIST;
    for (gsize i = 0; ok && !is_nil(list) && i < value_count(list); i++) {
        const char *text = as_text(value_at(list, i));
        ok = text != NULL;
        g_ptr_array_add(texts, g_strdup(text));
    }
    if (!ok) {
        usage(error, from, field, "a list of strings");
        return NULL;
    }
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&texts), FALSE);
}

bool take_integer(const struct value *from, const char *field, gint64 *out, GError **error)
{
    const struct value *value = value_field(from, field);
    *out = is_nil(value) ? 0 : value_number(value);
    return is_nil(value) || (value_kind(value) == VALUE_INTEGER && *out >= 0) ||
           usage(error, from, field, "a whole number");
}

bool take_digest(const struct value *value, struct digest *out, GError **error)
{
    bool is_digest = value != NULL && g_strcmp0(value_record_name(value), "Digest") == 0;
    const char *text = is_digest ? as_text(value_field(value, "hash")) : NULL;
    if (text == NULL)
        return fault_set(error, FAULT_USAGE, "a Digest is needed, with its hash as a string");
    return digest_parse(text, out, error);
}

/* nil is the empty tree. */
struct tree *take_tree(struct intrinsic_task *task, const struct value *value, GError **error)
{
    struct digest digest;
    if (is_nil(value))
        return tree_empty();
    return take_digest(value, &digest, error)
               ? store_get_tree(task->intrinsics->store, &digest, error)
               : NULL;
}

struct glob *take_globs(const struct value *from, const char *field, GError **error)
{
    g_autoptr(glob) glob = glob_new();
    g_auto(GStrv) patterns = take_texts(from, field, error);
    if (patterns == NULL)
        return NULL;
    for (char **pattern = patterns; *pattern != NULL; pattern++)
        if (!glob_add(glob, "", *pattern, error))
            return NULL;
    if (*patterns != NULL)
        return g_steal_pointer(&glob);
    usage(error, from, field, "a list of at least one pattern");
    return NULL;
}
