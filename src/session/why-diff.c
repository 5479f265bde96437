// SPDX-License-Identifier: Apache-2.0
/*
 * What changed in a text, line by line: the longest common subsequence of what is left when common
 * lines at both ends are taken off. The table is bounded; where it would be too large all of the
 * middle counts as replaced.
 */
#include "session/session-internal.h"

#include <string.h>

enum {
    TABLE_MAX = 1 << 20, /* cells */
    LINE_SHOWN = 160,    /* bytes */
};

struct line {
    const char *text; /* without the newline */
    size_t size;
};

struct side {
    GArray *lines; /* struct line */
    guint from, to;
};

struct writer {
    GString *text;
    guint lines, most, more;
};

static GArray *split(GBytes *bytes)
{
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(struct line));
    size_t size;
    const char *at = g_bytes_get_data(bytes, &size), *end = at + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const struct line line = { at, (size_t)((newline == NULL ? end : newline) - at) };
        g_array_append_val(lines, line);
        at = newline == NULL ? end : newline + 1;
    }
    return lines;
}

static const struct line *line_at(const struct side *side, guint index)
{
    return &g_array_index(side->lines, struct line, index);
}

static bool is_equal(const struct side *a, guint i, const struct side *b, guint j)
{
    const struct line *x = line_at(a, i), *y = line_at(b, j);
    return x->size == y->size && memcmp(x->text, y->text, x->size) == 0;
}

static void trim(struct side *a, struct side *b)
{
    while (a->from < a->to && b->from < b->to && is_equal(a, a->from, b, b->from)) {
        a->from++;
        b->from++;
    }
    while (a->from < a->to && b->from < b->to && is_equal(a, a->to - 1, b, b->to - 1)) {
        a->to--;
        b->to--;
    }
}

static void write_line(struct writer *out, char mark, const struct line *line)
{
    if (out->lines >= out->most) {
        out->more++;
        return;
    }
    out->lines++;
    size_t size = MIN(line->size, LINE_SHOWN);
    g_autofree char *valid = g_utf8_make_valid(line->text, (gssize)size);
    for (char *at = valid; *at != '\0'; at++) /* nothing that a terminal would obey */
        if ((guchar)*at < ' ' && *at != '\t')
            *at = '?';
    g_string_append_printf(out->text, "    %c%s%s\n", mark, valid, size < line->size ? "…" : "");
}

static void write_range(struct writer *out, char mark, const struct side *side, guint from,
                        guint to)
{
    for (guint i = from; i < to; i++)
        write_line(out, mark, line_at(side, i));
}

/* lengths[i][j]: of the longest common subsequence of what follows lines i and j. */
static guint32 *make_table(const struct side *a, const struct side *b, guint rows, guint columns)
{
    guint32 *lengths = g_new0(guint32, (gsize)(rows + 1) * (columns + 1));
    for (guint i = rows; i-- > 0;)
        for (guint j = columns; j-- > 0;) {
            gsize at = (gsize)i * (columns + 1) + j, below = at + columns + 1;
            lengths[at] = is_equal(a, a->from + i, b, b->from + j)
                              ? lengths[below + 1] + 1
                              : MAX(lengths[below], lengths[at + 1]);
        }
    return lengths;
}

static void write_common(struct writer *out, const struct side *a, const struct side *b)
{
    guint rows = a->to - a->from, columns = b->to - b->from, i = 0, j = 0;
    g_autofree guint32 *lengths = make_table(a, b, rows, columns);
    while (i < rows || j < columns) {
        gsize at = (gsize)i * (columns + 1) + j;
        if (i < rows && j < columns && is_equal(a, a->from + i, b, b->from + j)) {
            i++;
            j++;
        } else if (i < rows && (j == columns || lengths[at + columns + 1] >= lengths[at + 1])) {
            write_line(out, '-', line_at(a, a->from + i++));
        } else {
            write_line(out, '+', line_at(b, b->from + j++));
        }
    }
}

static bool is_text(GBytes *bytes)
{
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return size == 0 || memchr(data, '\0', size) == NULL;
}

guint why_diff(GBytes *before, GBytes *after, guint most, GString *text)
{
    if (most == 0 || !is_text(before) || !is_text(after))
        return 0;
    g_autoptr(GArray) old = split(before);
    g_autoptr(GArray) new = split(after);
    struct side a = { old, 0, old->len }, b = { new, 0, new->len };
    struct writer out = { .text = text, .most = most };
    trim(&a, &b);
    if (a.from == a.to && b.from == b.to)
        return 0; /* the newline at the end alone */
    g_string_append_printf(text, "    @@ -%u,%u +%u,%u @@\n", a.from + 1, a.to - a.from, b.from + 1,
                           b.to - b.from);
    if ((guint64)(a.to - a.from + 1) * (b.to - b.from + 1) <= TABLE_MAX) {
        write_common(&out, &a, &b);
    } else {
        write_range(&out, '-', &a, a.from, a.to);
        write_range(&out, '+', &b, b.from, b.to);
    }
    if (out.more > 0)
        g_string_append_printf(text, "    (%u more lines)\n", out.more);
    return out.lines;
}
