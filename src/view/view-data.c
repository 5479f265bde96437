// SPDX-License-Identifier: Apache-2.0
/*
 * The data of regular files: below, or in a file of scratch/ that is named by a number.
 *
 * Data moves to scratch/ when it is first written. Handles that are open then are led there.
 */
#include "view/view-internal.h"

#include "base/fd.h"

#include <string.h>
#include <unistd.h>

/* How long a close is waited for before somebody is believed to have a program open. */
enum {
    CLOSE_MICROSECONDS = 50000
};

struct scratch_name {
    char text[24];
};

static struct scratch_name name_of(guint64 scratch)
{
    struct scratch_name name;
    g_snprintf(name.text, sizeof name.text, "%" G_GINT64_MODIFIER "x", scratch);
    return name;
}

static struct scratch_name scratch_name(const struct node *node)
{
    return name_of(node->scratch);
}

void node_times(const struct node *node, struct timespec times[2])
{
    times[0] = fd_timespec(node->atime);
    times[1] = fd_timespec(node->mtime);
}

bool digest_file(int file, struct digest *out)
{
    enum {
        STEP = 1 << 16
    };
    g_autofree guint8 *buffer = g_malloc(STEP);
    struct digest_context context;
    ssize_t size;
    off_t at = 0;
    digest_init(&context);
    for (; (size = pread(file, buffer, STEP, at)) > 0; at += size)
        digest_update(&context, buffer, (size_t)size);
    digest_finish(&context, out);
    return size == 0;
}

int data_open(struct view *view, const struct node *node, int flags)
{
    if (node->data == DATA_SCRATCH) {
        struct scratch_name name = scratch_name(node);
        int file = openat(view->scratch, name.text, flags | O_CLOEXEC);
        return file < 0 ? -errno : file;
    }
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    return view->below->operations->open(view->below, path->str);
}

/*
 * Whoever may write to the file in the view, we must be able to: its mode is in the node alone.
 * Numbers are those of the root view, so that a commit moves a file by its number.
 */
static int make_scratch(struct view *view, guint64 *scratch)
{
    *scratch = __atomic_add_fetch(&view->root->last_scratch, 1, __ATOMIC_RELAXED);
    struct scratch_name name = name_of(*scratch);
    int file =
        openat(view->scratch, name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file >= 0)
        return file;
    int number = errno;
    *scratch = 0;
    return -number;
}

int data_create(struct view *view, struct node *node)
{
    int file = make_scratch(view, &node->scratch);
    if (file < 0)
        return file;
    close(file);
    node->data = DATA_SCRATCH;
    return 0;
}

static void close_backing(struct view *view, struct node *node)
{
    guint32 backing = (guint32)node->backing;
    if (backing != 0)
        ioctl(view->channel, FUSE_DEV_IOC_BACKING_CLOSE, &backing);
    node->backing = 0;
}

/* States that share a file with the node are those just before. */
static bool is_shared(const struct node *node)
{
    return node->scratch != 0 && node->older != NULL && node->older->was.scratch == node->scratch;
}

static void remove_scratch(const struct view *view, guint64 scratch)
{
    struct scratch_name name = name_of(scratch);
    if (scratch != 0)
        unlinkat(view->scratch, name.text, 0);
}

void data_drop(struct view *view, struct node *node)
{
    close_backing(view, node);
    if (!is_shared(node))
        remove_scratch(view, node->scratch);
    node->scratch = 0;
}

void data_drop_version(struct view *view, const struct node_version *version)
{
    const struct node *node = version->of;
    bool shared = node->scratch == version->was.scratch;
    for (const struct node_version *at = node->older; at != NULL; at = at->older)
        shared |= at != version && at->was.scratch == version->was.scratch;
    if (!shared)
        remove_scratch(view, version->was.scratch);
}

static int copy_data(int from, int to, guint64 size)
{
    g_autoptr(GError) error = NULL;
    struct stat status;
    if (fstat(from, &status) < 0)
        return -errno;
    if (fd_copy(from, to, (off_t)MIN(size, (guint64)status.st_size), "data", NULL, &error))
        return 0;
    return errno != 0 ? -errno : -EIO;
}

/* The descriptor keeps its number: somebody may be about to read from it. */
static void lead_handles(struct view *view, struct node *node)
{
    for (struct handle *handle = node->handles; handle != NULL; handle = handle->next) {
        if (handle->descriptor < 0)
            continue;
        autofd int file = data_open(view, node, O_RDWR);
        if (file >= 0)
            dup3(file, handle->descriptor, O_CLOEXEC);
    }
}

