// SPDX-License-Identifier: Apache-2.0
/* The host's files as a state, and the content of sighted files when a trace is sealed. */
#include "trace/trace-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define TRIES 4 /* once, and thrice again */

struct host_state;

/* What a thread needs that looks up. */
struct finder {
    const struct host_state *state;
    struct walk *walk;
    GStringChunk *texts;
};

struct host_state {
    struct trace_state base;
    struct finder finder; /* of the thread that asks; others have their own for a while */
    char *root;
    size_t root_length;
    struct stat_cache *cache;
    struct trace_clock *clock;
    GHashTable *known; /* struct known, a set: what has been answered */
    pthread_mutex_t lock;
    GPtrArray *targets; /* GStringChunk: texts in the answers of other threads; guarded by lock */
};

/* An answer that was given. */
struct known {
    const char *path;
    guint hash;
    unsigned aspects;
    struct trace_value value;
};

static struct host_state *host(struct trace_state *state)
{
    return (struct host_state *)state;
}

static guint known_hash(gconstpointer known)
{
    return ((const struct known *)known)->hash;
}

static gboolean known_equal(gconstpointer a, gconstpointer b)
{
    const struct known *x = a, *y = b;
    return x->hash == y->hash && strcmp(x->path, y->path) == 0;
}

/* --- one path --------------------------------------------------------------------------------- */

enum outcome {
    OUTCOME_DONE,
    OUTCOME_CHANGED, /* it moved: look again */
};

static enum trace_kind listed_kind(int directory, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return trace_kind_of(DTTOIF(entry->d_type));
    return fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? trace_kind_of(status.st_mode)
               : TRACE_UNREACHABLE;
}

/* Takes `directory`. */
static bool read_names(GStringChunk *texts, int directory, GArray *names)
{
    DIR *stream = fdopendir(directory);
    if (stream == NULL) {
        fd_close(&directory);
        return false;
    }
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const struct trace_name name = {
            .name = g_string_chunk_insert(texts, entry->d_name),
            .kind = listed_kind(directory, entry),
        };
        g_array_append_val(names, name);
    }
    bool ok = errno == 0;
    closedir(stream);
    return ok;
}

