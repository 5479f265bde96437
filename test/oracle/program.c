// SPDX-License-Identifier: Apache-2.0
/* Programs as text: printing and parsing, after the signature of each kind of operation. */
#include "oracle.h"

#include <stdio.h>
#include <string.h>

static const struct kind *const all_kinds[] = { file_kinds,   name_kinds, attribute_kinds,
                                                lock_kinds,   list_kinds, memory_kinds,
                                                process_kinds };

const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(all_kinds); i++) {
        for (const struct kind *kind = all_kinds[i]; kind->name != NULL; kind++) {
            if (g_str_equal(kind->name, name))
                return kind;
        }
    }
    return NULL;
}

static void op_clear(void *data)
{
    struct op *op = data;
    for (size_t i = 0; i < ARGUMENTS; i++)
        g_free(op->arguments[i].text);
}

struct program *program_new(const char *name)
{
    struct program *program = g_new0(struct program, 1);
    program->name = g_strdup(name);
    program->ops = g_array_new(FALSE, TRUE, sizeof(struct op));
    g_array_set_clear_func(program->ops, op_clear);
    return program;
}

void program_free(struct program *program)
{
    if (program == NULL)
        return;
    g_free(program->name);
    g_array_unref(program->ops);
    g_free(program);
}

/* --- printing ----------------------------------------------------------------------------------
 */

/* The flags of a table that are in `value`, the rest in hexadecimal; "0" if there are none. */
static void print_flags(const struct flag *flags, guint64 value, GString *out)
{
    const char *between = "";
    guint64 rest = value;
    for (; flags != NULL && flags->name != NULL; flags++) {
        if (flags->value == 0 ? value != 0 : (rest & flags->value) != flags->value)
            continue;
        g_string_append_printf(out, "%s%s", between, flags->name);
        between = "|";
        rest &= ~flags->value;
    }
    if (rest != 0 || *between == '\0')
        g_string_append_printf(out, "%s%s%" G_GINT64_MODIFIER "x", between, rest != 0 ? "0x" : "",
                               rest);
}

static void print_argument(const struct kind *kind, char letter, const struct argument *argument,
                           GString *out)
{
    g_autofree char *text = argument->text == NULL ? NULL : escape(argument->text);
    switch (letter) {
    case 's':
        g_string_append_printf(out, " %%%d", (int)argument->number);
        break;
    case 'm':
        g_string_append_printf(out, " m%d", (int)argument->number);
        break;
    case 'p':
    case 't':
        g_string_append_printf(out, " \"%s\"", text);
        break;
    case 'o':
        g_string_append_printf(out, " %o", (unsigned)argument->number);
        break;
    case 'f':
        g_string_append_c(out, ' ');
        print_flags(kind->flags, (guint64)argument->number, out);
        break;
    default:
        g_string_append_printf(out, " %" G_GINT64_FORMAT, argument->number);
    }
}

void program_print(const struct program *program, GString *out)
{
    g_string_append_printf(out, "program %s\n", program->name);
    for (guint i = 0; i < program->ops->len; i++) {
        const struct op *op = &g_array_index(program->ops, struct op, i);
        if (op->process == HOST)
            g_string_append(out, "host ");
        else
            g_string_append_printf(out, "p%u.%u %s", op->process, op->thread,
                                   op->parallel ? "& " : "");
        g_string_append(out, op->kind->name);
        for (size_t a = 0; op->kind->signature[a] != '\0'; a++)
            print_argument(op->kind, op->kind->signature[a], &op->arguments[a], out);
        g_string_append_c(out, '\n');
    }
}

/* --- parsing -----------------------------------------------------------------------------------
 */

static bool parse_flags(const struct flag *flags, const char *word, gint64 *value)
{
    g_auto(GStrv) names = g_strsplit(word, "|", -1);
    *value = 0;
    for (char **name = names; *name != NULL; name++) {
        const struct flag *flag = flags;
        while (flag != NULL && flag->name != NULL && !g_str_equal(flag->name, *name))
            flag++;
        char *end;
        if (flag != NULL && flag->name != NULL)
            *value |= (gint64)flag->value;
        else if (*value |= (gint64)g_ascii_strtoull(*name, &end, 0), end == *name || *end != '\0')
            return false;
    }
    return true;
}

static bool parse_text(const char *word, char **text)
{
    size_t length = strlen(word);
    if (length < 2 || word[0] != '"' || word[length - 1] != '"')
        return false;
    g_autofree char *inner = g_strndup(word + 1, length - 2);
    *text = unescape(inner);
    return *text != NULL;
}

static bool parse_argument(const struct kind *kind, char letter, const char *word,
                           struct argument *argument)
{
    char *end;
    gint64 limit = letter == 's' ? SLOTS : letter == 'm' ? MAPS : G_MAXINT64;
    switch (letter) {
    case 'p':
    case 't':
        return parse_text(word, &argument->text);
    case 'f':
        return parse_flags(kind->flags, word, &argument->number);
    case 's':
    case 'm':
        if (*word++ != (letter == 's' ? '%' : 'm'))
            return false;
    }
    argument->number = g_ascii_strtoll(word, &end, letter == 'o' ? 8 : 10);
    return end != word && *end == '\0' && argument->number < limit;
}

static bool parse_actor(const char *word, struct op *op)
{
    unsigned process, thread;
    if (g_str_equal(word, "host")) {
        op->process = HOST;
        return true;
    }
    if (sscanf(word, "p%u.%u", &process, &thread) != 2 || process >= PROCESSES || thread >= THREADS)
        return false;
    op->process = (guint8)process;
    op->thread = (guint8)thread;
    return true;
}

static bool parse_op(const char *line, struct op *op)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    char **word = words;
    if (*word == NULL || !parse_actor(*word++, op) || *word == NULL)
        return false;
    if (g_str_equal(*word, "&")) {
        op->parallel = true;
        word++;
    }
    op->kind = *word == NULL ? NULL : kind_find(*word++);
    if (op->kind == NULL)
        return false;
    for (size_t a = 0; op->kind->signature[a] != '\0'; a++, word++) {
        if (*word == NULL ||
            !parse_argument(op->kind, op->kind->signature[a], *word, &op->arguments[a]))
            return false;
    }
    return *word == NULL;
}

GPtrArray *programs_parse(const char *text, const char *where, GError **error)
{
    g_autoptr(GPtrArray) programs = g_ptr_array_new_with_free_func((GDestroyNotify)program_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    struct program *program = NULL;
    for (unsigned i = 0; lines[i] != NULL; i++) {
        struct op op = { 0 };
        if (lines[i][0] == '\0' || lines[i][0] == '#')
            continue;
        if (g_str_has_prefix(lines[i], "program ")) {
            program = program_new(lines[i] + strlen("program "));
            g_ptr_array_add(programs, program);
        } else if (program != NULL && parse_op(lines[i], &op)) {
            g_array_append_val(program->ops, op);
        } else {
            op_clear(&op);
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%u: not an operation: %s",
                        where, i + 1, lines[i]);
            return NULL;
        }
    }
    return g_steal_pointer(&programs);
}
