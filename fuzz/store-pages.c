// SPDX-License-Identifier: Apache-2.0
/* The check of LMDB's pages, over any file: it reads nothing outside, and comes to an end. */
#include "store/store-disk.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    struct store_pages pages = { .map = data };
    static const guint8 key[] = { STORE_BLOBS, 'k' };
    if ((uintptr_t)data % 8 != 0) /* a map is aligned */
        return 0;
    if (store_pages_check_meta(data, size, &pages) == NULL && store_pages_check_free(&pages)) {
        bool all = store_pages_check_all(&pages);
        /* a sound tree has sound paths; large values are looked at on the path alone */
        if (all)
            store_pages_check_key(&pages, key, sizeof key);
    }
    store_pages_release(&pages);
    return 0;
}
