// SPDX-License-Identifier: Apache-2.0
/* What belongs to a process: its directory, its mask, its children, what they inherit. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_chdir(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, chdir(place.plain));
}

static void run_fchdir(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, fchdir(actor_slot(actor, a[0].number)));
}

static void run_getcwd(struct actor *actor, const struct argument *a, struct answer *answer)
{
    char path[PATH_MAX];
    if (answer_status(answer, getcwd(path, sizeof path) == NULL ? -1 : 0))
        answer_path(answer, actor, path);
}

static void run_umask(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_add(answer, "%o", umask((mode_t)a[0].number));
}

/* --- children ----------------------------------------------------------------------------------
 */

/* A child writes through the description that it shares; the position moves for both. */
static void run_forkwrite(struct actor *actor, const struct argument *a, struct answer *answer)
{
    char data[512];
    int file = actor_slot(actor, a[0].number), status = -1;
    size_t size = (size_t)CLAMP(a[1].number, 0, (gint64)sizeof data);
    pattern_fill(data, size, a[2].number);
    pid_t child = fork();
    if (child == 0)
        _exit(write(file, data, size) == (ssize_t)size ? 0 : errno);
    waitpid(child, &status, 0);
    answer_add(answer, "%s ", WEXITSTATUS(status) == 0 ? "ok" : errno_name(WEXITSTATUS(status)));
    struct stat now;
    if (fstat(file, &now) == 0 && S_ISREG(now.st_mode))
        answer_number(answer, lseek(file, 0, SEEK_CUR));
}

/* What a program prints; `child` runs in it and must execute. */
static void answer_output(struct answer *answer, char *const *argv, int inherited)
{
    int output[2], status = -1;
    if (!answer_status(answer, pipe2(output, O_CLOEXEC)))
        return;
    pid_t child = fork();
    if (child == 0) {
        dup2(output[1], STDOUT_FILENO);
        if (inherited >= 0)
            fcntl(inherited, F_SETFD, 0);
        execv(argv[0], argv);
        _exit(errno);
    }
    close(output[1]);
    char text[256] = { 0 };
    size_t length = 0;
    ssize_t got;
    while ((got = read(output[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(output[0]);
    waitpid(child, &status, 0);
    g_strchomp(text);
    /* Whether a shared mapping keeps a file from being executed depends on pass-through. */
    if (WIFEXITED(status) && (WEXITSTATUS(status) == ETXTBSY || WEXITSTATUS(status) == ENOEXEC))
        answer_add(answer, " busy or no program");
    else
        answer_add(answer, " %s status %d", text, status);
}

/* Read through a descriptor that another program image inherited. */
static void run_exec(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    g_autofree char *number = g_strdup_printf("%d", file);
    g_autofree char *size = g_strdup_printf("%d", (int)a[1].number);
    char *argv[] = { "/proc/self/exe", "inherit", number, size, NULL };
    answer_output(answer, argv, file);
}

/* Execute a file of the tree, as it is; what it does is `script`'s business. */
static void run_execute(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    char *argv[] = { place.plain, NULL };
    answer_output(answer, argv, -1);
}

static void run_script(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    const char text[] = "#!/bin/true\n";
    int file = openat(place.directory, place.path,
                      O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0755);
    if (!answer_status(answer, file))
        return;
    answer_status(answer, write(file, text, sizeof text - 1));
    close(file);
}

/* --- depth -------------------------------------------------------------------------------------
 */

/* Directories below one another until no path can name the last; a file there. */
static int descend(int directory, gint64 levels, unsigned *made)
{
    char name[201];
    memset(name, 'd', 200);
    name[200] = '\0';
    for (gint64 i = 0; i < levels && directory >= 0; i++) {
        *made += mkdirat(directory, name, 0755) == 0;
        int next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int number = errno;
        close(directory);
        errno = number;
        directory = next;
    }
    return directory;
}

static void answer_depth(struct answer *answer, int directory)
{
    char path[PATH_MAX];
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(fchdir(directory) == 0 && getcwd(path, sizeof path) != NULL ? 0 : errno);
    waitpid(child, &status, 0);
    answer_add(answer, " cwd %s",
               WEXITSTATUS(status) == 0 ? "ok" : errno_name(WEXITSTATUS(status)));
}

static void run_deep(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    int top = openat(place.directory, place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned made = 0;
    int bottom = descend(top, a[1].number, &made);
    if (!answer_status(answer, bottom))
        return;
    int file = openat(bottom, "deep", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    answer_add(answer, " made %u ", made);
    if (answer_status(answer, file) && write(file, "deep", 4) != 4)
        answer_add(answer, " %s", errno_name(errno));
    close(file);
    answer_depth(answer, bottom);
    close(bottom);
}

const struct kind process_kinds[] = {
    { "chdir", "p", NULL, run_chdir },
    { "fchdir", "s", NULL, run_fchdir },
    { "getcwd", "", NULL, run_getcwd },
    { "umask", "o", NULL, run_umask },
    { "forkwrite", "snn", NULL, run_forkwrite },
    { "exec", "sn", NULL, run_exec },
    { "execute", "p", NULL, run_execute },
    { "script", "p", NULL, run_script },
    { "deep", "pn", NULL, run_deep },
    { NULL, NULL, NULL, NULL },
};
