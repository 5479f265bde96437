// SPDX-License-Identifier: Apache-2.0
/* The environment of a sealed action: from scratch, the same everywhere (doc/environment.md). */
#include "base/fault.h"
#include "session/session-internal.h"

#include <string.h>

/* By name alone: '=' would sort "A0=" before "A=". */
static int compare_names(gconstpointer a, gconstpointer b)
{
    const char *one = *(const char *const *)a, *other = *(const char *const *)b;
    size_t length = strcspn(one, "="), other_length = strcspn(other, "=");
    int order = strncmp(one, other, MIN(length, other_length));
    return order != 0 ? order : (length > other_length) - (length < other_length);
}

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
        if (value != NULL)
            made = g_environ_setenv(made, name, value, TRUE);
    }
    qsort(made, g_strv_length(made), sizeof *made, compare_names);
    return g_steal_pointer(&made);
}
