// SPDX-License-Identifier: Apache-2.0
/* Delivery and lookup of events; the names are part of the documented JSON format. */
#include "base/event.h"

#include <string.h>

void event_send(struct event_sink *sink, enum event_kind kind, const struct event_value *values)
{
    if (sink == NULL)
        return;
    struct event event = { .kind = kind, .values = values };
    sink->emit(sink, &event);
}

const char *event_name(enum event_kind kind)
{
    static const char *const names[] = {
        [EVENT_CAPTURING] = "capturing", [EVENT_CAPTURED] = "captured",
        [EVENT_LOOKUP] = "lookup",       [EVENT_WAITING] = "waiting",
        [EVENT_STARTED] = "started",     [EVENT_COMMITTED] = "committed",
        [EVENT_CONFLICT] = "conflict",   [EVENT_MISSING] = "missing",
        [EVENT_WARNING] = "warning",     [EVENT_DIFFERENCE] = "difference",
        [EVENT_TRAPPED] = "trapped",     [EVENT_FINISHED] = "finished",
        [EVENT_EVICTED] = "evicted",
    };
    return names[kind];
}

const struct event_value *event_find(const struct event *event, const char *name)
{
    for (const struct event_value *value = event->values; value->type != EVENT_END; value++)
        if (strcmp(value->name, name) == 0)
            return value;
    return NULL;
}
