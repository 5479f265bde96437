// SPDX-License-Identifier: Apache-2.0
/* The table of own outputs: learning, rolling back, encoding. */
#include "cache/own.h"

#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>

/* Two branches, a debug and a release build: a few pairs per path serve all that come back. */
#define PAIRS_MAX 8

enum state_kind { /* numbers are part of the format */
    STATE_ABSENT = 0,
    STATE_FILE = 1,
    STATE_EXECUTABLE = 2,
    STATE_LINK = 3,
    STATE_DIRECTORY = 4,
    STATE_FIFO = 5, /* after, never before: no command has one among its inputs */
};

struct state {
    enum state_kind kind;
    struct digest digest; /* files */
    char *target;         /* links; owned */
};

struct pair {
    struct state before, after;
};

struct own {
    GTree *paths; /* char* -> GArray of struct pair, newest first; sorted by bytes */
};

static void state_clear(struct state *state)
{
    g_clear_pointer(&state->target, g_free);
}

static void pair_clear(gpointer data)
{
    struct pair *pair = data;
    state_clear(&pair->before);
    state_clear(&pair->after);
}

static int compare_paths(gconstpointer a, gconstpointer b, gpointer user)
{
    return strcmp(a, b);
}

static struct own *own_new(void)
{
    struct own *own = g_new0(struct own, 1);
    own->paths = g_tree_new_full(compare_paths, NULL, g_free, (GDestroyNotify)g_array_unref);
    return own;
}

void own_free(struct own *own)
{
    if (own == NULL)
        return;
    g_tree_unref(own->paths);
    g_free(own);
}

static struct state state_of(const struct tree_entry *entry)
{
    if (entry == NULL)
        return (struct state){ .kind = STATE_ABSENT };
    if (entry->kind == TREE_DIRECTORY)
        return (struct state){ .kind = STATE_DIRECTORY };
    if (entry->kind == TREE_SYMLINK)
        return (struct state){ .kind = STATE_LINK, .target = g_strdup(entry->target) };
    return (struct state){ .kind = entry->executable ? STATE_EXECUTABLE : STATE_FILE,
                           .digest = entry->digest };
}

static bool state_is(const struct state *state, const struct tree_entry *entry, bool fifo)
{
    if (fifo || state->kind == STATE_FIFO)
        return fifo && state->kind == STATE_FIFO;
    switch (state->kind) {
    case STATE_ABSENT:
        return entry == NULL;
    case STATE_DIRECTORY:
        return entry != NULL && entry->kind == TREE_DIRECTORY;
    case STATE_LINK:
        return entry != NULL && entry->kind == TREE_SYMLINK &&
               strcmp(entry->target, state->target) == 0;
    default:
        return entry != NULL && entry->kind == TREE_FILE &&
               entry->executable == (state->kind == STATE_EXECUTABLE) &&
               digest_equal(&entry->digest, &state->digest);
    }
}

/* --- rolling back ----------------------------------------------------------------------------- */

/* A directory that own outputs brought about, and what was there before. */
struct made {
    const char *path;
    const struct state *before;
};

struct roll_back {
    struct store *store;
    const struct own_present *present;
    const struct tree *tree; /* present->tree */
    struct tree *empty;
    GArray *changes;     /* struct tree_change; paths borrowed from the table */
    GPtrArray *entries;  /* struct tree_entry*, what the changes point to */
    GHashTable *parents; /* const char*: directories that come back */
    GArray *made;        /* struct made, ascending */
    GHashTable *fifos;   /* const char*: FIFOs that go */
};

static bool is_file(const struct state *state)
{
    return state->kind == STATE_FILE || state->kind == STATE_EXECUTABLE;
}

/* Nothing comes back where the user has taken the directory away or put something else. */
static bool has_place(const struct roll_back *plan, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    const struct tree_entry *entry = tree_lookup(plan->tree, parent);
    return strchr(path, '/') == NULL || g_hash_table_contains(plan->parents, parent) ||
           (entry != NULL && entry->kind == TREE_DIRECTORY);
}

static bool can_restore(const struct roll_back *plan, const char *path, const struct state *state)
{
    if (state->kind == STATE_ABSENT)
        return true;
    if (is_file(state) && state->digest.size != 0 && !store_has(plan->store, &state->digest))
        return false;
    const struct glob *select = plan->present->select;
    return (select == NULL || glob_match(select, path, state->kind == STATE_DIRECTORY)) &&
           has_place(plan, path);
}

