// SPDX-License-Identifier: Apache-2.0
/* Decodes records of what executions saw; what is decoded must come through encoding unchanged. */
#include "cache/seen.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GArray) found = seen_decode(bytes, NULL);
    if (found == NULL)
        return 0;
    g_autoptr(GBytes) encoded =
        seen_encode((const struct seen_entry *)(const void *)found->data, found->len);
    g_autoptr(GArray) again = seen_decode(encoded, NULL);
    g_assert(again != NULL && again->len == found->len);
    g_autoptr(GBytes) encoded_again =
        seen_encode((const struct seen_entry *)(const void *)again->data, again->len);
    g_assert(g_bytes_equal(encoded, encoded_again));
    return 0;
}
