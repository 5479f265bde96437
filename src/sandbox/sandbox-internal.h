// SPDX-License-Identifier: Apache-2.0
/*
 * What the three processes of one run share.
 *
 * vial prepares a struct plan completely, then forks; after that the supervisor and init only read
 * it and make system calls: vial may have threads, so nothing that takes a lock is safe there. The
 * plan lies in memory that existed before the fork, at the same address in all three, so that a
 * report can name a string of the plan (or a literal) by its pointer.
 *
 *   lifeline  vial -> supervisor: perhaps ORDER_KEEP. Its end in vial closes when vial releases the
 *             run or dies: then everything goes.
 *   control   vial <-> init. Down: orders. Up: a byte when plan->report is filled: the command has
 *             ended, or could not start.
 */
#ifndef SANDBOX_SANDBOX_INTERNAL_H
#define SANDBOX_SANDBOX_INTERNAL_H

#include "sandbox/sandbox.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Who the command is, inside. */
#define SANDBOX_ID 1000

/*
 * Who it is outside, when vial runs as root: "vial" in ASCII, within the range that systemd's
 * UIDS-GIDS.md lists as unused. Nobody's files belong to it but ours.
 */
#define SANDBOX_HOST_ID 0x7669616cu

/* One thing to do in the new mount namespace; paths are relative to the new root. */
struct mount_step {
    enum mount_kind {
        MOUNT_MKDIR,  /* make the directory `target` */
        MOUNT_LINK,   /* make the link `target` -> `source` */
        MOUNT_HOST,   /* make the directory `target`, bind the host's `source` there, read-only */
        MOUNT_AROUND, /* as MOUNT_HOST or, if `source` is relative, MOUNT_OWN, but what is at and
                         below `options` is seen as before */
        MOUNT_HOST_FILE, /* make the file `target`, bind the host's file `source` there as it is */
        MOUNT_OWN,       /* make the directory `target`, bind the run's own `source` there */
        MOUNT_SHARED,    /* as MOUNT_HOST, but to be written to */
        MOUNT_VIEW,      /* make the directory `target`, mount a view there */
        MOUNT_SYSTEM,    /* mount the view of the system at SYSTEM_PLACE of the run's own */
        MOUNT_NEW,       /* make the directory `target`, mount a new file system of type `source` */
        MOUNT_FILE,      /* make the file `target` with text `source` */
        MOUNT_PROGRAM,   /* make the executable file `target` of `flags` bytes at `source` */
        MOUNT_LISTENER,  /* listen on the socket `target`, and hand that up */
        MOUNT_TEXT,      /* cover the file `target` by the new file `options` with text `source` */
        MOUNT_SEAL,      /* make the mount at `target` read-only */
    } kind;
    const char *target, *source;
    const char *options;
    unsigned long flags;
};

struct report {
    enum report_kind {
        REPORT_FAILED = 1,   /* `what` failed for `path` with errno `number` */
        REPORT_NOT_FOUND,    /* no such program */
        REPORT_NOT_RUNNABLE, /* `path` cannot be executed: `number`; `text`: its interpreter */
        REPORT_ENDED,
    } kind;
    int number;
    const char *what, *path;
    int status;          /* of the command, as wait() has it */
    gint64 wall;         /* microseconds */
    struct rusage usage; /* of all processes */
    char text[PATH_MAX];
};

struct plan {
    enum sandbox_level level;
    int base;                        /* directory that the run's own is made in */
    char *name;                      /* its name there */
    char *path;                      /* its absolute path */
    const struct sandbox_view *view; /* or NULL */
    bool serve;                      /* a view is mounted in place of work/ */
    bool separate; /* the command is SANDBOX_HOST_ID on the host; else the caller */
    char *user_map, *group_map;
    bool keep; /* home/, tmp/ and input are wanted after the command's end */
    bool network;
    bool trapped; /* there is a trap's socket */
    mode_t mask;  /* the command's umask */
    unsigned vary;

    GArray *mounts; /* struct mount_step; strings in `strings` or literals */
    GPtrArray *strings;

    char **argv; /* the action's */
    char **environment;
    char **candidates; /* what execve() is tried with, in order */
    char **shell_argv; /* for a script without #!: "/bin/sh", a place for its path, argv + 1 */
    char *directory;   /* working directory, absolute, as the command sees it */
    int inherited; /* the caller's descriptor 0, or -1; output and errors are the caller's, too */
    const char *input; /* the file in the run's directory that is standard input, or NULL */

    struct report *report;       /* in memory that all of them share */
    int lifeline[2], control[2]; /* [0] is vial's end */
    int output[2], errors[2];    /* pipes: [0] is read by vial */
};

/* Out of the command's sight; MOUNT_OWN binds parts of it. */
#define SYSTEM_PLACE "home"

enum order {
    ORDER_START = -1, /* the inputs are there */
    ORDER_PROBE = -2, /* end without a command */
    ORDER_KILL = -3,
    ORDER_KEEP = -4, /* on the lifeline: leave the directory */
    ORDER_MADE = -5, /* the run's directory is there, still without the inputs */
    /* any other value: deliver this signal */
};

/* sandbox-plan.c */
struct sandbox;
typedef struct plan sandbox_plan;
struct plan *sandbox_plan_new(const struct sandbox *sandbox, const struct action *action, bool keep,
                              GError **error);
void sandbox_plan_free(struct plan *plan);
char **sandbox_plan_binds(const struct plan *plan); /* sandbox_ground.binds; caller frees */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sandbox_plan, sandbox_plan_free)

/* sandbox-supervisor.c: in the forked child; never returns. */
G_NORETURN void sandbox_supervise(const struct plan *plan);

