// SPDX-License-Identifier: Apache-2.0
/* Finds the workspace and holds what a session keeps open. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "session/session-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool is_root(const char *directory)
{
    static const char *const markers[] = { "vial.lua", ".git" };
    for (size_t i = 0; i < G_N_ELEMENTS(markers); i++) {
        g_autofree char *path = g_build_filename(directory, markers[i], NULL);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

char *workspace_find(const char *directory)
{
    g_autofree char *at = path_normalize(directory);
    for (;;) {
        if (is_root(at))
            return g_steal_pointer(&at);
        char *parent = g_path_get_dirname(at);
        bool top = g_str_equal(parent, at);
        g_free(at);
        at = parent;
        if (top)
            return path_normalize(directory);
    }
}

/* `path` relative to the root, or NULL: it lies outside, or is the root itself. */
static char *path_inside(const struct session *session, const char *path)
{
    g_autofree char *real = realpath(path, NULL);
    g_autofree char *root = realpath(session->root, NULL);
    g_autofree char *inside = real == NULL || root == NULL ? NULL : path_below(root, "/", real);
    return inside == NULL || *inside == '\0' ? NULL : g_steal_pointer(&inside);
}

void session_exclude(struct session *session, const char *path)
{
    g_free(session->own[1]);
    session->own[1] = path_inside(session, path);
}

struct session *session_open(const char *directory, struct store *store, struct event_sink *sink,
                             GError **error)
{
    g_autoptr(session) session = g_new0(struct session, 1);
    session->root_fd = -1;
    session->store = store;
    session->sink = sink;
    session->root = workspace_find(directory);
    session->directory = path_below(session->root, "/", directory);
    session->root_fd = open(session->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (session->root_fd < 0) {
        fault_errno(error, errno, "cannot open the workspace %s", session->root);
        return NULL;
    }
    if (store_is_persistent(store))
        session->own[0] = path_inside(session, store_path(store));
    session->stats = stat_cache_new(store);
    return g_steal_pointer(&session);
}

void session_close(struct session *session)
{
    if (session == NULL)
        return;
    stat_cache_free(session->stats);
    fd_close(&session->root_fd);
    for (size_t i = 0; i < G_N_ELEMENTS(session->own); i++)
        g_free(session->own[i]);
    g_free(session->directory);
    g_free(session->root);
    g_free(session);
}

const char *session_workspace(const struct session *session)
{
    return session->root;
}