static void plan_change(struct roll_back *plan, const char *path, const struct state *before,
                        bool fifo)
{
    struct tree_change change = { .path = path };
    if (before->kind != STATE_ABSENT) {
        struct tree_entry *entry = g_new0(struct tree_entry, 1);
        entry->kind = before->kind == STATE_LINK        ? TREE_SYMLINK
                      : before->kind == STATE_DIRECTORY ? TREE_DIRECTORY
                                                        : TREE_FILE;
        entry->executable = before->kind == STATE_EXECUTABLE;
        entry->digest = before->digest;
        entry->target = before->target;
        entry->directory = before->kind == STATE_DIRECTORY ? plan->empty : NULL;
        g_ptr_array_add(plan->entries, entry);
        change.entry = entry;
    }
    if (before->kind == STATE_DIRECTORY)
        g_hash_table_add(plan->parents, (gpointer)path);
    if (fifo)
        g_hash_table_add(plan->fifos, (gpointer)path);
    g_array_append_val(plan->changes, change);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_path(const GPtrArray *paths, const char *path)
{
    return paths != NULL && paths->len > 0 &&
           bsearch(&path, paths->pdata, paths->len, sizeof path, compare_names) != NULL;
}

static gboolean plan_path(gpointer key, gpointer value, gpointer user)
{
    struct roll_back *plan = user;
    const GArray *pairs = value;
    const struct tree_entry *present = tree_lookup(plan->tree, key);
    bool fifo = has_path(plan->present->fifos, key);
    for (guint i = 0; i < pairs->len; i++) {
        const struct pair *pair = &g_array_index(pairs, struct pair, i);
        if (!state_is(&pair->after, present, fifo))
            continue;
        struct made made = { key, &pair->before };
        if (pair->after.kind == STATE_DIRECTORY)
            g_array_append_val(plan->made, made);
        else if (can_restore(plan, key, &pair->before))
            plan_change(plan, key, &pair->before, fifo);
        break;
    }
    return FALSE;
}

/*
 * Of the directories that own outputs brought about, those go in which nothing else is left. Going
 * backwards a directory's children are decided before it; only the topmost of a removed subtree
 * needs a change.
 */
static void plan_empty_directories(struct roll_back *plan, const struct tree *tree)
{
    g_autoptr(GHashTable) empty = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = plan->made->len; i-- > 0;) {
        const struct made *made = &g_array_index(plan->made, struct made, i);
        const struct tree_entry *entry = tree_lookup(tree, made->path);
        bool gone = entry != NULL && entry->kind == TREE_DIRECTORY &&
                    can_restore(plan, made->path, made->before);
        for (size_t k = 0; gone && k < tree_size(entry->directory); k++) {
            g_autofree char *child = path_join(made->path, tree_at(entry->directory, k)->name);
            gone = g_hash_table_contains(empty, child);
        }
        if (gone)
            g_hash_table_add(empty, (gpointer)made->path);
    }
    g_array_set_size(plan->changes, 0);
    for (guint i = 0; i < plan->made->len; i++) {
        const struct made *made = &g_array_index(plan->made, struct made, i);
        g_autofree char *parent = g_path_get_dirname(made->path);
        if (g_hash_table_contains(empty, made->path) && !g_hash_table_contains(empty, parent))
            plan_change(plan, made->path, made->before, false);
    }
}

static struct tree *apply_plan(const struct roll_back *plan, struct tree *tree)
{
    return tree_apply(tree, (struct tree_change *)(void *)plan->changes->data, plan->changes->len,
                      NULL);
}

static const char *first_foreign(const struct roll_back *plan)
{
    const GPtrArray *fifos = plan->present->fifos;
    for (guint i = 0; fifos != NULL && i < fifos->len; i++)
        if (!g_hash_table_contains(plan->fifos, fifos->pdata[i]))
            return fifos->pdata[i];
    return NULL;
}

struct tree *own_roll_back(const struct own *own, struct store *store,
                           const struct own_present *present, const char **foreign)
{
    struct roll_back plan = {
        .store = store,
        .present = present,
        .tree = present->tree,
        .empty = tree_empty(),
        .changes = g_array_new(FALSE, FALSE, sizeof(struct tree_change)),
        .entries = g_ptr_array_new_with_free_func(g_free),
        .parents = g_hash_table_new(g_str_hash, g_str_equal),
        .made = g_array_new(FALSE, FALSE, sizeof(struct made)),
        .fifos = g_hash_table_new(g_str_hash, g_str_equal),
    };
    g_tree_foreach(own->paths, plan_path, &plan);
    g_autoptr(tree) files = apply_plan(&plan, present->tree);
    struct tree *rolled = NULL;
    if (files != NULL) {
        plan_empty_directories(&plan, files);
        rolled = apply_plan(&plan, files);
    }
    if (rolled == NULL)
        g_hash_table_remove_all(plan.fifos);
    if (foreign != NULL)
        *foreign = first_foreign(&plan);
    g_array_unref(plan.changes);
    g_ptr_array_unref(plan.entries);
    g_hash_table_unref(plan.parents);
    g_array_unref(plan.made);
    g_hash_table_unref(plan.fifos);
    tree_unref(plan.empty);
    return rolled == NULL ? tree_ref(present->tree) : rolled;
}

