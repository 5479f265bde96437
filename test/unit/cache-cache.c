// SPDX-License-Identifier: Apache-2.0
#include "cache/cache.h"
#include "action-support.h"
#include "cache/history.h"

/* --- helpers ---------------------------------------------------------------------------------- */

static void put(struct store_batch *batch, const char *text, struct digest *out)
{
    g_autoptr(GError) error = NULL;
    store_batch_put(batch, text, strlen(text), out, &error);
    g_assert_no_error(error);
}

static struct digest key_of(const char *name)
{
    struct digest key;
    digest_of(name, strlen(name), &key);
    return key;
}

static bool put_content(const char *path, const struct tree_entry *entry, void *user)
{
    struct digest stored;
    if (entry->kind == TREE_FILE) {
        put(user, path, &stored);
        assert_digests(&stored, &entry->digest);
    }
    return true;
}

/* A result of the outputs `tree`, each file of which holds its own path; streams are optional. */
static struct result *result_of(struct store_batch *batch, struct tree *outputs, const char *out,
                                const char *err)
{
    struct result *result = result_new();
    put(batch, out, &result->stdout_blob);
    put(batch, err, &result->stderr_blob);
    for (guint32 stream = OUTPUT_STDOUT; stream <= OUTPUT_STDERR; stream++) {
        struct output_piece piece = { stream, strlen(stream == OUTPUT_STDOUT ? out : err) };
        if (piece.size > 0)
            g_array_append_val(result->order, piece);
    }
    tree_walk(outputs, put_content, batch);
    g_assert_true(store_batch_put_tree(batch, outputs, NULL));
    result->outputs = *tree_digest(outputs);
    return result;
}

static void record(struct store *store, const char *name, struct tree *outputs, const char *out,
                   int exit_code, gint64 started)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(result) result = result_of(batch, outputs, out, "");
    struct digest key = key_of(name);
    g_autoptr(GError) error = NULL;
    result->exit_code = exit_code;
    result->started = started;
    cache_record(batch, &key, result);
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
    tree_unref(outputs);
}

/* NULL if it is a hit, else why not. */
static char *reason_of(struct store *store, const char *name, bool failures)
{
    struct cached cached;
    struct digest key = key_of(name);
    bool hit = cache_find(store, &key, failures, &cached);
    char *reason = g_steal_pointer(&cached.reason);
    g_assert_true(hit == (cached.result != NULL) && hit == (cached.outputs != NULL) &&
                  hit == (reason == NULL));
    cached_clear(&cached);
    return reason;
}

static void assert_hit(struct store *store, const char *name)
{
    g_autofree char *reason = reason_of(store, name, false);
    g_assert_cmpstr(reason, ==, NULL);
}

static void assert_miss(struct store *store, const char *name)
{
    g_autofree char *reason = reason_of(store, name, true);
    g_assert_nonnull(reason);
}

/* --- look-up ---------------------------------------------------------------------------------- */

static void what_was_recorded_is_found(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(tree) outputs = TREE("a/b=a/b", "l->x", "e/");
    record(store, "k", tree_ref(outputs), "out", 0, 7);
    struct cached cached;
    struct digest key = key_of("k");
    g_assert_true(cache_find(store, &key, false, &cached));
    assert_same_tree(cached.outputs, outputs);
    g_assert_cmpint(cached.result->started, ==, 7);
    g_assert_cmpint(cached.result->stdout_blob.size, ==, 3);
    cached_clear(&cached);
    g_assert_null(cached.result);
}

static void nothing_is_found_before_the_commit(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(tree) outputs = TREE();
    g_autoptr(result) result = result_of(batch, outputs, "", "");
    struct digest key = key_of("k");
    cache_record(batch, &key, result);
    assert_miss(store, "k");
    g_assert_true(store_batch_commit(batch, NULL));
    assert_hit(store, "k");
}

static void the_size_belongs_to_the_key(void)
{
    g_autoptr(store) store = store_new_memory();
    struct digest key = key_of("k");
    struct cached cached;
    record(store, "k", TREE(), "", 0, 0);
    key.size++;
    g_assert_false(cache_find(store, &key, true, &cached));
    cached_clear(&cached);
}

