// SPDX-License-Identifier: Apache-2.0
/* Records of whole directories: what reads to its end reads back byte for byte. */
#include "store/capture-internal.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    struct whole_reader reader;
    struct whole_row row;
    g_autoptr(GBytes) record = g_bytes_new_static(data, size);
    whole_reader_init(&reader, record);
    if (reader.failed)
        return 0;
    g_autoptr(GByteArray) again = whole_record_new(reader.boot, &reader.digest, reader.left);
    while (whole_reader_next(&reader, &row))
        whole_record_add(again, &row);
    if (!reader.failed)
        g_assert_cmpmem(again->data, (int)again->len, data, (int)size);
    return 0;
}
