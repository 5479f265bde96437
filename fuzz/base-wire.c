// SPDX-License-Identifier: Apache-2.0
/* Reads any bytes as fields; those of a message in canonical form must be written again alike. */
#include "base/wire.h"

#include <stdint.h>
#include <string.h>

static void write_again(const struct wire_field *field, GByteArray *out)
{
    if (field->type == WIRE_VARINT)
        wire_put_varint(out, field->number, field->value);
    else
        wire_put_bytes(out, field->number, field->data, field->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) again = g_byte_array_new();
    struct wire_reader reader;
    struct wire_field field;
    bool canonical = true;
    wire_reader_init(&reader, data, size);
    while (wire_next(&reader, &field)) {
        g_autofree char *text = wire_field_string(&field);
        g_assert_true(text == NULL || strlen(text) == field.size);
        g_assert_cmpuint(field.number, >, 0);
        if (field.type == WIRE_BYTES || (field.type == WIRE_VARINT && field.value != 0))
            write_again(&field, again);
        else
            canonical = false;
    }
    g_assert_true(reader.at == reader.end);
    if (canonical && !reader.failed)
        g_assert_true(again->len == size && (size == 0 || memcmp(again->data, data, size) == 0));
    return 0;
}
