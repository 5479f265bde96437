// SPDX-License-Identifier: Apache-2.0
/*
 * When the present content of a path was first seen there.
 *
 * In memory a table per directory, read from the store when a path in it is first asked for, and
 * written back as one record. A record that is gone or malformed costs the memory of its times:
 * then what is there is new, which can make a run happen again and never a wrong hit. Format:
 * doc/format/clock.md.
 */
#include "trace/trace-internal.h"

#include <pthread.h>
#include <string.h>

#define KEY_SIZE (1 + DIGEST_HASH_SIZE)

struct moment {
    struct digest content;
    gint64 time;
};

struct folder {
    GTree *moments; /* char* name -> struct moment*; sorted, so that records are canonical */
    bool dirty;
};

struct trace_clock {
    struct store *store;  /* may be NULL */
    pthread_mutex_t lock; /* guards the rest */
    GHashTable *folders;  /* char* path of a directory -> struct folder* */
};

static int compare_names(gconstpointer a, gconstpointer b, gpointer user)
{
    return strcmp(a, b);
}

static struct folder *folder_new(void)
{
    struct folder *folder = g_new0(struct folder, 1);
    folder->moments = g_tree_new_full(compare_names, NULL, g_free, g_free);
    return folder;
}

static void folder_free(void *data)
{
    struct folder *folder = data;
    g_tree_unref(folder->moments);
    g_free(folder);
}

struct trace_clock *trace_clock_new(struct store *store)
{
    struct trace_clock *clock = g_new0(struct trace_clock, 1);
    clock->store = store;
    pthread_mutex_init(&clock->lock, NULL);
    clock->folders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, folder_free);
    return clock;
}

void trace_clock_free(struct trace_clock *clock)
{
    if (clock == NULL)
        return;
    g_hash_table_unref(clock->folders);
    pthread_mutex_destroy(&clock->lock);
    g_free(clock);
}

/* --- records ---------------------------------------------------------------------------------- */

static void make_key(const char *directory, guint8 key[KEY_SIZE])
{
    struct digest digest;
    digest_of(directory, strlen(directory), &digest);
    key[0] = 'c';
    memcpy(key + 1, digest.hash, DIGEST_HASH_SIZE);
}

static gboolean put_moment(void *name, void *data, void *out)
{
    const struct moment *moment = data;
    g_autoptr(GByteArray) entry = g_byte_array_new();
    wire_put_bytes(entry, 1, name, strlen(name));
    wire_put_bytes(entry, 2, moment->content.hash, DIGEST_HASH_SIZE);
    wire_put_varint(entry, 3, (guint64)moment->content.size);
    wire_put_varint(entry, 4, (guint64)moment->time);
    wire_put_message(out, 1, entry);
    return FALSE;
}

static bool take_moment(struct folder *folder, const struct wire_field *outer)
{
    struct wire_reader reader;
    struct wire_field field;
    struct moment moment = { 0 };
    g_autofree char *name = NULL;
    bool hashed = false;
    if (outer->number != 1 || outer->type != WIRE_BYTES)
        return false;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && field.type == WIRE_BYTES && name == NULL) {
            name = g_strndup((const char *)field.data, field.size);
        } else if (field.number == 2 && field.type == WIRE_BYTES &&
                   field.size == DIGEST_HASH_SIZE) {
            memcpy(moment.content.hash, field.data, DIGEST_HASH_SIZE);
            hashed = true;
        } else if (field.number == 3 && field.type == WIRE_VARINT && field.value <= G_MAXINT64) {
            moment.content.size = (gint64)field.value;
        } else if (field.number == 4 && field.type == WIRE_VARINT) {
            moment.time = (gint64)field.value;
        } else {
            return false;
        }
    }
    if (reader.failed || name == NULL || !hashed)
        return false;
    g_tree_replace(folder->moments, g_steal_pointer(&name), g_memdup2(&moment, sizeof moment));
    return true;
}

static struct folder *load(struct trace_clock *clock, const char *directory)
{
    guint8 key[KEY_SIZE];
    struct folder *folder = folder_new();
    struct wire_reader reader;
    struct wire_field field;
    make_key(directory, key);
    g_autoptr(GBytes) record =
        clock->store == NULL ? NULL : store_record_get(clock->store, STORE_STAT, key, sizeof key);
    if (record == NULL)
        return folder;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(record, NULL), g_bytes_get_size(record));
    while (ok && wire_next(&reader, &field))
        ok = take_moment(folder, &field);
    if (ok && !reader.failed)
        return folder;
    folder_free(folder);
    return folder_new();
}

bool trace_clock_dirty(struct trace_clock *clock)
{
    GHashTableIter each;
    void *folder;
    bool dirty = false;
    pthread_mutex_lock(&clock->lock);
    g_hash_table_iter_init(&each, clock->folders);
    while (!dirty && g_hash_table_iter_next(&each, NULL, &folder))
        dirty = ((const struct folder *)folder)->dirty;
    pthread_mutex_unlock(&clock->lock);
    return dirty;
}

void trace_clock_flush(struct trace_clock *clock, struct store_batch *batch)
{
    GHashTableIter each;
    void *directory, *data;
    pthread_mutex_lock(&clock->lock);
    g_hash_table_iter_init(&each, clock->folders);
    while (g_hash_table_iter_next(&each, &directory, &data)) {
        struct folder *folder = data;
        guint8 key[KEY_SIZE];
        if (!folder->dirty)
            continue;
        GByteArray *out = g_byte_array_new();
        g_tree_foreach(folder->moments, put_moment, out);
        g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(out);
        make_key(directory, key);
        store_batch_put_record(batch, STORE_STAT, key, sizeof key, bytes);
        folder->dirty = false;
    }
    pthread_mutex_unlock(&clock->lock);
}

/* --- times ------------------------------------------------------------------------------------ */

/* Under the lock. */
static struct folder *folder_of(struct trace_clock *clock, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    g_assert(slash != NULL);
    *name = slash + 1;
    g_autofree char *directory = g_strndup(path, (gsize)(slash - path));
    struct folder *folder = g_hash_table_lookup(clock->folders, directory);
    if (folder == NULL) {
        folder = load(clock, directory);
        g_hash_table_insert(clock->folders, g_steal_pointer(&directory), folder);
    }
    return folder;
}

static void remember(struct folder *folder, const char *name, const struct digest *content,
                     gint64 time)
{
    const struct moment moment = { *content, time };
    g_tree_replace(folder->moments, g_strdup(name), g_memdup2(&moment, sizeof moment));
    folder->dirty = true;
}

gint64 trace_clock_time(struct trace_clock *clock, const char *path, const struct digest *content,
                        gint64 modified, gint64 changed)
{
    const char *name;
    gint64 time;
    pthread_mutex_lock(&clock->lock);
    struct folder *folder = folder_of(clock, path, &name);
    const struct moment *moment = g_tree_lookup(folder->moments, name);
    if (moment != NULL && digest_equal(&moment->content, content)) {
        time = moment->time;
    } else {
        time = moment == NULL ? modified : MAX(modified, changed);
        remember(folder, name, content, time);
    }
    pthread_mutex_unlock(&clock->lock);
    return time;
}

void trace_clock_set(struct trace_clock *clock, const char *path, const struct digest *content,
                     gint64 time)
{
    const char *name;
    pthread_mutex_lock(&clock->lock);
    struct folder *folder = folder_of(clock, path, &name);
    remember(folder, name, content, time);
    pthread_mutex_unlock(&clock->lock);
}