/* --- learning --------------------------------------------------------------------------------- */

static bool same_state(const struct state *a, const struct state *b)
{
    return a->kind == b->kind && digest_equal(&a->digest, &b->digest) &&
           g_strcmp0(a->target, b->target) == 0;
}

static bool learn_pair(struct own *own, const char *path, struct pair pair)
{
    GArray *pairs = g_tree_lookup(own->paths, path);
    if (pairs == NULL) {
        pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
        g_array_set_clear_func(pairs, pair_clear);
        g_tree_insert(own->paths, g_strdup(path), pairs);
    }
    for (guint i = 0; i < pairs->len; i++) {
        struct pair *known = &g_array_index(pairs, struct pair, i);
        if (!same_state(&known->after, &pair.after))
            continue;
        if (same_state(&known->before, &pair.before)) {
            pair_clear(&pair);
            return false;
        }
        g_array_remove_index(pairs, i); /* one `after` leads to one `before`: the newest */
        break;
    }
    g_array_prepend_val(pairs, pair);
    if (pairs->len > PAIRS_MAX)
        g_array_set_size(pairs, PAIRS_MAX);
    return true;
}

struct learning {
    struct own *own;
    const struct tree *inputs;
    bool learned;
};

static void learn_state(struct learning *learning, const char *path, struct state after)
{
    struct pair pair = { state_of(tree_lookup(learning->inputs, path)), after };
    if (same_state(&pair.before, &pair.after))
        pair_clear(&pair);
    else if (learn_pair(learning->own, path, pair))
        learning->learned = true;
}

static bool learn_output(const char *path, const struct tree_entry *entry, void *user)
{
    learn_state(user, path, state_of(entry));
    return true;
}

/* Paths of the FIFOs that a result holds; borrowed from it. */
static GHashTable *fifos_of(const struct result *result)
{
    GHashTable *fifos = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < result->extras->len; i++) {
        const struct output_extra *extra = result->extras->pdata[i];
        if (extra->fifo)
            g_hash_table_add(fifos, extra->path);
    }
    return fifos;
}

bool own_learn(struct own *own, const struct tree *inputs, const struct tree *outputs,
               const struct result *result)
{
    struct learning learning = { own, inputs, false };
    g_autoptr(GHashTable) fifos = fifos_of(result);
    GHashTableIter iter;
    gpointer path;
    tree_walk(outputs, learn_output, &learning);
    for (char **deleted = result->deleted; deleted != NULL && *deleted != NULL; deleted++)
        if (tree_lookup(inputs, *deleted) != NULL && !g_hash_table_contains(fifos, *deleted))
            learn_output(*deleted, NULL, &learning);
    g_hash_table_iter_init(&iter, fifos);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        learn_state(&learning, path, (struct state){ .kind = STATE_FIFO });
    return learning.learned;
}

struct forgetting {
    const struct own_present *present;
    const struct tree *outputs;
    GHashTable *fifos;    /* among the outputs */
    GPtrArray *left_over; /* borrowed from the table */
};

/* Where the command left nothing, nothing is what is rolled back. */
static bool leaves_nothing(const GArray *pairs)
{
    for (guint i = 0; i < pairs->len; i++)
        if (g_array_index(pairs, struct pair, i).after.kind == STATE_ABSENT)
            return true;
    return false;
}

static gboolean note_left_over(gpointer key, gpointer value, gpointer user)
{
    struct forgetting *forgetting = user;
    if (tree_lookup(forgetting->present->tree, key) == NULL &&
        !has_path(forgetting->present->fifos, key) &&
        tree_lookup(forgetting->outputs, key) == NULL &&
        !g_hash_table_contains(forgetting->fifos, key) && !leaves_nothing(value))
        g_ptr_array_add(forgetting->left_over, key);
    return FALSE;
}

void own_forget(struct own *own, const struct own_present *present, const struct tree *outputs,
                const struct result *result)
{
    g_autoptr(GPtrArray) left_over = g_ptr_array_new();
    g_autoptr(GHashTable) fifos = fifos_of(result);
    struct forgetting forgetting = { present, outputs, fifos, left_over };
    if (g_tree_nnodes(own->paths) <= OWN_LEFT_OVERS)
        return;
    g_tree_foreach(own->paths, note_left_over, &forgetting);
    for (guint i = 0; left_over->len > OWN_LEFT_OVERS && i < left_over->len; i++)
        g_tree_remove(own->paths, left_over->pdata[i]);
}

