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
 * function is for one thread at a time; different views may be in different threads.
 */
#ifndef VIEW_VIEW_H
#define VIEW_VIEW_H

#include "trace/trace.h"

#include <sys/types.h>

struct view;
typedef struct view view;

/* What is shown in the place of something on the host, or besides. */
struct view_patch {
    const char *path; /* relative to the root */
    enum patch_kind {
        PATCH_ABSENT,
        PATCH_FILE,
        PATCH_LINK,
        PATCH_DIRECTORY, /* with what the host has in it, and what is patched there */
    } kind;
    guint32 mode;         /* permission bits */
    gint64 time;          /* ns since the epoch */
    struct digest digest; /* FILE */
    const char *target;   /* LINK */
};

/*
 * An execve() before it happens. The thread waits in it; it is a process of the view's root and of
 * the mount namespace of process 1, and the program is one that will run: a binary of this machine
 * or a script, whose interpreter is there.
 */
struct view_call {
    guint32 process;
    guint64 start;       /* of the process, as struct trace_process has it */
    const char *name;    /* the path as it was given */
    const char *program; /* of the file, absolute, every link followed */
    char *const *argv, *const *environment;
};

/*
 * Asked of each of them, in any thread. Returns what the kernel is to read in place of the program
 * and for this call alone, "#!INTERPRETER ARGUMENT\n" of at most VIEW_DIVERSION bytes, or NULL: it
 * is to run. The caller frees it.
 */
#define VIEW_DIVERSION 255
struct view_trap {
    char *(*divert)(const struct view_call *call, void *user);
    void *user;
};

struct view_options {
    struct snapshot *below;     /* the view is a child of another; then only `recorder`, `trap`, */
    guint64 label;              /* `label`, `processes`, `threads` and `plain` count */
    int root;                   /* the host directory that / of the view shows; borrowed */
    struct tree *tree;          /* instead of a host directory: files out of `store`, which is */
    struct store *store;        /* borrowed; NULL: the host */
    const char *shown, *real;   /* of the host: the directory `real` is at `shown` (absolute paths),
                                   and its own place is a link; NULL: nothing is elsewhere */
    const GPtrArray *patches;   /* of the host: struct view_patch, contents from `store`; NULL:
                                   none. Borrowed. Directories that must be there are among them */
    gint64 time, compiled_time; /* of the tree's files: as materialize_request has it */
    bool fixed;                 /* nobody writes to it: to be mounted read-only, without scratch */
    int scratch;                /* an empty directory for the data of written files; borrowed */
    uid_t owner;                /* whom files of the host belong to, as the view tells it */
    gid_t group;                /* in the ids of the mount's user namespace */
    struct recorder *recorder;  /* what is seen goes here; NULL: nowhere. Borrowed */
    struct trace_state *times;  /* tells the time of a file below; NULL: its mtime. Borrowed */
    struct view *beside;        /* NULL, or one that the same processes see, as its callers */
    const struct view_trap *trap; /* NULL: none. Borrowed */
    int processes;                /* procfs of the pid namespace that mounts, or -1. Borrowed */
    unsigned threads;             /* that answer; 0: one per processor */
    bool plain;                   /* no pass-through, even where the kernel would allow it */
};

struct view *view_new(const struct view_options *options);
void view_free(struct view *view); /* after view_wait(), or unserved */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(view, view_free)

/*
 * Make a file system over `channel`, which is an open /dev/fuse (opened in the user namespace that
 * mounts, as the kernel demands) and then to be served; *mount is to be attached by move_mount().
 * Makes system calls alone, so that it may be called between fork and exec. `owner` and `group` are
 * ids in the caller's user namespace; `fixed` is the option's. False and errno on failure; *what
 * then names the step.
 *
 * The superblock of a fixed view is read-only, not just the mount: only then does the kernel keep
 * attributes after a read, for it has no access time to move.
 */
bool view_mount(int channel, uid_t owner, gid_t group, bool fixed, int *mount, const char **what);

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
 * Empties the delta: view_free() is all that may follow. But of a child the delta stays, and may be
 * committed: until then the files may have their data in common with it. Fails if somebody has
 * aborted the connection (fusectl): then the action did not see the end of what it did.
 */
bool view_lay_out(struct view *view, const char *prefix, int directory, GPtrArray *deleted,
                  GPtrArray *elsewhere, GError **error);

