// SPDX-License-Identifier: Apache-2.0
/* Facts, and a world in memory. */
#include "engine/fact.h"

#include "trace/trace.h"

int fact_compare(const struct fact *a, const struct fact *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return trace_compare_paths(a->subject, b->subject);
}

bool fact_answer_equal(const struct fact_answer *a, const struct fact_answer *b)
{
    return a->what == b->what && digest_equal(&a->digest, &b->digest);
}

void world_free(struct world *world)
{
    if (world != NULL)
        world->operations->free(world);
}

bool world_ask(struct world *world, enum fact_kind kind, const char *subject,
               struct fact_answer *answer, GError **error)
{
    const struct fact fact = { kind, subject };
    *answer = (struct fact_answer){ 0 };
    return world->operations->look_up(world, &fact, 1, answer, error);
}

struct memory_world {
    struct world world;
    GHashTable *kinds[FACT_KINDS]; /* char * -> struct fact_answer * */
};

static bool memory_look_up(struct world *world, const struct fact *facts, gsize count,
                           struct fact_answer *answers, GError **error)
{
    struct memory_world *memory = (struct memory_world *)world;
    for (gsize i = 0; i < count; i++) {
        const struct fact_answer *known =
            g_hash_table_lookup(memory->kinds[facts[i].kind], facts[i].subject);
        answers[i] = known == NULL ? (struct fact_answer){ 0 } : *known;
    }
    return true;
}

static void memory_free(struct world *world)
{
    struct memory_world *memory = (struct memory_world *)world;
    for (guint kind = 0; kind < FACT_KINDS; kind++)
        g_hash_table_unref(memory->kinds[kind]);
    g_free(memory);
}

struct world *world_memory_new(void)
{
    static const struct world_operations operations = { .look_up = memory_look_up,
                                                        .free = memory_free };
    struct memory_world *memory = g_new0(struct memory_world, 1);
    memory->world.operations = &operations;
    for (guint kind = 0; kind < FACT_KINDS; kind++)
        memory->kinds[kind] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return &memory->world;
}

void world_memory_put(struct world *world, enum fact_kind kind, const char *subject,
                      const struct fact_answer *answer)
{
    struct memory_world *memory = (struct memory_world *)world;
    g_hash_table_insert(memory->kinds[kind], g_strdup(subject), g_memdup2(answer, sizeof *answer));
}
