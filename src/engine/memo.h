// SPDX-License-Identifier: Apache-2.0
/*
 * The memo as bytes: doc/format/memo.md. Private to engine/, but for fuzzing and upkeep.
 *
 * A memo is a record (the manifest) that names chunks, which together hold the graph of instances,
 * each appended to what came before, and per query that was answered a root: its value and all
 * facts below it. So a query whose facts are all as they were is answered without the graph.
 */
#ifndef ENGINE_MEMO_H
#define ENGINE_MEMO_H

#include "engine/fact.h"
#include "store/store.h"

enum {
    MEMO_INLINE_MAX = 64 * 1024, /* larger values are blobs of their own */
    MEMO_ROOTS_MAX = 64,
    MEMO_CHUNKS_MAX = 4096,
};

/* --- chunks ----------------------------------------------------------------------------------- */

/* Each kind of thing is numbered from 0, in the order of all chunks. */
enum memo_tag { /* numbers are part of the format */
    MEMO_DATUM = 1,
    MEMO_FACT = 2,
    MEMO_INSTANCE = 3,
    MEMO_STATE = 4, /* of an instance; the latest counts */
};

struct memo_edge {
    guint32 to, seen;
    bool last;
};
struct memo_fact_edge {
    guint32 fact;
    struct fact_answer seen;
};

struct memo_entry {
    enum memo_tag tag;
    struct digest digest; /* DATUM */
    const guint8 *data;   /* DATUM: digest.size bytes in the chunk; NULL: a blob of its own */
    struct fact fact;     /* FACT; the reader's */
    guint32 plan;         /* INSTANCE */
    const guint32 *params;
    guint32 param_count;
    guint32 instance, value; /* STATE */
    guint64 duration;
    const struct memo_edge *edges;
    guint32 edge_count;
    const struct memo_fact_edge *facts;
    guint32 fact_count;
};

void memo_put(GByteArray *out, const struct memo_entry *entry);

struct memo_reader {
    const guint8 *at, *end;
    bool failed;
    GArray *params, *edges, *facts; /* what the entry points to */
    GString *subject;
};
void memo_reader_init(struct memo_reader *reader, const void *data, gsize size);
void memo_reader_release(struct memo_reader *reader);
/* The next entry, valid until the one after; false at the end or, with `failed`, on bad bytes. */
bool memo_next(struct memo_reader *reader, struct memo_entry *entry);

/* --- roots ------------------------------------------------------------------------------------ */

struct memo_root_fact {
    struct fact fact; /* subject is owned by `texts` */
    struct fact_answer answer;
};
struct memo_root {
    GBytes *value;       /* encoded */
    GArray *facts;       /* struct memo_root_fact, ascending */
    GStringChunk *texts; /* NULL: subjects are the caller's */
};
void memo_root_clear(struct memo_root *root);
GBytes *memo_root_encode(const struct memo_root *root);
bool memo_root_decode(GBytes *bytes, struct memo_root *out, GError **error); /* FAULT_CORRUPT */

/* What facts say the store holds, as a message of blobs and trees that gc can read. */
GBytes *memo_kept_encode(const struct memo_root *root);

/* --- the manifest ----------------------------------------------------------------------------- */

struct memo_root_name {
    struct digest key;  /* of what was asked */
    struct digest blob; /* of the root */
    struct digest kept; /* blob: what else of the store lives as long as the root */
    guint32 instance;
};
struct memo_manifest {
    gint64 last_use; /* microseconds since the epoch */
    guint64 compact; /* bytes that the chunks took when they were written anew */
    GArray *chunks;  /* struct digest */
    GArray *values;  /* struct digest: blobs that chunks name */
    GArray *roots;   /* struct memo_root_name, newest first */
};
void memo_manifest_init(struct memo_manifest *manifest);
void memo_manifest_clear(struct memo_manifest *manifest);
GBytes *memo_manifest_encode(const struct memo_manifest *manifest);
/* `out` has been initialised. FAULT_CORRUPT */
bool memo_manifest_decode(GBytes *bytes, struct memo_manifest *out, GError **error);

#endif
