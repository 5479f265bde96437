// SPDX-License-Identifier: Apache-2.0
/* What has changed since a recording. */
#include "trace/trace-internal.h"

#include <string.h>

/* One path in both states. */
struct pair {
    const char *path;
    unsigned aspects;
    const struct trace_value *old, *now;
};

struct comparison {
    GArray *pairs; /* struct pair, by path */
    trace_difference_visit visit;
    void *user;
};

/* --- path by path ----------------------------------------------------------------------------- */

static bool opened_equal(const struct trace_value *a, const struct trace_value *b)
{
    return a->unreadable == b->unreadable &&
           (a->unreadable || digest_equal(&a->digest, &b->digest));
}

/* The aspects, of those asked for, in which two values differ. */
static unsigned differing(unsigned aspects, const struct trace_value *a,
                          const struct trace_value *b)
{
    if (a->kind != b->kind)
        return TRACE_KIND;
    unsigned told = aspects & trace_kind_aspects(a->kind), out = 0;
    if ((told & TRACE_CONTENT) != 0 && ((a->mode & TRACE_MODE) != (b->mode & TRACE_MODE) ||
                                        (a->kind == TRACE_FILE && !opened_equal(a, b))))
        out |= TRACE_CONTENT;
    if ((told & TRACE_NAMES) != 0 && !opened_equal(a, b))
        out |= TRACE_NAMES;
    if ((told & TRACE_TARGET) != 0 && strcmp(a->target, b->target) != 0)
        out |= TRACE_TARGET;
    if ((told & TRACE_XATTRS) != 0 && g_strcmp0(a->xattrs, b->xattrs) != 0)
        out |= TRACE_XATTRS;
    return out;
}

static void compare_path(const struct comparison *all, const struct pair *pair)
{
    unsigned aspects = differing(pair->aspects, pair->old, pair->now);
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++) {
        const struct trace_difference difference = {
            .path = pair->path,
            .aspect = (enum trace_aspect)(1u << bit),
            .old = pair->old,
            .now = pair->now,
        };
        if ((aspects & 1u << bit) != 0)
            all->visit(&difference, all->user);
    }
}

/* --- the order of times ----------------------------------------------------------------------- */

static int compare_ranks(gconstpointer a, gconstpointer b)
{
    const struct pair *x = a, *y = b;
    int order = (x->old->time > y->old->time) - (x->old->time < y->old->time);
    return order != 0 ? order : trace_compare_paths(x->path, y->path);
}

static int relation(const struct trace_value *a, const struct trace_value *b)
{
    return (a->time > b->time) - (a->time < b->time);
}

/* If every two neighbours stand as they did, all do. */
static void compare_order(const struct comparison *all)
{
    g_autoptr(GArray) timed = g_array_new(FALSE, FALSE, sizeof(struct pair));
    for (guint i = 0; i < all->pairs->len; i++) {
        const struct pair *pair = &g_array_index(all->pairs, struct pair, i);
        if ((pair->aspects & TRACE_TIME) != 0 && pair->old->time != 0 && pair->now->time != 0)
            g_array_append_vals(timed, pair, 1);
    }
    g_array_sort(timed, compare_ranks);
    for (guint i = 1; i < timed->len; i++) {
        const struct pair *a = &g_array_index(timed, struct pair, i - 1);
        const struct pair *b = &g_array_index(timed, struct pair, i);
        const struct trace_difference difference = {
            .path = a->path,
            .aspect = TRACE_TIME,
            .other = b->path,
            .old = a->old,
            .now = a->now,
            .other_old = b->old,
            .other_now = b->now,
        };
        if (relation(a->old, b->old) != relation(a->now, b->now))
            all->visit(&difference, all->user);
    }
}

static void compare_all(const struct comparison *all)
{
    for (guint i = 0; i < all->pairs->len; i++)
        compare_path(all, &g_array_index(all->pairs, struct pair, i));
    compare_order(all);
}

/* --- a state, or another trace ---------------------------------------------------------------- */

static bool explain(const struct path_set *set, GBytes *values, GStringChunk *texts,
                    struct trace_state *state, const struct comparison *all, GError **error)
{
    size_t count = path_set_count(set);
    g_autofree struct trace_value *old = g_new0(struct trace_value, count);
    g_autofree struct trace_value *now = g_new0(struct trace_value, count);
    if (!path_set_decode_values(set, values, texts, old, error) ||
        !path_set_answer(set, state, now, error))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct trace_question *question = path_set_at(set, i);
        const struct pair pair = { question->path, question->aspects, &old[i], &now[i] };
        g_array_append_val(all->pairs, pair);
    }
    compare_all(all);
    return true;
}

bool path_set_explain(const struct path_set *set, GBytes *values, struct trace_state *state,
                      trace_difference_visit visit, void *user, GError **error)
{
    g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
    const struct comparison all = { pairs, visit, user };
    GStringChunk *texts = g_string_chunk_new(64);
    bool ok = explain(set, values, texts, state, &all, error);
    g_string_chunk_free(texts);
    return ok;
}

void trace_compare(const struct trace *old, const struct trace *now, trace_difference_visit visit,
                   void *user)
{
    g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
    const struct comparison all = { pairs, visit, user };
    for (size_t i = 0; i < trace_fact_count(old); i++) {
        const struct trace_fact *before = trace_fact(old, i);
        const struct trace_fact *after = trace_find(now, before->path);
        if (after == NULL)
            continue;
        const struct pair pair = { before->path, before->aspects & after->aspects, &before->value,
                                   &after->value };
        g_array_append_val(pairs, pair);
    }
    compare_all(&all);
}
