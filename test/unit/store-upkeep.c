// SPDX-License-Identifier: Apache-2.0
/* The log, verification, statistics, collection and compaction of a store on disk. */
#include "store-test.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct place {
    char *scratch, *path;
    struct store *store;
};

/* Blobs of more than 1,000 bytes are files. */
static const struct store_options options = { .inline_limit = 1000 };

static void set_up(struct place *place, const void *data)
{
    place->scratch = scratch_new();
    place->path = g_build_filename(place->scratch, "store", NULL);
    place->store = open_quietly(place->scratch, &options);
}

static void tear_down(struct place *place, const void *data)
{
    store_close(place->store);
    scratch_free(place->scratch);
    g_free(place->path);
}

static bool exists(const struct place *place, const char *name)
{
    g_autofree char *path = g_build_filename(place->path, name, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* --- log -------------------------------------------------------------------------------------- */

enum {
    WRITERS = 3,
    ENTRIES = 150,
    ENTRY_SIZE = 48 << 10
};

struct tail {
    unsigned next[WRITERS]; /* the entry that must come next, going back; ENTRIES: none seen yet */
    unsigned seen;
};

static bool follow_tail(GBytes *entry, void *user)
{
    struct tail *tail = user;
    unsigned words[2];
    g_assert_cmpuint(g_bytes_get_size(entry), ==, ENTRY_SIZE);
    memcpy(words, g_bytes_get_data(entry, NULL), sizeof words);
    g_assert_cmpuint(words[0], <, WRITERS);
    g_assert_cmpuint(words[1], ==, tail->next[words[0]] - 1);
    tail->next[words[0]]--;
    tail->seen++;
    return true;
}

static bool append_many(const char *path, unsigned writer)
{
    g_autoptr(store) store = store_open(path, &options, NULL, NULL);
    for (unsigned i = 0; store != NULL && i < ENTRIES; i++) {
        unsigned *data = g_malloc0(ENTRY_SIZE);
        data[0] = writer;
        data[1] = i;
        g_autoptr(GBytes) entry = g_bytes_new_take(data, ENTRY_SIZE);
        if (!store_log_append(store, entry, NULL))
            return false;
    }
    return store != NULL;
}

/* Some 21 MiB by three processes: cut several times, and what remains has no gap. */
static void a_log_is_cut_without_losing_what_is_appended(struct place *place, const void *data)
{
    pid_t writers[WRITERS];
    store_close(g_steal_pointer(&place->store));
    for (unsigned i = 0; i < WRITERS; i++)
        if ((writers[i] = fork()) == 0)
            _exit(append_many(place->path, i) ? 0 : 1);
    for (unsigned i = 0; i < WRITERS; i++) {
        int status;
        g_assert_cmpint(waitpid(writers[i], &status, 0), ==, writers[i]);
        g_assert_cmpint(status, ==, 0);
    }
    place->store = open_quietly(place->scratch, &options);
    struct tail tail = { .seen = 0 };
    for (unsigned i = 0; i < WRITERS; i++)
        tail.next[i] = ENTRIES;
    store_log_each(place->store, follow_tail, &tail);
    g_assert_cmpuint(tail.seen, >, (4 << 20) / ENTRY_SIZE - 2);
    g_assert_cmpuint(tail.seen, <, (9 << 20) / ENTRY_SIZE);
}

static bool count_entry(GBytes *entry, void *user)
{
    (*(unsigned *)user)++;
    return true;
}

static void a_torn_end_of_the_log_is_skipped(struct place *place, const void *data)
{
    g_autofree char *log = g_build_filename(place->path, "log", NULL);
    g_autoptr(GBytes) entry = g_bytes_new_static("entry", 5);
    for (int cut = 1; cut < 21; cut++) {
        for (int i = 0; i < 3; i++)
            g_assert_true(store_log_append(place->store, entry, NULL));
        g_assert_cmpint(truncate(log, 3 * (16 + 5) - cut), ==, 0);
        g_assert_true(store_log_append(place->store, entry, NULL));
        unsigned count = 0;
        store_log_each(place->store, count_entry, &count);
        g_assert_cmpuint(count, ==, 3);
        g_assert_cmpint(unlink(log), ==, 0);
    }
}

static void an_entry_too_long_is_refused(struct place *place, const void *data)
{
    g_autoptr(GBytes) entry = g_bytes_new_take(g_malloc0(3 << 20), 3 << 20);
    g_autoptr(GError) error = NULL;
    g_assert_false(store_log_append(place->store, entry, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
}

/* --- verify ----------------------------------------------------------------------------------- */

/* Flip a bit of the first `needle` in `file`. */
static void spoil(const char *file, const char *needle)
{
    g_autofree char *content = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(file, &content, &size, NULL));
    char *at = memmem(content, size, needle, strlen(needle));
    g_assert_nonnull(at);
    g_assert_cmpint(chmod(file, 0644), ==, 0);
    autofd int descriptor = open(file, O_WRONLY);
    char byte = (char)(*at ^ 1);
    g_assert_cmpint(pwrite(descriptor, &byte, 1, at - content), ==, 1);
}

static char *object_path(const struct place *place, const struct digest *digest)
{
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    digest_print_hash(digest, hex);
    return g_strdup_printf("%s/objects/%.2s/%s", place->path, hex, hex + 2);
}

static void note_damage(const char *what, void *user)
{
    g_string_append(user, what);
    g_string_append_c(user, '\n');
}

static struct store_verify_result verify(struct store *store, bool repair, GString *said)
{
    struct store_verify_result result;
    g_autoptr(GError) error = NULL;
    g_string_truncate(said, 0);
    store_verify(store, repair, note_damage, said, &result, &error);
    g_assert_no_error(error);
    return result;
}

static void verification_names_what_is_damaged_and_repair_drops_it(struct place *place,
                                                                   const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    g_autoptr(GString) said = g_string_new(NULL);
    g_autofree char *long_text = g_strnfill(2000, 'o');
    struct digest small, large, cut, sound;
    char text[DIGEST_TEXT_SIZE];
    put(batch, "a small blob that lives in the index", &small);
    put(batch, "another one", &sound);
    put(batch, long_text, &large);
    long_text[0] = 'p';
    put(batch, long_text, &cut);
    put_record(batch, "spoilt", "the value of a record");
    put_record(batch, "kept", "value");
    commit(batch);
    g_assert_cmpuint(verify(place->store, false, said).damaged, ==, 0);

    g_autofree char *index = g_build_filename(place->path, "index/data.mdb", NULL);
    g_autofree char *object = object_path(place, &large), *short_object = object_path(place, &cut);
    spoil(index, "a small blob");
    spoil(index, "the value of");
    spoil(object, "oooo");
    g_assert_cmpint(truncate(short_object, 1999), ==, 0);
    struct store_verify_result result = verify(place->store, false, said);
    g_assert_cmpuint(result.damaged, ==, 4);
    g_assert_cmpuint(result.removed, ==, 0);
    g_assert_cmpuint(result.blobs, ==, 4);
    g_assert_cmpuint(result.records, ==, 2);
    g_assert_nonnull(strstr(said->str, digest_print(&small, text)));
    g_assert_nonnull(strstr(said->str, digest_print(&large, text)));
    g_assert_nonnull(strstr(said->str, digest_print(&cut, text)));
    g_assert_nonnull(strstr(said->str, "memo record 73706f696c74"));

    result = verify(place->store, true, said);
    g_assert_cmpuint(result.removed, ==, 4);
    result = verify(place->store, false, said);
    g_assert_cmpuint(result.damaged, ==, 0);
    g_assert_cmpuint(result.blobs, ==, 1);
    g_assert_cmpuint(result.records, ==, 1);
    g_assert_false(store_has(place->store, &small));
    g_assert_false(g_file_test(object, G_FILE_TEST_EXISTS));
    assert_record(place->store, "spoilt", NULL);
    assert_record(place->store, "kept", "value");
    assert_blob(place->store, &sound, "another one");
}

static void a_damaged_blob_is_dropped_by_whoever_reads_it(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    g_autoptr(GError) error = NULL;
    g_autofree char *index = g_build_filename(place->path, "index/data.mdb", NULL);
    struct digest digest;
    put(batch, "soon to be damaged", &digest);
    commit(batch);
    spoil(index, "soon to be");
    g_assert_true(store_has(place->store, &digest));
    g_assert_null(store_get(place->store, &digest, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_assert_false(store_has(place->store, &digest));
    put(batch, "soon to be damaged", &digest);
    commit(batch);
    assert_blob(place->store, &digest, "soon to be damaged");
    store_drop(place->store, &digest); /* it is sound by now: the claim is out of date */
    g_assert_true(store_has(place->store, &digest));
}

/* --- statistics and collection ---------------------------------------------------------------- */

/* The value of a result is the blob it names, as text. */
static bool describe(enum store_table table, GBytes *key, GBytes *value,
                     struct store_reference *out, void *user)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(value, NULL), g_bytes_get_size(value));
    struct digest digest;
    if (!digest_parse(text, &digest, NULL))
        return false;
    g_array_append_val(out->blobs, digest);
    return true;
}

static void put_result(struct store_batch *batch, const char *key, const struct digest *names)
{
    char text[DIGEST_TEXT_SIZE];
    digest_print(names, text);
    g_autoptr(GBytes) value = g_bytes_new(text, strlen(text));
    store_batch_put_record(batch, STORE_RESULTS, key, strlen(key), value);
}

static struct store_gc_result collect(struct store *store, guint64 max_bytes)
{
    struct store_gc_result result;
    g_autoptr(GError) error = NULL;
    store_gc(store, max_bytes, describe, NULL, &result, &error);
    g_assert_no_error(error);
    return result;
}

static struct store_statistics count(struct store *store)
{
    struct store_statistics counts;
    g_autoptr(GError) error = NULL;
    store_statistics(store, &counts, &error);
    g_assert_no_error(error);
    return counts;
}

static void statistics_count_what_is_there(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    g_autofree char *text = g_strnfill(5000, 'x');
    struct digest small, large;
    put(batch, "12345", &small);
    put(batch, text, &large);
    put_result(batch, "r", &small);
    put_record(batch, "gone", "value");
    put_record(batch, "there", "value");
    commit(batch);
    put_record(batch, "gone", NULL);
    commit(batch);
    struct store_statistics counts = count(place->store);
    g_assert_cmpuint(counts.blobs, ==, 2);
    g_assert_cmpuint(counts.blob_bytes, ==, 5005);
    g_assert_cmpuint(counts.objects, ==, 1);
    g_assert_cmpuint(counts.object_bytes, ==, 5000);
    g_assert_cmpuint(counts.records[STORE_RESULTS], ==, 1);
    g_assert_cmpuint(counts.records[STORE_MEMO], ==, 1);
    g_assert_cmpuint(counts.disk_bytes, >, 5000);
}

static void collection_removes_files_that_nothing_names(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    g_autofree char *kept_text = g_strnfill(5000, 'k'), *lost_text = g_strnfill(5000, 'l');
    struct digest kept, lost;
    put(batch, kept_text, &kept);
    put(batch, lost_text, &lost);
    put_result(batch, "r", &kept);
    commit(batch);

    static const char *const rubbish[] = { "objects/ab", "tmp/0123", "index.damaged-1" };
    for (size_t i = 0; i < G_N_ELEMENTS(rubbish); i++) {
        g_autofree char *directory = g_build_filename(place->path, rubbish[i], NULL);
        g_autofree char *file = g_build_filename(directory, "cdef", NULL);
        g_assert_true(mkdir(directory, 0700) == 0 || errno == EEXIST);
        g_assert_true(g_file_set_contents(file, "rubbish", -1, NULL));
    }
    struct digest waiting;
    g_autofree char *waiting_text = g_strnfill(5000, 'w');
    put(batch, waiting_text, &waiting); /* a temporary file of a live process */
    struct store_gc_result result = collect(place->store, 1 << 20);
    g_assert_cmpuint(result.blobs_removed, ==, 1);
    g_assert_cmpuint(result.bytes_removed, ==, 5000);
    g_assert_cmpuint(result.bytes_kept, ==, 5000);
    g_autofree char *lost_path = object_path(place, &lost);
    g_assert_false(g_file_test(lost_path, G_FILE_TEST_EXISTS));
    g_assert_false(exists(place, "objects/ab/cdef"));
    g_assert_false(exists(place, "tmp/0123"));
    g_assert_false(exists(place, "index.damaged-1"));
    commit(batch);
    assert_blob(place->store, &waiting, waiting_text);
    assert_blob(place->store, &kept, kept_text);
}

static void what_the_index_gives_up_goes_back_to_the_disk(struct place *place, const void *data)
{
    static const struct store_options all_inline = { .inline_limit = 1 << 20 };
    g_autoptr(store) store = open_quietly(place->scratch, &all_inline);
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autofree guint8 *content = g_malloc0(100000);
    struct digest digest, kept;
    put(batch, "kept", &kept);
    put_result(batch, "r", &kept);
    for (unsigned i = 0; i < 200; i++) {
        memcpy(content, &i, sizeof i);
        g_assert_true(store_batch_put(batch, content, 100000, &digest, NULL));
    }
    commit(batch);
    g_assert_cmpuint(count(store).disk_bytes, >, 20000000);
    collect(store, 1 << 20);
    g_assert_cmpuint(count(store).disk_bytes, <, 1 << 20);
    assert_blob(store, &kept, "kept");
    put(batch, "and it still works", &digest);
    commit(batch);
    store_batch_free(g_steal_pointer(&batch));
    store_close(g_steal_pointer(&store));
    store_close(g_steal_pointer(&place->store));
    place->store = open_quietly(place->scratch, &options);
    assert_blob(place->store, &kept, "kept");
    assert_blob(place->store, &digest, "and it still works");
}

static void put_stat(struct store_batch *batch, unsigned number, gsize size)
{
    g_autoptr(GBytes) value = g_bytes_new_take(g_malloc0(size), size);
    store_batch_put_record(batch, STORE_STAT, &number, sizeof number, value);
}

static void a_stat_table_that_outgrows_the_limit_is_emptied(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    for (unsigned i = 0; i < 10; i++)
        put_stat(batch, i, 1000);
    commit(batch);
    collect(place->store, 1 << 20);
    g_assert_cmpuint(count(place->store).records[STORE_STAT], ==, 10);
    collect(place->store, 10000);
    g_assert_cmpuint(count(place->store).records[STORE_STAT], ==, 0);
}

static void a_damaged_result_is_evicted(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    g_autofree char *index = g_build_filename(place->path, "index/data.mdb", NULL);
    struct digest first, second;
    char text[DIGEST_TEXT_SIZE];
    put(batch, "first", &first);
    put(batch, "second", &second);
    put_result(batch, "1", &first);
    put_result(batch, "2", &second);
    commit(batch);
    spoil(index, digest_print(&first, text));
    struct store_gc_result result = collect(place->store, 1 << 20);
    g_assert_cmpuint(result.evicted, ==, 1);
    g_assert_false(store_has(place->store, &first));
    assert_blob(place->store, &second, "second");
}

static const struct {
    const char *name;
    void (*run)(struct place *place, const void *data);
} tests[] = {
    { "a-log-is-cut-without-losing-what-is-appended",
      a_log_is_cut_without_losing_what_is_appended },
    { "a-torn-end-of-the-log-is-skipped", a_torn_end_of_the_log_is_skipped },
    { "an-entry-too-long-is-refused", an_entry_too_long_is_refused },
    { "verification-names-what-is-damaged-and-repair-drops-it",
      verification_names_what_is_damaged_and_repair_drops_it },
    { "a-damaged-blob-is-dropped-by-whoever-reads-it",
      a_damaged_blob_is_dropped_by_whoever_reads_it },
    { "statistics-count-what-is-there", statistics_count_what_is_there },
    { "collection-removes-files-that-nothing-names", collection_removes_files_that_nothing_names },
    { "what-the-index-gives-up-goes-back-to-the-disk",
      what_the_index_gives_up_goes_back_to_the_disk },
    { "a-stat-table-that-outgrows-the-limit-is-emptied",
      a_stat_table_that_outgrows_the_limit_is_emptied },
    { "a-damaged-result-is-evicted", a_damaged_result_is_evicted },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/store/upkeep/", tests[i].name, NULL);
        g_test_add(path, struct place, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
