// SPDX-License-Identifier: Apache-2.0
/* Runs a command several times and compares what came out (doc/check.md). */
#include "base/fault.h"
#include "base/fd.h"
#include "session/session-internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What a run printed, by stream; -1 where it could not be kept: then no offset is known. */
struct printed {
    int file[OUTPUT_STDERR + 1];
    const struct run_request *forward; /* NULL: to nobody */
};

struct comparison {
    struct session *session;
    const struct run_outcome *first, *other;
    struct printed *first_printed, *printed;
    unsigned number; /* of the other run, from 2 */
    guint64 differences;
};

static void report(struct comparison *comparison, const char *path, const char *what, gint64 offset)
{
    comparison->differences++;
    event_emit(comparison->session->sink, EVENT_DIFFERENCE, { "path", EVENT_TEXT, .text = path },
               { "what", EVENT_TEXT, .text = what }, { "offset", EVENT_NUMBER, .number = offset },
               { "run", EVENT_NUMBER, .number = comparison->number });
}

/* Offset of the first byte that differs between two files, -1 if none does or one is unreadable. */
static gint64 first_difference(int a, int b)
{
    g_autofree char *one = g_malloc(1 << 16), *other = g_malloc(1 << 16);
    for (gint64 at = 0;;) {
        gssize count = fd_read_full(a, one, 1 << 16, "an output", NULL);
        gssize other_count = fd_read_full(b, other, 1 << 16, "an output", NULL);
        gssize common = MIN(count, other_count);
        if (common < 0)
            return -1;
        for (gssize i = 0; i < common; i++)
            if (one[i] != other[i])
                return at + i;
        if (count != other_count)
            return at + common;
        if (count == 0)
            return -1;
        at += count;
    }
}

static bool compare_output(const char *path, const struct tree_entry *before,
                           const struct tree_entry *after, void *user)
{
    struct comparison *comparison = user;
    if (before == NULL || after == NULL) {
        report(comparison, path, before == NULL ? "only in this run" : "missing in this run", -1);
    } else if (before->kind != TREE_FILE || after->kind != TREE_FILE) {
        report(comparison, path, "another kind or target", -1);
    } else if (digest_equal(&before->digest, &after->digest)) {
        report(comparison, path, "another executable bit", -1);
    } else {
        autofd int a = fd_open_beneath(comparison->first->execution.directory, path, O_RDONLY, 0);
        autofd int b = fd_open_beneath(comparison->other->execution.directory, path, O_RDONLY, 0);
        report(comparison, path, "other content", a < 0 || b < 0 ? -1 : first_difference(a, b));
    }
    return true;
}

static void compare_stream(struct comparison *comparison, enum output_stream stream,
                           const char *name, const struct digest *first, const struct digest *other)
{
    int *a = &comparison->first_printed->file[stream], *b = &comparison->printed->file[stream];
    if (digest_equal(first, other))
        return;
    bool there = *a >= 0 && *b >= 0 && lseek(*a, 0, SEEK_SET) == 0 && lseek(*b, 0, SEEK_SET) == 0;
    report(comparison, name, "other content", there ? first_difference(*a, *b) : -1);
}

static bool same_list(char **a, char **b)
{
    static char *none[] = { NULL };
    return g_strv_equal((const char *const *)(a == NULL ? none : a),
                        (const char *const *)(b == NULL ? none : b));
}

static void compare_runs(struct comparison *comparison)
{
    const struct execution *first = &comparison->first->execution;
    const struct execution *other = &comparison->other->execution;
    tree_diff(first->outputs, other->outputs, compare_output, comparison);
    compare_stream(comparison, OUTPUT_STDOUT, "(standard output)", &first->result->stdout_blob,
                   &other->result->stdout_blob);
    compare_stream(comparison, OUTPUT_STDERR, "(standard error)", &first->result->stderr_blob,
                   &other->result->stderr_blob);
    if (first->result->exit_code != other->result->exit_code)
        report(comparison, "(exit status)", "another status", -1);
    if (!same_list(first->result->deleted, other->result->deleted))
        report(comparison, "(deletions)", "other files deleted", -1);
}

/* --- what was printed ------------------------------------------------------------------------- */

static int unnamed_file(void)
{
    g_autofree char *path = NULL;
    int file = g_file_open_tmp("vial-check-XXXXXX", &path, NULL);
    if (file >= 0)
        unlink(path);
    return file;
}

static void printed_init(struct printed *printed, const struct run_request *forward)
{
    *printed = (struct printed){ { -1, unnamed_file(), unnamed_file() }, forward };
}

static void printed_release(struct printed *printed)
{
    fd_close(&printed->file[OUTPUT_STDOUT]);
    fd_close(&printed->file[OUTPUT_STDERR]);
}

static void print(enum output_stream stream, const void *data, size_t size, void *user)
{
    struct printed *printed = user;
    int *file = &printed->file[stream];
    if (*file >= 0 && !fd_write_all(*file, data, size, "a copy of what was printed", NULL))
        fd_close(file);
    if (printed->forward != NULL && printed->forward->output != NULL)
        printed->forward->output(stream, data, size, printed->forward->user);
}

/* --- the runs --------------------------------------------------------------------------------- */

struct checked {
    struct run_outcome outcome;
    struct printed printed;
};

static void checked_release(struct checked *checked)
{
    run_outcome_clear(&checked->outcome);
    printed_release(&checked->printed);
}

/* Run `number`, from 0; only the first one is heard. */
static bool run_one(struct session *session, const struct run_request *request,
                    const struct input *input, unsigned number, struct checked *out, GError **error)
{
    struct run_request quiet = *request;
    printed_init(&out->printed, number == 0 ? request : NULL);
    quiet.no_cache = true;
    quiet.unrecorded = true;
    quiet.commit = COMMIT_NEVER;
    quiet.vary = number;
    quiet.output = print;
    quiet.user = &out->printed;
    return run_with_input(session, &quiet, input, &out->outcome, error);
}

static void emit_finished(const struct comparison *comparison, int exit_code, gint64 start)
{
    event_emit(comparison->session->sink, EVENT_FINISHED, { "result", EVENT_TEXT, .text = "run" },
               { "exit", EVENT_NUMBER, .number = exit_code },
               { "differences", EVENT_NUMBER, .number = (gint64)comparison->differences },
               { "duration", EVENT_SECONDS,
                 .seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC },
               { "saved", EVENT_SECONDS, .seconds = 0 },
               { "reason", EVENT_TEXT, .text = "--check" });
}

bool session_check(struct session *session, const struct run_request *request, unsigned times,
                   guint64 *differences, int *exit_code, GError **error)
{
    struct checked first = { .outcome = { .execution = { .directory = -1 } },
                             .printed = { { -1, -1, -1 }, NULL } };
    struct comparison comparison = { .session = session,
                                     .first = &first.outcome,
                                     .first_printed = &first.printed };
    struct input input; /* a pipe can be read once only */
    bool ok = input_open(request, &input, error);
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; ok && i < times; i++) {
        struct checked other;
        ok = run_one(session, request, &input, i, i == 0 ? &first : &other, error);
        if (ok && i > 0) {
            comparison.other = &other.outcome;
            comparison.printed = &other.printed;
            comparison.number = i + 1;
            compare_runs(&comparison);
        }
        if (i > 0)
            checked_release(&other);
        if (request->interrupt != NULL && *request->interrupt != 0)
            break;
    }
    *differences = comparison.differences;
    *exit_code = first.outcome.exit_code;
    if (ok)
        emit_finished(&comparison, *exit_code, start);
    checked_release(&first);
    input_close(&input);
    return ok;
}
