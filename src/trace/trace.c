// SPDX-License-Identifier: Apache-2.0
/* Traces as values: kinds, the order of paths, ranks of times, access to the parts. */
#include "trace/trace-internal.h"

#include "base/fd.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

enum trace_kind trace_kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return TRACE_FILE;
    case S_IFDIR:
        return TRACE_DIRECTORY;
    case S_IFLNK:
        return TRACE_LINK;
    case S_IFIFO:
        return TRACE_FIFO;
    case S_IFSOCK:
        return TRACE_SOCKET;
    case S_IFCHR:
        return TRACE_CHARACTER_DEVICE;
    case S_IFBLK:
        return TRACE_BLOCK_DEVICE;
    default:
        return TRACE_UNREACHABLE;
    }
}

const char *trace_kind_name(enum trace_kind kind)
{
    static const char *const names[] = {
        [TRACE_NOTHING] = "nothing",
        [TRACE_FILE] = "file",
        [TRACE_DIRECTORY] = "directory",
        [TRACE_LINK] = "link",
        [TRACE_FIFO] = "fifo",
        [TRACE_SOCKET] = "socket",
        [TRACE_CHARACTER_DEVICE] = "character device",
        [TRACE_BLOCK_DEVICE] = "block device",
        [TRACE_UNREACHABLE] = "unreachable",
    };
    g_assert((size_t)kind < G_N_ELEMENTS(names));
    return names[kind];
}

guint32 trace_mode(mode_t mode, guint64 links)
{
    return (mode & 07777) | (S_ISREG(mode) && links > 1 ? TRACE_SEVERAL_NAMES : 0);
}

const char *trace_aspect_name(enum trace_aspect aspect)
{
    static const char *const names[TRACE_ASPECTS] = {
        "absent", "kind", "content", "names", "target", "time", "xattrs",
    };
    int bit = g_bit_nth_lsf(aspect, -1);
    g_assert(bit >= 0 && bit < TRACE_ASPECTS);
    return names[bit];
}

unsigned trace_kind_aspects(enum trace_kind kind)
{
    switch (kind) {
    case TRACE_NOTHING:
        return TRACE_ABSENT;
    case TRACE_UNREACHABLE:
        return TRACE_KIND;
    case TRACE_LINK:
        return TRACE_KIND | TRACE_TARGET | TRACE_TIME;
    case TRACE_DIRECTORY:
        return TRACE_KIND | TRACE_CONTENT | TRACE_NAMES | TRACE_TIME | TRACE_XATTRS;
    case TRACE_FILE:
        return TRACE_KIND | TRACE_CONTENT | TRACE_TIME | TRACE_XATTRS;
    default:
        return TRACE_KIND | TRACE_CONTENT | TRACE_TIME;
    }
}

int trace_compare_paths(const char *a, const char *b)
{
    for (; *a == *b; a++, b++)
        if (*a == '\0')
            return 0;
    guint8 x = (guint8)*a, y = (guint8)*b;
    if (x == '/' || y == '/')
        return x == '/' ? (y == '\0' ? 1 : -1) : (x == '\0' ? -1 : 1);
    return x < y ? -1 : 1;
}

const char *trace_kept_form(const char *root, size_t root_length, const char *path)
{
    g_assert(path[0] == '/');
    if (strncmp(path, root, root_length) != 0)
        return path;
    if (path[root_length] == '/')
        return path + root_length + 1;
    return path[root_length] == '\0' ? path + root_length : path;
}

void trace_stamp_of(const struct stat *status, struct trace_stamp *out)
{
    *out = (struct trace_stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .mtime = fd_nanoseconds(status->st_mtim),
        .ctime = fd_nanoseconds(status->st_ctim),
    };
}

bool trace_stamp_equal(const struct trace_stamp *a, const struct trace_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->mtime == b->mtime && a->ctime == b->ctime;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct trace_name *)a)->name, ((const struct trace_name *)b)->name);
}

