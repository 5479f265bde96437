// SPDX-License-Identifier: Apache-2.0
/* Signals that mean "stop" become flags, so that a run can end its command and tidy up. */
#include "cli/cli.h"

#include <signal.h>

volatile int interrupt, interrupt_count;

static void on_signal(int number)
{
    interrupt = number;
    interrupt_count++;
}

void interrupt_catch(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    /* Without SA_RESTART: a blocking call returns, and whoever made it looks at the flag. */
    struct sigaction action = { .sa_handler = on_signal };
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        struct sigaction present;
        if (sigaction(numbers[i], NULL, &present) == 0 && present.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL); /* nohup's choice stands */
    }
    signal(SIGPIPE, SIG_IGN);
}
