// SPDX-License-Identifier: Apache-2.0
#include "ui/ui.h"

#include <stdlib.h>
#include <string.h>

#define WIPE "\r\033[K"

struct screen {
    FILE *stream;
    char *text;
    size_t size;
    struct event_sink *sink;
};

static void screen_init(struct screen *screen, bool terminal, bool colour)
{
    *screen = (struct screen){ 0 };
    screen->stream = open_memstream(&screen->text, &screen->size);
    struct text_options options = { .stream = screen->stream,
                                    .terminal = terminal,
                                    .colour = colour };
    screen->sink = ui_text_new(&options);
}

/* What has been written since it was asked last. */
static char *written(struct screen *screen)
{
    fflush(screen->stream);
    char *text = g_strdup(screen->text);
    rewind(screen->stream);
    memset(screen->text, 0, screen->size);
    return text;
}

static void assert_written(struct screen *screen, const char *expected)
{
    g_autofree char *text = written(screen);
    g_assert_cmpstr(text, ==, expected);
}

static void screen_release(struct screen *screen)
{
    g_assert_true(ui_free(screen->sink, NULL));
    fclose(screen->stream);
    free(screen->text);
}

static void emit_progress(struct screen *screen)
{
    static const char *const argv[] = { "cc", "-c", "a.c", NULL };
    event_emit(screen->sink, EVENT_CAPTURING, { "files", EVENT_NUMBER, .number = 12 },
               { "bytes", EVENT_NUMBER, .number = 3 << 20 });
    event_emit(screen->sink, EVENT_STARTED, { "argv", EVENT_TEXTS, .texts = argv });
}

static void emit_finished(struct screen *screen, const char *result, const char *reason)
{
    event_emit(screen->sink, EVENT_FINISHED, { "result", EVENT_TEXT, .text = result },
               { "duration", EVENT_SECONDS, .seconds = 0.5 },
               { "saved", EVENT_SECONDS, .seconds = 2 }, { "reason", EVENT_TEXT, .text = reason });
}

static void success_is_silent_without_a_terminal(void)
{
    struct screen screen;
    screen_init(&screen, false, false);
    emit_progress(&screen);
    event_emit(screen.sink, EVENT_CAPTURED);
    event_emit(screen.sink, EVENT_LOOKUP);
    event_emit(screen.sink, EVENT_WAITING);
    event_emit(screen.sink, EVENT_COMMITTED);
    emit_finished(&screen, "hit", NULL);
    emit_finished(&screen, "run", "because");
    ui_clear_line(screen.sink);
    assert_written(&screen, "");
    screen_release(&screen);
}

static void what_needs_attention_is_a_line(void)
{
    struct screen screen;
    screen_init(&screen, false, false);
    event_emit(screen.sink, EVENT_CONFLICT, { "path", EVENT_TEXT, .text = "a b" },
               { "reason", EVENT_TEXT, .text = "it changed" });
    assert_written(&screen, "vial: kept your a b: it changed\n");
    event_emit(screen.sink, EVENT_MISSING, { "path", EVENT_TEXT, .text = "out/%s" });
    assert_written(&screen, "vial: the declared output out/%s did not appear\n");
    event_emit(screen.sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = "100% full" });
    assert_written(&screen, "vial: 100% full\n");
    event_emit(screen.sink, EVENT_EVICTED, { "message", EVENT_TEXT, .text = "evicted 3" });
    assert_written(&screen, "vial: evicted 3\n");
    event_emit(screen.sink, EVENT_DIFFERENCE, { "path", EVENT_TEXT, .text = "o" },
               { "what", EVENT_TEXT, .text = "other content" },
               { "offset", EVENT_NUMBER, .number = 0 }, { "run", EVENT_NUMBER, .number = 2 });
    assert_written(&screen, "vial: run 2 differs: o: other content, first at offset 0\n");
    event_emit(screen.sink, EVENT_DIFFERENCE, { "path", EVENT_TEXT, .text = "o" },
               { "what", EVENT_TEXT, .text = "missing" }, { "offset", EVENT_NUMBER, .number = -1 },
               { "run", EVENT_NUMBER, .number = 3 });
    assert_written(&screen, "vial: run 3 differs: o: missing\n");
    screen_release(&screen);
}

static void a_value_that_is_missing_does_no_harm(void)
{
    struct screen screen;
    screen_init(&screen, true, true);
    for (int kind = EVENT_CAPTURING; kind <= EVENT_FINISHED; kind++)
        event_emit(screen.sink, (enum event_kind)kind);
    event_emit(screen.sink, EVENT_CONFLICT, { "path", EVENT_TEXT, .text = NULL });
    event_emit(screen.sink, EVENT_STARTED, { "argv", EVENT_TEXT, .text = "cc" });
    event_emit(screen.sink, EVENT_CAPTURING, { "files", EVENT_TEXT, .text = "many" });
    g_autofree char *text = written(&screen);
    g_assert_nonnull(strstr(text, "kept your"));
    screen_release(&screen);
}

