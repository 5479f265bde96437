// SPDX-License-Identifier: Apache-2.0
/* Traces as text: lines of JSON for programs, a tree of processes for people. */
#include "trace/trace-internal.h"

#include "base/path.h"

#include <string.h>

/* --- JSON ------------------------------------------------------------------------------------- */

/* JSON holds Unicode only: bytes that are not UTF-8 become U+FFFD. */
static void put_text(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(out, '"');
    for (const char *at = valid; *at != '\0'; at++) {
        guint8 byte = (guint8)*at;
        if (byte == '"' || byte == '\\')
            g_string_append_printf(out, "\\%c", byte);
        else if (byte == '\n')
            g_string_append(out, "\\n");
        else if (byte < ' ')
            g_string_append_printf(out, "\\u%04x", byte);
        else
            g_string_append_c(out, *at);
    }
    g_string_append_c(out, '"');
}

/* The next member of an object that is open. */
static void put_name(GString *out, const char *name)
{
    if (out->str[out->len - 1] != '{')
        g_string_append_c(out, ',');
    g_string_append_printf(out, "\"%s\":", name);
}

static void put_member(GString *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    put_name(out, name);
    put_text(out, text);
}

static void put_number(GString *out, const char *name, guint64 value)
{
    put_name(out, name);
    g_string_append_printf(out, "%" G_GUINT64_FORMAT, value);
}

static void put_texts(GString *out, const char *name, char *const *texts)
{
    put_name(out, name);
    g_string_append_c(out, '[');
    for (char *const *text = texts; *text != NULL; text++) {
        if (text != texts)
            g_string_append_c(out, ',');
        put_text(out, *text);
    }
    g_string_append_c(out, ']');
}

static void put_process(GString *out, const struct trace *trace, guint32 number)
{
    const struct trace_process *process = trace_process(trace, number);
    g_string_append_c(out, '{');
    put_number(out, "process", number);
    if (process->parent != 0)
        put_number(out, "parent", process->parent);
    put_number(out, "pid", process->pid);
    put_number(out, "start", process->start);
    put_member(out, "program", process->program);
    put_member(out, "directory", process->directory);
    put_texts(out, "argv", process->argv);
    put_texts(out, "environment", process->environment);
    g_string_append(out, "}\n");
}

/* {"kind":1,"content":2}: which process asked first. */
static void put_aspects(GString *out, const struct trace_fact *fact)
{
    put_name(out, "aspects");
    g_string_append_c(out, '{');
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
        if ((fact->aspects & 1u << bit) != 0)
            put_number(out, trace_aspect_name((enum trace_aspect)(1u << bit)), fact->asked[bit]);
    g_string_append_c(out, '}');
}

static void put_opened(GString *out, const struct trace_value *value)
{
    char hash[DIGEST_HASH_SIZE * 2 + 1];
    if (value->unreadable) {
        put_name(out, "unreadable");
        g_string_append(out, "true");
        return;
    }
    put_member(out, "hash", digest_print_hash(&value->digest, hash));
    put_number(out, "size", (guint64)value->digest.size);
}

static void put_fact(GString *out, const struct trace_fact *fact)
{
    const struct trace_value *value = &fact->value;
    unsigned told = fact->aspects & trace_kind_aspects(value->kind);
    char mode[8];
    g_string_append_c(out, '{');
    put_member(out, "path", fact->path);
    put_aspects(out, fact);
    put_member(out, "kind", trace_kind_name(value->kind));
    g_snprintf(mode, sizeof mode, "%04o", value->mode & 07777);
    put_member(out, "mode", (told & TRACE_CONTENT) != 0 ? mode : NULL);
    if ((told & TRACE_NAMES) != 0 || ((told & TRACE_CONTENT) != 0 && value->kind == TRACE_FILE))
        put_opened(out, value);
    put_member(out, "target", (told & TRACE_TARGET) != 0 ? value->target : NULL);
    if ((told & TRACE_TIME) != 0)
        put_number(out, "rank", (guint64)value->time);
    put_member(out, "xattrs", (told & TRACE_XATTRS) != 0 ? value->xattrs : NULL);
    if (fact->unstable) {
        put_name(out, "unstable");
        g_string_append(out, "true");
    }
    g_string_append(out, "}\n");
}

static const struct {
    enum trace_write what;
    const char *name;
} write_names[] = {
    { TRACE_CREATED, "created" }, { TRACE_WROTE, "wrote" },           { TRACE_REMOVED, "removed" },
    { TRACE_RENAMED, "renamed" }, { TRACE_ATTRIBUTES, "attributes" },
};

static void put_written(GString *out, const struct trace_written *written)
{
    char *names[G_N_ELEMENTS(write_names) + 1];
    guint count = 0;
    for (guint i = 0; i < G_N_ELEMENTS(write_names); i++)
        if ((written->what & write_names[i].what) != 0)
            names[count++] = (char *)write_names[i].name;
    names[count] = NULL;
    g_string_append_c(out, '{');
    put_member(out, "written", written->path);
    put_number(out, "process", written->process);
    put_texts(out, "what", names);
    g_string_append(out, "}\n");
}

