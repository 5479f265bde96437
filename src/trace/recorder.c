// SPDX-License-Identifier: Apache-2.0
/*
 * What is learned while an action runs, gathered from many threads.
 *
 * Paths are spread over shards by their hash, each with a lock of its own, since every look-up of a
 * view passes through here. Numbers of processes are handed out under another lock, and writes,
 * which are fewer, stand in a table of their own.
 *
 *              note, write, process, uncacheable     seal      free
 *   recording  any thread                            once      yes
 *   sealed     no                                    no        yes
 */
#include "trace/trace-internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHARDS 32
#define CHUNK_SIZE (16 * 1024)

/* One path. What has been learned of it is guarded by its shard's lock. */
struct entry {
    const char *path; /* as trace.h keeps it; in the shard's texts */
    size_t length;
    guint hash;
    unsigned aspects;
    bool unstable, unreadable, has_stamp, has_content, has_names;
    guint32 asked[TRACE_ASPECTS];
    enum trace_kind kind;
    guint32 mode;
    struct trace_stamp stamp;
    struct digest digest; /* files: content; directories: names */
    const char *target;
    gint64 time;
    const char *xattrs; /* NULL: none */
};

struct shard {
    pthread_mutex_t lock;
    GHashTable *entries; /* struct entry, as a set */
    GStringChunk *texts;
} __attribute__((aligned(64)));

struct recorder {
    char *root, *except; /* `except` may be NULL */
    size_t root_length;  /* 0 for "/" */
    guint64 count, text; /* paths and their bytes; atomic */
    bool sealed;
    struct trace *trace; /* once sealed: has the strings that entries refer to */
    struct shard shards[SHARDS];

    pthread_mutex_t lock; /* guards the rest */
    GStringChunk *texts;
    GHashTable *lists;   /* char **, a set: equal lists of strings in `texts` */
    GArray *processes;   /* struct trace_process */
    GHashTable *written; /* struct trace_written, as a set by path and process */
    char *uncacheable;
};

/* --- tables ----------------------------------------------------------------------------------- */

static guint entry_hash(gconstpointer entry)
{
    return ((const struct entry *)entry)->hash;
}

static gboolean entry_equal(gconstpointer a, gconstpointer b)
{
    const struct entry *x = a, *y = b;
    return x->hash == y->hash && x->length == y->length && memcmp(x->path, y->path, x->length) == 0;
}

/* The strings of a list are interned: equal ones are the same. */
static size_t list_size(char *const *list)
{
    size_t count = 0;
    while (list[count] != NULL)
        count++;
    return (count + 1) * sizeof *list;
}

static guint list_hash(gconstpointer list)
{
    return (guint)XXH3_64bits(list, list_size((char *const *)list));
}

static gboolean list_equal(gconstpointer a, gconstpointer b)
{
    size_t size = list_size(a);
    return size == list_size(b) && memcmp(a, b, size) == 0;
}

static guint written_hash(gconstpointer written)
{
    const struct trace_written *at = written;
    return (guint)XXH3_64bits(at->path, strlen(at->path)) ^ at->process;
}

static gboolean written_equal(gconstpointer a, gconstpointer b)
{
    const struct trace_written *x = a, *y = b;
    return x->process == y->process && strcmp(x->path, y->path) == 0;
}

/* --- life ------------------------------------------------------------------------------------- */

struct recorder *recorder_new(const char *workspace_root)
{
    g_assert(workspace_root[0] == '/');
    void *memory = NULL;
    if (posix_memalign(&memory, 64, sizeof(struct recorder)) != 0)
        g_error("out of memory");
    struct recorder *recorder = memset(memory, 0, sizeof *recorder);
    recorder->root = g_strdup(workspace_root);
    recorder->root_length = workspace_root[1] == '\0' ? 0 : strlen(workspace_root);
    for (guint i = 0; i < SHARDS; i++) {
        struct shard *shard = &recorder->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->entries = g_hash_table_new_full(entry_hash, entry_equal, g_free, NULL);
        shard->texts = g_string_chunk_new(CHUNK_SIZE);
    }
    pthread_mutex_init(&recorder->lock, NULL);
    recorder->texts = g_string_chunk_new(CHUNK_SIZE);
    recorder->lists = g_hash_table_new_full(list_hash, list_equal, g_free, NULL);
    recorder->processes = g_array_new(FALSE, FALSE, sizeof(struct trace_process));
    recorder->written = g_hash_table_new_full(written_hash, written_equal, g_free, NULL);
    return recorder;
}

