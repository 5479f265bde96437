// SPDX-License-Identifier: Apache-2.0
/* The life of an action, and what its outputs and variables mean. */
#include "action/action.h"

#include "base/path.h"

#include <string.h>

struct action *action_new(void)
{
    struct action *action = g_new0(struct action, 1);
    action->argv = g_new0(char *, 1);
    action->environment = g_new0(char *, 1);
    action->platform = g_new0(char *, 1);
    action->inputs = tree_empty();
    action->directory = g_strdup("");
    action->stdin_blob = *digest_empty();
    return action;
}

void action_free(struct action *action)
{
    if (action == NULL)
        return;
    g_strfreev(action->argv);
    g_strfreev(action->environment);
    g_strfreev(action->outputs);
    g_strfreev(action->platform);
    g_clear_pointer(&action->inputs, tree_unref);
    g_free(action->directory);
    g_free(action);
}

struct glob *action_output_glob(const struct action *action, GError **error)
{
    if (action->outputs == NULL)
        return NULL;
    g_autoptr(glob) made = glob_new();
    for (int negative = 0; negative < 2; negative++)
        for (char **output = action->outputs; *output != NULL; output++)
            if ((**output == '!') == (negative == 1) && !glob_add(made, "", *output, error))
                return NULL;
    return g_steal_pointer(&made);
}

char *action_output_path(const char *output)
{
    if (glob_is_pattern(output) || *output != '/')
        return NULL;
    g_autoptr(GString) path = g_string_new(NULL);
    for (const char *at = output + 1; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        g_string_append_c(path, *at);
    }
    return path_is_relative(path->str) ? g_strdup(path->str) : NULL;
}

char *action_output_pattern(const char *path)
{
    GString *pattern = g_string_new("/");
    for (const char *at = path; *at != '\0'; at++) {
        if (strchr("*?[]!\\", *at) != NULL)
            g_string_append_c(pattern, '\\');
        g_string_append_c(pattern, *at);
    }
    return g_string_free(pattern, FALSE);
}

int action_compare_assignments(gconstpointer a, gconstpointer b)
{
    const char *one = *(const char *const *)a, *other = *(const char *const *)b;
    size_t length = strcspn(one, "="), other_length = strcspn(other, "=");
    int order = memcmp(one, other, MIN(length, other_length));
    if (order == 0)
        order = (length > other_length) - (length < other_length);
    return order != 0 ? order : strcmp(one + length, other + other_length);
}

char **action_default_environment(void)
{
    static const char *const defaults[] = {
        "HOME=/home/vial", "LANG=C.UTF-8", "LOGNAME=vial", "PATH=/usr/bin:/bin",
        "TMPDIR=/tmp",     "TZ=UTC",       "USER=vial",    NULL,
    };
    return g_strdupv((char **)defaults);
}

static const char *value_of(char *const *list, const char *name)
{
    size_t length = strlen(name);
    for (; *list != NULL; list++)
        if (strncmp(*list, name, length) == 0 && (*list)[length] == '=')
            return *list + length + 1;
    return NULL;
}

const char *action_variable(const struct action *action, const char *name)
{
    return value_of(action->environment, name);
}

const char *action_property(const struct action *action, const char *name)
{
    return value_of(action->platform, name);
}
