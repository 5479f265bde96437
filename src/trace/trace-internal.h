// SPDX-License-Identifier: Apache-2.0
/* What a trace is made of: for the recorder, which fills one, and for the codec. */
#ifndef TRACE_TRACE_INTERNAL_H
#define TRACE_TRACE_INTERNAL_H

#include "base/wire.h"
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

/* Where the kept form of the absolute `path` begins in it; root_length 0: the root is "/". */
const char *trace_kept_form(const char *root, size_t root_length, const char *path);

/* Aspects that a value of this kind has something to say about. */
unsigned trace_kind_aspects(enum trace_kind kind);

/*
 * Append field `number`: the Value message of what `aspects` and the value's kind make sense of.
 * `scratch` is the callee's for the time of the call.
 */
void value_put(GByteArray *out, guint32 number, unsigned aspects, const struct trace_value *value,
               GByteArray *scratch);
/* Only what value_put() writes for these aspects; texts go to `texts`. */
bool value_take(const struct wire_field *field, unsigned aspects, GStringChunk *texts,
                struct trace_value *out);

/* The field's bytes as a string in `texts`; NULL unless WIRE_BYTES and without NUL. */
char *text_take(const struct wire_field *field, GStringChunk *texts);

/* Fields 1 and 2: how many bytes `path` shares with *last (NULL: none), and the rest. Moves *last.
 */
void path_put(GByteArray *out, const char **last, const char *path);

struct path_reader {
    GStringChunk *texts; /* paths go here */
    GString *path;       /* scratch */
    bool repeats;        /* a path may follow itself */
    const char *last;    /* NULL: none yet */
    size_t total;        /* bytes of all paths so far, at most TRACE_TEXT_MAX */
};
/* The next path, in the form that trace.h keeps and in order; NULL if it is not. */
const char *path_take(struct path_reader *reader, guint64 shared, const struct wire_field *rest);

/* What path_set_evaluate() encodes: one answer for each path, times as ranks. */
bool path_set_answer(const struct path_set *set, struct trace_state *state,
                     struct trace_value *answers, GError **error);

/* --- walking the host's directories (trace-walk.c) ---------------------------------------------
 */

/*
 * Finds the directory of one path after another without following any link, and keeps those open
 * that the next path may need: paths that ascend cost one openat() per directory.
 */
struct walk;
struct walk *walk_new(const char *root, struct stat_cache *cache);
void walk_free(struct walk *walk);

struct place {
    int directory;    /* -1: everything that would be in it is `below`; borrowed until the next */
    const char *name; /* in it; "" for the root or / itself: AT_EMPTY_PATH */
    enum trace_kind below;
    struct stat_files *files; /* of the directory */
};
void walk_to(struct walk *walk, const char *path, struct place *out);
void walk_flush(struct walk *walk); /* what was learned goes to the stat cache */

/* What a look-up that failed with `number` says of the name. */
enum trace_kind walk_kind_of_error(int number);

#endif
