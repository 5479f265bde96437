// SPDX-License-Identifier: Apache-2.0
/*
 * From init to the command: a clean process, the search for the program, and the exact reason when
 * it cannot be executed.
 *
 * vfork() rather than fork(): it saves the copy of vial's page tables, and init goes on only when
 * the program is executed or the report why it is not is there.
 */
#include "sandbox/sandbox-internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- why it cannot be executed ---------------------------------------------------------------- */

static void script_interpreter(const char *head, char *out, size_t size)
{
    size_t length = 0;
    head += strspn(head, " \t");
    while (length < size - 1 && strchr(" \t\r\n", head[length]) == NULL)
        length++;
    /* A carriage return is part of the name to the kernel, and the usual reason for its failure. */
    if (head[length] == '\r' && length < size - 1)
        length++;
    memcpy(out, head, length);
    out[length] = '\0';
}

/* The path in PT_INTERP; both classes say the same at different offsets. */
static void program_interpreter(int file, char *out, size_t size)
{
    Elf64_Ehdr wide = { 0 };
    Elf32_Ehdr narrow = { 0 };
    if (pread(file, &wide, sizeof wide, 0) < 0 || pread(file, &narrow, sizeof narrow, 0) < 0)
        return;
    bool is_wide = wide.e_ident[EI_CLASS] == ELFCLASS64;
    unsigned count = is_wide ? wide.e_phnum : narrow.e_phnum;
    guint64 offset = is_wide ? wide.e_phoff : narrow.e_phoff;
    for (unsigned i = 0; i < count; i++) {
        Elf64_Phdr part = { 0 };
        Elf32_Phdr small = { 0 };
        size_t step = is_wide ? sizeof part : sizeof small;
        if (pread(file, is_wide ? (void *)&part : &small, step, (off_t)(offset + i * step)) < 0)
            return;
        if ((is_wide ? part.p_type : small.p_type) != PT_INTERP)
            continue;
        guint64 length = is_wide ? part.p_filesz : small.p_filesz;
        guint64 at = is_wide ? part.p_offset : small.p_offset;
        ssize_t got = pread(file, out, MIN((size_t)length, size - 1), (off_t)at);
        out[MAX(got, 0)] = '\0';
        return;
    }
}

/* The first bytes of `path`, NUL-terminated, and its interpreter or "". */
static void examine(const char *path, char head[256], char *interpreter, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : pread(file, head, 255, 0);
    memset(head + MAX(got, 0), 0, (size_t)(256 - MAX(got, 0)));
    interpreter[0] = '\0';
    if (head[0] == '#' && head[1] == '!')
        script_interpreter(head + 2, interpreter, size);
    else if (memcmp(head, ELFMAG, SELFMAG) == 0)
        program_interpreter(file, interpreter, size);
    if (file >= 0)
        close(file);
}

static void not_runnable(struct report *report, const char *path, int number)
{
    report->kind = REPORT_NOT_RUNNABLE;
    report->path = path;
    report->number = number;
}

/* --- execution -------------------------------------------------------------------------------- */

/*
 * A thread of vial may just have forked a supervisor that has not yet closed the descriptor through
 * which the program was written. Nothing tells when it has, so this waits a little and tries again.
 */
static void execute(const char *path, char **argv, char **environment)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        execve(path, argv, environment);
        if (errno != ETXTBSY)
            return;
        poll(NULL, 0, 1);
    }
}

/* A script without "#!" is the shell's, as execvp() and every shell have it; a binary is not. */
static void execute_by_shell(const struct plan *plan, const char *path)
{
    char head[256], interpreter[1];
    struct stat status;
    examine(path, head, interpreter, sizeof interpreter);
    size_t size = stat(path, &status) == 0 ? (size_t)status.st_size : 0;
    if (strcspn(head, "\n") == strlen(head) && strlen(head) < MIN(size, 255))
        return;
    plan->shell_argv[1] = (char *)path;
    execute(plan->shell_argv[0], plan->shell_argv, plan->environment);
}

/*
 * False: go on with the next candidate. The report is written only when all is lost, since init
 * would believe it after a later success.
 */
static bool try_candidate(const struct plan *plan, const char *path, struct report *report)
{
    struct stat status;
    char head[256];
    execute(path, plan->argv, plan->environment);
    int number = errno;
    switch (number) {
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EACCES:
        return false;
    case ENOENT:
        if (stat(path, &status) < 0)
            return false;
        examine(path, head, report->text, sizeof report->text);
        break;
    case ENOEXEC:
        execute_by_shell(plan, path);
        break;
    default:
        break;
    }
    not_runnable(report, path, number);
    return true;
}

static void find_and_execute(const struct plan *plan, struct report *report)
{
    const char *denied = NULL; /* as execvp(): worth a word only if no later one can be executed */
    for (char **candidate = plan->candidates; *candidate != NULL; candidate++) {
        if (try_candidate(plan, *candidate, report))
            return;
        if (errno == EACCES && denied == NULL)
            denied = *candidate;
    }
    if (denied != NULL)
        not_runnable(report, denied, EACCES);
    else
        report->kind = REPORT_NOT_FOUND;
}

/*
 * What vial was told to ignore would stay ignored. By the system call: sigaction() refuses the two
 * signals that the C library uses itself, which whoever started vial may have ignored all the same.
 */
static void reset_signals(void)
{
    const struct {
        gpointer handler;
        unsigned long flags;
        gpointer restorer;
        guint64 mask;
    } by_default = { 0 }; /* as the kernel has it */
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, &by_default, NULL, sizeof by_default.mask);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No core files among the outputs. The other limits are the caller's. */
static void limit(void)
{
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
}

static void become_command(const struct plan *plan, int directory)
{
    struct report *report = plan->report;
    int input = plan->inherited >= 0  ? plan->inherited
                : plan->input == NULL ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                                      : openat(directory, plan->input, O_RDONLY | O_CLOEXEC);
    setsid();
    umask(plan->mask);
    limit();
    if (input < 0)
        sandbox_fail(report, "open standard input", NULL);
    else if (dup2(input, 0) < 0 || dup2(plan->output[1], 1) < 0 || dup2(plan->errors[1], 2) < 0)
        sandbox_fail(report, "connect the command", NULL);
    else if (chdir(plan->directory) < 0)
        sandbox_fail(report, "enter", plan->directory);
    else {
        reset_signals();
        find_and_execute(plan, report);
    }
}

pid_t sandbox_start(const struct plan *plan, int directory)
{
    pid_t child = vfork();
    if (child == 0) {
        become_command(plan, directory);
        _exit(127);
    }
    if (child < 0)
        sandbox_fail(plan->report, "fork", NULL);
    if (plan->report->kind == 0)
        return child;
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    return 0;
}
