// SPDX-License-Identifier: Apache-2.0
/* What two runs in a view saw differently, and the record of what one saw. */
#include "base/fault.h"
#include "base/path.h"
#include "cache/seen.h"
#include "session/session-internal.h"

struct seen_differences {
    GString *text;
    guint shown, more, most;
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
}

void why_seen(struct store *store, const struct digest *before, const struct digest *after,
              guint most, GString *text)
{
    g_autoptr(trace) old = seen_trace(store, before, NULL);
    g_autoptr(trace) now = old == NULL ? NULL : seen_trace(store, after, NULL);
    struct seen_differences out = { .text = text, .most = most };
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
    struct trace *trace = seen_trace(session->store, &entry->key, &problem);
    if (trace != NULL)
        return trace;
    if (!entry->hit && !entry->stored)
        fault_set(error, FAULT_MISSING, "nothing is kept of run @%u, which was not stored: %s",
                  number, entry->reason == NULL ? "no reason is recorded" : entry->reason);
    else
        fault_set(error, FAULT_MISSING, "run @%u has no trace: %s", number, problem->message);
    return NULL;
}
