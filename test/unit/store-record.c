// SPDX-License-Identifier: Apache-2.0
/* Keys, entries, records and the log as bytes. */
#include "store-test.h"

#include "store/store-disk.h"

static GBytes *golden(const char *name)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(GOLDEN "/store.tsv", &text, NULL, &error);
    g_assert_no_error(error);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, "\t", 2);
        if (fields[0] == NULL || strcmp(fields[0], name) != 0)
            continue;
        GByteArray *bytes = g_byte_array_new();
        for (const char *at = fields[1]; *at != '\0'; at += 2) {
            guint8 byte = (guint8)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
            g_byte_array_append(bytes, &byte, 1);
        }
        return g_byte_array_free_to_bytes(bytes);
    }
    g_error("no golden value is called %s", name);
}

static void assert_golden(const char *name, const void *data, size_t size)
{
    g_autoptr(GBytes) expected = golden(name);
    g_test_message("%s", name);
    g_assert_cmpmem(data, (int)size, g_bytes_get_data(expected, NULL),
                    (int)g_bytes_get_size(expected));
}

static GByteArray *sealed(const char *key, size_t key_size, const void *value, size_t size)
{
    guint8 checksum[STORE_CHECKSUM];
    GByteArray *bytes = g_byte_array_new();
    store_record_checksum(key, key_size, value, size, checksum);
    g_byte_array_append(bytes, checksum, sizeof checksum);
    g_byte_array_append(bytes, value, (guint)size);
    return bytes;
}

static void assert_golden_record(const char *name, const char *key, size_t key_size,
                                 const void *value, size_t size)
{
    g_autoptr(GByteArray) bytes = sealed(key, key_size, value, size);
    const guint8 *inside;
    size_t inside_size;
    assert_golden(name, bytes->data, bytes->len);
    g_assert_true(store_record_open(key, key_size, bytes->data, bytes->len, &inside, &inside_size));
    g_assert_cmpmem(inside, (int)inside_size, value, (int)size);
}

static void all_bytes_are_the_golden_ones(void)
{
    guint8 key[STORE_BLOB_KEY], entry[STORE_OBJECT_ENTRY], header[STORE_LOG_HEADER + 7];
    char name[STORE_OBJECT_NAME];
    struct digest digest, again;
    digest_of("content", 7, &digest);
    store_blob_key(&digest, key);
    assert_golden("blob-key", key, sizeof key);
    g_assert_true(store_blob_key_digest(key, sizeof key, &again));
    g_assert_true(digest_equal(&digest, &again));
    store_object_name(&digest, name);
    assert_golden("object-name", name, strlen(name));
    store_blob_key(digest_empty(), key);
    assert_golden("blob-key-empty", key, sizeof key);

    store_object_entry(&(struct store_blob_entry){ .inode = 0x0123456789abcdef, .changed = -2 },
                       entry);
    assert_golden("object-entry", entry, sizeof entry);
    struct store_blob_entry decoded = store_blob_entry_decode(&digest, entry, sizeof entry);
    g_assert_cmpint(decoded.kind, ==, STORE_BLOB_OBJECT);
    g_assert_cmpuint(decoded.inode, ==, 0x0123456789abcdef);
    g_assert_cmpint(decoded.changed, ==, -2);

    guint8 long_value[2048];
    static const char long_key[481] = { STORE_STAT };
    for (size_t i = 0; i < sizeof long_value; i++)
        long_value[i] = (guint8)i;
    assert_golden_record("record", "\4key", 4, "value", 5);
    assert_golden_record("record-empty", "\1k", 2, "", 0);
    assert_golden_record("record-long", long_key, sizeof long_key, long_value, sizeof long_value);

    store_log_header("", 0, header);
    assert_golden("log-entry-empty", header, STORE_LOG_HEADER);
    store_log_header("payload", 7, header);
    memcpy(header + STORE_LOG_HEADER, "payload", 7);
    assert_golden("log-entry", header, sizeof header);
}

static void a_new_store_says_its_format(void)
{
    char *scratch = scratch_new();
    store_close(open_quietly(scratch, NULL));
    g_autofree char *path = g_build_filename(scratch, "store/format", NULL), *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_golden("format", text, strlen(text));
    scratch_free(scratch);
}