static int open_directory(const struct place *place)
{
    return openat(place->directory, *place->name == '\0' ? "." : place->name,
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static enum outcome find_names(struct stat_cache *cache, const struct place *place,
                               const struct stat *status, struct trace_value *out)
{
    struct stat opened;
    if (cache != NULL && stat_listing_recall(cache, status, &out->digest))
        return OUTCOME_DONE;
    gint64 began = stat_listing_begin();
    autofd int directory = open_directory(place);
    if (directory < 0 && walk_kind_of_error(errno) == TRACE_NOTHING)
        return OUTCOME_CHANGED;
    out->unreadable = directory < 0;
    if (directory < 0)
        return OUTCOME_DONE;
    if (fstat(directory, &opened) < 0 || opened.st_ino != status->st_ino ||
        opened.st_dev != status->st_dev)
        return OUTCOME_CHANGED;
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    GStringChunk *texts = g_string_chunk_new(4096);
    int stream = dup(directory);
    out->unreadable = stream < 0 || !read_names(texts, stream, names);
    if (!out->unreadable) {
        trace_names_digest((struct trace_name *)names->data, names->len, &out->digest);
        if (cache != NULL)
            stat_listing_remember(cache, directory, &opened, began, &out->digest);
    }
    g_string_chunk_free(texts);
    return OUTCOME_DONE;
}

static enum outcome find_content(const struct place *place, const struct stat *status,
                                 struct trace_value *out)
{
    switch (stat_files_digest(place->files, place->directory, place->name, status, &out->digest)) {
    case STAT_CHANGED:
        return OUTCOME_CHANGED;
    case STAT_UNREADABLE:
        out->unreadable = true;
        return OUTCOME_DONE;
    default:
        return OUTCOME_DONE;
    }
}

static enum outcome find_target(GStringChunk *texts, const struct place *place,
                                struct trace_value *out)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(place->directory, place->name, target, sizeof target);
    if (length < 0 || length == sizeof target)
        return OUTCOME_CHANGED;
    out->target = g_string_chunk_insert_len(texts, target, length);
    return OUTCOME_DONE;
}

static enum outcome find_xattrs(GStringChunk *texts, const struct place *place,
                                struct trace_value *out)
{
    autofd int file = openat(place->directory, *place->name == '\0' ? "." : place->name,
                             O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return OUTCOME_CHANGED;
    g_autoptr(GHashTable) attributes = trace_xattrs_read(file);
    g_autofree char *hash = trace_xattrs_hash(attributes);
    out->xattrs = hash == NULL ? NULL : g_string_chunk_insert(texts, hash);
    return OUTCOME_DONE;
}

/* What the clock goes by. */
static void clock_content(const struct trace_value *value, struct digest *out)
{
    if (value->kind == TRACE_LINK)
        digest_of(value->target, strlen(value->target), out);
    else
        *out = value->kind == TRACE_FILE || value->kind == TRACE_DIRECTORY ? value->digest
                                                                           : *digest_empty();
}

static void find_time(const struct host_state *state, const char *path, const struct stat *status,
                      struct trace_value *out)
{
    struct digest content;
    out->time = fd_nanoseconds(status->st_mtim);
    if (state->clock == NULL || out->unreadable)
        return;
    clock_content(out, &content);
    g_autofree char *absolute =
        path[0] == '/' ? g_strdup(path)
        : path[0] == '\0'
            ? g_strdup(state->root)
            : g_strconcat(state->root_length == 0 ? "" : state->root, "/", path, NULL);
    out->time = trace_clock_time(state->clock, absolute, &content, out->time,
                                 fd_nanoseconds(status->st_ctim));
}

static enum outcome find(struct finder *finder, const char *path, unsigned aspects,
                         struct trace_value *out)
{
    const struct host_state *state = finder->state;
    struct place place;
    struct stat status;
    enum outcome outcome = OUTCOME_DONE;
    *out = (struct trace_value){ 0 };
    walk_to(finder->walk, path, &place);
    out->kind = place.below;
    if (place.directory < 0)
        return OUTCOME_DONE;
    if (fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) {
        out->kind = walk_kind_of_error(errno);
        return OUTCOME_DONE;
    }
    out->kind = trace_kind_of(status.st_mode);
    out->mode = trace_mode(status.st_mode, status.st_nlink);
    bool timed = (aspects & TRACE_TIME) != 0 && state->clock != NULL;
    if (out->kind == TRACE_FILE && (timed || (aspects & TRACE_CONTENT) != 0))
        outcome = find_content(&place, &status, out);
    else if (out->kind == TRACE_DIRECTORY && (timed || (aspects & TRACE_NAMES) != 0))
        outcome = find_names(state->cache, &place, &status, out);
    else if (out->kind == TRACE_LINK && (timed || (aspects & TRACE_TARGET) != 0))
        outcome = find_target(finder->texts, &place, out);
    if (outcome == OUTCOME_DONE && (aspects & trace_kind_aspects(out->kind) & TRACE_XATTRS) != 0)
        outcome = find_xattrs(finder->texts, &place, out);
    if (outcome == OUTCOME_DONE && (aspects & TRACE_TIME) != 0)
        find_time(state, path, &status, out);
    return outcome;
}

/* --- in several threads ----------------------------------------------------------------------- */

/* A stat costs one or two microseconds, a thread some fifty; 8 MiB are hashed in some six ms. */
#define ITEMS_PER_THREAD 1024
#define BYTES_PER_THREAD (8 << 20)
#define THREADS_MAX 16

typedef void (*work_some)(size_t from, size_t to, bool helper, void *user);

/* Who is done with one stretch of 0..count takes the next, so that nobody waits for a slow one. */
struct crew {
    work_some work;
    void *user;
    size_t count, step;
    size_t next; /* atomic */
};

static void work_stretches(struct crew *crew, bool helper)
{
    for (;;) {
        size_t from = __atomic_fetch_add(&crew->next, crew->step, __ATOMIC_RELAXED);
        if (from >= crew->count)
            return;
        crew->work(from, MIN(from + crew->step, crew->count), helper, crew->user);
    }
}

static void *help(void *crew)
{
    work_stretches(crew, true);
    return NULL;
}

static size_t threads_for(size_t count, guint64 bytes)
{
    guint64 wanted = MIN(MAX(count / ITEMS_PER_THREAD, bytes / BYTES_PER_THREAD), THREADS_MAX);
    return wanted > 1 ? MIN(wanted, g_get_num_processors()) : 1; /* which reads a file */
}

/* Call work() for stretches that make up 0..count; all helpers are joined before this returns. */
static void work_all(size_t count, guint64 bytes, work_some work, void *user)
{
    pthread_t threads[THREADS_MAX];
    size_t wanted = MIN(threads_for(count, bytes), count), started = 0;
    struct crew crew = { work, user, count, .step = MAX(count / (wanted * 4), 1) };
    sigset_t all, before;
    sigfillset(&all); /* signals stay with the caller's thread */
    if (wanted > 1)
        pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, help, &crew) == 0)
        started++;
    if (wanted > 1)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    work_stretches(&crew, false);
    while (started > 0)
        pthread_join(threads[--started], NULL);
}

