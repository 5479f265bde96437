// SPDX-License-Identifier: Apache-2.0
/* The check of LMDB's pages, over any file: it reads nothing outside, and comes to an end. */
#include "base/fd.h"
#include "store/store-disk.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    static const guint8 key[] = { STORE_BLOBS, 'k' };
    autofd int file = fd_from_bytes(data, size, NULL);
    struct store_pages pages;
    /* a sound tree has sound paths; large values are looked at on the path alone */
    if (store_pages_open(&pages, file) && store_pages_check_free(&pages) &&
        store_pages_check_all(&pages))
        store_pages_check_key(&pages, key, sizeof key);
    store_pages_release(&pages);
    return 0;
}
