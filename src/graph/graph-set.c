// SPDX-License-Identifier: Apache-2.0
/* Memory that goes all at once, and sets of params as interned bit sets. */
#include "graph/graph-internal.h"

#include <string.h>

#define BLOCK ((gsize)64 * 1024)

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ .blocks = g_ptr_array_new_with_free_func(g_free) };
}

void arena_release(struct arena *arena)
{
    g_ptr_array_unref(arena->blocks);
}

void *arena_take(struct arena *arena, gsize size)
{
    size = (size + sizeof(word) - 1) & ~(sizeof(word) - 1);
    if (size > arena->left) {
        gsize block = MAX(size, BLOCK);
        char *memory = g_malloc0(block);
        g_ptr_array_add(arena->blocks, memory);
        if (block > BLOCK)
            return memory;
        arena->at = memory;
        arena->left = block;
    }
    void *taken = arena->at;
    arena->at += size;
    arena->left -= size;
    return taken;
}

const char *arena_text(struct arena *arena, const char *text)
{
    if (text == NULL)
        return NULL;
    gsize size = strlen(text) + 1;
    return memcpy(arena_take(arena, size), text, size);
}

void sets_init(struct sets *sets, struct arena *arena, guint members)
{
    *sets = (struct sets){ .width = MAX(1, (members + 63) / 64), .arena = arena, .slot_mask = 255 };
    sets->slots = g_new0(const word *, sets->slot_mask + 1);
    g_autofree word *empty = g_new0(word, sets->width);
    sets->empty = sets_intern(sets, empty);
}

void sets_release(struct sets *sets)
{
    g_free(sets->slots);
}

static guint hash(const word *set, guint width)
{
    word sum = 0;
    for (guint i = 0; i < width; i++)
        sum = (sum ^ set[i]) * 0x9e3779b97f4a7c15u + (sum >> 29);
    return (guint)(sum >> 32);
}

static const word **slot_of(const struct sets *sets, const word *set)
{
    guint at = hash(set, sets->width) & sets->slot_mask;
    while (sets->slots[at] != NULL && !set_same(sets->slots[at], set, sets->width))
        at = (at + 1) & sets->slot_mask;
    return &sets->slots[at];
}

static void grow(struct sets *sets)
{
    g_autofree const word **old = sets->slots;
    guint old_size = sets->slot_mask + 1;
    sets->slot_mask = old_size * 2 - 1;
    sets->slots = g_new0(const word *, (gsize)old_size * 2);
    for (guint i = 0; i < old_size; i++)
        if (old[i] != NULL)
            *slot_of(sets, old[i]) = old[i];
}

const word *sets_intern(struct sets *sets, const word *set)
{
    const word **slot = slot_of(sets, set);
    if (*slot != NULL)
        return *slot;
    const word *made = *slot = memcpy(set_new(sets), set, sets->width * sizeof(word));
    if (++sets->count > sets->slot_mask / 2)
        grow(sets);
    return made;
}

word *set_new(struct sets *sets)
{
    return arena_take(sets->arena, sets->width * sizeof(word));
}

bool set_within(const word *a, const word *b, guint width)
{
    for (guint i = 0; i < width; i++)
        if (a[i] & ~b[i])
            return false;
    return true;
}

bool set_same(const word *a, const word *b, guint width)
{
    return memcmp(a, b, width * sizeof(word)) == 0;
}

guint set_size(const word *a, guint width)
{
    return set_common(a, a, width);
}

guint set_common(const word *a, const word *b, guint width)
{
    guint size = 0;
    for (guint i = 0; i < width; i++)
        size += (guint)__builtin_popcountll(a[i] & b[i]);
    return size;
}
