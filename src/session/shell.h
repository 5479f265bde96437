// SPDX-License-Identifier: Apache-2.0
/* Of session_shell() alone: what a run in a view found in its workspace, as patches of the host. */
#ifndef SESSION_SHELL_H
#define SESSION_SHELL_H

#include "session/kept.h"
#include "view/view.h"

struct patches {
    GPtrArray *list; /* struct view_patch */
    GStringChunk *texts;
    const char *prefix; /* the workspace in the view, relative to its root */
};
typedef struct patches patches;
struct patches *patches_new(const char *workspace);
void patches_free(struct patches *patches);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(patches, patches_free)

/* What the run saw: `kept` has contents. Appends to `missing` (char *) what it has not. */
void patches_add_seen(struct patches *patches, struct session *session, const struct trace *trace,
                      const struct tree *kept, gint64 time, GPtrArray *missing);
/* What it made of that. */
void patches_add_outputs(struct patches *patches, const struct tree *outputs,
                         const struct result *result, gint64 time);

#endif