/* --- whose? ----------------------------------------------------------------------------------- */

/* Per process number: is it `top` or below it? Everything is below 0. */
static bool *select_processes(const struct trace *trace, guint32 top)
{
    guint32 count = trace_process_count(trace);
    bool *selected = g_new0(bool, count + 1);
    selected[0] = top == 0;
    for (guint32 i = 1; i <= count; i++) /* a parent has a lower number */
        selected[i] = top == 0 || i == top || selected[trace_process(trace, i)->parent];
    return selected;
}

static bool is_asked_by(const struct trace_fact *fact, const bool *selected)
{
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
        if ((fact->aspects & 1u << bit) != 0 && selected[fact->asked[bit]])
            return true;
    return false;
}

char *trace_print_lines(const struct trace *trace, guint32 process)
{
    GString *out = g_string_new(NULL);
    g_autofree bool *selected = select_processes(trace, process);
    for (guint32 i = 1; i <= trace_process_count(trace); i++)
        if (selected[i])
            put_process(out, trace, i);
    for (size_t i = 0; i < trace_fact_count(trace); i++)
        if (is_asked_by(trace_fact(trace, i), selected))
            put_fact(out, trace_fact(trace, i));
    for (size_t i = 0; i < trace_written_count(trace); i++)
        if (selected[trace_written(trace, i)->process])
            put_written(out, trace_written(trace, i));
    g_autofree char *refusal = process == 0 ? trace_refusal(trace) : NULL;
    if (refusal != NULL) {
        g_string_append_c(out, '{');
        put_member(out, "uncacheable", refusal);
        g_string_append(out, "}\n");
    }
    return g_string_free(out, FALSE);
}

/* --- the tree --------------------------------------------------------------------------------- */

#define INDENT 2

struct tree_printer {
    const struct trace *trace;
    GString *out;
    GArray **facts;   /* per process: size_t indexes of facts */
    GArray **written; /* the same of writes */
    GArray **children;
};

static void add_index(GArray **lists, guint32 process, size_t index)
{
    if (lists[process] == NULL)
        lists[process] = g_array_new(FALSE, FALSE, sizeof index);
    g_array_append_val(lists[process], index);
}

static guint list_length(const GArray *list)
{
    return list == NULL ? 0 : list->len;
}

static void put_line(struct tree_printer *printer, guint depth, const char *word, const char *path,
                     const char *more)
{
    g_autofree char *name = path_quote(*path == '\0' ? "." : path);
    g_string_append_printf(printer->out, "%*s%-8s %s%s\n", (int)depth * INDENT, "", word, name,
                           more);
}

/* The strongest of what this process was the first to learn; a walk through directories is none. */
static void print_fact(struct tree_printer *printer, guint depth, guint32 process,
                       const struct trace_fact *fact)
{
    unsigned first = 0;
    for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
        if ((fact->aspects & 1u << bit) != 0 && fact->asked[bit] == process)
            first |= 1u << bit;
    const char *more = fact->unstable ? "   (changed meanwhile)" : "";
    if ((first & TRACE_ABSENT) != 0)
        put_line(printer, depth, "absent", fact->path, more);
    if ((first & TRACE_CONTENT) != 0)
        put_line(printer, depth, fact->value.kind == TRACE_FILE ? "read" : "status", fact->path,
                 more);
    if ((first & TRACE_NAMES) != 0)
        put_line(printer, depth, "listed", fact->path, more);
    if ((first & TRACE_TARGET) != 0 && fact->value.target != NULL) {
        g_autofree char *target = path_quote(fact->value.target);
        g_autofree char *arrow = g_strconcat(" -> ", target, more, NULL);
        put_line(printer, depth, "link", fact->path, arrow);
    }
    if ((first & TRACE_TIME) != 0 && (first & TRACE_CONTENT) == 0)
        put_line(printer, depth, "time", fact->path, more);
    if ((first & TRACE_XATTRS) != 0)
        put_line(printer, depth, "xattrs", fact->path, more);
    if (first == TRACE_KIND && fact->aspects == TRACE_KIND &&
        (fact->value.kind != TRACE_DIRECTORY || fact->unstable))
        put_line(printer, depth, "found", fact->path, more);
}

static void print_written(struct tree_printer *printer, guint depth,
                          const struct trace_written *written)
{
    bool removed = (written->what & (TRACE_REMOVED | TRACE_CREATED)) == TRACE_REMOVED;
    bool wrote = (written->what & (TRACE_CREATED | TRACE_WROTE)) != 0;
    put_line(printer, depth,
             removed ? "removed"
             : wrote ? "wrote"
                     : "changed",
             written->path, removed && (written->what & TRACE_RENAMED) != 0 ? "   (renamed)" : "");
}

