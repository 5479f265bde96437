// SPDX-License-Identifier: Apache-2.0
/*
 * Between the walk (capture.c), which lists and decides, and the reading of one file or link
 * (capture-read.c).
 */
#ifndef STORE_CAPTURE_READ_H
#define STORE_CAPTURE_READ_H

#include "base/fault.h"
#include "store/capture-internal.h"

/* Holds a block of directory entries, or a whole small file and the proof of its end. */
#define SCRATCH_SIZE (128 * 1024)
struct scratch {
    guint8 bytes[SCRATCH_SIZE];
};

struct entry {
    struct tree_entry tree;  /* the name points into the node's names */
    struct stat_entry known; /* what the record will say: as it was, until it is learned anew */
    enum entry_state {
        ENTRY_LEFT_OUT, /* not selected, vanished, unsupported; or a directory */
        ENTRY_WANTED,
        ENTRY_DONE,
    } state; /* a directory's is tree.directory: parts read this while children end */
    bool owns_target;
};

struct node {
    struct node *next;   /* in walk.nodes */
    struct node *parent; /* NULL: root */
    guint index;         /* of its entry in parent */
    char *path;          /* relative to the root; "" for it */
    bool selected;       /* itself: stays even if empty */
    bool gone;
    gint pending; /* atomic: parts and children that have not ended */
    gint learned; /* atomic: the record is worth writing again */
    guint64 device, inode;
    struct stat_clock clock;
    struct entry *entries; /* by name */
    guint count;
    GSList *names;
    GBytes *record; /* entries' `known` point into it */
    struct tree *tree;
};

struct walk {
    const struct capture_request *request;
    struct store *store;
    guint64 device; /* of the root, and its clock */
    struct stat_clock clock;
    pthread_mutex_t lock; /* guards the rest */
    struct node *nodes;
    struct capture sum; /* the tree is set at the end */
    gint64 reported;
};

/* What reading an entry needs; one per part. */
struct reading {
    struct walk *walk;
    struct crew *crew;
    struct node *node;
    int directory; /* the node's, open */
    struct scratch *scratch;
    struct capture *tally; /* this part's own counts */
    bool may_defer;
};

/*
 * Find out what `entry` is. Its state afterwards: done; left out; or still wanted, because it is
 * long to read, and worth a part of its own, with may_defer unset.
 */
bool capture_entry(struct reading *reading, struct entry *entry, GError **error);

/*
 * A thing that no tree can hold, or that can't be read: with request.outputs it is listed and left
 * out, and this is true; otherwise an error.
 */
bool walk_unsupported(struct walk *walk, const struct node *node, const char *name, GError **error,
                      enum fault code, const char *why);

#endif
