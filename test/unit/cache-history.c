// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
#include "cache/history.h"

static struct history_entry *entry_of(char **argv)
{
    struct history_entry *entry = g_new0(struct history_entry, 1);
    entry->argv = argv;
    digest_of("key", 3, &entry->key);
    digest_of("weak", 4, &entry->weak);
    return entry;
}

static struct history_entry *golden_entry(const char *name)
{
    bool hit = strcmp(name, "hit") == 0, missed = strcmp(name, "missed") == 0;
    bool kept = missed || strcmp(name, "kept") == 0;
    struct history_entry *entry = entry_of(hit    ? STRV("cc", "")
                                           : kept ? STRV("make")
                                                  : STRV("false"));
    entry->time = G_GINT64_CONSTANT(1700000000000000) + !hit;
    entry->workspace = g_strdup(hit ? "/w" : "/\xff");
    entry->hit = hit;
    entry->stored = !hit;
    entry->exit_code = hit ? 0 : 255;
    entry->duration = hit ? 1000 : 7;
    entry->work = hit ? 2000000 : 8;
    entry->reason = hit ? NULL : g_strdup("no earlier run had these inputs");
    if (!kept)
        return entry;
    entry->time++;
    entry->stored = false;
    entry->exit_code = 0;
    g_free(entry->workspace);
    entry->workspace = g_strdup("/w");
    g_free(entry->reason);
    entry->reason = g_strdup("it read a clock");
    digest_of("kept", 4, &entry->kept);
    if (missed)
        entry->miss = g_strdup("in changed");
    return entry;
}

static void assert_same_entry(const struct history_entry *found,
                              const struct history_entry *expected)
{
    g_assert_cmpint(found->time, ==, expected->time);
    g_assert_cmpstr(found->workspace, ==, expected->workspace);
    g_assert_cmpstrv(found->argv, expected->argv);
    assert_digests(&found->key, &expected->key);
    assert_digests(&found->weak, &expected->weak);
    g_assert_cmpint(found->hit, ==, expected->hit);
    g_assert_cmpint(found->stored, ==, expected->stored);
    g_assert_cmpint(found->exit_code, ==, expected->exit_code);
    g_assert_cmpint(found->duration, ==, expected->duration);
    g_assert_cmpint(found->work, ==, expected->work);
    g_assert_cmpstr(found->reason, ==, expected->reason);
    g_assert_cmpstr(found->miss, ==, expected->miss);
    assert_digests(&found->kept, &expected->kept);
}

static void the_encoding_is_the_documented_one(void)
{
    static const char *const names[] = { "hit", "run", "kept", "missed" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(GStrv) expected = golden("history.txt", names[i]);
        g_autoptr(history_entry) entry = golden_entry(names[i]);
        g_autoptr(GBytes) bytes = history_encode(entry);
        g_autofree char *hex = hex_of(bytes);
        g_assert_cmpstr(hex, ==, expected[2]);
        g_autoptr(GError) error = NULL;
        g_autoptr(history_entry) again = history_decode(bytes, &error);
        g_assert_no_error(error);
        assert_same_entry(again, entry);
    }
}

static void decode_damaged(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(history_entry) found = history_decode(bytes, &error);
    if (found == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        return;
    }
    g_assert_nonnull(found->argv[0]);
    g_autoptr(GBytes) encoded = history_encode(found);
    g_autoptr(history_entry) again = history_decode(encoded, NULL);
    g_assert_nonnull(again);
    assert_same_entry(again, found);
}

static void damaged_bytes_are_refused_or_make_sense(void)
{
    g_autoptr(history_entry) entry = golden_entry("run");
    g_autoptr(GBytes) bytes = history_encode(entry);
    damage(bytes, decode_damaged, NULL);
}

static void what_makes_no_sense_is_refused(void)
{
    static const struct {
        const char *what, *bytes;
        gsize size;
    } bad[] = {
        { "nothing", "", 0 },
        { "no argument", "\x08\x01", 2 },
        { "an argument with a NUL",
          "\x1a\x02"
          "a\0",
          4 },
        { "exit code 256",
          "\x1a\x01"
          "a\x40\x80\x02",
          6 },
        { "a digest of no length",
          "\x1a\x01"
          "a\x22\x00",
          5 },
        { "a time before 1970",
          "\x1a\x01"
          "a\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
          14 },
        { "a time as bytes",
          "\x1a\x01"
          "a\x0a\x00",
          5 },
        { "another field",
          "\x1a\x01"
          "a\x60\x01",
          5 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i].bytes, bad[i].size);
        g_autoptr(GError) error = NULL;
        g_test_message("%s", bad[i].what);
        g_assert_null(history_decode(bytes, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
}

struct seen {
    GString *arguments;
    guint stop; /* after so many */
};

static bool note(const struct history_entry *entry, void *user)
{
    struct seen *seen = user;
    g_string_append(seen->arguments, entry->argv[0]);
    return --seen->stop > 0;
}

static char *walk(struct store *store, guint stop)
{
    struct seen seen = { .arguments = g_string_new(NULL), .stop = stop };
    history_each(store, note, &seen);
    return g_string_free(seen.arguments, FALSE);
}

static void append(struct store *store, const char *argument)
{
    g_autoptr(history_entry) entry = entry_of(STRV((char *)argument));
    g_autoptr(GError) error = NULL;
    history_append(store, entry, &error);
    g_assert_no_error(error);
}

static void the_newest_comes_first_and_damage_is_skipped(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(GBytes) garbage = g_bytes_new_static("\xff\xff", 2);
    g_autofree char *none = walk(store, 10);
    g_assert_cmpstr(none, ==, "");
    append(store, "a");
    append(store, "b");
    g_assert_true(store_log_append(store, garbage, NULL));
    append(store, "c");
    g_autofree char *all = walk(store, 10), *two = walk(store, 2);
    g_assert_cmpstr(all, ==, "cba");
    g_assert_cmpstr(two, ==, "cb");
}

static void append_in(struct store *store, const char *workspace, const char *argument)
{
    g_autoptr(history_entry) entry = entry_of(STRV((char *)argument));
    entry->workspace = g_strdup(workspace);
    g_assert_true(history_append(store, entry, NULL));
}

static void runs_are_numbered_per_workspace_from_the_latest(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(GError) error = NULL;
    append_in(store, "/w", "first");
    append_in(store, "/other", "elsewhere");
    append_in(store, "/w", "last");
    g_autoptr(history_entry) latest = history_find(store, "/w", 0, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(latest->argv[0], ==, "last");
    g_autoptr(history_entry) earlier = history_find(store, "/w", 1, &error);
    g_assert_cmpstr(earlier->argv[0], ==, "first");
    g_assert_null(history_find(store, "/w", 2, &error));
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_cmpstr(error->message, ==, "there is no run @2 of /w (it has 2)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/history/encoding/is-the-documented-one", the_encoding_is_the_documented_one);
    g_test_add_func("/history/decode/damaged-bytes-are-refused-or-make-sense",
                    damaged_bytes_are_refused_or_make_sense);
    g_test_add_func("/history/decode/refuses-what-makes-no-sense", what_makes_no_sense_is_refused);
    g_test_add_func("/history/each/newest-first-without-damage",
                    the_newest_comes_first_and_damage_is_skipped);
    g_test_add_func("/history/find/numbered-per-workspace-from-the-latest",
                    runs_are_numbered_per_workspace_from_the_latest);
    return g_test_run();
}
