// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
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
    if ((file || directory) && (a->aspects & TRACE_XATTRS) != 0)
        g_assert_cmpstr(a->value.xattrs, ==, b->value.xattrs);
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

/* --- golden bytes ----------------------------------------------------------------------------- */

static char *golden_xattrs(void)
{
    g_autoptr(GHashTable) attributes =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_bytes_unref);
    g_hash_table_insert(attributes, (char *)"user.b", g_bytes_new("\0\xff", 2));
    g_hash_table_insert(attributes, (char *)"user.a", g_bytes_new("", 0));
    return trace_xattrs_hash(attributes);
}

static void note_golden(struct recorder *recorder)
{
    struct trace_name names[] = { { "d", TRACE_DIRECTORY }, { "a.c", TRACE_FILE } };
    struct digest listing, content;
    trace_names_digest(names, 2, &listing);
    digest_of("int main;", 9, &content);
    const struct sight root = { .kind = TRACE_DIRECTORY, .mode = 0755, .digest = &listing };
    const struct sight source = {
        .kind = TRACE_FILE, .mode = S_IFREG | 0644, .digest = &content, .time = 5
    };
    const struct sight locked = { .kind = TRACE_FILE };
    const struct sight fifo = { .kind = TRACE_FIFO, .mode = S_IFIFO | 0600 };
    recorder_note(recorder, "/w", TRACE_NAMES, 1, &root);
    recorder_note(recorder, "/w/a.c", TRACE_TIME, 1, &source);
    recorder_note(recorder, "/w/a.c", TRACE_CONTENT, 2, &source);
    recorder_note(recorder, "/w/d-e/\xff", TRACE_CONTENT, 2, &locked);
    recorder_note(recorder, "/w/d/p", TRACE_CONTENT, 2, &fifo);
    g_autofree char *xattrs = golden_xattrs();
    note_kind(recorder, "/w/e", 2, TRACE_FILE);
    note_xattrs(recorder, "/w/e", 1, TRACE_FILE, xattrs);
    note_xattrs(recorder, "/w/g", 1, TRACE_DIRECTORY, NULL);
    note_absent(recorder, "/w/a.o", 1);
    note_kind(recorder, "/w/d", 1, TRACE_DIRECTORY);
    note_link(recorder, "/w/d/l", 2, "../x");
    note_time(recorder, "/etc/t", 1, 9);
    note_kind(recorder, "/x", 1, TRACE_FILE);
    note_kind(recorder, "/x", 1, TRACE_DIRECTORY);
    recorder_write(recorder, "/w/a.o", 2, TRACE_CREATED | TRACE_WROTE);
    recorder_write(recorder, "/w/d/gone", 1, TRACE_REMOVED);
    recorder_uncacheable(recorder, "it used the network");
}

static struct trace *golden_trace(const char *name)
{
    char *make[] = { "make", NULL }, *cc[] = { "cc", "-c", "a.c", NULL };
    char *environment[] = { "A=1", "B=\xff", NULL };
    const struct trace_process processes[] = {
        { 10, 99, 0, make, environment, "/w", "/usr/bin/make" },
        { 11, 100, 1, cc, environment, "/w", "/usr/bin/cc" },
    };
    g_autoptr(recorder) recorder = recorder_new("/w");
    if (strcmp(name, "full") == 0) {
        recorder_process(recorder, &processes[0]);
        recorder_process(recorder, &processes[1]);
        note_golden(recorder);
    }
    return sealed(recorder);
}

static void assert_golden(const char *file, const char *name, GBytes *bytes)
{
    g_auto(GStrv) expected = golden(file, name);
    g_autofree char *hex = hex_of(bytes);
    g_assert_cmpstr(hex, ==, expected[2]);
}

static void the_encoding_is_the_documented_one(void)
{
    static const char *const names[] = { "empty", "full" };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(trace) trace = golden_trace(names[i]);
        g_autoptr(path_set) set = path_set_of(trace);
        g_autoptr(GBytes) bytes = trace_encode(trace), paths = path_set_encode(set);
        assert_golden("trace.txt", names[i], bytes);
        assert_golden("path-set.txt", names[i], paths);
    }
}

static void values_and_strong_keys_are_the_documented_ones(void)
{
    g_autoptr(trace) trace = golden_trace("full");
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GByteArray) values = g_byte_array_new();
    struct digest weak, key;
    digest_of("weak", 4, &weak);
    trace_values(trace, values);
    trace_strong_key(&weak, path_set_digest(set), values, &key);
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&values));
    assert_golden("path-set.txt", "values", bytes);
    g_auto(GStrv) expected = golden("path-set.txt", "strong");
    char text[DIGEST_TEXT_SIZE];
    g_assert_cmpstr(digest_print(&key, text), ==, expected[1]);
}

