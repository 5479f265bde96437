// SPDX-License-Identifier: Apache-2.0
/* Escaped bytes, names of errors, digests, answers. */
#include "oracle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- bytes -------------------------------------------------------------------------------------
 */

static bool is_plain(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\';
}

/* How often the first `period` bytes are repeated. */
static unsigned repeats(const char *bytes, size_t period)
{
    unsigned count = 1;
    if (strnlen(bytes, period) < period)
        return 0;
    while (strncmp(bytes, bytes + count * period, period) == 0)
        count++;
    return count;
}

/* Long repetitions are written as \{BYTES*COUNT}: names of 255 bytes stay readable. */
char *escape(const char *bytes)
{
    GString *out = g_string_new(NULL);
    while (*bytes != '\0') {
        unsigned ones = repeats(bytes, 1), twos = repeats(bytes, 2);
        if (ones > 16) {
            g_string_append_printf(out, "\\{%02x*%u}", (unsigned char)*bytes, ones);
            bytes += ones;
        } else if (twos > 8) {
            g_string_append_printf(out, "\\{%02x%02x*%u}", (unsigned char)bytes[0],
                                   (unsigned char)bytes[1], twos);
            bytes += 2 * (size_t)twos;
        } else if (is_plain((unsigned char)*bytes)) {
            g_string_append_c(out, *bytes++);
        } else {
            g_string_append_printf(out, "\\%02x", (unsigned char)*bytes++);
        }
    }
    return g_string_free(out, FALSE);
}

char *unescape(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    while (*text != '\0') {
        unsigned one = 0, two = 0, count = 1;
        int used = 0;
        if (*text != '\\') {
            g_string_append_c(out, *text++);
            continue;
        }
        if ((sscanf(text, "\\{%2x*%5u}%n", &one, &count, &used) < 2 || used == 0) &&
            (sscanf(text, "\\{%2x%2x*%5u}%n", &one, &two, &count, &used) < 3 || used == 0)) {
            count = 1;
            if (sscanf(text, "\\%2x%n", &one, &used) < 1 || used != 3)
                return NULL;
        }
        for (unsigned i = 0; i < count; i++) {
            g_string_append_c(out, (char)one);
            if (two != 0)
                g_string_append_c(out, (char)two);
        }
        text += used;
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

char *escape_path(const char *root, const char *text)
{
    size_t length = strlen(root);
    GString *name = g_string_new("@");
    /* The two sides differ above the root too, where ".." leads. */
    for (int above = 0; above < 5 && length > 1; above++) {
        if (strncmp(text, root, length) == 0 && (text[length] == '/' || text[length] == '\0')) {
            g_autofree char *rest = escape(text + length);
            return g_string_free(g_string_append(name, rest), FALSE);
        }
        while (length > 1 && root[--length] != '/')
            continue;
        g_string_append(name, "/..");
    }
    g_string_free(name, TRUE);
    return escape(text);
}

const char *errno_name(int number)
{
    const char *name = strerrorname_np(number);
    return name != NULL ? name : "E?";
}

/* FNV-1a over 8 bytes at a time: fast, and no enemy is about. */
guint64 digest_bytes(guint64 digest, const void *data, size_t size)
{
    const guint8 *bytes = data;
    for (; size >= 8; bytes += 8, size -= 8) {
        guint64 word;
        memcpy(&word, bytes, 8);
        digest = (digest ^ word) * 0x100000001b3ULL;
        digest ^= digest >> 29;
    }
    for (; size > 0; bytes++, size--)
        digest = (digest ^ *bytes) * 0x100000001b3ULL;
    return digest;
}

static bool is_zero(const char *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* Whole blocks, unless the file ends; -1 on error. */
static ssize_t read_block(int file, char *buffer, size_t size, gint64 offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file, buffer + done, size - done, offset + (gint64)done);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

guint64 digest_file(int file, gint64 *size)
{
    enum {
        BLOCK = 4096
    };
    static _Thread_local char buffer[16 * BLOCK];
    guint64 digest = DIGEST_START;
    gint64 offset = 0;
    ssize_t got;
    while ((got = read_block(file, buffer, sizeof buffer, offset)) > 0) {
        for (gint64 at = 0; at < got; at += BLOCK) {
            size_t length = (size_t)MIN(got - at, BLOCK);
            gint64 place = offset + at;
            if (is_zero(buffer + at, length))
                continue;
            digest = digest_bytes(digest, &place, sizeof place);
            digest = digest_bytes(digest, buffer + at, length);
        }
        offset += got;
    }
    *size = got < 0 ? -1 : offset;
    return digest;
}

void pattern_fill(void *data, size_t size, gint64 value)
{
    guint8 *bytes = data;
    guint64 state = (guint64)value * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = (guint8)(state >> 56 | 1); /* never 0, which is what holes read as */
    }
}

/* --- answers -----------------------------------------------------------------------------------
 */

void answer_add(struct answer *answer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    size_t length = strlen(text), space = ANSWER_SIZE - answer->length - 1;
    char digest[24];
    if (length > space || length > 300) {
        guint64 sum = digest_bytes(DIGEST_START, text, length);
        length = (size_t)snprintf(digest, sizeof digest, " #%016" G_GINT64_MODIFIER "x", sum);
    }
    if (length > space) /* too many small pieces; the last one stands for the rest */
        answer->length = ANSWER_SIZE - 1 - (guint32)length;
    memcpy(answer->text + answer->length, length == strlen(text) ? text : digest, length);
    answer->length += (guint32)length;
    answer->text[answer->length] = '\0';
}

bool answer_status(struct answer *answer, gint64 value)
{
    answer_add(answer, "%s", value >= 0 ? "ok" : errno_name(errno));
    return value >= 0;
}

bool answer_number(struct answer *answer, gint64 value)
{
    if (value < 0)
        return answer_status(answer, value);
    answer_add(answer, "%" G_GINT64_FORMAT, value);
    return true;
}

void answer_path(struct answer *answer, const struct actor *actor, const char *text)
{
    g_autofree char *escaped = escape_path(actor->root, text);
    answer_add(answer, " %s", escaped);
}

static int compare_words(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void answer_words(struct answer *answer, GPtrArray *words)
{
    g_ptr_array_sort(words, compare_words);
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < words->len; i++)
        g_string_append_printf(all, " %s", (char *)words->pdata[i]);
    answer_add(answer, " [%u]", words->len);
    answer_add(answer, "%s", all->str);
}

const char *kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "char";
    default:
        return "other";
    }
}
