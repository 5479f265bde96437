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
    call->at = at;
    call->name = memory_string(&memory, arguments[at]);
    call->argv = memory_strings(&memory, arguments[1 + at]);
    call->environment = memory_strings(&memory, arguments[2 + at]);
    call->text = g_strconcat(text, call->name, NULL);
}

/* --- the program ------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#define OWN_MACHINE EM_NONE
#endif

/* The interpreter in the first line of a script, or NULL. Caller frees. */
static char *script_interpreter(const char *head, size_t size)
{
    const char *at = head + 2, *end = memchr(head, '\n', size);
    if (end == NULL)
        return NULL;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    size_t length = 0;
    while (at + length < end && at[length] != ' ' && at[length] != '\t')
        length++;
    return g_strndup(at, length);
}

/* False: it is for another machine, or not as usual. *interpreter: NULL: none. */
static bool binary_interpreter(const char *head, size_t size, char **interpreter)
{
    Elf64_Ehdr header;
    if (size < sizeof header)
        return false;
    memcpy(&header, head, sizeof header);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != OWN_MACHINE ||
        header.e_phentsize != sizeof(Elf64_Phdr) ||
        (header.e_type != ET_EXEC && header.e_type != ET_DYN))
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;
        if (header.e_phoff > size || (size - header.e_phoff) / sizeof part <= i)
            return false;
        memcpy(&part, head + header.e_phoff + i * sizeof part, sizeof part);
        if (part.p_type != PT_INTERP)
            continue;
        if (part.p_offset > size || part.p_filesz > size - part.p_offset)
            return false;
        *interpreter = g_strndup(head + part.p_offset, part.p_filesz);
        return true;
    }
    return true;
}

/*
 * Whoever executes it will not get an error: once something else was executed in its place, there
 * is nobody left to get it. An interpreter that is not on the host, or not yet, counts as missing.
 */
static bool runs_here(const char *head, size_t size)
{
    g_autofree char *interpreter = NULL;
    if (memcmp(head, ELFMAG, SELFMAG) != 0) {
        interpreter = script_interpreter(head, size);
        return interpreter != NULL && *interpreter == '/' && access(interpreter, X_OK) == 0;
    }
    return binary_interpreter(head, size, &interpreter) &&
           (interpreter == NULL || (*interpreter == '/' && access(interpreter, X_OK) == 0));
}

/* Neither a binary nor a script: execve() will fail with ENOEXEC. */
static bool may_run(struct view *view, struct node *node)
{
    char head[PAGE];
    if (node->runs && node->data == DATA_BELOW)
        return true;
    autofd int file = S_ISREG(node->mode) ? data_open(view, node, O_RDONLY) : -1;
    ssize_t size = file < 0 ? 0 : pread(file, head, sizeof head, 0);
    bool runs = (size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) ||
                (size >= 4 && head[0] == '#' && head[1] == '!');
    node->runs = runs;
    node->runs_here = runs && view->trap != NULL && runs_here(head, (size_t)size);
    return runs;
}

static bool find_program(struct view *view, guint64 id, struct exec_call *call)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_mutex_lock(&view->lock);
    struct node *node = node_get(view, id);
    bool ok = node != NULL && node_path(node, path) && may_run(view, node);
    call->executed = node;
    call->runs = ok && node->runs_here;
    g_mutex_unlock(&view->lock);
    call->program = g_string_free(g_steal_pointer(&path), FALSE);
    return ok;
}

/* --- the trap --------------------------------------------------------------------------------- */

/* Names that mean another file to another program than the one that uses them. */
static bool is_own_name(const char *name)
{
    return g_str_has_prefix(name, "/proc/") || g_str_has_prefix(name, "/dev/fd/") ||
           g_str_has_prefix(name, "/dev/std");
}

static bool can_divert(const struct view *view, const struct exec_call *call)
{
    return view->trap != NULL && call->name != NULL && call->process != 0 && !call->at &&
           !call->interprets && !call->released && call->runs && !is_own_name(call->name) &&
           callers_shares_mounts(view->callers, call->process);
}

static char *divert(struct view *view, const struct exec_call *call)
{
    const struct view_call shown = {
        .process = call->process,
        .start = call->start,
        .name = call->name,
        .program = call->program,
        .argv = call->argv,
        .environment = call->environment,
    };
    char *text = can_divert(view, call) ? view->trap->divert(&shown, view->trap->user) : NULL;
    if (text != NULL)
        callers_divert(view->callers, call);
    return text;
}

static void look_at_call(struct request *request, const struct fuse_in_header *header)
{
    struct view *view = request->view;
    struct exec_call call = { 0 };
    if (find_program(view, header->nodeid, &call)) {
        read_call(view->callers, header->pid, &call);
        callers_exec(view->callers, header->pid, &call);
        request->diversion = divert(view, &call);
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
        look_at_call(&request, header);
        int rc = view_dispatch(&request, header, size);
        if (rc != VIEW_NO_REPLY)
            view_send(&request, header->unique, rc);
        g_clear_pointer(&request.diversion, g_free);
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

bool exec_look(struct request *request, const void *message, size_t size)
{
    struct view *view = request->view;
    const struct fuse_in_header *header = message;
    const struct fuse_open_in *in = (const void *)(header + 1);
    if (size != sizeof *header + sizeof *in || header->opcode != FUSE_OPEN ||
        (in->flags & VIEW_FMODE_EXEC) == 0 || header->pid == 0 || !callers_watch(view->callers))
        return false;
    bool last = g_atomic_int_add(&view->execs_here, 1) + 2 > (int)view->thread_count;
    if (!last)
        look_at_call(request, header);
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
