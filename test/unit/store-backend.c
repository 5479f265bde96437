// SPDX-License-Identifier: Apache-2.0
/* What every back end must do: the same tests over memory and over LMDB with object files. */
#include "store-test.h"

struct fixture {
    struct store *store;
    char *scratch; /* NULL: in memory */
};

static void set_up(struct fixture *fixture, const void *data)
{
    const struct store_options *options = data;
    if (options == NULL) {
        fixture->store = store_new_memory();
        return;
    }
    fixture->scratch = scratch_new();
    fixture->store = open_quietly(fixture->scratch, options);
}

static void tear_down(struct fixture *fixture, const void *data)
{
    store_close(fixture->store);
    if (fixture->scratch != NULL)
        scratch_free(fixture->scratch);
}

static void nothing_is_visible_before_the_commit(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "content", &digest);
    put_record(batch, "key", "value");
    g_assert_false(store_has(store, &digest));
    assert_record(store, "key", NULL);

    commit(batch);
    g_assert_true(store_has(store, &digest));
    assert_record(store, "key", "value");
    assert_blob(store, &digest, "content");
}

static void a_dropped_batch_leaves_nothing(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    struct store_batch *batch = store_batch_new(store);
    struct digest digest;
    put(batch, "content", &digest);
    put_record(batch, "key", "value");
    store_batch_free(batch);
    g_assert_false(store_has(store, &digest));
    assert_record(store, "key", NULL);
}

static void the_last_word_on_a_record_counts(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    put_record(batch, "a", "1");
    put_record(batch, "a", "2");
    put_record(batch, "b", "1");
    put_record(batch, "b", NULL);
    put_record(batch, "c", NULL);
    put_record(batch, "c", "");
    commit(batch);
    assert_record(store, "a", "2");
    assert_record(store, "b", NULL);
    assert_record(store, "c", "");
}

static void what_is_not_there_is_missing(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(GError) error = NULL;
    struct digest digest;
    digest_of("x", 1, &digest);
    g_assert_null(store_get(store, &digest, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_clear_error(&error);
    g_assert_cmpint(store_open_blob(store, &digest, &error), ==, -1);
    g_assert_error(error, FAULT, FAULT_MISSING);
}

static void a_blob_of_another_size_is_another_blob(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "x", &digest);
    commit(batch);
    digest.size = 2;
    g_assert_false(store_has(store, &digest));
}

/*
 * The value of a record is its age, then digests as text: "t" for a tree, "d" for its directories
 * alone, "b" for a blob, "n" for a blob that holds the digest of the one that is named.
 */
static bool describe(enum store_table table, GBytes *key, GBytes *value,
                     struct store_reference *out, void *user)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(value, NULL), g_bytes_get_size(value));
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    out->last_use = g_ascii_strtoll(words[0], NULL, 10);
    for (char **word = words + 1; *word != NULL; word++) {
        struct digest digest;
        if (!digest_parse(*word + 1, &digest, NULL))
            return false;
        g_autoptr(GBytes) name = **word == 'n' ? out->read(&digest, out->source) : NULL;
        if (name != NULL) {
            g_autofree char *named =
                g_strndup(g_bytes_get_data(name, NULL), g_bytes_get_size(name));
            if (!digest_parse(named, &digest, NULL))
                return false;
        }
        g_array_append_val(**word == 't'   ? out->trees
                           : **word == 'd' ? out->directories
                                           : out->blobs,
                           digest);
    }
    return true;
}

