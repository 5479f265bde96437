// SPDX-License-Identifier: Apache-2.0
/* Where a command finds its workspace. */
#include "base/fault.h"
#include "base/path.h"
#include "sandbox/sandbox.h"
#include "session/session-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_canonical(const struct run_request *request)
{
    return request->view && request->canonical;
}

const char *place_shown(const struct session *session, const struct run_request *request)
{
    return request->view && !request->canonical ? session->root : SANDBOX_ROOT;
}

const char *place_told(const struct session *session, const struct run_request *request,
                       const struct action *action)
{
    bool told = false;
    for (char **word = action->argv; *word != NULL; word++)
        told = told || strstr(*word, session->root) != NULL;
    for (char **variable = action->environment; *variable != NULL; variable++)
        told = told || strstr(*variable, session->root) != NULL;
    return told && is_canonical(request) ? session->root : NULL;
}

/* The system is bound as it is, and would show the workspace at its own place, unobserved. */
bool place_check(const struct session *session, const struct run_request *request, GError **error)
{
    static const char *const system[] = { "/usr/", "/etc/", "/bin/", "/sbin/", "/lib" };
    bool inside = false;
    for (size_t i = 0; i < G_N_ELEMENTS(system); i++)
        inside = inside || g_str_has_prefix(session->root, system[i]);
    return !is_canonical(request) || !inside || g_str_has_prefix(session->root, "/usr/local/") ||
           fault_set(
               error, FAULT_UNSUPPORTED,
               "--canonical: the workspace %s lies within the system, which is shown as it is",
               session->root);
}

/* --- cache directories ------------------------------------------------------------------------ */

static char *cache_path(const struct session *session, const char *word, GError **error)
{
    g_autofree char *here = g_build_filename(session->root, session->directory, NULL);
    g_autofree char *path = g_str_has_prefix(word, "~/")
                                ? g_build_filename(g_get_home_dir(), word + 2, NULL)
                                : g_canonicalize_filename(word, here);
    g_autofree char *quoted = path_quote(word);
    if (g_mkdir_with_parents(path, 0777) < 0) {
        fault_errno(error, errno, "cannot make the cache directory %s", quoted);
        return NULL;
    }
    char *real = realpath(path, NULL);
    g_autofree char *below = real == NULL ? NULL : path_below(real, "/", session->root);
    if (real != NULL && below == NULL)
        return real;
    free(real);
    fault_set(error, FAULT_USAGE,
              "--cache-dir %s: it is not a directory beside the workspace, or "
              "within it",
              quoted);
    return NULL;
}

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **place_caches(const struct session *session, const struct run_request *request,
                    GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (char *const *word = request->caches; word != NULL && *word != NULL; word++) {
        char *path = cache_path(session, *word, error);
        if (path == NULL)
            return NULL;
        g_ptr_array_add(list, path);
    }
    g_ptr_array_sort(list, compare_texts);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_steal(list, NULL);
}
