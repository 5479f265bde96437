// SPDX-License-Identifier: Apache-2.0
/* The beginning and the end of a connection: what the kernel can and what we ask of it. */
#include "view/view-internal.h"

#include <string.h>
#include <sys/vfs.h>

#define OVERLAYFS_MAGIC 0x794c7630

/*
 * Not asked for, and why: READDIRPLUS (names would be looked up that nobody asked for), POSIX_LOCKS
 * and FLOCK_LOCKS (the kernel's own are right for one mount), AUTO_INVAL_DATA (nobody changes files
 * behind the mount), WRITEBACK_CACHE (excludes pass-through), POSIX_ACL.
 */
static const guint64 wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                              FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES |
                              FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA | FUSE_INIT_EXT |
                              FUSE_ASYNC_DIO | FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_ABORT_ERROR;

/* A file system of files on an overlay stands on two; one on anything else on one. */
static guint32 stack_depth(const struct view *view)
{
    struct statfs status;
    return fstatfs(view->disk, &status) == 0 && status.f_type == OVERLAYFS_MAGIC ? 2 : 1;
}

int view_init(struct request *request)
{
    const struct fuse_init_in *in = request->argument;
    struct protocol_init_out *out = request->out;
    if (in->major != FUSE_KERNEL_VERSION || in->minor < 36)
        return -EPROTO;
    guint64 offered = in->flags | (in->flags & FUSE_INIT_EXT ? (guint64)in->flags2 << 32 : 0);
    guint64 flags = offered & wanted;
    if (!request->view->plain && (offered & FUSE_PASSTHROUGH) != 0) {
        flags |= FUSE_PASSTHROUGH;
        request->view->passes = true;
    }
    *out = (struct protocol_init_out){
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = VIEW_MAX_WRITE,
        .flags = (guint32)flags,
        .flags2 = (guint32)(flags >> 32),
        .max_background = 64,
        .congestion_threshold = 48,
        .max_write = VIEW_MAX_WRITE,
        .time_gran = 1,
        .max_pages = VIEW_MAX_WRITE / 4096,
        .max_stack_depth = request->view->passes ? stack_depth(request->view) : 0,
    };
    request->out_size = sizeof *out;
    return 0;
}

int view_destroy(struct request *request)
{
    return 0;
}