/*
 * sandbox-init.c: in the cloned child. `parent` becomes readable when the maps are written, and
 * hangs up when the supervisor is gone.
 */
G_NORETURN void sandbox_init(const struct plan *plan, int parent);

/* Kill all children, and what is left to us by their death, and reap all of them. For processes
 * that are subreapers. */
void sandbox_kill_children(void);

/* sandbox-mount.c: from the host's mounts to the sandbox's, within init's namespaces. `directory`
 * is the run's own, opened in there: descriptors from before the clone belong to the host's mounts.
 * `devices` are /dev/fuse, opened once for each view that there is to be.
 */
bool sandbox_enter(const struct plan *plan, int directory, const int devices[2]);

/*
 * sandbox-command.c: the process id of the command, or 0 and a report why there is none. Where
 * vfork() is a mere fork(), as under sanitizers, the report comes only with the process's end.
 */
pid_t sandbox_start(const struct plan *plan, int directory);

#define SANDBOX_CLONE "make namespaces" /* a report's `what` whose errno needs explanation */

/* sandbox-report.c: async-signal-safe, but for the last. */
bool sandbox_fail(struct report *report, const char *what, const char *path); /* errno; false */
void sandbox_report(const struct plan *plan);       /* plan->report is filled */
bool sandbox_await_report(const struct plan *plan); /* false: whoever was to send it is gone */
bool sandbox_hand_up(const struct plan *plan, int descriptor); /* to vial; errno */
int sandbox_take_up(const struct plan *plan); /* vial's side; -1: there is a report instead */
bool sandbox_fault(const struct plan *plan, GError **error); /* what it says, unless ENDED */

/* --- vial's side ------------------------------------------------------------------------------ */

struct sandbox {
    struct executor executor;        /* first */
    const struct sandbox_view *view; /* or NULL */
    bool serve;
    struct recorder *recorder; /* of a served run, or NULL */
    bool inherit;
    enum sandbox_level level;
    unsigned vary;
    int base; /* <scratch>/vial-<uid>, verified to be ours */
    char *base_path;
    bool temporary; /* base was made by mkdtemp and goes with the executor */
    bool separate;  /* as in struct plan */
};

/* sandbox-run.c */
bool sandbox_run(struct executor *executor, const struct execution_request *request,
                 struct execution *out, GError **error);

struct launch;
struct files;

/*
 * sandbox-view.c: the file system of an observed run, or of what is provided to a sealed one,
 * from vial's side.
 */
struct served {
    struct view *view;
    struct view *system;             /* of an observed run; else NULL */
    const struct sandbox_trap *trap; /* that listens, or NULL */
    struct sandbox_ground ground;    /* its */
    char **binds;
};
bool sandbox_view_start(const struct sandbox *sandbox, struct launch *launch,
                        const struct files *files, struct served *out, GError **error);
/* Everything has ended: lay out what was written in `work`; append to `deleted` what is gone. */
bool sandbox_view_finish(const struct sandbox *sandbox, const struct served *served, int work,
                         GPtrArray *deleted, char ***elsewhere, GError **error);
void sandbox_view_clear(struct served *served); /* nobody can ask any more */

/* sandbox-launch.c: the processes of one run, as vial sees them. */
struct launch {
    struct plan *plan;    /* owned */
    pid_t supervisor;     /* 0: none */
    int directory;        /* the run's own, or -1 */
    int view_files[3];    /* what a view is made of: root, scratch, processes; or -1 */
    char *temporary_base; /* to be removed with the last run in it, or NULL */
    bool keep;            /* leave the directory */
};
bool sandbox_launch(const struct sandbox *sandbox, const struct action *action, bool keep,
                    struct launch *launch, GError **error);
void sandbox_order(struct launch *launch, int order); /* to init; without effect if it is gone */
void sandbox_let_go(struct launch *launch); /* all ends and goes; nobody waits for it yet */
void sandbox_land(struct launch *launch);

/* sandbox-watch.c: from the order to start to the end of everything the command started. */
bool sandbox_watch(struct launch *launch, const struct execution_request *request,
                   struct result *result, GError **error);

/* sandbox-files.c: what lies in work/ before and after. */
struct files {
    const struct execution_request *request;
    int work;
    const char *name; /* its path, for messages */
    bool separate;
    struct recorder *recorder; /* or NULL */
    GPtrArray *deleted;        /* char *, sorted: what a view says is gone; or NULL */
    struct tree *provided;     /* the inputs and the directories that the action relies on */
    struct stat_cache *known;  /* what materialising learned about them */
    GHashTable *modes;         /* path -> mode that had to be widened for reading; or NULL */
};
bool sandbox_complete(struct files *files, GError **error); /* sets `provided` and `known` */
bool sandbox_provide(struct files *files, GError **error);  /* lays out what is provided */
bool sandbox_collect(struct files *files, struct execution *out, GError **error);
void sandbox_files_clear(struct files *files);

/* sandbox-extras.c */
void sandbox_note_extras(const struct files *files, const struct tree *outputs,
                         const GPtrArray *unsupported, struct result *result);

/* sandbox-proc.c: files of /proc and what an observed command reads in them; `text` is taken. */
typedef void (*sandbox_proc_visit)(const char *path, char *text, void *user);
void sandbox_proc_each(sandbox_proc_visit visit, void *user);

/* sandbox-vary.c: for --check. */
bool sandbox_reorder(int directory, int work, const struct tree *tree, GError **error);
void sandbox_await_second(void);

/* sandbox-keep.c: write `rerun` into the run's directory. */
bool sandbox_write_rerun(const struct launch *launch, const struct action *action, GError **error);

#endif
