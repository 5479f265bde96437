// SPDX-License-Identifier: Apache-2.0
/* Mapped files. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

/* --- access that may fail ----------------------------------------------------------------------
 */

static _Thread_local sigjmp_buf escape_route;
static _Thread_local volatile sig_atomic_t armed;

static void on_fault(int number)
{
    if (armed)
        siglongjmp(escape_route, 1);
    signal(number, SIG_DFL); /* a bug of the oracle: happens again and ends the process */
}

void memory_init(void)
{
    struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool memory_copy(void *to, const void *from, size_t size)
{
    if (sigsetjmp(escape_route, 0) != 0) {
        armed = 0;
        return false;
    }
    armed = 1;
    memcpy(to, from, size);
    armed = 0;
    return true;
}

/* --- operations --------------------------------------------------------------------------------
 */

enum {
    READ = 1,
    WRITE = 2,
    SHARED = 4,
    PRIVATE = 8
};

static const struct flag map_flags[] = {
    { "READ", READ }, { "WRITE", WRITE }, { "SHARED", SHARED }, { "PRIVATE", PRIVATE }, { NULL, 0 },
};

static int unmap(struct map *map)
{
    if (map->address == NULL) {
        errno = EINVAL;
        return -1;
    }
    int result = munmap(map->address, map->size);
    close(map->file);
    map->address = NULL;
    return result;
}

/* The descriptor that asks for the size is O_PATH: the mapping alone keeps the file open. */
static void run_mmap(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct map *map = &actor->process->maps[a[0].number];
    int file = actor_slot(actor, a[1].number), wanted = (int)a[2].number;
    size_t size = (size_t)CLAMP(a[4].number, 0, 64 * PAGE);
    int protection = (wanted & READ ? PROT_READ : 0) | (wanted & WRITE ? PROT_WRITE : 0);
    int flags = (wanted & SHARED ? MAP_SHARED : 0) | (wanted & PRIVATE ? MAP_PRIVATE : 0);
    if (map->address != NULL)
        unmap(map);
    char *address = mmap(NULL, size, protection, flags, file, (off_t)a[3].number);
    if (!answer_status(answer, address == MAP_FAILED ? -1 : 0))
        return;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file);
    *map = (struct map){ address, size, open(path, O_PATH | O_CLOEXEC), a[3].number };
}

static void run_munmap(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, unmap(&actor->process->maps[a[0].number]));
}

/* Bytes from `offset` of the map that lie inside the file, at most `length`. */
static gint64 inside(const struct map *map, gint64 offset, gint64 length)
{
    struct stat status = { 0 };
    fstat(map->file, &status);
    gint64 left = status.st_size - map->offset - offset;
    return CLAMP(left, 0, length);
}

static bool map_range(const struct map *map, const struct argument *a, gint64 *offset,
                      gint64 *length)
{
    *offset = CLAMP(a[0].number, 0, (gint64)map->size);
    *length = CLAMP(a[1].number, 0, (gint64)map->size - *offset);
    return map->address != NULL;
}

/* What lies behind the end in the last page is nobody's: it is left out. */
static void run_load(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct map *map = &actor->process->maps[a[0].number];
    gint64 offset, length, end;
    guint64 digest = DIGEST_START;
    unsigned bad = 0;
    char page[PAGE];
    if (!map_range(map, a + 1, &offset, &length)) {
        answer_add(answer, "no map");
        return;
    }
    end = offset + length;
    for (gint64 at = offset; at < end; at += PAGE - at % PAGE) {
        gint64 part = MIN(end - at, PAGE - at % PAGE), valid = inside(map, at, part);
        if (!memory_copy(page, map->address + at, (size_t)(valid > 0 ? valid : 1)))
            bad++;
        else
            digest = digest_bytes(digest, page, (size_t)valid);
    }
    answer_add(answer, "%08x", (unsigned)digest);
    if (bad > 0)
        answer_add(answer, " %u faults", bad);
}

static void run_store(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct map *map = &actor->process->maps[a[0].number];
    gint64 offset, length;
    if (!map_range(map, a + 1, &offset, &length)) {
        answer_add(answer, "no map");
        return;
    }
    length = inside(map, offset, length);
    g_autofree char *data = g_malloc((size_t)length + 1);
    pattern_fill(data, (size_t)length, a[3].number);
    bool good = memory_copy(map->address + offset, data, (size_t)length);
    answer_add(answer, "%s %" G_GINT64_FORMAT, good ? "ok" : "fault", length);
}

static const struct flag sync_flags[] = {
    { "SYNC", MS_SYNC },
    { "ASYNC", MS_ASYNC },
    { "INVALIDATE", MS_INVALIDATE },
    { NULL, 0 },
};

static void run_msync(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct map *map = &actor->process->maps[a[0].number];
    if (map->address == NULL)
        answer_add(answer, "no map");
    else
        answer_status(answer, msync(map->address, map->size, (int)a[1].number));
}

const struct kind memory_kinds[] = {
    { "mmap", "msfnn", map_flags, run_mmap }, { "munmap", "m", NULL, run_munmap },
    { "load", "mnn", NULL, run_load },        { "store", "mnnn", NULL, run_store },
    { "msync", "mf", sync_flags, run_msync }, { NULL, NULL, NULL, NULL },
};
