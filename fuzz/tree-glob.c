// SPDX-License-Identifier: Apache-2.0
/*
 * Input: a path, a prefix and patterns, each ended by NUL. Whatever the patterns select must not
 * have been pruned, and a path added literally selects itself.
 */
#include "tree/glob.h"

#include <stdint.h>
#include <string.h>

static const char *take_text(const char **at, const char *end)
{
    const char *text = *at;
    *at = memchr(text, '\0', (size_t)(end - text));
    *at = *at == NULL ? end : *at + 1;
    return text < end ? text : "";
}

static void check_parents(const struct glob *glob, const char *path)
{
    g_autofree char *parent = g_strdup(path);
    for (char *slash; (slash = strrchr(parent, '/')) != NULL;) {
        *slash = '\0';
        g_assert_true(glob_may_match_below(glob, parent));
    }
    g_assert_true(glob_may_match_below(glob, ""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *copy = g_malloc0(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    const char *at = copy, *end = copy + size;
    const char *path = take_text(&at, end), *prefix = take_text(&at, end);
    g_autoptr(glob) glob = glob_new();
    while (at < end) {
        const char *pattern = take_text(&at, end);
        g_autoptr(GError) error = NULL;
        bool added = glob_add(glob, prefix, pattern, &error);
        g_assert_true(added == (error == NULL));
        glob_is_pattern(pattern);
    }
    bool proper =
        *path != '\0' && *path != '/' && !g_str_has_suffix(path, "/") && strstr(path, "//") == NULL;
    for (int is_directory = 0; is_directory <= 1; is_directory++)
        if (glob_match(glob, path, is_directory) && proper)
            check_parents(glob, path);
    if (proper && strchr(path, '.') == NULL) {
        g_assert_true(glob_add_path(glob, path, false, NULL));
        g_assert_true(glob_match(glob, path, false));
    }
    return 0;
}
