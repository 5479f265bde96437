// SPDX-License-Identifier: Apache-2.0
/* Sinks in general, and the one that feeds two. */
#include "ui/ui-internal.h"

struct both {
    struct ui_sink base;
    struct event_sink *first, *second;
};

void ui_clear_line(struct event_sink *sink)
{
    struct ui_sink *self = (struct ui_sink *)sink;
    if (self != NULL && self->clear_line != NULL)
        self->clear_line(self);
}

bool ui_free(struct event_sink *sink, GError **error)
{
    struct ui_sink *self = (struct ui_sink *)sink;
    return self == NULL || self->finish(self, error);
}

static void both_emit(struct event_sink *sink, const struct event *event)
{
    struct both *self = (struct both *)sink;
    self->first->emit(self->first, event);
    self->second->emit(self->second, event);
}

static void both_clear_line(struct ui_sink *sink)
{
    struct both *self = (struct both *)sink;
    ui_clear_line(self->first);
    ui_clear_line(self->second);
}

static bool both_finish(struct ui_sink *sink, GError **error)
{
    struct both *self = (struct both *)sink;
    bool ok = ui_free(self->first, error);
    ok = ui_free(self->second, ok ? error : NULL) && ok;
    g_free(self);
    return ok;
}

struct event_sink *ui_both_new(struct event_sink *first, struct event_sink *second)
{
    if (first == NULL || second == NULL)
        return first == NULL ? second : first;
    struct both *self = g_new0(struct both, 1);
    self->base.sink.emit = both_emit;
    self->base.clear_line = both_clear_line;
    self->base.finish = both_finish;
    self->first = first;
    self->second = second;
    return &self->base.sink;
}
