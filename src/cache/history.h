// SPDX-License-Identifier: Apache-2.0
/*
 * The history of runs: one entry per `vial run`, hit or not, in the store's log.
 * Format: doc/format/history.md. History may lose its end in a crash; nothing depends on it but
 * explanations, statistics and the order of eviction.
 */
#ifndef CACHE_HISTORY_H
#define CACHE_HISTORY_H

#include "store/store.h"

struct history_entry {
    gint64 time;     /* of the end, microseconds since the epoch */
    char *workspace; /* absolute path of the checkout */
    char **argv;
    struct digest key;  /* of the action; action_load() finds the rest */
    struct digest weak; /* the same without inputs */
    bool hit;
    bool stored; /* a run whose result was kept */
    int exit_code;
    gint64 duration;    /* microseconds, of the whole invocation */
    gint64 work;        /* microseconds the command itself took, now or when it was recorded */
    struct digest kept; /* what it left to look at (session/kept.h); size 0: nothing */
    char *reason;       /* why it ran, or why it was not stored; NULL for a hit */
    char *miss;         /* why it ran, if `reason` is why it was not stored; else NULL */
};
typedef struct history_entry history_entry;

void history_entry_free(struct history_entry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(history_entry, history_entry_free)

GBytes *history_encode(const struct history_entry *entry);
struct history_entry *history_decode(GBytes *bytes, GError **error);

bool history_append(struct store *store, const struct history_entry *entry, GError **error);

/* Number `number` (0: the latest) of the runs in `workspace`. FAULT_USAGE: there is none. */
struct history_entry *history_find(struct store *store, const char *workspace, guint number,
                                   GError **error);

/* Newest first; false from `visit` stops. The entry is valid during the call. */
typedef bool (*history_visit)(const struct history_entry *entry, void *user);
void history_each(struct store *store, history_visit visit, void *user);

#endif
