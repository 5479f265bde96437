// SPDX-License-Identifier: Apache-2.0
/* What makes trees from trees: merge, subset, prefixes, changes; and what compares them: diff. */
#include "tree/tree-internal.h"

#include "base/fault.h"
#include "base/path.h"
#include "tree/glob.h"

#include <string.h>

static struct tree *make(GArray *entries, GError **error)
{
    return tree_new((struct tree_entry *)entries->data, entries->len, error);
}

/* --- merge ------------------------------------------------------------------------------------ */

struct merge {
    GString *path;
    GString *conflicts; /* a line each */
    guint conflict_count;
};

static gint compare_entry_names(gconstpointer a, gconstpointer b)
{
    const struct tree_entry *const *first = a, *const *second = b;
    return strcmp((*first)->name, (*second)->name);
}

/* Every entry of every tree, by name; those of one name in the order of the trees. */
static GPtrArray *gather(struct tree *const *trees, size_t count)
{
    GPtrArray *all = g_ptr_array_new();
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < trees[i]->count; j++)
            g_ptr_array_add(all, &trees[i]->entries[j]);
    g_ptr_array_sort(all, compare_entry_names);
    return all;
}

static void note_conflict(struct merge *merge, struct tree_entry *const *meeting, size_t count)
{
    g_autoptr(GPtrArray) sides = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *side = tree_entry_describe(meeting[i]);
        if (!g_ptr_array_find_with_equal_func(sides, side, g_str_equal, NULL))
            g_ptr_array_add(sides, g_steal_pointer(&side));
    }
    g_ptr_array_add(sides, NULL);
    g_autofree char *path = path_quote(merge->path->str);
    g_autofree char *listed = g_strjoinv(" and ", (char **)sides->pdata);
    g_string_append_printf(merge->conflicts, "\n%s: %s", path, listed);
    merge->conflict_count++;
}

static struct tree *merge_trees(struct merge *merge, struct tree *const *trees, size_t count,
                                GError **error);

static struct tree *merge_directories(struct merge *merge, struct tree_entry *const *meeting,
                                      size_t count, GError **error)
{
    g_autofree struct tree **below = g_new(struct tree *, count);
    for (size_t i = 0; i < count; i++)
        below[i] = meeting[i]->directory;
    return merge_trees(merge, below, count, error);
}

/* What the entries of one name, at least two, become together. */
static bool merge_meeting(struct merge *merge, struct tree_entry *const *meeting, size_t count,
                          GArray *out, GError **error)
{
    bool equal = true, directories = true;
    for (size_t i = 0; i < count; i++) {
        equal = equal && tree_entry_equal(meeting[0], meeting[i]);
        directories = directories && meeting[i]->kind == TREE_DIRECTORY;
    }
    struct tree_entry merged = *meeting[0];
    size_t length = tree_path_push(merge->path, merged.name);
    if (!equal && !directories)
        note_conflict(merge, meeting, count);
    if (equal || !directories)
        tree_entries_add(out, &merged);
    else if ((merged.directory = merge_directories(merge, meeting, count, error)) != NULL)
        tree_entries_take(out, merged);
    tree_path_pop(merge->path, length);
    return !directories || equal || merged.directory != NULL;
}

static struct tree *merge_trees(struct merge *merge, struct tree *const *trees, size_t count,
                                GError **error)
{
    g_autoptr(GPtrArray) all = gather(trees, count);
    g_autoptr(GArray) merged = tree_entries_new(all->len);
    for (guint i = 0, end; i < all->len; i = end) {
        struct tree_entry *const *meeting = (struct tree_entry *const *)&all->pdata[i];
        for (end = i + 1; end < all->len && strcmp(meeting[end - i]->name, meeting[0]->name) == 0;)
            end++;
        if (end - i == 1)
            tree_entries_add(merged, meeting[0]);
        else if (!merge_meeting(merge, meeting, end - i, merged, error))
            return NULL;
    }
    return make(merged, error);
}

struct tree *tree_merge(struct tree *const *trees, size_t count, GError **error)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GString) conflicts = g_string_new(NULL);
    struct merge merge = { .path = path, .conflicts = conflicts };
    g_autoptr(tree) merged = merge_trees(&merge, trees, count, error);
    if (merged == NULL || merge.conflict_count == 0)
        return g_steal_pointer(&merged);
    fault_set(error, FAULT_CONFLICT, "the trees differ at %u path%s:%s", merge.conflict_count,
              merge.conflict_count == 1 ? "" : "s", conflicts->str);
    return NULL;
}

/* --- subset ----------------------------------------------------------------------------------- */

