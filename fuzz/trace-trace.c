// SPDX-License-Identifier: Apache-2.0
/* Decodes traces; what is decoded must come through encoding unchanged, and its path set and values
 * must be sound. */
#include "trace/trace.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(trace) found = trace_decode(bytes, NULL);
    if (found == NULL)
        return 0;
    g_autoptr(GBytes) encoded = trace_encode(found);
    g_autoptr(trace) again = trace_decode(encoded, NULL);
    g_assert(again != NULL);
    g_autoptr(GBytes) encoded_again = trace_encode(again);
    g_assert(g_bytes_equal(encoded, encoded_again));
    g_autoptr(path_set) set = path_set_of(found);
    g_autoptr(GBytes) paths = path_set_encode(set);
    g_autoptr(path_set) set_again = path_set_decode(paths, NULL);
    g_assert(set_again != NULL);
    g_autofree char *refusal = trace_refusal(found);
    return 0;
}
