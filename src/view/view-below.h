// SPDX-License-Identifier: Apache-2.0
/*
 * What lies below a view: a place that answers by path and never changes by our doing. The host is
 * one, a tree of the store another.
 *
 * Paths are relative to the place, "" for itself; no link in them is followed. Functions return 0
 * or a descriptor, or a negative errno. Called under the view's lock.
 */
#ifndef VIEW_VIEW_BELOW_H
#define VIEW_VIEW_BELOW_H

#include "store/store.h"

#include <sys/stat.h>

struct below;

struct below_file {
    struct stat status; /* st_dev and st_ino tell files with several names; 0, 0: this has one */
    const struct digest *content; /* if it is known without reading; borrowed from the place */
};

typedef void (*below_visit)(const char *name, guint32 kind, void *user); /* kind: S_IFMT bits */

struct below_operations {
    int (*look)(struct below *below, const char *path, struct below_file *out);
    int (*open)(struct below *below, const char *path); /* a regular file, to read */
    int (*list)(struct below *below, const char *path, below_visit visit, void *user);
    int (*read_link)(struct below *below, const char *path, char **target); /* caller frees */
    /* May we do `mask` (R_OK …) to it? 0, -EACCES or -EROFS. */
    int (*permit)(struct below *below, const char *path, int mask);
    /* A descriptor through which /proc/self/fd leads to its extended attributes; NULL: none. */
    int (*open_attributes)(struct below *below, const char *path);
    void (*free)(struct below *below);
};

struct below { /* embedded first by each implementation */
    const struct below_operations *operations;
};

struct below *below_host_new(int root); /* a directory; borrowed */

/*
 * Files and directories of `tree`, contents out of `store`, which is borrowed, or, if a collection
 * took them from there, out of the directory `fallback` (borrowed; -1: none), as long as they are
 * there what the tree says. All are as old as `time`, ns since the epoch, but what a compiler made:
 * that is as old as `compiled` (0: as the rest).
 */
struct below *below_tree_new(struct tree *tree, struct store *store, int fallback, gint64 time,
                             gint64 compiled);
/* The time of the file at `path` of a tree, which depends on its content. */
gint64 below_tree_time(struct below *below, const char *path);

void below_free(struct below *below);

#endif
