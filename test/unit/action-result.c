// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"

static void add_piece(struct result *result, enum output_stream stream, guint64 size)
{
    struct output_piece piece = { .stream = stream, .size = size };
    g_array_append_val(result->order, piece);
}

static struct output_extra *add_extra(struct result *result, const char *path)
{
    struct output_extra *extra = g_new0(struct output_extra, 1);
    extra->path = g_strdup(path);
    g_ptr_array_add(result->extras, extra);
    return extra;
}

static struct result *full_result(void)
{
    struct result *result = result_new();
    result->exit_code = 137;
    result->signal = 9;
    result->timed_out = true;
    digest_of("out", 3, &result->stdout_blob);
    digest_of("error", 5, &result->stderr_blob);
    add_piece(result, OUTPUT_STDOUT, 2);
    add_piece(result, OUTPUT_STDERR, 5);
    add_piece(result, OUTPUT_STDOUT, 1);
    g_autoptr(tree) outputs = TREE("o=x");
    result->outputs = *tree_digest(outputs);
    result->deleted = STRV("gone", "gone/too");
    result->missing = STRV("/**/*.o", "never");
    struct output_extra *extra = add_extra(result, "a");
    extra->mtime = -1;
    extra->mode = 06755;
    extra = add_extra(result, "b");
    extra->hard_link = g_strdup("a");
    extra->sparse = true;
    extra = add_extra(result, "f");
    extra->mtime = 1;
    extra->mode = 0600;
    extra->fifo = true;
    extra = add_extra(result, "x");
    extra->xattrs = g_bytes_new_static("\x0a\x0b\x0a\x06user.k\x12\x01", 13);
    result->wall = 1500000;
    result->user = 2;
    result->system = 3;
    result->max_rss = 4096;
    result->started = G_GINT64_CONSTANT(1700000000000000);
    return result;
}

static void the_encoding_is_the_documented_one(void)
{
    for (int i = 0; i < 2; i++) {
        g_auto(GStrv) expected = golden("result.txt", i == 0 ? "empty" : "full");
        g_autoptr(result) result = i == 0 ? result_new() : full_result();
        g_autoptr(GBytes) bytes = result_encode(result);
        g_autofree char *hex = hex_of(bytes);
        g_assert_cmpstr(hex, ==, expected[2]);
    }
}

static void assert_same_extra(const struct output_extra *found, const struct output_extra *expected)
{
    g_assert_cmpstr(found->path, ==, expected->path);
    g_assert_cmpint(found->mtime, ==, expected->mtime);
    g_assert_cmpuint(found->mode, ==, expected->mode);
    g_assert_cmpstr(found->hard_link, ==, expected->hard_link);
    g_assert_true((found->xattrs == NULL) == (expected->xattrs == NULL));
    if (found->xattrs != NULL)
        g_assert_true(g_bytes_equal(found->xattrs, expected->xattrs));
    g_assert_cmpint(found->sparse, ==, expected->sparse);
    g_assert_cmpint(found->fifo, ==, expected->fifo);
}

static void assert_same_result(const struct result *found, const struct result *expected)
{
    g_assert_cmpint(found->exit_code, ==, expected->exit_code);
    g_assert_cmpint(found->signal, ==, expected->signal);
    g_assert_cmpint(found->timed_out, ==, expected->timed_out);
    assert_digests(&found->stdout_blob, &expected->stdout_blob);
    assert_digests(&found->stderr_blob, &expected->stderr_blob);
    assert_digests(&found->outputs, &expected->outputs);
    g_assert_cmpuint(found->order->len, ==, expected->order->len);
    for (guint i = 0; i < found->order->len; i++) {
        const struct output_piece *one = &g_array_index(found->order, struct output_piece, i);
        const struct output_piece *other = &g_array_index(expected->order, struct output_piece, i);
        g_assert_cmpuint(one->stream, ==, other->stream);
        g_assert_cmpuint(one->size, ==, other->size);
    }
    assert_lists(found->deleted, expected->deleted);
    assert_lists(found->missing, expected->missing);
    g_assert_cmpuint(found->extras->len, ==, expected->extras->len);
    for (guint i = 0; i < found->extras->len; i++)
        assert_same_extra(found->extras->pdata[i], expected->extras->pdata[i]);
    g_assert_cmpint(found->started, ==, expected->started);
    g_assert_cmpint(found->wall, ==, expected->wall);
    g_assert_cmpint(found->user, ==, expected->user);
    g_assert_cmpint(found->system, ==, expected->system);
    g_assert_cmpint(found->max_rss, ==, expected->max_rss);
}

static struct result *decoded(const struct result *result)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = result_encode(result);
    struct result *again = result_decode(bytes, &error);
    g_assert_no_error(error);
    return again;
}

static void what_was_encoded_is_decoded(void)
{
    g_autoptr(result) full = full_result(), again = decoded(full);
    assert_same_result(again, full);
    g_autoptr(result) empty = result_new(), empty_again = decoded(empty);
    assert_same_result(empty_again, empty);
}

static void every_time_and_mode_survives(void)
{
    static const gint64 times[] = { G_MININT64, -1000000000, -1, 0, 1, 946684800, G_MAXINT64 };
    g_autoptr(result) result = result_new();
    for (size_t i = 0; i < G_N_ELEMENTS(times); i++)
        add_extra(result, "a")->mtime = times[i];
    for (guint32 mode = 0; mode <= 07777; mode++)
        add_extra(result, "b")->mode = mode;
    result->exit_code = 255;
    result->signal = 64;
    result->started = result->wall = G_MAXINT64;
    g_autoptr(result) again = decoded(result);
    assert_same_result(again, result);
}