static struct tree *subset(struct tree *tree, const struct glob *glob, GString *path)
{
    g_autoptr(GArray) kept = tree_entries_new(tree->count);
    bool whole = true;
    for (size_t i = 0; i < tree->count; i++) {
        struct tree_entry entry = tree->entries[i];
        size_t length = tree_path_push(path, entry.name);
        bool selected = glob_match(glob, path->str, entry.kind == TREE_DIRECTORY);
        if (entry.kind == TREE_DIRECTORY) {
            bool below = glob_may_match_below(glob, path->str);
            entry.directory = below ? subset(entry.directory, glob, path) : tree_empty();
            selected = selected || entry.directory->count > 0;
            whole = whole && digest_equal(&entry.directory->digest, &entry.digest);
        }
        tree_path_pop(path, length);
        whole = whole && selected;
        if (selected)
            tree_entries_take(kept, entry);
        else
            tree_unref(entry.directory);
    }
    return whole ? tree_ref(tree) : make(kept, NULL);
}

struct tree *tree_subset(struct tree *tree, const struct glob *glob)
{
    g_autoptr(GString) path = g_string_new(NULL);
    return subset(tree, glob, path);
}

/* --- prefixes --------------------------------------------------------------------------------- */

struct tree *tree_add_prefix(struct tree *tree, const char *prefix, GError **error)
{
    g_autoptr(tree) made = tree_ref(tree);
    if (*prefix == '\0')
        return g_steal_pointer(&made);
    if (!tree_check_path(prefix, tree->depth, error))
        return NULL;
    g_auto(GStrv) names = g_strsplit(prefix, "/", -1);
    for (guint i = g_strv_length(names); i > 0 && made != NULL; i--) {
        struct tree_entry entry = { .name = names[i - 1],
                                    .kind = TREE_DIRECTORY,
                                    .directory = made };
        struct tree *outer = tree_new(&entry, 1, error);
        tree_unref(made);
        made = outer;
    }
    return g_steal_pointer(&made);
}

/* A line for each entry but `wanted`, which must be a directory. */
static void list_siblings(const struct tree *tree, const struct tree_entry *wanted, GString *path,
                          GString *siblings)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (&tree->entries[i] == wanted && wanted->kind == TREE_DIRECTORY)
            continue;
        size_t length = tree_path_push(path, tree->entries[i].name);
        g_autofree char *quoted = path_quote(path->str);
        g_string_append_printf(siblings, "\n%s", quoted);
        tree_path_pop(path, length);
    }
}

struct tree *tree_remove_prefix(struct tree *tree, const char *prefix, GError **error)
{
    if (*prefix == '\0')
        return tree_ref(tree);
    if (!tree_check_path(prefix, 0, error))
        return NULL;
    g_auto(GStrv) names = g_strsplit(prefix, "/", -1);
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GString) siblings = g_string_new(NULL);
    for (char **name = names; *name != NULL && tree != NULL; name++) {
        const struct tree_entry *entry = tree_child(tree, *name);
        list_siblings(tree, entry, path, siblings);
        tree_path_push(path, *name);
        tree = entry != NULL ? entry->directory : NULL;
    }
    if (siblings->len == 0)
        return tree != NULL ? tree_ref(tree) : tree_empty();
    g_autofree char *quoted = path_quote(prefix);
    fault_set(error, FAULT_CONFLICT, "cannot remove the prefix %s, beside which lie:%s", quoted,
              siblings->str);
    return NULL;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* A slash sorts before all but the end, so what lies below a path follows it at once. */
static int rank(char byte)
{
    return byte == '\0' ? 0 : byte == '/' ? 1 : (guint8)byte + 1;
}

static gint compare_changes(gconstpointer a, gconstpointer b)
{
    const char *first = ((const struct tree_change *)a)->path;
    const char *second = ((const struct tree_change *)b)->path;
    while (*first != '\0' && *first == *second)
        first++, second++;
    return rank(*first) - rank(*second);
}

/* Sorted changes of paths that have their first `offset` bytes in common. */
struct changes {
    const struct tree_change *at;
    size_t count, offset;
};

static bool only_removes(struct changes changes)
{
    for (size_t i = 0; i < changes.count; i++)
        if (changes.at[i].entry != NULL)
            return false;
    return true;
}

/* Cut off those changes that agree in the next component, `length` bytes long. */
static struct changes take_group(struct changes *rest, size_t *length)
{
    const char *name = rest->at->path + rest->offset;
    *length = strcspn(name, "/");
    struct changes group = { rest->at, 1, rest->offset };
    while (group.count < rest->count) {
        const char *other = group.at[group.count].path + rest->offset;
        if (strncmp(other, name, *length) != 0 || (other[*length] != '\0' && other[*length] != '/'))
            break;
        group.count++;
    }
    rest->at += group.count;
    rest->count -= group.count;
    return group;
}

static bool is_contradiction(struct changes changes, GError **error)
{
    g_autofree char *path = path_quote(changes.at[0].path);
    return fault_set(error, FAULT_CONFLICT, "two changes of a tree meet at %s", path);
}

static struct tree *apply(const struct tree *tree, struct changes changes, GError **error);

