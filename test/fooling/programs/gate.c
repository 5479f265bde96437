// SPDX-License-Identifier: Apache-2.0
// build: -static
/* Says that it waits, and waits for SIGUSR1: the driver then does something on the host. */
#include <signal.h>
#include <unistd.h>

int main(void)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return write(STDOUT_FILENO, "GATE\n", 5) != 5 || sigwait(&set, &number) != 0;
}
