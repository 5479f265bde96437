// SPDX-License-Identifier: Apache-2.0
/* Decodes history entries; what is decoded must come through encoding and decoding unchanged. */
#include "cache/history.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(history_entry) found = history_decode(bytes, NULL);
    if (found == NULL)
        return 0;
    g_autoptr(GBytes) encoded = history_encode(found);
    g_autoptr(history_entry) again = history_decode(encoded, NULL);
    g_assert(again != NULL);
    g_autoptr(GBytes) encoded_again = history_encode(again);
    g_assert(g_bytes_equal(encoded, encoded_again));
    return 0;
}
