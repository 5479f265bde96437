// SPDX-License-Identifier: Apache-2.0
/*
 * Running a program: a process per process, a thread per thread, and one baton.
 *
 * The steps of a program are its single operations and its runs of parallel ones. Everybody walks
 * the same list; whoever has a part in a step waits until the baton names it, and the last to
 * finish passes it on. Nothing here sleeps for luck: a thread is woken by the futex of its own.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_SECONDS 60

/* In memory shared by all processes of the program. */
struct stage {
    atomic_uint turns[PROCESSES][THREADS]; /* the step that this thread may take; + 1, 0 at first */
    atomic_uint step, arrived;
    atomic_uint finished; /* operations */
    pid_t pids[PROCESSES];
    struct answer answers[];
};

/* Operations [first, end) are one step; `actors` of [process][thread] have a part in it. */
struct step {
    guint first, end;
    bool actors[PROCESSES][THREADS];
    guint count;
};

struct play {
    const struct program *program;
    const char *root;
    guint first, end; /* of the lines that are run */
    struct stage *stage;
    size_t size;
    GArray *steps;
    bool used[PROCESSES][THREADS];
};

struct thread {
    struct play *play;
    struct process *process;
    unsigned number, thread;
};

/* --- steps and the baton -----------------------------------------------------------------------
 */

static const struct op *op_at(const struct play *play, guint i)
{
    return &g_array_index(play->program->ops, struct op, i);
}

static void play_plan(struct play *play, const char *part)
{
    const GArray *ops = play->program->ops;
    guint number = (guint)atoi(part), count = MAX((guint)atoi(strchr(part, '/') + 1), 1);
    play->first = ops->len * number / count;
    play->end = ops->len * (number + 1) / count;
    play->steps = g_array_new(FALSE, TRUE, sizeof(struct step));
    for (guint i = play->first; i < play->end; i++) {
        const struct op *op = op_at(play, i);
        if (op->process == HOST)
            continue;
        bool joins = op->parallel && i > 0 && op_at(play, i - 1)->parallel && play->steps->len > 0;
        if (!joins)
            g_array_append_val(play->steps, ((struct step){ .first = i }));
        struct step *step = &g_array_index(play->steps, struct step, play->steps->len - 1);
        step->end = i + 1;
        bool *takes_part = &step->actors[op->process][op->thread];
        step->count += !*takes_part;
        *takes_part = play->used[op->process][op->thread] = true;
    }
}

static void futex(atomic_uint *word, int operation, unsigned value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void pass_baton(struct play *play, guint step)
{
    struct stage *stage = play->stage;
    atomic_store(&stage->arrived, 0);
    atomic_store(&stage->step, step);
    if (step >= play->steps->len) {
        futex(&stage->step, FUTEX_WAKE, PROCESSES);
        return;
    }
    const struct step *next = &g_array_index(play->steps, struct step, step);
    for (unsigned p = 0; p < PROCESSES; p++) {
        for (unsigned t = 0; t < THREADS; t++) {
            if (!next->actors[p][t])
                continue;
            atomic_store(&stage->turns[p][t], step + 1);
            futex(&stage->turns[p][t], FUTEX_WAKE, 1);
        }
    }
}

static void await_turn(struct thread *thread, guint step)
{
    atomic_uint *turn = &thread->play->stage->turns[thread->number][thread->thread];
    for (;;) {
        unsigned seen = atomic_load(turn);
        if (seen == step + 1)
            return;
        futex(turn, FUTEX_WAIT, seen);
    }
}

/* --- threads -----------------------------------------------------------------------------------
 */

static void take_part(struct thread *thread, struct actor *actor, const struct step *step)
{
    for (guint i = step->first; i < step->end; i++) {
        const struct op *op = op_at(thread->play, i);
        if (op->process != thread->number || op->thread != thread->thread)
            continue;
        op->kind->run(actor, op->arguments, &thread->play->stage->answers[i]);
        atomic_fetch_add(&thread->play->stage->finished, 1);
    }
}

static void *thread_main(void *data)
{
    struct thread *thread = data;
    struct play *play = thread->play;
    struct actor actor = { .root = play->root,
                           .process = thread->process,
                           .pids = play->stage->pids };
    for (guint i = 0; i < play->steps->len; i++) {
        const struct step *step = &g_array_index(play->steps, struct step, i);
        if (!step->actors[thread->number][thread->thread])
            continue;
        await_turn(thread, i);
        take_part(thread, &actor, step);
        if (atomic_fetch_add(&play->stage->arrived, 1) + 1 == step->count)
            pass_baton(play, i + 1);
    }
    return NULL;
}

/* The end of a process drops locks and closes sockets: all end together. */
static void await_end(struct play *play)
{
    unsigned step;
    while ((step = atomic_load(&play->stage->step)) < play->steps->len)
        futex(&play->stage->step, FUTEX_WAIT, step);
}

static void process_main(struct play *play, unsigned number)
{
    struct process process = { 0 };
    struct thread threads[THREADS];
    pthread_t handles[THREADS];
    for (unsigned i = 0; i < SLOTS; i++)
        process.slots[i] = -1;
    umask(022);
    memory_init();
    for (unsigned t = 0; t < THREADS; t++) {
        threads[t] = (struct thread){ play, &process, number, t };
        if (play->used[number][t] &&
            pthread_create(&handles[t], NULL, thread_main, &threads[t]) != 0)
            _exit(3);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        if (play->used[number][t])
            pthread_join(handles[t], NULL);
    }
    await_end(play);
    _exit(0);
}

/* --- the program -------------------------------------------------------------------------------
 */

/* Every process waits for this pipe to close, so that all pids are known before the first line. */
static bool start_processes(struct play *play)
{
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) != 0)
        return false;
    bool good = true;
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (!play->used[p][0] && !play->used[p][1])
            continue;
        pid_t pid = fork();
        good = good && pid >= 0;
        if (pid == 0) {
            char byte;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(gate[1]);
            if (read(gate[0], &byte, 1) == 0)
                close(gate[0]);
            process_main(play, p);
        }
        play->stage->pids[p] = pid;
    }
    pass_baton(play, 0);
    close(gate[0]);
    close(gate[1]);
    return good;
}