/* --- the state -------------------------------------------------------------------------------- */

/* A question whose answer is not known yet, or not all of it. */
struct task {
    struct known *known; /* NULL: a new path */
    guint hash;
    size_t index; /* of the question */
    unsigned aspects;
    bool changing; /* out: no answer */
};

struct job {
    struct host_state *state;
    const struct trace_question *questions;
    struct trace_value *answers;
    struct task *tasks;
};

static void do_task(struct finder *finder, const struct job *job, struct task *task)
{
    guint tries = 0;
    while (find(finder, job->questions[task->index].path, task->aspects,
                &job->answers[task->index]) == OUTCOME_CHANGED)
        if (++tries == TRIES) {
            task->changing = true;
            return;
        }
}

static void do_tasks(size_t from, size_t to, bool helper, void *user)
{
    const struct job *job = user;
    struct host_state *state = job->state;
    struct finder finder = state->finder;
    if (helper)
        finder =
            (struct finder){ state, walk_new(state->root, state->cache), g_string_chunk_new(64) };
    for (size_t i = from; i < to; i++)
        do_task(&finder, job, &job->tasks[i]);
    if (!helper) {
        walk_flush(finder.walk);
        return;
    }
    walk_free(finder.walk);
    pthread_mutex_lock(&state->lock);
    g_ptr_array_add(state->targets, finder.texts);
    pthread_mutex_unlock(&state->lock);
}

/* Answer what is known; the rest becomes tasks. */
static void find_known(struct host_state *state, const struct trace_question *questions,
                       size_t count, struct trace_value *answers, GArray *tasks)
{
    for (size_t i = 0; i < count; i++) {
        struct known probe = { .path = questions[i].path };
        probe.hash = (guint)XXH3_64bits(probe.path, strlen(probe.path));
        struct known *known = g_hash_table_lookup(state->known, &probe);
        struct task task = { known, probe.hash, i, questions[i].aspects, false };
        if (known != NULL && (task.aspects & ~known->aspects) == 0) {
            answers[i] = known->value;
            continue;
        }
        task.aspects |= known != NULL ? known->aspects : 0;
        g_array_append_val(tasks, task);
    }
}

static void remember(struct host_state *state, const struct task *task, const char *path,
                     const struct trace_value *value)
{
    struct known *known = task->known;
    if (known == NULL) {
        known = g_new(struct known, 1);
        known->path = g_string_chunk_insert(state->finder.texts, path);
        known->hash = task->hash;
        g_hash_table_add(state->known, known);
    }
    known->aspects = task->aspects;
    known->value = *value;
}