void recorder_free(struct recorder *recorder)
{
    if (recorder == NULL)
        return;
    for (guint i = 0; i < SHARDS; i++) {
        struct shard *shard = &recorder->shards[i];
        g_hash_table_unref(shard->entries);
        g_clear_pointer(&shard->texts, g_string_chunk_free);
        pthread_mutex_destroy(&shard->lock);
    }
    trace_unref(recorder->trace);
    g_hash_table_unref(recorder->lists);
    g_clear_pointer(&recorder->texts, g_string_chunk_free);
    g_clear_pointer(&recorder->processes, g_array_unref);
    g_hash_table_unref(recorder->written);
    pthread_mutex_destroy(&recorder->lock);
    g_free(recorder->uncacheable);
    g_free(recorder->root);
    g_free(recorder->except);
    free(recorder);
}

void recorder_except(struct recorder *recorder, const char *path)
{
    g_free(recorder->except);
    recorder->except = g_strdup(path);
}

/* --- processes -------------------------------------------------------------------------------- */

static char *keep_text(struct recorder *recorder, const char *text)
{
    return text == NULL ? NULL : g_string_chunk_insert_const(recorder->texts, text);
}

static char **keep_list(struct recorder *recorder, char *const *list)
{
    guint count = list == NULL ? 0 : g_strv_length((char **)list);
    g_autofree char **copy = g_new(char *, count + 1);
    for (guint i = 0; i < count; i++)
        copy[i] = keep_text(recorder, list[i]);
    copy[count] = NULL;
    char **known = g_hash_table_lookup(recorder->lists, copy);
    if (known == NULL)
        g_hash_table_add(recorder->lists, known = g_steal_pointer(&copy));
    return known;
}

guint32 recorder_process(struct recorder *recorder, const struct trace_process *process)
{
    pthread_mutex_lock(&recorder->lock);
    g_assert(process->parent <= recorder->processes->len);
    const struct trace_process copy = {
        .pid = process->pid,
        .start = process->start,
        .parent = process->parent,
        .argv = keep_list(recorder, process->argv),
        .environment = keep_list(recorder, process->environment),
        .directory = keep_text(recorder, process->directory),
        .program = keep_text(recorder, process->program),
    };
    g_array_append_val(recorder->processes, copy);
    guint32 number = recorder->processes->len;
    pthread_mutex_unlock(&recorder->lock);
    return number;
}

/* --- notes ------------------------------------------------------------------------------------ */

void recorder_uncacheable(struct recorder *recorder, const char *reason)
{
    pthread_mutex_lock(&recorder->lock);
    if (recorder->uncacheable == NULL)
        recorder->uncacheable = g_strdup(reason);
    pthread_mutex_unlock(&recorder->lock);
}

/* Once there was none there is none. */
static bool has_room(struct recorder *recorder, size_t length)
{
    return __atomic_add_fetch(&recorder->count, 1, __ATOMIC_RELAXED) <= TRACE_FACTS_MAX &&
           __atomic_add_fetch(&recorder->text, length, __ATOMIC_RELAXED) <= TRACE_TEXT_MAX;
}

/* The entry of `path`, made if need be; NULL beyond the limit. The shard is locked. */
static struct entry *find_entry(struct recorder *recorder, struct shard *shard,
                                const struct entry *probe, const struct sight *sight)
{
    struct entry *entry = g_hash_table_lookup(shard->entries, probe);
    if (entry != NULL)
        return entry;
    if (!has_room(recorder, probe->length))
        return NULL;
    entry = g_new0(struct entry, 1);
    entry->path = g_string_chunk_insert_len(shard->texts, probe->path, (gssize)probe->length);
    entry->length = probe->length;
    entry->hash = probe->hash;
    entry->kind = sight->kind;
    g_hash_table_add(shard->entries, entry);
    return entry;
}

static bool content_agrees(const struct entry *entry, const struct sight *sight)
{
    if (entry->mode != (sight->mode & TRACE_MODE))
        return false;
    if (entry->kind != TRACE_FILE)
        return true;
    if (entry->has_stamp && sight->stamp != NULL)
        return trace_stamp_equal(&entry->stamp, sight->stamp);
    if (entry->has_content && sight->digest != NULL)
        return digest_equal(&entry->digest, sight->digest);
    /* A host file and a known content: sealing compares. One that was readable, and is not: no. */
    return entry->unreadable == (sight->stamp == NULL && sight->digest == NULL);
}

