// SPDX-License-Identifier: Apache-2.0
/*
 * Shared by the files of view/ alone.
 *
 *  1. Nodes are what the kernel calls inodes. One that was ever reached by a name stays until the
 *     view is freed, so that its number, its times and what was seen of it stay the same; one
 *     without any name goes with the last handle and the kernel's last reference.
 *  2. A directory's `children` hold what is known of its names: present, absent, or unseen (it was
 *     listed below and nobody has asked for it yet). A name that is in none of these states is
 *     asked for below.
 *  3. `below` is where a node's content and attributes come from as long as nothing has changed
 *     them; a renamed node takes its place below with it in `origin`.
 *  4. Everything is guarded by view->lock, but for the data of open files, which is read and
 *     written without it: a handle's descriptor stays open until the handle is released.
 *  5. All open handles of a node reach its data in one way: through the kernel's cache, or passed
 *     through to one file. The kernel refuses to mix the two (fs/fuse/iomode.c).
 *  6. A node or an entry whose `epoch` is not the view's is as the latest snapshot may show it: it
 *     is saved (node_save(), entry_save()) before it changes. What is learned of what lies below is
 *     no change and has epoch 0. Whatever is saved shares the file in scratch/ with the node until
 *     that is written to; a node that is passed through for writing shares none.
 */
#ifndef VIEW_VIEW_INTERNAL_H
#define VIEW_VIEW_INTERNAL_H

#include "view/view-below.h"
#include "view/view-protocol.h"
#include "view/view.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* The kernel keeps names and attributes for good: nobody but us changes them. */
#define VIEW_FOREVER ((guint64)365 * 86400)

/*
 * The time of everything below but regular files: 2000-01-01T00:00:00Z. A directory's changes with
 * every name in it, which nobody could tell from what the action has asked for.
 */
#define VIEW_OLD_TIME (G_GINT64_CONSTANT(946684800) * 1000000000)

/* In the flags of OPEN: it is for execve() (include/linux/fs.h, FMODE_EXEC). */
#define VIEW_FMODE_EXEC 0x20u

enum {
    VIEW_MAX_WRITE = 1 << 20,
    VIEW_BUFFER = VIEW_MAX_WRITE + (64 << 10),
    VIEW_BLOCK = 4096,
};

struct entry { /* one name in one directory */
    struct node *directory;
    struct node *node;  /* if present */
    struct entry *next; /* of the names of `node` */
    enum entry_state {
        ENTRY_ABSENT,
        ENTRY_UNSEEN, /* lies below and is a `kind` */
        ENTRY_PRESENT,
    } state;
    bool below;    /* a thing of this name lies below, whether it still shows or not */
    bool changed;  /* the name was made, removed or given to another node here */
    guint32 noted; /* enum trace_aspect bits of what this name leads to that are on record */
    guint32 kind;  /* S_IFMT bits of what lies below */
    guint32 made;  /* how many nodes were given a number here */
    guint64 epoch, writer;       /* of the last change; see invariant 6 and view->writer */
    struct entry_version *older; /* newest first */
    guint64 ino; /* listed, and not yet asked for: the number it will have; 0: none yet */
    char name[];
};

enum data_source {
    DATA_NONE, /* not a regular file */
    DATA_BELOW,
    DATA_SCRATCH,
};

