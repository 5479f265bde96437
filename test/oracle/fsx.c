// SPDX-License-Identifier: Apache-2.0
/*
 * oracle-fsx: random input and output in one file, through several descriptors and mappings,
 * checked against a copy in memory after every step. After fsx of NeXT and its successors.
 *
 *   oracle-fsx SEED STEPS FILE      FILE may exist: then what it holds is where the copy begins
 *
 * Prints the digest of what the file holds at the end; a byte that is not what it should be is an
 * error with the steps before it.
 */
#include "generate.h"
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST (512 << 10)
#define FILES 3
#define PAGE 4096
#define LOG 30

struct fsx {
    struct random random;
    const char *path;
    int files[FILES];
    char *map; /* shared, of all that the file can become; touched within its size alone */
    char *model, *buffer;
    size_t size;
    guint64 step;
    char *log[LOG];
};

G_NORETURN static void fail(struct fsx *fsx, const char *what, size_t at)
{
    fprintf(stderr, "oracle-fsx: step %" G_GUINT64_FORMAT ": %s at %zu (size %zu): %s\n", fsx->step,
            what, at, fsx->size, g_strerror(errno));
    for (guint64 i = fsx->step > LOG ? fsx->step - LOG + 1 : 0; i <= fsx->step; i++)
        fprintf(stderr, "  %" G_GUINT64_FORMAT ": %s\n", i, fsx->log[i % LOG]);
    exit(1);
}

G_GNUC_PRINTF(2, 3) static void note(struct fsx *fsx, const char *format, ...)
{
    va_list arguments;
    char **line = &fsx->log[fsx->step % LOG];
    va_start(arguments, format);
    g_free(*line);
    *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

static size_t below(struct fsx *fsx, size_t limit)
{
    return limit == 0 ? 0 : random_below(&fsx->random, limit);
}

static int any_file(struct fsx *fsx)
{
    return fsx->files[below(fsx, FILES)];
}

/* A range inside the largest size; often at the edge of a page. */
static void any_range(struct fsx *fsx, size_t limit, size_t *offset, size_t *length)
{
    *offset = below(fsx, limit + 1);
    if (random_percent(&fsx->random, 30))
        *offset -= *offset % PAGE;
    size_t wanted = below(fsx, random_percent(&fsx->random, 90) ? 20000 : LARGEST);
    *length = MIN(wanted, limit - *offset);
}

static void grow(struct fsx *fsx, size_t size)
{
    if (size > fsx->size)
        fsx->size = size; /* what lies between is zeros already: see cut() */
}

static void cut(struct fsx *fsx, size_t size)
{
    if (size < fsx->size)
        memset(fsx->model + size, 0, fsx->size - size);
    fsx->size = size;
}

static void compare(struct fsx *fsx, const char *what, const char *data, size_t offset,
                    size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] != fsx->model[offset + i])
            fail(fsx, what, offset + i);
    }
}

/* --- steps -------------------------------------------------------------------------------------
 */

static void step_read(struct fsx *fsx)
{
    size_t offset, length;
    any_range(fsx, LARGEST, &offset, &length);
    note(fsx, "read %zu at %zu", length, offset);
    ssize_t got = pread(any_file(fsx), fsx->buffer, length, (off_t)offset);
    size_t expected = offset >= fsx->size ? 0 : MIN(length, fsx->size - offset);
    if (got != (ssize_t)expected)
        fail(fsx, "read", offset);
    compare(fsx, "read", fsx->buffer, offset, expected);
}

static void step_write(struct fsx *fsx)
{
    size_t offset, length;
    any_range(fsx, LARGEST, &offset, &length);
    note(fsx, "write %zu at %zu", length, offset);
    if (length == 0)
        return;
    pattern_fill(fsx->model + offset, length, (gint64)random_next(&fsx->random));
    if (pwrite(any_file(fsx), fsx->model + offset, length, (off_t)offset) != (ssize_t)length)
        fail(fsx, "write", offset);
    grow(fsx, offset + length);
}

static void step_map_read(struct fsx *fsx)
{
    size_t offset, length;
    any_range(fsx, fsx->size, &offset, &length);
    note(fsx, "mapped read %zu at %zu", length, offset);
    compare(fsx, "mapped read", fsx->map + offset, offset, length);
}

static void step_map_write(struct fsx *fsx)
{
    size_t offset, length;
    any_range(fsx, fsx->size, &offset, &length);
    note(fsx, "mapped write %zu at %zu", length, offset);
    pattern_fill(fsx->model + offset, length, (gint64)random_next(&fsx->random));
    memcpy(fsx->map + offset, fsx->model + offset, length);
    if (random_percent(&fsx->random, 20) && msync(fsx->map, LARGEST, MS_SYNC) != 0)
        fail(fsx, "msync", offset);
}

static void step_truncate(struct fsx *fsx)
{
    size_t size = below(fsx, LARGEST + 1);
    bool by_name = random_percent(&fsx->random, 30);
    note(fsx, "truncate%s to %zu", by_name ? " by name" : "", size);
    int result = by_name ? truncate(fsx->path, (off_t)size) : ftruncate(any_file(fsx), (off_t)size);
    if (result != 0)
        fail(fsx, "truncate", size);
    cut(fsx, size);
}

static void step_punch(struct fsx *fsx)
{
    size_t offset, length;
    any_range(fsx, LARGEST, &offset, &length);
    note(fsx, "punch %zu at %zu", length, offset);
    if (length == 0)
        return;
    if (fallocate(any_file(fsx), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)length) != 0)
        fail(fsx, "punch", offset);
    memset(fsx->model + offset, 0, length);
}

