// SPDX-License-Identifier: Apache-2.0
/*
 * From requests to the record: which process asked, and what it learned of what lies below.
 *
 * The kernel names the thread that asks. A process is read from /proc when a thread of it first
 * learns anything, and looked at again whenever one learns something new, since it may have
 * executed another program meanwhile: its stack then begins elsewhere.
 */
#include "view/view-internal.h"

#include "base/fd.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct image {      /* of one process */
    int status;     /* /proc/PID/stat, kept open */
    guint32 number; /* the recorder's, of the image it is now */
    guint32 pid;
    guint64 start, stack;
    char name[64];
};

enum {
    IMAGES_OPEN = 256
};

struct observer {
    GHashTable *blind;   /* set of numbers: images that do not look at times */
    GHashTable *images;  /* process id -> struct image */
    GHashTable *leaders; /* thread id -> process id */
};

static void image_free(gpointer data)
{
    struct image *image = data;
    fd_close(&image->status);
    g_free(image);
}

struct observer *observer_new(void)
{
    struct observer *observer = g_new0(struct observer, 1);
    observer->blind = g_hash_table_new(NULL, NULL);
    observer->images = g_hash_table_new_full(NULL, NULL, NULL, image_free);
    observer->leaders = g_hash_table_new(NULL, NULL);
    return observer;
}

void observer_free(struct observer *observer)
{
    g_hash_table_unref(observer->blind);
    g_hash_table_unref(observer->images);
    g_hash_table_unref(observer->leaders);
    g_free(observer);
}

/* --- /proc ------------------------------------------------------------------------------------ */

static int open_process_file(const struct view *view, guint32 pid, const char *name)
{
    char path[40];
    g_snprintf(path, sizeof path, "%u/%s", pid, name);
    return openat(view->processes, path, O_RDONLY | O_CLOEXEC);
}

