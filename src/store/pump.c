// SPDX-License-Identifier: Apache-2.0
/* Hashes a file, and copies it on the way, hole by hole and stretch by stretch. */
#include "store/pump.h"

#include "base/fault.h"
#include "base/fd.h"

#include <unistd.h>

/* Zeros are hashed from one block that stays in the processor's cache. */
#define ZEROS_SIZE (64 * 1024)

/* Below this, looking for holes costs more than reading them. */
#define HOLES_SIZE (1024 * 1024)

struct pass {
    const struct pump *pump;
    struct digest_context context;
    off_t at;         /* offset in `from`; -1: it has none */
    off_t start, end; /* the stretch of data that comes next, or is being read */
    bool open_ended;  /* what was copied last is a hole */
};

static bool is_cancelled(const struct pump *pump, GError **error)
{
    if (pump->cancel == NULL || *pump->cancel == 0)
        return false;
    return !fault_set(error, FAULT_CANCELLED, "interrupted while reading %s", pump->what);
}

/* Data up to the last byte is read beyond it, which shows the end. */
static void find_stretch(struct pass *pass, off_t size)
{
    pass->start = pass->at;
    pass->end = G_MAXINT64;
    if (pass->at < 0 || pass->at >= size)
        return;
    fd_find_data(pass->pump->from, pass->at, size, &pass->start, &pass->end);
    if (lseek(pass->pump->from, MIN(pass->start, size), SEEK_SET) < 0)
        pass->start = pass->at;
    if (pass->start < size && pass->end >= size)
        pass->end = G_MAXINT64;
}

static enum pump_end pass_hole(struct pass *pass, GError **error)
{
    static const guint8 zeros[ZEROS_SIZE];
    const struct pump *pump = pass->pump;
    if (pump->to >= 0 && lseek(pump->to, pass->start - pass->at, SEEK_CUR) < 0) {
        fault_errno(error, errno, "cannot write %s", pump->to_what);
        return PUMP_UNWRITABLE;
    }
    while (pass->at < pass->start) {
        size_t count = (size_t)MIN(pass->start - pass->at, ZEROS_SIZE);
        if (is_cancelled(pump, error))
            return PUMP_CANCELLED;
        digest_update(&pass->context, zeros, count);
        pass->at += (off_t)count;
    }
    pass->open_ended = true;
    return PUMP_DONE;
}

/* *more: there may be more. */
static enum pump_end pass_data(struct pass *pass, bool *more, GError **error)
{
    const struct pump *pump = pass->pump;
    size_t wanted = pump->buffer_size;
    if (pass->at >= 0 && pass->end - pass->at < (off_t)wanted)
        wanted = (size_t)(pass->end - pass->at);
    gssize count = fd_read_full(pump->from, pump->buffer, wanted, pump->what, error);
    if (count < 0)
        return PUMP_UNREADABLE;
    digest_update(&pass->context, pump->buffer, (size_t)count);
    *more = (size_t)count == wanted;
    if (pump->to >= 0 && !fd_write_all(pump->to, pump->buffer, (size_t)count, pump->to_what, error))
        return PUMP_UNWRITABLE;
    pass->open_ended = pass->open_ended && count == 0;
    if (pass->at >= 0)
        pass->at += count;
    return PUMP_DONE;
}

static enum pump_end finish(struct pass *pass, GError **error)
{
    const struct pump *pump = pass->pump;
    if (pump->to < 0 || !pass->open_ended || ftruncate(pump->to, pass->context.size) == 0)
        return PUMP_DONE;
    fault_errno(error, errno, "cannot write %s", pump->to_what);
    return PUMP_UNWRITABLE;
}

enum pump_end pump_bytes(const struct pump *pump, struct digest *out, GError **error)
{
    struct pass pass = { .pump = pump, .at = -1, .end = G_MAXINT64 };
    off_t size = G_MAXINT64;
    bool more = true;
    digest_init(&pass.context);
    if (pump->size >= HOLES_SIZE && (pass.at = lseek(pump->from, 0, SEEK_CUR)) >= 0) {
        size = pass.at + pump->size;
        find_stretch(&pass, size);
    }
    while (more && pass.context.size <= pump->size) {
        if (is_cancelled(pump, error))
            return PUMP_CANCELLED;
        enum pump_end end = pass.at < pass.start && pass.at >= 0 ? pass_hole(&pass, error)
                                                                 : pass_data(&pass, &more, error);
        if (end != PUMP_DONE)
            return end;
        if (pass.at >= pass.end)
            find_stretch(&pass, size);
    }
    digest_finish(&pass.context, out);
    return finish(&pass, error);
}
