// SPDX-License-Identifier: Apache-2.0
/* Records of the stat cache: what reads to its end reads back byte for byte. */
#include "store/capture-internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    struct stat_reader reader;
    struct stat_entry entry;
    g_autoptr(GByteArray) again = stat_record_new();
    stat_reader_init(&reader, data, size);
    while (stat_reader_next(&reader, &entry))
        stat_record_add(again, &entry);
    if (!reader.failed)
        g_assert_cmpmem(again->data, (int)again->len, data, (int)size);
    return 0;
}
