// SPDX-License-Identifier: Apache-2.0
/*
 * The program that is executed in the place of one that the session traps: asks it what to do, and
 * does that. Without the C library, so that it starts in the time of an execve() and nothing that
 * it loads shows in the process.
 *
 * It must leave the process as it found it, for the program to be executed next: no descriptor, no
 * signal's disposition or mask, no limit and no variable may change.
 */
#include "shim/shim.h"

#include <errno.h>
#include <linux/un.h>
#include <stddef.h>
#include <sys/syscall.h>

enum {
    FAMILY_UNIX = 1,                  /* AF_UNIX */
    SEQPACKET_CLOEXEC = 5 | 02000000, /* SOCK_SEQPACKET | SOCK_CLOEXEC */
    NO_SIGNAL = 0x4000,               /* MSG_NOSIGNAL */
};

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long flags)
{
    long result;
    register long d __asm__("r10") = flags, e __asm__("r8") = 0, f __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e), "r"(f)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(
    ".globl _start\n_start:\nxor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall start\nhlt\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long flags)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = flags, x4 __asm__("x4") = 0, x5 __asm__("x5") = 0;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\nmov x29, #0\nmov x0, sp\nbl start\nbrk #0\n");
#else
#error "no system calls for this machine"
#endif

/* Pages that are not needed are never touched. */
static char answer[SHIM_ANSWER_MAX + 1];

static size_t length_of(const char *text)
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
        result = call(number, file, (long)data, (long)size, NO_SIGNAL);
    while (result == -EINTR);
    return result;
}

/* How many bytes of `answer` there are; 0: nobody answers. */
static size_t ask(const char *ticket)
{
    static const struct sockaddr_un address = { FAMILY_UNIX, SHIM_SOCKET };
    long file = call(SYS_socket, FAMILY_UNIX, SEQPACKET_CLOEXEC, 0, 0), size = 0;
    if (file < 0)
        return 0;
    if (call(SYS_connect, file, (long)&address, sizeof address, 0) == 0 &&
        transfer(SYS_sendto, (int)file, ticket, length_of(ticket)) > 0)
        size = transfer(SYS_recvfrom, (int)file, answer, SHIM_ANSWER_MAX);
    call(SYS_close, file, 0, 0, 0);
    return size > 0 ? (size_t)size : 0;
}

static void complain(const char *path)
{
    static const char text[] = "vial: cannot execute ";
    call(SYS_write, 2, (long)text, sizeof text - 1, 0);
    call(SYS_write, 2, (long)path, (long)length_of(path), 0);
    call(SYS_write, 2, (long)"\n", 1, 0);
}

__attribute__((noreturn)) void start(long *stack);

void start(long *stack)
{
    long count = stack[0];
    char **argv = (char **)(stack + 1), **environment = argv + count + 1;
    long result = -ENOENT;
    if (count >= 3) {
        char *path = argv[2];
        if (ask(argv[1]) > 0 && answer[0] == SHIM_RUN_HERE)
            argv[2] = answer + 1; /* ends with NUL, being longer than any answer */
        result = call(SYS_execve, (long)path, (long)(argv + 2), (long)environment, 0);
        complain(path);
    }
    for (;;)
        call(SYS_exit_group, result == -ENOENT ? 127 : 126, 0, 0, 0);
}
