// SPDX-License-Identifier: Apache-2.0
/* Random numbers that a seed fixes. */
#include "generate.h"

/* splitmix64: the same everywhere, whatever the C library does. */
guint64 random_next(struct random *random)
{
    guint64 z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

guint64 random_below(struct random *random, guint64 limit)
{
    return random_next(random) % limit;
}

bool random_percent(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}
