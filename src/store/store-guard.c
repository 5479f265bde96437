// SPDX-License-Identifier: Apache-2.0
/* Turns a bad memory access or a failed check inside LMDB into a return value. */
#include "store/store-disk.h"

#include <signal.h>
#include <ucontext.h>

_Thread_local sigjmp_buf *volatile store_guard_jump;

static struct sigaction previous_segv, previous_bus;

/*
 * Runs on the thread that faulted. Leaving by siglongjmp is sound here: the fault is synchronous,
 * in code between sigsetjmp and the end of the guarded expression. The signal mask is put back by
 * hand: to have sigsetjmp save it would cost every look-up a system call.
 */
static void on_fault(int number, siginfo_t *info, void *context)
{
    bool by_kernel = info->si_code > 0; /* not sent by kill() */
    if (by_kernel && store_guard_jump != NULL) {
        pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(*store_guard_jump, 1);
    }
    const struct sigaction *previous = number == SIGBUS ? &previous_bus : &previous_segv;
    if ((previous->sa_flags & SA_SIGINFO) != 0) {
        previous->sa_sigaction(number, info, context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(number);
    } else {
        sigaction(number, previous, NULL);
        if (!by_kernel)
            raise(number); /* at the end of this handler; else the instruction faults again */
    }
}

static void install(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
}

void store_guard_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void store_guard_assert(MDB_env *env, const char *message)
{
    if (store_guard_jump != NULL)
        siglongjmp(*store_guard_jump, 1);
}
