// SPDX-License-Identifier: Apache-2.0
/* Facts about this machine: files through the stat cache, in one walk by directory. */
#include "engine/world-host.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "cache/perform.h"
#include "trace/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct host_world {
    struct world world;
    struct host_world_options options;
    char *root;
    int directory;
    char *store_inside; /* the store's path, if it lies in the workspace */
};

/* --- files ------------------------------------------------------------------------------------ */

static void answer_file(const struct trace_value *value, enum fact_kind kind,
                        struct fact_answer *out)
{
    bool names = kind == FACT_NAMES;
    *out = (struct fact_answer){ .what = WORLD_OTHER };
    switch (value->kind) {
    case TRACE_NOTHING:
        out->what = WORLD_MISSING;
        return;
    case TRACE_FILE:
        if (names)
            return;
        out->what = value->unreadable              ? WORLD_UNREADABLE
                    : (value->mode & S_IXUSR) != 0 ? WORLD_EXECUTABLE
                                                   : WORLD_FILE;
        break;
    case TRACE_DIRECTORY:
        out->what = names && value->unreadable ? WORLD_UNREADABLE : WORLD_DIRECTORY;
        if (!names)
            return;
        break;
    case TRACE_LINK:
        out->what = WORLD_LINK;
        if (value->target != NULL)
            digest_of(value->target, strlen(value->target), &out->digest);
        return;
    case TRACE_UNREACHABLE:
        out->what = WORLD_UNREADABLE;
        return;
    default:
        return;
    }
    if (out->what != WORLD_UNREADABLE)
        out->digest = value->digest;
}

/* A state of the host remembers its answers, so a large one costs memory. */
enum {
    FILES_AT_ONCE = 8192,
};

/* All of one kind, at most FILES_AT_ONCE. */
static bool look_up_some(struct host_world *host, const struct fact *facts, gsize count,
                         struct trace_question *questions, struct trace_value *values,
                         struct fact_answer *answers, GError **error)
{
    g_autoptr(trace_state) state = trace_host_state_new(host->root, host->options.stats, NULL);
    bool names = facts[0].kind == FACT_NAMES;
    memset(values, 0, count * sizeof *values);
    for (gsize i = 0; i < count; i++)
        questions[i] = (struct trace_question){ facts[i].subject,
                                                names ? TRACE_KIND | TRACE_NAMES
                                                      : TRACE_KIND | TRACE_CONTENT | TRACE_TARGET };
    if (!state->operations->look_up(state, questions, count, values, error))
        return false;
    for (gsize i = 0; i < count; i++)
        answer_file(&values[i], facts[i].kind, &answers[i]);
    return true;
}

static bool look_up_files(struct host_world *host, const struct fact *facts, gsize count,
                          struct fact_answer *answers, GError **error)
{
    gsize most = MIN(count, FILES_AT_ONCE);
    g_autofree struct trace_question *questions = g_new(struct trace_question, most);
    g_autofree struct trace_value *values = g_new(struct trace_value, most);
    for (gsize at = 0; at < count; at += most)
        if (!look_up_some(host, facts + at, MIN(most, count - at), questions, values, answers + at,
                          error))
            return false;
    return true;
}

/* --- selections ------------------------------------------------------------------------------- */

static struct glob *parse_patterns(const struct host_world *host, const char *patterns,
                                   GError **error)
{
    g_autoptr(glob) glob = glob_new();
    g_auto(GStrv) lines = g_strsplit(patterns, "\n", -1);
    bool git = false;
    for (char **line = lines; *line != NULL; line++) {
        git = git || strstr(*line, ".git") != NULL;
        if (!glob_add(glob, "", *line, error))
            return NULL;
    }
    if ((!git && !glob_add_path(glob, ".git", true, error)) ||
        (host->store_inside != NULL && !glob_add_path(glob, host->store_inside, true, error)))
        return NULL;
    return g_steal_pointer(&glob);
}

struct tree *host_world_select(struct world *world, const char *patterns, struct store_batch *batch,
                               GError **error)
{
    struct host_world *host = (struct host_world *)world;
    g_autoptr(glob) glob = parse_patterns(host, patterns, error);
    struct capture capture = { 0 };
    const struct capture_request request = {
        .directory = host->directory,
        .name = host->root,
        .select = glob,
        .cache = host->options.stats,
        .batch = batch,
        .jobs = 1, /* several selections go on side by side */
    };
    if (glob == NULL || !store_capture(host->options.store, &request, &capture, error))
        return NULL;
    struct tree *tree = g_steal_pointer(&capture.tree);
    capture_clear(&capture);
    return tree;
}

/* --- one by one ------------------------------------------------------------------------------- */

