// SPDX-License-Identifier: Apache-2.0
#ifndef ORACLE_NEST_H
#define ORACLE_NEST_H

#include "view/view.h"

/*
 * Run `argv` with "I/PARTS" added for each part, in `view` and in children of it, as `seed`
 * chooses. What is printed is what one process after the other would print in one place; what must
 * not differ and does is printed between as "NEST …". Returns the status of the first that failed.
 */
int nest(struct view *view, const char *root, guint64 seed, int parts, bool plain, char **argv);

#endif
