// SPDX-License-Identifier: Apache-2.0
/*
 * What to run, and what came back. Values without behaviour: who runs an action is executor.h, who
 * remembers results is cache/.
 *
 * An action's key is the digest of its Remote Execution API `Action` message, which names a
 * `Command` message and the input tree. It covers argv, environment, input tree, working directory,
 * outputs, stdin, timeout and platform, and nothing else: not the checkout's path, not the user,
 * not the time. Formats: doc/format/action.md, doc/format/result.md.
 */
#ifndef ACTION_ACTION_H
#define ACTION_ACTION_H

#include "store/store.h"
#include "tree/glob.h"

struct action {
    char **argv;         /* NULL-terminated, at least one */
    char **environment;  /* "NAME=VALUE", sorted by NAME, NULL-terminated; complete */
    struct tree *inputs; /* what lies under the workspace root when it starts */
    char *directory;     /* working directory relative to that root, "" for the root */
    char **outputs;      /* patterns as glob_add(glob, "", …) takes them, sorted; those with a
                            leading "!" apply last. One for which glob_is_pattern() is false
                            is a path: "/a/b", special characters escaped by a backslash.
                            NULL: whatever it creates, changes or deletes */
    struct digest stdin_blob; /* digest_empty() for /dev/null */
    gint64 timeout;           /* microseconds; 0: none */
    bool network;
    char **platform; /* "name=value", NULL-terminated: platform_fingerprint(). The names "stdin",
                        "network", "outputs" and "output-glob" are the encoding's own */
};
typedef struct action action;

struct action *action_new(void); /* all empty, inputs = the empty tree */
void action_free(struct action *action);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(action, action_free)

/* The key. */
void action_digest(const struct action *action, struct digest *out);

/* The key of the same action whatever its inputs: the weak key. */
void action_weak_digest(const struct action *action, struct digest *out);

/* Store the Action and Command messages and the directories of the input tree (not its files). */
bool action_store(const struct action *action, struct store_batch *batch, struct digest *out,
                  GError **error);
struct action *action_load(struct store *store, const struct digest *digest, GError **error);

/* What an Action message names: its Command and the root of its inputs. False: it is none. */
bool action_references(GBytes *message, struct digest *command, struct digest *inputs);

/* The selection that `outputs` means; NULL (everything) if outputs is NULL. Caller frees. */
struct glob *action_output_glob(const struct action *action, GError **error);

/* The relative path that the pattern `output` means literally, or NULL if it is none but a glob. */
char *action_output_path(const char *output);
/* The pattern that means `path` (relative) literally: the inverse. Caller frees both. */
char *action_output_pattern(const char *path);

/* GCompareFunc for char * of the form "NAME=VALUE": by name, then value, as bytes. */
int action_compare_assignments(gconstpointer a, gconstpointer b);

/* What every sealed action has unless it says otherwise (doc/environment.md); caller frees. */
char **action_default_environment(void);

/* Value of environment variable `name`, borrowed, or NULL. */
const char *action_variable(const struct action *action, const char *name);

/* The same of a property of the platform. */
const char *action_property(const struct action *action, const char *name);

/* --- results ---------------------------------------------------------------------------------- */

enum output_stream {
    OUTPUT_STDOUT = 1,
    OUTPUT_STDERR = 2,
};

/* Beside the tree: what a tree cannot hold of one output. */
struct output_extra {
    char *path;
    gint64 mtime;    /* ns since the epoch */
    guint32 mode;    /* permission bits, 07777; of directories too */
    char *hard_link; /* path of the first output with the same inode, or NULL */
    GBytes *xattrs;  /* encoded; NULL: none */
    bool sparse;     /* had holes */
    bool fifo;       /* a FIFO (which the tree does not show) */
};

struct result {
    int exit_code; /* 0..255; 128+n when killed by signal n */
    int signal;    /* 0, or the signal that ended it */
    bool timed_out;
    struct digest stdout_blob, stderr_blob;
    GArray *order;             /* struct output_piece, in order of arrival */
    struct digest outputs;     /* tree root: everything created or changed */
    char **deleted;            /* sorted relative paths of inputs that are gone; NULL: none */
    char **missing;            /* declared outputs that nothing matched; NULL: none */
    GPtrArray *extras;         /* struct output_extra, by path */
    gint64 started;            /* microseconds since the epoch */
    gint64 wall, user, system; /* microseconds */
    gint64 max_rss;            /* bytes */
    GArray *observed;  /* struct digest: blobs that tell what it saw; kept with the result */
    char *uncacheable; /* one sentence why this must not be stored (V8); NULL: it may */
};
typedef struct result result;

struct output_piece {
    guint32 stream; /* enum output_stream */
    guint64 size;
};

struct result *result_new(void);
void result_free(struct result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(result, result_free)

GBytes *result_encode(const struct result *result);
struct result *result_decode(GBytes *bytes, GError **error); /* FAULT_CORRUPT */

/* Append the digests that a stored result names: for gc and for checking that a hit is whole. */
void result_references(const struct result *result, GArray *blobs, GArray *trees);

#endif
