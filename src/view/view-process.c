// SPDX-License-Identifier: Apache-2.0
/*
 * Which process asked. The kernel names the thread that does. A process is read from /proc when a
 * thread of it first learns anything, and looked at again whenever one learns something new, since
 * it may have executed another program meanwhile: its stack then begins elsewhere.
 *
 * A process may execute a program and never ask for anything again. What view-exec.c has seen of
 * the call then has to do. It is kept as long as the process has not been looked at again, for the
 * call may still fail.
 */
#include "view/view-internal.h"

#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct image {      /* of one process */
    int status;     /* /proc/PID/stat, kept open */
    guint32 number; /* the recorder's, of the image it is now */
    guint32 pid;
    guint64 start, stack;
    enum trapped {
        TRAPPED_NOT,
        TRAPPED,          /* a trap's program runs, and `number` is of what is to run */
        TRAPPED_RELEASED, /* what was to run does, as soon as the stack is another */
    } trapped;
    char *call; /* RELEASED: by which call, as in struct pending; owned */
    const void *executed;
    char name[64];
};

struct pending {                  /* an execve() that was seen to begin */
    struct trace_process process; /* owned; the parent is known, even if it has gone since */
    guint64 stack;                /* before */
    bool trapped;                 /* next the process is a trap's, for a while */
    char name[64];
    char *call;           /* what exec_call has it from; owned */
    const void *executed; /* the node, to be compared alone */
};

enum {
    IMAGES_OPEN = 256
};

struct callers {
    GMutex lock;
    int references;
    struct recorder *recorder;
    int processes;       /* procfs, or -1; borrowed */
    GHashTable *blind;   /* set of numbers: images that do not look at times */
    GHashTable *images;  /* process id -> struct image */
    GHashTable *execs;   /* process id -> struct pending */
    GHashTable *leaders; /* thread id -> process id */
};

static void image_free(gpointer data)
{
    struct image *image = data;
    fd_close(&image->status);
    g_free(image->call);
    g_free(image);
}

static void pending_free(gpointer data)
{
    struct pending *pending = data;
    g_strfreev(pending->process.argv);
    g_strfreev(pending->process.environment);
    g_free(pending->process.directory);
    g_free(pending->process.program);
    g_free(pending->call);
    g_free(pending);
}

struct callers *callers_new(struct recorder *recorder, int processes)
{
    struct callers *callers = g_new0(struct callers, 1);
    g_mutex_init(&callers->lock);
    callers->references = 1;
    callers->recorder = recorder;
    callers->processes = processes;
    callers->blind = g_hash_table_new(NULL, NULL);
    callers->images = g_hash_table_new_full(NULL, NULL, NULL, image_free);
    callers->execs = g_hash_table_new_full(NULL, NULL, NULL, pending_free);
    callers->leaders = g_hash_table_new(NULL, NULL);
    return callers;
}

struct callers *callers_ref(struct callers *callers)
{
    g_atomic_int_inc(&callers->references);
    return callers;
}

void callers_unref(struct callers *callers)
{
    if (!g_atomic_int_dec_and_test(&callers->references))
        return;
    g_hash_table_unref(callers->blind);
    g_hash_table_unref(callers->images);
    g_hash_table_unref(callers->execs);
    g_hash_table_unref(callers->leaders);
    g_mutex_clear(&callers->lock);
    g_free(callers);
}

void callers_set_processes(struct callers *callers, int processes)
{
    g_mutex_lock(&callers->lock);
    callers->processes = processes;
    g_mutex_unlock(&callers->lock);
}

/* --- /proc ------------------------------------------------------------------------------------ */

int callers_open(const struct callers *callers, guint32 pid, const char *name)
{
    char path[40];
    g_snprintf(path, sizeof path, "%u/%s", pid, name);
    return openat(callers->processes, path, O_RDONLY | O_CLOEXEC);
}

