// SPDX-License-Identifier: Apache-2.0
/* Operations on open files. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGEST (1 << 20)

static const struct flag open_flags[] = {
    { "O_RDONLY", O_RDONLY },       { "O_TMPFILE", O_TMPFILE }, /* before O_DIRECTORY, which it
                                                                   contains */
    { "O_WRONLY", O_WRONLY },       { "O_RDWR", O_RDWR },         { "O_CREAT", O_CREAT },
    { "O_EXCL", O_EXCL },           { "O_TRUNC", O_TRUNC },       { "O_APPEND", O_APPEND },
    { "O_DIRECTORY", O_DIRECTORY }, { "O_NOFOLLOW", O_NOFOLLOW }, { "O_PATH", O_PATH },
    { "O_SYNC", O_SYNC },           { "O_NOATIME", O_NOATIME },   { NULL, 0 },
};

/* O_NONBLOCK keeps a FIFO without another end from stopping everything; files do not mind it. */
static void run_open(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[1].text);
    int file = openat(place.directory, place.path, (int)a[2].number | O_NONBLOCK | O_CLOEXEC,
                      (mode_t)a[3].number);
    answer_status(answer, file);
    actor_put(actor, a[0].number, file);
}

/* A new description of the same file, its name gone or not. */
static void run_reopen(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", actor_slot(actor, a[1].number));
    int file = open(path, (int)a[2].number | O_NONBLOCK | O_CLOEXEC, 0644);
    answer_status(answer, file);
    actor_put(actor, a[0].number, file);
}

static void run_close(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    actor->process->slots[a[0].number] = -1;
    answer_status(answer, close(file));
}

static void run_dup(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = fcntl(actor_slot(actor, a[1].number), F_DUPFD_CLOEXEC, 3);
    answer_status(answer, file);
    actor_put(actor, a[0].number, file);
}

/* --- reading and writing -----------------------------------------------------------------------
 */

static size_t length_of(const struct argument *argument)
{
    return (size_t)CLAMP(argument->number, 0, LARGEST);
}

static void answer_data(struct answer *answer, ssize_t got, const void *data)
{
    if (!answer_number(answer, got) || got == 0)
        return;
    answer_add(answer, " %08x", (unsigned)digest_bytes(DIGEST_START, data, (size_t)got));
}

static void run_read(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_autofree char *data = g_malloc(length_of(&a[1]) + 1);
    ssize_t got = read(actor_slot(actor, a[0].number), data, length_of(&a[1]));
    answer_data(answer, got, data);
}

static void run_pread(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_autofree char *data = g_malloc(length_of(&a[2]) + 1);
    ssize_t got = pread(actor_slot(actor, a[0].number), data, length_of(&a[2]), (off_t)a[1].number);
    answer_data(answer, got, data);
}

/* Three unequal parts of one buffer. */
static void split(struct iovec parts[3], char *data, size_t size)
{
    parts[0] = (struct iovec){ data, size / 7 };
    parts[1] = (struct iovec){ data + size / 7, size / 2 };
    parts[2] = (struct iovec){ data + size / 7 + size / 2, size - size / 7 - size / 2 };
}

static void run_readv(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct iovec parts[3];
    g_autofree char *data = g_malloc(length_of(&a[2]) + 1);
    split(parts, data, length_of(&a[2]));
    int file = actor_slot(actor, a[0].number);
    ssize_t got = a[1].number < 0 ? readv(file, parts, 3) : preadv(file, parts, 3, a[1].number);
    answer_data(answer, got, data);
}

static void run_write(struct actor *actor, const struct argument *a, struct answer *answer)
{
    size_t size = length_of(&a[1]);
    g_autofree char *data = g_malloc(size + 1);
    pattern_fill(data, size, a[2].number);
    answer_number(answer, write(actor_slot(actor, a[0].number), data, size));
}

static void run_pwrite(struct actor *actor, const struct argument *a, struct answer *answer)
{
    size_t size = length_of(&a[2]);
    g_autofree char *data = g_malloc(size + 1);
    pattern_fill(data, size, a[3].number);
    answer_number(answer, pwrite(actor_slot(actor, a[0].number), data, size, a[1].number));
}

static void run_writev(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct iovec parts[3];
    size_t size = length_of(&a[2]);
    g_autofree char *data = g_malloc(size + 1);
    pattern_fill(data, size, a[3].number);
    split(parts, data, size);
    int file = actor_slot(actor, a[0].number);
    answer_number(answer,
                  a[1].number < 0 ? writev(file, parts, 3) : pwritev(file, parts, 3, a[1].number));
}

static const struct flag seek_flags[] = {
    { "SEEK_SET", SEEK_SET },
    { "SEEK_CUR", SEEK_CUR },
    { "SEEK_END", SEEK_END },
    { NULL, 0 },
};

static void run_lseek(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    struct stat status;
    /* What the position in a directory means is the file system's own affair. */
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode))
        answer_status(answer, lseek(file, 0, SEEK_SET));
    else
        answer_number(answer, lseek(file, (off_t)a[1].number, (int)a[2].number));
}

/*
 * Where the holes are is the file system's own affair too, but they read as zeros, lie inside the
 * file and alternate with data; and there is nothing behind the end.
 */
