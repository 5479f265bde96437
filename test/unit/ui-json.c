// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "ui/ui.h"

#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>

struct file {
    char *directory, *path;
};

static void file_init(struct file *file)
{
    g_autoptr(GError) error = NULL;
    file->directory = g_dir_make_tmp("vial-ui-XXXXXX", &error);
    g_assert_no_error(error);
    file->path = g_build_filename(file->directory, "events", NULL);
}

static void file_release(struct file *file)
{
    g_unlink(file->path);
    g_assert_cmpint(g_rmdir(file->directory), ==, 0);
    g_free(file->path);
    g_free(file->directory);
}

static struct event_sink *sink_on(const char *path)
{
    g_autoptr(GError) error = NULL;
    struct event_sink *sink = ui_json_new(path, &error);
    g_assert_no_error(error);
    return sink;
}

static void close_sink(struct event_sink *sink)
{
    g_autoptr(GError) error = NULL;
    ui_free(sink, &error);
    g_assert_no_error(error);
}

static char *content(const struct file *file)
{
    char *text = NULL;
    g_assert_true(g_file_get_contents(file->path, &text, NULL, NULL));
    return text;
}

static void every_event_is_one_line(void)
{
    struct file file;
    file_init(&file);
    struct event_sink *sink = sink_on(file.path);
    for (int kind = EVENT_CAPTURING; kind <= EVENT_FINISHED; kind++)
        event_emit(sink, (enum event_kind)kind);
    close_sink(sink);
    g_autofree char *text = content(&file);
    g_assert_cmpstr(text, ==,
                    "{\"event\":\"capturing\"}\n{\"event\":\"captured\"}\n{\"event\":\"lookup\"}\n"
                    "{\"event\":\"waiting\"}\n{\"event\":\"started\"}\n"
                    "{\"event\":\"trapped\"}\n{\"event\":\"committed\"}\n"
                    "{\"event\":\"conflict\"}\n{\"event\":\"missing\"}\n{\"event\":\"warning\"}\n"
                    "{\"event\":\"evicted\"}\n{\"event\":\"difference\"}\n"
                    "{\"event\":\"finished\"}\n");
    file_release(&file);
}

static void values_keep_their_types(void)
{
    struct file file;
    file_init(&file);
    struct event_sink *sink = sink_on(file.path);
    static const char *const argv[] = { "cc", "", "a b", NULL };
    static const char *const none[] = { NULL };
    event_emit(
        sink, EVENT_FINISHED, { "result", EVENT_TEXT, .text = "run" },
        { "exit", EVENT_NUMBER, .number = 0 }, { "least", EVENT_NUMBER, .number = G_MININT64 },
        { "duration", EVENT_SECONDS, .seconds = 0.25 }, { "saved", EVENT_SECONDS, .seconds = 0 },
        { "stored", EVENT_BOOLEAN, .boolean = true }, { "hit", EVENT_BOOLEAN, .boolean = false },
        { "reason", EVENT_TEXT, .text = NULL }, { "argv", EVENT_TEXTS, .texts = argv },
        { "none", EVENT_TEXTS, .texts = none });
    close_sink(sink);
    g_autofree char *text = content(&file);
    g_assert_cmpstr(text, ==,
                    "{\"event\":\"finished\",\"result\":\"run\",\"exit\":0,"
                    "\"least\":-9223372036854775808,\"duration\":0.25,\"saved\":0.0,"
                    "\"stored\":true,\"hit\":false,\"argv\":[\"cc\",\"\",\"a b\"],\"none\":[]}\n");
    file_release(&file);
}

static void any_bytes_become_valid_json(void)
{
    struct file file;
    file_init(&file);
    struct event_sink *sink = sink_on(file.path);
    static const char *const texts[] = {
        "a\nb", "\"\\", "\x01\x1b[31m", "\xff\xfe", "\xc3\xa9", ""
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        event_emit(sink, EVENT_CONFLICT, { "path", EVENT_TEXT, .text = texts[i] });
    close_sink(sink);
    g_autofree char *text = content(&file);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, G_N_ELEMENTS(texts) + 1);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_error_t error;
        json_t *object = json_loads(lines[i], 0, &error);
        g_assert_nonnull(object);
        const char *path = json_string_value(json_object_get(object, "path"));
        g_assert_cmpstr(path, ==, i == 3 ? "\xef\xbf\xbd\xef\xbf\xbd" : texts[i]);
        json_decref(object);
    }
    file_release(&file);
}

