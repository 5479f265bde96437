// SPDX-License-Identifier: Apache-2.0
// build: -Wall
/* Runs the command by posix_spawn() ("spawn") or vfork() ("vfork"). */
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    pid_t child = -1;
    int status;
    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "spawn") == 0) {
        if (posix_spawnp(&child, argv[2], NULL, NULL, argv + 2, environ) != 0)
            return 126;
    } else if ((child = vfork()) == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    return waitpid(child, &status, 0) != child || status != 0;
}
