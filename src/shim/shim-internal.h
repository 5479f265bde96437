// SPDX-License-Identifier: Apache-2.0
/* What the shim's files share: system calls, and the program that is to run. */
#ifndef SHIM_SHIM_INTERNAL_H
#define SHIM_SHIM_INTERNAL_H

#include "shim/shim.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long call(long number, long a, long b, long c, long fourth, long fifth)
{
    long result;
    register long d __asm__("r10") = fourth, e __asm__("r8") = fifth, f __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e), "r"(f)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long call(long number, long a, long b, long c, long fourth, long fifth)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = fourth, x4 __asm__("x4") = fifth, x5 __asm__("x5") = 0;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "no system calls for this machine"
#endif

struct program {
    char *path, **argv, **environment;
};

static inline long execute(const struct program *program)
{
    return call(SYS_execve, (long)program->path, (long)program->argv, (long)program->environment, 0,
                0);
}

size_t length_of(const char *text);
void complain(const char *problem, const char *path);

/*
 * Do what SHIM_RUN_IN_VIEW says with the texts from `at` to `end`, and end as the program has
 * ended. Returns if that cannot be done: nothing has happened yet then.
 */
void run_in_view(const struct program *program, int session, const char *at, const char *end);

#endif
