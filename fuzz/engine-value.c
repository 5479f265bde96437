// SPDX-License-Identifier: Apache-2.0
/* Decodes values; what decodes has just these bytes as its encoding. */
#include "engine/value.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(value) value = value_decode_data(data, size, NULL);
    if (value == NULL)
        return 0;
    g_autoptr(GByteArray) encoded = g_byte_array_new();
    value_encode_to(value, encoded);
    g_assert(encoded->len == size && memcmp(encoded->data, data, size) == 0);
    g_autofree char *text = value_print(value, 0);
    g_assert(text != NULL);
    return 0;
}
