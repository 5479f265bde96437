// SPDX-License-Identifier: Apache-2.0
/* Records of the stat cache: their bytes, their reader, the racy rule, the digest of one file. */
#include "store-scene.h"

#define SECOND G_GINT64_CONSTANT(1000000000)

static GByteArray *golden(const char *name)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(GOLDEN "/stat.tsv", &text, NULL, &error);
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
        return bytes;
    }
    g_error("no golden record is called %s", name);
}

static GBytes *golden_bytes(const char *name)
{
    return g_byte_array_free_to_bytes(golden(name));
}

static void add_file(GByteArray *record, const char *name, const char *content, guint64 inode,
                     gint64 mtime, gint64 ctime, enum stat_kind kind)
{
    struct digest digest;
    digest_of(content, strlen(content), &digest);
    stat_record_add(record, &(struct stat_entry){ .name = name,
                                                  .kind = kind,
                                                  .identity = { inode, digest.size, mtime, ctime },
                                                  .hash = digest.hash });
}

static void assert_golden(const char *name, GByteArray *record)
{
    g_autoptr(GByteArray) expected = golden(name);
    g_test_message("%s", name);
    g_assert_cmpmem(record->data, record->len, expected->data, expected->len);
    g_byte_array_unref(record);
}

static void records_are_byte_for_byte_the_golden_ones(void)
{
    struct stat_header header = { true, true, G_MAXUINT64, 3, -4, 5, *digest_empty(), 0 };
    assert_golden("empty", stat_record_new(&header));

    header = (struct stat_header){ .boot = 1, .recorded = 2, .mtime = 3, .ctime = 4, .count = 1 };
    GByteArray *one = stat_record_new(&header);
    add_file(one, "a.c", "int a;\n", 77, 1700000000123456789, 1700000001987654321, STAT_FILE);
    assert_golden("one", one);

    header = (struct stat_header){ .listed = true,
                                   .digested = true,
                                   .boot = 0x0123456789abcdef,
                                   .recorded = 1800000000000000001,
                                   .mtime = -1,
                                   .ctime = 1700000000000000002,
                                   .count = 6 };
    digest_of("tree", 4, &header.digest);
    GByteArray *many = stat_record_new(&header);
    g_autofree char *object = g_strnfill(70000, 'x');
    struct digest below;
    digest_of("below", 5, &below);
    add_file(many, " space", "", G_GUINT64_CONSTANT(0x8000000000000005), 0, 1, STAT_FILE);
    stat_record_add(
        many, &(struct stat_entry){
                  .name = "d", .kind = STAT_DIRECTORY, .identity.size = 5, .hash = below.hash });
    stat_record_add(many, &(struct stat_entry){ .name = "l\nink",
                                                .kind = STAT_LINK,
                                                .identity = { 4, 10, -1, 2 },
                                                .target = "../ziel ü" });
    add_file(many, "object", object, 9, 3, STAT_CTIME_ANY, STAT_EXECUTABLE);
    stat_record_add(many, &(struct stat_entry){ .name = "other", .kind = STAT_OTHER });
    add_file(many, "ünicode", "y", 10, 4, 5, STAT_FILE);
    assert_golden("many", many);

    header = (struct stat_header){ .boot = 8, .recorded = 9, .count = 1 };
    GByteArray *alone = stat_record_new(&header);
    add_file(alone, "", "content", 11, 6, 7, STAT_FILE);
    assert_golden("alone", alone);
}

static void records_of_whole_directories_are_byte_for_byte_the_golden_one(void)
{
    const struct whole_row rows[] = {
        { 040755, { 2, 4096, 1700000000000000002, 3 }, "" },
        { 040700 | WHOLE_UNREADABLE,
          { (G_GUINT64_CONSTANT(1) << 63) + 5, 0, -1, 2 },
          "ssl/private" },
        { 0100644, { 7, 70000, 0, 1 }, "ünicode\n" },
    };
    struct whole_reader reader;
    struct whole_row row;
    struct digest digest;
    digest_of("tree", 4, &digest);
    GByteArray *record = whole_record_new(0x0123456789abcdef, &digest, G_N_ELEMENTS(rows));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        whole_record_add(record, &rows[i]);
    assert_golden("whole", record);

    g_autoptr(GBytes) bytes = golden_bytes("whole");
    whole_reader_init(&reader, bytes);
    g_assert_cmpuint(reader.boot, ==, 0x0123456789abcdef);
    g_assert_true(digest_equal(&reader.digest, &digest));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_true(whole_reader_next(&reader, &row));
        g_assert_cmpstr(row.path, ==, rows[i].path);
        g_assert_cmpuint(row.mode, ==, rows[i].mode);
        g_assert_true(stat_matches(&row.identity, &rows[i].identity));
    }
    g_assert_false(whole_reader_next(&reader, &row));
    g_assert_false(reader.failed);
}