static void the_latest_result_counts(void)
{
    g_autoptr(store) store = store_new_memory();
    record(store, "k", TREE(), "", 0, 1);
    record(store, "k", TREE(), "", 3, 2);
    g_autofree char *reason = reason_of(store, "k", false);
    g_assert_cmpstr(reason, ==, "it failed with status 3 before");
    record(store, "k", TREE(), "", 0, 3);
    assert_hit(store, "k");
}

static void a_failure_counts_only_when_asked_for(void)
{
    g_autoptr(store) store = store_new_memory();
    record(store, "k", TREE("a=a"), "out", 1, 0);
    g_autofree char *reason = reason_of(store, "k", false);
    g_assert_cmpstr(reason, ==, "it failed with status 1 before");
    g_autofree char *none = reason_of(store, "k", true);
    g_assert_cmpstr(none, ==, NULL);
}

static void every_blob_that_is_gone_makes_a_miss(void)
{
    g_autoptr(tree) outputs = TREE("a=a", "d/e/f=d/e/f", "d/g=d/g");
    const struct tree_entry *directory = tree_lookup(outputs, "d/e");
    const struct digest blobs[] = { key_of("out"),   key_of("error"),       key_of("a"),
                                    key_of("d/e/f"), *tree_digest(outputs), directory->digest };
    for (size_t i = 0; i <= G_N_ELEMENTS(blobs); i++) {
        g_autoptr(store) store = store_new_memory();
        g_autoptr(store_batch) batch = store_batch_new(store);
        g_autoptr(result) result = result_of(batch, outputs, "out", "error");
        struct digest key = key_of("k");
        cache_record(batch, &key, result);
        g_assert_true(store_batch_commit(batch, NULL));
        if (i < G_N_ELEMENTS(blobs))
            store_drop(store, &blobs[i]);
        g_autofree char *reason = reason_of(store, "k", false);
        g_assert_cmpstr(reason, ==,
                        i < G_N_ELEMENTS(blobs) ? "a stored output is gone or damaged" : NULL);
    }
}

static void a_damaged_record_is_a_miss(void)
{
    g_autoptr(store) store = store_new_memory();
    guint8 name[CACHE_KEY_SIZE];
    struct digest key = key_of("k");
    cache_key(&key, name);
    g_autoptr(GBytes) garbage = g_bytes_new_static("\xff", 1);
    g_assert_true(store_record_put(store, STORE_RESULTS, name, sizeof name, garbage, NULL));
    g_autofree char *reason = reason_of(store, "k", true);
    g_assert_cmpstr(reason, ==, "the stored result is damaged");
}

static void what_is_not_the_whole_truth_is_refused(void)
{
    g_autoptr(result) result = result_new();
    g_assert_null(cache_refusal(result));
    result->exit_code = 1;
    g_assert_null(cache_refusal(result));
    result->uncacheable = g_strdup("it used the network");
    g_assert_cmpstr(cache_refusal(result), ==, "it used the network");
    g_clear_pointer(&result->uncacheable, g_free);
    result->timed_out = true;
    g_assert_nonnull(cache_refusal(result));
}

/* --- eviction --------------------------------------------------------------------------------- */

static void use(struct store *store, const char *name, gint64 time)
{
    struct history_entry entry = { .time = time, .argv = (char *[]){ "x", NULL }, .hit = true };
    entry.key = key_of(name);
    g_assert_true(history_append(store, &entry, NULL));
}

static struct store_gc_result collect(struct store *store, guint64 max_bytes)
{
    struct store_gc_result result = { 0 };
    g_autoptr(GError) error = NULL;
    cache_gc(store, max_bytes, &result, &error);
    g_assert_no_error(error);
    return result;
}

static bool has(struct store *store, const char *text)
{
    struct digest digest = key_of(text);
    return store_has(store, &digest);
}

/* What keeping the result of one output called `name` takes. */
static guint64 size_of_one(const char *name)
{
    g_autoptr(store) store = store_new_memory();
    g_autofree char *line = g_strdup_printf("%s=%s", name, name);
    record(store, "k", tree_of((const char *const[]){ line, NULL }), "", 0, 0);
    return collect(store, G_MAXUINT64).bytes_kept;
}