static char *read_process_file(const struct callers *callers, guint32 pid, const char *name,
                               gsize *size)
{
    autofd int file = callers_open(callers, pid, name);
    g_autoptr(GBytes) bytes = file < 0 ? NULL : fd_read_all(file, 64 << 20, name, NULL);
    if (bytes == NULL)
        return NULL;
    gsize length;
    char *data = g_bytes_unref_to_data(g_steal_pointer(&bytes), &length);
    data = g_realloc(data, length + 1);
    data[length] = '\0';
    if (size != NULL)
        *size = length;
    return data;
}

/* A list of strings that each end with NUL. */
static char **read_strings(const struct callers *callers, guint32 pid, const char *name)
{
    gsize size = 0;
    g_autofree char *text = read_process_file(callers, pid, name, &size);
    GPtrArray *list = g_ptr_array_new();
    while (size > 1 && text[size - 1] == '\0' && text[size - 2] == '\0')
        size--; /* a process that wrote its name over its arguments leaves a row of NULs */
    for (char *at = text; at != NULL && at < text + size; at += strlen(at) + 1)
        g_ptr_array_add(list, g_strdup(at));
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

char *callers_link(const struct callers *callers, guint32 pid, const char *name)
{
    char path[40], target[PATH_MAX];
    g_snprintf(path, sizeof path, "%u/%s", pid, name);
    ssize_t length = readlinkat(callers->processes, path, target, sizeof target);
    return length < 0 ? NULL : g_strndup(target, (gsize)length);
}

/* Fields of proc(5): 4 is the parent, 20 how many threads, 22 the start, 28 where the stack begins.
 */
struct process_status {
    guint32 parent, threads;
    guint64 start, stack;
    char name[64];
};

static bool read_status(int file, struct process_status *out)
{
    char text[1024];
    ssize_t size = pread(file, text, sizeof text - 1, 0);
    text[MAX(size, 0)] = '\0';
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (open == NULL || close == NULL || close < open)
        return false;
    size_t length = MIN((size_t)(close - open - 1), sizeof out->name - 1);
    memcpy(out->name, open + 1, length);
    out->name[length] = '\0';
    const char *at = close + 1;
    for (int field = 3; field <= 28; field++) {
        at += strspn(at, " ");
        if (field == 4)
            out->parent = (guint32)strtoul(at, NULL, 10);
        else if (field == 20)
            out->threads = (guint32)strtoul(at, NULL, 10);
        else if (field == 22)
            out->start = strtoull(at, NULL, 10);
        else if (field == 28)
            out->stack = strtoull(at, NULL, 10);
        at += strcspn(at, " ");
    }
    return true;
}

/* --- processes -------------------------------------------------------------------------------- */

static guint32 number_of(struct callers *callers, guint32 pid, unsigned depth);

/*
 * Programs that ask for the attributes of what they read and do nothing with its times: compilers,
 * assemblers, linkers, archivers, and tools that copy text from inputs to output. Listed in
 * doc/design/view.md. A target's prefix and a version at the end do not count:
 * x86_64-linux-gnu-gcc-12.
 */
static const char *const blind_programs[] = {
    "ar",        "as",      "awk",     "basename", "c++",         "cat",     "cc",    "cc1",
    "cc1plus",   "clang",   "cmp",     "cpp",      "collect2",    "cut",     "egrep", "fgrep",
    "g++",       "gas",     "gawk",    "gcc",      "gold",        "grep",    "head",  "ld",
    "ld.bfd",    "ld.gold", "ld.lld",  "lto1",     "lto-wrapper", "m4",      "mawk",  "md5sum",
    "nm",        "objcopy", "objdump", "od",       "ranlib",      "readelf", "sed",   "sha1sum",
    "sha256sum", "size",    "sort",    "strip",    "tr",          "uniq",    "wc",    "xxd",
};

static bool is_blind(const char *program)
{
    const char *slash = program == NULL ? NULL : strrchr(program, '/');
    g_autofree char *name = g_strdup(slash == NULL ? "" : slash + 1);
    char *end = name + strlen(name);
    while (end > name && (g_ascii_isdigit(end[-1]) || end[-1] == '.'))
        end--;
    if (end > name && end[-1] == '-')
        end[-1] = '\0';
    const char *base = strstr(name, "-linux-gnu-");
    base = base == NULL ? name : base + strlen("-linux-gnu-");
    for (size_t i = 0; i < G_N_ELEMENTS(blind_programs); i++)
        if (strcmp(base, blind_programs[i]) == 0)
            return true;
    return false;
}

static void register_image(struct callers *callers, struct image *image, guint32 parent)
{
    struct trace_process process = {
        .pid = image->pid,
        .start = image->start,
        .parent = parent,
        .argv = read_strings(callers, image->pid, "cmdline"),
        .environment = read_strings(callers, image->pid, "environ"),
        .directory = callers_link(callers, image->pid, "cwd"),
        .program = callers_link(callers, image->pid, "exe"),
    };
    image->number = recorder_process(callers->recorder, &process);
    if (is_blind(process.program))
        g_hash_table_add(callers->blind, GUINT_TO_POINTER(image->number));
    g_strfreev(process.argv);
    g_strfreev(process.environment);
    g_free(process.directory);
    g_free(process.program);
}

static gboolean is_gone(gpointer pid, gpointer value, gpointer user)
{
    struct process_status status;
    return !read_status(((const struct image *)value)->status, &status);
}

static void forget_some(struct callers *callers)
{
    if (g_hash_table_size(callers->images) >= IMAGES_OPEN)
        g_hash_table_foreach_remove(callers->images, is_gone, NULL);
    if (g_hash_table_size(callers->images) >= IMAGES_OPEN)
        g_hash_table_remove_all(callers->images);
    if (g_hash_table_size(callers->leaders) >= 16 * IMAGES_OPEN)
        g_hash_table_remove_all(callers->leaders);
}

static bool is_same(const struct pending *pending, const struct process_status *status)
{
    return status->stack == pending->stack && strcmp(status->name, pending->name) == 0;
}

static void register_pending(struct callers *callers, const struct pending *pending, guint32 *out)
{
    *out = recorder_process(callers->recorder, &pending->process);
    if (is_blind(pending->process.program))
        g_hash_table_add(callers->blind, GUINT_TO_POINTER(*out));
}

/* It has ended, or all has: what was seen to begin is all that is known. */
static gboolean settle(gpointer pid, gpointer value, gpointer user)
{
    struct callers *callers = user;
    const struct pending *pending = value;
    struct process_status status;
    guint32 number;
    autofd int file = callers_open(callers, GPOINTER_TO_UINT(pid), "stat");
    bool here = file >= 0 && read_status(file, &status) && status.start == pending->process.start;
    if (here && is_same(pending, &status))
        return FALSE;
    register_pending(callers, pending, &number);
    return TRUE;
}

/* Another image than it was, `parent` being who made it, unless it is known to be another. */
static void become(struct callers *callers, struct image *image,
                   const struct process_status *status, guint32 parent)
{
    const struct pending *pending =
        g_hash_table_lookup(callers->execs, GUINT_TO_POINTER(image->pid));
    if (pending != NULL && (pending->process.start != status->start || is_same(pending, status)))
        pending = NULL;
    image->start = status->start;
    image->stack = status->stack;
    memcpy(image->name, status->name, sizeof image->name);
    if (image->trapped == TRAPPED_RELEASED) {
        image->trapped = TRAPPED_NOT;
        return;
    }
    image->trapped = pending != NULL && pending->trapped ? TRAPPED : TRAPPED_NOT;
    if (image->trapped == TRAPPED)
        register_pending(callers, pending, &image->number);
    else
        register_image(callers, image, pending == NULL ? parent : pending->process.parent);
    if (pending != NULL)
        g_hash_table_remove(callers->execs, GUINT_TO_POINTER(image->pid));
}

static struct image *image_new(struct callers *callers, guint32 pid, unsigned depth)
{
    autofd int file = callers_open(callers, pid, "stat");
    struct process_status status;
    if (file < 0 || !read_status(file, &status))
        return NULL;
    guint32 parent = status.parent == 0 ? 0 : number_of(callers, status.parent, depth + 1);
    struct image *image = g_new0(struct image, 1);
    image->status = fd_steal(&file);
    image->pid = pid;
    become(callers, image, &status, parent);
    g_hash_table_insert(callers->images, GUINT_TO_POINTER(pid), image);
    return image;
}

/* The recorder's number of what process `pid` is just now; 0: it is not known. */
static guint32 number_of(struct callers *callers, guint32 pid, unsigned depth)
{
    struct process_status status;
    struct image *image = g_hash_table_lookup(callers->images, GUINT_TO_POINTER(pid));
    if (depth > 32)
        return 0;
    if (image != NULL && !read_status(image->status, &status)) {
        g_hash_table_remove(callers->images, GUINT_TO_POINTER(pid));
        image = NULL; /* it is gone, and this is another */
    }
    if (image == NULL) {
        forget_some(callers);
        image = image_new(callers, pid, depth);
        return image == NULL ? 0 : image->number;
    }
    if (status.start != image->start || status.stack != image->stack ||
        strcmp(status.name, image->name) != 0)
        become(callers, image, &status, image->number);
    return image->number;
}

static guint32 leader_of(struct callers *callers, guint32 thread)
{
    gpointer known = g_hash_table_lookup(callers->leaders, GUINT_TO_POINTER(thread));
    if (known != NULL)
        return GPOINTER_TO_UINT(known);
    g_autofree char *status = read_process_file(callers, thread, "status", NULL);
    const char *line = status == NULL ? NULL : strstr(status, "\nTgid:");
    guint32 leader = line == NULL ? thread : (guint32)strtoul(line + 6, NULL, 10);
    g_hash_table_insert(callers->leaders, GUINT_TO_POINTER(thread), GUINT_TO_POINTER(leader));
    return leader;
}

guint32 callers_number(struct callers *callers, guint32 thread)
{
    if (thread == 0)
        return 0;
    g_mutex_lock(&callers->lock);
    guint32 number = callers->processes < 0 ? 0 : number_of(callers, leader_of(callers, thread), 0);
    g_mutex_unlock(&callers->lock);
    return number;
}

bool callers_is_blind(struct callers *callers, guint32 number)
{
    g_mutex_lock(&callers->lock);
    bool blind = g_hash_table_contains(callers->blind, GUINT_TO_POINTER(number));
    g_mutex_unlock(&callers->lock);
    return blind;
}

/* --- execve() --------------------------------------------------------------------------------- */

bool callers_watch(struct callers *callers)
{
    g_mutex_lock(&callers->lock);
    bool watch = callers->recorder != NULL && callers->processes >= 0;
    g_mutex_unlock(&callers->lock);
    return watch;
}

/* Who made the process, or was it before. */
static guint32 origin_of(struct callers *callers, guint32 pid, const struct process_status *status)
{
    const struct image *image = g_hash_table_lookup(callers->images, GUINT_TO_POINTER(pid));
    if (image != NULL && image->start == status->start)
        return number_of(callers, pid, 0);
    return status->parent == 0 ? 0 : number_of(callers, status->parent, 0);
}

static void replace_pending(struct callers *callers, guint32 pid, const struct exec_call *call,
                            const struct process_status *status)
{
    struct pending *pending = g_new0(struct pending, 1);
    pending->process = (struct trace_process){
        .pid = pid,
        .start = status->start,
        .parent = origin_of(callers, pid, status),
        .argv = g_strdupv(call->argv),
        .environment = g_strdupv(call->environment),
        .directory = callers_link(callers, pid, "cwd"),
        .program = g_strdup(call->program),
    };
    pending->stack = status->stack;
    pending->call = g_strdup(call->text);
    pending->executed = call->executed;
    memcpy(pending->name, status->name, sizeof pending->name);
    g_hash_table_replace(callers->execs, GUINT_TO_POINTER(pid), pending);
}

/* Does the process execute what a trap took from it before? Then it is on record as that. */
static bool is_release(struct callers *callers, guint32 pid, const struct exec_call *call,
                       const struct process_status *status)
{
    const struct pending *pending = g_hash_table_lookup(callers->execs, GUINT_TO_POINTER(pid));
    if (pending != NULL && pending->trapped && pending->process.start == status->start &&
        !is_same(pending, status))
        number_of(callers, pid, 0);
    struct image *image = g_hash_table_lookup(callers->images, GUINT_TO_POINTER(pid));
    if (image == NULL || image->start != status->start || image->trapped != TRAPPED)
        return false;
    image->trapped = TRAPPED_RELEASED;
    g_free(image->call);
    image->call = g_strdup(call->text);
    image->executed = call->executed;
    return true;
}

/* A call opens the program first, then what interprets that. */
static bool is_interpreter(struct callers *callers, guint32 pid, const struct exec_call *call)
{
    const struct pending *pending = g_hash_table_lookup(callers->execs, GUINT_TO_POINTER(pid));
    const struct image *image = g_hash_table_lookup(callers->images, GUINT_TO_POINTER(pid));
    if (call->text == NULL)
        return false;
    if (pending != NULL && pending->executed != call->executed &&
        g_strcmp0(pending->call, call->text) == 0)
        return true;
    return image != NULL && image->trapped == TRAPPED_RELEASED &&
           image->executed != call->executed && g_strcmp0(image->call, call->text) == 0;
}

static void note_call(struct callers *callers, guint32 pid, struct exec_call *call,
                      const struct process_status *status)
{
    const struct pending *pending = g_hash_table_lookup(callers->execs, GUINT_TO_POINTER(pid));
    call->interprets = is_interpreter(callers, pid, call);
    if (call->interprets)
        return;
    call->released = is_release(callers, pid, call, status);
    if (call->released)
        return;
    if (pending != NULL && pending->process.start == status->start && !is_same(pending, status))
        number_of(callers, pid, 0); /* it did that, and can still be read */
    else if (pending != NULL && pending->process.start != status->start)
        settle(GUINT_TO_POINTER(pid), (gpointer)pending, callers);
    if (g_hash_table_size(callers->execs) >= IMAGES_OPEN)
        g_hash_table_foreach_remove(callers->execs, settle, callers);
    replace_pending(callers, pid, call, status);
}

void callers_exec(struct callers *callers, guint32 thread, struct exec_call *call)
{
    struct process_status status;
    autofd int file = callers_open(callers, thread, "stat");
    if (file < 0 || !read_status(file, &status))
        return;
    g_mutex_lock(&callers->lock);
    call->process = status.threads == 1 ? thread : leader_of(callers, thread);
    call->start = status.start;
    note_call(callers, call->process, call, &status);
    g_mutex_unlock(&callers->lock);
}

void callers_divert(struct callers *callers, const struct exec_call *call)
{
    g_mutex_lock(&callers->lock);
    struct pending *pending = g_hash_table_lookup(callers->execs, GUINT_TO_POINTER(call->process));
    if (pending != NULL && pending->process.start == call->start)
        pending->trapped = true;
    g_mutex_unlock(&callers->lock);
}

bool callers_shares_mounts(struct callers *callers, guint32 pid)
{
    g_autofree char *root = callers_link(callers, pid, "root");
    g_autofree char *mounts = callers_link(callers, pid, "ns/mnt");
    g_autofree char *first = callers_link(callers, 1, "ns/mnt");
    return g_strcmp0(root, "/") == 0 && first != NULL && g_strcmp0(mounts, first) == 0;
}

void callers_confirm(struct callers *callers, guint32 thread)
{
    g_mutex_lock(&callers->lock);
    if (g_hash_table_size(callers->execs) > 0) {
        guint32 pid = leader_of(callers, thread);
        if (g_hash_table_contains(callers->execs, GUINT_TO_POINTER(pid)))
            number_of(callers, pid, 0);
    }
    g_mutex_unlock(&callers->lock);
}

void callers_settle(struct callers *callers)
{
    g_mutex_lock(&callers->lock);
    g_hash_table_foreach_remove(callers->execs, settle, callers);
    g_mutex_unlock(&callers->lock);
}
