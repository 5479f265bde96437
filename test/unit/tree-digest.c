// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "base/wire.h"
#include "tree/digest.h"

#include <string.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void known_answers(void)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    digest_of(NULL, 0, &digest);
    g_assert_cmpstr(digest_print(&digest, text), ==, EMPTY "/0");
    g_assert_true(digest_equal(&digest, digest_empty()));
    digest_of("abc", 3, &digest);
    g_assert_cmpstr(digest_print(&digest, text), ==, ABC "/3");
    g_assert_cmpstr(digest_print_hash(&digest, text), ==, ABC);
    g_autoptr(GBytes) bytes = g_bytes_new_static("abc", 3);
    struct digest of_bytes;
    digest_of_bytes(bytes, &of_bytes);
    g_assert_true(digest_equal(&digest, &of_bytes));
}

static void pieces_make_the_whole(void)
{
    g_autofree char *data = g_strnfill(100000, 'x');
    struct digest whole, pieces;
    digest_of(data, 100000, &whole);
    struct digest_context context;
    digest_init(&context);
    for (size_t at = 0, step = 1; at < 100000; at += step, step = MIN(step * 3, 100000 - at))
        digest_update(&context, data + at, step);
    digest_update(&context, NULL, 0);
    digest_finish(&context, &pieces);
    g_assert_cmpint(pieces.size, ==, 100000);
    g_assert_true(digest_equal(&whole, &pieces));
}

static void longest_text_fits(void)
{
    struct digest digest = { .size = G_MAXINT64 }, again;
    char text[DIGEST_TEXT_SIZE];
    digest_print(&digest, text);
    g_assert_true(g_str_has_suffix(text, "/9223372036854775807"));
    g_assert_true(digest_parse(text, &again, NULL));
    g_assert_true(digest_equal(&digest, &again));
}

static void parses_nothing_but_the_canonical_text(void)
{
    static const char *const bad[] = {
        "",
        "/",
        EMPTY,
        EMPTY "/",
        EMPTY "/00",
        EMPTY "/01",
        EMPTY "/-1",
        EMPTY "/+1",
        EMPTY "/ 1",
        EMPTY "/1 ",
        EMPTY "/1\n",
        EMPTY "/0x1",
        EMPTY "/9223372036854775808",
        EMPTY "/99999999999999999999999",
        EMPTY "0/1",
        " " EMPTY "/1",
        EMPTY ":1",
        EMPTY "/1/1",
        "E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0",
        "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85/0",
        "e3b0",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct digest digest = { .size = 77 };
        g_autoptr(GError) error = NULL;
        g_assert_false(digest_parse(bad[i], &digest, &error));
        g_assert_error(error, FAULT, FAULT_USAGE);
        g_assert_cmpint(digest.size, ==, 77);
    }
    struct digest digest;
    g_assert_true(digest_parse(EMPTY "/0", &digest, NULL));
    g_assert_true(digest_equal(&digest, digest_empty()));
}

static void size_is_part_of_a_digest(void)
{
    struct digest a = *digest_empty(), b = a;
    b.size = 1;
    g_assert_false(digest_equal(&a, &b));
    g_assert_cmpint(digest_compare(&a, &b), <, 0);
    g_assert_cmpint(digest_compare(&b, &a), >, 0);
    b.size = G_MAXINT64; /* a difference of sizes does not fit an int */
    g_assert_cmpint(digest_compare(&a, &b), <, 0);
    g_assert_true(digest_hash_equal(&a, &a));
    g_assert_false(digest_hash_equal(&a, &b));
}

static void message_round_trip(void)
{
    static const gint64 sizes[] = { 0, 1, 127, 128, G_MAXINT64 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct digest digest = *digest_empty(), again;
        digest.size = sizes[i];
        g_autoptr(GByteArray) message = g_byte_array_new();
        digest_encode(&digest, message);
        g_assert_true(digest_decode(message->data, message->len, &again));
        g_assert_true(digest_equal(&digest, &again));
        for (guint cut = 0; cut < message->len; cut++) {
            bool whole_field = cut == 66; /* the hash alone: a digest of size 0 */
            g_assert_cmpint(digest_decode(message->data, cut, &again), ==, whole_field);
        }
    }
}

static void refuse(const char *hash, guint64 size, guint32 extra, const char *last_hash)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    struct digest digest;
    if (hash != NULL)
        wire_put_bytes(message, 1, hash, strlen(hash));
    wire_put_varint(message, 2, size);
    if (extra != 0)
        wire_put_varint(message, extra, 1);
    if (last_hash != NULL)
        wire_put_bytes(message, 1, last_hash, strlen(last_hash));
    g_assert_false(digest_decode(message->data, message->len, &digest));
}

static void malformed_messages_are_refused(void)
{
    refuse(NULL, 3, 0, NULL);
    refuse("", 3, 0, NULL);
    refuse("abc", 3, 0, NULL);
    refuse(EMPTY "0", 3, 0, NULL);
    refuse("E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 3, 0, NULL);
    refuse(EMPTY, (guint64)-1, 0, NULL);
    refuse(EMPTY, (guint64)G_MAXINT64 + 1, 0, NULL);
    refuse(EMPTY, 3, 3, NULL);
    refuse(EMPTY, 3, 2, NULL);
    refuse(NULL, 3, 0, EMPTY);
    refuse(EMPTY, 0, 0, EMPTY);
    struct digest digest;
    guint8 explicit_zero[68] = { 0x0a, 64 };
    memcpy(explicit_zero + 2, EMPTY, 64);
    g_assert_true(digest_decode(explicit_zero, 66, &digest));
    explicit_zero[66] = 0x10;
    g_assert_false(digest_decode(explicit_zero, 68, &digest));
    explicit_zero[66] = 0x15; /* size as fixed32 */
    g_assert_false(digest_decode(explicit_zero, 68, &digest));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/digest/knows-published-answers", known_answers);
    g_test_add_func("/tree/digest/pieces-make-the-whole", pieces_make_the_whole);
    g_test_add_func("/tree/digest/longest-text-fits", longest_text_fits);
    g_test_add_func("/tree/digest/parses-nothing-but-the-canonical-text",
                    parses_nothing_but_the_canonical_text);
    g_test_add_func("/tree/digest/size-is-part-of-it", size_is_part_of_a_digest);
    g_test_add_func("/tree/digest/message-round-trip-and-every-cut", message_round_trip);
    g_test_add_func("/tree/digest/malformed-messages-are-refused", malformed_messages_are_refused);
    return g_test_run();
}
