// SPDX-License-Identifier: Apache-2.0
/*
 * One invocation over a workspace: from what the user typed to an action, from a result to files.
 *
 * Knows the user's directory, environment and descriptors, which nothing to its left may know. The
 * order of a run is that of ARCHITECTURE.md: capture, roll back own outputs, look up, execute on a
 * miss, commit, remember.
 *
 * Life cycle: session_open() ... session_run() any number of times ... session_close().
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "action/executor.h"
#include "base/event.h"
#include "cache/history.h"
#include "session/trap.h"
#include "trace/trace.h"

struct session;
typedef struct session session;

/*
 * A session of the workspace around `directory` (absolute): the nearest parent with `vial.lua` or
 * `.git`, else the directory itself. `store` and `sink` (may be NULL) stay the caller's.
 */
struct session *session_open(const char *directory, struct store *store, struct event_sink *sink,
                             GError **error);
void session_close(struct session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(session, session_close)

/* A file that vial itself writes, if it lies in the workspace: neither an input nor an output. */
void session_exclude(struct session *session, const char *path);

const char *session_workspace(const struct session *session); /* absolute path */

enum commit_policy {
    COMMIT_ALWAYS,
    COMMIT_SUCCESS,
    COMMIT_NEVER,
};

struct run_request {
    char **argv;
    char *const *inputs;  /* -i: paths or globs relative to the session's directory; NULL: all */
    char *const *outputs; /* -o alike; NULL: whatever changes */
    char *const *caches;  /* --cache-dir, of a run in a view: directories that are no input and no
                             output, but seen and written as they are; NULL: none */
    char *const
        *variables; /* -e: "NAME=VALUE", or "NAME" for the caller's own value; may be NULL */
    const char *stdin_file; /* NULL: descriptor 0 if that is a file or pipe, else /dev/null */
    gint64 timeout;         /* microseconds; 0: none */
    bool network;
    bool view;           /* observed instead of sealed: the host and the workspace through a view */
    bool observe_system; /* with `view`: of the system, too, what it sees is on record */
    enum trap_scope trap; /* with `view`: which execve() is stopped (session/trap.h) */
    bool canonical;       /* in a view: the workspace is at SANDBOX_ROOT, wherever it lies */
    bool view_plain;      /* without pass-through, as on kernels and for users that lack it */
    bool no_cache;        /* neither look up nor store */
    bool refresh;         /* do not look up, but store */
    bool cache_failures;
    bool unrecorded; /* no history entry, no EVENT_FINISHED: one of several runs */
    bool keep;       /* leave the sandbox's directory */
    bool dry_run;    /* find out whether it would run; run and change nothing */
    enum commit_policy commit;
    unsigned jobs;       /* 0: one per processor */
    guint64 store_limit; /* bytes that the store may take on disk; 0: any number */
    unsigned vary;       /* sandbox_options.vary */
    const volatile int *interrupt, *interrupt_count; /* executor.h */
    executor_output output; /* the command's output, live or replayed; may be NULL */
    void *user;
};

struct run_outcome {
    bool hit;
    bool would_run; /* dry_run: it would */
    int exit_code;  /* what vial should exit with */
    struct digest key;
    struct execution execution; /* filled unless it was a hit; for --check */
    char *kept;                 /* --keep-sandbox: where; owned */
};
void run_outcome_clear(struct run_outcome *outcome);

/*
 * Run, or reuse. False: the command was neither run nor reused. Emits the events of doc/events.md,
 * EVENT_FINISHED last if true is returned (it is the caller's otherwise).
 */
bool session_run(struct session *session, const struct run_request *request,
                 struct run_outcome *out, GError **error);

/*
 * Run `times` times in fresh sandboxes, varying what doc/check.md says, and compare the outputs
 * with those of the first. Emits EVENT_DIFFERENCE for each difference. *differences counts them.
 * Commits and stores nothing.
 */
bool session_check(struct session *session, const struct run_request *request, unsigned times,
                   guint64 *differences, int *exit_code, GError **error);

/*
 * Why run number `number` (0: the latest of this workspace) was a hit or a miss, as text that ends
 * with a newline: against the nearest earlier run, which argument, variable, property of the
 * machine or file differs. FAULT_USAGE if there is no such run.
 */
char *session_why(struct session *session, guint number, GError **error);

/*
 * The same of the latest run that wrote the file `path` (absolute). FAULT_MISSING: none is
 * recorded.
 */
char *session_why_output(struct session *session, const char *path, GError **error);

/*
 * The compilation database of what run `number` compiled, or if that is NULL of all recorded runs
 * of this workspace, as JSON. FAULT_USAGE: there is no such run; FAULT_MISSING: nothing is
 * recorded.
 */
char *session_compdb(struct session *session, const guint *number, GError **error);

struct shell_request {
    guint number; /* of the run; 0: the latest of this workspace */
    bool after;   /* with its outputs */
    char **argv;  /* what to run there */
};

/*
 * Run a command in the view that a run had: environment, working directory, inputs, and after it
 * its outputs. It has the caller's descriptors 0 to 2; what it writes is dropped. EVENT_WARNING
 * names beforehand what is not shown as the run had it. *status is what to exit with. FAULT_USAGE:
 * there is no such run; FAULT_MISSING: what it was is not kept any more.
 */
bool session_shell(struct session *session, const struct shell_request *request, int *status,
                   GError **error);

/*
 * What run number `number` saw and wrote, if it ran in a view. FAULT_USAGE: there is no such run;
 * FAULT_MISSING: it has no trace, or that is not kept any more.
 */
struct trace *session_trace(struct session *session, guint number, GError **error);

#endif
