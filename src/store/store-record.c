// SPDX-License-Identifier: Apache-2.0
/* The bytes of keys, entries, records and the log: made and taken apart without any I/O. */
#include "store/store-disk.h"

#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static void put_be64(guint64 value, guint8 *out)
{
    value = GUINT64_TO_BE(value);
    memcpy(out, &value, sizeof value);
}

static guint64 get_be64(const guint8 *data)
{
    guint64 value;
    memcpy(&value, data, sizeof value);
    return GUINT64_FROM_BE(value);
}

void store_blob_key(const struct digest *digest, guint8 out[STORE_BLOB_KEY])
{
    out[0] = STORE_BLOBS;
    memcpy(out + 1, digest->hash, DIGEST_HASH_SIZE);
    put_be64((guint64)digest->size, out + 1 + DIGEST_HASH_SIZE);
}

bool store_blob_key_digest(const void *key, size_t size, struct digest *out)
{
    const guint8 *bytes = key;
    if (size != STORE_BLOB_KEY || bytes[0] != STORE_BLOBS)
        return false;
    memcpy(out->hash, bytes + 1, DIGEST_HASH_SIZE);
    guint64 blob_size = get_be64(bytes + 1 + DIGEST_HASH_SIZE);
    out->size = (gint64)blob_size;
    return blob_size <= G_MAXINT64;
}

void store_object_entry(const struct store_blob_entry *entry, guint8 out[STORE_OBJECT_ENTRY])
{
    out[0] = STORE_BLOB_OBJECT;
    put_be64(entry->inode, out + 1);
    put_be64((guint64)entry->changed, out + 9);
}

struct store_blob_entry store_blob_entry_decode(const struct digest *digest, const void *data,
                                                size_t size)
{
    const guint8 *bytes = data;
    struct store_blob_entry entry = { .kind = STORE_BLOB_GONE };
    if (size == (guint64)digest->size + 1 && bytes[0] == STORE_BLOB_INLINE) {
        entry.kind = STORE_BLOB_INLINE;
    } else if (size == STORE_OBJECT_ENTRY && bytes[0] == STORE_BLOB_OBJECT) {
        entry.kind = STORE_BLOB_OBJECT;
        entry.inode = get_be64(bytes + 1);
        entry.changed = (gint64)get_be64(bytes + 9);
    }
    return entry;
}

void store_object_name(const struct digest *digest, char out[STORE_OBJECT_NAME])
{
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    digest_print_hash(digest, hex);
    snprintf(out, STORE_OBJECT_NAME, "objects/%.2s/%s", hex, hex + 2);
}

/*
 * Checksums are against damage, not malice, and stand on every path that a hit takes: XXH3 (the
 * library's header, compiled in) checks what SHA-256 would take as long for as the rest of a hit.
 */
void store_record_checksum(const void *key, size_t key_size, const void *value, size_t size,
                           guint8 out[STORE_CHECKSUM])
{
    XXH3_state_t state;
    XXH128_canonical_t canonical;
    guint8 key_length[8];
    G_STATIC_ASSERT(sizeof canonical == STORE_CHECKSUM);
    put_be64(key_size, key_length); /* so that no byte can move from the key to the value */
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, key_length, sizeof key_length);
    XXH3_128bits_update(&state, key, key_size);
    XXH3_128bits_update(&state, value, size);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(out, canonical.digest, STORE_CHECKSUM);
}

bool store_record_open(const void *key, size_t key_size, const void *data, size_t size,
                       const guint8 **value, size_t *value_size)
{
    guint8 checksum[STORE_CHECKSUM];
    if (size < STORE_CHECKSUM)
        return false;
    *value = (const guint8 *)data + STORE_CHECKSUM;
    *value_size = size - STORE_CHECKSUM;
    store_record_checksum(key, key_size, *value, *value_size, checksum);
    return memcmp(checksum, data, STORE_CHECKSUM) == 0;
}

/* --- log: magic, length, checksum, payload ---------------------------------------------------- */

static const guint8 log_magic[4] = { 0xf1, 'v', 'l', 0x0a };

void store_log_header(const void *payload, size_t size, guint8 out[STORE_LOG_HEADER])
{
    guint32 length = GUINT32_TO_BE((guint32)size);
    XXH64_canonical_t canonical;
    XXH64_canonicalFromHash(&canonical, XXH3_64bits(payload, size));
    memcpy(out, log_magic, 4);
    memcpy(out + 4, &length, 4);
    memcpy(out + 8, canonical.digest, 8);
}

bool store_log_next(const guint8 *data, size_t size, size_t *at, const guint8 **payload,
                    size_t *payload_size)
{
    while (*at < size && size - *at >= STORE_LOG_HEADER) {
        const guint8 *start = memchr(data + *at, log_magic[0], size - *at);
        if (start == NULL || (size_t)(data + size - start) < STORE_LOG_HEADER)
            return false;
        *at = (size_t)(start - data);
        guint8 expected[STORE_LOG_HEADER];
        guint32 length;
        memcpy(&length, start + 4, 4);
        length = GUINT32_FROM_BE(length);
        if (memcmp(start, log_magic, 4) == 0 && length <= size - *at - STORE_LOG_HEADER) {
            store_log_header(start + STORE_LOG_HEADER, length, expected);
            if (memcmp(start, expected, STORE_LOG_HEADER) == 0) {
                *payload = start + STORE_LOG_HEADER;
                *payload_size = length;
                *at += STORE_LOG_HEADER + length;
                return true;
            }
        }
        (*at)++;
    }
    return false;
}