/* Does what is seen now fit what was seen before, for the aspects that both times were learned? */
static bool agrees(const struct entry *entry, unsigned both, const struct sight *sight)
{
    if (entry->kind != sight->kind)
        return false;
    if ((both & TRACE_CONTENT) != 0 && !content_agrees(entry, sight))
        return false;
    if ((both & TRACE_NAMES) != 0 &&
        (entry->has_names != (sight->digest != NULL) ||
         (entry->has_names && !digest_equal(&entry->digest, sight->digest))))
        return false;
    if ((both & TRACE_TARGET) != 0 && strcmp(entry->target, sight->target) != 0)
        return false;
    if ((both & TRACE_XATTRS) != 0 && g_strcmp0(entry->xattrs, sight->xattrs) != 0)
        return false;
    return (both & TRACE_TIME) == 0 || entry->time == sight->time;
}

static void learn_content(struct entry *entry, const struct sight *sight)
{
    entry->mode = sight->mode & TRACE_MODE;
    if (entry->kind != TRACE_FILE)
        return;
    entry->unreadable = sight->stamp == NULL && sight->digest == NULL;
    if (sight->stamp != NULL && !entry->has_stamp) {
        entry->has_stamp = true;
        entry->stamp = *sight->stamp;
    }
    if (sight->digest != NULL && !entry->has_content) {
        entry->has_content = true;
        entry->digest = *sight->digest;
    }
}

static void learn(struct shard *shard, struct entry *entry, unsigned fresh,
                  const struct sight *sight)
{
    if ((fresh & TRACE_CONTENT) != 0)
        learn_content(entry, sight);
    if ((fresh & TRACE_NAMES) != 0) {
        entry->has_names = sight->digest != NULL;
        entry->unreadable = sight->digest == NULL;
        entry->digest = sight->digest != NULL ? *sight->digest : entry->digest;
    }
    if ((fresh & TRACE_TARGET) != 0)
        entry->target = g_string_chunk_insert(shard->texts, sight->target);
    if ((fresh & TRACE_TIME) != 0)
        entry->time = sight->time;
    if ((fresh & TRACE_XATTRS) != 0 && sight->xattrs != NULL)
        entry->xattrs = g_string_chunk_insert(shard->texts, sight->xattrs);
}

/* The aspects that were really learned from `sight`. */
static unsigned effective(unsigned aspects, const struct sight *sight)
{
    unsigned possible = trace_kind_aspects(sight->kind);
    return possible & (aspects | TRACE_KIND | TRACE_ABSENT);
}

static void note_entry(struct shard *shard, struct entry *entry, unsigned aspects, guint32 process,
                       const struct sight *sight)
{
    unsigned fresh = aspects & ~entry->aspects, both = aspects & entry->aspects;
    if (!agrees(entry, both, sight))
        entry->unstable = true;
    else if ((both & TRACE_CONTENT) != 0)
        learn_content(entry, sight); /* a host file whose content is known by now, or the reverse */
    if (entry->kind == sight->kind)
        learn(shard, entry, fresh, sight);
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
        if ((fresh & 1u << bit) != 0)
            entry->asked[bit] = process;
    entry->aspects |= aspects;
}

static struct shard *shard_of(struct recorder *recorder, const char *path, struct entry *probe)
{
    const char *kept = trace_kept_form(recorder->root, recorder->root_length, path);
    *probe = (struct entry){ .path = kept, .length = strlen(kept) };
    guint64 hash = XXH3_64bits(kept, probe->length);
    probe->hash = (guint)hash;
    return &recorder->shards[hash >> 32 & (SHARDS - 1)];
}

void recorder_note(struct recorder *recorder, const char *path, unsigned aspects, guint32 process,
                   const struct sight *sight)
{
    struct entry probe;
    if (recorder->except != NULL && strcmp(path, recorder->except) == 0)
        return;
    struct shard *shard = shard_of(recorder, path, &probe);
    pthread_mutex_lock(&shard->lock);
    struct entry *entry = find_entry(recorder, shard, &probe, sight);
    if (entry != NULL)
        note_entry(shard, entry, effective(aspects, sight), process, sight);
    pthread_mutex_unlock(&shard->lock);
    if (entry == NULL)
        recorder_uncacheable(recorder, "it looked at too many files");
}

