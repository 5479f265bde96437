// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of execve() as they begin: the kernel opens the program for it (FMODE_EXEC) while the
 * thread is still what it was, and waits for our answer. The arguments of the call, and what they
 * point to, are then read from /proc/TID/syscall and /proc/TID/mem.
 *
 * To read its memory may take a page of a file that we serve: so no lock is held meanwhile, and one
 * thread at least must be left to answer. Whoever would be the last leaves the message to another
 * thread, which does nothing else.
 */
#include "view/view-internal.h"

#include "base/fd.h"

#include <elf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    TEXT_MAX = 64 << 20, /* of arguments; the kernel takes 6 MiB at most */
};

/* --- the memory of a thread ------------------------------------------------------------------- */

struct memory {
    int file;
    guint64 start; /* of the page in `bytes` */
    size_t size;   /* 0: none */
    char bytes[PAGE];
};

/* What lies at `address`, up to the end of its page; NULL: nothing. */
static const char *memory_at(struct memory *memory, guint64 address, size_t *size)
{
    guint64 start = address & ~(guint64)(PAGE - 1);
    if (memory->size == 0 || memory->start != start) {
        ssize_t got = pread(memory->file, memory->bytes, PAGE, (off_t)start);
        memory->start = start;
        memory->size = got < 0 ? 0 : (size_t)got;
    }
    if (address - start >= memory->size)
        return NULL;
    *size = memory->size - (size_t)(address - start);
    return memory->bytes + (address - start);
}

static char *memory_string(struct memory *memory, guint64 address)
{
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len < TEXT_MAX) {
        size_t size;
        const char *at = memory_at(memory, address + text->len, &size);
        if (at == NULL)
            return NULL;
        size_t length = strnlen(at, size);
        g_string_append_len(text, at, (gssize)length);
        if (length < size)
            return g_string_free(g_steal_pointer(&text), FALSE);
    }
    return NULL;
}

static bool memory_pointer(struct memory *memory, guint64 address, guint64 *out)
{
    size_t size;
    const char *at = memory_at(memory, address, &size);
    if (at == NULL || size < sizeof *out)
        return false;
    memcpy(out, at, sizeof *out);
    return true;
}

