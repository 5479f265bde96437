// SPDX-License-Identifier: Apache-2.0
/* What the tests of actions and of those who keep them share. */
#ifndef ACTION_SUPPORT_H
#define ACTION_SUPPORT_H

#include "action/action.h"
#include "tree-support.h"

#define STRV(...) g_strdupv((char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static inline void set_list(char ***list, char **value)
{
    g_strfreev(*list);
    *list = value;
}

static inline void set_inputs(struct action *action, struct tree *inputs)
{
    tree_unref(action->inputs);
    action->inputs = inputs;
}

static inline struct action *action_of(char **argv)
{
    struct action *action = action_new();
    set_list(&action->argv, argv);
    return action;
}

static inline void set_directory(struct action *action, const char *directory)
{
    g_free(action->directory);
    action->directory = g_strdup(directory);
}

static inline void assert_lists(char **found, char **expected)
{
    g_assert_true((found == NULL) == (expected == NULL));
    if (found != NULL)
        g_assert_cmpstrv(found, expected);
}

static inline void assert_digests(const struct digest *found, const struct digest *expected)
{
    char one[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    g_assert_cmpstr(digest_print(found, one), ==, digest_print(expected, other));
}

/* The columns of the line of a golden file that begins with `name`. */
static inline char **golden(const char *file, const char *name)
{
    g_autofree char *path = g_build_filename(GOLDEN, file, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        char **columns = g_strsplit(*line, "\t", -1);
        if (g_strcmp0(columns[0], name) == 0)
            return columns;
        g_strfreev(columns);
    }
    g_error("%s has no case %s", path, name);
}

static inline char *hex_of(GBytes *bytes)
{
    GString *text = g_string_new(NULL);
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(text, "%02x", data[i]);
    return g_string_free(text, FALSE);
}

/* Damage `bytes` in many ways: cut short, each bit turned, runs of it repeated or taken out. */
typedef void (*on_damaged)(GBytes *bytes, void *user);
static inline void damage(GBytes *bytes, on_damaged visit, void *user)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (gsize i = 0; i < size; i++) {
        g_autoptr(GBytes) shorter = g_bytes_new(data, i);
        visit(shorter, user);
        g_autofree guint8 *copy = g_memdup2(data, size);
        copy[i] ^= (guint8)(1u << g_rand_int_range(random, 0, 8));
        g_autoptr(GBytes) turned = g_bytes_new(copy, size);
        visit(turned, user);
        gsize length = (gsize)g_rand_int_range(random, 1, 20);
        length = MIN(length, size - i);
        g_autoptr(GByteArray) cut = g_byte_array_new();
        g_byte_array_append(cut, data, (guint)i);
        g_byte_array_append(cut, data + i + length, (guint)(size - i - length));
        g_autoptr(GBytes) without = g_byte_array_free_to_bytes(g_steal_pointer(&cut));
        visit(without, user);
    }
}

#endif