static guint count_entries(const guint8 *data, gsize size, bool *failed)
{
    /* An exact copy lets the sanitizers see a read past the end. */
    g_autoptr(GBytes) copy = g_bytes_new(data, size);
    struct stat_reader reader;
    struct stat_entry entry;
    guint count = 0;
    stat_reader_init(&reader, copy);
    while (stat_reader_next(&reader, &entry))
        count++;
    g_assert_false(stat_reader_next(&reader, &entry));
    *failed = reader.failed;
    return count;
}

static void a_record_reads_back_as_written(void)
{
    g_autoptr(GBytes) record = golden_bytes("many");
    struct stat_reader reader;
    struct stat_entry entry;
    stat_reader_init(&reader, record);
    g_autoptr(GByteArray) again = stat_record_new(&reader.header);
    while (stat_reader_next(&reader, &entry))
        stat_record_add(again, &entry);
    g_assert_false(reader.failed);
    gsize size;
    const void *data = g_bytes_get_data(record, &size);
    g_assert_cmpmem(again->data, again->len, data, (int)size);
}

static void a_record_cut_anywhere_is_malformed(void)
{
    const char *const names[] = { "empty", "one", "many" };
    const guint counts[] = { 0, 1, 6 };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GByteArray) record = golden(names[i]);
        guint last = 0;
        bool failed;
        for (guint size = 0; size < record->len; size++) {
            guint count = count_entries(record->data, size, &failed);
            g_assert_true(failed);
            g_assert_cmpuint(count, >=, last);
            last = count;
        }
        g_assert_cmpuint(count_entries(record->data, record->len, &failed), ==, counts[i]);
        g_assert_false(failed);
        const guint8 more = 5;
        g_byte_array_append(record, &more, 1);
        count_entries(record->data, record->len, &failed);
        g_assert_true(failed);
    }
}

static void assert_malformed(GByteArray *record)
{
    bool failed;
    count_entries(record->data, record->len, &failed);
    g_assert_true(failed);
    g_byte_array_unref(record);
}

static GByteArray *spoil(const char *name, guint at, guint8 byte)
{
    GByteArray *record = golden(name);
    g_assert_cmpuint(record->data[at], !=, byte);
    record->data[at] = byte;
    return record;
}

static void a_record_that_makes_no_sense_is_malformed(void)
{
    const guint header = 78;
    assert_malformed(spoil("one", 0, 2));                  /* another version */
    assert_malformed(spoil("one", 1, 4));                  /* a flag of the future */
    assert_malformed(spoil("one", header - 4, 2));         /* more entries than there are */
    assert_malformed(spoil("one", header - 4, 0));         /* fewer */
    assert_malformed(spoil("one", header - 1, 0x80));      /* two thousand million */
    assert_malformed(spoil("one", header - 5, 0x80));      /* the tree's size is negative */
    assert_malformed(spoil("one", header, 0));             /* no kind */
    assert_malformed(spoil("one", header, 6));             /* a kind of the future */
    assert_malformed(spoil("one", header + 5 + 31, 0x80)); /* the file's size is negative */

    struct stat_header twice = { .count = 2 };
    GByteArray *record = stat_record_new(&twice);
    add_file(record, "b", "", 1, 1, 1, STAT_FILE);
    add_file(record, "b", "", 1, 1, 1, STAT_FILE);
    assert_malformed(record);
    record = stat_record_new(&twice);
    add_file(record, "b", "", 1, 1, 1, STAT_FILE);
    add_file(record, "a", "", 1, 1, 1, STAT_FILE);
    assert_malformed(record);
}

