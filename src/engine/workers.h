// SPDX-License-Identifier: Apache-2.0
/*
 * Threads that do what they are handed, in order. (A GThreadPool frees itself on one of its threads
 * after g_thread_pool_free() has returned, and no sanitizer sees its locks.)
 */
#ifndef ENGINE_WORKERS_H
#define ENGINE_WORKERS_H

#include <glib.h>

struct workers;

/* `work(item, user)` on one of `count` threads. They are made when they are first needed. */
struct workers *workers_new(GFunc work, gpointer user, guint count);
void workers_push(struct workers *workers, gpointer item);
void workers_free(struct workers *workers); /* all that was pushed is done first */

#endif
