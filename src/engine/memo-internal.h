// SPDX-License-Identifier: Apache-2.0
/* What loading and saving the memo share. */
#ifndef ENGINE_MEMO_INTERNAL_H
#define ENGINE_MEMO_INTERNAL_H

#include "cache/cache.h"
#include "engine/engine-internal.h"
#include "engine/memo.h"

#define MEMO_KEY_SIZE (1 + CACHE_KEY_SIZE)

struct memo {
    guint8 key[MEMO_KEY_SIZE];
    struct memo_manifest manifest;
    bool loaded;
    GPtrArray *chunks, *large; /* GBytes *: data point into them; large: values by themselves */
    guint32 data, facts, instances; /* how many are numbered */
};

gssize memo_find_root(const struct memo *memo, const struct digest *key); /* -1: none */
/* Sorts; leaves each fact (struct memo_root_fact) once. Two answers to one fact: false. */
bool memo_merge_facts(GArray *facts);
/* Nothing is numbered any more, and all that has a value counts as changed. */
void memo_renumber(struct engine *engine);

#endif
