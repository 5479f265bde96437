// SPDX-License-Identifier: Apache-2.0
/* A few threads on one stack of work items, started late and joined before anyone can fork. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "store/capture-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* Work that ends within this time is not worth a thread (some 50 µs each to start and join). */
#define ALONE_MICROSECONDS 300

struct crew {
    pthread_mutex_t lock; /* guards what follows, up to `error` */
    pthread_cond_t changed;
    struct crew_item *top;
    unsigned busy; /* threads inside work() */
    unsigned helpers;
    pthread_t *threads; /* `helpers` of them; NULL before the first */
    GError *error;
    unsigned jobs;    /* 0: one per processor; the rest is constant, or atomic */
    atomic_bool full; /* no further helper will be started */
    atomic_bool failed;
    const volatile int *cancel;
    gint64 started;
    size_t scratch_size;
    crew_work work;
    void *user;
};

/* pthreads rather than GThread: the thread sanitizer can see through their locks. */
static void work_until_done(struct crew *crew)
{
    g_autofree void *scratch = g_malloc(crew->scratch_size);
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->top == NULL && crew->busy > 0)
            pthread_cond_wait(&crew->changed, &crew->lock);
        struct crew_item *item = crew->top;
        if (item == NULL)
            break;
        crew->top = item->next;
        crew->busy++;
        pthread_mutex_unlock(&crew->lock);
        crew_consider(crew);
        crew->work(crew, item, scratch, crew->user);
        pthread_mutex_lock(&crew->lock);
        crew->busy--;
    }
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

static void *help(void *crew)
{
    work_until_done(crew);
    return NULL;
}

/* Under the lock. A thread that can't be had is done without. */
static void start_helper(struct crew *crew)
{
    sigset_t all, before;
    if (crew->jobs == 0) /* reads a file: not worth it for a crew of one */
        crew->jobs = g_get_num_processors();
    crew->full = crew->helpers + 1 >= crew->jobs;
    if (crew->full)
        return;
    if (crew->threads == NULL)
        crew->threads = g_new(pthread_t, crew->jobs);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&crew->threads[crew->helpers], NULL, help, crew) == 0)
        crew->helpers++;
    else
        crew->jobs = crew->helpers + 1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    crew->full = crew->helpers + 1 >= crew->jobs;
}

void crew_consider(struct crew *crew)
{
    if (crew->full || g_get_monotonic_time() - crew->started < ALONE_MICROSECONDS)
        return;
    pthread_mutex_lock(&crew->lock);
    if (!crew->full && crew->top != NULL)
        start_helper(crew);
    pthread_mutex_unlock(&crew->lock);
}

void crew_push(struct crew *crew, struct crew_item *item)
{
    pthread_mutex_lock(&crew->lock);
    item->next = crew->top;
    crew->top = item;
    if (crew->busy < crew->helpers + 1)
        pthread_cond_signal(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

void crew_fail(struct crew *crew, GError *error)
{
    pthread_mutex_lock(&crew->lock);
    if (crew->error == NULL)
        crew->error = g_steal_pointer(&error);
    crew->failed = true;
    pthread_mutex_unlock(&crew->lock);
    g_clear_error(&error);
}

bool crew_stopped(struct crew *crew)
{
    return crew->failed || (crew->cancel != NULL && *crew->cancel != 0);
}

bool crew_run(unsigned jobs, size_t scratch_size, const volatile int *cancel, crew_work work,
              void *user, struct crew_item *first, GError **error)
{
    struct crew crew = {
        .top = first,
        .jobs = jobs,
        .cancel = cancel,
        .started = g_get_monotonic_time(),
        .scratch_size = scratch_size,
        .work = work,
        .user = user,
    };
    first->next = NULL;
    crew.full = crew.jobs == 1;
    pthread_mutex_init(&crew.lock, NULL);
    pthread_cond_init(&crew.changed, NULL);
    work_until_done(&crew);
    /* No item is left and nobody works, so no helper starts another. */
    for (unsigned i = 0; i < crew.helpers; i++)
        pthread_join(crew.threads[i], NULL);
    pthread_cond_destroy(&crew.changed);
    pthread_mutex_destroy(&crew.lock);
    g_free(crew.threads);
    if (crew.error != NULL) {
        g_propagate_error(error, crew.error);
        return false;
    }
    return !crew_stopped(&crew) || fault_set(error, FAULT_CANCELLED, "interrupted");
}

int capture_open(int directory, const char *path, int flags)
{
    flags |= O_CLOEXEC;
    if (*path == '\0')
        return openat(directory, ".", flags);
    autofd int above = -1;
    while (strlen(path) >= PATH_MAX) {
        const char *slash = memrchr(path, '/', PATH_MAX - 1);
        if (slash == NULL) {
            errno = ENAMETOOLONG;
            return -1;
        }
        g_autofree char *piece = g_strndup(path, (gsize)(slash - path));
        int next = fd_open_beneath(above < 0 ? directory : above, piece, O_PATH | O_DIRECTORY, 0);
        if (next < 0)
            return -1;
        fd_close(&above);
        above = next;
        path = slash + 1;
    }
    return fd_open_beneath(above < 0 ? directory : above, path, flags, 0);
}

char *capture_quote(const char *name, const char *path, const char *entry)
{
    g_autoptr(GString) whole = g_string_new(name);
    const char *const parts[] = { path, entry };
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (*parts[i] == '\0')
            continue;
        if (whole->len > 0 && whole->str[whole->len - 1] != '/')
            g_string_append_c(whole, '/');
        g_string_append(whole, parts[i]);
    }
    return path_quote(whole->str);
}
