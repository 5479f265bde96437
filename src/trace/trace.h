// SPDX-License-Identifier: Apache-2.0
/*
 * What an action saw of the file system, who in it asked, and what it wrote: recorded while it
 * runs, kept as bytes, asked again of another state.
 *
 * Knows paths, digests and processes. Knows nothing of FUSE, of keys and of the user's words: view/
 * calls the recorder, cache/ makes keys of path sets and values, cli/ prints.
 *
 * Paths are bytes, UTF-8 or not. The recorder takes them absolute, as the process saw them, with
 * every link already followed (each link that led there is a path of its own), without "." and ".."
 * and repeated slashes. Everywhere else a path at or below the workspace root is relative to it:
 * "" is the root, "a/b" lies below it; all others stay absolute. The order of paths is that of
 * trace_compare_paths().
 *
 * Invariants
 *  1. Per path only the union of the learned aspects is kept (V4), with the value that was seen
 *     first and, for each aspect, the process that asked first.
 *  2. Two sights of one path that disagree about an aspect that both learned make the path
 *     *unstable*, for good; so does a host file that is not, when the trace is sealed, the one that
 *     was seen. A trace with an unstable path must not be stored (V8): trace_refusal().
 *  3. What a path set gives for the state in which a trace was recorded are that trace's values
 * (V5).
 *  4. The same set of notes gives the same trace, whatever their order and threads, but for the
 *     numbers of processes and for who asked first.
 *
 * Life cycle: recorder_new() … recorder_process(), recorder_note(), recorder_write(),
 * recorder_uncacheable() from any threads … when they have ended recorder_seal(), once …
 * recorder_free(). A trace and a path set are immutable, their references counted atomically.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include "action/action.h"
#include "store/capture.h"

#include <sys/stat.h>

/* What a process can learn of a path: a set of these. Numbers are part of the format. */
enum trace_aspect {
    TRACE_ABSENT = 1 << 0,  /* looked it up, and it was not there */
    TRACE_KIND = 1 << 1,    /* that it is there, and whether file, directory, link … */
    TRACE_CONTENT = 1 << 2, /* read, mapped, executed, or asked for attributes. Of a file: digest
                               and permission bits; of anything else but a link: the bits */
    TRACE_NAMES = 1 << 3,   /* listed a directory: names and kinds, less own outputs */
    TRACE_TARGET = 1 << 4,  /* read a link, asked for its size, or was led through it */
    TRACE_TIME = 1 << 5,    /* its time took part in the order of times */
    TRACE_XATTRS = 1 << 6,  /* asked a file or directory for extended attributes, the user's own */
};
#define TRACE_ASPECTS 7 /* bits */

enum trace_kind { /* numbers are part of the format */
    TRACE_NOTHING = 0,
    TRACE_FILE = 1,
    TRACE_DIRECTORY = 2,
    TRACE_LINK = 3,
    TRACE_FIFO = 4,
    TRACE_SOCKET = 5,
    TRACE_CHARACTER_DEVICE = 6,
    TRACE_BLOCK_DEVICE = 7,
    TRACE_UNREACHABLE = 8, /* looking it up fails otherwise: EACCES, EIO, … */
};

/*
 * What counts of a mode: the permission bits, and of a regular file whether it has several names
 * (hard links). How many is not told: stores of packages, which link files into each project, would
 * make every install elsewhere a change.
 */
#define TRACE_SEVERAL_NAMES 0200000u /* above S_IFMT */
#define TRACE_MODE (07777u | TRACE_SEVERAL_NAMES)
guint32 trace_mode(mode_t mode, guint64 links);

enum trace_kind trace_kind_of(mode_t mode);              /* of st_mode, through S_IFMT */
const char *trace_kind_name(enum trace_kind kind);       /* "nothing", "file", … */
const char *trace_aspect_name(enum trace_aspect aspect); /* "absent", "kind", "content", … */

/*
 * By bytes, but a slash comes before every other byte: what lies below a directory follows it, and
 * nothing comes between.
 */
int trace_compare_paths(const char *a, const char *b);

/* --- recording -------------------------------------------------------------------------------- */

/* Which host file it was; a change of its content, and back, changes the last two. */
struct trace_stamp {
    guint64 device, inode;
    gint64 size, mtime, ctime; /* ns since the epoch */
};
void trace_stamp_of(const struct stat *status, struct trace_stamp *out);
bool trace_stamp_equal(const struct trace_stamp *a, const struct trace_stamp *b);

/*
 * What the view showed of a path. Only what the noted aspects need must be set: `kind` always;
 * `mode` for CONTENT; for CONTENT of a file `stamp` (a host file, hashed when the trace is sealed),
 * `digest` (content that came from a tree or an earlier delta) or both; for NAMES `digest`, by
 * trace_names_digest(); for TARGET `target`; for TIME `time`; for XATTRS `xattrs`. CONTENT of a
 * file, or NAMES, with neither stamp nor digest: it could not be opened.
 */