void trace_names_digest(struct trace_name *names, size_t count, struct digest *out)
{
    struct digest_context context;
    digest_init(&context);
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        const guint8 kind = (guint8)names[i].kind;
        digest_update(&context, &kind, 1);
        digest_update(&context, names[i].name, strlen(names[i].name) + 1);
    }
    digest_finish(&context, out);
}

static int compare_times(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

void trace_rank(gint64 *times, size_t count)
{
    if (count == 0)
        return;
    g_autofree gint64 *sorted = g_memdup2(times, count * sizeof *times);
    qsort(sorted, count, sizeof *sorted, compare_times);
    size_t distinct = 1;
    for (size_t i = 1; i < count; i++)
        if (sorted[i] != sorted[distinct - 1])
            sorted[distinct++] = sorted[i];
    for (size_t i = 0; i < count; i++) {
        const gint64 *found = bsearch(&times[i], sorted, distinct, sizeof *sorted, compare_times);
        times[i] = found - sorted + 1;
    }
}

/* --- the trace ---------------------------------------------------------------------------------
 */

struct trace *trace_new(void)
{
    struct trace *trace = g_new0(struct trace, 1);
    g_atomic_ref_count_init(&trace->references);
    trace->texts = g_ptr_array_new_with_free_func((GDestroyNotify)g_string_chunk_free);
    trace->lists = g_ptr_array_new_with_free_func(g_free);
    trace->processes = g_array_new(FALSE, FALSE, sizeof(struct trace_process));
    trace->facts = g_array_new(FALSE, FALSE, sizeof(struct trace_fact));
    trace->written = g_array_new(FALSE, FALSE, sizeof(struct trace_written));
    return trace;
}

struct trace *trace_ref(struct trace *trace)
{
    g_atomic_ref_count_inc(&trace->references);
    return trace;
}

void trace_unref(struct trace *trace)
{
    if (trace == NULL || !g_atomic_ref_count_dec(&trace->references))
        return;
    g_array_unref(trace->processes);
    g_array_unref(trace->facts);
    g_array_unref(trace->written);
    g_ptr_array_unref(trace->lists);
    g_ptr_array_unref(trace->texts);
    g_free(trace->uncacheable);
    g_free(trace);
}

guint32 trace_process_count(const struct trace *trace)
{
    return trace->processes->len;
}

const struct trace_process *trace_process(const struct trace *trace, guint32 number)
{
    g_assert(number >= 1 && number <= trace->processes->len);
    return &g_array_index(trace->processes, struct trace_process, number - 1);
}

size_t trace_fact_count(const struct trace *trace)
{
    return trace->facts->len;
}

const struct trace_fact *trace_fact(const struct trace *trace, size_t index)
{
    g_assert(index < trace->facts->len);
    return &g_array_index(trace->facts, struct trace_fact, index);
}

const struct trace_fact *trace_find(const struct trace *trace, const char *path)
{
    size_t low = 0, high = trace->facts->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct trace_fact *fact = trace_fact(trace, middle);
        int order = trace_compare_paths(path, fact->path);
        if (order == 0)
            return fact;
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

size_t trace_written_count(const struct trace *trace)
{
    return trace->written->len;
}

const struct trace_written *trace_written(const struct trace *trace, size_t index)
{
    g_assert(index < trace->written->len);
    return &g_array_index(trace->written, struct trace_written, index);
}

char *trace_refusal(const struct trace *trace)
{
    const char *first = NULL;
    guint count = 0;
    if (trace->uncacheable != NULL)
        return g_strdup(trace->uncacheable);
    for (guint i = 0; i < trace->facts->len; i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        if (!fact->unstable)
            continue;
        if (count++ == 0)
            first = fact->path;
    }
    if (count == 0)
        return NULL;
    g_autofree char *name = path_quote(*first == '\0' ? "." : first);
    return count == 1
               ? g_strdup_printf("%s changed while it was in use", name)
               : g_strdup_printf("%s and %u more changed while they were in use", name, count - 1);
}
