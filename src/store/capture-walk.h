// SPDX-License-Identifier: Apache-2.0
/*
 * Between the walk (capture.c), the listing of a directory (capture-list.c) and the reading of one
 * file or link (capture-read.c).
 */
#ifndef STORE_CAPTURE_WALK_H
#define STORE_CAPTURE_WALK_H

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
        ENTRY_LEFT_OUT, /* not selected, vanished, unsupported */
        ENTRY_WANTED,
        ENTRY_DONE,
        ENTRY_DESCEND, /* a directory: done if tree.directory is set; parts read this meanwhile */
    } state;
    bool selected; /* directories: itself, so that it stays even if empty */
    bool owns_target;
};

struct node {
    struct node *next;   /* in walk.nodes */
    struct node *parent; /* NULL: root */
    guint index;         /* of its entry in parent */
    char *path;          /* relative to the root; "" for it */
    bool gone;           /* removed since its parent was listed */
    bool listable;       /* its times will change with its names */
    bool selected_below; /* all that it holds is selected */
    bool from_record;    /* so it was unchanged, and was not listed */
    gint pending;        /* atomic: parts and children that have not ended */
    gint learned;        /* atomic: the record is worth writing again */
    guint64 device;
    struct stat_identity identity;
    struct stat_clock clock;
    struct entry *entries; /* by name */
    guint count;
    GSList *names;             /* blocks of what the kernel listed */
    GBytes *record;            /* names and `known` may point into it */
    struct stat_header header; /* of the record; zero if there is none */
    struct tree *tree;
};

struct walk {
    const struct capture_request *request;
    struct store *store;
    bool trusting;  /* what the cache knows is taken to be in the store, too */
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
 * Fill in the entries of `node`, from its record if it is unchanged and from the kernel otherwise,
 * and decide for each whether it is wanted.
 */
bool capture_list(struct walk *walk, struct node *node, int directory, struct scratch *scratch,
                  GError **error);

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

/* With request.fifos: list one, which is left out. */
void walk_fifo(struct walk *walk, const struct node *node, const char *name);

#endif
