// SPDX-License-Identifier: Apache-2.0
/* Lexical paths: validity, normal form, position below a root, quoting for messages. */
#include "base/path.h"

#include <string.h>

/* Is it "", "." or ".."? */
static bool is_dots(const char *name, size_t length)
{
    return length <= 2 && strncmp(name, "..", length) == 0;
}

bool path_is_name(const char *name)
{
    return !is_dots(name, strlen(name)) && strchr(name, '/') == NULL &&
           g_utf8_validate(name, -1, NULL);
}

bool path_is_relative(const char *path)
{
    if (!g_utf8_validate(path, -1, NULL))
        return false;
    for (;; path++) {
        size_t length = strcspn(path, "/");
        if (is_dots(path, length))
            return false;
        path += length;
        if (*path == '\0')
            return true;
    }
}

char *path_normalize(const char *path)
{
    bool absolute = *path == '/';
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **part = parts; *part != NULL; part++) {
        if (**part == '\0' || strcmp(*part, ".") == 0)
            continue;
        bool up = strcmp(*part, "..") == 0;
        if (up && kept->len > 0 && strcmp(kept->pdata[kept->len - 1], "..") != 0)
            g_ptr_array_set_size(kept, (int)kept->len - 1);
        else if (!up || !absolute)
            g_ptr_array_add(kept, *part);
    }
    g_ptr_array_add(kept, NULL);
    g_autofree char *joined = g_strjoinv("/", (char **)kept->pdata);
    if (absolute)
        return g_strconcat("/", joined, NULL);
    return *joined == '\0' ? g_strdup(".") : g_steal_pointer(&joined);
}

char *path_below(const char *root, const char *base, const char *path)
{
    g_autofree char *whole = *path == '/' ? g_strdup(path) : g_strconcat(base, "/", path, NULL);
    g_autofree char *normal = path_normalize(whole);
    g_autofree char *top = path_normalize(root);
    if (strcmp(normal, top) == 0)
        return g_strdup("");
    size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(normal, top, length) != 0 || normal[length] != '/')
        return NULL;
    return g_strdup(normal + length + 1);
}

char *path_join(const char *prefix, const char *name)
{
    return *prefix == '\0' ? g_strdup(name) : g_strconcat(prefix, "/", name, NULL);
}

static bool is_printable(const char *text)
{
    if (!g_utf8_validate(text, -1, NULL))
        return false;
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
        if (!g_unichar_isprint(g_utf8_get_char(at)))
            return false;
    return true;
}

char *path_quote(const char *text)
{
    if (*text != '\0' && is_printable(text))
        return g_strdup(text);
    g_autofree char *escaped = g_strescape(text, NULL);
    return g_strconcat("\"", escaped, "\"", NULL);
}
