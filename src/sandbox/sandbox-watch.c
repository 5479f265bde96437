// SPDX-License-Identifier: Apache-2.0
/*
 * From the order to start to the end of everything the command started: its two streams in order
 * of arrival, signals on their way to it, and the clock.
 *
 * Runs on the thread that called executor_run(). A signal that arrives there while it waits ends
 * the wait at once; one that another thread handled is seen within a tick.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* After SIGTERM for running too long, and after a signal of the user's, what is left is killed. */
#define TIMEOUT_GRACE (2 * G_USEC_PER_SEC)
#define INTERRUPT_GRACE (5 * G_USEC_PER_SEC)
#define TICK (100 * 1000)

/* A stream longer than this goes to a file. */
#define SPOOL_MEMORY (1024 * 1024)
#define CHUNK (64 * 1024)

enum {
    OUTPUT,
    ERRORS,
    CONTROL,
    SOURCES
};

struct spool {
    GByteArray *bytes;
    int file; /* in the run's directory, unlinked; -1: in memory so far */
    gint64 size;
};

struct watch {
    struct launch *launch;
    const struct execution_request *request;
    struct result *result;
    struct spool spools[2];
    struct pollfd polls[SOURCES]; /* .fd is -1 once the other side is gone */
    guint8 *chunk;
    gint64 deadline, kill_at; /* monotonic; G_MAXINT64: never */
    int first_count;          /* of interrupts, before any */
    bool interrupted;
    bool reported;
};

/* --- streams ---------------------------------------------------------------------------------- */

static bool spill(struct watch *watch, struct spool *spool, GError **error)
{
    static const char name[] = "stream";
    int directory = watch->launch->directory;
    spool->file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (spool->file < 0)
        return fault_errno(error, errno, "cannot keep the command's output in %s",
                           watch->launch->plan->path);
    unlinkat(directory, name, 0);
    bool ok = fd_write_all(spool->file, spool->bytes->data, spool->bytes->len,
                           "the command's output", error);
    g_byte_array_set_size(spool->bytes, 0);
    return ok;
}

static bool keep(struct watch *watch, struct spool *spool, size_t size, GError **error)
{
    spool->size += (gint64)size;
    if (spool->file < 0 && spool->bytes->len + size > SPOOL_MEMORY && !spill(watch, spool, error))
        return false;
    if (spool->file >= 0)
        return fd_write_all(spool->file, watch->chunk, size, "the command's output", error);
    g_byte_array_append(spool->bytes, watch->chunk, (guint)size);
    return true;
}

static void note_order(GArray *order, enum output_stream stream, size_t size)
{
    struct output_piece *last =
        order->len == 0 ? NULL : &g_array_index(order, struct output_piece, order->len - 1);
    struct output_piece piece = { .stream = stream, .size = size };
    if (last != NULL && last->stream == stream)
        last->size += size;
    else
        g_array_append_val(order, piece);
}

static bool take_output(struct watch *watch, int source, GError **error)
{
    const struct execution_request *request = watch->request;
    enum output_stream stream = source == OUTPUT ? OUTPUT_STDOUT : OUTPUT_STDERR;
    ssize_t size = read(watch->polls[source].fd, watch->chunk, CHUNK);
    if (size < 0 && errno == EINTR)
        return true;
    if (size <= 0) {
        watch->polls[source].fd = -1;
        return true;
    }
    note_order(watch->result->order, stream, (size_t)size);
    if (request->output != NULL)
        request->output(stream, watch->chunk, (size_t)size, request->user);
    return keep(watch, &watch->spools[source], (size_t)size, error);
}

static bool store_stream(struct watch *watch, struct spool *spool, struct digest *out,
                         GError **error)
{
    struct store_batch *batch = watch->request->batch;
    if (spool->file < 0)
        return store_batch_put(batch, spool->bytes->data, spool->bytes->len, out, error);
    lseek(spool->file, 0, SEEK_SET);
    return store_batch_put_file(batch, spool->file, spool->size, "the command's output", NULL, out,
                                error);
}

/* --- signals and the clock ---------------------------------------------------------------------
 */

static int interrupts(const struct execution_request *request)
{
    return request->interrupt_count == NULL ? 0 : *request->interrupt_count;
}

static void heed_interrupts(struct watch *watch, gint64 now)
{
    const struct execution_request *request = watch->request;
    int signal = request->interrupt == NULL ? 0 : *request->interrupt;
    if (signal == 0)
        return;
    if (!watch->interrupted) {
        watch->interrupted = true;
        watch->kill_at = MIN(watch->kill_at, now + INTERRUPT_GRACE);
        sandbox_order(watch->launch, signal);
    }
    if (interrupts(request) - watch->first_count > 1)
        watch->kill_at = MIN(watch->kill_at, now);
}

