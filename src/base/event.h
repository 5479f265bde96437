// SPDX-License-Identifier: Apache-2.0
/*
 * The stream of what happens during an invocation: the only thing that ui/ sees.
 *
 * An event is a kind and a few named values. Whoever does the work emits; a sink draws progress,
 * prints plain lines or writes JSON (doc/events.md lists every kind and its values). Events are
 * delivered on the emitting thread; sinks that are shared lock.
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include <glib.h>
#include <stdbool.h>

enum event_kind {
    EVENT_CAPTURING,  /* files, bytes: inputs hashed so far */
    EVENT_CAPTURED,   /* files, hashed, duration */
    EVENT_LOOKUP,     /* key, result: "hit" | "miss", reason */
    EVENT_WAITING,    /* key: another process runs the same action */
    EVENT_STARTED,    /* argv, key, level */
    EVENT_TRAPPED,    /* stopped, answered: calls of execve(), while it ran; committed, conflicts */
    EVENT_COMMITTED,  /* written, deleted, unchanged, kept */
    EVENT_CONFLICT,   /* path, reason: the user's file was kept */
    EVENT_MISSING,    /* path: a declared output that did not appear */
    EVENT_WARNING,    /* message */
    EVENT_EVICTED,    /* message, results, bytes: the store had outgrown its limit */
    EVENT_DIFFERENCE, /* path, offset, run: --check found outputs that differ */
    EVENT_FINISHED,   /* result: "hit" | "run", exit, duration, saved, key, run: always the last */
};

struct event_value {
    const char *name;
    enum event_type {
        EVENT_END,
        EVENT_TEXT,
        EVENT_NUMBER,
        EVENT_BOOLEAN,
        EVENT_SECONDS,
        EVENT_TEXTS,
    } type;
    union {
        const char *text;
        gint64 number;
        bool boolean;
        double seconds;
        const char *const *texts;
    };
};

struct event {
    enum event_kind kind;
    const struct event_value *values; /* ends with EVENT_END; valid during the call */
};

struct event_sink {
    void (*emit)(struct event_sink *sink, const struct event *event);
};

/* event_emit(sink, kind, { "files", EVENT_NUMBER, .number = 3 }, …); a NULL sink is fine. */
#define event_emit(sink, kind, ...) \
    event_send(sink, kind, (const struct event_value[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
void event_send(struct event_sink *sink, enum event_kind kind, const struct event_value *values);

const char *event_name(enum event_kind kind); /* "capturing", … */
const struct event_value *event_find(const struct event *event, const char *name); /* or NULL */

#endif
