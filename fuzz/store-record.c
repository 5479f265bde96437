// SPDX-License-Identifier: Apache-2.0
/* Keys, entries, records and the log of a store: what is accepted is written back byte for byte. */
#include "store/store-disk.h"

static void try_key_and_entry(const guint8 *data, size_t size)
{
    struct digest digest = *digest_empty();
    if (store_blob_key_digest(data, MIN(size, STORE_BLOB_KEY), &digest)) {
        guint8 key[STORE_BLOB_KEY];
        store_blob_key(&digest, key);
        g_assert_cmpmem(key, STORE_BLOB_KEY, data, STORE_BLOB_KEY);
        data += STORE_BLOB_KEY;
        size -= STORE_BLOB_KEY;
    }
    struct store_blob_entry entry = store_blob_entry_decode(&digest, data, size);
    if (entry.kind == STORE_BLOB_OBJECT) {
        guint8 again[STORE_OBJECT_ENTRY];
        store_object_entry(&entry, again);
        g_assert_cmpmem(again, STORE_OBJECT_ENTRY, data, (int)size);
    }
}

/* The first byte is the size of the key. */
static void try_record(const guint8 *data, size_t size)
{
    if (size == 0 || data[0] == 0 || data[0] >= size)
        return;
    size_t key_size = data[0], value_size;
    const guint8 *key = data + 1, *record = key + key_size, *value;
    if (!store_record_open(key, key_size, record, size - 1 - key_size, &value, &value_size))
        return;
    guint8 checksum[STORE_CHECKSUM];
    store_record_checksum(key, key_size, value, value_size, checksum);
    g_assert_cmpmem(checksum, STORE_CHECKSUM, record, STORE_CHECKSUM);
}

static void try_log(const guint8 *data, size_t size)
{
    size_t at = 0, payload_size;
    const guint8 *payload;
    while (store_log_next(data, size, &at, &payload, &payload_size)) {
        guint8 header[STORE_LOG_HEADER];
        g_assert_true(payload >= data + STORE_LOG_HEADER && payload + payload_size == data + at);
        store_log_header(payload, payload_size, header);
        g_assert_cmpmem(header, STORE_LOG_HEADER, payload - STORE_LOG_HEADER, STORE_LOG_HEADER);
    }
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    try_key_and_entry(data, size);
    try_record(data, size);
    try_log(data, size);
    return 0;
}
