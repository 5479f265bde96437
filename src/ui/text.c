// SPDX-License-Identifier: Apache-2.0
/* Events as lines for people; on a terminal with a status line that is drawn over. */
#include "base/path.h"
#include "ui/ui-internal.h"

#include <string.h>
#include <sys/ioctl.h>

struct text_sink {
    struct ui_sink base;
    GMutex lock;
    struct text_options options;
    bool drawn; /* a status line is on the screen */
};

static const char *text_of(const struct event *event, const char *name)
{
    const struct event_value *value = event_find(event, name);
    return value == NULL || value->type != EVENT_TEXT || value->text == NULL ? "" : value->text;
}

static gint64 number_of(const struct event *event, const char *name)
{
    const struct event_value *value = event_find(event, name);
    return value == NULL || value->type != EVENT_NUMBER ? 0 : value->number;
}

static double seconds_of(const struct event *event, const char *name)
{
    const struct event_value *value = event_find(event, name);
    return value == NULL || value->type != EVENT_SECONDS ? 0 : value->seconds;
}

static void wipe(struct text_sink *self)
{
    if (self->drawn) {
        fputs("\r\033[K", self->options.stream);
        fflush(self->options.stream);
    }
    self->drawn = false;
}

static void say(struct text_sink *self, const char *colour, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void say(struct text_sink *self, const char *colour, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    wipe(self);
    bool coloured = self->options.colour && colour != NULL;
    fprintf(self->options.stream, "%svial: %s%s\n", coloured ? colour : "", text,
            coloured ? "\033[0m" : "");
    fflush(self->options.stream);
}

static void draw(struct text_sink *self, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void draw(struct text_sink *self, const char *format, ...)
{
    struct winsize size;
    if (!self->options.terminal)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (ioctl(fileno(self->options.stream), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        size.ws_col = 80; /* a terminal that does not know its size */
    g_autofree char *cut =
        g_utf8_substring(text, 0, MIN(g_utf8_strlen(text, -1), MAX((glong)size.ws_col, 20) - 1));
    fprintf(self->options.stream, "\r\033[K%s", cut);
    fflush(self->options.stream);
    self->drawn = true;
}

static void say_difference(struct text_sink *self, const struct event *event, const char *path)
{
    gint64 offset = number_of(event, "offset");
    g_autofree char *place =
        offset < 0 ? g_strdup("") : g_strdup_printf(", first at offset %" G_GINT64_FORMAT, offset);
    say(self, "\033[31m", "run %" G_GINT64_FORMAT " differs: %s: %s%s", number_of(event, "run"),
        path, text_of(event, "what"), place);
}

static void say_finished(struct text_sink *self, const struct event *event)
{
    wipe(self);
    if (!self->options.terminal || strcmp(text_of(event, "result"), "failed") == 0)
        return; /* the error itself is printed by whoever had it */
    if (strcmp(text_of(event, "result"), "hit") == 0)
        say(self, "\033[32m", "reused in %.3f s, saved %.3f s", seconds_of(event, "duration"),
            seconds_of(event, "saved"));
    else
        say(self, "\033[2m", "ran in %.3f s%s%s", seconds_of(event, "duration"),
            *text_of(event, "reason") == '\0' ? "" : ": ", text_of(event, "reason"));
}

static void draw_started(struct text_sink *self, const struct event *event)
{
    const struct event_value *argv = event_find(event, "argv");
    if (argv == NULL || argv->type != EVENT_TEXTS)
        return;
    g_autofree char *command = g_strjoinv(" ", (char **)argv->texts);
    g_autofree char *quoted = path_quote(command);
    draw(self, "vial: running %s", quoted);
}

static void text_emit(struct event_sink *sink, const struct event *event)
{
    struct text_sink *self = (struct text_sink *)sink;
    g_autofree char *path = path_quote(text_of(event, "path"));
    g_mutex_lock(&self->lock);
    switch (event->kind) {
    case EVENT_CAPTURING:
        draw(self, "vial: %" G_GINT64_FORMAT " files, %" G_GINT64_FORMAT " MiB hashed",
             number_of(event, "files"), number_of(event, "bytes") >> 20);
        break;
    case EVENT_WAITING:
        draw(self, "vial: waited for another vial that ran the same");
        break;
    case EVENT_STARTED:
        draw_started(self, event);
        break;
    case EVENT_CONFLICT:
        say(self, "\033[33m", "kept your %s: %s", path, text_of(event, "reason"));
        break;
    case EVENT_MISSING:
        say(self, "\033[33m", "the declared output %s did not appear", path);
        break;
    case EVENT_EVICTED:
        say(self, NULL, "%s", text_of(event, "message"));
        break;
    case EVENT_WARNING:
        say(self, "\033[33m", "%s", text_of(event, "message"));
        break;
    case EVENT_DIFFERENCE:
        say_difference(self, event, path);
        break;
    case EVENT_FINISHED:
        say_finished(self, event);
        break;
    default:
        break;
    }
    g_mutex_unlock(&self->lock);
}

static void text_clear_line(struct ui_sink *sink)
{
    struct text_sink *self = (struct text_sink *)sink;
    g_mutex_lock(&self->lock);
    wipe(self);
    g_mutex_unlock(&self->lock);
}

static bool text_finish(struct ui_sink *sink, GError **error)
{
    struct text_sink *self = (struct text_sink *)sink;
    wipe(self);
    g_mutex_clear(&self->lock);
    g_free(self);
    return true;
}

struct event_sink *ui_text_new(const struct text_options *options)
{
    struct text_sink *self = g_new0(struct text_sink, 1);
    self->base.sink.emit = text_emit;
    self->base.clear_line = text_clear_line;
    self->base.finish = text_finish;
    self->options = *options;
    g_mutex_init(&self->lock);
    return &self->base.sink;
}
