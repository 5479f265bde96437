// SPDX-License-Identifier: Apache-2.0
/* What -i and -o mean, relative to where the user stands. */
#include "base/fault.h"
#include "base/path.h"
#include "session/session-internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* `text` as a path relative to the root; NULL if it lies outside. */
static char *inside_root(const struct session *session, const char *text)
{
    g_autofree char *here = g_build_filename(session->root, session->directory, NULL);
    return path_below(session->root, here, text);
}

static bool exists(const struct session *session, const char *text)
{
    g_autofree char *path = inside_root(session, text);
    struct stat status;
    return path != NULL && *path != '\0' &&
           fstatat(session->root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * The name that `text` means, or NULL if it is a pattern. A name that exists as it stands is that
 * file, whatever characters it has; else a backslash takes the meaning from a metacharacter.
 */
static char *literal_name(const struct session *session, const char *text)
{
    if (strpbrk(text, "*?[!\\") == NULL || exists(session, text))
        return g_strdup(text);
    if (glob_is_pattern(text))
        return NULL;
    GString *name = g_string_new(NULL);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        g_string_append_c(name, *at);
    }
    return g_string_free(name, FALSE);
}

/* A literal argument as a path relative to the root; NULL and FAULT_USAGE if it lies outside. */
static char *literal_path(const struct session *session, const char *option, const char *text,
                          GError **error)
{
    char *path = inside_root(session, text);
    if (path == NULL)
        fault_set(error, FAULT_USAGE,
                  "%s %s lies outside the workspace %s, where no path is common to all machines",
                  option, text, session->root);
    return path;
}

/* "" is what an unset variable leaves, and would mean the directory itself. */
static bool is_word(const char *option, const char *text, GError **error)
{
    return *text != '\0' ||
           fault_set(error, FAULT_USAGE, "%s needs a path or a glob, not an empty word", option);
}

static bool add_input(const struct session *session, struct glob *glob, const char *text,
                      GError **error)
{
    if (!is_word("-i", text, error))
        return false;
    g_autofree char *name = literal_name(session, text);
    if (name == NULL)
        return glob_add(glob, session->directory, text, error) ||
               (g_prefix_error(error, "-i %s: ", text), false);
    g_autofree char *path = literal_path(session, "-i", name, error);
    if (path == NULL)
        return false;
    return *path == '\0' ? glob_add(glob, "", "**", error)
                         : glob_add_path(glob, path, false, error);
}

/* Does what `text` means have `name` among its components, those of the user's place included? */
static bool names(const struct session *session, const char *text, const char *name)
{
    g_autofree char *literal = literal_name(session, text);
    if (literal == NULL && *text == '!')
        return false;
    /* A slash before a pattern anchors it where the user stands. */
    const char *word = literal != NULL ? literal : text + strspn(text, "/");
    g_autofree char *path = inside_root(session, word);
    g_auto(GStrv) parts = g_strsplit(path == NULL ? "" : path, "/", -1);
    return g_strv_contains((const char *const *)parts, name);
}

bool selection_names(const struct session *session, char *const *arguments, const char *name)
{
    for (; arguments != NULL && *arguments != NULL; arguments++)
        if (names(session, *arguments, name))
            return true;
    return false;
}

bool selection_exclude(const struct session *session, char *const *arguments, struct glob *glob,
                       GError **error)
{
    if (!selection_names(session, arguments, ".git") && !glob_add(glob, "", "!.git", error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(session->own); i++)
        if (session->own[i] != NULL && !glob_add_path(glob, session->own[i], true, error))
            return false;
    return true;
}

struct glob *selection_inputs(const struct session *session, char *const *inputs, GError **error)
{
    g_autoptr(glob) glob = glob_new();
    for (char *const *input = inputs; input != NULL && *input != NULL; input++)
        if (!add_input(session, glob, *input, error))
            return NULL;
    return selection_exclude(session, inputs, glob, error) ? g_steal_pointer(&glob) : NULL;
}

bool selection_check(const struct session *session, char *const *inputs, const struct tree *tree,
                     GError **error)
{
    for (; inputs != NULL && *inputs != NULL; inputs++) {
        g_autofree char *name = literal_name(session, *inputs);
        if (name == NULL)
            continue;
        g_autofree char *path = literal_path(session, "-i", name, error);
        if (path == NULL)
            return false;
        if (*path == '\0' || tree_lookup(tree, path) != NULL)
            continue;
        struct stat status;
        if (fstatat(session->root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
            return S_ISFIFO(status.st_mode)
                       ? fault_set(error, FAULT_UNSUPPORTED, "-i %s is a FIFO", *inputs)
                       : fault_set(
                             error, FAULT_USAGE,
                             "-i %s selects nothing: it is excluded, or reached through a symbolic "
                             "link; name the link and its target",
                             *inputs);
        return fault_set(error, FAULT_USAGE, "-i %s: no such file or directory below %s", *inputs,
                         session->root);
    }
    return true;
}

/*
 * A glob relative to where the user stands as one relative to the root: without a slash in its
 * middle it means any depth below there, as glob_add() has it; "." and ".." are that one place.
 */
static char *rooted_pattern(const struct session *session, const char *text)
{
    bool negative = *text == '!';
    const char *body = text + negative;
    size_t length = strcspn(body, "/");
    bool anchored = body[length + strspn(body + length, "/")] != '\0' || length == 0 ||
                    strncmp(body, "..", length) == 0;
    while (g_str_has_prefix(body, "./") && body[2] != '\0')
        body += 2;
    while (*body == '/' && body[1] != '\0')
        body++;
    g_autofree char *here =
        *session->directory == '\0' ? g_strdup("") : action_output_pattern(session->directory);
    return g_strconcat(negative ? "!" : "", here, "/", anchored ? "" : "**/", body, NULL);
}

static char *output_pattern(const struct session *session, const char *text, GError **error)
{
    if (!is_word("-o", text, error))
        return NULL;
    g_autofree char *name = literal_name(session, text);
    if (name == NULL) {
        g_autoptr(glob) probe = glob_new();
        if (glob_add(probe, session->directory, text, error))
            return rooted_pattern(session, text);
        g_prefix_error(error, "-o %s: ", text);
        return NULL;
    }
    g_autofree char *path = literal_path(session, "-o", name, error);
    if (path == NULL)
        return NULL;
    return *path == '\0' ? g_strdup("/**") : action_output_pattern(path);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **selection_outputs(const struct session *session, char *const *outputs, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (; *outputs != NULL; outputs++) {
        char *pattern = output_pattern(session, *outputs, error);
        if (pattern == NULL)
            return NULL;
        g_ptr_array_add(list, pattern);
    }
    g_ptr_array_sort(list, compare_texts);
    for (guint i = list->len; i-- > 1;)
        if (strcmp(list->pdata[i], list->pdata[i - 1]) == 0)
            g_ptr_array_remove_index(list, i);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&list), FALSE);
}
