// SPDX-License-Identifier: Apache-2.0
/*
 * The program that is executed in the place of one that the session traps: asks it what to do, and
 * does that. The program is executed in this very process, or, in a view of its own, by a child
 * that this process then stands for (shim-view.c). Without the C library, so that it starts in the
 * time of an execve() and nothing that it loads shows in the process.
 *
 * It must leave the process as it found it, for the program to be executed next: no descriptor, no
 * signal's disposition or mask, no limit and no variable may change.
 */
#include "shim/shim-internal.h"

#include <errno.h>
#include <linux/un.h>

enum {
    FAMILY_UNIX = 1,                  /* AF_UNIX */
    SEQPACKET_CLOEXEC = 5 | 02000000, /* SOCK_SEQPACKET | SOCK_CLOEXEC */
    NO_SIGNAL = 0x4000,               /* MSG_NOSIGNAL */
};

#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start:\nxor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall start\nhlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\nmov x29, #0\nmov x0, sp\nbl start\nbrk #0\n");
#endif

/* Pages that are not needed are never touched. */
static char answer[SHIM_ANSWER_MAX + 1];

size_t length_of(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

/* A signal that would tell of a session which has gone could end the process. */
static long transfer(long number, int file, const void *data, size_t size)
{
    long result;
    do
        result = call(number, file, (long)data, (long)size, NO_SIGNAL, 0);
    while (result == -EINTR);
    return result;
}

/* The connection, once there is an answer of *size bytes; or -1: nobody answers. */
static int ask(const char *ticket, size_t *size)
{
    static const struct sockaddr_un address = { FAMILY_UNIX, SHIM_SOCKET };
    int file = (int)call(SYS_socket, FAMILY_UNIX, SEQPACKET_CLOEXEC, 0, 0, 0);
    long got = -1;
    if (file < 0)
        return -1;
    if (call(SYS_connect, file, (long)&address, sizeof address, 0, 0) == 0 &&
        transfer(SYS_sendto, file, ticket, length_of(ticket)) > 0)
        got = transfer(SYS_recvfrom, file, answer, SHIM_ANSWER_MAX);
    if (got > 0) {
        *size = (size_t)got;
        return file;
    }
    call(SYS_close, file, 0, 0, 0, 0);
    return -1;
}

void complain(const char *problem, const char *path)
{
    call(SYS_write, 2, (long)problem, (long)length_of(problem), 0, 0);
    call(SYS_write, 2, (long)path, (long)length_of(path), 0, 0);
    call(SYS_write, 2, (long)"\n", 1, 0, 0);
}

__attribute__((noreturn)) void start(long *stack);

void start(long *stack)
{
    long count = stack[0];
    char **argv = (char **)(stack + 1), **environment = argv + count + 1;
    long result = -ENOENT;
    if (count >= 3) {
        struct program program = { argv[2], argv + 2, environment };
        size_t size = 0;
        int session = ask(argv[1], &size);
        if (session >= 0)
            argv[2] = answer + 1; /* ends with NUL, being longer than any answer */
        if (session >= 0 && answer[0] == SHIM_RUN_IN_VIEW)
            run_in_view(&program, session, answer + 1, answer + size);
        call(SYS_close, session, 0, 0, 0, 0);
        result = execute(&program);
        complain("vial: cannot execute ", program.path);
    }
    for (;;)
        call(SYS_exit_group, result == -ENOENT ? 127 : 126, 0, 0, 0, 0);
}
