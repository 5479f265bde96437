// SPDX-License-Identifier: Apache-2.0
/*
 * The command line: one file per command, the only part that prints or exits.
 *
 * Commands that run a program exit with its status, 125 when vial itself fails or is misused; the
 * others with 0, 1 (the answer is no), 2 (misused), 125 (vial itself failed).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "store/store.h"

enum exit_status {
    EXIT_OK = 0,
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 125,
    EXIT_NOT_RUNNABLE = 126,
    EXIT_NOT_FOUND = 127,
};

/* argv[0] is the command's name. Returns the exit status. */
typedef int (*command_main)(int argc, char **argv);

int command_run(int argc, char **argv);
int command_store(int argc, char **argv);
int command_why(int argc, char **argv);
int command_trace(int argc, char **argv);
int command_shell(int argc, char **argv);
int command_compdb(int argc, char **argv);
int command_log(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_gc(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_query(int argc, char **argv);

/* --- options.c -------------------------------------------------------------------------------- */

struct usage {
    const char *name;      /* "run", "store put" */
    const char *arguments; /* "[--] COMMAND [ARGUMENT]…" */
    const char *summary;   /* one line under the usage line of --help */
    const GOptionEntry *entries;
    int least, most; /* number of words left after the options; most < 0: any */
    bool mixed;      /* options may stand behind words, too */
};

enum parsed {
    PARSED,       /* go on: the words left are (*argv)[0 .. *argc-1] */
    PARSED_HELP,  /* --help was printed: exit 0 */
    PARSED_WRONG, /* the message was printed: exit 2, or 125 of a command that runs a program */
};

/* Options come before the first word that is none, unless they may be mixed; "--" ends them. */
enum parsed options_parse(const struct usage *usage, int *argc, char ***argv);

/* "10", "4K", "1.5G": bytes. FAULT_USAGE. */
bool options_size(const char *text, guint64 *out, GError **error);

/* "@3" or "3". FAULT_USAGE. */
bool options_run_number(const char *text, guint *out, GError **error);

/* Print "vial: MESSAGE" and return the exit status that the error means for a plain command. */
int fail(const GError *error);

/* Open the user's store, printing a notice if there is one. NULL after printing why not. */
struct store *open_store(bool read_only, int *status);

/* Flush standard output; EXIT_FAILED if what was printed did not arrive. */
int finish_output(int status);

/* --- interrupt.c ------------------------------------------------------------------------------ */

/*
 * From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT set *interrupt to the signal and raise
 * *interrupt_count, instead of ending vial.
 */
void interrupt_catch(void);
extern volatile int interrupt, interrupt_count;

#endif
