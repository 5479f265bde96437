// SPDX-License-Identifier: Apache-2.0
/*
 * Shared by the files of commit alone: what lies at one place of the workspace, and how something
 * else gets there, complete or not at all and only if nobody has been there meanwhile.
 */
#ifndef SESSION_COMMIT_INTERNAL_H
#define SESSION_COMMIT_INTERNAL_H

#include "action/action.h"

#include <limits.h>
#include <sys/stat.h>

/* What lay at a place when it was looked at. */
struct present {
    bool exists;
    struct stat status;
    struct tree_entry entry; /* of a directory the kind alone */
    char target[PATH_MAX];   /* what `entry` points to */
};

/* False: something that no tree holds, or that cannot be read; or *cancel (may be NULL) is raised.
 */
bool present_look(int directory, const char *name, const volatile int *cancel, struct present *out);

/* A place in the workspace. What lies there is replaced only while it is still `present`. */
struct place {
    int directory;
    const char *name; /* in `directory` */
    const char *path; /* in the workspace, and below `source` */
    const char *what; /* the same for messages: path_quote() */
    const struct present *present;
};

/* What a file is besides its content. */
struct dress {
    mode_t mode;
    gint64 mtime;                     /* ns since the epoch */
    const struct output_extra *extra; /* attributes and holes; or NULL */
};

/*
 * Each makes one thing that appears complete or not at all. FAULT_CONFLICT, with nothing changed,
 * if something else has come there since it was looked at.
 */
bool place_file(const struct place *place, int source, const struct tree_entry *entry,
                const struct dress *dress, GError **error);
bool place_blob(const struct place *place, struct store *store, const struct tree_entry *entry,
                const struct dress *dress, GError **error);

/* The same with the content in `file`, which has no name yet and is dressed here. */
bool place_ready(const struct place *place, int file, const struct tree_entry *entry,
                 const struct dress *dress, GError **error);
bool place_hard_link(const struct place *place, int directory, const char *name, GError **error);
/* `mtime` in ns since the epoch; 0: now. */
bool place_symlink(const struct place *place, const char *target, gint64 mtime, GError **error);
bool place_fifo(const struct place *place, mode_t mode, GError **error);

/* Set mode and attributes of an open directory, and its time if it is `timed`. */
bool dress_directory(int directory, const char *path, const struct dress *dress, bool timed,
                     GError **error);

/* Make the user's attributes of an open file or directory those of `extra`, and no others. */
bool replace_attributes(int file, const char *path, const struct output_extra *extra,
                        GError **error);

/*
 * Large outputs are copied into files without names before anything in the workspace is changed:
 * char *path -> descriptor. What cannot be is copied when its turn comes. False: FAULT_CANCELLED.
 */
struct commit;
GHashTable *stage_new(void);
bool stage_wants(GHashTable *staged, const struct tree_entry *entry);
bool stage_file(GHashTable *staged, const struct commit *commit, const char *path,
                const struct tree_entry *entry, GError **error);

/* The file for `path`, to be closed, if it can be linked in `directory`; else -1. */
int stage_take(GHashTable *staged, const char *path, int directory);

/*
 * Copy what no tree holds of what lies in commit->source. is_older() says of something there that
 * nobody else has changed it meanwhile.
 */
bool commit_raw(struct commit *commit, bool (*is_older)(void *user, const struct stat *status),
                void *user, GError **error);

#endif
