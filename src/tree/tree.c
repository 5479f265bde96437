// SPDX-License-Identifier: Apache-2.0
/* Trees themselves: making one directory, its life, access to entries, walks over what is below. */
#include "tree/tree-internal.h"

#include "base/fault.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

bool tree_check_entry(const struct tree_entry *entry, GError **error)
{
    bool link = entry->kind == TREE_SYMLINK;
    g_assert(entry->kind != TREE_FILE || entry->digest.size >= 0);
    g_assert(entry->kind != TREE_DIRECTORY || entry->directory != NULL);
    if (path_is_name(entry->name) &&
        (!link || (*entry->target != '\0' && g_utf8_validate(entry->target, -1, NULL))))
        return true;
    g_autofree char *name = path_quote(entry->name);
    if (!path_is_name(entry->name))
        return fault_set(error, FAULT_UNSUPPORTED, "a tree cannot hold an entry named %s", name);
    g_autofree char *target = path_quote(entry->target);
    return fault_set(error, FAULT_UNSUPPORTED, "a tree cannot hold the link %s to %s", name,
                     target);
}

/* *out: bytes for all names and targets. */
static bool measure(const struct tree_entry *entries, size_t count, size_t *out, GError **error)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        if (!tree_check_entry(&entries[i], error))
            return false;
        *out += strlen(entries[i].name) + 1;
        if (entries[i].kind == TREE_SYMLINK)
            *out += strlen(entries[i].target) + 1;
    }
    if (*out + count * 128 > G_MAXUINT) /* its message would not fit a GByteArray */
        return fault_set(error, FAULT_UNSUPPORTED,
                         "a directory of %zu entries, more than 4 GiB of names", count);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct tree_entry *)a)->name, ((const struct tree_entry *)b)->name);
}

static bool sort(struct tree_entry *entries, size_t count, GError **error)
{
    size_t i = 1;
    while (i < count && compare_names(&entries[i - 1], &entries[i]) < 0)
        i++;
    if (i >= count)
        return true;
    qsort(entries, count, sizeof *entries, compare_names);
    for (i = 1; i < count; i++)
        if (compare_names(&entries[i - 1], &entries[i]) == 0) {
            g_autofree char *name = path_quote(entries[i].name);
            return fault_set(error, FAULT_UNSUPPORTED, "two entries of one directory are named %s",
                             name);
        }
    return true;
}

static const char *copy_text(char **free_space, const char *text)
{
    const char *copy = *free_space;
    *free_space = stpcpy(*free_space, text) + 1;
    return copy;
}

static guint64 add_saturated(guint64 a, guint64 b)
{
    return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

static void count_entry(struct tree *tree, const struct tree_entry *entry)
{
    struct tree_totals *totals = &tree->totals;
    switch (entry->kind) {
    case TREE_FILE:
        totals->files = add_saturated(totals->files, 1);
        totals->bytes = add_saturated(totals->bytes, (guint64)entry->digest.size);
        break;
    case TREE_SYMLINK:
        totals->links = add_saturated(totals->links, 1);
        break;
    case TREE_DIRECTORY: {
        const struct tree *below = entry->directory;
        totals->files = add_saturated(totals->files, below->totals.files);
        totals->bytes = add_saturated(totals->bytes, below->totals.bytes);
        totals->links = add_saturated(totals->links, below->totals.links);
        totals->directories = add_saturated(totals->directories, below->totals.directories);
        totals->directories = add_saturated(totals->directories, 1);
        tree->depth = MAX(tree->depth, below->depth + 1);
        break;
    }
    }
}

/* Make the sorted entries the tree's own: their text, their references, nothing undefined. */
static void adopt_entries(struct tree *tree)
{
    char *text = (char *)&tree->entries[tree->count];
    for (size_t i = 0; i < tree->count; i++) {
        struct tree_entry *entry = &tree->entries[i];
        entry->name = copy_text(&text, entry->name);
        entry->target = entry->kind == TREE_SYMLINK ? copy_text(&text, entry->target) : NULL;
        entry->executable = entry->kind == TREE_FILE && entry->executable;
        if (entry->kind == TREE_SYMLINK)
            entry->digest = (struct digest){ 0 };
        if (entry->kind == TREE_DIRECTORY) {
            entry->directory = tree_ref(entry->directory);
            entry->digest = entry->directory->digest;
        } else {
            entry->directory = NULL;
        }
        count_entry(tree, entry);
    }
}

struct tree *tree_make(const struct tree_entry *entries, size_t count, GByteArray *message,
                       GError **error)
{
    size_t text;
    if (!measure(entries, count, &text, error))
        return NULL;
    struct tree *made = g_malloc(sizeof *made + count * sizeof *entries + text);
    *made = (struct tree){ .references = 1, .depth = 1, .count = count };
    if (count > 0)
        memcpy(made->entries, entries, count * sizeof *entries);
    if (!sort(made->entries, count, error)) {
        g_free(made);
        return NULL;
    }
    adopt_entries(made);
    if (made->depth > TREE_DEPTH_LIMIT) {
        tree_unref(made);
        fault_set(error, FAULT_UNSUPPORTED, "directories nest more than %d deep", TREE_DEPTH_LIMIT);
        return NULL;
    }
    if (message != NULL)
        tree_encode_entries(made->entries, count, message);
    return made;
}

struct tree *tree_new(const struct tree_entry *entries, size_t count, GError **error)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    struct tree *made = tree_make(entries, count, message, error);
    if (made != NULL)
        digest_of(message->data, message->len, &made->digest);
    return made;
}