struct sight {
    enum trace_kind kind;
    guint32 mode; /* trace_mode() */
    const struct trace_stamp *stamp;
    const struct digest *digest;
    const char *target;
    gint64 time;        /* the change clock, ns since the epoch */
    const char *xattrs; /* by trace_xattrs_hash(); NULL: there are none */
};

/* A listing as the process got it, less "." and "..", less own outputs. */
struct trace_name {
    const char *name;
    enum trace_kind kind;
};
void trace_names_digest(struct trace_name *names, size_t count, struct digest *out); /* sorts */

/*
 * The extended attributes whose names begin with "user.", of the file that the descriptor stands
 * for, which may be O_PATH: char * -> GBytes. What cannot be read is not there. Caller unrefs.
 */
GHashTable *trace_xattrs_read(int file);
/* Their hash in hexadecimal (doc/format/trace.md); NULL: there are none. Caller frees. */
char *trace_xattrs_hash(GHashTable *attributes);

/*
 * One image: a process from one execve to the next. The environment is ordered as the process got
 * it. Strings are bytes; NULL stands for empty or not known.
 */
struct trace_process {
    guint32 pid;
    guint64 start;  /* field 22 of /proc/PID/stat: clock ticks since boot */
    guint32 parent; /* number of the image that made it, or that was it before; 0: none known */
    char **argv, **environment;
    char *directory; /* working directory when it began; absolute */
    char *program;   /* the file that was executed; absolute */
};

enum trace_write {          /* a set of these; numbers are part of the format */
    TRACE_CREATED = 1 << 0, /* a name appeared: open, mkdir, link, mknod, symlink, rename to it */
    TRACE_WROTE = 1 << 1,   /* content, or its size */
    TRACE_REMOVED = 1 << 2, /* unlink, rmdir, or rename away from it */
    TRACE_RENAMED = 1 << 3, /* with CREATED or REMOVED: it was a rename */
    TRACE_ATTRIBUTES = 1 << 4, /* mode, owner, times, extended attributes */
};

/* More paths, or more bytes of them, are not recorded: the run is uncacheable. */
#define TRACE_FACTS_MAX (1u << 20)
#define TRACE_TEXT_MAX (256u << 20)

struct recorder;
typedef struct recorder recorder;