/* Append what becomes of `before` (NULL: nothing there), called `name`; `group` is all about it. */
static bool apply_group(const struct tree_entry *before, const char *name, struct changes group,
                        GArray *out, GError **error)
{
    size_t length = strlen(name);
    const struct tree_entry *now = before;
    struct changes below = { group.at, group.count, group.offset + length + 1 };
    bool replaced = group.at[0].path[group.offset + length] == '\0';
    if (replaced) {
        now = group.at[0].entry;
        below = (struct changes){ group.at + 1, group.count - 1, below.offset };
    }
    bool again = below.count > 0 && replaced && below.at[0].path[group.offset + length] == '\0';
    bool directory = now != NULL && now->kind == TREE_DIRECTORY;
    bool adds = !only_removes(below);
    if (again || (replaced && !directory && adds))
        return is_contradiction(group, error);
    if (below.count > 0 && (directory || adds)) {
        struct tree_entry made = { .name = name, .kind = TREE_DIRECTORY };
        made.directory = apply(directory ? now->directory : NULL, below, error);
        if (made.directory == NULL)
            return false;
        tree_entries_take(out, made);
    } else if (now != NULL) {
        struct tree_entry kept = *now;
        kept.name = name;
        tree_entries_add(out, &kept);
    }
    return true;
}

/* `tree` may be NULL: nothing is there yet. Groups and entries are both in the order of names. */
static struct tree *apply(const struct tree *tree, struct changes changes, GError **error)
{
    size_t count = tree != NULL ? tree->count : 0, next = 0, length;
    g_autoptr(GArray) entries = tree_entries_new(count + changes.count);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    while (changes.count > 0) {
        struct changes group = take_group(&changes, &length);
        char *name = g_strndup(group.at->path + group.offset, length);
        g_ptr_array_add(names, name);
        while (next < count && strcmp(tree->entries[next].name, name) < 0)
            tree_entries_add(entries, &tree->entries[next++]);
        bool present = next < count && strcmp(tree->entries[next].name, name) == 0;
        const struct tree_entry *before = present ? &tree->entries[next++] : NULL;
        if (!apply_group(before, name, group, entries, error))
            return NULL;
    }
    while (next < count)
        tree_entries_add(entries, &tree->entries[next++]);
    return make(entries, error);
}

struct tree *tree_apply(struct tree *tree, const struct tree_change *changes, size_t count,
                        GError **error)
{
    g_autoptr(GArray) sorted = g_array_new(FALSE, FALSE, sizeof *changes);
    for (size_t i = 0; i < count; i++) {
        const struct tree_entry *entry = changes[i].entry;
        bool directory = entry != NULL && entry->kind == TREE_DIRECTORY;
        if (!tree_check_path(changes[i].path, directory ? entry->directory->depth : 0, error))
            return NULL;
        g_array_append_val(sorted, changes[i]);
    }
    if (count == 0)
        return tree_ref(tree);
    g_array_sort(sorted, compare_changes);
    return apply(tree, (struct changes){ (struct tree_change *)sorted->data, count, 0 }, error);
}

struct tree *tree_replace(struct tree *tree, const char *path, const struct tree_entry *entry,
                          GError **error)
{
    return tree_apply(tree, &(struct tree_change){ path, entry }, 1, error);
}

/* --- diff ------------------------------------------------------------------------------------- */

struct diff {
    tree_difference visit;
    void *user;
    GString *path;
};

static bool diff_trees(struct diff *diff, const struct tree *before, const struct tree *after);

/* One name: an entry on either side or on both. */
static bool diff_entries(struct diff *diff, const struct tree_entry *before,
                         const struct tree_entry *after)
{
    if (before != NULL && after != NULL && tree_entry_equal(before, after))
        return true;
    const struct tree *from = before != NULL ? before->directory : NULL;
    const struct tree *to = after != NULL ? after->directory : NULL;
    size_t length = tree_path_push(diff->path, before != NULL ? before->name : after->name);
    bool descend = from != NULL && to != NULL;
    bool go_on = (descend || diff->visit(diff->path->str, before, after, diff->user)) &&
                 diff_trees(diff, from, to);
    tree_path_pop(diff->path, length);
    return go_on;
}

static bool diff_trees(struct diff *diff, const struct tree *before, const struct tree *after)
{
    size_t before_count = before != NULL ? before->count : 0;
    size_t after_count = after != NULL ? after->count : 0;
    for (size_t i = 0, j = 0; i < before_count || j < after_count;) {
        int order = i == before_count  ? 1
                    : j == after_count ? -1
                                       : strcmp(before->entries[i].name, after->entries[j].name);
        const struct tree_entry *left = order <= 0 ? &before->entries[i++] : NULL;
        const struct tree_entry *right = order >= 0 ? &after->entries[j++] : NULL;
        if (!diff_entries(diff, left, right))
            return false;
    }
    return true;
}

bool tree_diff(const struct tree *before, const struct tree *after, tree_difference visit,
               void *user)
{
    g_autoptr(GString) path = g_string_new(NULL);
    struct diff diff = { .visit = visit, .user = user, .path = path };
    return digest_equal(&before->digest, &after->digest) || diff_trees(&diff, before, after);
}