static void with_room_only_what_nobody_names_goes(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest unnamed;
    put(batch, "an input", &unnamed);
    g_assert_true(store_batch_commit(batch, NULL));
    record(store, "ok", TREE("a/b=a/b"), "out", 0, 1);
    record(store, "failed", TREE("c=c"), "", 1, 2);
    struct store_gc_result result = collect(store, G_MAXUINT64);
    g_assert_cmpuint(result.evicted, ==, 0);
    g_assert_cmpuint(result.blobs_removed, ==, 1);
    g_assert_false(has(store, "an input"));
    assert_hit(store, "ok");
    g_autofree char *reason = reason_of(store, "failed", true);
    g_assert_cmpstr(reason, ==, NULL);
}

static void the_action_of_a_live_result_stays(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest action;
    put(batch, "k", &action); /* the blob that the key names */
    g_assert_true(store_batch_commit(batch, NULL));
    record(store, "k", TREE(), "", 0, 1);
    collect(store, G_MAXUINT64);
    g_assert_true(has(store, "k"));
}

static void the_least_recently_used_result_goes_first(void)
{
    guint64 one = size_of_one("1");
    g_autoptr(store) store = store_new_memory();
    record(store, "a", TREE("1=1"), "", 0, 10);
    record(store, "b", TREE("2=2"), "", 0, 20);
    record(store, "c", TREE("3=3"), "", 0, 30);
    use(store, "b", 100);
    use(store, "a", 200);
    use(store, "b", 300);
    use(store, "a", 400);
    use(store, "elsewhere", 500);
    struct store_gc_result result = collect(store, 2 * one);
    g_assert_cmpuint(result.evicted, ==, 1);
    assert_hit(store, "a");
    assert_hit(store, "b");
    assert_miss(store, "c");
    g_assert_false(has(store, "3"));
    g_assert_cmpuint(collect(store, one).evicted, ==, 1);
    assert_hit(store, "a");
    assert_miss(store, "b");
    g_assert_cmpuint(collect(store, one - 1).evicted, ==, 1);
    assert_miss(store, "a");
    struct store_gc_result nothing = collect(store, 0);
    g_assert_cmpuint(nothing.blobs_kept, ==, 0);
}

static void a_result_made_anew_is_young(void)
{
    guint64 one = size_of_one("1");
    g_autoptr(store) store = store_new_memory();
    record(store, "old", TREE("1=1"), "", 0, 10);
    record(store, "new", TREE("2=2"), "", 0, 500);
    use(store, "old", 400);
    use(store, "new", 100);
    collect(store, one);
    assert_hit(store, "new");
    assert_miss(store, "old");
}

static void what_two_results_share_stays_with_the_one_that_stays(void)
{
    g_autoptr(store) store = store_new_memory();
    record(store, "old", TREE("shared=shared", "old=old"), "output", 0, 1);
    record(store, "new", TREE("shared=shared"), "output", 0, 2);
    struct store_gc_result all = collect(store, G_MAXUINT64);
    collect(store, all.bytes_kept - 1);
    assert_miss(store, "old");
    assert_hit(store, "new");
    g_assert_true(has(store, "shared"));
    g_assert_false(has(store, "old"));
}

static void what_a_user_put_counts_by_its_age(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(tree) tree = TREE("d/a=d/a");
    tree_walk(tree, put_content, batch);
    g_assert_true(store_batch_put_tree(batch, tree, NULL));
    guint8 name[CACHE_KEY_SIZE];
    guint64 time = GUINT64_TO_BE(50);
    g_autoptr(GBytes) value = g_bytes_new(&time, sizeof time);
    cache_key(tree_digest(tree), name);
    store_batch_put_record(batch, STORE_ROOTS, name, sizeof name, value);
    g_assert_true(store_batch_commit(batch, NULL));
    record(store, "older", TREE("1=1"), "", 0, 10);
    struct store_gc_result all = collect(store, G_MAXUINT64);
    g_assert_cmpuint(all.evicted, ==, 0);
    g_assert_true(has(store, "d/a"));
    collect(store, all.bytes_kept - 1);
    assert_miss(store, "older");
    g_assert_true(store_has_tree(store, tree, NULL) && has(store, "d/a"));
    collect(store, 1);
    g_assert_false(has(store, "d/a"));
}

