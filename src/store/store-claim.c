// SPDX-License-Identifier: Apache-2.0
/*
 * Claims: one action at a time, over all processes.
 *
 * A claim is a lock on one byte of the file `claims`, at an offset made of the key's first 62 bits,
 * held by an open file description of its own. So threads of one process exclude each other as
 * well, the kernel lets go when the holder dies, and there is nothing to clean up. Two keys that
 * share 62 bits merely wait for each other.
 *
 * Waiting asks again after 1, 2, 4 ... at most 20 ms, rather than sleeping in F_OFD_SETLKW:
 * `cancel` is raised by a signal handler that may run on any thread, at any moment before the call
 * sleeps, and only a bounded wait is sure to notice. Those who wait do so for an action that takes
 * longer.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum {
    LONGEST_WAIT_MILLISECONDS = 20
};

struct disk_claim {
    struct store_claim base;
    int file; /* -1: excludes nobody */
};

static off_t claim_offset(const struct digest *key)
{
    guint64 first;
    memcpy(&first, key->hash, sizeof first);
    return (off_t)(GUINT64_FROM_BE(first) >> 2);
}

/* False: somebody else has it. What cannot be locked at all excludes nobody. */
static bool try_claim(int *file, off_t offset)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1 };
    if (fcntl(*file, F_OFD_SETLK, &lock) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES || errno == EINTR)
        return false;
    fd_close(file);
    return true;
}

struct store_claim *store_disk_claim(struct store *store, const struct digest *key,
                                     const volatile int *cancel, bool *waited, GError **error)
{
    autofd int file = -1;
    if (!store->read_only)
        file = openat(store_disk(store)->directory, "claims",
                      O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int wait = 1;
    while (file >= 0 && !try_claim(&file, claim_offset(key))) {
        *waited = true;
        if (store_is_cancelled(cancel)) {
            fault_set(error, FAULT_CANCELLED, "cancelled while waiting for an identical action");
            return NULL;
        }
        poll(NULL, 0, wait);
        wait = MIN(wait * 2, LONGEST_WAIT_MILLISECONDS);
    }
    struct disk_claim *claim = g_new0(struct disk_claim, 1);
    *claim = (struct disk_claim){ .base = { .store = store }, .file = fd_steal(&file) };
    return &claim->base;
}

void store_disk_claim_release(struct store_claim *base)
{
    struct disk_claim *claim = (struct disk_claim *)base;
    fd_close(&claim->file);
    g_free(claim);
}
