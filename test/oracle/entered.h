// SPDX-License-Identifier: Apache-2.0
/* A process with a view as its root directory, which runs commands there. For root. */
#ifndef ORACLE_ENTERED_H
#define ORACLE_ENTERED_H

#include "view/view.h"

struct entered {
    pid_t pid;
    int socket;
};

/*
 * `root` is an empty directory to mount at. Commands begin in the present working directory. False
 * after a message to standard error.
 */
bool entered_start(struct entered *entered, struct view *view, const char *root);
/* `output` is the descriptor of their standard output. Returns the status as a shell has it. */
int entered_run(const struct entered *entered, int output, char *const *argv);
/* The view is unmounted, and no longer served. */
void entered_stop(struct entered *entered, struct view *view);

#endif
