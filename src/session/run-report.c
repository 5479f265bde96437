// SPDX-License-Identifier: Apache-2.0
/* What a run tells besides its result, and the trimming of the store that may follow it. */
#include "session/run-report.h"
#include "base/path.h"
#include "cache/cache.h"

#include <string.h>

void report_missing(struct event_sink *sink, const struct result *result)
{
    for (char **missing = result->missing; missing != NULL && *missing != NULL; missing++)
        event_emit(sink, EVENT_MISSING, { "path", EVENT_TEXT, .text = *missing });
}

/* Where the program is, if the caller's PATH leads to it and the sealed one does not. */
void hint_at_program(const char *name, GError **error)
{
    g_autofree char *found = strchr(name, '/') == NULL ? g_find_program_in_path(name) : NULL;
    if (found == NULL)
        return;
    bool visible = g_str_has_prefix(found, "/usr/") || g_str_has_prefix(found, "/bin/") ||
                   g_str_has_prefix(found, "/sbin/");
    g_autofree char *advice =
        visible ? g_strdup_printf("it is %s on your PATH: name it so, or add -e PATH", found)
                : g_strdup_printf("it is %s on your PATH, which a sealed run cannot see", found);
    g_autofree char *message = g_strdup_printf("%s; %s", (*error)->message, advice);
    g_free((*error)->message);
    (*error)->message = g_steal_pointer(&message);
}

/* What a run in a view wrote outside of the workspace is gone; whoever counted on it should know.
 */
void report_dropped(struct event_sink *sink, char *const *paths)
{
    guint count = paths == NULL ? 0 : g_strv_length((char **)paths);
    if (count == 0)
        return;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < MIN(count, 3); i++) {
        g_autofree char *quoted = path_quote(paths[i]);
        g_string_append_printf(text, "%s%s", i == 0 ? "" : ", ", quoted);
    }
    if (count > 3)
        g_string_append_printf(text, " and %u more", count - 3);
    g_string_prepend(text, "dropped what was written outside the workspace: ");
    event_emit(sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = text->str });
}

void trim_store(struct event_sink *sink, struct store *store, const struct digest *key,
                guint64 limit)
{
    struct store_gc_result result;
    if (limit == 0 || !cache_trim(store, key, limit, &result))
        return;
    g_autofree char *size = g_format_size_full(result.bytes_removed, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *text = g_strdup_printf(
        "the store had outgrown its limit: evicted %" G_GUINT64_FORMAT " results, %s",
        result.evicted, size);
    event_emit(sink, EVENT_EVICTED, { "message", EVENT_TEXT, .text = text },
               { "results", EVENT_NUMBER, .number = (gint64)result.evicted },
               { "bytes", EVENT_NUMBER, .number = (gint64)result.bytes_removed });
}

void report_trapped(struct event_sink *sink, struct trap *trap)
{
    struct trap_counts counts;
    if (trap == NULL)
        return;
    trap_counts(trap, &counts);
    event_emit(sink, EVENT_TRAPPED, { "stopped", EVENT_NUMBER, .number = counts.stopped },
               { "answered", EVENT_NUMBER, .number = counts.answered },
               { "committed", EVENT_NUMBER, .number = counts.committed },
               { "conflicts", EVENT_NUMBER, .number = counts.conflicts });
}