struct node {
    guint64 id;      /* the kernel's number for it */
    guint64 ino;     /* st_ino */
    guint64 lookups; /* references the kernel holds */
    guint32 mode, uid, gid, rdev, nlink;
    gint64 atime, mtime, ctime; /* ns since the epoch; DATA_SCRATCH: times of that file count */
    guint64 size, blocks;       /* DATA_BELOW */
    struct trace_stamp stamp;   /* below, at first sight */
    guint32 mode_below, links_below;
    const struct digest *content; /* below, if that is known without reading */
    struct entry *names;
    guint64 epoch;              /* of the last change of any kind: invariant 6 */
    guint64 written, writer;    /* epoch of the last change of content or attributes, and whose */
    guint64 renamed;            /* directory: epoch of the last change of a name in it */
    struct node_version *older; /* newest first */
    guint32 pins;               /* what refers to it besides names, handles and the kernel */
    bool touched;               /* it, or something below it, is no longer as below */
    char *origin; /* where it lies below, relative to root; NULL: under its name in its parent's */
    guint8 granted;        /* of R_OK, W_OK, X_OK: what the place below has allowed us already */
    bool below;            /* it has a place below */
    bool changed;          /* attributes are no longer those below */
    bool clocked;          /* mtime is what view->times says */
    bool timed;            /* its time is of this action's making */
    bool linked_elsewhere; /* it had, or has, another name than it has below */
    bool written_past;     /* data may have changed without the kernel's cache knowing */
    bool listed;           /* directory: every name below is among the children */
    bool runs_here;        /* it is for this machine, and its interpreter is there */
    bool runs;             /* what lies below is a binary or a script */
    bool openable;         /* in a fixed view: it was opened before */
    bool looked_into, program; /* below it is a program or a shared library, once looked into */
    enum data_source data;
    guint64 scratch;      /* name of its file in scratch/; 0: none */
    GHashTable *children; /* directory: name -> struct entry */
    char *target;         /* link */
    GHashTable *xattrs;   /* char * -> GBytes; NULL: as they are below */
    char *xattrs_below;   /* once `xattrs` is there: trace_xattrs_hash() of those below */
    struct handle *handles;
    unsigned cached, passed; /* open handles of each kind */
    int backing;             /* the kernel's number for the file passed through to, or 0 */
    guint32 noted;           /* enum trace_aspect bits that are on record */
};

struct handle { /* what is open */
    struct node *node;
    struct handle *next, **link; /* of the node's */
    guint64 id;
    int descriptor; /* of the data, or -1; another file's when the data moves */
    guint32 flags;  /* of open(2) */
    enum handle_kind {
        HANDLE_CACHED,
        HANDLE_PASSED,
        HANDLE_DIRECTORY,
        HANDLE_DIVERTED, /* past the kernel's cache, if nobody has it passed through */
    } kind;
    char *diversion;    /* what is read instead of the data; or NULL */
    GPtrArray *listing; /* of a directory: struct listed */
};

/* Numbers that the kernel may hand back, and what they stand for; 0 stands for nothing. */
struct slots {
    GPtrArray *items;
    GArray *free; /* guint64 */
};

struct entry_version { /* what an entry was until a snapshot */
    struct entry_version *older;
    struct entry *of; /* NULL: nobody can ask for it any more */
    guint64 epoch;
    struct node *node; /* pinned */
    enum entry_state state;
    bool changed;
    guint32 made;
};

struct node_version {
    struct node_version *older;
    struct node *of; /* NULL: as above */
    struct node was; /* its scratch file, xattrs and plain values count */
};

struct snapshot {
    int references;
    struct view *view;
    guint64 epoch; /* changes up to this one show */
    struct snapshot *earlier, *later;
    GPtrArray *entries, *nodes; /* versions that no later snapshot has */
};

struct view {
    GMutex lock;
    GCond released; /* a handle that was passed through */
    struct below *below;
    struct snapshot *start; /* of the parent, if this is a child */
    struct view *root;      /* the parent's parent's …; this one, if it is no child */
    guint64 label, writer;  /* whose changes are being made: 0, or a child's label in a commit */
    guint64 epoch;          /* how many snapshots were taken, from 1 */
    struct snapshot *latest;
    GHashTable *readers; /* absolute path -> struct reading: by committed children */
    int scratch;
    int disk; /* something on the file system that most of the data is on */
    uid_t owner;
    gid_t group;
    struct recorder *recorder;
    bool fixed;
    bool privileged; /* we may look at anything below */

    struct slots nodes, handles;
    struct node *top;
    GHashTable *inodes;   /* set of guint64: numbers in use */
    GHashTable *links;    /* struct node with several names below, by device and inode */
    guint64 last_scratch; /* of the root view; atomic */
    struct callers *callers;
    const struct view_trap *trap;

