// SPDX-License-Identifier: Apache-2.0
/* Reads records of the change clock: any bytes are a record or as none, and times stay put. */
#include "trace/trace.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest folder, content;
    guint8 key[1 + DIGEST_HASH_SIZE] = "c";
    digest_of("/w", 2, &folder);
    digest_of("text", 4, &content);
    memcpy(key + 1, folder.hash, DIGEST_HASH_SIZE);
    g_autoptr(store) store = store_new_memory();
    g_autoptr(GBytes) record = g_bytes_new(data, size);
    store_record_put(store, STORE_STAT, key, sizeof key, record, NULL);
    g_autoptr(trace_clock) clock = trace_clock_new(store);
    gint64 first = trace_clock_time(clock, "/w/a", &content, 5, 5);
    g_autoptr(store_batch) batch = store_batch_new(store);
    trace_clock_flush(clock, batch);
    store_batch_commit(batch, NULL);
    g_autoptr(trace_clock) again = trace_clock_new(store);
    g_assert(trace_clock_time(again, "/w/a", &content, 6, 6) == first);
    return 0;
}