static char *read_process_file(const struct view *view, guint32 pid, const char *name, gsize *size)
{
    autofd int file = open_process_file(view, pid, name);
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
static char **read_strings(const struct view *view, guint32 pid, const char *name)
{
    gsize size = 0;
    g_autofree char *text = read_process_file(view, pid, name, &size);
    GPtrArray *list = g_ptr_array_new();
    while (size > 1 && text[size - 1] == '\0' && text[size - 2] == '\0')
        size--; /* a process that wrote its name over its arguments leaves a row of NULs */
    for (char *at = text; at != NULL && at < text + size; at += strlen(at) + 1)
        g_ptr_array_add(list, g_strdup(at));
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

static char *read_process_link(const struct view *view, guint32 pid, const char *name)
{
    char path[40], target[PATH_MAX];
    g_snprintf(path, sizeof path, "%u/%s", pid, name);
    ssize_t length = readlinkat(view->processes, path, target, sizeof target);
    return length < 0 ? NULL : g_strndup(target, (gsize)length);
}

/* Fields of proc(5): 4 is the parent, 22 the start, 28 where the stack begins. */
struct process_status {
    guint32 parent;
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
        else if (field == 22)
            out->start = strtoull(at, NULL, 10);
        else if (field == 28)
            out->stack = strtoull(at, NULL, 10);
        at += strcspn(at, " ");
    }
    return true;
}

/* --- processes -------------------------------------------------------------------------------- */

static guint32 number_of(struct view *view, guint32 pid, unsigned depth);

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

static void register_image(struct view *view, struct image *image, guint32 parent)
{
    struct trace_process process = {
        .pid = image->pid,
        .start = image->start,
        .parent = parent,
        .argv = read_strings(view, image->pid, "cmdline"),
        .environment = read_strings(view, image->pid, "environ"),
        .directory = read_process_link(view, image->pid, "cwd"),
        .program = read_process_link(view, image->pid, "exe"),
    };
    image->number = recorder_process(view->recorder, &process);
    if (is_blind(process.program))
        g_hash_table_add(view->observer->blind, GUINT_TO_POINTER(image->number));
    g_strfreev(process.argv);
    g_strfreev(process.environment);
    g_free(process.directory);
    g_free(process.program);
}

static void forget_some(struct observer *observer)
{
    if (g_hash_table_size(observer->images) >= IMAGES_OPEN)
        g_hash_table_remove_all(observer->images);
    if (g_hash_table_size(observer->leaders) >= 16 * IMAGES_OPEN)
        g_hash_table_remove_all(observer->leaders);
}

static struct image *image_new(struct view *view, guint32 pid, unsigned depth)
{
    autofd int file = open_process_file(view, pid, "stat");
    struct process_status status;
    if (file < 0 || !read_status(file, &status))
        return NULL;
    guint32 parent = status.parent == 0 ? 0 : number_of(view, status.parent, depth + 1);
    struct image *image = g_new0(struct image, 1);
    image->status = fd_steal(&file);
    image->pid = pid;
    image->start = status.start;
    image->stack = status.stack;
    memcpy(image->name, status.name, sizeof image->name);
    register_image(view, image, parent);
    g_hash_table_insert(view->observer->images, GUINT_TO_POINTER(pid), image);
    return image;
}

/* The recorder's number of what process `pid` is just now; 0: it is not known. */
static guint32 number_of(struct view *view, guint32 pid, unsigned depth)
{
    struct process_status status;
    struct image *image = g_hash_table_lookup(view->observer->images, GUINT_TO_POINTER(pid));
    if (depth > 32)
        return 0;
    if (image == NULL) {
        forget_some(view->observer);
        image = image_new(view, pid, depth);
        return image == NULL ? 0 : image->number;
    }
    if (!read_status(image->status, &status)) /* it is gone, and this is another */
        g_hash_table_remove(view->observer->images, GUINT_TO_POINTER(pid));
    else if (status.start == image->start && status.stack == image->stack &&
             strcmp(status.name, image->name) == 0)
        return image->number;
    else {
        image->stack = status.stack;
        memcpy(image->name, status.name, sizeof image->name);
        register_image(view, image, image->number);
        return image->number;
    }
    image = image_new(view, pid, depth);
    return image == NULL ? 0 : image->number;
}

static guint32 leader_of(struct view *view, guint32 thread)
{
    gpointer known = g_hash_table_lookup(view->observer->leaders, GUINT_TO_POINTER(thread));
    if (known != NULL)
        return GPOINTER_TO_UINT(known);
    g_autofree char *status = read_process_file(view, thread, "status", NULL);
    const char *line = status == NULL ? NULL : strstr(status, "\nTgid:");
    guint32 leader = line == NULL ? thread : (guint32)strtoul(line + 6, NULL, 10);
    g_hash_table_insert(view->observer->leaders, GUINT_TO_POINTER(thread),
                        GUINT_TO_POINTER(leader));
    return leader;
}

static guint32 process_of(const struct request *request)
{
    struct view *view = request->view;
    if (view->processes < 0 || request->header->pid == 0)
        return 0;
    return number_of(view, leader_of(view, request->header->pid), 0);
}

/* --- facts ------------------------------------------------------------------------------------ */

static char *path_below(const struct node *node)
{
    GString *path = g_string_new("/");
    g_autoptr(GString) rest = g_string_new(NULL);
    node_below(node, rest);
    g_string_append(path, rest->str);
    return g_string_free(path, FALSE);
}

static char *entry_path_below(const struct node *directory, const char *name)
{
    g_autofree char *path = path_below(directory);
    return g_strconcat(path[1] == '\0' ? "" : path, "/", name, NULL);
}

/* Times in a tree follow from contents (view_options.time): there those are what was learned. */
static guint32 by_content(const struct node *node, guint32 aspects)
{
    bool tree = node->content != NULL;
    return tree && (aspects & TRACE_TIME) != 0 ? (aspects & ~(guint32)TRACE_TIME) | TRACE_CONTENT
                                               : aspects;
}

static void note(struct view *view, const struct node *node, const char *path, guint32 aspects,
                 guint32 process)
{
    const struct sight sight = {
        .kind = trace_kind_of(node->mode_below),
        .mode = trace_mode(node->mode_below, node->links_below),
        .stamp = S_ISREG(node->mode_below) && node->content == NULL ? &node->stamp : NULL,
        .digest = node->content,
        .target = node->target,
        .time = node->mtime,
        .xattrs = node->xattrs_below,
    };
    recorder_note(view->recorder, path, by_content(node, aspects), process, &sight);
}

static void note_own_name(const struct request *request, struct node *node, guint32 aspects)
{
    struct view *view = request->view;
    guint32 process = process_of(request);
    if (g_hash_table_contains(view->observer->blind, GUINT_TO_POINTER(process)))
        aspects &= ~(guint32)TRACE_TIME;
    if ((aspects & ~node->noted) == 0)
        return;
    g_autofree char *path = path_below(node);
    note(view, node, path, aspects, process);
    node->noted |= aspects | TRACE_KIND;
}

/*
 * Of a file with several names below, the kernel does not say by which one it is used: what was
 * learned of it was learned of each that was looked up.
 */
static void note_other_names(const struct request *request, const struct node *node)
{
    guint32 process = 0;
    for (struct entry *entry = node->names; entry != NULL; entry = entry->next) {
        guint32 missing = node->noted & ~entry->noted;
        if (missing == 0 || !entry->below || entry->changed)
            continue;
        g_autofree char *path = entry_path_below(entry->directory, entry->name);
        process = process != 0 ? process : process_of(request);
        note(request->view, node, path, missing, process);
        entry->noted |= missing;
    }
}

/*
 * What the action made itself is nothing that it learned, nor is what it has overwritten: whoever
 * opened it to do so noted the content then.
 */
void observe(struct request *request, struct node *node, guint32 aspects)
{
    if (request->view->recorder == NULL || !node->below)
        return;
    if (node->data == DATA_SCRATCH)
        aspects &= ~(guint32)(TRACE_CONTENT | TRACE_TIME);
    if (node->timed)
        aspects &= ~(guint32)TRACE_TIME;
    if ((aspects & ~node->noted) != 0)
        note_own_name(request, node, aspects);
    if (node->names != NULL && node->names->next != NULL)
        note_other_names(request, node);
}

bool observe_time_is_open(const struct view *view, const struct node *node)
{
    return view->recorder != NULL && node->data == DATA_BELOW && !node->timed &&
           (node->noted & TRACE_TIME) == 0;
}

/* A name that this action took away, or that it saw come, is absent by its own doing. */
void observe_absent(struct request *request, struct entry *entry)
{
    struct view *view = request->view;
    if (view->recorder == NULL || entry->noted != 0 || entry->changed || entry->below ||
        entry->state != ENTRY_ABSENT || !entry->directory->below)
        return;
    entry->noted = TRACE_ABSENT;
    g_autofree char *path = entry_path_below(entry->directory, entry->name);
    const struct sight sight = { .kind = TRACE_NOTHING };
    recorder_note(view->recorder, path, TRACE_ABSENT, process_of(request), &sight);
}

void observe_unreachable(struct request *request, const struct node *directory, const char *name)
{
    if (request->view->recorder == NULL || !directory->below || directory->changed)
        return;
    g_autofree char *path = entry_path_below(directory, name);
    const struct sight sight = { .kind = TRACE_UNREACHABLE };
    recorder_note(request->view->recorder, path, TRACE_KIND, process_of(request), &sight);
}

void observe_vanished(struct view *view, const struct entry *entry)
{
    g_autofree char *path = entry_path_below(entry->directory, entry->name);
    if (view->recorder != NULL)
        recorder_unstable(view->recorder, path);
}

/* The names below, whatever has become of them: what the action did to them is its own writing. */
static void digest_names(struct node *directory, struct digest *out)
{
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, directory->children);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        const struct entry *entry = value;
        guint32 kind = entry->kind;
        const struct trace_name name = { entry->name, trace_kind_of(kind) };
        if (entry->below)
            g_array_append_val(names, name);
    }
    trace_names_digest((struct trace_name *)(void *)names->data, names->len, out);
}

