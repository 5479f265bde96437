// SPDX-License-Identifier: Apache-2.0
/*
 * Builds a tree from paths in any order.
 *
 * Directories stay as the trees they were added as (sealed) until something is added below them.
 */
#include "tree/tree-internal.h"

#include "base/fault.h"
#include "base/path.h"

#include <string.h>

struct node {
    struct tree_entry entry; /* its name is the parent's key */
    char *target;            /* owns entry.target */
    struct tree *sealed;     /* owns entry.directory */
    GHashTable *children;    /* name -> node: a directory that is open */
};

struct tree_builder {
    struct node *root;
};

static void node_free(void *data)
{
    struct node *node = data;
    g_free(node->target);
    tree_unref(node->sealed);
    g_clear_pointer(&node->children, g_hash_table_unref);
    g_free(node);
}

static struct node *node_new(const struct tree_entry *entry)
{
    struct node *node = g_new0(struct node, 1);
    node->entry = *entry;
    if (entry->kind == TREE_SYMLINK)
        node->entry.target = node->target = g_strdup(entry->target);
    if (entry->kind == TREE_DIRECTORY)
        node->sealed = tree_ref(entry->directory);
    return node;
}

static void node_open(struct node *node)
{
    if (node->children != NULL)
        return;
    node->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free);
    for (size_t i = 0; i < node->sealed->count; i++) {
        const struct tree_entry *entry = &node->sealed->entries[i];
        g_hash_table_insert(node->children, g_strdup(entry->name), node_new(entry));
    }
    g_clear_pointer(&node->sealed, tree_unref);
}

static struct tree *node_finish(const struct node *node)
{
    if (node->sealed != NULL)
        return tree_ref(node->sealed);
    g_autoptr(GArray) entries = tree_entries_new(g_hash_table_size(node->children));
    GHashTableIter iterator;
    void *name, *value;
    g_hash_table_iter_init(&iterator, node->children);
    while (g_hash_table_iter_next(&iterator, &name, &value)) {
        const struct node *child = value;
        struct tree_entry entry = child->entry;
        entry.name = name;
        if (entry.kind == TREE_DIRECTORY)
            entry.directory = node_finish(child);
        tree_entries_take(entries, entry);
    }
    GError *error = NULL;
    struct tree *made = tree_new((struct tree_entry *)entries->data, entries->len, &error);
    if (made == NULL) /* names and depth were checked as they were added */
        g_error("tree builder: %s", error->message);
    return made;
}

/* `path` cannot become `entry`, since `taken`, which is path or a parent of it, is `present`. */
static bool is_taken(const char *path, const struct tree_entry *entry, const char *taken,
                     const struct node *present, GError **error)
{
    g_autofree char *quoted = path_quote(path);
    g_autofree char *added = tree_entry_describe(entry);
    g_autofree char *quoted_taken = path_quote(taken);
    g_autofree char *found =
        present->children != NULL ? g_strdup("directory") : tree_entry_describe(&present->entry);
    return fault_set(error, FAULT_CONFLICT, "cannot add %s as %s: %s is already %s", quoted, added,
                     quoted_taken, found);
}

static bool put(struct node *parent, const char *name, const struct tree_entry *entry,
                const char *path, GError **error)
{
    node_open(parent);
    struct node *present = g_hash_table_lookup(parent->children, name);
    if (present == NULL) {
        g_hash_table_insert(parent->children, g_strdup(name), node_new(entry));
        return true;
    }
    /* Compared with what it was at first, all of which is still there. */
    if (tree_entry_equal(&present->entry, entry))
        return true;
    if (present->entry.kind != TREE_DIRECTORY || entry->kind != TREE_DIRECTORY)
        return is_taken(path, entry, path, present, error);
    for (size_t i = 0; i < entry->directory->count; i++) {
        const struct tree_entry *child = &entry->directory->entries[i];
        g_autofree char *below = path_join(path, child->name);
        if (!put(present, child->name, child, below, error))
            return false;
    }
    return true;
}

static struct node *new_directory(void)
{
    g_autoptr(tree) empty = tree_empty();
    return node_new(&(struct tree_entry){
        .kind = TREE_DIRECTORY, .digest = empty->digest, .directory = empty });
}

/* The directory that holds the last component of `path`; NULL if `entry` cannot be put there. */
static struct node *make_parents(struct tree_builder *builder, const char *path,
                                 const struct tree_entry *entry, GError **error)
{
    struct node *parent = builder->root;
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        node_open(parent);
        g_autofree char *component = g_strndup(at, (size_t)(slash - at));
        struct node *child = g_hash_table_lookup(parent->children, component);
        if (child == NULL) {
            child = new_directory();
            g_hash_table_insert(parent->children, g_steal_pointer(&component), child);
        } else if (child->entry.kind != TREE_DIRECTORY) {
            g_autofree char *taken = g_strndup(path, (size_t)(slash - path));
            is_taken(path, entry, taken, child, error);
            return NULL;
        }
        parent = child;
    }
    return parent;
}

struct tree_builder *tree_builder_new(void)
{
    struct tree_builder *builder = g_new(struct tree_builder, 1);
    builder->root = new_directory();
    return builder;
}

void tree_builder_free(struct tree_builder *builder)
{
    if (builder == NULL)
        return;
    node_free(builder->root);
    g_free(builder);
}

bool tree_builder_add(struct tree_builder *builder, const char *path,
                      const struct tree_entry *entry, GError **error)
{
    struct tree_entry added = *entry;
    bool directory = entry->kind == TREE_DIRECTORY;
    if (directory)
        added.digest = entry->directory->digest;
    if (!tree_check_path(path, directory ? entry->directory->depth : 0, error))
        return false;
    added.name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    if (!tree_check_entry(&added, error))
        return false;
    struct node *parent = make_parents(builder, path, &added, error);
    return parent != NULL && put(parent, added.name, &added, path, error);
}

struct tree *tree_builder_finish(struct tree_builder *builder)
{
    struct tree *made = node_finish(builder->root);
    tree_builder_free(builder);
    return made;
}