void recorder_unstable(struct recorder *recorder, const char *path)
{
    static const struct sight nothing = { .kind = TRACE_UNREACHABLE };
    struct entry probe;
    struct shard *shard = shard_of(recorder, path, &probe);
    pthread_mutex_lock(&shard->lock);
    struct entry *entry = find_entry(recorder, shard, &probe, &nothing);
    if (entry != NULL) {
        entry->unstable = true;
        entry->aspects |= entry->aspects == 0 ? TRACE_KIND : 0;
    }
    pthread_mutex_unlock(&shard->lock);
    if (entry == NULL)
        recorder_uncacheable(recorder, "it looked at too many files");
}

void recorder_write(struct recorder *recorder, const char *path, guint32 process, unsigned what)
{
    const struct trace_written probe = {
        .path = trace_kept_form(recorder->root, recorder->root_length, path), .process = process
    };
    pthread_mutex_lock(&recorder->lock);
    struct trace_written *known = g_hash_table_lookup(recorder->written, &probe);
    bool room = known != NULL || has_room(recorder, strlen(probe.path));
    if (known == NULL && room) {
        known = g_memdup2(&probe, sizeof probe);
        known->path = g_string_chunk_insert_const(recorder->texts, probe.path);
        g_hash_table_add(recorder->written, known);
    }
    if (known != NULL)
        known->what |= what;
    pthread_mutex_unlock(&recorder->lock);
    if (!room)
        recorder_uncacheable(recorder, "it wrote too many files");
}

/* --- visiting --------------------------------------------------------------------------------- */

static char *absolute_path(const struct recorder *recorder, const char *kept)
{
    if (kept[0] == '/')
        return g_strdup(kept);
    if (kept[0] == '\0')
        return g_strdup(recorder->root);
    return g_strconcat(recorder->root_length == 0 ? "" : recorder->root, "/", kept, NULL);
}

static void visit_entry(const struct recorder *recorder, const struct entry *entry,
                        const struct recorder_visitor *visitor, void *user)
{
    const struct sight sight = {
        .kind = entry->kind,
        .mode = entry->mode,
        .stamp = entry->has_stamp ? &entry->stamp : NULL,
        .digest = entry->has_content || entry->has_names ? &entry->digest : NULL,
        .target = entry->target,
        .time = entry->time,
        .xattrs = entry->xattrs,
    };
    g_autofree char *path = absolute_path(recorder, entry->path);
    visitor->fact(path, entry->aspects, entry->unstable, &sight, user);
}

void recorder_visit(struct recorder *recorder, const struct recorder_visitor *visitor, void *user)
{
    GHashTableIter each;
    void *item;
    for (guint i = 0; i < SHARDS; i++) {
        g_hash_table_iter_init(&each, recorder->shards[i].entries);
        while (g_hash_table_iter_next(&each, &item, NULL))
            visit_entry(recorder, item, visitor, user);
    }
    g_hash_table_iter_init(&each, recorder->written);
    while (g_hash_table_iter_next(&each, &item, NULL)) {
        const struct trace_written *written = item;
        g_autofree char *path = absolute_path(recorder, written->path);
        visitor->written(path, written->what, user);
    }
    if (recorder->uncacheable != NULL)
        visitor->uncacheable(recorder->uncacheable, user);
}

/* --- sealing ---------------------------------------------------------------------------------- */

static int compare_entries(gconstpointer a, gconstpointer b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    return trace_compare_paths(x->path, y->path);
}

static GPtrArray *sorted_entries(struct recorder *recorder)
{
    GPtrArray *entries = g_ptr_array_new();
    for (guint i = 0; i < SHARDS; i++) {
        GHashTableIter each;
        void *entry;
        g_hash_table_iter_init(&each, recorder->shards[i].entries);
        while (g_hash_table_iter_next(&each, &entry, NULL))
            g_ptr_array_add(entries, entry);
    }
    g_ptr_array_sort(entries, compare_entries);
    return entries;
}

static void conclude(struct entry *entry, const struct seal_item *item)
{
    switch (item->outcome) {
    case SEAL_HASHED:
        entry->unstable |= entry->has_content && !digest_equal(&entry->digest, &item->digest);
        entry->digest = entry->has_content ? entry->digest : item->digest;
        entry->has_content = true;
        break;
    case SEAL_UNREADABLE:
        entry->unstable |= entry->has_content;
        entry->unreadable = true;
        break;
    case SEAL_CHANGED:
        entry->unstable = true;
        break;
    }
}