/* Every bit of table, key, checksum and value counts, and so does where one ends. */
static void a_record_with_any_bit_flipped_is_none(void)
{
    static const char key[] = "\4a key", value[] = "a value of some length";
    g_autoptr(GByteArray) record = sealed(key, 6, value, sizeof value);
    const guint8 *inside;
    size_t size;
    for (guint bit = 0; bit < record->len * 8; bit++) {
        record->data[bit / 8] ^= (guint8)(1u << bit % 8);
        g_assert_false(store_record_open(key, 6, record->data, record->len, &inside, &size));
        record->data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    for (guint bit = 0; bit < 6 * 8; bit++) {
        g_autofree char *other = g_memdup2(key, sizeof key);
        other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
        g_assert_false(store_record_open(other, 6, record->data, record->len, &inside, &size));
    }
    for (guint cut = 0; cut < record->len; cut++)
        g_assert_false(store_record_open(key, 6, record->data, cut, &inside, &size));
    g_assert_true(store_record_open(key, 6, record->data, record->len, &inside, &size));
}

static void no_byte_moves_from_key_to_value(void)
{
    g_autoptr(GByteArray) first = sealed("\4ab", 3, "c", 1), second = sealed("\4a", 2, "bc", 2);
    g_assert_cmpint(memcmp(first->data, second->data, STORE_CHECKSUM), !=, 0);
}

static void an_entry_of_the_wrong_size_or_kind_is_none(void)
{
    struct digest digest;
    digest_of("12345", 5, &digest);
    g_assert_cmpint(store_blob_entry_decode(&digest,
                                            "\1"
                                            "12345",
                                            6)
                        .kind,
                    ==, STORE_BLOB_INLINE);
    g_assert_cmpint(store_blob_entry_decode(&digest,
                                            "\1"
                                            "1234",
                                            5)
                        .kind,
                    ==, STORE_BLOB_GONE);
    g_assert_cmpint(store_blob_entry_decode(&digest,
                                            "\1"
                                            "123456",
                                            7)
                        .kind,
                    ==, STORE_BLOB_GONE);
    g_assert_cmpint(store_blob_entry_decode(&digest,
                                            "\3"
                                            "12345",
                                            6)
                        .kind,
                    ==, STORE_BLOB_GONE);
    g_assert_cmpint(store_blob_entry_decode(&digest,
                                            "\2"
                                            "12345",
                                            6)
                        .kind,
                    ==, STORE_BLOB_GONE);
    g_assert_cmpint(store_blob_entry_decode(&digest, "", 0).kind, ==, STORE_BLOB_GONE);
}

static void the_log_is_found_again_after_rubbish(void)
{
    g_autoptr(GByteArray) log = g_byte_array_new();
    static const char *const rubbish[] = { "",
                                           "\xf1",
                                           "\xf1vl\n",
                                           "\xf1vl\n\xff\xff\xff\xff 12345678",
                                           "some text that is no entry",
                                           "\xf1\xf1\xf1vl\n" };
    for (size_t i = 0; i < G_N_ELEMENTS(rubbish); i++) {
        guint8 header[STORE_LOG_HEADER];
        char payload = (char)('a' + i);
        g_byte_array_append(log, (const guint8 *)rubbish[i], (guint)strlen(rubbish[i]));
        store_log_header(&payload, 1, header);
        g_byte_array_append(log, header, sizeof header);
        g_byte_array_append(log, (const guint8 *)&payload, 1);
    }
    size_t at = 0, size;
    const guint8 *payload;
    for (size_t i = 0; i < G_N_ELEMENTS(rubbish); i++) {
        g_assert_true(store_log_next(log->data, log->len, &at, &payload, &size));
        g_assert_cmpuint(size, ==, 1);
        g_assert_cmpint(payload[0], ==, (int)('a' + i));
    }
    g_assert_false(store_log_next(log->data, log->len, &at, &payload, &size));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/record/all-bytes-are-the-golden-ones", all_bytes_are_the_golden_ones);
    g_test_add_func("/store/record/a-new-store-says-its-format", a_new_store_says_its_format);
    g_test_add_func("/store/record/a-record-with-any-bit-flipped-is-none",
                    a_record_with_any_bit_flipped_is_none);
    g_test_add_func("/store/record/no-byte-moves-from-key-to-value",
                    no_byte_moves_from_key_to_value);
    g_test_add_func("/store/record/an-entry-of-the-wrong-size-or-kind-is-none",
                    an_entry_of_the_wrong_size_or_kind_is_none);
    g_test_add_func("/store/record/the-log-is-found-again-after-rubbish",
                    the_log_is_found_again_after_rubbish);
    return g_test_run();
}
