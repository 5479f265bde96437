// SPDX-License-Identifier: Apache-2.0
/* A snapshot as a state of which facts are asked again: what was written is answered here, the rest
 * by whoever answers for the host. */
#include "view/view-internal.h"

#include "base/fd.h"

#include <string.h>
#include <unistd.h>

struct view_state {
    struct trace_state base;
    struct snapshot *snapshot;
    struct below *stack; /* the same, to be asked */
    struct trace_state *host;
    char *root;
    size_t root_length; /* 0 for "/" */
    GStringChunk *texts;
};

static struct view_state *of(struct trace_state *state)
{
    return (struct view_state *)state;
}

/* Relative to /, as views have it. Caller frees. */
static char *place_of(const struct view_state *state, const char *path)
{
    if (*path == '/')
        return g_strdup(path + 1);
    if (*path == '\0')
        return g_strdup(state->root + 1);
    return g_strconcat(state->root_length == 0 ? "" : state->root + 1,
                       state->root_length == 0 ? "" : "/", path, NULL);
}

/* As facts have it. Caller frees. */
static char *path_of(const struct view_state *state, const char *place)
{
    size_t length = state->root_length == 0 ? 0 : state->root_length - 1;
    if (length == 0)
        return g_strdup(place);
    if (strncmp(place, state->root + 1, length) != 0 ||
        (place[length] != '/' && place[length] != '\0'))
        return g_strconcat("/", place, NULL);
    return g_strdup(place + length + (place[length] == '/'));
}

/* --- whose it is ------------------------------------------------------------------------------ */

static bool is_own(const struct node *node, const struct node *was, unsigned aspects)
{
    return !node->below || was->changed || was->data == DATA_SCRATCH ||
           was->nlink != node->links_below || ((aspects & TRACE_TIME) != 0 && was->timed) ||
           ((aspects & TRACE_NAMES) != 0 && S_ISDIR(was->mode) && node->touched);
}

