// SPDX-License-Identifier: Apache-2.0
/* Runs a command several times and compares what came out (doc/check.md). */
#include "base/fault.h"
#include "base/fd.h"
#include "session/session-internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct comparison {
    struct session *session;
    const struct run_outcome *first, *other;
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
    if (!digest_equal(&first->result->stdout_blob, &other->result->stdout_blob))
        report(comparison, "(standard output)", "other content", -1);
    if (!digest_equal(&first->result->stderr_blob, &other->result->stderr_blob))
        report(comparison, "(standard error)", "other content", -1);
    if (first->result->exit_code != other->result->exit_code)
        report(comparison, "(exit status)", "another status", -1);
    if (!same_list(first->result->deleted, other->result->deleted))
        report(comparison, "(deletions)", "other files deleted", -1);
}

bool session_check(struct session *session, const struct run_request *request, unsigned times,
                   guint64 *differences, int *exit_code, GError **error)
{
    struct run_request quiet = *request;
    struct run_outcome first = { .execution = { .directory = -1 } };
    struct comparison comparison = { .session = session, .first = &first };
    struct input input; /* a pipe can be read once only */
    bool ok = input_open(request, &input, error);
    gint64 start = g_get_monotonic_time();
    quiet.no_cache = true;
    quiet.unrecorded = true;
    quiet.commit = COMMIT_NEVER;
    for (unsigned i = 0; ok && i < times; i++) {
        struct run_outcome other;
        quiet.vary = i;
        quiet.output = i == 0 ? request->output : NULL;
        ok = run_with_input(session, &quiet, &input, i == 0 ? &first : &other, error);
        if (ok && i > 0) {
            comparison.other = &other;
            comparison.number = i + 1;
            compare_runs(&comparison);
        }
        if (ok && i > 0)
            run_outcome_clear(&other);
        if (request->interrupt != NULL && *request->interrupt != 0)
            break;
    }
    *differences = comparison.differences;
    *exit_code = first.exit_code;
    if (ok)
        event_emit(session->sink, EVENT_FINISHED, { "result", EVENT_TEXT, .text = "run" },
                   { "exit", EVENT_NUMBER, .number = first.exit_code },
                   { "differences", EVENT_NUMBER, .number = (gint64)comparison.differences },
                   { "duration", EVENT_SECONDS,
                     .seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC },
                   { "saved", EVENT_SECONDS, .seconds = 0 },
                   { "reason", EVENT_TEXT, .text = "--check" });
    run_outcome_clear(&first);
    input_close(&input);
    return ok;
}
