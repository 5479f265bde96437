// SPDX-License-Identifier: Apache-2.0
/* What two runs in a view saw differently, and the record of what one saw. */
#include "base/fault.h"
#include "base/path.h"
#include "cache/seen.h"
#include "session/kept.h"

/* Of all contents together; the rest is for diff(1). */
#define DIFF_LINES 60

struct seen_differences {
    struct store *store;
    GString *text;
    guint shown, more, most;
    guint lines; /* of contents that may still be shown */
};

/* Twelve digits tell two contents apart for a person. */
static char *describe(enum trace_aspect aspect, const struct trace_value *value)
{
    char text[DIGEST_HASH_SIZE * 2 + 1];
    if (aspect == TRACE_KIND)
        return g_strdup(value->kind == TRACE_NOTHING ? "(absent)" : trace_kind_name(value->kind));
    if (aspect == TRACE_TARGET)
        return path_quote(value->target);
    if (value->unreadable)
        return g_strdup("(unreadable)");
    if (value->kind == TRACE_FILE)
        return g_strdup_printf("mode %04o, %.12s, %" G_GINT64_FORMAT " bytes", value->mode & 07777,
                               digest_print_hash(&value->digest, text), value->digest.size);
    return g_strdup_printf("mode %04o", value->mode & 07777);
}

static char *name_of(const char *path)
{
    return path_quote(*path == '\0' ? "." : path);
}

static char *order_line(const struct trace_difference *difference)
{
    g_autofree char *one = name_of(difference->path), *other = name_of(difference->other);
    gint64 first = difference->now->time, second = difference->other_now->time;
    return g_strdup_printf("order of times: %s is %s %s now", one,
                           first < second   ? "older than"
                           : first > second ? "newer than"
                                            : "as old as",
                           other);
}

static char *line_of(const struct trace_difference *difference)
{
    static const char *const words[TRACE_ASPECTS] = {
        "absent", "found", "read", "listed", "link", "time", "xattrs",
    };
    if (difference->aspect == TRACE_TIME)
        return order_line(difference);
    g_autofree char *name = name_of(difference->path);
    if (difference->aspect == TRACE_NAMES)
        return g_strdup_printf("listed %s: other names", name);
    if (difference->aspect == TRACE_XATTRS)
        return g_strdup_printf("xattrs %s: other extended attributes", name);
    g_autofree char *old = describe(difference->aspect, difference->old);
    g_autofree char *now = describe(difference->aspect, difference->now);
    return g_strdup_printf("%s %s: %s -> %s", words[g_bit_nth_lsf(difference->aspect, -1)], name,
                           old, now);
}

static bool is_file(const struct trace_value *value)
{
    return value->kind == TRACE_FILE && !value->unreadable;
}

static void show_content(struct seen_differences *out, const struct digest *old,
                         const struct digest *now)
{
    if (old->size > WHY_DIFF_MAX || now->size > WHY_DIFF_MAX || digest_equal(old, now))
        return;
    g_autoptr(GBytes) before = store_get(out->store, old, NULL);
    g_autoptr(GBytes) after = before == NULL ? NULL : store_get(out->store, now, NULL);
    if (after != NULL)
        out->lines -= why_diff(before, after, MIN(out->lines, WHY_DIFF_LINES), out->text);
}

static void show(const struct trace_difference *difference, void *user)
{
    struct seen_differences *out = user;
    if (out->shown == out->most) {
        out->more++;
        return;
    }
    out->shown++;
    g_autofree char *line = line_of(difference);
    g_string_append_printf(out->text, "  %s\n", line);
    if (difference->aspect == TRACE_CONTENT && is_file(difference->old) && is_file(difference->now))
        show_content(out, &difference->old->digest, &difference->now->digest);
}

void why_seen(struct session *session, const struct history_entry *before,
              const struct history_entry *after, guint most, GString *text)
{
    g_autoptr(trace) old = kept_trace(session, before, NULL);
    g_autoptr(trace) now = old == NULL ? NULL : kept_trace(session, after, NULL);
    struct seen_differences out = { session->store, text, .most = most, .lines = DIFF_LINES };
    if (now == NULL)
        return;
    trace_compare(old, now, show, &out);
    if (out.more > 0)
        g_string_append_printf(text, "  and %u more\n", out.more);
}

/* --- the record of one run -------------------------------------------------------------------- */

struct trace *session_trace(struct session *session, guint number, GError **error)
{
    g_autoptr(history_entry) entry = history_find(session->store, session->root, number, error);
    g_autoptr(GError) problem = NULL;
    if (entry == NULL)
        return NULL;
    struct trace *trace = kept_trace(session, entry, &problem);
    if (trace == NULL)
        fault_set(error, FAULT_MISSING, "run @%u has no trace: %s", number, problem->message);
    return trace;
}
