// SPDX-License-Identifier: Apache-2.0
/* From path to directory, for paths in the order of traces. */
#include "trace/trace-internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Deeper directories take the places of the upper ones, which are opened anew when needed. */
#define OPEN_MAX_FRAMES 64

#define DIRECTORY_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct frame {
    size_t length; /* of its path, a prefix of walk.path; 0: the root or / */
    int descriptor;
    enum trace_kind below; /* DIRECTORY: it is one; else what everything below it is */
    struct stat_files *files;
};

struct walk {
    char *root;
    struct stat_cache *cache;
    bool absolute;  /* the first frame is /, not the root */
    GString *path;  /* of the last frame, without the root */
    GArray *frames; /* struct frame, each in the one before it */
};

struct walk *walk_new(const char *root, struct stat_cache *cache)
{
    struct walk *walk = g_new0(struct walk, 1);
    walk->root = g_strdup(root);
    walk->cache = cache;
    walk->path = g_string_new(NULL);
    walk->frames = g_array_new(FALSE, FALSE, sizeof(struct frame));
    return walk;
}

static struct frame *frame_at(struct walk *walk, guint index)
{
    return &g_array_index(walk->frames, struct frame, index);
}

static void pop(struct walk *walk)
{
    struct frame *last = frame_at(walk, walk->frames->len - 1);
    stat_files_close(last->files);
    fd_close(&last->descriptor);
    g_array_set_size(walk->frames, walk->frames->len - 1);
}

void walk_free(struct walk *walk)
{
    if (walk == NULL)
        return;
    while (walk->frames->len > 0)
        pop(walk);
    g_array_unref(walk->frames);
    g_string_free(walk->path, TRUE);
    g_free(walk->root);
    g_free(walk);
}

void walk_flush(struct walk *walk)
{
    for (guint i = 0; i < walk->frames->len; i++) {
        struct frame *frame = frame_at(walk, i);
        if (frame->files != NULL && stat_files_learned(frame->files))
            stat_files_close(g_steal_pointer(&frame->files));
    }
}

enum trace_kind walk_kind_of_error(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG
               ? TRACE_NOTHING
               : TRACE_UNREACHABLE;
}

/* The descriptor of a frame that may have been closed for a deeper one. */
static int reopen(struct walk *walk, guint index)
{
    struct frame *frame = frame_at(walk, index);
    if (frame->descriptor >= 0)
        return frame->descriptor;
    guint from = index;
    while (frame_at(walk, from)->descriptor < 0 && from > 0)
        from--;
    int parent = frame_at(walk, from)->descriptor;
    for (guint i = from + 1; i <= index && parent >= 0; i++) {
        size_t start = frame_at(walk, i - 1)->length;
        start += walk->path->str[start] == '/';
        g_autofree char *name =
            g_strndup(walk->path->str + start, frame_at(walk, i)->length - start);
        int next = openat(parent, name, DIRECTORY_FLAGS);
        if (i - 1 > from)
            fd_close(&parent);
        parent = next;
    }
    return frame->descriptor = parent;
}

static void push(struct walk *walk, int descriptor, size_t length)
{
    struct frame frame = {
        .length = length,
        .descriptor = descriptor,
        .below = descriptor >= 0 ? TRACE_DIRECTORY : walk_kind_of_error(errno),
    };
    g_array_append_val(walk->frames, frame);
    if (walk->frames->len > OPEN_MAX_FRAMES) /* never the first */
        fd_close(&frame_at(walk, walk->frames->len - OPEN_MAX_FRAMES)->descriptor);
}

static bool is_within(const struct frame *frame, const GString *current, const char *path,
                      size_t length)
{
    return frame->length <= length && memcmp(current->str, path, frame->length) == 0 &&
           (frame->length == length || path[frame->length] == '/');
}

/* Make the directory path[0..length) the last frame, or the first one above it that is none. */
static struct frame *enter(struct walk *walk, const char *path, size_t length)
{
    bool absolute = path[0] == '/';
    if (walk->frames->len > 0 && walk->absolute != absolute)
        while (walk->frames->len > 0)
            pop(walk);
    if (walk->frames->len == 0) {
        walk->absolute = absolute;
        push(walk, open(absolute ? "/" : walk->root, O_PATH | O_DIRECTORY | O_CLOEXEC), 0);
    }
    while (walk->frames->len > 1 &&
           !is_within(frame_at(walk, walk->frames->len - 1), walk->path, path, length))
        pop(walk);
    for (;;) {
        guint last = walk->frames->len - 1;
        size_t start = frame_at(walk, last)->length;
        g_string_truncate(walk->path, start);
        if (start == length || frame_at(walk, last)->below != TRACE_DIRECTORY)
            return frame_at(walk, last);
        size_t name = start + (path[start] == '/'), end = name;
        while (end < length && path[end] != '/')
            end++;
        int parent = reopen(walk, last);
        g_string_append_len(walk->path, path + start, (gssize)(end - start));
        push(walk, openat(parent, walk->path->str + name, DIRECTORY_FLAGS), end);
    }
}

void walk_to(struct walk *walk, const char *path, struct place *out)
{
    const char *slash = strrchr(path, '/');
    struct frame *frame = enter(walk, path, slash == NULL ? 0 : (size_t)(slash - path));
    *out = (struct place){ .directory = -1, .name = slash == NULL ? path : slash + 1 };
    if (frame->below == TRACE_DIRECTORY)
        out->directory = reopen(walk, walk->frames->len - 1);
    out->below = frame->below != TRACE_DIRECTORY ? frame->below
                                                 : walk_kind_of_error(errno); /* of reopen() */
    if (out->directory >= 0 && frame->files == NULL)
        frame->files = stat_files_open(walk->cache, out->directory);
    out->files = frame->files;
}
