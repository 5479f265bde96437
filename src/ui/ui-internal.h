// SPDX-License-Identifier: Apache-2.0
/* What every sink of this part begins with. */
#ifndef UI_UI_INTERNAL_H
#define UI_UI_INTERNAL_H

#include "ui/ui.h"

struct ui_sink {
    struct event_sink sink; /* first: a struct event_sink * of ours is a struct ui_sink * */
    void (*clear_line)(struct ui_sink *self);             /* may be NULL */
    bool (*finish)(struct ui_sink *self, GError **error); /* frees */
};

#endif