    int channel;
    int aborted; /* by somebody else; atomic */
    GPtrArray *threads;
    int execs_here;       /* server threads that look at calls of execve(); atomic */
    GThread *exec_thread; /* NULL: there was no execve() yet */
    GAsyncQueue *execs;   /* messages (GBytes); an empty one is the last */
    unsigned thread_count;
    bool times_follow; /* from contents: what lies below is a tree */
    bool plain;
    bool passes; /* as far as is known */
};

/* --- view-node.c ------------------------------------------------------------------------------ */

struct node *node_get(struct view *view, guint64 id); /* NULL: no such number */
struct node *node_root(struct view *view);
struct node *node_new(struct view *view, guint32 mode); /* nlink and ino are the caller's to set */
guint64 number_for(struct view *view, struct entry *entry); /* of what first has this name */
guint64 number_for_nameless(struct view *view, guint64 count);
GHashTable *links_new(void);
void node_free(struct view *view, struct node *node);
void node_forget(struct view *view, struct node *node, guint64 count);
void node_settle(struct view *view, struct node *node); /* free it if nothing refers to it */

/* Path below, relative to root, of a node that lies there; `out` is empty. */
void node_below(const struct node *node, GString *out);
/* Absolute path in the view; false if it has no name any more. */
bool node_path(const struct node *node, GString *out);
/* The same of a name in a directory. */
bool entry_path(const struct node *directory, const char *name, GString *out);

/* The entry for `name`, made absent if there is none. */
struct entry *entry_get(struct node *directory, const char *name);
void entry_attach(struct entry *entry, struct node *node);
struct node *entry_detach(struct view *view, struct entry *entry); /* may free the node */

/* What `name` in `directory` is, looked for below if need be. Returns 0, or a negative errno. */
int entry_find(struct view *view, struct node *directory, const char *name, struct entry **out);
/* Make all names below known. */
int directory_list(struct view *view, struct node *directory);
GPtrArray *directory_listing(struct view *view, struct node *directory); /* struct listed */
bool directory_is_empty(const struct node *directory);                   /* once it is listed */

/* Make node->xattrs what lies below, the user's own alone. */
void node_read_xattrs(struct view *view, struct node *node);
void node_drop_privileges(struct node *node); /* set-user-ID, and set-group-ID if executable */
/* Find out the time that a file below has for whoever asks (view_options.times). */
void node_clock(struct view *view, struct node *node);
void node_attributes(struct view *view, struct node *node, struct fuse_attr *out);
int node_read_target(struct view *view, struct node *node);
gint64 view_now(void);

/* --- view-version.c --------------------------------------------------------------------------- */

/* To be called before either changes. */
void node_save(struct view *view, struct node *node);
void entry_save(struct view *view, struct entry *entry);
/* The same, and what changes is content or attributes that others may have seen. */
void node_save_written(struct view *view, struct node *node);
/* As they were at that epoch; the entry's node is in *node. */
const struct node *node_as_of(const struct node *node, guint64 epoch);
enum entry_state entry_as_of(const struct entry *entry, guint64 epoch, struct node **node,
                             bool *changed);
bool node_was_written(struct view *view, struct node *node, guint64 epoch); /* since then */
void node_unpin(struct view *view, struct node *node);                      /* may free it */
void node_forget_versions(struct view *view, struct node *node);
void entry_forget_versions(struct entry *entry);

/* --- view-stack.c ----------------------------------------------------------------------------- */

/*
 * Where a path of a snapshot leads. Returns 0 with *node (as it is now: see node_as_of()), or 1
 * with what is to be asked below in *below, relative to the view's below, or a negative errno,
 * which is `own` if it is the view's doing. With `known` every node on the way is made, and 1 never
 * comes.
 */
struct where {
    struct node *node;
    struct entry *entry; /* of the last name, if its directory is known */
    GString *below;
    bool own;
};
int snapshot_walk(struct snapshot *snapshot, const char *path, bool known, struct where *out);

/* --- view-notify.c ---------------------------------------------------------------------------- */

/* What the kernel has cached and must ask for again. Not from a thread that answers. */
void notify_entry(struct view *view, guint64 directory, const char *name, bool is_directory);
void notify_node(struct view *view, guint64 id, bool data);

