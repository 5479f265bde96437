// SPDX-License-Identifier: Apache-2.0
/*
 * What people and programs see of the event stream. Sees base/ alone: whatever is shown came in an
 * event.
 *
 * Sinks are made by ui_*_new(), passed on as `struct event_sink *`, and freed by ui_free().
 */
#ifndef UI_UI_H
#define UI_UI_H

#include "base/event.h"

#include <stdio.h>

struct text_options {
    FILE *stream;  /* usually standard error; stays the caller's */
    bool terminal; /* draw a status line, and say how a run ended */
    bool colour;
};

/*
 * Warnings, conflicts and missing outputs as lines "vial: …"; on a terminal also progress, which is
 * gone when the run is over, and one line about its end. Nothing else: success is terse.
 */
struct event_sink *ui_text_new(const struct text_options *options);

/* Wipe the status line before somebody else writes to the terminal. Any sink; cheap. */
void ui_clear_line(struct event_sink *sink);

/* Every event as one JSON object a line (doc/events.md), appended to `path` ("-": refused). */
struct event_sink *ui_json_new(const char *path, GError **error);

/* Both of two sinks, either of which may be NULL; takes them over. */
struct event_sink *ui_both_new(struct event_sink *first, struct event_sink *second);

/* Flush and free; false if events could not be written. NULL is fine. */
bool ui_free(struct event_sink *sink, GError **error);

#endif
