// SPDX-License-Identifier: Apache-2.0
/* Values: one encoding each, equal if their content is. */
#include "base/fault.h"
#include "engine/value.h"

#include <string.h>

static struct value *record(const char *name, const char *const *fields, struct value *const *items)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(value_type) type = value_type_new(name, fields, &error);
    g_assert_no_error(error);
    struct value *made = value_record(type, items, &error);
    g_assert_no_error(error);
    for (gsize i = 0; fields != NULL && fields[i] != NULL; i++)
        value_unref(items[i]);
    return made;
}

static struct value *list(struct value *const *items, gsize count)
{
    struct value *made = value_list(items, count, NULL);
    for (gsize i = 0; i < count; i++)
        value_unref(items[i]);
    return made;
}

#define RECORD(name, fields, ...) \
    record(name, (const char *const[])fields, (struct value *[]){ __VA_ARGS__ })
#define FIELDS(...)       \
    {                     \
        __VA_ARGS__, NULL \
    }

static struct value *make_name(struct value *value)
{
    return RECORD("Name", FIELDS("value"), value);
}

static struct value *make_case(const char *name)
{
    static const struct {
        const char *name;
        gint64 number;
    } integers[] = { { "zero", 0 },
                     { "minus-one", -1 },
                     { "300", 300 },
                     { "largest", G_MAXINT64 },
                     { "smallest", G_MININT64 } };
    for (gsize i = 0; i < G_N_ELEMENTS(integers); i++)
        if (strcmp(name, integers[i].name) == 0)
            return value_integer(integers[i].number);
    if (strcmp(name, "nil") == 0)
        return value_nil();
    if (strcmp(name, "false") == 0 || strcmp(name, "true") == 0)
        return value_boolean(*name == 't');
    if (strcmp(name, "empty-string") == 0)
        return value_text("");
    if (strcmp(name, "bytes") == 0)
        return value_string("a\0b\xff", 4);
    if (strcmp(name, "empty-list") == 0)
        return value_list(NULL, 0, NULL);
    if (strcmp(name, "list") == 0) {
        struct value *inner = list((struct value *[]){ value_nil() }, 1);
        return list((struct value *[]){ value_integer(1), value_text("two"), inner }, 3);
    }
    if (strcmp(name, "bare-record") == 0)
        return record("Nothing", NULL, NULL);
    if (strcmp(name, "record") == 0)
        return make_name(value_text("x"));
    g_assert_cmpstr(name, ==, "nested");
    return RECORD("Pair", FIELDS("z", "a"), make_name(value_nil()), value_boolean(true));
}

static char *hex(GBytes *bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(out, "%02x", data[i]);
    return g_string_free(out, FALSE);
}

static void test_golden(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(GOLDEN "/value.tsv", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) columns = g_strsplit(*line, "\t", 3);
        g_autoptr(value) value = make_case(columns[0]);
        g_autoptr(GBytes) bytes = value_encode(value);
        g_autofree char *encoded = hex(bytes);
        char digest[DIGEST_TEXT_SIZE];
        g_assert_cmpstr(digest_print(value_digest(value), digest), ==, columns[1]);
        g_assert_cmpstr(encoded, ==, columns[2]);
        g_autoptr(GError) error = NULL;
        g_autoptr(value) again = value_decode(bytes, &error);
        g_assert_no_error(error);
        g_assert_true(value_equal(value, again));
        g_assert_cmpuint(value_hash(value), ==, value_hash(again));
    }
    g_assert_cmpuint(g_strv_length(lines), ==, 15);
}

static void test_equal_only_if_content_is(void)
{
    static const char *const names[] = { "nil",    "false",  "true",         "zero", "minus-one",
                                         "300",    "bytes",  "empty-string", "list", "empty-list",
                                         "record", "nested", "bare-record" };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        for (gsize j = 0; j < G_N_ELEMENTS(names); j++) {
            g_autoptr(value) a = make_case(names[i]);
            g_autoptr(value) b = make_case(names[j]);
            g_assert_cmpint(value_equal(a, b), ==, i == j);
        }
    g_autoptr(value) a = make_name(value_text("x"));
    g_autoptr(value) other_type = RECORD("Other", FIELDS("value"), value_text("x"));
    g_autoptr(value) other_field = RECORD("Name", FIELDS("text"), value_text("x"));
    g_assert_false(value_equal(a, other_type));
    g_assert_false(value_equal(a, other_field));
}