/* --- view-data.c ------------------------------------------------------------------------------ */

bool digest_file(int file, struct digest *out);                       /* false: it cannot be read */
int data_open(struct view *view, const struct node *node, int flags); /* -errno */
int data_create(struct view *view, struct node *node);                /* an empty file; -errno */
/* The data is ours to change from here on; `keep` bytes of it are wanted. */
int data_take(struct view *view, struct node *node, guint64 keep);
int data_resize(struct view *view, struct node *node, guint64 size);
void node_times(const struct node *node, struct timespec times[2]); /* as utimensat() has them */
int data_set_times(struct view *view, struct node *node);           /* atime and mtime */
void data_drop(struct view *view, struct node *node);
/* A saved state's file is removed unless the node, or another state of it, has the same. */
void data_drop_version(struct view *view, const struct node_version *version);
/* The state that was just saved and the node get files of their own: this is written to unasked. */
int data_split(struct view *view, struct node *node);
/* The data becomes that of file `scratch`, which is the node's from then on. */
int data_replace(struct view *view, struct node *node, guint64 scratch);

struct handle *handle_get(struct view *view, guint64 id);
struct handle *handle_new(struct view *view, struct node *node, guint32 flags);
void handle_release(struct view *view, struct handle *handle);

/* --- view-channel.c --------------------------------------------------------------------------- */

struct request {
    struct view *view;
    const struct fuse_in_header *header;
    const void *argument;     /* what the opcode's table entry says, checked */
    const char *name, *other; /* names after the argument, checked; or NULL */
    const guint8 *data;       /* what follows them */
    size_t data_size;
    char *diversion;   /* what to open in place of the program that is executed; or NULL */
    struct node *node; /* of header->nodeid */
    void *out;         /* VIEW_BUFFER bytes for the answer */
    size_t out_size;
};

/* Negative errno, 0 (request->out holds the answer), or: */
#define VIEW_NO_REPLY 1
int view_dispatch(struct request *request, const void *message, size_t size);
void view_send(const struct request *request, guint64 unique, int rc); /* view-server.c */

/* --- opcodes, by file; each answers one --------------------------------------------------------
 */

/* view-look.c */
int view_lookup(struct request *request);
int view_forget(struct request *request);
int view_batch_forget(struct request *request);
int view_getattr(struct request *request);
int view_readlink(struct request *request);
int view_access(struct request *request);
int view_statfs(struct request *request);
int view_opendir(struct request *request);
int view_readdir(struct request *request);
int view_getxattr(struct request *request);
int view_listxattr(struct request *request);

/* view-file.c */
int view_open(struct request *request);
int view_create(struct request *request);
int view_tmpfile(struct request *request);
int view_read(struct request *request);
int view_write(struct request *request);
int view_release(struct request *request);
int view_fsync(struct request *request);
int view_fallocate(struct request *request);
int view_lseek(struct request *request);

/* view-change.c */
int view_setattr(struct request *request);
int view_mknod(struct request *request);
int view_mkdir(struct request *request);
int view_symlink(struct request *request);
int view_link(struct request *request);
int view_unlink(struct request *request);
int view_rmdir(struct request *request);
int view_rename(struct request *request);
int view_rename2(struct request *request);
int view_setxattr(struct request *request);
int view_removexattr(struct request *request);

/* Give a name to a node that is new to the directory. */
void entry_place(struct view *view, struct entry *entry, struct node *node);
/* Take the name away; the node goes if nothing else holds it. */
void entry_remove(struct view *view, struct entry *entry);
void node_dress(const struct request *request, const struct node *directory, struct node *node);

/* view-init.c */
int view_init(struct request *request);
int view_destroy(struct request *request);

/* Fill the answer that names `node`, and count the reference that the kernel now holds. */
void view_answer_entry(struct request *request, struct node *node, struct fuse_entry_out *out);

/* --- view-permission.c ------------------------------------------------------------------------ */

