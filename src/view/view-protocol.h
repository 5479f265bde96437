// SPDX-License-Identifier: Apache-2.0
/*
 * What Debian 12's linux/fuse.h (7.38) does not have yet. Values and layouts are the kernel's:
 * include/uapi/linux/fuse.h of Linux 6.18 (7.45); passthrough: 6.9, Documentation/filesystems/fuse/
 * fuse-passthrough.rst.
 */
#ifndef VIEW_VIEW_PROTOCOL_H
#define VIEW_VIEW_PROTOCOL_H

#include <linux/fuse.h>
#include <sys/ioctl.h>

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH (1ULL << 37)
#endif
#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH (1 << 7)
#endif

#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif

/* fuse_init_out of 7.40: max_stack_depth in place of the first unused words. */
struct protocol_init_out {
    uint32_t major, minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write;
    uint32_t time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2;
    uint32_t max_stack_depth;
    uint32_t unused[6];
};
_Static_assert(sizeof(struct protocol_init_out) == sizeof(struct fuse_init_out),
               "fuse_init_out keeps its size");

/* fuse_open_out of 7.40: backing_id in place of the padding. */
struct protocol_open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};
_Static_assert(sizeof(struct protocol_open_out) == sizeof(struct fuse_open_out),
               "fuse_open_out keeps its size");

#endif