static void after_another_start_only_settled_files_are_believed(void)
{
    const struct stat_identity young = { .ctime = 41 * SECOND }, old = { .ctime = 39 * SECOND };
    const struct stat_identity object = { .ctime = STAT_CTIME_ANY };
    struct stat_header header = { .boot = stat_boot(), .recorded = 100 * SECOND };
    g_assert_cmpuint(header.boot, !=, 0);
    g_assert_true(stat_is_settled(&young, &header));
    g_assert_true(stat_is_settled(&old, &header));
    header.boot++;
    g_assert_false(stat_is_settled(&young, &header));
    g_assert_true(stat_is_settled(&old, &header));
    g_assert_true(stat_is_settled(&object, &header));
}

static void only_files_older_than_the_clock_can_tell_are_trusted(void)
{
    const gint64 now = 1000 * SECOND + 1;
    const struct stat_clock clock = { .slack = 8000000 };
    const struct {
        gint64 mtime, ctime;
        bool racy;
    } cases[] = {
        { now, now, true },
        { now - 8000000, now - 9000000, true },
        { now - 9000000, now - 8000000, true },
        { now - 8000001, now - 8000001, false },
        { now + 5 * SECOND, now - 5 * SECOND, true }, /* a time in the future */
        { now - 5 * SECOND, now + 5 * SECOND, true }, /* the clock has jumped back */
        { 0, now - 8000001, false },                  /* a time set by tar */
        { now - 9000000, 998 * SECOND, true },        /* times are whole seconds */
        { now - 9000000, 997 * SECOND, true },
        { 997 * SECOND, 997 * SECOND, false },
        { G_MAXINT64, now - 5 * SECOND, true },
        { G_MININT64, now - 5 * SECOND, false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct stat_identity identity = { 1, 1, cases[i].mtime, cases[i].ctime };
        g_test_message("case %zu", i);
        g_assert_cmpint(stat_is_racy(&identity, now, &clock), ==, cases[i].racy);
    }
}

static void every_part_of_an_identity_counts(void)
{
    const struct stat_identity known = { 1, 2, 3, 4 };
    const struct stat_identity others[] = {
        { 9, 2, 3, 4 }, { 1, 9, 3, 4 }, { 1, 2, 9, 4 }, { 1, 2, 3, 9 }
    };
    g_assert_true(stat_matches(&known, &known));
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(stat_matches(&known, &others[i]));

    /* An object of the store may gain links, and nothing else. */
    const struct stat_identity object = { 1, 2, 3, STAT_CTIME_ANY };
    g_assert_true(stat_matches(&object, &others[3]));
    for (size_t i = 0; i < 3; i++)
        g_assert_false(stat_matches(&object, &others[i]));
}

static void a_flushed_record_is_there_for_the_next(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(GError) error = NULL;
    g_autoptr(stat_cache) first = stat_cache_new(store);
    g_assert_false(stat_cache_dirty(first));
    stat_cache_put(first, 1, 2, golden("one"));
    g_assert_true(stat_cache_dirty(first));
    stat_cache_flush(first, batch);
    g_assert_false(stat_cache_dirty(first));
    store_batch_commit(batch, &error);
    g_assert_no_error(error);

    g_autoptr(stat_cache) second = stat_cache_new(store);
    g_autoptr(GByteArray) expected = golden("one");
    g_autoptr(GBytes) found = stat_cache_get(second, 1, 2);
    g_assert_nonnull(found);
    g_assert_cmpmem(g_bytes_get_data(found, NULL), (int)g_bytes_get_size(found), expected->data,
                    expected->len);
    /* Neither another inode nor the same one on another device. */
    g_assert_null(stat_cache_get(second, 1, 3));
    g_assert_null(stat_cache_get(second, 2, 2));
    g_assert_null(stat_cache_get(second, 2, 1));

    g_autoptr(stat_cache) alone = stat_cache_new(NULL);
    g_assert_null(stat_cache_get(alone, 1, 2));
}

static void the_digest_of_one_file_follows_its_content(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "program", "one");
    g_assert_cmpint(symlinkat("program", scene.directory, "link"), ==, 0);
    g_autofree char *path = g_build_filename(scene.path, "link", NULL);
    for (unsigned i = 0; i < 200; i++) {
        char text[] = "0000";
        g_snprintf(text, sizeof text, "%04u", i);
        scene_write(&scene, "program", text);
        if (i % 50 == 0)
            scene_age(&scene); /* so that some are remembered, and must be forgotten */
        struct digest found, expected;
        digest_of(text, 4, &expected);
        for (unsigned again = 0; again < 2; again++) {
            g_assert_true(store_digest_file(scene.cache, path, &found, &error));
            g_assert_true(digest_equal(&found, &expected));
        }
    }
    g_assert_true(stat_cache_dirty(scene.cache));
    g_assert_true(store_digest_file(NULL, path, &(struct digest){ 0 }, &error));
}

