// SPDX-License-Identifier: Apache-2.0
/* Explains a recorded run against the nearest earlier one. */
#include "base/fault.h"
#include "base/path.h"
#include "cache/cache.h"
#include "session/kept.h"

#include <string.h>

/* A page of differences says what happened; a thousand lines hide it. */
#define FILES_SHOWN 20

/* --- finding the runs ------------------------------------------------------------------------- */

struct search {
    const char *workspace;
    guint number; /* the run wanted */
    guint at;     /* the next number of this workspace */
    history_entry *run;
    history_entry *nearest;
    guint nearest_number;
    int nearest_rank;
};

/* How alike are two runs? The same command first, then the same program. */
static int rank(const struct history_entry *run, const struct history_entry *other)
{
    if (digest_equal(&run->key, &other->key))
        return 4;
    if (digest_equal(&run->weak, &other->weak))
        return 3;
    if (g_strv_equal((const char *const *)run->argv, (const char *const *)other->argv))
        return 2;
    return strcmp(run->argv[0], other->argv[0]) == 0 ? 1 : 0;
}

static history_entry *copy_entry(const struct history_entry *entry)
{
    g_autoptr(GBytes) bytes = history_encode(entry);
    return history_decode(bytes, NULL);
}

static bool visit(const struct history_entry *entry, void *user)
{
    struct search *search = user;
    bool here = g_strcmp0(entry->workspace, search->workspace) == 0;
    guint number = here ? search->at++ : G_MAXUINT;
    if (search->run == NULL) {
        if (number == search->number)
            search->run = copy_entry(entry);
        return true;
    }
    int found = rank(search->run, entry);
    if (found == 4 && !search->run->hit)
        found = 3; /* it ran although the key was known: the reason says why */
    if (found > search->nearest_rank) {
        history_entry_free(search->nearest);
        search->nearest = copy_entry(entry);
        search->nearest_number = number;
        search->nearest_rank = found;
    }
    return search->nearest_rank < (search->run->hit ? 4 : 3);
}

/* --- comparing two actions -------------------------------------------------------------------- */

struct comparison {
    GString *text;
    guint shown, more;
};

static void line(struct comparison *out, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void line(struct comparison *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_string_append(out->text, "  ");
    g_string_append_vprintf(out->text, format, arguments);
    g_string_append_c(out->text, '\n');
    va_end(arguments);
}

static void compare_arguments(struct comparison *out, char *const *before, char *const *after)
{
    guint count = g_strv_length((char **)before), new_count = g_strv_length((char **)after);
    for (guint i = 0; i < MAX(count, new_count); i++) {
        const char *old = i < count ? before[i] : NULL, *new = i < new_count ? after[i] : NULL;
        if (g_strcmp0(old, new) == 0)
            continue;
        g_autofree char *old_text = old == NULL ? g_strdup("(none)") : path_quote(old);
        g_autofree char *new_text = new == NULL ? g_strdup("(none)") : path_quote(new);
        line(out, "argument %u: %s -> %s", i, old_text, new_text);
    }
}

static const char *value_of(char *const *list, const char *name, size_t length)
{
    for (; *list != NULL; list++)
        if (strncmp(*list, name, length) == 0 && (*list)[length] == '=')
            return *list + length + 1;
    return NULL;
}

/* "NAME=VALUE" lists: every name that differs, with `what` before it. */
static void compare_assignments(struct comparison *out, const char *what, char *const *before,
                                char *const *after)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    char *const *lists[] = { before, after };
    for (int i = 0; i < 2; i++) {
        for (char *const *at = lists[i]; *at != NULL; at++) {
            size_t length = strcspn(*at, "=");
            const char *old = value_of(before, *at, length), *new = value_of(after, *at, length);
            char *name = g_strndup(*at, length);
            if (!g_hash_table_add(seen, name) || g_strcmp0(old, new) == 0)
                continue;
            g_autofree char *old_text = old == NULL ? g_strdup("(unset)") : path_quote(old);
            g_autofree char *new_text = new == NULL ? g_strdup("(unset)") : path_quote(new);
            line(out, "%s %s: %s -> %s", what, name, old_text, new_text);
        }
    }
}

/* Twelve digits tell two contents apart for a person; `vial store ls` has all of them. */
static char *describe_entry(const struct tree_entry *entry)
{
    char text[DIGEST_HASH_SIZE * 2 + 1];
    if (entry == NULL)
        return g_strdup("(absent)");
    if (entry->kind != TREE_FILE)
        return entry->kind == TREE_SYMLINK ? tree_entry_describe(entry) : g_strdup("directory");
    return g_strdup_printf("%s %.12s, %" G_GINT64_FORMAT " bytes",
                           entry->executable ? "executable" : "file",
                           digest_print_hash(&entry->digest, text), entry->digest.size);
}

