// SPDX-License-Identifier: Apache-2.0
/* Where a command finds its workspace. */
#include "base/fault.h"
#include "sandbox/sandbox.h"
#include "session/session-internal.h"

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
