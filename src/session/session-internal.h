// SPDX-License-Identifier: Apache-2.0
/* Shared by the files of session/ alone. */
#ifndef SESSION_SESSION_INTERNAL_H
#define SESSION_SESSION_INTERNAL_H

#include "cache/history.h"
#include "cache/own.h"
#include "session/session.h"
#include "store/capture.h"

struct session {
    struct store *store;
    struct stat_cache *stats;
    struct event_sink *sink;
    char *root;      /* absolute path of the workspace */
    char *directory; /* where the user stands, relative to root, "" for root */
    int root_fd;
    char *own[2]; /* vial's own files: the store and one more; relative to root, or NULL */
};

/* --- workspace.c ------------------------------------------------------------------------------ */

/* The workspace around absolute `directory`. Caller frees. */
char *workspace_find(const char *directory);

/* --- selection.c ------------------------------------------------------------------------------ */

/* Is `name` a component of what any -i or -o argument means, so that the user wants it: in ".git",
 * "config" names .git, and ".." does not? NULL: there is no argument. */
bool selection_names(const struct session *session, char *const *arguments, const char *name);

/* Take .git, unless one of `arguments` names it, and vial's own files out of `glob`. */
bool selection_exclude(const struct session *session, char *const *arguments, struct glob *glob,
                       GError **error);

/* The glob that -i arguments mean, or everything but .git and vial's own. FAULT_USAGE. */
struct glob *selection_inputs(const struct session *session, char *const *inputs, GError **error);

/* After capture: every -i argument that is a plain path must have selected something. */
bool selection_check(const struct session *session, char *const *inputs, const struct tree *tree,
                     GError **error);

/* The patterns of action.h that -o arguments mean. NULL-terminated, sorted, none twice; caller
 * frees. */
char **selection_outputs(const struct session *session, char *const *outputs, GError **error);

/* --- environment.c ---------------------------------------------------------------------------- */

/* The defaults (doc/environment.md) plus -e; sorted. Caller frees. */
char **environment_make(char *const *variables, GError **error);
/* The caller's, less what belongs to the session rather than the work, plus -e; sorted. */
/* PWD, if it is set, becomes `directory`, unless that is NULL. */
char **environment_inherit(char *const *variables, const char *directory, GError **error);

/* --- place.c --------------------------------------------------------------------------------- */

/* Where the command finds its workspace. */
const char *place_shown(const struct session *session, const struct run_request *request);
/*
 * The checkout, if it is shown elsewhere and arguments or environment tell where it lies. That is
 * then in the key, and the link there, which no other checkout has, no fact. Else NULL.
 */
const char *place_told(const struct session *session, const struct run_request *request,
                       const struct action *action);
/*
 * The directories that request->caches names, absolute, made if need be; sorted; NULL-terminated;
 * caller frees. FAULT_USAGE.
 */
char **place_caches(const struct session *session, const struct run_request *request,
                    GError **error);
/* Can it be shown elsewhere, if that is wanted? FAULT_UNSUPPORTED. */
bool place_check(const struct session *session, const struct run_request *request, GError **error);

/* --- standard-input.c ------------------------------------------------------------------------- */

/* The bytes that the command will read. */
struct input {
    int descriptor; /* on a regular file; -1: there are none */
    off_t start;
    struct digest digest;
    const volatile int *interrupt; /* executor.h */
};

/* Of request->stdin_file (relative to the process's directory), else of descriptor 0 if that is a
 * regular file or a pipe. FAULT_CANCELLED if a signal ends the reading of a pipe. */
bool input_open(const struct run_request *request, struct input *out, GError **error);
bool input_put(const struct input *input, struct store_batch *batch, GError **error);
void input_close(struct input *input);

/* --- run.c ------------------------------------------------------------------------------------ */

/* session_run() with an input that several runs share. */
bool run_with_input(struct session *session, const struct run_request *request,
                    const struct input *input, struct run_outcome *out, GError **error);

/* --- why-seen.c ------------------------------------------------------------------------------- */

/*
 * Append a line for each difference (at most `most`) between what these runs saw, and the lines of
 * text that changed, as far as both are kept.
 */
void why_seen(struct session *session, const struct history_entry *before,
              const struct history_entry *after, guint most, GString *text);

/* --- why-diff.c ------------------------------------------------------------------------------- */

#define WHY_DIFF_MAX (256 << 10) /* bytes; larger files are not compared */
#define WHY_DIFF_LINES 20        /* of one file */

/*
 * Append which lines of a text became which, as diff -U0 would; at most `most` lines, and what is
 * left out is said. Returns how many were appended; 0 if one of the two is no text.
 */
guint why_diff(GBytes *before, GBytes *after, guint most, GString *text);

/* --- commit.c --------------------------------------------------------------------------------- */

struct commit {
    struct session *session;
    struct store *store;
    const struct tree *present;      /* the inputs as captured, own outputs included */
    const struct glob *present_glob; /* what `present` covers */
    const struct tree *inputs;     /* the same with own outputs rolled back: what the action saw */
    const GPtrArray *fifos;        /* char *: FIFOs beside `present`, all own outputs; NULL: none */
    const struct tree *stale;      /* declared outputs as they were before; NULL: nobody looked */
    const struct glob *stale_glob; /* the declared outputs; NULL: all */
    const struct tree *outputs;
    const struct result *result;
    bool times;     /* what was written has the time of the writing, even if it was there before */
    bool exact;     /* modes are as the command chose them, under the caller's own umask */
    bool git_named; /* -i or -o names one: rule 5 of commit.c does not hold */
    int source;     /* where outputs lie as files, or -1: in the store */
    gint64 began;   /* when capture began, ns since the epoch */
    gint64 newest;  /* newest mtime of an input, ns */
    const volatile int *cancel; /* raised before anything was written: FAULT_CANCELLED; or NULL */
    guint64 written, deleted, unchanged, kept; /* counted */
};

/*
 * Bring outputs and deletions into the workspace, file by file atomically. What the user changed
 * since capture is kept and reported as EVENT_CONFLICT. A file that cannot be written is an error
 * after all others have been tried. FAULT_MISSING: an output in the store is gone or damaged, and
 * nothing was written.
 */
bool commit_outputs(struct commit *commit, GError **error);

#endif
