// SPDX-License-Identifier: Apache-2.0
/* One commit, set up step by step. */
#ifndef COMMIT_SUPPORT_H
#define COMMIT_SUPPORT_H

#include "session-support.h"

/* --- one commit ------------------------------------------------------------------------------- */

/* A run whose inputs were captured from the workspace as it is at the time of run_init(). */
struct run {
    struct ground *ground;
    struct commit commit;
    struct result *result;
    struct tree *present, *outputs;
    GPtrArray *deleted;
    bool from_store; /* a hit: outputs come from the store alone */
    GError *error;
};

static inline void run_init(struct run *run, struct ground *ground, const struct glob *select)
{
    *run = (struct run){ .ground = ground, .result = result_new() };
    run->deleted = g_ptr_array_new_with_free_func(g_free);
    run->commit = (struct commit){
        .session = &ground->session,
        .store = ground->store,
        .present_glob = select,
        .began = clock_time(CLOCK_REALTIME),
    };
    run->present = capture_tree(ground->workspace, select, ground->store);
    run->commit.present = run->commit.inputs = run->present;
    run->result->started = g_get_real_time();
}

static inline struct output_extra *extra_of(struct run *run, const char *path, guint32 mode,
                                            gint64 mtime)
{
    struct output_extra *extra = g_new0(struct output_extra, 1);
    extra->path = g_strdup(path);
    extra->mode = mode;
    extra->mtime = mtime;
    g_ptr_array_add(run->result->extras, extra);
    return extra;
}

/* What the command left lies in from/. Counts and conflicts are in run->commit and the sink. */
static inline bool finish(struct run *run)
{
    g_string_truncate(run->ground->noted.text, 0);
    run->outputs = capture_tree(run->ground->from, NULL, run->ground->store);
    run->commit.outputs = run->outputs;
    run->commit.result = run->result;
    run->commit.source = run->from_store ? -1 : run->ground->from;
    if (run->deleted->len > 0) {
        g_ptr_array_add(run->deleted, NULL);
        run->result->deleted = g_strdupv((char **)run->deleted->pdata);
    }
    return commit_outputs(&run->commit, &run->error);
}

static inline void run_release(struct run *run)
{
    g_clear_error(&run->error);
    g_ptr_array_unref(run->deleted);
    result_free(run->result);
    tree_unref(run->present);
    tree_unref(run->outputs);
}

static inline void finish_well(struct run *run)
{
    finish(run);
    g_assert_no_error(run->error);
}

static inline void delete_input(struct run *run, const char *path)
{
    g_ptr_array_add(run->deleted, g_strdup(path));
}

static inline const char *reported(const struct run *run)
{
    return run->ground->noted.text->str;
}

#endif
