// SPDX-License-Identifier: Apache-2.0
/*
 * From bytes of /dev/fuse to the function that answers, and back. One table says what each opcode
 * brings with it; everything is checked here against the size of the message, so that no function
 * behind it has to.
 */
#include "view/view-internal.h"

#include <string.h>

struct opcode {
    int (*answer)(struct request *request);
    guint16 size;      /* of the argument that must be there */
    guint8 names;      /* strings that follow it */
    guint8 components; /* the first of them are names in directories */
    bool unlocked;     /* takes view->lock itself, where it needs it */
    bool without_node; /* header->nodeid means nothing */
};

static const struct opcode opcodes[] = {
    [FUSE_LOOKUP] = { view_lookup, 0, 1, 1 },
    [FUSE_FORGET] = { view_forget, sizeof(struct fuse_forget_in), .without_node = true },
    [FUSE_GETATTR] = { view_getattr, sizeof(struct fuse_getattr_in) },
    [FUSE_SETATTR] = { view_setattr, sizeof(struct fuse_setattr_in) },
    [FUSE_READLINK] = { view_readlink },
    [FUSE_SYMLINK] = { view_symlink, 0, 2, 1 },
    [FUSE_MKNOD] = { view_mknod, sizeof(struct fuse_mknod_in), 1, 1 },
    [FUSE_MKDIR] = { view_mkdir, sizeof(struct fuse_mkdir_in), 1, 1 },
    [FUSE_UNLINK] = { view_unlink, 0, 1, 1 },
    [FUSE_RMDIR] = { view_rmdir, 0, 1, 1 },
    [FUSE_RENAME] = { view_rename, sizeof(struct fuse_rename_in), 2, 2 },
    [FUSE_LINK] = { view_link, sizeof(struct fuse_link_in), 1, 1 },
    [FUSE_OPEN] = { view_open, sizeof(struct fuse_open_in) },
    [FUSE_READ] = { view_read, sizeof(struct fuse_read_in), .unlocked = true },
    [FUSE_WRITE] = { view_write, sizeof(struct fuse_write_in), .unlocked = true },
    [FUSE_STATFS] = { view_statfs },
    [FUSE_RELEASE] = { view_release, sizeof(struct fuse_release_in) },
    [FUSE_FSYNC] = { view_fsync, sizeof(struct fuse_fsync_in) },
    [FUSE_SETXATTR] = { view_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, 1 },
    [FUSE_GETXATTR] = { view_getxattr, sizeof(struct fuse_getxattr_in), 1 },
    [FUSE_LISTXATTR] = { view_listxattr, sizeof(struct fuse_getxattr_in) },
    [FUSE_REMOVEXATTR] = { view_removexattr, 0, 1 },
    [FUSE_INIT] = { view_init, sizeof(struct fuse_init_in), .without_node = true },
    [FUSE_OPENDIR] = { view_opendir, sizeof(struct fuse_open_in) },
    [FUSE_READDIR] = { view_readdir, sizeof(struct fuse_read_in) },
    [FUSE_RELEASEDIR] = { view_release, sizeof(struct fuse_release_in) },
    [FUSE_FSYNCDIR] = { view_fsync, sizeof(struct fuse_fsync_in) },
    [FUSE_ACCESS] = { view_access, sizeof(struct fuse_access_in) },
    [FUSE_CREATE] = { view_create, sizeof(struct fuse_create_in), 1, 1 },
    [FUSE_DESTROY] = { view_destroy, .without_node = true },
    [FUSE_BATCH_FORGET] = { view_batch_forget, sizeof(struct fuse_batch_forget_in),
                            .without_node = true },
    [FUSE_FALLOCATE] = { view_fallocate, sizeof(struct fuse_fallocate_in) },
    [FUSE_RENAME2] = { view_rename2, sizeof(struct fuse_rename2_in), 2, 2 },
    [FUSE_LSEEK] = { view_lseek, sizeof(struct fuse_lseek_in) },
    [FUSE_TMPFILE] = { view_tmpfile, sizeof(struct fuse_create_in), 1 }, /* it is called "/" */
};

/* Take one string off what is left of the message. */
static const char *take_name(struct request *request)
{
    const guint8 *end = memchr(request->data, '\0', request->data_size);
    if (end == NULL)
        return NULL;
    const char *name = (const char *)request->data;
    request->data_size -= (size_t)(end + 1 - request->data);
    request->data = end + 1;
    return name;
}

/* The kernel walks by itself and never asks for these. */
static bool is_component(const char *name)
{
    return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static bool take_names(struct request *request, const struct opcode *opcode)
{
    if (opcode->names > 0 && (request->name = take_name(request)) == NULL)
        return false;
    if (opcode->names > 1 && (request->other = take_name(request)) == NULL)
        return false;
    return (opcode->components < 1 || is_component(request->name)) &&
           (opcode->components < 2 || is_component(request->other));
}

static int answer(struct request *request, const struct opcode *opcode)
{
    if (opcode->unlocked)
        return opcode->answer(request);
    g_mutex_lock(&request->view->lock);
    request->node = opcode->without_node ? NULL : node_get(request->view, request->header->nodeid);
    int rc = request->node == NULL && !opcode->without_node ? -ESTALE : opcode->answer(request);
    g_mutex_unlock(&request->view->lock);
    return rc;
}

int view_dispatch(struct request *request, const void *message, size_t size)
{
    const struct fuse_in_header *header = message;
    request->header = header;
    request->name = request->other = NULL;
    request->node = NULL;
    request->out_size = 0;
    if (size < sizeof *header || header->len != size)
        return VIEW_NO_REPLY;
    const struct opcode *opcode =
        header->opcode < G_N_ELEMENTS(opcodes) ? &opcodes[header->opcode] : NULL;
    if (header->opcode == FUSE_INTERRUPT)
        return VIEW_NO_REPLY; /* nothing here waits */
    if (opcode == NULL || opcode->answer == NULL)
        return -ENOSYS;
    size_t extensions = (size_t)header->total_extlen * 8;
    size_t rest = size - sizeof *header;
    if (extensions > rest || opcode->size > rest - extensions)
        return -EINVAL;
    request->argument = header + 1;
    request->data = (const guint8 *)(header + 1) + opcode->size;
    request->data_size = rest - extensions - opcode->size;
    return take_names(request, opcode) ? answer(request, opcode) : -EINVAL;
}
