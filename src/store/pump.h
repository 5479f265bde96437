// SPDX-License-Identifier: Apache-2.0
/*
 * One pass over the bytes of a file of any size: hashed, and copied on the way if wanted. Holes are
 * neither read nor written, and the pass can be cancelled at any moment.
 */
#ifndef STORE_PUMP_H
#define STORE_PUMP_H

#include "tree/digest.h"

struct pump {
    int from;                   /* from its present offset to its end */
    int to;                     /* a new, empty regular file; -1: hash only */
    gint64 size;                /* what is expected; the pass stops soon after more */
    const char *what, *to_what; /* paths, for messages; to_what may be NULL without `to` */
    const volatile int *cancel; /* may be NULL */
    void *buffer;
    size_t buffer_size;
};

/* Where a pass ended; all but PUMP_DONE come with an error. */
enum pump_end {
    PUMP_DONE, /* all of it, which may be less or more than `size` */
    PUMP_UNREADABLE,
    PUMP_UNWRITABLE,
    PUMP_CANCELLED, /* FAULT_CANCELLED */
};
enum pump_end pump_bytes(const struct pump *pump, struct digest *out, GError **error);

#endif
