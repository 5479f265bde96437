// SPDX-License-Identifier: Apache-2.0
/*
 * Answers a sequence of messages over a small host directory, and lays out what came of them.
 *
 * Input: messages, each a byte with the opcode, one with the node, one that the handle is taken
 * from, one with the count of bytes, and that many bytes: they follow the header. The header, and
 * the handle where the opcode has one first, are made here, so that mutations reach far.
 */
#include "base/fd.h"
#include "view/view-internal.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static guint8 out[VIEW_BUFFER];

/* Opcodes whose argument begins with a handle, or with a node: rename, link. */
static bool begins_with_number(guint32 opcode)
{
    return opcode == FUSE_READ || opcode == FUSE_WRITE || opcode == FUSE_RELEASE ||
           opcode == FUSE_READDIR || opcode == FUSE_FALLOCATE || opcode == FUSE_LSEEK ||
           opcode == FUSE_RELEASEDIR || opcode == FUSE_RENAME || opcode == FUSE_RENAME2 ||
           opcode == FUSE_LINK || opcode == FUSE_FORGET;
}

static void put(int directory, const char *name, const char *text)
{
    autofd int file = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    g_assert(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
}

static char *top;

static void clean_up(void)
{
    fd_remove_tree(AT_FDCWD, top, NULL);
}

/* Made once: nothing that a view is told may change it. */
static int host_directory(void)
{
    static int host = -1;
    if (host >= 0)
        return host;
    const struct rlimit small = { 1 << 20, 1 << 20 }; /* nobody's disk is to be filled */
    g_assert(setrlimit(RLIMIT_FSIZE, &small) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    top = g_dir_make_tmp("vial-fuzz-XXXXXX", NULL);
    autofd int directory = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert(mkdirat(directory, "host", 0755) == 0);
    host = openat(directory, "host", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert(host >= 0 && mkdirat(host, "d", 0755) == 0);
    put(host, "f", "text");
    put(host, "d/a", "a");
    g_assert(symlinkat("f", host, "l") == 0 && linkat(host, "f", host, "d/f2", 0) == 0);
    g_assert(mkfifoat(host, "p", 0644) == 0);
    atexit(clean_up);
    return host;
}

static void assert_host_unchanged(int host)
{
    char text[8] = "";
    struct stat status;
    autofd int file = openat(host, "d/f2", O_RDONLY | O_CLOEXEC);
    g_assert(file >= 0 && read(file, text, sizeof text - 1) == 4 && strcmp(text, "text") == 0);
    g_assert(fstat(file, &status) == 0 && status.st_nlink == 2 && (status.st_mode & 07777) == 0644);
    g_assert(fstatat(host, "p", &status, 0) == 0 && S_ISFIFO(status.st_mode));
    g_assert(fstatat(host, "l", &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode));
    g_assert(fstatat(host, "d", &status, 0) == 0 && (status.st_mode & 07777) == 0755);
}

static void answer(struct request *request, const uint8_t *message, size_t size, guint8 number)
{
    g_autofree guint8 *whole = g_malloc(sizeof(struct fuse_in_header) + size);
    const struct fuse_in_header header = {
        .len = (guint32)(sizeof header + size),
        .opcode = message[0],
        .nodeid = message[1],
        .uid = number % 2 == 0 ? getuid() : 12345,
        .gid = getgid(),
    };
    memcpy(whole, &header, sizeof header);
    memcpy(whole + sizeof header, message + 4, size);
    guint64 handle = message[2];
    if (begins_with_number(header.opcode) && size >= sizeof handle)
        memcpy(whole + sizeof header, &handle, sizeof handle);
    int rc = view_dispatch(request, whole, header.len);
    g_assert(rc == VIEW_NO_REPLY || (rc <= 0 && rc > -4096));
    g_assert(rc != 0 || request->out_size <= VIEW_BUFFER);
}

static void lay_out(struct view *view, int scratch)
{
    g_autoptr(GPtrArray) deleted = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) elsewhere = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_assert(mkdirat(scratch, "out", 0700) == 0);
    autofd int directory = openat(scratch, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = view_lay_out(view, "/d", directory, deleted, elsewhere, &error);
    g_assert(ok == (error == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int host = host_directory();
    g_autofree char *path = g_build_filename(top, "scratch", NULL);
    g_assert(mkdir(path, 0700) == 0);
    autofd int scratch = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(recorder) recorder = recorder_new("/d");
    const struct view_options options = {
        .root = host,
        .scratch = scratch,
        .owner = getuid(),
        .group = getgid(),
        .recorder = recorder,
        .processes = -1,
    };
    struct view *view = view_new(&options);
    struct request request = { .view = view, .out = out };
    while (size >= 4) {
        size_t rest = MIN(data[3], size - 4);
        answer(&request, data, rest, data[2]);
        data += 4 + rest;
        size -= 4 + rest;
    }
    lay_out(view, scratch);
    view_free(view);
    fd_remove_tree(AT_FDCWD, path, NULL);
    assert_host_unchanged(host);
    return 0;
}