struct tree *tree_new_known(const struct tree_entry *entries, size_t count,
                            const struct digest *digest, GError **error)
{
    struct tree *made = tree_make(entries, count, NULL, error);
    if (made != NULL)
        made->digest = *digest;
    return made;
}

struct tree *tree_empty(void)
{
    return tree_new(NULL, 0, NULL);
}

struct tree *tree_ref(struct tree *tree)
{
    g_atomic_int_inc(&tree->references);
    return tree;
}

void tree_unref(struct tree *tree)
{
    if (tree == NULL || !g_atomic_int_dec_and_test(&tree->references))
        return;
    for (size_t i = 0; i < tree->count; i++)
        tree_unref(tree->entries[i].directory);
    g_free(tree);
}

const struct digest *tree_digest(const struct tree *tree)
{
    return &tree->digest;
}

size_t tree_size(const struct tree *tree)
{
    return tree->count;
}

const struct tree_entry *tree_at(const struct tree *tree, size_t index)
{
    g_assert(index < tree->count);
    return &tree->entries[index];
}

static int compare_component(const char *name, size_t length, const char *with)
{
    int order = strncmp(name, with, length);
    return order != 0 ? order : -(with[length] != '\0');
}

const struct tree_entry *tree_find(const struct tree *tree, const char *name, size_t length)
{
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_component(name, length, tree->entries[middle].name);
        if (order == 0)
            return &tree->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct tree_entry *tree_child(const struct tree *tree, const char *name)
{
    return tree_find(tree, name, strlen(name));
}

const struct tree_entry *tree_lookup(const struct tree *tree, const char *path)
{
    for (;;) {
        size_t length = strcspn(path, "/");
        const struct tree_entry *entry = tree_find(tree, path, length);
        if (entry == NULL || path[length] == '\0')
            return entry;
        if (entry->kind != TREE_DIRECTORY)
            return NULL;
        tree = entry->directory;
        path += length + 1;
    }
}

bool tree_entry_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == TREE_SYMLINK)
        return strcmp(a->target, b->target) == 0;
    return a->executable == b->executable && digest_equal(&a->digest, &b->digest);
}

char *tree_entry_describe(const struct tree_entry *entry)
{
    char text[DIGEST_TEXT_SIZE];
    if (entry->kind == TREE_SYMLINK) {
        g_autofree char *target = path_quote(entry->target);
        return g_strconcat("link -> ", target, NULL);
    }
    const char *kind = entry->kind == TREE_DIRECTORY ? "directory "
                       : entry->executable           ? "executable file "
                                                     : "file ";
    return g_strconcat(kind, digest_print(&entry->digest, text), NULL);
}

size_t tree_path_push(GString *path, const char *name)
{
    size_t length = path->len;
    if (length > 0)
        g_string_append_c(path, '/');
    g_string_append(path, name);
    return length;
}

void tree_path_pop(GString *path, size_t length)
{
    g_string_truncate(path, length);
}

static bool walk(const struct tree *tree, GString *path, tree_visit visit, void *user)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_entry *entry = &tree->entries[i];
        size_t length = tree_path_push(path, entry->name);
        if (!visit(path->str, entry, user))
            return false;
        if (entry->kind == TREE_DIRECTORY && !walk(entry->directory, path, visit, user))
            return false;
        tree_path_pop(path, length);
    }
    return true;
}

bool tree_walk(const struct tree *tree, tree_visit visit, void *user)
{
    g_autoptr(GString) path = g_string_new(NULL);
    return walk(tree, path, visit, user);
}

void tree_totals(const struct tree *tree, struct tree_totals *out)
{
    *out = tree->totals;
}

static bool each_directory(const struct tree *tree, GHashTable *seen, tree_visit_directory visit,
                           void *user, GError **error)
{
    if (!g_hash_table_add(seen, (gpointer)&tree->digest))
        return true;
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i].kind == TREE_DIRECTORY &&
            !each_directory(tree->entries[i].directory, seen, visit, user, error))
            return false;
    return visit(tree, user, error);
}

bool tree_each_directory(const struct tree *tree, tree_visit_directory visit, void *user,
                         GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(digest_hash, digest_hash_equal);
    return each_directory(tree, seen, visit, user, error);
}

static void release_entry(void *data)
{
    const struct tree_entry *entry = data;
    if (entry->kind == TREE_DIRECTORY)
        tree_unref(entry->directory);
}

GArray *tree_entries_new(size_t reserved)
{
    GArray *entries =
        g_array_sized_new(FALSE, FALSE, sizeof(struct tree_entry), (guint)MIN(reserved, G_MAXINT));
    g_array_set_clear_func(entries, release_entry);
    return entries;
}

void tree_entries_take(GArray *entries, struct tree_entry entry)
{
    g_array_append_val(entries, entry);
}

void tree_entries_add(GArray *entries, const struct tree_entry *entry)
{
    if (entry->kind == TREE_DIRECTORY)
        tree_ref(entry->directory);
    tree_entries_take(entries, *entry);
}

bool tree_check_path(const char *path, guint below, GError **error)
{
    if (!path_is_relative(path)) {
        g_autofree char *quoted = path_quote(path);
        return fault_set(error, FAULT_UNSUPPORTED, "a tree cannot hold the path %s", quoted);
    }
    guint components = 1;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        components++;
    if (components + below > TREE_DEPTH_LIMIT)
        return fault_set(error, FAULT_UNSUPPORTED, "a path of %u components is more than %d deep",
                         components, TREE_DEPTH_LIMIT);
    return true;
}