static void test_what_is_asked_of_the_wrong_kind_is_nothing(void)
{
    g_autoptr(value) number = value_integer(7);
    g_autoptr(value) name = make_name(value_text("x"));
    g_assert_null(value_bytes(number, NULL));
    g_assert_null(value_at(number, 0));
    g_assert_null(value_field(number, "value"));
    g_assert_null(value_field(name, "other"));
    g_assert_null(value_record_name(number));
    g_assert_cmpint(value_number(name), ==, 0);
    g_assert_cmpstr(value_bytes(value_field(name, "value"), NULL), ==, "x");
    g_assert_cmpstr(value_record_name(name), ==, "Name");
}

static void test_malformed(void)
{
    static const struct {
        const char *bytes;
        gsize size;
    } cases[] = {
        { "", 0 },
        { "\7", 1 },
        { "\0\0", 2 },                                      /* left over */
        { "\3\x80\0", 3 },                                  /* longer than needed */
        { "\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 11 }, /* 65 bits */
        { "\4\2x", 3 },
        { "\5\2\0", 3 },
        { "\5\xff\xff\xff\xff\x0f\0", 7 },
        { "\6\1T\2\1a\0\1a\0", 9 }, /* a field twice */
        { "\6\0\0", 3 },            /* no name */
        { "\6\1T\1\1\xff\0", 7 },   /* not UTF-8 */
        { "\6\1T\1\1\0\0", 7 },     /* NUL */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(value_decode_data(cases[i].bytes, cases[i].size, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
}

static void test_depth_is_limited_alike_when_made_and_when_read(void)
{
    g_autoptr(value) deep = value_nil();
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    for (int i = 1; i < VALUE_DEPTH_LIMIT; i++) {
        struct value *outer = value_list(&deep, 1, &error);
        g_assert_no_error(error);
        value_unref(deep);
        deep = outer;
    }
    value_encode_to(deep, bytes);
    g_autoptr(value) again = value_decode_data(bytes->data, bytes->len, &error);
    g_assert_no_error(error);
    g_assert_true(value_equal(deep, again));
    g_assert_null(value_list(&deep, 1, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    g_byte_array_prepend(bytes, (const guint8 *)"\5\1", 2);
    g_assert_null(value_decode_data(bytes->data, bytes->len, NULL));
}

static void test_types_are_checked(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(value_type_new("T", (const char *const[]){ "a", "b", "a", NULL }, &error));
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_cmpstr(error->message, ==, "record T: two fields are called a");
    g_assert_null(value_type_new("", NULL, NULL));
    g_assert_null(value_type_new("\xff", NULL, NULL));
    g_assert_null(value_type_new("T", (const char *const[]){ "", NULL }, NULL));
}

static void test_print(void)
{
    g_autoptr(value) text = value_string("a\"\\\n\xc3\xa9\x01\xff", 8);
    g_autoptr(value) nested = make_case("nested");
    g_autoptr(value) mixed = make_case("list");
    g_autofree char *a = value_print(text, 0), *b = value_print(nested, 0);
    g_autofree char *c = value_print(mixed, 0), *d = value_print(mixed, 8);
    g_assert_cmpstr(a, ==, "\"a\\\"\\\\\\n\xc3\xa9\\x01\\xff\"");
    g_assert_cmpstr(b, ==, "Pair{z=Name{value=nil}, a=true}");
    g_assert_cmpstr(c, ==, "{1, \"two\", {nil}}");
    g_assert_cmpstr(d, ==, "{1, \"two…");
}

static gpointer ask_for_digest(gpointer value)
{
    return (gpointer)value_digest(value);
}

static void test_threads_find_one_digest(void)
{
    g_autoptr(value) value = make_case("nested");
    GThread *threads[8];
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("digest", ask_for_digest, value);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_true(g_thread_join(threads[i]) == (gpointer)value_digest(value));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/value/golden", test_golden);
    g_test_add_func("/value/equal only if content is", test_equal_only_if_content_is);
    g_test_add_func("/value/what is asked of the wrong kind is nothing",
                    test_what_is_asked_of_the_wrong_kind_is_nothing);
    g_test_add_func("/value/malformed", test_malformed);
    g_test_add_func("/value/depth is limited alike when made and when read",
                    test_depth_is_limited_alike_when_made_and_when_read);
    g_test_add_func("/value/types are checked", test_types_are_checked);
    g_test_add_func("/value/print", test_print);
    g_test_add_func("/value/threads find one digest", test_threads_find_one_digest);
    return g_test_run();
}
