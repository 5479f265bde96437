// SPDX-License-Identifier: Apache-2.0
/* What a trace is made of: for the recorder, which fills one, and for the codec. */
#ifndef TRACE_TRACE_INTERNAL_H
#define TRACE_TRACE_INTERNAL_H

#include "trace/trace.h"

struct trace {
    gatomicrefcount references;
    GPtrArray *texts;  /* GStringChunk: where all strings below live */
    GPtrArray *lists;  /* char **: lists of such strings, which processes share */
    GArray *processes; /* struct trace_process */
    GArray *facts;     /* struct trace_fact, by path */
    GArray *written;   /* struct trace_written, by path, then process */
    char *uncacheable; /* owned; NULL: none */
};

struct trace *trace_new(void); /* empty */

/* Replace the times of `count` values that have one (index by index) by their ranks, from 1. */
void trace_rank(gint64 *times, size_t count);

/* Aspects that a value of this kind has something to say about. */
unsigned trace_kind_aspects(enum trace_kind kind);

#endif