static void keep_to_look_at(struct store *store, struct tree *tree, gint64 time)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    tree_walk(tree, put_content, batch);
    g_assert_true(store_batch_put_tree(batch, tree, NULL));
    cache_record_kept(batch, tree_digest(tree), time);
    g_assert_true(store_batch_commit(batch, NULL));
}

static void what_is_there_to_look_at_goes_before_results(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(tree) old = TREE("first=first");
    g_autoptr(tree) new = TREE("then=then");
    keep_to_look_at(store, old, 100);
    keep_to_look_at(store, new, 200);
    record(store, "older", TREE("1=1", "2=2", "3=3", "4=4", "5=5", "6=6"), "", 0, 1);
    struct store_gc_result all = collect(store, G_MAXUINT64);
    g_assert_true(has(store, "first"));
    collect(store, all.bytes_kept); /* a quarter is enough for one */
    assert_hit(store, "older");
    g_assert_false(has(store, "first"));
    g_assert_true(has(store, "then"));
    collect(store, all.bytes_kept - 150);
    assert_hit(store, "older");
    g_assert_false(has(store, "then"));
}

static void malformed_records_go(void)
{
    g_autoptr(store) store = store_new_memory();
    static const char *const keys[] = { "short", "0123456789012345678901234567890123456789" };
    g_autoptr(GBytes) garbage = g_bytes_new_static("\xff", 1);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_assert_true(
            store_record_put(store, STORE_RESULTS, keys[i], strlen(keys[i]), garbage, NULL));
        g_assert_true(
            store_record_put(store, STORE_ROOTS, keys[i], strlen(keys[i]), garbage, NULL));
    }
    record(store, "k", TREE("a=a"), "", 0, 1);
    g_assert_cmpuint(collect(store, G_MAXUINT64).evicted, ==, 4);
    assert_hit(store, "k");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cache/find/gives-what-was-recorded", what_was_recorded_is_found);
    g_test_add_func("/cache/find/nothing-before-the-commit", nothing_is_found_before_the_commit);
    g_test_add_func("/cache/find/size-belongs-to-the-key", the_size_belongs_to_the_key);
    g_test_add_func("/cache/find/latest-result-counts", the_latest_result_counts);
    g_test_add_func("/cache/find/failure-counts-only-when-asked-for",
                    a_failure_counts_only_when_asked_for);
    g_test_add_func("/cache/find/every-missing-blob-makes-a-miss",
                    every_blob_that_is_gone_makes_a_miss);
    g_test_add_func("/cache/find/damaged-record-is-a-miss", a_damaged_record_is_a_miss);
    g_test_add_func("/cache/refusal/names-what-may-not-be-stored",
                    what_is_not_the_whole_truth_is_refused);
    g_test_add_func("/cache/gc/with-room-only-the-unnamed-goes",
                    with_room_only_what_nobody_names_goes);
    g_test_add_func("/cache/gc/action-of-a-live-result-stays", the_action_of_a_live_result_stays);
    g_test_add_func("/cache/gc/least-recently-used-goes-first",
                    the_least_recently_used_result_goes_first);
    g_test_add_func("/cache/gc/result-made-anew-is-young", a_result_made_anew_is_young);
    g_test_add_func("/cache/gc/shared-blobs-stay",
                    what_two_results_share_stays_with_the_one_that_stays);
    g_test_add_func("/cache/gc/what-a-user-put-counts-by-its-age",
                    what_a_user_put_counts_by_its_age);
    g_test_add_func("/cache/gc/what-is-there-to-look-at-goes-before-results",
                    what_is_there_to_look_at_goes_before_results);
    g_test_add_func("/cache/gc/malformed-records-go", malformed_records_go);
    return g_test_run();
}
