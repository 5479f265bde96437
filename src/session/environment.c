// SPDX-License-Identifier: Apache-2.0
/* The environment of a sealed action, from scratch, and of an observed one (doc/environment.md). */
#include "base/fault.h"
#include "session/session-internal.h"

#include <string.h>
#include <unistd.h>

static bool is_variable_name(const char *name, size_t length)
{
    if (length == 0 || g_ascii_isdigit(*name))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!g_ascii_isalnum(name[i]) && name[i] != '_')
            return false;
    return true;
}

static char **add_variables(char **made, char *const *variables, GError **error)
{
    for (; variables != NULL && *variables != NULL; variables++) {
        const char *sign = strchr(*variables, '=');
        size_t length = sign == NULL ? strlen(*variables) : (size_t)(sign - *variables);
        if (!is_variable_name(*variables, length)) {
            fault_set(error, FAULT_USAGE, "-e %s: not NAME or NAME=VALUE", *variables);
            g_strfreev(made);
            return NULL;
        }
        g_autofree char *name = g_strndup(*variables, length);
        const char *value = sign == NULL ? g_getenv(name) : sign + 1;
        made = value == NULL ? g_environ_unsetenv(made, name)
                             : g_environ_setenv(made, name, value, TRUE);
    }
    qsort(made, g_strv_length(made), sizeof *made, action_compare_assignments);
    return made;
}

char **environment_make(char *const *variables, GError **error)
{
    return add_variables(action_default_environment(), variables, error);
}

/* Variables that tell of a terminal, a login or a desktop; one that ends with "*" is a prefix. */
static const char *const noise[] = {
    "_",
    "COLORTERM",
    "COLUMNS",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_*",
    "DISPLAY",
    "GDM*",
    "GPG_TTY",
    "HISTCONTROL",
    "HISTFILE*",
    "HISTSIZE",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LINES",
    "LS_COLORS",
    "OLDPWD",
    "SESSION_MANAGER",
    "SHLVL",
    "SSH_*",
    "STY",
    "TERM_PROGRAM*",
    "TERMINAL_EMULATOR",
    "TMUX*",
    "VSCODE_*",
    "VTE_VERSION",
    "WAYLAND_DISPLAY",
    "WINDOW*",
    "WINDOWID",
    "XAUTHORITY",
    "XDG_SESSION_*",
    "VIAL_STORE",
    "VIAL_STORE_LIMIT",
};

static bool is_noise(const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    for (size_t i = 0; i < G_N_ELEMENTS(noise); i++) {
        size_t known = strlen(noise[i]);
        bool prefix = noise[i][known - 1] == '*';
        if (prefix ? strncmp(assignment, noise[i], known - 1) == 0
                   : known == length && strncmp(assignment, noise[i], known) == 0)
            return true;
    }
    return false;
}

char **environment_inherit(char *const *variables, const char *directory, GError **error)
{
    GPtrArray *made = g_ptr_array_new();
    for (char **variable = environ; *variable != NULL; variable++)
        if (directory != NULL && g_str_has_prefix(*variable, "PWD="))
            g_ptr_array_add(made, g_strconcat("PWD=", directory, NULL));
        else if (!is_noise(*variable))
            g_ptr_array_add(made, g_strdup(*variable));
    g_ptr_array_add(made, NULL);
    return add_variables((char **)g_ptr_array_free(made, FALSE), variables, error);
}
