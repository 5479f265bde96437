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

static struct scratch_name scratch_name(const struct node *node)
{
    struct scratch_name name;
    g_snprintf(name.text, sizeof name.text, "%" G_GINT64_MODIFIER "x", node->scratch);
    return name;
}

void node_times(const struct node *node, struct timespec times[2])
{
    times[0] = fd_timespec(node->atime);
    times[1] = fd_timespec(node->mtime);
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

/* Whoever may write to the file in the view, we must be able to: its mode is in the node alone. */
static int make_scratch(struct view *view, struct node *node)
{
    node->scratch = ++view->last_scratch;
    struct scratch_name name = scratch_name(node);
    int file =
        openat(view->scratch, name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file >= 0)
        return file;
    int number = errno;
    node->scratch = 0;
    return -number;
}

int data_create(struct view *view, struct node *node)
{
    int file = make_scratch(view, node);
    if (file < 0)
        return file;
    close(file);
    node->data = DATA_SCRATCH;
    return 0;
}

void data_drop(struct view *view, struct node *node)
{
    guint32 backing = (guint32)node->backing;
    if (backing != 0)
        ioctl(view->channel, FUSE_DEV_IOC_BACKING_CLOSE, &backing);
    node->backing = 0;
    if (node->scratch == 0)
        return;
    struct scratch_name name = scratch_name(node);
    unlinkat(view->scratch, name.text, 0);
    node->scratch = 0;
}

static int copy_data(int from, int to, guint64 size)
{
    g_autoptr(GError) error = NULL;
    struct stat status;
    if (fstat(from, &status) < 0)
        return -errno;
    if (fd_copy(from, to, (off_t)MIN(size, (guint64)status.st_size), "data", &error))
        return 0;
    return errno != 0 ? -errno : -EIO;
}

/* The descriptor that is replaced stays open: somebody may be reading from it just now. */
static void lead_handles(struct view *view, struct node *node)
{
    for (struct handle *handle = node->handles; handle != NULL; handle = handle->next) {
        if (handle->descriptor < 0)
            continue;
        handle->before = handle->descriptor;
        handle->descriptor = data_open(view, node, O_RDWR);
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

int data_take(struct view *view, struct node *node, guint64 keep)
{
    if (node->data == DATA_SCRATCH)
        return 0;
    if (!wait_until_unpassed(view, node))
        return -ETXTBSY;
    if (node->data == DATA_SCRATCH) /* somebody else was faster */
        return 0;
    if (keep > 0)
        node_clock(view, node);
    autofd int from = keep > 0 ? data_open(view, node, O_RDONLY) : -1;
    if (keep > 0 && from < 0)
        return from;
    autofd int to = make_scratch(view, node);
    if (to < 0)
        return to;
    int rc = keep > 0 ? copy_data(from, to, keep) : 0;
    if (rc < 0) {
        data_drop(view, node);
        return rc;
    }
    struct timespec times[2];
    node_times(node, times);
    futimens(to, times);
    guint32 backing = (guint32)node->backing;
    if (backing != 0)
        ioctl(view->channel, FUSE_DEV_IOC_BACKING_CLOSE, &backing);
    node->backing = 0;
    node->data = DATA_SCRATCH;
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

int data_set_times(struct view *view, const struct node *node)
{
    struct scratch_name name = scratch_name(node);
    struct timespec times[2];
    node_times(node, times);
    return utimensat(view->scratch, name.text, times, 0) == 0 ? 0 : -errno;
}
