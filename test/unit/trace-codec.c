// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "trace-support.h"

#define ROUNDS 400

static void assert_same_process(const struct trace_process *a, const struct trace_process *b)
{
    g_assert_cmpuint(a->pid, ==, b->pid);
    g_assert_cmpuint(a->start, ==, b->start);
    g_assert_cmpuint(a->parent, ==, b->parent);
    g_assert_cmpstrv(a->argv, b->argv);
    g_assert_cmpstrv(a->environment, b->environment);
    g_assert_cmpstr(a->directory, ==, b->directory);
    g_assert_cmpstr(a->program, ==, b->program);
}

/* What the kind of a path gives no sense to is not kept. */
static void assert_same_fact(const struct trace_fact *a, const struct trace_fact *b)
{
    bool file = a->value.kind == TRACE_FILE, directory = a->value.kind == TRACE_DIRECTORY;
    g_assert_cmpstr(a->path, ==, b->path);
    g_assert_cmpuint(a->aspects, ==, b->aspects);
    g_assert_true(a->unstable == b->unstable);
    g_assert_cmpmem(a->asked, sizeof a->asked, b->asked, sizeof b->asked);
    g_assert_cmpuint(a->value.kind, ==, b->value.kind);
    if ((file && (a->aspects & TRACE_CONTENT) != 0) ||
        (directory && (a->aspects & TRACE_NAMES) != 0)) {
        g_assert_true(a->value.unreadable == b->value.unreadable);
        g_assert_true(a->value.unreadable || digest_equal(&a->value.digest, &b->value.digest));
        g_assert_cmpuint(a->value.mode, ==, b->value.mode);
    }
    if (a->value.kind == TRACE_LINK && (a->aspects & TRACE_TARGET) != 0)
        g_assert_cmpstr(a->value.target, ==, b->value.target);
    if (a->value.kind != TRACE_NOTHING && a->value.kind != TRACE_UNREACHABLE)
        g_assert_cmpint(a->value.time, ==, b->value.time);
}

static void assert_same_trace(const struct trace *a, const struct trace *b)
{
    g_autofree char *left = trace_refusal(a), *right = trace_refusal(b);
    g_assert_cmpstr(left, ==, right);
    g_assert_cmpuint(trace_process_count(a), ==, trace_process_count(b));
    for (guint32 i = 1; i <= trace_process_count(a); i++)
        assert_same_process(trace_process(a, i), trace_process(b, i));
    g_assert_cmpuint(trace_fact_count(a), ==, trace_fact_count(b));
    for (size_t i = 0; i < trace_fact_count(a); i++)
        assert_same_fact(trace_fact(a, i), trace_fact(b, i));
    g_assert_cmpuint(trace_written_count(a), ==, trace_written_count(b));
    for (size_t i = 0; i < trace_written_count(a); i++) {
        const struct trace_written *x = trace_written(a, i), *y = trace_written(b, i);
        g_assert_cmpstr(x->path, ==, y->path);
        g_assert_cmpuint(x->process, ==, y->process);
        g_assert_cmpuint(x->what, ==, y->what);
    }
}

static void decoding_a_trace_undoes_encoding(void)
{
    for (guint seed = 0; seed < ROUNDS; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autoptr(GError) error = NULL;
        g_autoptr(trace) trace = random_trace(random);
        g_autoptr(GBytes) bytes = trace_encode(trace);
        g_test_message("seed %u", seed);
        g_autoptr(trace) decoded = trace_decode(bytes, &error);
        g_assert_no_error(error);
        assert_same_trace(trace, decoded);
        g_autoptr(GBytes) again = trace_encode(decoded);
        g_assert_true(g_bytes_equal(bytes, again));
    }
}

static void decoding_a_path_set_undoes_encoding(void)
{
    for (guint seed = 0; seed < ROUNDS; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autoptr(GError) error = NULL;
        g_autoptr(trace) trace = random_trace(random);
        g_autoptr(path_set) set = path_set_of(trace);
        g_autoptr(GBytes) bytes = path_set_encode(set);
        g_autoptr(path_set) decoded = path_set_decode(bytes, &error);
        g_assert_no_error(error);
        g_assert_true(digest_equal(path_set_digest(set), path_set_digest(decoded)));
        g_assert_cmpuint(path_set_count(decoded), ==, trace_fact_count(trace));
        for (size_t i = 0; i < path_set_count(set); i++) {
            unsigned aspects = trace_fact(trace, i)->aspects & ~(unsigned)TRACE_ABSENT;
            g_assert_cmpstr(path_set_at(decoded, i)->path, ==, trace_fact(trace, i)->path);
            g_assert_cmpuint(path_set_at(decoded, i)->aspects, ==, aspects | TRACE_KIND);
        }
    }
}

static void a_path_set_does_not_say_what_was_there(void)
{
    g_autoptr(recorder) before = recorder_new("/w");
    g_autoptr(recorder) after = recorder_new("/w");
    note_absent(before, "/w/a", 0);
    note_kind(after, "/w/a", 0, TRACE_FILE);
    g_autoptr(trace) absent = sealed(before);
    g_autoptr(trace) present = sealed(after);
    g_autoptr(path_set) one = path_set_of(absent);
    g_autoptr(path_set) two = path_set_of(present);
    g_assert_true(digest_equal(path_set_digest(one), path_set_digest(two)));
}

