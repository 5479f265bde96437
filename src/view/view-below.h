// SPDX-License-Identifier: Apache-2.0
/*
 * What lies below a view: a place that answers by path and never changes by our doing. The host is
 * one, a tree of the store another, a snapshot of another view a third.
 *
 * Paths are relative to the place, "" for itself; no link in them is followed. Functions return 0
 * or a descriptor, or a negative errno. Called under the view's lock.
 */
#ifndef VIEW_VIEW_BELOW_H
#define VIEW_VIEW_BELOW_H

#include "trace/trace.h"
#include "view/view.h"

#include <sys/stat.h>

struct below;
struct snapshot;

struct below_file {
    struct stat status;
    struct trace_stamp stamp;     /* device and inode tell files with several names */
    const struct digest *content; /* if it is known without reading; borrowed from the place */
    guint64 ino;                  /* the number that it has in the view below; 0: none yet */
    guint32 made; /* how many nodes were given a number under this name; set if it is absent, too */
    bool owned;   /* st_uid and st_gid are to be shown */
    bool timed;   /* and so are its times, whatever the clock says */
};

/* kind: S_IFMT bits; ino: as in below_file */
typedef void (*below_visit)(const char *name, guint32 kind, guint64 ino, void *user);

struct below_operations {
    int (*look)(struct below *below, const char *path, struct below_file *out);
    int (*open)(struct below *below, const char *path); /* a regular file, to read */
    int (*list)(struct below *below, const char *path, below_visit visit, void *user);
    int (*read_link)(struct below *below, const char *path, char **target); /* caller frees */
    /* May we do `mask` (R_OK …) to it? 0, -EACCES or -EROFS. */
    int (*permit)(struct below *below, const char *path, int mask);
    /* Its extended attributes as trace_xattrs_read() has them; NULL: there are none. */
    GHashTable *(*read_attributes)(struct below *below, const char *path);
    /* The time of a file that is not `timed`, ns since the epoch; 0: the one that look() told. */
    gint64 (*clock)(struct below *below, const char *path);
    void (*free)(struct below *below);
};

struct below { /* embedded first by each implementation */
    const struct below_operations *operations;
};

/* A directory, and who tells the times of its files (NULL: their mtimes count); borrowed. */
struct below *below_host_new(int root, struct trace_state *times);

struct tree;

/*
 * Files and directories of `tree`, contents out of `store`, which is borrowed, or, if a collection
 * took them from there, out of the directory `fallback` (borrowed; -1: none), as long as they are
 * there what the tree says. All are as old as `time`, ns since the epoch, but what a compiler made:
 * that is as old as `compiled` (0: as the rest).
 */
struct below *below_tree_new(struct tree *tree, struct store *store, int fallback, gint64 time,
                             gint64 compiled);

/* The state that `snapshot` is of; takes a reference. */
struct below *below_snapshot_new(struct snapshot *snapshot);

/*
 * `host`, which is taken, but with the directory `real` shown at `shown` (both relative; or both
 * NULL), where its own place is a link to that; and with what `patches` (struct view_patch,
 * borrowed as long as it lives; or NULL) tell, contents out of `store`.
 */
struct below *below_altered_new(struct below *host, const char *shown, const char *real,
                                const GPtrArray *patches, struct store *store);

/* The content out of the store, sound (V1), to read; or a negative errno. */
int below_open_stored(struct store *store, const struct digest *digest);

void below_free(struct below *below);

#endif