static bool compare_file(const char *path, const struct tree_entry *before,
                         const struct tree_entry *after, void *user)
{
    struct comparison *out = user;
    if (out->shown == FILES_SHOWN) {
        out->more++;
        return true;
    }
    out->shown++;
    g_autofree char *name = path_quote(path);
    g_autofree char *old = describe_entry(before), *new = describe_entry(after);
    line(out, "input %s: %s -> %s", name, old, new);
    return true;
}

static void compare_outputs(struct comparison *out, char *const *before, char *const *after)
{
    g_autofree char *old =
        before == NULL ? g_strdup("(whatever changes)") : g_strjoinv(" ", (char **)before);
    g_autofree char *new =
        after == NULL ? g_strdup("(whatever changes)") : g_strjoinv(" ", (char **)after);
    if (strcmp(old, new) == 0)
        return;
    g_autofree char *old_text = path_quote(old), *new_text = path_quote(new);
    line(out, "declared outputs: %s -> %s", old_text, new_text);
}

static bool is_observed(const struct action *action)
{
    return g_strv_contains((const char *const *)action->platform, "isolation=view");
}

/* An observed and a sealed run have another environment, machine and inputs in any case. */
static bool same_kind(struct comparison *out, const struct action *before,
                      const struct action *after)
{
    static const char *const kinds[] = { "sealed", "observed" };
    bool was = is_observed(before), is = is_observed(after);
    if (was != is)
        line(out, "kind of run: %s -> %s", kinds[was], kinds[is]);
    return was == is;
}