static void the_status_line_is_drawn_over_and_gone_at_the_end(void)
{
    struct screen screen;
    screen_init(&screen, true, false);
    emit_progress(&screen);
    assert_written(&screen, WIPE "vial: 12 files, 3 MiB hashed" WIPE "vial: running cc -c a.c");
    event_emit(screen.sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = "look" });
    assert_written(&screen, WIPE "vial: look\n");
    emit_progress(&screen);
    g_free(written(&screen));
    emit_finished(&screen, "run", "no earlier run");
    assert_written(&screen, WIPE "vial: ran in 0.500 s: no earlier run\n");
    emit_finished(&screen, "run", NULL);
    assert_written(&screen, "vial: ran in 0.500 s\n");
    emit_finished(&screen, "hit", NULL);
    assert_written(&screen, "vial: reused in 0.500 s, saved 2.000 s\n");
    emit_progress(&screen);
    g_free(written(&screen));
    g_assert_true(ui_free(screen.sink, NULL));
    assert_written(&screen, WIPE);
    fclose(screen.stream);
    free(screen.text);
}

/* Whoever writes to the terminal clears the line before; a second time there is nothing to clear.
 */
static void the_line_is_cleared_once(void)
{
    struct screen screen;
    screen_init(&screen, true, false);
    emit_progress(&screen);
    g_free(written(&screen));
    ui_clear_line(screen.sink);
    assert_written(&screen, WIPE);
    ui_clear_line(screen.sink);
    assert_written(&screen, "");
    screen_release(&screen);
}

static void a_long_line_is_cut(void)
{
    struct screen screen;
    screen_init(&screen, true, false);
    g_autofree char *many = g_strnfill(300, 'x');
    g_autofree char *text = g_strconcat("\xc3\xa9", many, NULL);
    const char *const argv[] = { text, NULL };
    event_emit(screen.sink, EVENT_STARTED, { "argv", EVENT_TEXTS, .texts = argv });
    g_autofree char *line = written(&screen);
    g_assert_true(g_str_has_prefix(line, WIPE "vial: running \xc3\xa9xxx"));
    g_assert_cmpint(g_utf8_strlen(line + strlen(WIPE), -1), ==, 79);
    screen_release(&screen);
}

/* A file name is not to move the cursor, set a title or forge a line. */
static void names_cannot_forge_output(void)
{
    static const char *const names[] = { "a\nvial: all is well", "\033[2J", "\xff", "\r",
                                         "\xc2\x9b" };
    struct screen screen;
    screen_init(&screen, true, false);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *const argv[] = { names[i], NULL };
        event_emit(screen.sink, EVENT_STARTED, { "argv", EVENT_TEXTS, .texts = argv });
        event_emit(screen.sink, EVENT_MISSING, { "path", EVENT_TEXT, .text = names[i] });
        g_autofree char *text = written(&screen);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), ==, 2);
        g_assert_null(strstr(text, "\033[2J"));
        g_assert_true(g_utf8_validate(text, -1, NULL));
        g_assert_null(strstr(text, "\xc2\x9b"));
    }
    screen_release(&screen);
}

static void colour_is_put_back(void)
{
    struct screen screen;
    screen_init(&screen, true, true);
    event_emit(screen.sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = "look" });
    assert_written(&screen, "\033[33mvial: look\033[0m\n");
    event_emit(screen.sink, EVENT_EVICTED, { "message", EVENT_TEXT, .text = "plain" });
    assert_written(&screen, "vial: plain\n");
    screen_release(&screen);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/plain/success-is-silent", success_is_silent_without_a_terminal);
    g_test_add_func("/text/plain/what-needs-attention-is-a-line", what_needs_attention_is_a_line);
    g_test_add_func("/text/plain/missing-values-do-no-harm", a_value_that_is_missing_does_no_harm);
    g_test_add_func("/text/terminal/status-line-is-drawn-over",
                    the_status_line_is_drawn_over_and_gone_at_the_end);
    g_test_add_func("/text/terminal/line-is-cleared-once", the_line_is_cleared_once);
    g_test_add_func("/text/terminal/long-line-is-cut", a_long_line_is_cut);
    g_test_add_func("/text/terminal/names-cannot-forge-output", names_cannot_forge_output);
    g_test_add_func("/text/terminal/colour-is-put-back", colour_is_put_back);
    return g_test_run();
}
