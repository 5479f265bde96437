// SPDX-License-Identifier: Apache-2.0
/* The environment of a sealed action: from scratch, the same everywhere (doc/environment.md). */
#include "base/fault.h"
#include "session/session-internal.h"

#include <string.h>

static bool is_variable_name(const char *name, size_t length)
{
    if (length == 0 || g_ascii_isdigit(*name))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!g_ascii_isalnum(name[i]) && name[i] != '_')
            return false;
    return true;
}

char **environment_make(char *const *variables, GError **error)
{
    g_auto(GStrv) made = NULL;
    static const char *const defaults[][2] = {
        { "HOME", "/home/vial" },    { "LANG", "C.UTF-8" }, { "LOGNAME", "vial" },
        { "PATH", "/usr/bin:/bin" }, { "TMPDIR", "/tmp" },  { "TZ", "UTC" },
        { "USER", "vial" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++)
        made = g_environ_setenv(made, defaults[i][0], defaults[i][1], TRUE);
    for (; variables != NULL && *variables != NULL; variables++) {
        const char *sign = strchr(*variables, '=');
        size_t length = sign == NULL ? strlen(*variables) : (size_t)(sign - *variables);
        if (!is_variable_name(*variables, length)) {
            fault_set(error, FAULT_USAGE, "-e %s: not NAME or NAME=VALUE", *variables);
            return NULL;
        }
        g_autofree char *name = g_strndup(*variables, length);
        const char *value = sign == NULL ? g_getenv(name) : sign + 1;
        made = value == NULL ? g_environ_unsetenv(made, name)
                             : g_environ_setenv(made, name, value, TRUE);
    }
    qsort(made, g_strv_length(made), sizeof *made, action_compare_assignments);
    return g_steal_pointer(&made);
}
