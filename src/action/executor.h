// SPDX-License-Identifier: Apache-2.0
/*
 * Who runs an action: a documented vtable. The local sandbox is one executor; a remote executor, or
 * one for tests, is another. The cache decides whether an action runs at all and never knows by
 * whom.
 */
#ifndef ACTION_EXECUTOR_H
#define ACTION_EXECUTOR_H

#include "action/action.h"

/* Output as it arrives, on the thread that called executor_run(). */
typedef void (*executor_output)(enum output_stream stream, const void *data, size_t size,
                                void *user);

struct execution_request {
    const struct action *action;
    struct store *store;       /* where inputs come from */
    int workspace;             /* directory that they were captured from, in case; or -1 */
    struct store_batch *batch; /* where outputs and streams go; the caller commits it */
    executor_output output;    /* may be NULL */
    void *user;
    const volatile int *interrupt; /* a signal number to deliver to the command, or 0. The first is
                                      delivered as it is; 'interrupt_count' rising again kills */
    const volatile int *interrupt_count;
    unsigned jobs;
    bool keep; /* leave the directory behind, and a script that repeats it */
};

struct execution {
    struct result *result; /* owned */
    struct tree *outputs;  /* owned: the tree whose digest the result carries */
    int directory;         /* where the outputs lie as files (path = root/relative path), or -1
                              when they exist in the store alone */
    char **elsewhere;      /* absolute paths that were written outside of what is output; or NULL */
    char *kept;            /* with request.keep: the directory's path; else NULL */
    void *private;         /* the executor's own; released by execution_clear() */
    void (*let_go)(void *private); /* may be NULL */
    void (*release)(void *private);
};

/*
 * The files are not needed any more: removing them may begin, beside what the caller does until
 * execution_clear(), which waits for its end. `directory` is -1 afterwards. A kept one stays.
 */
void execution_let_go(struct execution *execution);

/* Release everything, the directory included. A zeroed execution is fine. */
void execution_clear(struct execution *execution);

struct executor;
struct executor_operations {
    const char *name;
    /*
     * Run the action to its end, killing whatever it left running. True: the command ran, whatever
     * its exit status, and *out is filled. False: it did not run; nothing is left behind.
     */
    bool (*run)(struct executor *executor, const struct execution_request *request,
                struct execution *out, GError **error);
    void (*free)(struct executor *executor);
};

struct executor { /* embedded first by each implementation */
    const struct executor_operations *operations;
};

bool executor_run(struct executor *executor, const struct execution_request *request,
                  struct execution *out, GError **error);
void executor_free(struct executor *executor);

#endif