/* May the caller do `mask` (R_OK | W_OK | X_OK) to `node`? 0 or -EACCES, -EROFS. */
int permission(struct request *request, struct node *node, int mask);
/* May it add to and remove from `directory`? */
int permission_to_change(struct request *request, struct node *directory);
bool permission_owns(const struct request *request, const struct node *node);

/* --- view-process.c --------------------------------------------------------------------------- */

struct callers; /* the processes that ask, of all views that share it. Has its own lock */
struct callers *callers_new(struct recorder *recorder, int processes); /* both borrowed */
struct callers *callers_ref(struct callers *callers);
void callers_unref(struct callers *callers);
void callers_set_processes(struct callers *callers, int processes);
/* The recorder's number of the process that `thread` is of just now; 0: it is not known. */
guint32 callers_number(struct callers *callers, guint32 thread);
bool callers_is_blind(struct callers *callers, guint32 number); /* does not look at times */
/* Of procfs: a file to read, or -1; where a link leads, or NULL. Caller closes, frees. */
int callers_open(const struct callers *callers, guint32 pid, const char *name);
char *callers_link(const struct callers *callers, guint32 pid, const char *name);

struct exec_call { /* the execve() in which a thread opens a file */
    char *text;    /* what tells it from any other call of the thread; NULL: nothing is known */
    char *name;    /* the path as it was given */
    char **argv, **environment;
    char *program;        /* path of the file that is opened */
    const void *executed; /* its node */
    bool at;              /* execveat() */
    bool runs;            /* execve() will not fail because of what the file is */
    guint32 process;      /* out of callers_exec(), as are the following */
    guint64 start;
    bool interprets; /* it is another's interpreter */
    bool released;   /* a trap lets it run now */
};
/* A trap has taken the call: what the process is next is still what it was to be. */
void callers_divert(struct callers *callers, const struct exec_call *call);
/* Does the process see the same files at the same paths as the first one of its namespace? */
bool callers_shares_mounts(struct callers *callers, guint32 pid);
bool callers_watch(struct callers *callers); /* are calls worth a look? */
/* The thread executes a program, as far as one knows. */
void callers_exec(struct callers *callers, guint32 thread, struct exec_call *call);
/* The thread asks for something: what it was seen to execute can be read from /proc now. */
void callers_confirm(struct callers *callers, guint32 thread);
void callers_settle(struct callers *callers); /* all have ended */

/* --- view-exec.c ------------------------------------------------------------------------------ */

/* Look at the call of execve() that the message belongs to, if any; true: another thread does, and
 * answers. Sets request->diversion. */
bool exec_look(struct request *request, const void *message, size_t size);
void exec_end(struct view *view); /* no more messages come */

/* --- view-observe.c --------------------------------------------------------------------------- */

/* The caller of `request` learned `aspects` (enum trace_aspect) of the node. */
void observe(struct request *request, struct node *node, guint32 aspects);
/* The kernel may not keep the attributes: the next to ask may be one that looks at times. */
bool observe_time_is_open(const struct view *view, const struct node *node);
void observe_absent(struct request *request, struct entry *entry);
/* A look-up, a listing that failed, since what lies below is as it is. */
void observe_unreachable(struct request *request, const struct node *directory, const char *name);
void observe_unlisted(struct request *request, struct node *directory);
/* A listing told the name, and now nothing is there. */
void observe_vanished(struct view *view, const struct entry *entry);
void observe_listing(struct request *request, struct node *directory); /* it is listed */
/* It wrote: `what` is a set of enum trace_write. */
void observe_write(struct request *request, const struct node *node, guint32 what);
void observe_name_change(struct request *request, const struct node *directory, const char *name,
                         guint32 what);
/* A child has listed it; what lies below is our fact. */
void observe_names_folded(struct view *view, struct node *directory, guint32 process);
/* The content of a file below, or the names in a directory, have become those of an output. */
void observe_kept(struct view *view, struct node *node);
/* So have its extended attributes, if it has any. */
void observe_attributes_kept(struct view *view, struct node *node);

struct listed { /* one line of a listing */
    guint64 ino;
    guint32 kind; /* S_IFMT bits */
    bool own;     /* this action made it */
    char name[];
};

#endif