/* Host files whose content was learned, and those whose content must be what is known of it. */
static void hash_entries(struct recorder *recorder, const GPtrArray *entries, seal_hash hash,
                         void *user)
{
    g_autoptr(GArray) items = g_array_new(FALSE, TRUE, sizeof(struct seal_item));
    g_autoptr(GPtrArray) owners = g_ptr_array_new();
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < entries->len; i++) {
        struct entry *entry = entries->pdata[i];
        if (!entry->has_stamp || entry->unstable)
            continue;
        char *path = absolute_path(recorder, entry->path);
        const struct seal_item item = { .path = path,
                                        .stamp = entry->stamp,
                                        .outcome = SEAL_CHANGED };
        g_ptr_array_add(paths, path);
        g_ptr_array_add(owners, entry);
        g_array_append_val(items, item);
    }
    if (items->len > 0)
        hash((struct seal_item *)items->data, items->len, user);
    for (guint i = 0; i < items->len; i++)
        conclude(owners->pdata[i], &g_array_index(items, struct seal_item, i));
}

static void seal_times(GArray *facts)
{
    g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (guint pass = 0, at = 0; pass < 2; pass++) {
        for (guint i = 0; i < facts->len; i++) {
            struct trace_fact *fact = &g_array_index(facts, struct trace_fact, i);
            if ((fact->aspects & trace_kind_aspects(fact->value.kind) & TRACE_TIME) == 0)
                continue;
            if (pass == 0)
                g_array_append_val(times, fact->value.time);
            else
                fact->value.time = g_array_index(times, gint64, at++);
        }
        if (pass == 0)
            trace_rank((gint64 *)times->data, times->len);
    }
}

static void seal_facts(struct trace *trace, const GPtrArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        const struct entry *entry = entries->pdata[i];
        struct trace_fact fact = {
            .path = entry->path,
            .aspects = entry->aspects,
            .unstable = entry->unstable,
            .value = { .kind = entry->kind,
                       .mode = entry->mode,
                       .unreadable = entry->unreadable,
                       .target = entry->target,
                       .time = entry->time,
                       .xattrs = entry->xattrs },
        };
        memcpy(fact.asked, entry->asked, sizeof fact.asked);
        if (entry->has_content || entry->has_names)
            fact.value.digest = entry->digest;
        g_array_append_val(trace->facts, fact);
    }
    seal_times(trace->facts);
}

static int compare_written(gconstpointer a, gconstpointer b)
{
    const struct trace_written *x = a, *y = b;
    int order = trace_compare_paths(x->path, y->path);
    return order != 0 ? order : (x->process > y->process) - (x->process < y->process);
}

static void seal_written(struct recorder *recorder, struct trace *trace)
{
    GHashTableIter each;
    void *written;
    g_hash_table_iter_init(&each, recorder->written);
    while (g_hash_table_iter_next(&each, &written, NULL))
        g_array_append_vals(trace->written, written, 1);
    g_array_sort(trace->written, compare_written);
}

/* The strings become the trace's own: nothing is copied. */
static void hand_over(struct recorder *recorder, struct trace *trace)
{
    for (guint i = 0; i < SHARDS; i++)
        g_ptr_array_add(trace->texts, g_steal_pointer(&recorder->shards[i].texts));
    g_ptr_array_add(trace->texts, g_steal_pointer(&recorder->texts));
    GHashTableIter each;
    void *list;
    g_hash_table_iter_init(&each, recorder->lists);
    while (g_hash_table_iter_next(&each, &list, NULL)) {
        g_ptr_array_add(trace->lists, list);
        g_hash_table_iter_steal(&each);
    }
    g_array_unref(trace->processes);
    trace->processes = g_steal_pointer(&recorder->processes);
    trace->uncacheable = g_strdup(recorder->uncacheable);
}

struct trace *recorder_seal(struct recorder *recorder, seal_hash hash, void *user)
{
    g_assert(!recorder->sealed);
    recorder->sealed = true;
    struct trace *trace = trace_new();
    g_autoptr(GPtrArray) entries = sorted_entries(recorder);
    hash_entries(recorder, entries, hash, user);
    seal_facts(trace, entries);
    seal_written(recorder, trace);
    hand_over(recorder, trace);
    recorder->trace = trace_ref(trace);
    return trace;
}
