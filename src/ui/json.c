// SPDX-License-Identifier: Apache-2.0
/* Events as JSON lines. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "ui/ui-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

struct json_sink {
    struct ui_sink base;
    GMutex lock;
    int file;
    char *path;
    GError *failure; /* the first */
};

/* JSON holds Unicode only: bytes that are not UTF-8 become U+FFFD, as doc/events.md says. */
static json_t *text_value(const char *text)
{
    if (text == NULL)
        return json_null();
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static json_t *texts_value(const char *const *texts)
{
    json_t *array = json_array();
    for (; *texts != NULL; texts++)
        json_array_append_new(array, text_value(*texts));
    return array;
}

static json_t *value_of(const struct event_value *value)
{
    switch (value->type) {
    case EVENT_NUMBER:
        return json_integer(value->number);
    case EVENT_BOOLEAN:
        return json_boolean(value->boolean);
    case EVENT_SECONDS:
        return json_real(value->seconds);
    case EVENT_TEXTS:
        return texts_value(value->texts);
    default:
        return text_value(value->text);
    }
}

static void json_emit(struct event_sink *sink, const struct event *event)
{
    struct json_sink *self = (struct json_sink *)sink;
    json_t *object = json_object();
    json_object_set_new(object, "event", json_string(event_name(event->kind)));
    for (const struct event_value *value = event->values; value->type != EVENT_END; value++)
        if (value->type != EVENT_TEXT || value->text != NULL)
            json_object_set_new(object, value->name, value_of(value));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    g_autofree char *line = g_strconcat(text == NULL ? "" : text, "\n", NULL);
    free(text);
    g_mutex_lock(&self->lock);
    if (self->failure == NULL) /* one write a line: several vials may append to one file */
        fd_write_all(self->file, line, strlen(line), self->path, &self->failure);
    g_mutex_unlock(&self->lock);
}

static bool json_finish(struct ui_sink *sink, GError **error)
{
    struct json_sink *self = (struct json_sink *)sink;
    bool ok = self->failure == NULL;
    if (!ok) {
        g_propagate_error(error, self->failure);
        g_prefix_error(error, "events are missing: ");
    }
    fd_close(&self->file);
    g_mutex_clear(&self->lock);
    g_free(self->path);
    g_free(self);
    return ok;
}

struct event_sink *ui_json_new(const char *path, GError **error)
{
    g_autofree char *quoted = path_quote(path);
    if (strcmp(path, "-") == 0) {
        fault_set(error, FAULT_USAGE,
                  "events cannot go to standard output, which is the command's: name a file");
        return NULL;
    }
    autofd int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) {
        fault_errno(error, errno, "cannot write events to %s", quoted);
        return NULL;
    }
    struct json_sink *self = g_new0(struct json_sink, 1);
    self->base.sink.emit = json_emit;
    self->base.finish = json_finish;
    self->file = fd_steal(&file);
    self->path = g_steal_pointer(&quoted);
    g_mutex_init(&self->lock);
    return &self->base.sink;
}