struct recorder *recorder_new(const char *workspace_root); /* absolute, normal form */
void recorder_free(struct recorder *recorder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(recorder, recorder_free)

/* Before any note: what is asked of just this path follows from the key, and is not recorded. */
void recorder_except(struct recorder *recorder, const char *path);

/* Copies what it is given; numbers start at 1. */
guint32 recorder_process(struct recorder *recorder, const struct trace_process *process);

/*
 * `process` (0: not known) learned `aspects` of `path`. Stronger aspects imply KIND; of what is not
 * there (kind NOTHING) only ABSENT is kept, so callers need not choose. Reading what the action
 * itself wrote is not to be noted. Cheap for a path that is known: a hash, a look-up, one lock of
 * many.
 */
void recorder_note(struct recorder *recorder, const char *path, unsigned aspects, guint32 process,
                   const struct sight *sight);

/* `process` wrote `path` (or its directory entry): `what` is a set of enum trace_write. */
void recorder_write(struct recorder *recorder, const char *path, guint32 process, unsigned what);

/* What `path` is now is not what an earlier process was shown: see invariant 2. */
void recorder_unstable(struct recorder *recorder, const char *path);

/* This run must not be stored, because of `reason`: a clause for "not stored: …". First one wins.
 */
void recorder_uncacheable(struct recorder *recorder, const char *reason);

/*
 * What was recorded, in any order: for whoever records for another (paths are absolute). Not while
 * somebody records; before it is sealed or after.
 */
struct recorder_visitor {
    void (*fact)(const char *path, unsigned aspects, bool unstable, const struct sight *sight,
                 void *user);
    void (*written)(const char *path, unsigned what, void *user);
    void (*uncacheable)(const char *reason, void *user); /* if it is */
};
void recorder_visit(struct recorder *recorder, const struct recorder_visitor *visitor, void *user);

/*
 * Sealing asks for the content of all host files that need it at once, so that it can be found out
 * by several threads. `stamp` must be the file's before and after its bytes are read (or be the one
 * that a stat cache vouches for): else the outcome is SEAL_CHANGED.
 */
enum seal_outcome {
    SEAL_HASHED,
    SEAL_CHANGED,    /* another file, or gone: the path is unstable */
    SEAL_UNREADABLE, /* EACCES, EIO, …: the process could not read it either */
};
struct seal_item {
    const char *path; /* absolute */
    struct trace_stamp stamp;
    struct digest digest;      /* out, if hashed */
    enum seal_outcome outcome; /* out; SEAL_CHANGED beforehand */
};
typedef void (*seal_hash)(struct seal_item *items, size_t count,
                          void *user); /* as facts are sorted */

struct trace;
typedef struct trace trace;
struct trace *recorder_seal(struct recorder *recorder, seal_hash hash, void *user);

/* --- traces ----------------------------------------------------------------------------------- */

/* Of the members, those count that `kind` and the aspects asked for make sense of. */
struct trace_value {
    enum trace_kind kind;
    guint32 mode;         /* CONTENT: trace_mode() */
    bool unreadable;      /* CONTENT of a file, NAMES: it cannot be opened; no digest */
    struct digest digest; /* CONTENT of a file; NAMES of a directory */
    const char *target;   /* TARGET of a link */
    gint64 time;          /* TIME. In a trace: rank among all times asked for, from 1; 0: none */
    const char *xattrs;   /* XATTRS: trace_xattrs_hash() */
};

struct trace_fact {
    const char *path;
    unsigned aspects;
    bool unstable;
    guint32 asked[TRACE_ASPECTS]; /* per bit the process that asked first; 0: not known */
    struct trace_value value;
};

struct trace_written {
    const char *path;
    guint32 process;
    unsigned what; /* enum trace_write */
};

struct trace *trace_ref(struct trace *trace);
void trace_unref(struct trace *trace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(trace, trace_unref)

guint32 trace_process_count(const struct trace *trace);
/* Number 1 to count. Borrowed, as everything below. */
const struct trace_process *trace_process(const struct trace *trace, guint32 number);

size_t trace_fact_count(const struct trace *trace); /* ascending by path */
const struct trace_fact *trace_fact(const struct trace *trace, size_t index);
const struct trace_fact *trace_find(const struct trace *trace, const char *path); /* or NULL */

size_t trace_written_count(const struct trace *trace); /* ascending by path, then process */
const struct trace_written *trace_written(const struct trace *trace, size_t index);

/*
 * Why this trace must not be stored as something to reuse (V8): a clause for "not stored: …"; NULL
 * if it may. Caller frees.
 */
char *trace_refusal(const struct trace *trace);

/* doc/format/trace.md. Decoding fails with FAULT_CORRUPT. */
GBytes *trace_encode(const struct trace *trace);
struct trace *trace_decode(GBytes *bytes, GError **error);

/* --- states: where facts are asked again ------------------------------------------------------ */

struct trace_question {
    const char *path;
    unsigned aspects; /* always KIND, never ABSENT: both are the same question */
};

/*
 * A state answers for its kind of files: a host directory, a tree, a table. Links are never
 * followed. One thread at a time.
 */
struct trace_state;
typedef struct trace_state trace_state;
struct trace_state_operations {
    /*
     * answers[i] for questions[i], which ascend by path, none twice; the answers are zero
     * beforehand. Only what was asked for need be found out. What cannot be looked up or opened is
     * an answer (TRACE_UNREACHABLE, `unreadable`). Texts in answers live as long as the state. An
     * error (FAULT_CHANGED, FAULT_CANCELLED) means that the state has no answer now.
     */
    bool (*look_up)(struct trace_state *state, const struct trace_question *questions, size_t count,
                    struct trace_value *answers, GError **error);
    /*
     * Append what the directory `path` lists to `names` (struct trace_name), in any order. False
     * without an error: it is no directory, or cannot be opened.
     */
    bool (*list)(struct trace_state *state, const char *path, GArray *names, GError **error);
    void (*free)(struct trace_state *state);
};
struct trace_state {
    const struct trace_state_operations *operations;
};

void trace_state_free(struct trace_state *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(trace_state, trace_state_free)

/* Nothing but what is put there: for tests. The root "" and "/" are directories. */
struct trace_state *trace_memory_state_new(void);
/* kind NOTHING removes. NAMES follow from the paths: `digest` counts for files only. */
void trace_memory_state_put(struct trace_state *state, const char *path,
                            const struct trace_value *value);

/*
 * The change clock (DESIGN.md, "Times"): for each path, when its present content was first seen
 * there. A touch or a rewrite of equal content does not move it, an edit does, and so does its
 * revert. Thread-safe.
 */
struct trace_clock;
typedef struct trace_clock trace_clock;
struct trace_clock *trace_clock_new(struct store *store); /* NULL: it forgets when it is freed */
void trace_clock_free(struct trace_clock *clock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(trace_clock, trace_clock_free)

/*
 * The time of the absolute `path` that has `content` now: the one remembered for it. Else, in ns
 * and remembered from now on: of a path that is new, `modified`, since tar, git and cp -p give
 * files the times that a build goes by; of one that had other content, which somebody has changed
 * since, max(modified, changed), so that a restored mtime does not hide it. Content of a directory
 * is what it lists, of a link its target.
 */
gint64 trace_clock_time(struct trace_clock *clock, const char *path, const struct digest *content,
                        gint64 modified, gint64 changed);
/* It was written at `time`: whatever was remembered is replaced. */
void trace_clock_set(struct trace_clock *clock, const char *path, const struct digest *content,
                     gint64 time);
bool trace_clock_dirty(struct trace_clock *clock); /* is there anything to flush? */
void trace_clock_flush(struct trace_clock *clock, struct store_batch *batch);

/*
 * The host's files: relative paths below the directory `root`, absolute ones from /. Contents and
 * listings come through `cache` (NULL: all is read), times from `clock` (NULL: mtime).
 * What it has answered it does not look up again: it is a state of one moment, to be made anew for
 * another look-up. Costs one stat per path while nothing has changed.
 */
struct trace_state *trace_host_state_new(const char *root, struct stat_cache *cache,
                                         struct trace_clock *clock);

/*
 * The inputs of a sealed command as a view shows them: one mode for each kind of thing, no extended
 * attributes, and times that follow from contents, so that TIME is never asked of it.
 */
struct trace_state *trace_tree_state_new(struct tree *tree);

/* A seal_hash whose `user` is a host state with the recorder's root; uses several threads. */
void trace_host_hash(struct seal_item *items, size_t count, void *state);

/* --- path sets -------------------------------------------------------------------------------- */

/*
 * Which paths a trace asked, and what of each, but no answer. Immutable; equal sets have equal
 * digests.
 */
struct path_set;
typedef struct path_set path_set;
struct path_set *path_set_of(const struct trace *trace);
struct path_set *path_set_ref(struct path_set *set);
void path_set_unref(struct path_set *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(path_set, path_set_unref)

size_t path_set_count(const struct path_set *set);
const struct trace_question *path_set_at(const struct path_set *set, size_t index);

/* Paths that repeat prefixes are short (doc/format/trace.md). Decoding: FAULT_CORRUPT. */
GBytes *path_set_encode(const struct path_set *set);
struct path_set *path_set_decode(GBytes *bytes, GError **error);
const struct digest *path_set_digest(const struct path_set *set); /* of the encoded bytes */

/* The answers that the trace recorded, as path_set_evaluate() of its path set would give them. */
void trace_values(const struct trace *trace, GByteArray *values);

/*
 * The answers that `state` gives, encoded: equal answers are equal bytes, and the order of times is
 * one of them. On an error `values` is as it was.
 */
bool path_set_evaluate(const struct path_set *set, struct trace_state *state, GByteArray *values,
                       GError **error);

/*
 * Those bytes again as one answer for each path of the set, times as ranks. `answers` has
 * path_set_count() elements; texts go to `texts`. FAULT_CORRUPT.
 */
bool path_set_decode_values(const struct path_set *set, GBytes *values, GStringChunk *texts,
                            struct trace_value *answers, GError **error);

/*
 * What is now otherwise than `values`, which are the path set's in some earlier state: one call for
 * each aspect of each path, in order; then one for each two paths, next to each other in the old
 * order of times, that no longer stand as they did (aspect TIME, `other` the second path).
 */
struct trace_difference {
    const char *path;
    enum trace_aspect aspect;            /* KIND, CONTENT, NAMES, TARGET, XATTRS or TIME */
    const char *other;                   /* TIME; else NULL */
    const struct trace_value *old, *now; /* of path */
    const struct trace_value *other_old, *other_now; /* TIME; else NULL */
};
typedef void (*trace_difference_visit)(const struct trace_difference *difference, void *user);
bool path_set_explain(const struct path_set *set, GBytes *values, struct trace_state *state,
                      trace_difference_visit visit, void *user, GError **error);

/* The same between two traces, of what both asked. */
void trace_compare(const struct trace *old, const struct trace *now, trace_difference_visit visit,
                   void *user);

/* What names a result: the action without inputs, what it asked, what the answers were. */
void trace_strong_key(const struct digest *weak, const struct digest *path_set,
                      const GByteArray *values, struct digest *out);

/* --- for people and programs ------------------------------------------------------------------ */

/*
 * Lines of JSON, one for each process, fact and write, as doc/format/trace-lines.md says; bytes
 * that are not UTF-8 become U+FFFD. `process` != 0: only of that process and those below it. Caller
 * frees.
 */
char *trace_print_lines(const struct trace *trace, guint32 process);

/* The tree of processes, and below each what it was the first to learn, and what it wrote. */
char *trace_print_tree(const struct trace *trace, guint32 process);

#endif
