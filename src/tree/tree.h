// SPDX-License-Identifier: Apache-2.0
/*
 * Immutable Merkle trees of files, links and directories.
 *
 * A `struct tree` is one directory: its entries sorted by the bytes of their names, each directory
 * entry holding a reference to the tree below. The digest of a tree is that of its Remote Execution
 * API `Directory` message in canonical form (fields in tag order; files, directories and symlinks
 * each sorted by name; defaults omitted; no node properties), so local and remote speak of the same
 * digests. The empty tree is the digest of zero bytes. Format: doc/format/directory.md.
 *
 * Invariants
 *  1. A tree never changes after it is made (V2); references are counted atomically, so trees may
 *     be shared between threads.
 *  2. No operation here touches the file system or a store.
 *  3. Names are valid UTF-8, not "", "." or "..", without slash or NUL, and unique in a directory.
 *  4. A tree is at most TREE_DEPTH_LIMIT directories deep, so whoever walks one may recurse. Deeper
 *     ones are an error where they would be made: twice as deep as a path that a system call takes.
 *
 * Life cycle: tree_new()/tree_builder_finish()/tree_load()/operations return a new reference;
 * tree_unref() drops it. g_autoptr(tree) works through the typedef below.
 */
#ifndef TREE_TREE_H
#define TREE_TREE_H

#include "tree/digest.h"

#define TREE_DEPTH_LIMIT 4096

struct glob;
struct tree;
typedef struct tree tree;

enum tree_kind {
    TREE_FILE,
    TREE_DIRECTORY,
    TREE_SYMLINK,
};

struct tree_entry {
    const char *name; /* borrowed from the tree that holds the entry */
    enum tree_kind kind;
    bool executable;        /* files only */
    struct digest digest;   /* of the content, or of the directory's message; zero for links */
    struct tree *directory; /* directories only; borrowed likewise */
    const char *target;     /* links only, any bytes but NUL that are UTF-8; borrowed likewise */
};

struct tree *tree_ref(struct tree *tree);
void tree_unref(struct tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(tree, tree_unref)

struct tree *tree_empty(void);

/*
 * One directory from `count` entries in any order; names, targets and sub-trees are copied or
 * referenced, so the array stays the caller's. Directory entries take their digest from
 * `directory`, whatever `digest` says. FAULT_UNSUPPORTED for a bad or repeated name.
 */
struct tree *tree_new(const struct tree_entry *entries, size_t count, GError **error);

/* The same where `digest` is known from a record that the caller trusts: nothing is hashed. */
struct tree *tree_new_known(const struct tree_entry *entries, size_t count,
                            const struct digest *digest, GError **error);

const struct digest *tree_digest(const struct tree *tree);
size_t tree_size(const struct tree *tree); /* entries in this directory alone */
const struct tree_entry *tree_at(const struct tree *tree, size_t index);

/* Entry called `name` in this directory alone; NULL if there is none. */
const struct tree_entry *tree_child(const struct tree *tree, const char *name);

/* Entry at a relative path ("a/b"); never through a symlink; NULL if there is none. */
const struct tree_entry *tree_lookup(const struct tree *tree, const char *path);

bool tree_entry_equal(const struct tree_entry *a, const struct tree_entry *b); /* names aside */

/*
 * Visit every entry below `tree`, parents before children, siblings in name order. `path` is valid
 * during the call. Return false to stop; tree_walk() then returns false.
 */
typedef bool (*tree_visit)(const char *path, const struct tree_entry *entry, void *user);
bool tree_walk(const struct tree *tree, tree_visit visit, void *user);

struct tree_totals {
    guint64 files, directories, links, bytes; /* bytes of file content; repeats counted */
};
void tree_totals(const struct tree *tree, struct tree_totals *out);

/* Building from paths, in any order; parents appear as needed. */
struct tree_builder;
typedef struct tree_builder tree_builder;
struct tree_builder *tree_builder_new(void);
void tree_builder_free(struct tree_builder *builder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(tree_builder, tree_builder_free)
/* `entry->name` is ignored; a path that is bad or already taken by something else is an error. */
bool tree_builder_add(struct tree_builder *builder, const char *path,
                      const struct tree_entry *entry, GError **error);
struct tree *tree_builder_finish(struct tree_builder *builder); /* frees the builder */

/* Bytes of the `Directory` message of this directory alone. */
GBytes *tree_encode(const struct tree *tree);

/*
 * Decode the tree `root`, asking `fetch` for each directory message by digest. What `fetch`
 * returns is checked against its digest (V1) and must be canonical: anything else is FAULT_CORRUPT
 * with the path. Equal sub-trees are fetched once and shared.
 */
typedef GBytes *(*tree_fetch)(const struct digest *digest, void *user, GError **error);
struct tree *tree_load(const struct digest *root, tree_fetch fetch, void *user, GError **error);

/* Visit each distinct directory below and including `tree` once; for storing them. */
typedef bool (*tree_visit_directory)(const struct tree *directory, void *user, GError **error);
bool tree_each_directory(const struct tree *tree, tree_visit_directory visit, void *user,
                         GError **error);

/*
 * The union of `count` trees. Equal entries collapse, directories merge. Any other meeting at one
 * path, also of equal content with another executable bit, is a conflict: FAULT_CONFLICT whose
 * message names every conflicting path, one a line, with both sides as kind and digest.
 */
struct tree *tree_merge(struct tree *const *trees, size_t count, GError **error);

/*
 * What `glob` selects (glob.h). A directory is kept if it is itself selected or anything below it
 * is. Never fails.
 */
struct tree *tree_subset(struct tree *tree, const struct glob *glob);

/* Everything below `prefix` (a relative path), or `tree` itself for "". */
struct tree *tree_add_prefix(struct tree *tree, const char *prefix, GError **error);

/* What is below `prefix`; FAULT_CONFLICT naming them if anything lies beside it. */
struct tree *tree_remove_prefix(struct tree *tree, const char *prefix, GError **error);

/*
 * `tree` with the entry at `path` replaced, or removed if `entry` is NULL. Missing parents are
 * made; a parent that is a file or link is replaced by a directory; directories that become empty
 * stay. Removing what is not there gives an equal tree.
 */
struct tree *tree_replace(struct tree *tree, const char *path, const struct tree_entry *entry,
                          GError **error);

/*
 * All of `changes` at once, each as tree_replace() would do it, in time linear in the directories
 * touched. The order of the array does not matter; two changes of one path, or an addition below
 * another change that is not a directory, are FAULT_CONFLICT. Takes what tree_diff() tells.
 */
struct tree_change {
    const char *path;
    const struct tree_entry *entry; /* NULL removes */
};
struct tree *tree_apply(struct tree *tree, const struct tree_change *changes, size_t count,
                        GError **error);

/*
 * Call `visit` for every path where the trees differ, in path order: before == NULL for added,
 * after == NULL for removed. A directory present on one side only is reported, then its content;
 * a directory on both sides is descended into, never reported. Equal sub-trees cost nothing.
 */
typedef bool (*tree_difference)(const char *path, const struct tree_entry *before,
                                const struct tree_entry *after, void *user);
bool tree_diff(const struct tree *before, const struct tree *after, tree_difference visit,
               void *user);

/* "file 3a7b…/12", "executable file …", "link -> x", "directory …": for messages. Caller frees. */
char *tree_entry_describe(const struct tree_entry *entry);

#endif
