// SPDX-License-Identifier: Apache-2.0
#include "trace-support.h"

/* --- single facts ----------------------------------------------------------------------------- */

static struct trace_state *small_state(void)
{
    struct trace_state *state = trace_memory_state_new();
    put_file(state, "f", "content", 100);
    put_file(state, "g", "other", 200);
    put_directory(state, "d");
    put_file(state, "d/x", "x", 300);
    put_link(state, "l", "f");
    return state;
}

typedef void (*change)(struct trace_state *state);

static void edit_f(struct trace_state *state)
{
    put_file(state, "f", "edited", 100);
}

static void chmod_f(struct trace_state *state)
{
    struct trace_value value = { .kind = TRACE_FILE, .mode = 0755, .time = 100 };
    digest_of("content", 7, &value.digest);
    trace_memory_state_put(state, "f", &value);
}

static void lock_f(struct trace_state *state)
{
    const struct trace_value value = {
        .kind = TRACE_FILE, .mode = 0644, .unreadable = true, .time = 100
    };
    trace_memory_state_put(state, "f", &value);
}

static void tag_f(struct trace_state *state)
{
    struct trace_value value = {
        .kind = TRACE_FILE, .mode = 0644, .time = 100, .xattrs = SOME_XATTRS
    };
    digest_of("content", 7, &value.digest);
    trace_memory_state_put(state, "f", &value);
}

static void tag_d(struct trace_state *state)
{
    const struct trace_value value = { .kind = TRACE_DIRECTORY,
                                       .mode = 0755,
                                       .xattrs = OTHER_XATTRS };
    trace_memory_state_put(state, "d", &value);
}

static void hide_f(struct trace_state *state)
{
    const struct trace_value value = { .kind = TRACE_UNREACHABLE };
    trace_memory_state_put(state, "f", &value);
}

static void remove_f(struct trace_state *state)
{
    put_nothing(state, "f");
}

static void touch_f(struct trace_state *state)
{
    put_file(state, "f", "content", 150);
}

static void touch_f_later(struct trace_state *state)
{
    put_file(state, "f", "content", 250);
}

static void f_becomes_a_link(struct trace_state *state)
{
    put_link(state, "f", "g");
}

static void retarget_l(struct trace_state *state)
{
    put_link(state, "l", "g");
}

static void add_to_d(struct trace_state *state)
{
    put_file(state, "d/y", "y", 1);
}

static void edit_in_d(struct trace_state *state)
{
    put_file(state, "d/x", "edited", 1);
}

static void add_below_d(struct trace_state *state)
{
    put_directory(state, "d/e");
}

static void make_h(struct trace_state *state)
{
    put_file(state, "h", "h", 1);
}

static void nothing_but_what_was_asked_changes_the_values(void)
{
    static const struct {
        const char *path;
        unsigned aspects;
        change change;
        bool differs;
    } rows[] = {
        { "f", TRACE_KIND, edit_f, false },          { "f", TRACE_KIND, remove_f, true },
        { "f", TRACE_KIND, f_becomes_a_link, true }, { "f", TRACE_CONTENT, edit_f, true },
        { "f", TRACE_CONTENT, chmod_f, true },       { "f", TRACE_KIND, chmod_f, false },
        { "f", TRACE_CONTENT, lock_f, true },        { "f", TRACE_CONTENT, hide_f, true },
        { "f", TRACE_KIND, hide_f, true },           { "f", TRACE_CONTENT, touch_f, false },
        { "f", TRACE_CONTENT, add_to_d, false },     { "h", TRACE_ABSENT, make_h, true },
        { "h", TRACE_ABSENT, edit_f, false },        { "l", TRACE_TARGET, retarget_l, true },
        { "l", TRACE_KIND, retarget_l, false },      { "d", TRACE_NAMES, add_to_d, true },
        { "d", TRACE_NAMES, add_below_d, true },     { "d", TRACE_NAMES, edit_in_d, false },
        { "d", TRACE_KIND, add_to_d, false },        { "", TRACE_NAMES, make_h, true },
        { "f", TRACE_CONTENT, tag_f, false },        { "f", TRACE_XATTRS, tag_f, true },
        { "f", TRACE_XATTRS, edit_f, false },        { "d", TRACE_XATTRS, tag_d, true },
        { "l", TRACE_XATTRS, retarget_l, false },    { "d", TRACE_NAMES, tag_d, false },
        { "", TRACE_NAMES, add_to_d, false },        { "", TRACE_NAMES, f_becomes_a_link, true },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(trace_state) state = small_state();
        g_autoptr(recorder) recorder = recorder_new("/w");
        note_from(recorder, state, rows[i].path, rows[i].aspects);
        g_autoptr(trace) trace = sealed(recorder);
        g_autoptr(path_set) set = path_set_of(trace);
        g_autoptr(GByteArray) recorded = g_byte_array_new();
        trace_values(trace, recorded);
        g_autoptr(GByteArray) before = evaluated(set, state);
        g_assert_true(same_bytes(recorded, before));
        rows[i].change(state);
        g_autoptr(GByteArray) after = evaluated(set, state);
        g_test_message("row %u", i);
        g_assert_true(same_bytes(before, after) != rows[i].differs);
    }
}

