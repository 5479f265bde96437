// SPDX-License-Identifier: Apache-2.0
/* Batches on disk: many threads, early commits, files that change, what failure leaves behind. */
#include "store-test.h"

#include <sys/stat.h>

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

static unsigned files_below(const char *path)
{
    g_autoptr(GDir) names = g_dir_open(path, 0, NULL);
    unsigned count = 0;
    const char *name;
    while (names != NULL && (name = g_dir_read_name(names)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        count += g_file_test(below, G_FILE_TEST_IS_DIR) ? files_below(below) : 1;
    }
    return count;
}

static unsigned files_in(const struct place *place, const char *part)
{
    g_autofree char *path = g_build_filename(place->path, part, NULL);
    return files_below(path);
}

/* Whatever a test did, closing leaves no temporary file. */
static void tear_down(struct place *place, const void *data)
{
    store_close(place->store);
    g_assert_cmpuint(files_in(place, "tmp"), ==, 0);
    scratch_free(place->scratch);
    g_free(place->path);
}

static char *text_of(unsigned number)
{
    return g_strdup_printf("%u %0*u", number, (int)(number * 53 % 4000), number);
}

/* A new file with `text`, at offset 0. */
static int file_with(const struct place *place, const char *text)
{
    g_autofree char *path = g_build_filename(place->scratch, "file", NULL);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_true(fd_write_all(file, text, strlen(text), path, NULL));
    g_assert_cmpint(lseek(file, 0, SEEK_SET), ==, 0);
    return file;
}

/* --- threads ---------------------------------------------------------------------------------- */

enum {
    THREADS = 4,
    PER_THREAD = 300,
    DISTINCT = 400
};

struct putter {
    struct store_batch *batch;
    unsigned from;
    bool ok;
};

static void *put_many(void *user)
{
    struct putter *putter = user;
    putter->ok = true;
    for (unsigned i = 0; i < PER_THREAD; i++) {
        g_autofree char *text = text_of((putter->from + i) % DISTINCT);
        struct digest digest;
        putter->ok =
            store_batch_put(putter->batch, text, strlen(text), &digest, NULL) && putter->ok;
    }
    return NULL;
}

static void many_threads_share_a_batch(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    GThread *threads[THREADS];
    struct putter putters[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        putters[i] = (struct putter){ .batch = batch, .from = i * 97 };
        threads[i] = g_thread_new("put", put_many, &putters[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        g_assert_true(putters[i].ok);
    }
    commit(batch);
    unsigned large = 0;
    for (unsigned i = 0; i < DISTINCT; i++) {
        g_autofree char *text = text_of(i);
        struct digest digest;
        digest_of(text, strlen(text), &digest);
        assert_blob(place->store, &digest, text);
        large += digest.size > 1000;
    }
    g_assert_cmpuint(files_in(place, "objects"), ==, large);
}

static void *read_and_write(void *user)
{
    struct store *store = user;
    for (unsigned round = 0; round < 60; round++) {
        g_autoptr(store_batch) batch = store_batch_new(store);
        struct digest digest;
        for (unsigned i = 0; i < 5; i++) {
            g_autofree char *text = text_of((round * 5 + i) % 100);
            if (!store_batch_put(batch, text, strlen(text), &digest, NULL))
                return "put failed";
        }
        put_record(batch, "shared", "value");
        if (!store_batch_commit(batch, NULL))
            return "commit failed";
        for (unsigned i = 0; i < 5; i++) {
            g_autofree char *text = text_of((round * 5 + i) % 100);
            digest_of(text, strlen(text), &digest);
            g_autoptr(GBytes) bytes = store_get(store, &digest, NULL);
            if (bytes == NULL)
                return "what was committed is not there";
        }
    }
    return NULL;
}

static void threads_read_while_others_commit(struct place *place, const void *data)
{
    GThread *threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("both", read_and_write, place->store);
    for (unsigned i = 0; i < THREADS; i++)
        g_assert_cmpstr(g_thread_join(threads[i]), ==, NULL);
}

/* --- early commits ---------------------------------------------------------------------------- */

static void a_large_batch_commits_blobs_early_and_records_late(struct place *place,
                                                               const void *data)
{
    enum {
        COUNT = 70,
        SIZE = 1 << 20
    };
    static const struct store_options all_inline = { .inline_limit = 2 << 20 };
    g_autoptr(store) store = open_quietly(place->scratch, &all_inline);
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autofree guint8 *content = g_malloc0(SIZE);
    struct digest digests[COUNT];
    put_record(batch, "key", "value");
    for (unsigned i = 0; i < COUNT; i++) {
        memcpy(content, &i, sizeof i);
        g_assert_true(store_batch_put(batch, content, SIZE, &digests[i], NULL));
    }
    g_assert_true(store_has(store, &digests[0]));
    g_assert_false(store_has(store, &digests[COUNT - 1]));
    assert_record(store, "key", NULL);
    commit(batch);
    g_assert_true(store_has(store, &digests[COUNT - 1]));
    assert_record(store, "key", "value");
}

/* --- files ------------------------------------------------------------------------------------ */

static void a_file_is_stored_from_where_it_stands(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    for (unsigned number = 1; number < 100; number++) {
        g_autofree char *text = text_of(number);
        autofd int file = file_with(place, text);
        struct digest digest, expected;
        g_assert_cmpint(lseek(file, 1, SEEK_SET), ==, 1);
        digest_of(text + 1, strlen(text) - 1, &expected);
        g_assert_true(
            store_batch_put_file(batch, file, expected.size, "file", NULL, &digest, NULL));
        g_assert_true(digest_equal(&digest, &expected));
    }
    commit(batch);
}

/* Data of some bytes at each place that `map` has an 'x' for, in steps of a MiB. */
static int file_with_holes(struct place *place, const char *map, gint64 *size)
{
    int file = file_with(place, "");
    *size = (gint64)strlen(map) << 20;
    g_assert_cmpint(ftruncate(file, *size), ==, 0);
    for (size_t i = 0; map[i] != '\0'; i++)
        if (map[i] == 'x')
            g_assert_cmpint(pwrite(file, "data", 4, ((off_t)i << 20) + 4093), ==, 4);
    return file;
}

static void a_file_with_holes_is_its_bytes(struct place *place, const void *data)
{
    static const char *const maps[] = { "..", "x...", "...x", ".x.x.", "xx", "x...xx...", "." };
    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++)
        for (off_t from = 0; from < 2 << 20; from += (1 << 20) - 77) {
            gint64 size;
            autofd int file = file_with_holes(place, maps[i], &size);
            if (from >= size)
                continue;
            g_autofree char *plain = g_malloc((gsize)size);
            g_assert_cmpint(pread(file, plain, (size_t)size, 0), ==, size);
            g_autoptr(store_batch) batch = store_batch_new(place->store);
            struct digest digest, expected;
            digest_of(plain + from, (size_t)(size - from), &expected);
            g_assert_cmpint(lseek(file, from, SEEK_SET), ==, from);
            g_assert_true(
                store_batch_put_file(batch, file, size - from, "file", NULL, &digest, NULL));
            g_assert_true(digest_equal(&digest, &expected));
            commit(batch);
            g_autoptr(GBytes) stored = store_get(place->store, &digest, NULL);
            g_autoptr(GBytes) bytes = g_bytes_new(plain + from, (gsize)(size - from));
            g_assert_true(g_bytes_equal(stored, bytes));
        }
}

static void a_file_whose_putting_is_cancelled_is_not_there(struct place *place, const void *data)
{
    static const volatile int raised = 1;
    for (int goes_on = 0; goes_on < 2; goes_on++)
        for (int holes = 0; holes < 2; holes++) {
            gint64 size;
            autofd int file = file_with_holes(place, holes ? "...." : "xxxx", &size);
            g_autoptr(store_batch) batch = store_batch_new(place->store);
            g_autoptr(GError) error = NULL;
            struct digest digest;
            if (goes_on)
                store_batch_go_on(batch);
            g_assert_false(
                store_batch_put_file(batch, file, size, "file", &raised, &digest, &error));
            g_assert_error(error, FAULT, FAULT_CANCELLED);
            g_assert_cmpuint(files_in(place, "tmp"), ==, 0);
        }
}

static void a_file_of_another_size_than_said_has_changed(struct place *place, const void *data)
{
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    static const gint64 sizes[] = { 1, 999, 1000, 1001, 5000, 600000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (gint64 said = sizes[i] - 1; said <= sizes[i] + 1; said += 2) {
            g_autofree char *text = g_strnfill((gsize)sizes[i], 'x');
            autofd int file = file_with(place, text);
            struct digest digest;
            g_autoptr(GError) error = NULL;
            g_assert_false(
                store_batch_put_file(batch, file, said, "some/file", NULL, &digest, &error));
            g_assert_error(error, FAULT, FAULT_CHANGED);
            g_assert_nonnull(strstr(error->message, "some/file"));
        }
    g_assert_cmpuint(files_in(place, "tmp"), ==, 0);
}

static void a_dropped_batch_leaves_no_file(struct place *place, const void *data)
{
    struct store_batch *batch = store_batch_new(place->store);
    struct digest digest;
    g_autofree char *text = g_strnfill(5000, 'x');
    put(batch, text, &digest);
    g_assert_cmpuint(files_in(place, "tmp"), ==, 1);
    store_batch_free(batch);
    g_assert_cmpuint(files_in(place, "tmp"), ==, 0);
    g_assert_cmpuint(files_in(place, "objects"), ==, 0);
}

static void the_same_large_blob_twice_is_one_file(struct place *place, const void *data)
{
    g_autofree char *text = g_strnfill(5000, 'x');
    for (int i = 0; i < 3; i++) {
        g_autoptr(store_batch) first = store_batch_new(place->store);
        g_autoptr(store_batch) second = store_batch_new(place->store);
        struct digest digest;
        autofd int file = file_with(place, text);
        put(first, text, &digest);
        g_assert_true(store_batch_put_file(second, file, 5000, "file", NULL, &digest, NULL));
        commit(first);
        commit(second);
        assert_blob(place->store, &digest, text);
        g_assert_cmpuint(files_in(place, "objects"), ==, 1);
        g_assert_cmpuint(files_in(place, "tmp"), ==, 0);
    }
}

/* What a crash between rename and commit may have left, torn at that. */
static void an_object_that_no_entry_names_is_replaced(struct place *place, const void *data)
{
    g_autofree char *text = g_strnfill(5000, 'x'), *torn = g_strnfill(5000, 'y');
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    struct digest digest;
    digest_of(text, 5000, &digest);
    digest_print_hash(&digest, hex);
    g_autofree char *fan = g_strdup_printf("%s/objects/%.2s", place->path, hex);
    g_autofree char *object = g_build_filename(fan, hex + 2, NULL);
    g_assert_cmpint(mkdir(fan, 0700), ==, 0);
    g_assert_true(g_file_set_contents(object, torn, 5000, NULL));
    g_assert_false(store_has(place->store, &digest));
    g_autoptr(store_batch) batch = store_batch_new(place->store);
    put(batch, text, &digest);
    commit(batch);
    assert_blob(place->store, &digest, text);
}

static void a_lost_object_is_put_again(struct place *place, const void *data)
{
    g_autofree char *text = g_strnfill(5000, 'x');
    g_autofree char *objects = g_build_filename(place->path, "objects", NULL);
    for (int i = 0; i < 2; i++) {
        g_autoptr(store_batch) batch = store_batch_new(place->store);
        struct digest digest;
        put(batch, text, &digest);
        commit(batch);
        assert_blob(place->store, &digest, text);
        g_assert_true(fd_remove_tree(AT_FDCWD, objects, NULL));
        g_assert_cmpint(mkdir(objects, 0700), ==, 0);
        g_assert_false(store_has(place->store, &digest));
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(store_open_blob(place->store, &digest, &error), ==, -1);
        g_assert_error(error, FAULT, FAULT_MISSING);
    }
}

static void an_open_blob_is_read_only_and_at_its_start(struct place *place, const void *data)
{
    static const gsize sizes[] = { 0, 1, 1000, 1001, 70000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(store_batch) batch = store_batch_new(place->store);
        g_autofree char *text = g_strnfill(sizes[i], 'z');
        struct digest digest;
        put(batch, text, &digest);
        commit(batch);
        autofd int file = store_open_blob(place->store, &digest, NULL);
        g_assert_cmpint(file, >=, 0);
        g_autoptr(GBytes) bytes = fd_read_all(file, 1 << 20, "blob", NULL);
        assert_bytes(bytes, text);
        if (sizes[i] > 1000)
            g_assert_cmpint(write(file, "x", 1), ==, -1);
    }
}

/* --- failure ---------------------------------------------------------------------------------- */

static void going_on_hashes_all_and_fails_at_the_end(struct place *place, const void *data)
{
    static const struct store_options reading = { .inline_limit = 1000, .read_only = true };
    g_autoptr(store) reader = open_quietly(place->scratch, &reading);
    g_autoptr(store_batch) batch = store_batch_new(reader);
    store_batch_go_on(batch);
    for (unsigned number = 0; number < 50; number++) {
        g_autofree char *text = text_of(number);
        autofd int file = file_with(place, text);
        struct digest digest, again, expected;
        digest_of(text, strlen(text), &expected);
        put(batch, text, &digest);
        g_assert_true(store_batch_put_file(batch, file, expected.size, "file", NULL, &again, NULL));
        g_assert_true(digest_equal(&digest, &expected));
        g_assert_true(digest_equal(&again, &expected));
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(store_batch_commit(batch, &error));
    g_assert_error(error, FAULT, FAULT_READ_ONLY);
}

static const struct {
    const char *name;
    void (*run)(struct place *place, const void *data);
} tests[] = {
    { "many-threads-share-a-batch", many_threads_share_a_batch },
    { "threads-read-while-others-commit", threads_read_while_others_commit },
    { "a-large-batch-commits-blobs-early-and-records-late",
      a_large_batch_commits_blobs_early_and_records_late },
    { "a-file-is-stored-from-where-it-stands", a_file_is_stored_from_where_it_stands },
    { "a-file-with-holes-is-its-bytes", a_file_with_holes_is_its_bytes },
    { "a-file-whose-putting-is-cancelled-is-not-there",
      a_file_whose_putting_is_cancelled_is_not_there },
    { "a-file-of-another-size-than-said-has-changed",
      a_file_of_another_size_than_said_has_changed },
    { "a-dropped-batch-leaves-no-file", a_dropped_batch_leaves_no_file },
    { "the-same-large-blob-twice-is-one-file", the_same_large_blob_twice_is_one_file },
    { "an-object-that-no-entry-names-is-replaced", an_object_that_no_entry_names_is_replaced },
    { "a-lost-object-is-put-again", a_lost_object_is_put_again },
    { "an-open-blob-is-read-only-and-at-its-start", an_open_blob_is_read_only_and_at_its_start },
    { "going-on-hashes-all-and-fails-at-the-end", going_on_hashes_all_and_fails_at_the_end },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/store/batch/", tests[i].name, NULL);
        g_test_add(path, struct place, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