static void note_names(struct view *view, struct node *directory, const struct digest *digest,
                       guint32 process)
{
    g_autofree char *path = path_below(directory);
    const struct sight sight = { .kind = TRACE_DIRECTORY,
                                 .mode = directory->mode_below,
                                 .digest = digest };
    recorder_note(view->recorder, path, TRACE_NAMES, process, &sight);
    directory->noted |= TRACE_NAMES | TRACE_KIND;
}

void observe_unlisted(struct request *request, struct node *directory)
{
    if (request->view->recorder != NULL && directory->below && !directory->changed)
        note_names(request->view, directory, NULL, process_of(request));
}

void observe_listing(struct request *request, struct node *directory)
{
    struct view *view = request->view;
    struct digest digest;
    if (view->recorder == NULL || !directory->below || (directory->noted & TRACE_NAMES) != 0)
        return;
    digest_names(directory, &digest);
    note_names(view, directory, &digest, process_of(request));
}

void observe_kept(struct view *view, struct node *node)
{
    struct digest digest;
    if (view->recorder == NULL || !node->below)
        return;
    if (S_ISDIR(node->mode_below)) {
        digest_names(node, &digest);
        if ((node->noted & TRACE_NAMES) == 0)
            note_names(view, node, &digest, 0);
    } else if ((node->noted & TRACE_CONTENT) == 0) {
        g_autofree char *path = path_below(node);
        note(view, node, path, S_ISLNK(node->mode) ? TRACE_TARGET : TRACE_CONTENT, 0);
    }
}

void observe_attributes_kept(struct view *view, struct node *node)
{
    if (view->recorder == NULL || !node->below || node->xattrs_below == NULL ||
        (node->noted & TRACE_XATTRS) != 0)
        return;
    g_autofree char *path = path_below(node);
    note(view, node, path, TRACE_XATTRS, 0);
    node->noted |= TRACE_XATTRS;
}

/* --- writing ---------------------------------------------------------------------------------- */

void observe_write(struct request *request, const struct node *node, guint32 what)
{
    g_autoptr(GString) path = g_string_new(NULL);
    if (request->view->recorder != NULL && node_path(node, path))
        recorder_write(request->view->recorder, path->len > 0 ? path->str : "/",
                       process_of(request), what);
}

void observe_name_change(struct request *request, const struct node *directory, const char *name,
                         guint32 what)
{
    g_autoptr(GString) path = g_string_new(NULL);
    if (request->view->recorder != NULL && entry_path(directory, name, path))
        recorder_write(request->view->recorder, path->str, process_of(request), what);
}
