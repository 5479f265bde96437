// SPDX-License-Identifier: Apache-2.0
#include "base/wire.h"

#include <string.h>

#define BYTES(text) (text), sizeof(text) - 1

static void expect_bytes(const GByteArray *found, const char *expected, size_t size)
{
    g_assert_cmpuint(found->len, ==, size);
    g_assert_true(size == 0 || memcmp(found->data, expected, size) == 0);
}

static void written_bytes_are_those_of_the_specification(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    wire_put_varint(out, 1, 150);
    wire_put_string(out, 2, "testing");
    wire_put_varint(out, 16, 1);
    wire_put_bytes(out, 3, "\x00\xff", 2);
    expect_bytes(out, BYTES("\x08\x96\x01\x12\x07testing\x80\x01\x01\x1a\x02\x00\xff"));
    g_byte_array_set_size(out, 0);
    wire_put_varint(out, 1, (guint64)-1);
    expect_bytes(out, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

static void defaults_are_left_out_and_present_messages_are_not(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GByteArray) empty = g_byte_array_new();
    wire_put_varint(out, 1, 0);
    wire_put_string(out, 2, "");
    wire_put_string(out, 3, NULL);
    expect_bytes(out, BYTES(""));
    wire_put_bytes(out, 4, NULL, 0);
    wire_put_message(out, 5, empty);
    expect_bytes(out, BYTES("\x22\x00\x2a\x00"));
}

static void what_is_written_is_read(void)
{
    static const guint64 numbers[] = { 1,     127,         128,        16383,
                                       16384, G_MAXUINT32, G_MAXINT64, G_MAXUINT64 };
    g_autoptr(GByteArray) out = g_byte_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        wire_put_varint(out, (guint32)i + 1, numbers[i]);
    wire_put_varint(out, 0x1fffffff, 7);
    g_autofree char *large = g_strnfill(100000, 'x');
    wire_put_string(out, 100, large);
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, out->data, out->len);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_assert_true(wire_next(&reader, &field));
        g_assert_cmpuint(field.number, ==, i + 1);
        g_assert_cmpint(field.type, ==, WIRE_VARINT);
        g_assert_cmpuint(field.value, ==, numbers[i]);
    }
    g_assert_true(wire_next(&reader, &field));
    g_assert_cmpuint(field.number, ==, 0x1fffffff);
    g_assert_true(wire_next(&reader, &field));
    g_autofree char *read = wire_field_string(&field);
    g_assert_cmpstr(read, ==, large);
    g_assert_false(wire_next(&reader, &field));
    g_assert_false(reader.failed);
}

static void fixed_fields_are_little_endian(void)
{
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, BYTES("\x0d\x04\x03\x02\x01\x11\x08\x07\x06\x05\x04\x03\x02\x81"));
    g_assert_true(wire_next(&reader, &field));
    g_assert_cmpint(field.type, ==, WIRE_FIXED32);
    g_assert_cmphex(field.value, ==, 0x01020304);
    g_assert_true(wire_next(&reader, &field));
    g_assert_cmpint(field.type, ==, WIRE_FIXED64);
    g_assert_cmphex(field.value, ==, G_GUINT64_CONSTANT(0x8102030405060708));
}

/* An exact copy on the heap, so that a read past the end is seen. */
static bool reads_to_the_end(const char *data, size_t size)
{
    g_autofree guint8 *copy = g_memdup2(data, size);
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, copy, size);
    while (wire_next(&reader, &field)) {
        g_autofree char *text = wire_field_string(&field);
        g_assert_true(field.type != WIRE_BYTES || field.size <= size);
    }
    g_assert_false(wire_next(&reader, &field)); /* it stays at its end */
    return !reader.failed;
}

static void malformed_bytes_fail(void)
{
    g_assert_true(reads_to_the_end(BYTES("")));
    g_assert_true(reads_to_the_end(NULL, 0));
    g_assert_true(reads_to_the_end(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")));
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
        { BYTES("\x08") },          /* a varint that is not there */
        { BYTES("\x08\x80") },      /* one without its end */
        { BYTES("\x08\x80\x00") },  /* one longer than it need be */
        { BYTES("\x88\x00\x01") },  /* a tag longer than it need be */
        { BYTES("\x0a\x81\x00x") }, /* a length longer than it need be */
        { BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02") }, /* 65 bits */
        { BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
        { BYTES("\x0a\x01") }, /* more bytes than there are */
        { BYTES("\x0a\x05"
                "abcd") },
        { BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
        { BYTES("\x0d\x01\x02\x03") },
        { BYTES("\x09\x01\x02\x03\x04\x05\x06\x07") },
        { BYTES("\x00\x01") },                 /* field 0 */
        { BYTES("\x80\x80\x80\x80\x10\x01") }, /* field 2^29 */
        { BYTES("\x0b") },                     /* groups, and types that are none */
        { BYTES("\x0c") },
        { BYTES("\x0e\x00") },
        { BYTES("\x0f\x00") },
        { BYTES("\x08\x01\x08") }, /* after something good */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(reads_to_the_end(bad[i].data, bad[i].size));
}

static void every_cut_of_a_message_is_bounded(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    wire_put_varint(out, 1, G_MAXUINT64);
    wire_put_string(out, 2000, "some text");
    wire_put_bytes(out, 3, "\0\0", 2);
    guint clean = 0;
    for (guint cut = 0; cut <= out->len; cut++)
        clean += reads_to_the_end((const char *)out->data, cut);
    g_assert_cmpuint(clean, ==, 4); /* between fields */
}

static void strings_are_utf8_without_nul(void)
{
    static const struct {
        const char *data;
        size_t size;
        const char *text;
    } rows[] = {
        { BYTES("\x0a\x00"), "" },
        { BYTES("\x0a\x02\xc3\xa9"), "\xc3\xa9" },
        { BYTES("\x0a\x01\xff"), NULL },
        { BYTES("\x0a\x01\xc3\xa9"), NULL },
        { BYTES("\x0a\x03"
                "a\0b"),
          NULL },
        { BYTES("\x0a\x01\0"), NULL },
        { BYTES("\x08\x01"), NULL },
        { BYTES("\x0d\x01\x02\x03\x04"), NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct wire_reader reader;
        struct wire_field field;
        wire_reader_init(&reader, rows[i].data, rows[i].size);
        g_assert_true(wire_next(&reader, &field));
        g_autofree char *text = wire_field_string(&field);
        g_assert_cmpstr(text, ==, rows[i].text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/wire/written-bytes-are-those-of-the-specification",
                    written_bytes_are_those_of_the_specification);
    g_test_add_func("/base/wire/defaults-are-left-out-and-present-messages-are-not",
                    defaults_are_left_out_and_present_messages_are_not);
    g_test_add_func("/base/wire/what-is-written-is-read", what_is_written_is_read);
    g_test_add_func("/base/wire/fixed-fields-are-little-endian", fixed_fields_are_little_endian);
    g_test_add_func("/base/wire/malformed-bytes-fail", malformed_bytes_fail);
    g_test_add_func("/base/wire/every-cut-of-a-message-is-bounded",
                    every_cut_of_a_message_is_bounded);
    g_test_add_func("/base/wire/strings-are-utf8-without-nul", strings_are_utf8_without_nul);
    return g_test_run();
}
