// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
#include "trace-support.h"

static void the_clock_is_kept_in_the_store(void)
{
    struct digest a = small_digest(1), b = small_digest(2);
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(trace_clock) first = trace_clock_new(store);
    g_assert_cmpint(trace_clock_time(first, "/w/f", &a, 5, 8), ==, 5);
    g_assert_cmpint(trace_clock_time(first, "/w/f", &a, 9, 9), ==, 5);
    g_assert_cmpint(trace_clock_time(first, "/w/\xff", &b, -7, -7), ==, -7);
    trace_clock_set(first, "/g", &a, 11);
    trace_clock_flush(first, batch);
    g_assert_true(store_batch_commit(batch, NULL));
    g_autoptr(trace_clock) second = trace_clock_new(store);
    g_assert_cmpint(trace_clock_time(second, "/w/f", &a, 9, 9), ==, 5);
    g_assert_cmpint(trace_clock_time(second, "/w/\xff", &b, 9, 9), ==, -7);
    g_assert_cmpint(trace_clock_time(second, "/g", &a, 9, 9), ==, 11);
    g_assert_cmpint(trace_clock_time(second, "/g", &b, 10, 12), ==, 12);
    g_assert_cmpint(trace_clock_time(second, "/w/x", &b, 13, 13), ==, 13);
}

static void records_of_the_clock_are_the_documented_ones(void)
{
    struct digest text, x, folder;
    digest_of("text", 4, &text);
    digest_of("x", 1, &x);
    g_autoptr(store) store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(trace_clock) clock = trace_clock_new(store);
    trace_clock_set(clock, "/w/b", digest_empty(), 0);
    trace_clock_set(clock, "/w/\xff", &x, -7);
    trace_clock_set(clock, "/w/a", &text, 1700000000123456789);
    trace_clock_flush(clock, batch);
    g_assert_true(store_batch_commit(batch, NULL));
    guint8 key[1 + DIGEST_HASH_SIZE] = "c";
    digest_of("/w", 2, &folder);
    memcpy(key + 1, folder.hash, DIGEST_HASH_SIZE);
    g_autoptr(GBytes) record = store_record_get(store, STORE_STAT, key, sizeof key);
    g_assert_nonnull(record);
    g_auto(GStrv) expected = golden("clock.txt", "folder");
    g_autofree char *hex = hex_of(record);
    g_assert_cmpstr(hex, ==, expected[2]);
}

static void *ask_for_times(void *clock)
{
    for (guint i = 0; i < 2000; i++) {
        g_autofree char *path = g_strdup_printf("/w/%u/%u", i % 7, i % 50);
        struct digest content = small_digest(i % 50);
        g_assert_cmpint(trace_clock_time(clock, path, &content, i % 50, i % 50), ==, i % 50);
    }
    return NULL;
}

static void many_threads_may_ask(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(trace_clock) clock = trace_clock_new(store);
    GThread *threads[4];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("times", ask_for_times, clock);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/clock/the-clock-is-kept-in-the-store", the_clock_is_kept_in_the_store);
    g_test_add_func("/trace/clock/records-of-the-clock-are-the-documented-ones",
                    records_of_the_clock_are_the_documented_ones);
    g_test_add_func("/trace/clock/many-threads-may-ask", many_threads_may_ask);
    return g_test_run();
}