static void a_collected_blob_fails_the_commit_that_counts_on_it(struct fixture *fixture,
                                                                const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) first = store_batch_new(store);
    g_autoptr(store_batch) second = store_batch_new(store);
    g_autoptr(GError) error = NULL;
    struct digest digest;
    put(first, "shared", &digest);
    commit(first);
    put(second, "shared", &digest);
    put_record(second, "key", "names the blob");
    struct store_gc_result result;
    g_assert_true(store_gc(store, 1000, describe, NULL, &result, &error));
    g_assert_cmpuint(result.blobs_removed, ==, 1);
    g_assert_false(store_batch_commit(second, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    assert_record(store, "key", NULL);

    put(second, "shared", &digest); /* the batch is empty now, and works */
    commit(second);
    g_assert_true(store_has(store, &digest));
}

static struct tree *tree_of_two(const struct digest *a, const struct digest *b)
{
    const struct tree_entry entries[] = {
        { .name = "a", .kind = TREE_FILE, .digest = *a },
        { .name = "b", .kind = TREE_FILE, .digest = *b },
    };
    g_autoptr(GError) error = NULL;
    struct tree *tree = tree_new(entries, G_N_ELEMENTS(entries), &error);
    g_assert_no_error(error);
    return tree;
}

static void a_tree_is_counted_on_if_all_its_files_are_there_or_coming(struct fixture *fixture,
                                                                      const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) first = store_batch_new(store);
    g_autoptr(store_batch) second = store_batch_new(store);
    g_autoptr(GError) error = NULL;
    struct digest stored, waiting, nowhere;
    put(first, "a blob of more than seventeen bytes", &stored);
    commit(first);
    put(second, "waits", &waiting);
    digest_of("nowhere", 7, &nowhere);
    g_autoptr(tree) whole = tree_of_two(&stored, &waiting);
    g_autoptr(tree) partial = tree_of_two(&stored, &nowhere);
    g_assert_false(store_batch_count_on(first, whole)); /* `waiting` is not there yet */
    g_assert_false(store_batch_count_on(second, partial));
    g_assert_true(store_batch_count_on(second, whole));

    struct store_gc_result result;
    g_assert_true(store_gc(store, 1000, describe, NULL, &result, &error));
    g_assert_cmpuint(result.blobs_removed, ==, 1);
    g_assert_false(store_batch_commit(second, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
}

static bool note_key(GBytes *key, GBytes *value, void *user)
{
    g_string_append_len(user, g_bytes_get_data(key, NULL), (gssize)g_bytes_get_size(key));
    g_string_append_c(user, ' ');
    return ((GString *)user)->len < 8;
}

static void records_come_in_key_order_until_stopped(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    static const char *const keys[] = { "zz", "b", "aa", "a", "c", "ba" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        put_record(batch, keys[i], "v");
    commit(batch);
    g_autoptr(GString) seen = g_string_new(NULL);
    store_record_each(store, STORE_MEMO, note_key, seen);
    g_assert_cmpstr(seen->str, ==, "a aa b ba ");
}

static bool note_entry(GBytes *entry, void *user)
{
    g_string_append_len(user, g_bytes_get_data(entry, NULL), (gssize)g_bytes_get_size(entry));
    return true;
}

static void the_log_is_newest_first(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    for (const char *text = "abc"; *text != '\0'; text++) {
        g_autoptr(GBytes) entry = g_bytes_new(text, 1);
        g_assert_true(store_log_append(store, entry, NULL));
    }
    g_autoptr(GString) seen = g_string_new(NULL);
    store_log_each(store, note_entry, seen);
    g_assert_cmpstr(seen->str, ==, "cba");
}

/* --- claims --------------------------------------------------------------------------------- */

struct contest {
    struct store *store;
    struct digest key;
    int inside, worst;
};

static void *contend(void *user)
{
    struct contest *contest = user;
    for (int i = 0; i < 200; i++) {
        bool waited;
        struct store_claim *claim = store_claim(contest->store, &contest->key, NULL, &waited, NULL);
        int inside = g_atomic_int_add(&contest->inside, 1) + 1;
        if (inside > g_atomic_int_get(&contest->worst))
            g_atomic_int_set(&contest->worst, inside);
        g_thread_yield();
        g_atomic_int_add(&contest->inside, -1);
        store_claim_release(claim);
    }
    return NULL;
}

static void one_thread_at_a_time_holds_a_claim(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    struct contest contest = { .store = store };
    digest_of("k", 1, &contest.key);
    GThread *threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("contend", contend, &contest);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(contest.worst, ==, 1);
}

static void waiting_for_a_claim_can_be_cancelled(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(GError) error = NULL;
    struct digest key, other;
    digest_of("k", 1, &key);
    digest_of("l", 1, &other);
    bool waited;
    volatile int cancel = 1;
    struct store_claim *first = store_claim(store, &key, NULL, &waited, &error);
    g_assert_nonnull(first);
    g_assert_false(waited);
    struct store_claim *elsewhere = store_claim(store, &other, &cancel, &waited, &error);
    g_assert_nonnull(elsewhere);
    g_assert_null(store_claim(store, &key, &cancel, &waited, &error));
    g_assert_error(error, FAULT, FAULT_CANCELLED);
    g_assert_true(waited);
    store_claim_release(first);
    store_claim_release(elsewhere);
}

/* --- marking -------------------------------------------------------------------------------- */

static void put_result(struct store_batch *batch, const char *key, int age, char kind,
                       const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    g_autofree char *value = g_strdup_printf("%d %c%s", age, kind, digest_print(digest, text));
    g_autoptr(GBytes) bytes = g_bytes_new(value, strlen(value));
    store_batch_put_record(batch, STORE_RESULTS, key, strlen(key), bytes);
}

static struct tree *put_tree(struct store_batch *batch, const char *path, const char *content)
{
    struct tree_entry entry = { .kind = TREE_FILE };
    put(batch, content, &entry.digest);
    struct tree_builder *builder = tree_builder_new();
    g_assert_true(tree_builder_add(builder, path, &entry, NULL));
    struct tree *tree = tree_builder_finish(builder);
    g_assert_true(store_batch_put_tree(batch, tree, NULL));
    return tree;
}

static void collection_keeps_what_newer_results_name(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(tree) new = put_tree(batch, "a/b/c", "of the newer result");
    g_autoptr(tree) old = put_tree(batch, "d/e", "of the older result");
    struct digest loose;
    put(batch, "named by nobody", &loose);
    put_result(batch, "old", 1, 't', tree_digest(old));
    put_result(batch, "new", 2, 't', tree_digest(new));
    commit(batch);

    guint64 enough = 600; /* three directories and a file; both results need more */
    struct store_gc_result result;
    g_autoptr(GError) error = NULL;
    struct tree_totals totals;
    tree_totals(old, &totals);
    g_assert_true(store_gc(store, enough, describe, NULL, &result, &error));
    g_assert_no_error(error);
    g_assert_true(store_has_tree(store, new, NULL));
    g_assert_true(store_has_tree(store, old, NULL));
    g_assert_false(store_has(store, &loose));
    g_assert_cmpuint(result.evicted, ==, 0);
    g_assert_cmpuint(result.blobs_kept, ==, 7);

    g_assert_true(store_gc(store, result.bytes_kept - 1, describe, NULL, &result, &error));
    g_assert_cmpuint(result.evicted, ==, 1);
    g_assert_true(store_has_tree(store, new, NULL));
    g_assert_false(store_has_tree(store, old, NULL));
    g_autoptr(GBytes) gone = store_record_get(store, STORE_RESULTS, "old", 3);
    g_assert_null(gone);
}

static void a_file_that_reads_like_a_directory_is_still_followed_as_one(struct fixture *fixture,
                                                                        const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(tree) tree = put_tree(batch, "f", "content");
    /* the newest names the directory's message as a plain blob, the next one as a tree */
    put_result(batch, "1", 2, 'b', tree_digest(tree));
    put_result(batch, "2", 1, 't', tree_digest(tree));
    commit(batch);
    struct store_gc_result result;
    g_assert_true(store_gc(store, 1000, describe, NULL, &result, NULL));
    g_assert_cmpuint(result.blobs_removed, ==, 0);
    g_assert_true(store_has_tree(store, tree, NULL));
}

static void directories_can_be_kept_without_files(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(tree) both = put_tree(batch, "x/y", "named in full by the older result");
    g_autoptr(tree) alone = put_tree(batch, "a/b/c", "named by nobody");
    put_result(batch, "1", 2, 'd', tree_digest(both));
    put_result(batch, "2", 1, 't', tree_digest(both));
    put_result(batch, "3", 0, 'd', tree_digest(alone));
    commit(batch);
    struct store_gc_result result;
    g_assert_true(store_gc(store, 10000, describe, NULL, &result, NULL));
    g_assert_cmpuint(result.blobs_removed, ==, 1);
    g_assert_true(store_has_tree(store, both, NULL));
    g_assert_false(store_has_tree(store, alone, NULL));
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) loaded = store_get_tree(store, tree_digest(alone), &error);
    g_assert_no_error(error);
    g_assert_true(digest_equal(tree_digest(loaded), tree_digest(alone)));
}

static void what_a_result_names_may_be_read_to_name_more(struct fixture *fixture, const void *data)
{
    struct store *store = fixture->store;
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest end, name;
    char text[DIGEST_TEXT_SIZE];
    put(batch, "the end", &end);
    put(batch, digest_print(&end, text), &name);
    put_result(batch, "1", 1, 'n', &name);
    commit(batch);
    struct store_gc_result result;
    g_assert_true(store_gc(store, 1000, describe, NULL, &result, NULL));
    g_assert_true(store_has(store, &end));
    g_assert_false(store_has(store, &name));
}

static const struct {
    const char *name;
    void (*run)(struct fixture *fixture, const void *data);
} tests[] = {
    { "nothing-is-visible-before-the-commit", nothing_is_visible_before_the_commit },
    { "a-dropped-batch-leaves-nothing", a_dropped_batch_leaves_nothing },
    { "the-last-word-on-a-record-counts", the_last_word_on_a_record_counts },
    { "what-is-not-there-is-missing", what_is_not_there_is_missing },
    { "a-blob-of-another-size-is-another-blob", a_blob_of_another_size_is_another_blob },
    { "a-collected-blob-fails-the-commit-that-counts-on-it",
      a_collected_blob_fails_the_commit_that_counts_on_it },
    { "a-tree-is-counted-on-if-all-its-files-are-there-or-coming",
      a_tree_is_counted_on_if_all_its_files_are_there_or_coming },
    { "records-come-in-key-order-until-stopped", records_come_in_key_order_until_stopped },
    { "the-log-is-newest-first", the_log_is_newest_first },
    { "one-thread-at-a-time-holds-a-claim", one_thread_at_a_time_holds_a_claim },
    { "waiting-for-a-claim-can-be-cancelled", waiting_for_a_claim_can_be_cancelled },
    { "collection-keeps-what-newer-results-name", collection_keeps_what_newer_results_name },
    { "a-file-that-reads-like-a-directory-is-still-followed-as-one",
      a_file_that_reads_like_a_directory_is_still_followed_as_one },
    { "directories-can-be-kept-without-files", directories_can_be_kept_without_files },
    { "what-a-result-names-may-be-read-to-name-more",
      what_a_result_names_may_be_read_to_name_more },
};

int main(int argc, char **argv)
{
    /* The last: every blob but the empty one is a file, and the map grows all the time. */
    static const struct store_options lmdb = { .read_only = false },
                                      objects = { .inline_limit = 1, .map_size = 32768 };
    static const struct {
        const char *name;
        const struct store_options *options;
    } backends[] = { { "memory", NULL }, { "lmdb", &lmdb }, { "objects", &objects } };
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(tests); j++) {
            g_autofree char *path =
                g_strdup_printf("/store/backend/%s/%s", backends[i].name, tests[j].name);
            g_test_add(path, struct fixture, backends[i].options, set_up, tests[j].run, tear_down);
        }
    return g_test_run();
}
