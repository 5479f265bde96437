// SPDX-License-Identifier: Apache-2.0
/*
 * The view: a file system of our own, spoken straight over /dev/fuse, in which one action runs. It
 * shows what lies below (the host), takes what the action writes into a delta of its own, and has
 * every access on record. Nothing that is written reaches the host except by view_lay_out() and
 * whoever commits that (V6).
 *
 * Knows the kernel's protocol (linux/fuse.h), paths and files; does not know workspaces, caches or
 * who runs the processes.
 *
 * Life cycle:
 *   view_new()                    the state below and an empty delta
 *   view_mount()                  by whoever owns the mount namespace, in another process
 *   view_serve()                  with the channel that it was mounted over
 *   ... the action runs ...
 *   view_wait()                   until it is unmounted: the kernel has then sent all it had
 *   view_lay_out()                what was written, as files
 *   view_free()
 *
 * Threads: a view's server threads answer requests until the file system is unmounted. Every other
 * function is for one thread at a time.
 */
#ifndef VIEW_VIEW_H
#define VIEW_VIEW_H

#include "trace/trace.h"

#include <sys/types.h>

struct view;
typedef struct view view;

struct view_options {
    int root;                   /* the host directory that / of the view shows; borrowed */
    struct tree *tree;          /* instead of a host directory: files out of `store`, which is */
    struct store *store;        /* borrowed; NULL: the host */
    gint64 time, compiled_time; /* of the tree's files: as materialize_request has it */
    int scratch;                /* an empty directory for the data of written files; borrowed */
    uid_t owner;                /* whom files of the host belong to, as the view tells it */
    gid_t group;                /* in the ids of the mount's user namespace */
    struct recorder *recorder;  /* what is seen goes here; NULL: nowhere. Borrowed */
    struct trace_state *times;  /* tells the time of a file below; NULL: its mtime. Borrowed */
    int processes;              /* procfs of the pid namespace that mounts, or -1. Borrowed */
    unsigned threads;           /* that answer; 0: one per processor */
    bool plain;                 /* no pass-through, even where the kernel would allow it */
};

struct view *view_new(const struct view_options *options);
void view_free(struct view *view); /* after view_wait(), or unserved */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(view, view_free)

/*
 * Make a file system over `channel`, which is an open /dev/fuse (opened in the user namespace that
 * mounts, as the kernel demands) and then to be served; *mount is to be attached by move_mount().
 * Makes system calls alone, so that it may be called between fork and exec. `owner` and `group` are
 * ids in the caller's user namespace. False and errno on failure; *what then names the step.
 */
bool view_mount(int channel, uid_t owner, gid_t group, int *mount, const char **what);

/* Start to answer what comes from `channel`, which is the view's from now on. */
bool view_serve(struct view *view, int channel, GError **error);

/* The action is a process of the pid namespace that `processes` shows. May be called once. */
void view_set_processes(struct view *view, int processes);

/* Until nobody can ask any more; then the delta is complete. */
void view_wait(struct view *view);

/* Does the kernel read and write the files below without asking us? Known once it is mounted. */
bool view_passes_through(struct view *view);

/*
 * Move what was written below `prefix` (absolute, as seen in the view) into the empty `directory`,
 * as files with their modes, times, links and attributes; directories on the way to them are made.
 * Appends to `deleted` the paths, relative to `prefix`, that are gone (char *, sorted; of a
 * directory just itself), and to `elsewhere` absolute paths that were written outside of `prefix`.
 * Empties the delta: view_free() is all that may follow. Fails if somebody has aborted the
 * connection (fusectl): then the action did not see the end of what it did.
 */
bool view_lay_out(struct view *view, const char *prefix, int directory, GPtrArray *deleted,
                  GPtrArray *elsewhere, GError **error);

#endif
