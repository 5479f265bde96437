// SPDX-License-Identifier: Apache-2.0
/* Opcodes of open files. */
#include "view/view-internal.h"

#include "base/fd.h"

#include <elf.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

/*
 * Programs and shared libraries of at least this size below are passed through, so that all views
 * share the host's pages of them. A smaller one costs less to read once than to hand to the kernel.
 * While it is passed through nobody can write to it, just as to a program that runs; other files
 * may well be written while somebody reads them.
 */
enum {
    PASS_SIZE = 256 << 10
};

static bool is_for_writing(guint32 flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

/* --- open ------------------------------------------------------------------------------------- */

static bool is_program(struct view *view, struct node *node)
{
    Elf64_Half kind = ET_NONE; /* in the same place for 32 bits */
    char magic[SELFMAG];
    if (node->looked_into)
        return node->program;
    autofd int file = data_open(view, node, O_RDONLY);
    node->looked_into = true;
    node->program = pread(file, magic, SELFMAG, 0) == SELFMAG &&
                    memcmp(magic, ELFMAG, SELFMAG) == 0 &&
                    pread(file, &kind, sizeof kind, EI_NIDENT) == sizeof kind &&
                    (kind == ET_EXEC || kind == ET_DYN);
    return node->program;
}

static bool should_pass(struct view *view, struct node *node)
{
    if (!view->passes || node->cached > 0)
        return false;
    if (node->passed > 0)
        return true;
    if (node->data == DATA_SCRATCH) /* others may have a state of it, and must keep that */
        return view->epoch == 1;
    return node->size >= PASS_SIZE && is_program(view, node);
}

/* Hand the file of `node` to the kernel, once for all who open it. */
static bool pass(struct view *view, struct node *node)
{
    if (node->backing != 0)
        return true;
    autofd int file = data_open(view, node, node->data == DATA_SCRATCH ? O_RDWR : O_RDONLY);
    if (file < 0)
        return false;
    struct fuse_backing_map map = { .fd = file };
    int backing = ioctl(view->channel, FUSE_DEV_IOC_BACKING_OPEN, &map);
    if (backing <= 0) {
        if (errno == EPERM) /* root of another user namespace than the first */
            view->passes = false;
        return false;
    }
    node->backing = backing;
    return true;
}

static int open_descriptor(struct view *view, struct handle *handle)
{
    int flags = handle->node->data == DATA_SCRATCH ? O_RDWR : O_RDONLY;
    handle->descriptor = data_open(view, handle->node, flags);
    return handle->descriptor < 0 ? handle->descriptor : 0;
}

/*
 * What is read of it differs for this handle alone, so the kernel must not cache it. Those who have
 * the file passed through go on so, and it refuses to open it otherwise.
 */
static int open_diverted(struct request *request, struct node *node, guint32 flags,
                         struct protocol_open_out *out)
{
    struct handle *handle = handle_new(request->view, node, flags);
    *out = (struct protocol_open_out){ .fh = handle->id, .open_flags = FOPEN_DIRECT_IO };
    handle->diversion = g_steal_pointer(&request->diversion);
    handle->kind = HANDLE_DIVERTED;
    if (node->passed == 0)
        return 0;
    handle->kind = HANDLE_PASSED;
    node->passed++;
    out->open_flags |= FOPEN_PASSTHROUGH;
    out->backing_id = node->backing;
    return 0;
}

/* Cached or passed through, as those who have it open already. */
static int open_node(struct request *request, struct node *node, guint32 flags,
                     struct protocol_open_out *out)
{
    struct view *view = request->view;
    struct handle *handle = handle_new(view, node, flags);
    *out = (struct protocol_open_out){ .fh = handle->id };
    if (should_pass(view, node) && pass(view, node)) {
        handle->kind = HANDLE_PASSED;
        node->passed++;
        node->written_past |= is_for_writing(flags);
        out->open_flags = FOPEN_PASSTHROUGH;
        out->backing_id = node->backing;
        return 0;
    }
    int rc = node->openable ? 0 : open_descriptor(view, handle); /* else when it is read */
    if (rc < 0) {
        handle_release(view, handle);
        return rc;
    }
    node->openable = view->fixed;
    handle->kind = HANDLE_CACHED;
    node->cached++;
    out->open_flags = node->written_past ? 0 : FOPEN_KEEP_CACHE;
    return 0;
}

static int permission_to_open(struct request *request, struct node *node, guint32 flags)
{
    static const int masks[] = { [O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK };
    int mask = (flags & O_ACCMODE) == O_ACCMODE ? R_OK | W_OK : masks[flags & O_ACCMODE];
    if ((flags & VIEW_FMODE_EXEC) != 0)
        mask = X_OK;
    if ((flags & O_TRUNC) != 0)
        mask |= W_OK;
    int rc = permission(request, node, mask);
    if (rc == 0 && (flags & O_NOATIME) != 0 && !permission_owns(request, node))
        return -EPERM;
    return rc;
}

int view_open(struct request *request)
{
    const struct fuse_open_in *in = request->argument;
    struct node *node = request->node;
    if (!S_ISREG(node->mode)) /* the kernel opens FIFOs and the like itself */
        return -EACCES;
    int rc = permission_to_open(request, node, in->flags);
    bool truncates = (in->flags & O_TRUNC) != 0;
    if (request->view->recorder == NULL && (in->flags & VIEW_FMODE_EXEC) == 0)
        callers_confirm(request->view->callers, request->header->pid);
    if (rc < 0 || !truncates) /* whoever truncates learns nothing */
        observe(request, node, TRACE_CONTENT);
    if (rc == 0 && (is_for_writing(in->flags) || truncates)) {
        rc = truncates ? data_resize(request->view, node, 0)
                       : data_take(request->view, node, G_MAXUINT64);
        if (rc == 0)
            observe_write(request, node, TRACE_WROTE);
    }
    if (rc < 0)
        return rc;
    request->out_size = sizeof(struct protocol_open_out);
    if (request->diversion != NULL)
        return open_diverted(request, node, in->flags, request->out);
    return open_node(request, node, in->flags, request->out);
}

/* --- new files -------------------------------------------------------------------------------- */

static int make_file(struct request *request, const struct fuse_create_in *in, struct node **out)
{
    struct view *view = request->view;
    struct node *node = node_new(view, S_IFREG | (in->mode & 07777));
    node_dress(request, request->node, node);
    int rc = data_create(view, node);
    if (rc < 0) {
        node_free(view, node);
        return rc;
    }
    *out = node;
    return 0;
}

/* The answer to CREATE and TMPFILE: an entry, and an open file. */
static int answer_open(struct request *request, struct node *node, guint32 flags)
{
    struct {
        struct fuse_entry_out entry;
        struct protocol_open_out open;
    } *out = request->out;
    request->out_size = sizeof *out;
    int rc = open_node(request, node, flags, &out->open);
    if (rc == 0) {
        view_answer_entry(request, node, &out->entry);
        out->entry.attr_valid = VIEW_FOREVER; /* its own writing */
    }
    return rc;
}

int view_create(struct request *request)
{
    const struct fuse_create_in *in = request->argument;
    struct entry *entry;
    struct node *node;
    int rc = entry_find(request->view, request->node, request->name, &entry);
    if (rc < 0)
        return rc;
    if (entry->state == ENTRY_PRESENT) /* it has come since the kernel asked */
        return -ESTALE;
    rc = permission_to_change(request, request->node);
    if (rc == 0)
        rc = make_file(request, in, &node);
    if (rc < 0)
        return rc;
    observe_absent(request, entry);
    entry_place(request->view, entry, node);
    observe_name_change(request, request->node, request->name, TRACE_CREATED | TRACE_WROTE);
    return answer_open(request, node, in->flags);
}

int view_tmpfile(struct request *request)
{
    const struct fuse_create_in *in = request->argument;
    struct node *node;
    int rc = permission_to_change(request, request->node);
    if (rc == 0)
        rc = make_file(request, in, &node);
    if (rc < 0)
        return rc;
    node->ino = number_for_nameless(request->view, node->scratch);
    node->nlink = 0;
    rc = answer_open(request, node, in->flags & ~(guint32)(O_EXCL | O_CREAT));
    if (rc < 0)
        node_settle(request->view, node);
    return rc;
}

/* --- data ------------------------------------------------------------------------------------- */

/* The descriptor to read from or write to, or -errno; good until the handle is released. */
static int handle_descriptor(struct request *request, guint64 id)
{
    struct view *view = request->view;
    g_mutex_lock(&view->lock);
    struct handle *handle = handle_get(view, id);
    int rc = handle == NULL || handle->kind == HANDLE_DIRECTORY ? -EBADF : 0;
    if (rc == 0 && handle->descriptor < 0)
        rc = open_descriptor(view, handle);
    int descriptor = rc < 0 ? rc : handle->descriptor;
    g_mutex_unlock(&view->lock);
    return descriptor;
}

/* False: it is read as it is. */
static bool read_diverted(struct request *request, const struct fuse_read_in *in)
{
    g_mutex_lock(&request->view->lock);
    const struct handle *handle = handle_get(request->view, in->fh);
    const char *text = handle == NULL ? NULL : handle->diversion;
    bool diverted = text != NULL;
    if (diverted) {
        size_t length = strlen(text), offset = MIN(in->offset, length);
        request->out_size = MIN(in->size, length - offset);
        memcpy(request->out, text + offset, request->out_size);
    }
    g_mutex_unlock(&request->view->lock);
    return diverted;
}

int view_read(struct request *request)
{
    const struct fuse_read_in *in = request->argument;
    if (read_diverted(request, in))
        return 0;
    int descriptor = handle_descriptor(request, in->fh);
    if (descriptor < 0)
        return descriptor;
    ssize_t size =
        pread(descriptor, request->out, MIN(in->size, VIEW_MAX_WRITE), (off_t)in->offset);
    if (size < 0)
        return -errno;
    request->out_size = (size_t)size;
    return 0;
}

static void after_write(struct request *request, const struct fuse_write_in *in)
{
    g_mutex_lock(&request->view->lock);
    struct handle *handle = handle_get(request->view, in->fh);
    if (handle != NULL && (in->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0) {
        node_save_written(request->view, handle->node);
        node_drop_privileges(handle->node);
    }
    g_mutex_unlock(&request->view->lock);
}

/* The kernel says where an append goes. */
int view_write(struct request *request)
{
    const struct fuse_write_in *in = request->argument;
    int descriptor = handle_descriptor(request, in->fh);
    if (descriptor < 0)
        return descriptor;
    size_t size = MIN(in->size, request->data_size), done = 0;
    while (done < size) {
        ssize_t written =
            pwrite(descriptor, request->data + done, size - done, (off_t)(in->offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    if (done == 0 && size > 0)
        return errno != 0 ? -errno : -EIO;
    if ((in->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0)
        after_write(request, in);
    struct fuse_write_out *out = request->out;
    *out = (struct fuse_write_out){ .size = (guint32)done };
    request->out_size = sizeof *out;
    return 0;
}

int view_release(struct request *request)
{
    const struct fuse_release_in *in = request->argument;
    struct handle *handle = handle_get(request->view, in->fh);
    if (handle != NULL)
        handle_release(request->view, handle);
    return 0;
}

/* What is not committed yet need not survive a loss of power. */
int view_fsync(struct request *request)
{
    return 0;
}

int view_fallocate(struct request *request)
{
    const struct fuse_fallocate_in *in = request->argument;
    struct node *node = request->node;
    struct handle *handle = handle_get(request->view, in->fh);
    if (handle == NULL || handle->node != node || !S_ISREG(node->mode))
        return -EBADF;
    int rc = data_take(request->view, node, G_MAXUINT64);
    autofd int file = rc < 0 ? -1 : data_open(request->view, node, O_RDWR);
    if (rc < 0 || file < 0)
        return rc < 0 ? rc : file;
    return fallocate(file, (int)in->mode, (off_t)in->offset, (off_t)in->length) == 0 ? 0 : -errno;
}

int view_lseek(struct request *request)
{
    const struct fuse_lseek_in *in = request->argument;
    struct fuse_lseek_out *out = request->out;
    if (!S_ISREG(request->node->mode))
        return -ESPIPE;
    autofd int file = data_open(request->view, request->node, O_RDONLY);
    if (file < 0)
        return file;
    off_t offset = lseek(file, (off_t)in->offset, (int)in->whence);
    if (offset < 0)
        return -errno;
    *out = (struct fuse_lseek_out){ .offset = (guint64)offset };
    request->out_size = sizeof *out;
    return 0;
}