static void the_digest_of_one_file_is_remembered(void)
{
    g_auto(scene) scene = { 0 };
    g_autoptr(GError) error = NULL;
    scene_init(&scene);
    scene_write(&scene, "program", "content");
    scene_age(&scene);
    g_autofree char *path = g_build_filename(scene.path, "program", NULL);
    struct stat status = scene_stat(&scene, "program");
    /* A record that lies shows that the file was not read. */
    const struct stat_header header = { .recorded = G_MAXINT64, .count = 1 };
    GByteArray *record = stat_record_new(&header);
    struct stat_entry lie = { .name = "", .kind = STAT_FILE, .hash = digest_empty()->hash };
    stat_identify(&status, &lie.identity);
    stat_record_add(record, &lie);
    stat_cache_put(scene.cache, status.st_dev, status.st_ino, record);
    struct digest found;
    g_assert_true(store_digest_file(scene.cache, path, &found, &error));
    g_assert_cmpmem(found.hash, DIGEST_HASH_SIZE, digest_empty()->hash, DIGEST_HASH_SIZE);
}

static void what_is_no_file_has_no_digest(void)
{
    g_auto(scene) scene = { 0 };
    scene_init(&scene);
    g_assert_cmpint(mkfifoat(scene.directory, "fifo", 0600), ==, 0);
    const struct {
        const char *name;
        enum fault code;
    } cases[] = { { "fifo", FAULT_UNSUPPORTED }, { ".", FAULT_UNSUPPORTED }, { "none", FAULT_IO } };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        struct digest digest;
        g_autofree char *path = g_build_filename(scene.path, cases[i].name, NULL);
        g_assert_false(store_digest_file(scene.cache, path, &digest, &error));
        g_assert_error(error, FAULT, (int)cases[i].code);
        g_assert_nonnull(strstr(error->message, path));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/statcache/records-are-byte-for-byte-the-golden-ones",
                    records_are_byte_for_byte_the_golden_ones);
    g_test_add_func(
        "/store/statcache/records-of-whole-directories-are-byte-for-byte-the-golden-one",
        records_of_whole_directories_are_byte_for_byte_the_golden_one);
    g_test_add_func("/store/statcache/a-record-reads-back-as-written",
                    a_record_reads_back_as_written);
    g_test_add_func("/store/statcache/a-record-cut-anywhere-is-malformed",
                    a_record_cut_anywhere_is_malformed);
    g_test_add_func("/store/statcache/after-another-start-only-settled-files-are-believed",
                    after_another_start_only_settled_files_are_believed);
    g_test_add_func("/store/statcache/a-record-that-makes-no-sense-is-malformed",
                    a_record_that_makes_no_sense_is_malformed);
    g_test_add_func("/store/statcache/only-files-older-than-the-clock-can-tell-are-trusted",
                    only_files_older_than_the_clock_can_tell_are_trusted);
    g_test_add_func("/store/statcache/every-part-of-an-identity-counts",
                    every_part_of_an_identity_counts);
    g_test_add_func("/store/statcache/a-flushed-record-is-there-for-the-next",
                    a_flushed_record_is_there_for_the_next);
    g_test_add_func("/store/statcache/the-digest-of-one-file-follows-its-content",
                    the_digest_of_one_file_follows_its_content);
    g_test_add_func("/store/statcache/the-digest-of-one-file-is-remembered",
                    the_digest_of_one_file_is_remembered);
    g_test_add_func("/store/statcache/what-is-no-file-has-no-digest",
                    what_is_no_file_has_no_digest);
    return g_test_run();
}
