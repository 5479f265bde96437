// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of tree/ share: the object itself, and arrays of entries on their way to one.
 *
 * A tree is one block: the object, its entries, then the bytes of all names and targets. That is
 * 72 bytes and a name per file.
 */
#ifndef TREE_INTERNAL_H
#define TREE_INTERNAL_H

#include "tree/tree.h"

struct tree {
    gint references; /* atomic */
    guint depth;     /* 1 for a tree without directories; at most TREE_DEPTH_LIMIT */
    struct digest digest;
    struct tree_totals totals;
    size_t count;
    struct tree_entry entries[];
};

/* A GArray of struct tree_entry that owns a reference to the tree of each directory, no more. */
GArray *tree_entries_new(size_t reserved);
/* Append a copy of `entry`; takes over the caller's reference to `entry->directory`. */
void tree_entries_take(GArray *entries, struct tree_entry entry);
/* Append a copy of `entry`, adding a reference of its own. */
void tree_entries_add(GArray *entries, const struct tree_entry *entry);

/* FAULT_UNSUPPORTED for a name or target that a tree cannot hold. */
bool tree_check_entry(const struct tree_entry *entry, GError **error);

/* tree_new() but for the digest, the caller's to set: that of `message`, which may be NULL. */
struct tree *tree_make(const struct tree_entry *entries, size_t count, GByteArray *message,
                       GError **error);

/* Append the `Directory` message of sorted entries. */
void tree_encode_entries(const struct tree_entry *entries, size_t count, GByteArray *out);

/* Entry whose name is the first `length` bytes of `name`; NULL if there is none. */
const struct tree_entry *tree_find(const struct tree *tree, const char *name, size_t length);

/* The path grows by a component and is cut back to what it was. */
size_t tree_path_push(GString *path, const char *name);
void tree_path_pop(GString *path, size_t length);

/* FAULT_UNSUPPORTED unless `path` is a relative path with room for `below` levels below it. */
bool tree_check_path(const char *path, guint below, GError **error);

#endif
