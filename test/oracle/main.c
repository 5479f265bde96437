// SPDX-License-Identifier: Apache-2.0
/*
 * oracle-play: print, build, run or dump random programs; test/oracle/oracle drives it.
 *
 *   oracle-play print SEEDS          the programs as text
 *   oracle-play build SEEDS DIR      what the host has before, in a directory for each below DIR
 *   oracle-play run SEEDS DIR [I/N]  run them there: an answer a line, then the tree; of each the
 *                                    Ith of N parts, from 0
 *   oracle-play dump SEEDS DIR       the trees
 *
 * SEEDS is FIRST-LAST, or the name of a file with programs.
 */
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static GPtrArray *programs_of(const char *seeds, GError **error)
{
    guint64 first, last;
    if (sscanf(seeds, "%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, &first, &last) == 2) {
        GPtrArray *programs = g_ptr_array_new_with_free_func((GDestroyNotify)program_free);
        for (guint64 seed = first; seed <= last; seed++)
            g_ptr_array_add(programs, program_generate(seed));
        return programs;
    }
    g_autofree char *text = NULL;
    if (!g_file_get_contents(seeds, &text, NULL, error))
        return NULL;
    return programs_parse(text, seeds, error);
}

static bool work(const char *what, const struct program *program, const char *directory,
                 const char *part, GError **error)
{
    if (g_str_equal(what, "print")) {
        g_autoptr(GString) text = g_string_new(NULL);
        program_print(program, text);
        fputs(text->str, stdout);
        return true;
    }
    /* Two directories above the root, so that ".." stays inside what is the program's. */
    g_autofree char *top = g_strdup_printf("%s/%s", directory, program->name);
    g_autofree char *root = g_strdup_printf("%s/up/up/root", top);
    if (g_str_equal(what, "build"))
        return program_build(program, root, error);
    printf("program %s\n", program->name);
    if (g_str_equal(what, "run"))
        program_run(program, root, part);
    tree_print(top, root);
    return true;
}

/* The other side of the operation `exec`. */
static int inherit(const char *descriptor, const char *length)
{
    size_t size = (size_t)CLAMP(atoi(length), 0, 65536);
    g_autofree char *data = g_malloc(size + 1);
    ssize_t got = read(atoi(descriptor), data, size);
    if (got < 0)
        printf("%s\n", errno_name(errno));
    else
        printf("%zd %08x\n", got, (unsigned)digest_bytes(DIGEST_START, data, (size_t)got));
    return 0;
}

static bool is_command(int argc, char **argv)
{
    if (argc == 3)
        return g_str_equal(argv[1], "print");
    if (argc == 5)
        return g_str_equal(argv[1], "run") && strchr(argv[4], '/') != NULL;
    return argc == 4 && (g_str_equal(argv[1], "build") || g_str_equal(argv[1], "run") ||
                         g_str_equal(argv[1], "dump"));
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc == 4 && g_str_equal(argv[1], "inherit"))
        return inherit(argv[2], argv[3]);
    if (!is_command(argc, argv)) {
        fprintf(stderr, "usage: oracle-play print|build|run|dump FIRST-LAST|FILE [DIR [I/N]]\n");
        return 2;
    }
    g_autoptr(GPtrArray) programs = programs_of(argv[2], &error);
    for (guint i = 0; programs != NULL && error == NULL && i < programs->len; i++)
        work(argv[1], programs->pdata[i], argv[3], argc == 5 ? argv[4] : "0/1", &error);
    if (error != NULL)
        fprintf(stderr, "oracle-play: %s\n", error->message);
    return error != NULL || fflush(stdout) != 0;
}