static const char *check_holes(int file, off_t size)
{
    off_t at = 0;
    while (at < size) {
        off_t hole = lseek(file, at, SEEK_HOLE);
        if (hole < at || hole > size)
            return "a hole outside the file";
        off_t data = hole == size ? size : lseek(file, hole, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            data = size;
        if (data < hole || data > size || (data == hole && data != size))
            return "no data after a hole";
        for (off_t i = hole; i < data; i += 4096) {
            char byte = 0;
            if (pread(file, &byte, 1, i) != 1 || byte != 0)
                return "data in a hole";
        }
        at = data;
    }
    if (lseek(file, size, SEEK_DATA) >= 0 || errno != ENXIO)
        return "data behind the end";
    return lseek(file, size + 1, SEEK_HOLE) < 0 && errno == ENXIO ? "ok" : "a hole behind the end";
}

static void run_holes(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    struct stat status;
    off_t before = lseek(file, 0, SEEK_CUR);
    if (fstat(file, &status) != 0 || before < 0)
        answer_status(answer, -1);
    else if (!S_ISREG(status.st_mode))
        answer_add(answer, "no file");
    else if ((fcntl(file, F_GETFL) & O_ACCMODE) == O_WRONLY)
        answer_add(answer, "not readable");
    else
        answer_add(answer, "%s", check_holes(file, status.st_size));
    lseek(file, before, SEEK_SET);
}

/* --- size, room, copies ------------------------------------------------------------------------
 */

static void run_ftruncate(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, ftruncate(actor_slot(actor, a[0].number), (off_t)a[1].number));
}

static void run_truncate(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, truncate(place.plain, (off_t)a[1].number));
}

static const struct flag room_flags[] = {
    { "KEEP_SIZE", FALLOC_FL_KEEP_SIZE },
    { "PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE },
    { NULL, 0 },
};

static void run_fallocate(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, fallocate(actor_slot(actor, a[0].number), (int)a[1].number,
                                    (off_t)a[2].number, (off_t)a[3].number));
}

static void run_copy(struct actor *actor, const struct argument *a, struct answer *answer)
{
    off_t from = (off_t)a[1].number, to = (off_t)a[3].number;
    answer_number(answer,
                  copy_file_range(actor_slot(actor, a[0].number), a[1].number < 0 ? NULL : &from,
                                  actor_slot(actor, a[2].number), a[3].number < 0 ? NULL : &to,
                                  length_of(&a[4]), 0));
}

static void run_sendfile(struct actor *actor, const struct argument *a, struct answer *answer)
{
    off_t from = (off_t)a[1].number;
    int source = actor_slot(actor, a[0].number), sink = actor_slot(actor, a[2].number);
    struct stat one, two;
    /* A file sent into itself reads what it has just written, or not: unlike copy, no error. */
    if (fstat(source, &one) == 0 && fstat(sink, &two) == 0 && one.st_ino == two.st_ino)
        return answer_add(answer, "same file");
    answer_number(answer, sendfile(sink, source, a[1].number < 0 ? NULL : &from, length_of(&a[3])));
}

static const struct flag sync_flags[] = { { "ALL", 0 }, { "DATA", 1 }, { NULL, 0 } };

static void run_fsync(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    answer_status(answer, a[1].number == 1 ? fdatasync(file) : fsync(file));
}

/* --- the description ---------------------------------------------------------------------------
 */

static const struct flag description_flags[] = {
    { "GET", 0 },
    { "O_APPEND", O_APPEND },
    { NULL, 0 },
};

/*
 * Set it; never clear it: where the kernel passes a file through, the file below keeps the flags
 * with which it was opened (fs/fuse/passthrough.c).
 */
static void run_setfl(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int file = actor_slot(actor, a[0].number);
    int flags = fcntl(file, F_GETFL);
    if (!answer_status(answer, flags))
        return;
    answer_add(answer, " %s%s%s", (flags & O_ACCMODE) == O_RDONLY ? "r" : "",
               (flags & O_ACCMODE) == O_WRONLY ? "w" : "",
               (flags & O_ACCMODE) == O_RDWR ? "rw" : "");
    answer_add(answer, "%s%s ", flags & O_APPEND ? " append" : "", flags & O_PATH ? " path" : "");
    answer_status(answer, fcntl(file, F_SETFL, flags | (int)a[1].number));
}

const struct kind file_kinds[] = {
    { "open", "spfo", open_flags, run_open },
    { "reopen", "ssf", open_flags, run_reopen },
    { "close", "s", NULL, run_close },
    { "dup", "ss", NULL, run_dup },
    { "read", "sn", NULL, run_read },
    { "pread", "snn", NULL, run_pread },
    { "readv", "snn", NULL, run_readv },
    { "write", "snn", NULL, run_write },
    { "pwrite", "snnn", NULL, run_pwrite },
    { "writev", "snnn", NULL, run_writev },
    { "lseek", "snf", seek_flags, run_lseek },
    { "holes", "s", NULL, run_holes },
    { "ftruncate", "sn", NULL, run_ftruncate },
    { "truncate", "pn", NULL, run_truncate },
    { "fallocate", "sfnn", room_flags, run_fallocate },
    { "copy", "snsnn", NULL, run_copy },
    { "sendfile", "snsn", NULL, run_sendfile },
    { "fsync", "sf", sync_flags, run_fsync },
    { "setfl", "sf", description_flags, run_setfl },
    { NULL, NULL, NULL, NULL },
};