static void kill_processes(struct play *play)
{
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (play->stage->pids[p] > 0)
            kill(play->stage->pids[p], SIGKILL);
    }
}

/* NULL when all ended well, else why not. */
static const char *await_processes(struct play *play)
{
    const char *why = NULL;
    unsigned seen = 0, idle = 0;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0)
            return why;
        if (pid > 0 && status != 0 && why == NULL) {
            why = "DIED";
            kill_processes(play);
        }
        if (pid > 0)
            continue;
        sigtimedwait(&child, NULL, &(struct timespec){ .tv_sec = 1 });
        unsigned now = atomic_load(&play->stage->finished);
        idle = now == seen ? idle + 1 : 0;
        seen = now;
        if (idle == HANG_SECONDS && why == NULL) {
            why = "HUNG";
            kill_processes(play);
        }
    }
}

static void print_answers(struct play *play, const char *why)
{
    for (guint i = play->first; i < play->end; i++) {
        if (op_at(play, i)->process != HOST)
            printf("%u %s\n", i, play->stage->answers[i].text);
    }
    if (why == NULL)
        return;
    guint step = atomic_load(&play->stage->step);
    if (step < play->steps->len)
        printf("%s %u\n", why, g_array_index(play->steps, struct step, step).first);
    else
        printf("%s at the end\n", why);
}

static bool stage_map(struct play *play)
{
    play->size = sizeof(struct stage) + play->program->ops->len * sizeof(struct answer);
    play->stage = mmap(NULL, play->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return play->stage != MAP_FAILED;
}

bool program_run(const struct program *program, const char *root, const char *part)
{
    struct play play = { .program = program, .root = root };
    sigset_t child, before;
    /* Before there are processes: the first line may already remove the root. */
    if (chdir(root) != 0 || !stage_map(&play)) {
        printf("NOT STARTED %s\n", errno_name(errno));
        return false;
    }
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    play_plan(&play, part);
    fflush(stdout);
    bool started = start_processes(&play);
    if (!started)
        kill_processes(&play);
    const char *why = await_processes(&play);
    sigprocmask(SIG_SETMASK, &before, NULL);
    print_answers(&play, started ? why : "NOT STARTED");
    munmap(play.stage, play.size);
    g_array_unref(play.steps);
    return started && why == NULL;
}

/* The same operations, in this process, whose working directory changes. */
bool program_build(const struct program *program, const char *root, GError **error)
{
    struct process process = { 0 };
    const pid_t pids[PROCESSES] = { 0 };
    struct actor actor = { .root = root, .process = &process, .pids = pids };
    for (unsigned i = 0; i < SLOTS; i++)
        process.slots[i] = -1;
    if (g_mkdir_with_parents(root, 0755) != 0 || chdir(root) != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", root, g_strerror(errno));
        return false;
    }
    mode_t mask = umask(022);
    for (guint i = 0; i < program->ops->len; i++) {
        const struct op *op = &g_array_index(program->ops, struct op, i);
        struct answer answer = { 0 };
        if (op->process == HOST)
            op->kind->run(&actor, op->arguments, &answer);
    }
    umask(mask);
    for (unsigned i = 0; i < SLOTS; i++)
        actor_put(&actor, i, -1);
    return true;
}

/* --- paths and slots ---------------------------------------------------------------------------
 */

void place_clear(struct place *place)
{
    g_free(place->path);
    g_free(place->plain);
}

struct place actor_place(const struct actor *actor, const char *path)
{
    struct place place = { .directory = AT_FDCWD };
    if (path[0] == '%' && g_ascii_isdigit(path[1]) && path[1] - '0' < SLOTS) {
        const char *rest = path + 2 + (path[2] == '/');
        place.directory = actor_slot(actor, path[1] - '0');
        place.path = g_strdup(rest);
        place.plain = g_strdup_printf("/proc/self/fd/%d%s%s", place.directory,
                                      *rest != '\0' ? "/" : "", rest);
    } else if (path[0] == '@') {
        place.path = g_strconcat(actor->root, path + 1, NULL);
        place.plain = g_strdup(place.path);
    } else {
        place.path = g_strdup(path);
        place.plain = g_strdup(path);
    }
    return place;
}

int actor_slot(const struct actor *actor, gint64 slot)
{
    return slot >= 0 && slot < SLOTS ? actor->process->slots[slot] : -1;
}

void actor_put(struct actor *actor, gint64 slot, int descriptor)
{
    int *place = &actor->process->slots[slot];
    if (*place >= 0)
        close(*place);
    *place = descriptor;
}
