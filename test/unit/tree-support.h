// SPDX-License-Identifier: Apache-2.0
/*
 * Trees written down as lines, for tests:
 *   "a/b=content"  "a/run*=content" (executable)  "a/l->target"  "a/d/" (directory)
 *   "a/b@hash/size" (a file known by its digest alone)
 */
#ifndef TREE_SUPPORT_H
#define TREE_SUPPORT_H

#include "base/fault.h"
#include "tree/tree.h"

#include <string.h>

#define TREE(...) tree_of((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Fails the test, showing both trees, unless `found` is what the lines say. */
#define assert_tree(found, ...)                        \
    do {                                               \
        g_autoptr(tree) expected_ = TREE(__VA_ARGS__); \
        assert_same_tree(found, expected_);            \
    } while (0)

static inline char *parse_line(const char *line, struct tree_entry *entry, char **target)
{
    size_t length = strlen(line);
    const char *arrow = strstr(line, "->"), *equals = strchr(line, '='), *at = strchr(line, '@');
    *entry = (struct tree_entry){ .kind = TREE_FILE };
    if (arrow != NULL) {
        entry->kind = TREE_SYMLINK;
        entry->target = *target = g_strdup(arrow + 2);
        return g_strndup(line, (size_t)(arrow - line));
    }
    if (line[length - 1] == '/') {
        entry->kind = TREE_DIRECTORY;
        entry->directory = tree_empty();
        return g_strndup(line, length - 1);
    }
    const char *end = equals != NULL ? equals : at;
    g_assert_nonnull(end);
    if (equals != NULL)
        digest_of(equals + 1, strlen(equals + 1), &entry->digest);
    else
        g_assert_true(digest_parse(at + 1, &entry->digest, NULL));
    entry->executable = end[-1] == '*';
    return g_strndup(line, (size_t)(end - line) - entry->executable);
}

static inline struct tree *tree_of(const char *const *lines)
{
    struct tree_builder *builder = tree_builder_new();
    for (; *lines != NULL; lines++) {
        struct tree_entry entry;
        g_autofree char *target = NULL;
        g_autofree char *path = parse_line(*lines, &entry, &target);
        g_autoptr(GError) error = NULL;
        tree_builder_add(builder, path, &entry, &error);
        g_assert_no_error(error);
        tree_unref(entry.directory);
    }
    return tree_builder_finish(builder);
}

static inline bool show_entry(const char *path, const struct tree_entry *entry, void *user)
{
    g_autofree char *what = tree_entry_describe(entry);
    g_string_append_printf(user, "%s: %s\n", path, what);
    return true;
}

static inline char *show_tree(const struct tree *shown)
{
    GString *text = g_string_new(NULL);
    tree_walk(shown, show_entry, text);
    return g_string_free(text, FALSE);
}

static inline void assert_same_tree(const struct tree *found, const struct tree *expected)
{
    g_assert_nonnull(found);
    g_autofree char *found_text = show_tree(found);
    g_autofree char *expected_text = show_tree(expected);
    g_assert_cmpstr(found_text, ==, expected_text);
    g_assert_true(digest_equal(tree_digest(found), tree_digest(expected)));
}

/* Directory messages by digest, as a store would hold them. */
static inline bool keep_directory(const struct tree *directory, void *user, GError **error)
{
    g_assert_true(g_hash_table_insert(
        user, g_memdup2(tree_digest(directory), sizeof(struct digest)), tree_encode(directory)));
    return true;
}

static inline GHashTable *messages_new(void)
{
    return g_hash_table_new_full(digest_hash, digest_hash_equal, g_free,
                                 (GDestroyNotify)g_bytes_unref);
}

static inline GBytes *fetch_message(const struct digest *digest, void *user, GError **error)
{
    GBytes *bytes = g_hash_table_lookup(user, digest);
    if (bytes != NULL)
        return g_bytes_ref(bytes);
    fault_set(error, FAULT_MISSING, "no such message");
    return NULL;
}

#endif
