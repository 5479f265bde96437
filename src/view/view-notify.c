// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel is told: forget what you have cached. It takes the locks of directories and pages
 * for that, which a process may hold that waits for an answer; so the threads that answer never
 * come here, and nobody does with view->lock held.
 */
#include "view/view-internal.h"

#include <string.h>
#include <sys/uio.h>

/* ENOENT: it had nothing of that. ENODEV, ENOTCONN: nobody is there any more. */
static void notify(struct view *view, int code, const void *argument, size_t size, const char *name)
{
    struct fuse_out_header header = { .error = code };
    struct iovec parts[3] = {
        { .iov_base = &header, .iov_len = sizeof header },
        { .iov_base = (void *)argument, .iov_len = size },
        { .iov_base = (void *)name, .iov_len = name == NULL ? 0 : strlen(name) + 1 },
    };
    if (view->channel < 0)
        return;
    header.len = (guint32)(parts[0].iov_len + parts[1].iov_len + parts[2].iov_len);
    if (writev(view->channel, parts, name == NULL ? 2 : 3) < 0)
        return;
}

/*
 * A directory may be somebody's working directory, which getcwd() loses together with its name: it
 * is only to be asked for again.
 */
void notify_entry(struct view *view, guint64 directory, const char *name, bool is_directory)
{
    const struct fuse_notify_inval_entry_out out = {
        .parent = directory,
        .namelen = (guint32)strlen(name),
        .flags = is_directory ? FUSE_EXPIRE_ONLY : 0,
    };
    notify(view, FUSE_NOTIFY_INVAL_ENTRY, &out, sizeof out, name);
}

/* Attributes, and pages with `data`; what is in them and not written yet is sent first. */
void notify_node(struct view *view, guint64 id, bool data)
{
    const struct fuse_notify_inval_inode_out out = { .ino = id, .off = data ? 0 : -1 };
    notify(view, FUSE_NOTIFY_INVAL_INODE, &out, sizeof out, NULL);
}