#define HASH_OF_NO_DIGITS "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void only_the_hash_of_attributes_is_taken_for_it(void)
{
    static const struct {
        const char *xattrs;
        bool taken;
    } rows[] = {
        { SOME_XATTRS, true },        { NULL, true },
        { SOME_XATTRS "0", false },   { SOME_XATTRS + 1, false },
        { HASH_OF_NO_DIGITS, false },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(recorder) recorder = recorder_new("/w");
        note_xattrs(recorder, "/w/a", 0, TRACE_FILE, rows[i].xattrs);
        g_autoptr(trace) trace = sealed(recorder);
        g_autoptr(GBytes) bytes = trace_encode(trace);
        g_autoptr(GError) error = NULL;
        g_autoptr(trace) decoded = trace_decode(bytes, &error);
        g_assert_true((decoded != NULL) == rows[i].taken);
    }
}

/* --- what is malformed ------------------------------------------------------------------------ */

static void decode_trace(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(trace) trace = trace_decode(bytes, &error);
    guint *refused = user;
    if (trace == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        (*refused)++;
        return;
    }
    g_autoptr(GBytes) encoded = trace_encode(trace);
    g_autoptr(trace) again = trace_decode(encoded, &error);
    g_assert_no_error(error);
    assert_same_trace(trace, again);
}

/* Path sets are canonical: what is taken is what would be written. */
static void decode_path_set(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(path_set) set = path_set_decode(bytes, &error);
    guint *refused = user;
    if (set == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        (*refused)++;
        return;
    }
    for (size_t i = 1; i < path_set_count(set); i++)
        g_assert_cmpint(
            trace_compare_paths(path_set_at(set, i - 1)->path, path_set_at(set, i)->path), <, 0);
}

static void damaged_bytes_are_refused_or_make_sense(void)
{
    guint refused = 0;
    g_autoptr(trace) trace = golden_trace("full");
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GBytes) bytes = trace_encode(trace), paths = path_set_encode(set);
    damage(bytes, decode_trace, &refused);
    g_assert_cmpuint(refused, >, g_bytes_get_size(bytes));
    refused = 0;
    damage(paths, decode_path_set, &refused);
    g_assert_cmpuint(refused, >, g_bytes_get_size(paths));
}

static bool is_refused(const char *hex)
{
    size_t size = strlen(hex) / 2;
    g_autofree guint8 *data = g_malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] =
            (guint8)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(path_set) set = path_set_decode(bytes, &error);
    g_assert_true((set == NULL) == g_error_matches(error, FAULT, FAULT_CORRUPT));
    return set == NULL;
}

static void malformed_path_sets_are_refused(void)
{
    static const char *const good[] = {
        "",
        "0a03120161",                 /* a */
        "0a021200",                   /* the root */
        "0a031201610a06080112022f62", /* a, a/b */
        "0a051201611804",             /* a, content */
        "0a051201611840",             /* a, extended attributes */
    };
    static const char *const bad[] = {
        "0a00",                       /* no path */
        "0a051201611802",             /* KIND is not written */
        "0a06120161188001",           /* unknown aspect */
        "0a031201610a03120161",       /* twice */
        "0a031201620a03120161",       /* descending */
        "0a031201610a051203612f62",   /* more is shared than it says */
        "0a031201610a06080212022f62", /* shares more than there is */
        "0a0412022e2e",               /* .. */
        "0a0412022f2f",               /* // */
        "0a041202612f",               /* a/ */
        "0a0412026100",               /* a NUL */
        "1203120161",                 /* unknown field */
        "0a050800120161",             /* a zero that is written */
        "0a051201612001",             /* unknown field inside */
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++)
        g_assert_false(is_refused(good[i]));
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%s", bad[i]);
        g_assert_true(is_refused(bad[i]));
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
    g_test_add_func("/trace/codec/the-encoding-is-the-documented-one",
                    the_encoding_is_the_documented_one);
    g_test_add_func("/trace/codec/values-and-strong-keys-are-the-documented-ones",
                    values_and_strong_keys_are_the_documented_ones);
    g_test_add_func("/trace/codec/only-the-hash-of-attributes-is-taken-for-it",
                    only_the_hash_of_attributes_is_taken_for_it);
    g_test_add_func("/trace/codec/damaged-bytes-are-refused-or-make-sense",
                    damaged_bytes_are_refused_or_make_sense);
    g_test_add_func("/trace/codec/malformed-path-sets-are-refused",
                    malformed_path_sets_are_refused);
    return g_test_run();
}
