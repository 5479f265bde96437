// SPDX-License-Identifier: Apache-2.0
/*
 * Standard input as a blob: what a command may read is part of its key, so it is read to its end
 * before the look-up. The bytes stay behind a descriptor: a hit needs no store to write to, and
 * what a store does not hold any more can be put again.
 */
#include "base/fault.h"
#include "base/fd.h"
#include "session/session-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    TICK_MILLISECONDS = 100
};

static const char what[] = "standard input";

/* The offset that the command, and whoever reads after vial, begins at. */
static bool rewind_input(const struct input *input, GError **error)
{
    return lseek(input->descriptor, input->start, SEEK_SET) >= 0 ||
           fault_errno(error, errno, "cannot rewind %s", what);
}

static bool hash(struct input *input, const volatile int *interrupt, GError **error)
{
    g_autofree char *buffer = g_malloc(1 << 16);
    struct digest_context context;
    gssize count;
    digest_init(&context);
    while ((count = fd_read_full(input->descriptor, buffer, 1 << 16, what, error)) > 0) {
        digest_update(&context, buffer, (size_t)count);
        if (interrupt != NULL && *interrupt != 0)
            return fault_set(error, FAULT_CANCELLED, "interrupted while reading %s", what);
    }
    digest_finish(&context, &input->digest);
    return count == 0 && rewind_input(input, error);
}

/* Until there is something to read, or a signal that came at any moment before is noticed. */
static bool await_pipe(const volatile int *interrupt, GError **error)
{
    struct pollfd poll_input = { .fd = STDIN_FILENO, .events = POLLIN };
    int ready;
    do {
        if (interrupt != NULL && *interrupt != 0)
            return fault_set(error, FAULT_CANCELLED, "interrupted while reading %s", what);
        ready = poll(&poll_input, 1, TICK_MILLISECONDS);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return ready > 0 || fault_errno(error, errno, "cannot wait for %s", what);
}

static bool spool_pipe(struct input *input, const volatile int *interrupt, GError **error)
{
    g_autofree char *buffer = g_malloc(1 << 16);
    input->descriptor = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (input->descriptor < 0) /* a file system without O_TMPFILE */
        input->descriptor = memfd_create("vial-stdin", MFD_CLOEXEC);
    if (input->descriptor < 0)
        return fault_errno(error, errno, "cannot spool %s", what);
    while (await_pipe(interrupt, error)) {
        ssize_t count = read(STDIN_FILENO, buffer, 1 << 16);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count < 0)
            return fault_errno(error, errno, "cannot read %s", what);
        if (count == 0)
            return rewind_input(input, error);
        if (!fd_write_all(input->descriptor, buffer, (size_t)count, "a spool of standard input",
                          error))
            return false;
    }
    return false;
}

static bool open_inherited(struct input *input, const volatile int *interrupt, GError **error)
{
    struct stat status;
    if (fstat(STDIN_FILENO, &status) < 0)
        return true; /* closed: the command gets /dev/null, which reads the same */
    if (S_ISFIFO(status.st_mode))
        return spool_pipe(input, interrupt, error);
    if (!S_ISREG(status.st_mode))
        return true;
    input->descriptor = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    input->start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    return (input->descriptor >= 0 && input->start >= 0) ||
           fault_errno(error, errno, "cannot tell where %s stands", what);
}

static bool open_file(const char *file, struct input *input, GError **error)
{
    struct stat status;
    input->descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (input->descriptor < 0 || fstat(input->descriptor, &status) < 0)
        return fault_errno(error, errno, "--stdin %s", file);
    return S_ISREG(status.st_mode) ||
           fault_set(error, FAULT_USAGE, "--stdin %s: not a regular file", file);
}

bool input_open(const struct run_request *request, struct input *out, GError **error)
{
    const char *file = request->stdin_file;
    *out = (struct input){ .descriptor = -1,
                           .digest = *digest_empty(),
                           .interrupt = request->interrupt };
    bool ok =
        file != NULL ? open_file(file, out, error) : open_inherited(out, request->interrupt, error);
    if (ok && (out->descriptor < 0 || hash(out, request->interrupt, error)))
        return true;
    input_close(out);
    return false;
}

bool input_put(const struct input *input, struct store_batch *batch, GError **error)
{
    struct digest found;
    if (input->digest.size == 0)
        return true;
    bool ok = store_batch_put_file(batch, input->descriptor, input->digest.size, what,
                                   input->interrupt, &found, error);
    if (!rewind_input(input, ok ? error : NULL) || !ok) /* also for those who read after vial */
        return false;
    return digest_equal(&found, &input->digest) ||
           fault_set(error, FAULT_CHANGED, "%s changed while it was read", what);
}

void input_close(struct input *input)
{
    fd_close(&input->descriptor);
}
