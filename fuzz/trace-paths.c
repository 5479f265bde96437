// SPDX-License-Identifier: Apache-2.0
/* Decodes path sets; what is decoded can be asked of a state, and its paths ascend. */
#include "trace/trace.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(path_set) set = path_set_decode(bytes, NULL);
    if (set == NULL)
        return 0;
    for (size_t i = 1; i < path_set_count(set); i++)
        g_assert(trace_compare_paths(path_set_at(set, i - 1)->path, path_set_at(set, i)->path) < 0);
    g_autoptr(trace_state) state = trace_memory_state_new();
    g_autoptr(GByteArray) values = g_byte_array_new();
    bool ok = path_set_evaluate(set, state, values, NULL);
    g_assert(ok);
    return 0;
}
