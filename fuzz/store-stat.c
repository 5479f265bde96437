// SPDX-License-Identifier: Apache-2.0
/* Records of the stat cache: what reads to its end reads back byte for byte. */
#include "store/capture-internal.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    struct stat_reader reader;
    struct stat_entry entry;
    g_autoptr(GBytes) record = g_bytes_new_static(data, size);
    stat_reader_init(&reader, record);
    if (reader.failed)
        return 0;
    g_autoptr(GByteArray) again = stat_record_new(&reader.header);
    while (stat_reader_next(&reader, &entry))
        stat_record_add(again, &entry);
    if (!reader.failed)
        g_assert_cmpmem(again->data, (int)again->len, data, (int)size);
    return 0;
}