/* A list of pointers that ends with NULL; all of them first, since their page is read once then. */
static char **memory_strings(struct memory *memory, guint64 address)
{
    g_autoptr(GArray) pointers = g_array_new(FALSE, FALSE, sizeof(guint64));
    GPtrArray *list = g_ptr_array_new();
    guint64 pointer = 0;
    size_t total = 0;
    for (; address != 0 && memory_pointer(memory, address, &pointer) && pointer != 0 &&
           pointers->len < TEXT_MAX / sizeof pointer;
         address += sizeof pointer)
        g_array_append_val(pointers, pointer);
    for (guint i = 0; i < pointers->len && total < TEXT_MAX; i++) {
        char *text = memory_string(memory, g_array_index(pointers, guint64, i));
        if (text == NULL)
            break;
        total += strlen(text) + 1;
        g_ptr_array_add(list, text);
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

/* --- the call --------------------------------------------------------------------------------- */

static void call_clear(struct exec_call *call)
{
    g_free(call->text);
    g_free(call->name);
    g_free(call->program);
    g_strfreev(call->argv);
    g_strfreev(call->environment);
}

/* "NUMBER 0xARGUMENT… 0xSTACK 0xPC" (proc(5)). A program of 32 bits has other numbers. */
static bool parse_call(const char *text, guint64 arguments[6], bool *at)
{
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    for (int i = 0; i < 6; i++)
        arguments[i] = g_ascii_strtoull(end, &end, 16);
    *at = number == SYS_execveat;
    return number == SYS_execve || number == SYS_execveat;
}

static void read_call(const struct callers *callers, guint32 thread, struct exec_call *call)
{
    char text[256];
    guint64 arguments[6];
    bool at;
    autofd int line = callers_open(callers, thread, "syscall");
    ssize_t size = line < 0 ? 0 : pread(line, text, sizeof text - 1, 0);
    text[MAX(size, 0)] = '\0';
    if (!parse_call(text, arguments, &at))
        return;
    autofd int file = callers_open(callers, thread, "mem");
    struct memory memory = { .file = file };
    call->name = memory_string(&memory, arguments[at]);
    call->argv = memory_strings(&memory, arguments[1 + at]);
    call->environment = memory_strings(&memory, arguments[2 + at]);
    call->text = g_strconcat(text, call->name, NULL);
}

/* Neither a binary nor a script: execve() will fail with ENOEXEC. */
static bool may_run(struct view *view, struct node *node)
{
    char head[SELFMAG];
    if (node->runs && node->data == DATA_BELOW)
        return true;
    autofd int file = S_ISREG(node->mode) ? data_open(view, node, O_RDONLY) : -1;
    ssize_t size = file < 0 ? 0 : pread(file, head, sizeof head, 0);
    bool runs = (size == SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) ||
                (size >= 2 && head[0] == '#' && head[1] == '!');
    node->runs = runs && node->data == DATA_BELOW;
    return runs;
}

static bool find_program(struct view *view, guint64 id, struct exec_call *call)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_mutex_lock(&view->lock);
    struct node *node = node_get(view, id);
    bool ok = node != NULL && node_path(node, path) && may_run(view, node);
    g_mutex_unlock(&view->lock);
    call->executed = node;
    call->program = g_string_free(g_steal_pointer(&path), FALSE);
    return ok;
}

static void look_at_call(struct view *view, const struct fuse_in_header *header)
{
    struct exec_call call = { 0 };
    if (find_program(view, header->nodeid, &call)) {
        read_call(view->callers, header->pid, &call);
        callers_exec(view->callers, header->pid, &call);
    }
    call_clear(&call);
}

/* --- the thread ------------------------------------------------------------------------------- */

static gpointer serve_execs(gpointer data)
{
    struct view *view = data;
    struct request request = { .view = view, .out = g_malloc(VIEW_BUFFER) };
    for (;;) {
        g_autoptr(GBytes) bytes = g_async_queue_pop(view->execs);
        size_t size;
        const struct fuse_in_header *header = g_bytes_get_data(bytes, &size);
        if (size == 0)
            break;
        look_at_call(view, header);
        int rc = view_dispatch(&request, header, size);
        if (rc != VIEW_NO_REPLY)
            view_send(&request, header->unique, rc);
    }
    g_free(request.out);
    return NULL;
}

static bool start_thread(struct view *view)
{
    g_mutex_lock(&view->lock);
    if (view->exec_thread == NULL) {
        view->execs = g_async_queue_new_full((GDestroyNotify)g_bytes_unref);
        view->exec_thread = g_thread_try_new("exec", serve_execs, view, NULL);
    }
    bool ok = view->exec_thread != NULL;
    g_mutex_unlock(&view->lock);
    return ok;
}

bool exec_divert(struct view *view, const void *message, size_t size)
{
    const struct fuse_in_header *header = message;
    const struct fuse_open_in *in = (const void *)(header + 1);
    if (size != sizeof *header + sizeof *in || header->opcode != FUSE_OPEN ||
        (in->flags & VIEW_FMODE_EXEC) == 0 || header->pid == 0 || !callers_watch(view->callers))
        return false;
    bool last = g_atomic_int_add(&view->execs_here, 1) + 2 > (int)view->thread_count;
    if (!last)
        look_at_call(view, header);
    g_atomic_int_add(&view->execs_here, -1);
    if (!last || !start_thread(view))
        return false;
    g_async_queue_push(view->execs, g_bytes_new(message, size));
    return true;
}

void exec_end(struct view *view)
{
    if (view->exec_thread != NULL) {
        g_async_queue_push(view->execs, g_bytes_new(NULL, 0));
        g_thread_join(view->exec_thread);
        view->exec_thread = NULL;
    }
    g_clear_pointer(&view->execs, g_async_queue_unref);
    callers_settle(view->callers);
}