/*
 * The kernel reads the file below for those who have it open, and cannot be led elsewhere. It tells
 * of a close(2) a moment after that has returned, so this waits for what is on its way.
 */
static bool wait_until_unpassed(struct view *view, const struct node *node)
{
    gint64 deadline = g_get_monotonic_time() + CLOSE_MICROSECONDS;
    while (node->passed > 0 && node->data == DATA_BELOW)
        if (!g_cond_wait_until(&view->released, &view->lock, deadline))
            return false;
    return true;
}

/* `keep` bytes of what the node has, with its times, in a new file. */
static int copy_to_scratch(struct view *view, const struct node *node, guint64 keep, guint64 *made)
{
    autofd int from = keep > 0 ? data_open(view, node, O_RDONLY) : -1;
    if (keep > 0 && from < 0)
        return from;
    autofd int to = make_scratch(view, made);
    if (to < 0)
        return to;
    int rc = keep > 0 ? copy_data(from, to, keep) : 0;
    if (rc < 0) {
        remove_scratch(view, *made);
        return rc;
    }
    struct timespec times[2];
    node_times(node, times);
    futimens(to, times);
    return 0;
}

/* Those who have it open, and are not passed through, are led along. */
static int move_to_copy(struct view *view, struct node *node, guint64 keep)
{
    guint64 made;
    struct fuse_attr present;
    if (keep > 0)
        node_clock(view, node);
    if (node->data == DATA_SCRATCH)
        node_attributes(view, node, &present); /* those of the file in scratch/ */
    int rc = copy_to_scratch(view, node, keep, &made);
    if (rc < 0)
        return rc;
    close_backing(view, node);
    node->data = DATA_SCRATCH;
    node->scratch = made;
    lead_handles(view, node);
    return 0;
}

/*
 * The saved state has the node's file, which others may have open by now. What the kernel writes to
 * by itself cannot be led elsewhere, but then no earlier state has it either: it was split whenever
 * there was a snapshot.
 */
int data_split(struct view *view, struct node *node)
{
    guint64 made;
    if (node->passed == 0)
        return move_to_copy(view, node, G_MAXUINT64);
    int rc = copy_to_scratch(view, node, G_MAXUINT64, &made);
    if (rc == 0)
        node->older->was.scratch = made;
    return rc;
}

int data_take(struct view *view, struct node *node, guint64 keep)
{
    if (node->data != DATA_SCRATCH && !wait_until_unpassed(view, node))
        return -ETXTBSY;
    node_save_written(view, node);
    if (node->data == DATA_SCRATCH && !is_shared(node)) /* somebody else was faster, too */
        return 0;
    return move_to_copy(view, node, keep);
}

/* The kernel cannot be led to another file by those who have this one open. */
static int copy_over(struct view *view, struct node *node, guint64 scratch)
{
    const struct node source = { .data = DATA_SCRATCH, .scratch = scratch };
    struct stat status;
    autofd int from = data_open(view, &source, O_RDONLY);
    autofd int to = data_open(view, node, O_RDWR);
    if (from < 0 || to < 0)
        return from < 0 ? from : to;
    if (fstat(from, &status) < 0 || ftruncate(to, 0) < 0)
        return -errno;
    int rc = copy_data(from, to, G_MAXUINT64);
    const struct timespec times[2] = { status.st_atim, status.st_mtim };
    if (rc == 0)
        futimens(to, times);
    remove_scratch(view, scratch);
    return rc;
}

int data_replace(struct view *view, struct node *node, guint64 scratch)
{
    if (node->passed > 0 && node->data == DATA_SCRATCH)
        return copy_over(view, node, scratch);
    data_drop(view, node);
    node->looked_into = false;
    node->data = DATA_SCRATCH;
    node->scratch = scratch;
    lead_handles(view, node);
    return 0;
}

int data_resize(struct view *view, struct node *node, guint64 size)
{
    int rc = data_take(view, node, size);
    if (rc < 0)
        return rc;
    autofd int file = data_open(view, node, O_WRONLY);
    if (file < 0)
        return file;
    return ftruncate(file, (off_t)size) == 0 ? 0 : -errno;
}

int data_set_times(struct view *view, struct node *node)
{
    const struct node wanted = { .atime = node->atime, .mtime = node->mtime };
    int rc = is_shared(node) ? data_take(view, node, G_MAXUINT64) : 0;
    if (rc < 0)
        return rc;
    struct scratch_name name = scratch_name(node);
    struct timespec times[2];
    node_times(&wanted, times);
    return utimensat(view->scratch, name.text, times, 0) == 0 ? 0 : -errno;
}
