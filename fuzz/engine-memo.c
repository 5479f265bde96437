// SPDX-License-Identifier: Apache-2.0
/*
 * Decodes the three kinds of bytes of a memo, the first byte says which; what decodes has just
 * these bytes as its encoding.
 */
#include "engine/memo.h"

#include <stdint.h>
#include <string.h>

static void chunk(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) again = g_byte_array_new();
    struct memo_reader reader;
    struct memo_entry entry;
    memo_reader_init(&reader, data, size);
    while (memo_next(&reader, &entry))
        memo_put(again, &entry);
    g_assert(reader.failed ||
             (again->len == size && (size == 0 || memcmp(again->data, data, size) == 0)));
    memo_reader_release(&reader);
}

static void root(GBytes *bytes)
{
    struct memo_root decoded;
    if (!memo_root_decode(bytes, &decoded, NULL))
        return;
    g_autoptr(GBytes) again = memo_root_encode(&decoded);
    g_autoptr(GBytes) kept = memo_kept_encode(&decoded);
    g_assert(kept != NULL && g_bytes_equal(bytes, again));
    memo_root_clear(&decoded);
}

/* Digests have one encoding, but fields of them may come in any order: compared once encoded. */
static void manifest(GBytes *bytes)
{
    struct memo_manifest decoded, again;
    memo_manifest_init(&decoded);
    memo_manifest_init(&again);
    if (memo_manifest_decode(bytes, &decoded, NULL)) {
        g_autoptr(GBytes) encoded = memo_manifest_encode(&decoded);
        g_assert(memo_manifest_decode(encoded, &again, NULL));
        g_autoptr(GBytes) encoded_again = memo_manifest_encode(&again);
        g_assert(g_bytes_equal(encoded, encoded_again));
    }
    memo_manifest_clear(&decoded);
    memo_manifest_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    g_autoptr(GBytes) bytes = g_bytes_new(data + 1, size - 1);
    switch (data[0]) {
    case 'c':
        chunk(data + 1, size - 1);
        break;
    case 'r':
        root(bytes);
        break;
    default:
        manifest(bytes);
    }
    return 0;
}
