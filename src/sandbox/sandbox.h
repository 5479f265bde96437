// SPDX-License-Identifier: Apache-2.0
/*
 * The local executor: a new directory per action in an unpredictable place, and around it as much
 * isolation as the machine grants.
 *
 * What a command sees, sealed: / (read-only, nearly empty), the host's /usr, /bin, /sbin, /lib* and
 * /etc read-only (/usr/local hidden unless PATH or argv[0] leads there; fixed texts in place of
 * /etc/passwd and others, action/platform.h), /workspace (the inputs, and where outputs appear),
 * /home/vial and /tmp (private, empty), a fresh /proc, a minimal /dev, host name "vial", no network
 * unless asked for, uid and gid 1000. Nothing else of the host. doc/design/sandbox.md has it all.
 *
 * Levels, best first; each falls back to the next, and the level is part of the action's platform,
 * so that results of different levels never mix:
 *   namespaces  user, mount, pid, ipc, uts and net namespaces; as root or as an ordinary user
 *   directory   a directory and a clean environment only
 *
 * Processes: vial -> supervisor (outlives vial just long enough to kill and clean up) -> init (pid
 * 1 of the namespace; sets up, reaps, forwards signals) -> the command. Whatever ends, ends what is
 * below it; when vial dies the supervisor kills init and removes the directory.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "action/executor.h"
#include "view/view.h"

#define SANDBOX_ROOT "/workspace"
#define SANDBOX_HOME "/home/vial"

/* mtime of every input, ns since the epoch: 2000-01-01T00:00:00Z. */
#define SANDBOX_INPUT_TIME (G_GINT64_CONSTANT(946684800) * 1000000000)

/*
 * The same of inputs that a compiler made, a day older: make and ninja would take an object of
 * equal age for up to date, however old it is outside, where they would have compiled again. The
 * rule looks at content alone, so that the key covers what it decides.
 */
#define SANDBOX_COMPILED_TIME (SANDBOX_INPUT_TIME - G_GINT64_CONSTANT(86400) * 1000000000)

enum sandbox_level {
    SANDBOX_NAMESPACES,
    SANDBOX_DIRECTORY,
};

/* The best level this machine grants, tried once per process with a real clone; reason may be NULL,
 * else set to why it is not a better one, or to NULL. Caller frees. */
enum sandbox_level sandbox_probe(char **reason);
const char *sandbox_level_name(enum sandbox_level level);

/*
 * Of what a process of the command can make another view of what it sees, with CLONE_NEWUSER and
 * CLONE_NEWNS and these maps: a child of `view`, and over that the same mounts.
 */
struct sandbox_ground {
    struct view *view;
    struct recorder *recorder; /* the view's */
    int processes;             /* view_options.processes */
    const char *workspace;
    bool plain;
    const char *user_map, *group_map;
    char *const *binds; /* pairs: an absolute path to be bound, with all below it; and what below it
                           is the view's own, or "". Ends with NULL */
};

/*
 * What stands between a command and the programs that it executes: whatever is diverted finds the
 * program and the socket at their paths, which lie below /run/vial. Where the command's /run is not
 * its own, nothing is diverted.
 */
struct sandbox_trap {
    struct view_trap view;
    const char *program_path, *socket_path;
    const void *program; /* bytes of an executable file */
    size_t program_size;
    /* Before the command starts: what connects to the socket (SOCK_SEQPACKET). Takes
     * that. `ground` NULL: no view can be made of it. */
    void (*listen)(int listener, const struct sandbox_ground *ground, void *user);
    /* Every process has ended; nothing of `ground` is used after it. May be called twice. */
    void (*end)(void *user);
    void *user;
};

/*
 * An observed run: the command sees the host through a view (view/view.h) instead of a sealed root
 * with inputs laid out as files. It keeps the caller's ids; /tmp and /run are its own and empty.
 * Needs SANDBOX_NAMESPACES and /dev/fuse.
 *
 * The system (/usr, /etc and the like) is bound natively, but for the directories of programs on
 * PATH: a second, read-only view serves these, so that every execve() is seen, and has nothing on
 * record of the files in them. With `observe_system` it serves all of the system, on record.
 */
struct sandbox_view {
    const char *workspace;           /* absolute; what is written there is output */
    const char *real;                /* where the host has it; NULL: there, too */
    char *const *shared;             /* absolute directories of the host that are seen and written
                                        as they are, unobserved; NULL: none */
    const GPtrArray *patches;        /* view_options.patches; contents from the action's store */
    struct recorder *recorder;       /* or NULL */
    struct trace_state *times;       /* view_options.times */
    bool plain;                      /* view_options.plain */
    const struct sandbox_trap *trap; /* NULL: none */
    bool observe_system;
    struct trace_state *system_times; /* as `times`, for the second view, if that keeps record */
};

/*
 * What a sealed command finds at the root of its inputs: these, and the directories that it may
 * count on. Owned by the caller. FAULT_CONFLICT: an input is in the way of such a directory.
 */
struct tree *sandbox_provided(const struct action *action, GError **error);

/* What an observed command reads in /proc/cpuinfo: for its key. Caller frees. */
char *sandbox_processors(void);

struct sandbox_options {
    enum sandbox_level level;
    bool serve; /* sealed: inputs are shown by a view rather than laid out, so that set-up costs the
                   same however many there are. Needs /dev/fuse; not with vary, nor to be kept */
    struct recorder *recorder; /* of a served run: what it learns of its inputs, whose root is "/";
                                  NULL: nobody wants to know */
    const struct sandbox_view *view; /* NULL: sealed. Must live as long as the executor */
    bool inherit; /* the command has the caller's descriptors 0 to 2, and no output is recorded */
    const char *scratch; /* directories are made below this; NULL: $TMPDIR or /tmp */
    unsigned vary;       /* 0: nothing; n: the n-th variation of --check (doc/check.md) */
};
struct executor *sandbox_new(const struct sandbox_options *options, GError **error);

/* The caller's umask, which an observed command has, too. */
mode_t sandbox_own_mask(void);

/* Remove directories that killed supervisors left behind. Cheap when there are none. */
void sandbox_sweep(const char *scratch);

#endif