static void events_are_appended(void)
{
    struct file file;
    file_init(&file);
    for (int i = 0; i < 2; i++) {
        struct event_sink *sink = sink_on(file.path);
        event_emit(sink, EVENT_WAITING);
        close_sink(sink);
    }
    g_autofree char *text = content(&file);
    g_assert_cmpstr(text, ==, "{\"event\":\"waiting\"}\n{\"event\":\"waiting\"}\n");
    file_release(&file);
}

enum {
    THREADS = 4,
    EVENTS = 200
};

static gpointer emit_many(gpointer sink)
{
    g_autofree char *text = g_strnfill(9000, 'x'); /* more than stdio would write at once */
    for (int i = 0; i < EVENTS; i++)
        event_emit(sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = text });
    return NULL;
}

/* Two sinks on one file, as two vials have it, each used by two threads. */
static void lines_of_several_writers_stay_whole(void)
{
    struct file file;
    file_init(&file);
    struct event_sink *sinks[] = { sink_on(file.path), sink_on(file.path) };
    GThread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("emitter", emit_many, sinks[i % 2]);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    close_sink(sinks[0]);
    close_sink(sinks[1]);
    g_autofree char *text = content(&file);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, THREADS * EVENTS + 1);
    for (int i = 0; i < THREADS * EVENTS; i++) {
        json_t *object = json_loads(lines[i], 0, NULL);
        g_assert_nonnull(object);
        json_decref(object);
    }
    file_release(&file);
}

static void what_cannot_be_opened_is_an_error(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(ui_json_new("-", &error));
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_false(g_file_test("-", G_FILE_TEST_EXISTS));
    g_clear_error(&error);
    g_assert_null(ui_json_new("/nowhere/events", &error));
    g_assert_error(error, FAULT, FAULT_IO);
    g_assert_nonnull(strstr(error->message, "/nowhere/events"));
}

static void a_full_disk_is_reported_at_the_end(void)
{
    g_autoptr(GError) error = NULL;
    struct event_sink *sink = sink_on("/dev/full");
    event_emit(sink, EVENT_WAITING);
    event_emit(sink, EVENT_WAITING);
    g_assert_false(ui_free(sink, &error));
    g_assert_error(error, FAULT, FAULT_NO_SPACE);
    g_assert_nonnull(strstr(error->message, "/dev/full"));
}

static void two_sinks_get_the_same_and_either_may_be_none(void)
{
    struct file one, other;
    file_init(&one);
    file_init(&other);
    struct event_sink *both = ui_both_new(sink_on(one.path), sink_on(other.path));
    event_emit(both, EVENT_WAITING);
    ui_clear_line(both);
    close_sink(both);
    g_autofree char *text = content(&one), *other_text = content(&other);
    g_assert_cmpstr(text, ==, "{\"event\":\"waiting\"}\n");
    g_assert_cmpstr(other_text, ==, text);

    struct event_sink *alone = sink_on(one.path);
    g_assert_true(ui_both_new(alone, NULL) == alone);
    g_assert_true(ui_both_new(NULL, alone) == alone);
    g_assert_null(ui_both_new(NULL, NULL));
    close_sink(alone);
    close_sink(NULL);
    ui_clear_line(NULL);
    g_autoptr(GError) error = NULL;
    both = ui_both_new(sink_on("/dev/full"), sink_on(other.path));
    event_emit(both, EVENT_WAITING);
    g_assert_false(ui_free(both, &error));
    g_assert_error(error, FAULT, FAULT_NO_SPACE);
    file_release(&one);
    file_release(&other);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/lines/one-for-every-event", every_event_is_one_line);
    g_test_add_func("/json/lines/values-keep-their-types", values_keep_their_types);
    g_test_add_func("/json/lines/any-bytes-become-valid", any_bytes_become_valid_json);
    g_test_add_func("/json/file/is-appended-to", events_are_appended);
    g_test_add_func("/json/file/lines-of-several-writers-stay-whole",
                    lines_of_several_writers_stay_whole);
    g_test_add_func("/json/file/that-cannot-be-opened", what_cannot_be_opened_is_an_error);
    g_test_add_func("/json/file/full-disk-is-reported-at-the-end",
                    a_full_disk_is_reported_at_the_end);
    g_test_add_func("/json/both/get-the-same", two_sinks_get_the_same_and_either_may_be_none);
    return g_test_run();
}
