// SPDX-License-Identifier: Apache-2.0
/*
 * Waiting until something in a workspace has changed, by inotify(7). What has changed is for the
 * engine to find out: it asks for its facts anew in every run.
 *
 * Every directory of the workspace is watched but .git and those that are left out. To miss
 * nothing, watch_new() comes before the run whose facts are to be watched.
 */
#ifndef ENGINE_WATCH_H
#define ENGINE_WATCH_H

#include <glib.h>
#include <stdbool.h>

struct watch;
typedef struct watch watch;

/* `except`: a directory below `root` (absolute, both) that changes of itself; or NULL. */
struct watch *watch_new(const char *root, const char *except, GError **error);
void watch_free(struct watch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(watch, watch_free)

/*
 * Return once something has changed since watch_new() or the last call, and nothing more has for
 * some ten milliseconds. FAULT_CANCELLED: watch_stop() was called.
 */
bool watch_wait(struct watch *watch, GError **error);

/* From now on watch_wait() does not wait. From any thread or signal handler. */
void watch_stop(struct watch *watch);

#endif