static void compare_actions(struct comparison *out, const struct action *before,
                            const struct action *after)
{
    bool alike = same_kind(out, before, after);
    char old[DIGEST_TEXT_SIZE], new[DIGEST_TEXT_SIZE];
    compare_arguments(out, before->argv, after->argv);
    if (strcmp(before->directory, after->directory) != 0) {
        g_autofree char *old_text =
            path_quote(*before->directory == '\0' ? "." : before->directory);
        g_autofree char *new_text = path_quote(*after->directory == '\0' ? "." : after->directory);
        line(out, "working directory: %s -> %s", old_text, new_text);
    }
    if (alike) {
        compare_assignments(out, "environment", before->environment, after->environment);
        compare_assignments(out, "machine", before->platform, after->platform);
    }
    compare_outputs(out, before->outputs, after->outputs);
    if (!digest_equal(&before->stdin_blob, &after->stdin_blob))
        line(out, "standard input: %s -> %s", digest_print(&before->stdin_blob, old),
             digest_print(&after->stdin_blob, new));
    if (before->timeout != after->timeout)
        line(out, "timeout: %.3f s -> %.3f s", (double)before->timeout / G_USEC_PER_SEC,
             (double)after->timeout / G_USEC_PER_SEC);
    if (before->network != after->network)
        line(out, "network: %s -> %s", before->network ? "host" : "none",
             after->network ? "host" : "none");
    if (alike)
        tree_diff(before->inputs, after->inputs, compare_file, out);
    if (out->more > 0)
        line(out, "and %u more inputs", out->more);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void describe_run(GString *text, guint number, const struct history_entry *entry)
{
    g_autofree char *command = g_strjoinv(" ", entry->argv);
    g_autofree char *quoted = path_quote(command);
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(entry->time / G_USEC_PER_SEC);
    g_autofree char *stamp =
        time == NULL ? g_strdup("?") : g_date_time_format(time, "%Y-%m-%d %H:%M:%S");
    g_autofree char *workspace = path_quote(entry->workspace == NULL ? "?" : entry->workspace);
    if (number == G_MAXUINT)
        g_string_append_printf(text, "a run in %s (%s, %s)", workspace, stamp, quoted);
    else
        g_string_append_printf(text, "@%u (%s, %s)", number, stamp, quoted);
}

/* That of a run in a view, whose key comes from what it saw, is kept by its weak key. */
static struct action *load_action(struct session *session, const struct history_entry *entry,
                                  GError **error)
{
    struct action *action = action_load(session->store, &entry->key, NULL);
    return action != NULL ? action : action_load(session->store, &entry->weak, error);
}

static void explain_difference(struct session *session, const struct search *search, GString *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(action) after = load_action(session, search->run, &error);
    g_autoptr(action) before = after == NULL ? NULL : load_action(session, search->nearest, &error);
    if (before == NULL) {
        g_string_append_printf(text, "  what differed is no longer known: %s\n", error->message);
        return;
    }
    struct comparison out = { .text = text };
    gsize length = text->len;
    compare_actions(&out, before, after);
    why_seen(session, search->nearest, search->run, FILES_SHOWN, text);
    if (text->len == length)
        g_string_append(text, "  nothing that it may depend on differs\n");
}

static void describe_reason(GString *text, const struct history_entry *run)
{
    const char *reason = run->reason == NULL ? "no reason is recorded" : run->reason;
    if (run->miss != NULL)
        g_string_append_printf(text, " ran: %s. It was not stored: %s.\n", run->miss, reason);
    else
        g_string_append_printf(text, " ran%s: %s.\n", run->stored ? "" : " and was not stored",
                               reason);
}

static void explain(struct session *session, const struct search *search, GString *text)
{
    describe_run(text, search->number, search->run);
    if (search->run->hit)
        g_string_append(
            text, " was reused: arguments, environment, machine and what it saw are those of ");
    else
        describe_reason(text, search->run);
    if (search->nearest == NULL) {
        g_string_append(text, search->run->hit ? "a run that is no longer in the history.\n"
                                               : "No earlier run resembles it.\n");
        return;
    }
    if (!search->run->hit)
        g_string_append(text, "Nearest earlier run: ");
    describe_run(text, search->nearest_number, search->nearest);
    g_string_append(text, search->run->hit ? ".\n" : "; since then:\n");
    if (!search->run->hit)
        explain_difference(session, search, text);
}

char *session_why(struct session *session, guint number, GError **error)
{
    struct search search = { .workspace = session->root, .number = number };
    history_each(session->store, visit, &search);
    char *answer = NULL;
    if (search.run == NULL) {
        fault_set(error, FAULT_USAGE, "there is no run @%u of %s (it has %u)", number,
                  session->root, search.at);
    } else {
        GString *text = g_string_new(NULL);
        explain(session, &search, text);
        answer = g_string_free(text, FALSE);
    }
    history_entry_free(search.run);
    history_entry_free(search.nearest);
    return answer;
}

/* --- which run made a file -------------------------------------------------------------------- */

struct maker {
    struct session *session;
    const char *path;
    guint at, number;
    bool found;
    char *process; /* its command, if that is on record */
};

static bool has_output(const struct maker *maker, const struct history_entry *entry)
{
    g_autoptr(result) result = cache_result(maker->session->store, &entry->key);
    g_autoptr(tree) outputs =
        result == NULL ? NULL : store_get_tree(maker->session->store, &result->outputs, NULL);
    return outputs != NULL && tree_lookup(outputs, maker->path) != NULL;
}

/* Who wrote it last of those on record; also tells of runs whose result was not stored. */
static bool has_written(struct maker *maker, const struct history_entry *entry)
{
    static const unsigned made = TRACE_CREATED | TRACE_WROTE;
    g_autoptr(trace) trace = kept_trace(maker->session, entry, NULL);
    bool found = false;
    for (size_t i = 0; trace != NULL && i < trace_written_count(trace); i++) {
        const struct trace_written *written = trace_written(trace, i);
        if ((written->what & made) == 0 || strcmp(written->path, maker->path) != 0)
            continue;
        found = true;
        if (written->process == 0)
            continue;
        g_free(maker->process);
        maker->process = g_strjoinv(" ", trace_process(trace, written->process)->argv);
    }
    return found;
}

static bool visit_maker(const struct history_entry *entry, void *user)
{
    struct maker *maker = user;
    if (g_strcmp0(entry->workspace, maker->session->root) != 0)
        return true;
    maker->number = maker->at++;
    bool written = has_written(maker, entry);
    maker->found = has_output(maker, entry) || (written && !entry->hit && !entry->stored);
    if (!maker->found)
        g_clear_pointer(&maker->process, g_free);
    return !maker->found;
}

char *session_why_output(struct session *session, const char *path, GError **error)
{
    g_autofree char *relative = path_below(session->root, "/", path);
    struct maker maker = { .session = session, .path = relative };
    if (relative != NULL && path_is_relative(relative))
        history_each(session->store, visit_maker, &maker);
    g_autofree char *process = maker.process;
    g_autofree char *name = path_quote(relative == NULL ? path : relative);
    if (!maker.found) {
        fault_set(error, FAULT_MISSING, "no recorded run of %s wrote %s", session->root, name);
        return NULL;
    }
    g_autofree char *run = session_why(session, maker.number, error);
    if (run == NULL)
        return NULL;
    g_autofree char *by = process == NULL ? g_strdup("") : path_quote(process);
    return g_strdup_printf("%s was written by @%u%s%s\n%s", name, maker.number,
                           process == NULL ? "" : ": ", by, run);
}
