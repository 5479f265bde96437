// SPDX-License-Identifier: Apache-2.0
/* What making values and encoding them share. */
#ifndef ENGINE_VALUE_INTERNAL_H
#define ENGINE_VALUE_INTERNAL_H

#include "engine/value.h"

struct value_type {
    gint references;
    guint hash;
    char *name, **fields;
    gsize count;
};

struct value {
    gint references;
    guint8 kind, depth; /* depth: of what it holds; 0: holds nothing */
    guint hash;
    gint64 number; /* of a boolean, too */
    struct value_type *type;
    struct digest *digest; /* set once, atomically; NULL: not asked for yet */
    gsize count;           /* bytes or items */
    union {
        char bytes[0];
        struct value *items[0];
    };
};

static inline guint value_mix(guint a, guint b)
{
    return (a ^ b) * 0x85ebca6bu + (a >> 15);
}

#endif
