// SPDX-License-Identifier: Apache-2.0
/* Reads queries as people write them. */
#include "base/fault.h"
#include "rules/rules-internal.h"

#include <string.h>

static bool wrong(const char *text, GError **error)
{
    return fault_set(error, FAULT_USAGE, "\"%s\" is not a query such as T(A, B)", text);
}

bool rules_parse_query(const char *text, char **output, char ***params, GError **error)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    char *open = strchr(copy, '(');
    if (open != NULL) {
        char *close = copy + strlen(copy) - 1;
        if (*close != ')')
            return wrong(text, error);
        *open = *close = '\0';
        g_strchomp(copy);
        g_auto(GStrv) words = g_strsplit(open + 1, ",", -1);
        bool none = *g_strstrip(open + 1) == '\0';
        for (char **word = words; !none && *word != NULL; word++) {
            if (!name_is_type(g_strstrip(*word)))
                return wrong(text, error);
            g_ptr_array_add(names, g_strdup(*word));
        }
    }
    if (!name_is_type(copy))
        return wrong(text, error);
    g_ptr_array_add(names, NULL);
    *output = g_steal_pointer(&copy);
    *params = (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
    return true;
}