static void why_it_must_not_be_stored_is_not_stored(void)
{
    g_autoptr(result) result = result_new();
    result->uncacheable = g_strdup("the network was used");
    g_autoptr(result) again = decoded(result);
    g_assert_null(again->uncacheable);
}

static void a_result_names_its_blobs(void)
{
    g_autoptr(result) result = full_result();
    g_autoptr(GArray) blobs = g_array_new(FALSE, FALSE, sizeof(struct digest));
    g_autoptr(GArray) trees = g_array_new(FALSE, FALSE, sizeof(struct digest));
    result_references(result, blobs, trees);
    g_assert_cmpuint(blobs->len, ==, 2);
    g_assert_cmpuint(trees->len, ==, 1);
    assert_digests(&g_array_index(blobs, struct digest, 0), &result->stdout_blob);
    assert_digests(&g_array_index(blobs, struct digest, 1), &result->stderr_blob);
    assert_digests(&g_array_index(trees, struct digest, 0), &result->outputs);
}

static void refuse(const char *what, const struct result *result)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = result_encode(result);
    g_test_message("%s", what);
    g_assert_null(result_decode(bytes, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
}

/* Whoever writes files by it relies on it: no path may lead out of the workspace. */
static void paths_that_lead_elsewhere_are_refused(void)
{
    static const char *const paths[] = { "/etc/passwd", "..", "a/../../b", "a//b", "a/",
                                         "./a",         ".",  "a/.",       "\xff" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(result) deleting = result_new(), extra = result_new(), linking = result_new();
        deleting->deleted = STRV((char *)paths[i]);
        refuse(paths[i], deleting);
        add_extra(extra, paths[i]);
        refuse(paths[i], extra);
        add_extra(linking, "a")->hard_link = g_strdup(paths[i]);
        refuse(paths[i], linking);
    }
    g_autoptr(result) nameless = result_new();
    add_extra(nameless, "");
    refuse("no path", nameless);
}

/* Whoever replays the streams relies on it. */
static void pieces_must_add_up_to_the_streams(void)
{
    g_autoptr(result) more = full_result(), fewer = full_result(), none = full_result();
    g_array_index(more->order, struct output_piece, 2).size = 2;
    refuse("more than there is", more);
    g_array_set_size(fewer->order, 2);
    refuse("less than there is", fewer);
    g_array_index(none->order, struct output_piece, 2).size = 0;
    refuse("an empty piece", none);
    g_autoptr(result) huge = full_result();
    g_array_index(huge->order, struct output_piece, 0).size = G_MAXUINT64;
    refuse("wraps around", huge);
    g_autoptr(result) other = full_result();
    g_array_index(other->order, struct output_piece, 1).stream = 3;
    refuse("a third stream", other);
    g_array_index(other->order, struct output_piece, 1).stream = 0;
    refuse("no stream", other);
}

static void numbers_out_of_range_are_refused(void)
{
    static const struct {
        const char *what, *bytes;
        gsize size;
    } bad[] = {
        { "exit code 256", "\x08\x80\x02", 3 },
        { "signal 128", "\x10\x80\x01", 3 },
        { "timed out twice", "\x18\x02", 2 },
        { "exit code as bytes", "\x0a\x00", 2 },
        { "standard output as a number", "\x20\x01", 2 },
        { "a digest without a hash", "\x22\x00", 2 },
        { "negative wall time", "\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
        { "mode 010000",
          "\x52\x06\x0a\x01"
          "a\x18\x80\x20",
          8 },
        { "a field that vial never writes", "\x80\x01\x01", 3 },
        { "a NUL in a path",
          "\x42\x02"
          "a\0",
          4 },
        { "garbage", "\xff\xff\xff", 3 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i].bytes, bad[i].size);
        g_autoptr(GError) error = NULL;
        g_test_message("%s", bad[i].what);
        g_assert_null(result_decode(bytes, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
}

static void decode_damaged(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(result) found = result_decode(bytes, &error);
    if (found == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        return;
    }
    ++*(int *)user;
    g_autoptr(result) again = decoded(found);
    assert_same_result(again, found);
}

static void damaged_bytes_are_refused_or_make_sense(void)
{
    g_autoptr(result) result = full_result();
    g_autoptr(GBytes) bytes = result_encode(result);
    int sensible = 0;
    damage(bytes, decode_damaged, &sensible);
    g_assert_cmpint(sensible, >, 0); /* a turned bit in a time, for instance */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/result/encoding/is-the-documented-one", the_encoding_is_the_documented_one);
    g_test_add_func("/result/decode/gives-back-what-was-encoded", what_was_encoded_is_decoded);
    g_test_add_func("/result/decode/keeps-every-time-and-mode", every_time_and_mode_survives);
    g_test_add_func("/result/decode/knows-nothing-of-uncacheable-results",
                    why_it_must_not_be_stored_is_not_stored);
    g_test_add_func("/result/references/are-streams-and-outputs", a_result_names_its_blobs);
    g_test_add_func("/result/decode/refuses-paths-that-lead-elsewhere",
                    paths_that_lead_elsewhere_are_refused);
    g_test_add_func("/result/decode/refuses-pieces-that-do-not-add-up",
                    pieces_must_add_up_to_the_streams);
    g_test_add_func("/result/decode/refuses-numbers-out-of-range",
                    numbers_out_of_range_are_refused);
    g_test_add_func("/result/decode/damaged-bytes-are-refused-or-make-sense",
                    damaged_bytes_are_refused_or_make_sense);
    return g_test_run();
}
