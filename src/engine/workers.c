// SPDX-License-Identifier: Apache-2.0
/* A queue, a lock, some threads. */
#include "engine/workers.h"

struct workers {
    GFunc work;
    gpointer user;
    guint most;
    GPtrArray *threads;
    GMutex lock;
    GCond changed;
    GQueue items; /* with the next two: guarded by lock */
    guint idle;
    gboolean closing;
};

static gpointer run(gpointer data)
{
    struct workers *workers = data;
    g_mutex_lock(&workers->lock);
    for (;;) {
        while (g_queue_is_empty(&workers->items) && !workers->closing) {
            workers->idle++;
            g_cond_wait(&workers->changed, &workers->lock);
            workers->idle--;
        }
        if (g_queue_is_empty(&workers->items))
            break;
        gpointer item = g_queue_pop_head(&workers->items);
        g_mutex_unlock(&workers->lock);
        workers->work(item, workers->user);
        g_mutex_lock(&workers->lock);
    }
    g_mutex_unlock(&workers->lock);
    return NULL;
}

struct workers *workers_new(GFunc work, gpointer user, guint count)
{
    struct workers *workers = g_new0(struct workers, 1);
    workers->work = work;
    workers->user = user;
    workers->most = MAX(count, 1);
    workers->threads = g_ptr_array_new();
    g_mutex_init(&workers->lock);
    g_cond_init(&workers->changed);
    g_queue_init(&workers->items);
    return workers;
}

void workers_push(struct workers *workers, gpointer item)
{
    g_mutex_lock(&workers->lock);
    g_queue_push_tail(&workers->items, item);
    gboolean more = workers->threads->len < workers->most &&
                    workers->idle < g_queue_get_length(&workers->items);
    g_cond_signal(&workers->changed);
    g_mutex_unlock(&workers->lock);
    if (more)
        g_ptr_array_add(workers->threads, g_thread_new("worker", run, workers));
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    g_mutex_lock(&workers->lock);
    workers->closing = TRUE;
    g_cond_broadcast(&workers->changed);
    g_mutex_unlock(&workers->lock);
    for (guint i = 0; i < workers->threads->len; i++)
        g_thread_join(workers->threads->pdata[i]);
    g_ptr_array_unref(workers->threads);
    g_mutex_clear(&workers->lock);
    g_cond_clear(&workers->changed);
    g_free(workers);
}