static void heed_clock(struct watch *watch, gint64 now)
{
    if (now >= watch->deadline) {
        watch->deadline = G_MAXINT64;
        watch->result->timed_out = true;
        watch->kill_at = MIN(watch->kill_at, now + TIMEOUT_GRACE);
        sandbox_order(watch->launch, SIGTERM);
    }
    if (now >= watch->kill_at) {
        watch->kill_at = G_MAXINT64;
        sandbox_order(watch->launch, ORDER_KILL);
    }
}

/*
 * The number of sources with news, 0 if time is up, -1 after a signal.
 *
 * Signals are blocked from the look at the flags until ppoll() unblocks them, or it would miss one
 * in between; never longer, for the caller's output function may wait for its reader.
 */
static int wait_for_news(struct watch *watch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    gint64 now = g_get_monotonic_time();
    heed_interrupts(watch, now);
    heed_clock(watch, now);
    gint64 until = MIN(watch->deadline, watch->kill_at);
    if (watch->request->interrupt != NULL)
        until = MIN(until, now + TICK);
    if (watch->reported)
        until = now; /* what has been written is all there will be */
    gint64 wait = MAX(until - now, 0);
    struct timespec time = { .tv_sec = wait / G_USEC_PER_SEC,
                             .tv_nsec = wait % G_USEC_PER_SEC * 1000 };
    int count = ppoll(watch->polls, SOURCES, until == G_MAXINT64 ? NULL : &time, &before);
    for (int i = 0; count <= 0 && i < SOURCES; i++)
        watch->polls[i].revents = 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count;
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool converse(struct watch *watch, GError **error)
{
    struct pollfd *polls = watch->polls;
    while (polls[OUTPUT].fd >= 0 || polls[ERRORS].fd >= 0 || polls[CONTROL].fd >= 0) {
        int count = wait_for_news(watch);
        if (count == 0 && watch->reported)
            break; /* somebody whom init could not kill holds a stream */
        for (int source = OUTPUT; source <= ERRORS; source++)
            if (polls[source].revents != 0 && !take_output(watch, source, error))
                return false;
        if (polls[CONTROL].revents == 0)
            continue;
        watch->reported = sandbox_await_report(watch->launch->plan);
        polls[CONTROL].fd = -1;
    }
    return true;
}

static gint64 microseconds(struct timeval time)
{
    return time.tv_sec * G_USEC_PER_SEC + time.tv_usec;
}

static void fill_result(struct watch *watch)
{
    const struct report *report = watch->launch->plan->report;
    struct result *result = watch->result;
    if (WIFSIGNALED(report->status)) {
        result->signal = WTERMSIG(report->status);
        result->exit_code = 128 + result->signal;
    } else {
        result->exit_code = WEXITSTATUS(report->status);
    }
    if (result->timed_out)
        result->exit_code = 124;
    result->wall = report->wall;
    result->user = microseconds(report->usage.ru_utime);
    result->system = microseconds(report->usage.ru_stime);
    result->max_rss = report->usage.ru_maxrss * (gint64)1024;
    /* How far it came depends on the machine and the moment. */
    if (watch->interrupted)
        result->uncacheable = g_strdup("it was interrupted");
    else if (result->timed_out)
        result->uncacheable = g_strdup("it ran out of time");
}

static bool conclude(struct watch *watch, GError **error)
{
    if (!watch->reported)
        return fault_set(error, FAULT_SANDBOX,
                         "the sandbox's own processes were killed while the command ran");
    if (watch->launch->plan->report->kind != REPORT_ENDED)
        return sandbox_fault(watch->launch->plan, error);
    fill_result(watch);
    return store_stream(watch, &watch->spools[OUTPUT], &watch->result->stdout_blob, error) &&
           store_stream(watch, &watch->spools[ERRORS], &watch->result->stderr_blob, error);
}

bool sandbox_watch(struct launch *launch, const struct execution_request *request,
                   struct result *result, GError **error)
{
    const struct plan *plan = launch->plan;
    g_autofree guint8 *chunk = g_malloc(CHUNK);
    gint64 timeout = request->action->timeout;
    struct watch watch = {
        .launch = launch,
        .request = request,
        .result = result,
        .spools = { { g_byte_array_new(), -1, 0 }, { g_byte_array_new(), -1, 0 } },
        .polls = { { .fd = plan->output[0], .events = POLLIN },
                   { .fd = plan->errors[0], .events = POLLIN },
                   { .fd = plan->control[0], .events = POLLIN } },
        .chunk = chunk,
        .deadline = timeout == 0 ? G_MAXINT64 : g_get_monotonic_time() + timeout,
        .kill_at = G_MAXINT64,
        .first_count = interrupts(request),
    };
    result->started = g_get_real_time();
    sandbox_order(launch, ORDER_START);
    bool ok = converse(&watch, error) && conclude(&watch, error);
    for (int source = OUTPUT; source <= ERRORS; source++) {
        g_byte_array_unref(watch.spools[source].bytes);
        fd_close(&watch.spools[source].file);
    }
    return ok;
}