static void answer_environment(const char *name, struct fact_answer *out)
{
    const char *value = g_getenv(name);
    if (value == NULL)
        return;
    out->what = WORLD_THERE;
    digest_of(value, strlen(value), &out->digest);
}

static void answer_stored(struct store *store, const struct fact *fact, struct fact_answer *out)
{
    struct digest digest;
    bool there = digest_parse(fact->subject, &digest, NULL);
    if (there && fact->kind == FACT_BLOB)
        there = store_has(store, &digest);
    else if (there) {
        g_autoptr(tree) tree = store_get_tree(store, &digest, NULL);
        there = tree != NULL && store_has_tree(store, tree, NULL);
    }
    out->what = there ? WORLD_THERE : WORLD_MISSING;
}

static bool answer_platform(struct stat_cache *stats, const char *subject, struct fact_answer *out,
                            GError **error)
{
    g_auto(GStrv) parts = g_strsplit(subject, "\n", 3);
    g_autoptr(action) action = action_new();
    if (g_strv_length(parts) != 3)
        return true;
    g_strfreev(action->argv);
    g_strfreev(action->environment);
    action->argv = g_strdupv((char *[]){ parts[0], NULL });
    g_autofree char *path = g_strconcat("PATH=", parts[1], NULL);
    action->environment = g_strdupv((char *[]){ path, NULL });
    action->network = parts[2][0] == '1';
    g_auto(GStrv) platform = perform_platform(stats, action, error);
    if (platform == NULL)
        return false;
    g_autofree char *text = g_strjoinv("\n", platform);
    out->what = WORLD_THERE;
    digest_of(text, strlen(text), &out->digest);
    return true;
}

/* What cannot be selected is another state than any that can be. */
static void answer_globs(struct host_world *host, const char *subject, struct fact_answer *out)
{
    g_autoptr(tree) tree = host_world_select(&host->world, subject, NULL, NULL);
    out->what = tree == NULL ? WORLD_UNREADABLE : WORLD_THERE;
    if (tree != NULL)
        out->digest = *tree_digest(tree);
}

static bool answer_one(struct host_world *host, const struct fact *fact, struct fact_answer *out,
                       GError **error)
{
    *out = (struct fact_answer){ 0 };
    switch (fact->kind) {
    case FACT_ENVIRONMENT:
        answer_environment(fact->subject, out);
        return true;
    case FACT_BLOB:
    case FACT_TREE:
        answer_stored(host->options.store, fact, out);
        return true;
    case FACT_PLATFORM:
        return answer_platform(host->options.stats, fact->subject, out, error);
    default:
        answer_globs(host, fact->subject, out);
        return true;
    }
}

static bool look_up(struct world *world, const struct fact *facts, gsize count,
                    struct fact_answer *answers, GError **error)
{
    struct host_world *host = (struct host_world *)world;
    gsize at = 0;
    while (at < count) {
        gsize end = at + 1;
        bool files = facts[at].kind == FACT_FILE || facts[at].kind == FACT_NAMES;
        while (files && end < count && facts[end].kind == facts[at].kind)
            end++;
        if (files ? !look_up_files(host, facts + at, end - at, answers + at, error)
                  : !answer_one(host, &facts[at], &answers[at], error))
            return false;
        at = end;
    }
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

static void settle(struct world *world)
{
    struct host_world *host = (struct host_world *)world;
    if (!stat_cache_dirty(host->options.stats) || store_is_read_only(host->options.store))
        return;
    g_autoptr(store_batch) batch = store_batch_new(host->options.store);
    stat_cache_flush(host->options.stats, batch);
    store_batch_commit(batch, NULL); /* a cache: what it does not hold is hashed again */
}

static void host_free(struct world *world)
{
    struct host_world *host = (struct host_world *)world;
    fd_close(&host->directory);
    g_free(host->store_inside);
    g_free(host->root);
    g_free(host);
}

struct world *host_world_new(const struct host_world_options *options, GError **error)
{
    static const struct world_operations operations = { look_up, settle, host_free };
    g_autoptr(world) made = (struct world *)g_new0(struct host_world, 1);
    struct host_world *host = (struct host_world *)made;
    made->operations = &operations;
    host->options = *options;
    host->root = g_strdup(options->root);
    host->directory = open(host->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (host->directory < 0) {
        fault_errno(error, errno, "cannot open the workspace %s", host->root);
        return NULL;
    }
    if (store_is_persistent(options->store)) {
        host->store_inside = path_below(host->root, "/", store_path(options->store));
        if (host->store_inside != NULL && *host->store_inside == '\0')
            g_clear_pointer(&host->store_inside, g_free);
    }
    return g_steal_pointer(&made);
}
