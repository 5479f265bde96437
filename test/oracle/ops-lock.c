// SPDX-License-Identifier: Apache-2.0
/* Locks: flock, those of processes (POSIX) and those of open file descriptions. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct flag flock_flags[] = {
    { "LOCK_SH", LOCK_SH },
    { "LOCK_EX", LOCK_EX },
    { "LOCK_UN", LOCK_UN },
    { NULL, 0 },
};

static void run_flock(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, flock(actor_slot(actor, a[0].number), (int)a[1].number | LOCK_NB));
}

static const struct flag lock_flags[] = {
    { "READ", F_RDLCK },
    { "WRITE", F_WRLCK },
    { "UNLOCK", F_UNLCK },
    { NULL, 0 },
};

static struct flock lock_of(const struct argument *a)
{
    return (struct flock){ .l_type = (short)a[1].number,
                           .l_whence = SEEK_SET,
                           .l_start = (off_t)a[2].number,
                           .l_len = (off_t)a[3].number };
}

static void run_lock(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct flock lock = lock_of(a);
    answer_status(answer, fcntl(actor_slot(actor, a[0].number), F_SETLK, &lock));
}

static void run_oflock(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct flock lock = lock_of(a);
    answer_status(answer, fcntl(actor_slot(actor, a[0].number), F_OFD_SETLK, &lock));
}

/* Several locks may be in the way and any of them be named: so only its kind and its owner's. */
static void run_getlock(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct flock lock = lock_of(a);
    if (!answer_status(answer, fcntl(actor_slot(actor, a[0].number), F_GETLK, &lock)))
        return;
    if (lock.l_type == F_UNLCK) {
        answer_add(answer, " free");
        return;
    }
    const char *owner = lock.l_pid == -1 ? "description" : "stranger";
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (actor->pids[i] == lock.l_pid)
            owner = "process";
    }
    answer_add(answer, " taken by a %s", owner);
}

/* --- waiting -----------------------------------------------------------------------------------
 */

/* Two descriptions of one file; false and an answer if there cannot be. */
static bool open_twice(struct actor *actor, const char *path, int files[2], struct answer *answer)
{
    g_auto(place) place = actor_place(actor, path);
    files[0] = openat(place.directory, place.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    files[1] = openat(place.directory, place.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (files[0] >= 0 && files[1] >= 0)
        return true;
    answer_status(answer, -1);
    close(files[0]);
    close(files[1]);
    return false;
}

/*
 * A child holds the lock while the parent begins to wait for it. Whether the parent comes before or
 * after the release it must get the lock.
 */
static void run_lockwait(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int files[2], ready[2];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (!open_twice(actor, a[0].text, files, answer))
        return;
    if (answer_status(answer, fcntl(files[0], F_OFD_SETLK, &lock)) && pipe(ready) == 0) {
        pid_t child = fork();
        if (child == 0) {
            lock.l_type = F_UNLCK;
            _exit(write(ready[1], "", 1) == 1 && fcntl(files[0], F_OFD_SETLK, &lock) == 0 ? 0 : 1);
        }
        char byte;
        int status = -1;
        if (read(ready[0], &byte, 1) == 1) {
            answer_add(answer, " waited ");
            answer_status(answer, fcntl(files[1], F_OFD_SETLKW, &lock));
        }
        waitpid(child, &status, 0);
        answer_add(answer, " child %d", status);
        close(ready[0]);
        close(ready[1]);
    }
    close(files[0]);
    close(files[1]);
}

static void on_alarm(int number)
{
}

/* A repeated one: the first may come before the wait begins. */
static timer_t start_alarm(void)
{
    struct sigaction action = { .sa_handler = on_alarm };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
    const struct timespec step = { .tv_nsec = 2000000 };
    timer_t timer;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigaction(SIGALRM, &action, NULL);
    g_assert(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    timer_settime(timer, 0, &(struct itimerspec){ step, step }, NULL);
    return timer;
}

/* A wait for what nobody releases ends with the signal. */
static void run_lockalarm(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int files[2];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (!open_twice(actor, a[0].text, files, answer))
        return;
    if (answer_status(answer, fcntl(files[0], F_OFD_SETLK, &lock))) {
        timer_t timer = start_alarm();
        answer_add(answer, " waited ");
        answer_status(answer, fcntl(files[1], F_OFD_SETLKW, &lock));
        timer_delete(timer);
    }
    answer_add(answer, " ");
    if (answer_status(answer, flock(files[0], LOCK_EX | LOCK_NB))) {
        timer_t timer = start_alarm();
        answer_add(answer, " waited ");
        answer_status(answer, flock(files[1], LOCK_SH));
        timer_delete(timer);
    }
    close(files[0]);
    close(files[1]);
}

const struct kind lock_kinds[] = {
    { "flock", "sf", flock_flags, run_flock },
    { "lock", "sfnn", lock_flags, run_lock },
    { "oflock", "sfnn", lock_flags, run_oflock },
    { "getlock", "sfnn", lock_flags, run_getlock },
    { "lockwait", "p", NULL, run_lockwait },
    { "lockalarm", "p", NULL, run_lockalarm },
    { NULL, NULL, NULL, NULL },
};
