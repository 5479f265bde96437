// SPDX-License-Identifier: Apache-2.0
/*
 * What the generator believes about the tree while it writes a program: a guess, since it never
 * runs anything, but good enough that most operations meet what they are meant for.
 */
#ifndef GENERATE_H
#define GENERATE_H

#include "oracle.h"

struct random {
    guint64 state;
};
guint64 random_next(struct random *random);
guint64 random_below(struct random *random, guint64 limit); /* limit > 0 */
bool random_percent(struct random *random, unsigned percent);

struct node {
    char *path; /* relative to the root, "" for the root itself */
    char kind;  /* f file, d directory, l link, p FIFO, s socket */
};

struct opened {
    char kind; /* as above; 0 none, P opened with O_PATH */
    char *path;
};

struct believed {
    struct opened slots[SLOTS];
    char *directory;
    bool maps[MAPS];
};

struct model {
    struct random random;
    GArray *nodes; /* struct node; the first is the root */
    struct believed processes[PROCESSES];
    guint8 process;       /* whose operation is being made */
    const char *confined; /* while parallel: the directory that it must neither leave nor change */
};

void model_init(struct model *model, guint64 seed);
void model_release(struct model *model);

/* A node whose kind is one of `kinds`; NULL if there is none. Confined: only below there. */
const struct node *model_pick(struct model *model, const char *kinds);
char *model_new_path(struct model *model); /* in a directory, often of no node yet */
/*
 * As an operation writes *path: absolute, relative or through a descriptor. At times it is odd, and
 * *path becomes NULL: nobody knows where that leads.
 */
char *model_write_path(struct model *model, char **path);
int model_slot(struct model *model, const char *kinds);
char *model_target(struct model *model); /* of a symbolic link */

char model_kind(const struct model *model, const char *path); /* 0: not there */
bool model_is_empty(const struct model *model, const char *path);

/* Unless the directory is missing or something is there already. */
void model_add(struct model *model, const char *path, char kind);
void model_remove(struct model *model, const char *path);
void model_move(struct model *model, const char *from, const char *to);

#endif