/* --- encoding --------------------------------------------------------------------------------- */

static void put_state(GByteArray *out, guint32 number, const struct state *state)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    wire_put_varint(message, 1, state->kind);
    if (is_file(state)) {
        g_autoptr(GByteArray) digest = g_byte_array_new();
        digest_encode(&state->digest, digest);
        wire_put_message(message, 2, digest);
    }
    wire_put_string(message, 3, state->target);
    wire_put_message(out, number, message);
}

static gboolean put_path(gpointer key, gpointer value, gpointer user)
{
    const GArray *pairs = value;
    g_autoptr(GByteArray) message = g_byte_array_new();
    wire_put_string(message, 1, key);
    for (guint i = 0; i < pairs->len; i++) {
        const struct pair *pair = &g_array_index(pairs, struct pair, i);
        g_autoptr(GByteArray) inner = g_byte_array_new();
        put_state(inner, 1, &pair->before);
        put_state(inner, 2, &pair->after);
        wire_put_message(message, 2, inner);
    }
    wire_put_message(user, 1, message);
    return FALSE;
}

GBytes *own_encode(const struct own *own)
{
    GByteArray *out = g_byte_array_new();
    g_tree_foreach(own->paths, put_path, out);
    return g_byte_array_free_to_bytes(out);
}

static bool take_state(const struct wire_field *outer, struct state *state)
{
    struct wire_reader reader;
    struct wire_field field;
    bool has_digest = false;
    if (outer->type != WIRE_BYTES)
        return false;
    state_clear(state);
    *state = (struct state){ 0 };
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && field.type == WIRE_VARINT && field.value <= STATE_FIFO)
            state->kind = (enum state_kind)field.value;
        else if (field.number == 2 && field.type == WIRE_BYTES && !has_digest)
            has_digest = digest_decode(field.data, field.size, &state->digest);
        else if (field.number == 3 && state->target == NULL)
            state->target = wire_field_string(&field);
        else
            return false;
    }
    bool has_target = state->target != NULL && *state->target != '\0';
    return !reader.failed && has_digest == is_file(state) &&
           has_target == (state->kind == STATE_LINK) && (has_target || state->target == NULL);
}

static bool take_pair(const struct wire_field *outer, GArray *pairs)
{
    struct wire_reader reader;
    struct wire_field field;
    if (outer->type != WIRE_BYTES || pairs->len >= PAIRS_MAX)
        return false;
    g_array_append_val(pairs, (struct pair){ 0 });
    struct pair *pair = &g_array_index(pairs, struct pair, pairs->len - 1);
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        bool ok = field.number == 1   ? take_state(&field, &pair->before)
                  : field.number == 2 ? take_state(&field, &pair->after)
                                      : false;
        if (!ok)
            return false;
    }
    return !reader.failed && pair->before.kind != STATE_FIFO;
}

static bool take_path(const struct wire_field *outer, struct own *own)
{
    g_autofree char *path = NULL;
    g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
    struct wire_reader reader;
    struct wire_field field;
    g_array_set_clear_func(pairs, pair_clear);
    if (outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && path == NULL)
            path = wire_field_string(&field);
        else if (field.number != 2 || !take_pair(&field, pairs))
            return false;
    }
    if (reader.failed || path == NULL || !path_is_relative(path))
        return false;
    g_tree_insert(own->paths, g_steal_pointer(&path), g_steal_pointer(&pairs));
    return true;
}

struct own *own_decode(GBytes *bytes, GError **error)
{
    g_autoptr(own) own = own_new();
    struct wire_reader reader;
    struct wire_field field;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field))
        ok = field.number == 1 && take_path(&field, own);
    if (!ok || reader.failed) {
        fault_set(error, FAULT_CORRUPT, "a record of own outputs is malformed");
        return NULL;
    }
    return g_steal_pointer(&own);
}

struct own *own_load(struct store *store, const struct digest *weak)
{
    guint8 key[CACHE_KEY_SIZE];
    cache_key(weak, key);
    g_autoptr(GBytes) value = store_record_get(store, STORE_PATH_SETS, key, sizeof key);
    struct own *own = value == NULL ? NULL : own_decode(value, NULL);
    return own == NULL ? own_new() : own;
}

void own_record(const struct own *own, struct store_batch *batch, const struct digest *weak)
{
    guint8 key[CACHE_KEY_SIZE];
    cache_key(weak, key);
    g_autoptr(GBytes) value = own_encode(own);
    store_batch_put_record(batch, STORE_PATH_SETS, key, sizeof key, value);
}
