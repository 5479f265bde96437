// SPDX-License-Identifier: Apache-2.0
/* Decodes results; what is decoded must come through encoding and decoding unchanged. */
#include "action/action.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(result) found = result_decode(bytes, NULL);
    if (found == NULL)
        return 0;
    g_autoptr(GBytes) encoded = result_encode(found);
    g_autoptr(result) again = result_decode(encoded, NULL);
    g_assert(again != NULL);
    g_autoptr(GBytes) encoded_again = result_encode(again);
    g_assert(g_bytes_equal(encoded, encoded_again));
    return 0;
}