/* 1: the host's, and *place is where it lies there. 0: it was written. Or a negative errno. */
static int find_owner(const struct view_state *state, char **place, unsigned aspects)
{
    for (struct snapshot *at = state->snapshot; at != NULL; at = at->view->start) {
        g_autoptr(GString) below = g_string_new(NULL);
        struct where where = { .below = below };
        g_mutex_lock(&at->view->lock);
        int rc = snapshot_walk(at, *place, false, &where);
        const struct node *was = rc == 0 ? node_as_of(where.node, at->epoch) : NULL;
        bool own = was != NULL && is_own(where.node, was, aspects);
        if (was != NULL && !own)
            node_below(where.node, below);
        g_mutex_unlock(&at->view->lock);
        if (rc < 0 || own)
            return rc < 0 ? rc : 0;
        g_free(*place);
        *place = g_strdup(below->str);
    }
    return 1;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void collect_name(const char *name, guint32 kind, guint64 ino, void *user)
{
    GArray *names = user;
    const struct trace_name one = { g_strdup(name), trace_kind_of(kind) };
    g_array_append_val(names, one);
}

static void free_name(void *data)
{
    g_free((char *)((struct trace_name *)data)->name);
}

static void answer_names(const struct view_state *state, const char *place,
                         struct trace_value *answer)
{
    g_autoptr(GArray) names = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    g_array_set_clear_func(names, free_name);
    answer->unreadable =
        state->stack->operations->list(state->stack, place, collect_name, names) < 0;
    if (!answer->unreadable)
        trace_names_digest((struct trace_name *)(void *)names->data, names->len, &answer->digest);
}

static void answer_content(const struct view_state *state, const char *place,
                           const struct below_file *file, struct trace_value *answer)
{
    answer->mode = trace_mode(file->status.st_mode, file->status.st_nlink);
    if (!S_ISREG(file->status.st_mode))
        return;
    autofd int data = state->stack->operations->open(state->stack, place);
    answer->unreadable = data < 0 || !digest_file(data, &answer->digest);
}

static void answer_own(const struct view_state *state, const char *place, unsigned aspects,
                       struct trace_value *answer)
{
    const struct below_operations *ask = state->stack->operations;
    struct below_file file;
    if (ask->look(state->stack, place, &file) < 0)
        return;
    answer->kind = trace_kind_of(file.status.st_mode);
    answer->time = fd_nanoseconds(file.status.st_mtim);
    if ((aspects & TRACE_CONTENT) != 0)
        answer_content(state, place, &file, answer);
    if ((aspects & TRACE_NAMES) != 0 && S_ISDIR(file.status.st_mode))
        answer_names(state, place, answer);
    g_autofree char *target = NULL;
    if ((aspects & TRACE_TARGET) != 0 && S_ISLNK(file.status.st_mode) &&
        ask->read_link(state->stack, place, &target) == 0)
        answer->target = g_string_chunk_insert(state->texts, target);
    g_autoptr(GHashTable) attributes =
        (aspects & TRACE_XATTRS) != 0 ? ask->read_attributes(state->stack, place) : NULL;
    g_autofree char *hash = attributes == NULL ? NULL : trace_xattrs_hash(attributes);
    answer->xattrs = hash == NULL ? NULL : g_string_chunk_insert(state->texts, hash);
}

static bool answer_one(struct view_state *state, const struct trace_question *question,
                       struct trace_value *answer, bool *as_host, GError **error)
{
    g_autofree char *place = place_of(state, question->path), *there = g_strdup(place);
    int rc = find_owner(state, &there, question->aspects);
    *as_host = rc > 0 && strcmp(place, there) == 0;
    if (rc == 0)
        answer_own(state, place, question->aspects, answer);
    if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
        answer->kind = TRACE_UNREACHABLE;
    if (rc <= 0 || *as_host)
        return true;
    g_autofree char *path = path_of(state, there);
    const struct trace_question moved = { path, question->aspects };
    return state->host->operations->look_up(state->host, &moved, 1, answer, error);
}

/* Those whose place is the same there are asked of the host together. */
static bool look_up(struct trace_state *base, const struct trace_question *questions, size_t count,
                    struct trace_value *answers, GError **error)
{
    struct view_state *state = of(base);
    g_autoptr(GArray) rest = g_array_new(FALSE, FALSE, sizeof *questions);
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(size_t));
    for (size_t i = 0; i < count; i++) {
        bool as_host;
        if (!answer_one(state, &questions[i], &answers[i], &as_host, error))
            return false;
        if (!as_host)
            continue;
        g_array_append_val(rest, questions[i]);
        g_array_append_val(places, i);
    }
    g_autofree struct trace_value *found = g_new0(struct trace_value, rest->len + 1);
    if (rest->len > 0 && !state->host->operations->look_up(
                             state->host, (const struct trace_question *)(void *)rest->data,
                             rest->len, found, error))
        return false;
    for (guint i = 0; i < rest->len; i++)
        answers[g_array_index(places, size_t, i)] = found[i];
    return true;
}

static void keep_name(const char *name, guint32 kind, guint64 ino, void *user)
{
    void **both = user;
    const struct trace_name one = { g_string_chunk_insert(both[0], name), trace_kind_of(kind) };
    g_array_append_val((GArray *)both[1], one);
}

static bool list(struct trace_state *base, const char *path, GArray *names, GError **error)
{
    struct view_state *state = of(base);
    g_autofree char *place = place_of(state, path);
    void *both[] = { state->texts, names };
    return state->stack->operations->list(state->stack, place, keep_name, both) == 0;
}

static void state_free(struct trace_state *base)
{
    struct view_state *state = of(base);
    below_free(state->stack);
    snapshot_unref(state->snapshot);
    g_string_chunk_free(state->texts);
    g_free(state->root);
    g_free(state);
}

struct trace_state *view_state_new(struct snapshot *snapshot, const char *workspace_root,
                                   struct trace_state *host)
{
    static const struct trace_state_operations operations = { look_up, list, state_free };
    struct view_state *state = g_new0(struct view_state, 1);
    g_assert(workspace_root[0] == '/');
    state->base.operations = &operations;
    state->snapshot = snapshot_ref(snapshot);
    state->stack = below_snapshot_new(snapshot);
    state->host = host;
    state->root = g_strdup(workspace_root);
    state->root_length = workspace_root[1] == '\0' ? 0 : strlen(workspace_root);
    state->texts = g_string_chunk_new(1024);
    return &state->base;
}
