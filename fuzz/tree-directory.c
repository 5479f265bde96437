// SPDX-License-Identifier: Apache-2.0
/* Loads any bytes as a Directory message; what is taken must survive everything done to trees. */
#include "base/fault.h"
#include "tree/tree.h"

#include <stdint.h>
#include <string.h>

struct message {
    const uint8_t *data;
    size_t size;
    struct digest digest;
};

/* The message itself, and the empty directory. */
static GBytes *fetch(const struct digest *digest, void *user, GError **error)
{
    const struct message *message = user;
    if (digest_equal(digest, &message->digest))
        return g_bytes_new_static(message->data, message->size);
    if (digest_equal(digest, digest_empty()))
        return g_bytes_new_static(NULL, 0);
    fault_set(error, FAULT_MISSING, "no such directory");
    return NULL;
}

static bool add(const char *path, const struct tree_entry *entry, void *builder)
{
    g_free(tree_entry_describe(entry));
    g_assert_true(tree_builder_add(builder, path, entry, NULL));
    return true;
}

static bool remove_from(const char *path, const struct tree_entry *before,
                        const struct tree_entry *after, void *user)
{
    struct tree **rest = user;
    g_autoptr(tree) all = *rest;
    *rest = tree_replace(all, path, after, NULL);
    return *rest != NULL;
}

static void check_equal(const struct tree *found, const struct tree *expected)
{
    g_assert_nonnull(found);
    g_assert_true(digest_equal(tree_digest(found), tree_digest(expected)));
}

static void check(struct tree *loaded, const struct message *message)
{
    g_autoptr(GBytes) bytes = tree_encode(loaded);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, message->size);
    g_assert_true(message->size == 0 ||
                  memcmp(g_bytes_get_data(bytes, NULL), message->data, message->size) == 0);
    struct tree_builder *builder = tree_builder_new();
    g_assert_true(tree_walk(loaded, add, builder));
    g_autoptr(tree) built = tree_builder_finish(builder);
    check_equal(built, loaded);
    g_autoptr(tree) merged = tree_merge((struct tree *[]){ loaded, built }, 2, NULL);
    check_equal(merged, loaded);
    g_autoptr(tree) below = tree_add_prefix(loaded, "a/b", NULL);
    g_autoptr(tree) back = tree_remove_prefix(below, "a/b", NULL);
    check_equal(back, loaded);
    g_autoptr(tree) empty = tree_empty();
    struct tree *rest = tree_ref(loaded);
    if (tree_size(loaded) < 100) /* one by one: quadratic */
        g_assert_true(tree_diff(loaded, empty, remove_from, &rest));
    check_equal(rest, tree_size(loaded) < 100 ? empty : loaded);
    tree_unref(rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message message = { .data = data, .size = size };
    digest_of(data, size, &message.digest);
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) loaded = tree_load(&message.digest, fetch, &message, &error);
    if (loaded != NULL)
        check(loaded, &message);
    else
        g_assert_true(error->code == FAULT_CORRUPT || error->code == FAULT_MISSING);
    struct digest digest;
    if (digest_decode(data, size, &digest)) {
        char text[DIGEST_TEXT_SIZE];
        struct digest again;
        g_assert_true(digest_parse(digest_print(&digest, text), &again, NULL));
        g_assert_true(digest_equal(&digest, &again));
    }
    return 0;
}