static void only_the_order_of_times_is_a_value(void)
{
    g_autoptr(trace_state) state = small_state();
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_from(recorder, state, "f", TRACE_TIME);
    note_from(recorder, state, "g", TRACE_TIME);
    g_autoptr(trace) trace = sealed(recorder);
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GByteArray) before = evaluated(set, state);
    touch_f(state);
    g_autoptr(GByteArray) older_still = evaluated(set, state);
    g_assert_true(same_bytes(before, older_still));
    touch_f_later(state);
    g_autoptr(GByteArray) newer = evaluated(set, state);
    g_assert_false(same_bytes(before, newer));
    put_file(state, "f", "content", 200);
    g_autoptr(GByteArray) equal = evaluated(set, state);
    g_assert_false(same_bytes(before, equal));
    g_assert_false(same_bytes(newer, equal));
    remove_f(state);
    g_autoptr(GByteArray) absent = evaluated(set, state);
    g_assert_false(same_bytes(before, absent));
}

/* --- random states ---------------------------------------------------------------------------- */

/* A new recording asks the same as long as the answers are the same, and so is recognised. */
static bool check_against_recording(const struct trace *first, struct trace_state *state,
                                    const GArray *asked)
{
    g_autoptr(path_set) set = path_set_of(first);
    g_autoptr(trace) again = record_from(state, asked);
    g_autoptr(path_set) same_set = path_set_of(again);
    g_autoptr(GByteArray) now = evaluated(set, state), old = g_byte_array_new();
    g_autoptr(GByteArray) recorded = g_byte_array_new();
    trace_values(again, recorded);
    trace_values(first, old);
    bool same_paths = digest_equal(path_set_digest(set), path_set_digest(same_set));
    bool hit = same_bytes(now, old);
    g_assert_true(!same_paths || same_bytes(now, recorded));
    g_assert_true(!hit || same_paths);
    return hit;
}

static void a_path_set_gives_what_a_recording_would(void)
{
    guint hits = 0, misses = 0;
    for (guint seed = 0; seed < 2000; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autoptr(trace_state) state = trace_memory_state_new();
        for (guint i = 0; i < 30; i++)
            put_at_random(state, random);
        GArray *asked = ask_at_random(random);
        g_autoptr(trace) trace = record_from(state, asked);
        assert_refusal(trace, NULL);
        for (guint step = 0; step < 4; step++) {
            bool hit = check_against_recording(trace, state, asked);
            g_assert_true(hit || step > 0);
            *(hit ? &hits : &misses) += 1;
            put_at_random(state, random);
        }
        free_asked(asked);
    }
    g_assert_cmpuint(hits, >, 3000); /* step 0 alone gives 2000 */
    g_assert_cmpuint(misses, >, 1000);
}

static void a_strong_key_covers_all_three(void)
{
    struct digest a = small_digest(1), b = small_digest(2), key, other;
    g_autoptr(GByteArray) values = g_byte_array_new();
    trace_strong_key(&a, &a, values, &key);
    trace_strong_key(&b, &a, values, &other);
    g_assert_false(digest_equal(&key, &other));
    trace_strong_key(&a, &b, values, &other);
    g_assert_false(digest_equal(&key, &other));
    g_byte_array_append(values, (const guint8 *)"", 1);
    trace_strong_key(&a, &a, values, &other);
    g_assert_false(digest_equal(&key, &other));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/evaluate/nothing-but-what-was-asked-changes-the-values",
                    nothing_but_what_was_asked_changes_the_values);
    g_test_add_func("/trace/evaluate/only-the-order-of-times-is-a-value",
                    only_the_order_of_times_is_a_value);
    g_test_add_func("/trace/evaluate/a-path-set-gives-what-a-recording-would",
                    a_path_set_gives_what_a_recording_would);
    g_test_add_func("/trace/evaluate/a-strong-key-covers-all-three", a_strong_key_covers_all_three);
    return g_test_run();
}
