// SPDX-License-Identifier: Apache-2.0
/* Finds the command. */
#include "cli/cli.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command {
    const char *name;
    command_main run;
    const char *summary;
} commands[] = {
    { "run", command_run, "run a command, or reuse its result" },
    { "query", command_query, "ask the rules of a workspace for a value" },
    { "graph", command_graph, "show which rule uses which" },
    { "why", command_why, "explain why a run was reused or not" },
    { "trace", command_trace, "show what a run saw and wrote" },
    { "shell", command_shell, "enter the view that a run had" },
    { "compdb", command_compdb, "write compile_commands.json of what runs compiled" },
    { "log", command_log, "list recorded runs" },
    { "stats", command_stats, "show what the store holds and what it saved" },
    { "store", command_store, "put, get, combine and check stored files and trees" },
    { "gc", command_gc, "make the store smaller" },
    { "doctor", command_doctor, "show what this machine offers" },
};

static int print_help(FILE *stream, int status)
{
    fputs("Usage: vial COMMAND [OPTION…] [ARGUMENT…]\n\n"
          "Runs any command, and never repeats a run while nothing that it looked at has "
          "changed.\n\n",
          stream);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\n  --help     print this, or with a command its options\n"
          "  --version  print the version\n\n"
          "The store is $VIAL_STORE, else $XDG_CACHE_HOME/vial, else ~/.cache/vial.\n",
          stream);
    return stream == stdout ? finish_output(status) : status;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/*
 * A caller may have closed 0 to 2. What is opened next, such as the store's index, would get the
 * number and then be written to as standard output. For reading only, so that writing still fails.
 */
static bool fill_standard_descriptors(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++)
        if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != descriptor)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!fill_standard_descriptors())
        return EXIT_FAILED;
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like a full disk */
    setlocale(LC_CTYPE, "");
    if (argc < 2)
        return print_help(stderr, EXIT_USAGE);
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        puts("vial " VIAL_VERSION);
        return finish_output(EXIT_OK);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help(stdout, EXIT_OK);
    bool help = strcmp(name, "help") == 0;
    if (help && argc == 2)
        return print_help(stdout, EXIT_OK);
    if (help)
        name = argv[2];
    const struct command *command = find(name);
    if (command == NULL) {
        fprintf(stderr, "vial: there is no command %s; `vial --help` lists them\n", name);
        return EXIT_USAGE;
    }
    char *help_words[] = { (char *)name, (char *)"--help", NULL };
    return help ? command->run(2, help_words) : command->run(argc - 1, argv + 1);
}
