// SPDX-License-Identifier: Apache-2.0
/*
 * Standard input as a blob: what a command may read is part of its key, so it is read to its end
 * before the look-up.
 */
#include "base/fault.h"
#include "base/fd.h"
#include "session/session-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* From the present offset; the offset itself is left alone, as by a command that read nothing. */
static bool put_file(int descriptor, off_t size, struct store_batch *batch, struct digest *out,
                     GError **error)
{
    off_t start = lseek(descriptor, 0, SEEK_CUR);
    if (start < 0)
        return fault_errno(error, errno, "cannot tell where standard input stands");
    bool ok =
        store_batch_put_file(batch, descriptor, MAX(size - start, 0), "standard input", out, error);
    if (ok && descriptor == STDIN_FILENO && lseek(descriptor, start, SEEK_SET) < 0)
        return fault_errno(error, errno, "cannot rewind standard input");
    return ok;
}

static bool put_pipe(struct store_batch *batch, struct digest *out, GError **error)
{
    autofd int spool = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_autofree char *buffer = g_malloc(1 << 16);
    gint64 size = 0;
    if (spool < 0) /* a file system without O_TMPFILE */
        spool = memfd_create("vial-stdin", MFD_CLOEXEC);
    if (spool < 0)
        return fault_errno(error, errno, "cannot spool standard input");
    for (;;) {
        ssize_t count = read(STDIN_FILENO, buffer, 1 << 16);
        if (count < 0 && errno == EINTR)
            return fault_set(error, FAULT_CANCELLED, "interrupted while reading standard input");
        if (count < 0)
            return fault_errno(error, errno, "cannot read standard input");
        if (count == 0)
            break;
        if (!fd_write_all(spool, buffer, (size_t)count, "a spool of standard input", error))
            return false;
        size += count;
    }
    lseek(spool, 0, SEEK_SET);
    return store_batch_put_file(batch, spool, size, "standard input", out, error);
}

bool standard_input(const char *file, struct store_batch *batch, struct digest *out, GError **error)
{
    struct stat status;
    *out = *digest_empty();
    if (file == NULL) {
        if (fstat(STDIN_FILENO, &status) < 0)
            return true; /* closed: the command gets /dev/null, which reads the same */
        if (S_ISREG(status.st_mode))
            return put_file(STDIN_FILENO, status.st_size, batch, out, error);
        return !S_ISFIFO(status.st_mode) || put_pipe(batch, out, error);
    }
    autofd int opened = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0 || fstat(opened, &status) < 0)
        return fault_errno(error, errno, "--stdin %s", file);
    if (!S_ISREG(status.st_mode))
        return fault_set(error, FAULT_USAGE, "--stdin %s: not a regular file", file);
    return put_file(opened, status.st_size, batch, out, error);
}
