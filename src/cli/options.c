// SPDX-License-Identifier: Apache-2.0
/* Parsing of options and the common ways to end. */
#include "base/fault.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- "-j4" is "-j 4", which GOption does not know
 * ------------------------------------------------- */

static const GOptionEntry *find_entry(const GOptionEntry *entries, const char *word)
{
    const char *name = word[1] == '-' ? word + 2 : NULL;
    for (; entries != NULL && entries->long_name != NULL; entries++)
        if (name == NULL ? entries->short_name == word[1] : strcmp(entries->long_name, name) == 0)
            return entries;
    return NULL;
}

/*
 * A copy of the words in which the value of a short option is a word of its own, as far as there
 * are options. The words are the caller's; free the array with those of `made`.
 */
static GPtrArray *separate_values(const struct usage *usage, char *const *words, GPtrArray *made)
{
    GPtrArray *out = g_ptr_array_new();
    bool over = false;
    for (size_t i = 0; words[i] != NULL; i++) {
        char *word = words[i];
        bool is_option = i > 0 && word[0] == '-' && word[1] != '\0';
        over = over || strcmp(word, "--") == 0 || (i > 0 && !is_option && !usage->mixed);
        g_ptr_array_add(out, word);
        const GOptionEntry *entry = is_option && !over ? find_entry(usage->entries, word) : NULL;
        if (entry == NULL || entry->arg == G_OPTION_ARG_NONE)
            continue;
        if (word[1] == '-' || word[2] == '\0') { /* the next word is its value */
            if (words[i + 1] != NULL)
                g_ptr_array_add(out, words[++i]);
            continue;
        }
        g_ptr_array_add(made, g_strndup(word, 2));
        out->pdata[out->len - 1] = made->pdata[made->len - 1];
        g_ptr_array_add(out, word + 2);
    }
    g_ptr_array_add(out, NULL);
    return out;
}

enum parsed options_parse(const struct usage *usage, int *argc, char ***argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(usage->arguments);
    gboolean help = FALSE;
    const GOptionEntry common[] = {
        { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Print this and exit", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    g_autofree char *name = g_strconcat("vial ", usage->name, NULL);
    g_autoptr(GError) error = NULL;
    g_set_prgname(name);
    g_option_context_set_summary(context, usage->summary);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_strict_posix(context, !usage->mixed);
    if (usage->entries != NULL)
        g_option_context_add_main_entries(context, usage->entries, NULL);
    g_option_context_add_main_entries(context, common, NULL);
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) words = separate_values(usage, *argv, made);
    char **rest = (char **)words->pdata;
    *argc = (int)words->len - 1;
    bool ok = g_option_context_parse(context, argc, &rest, &error);
    for (int i = 0; ok && i <= *argc;
         i++) /* what is left is the caller's, and no more than it was */
        (*argv)[i] = rest[i];
    if (ok && help) {
        g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
        fputs(text, stdout);
        return PARSED_HELP;
    }
    (*argc)--; /* the command's own name */
    (*argv)++;
    if (ok && *argc > 0 && strcmp((*argv)[0], "--") == 0) {
        (*argc)--;
        (*argv)++;
    }
    if (ok && *argc >= usage->least && (usage->most < 0 || *argc <= usage->most))
        return PARSED;
    fprintf(stderr, "vial %s: %s\nUsage: vial %s [OPTION…] %s\nSee: vial %s --help\n", usage->name,
            !ok                    ? error->message
            : *argc < usage->least ? "an argument is missing"
                                   : "there are too many arguments",
            usage->name, usage->arguments, usage->name);
    return PARSED_WRONG;
}

bool options_size(const char *text, guint64 *out, GError **error)
{
    static const char units[] = "KMGTPE";
    char *end;
    errno = 0;
    double number = g_ascii_strtod(text, &end);
    const char *unit = *end == '\0' ? NULL : strchr(units, g_ascii_toupper(*end));
    if (unit != NULL) {
        for (const char *at = units; at <= unit; at++)
            number *= 1024;
        end++;
        if (g_ascii_strncasecmp(end, "iB", 2) == 0)
            end += 2;
        else if (*end == 'B' || *end == 'b')
            end++;
    }
    if (end == text || *end != '\0' || errno != 0 || !(number >= 0) || number >= 9.2e18)
        return fault_set(error, FAULT_USAGE, "%s is not a size such as 500M or 20G", text);
    *out = (guint64)number;
    return true;
}

bool options_run_number(const char *text, guint *out, GError **error)
{
    const char *digits = *text == '@' ? text + 1 : text;
    guint64 number;
    if (!g_ascii_string_to_unsigned(digits, 10, 0, G_MAXUINT - 1, &number, NULL))
        return fault_set(error, FAULT_USAGE, "%s is not a run such as @0; `vial log` lists them",
                         text);
    *out = (guint)number;
    return true;
}

int fail(const GError *error)
{
    fprintf(stderr, "vial: %s\n", error->message);
    if (error->domain != FAULT)
        return EXIT_FAILED;
    switch ((enum fault)error->code) {
    case FAULT_USAGE:
        return EXIT_USAGE;
    case FAULT_MISSING:
    case FAULT_CONFLICT:
    case FAULT_UNSUPPORTED:
    case FAULT_CORRUPT:
        return EXIT_NO;
    default:
        return EXIT_FAILED;
    }
}

struct store *open_store(bool read_only, int *status)
{
    g_autofree char *path = store_default_path();
    g_autofree char *notice = NULL;
    g_autoptr(GError) error = NULL;
    struct store_options options = { .read_only = read_only };
    if (read_only && access(path, F_OK) < 0)
        return store_new_memory(); /* nothing was ever stored, and asking must not make a store */
    struct store *store = store_open(path, &options, &notice, &error);
    if (notice != NULL)
        fprintf(stderr, "vial: %s\n", notice);
    if (store == NULL)
        *status = fail(error);
    return store;
}

int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "vial: cannot write to standard output: %s\n", g_strerror(errno));
    return EXIT_FAILED;
}