/* --- states and child views ---------------------------------------------------------------------
 *
 * A *snapshot* is the state of a view at one moment: what lies below it and its delta until then.
 * It never changes, whatever is written to the view afterwards. A *child* is a view whose `below`
 * is a snapshot: a mount, a delta and a record of its own. Children may have children.
 *
 *   snapshot = view_snapshot(parent)
 *   child = view_new({ .below = snapshot, … }), view_mount(), view_serve(), … view_wait(child)
 *   view_commit(child, …)     its delta becomes part of the parent; or not: that is roll back
 *   view_free(child), snapshot_unref(snapshot)
 *
 * How it is done, and what it costs. Every change of a node or a name carries the number of the
 * snapshots taken before it. Whoever changes something older than the latest snapshot that is still
 * in use keeps the former value for it: one copy of a node (312 bytes) or of an entry (48)
 * for each snapshot and thing changed, freed with the snapshot. A written file is copied (by
 * reference where the file system can) when it is written to again, or at once if it is open for
 * writing at the moment of the snapshot: only then does a snapshot cost more than a counter. A
 * child asks its parent by path; a parent in which nothing below a directory has changed sends it
 * on to its own below without walking on, and one that has changes on the way costs about a
 * microsecond a name (test/oracle/layers.c). What it was told its nodes and the kernel keep. A
 * commit moves nodes and files into the parent: nothing grows with the number of commits.
 *
 * Facts. What a child learns of what its parent wrote is a fact of the child, about the state at
 * its start; view_hash() finds the contents. A commit notes what the child learned in the parent's
 * record, unless it was the parent's own writing.
 */

struct snapshot;
typedef struct snapshot snapshot;

/* Of a view that is mounted or not. Asks the kernel for what is written but not sent yet, so it
 * must not be called by a thread that answers the view's requests. */
struct snapshot *view_snapshot(struct view *view, GError **error);
struct snapshot *snapshot_ref(struct snapshot *snapshot); /* the view must outlive it */
void snapshot_unref(struct snapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(snapshot, snapshot_unref)

/*
 * The state that a snapshot is, to evaluate a child's path set in before it is run; paths as a
 * recorder with this root keeps them. What no view wrote is asked of `host`, which is borrowed.
 */
struct trace_state *view_state_new(struct snapshot *snapshot, const char *workspace_root,
                                   struct trace_state *host);

/*
 * A seal_hash whose `user` is a struct view_hash: contents of the state below `view`, those that no
 * ancestor wrote by `host` (a seal_hash, too).
 */
struct view_hash {
    struct view *view;
    seal_hash host;
    void *host_user;
};
void view_hash(struct seal_item *items, size_t count, void *view_hash);

/*
 * What a stored result left, put into a child that nobody is in, so that it can be committed as if
 * the command had run. Directories on the way are made; what is there gives way, but for a
 * directory in place of a directory. Paths are absolute.
 */
struct view_file {
    const char *path;
    guint32 mode;       /* S_IFREG, S_IFDIR, S_IFLNK or S_IFIFO, and permissions */
    int content;        /* a file, all of which is copied; by reference where that is possible */
    const char *target; /* of a link */
    gint64 time;        /* ns since the epoch; 0: now */
    GHashTable *xattrs; /* char * -> GBytes; kept. NULL: none */
};
bool view_put(struct view *view, const struct view_file *file, GError **error);
bool view_put_link(struct view *view, const char *path, const char *other, GError **error);
bool view_put_away(struct view *view, const char *path, GError **error); /* with all below it */

/* Two commands that ran at the same time, and the order of which shows in the result. */
struct view_conflict {
    char *path; /* absolute */
    enum view_conflict_kind {
        VIEW_GONE,        /* this child wrote below a directory that `other` has taken away: lost */
        VIEW_BOTH_WROTE,  /* this child, and `other` before it was committed */
        VIEW_READ_OLDER,  /* this child read what `other` has written since the child began */
        VIEW_WROTE_LATER, /* this child wrote what `other`, committed meanwhile, had read */
    } kind;
    guint64 other; /* view_options.label of the other child; 0: the parent itself */
};
void view_conflict_free(struct view_conflict *conflict);

/*
 * `child` is no longer mounted (view_wait()) or never was. Its delta becomes part of the view that
 * its snapshot is of, whose mount is told before this returns (by this thread, which must not
 * answer requests); where both have written, the child wins. What it learned and wrote goes to the
 * parent's record as that of `process` there (0: not known). `conflicts` (struct view_conflict *,
 * or NULL) is added to. view_free(child) is all that may follow. An error means that files could
 * not be moved (disk full, …): the parent then has a part of the delta, and is not to be kept.
 */
bool view_commit(struct view *child, guint32 process, GPtrArray *conflicts, GError **error);

#endif
