// SPDX-License-Identifier: Apache-2.0
/* Decodes records of own outputs; what is decoded must roll back any tree to some tree, and come
 * through encoding and decoding unchanged. */
#include "cache/own.h"

#include <stdint.h>

static void add(struct tree_builder *builder, const char *path, enum tree_kind kind)
{
    g_autoptr(tree) empty = tree_empty();
    struct tree_entry entry = { .kind = kind, .target = "x", .directory = empty };
    bool ok = tree_builder_add(builder, path, &entry, NULL);
    g_assert(ok);
}

static struct tree *present(void)
{
    struct tree_builder *builder = tree_builder_new();
    add(builder, "a", TREE_FILE);
    add(builder, "d/l", TREE_SYMLINK);
    add(builder, "d/x", TREE_FILE);
    add(builder, "e/e", TREE_DIRECTORY);
    return tree_builder_finish(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(own) found = own_decode(bytes, NULL);
    if (found == NULL)
        return 0;
    g_autoptr(store) store = store_new_memory();
    g_autoptr(tree) tree = present();
    g_autoptr(GPtrArray) fifos = g_ptr_array_new();
    g_autoptr(result) result = result_new();
    g_ptr_array_add(fifos, (gpointer) "f");
    g_ptr_array_add(fifos, (gpointer) "p");
    const struct own_present where = { .tree = tree, .fifos = fifos };
    const char *foreign;
    g_autoptr(tree) rolled = own_roll_back(found, store, &where, &foreign);
    g_assert(rolled != NULL);
    g_assert(foreign == NULL || foreign == fifos->pdata[0] || foreign == fifos->pdata[1]);
    own_learn(found, rolled, tree, result);
    g_autoptr(GBytes) encoded = own_encode(found);
    g_autoptr(own) again = own_decode(encoded, NULL);
    g_assert(again != NULL);
    g_autoptr(GBytes) encoded_again = own_encode(again);
    g_assert(g_bytes_equal(encoded, encoded_again));
    return 0;
}