/* As a shell would take it, if it is printable. */
static void put_argument(GString *out, const char *argument)
{
    g_autofree char *quoted = path_quote(argument);
    bool plain = *argument != '\0' && strpbrk(argument, " '\"\\$`&|;<>()*?[]#~!{}") == NULL;
    g_autofree char *text =
        plain || strcmp(quoted, argument) != 0 ? g_strdup(quoted) : g_shell_quote(argument);
    g_string_append_printf(out, " %s", text);
}

static void print_process_line(struct tree_printer *printer, guint depth, guint32 number)
{
    const struct trace_process *process = trace_process(printer->trace, number);
    g_string_append_printf(printer->out, "%*s%u", (int)depth * INDENT, "", number);
    for (char **argument = process->argv; *argument != NULL; argument++)
        put_argument(printer->out, *argument);
    if (*process->argv == NULL && process->program != NULL) {
        g_autofree char *text = path_quote(process->program);
        g_string_append_printf(printer->out, " %s", text);
    }
    g_string_append_printf(printer->out, "   (pid %u)\n", process->pid);
}

static void print_process(struct tree_printer *printer, guint depth, guint32 number)
{
    const GArray *facts = printer->facts[number], *written = printer->written[number];
    gsize start = printer->out->len;
    if (number != 0)
        print_process_line(printer, depth, number);
    for (guint i = 0; i < list_length(facts); i++)
        print_fact(printer, depth + 1, number,
                   trace_fact(printer->trace, g_array_index(facts, size_t, i)));
    for (guint i = 0; i < list_length(written); i++)
        print_written(printer, depth + 1,
                      trace_written(printer->trace, g_array_index(written, size_t, i)));
    if (number == 0 && printer->out->len > start)
        g_string_insert(printer->out, (gssize)start, "not known who\n");
}

/* Not by recursion: a process may exec and fork as often as it likes. */
static void print_below(struct tree_printer *printer, guint32 top)
{
    struct position {
        guint32 process;
        guint depth;
    };
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(struct position));
    struct position first = { top, 0 };
    g_array_append_val(stack, first);
    while (stack->len > 0) {
        const struct position at = g_array_index(stack, struct position, stack->len - 1);
        const GArray *children = printer->children[at.process];
        g_array_set_size(stack, stack->len - 1);
        print_process(printer, at.depth, at.process);
        for (guint i = list_length(children); i > 0; i--) {
            const struct position next = {
                .process = (guint32)g_array_index(children, size_t, i - 1),
                .depth = at.process == 0 ? 0 : at.depth + 1,
            };
            g_array_append_val(stack, next);
        }
    }
}

/* As they began: the numbers tell when one was first seen to ask. */
static gint compare_beginnings(gconstpointer a, gconstpointer b, gpointer user)
{
    const size_t *one = a, *other = b;
    const struct trace_process *first = trace_process(user, (guint32)*one);
    const struct trace_process *second = trace_process(user, (guint32)*other);
    if (first->start != second->start)
        return first->start < second->start ? -1 : 1;
    if (first->pid != second->pid)
        return first->pid < second->pid ? -1 : 1;
    return *one < *other ? -1 : *one > *other;
}

static void distribute(struct tree_printer *printer)
{
    const struct trace *trace = printer->trace;
    for (guint32 i = 1; i <= trace_process_count(trace); i++)
        add_index(printer->children, trace_process(trace, i)->parent, i);
    for (guint32 i = 0; i <= trace_process_count(trace); i++)
        if (printer->children[i] != NULL)
            g_array_sort_with_data(printer->children[i], compare_beginnings, (gpointer)trace);
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++) {
            const GArray *list = printer->facts[fact->asked[bit]];
            bool listed = list != NULL && g_array_index(list, size_t, list->len - 1) == i;
            if ((fact->aspects & 1u << bit) != 0 && !listed)
                add_index(printer->facts, fact->asked[bit], i);
        }
    }
    for (size_t i = 0; i < trace_written_count(trace); i++)
        add_index(printer->written, trace_written(trace, i)->process, i);
}

static void free_lists(GArray **lists, guint32 count)
{
    for (guint32 i = 0; i <= count; i++)
        g_clear_pointer(&lists[i], g_array_unref);
    g_free(lists);
}

char *trace_print_tree(const struct trace *trace, guint32 process)
{
    guint32 count = trace_process_count(trace);
    struct tree_printer printer = {
        .trace = trace,
        .out = g_string_new(NULL),
        .facts = g_new0(GArray *, count + 1),
        .written = g_new0(GArray *, count + 1),
        .children = g_new0(GArray *, count + 1),
    };
    distribute(&printer);
    print_below(&printer, process);
    free_lists(printer.facts, count);
    free_lists(printer.written, count);
    free_lists(printer.children, count);
    g_autofree char *refusal = process == 0 ? trace_refusal(trace) : NULL;
    if (refusal != NULL)
        g_string_append_printf(printer.out, "not to be reused: %s\n", refusal);
    return g_string_free(printer.out, FALSE);
}