static void step_allocate(struct fsx *fsx)
{
    size_t offset, length;
    bool keep = random_percent(&fsx->random, 50);
    any_range(fsx, LARGEST, &offset, &length);
    note(fsx, "allocate%s %zu at %zu", keep ? ", keeping the size," : "", length, offset);
    if (length == 0)
        return;
    if (fallocate(any_file(fsx), keep ? FALLOC_FL_KEEP_SIZE : 0, (off_t)offset, (off_t)length) != 0)
        fail(fsx, "allocate", offset);
    if (!keep)
        grow(fsx, offset + length);
}

static void step_copy(struct fsx *fsx)
{
    size_t from, length;
    any_range(fsx, fsx->size, &from, &length);
    size_t to = below(fsx, LARGEST - length + 1);
    note(fsx, "copy %zu from %zu to %zu", length, from, to);
    if (length == 0 || (from < to + length && to < from + length))
        return;
    off_t in = (off_t)from, out = (off_t)to;
    for (size_t left = length; left > 0;) {
        ssize_t done = copy_file_range(any_file(fsx), &in, any_file(fsx), &out, left, 0);
        if (done <= 0)
            fail(fsx, "copy", (size_t)out);
        left -= (size_t)done;
    }
    memmove(fsx->model + to, fsx->model + from, length);
    grow(fsx, to + length);
}

static void step_append(struct fsx *fsx)
{
    size_t length = below(fsx, MIN(9000, LARGEST - fsx->size));
    note(fsx, "append %zu", length);
    if (length == 0)
        return;
    pattern_fill(fsx->model + fsx->size, length, (gint64)random_next(&fsx->random));
    int file = open(fsx->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0 || write(file, fsx->model + fsx->size, length) != (ssize_t)length)
        fail(fsx, "append", fsx->size);
    close(file);
    fsx->size += length;
}

static void open_file(struct fsx *fsx, unsigned i)
{
    fsx->files[i] = open(fsx->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fsx->files[i] < 0)
        fail(fsx, "open", 0);
}

static void map_file(struct fsx *fsx)
{
    fsx->map = mmap(NULL, LARGEST, PROT_READ | PROT_WRITE, MAP_SHARED, any_file(fsx), 0);
    if (fsx->map == MAP_FAILED)
        fail(fsx, "mmap", 0);
}

static void step_reopen(struct fsx *fsx)
{
    unsigned i = (unsigned)below(fsx, FILES);
    note(fsx, "reopen %u and map again", i);
    close(fsx->files[i]);
    open_file(fsx, i);
    munmap(fsx->map, LARGEST);
    map_file(fsx);
}

static void step_sync(struct fsx *fsx)
{
    note(fsx, "fsync");
    if (fsync(any_file(fsx)) != 0)
        fail(fsx, "fsync", 0);
}

static void step_check(struct fsx *fsx)
{
    struct stat status;
    note(fsx, "check all");
    if (fstat(any_file(fsx), &status) != 0 || status.st_size != (off_t)fsx->size)
        fail(fsx, "size", (size_t)status.st_size);
    ssize_t got = pread(any_file(fsx), fsx->buffer, LARGEST, 0);
    if (got != (ssize_t)fsx->size)
        fail(fsx, "read all", (size_t)MAX(got, 0));
    compare(fsx, "read all", fsx->buffer, 0, fsx->size);
}

/* --- the run -----------------------------------------------------------------------------------
 */

static const struct {
    void (*run)(struct fsx *fsx);
    unsigned weight;
} steps[] = {
    { step_read, 20 },    { step_write, 20 }, { step_map_read, 15 }, { step_map_write, 15 },
    { step_truncate, 8 }, { step_punch, 6 },  { step_allocate, 4 },  { step_copy, 8 },
    { step_append, 6 },   { step_reopen, 5 }, { step_sync, 1 },      { step_check, 4 },
};

static void run(struct fsx *fsx, guint64 count)
{
    unsigned total = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++)
        total += steps[i].weight;
    for (; fsx->step < count; fsx->step++) {
        size_t at = below(fsx, total), i = 0;
        while (at >= steps[i].weight)
            at -= steps[i++].weight;
        steps[i].run(fsx);
    }
    step_check(fsx);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: oracle-fsx SEED STEPS FILE\n");
        return 2;
    }
    struct fsx fsx = { .random = { g_ascii_strtoull(argv[1], NULL, 10) }, .path = argv[3] };
    fsx.model = g_malloc0(LARGEST);
    fsx.buffer = g_malloc0(LARGEST);
    for (unsigned i = 0; i < FILES; i++)
        open_file(&fsx, i);
    ssize_t size = pread(fsx.files[0], fsx.model, LARGEST, 0);
    if (size < 0)
        fail(&fsx, "read", 0);
    fsx.size = (size_t)size;
    map_file(&fsx);
    run(&fsx, g_ascii_strtoull(argv[2], NULL, 10));
    printf("%zu %016" G_GINT64_MODIFIER "x\n", fsx.size,
           digest_bytes(DIGEST_START, fsx.model, fsx.size));
    munmap(fsx.map, LARGEST);
    for (unsigned i = 0; i < FILES; i++)
        close(fsx.files[i]);
    for (unsigned i = 0; i < LOG; i++)
        g_free(fsx.log[i]);
    g_free(fsx.model);
    g_free(fsx.buffer);
    return 0;
}
