// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "trace-support.h"

static void print(const struct trace_difference *difference, void *user)
{
    GString *out = user;
    const char *path = *difference->path == '\0' ? "." : difference->path;
    g_string_append_printf(out, "%s %s", trace_aspect_name(difference->aspect), path);
    if (difference->aspect == TRACE_KIND)
        g_string_append_printf(out, " %s->%s", trace_kind_name(difference->old->kind),
                               trace_kind_name(difference->now->kind));
    if (difference->other != NULL)
        g_string_append_printf(out, " %s", difference->other);
    g_string_append_c(out, '\n');
}

static struct trace *record_all(struct trace_state *state)
{
    static const char *const paths[] = { "", "a", "b", "c", "d", "l" };
    g_autoptr(recorder) recorder = recorder_new("/w");
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
        note_from(recorder, state, paths[i],
                  TRACE_CONTENT | TRACE_NAMES | TRACE_TARGET | TRACE_TIME | TRACE_XATTRS);
    return sealed(recorder);
}

static GBytes *values_of(const struct trace *trace)
{
    GByteArray *values = g_byte_array_new();
    trace_values(trace, values);
    return g_byte_array_free_to_bytes(values);
}

/* Both ways to ask say the same, of a trace that asked the same again. */
static char *explained(const struct trace *trace, struct trace_state *state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GBytes) values = values_of(trace);
    g_autoptr(GString) compared = g_string_new(NULL);
    g_autoptr(trace) again = record_all(state);
    GString *out = g_string_new(NULL);
    g_assert_true(path_set_explain(set, values, state, print, out, &error));
    g_assert_no_error(error);
    trace_compare(trace, again, print, compared);
    g_assert_cmpstr(out->str, ==, compared->str);
    return g_string_free(out, FALSE);
}

static struct trace_state *first_state(void)
{
    struct trace_state *state = trace_memory_state_new();
    put_file(state, "a", "1", 10);
    put_file(state, "b", "2", 20);
    put_file(state, "c", "3", 20);
    put_link(state, "l", "a");
    return state;
}

static void each_difference_is_named(void)
{
    g_autoptr(trace_state) state = first_state();
    g_autoptr(trace) trace = record_all(state);
    g_autofree char *same = explained(trace, state);
    g_assert_cmpstr(same, ==, "");
    put_file(state, "a", "edited", 10);
    put_nothing(state, "b");
    put_directory(state, "d");
    put_link(state, "l", "c");
    g_autofree char *text = explained(trace, state);
    g_assert_cmpstr(text, ==,
                    "names .\ncontent a\nkind b file->nothing\nkind d nothing->directory\n"
                    "target l\n");
}

static void other_attributes_are_named(void)
{
    g_autoptr(trace_state) state = first_state();
    struct trace_value tagged = { .kind = TRACE_FILE, .mode = 0644, .time = 10 };
    digest_of("1", 1, &tagged.digest);
    tagged.xattrs = SOME_XATTRS;
    trace_memory_state_put(state, "a", &tagged);
    g_autoptr(trace) trace = record_all(state);
    g_autofree char *same = explained(trace, state);
    g_assert_cmpstr(same, ==, "");
    tagged.xattrs = OTHER_XATTRS;
    trace_memory_state_put(state, "a", &tagged);
    g_autofree char *other = explained(trace, state);
    g_assert_cmpstr(other, ==, "xattrs a\n");
    put_file(state, "a", "1", 10);
    g_autofree char *none = explained(trace, state);
    g_assert_cmpstr(none, ==, "xattrs a\n");
}

static void only_neighbours_whose_order_changed_are_named(void)
{
    g_autoptr(trace_state) state = first_state();
    g_autoptr(trace) trace = record_all(state);
    put_file(state, "a", "1", 15); /* still the oldest of the three */
    g_autofree char *same = explained(trace, state);
    g_assert_cmpstr(same, ==, "");
    put_file(state, "a", "1", 30);
    g_autofree char *touched = explained(trace, state);
    g_assert_cmpstr(touched, ==, "time a b\n");
    put_file(state, "a", "1", 15);
    put_file(state, "c", "3", 21);
    g_autofree char *apart = explained(trace, state);
    g_assert_cmpstr(apart, ==, "time b c\n");
}

static void count_difference(const struct trace_difference *difference, void *user)
{
    (*(guint *)user)++;
}

static void there_is_a_difference_exactly_if_the_values_differ(void)
{
    guint same = 0, different = 0;
    for (guint seed = 0; seed < 1500; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autoptr(trace_state) state = trace_memory_state_new();
        for (guint i = 0; i < 30; i++)
            put_at_random(state, random);
        GArray *asked = ask_at_random(random);
        g_autoptr(trace) trace = record_from(state, asked);
        g_autoptr(path_set) set = path_set_of(trace);
        g_autoptr(GBytes) old = values_of(trace);
        for (guint step = 0; step < 4; step++) {
            g_autoptr(GByteArray) now = evaluated(set, state);
            guint count = 0;
            g_test_message("seed %u, step %u", seed, step);
            g_assert_true(path_set_explain(set, old, state, count_difference, &count, NULL));
            g_autoptr(GBytes) bytes = g_bytes_new(now->data, now->len);
            g_assert_true((count == 0) == g_bytes_equal(old, bytes));
            *(count == 0 ? &same : &different) += 1;
            put_at_random(state, random);
        }
        free_asked(asked);
    }
    g_assert_cmpuint(same, >, 2000);
    g_assert_cmpuint(different, >, 500);
}

static void values_of_another_path_set_are_refused(void)
{
    g_autoptr(trace_state) state = first_state();
    g_autoptr(trace) trace = record_all(state);
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GBytes) values = values_of(trace);
    guint count = 0;
    for (gsize size = 0; size < g_bytes_get_size(values); size++) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(values, 0, size);
        g_autoptr(GError) error = NULL;
        g_assert_false(path_set_explain(set, cut, state, count_difference, &count, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
    g_assert_cmpuint(count, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/explain/each-difference-is-named", each_difference_is_named);
    g_test_add_func("/trace/explain/other-attributes-are-named", other_attributes_are_named);
    g_test_add_func("/trace/explain/only-neighbours-whose-order-changed-are-named",
                    only_neighbours_whose_order_changed_are_named);
    g_test_add_func("/trace/explain/there-is-a-difference-exactly-if-the-values-differ",
                    there_is_a_difference_exactly_if_the_values_differ);
    g_test_add_func("/trace/explain/values-of-another-path-set-are-refused",
                    values_of_another_path_set_are_refused);
    return g_test_run();
}
