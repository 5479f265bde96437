// SPDX-License-Identifier: Apache-2.0
/*
 * The first line is where the user stands, every other one a word. As -i and as -o a word is
 * refused or not, and means the same.
 */
#include "base/path.h"
#include "session/session-internal.h"

#include <stdint.h>
#include <string.h>

static const char *const probes[] = {
    "a",   "b",     "a/b",     "a/b/c", "a/a/a/a", "*",    "[a]",         "!a",
    "x.c", "a/x.c", "a/b/x.c", ".x",    "b/a",     ".git", ".git/config",
};

static void compare(const struct glob *inputs, const struct glob *outputs, const char *path)
{
    for (int directory = 0; directory < 2; directory++)
        g_assert(glob_match(inputs, path, directory) == glob_match(outputs, path, directory));
}

static void try_word(const struct session *session, char *word)
{
    char *const words[] = { word, NULL };
    g_autoptr(glob) inputs = selection_inputs(session, words, NULL);
    g_autoptr(action) action = action_new();
    action->outputs = selection_outputs(session, words, NULL);
    g_assert((inputs == NULL) == (action->outputs == NULL));
    if (inputs == NULL)
        return;
    g_autoptr(glob) outputs = action_output_glob(action, NULL);
    g_assert(outputs != NULL);
    bool excluded = selection_exclude(session, words, outputs, NULL);
    g_assert(excluded);
    for (size_t i = 0; i < G_N_ELEMENTS(probes); i++) {
        g_autofree char *below = path_join(session->directory, probes[i]);
        compare(inputs, outputs, probes[i]);
        compare(inputs, outputs, below);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    if (lines[0] == NULL || (*lines[0] != '\0' && !path_is_relative(lines[0])))
        return 0;
    const struct session session = { .root = (char *)"/workspace",
                                     .directory = lines[0],
                                     .root_fd = -1 };
    for (char **word = lines + 1; *word != NULL; word++)
        try_word(&session, *word);
    return 0;
}