static void paths_that_repeat_prefixes_are_short(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    for (guint i = 0; i < 1000; i++) {
        g_autofree char *path =
            g_strdup_printf("/w/a/long/directory/that/all/of/them/share/f%03u", i);
        note_kind(recorder, path, 0, TRACE_FILE);
    }
    g_autoptr(trace) trace = sealed(recorder);
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GBytes) bytes = path_set_encode(set);
    g_assert_cmpuint(g_bytes_get_size(bytes), <, 1000 * 10);
}

/* --- what is malformed ------------------------------------------------------------------------ */

typedef void *(*decoder)(GBytes *bytes, GError **error);

static bool refuses(decoder decode, GBytes *bytes, GDestroyNotify free)
{
    g_autoptr(GError) error = NULL;
    void *made = decode(bytes, &error);
    if (made == NULL)
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    else
        free(made);
    return made == NULL;
}

/* Every cut is refused, unless it falls between two fields. No flipped bit does harm. */
static void damaged_bytes_are_refused_or_another_value(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    g_autoptr(trace) trace = random_trace(random);
    g_autoptr(path_set) set = path_set_of(trace);
    GBytes *all[] = { trace_encode(trace), path_set_encode(set) };
    const decoder decoders[] = { (decoder)trace_decode, (decoder)path_set_decode };
    const GDestroyNotify frees[] = { (GDestroyNotify)trace_unref, (GDestroyNotify)path_set_unref };
    for (guint kind = 0; kind < G_N_ELEMENTS(all); kind++) {
        gsize size;
        guint refused = 0;
        const guint8 *data = g_bytes_get_data(all[kind], &size);
        for (gsize i = 0; i < size; i++) {
            g_autoptr(GBytes) cut = g_bytes_new(data, i);
            refused += refuses(decoders[kind], cut, frees[kind]);
            for (guint bit = 0; bit < 8; bit++) {
                guint8 *flipped = g_memdup2(data, size);
                flipped[i] ^= (guint8)(1u << bit);
                g_autoptr(GBytes) bytes = g_bytes_new_take(flipped, size);
                refuses(decoders[kind], bytes, frees[kind]);
            }
        }
        g_assert_cmpuint(refused, >, size / 2);
        g_bytes_unref(all[kind]);
    }
}

static GBytes *unhex(const char *text)
{
    size_t size = strlen(text) / 2;
    guint8 *bytes = g_malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (guint8)(g_ascii_xdigit_value(text[2 * i]) << 4 |
                            g_ascii_xdigit_value(text[2 * i + 1]));
    return g_bytes_new_take(bytes, size);
}

static void malformed_path_sets_are_refused(void)
{
    static const char *const good[] = {
        "",
        "0a0312"
        "0161", /* a */
        "0a0212"
        "00", /* the root */
        "0a031201"
        "61"
        "0a06"
        "0801"
        "1202"
        "2f62", /* a, a/b */
        "0a051201"
        "61"
        "1804", /* a, content */
    };
    static const char *const bad[] = {
        "0a00", /* no path */
        "0a051201"
        "61"
        "1802", /* KIND is not written */
        "0a051201"
        "61"
        "1840", /* unknown aspect */
        "0a031201"
        "61"
        "0a031201"
        "61", /* twice */
        "0a031201"
        "62"
        "0a031201"
        "61", /* descending */
        "0a031201"
        "61"
        "0a05"
        "1203"
        "612f62", /* more is shared than it says */
        "0a031201"
        "61"
        "0a06"
        "0802"
        "1202"
        "2f62", /* shares more than there is */
        "0a04"
        "12022e"
        "2e", /* .. */
        "0a04"
        "12022f"
        "2f", /* // */
        "0a04"
        "120261"
        "2f", /* a/ */
        "0a04"
        "120261"
        "00", /* a NUL */
        "1203"
        "1201"
        "61", /* unknown field */
        "0a05"
        "0800"
        "1201"
        "61", /* a zero that is written */
        "0a05"
        "1201"
        "61"
        "2001", /* unknown field inside */
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GBytes) bytes = unhex(good[i]);
        g_assert_false(refuses((decoder)path_set_decode, bytes, (GDestroyNotify)path_set_unref));
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = unhex(bad[i]);
        g_test_message("%s", bad[i]);
        g_assert_true(refuses((decoder)path_set_decode, bytes, (GDestroyNotify)path_set_unref));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/codec/decoding-a-trace-undoes-encoding",
                    decoding_a_trace_undoes_encoding);
    g_test_add_func("/trace/codec/decoding-a-path-set-undoes-encoding",
                    decoding_a_path_set_undoes_encoding);
    g_test_add_func("/trace/codec/a-path-set-does-not-say-what-was-there",
                    a_path_set_does_not_say_what_was_there);
    g_test_add_func("/trace/codec/paths-that-repeat-prefixes-are-short",
                    paths_that_repeat_prefixes_are_short);
    g_test_add_func("/trace/codec/damaged-bytes-are-refused-or-another-value",
                    damaged_bytes_are_refused_or_another_value);
    g_test_add_func("/trace/codec/malformed-path-sets-are-refused",
                    malformed_path_sets_are_refused);
    return g_test_run();
}
