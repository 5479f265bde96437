// SPDX-License-Identifier: Apache-2.0
/* Loads bytes as an Action message (first byte even) or as the Command of one; what loads must be a
 * fixed point of storing and loading. */
#include "action/action.h"
#include "base/wire.h"

#include <stdint.h>

static void put(struct store *store, const void *data, size_t size, struct digest *out)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    bool ok = store_batch_put(batch, data, size, out, NULL) && store_batch_commit(batch, NULL);
    g_assert(ok);
}

static void put_action(struct store *store, const struct digest *command, struct digest *out)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    for (guint32 number = 1; number <= 2; number++) {
        g_autoptr(GByteArray) inner = g_byte_array_new();
        digest_encode(number == 1 ? command : digest_empty(), inner);
        wire_put_message(message, number, inner);
    }
    put(store, message->data, message->len, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    g_autoptr(store) store = store_new_memory();
    struct digest digest, key, again;
    put(store, "", 0, &digest);
    put(store, data + 1, size - 1, &digest);
    if (data[0] % 2 == 0)
        key = digest;
    else
        put_action(store, &digest, &key);
    g_autoptr(action) loaded = action_load(store, &key, NULL);
    if (loaded == NULL)
        return 0;
    g_autoptr(store_batch) batch = store_batch_new(store);
    bool ok = action_store(loaded, batch, &again, NULL) && store_batch_commit(batch, NULL);
    g_assert(ok);
    g_autoptr(action) second = action_load(store, &again, NULL);
    g_assert(second != NULL);
    action_digest(second, &key);
    g_assert(digest_equal(&key, &again));
    glob_free(action_output_glob(second, NULL));
    return 0;
}