static bool host_look_up(struct trace_state *state, const struct trace_question *questions,
                         size_t count, struct trace_value *answers, GError **error)
{
    g_autoptr(GArray) tasks = g_array_new(FALSE, FALSE, sizeof(struct task));
    find_known(host(state), questions, count, answers, tasks);
    struct job job = { host(state), questions, answers, (struct task *)tasks->data };
    if (tasks->len > 0)
        work_all(tasks->len, 0, do_tasks, &job);
    for (guint i = 0; i < tasks->len; i++) {
        const struct task *task = &job.tasks[i];
        const char *path = questions[task->index].path;
        if (task->changing) {
            g_autofree char *name = path_quote(path);
            return fault_set(error, FAULT_CHANGED, "%s kept changing while it was read", name);
        }
        remember(host(state), task, path, &answers[task->index]);
    }
    return true;
}

static bool host_list(struct trace_state *state, const char *path, GArray *names, GError **error)
{
    struct place place;
    walk_to(host(state)->finder.walk, path, &place);
    int directory = place.directory < 0 ? -1 : open_directory(&place);
    return directory >= 0 && read_names(host(state)->finder.texts, directory, names);
}

static void host_free(struct trace_state *state)
{
    walk_free(host(state)->finder.walk);
    g_string_chunk_free(host(state)->finder.texts);
    g_hash_table_unref(host(state)->known);
    g_ptr_array_unref(host(state)->targets);
    pthread_mutex_destroy(&host(state)->lock);
    g_free(host(state)->root);
    g_free(state);
}

struct trace_state *trace_host_state_new(const char *root, struct stat_cache *cache,
                                         struct trace_clock *clock)
{
    static const struct trace_state_operations operations = { host_look_up, host_list, host_free };
    struct host_state *state = g_new0(struct host_state, 1);
    g_assert(root[0] == '/');
    state->base.operations = &operations;
    state->root = g_strdup(root);
    state->root_length = root[1] == '\0' ? 0 : strlen(root);
    state->cache = cache;
    state->clock = clock;
    state->known = g_hash_table_new_full(known_hash, known_equal, g_free, NULL);
    state->finder = (struct finder){ state, walk_new(root, cache), g_string_chunk_new(4096) };
    pthread_mutex_init(&state->lock, NULL);
    state->targets = g_ptr_array_new_with_free_func((GDestroyNotify)g_string_chunk_free);
    return &state->base;
}

/* --- sealing ---------------------------------------------------------------------------------- */

struct seal {
    const struct host_state *state;
    struct seal_item *items;
};

static enum seal_outcome hash_item(struct walk *walk, const char *path, struct seal_item *item)
{
    struct place place;
    struct stat status;
    struct trace_stamp stamp;
    walk_to(walk, path, &place);
    if (place.directory < 0 ||
        fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return SEAL_CHANGED;
    trace_stamp_of(&status, &stamp);
    if (!S_ISREG(status.st_mode) || !trace_stamp_equal(&stamp, &item->stamp))
        return SEAL_CHANGED;
    switch (stat_files_digest(place.files, place.directory, place.name, &status, &item->digest)) {
    case STAT_DIGESTED:
        return SEAL_HASHED;
    case STAT_UNREADABLE:
        return SEAL_UNREADABLE;
    default:
        return SEAL_CHANGED;
    }
}

static void hash_items(size_t from, size_t to, bool helper, void *user)
{
    const struct seal *seal = user;
    const struct host_state *state = seal->state;
    struct walk *walk = walk_new(state->root, state->cache);
    for (size_t i = from; i < to; i++) {
        struct seal_item *item = &seal->items[i];
        const char *path = trace_kept_form(state->root, state->root_length, item->path);
        item->outcome = hash_item(walk, path, item);
    }
    walk_free(walk);
}

void trace_host_hash(struct seal_item *items, size_t count, void *user)
{
    struct seal seal = { user, items };
    guint64 bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += (guint64)items[i].stamp.size;
    if (count > 0)
        work_all(count, bytes, hash_items, &seal);
}
