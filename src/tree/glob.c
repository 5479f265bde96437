// SPDX-License-Identifier: Apache-2.0
/*
 * Selection of paths by ordered patterns.
 *
 * A pattern is compiled to parts, one a component, and matched part by part. As soon as the parts
 * are used up the pattern has matched the path or a parent of it. Both levels, components under
 * a double star and characters under a star, need to go back to the latest star only: whatever
 * an earlier one could still take, the latest could take too. So time is bounded by
 * pattern size times path size.
 */
#include "tree/glob.h"

#include "base/fault.h"
#include "base/path.h"

#include <string.h>

struct part {
    enum part_kind {
        PART_LITERAL,    /* exactly `text` */
        PART_WILDCARD,   /* one component that `text` matches */
        PART_ANY_NUMBER, /* a double star: any number of components */
    } kind;
    char *text;
};

struct pattern {
    GArray *parts; /* of struct part; none: the root, so everything */
    bool negative;
    bool directories_only;
};

struct glob {
    GArray *patterns; /* of struct pattern */
};

static void clear_part(void *part)
{
    g_free(((struct part *)part)->text);
}

static void clear_pattern(void *pattern)
{
    g_array_unref(((struct pattern *)pattern)->parts);
}

static GArray *new_parts(void)
{
    GArray *parts = g_array_new(FALSE, FALSE, sizeof(struct part));
    g_array_set_clear_func(parts, clear_part);
    return parts;
}

struct glob *glob_new(void)
{
    struct glob *glob = g_new(struct glob, 1);
    glob->patterns = g_array_new(FALSE, FALSE, sizeof(struct pattern));
    g_array_set_clear_func(glob->patterns, clear_pattern);
    return glob;
}

void glob_free(struct glob *glob)
{
    if (glob == NULL)
        return;
    g_array_unref(glob->patterns);
    g_free(glob);
}

bool glob_is_pattern(const char *text)
{
    if (*text == '!')
        return true;
    for (; *text != '\0'; text++) {
        if (strchr("*?[", *text) != NULL)
            return true;
        if (*text == '\\' && text[1] != '\0')
            text++;
    }
    return false;
}

/* --- one component ---------------------------------------------------------------------------- */

/* A character, or a byte that is none as a number that no character has. */
static gunichar next_character(const char **at)
{
    guint8 byte = (guint8) * *at;
    gunichar character = byte;
    if (byte >= 0x80)
        character = g_utf8_get_char_validated(*at, -1);
    if (character >= (gunichar)-2) {
        ++*at;
        return 0x110000 + byte;
    }
    *at = g_utf8_next_char(*at);
    return character;
}

/* The next character of a pattern, which a backslash before it makes literal; false at the end. */
static bool take_character(const char **at, gunichar *character)
{
    if (**at == '\\')
        ++*at;
    if (**at == '\0')
        return false;
    *character = next_character(at);
    return true;
}

/* "[:alpha:]" at *at: step over it and say whether it holds `character`. */
static bool take_class(const char **at, gunichar character, bool *holds)
{
    static const struct {
        const char *name;
        guint16 types;
    } classes[] = {
        { "[:alnum:]", G_ASCII_ALNUM },   { "[:alpha:]", G_ASCII_ALPHA },
        { "[:cntrl:]", G_ASCII_CNTRL },   { "[:digit:]", G_ASCII_DIGIT },
        { "[:graph:]", G_ASCII_GRAPH },   { "[:lower:]", G_ASCII_LOWER },
        { "[:print:]", G_ASCII_PRINT },   { "[:punct:]", G_ASCII_PUNCT },
        { "[:space:]", G_ASCII_SPACE },   { "[:upper:]", G_ASCII_UPPER },
        { "[:xdigit:]", G_ASCII_XDIGIT },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++)
        if (g_str_has_prefix(*at, classes[i].name)) {
            *at += strlen(classes[i].name);
            *holds = character < 0x80 && (g_ascii_table[character] & classes[i].types) != 0;
            return true;
        }
    return false;
}

/* A bracket expression at *at: step over it, say whether it holds `character`. False: not closed.
 */
static bool take_bracket(const char **at, gunichar character, bool *holds)
{
    ++*at;
    bool negative = **at == '!' || **at == '^', found = false, one;
    if (negative)
        ++*at;
    for (bool first = true; first || **at != ']'; first = false) {
        if (!take_class(at, character, &one)) {
            gunichar low, high;
            if (!take_character(at, &low))
                return false;
            high = low;
            if (**at == '-' && (*at)[1] != ']') {
                ++*at;
                if (!take_character(at, &high))
                    return false;
            }
            one = low <= character && character <= high;
        }
        found = found || one;
    }
    ++*at;
    *holds = found != negative;
    return true;
}

/* Does the pattern at *at, which is no star, match the one character? Steps over it. */
static bool match_character(const char **at, gunichar character)
{
    bool holds = true;
    gunichar wanted;
    if (**at == '[')
        return take_bracket(at, character, &holds) && holds;
    if (**at != '?')
        return take_character(at, &wanted) && wanted == character;
    ++*at;
    return true;
}

static bool wildcard_matches(const char *pattern, const char *name, size_t length)
{
    const char *end = name + length;
    const char *star = NULL, *star_name = NULL; /* behind the latest star; where it stops */
    while (name < end || *pattern != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            star_name = name;
            continue;
        }
        if (name < end && *pattern != '\0' && match_character(&pattern, next_character(&name)))
            continue;
        if (star == NULL || star_name == end)
            return false;
        next_character(&star_name);
        name = star_name;
        pattern = star;
    }
    return true;
}

static bool part_matches(const struct part *part, const char *name, size_t length)
{
    if (part->kind == PART_WILDCARD)
        return wildcard_matches(part->text, name, length);
    return strncmp(part->text, name, length) == 0 && part->text[length] == '\0';
}

/* --- paths ------------------------------------------------------------------------------------ */

/* The component that `path` begins with, "" at the end. */
static const char *next_component(const char *path)
{
    path += strcspn(path, "/");
    return *path == '/' ? path + 1 : path;
}

static const struct part *part_at(const struct pattern *pattern, guint index)
{
    return &g_array_index(pattern->parts, struct part, index);
}

/* Does it match `path` or a parent of it? The leftmost match ends first, which is as good as any.
 */
static bool pattern_matches(const struct pattern *pattern, const char *path, bool is_directory)
{
    guint part = 0, star = 0; /* `star`: the part behind the latest double star; 0: none yet */
    const char *star_path = NULL;
    while (part < pattern->parts->len) {
        const struct part *wanted = part_at(pattern, part);
        if (wanted->kind == PART_ANY_NUMBER) {
            star = ++part;
            star_path = path;
        } else if (*path == '\0') {
            return false;
        } else if (part_matches(wanted, path, strcspn(path, "/"))) {
            path = next_component(path);
            part++;
        } else if (star == 0) {
            return false;
        } else {
            path = star_path = next_component(star_path);
            part = star;
        }
    }
    return *path != '\0' || is_directory || !pattern->directories_only;
}

/* Could it match something below directory `path`, or does it match path or a parent of it? */
static bool pattern_reaches(const struct pattern *pattern, const char *path)
{
    for (guint i = 0; i < pattern->parts->len; i++) {
        const struct part *wanted = part_at(pattern, i);
        if (*path == '\0' || wanted->kind == PART_ANY_NUMBER)
            return true;
        if (!part_matches(wanted, path, strcspn(path, "/")))
            return false;
        path = next_component(path);
    }
    return true;
}

static const struct pattern *pattern_at(const struct glob *glob, guint index)
{
    return &g_array_index(glob->patterns, struct pattern, index);
}

/* What becomes of paths that no pattern matches. */
static bool is_selected_by_default(const struct glob *glob)
{
    return glob->patterns->len == 0 || pattern_at(glob, 0)->negative;
}

bool glob_match(const struct glob *glob, const char *path, bool is_directory)
{
    for (guint i = glob->patterns->len; i > 0; i--)
        if (pattern_matches(pattern_at(glob, i - 1), path, is_directory))
            return !pattern_at(glob, i - 1)->negative;
    return is_selected_by_default(glob);
}

bool glob_may_match_below(const struct glob *glob, const char *path)
{
    for (guint i = glob->patterns->len; i > 0; i--) {
        const struct pattern *pattern = pattern_at(glob, i - 1);
        if (!pattern->negative && pattern_reaches(pattern, path))
            return true;
        if (pattern->negative && pattern_matches(pattern, path, true))
            return false;
    }
    return is_selected_by_default(glob);
}

bool glob_selects_below(const struct glob *glob, const char *path)
{
    for (guint i = glob->patterns->len; i > 0; i--) {
        const struct pattern *pattern = pattern_at(glob, i - 1);
        if (pattern->negative &&
            (pattern_reaches(pattern, path) || pattern_matches(pattern, path, true)))
            return false;
        if (!pattern->negative && pattern_matches(pattern, path, true))
            return true;
    }
    return is_selected_by_default(glob);
}

/* --- compiling -------------------------------------------------------------------------------- */

static bool is_bad(const char *pattern, const char *why, GError **error)
{
    g_autofree char *quoted = path_quote(pattern);
    return fault_set(error, FAULT_USAGE, "bad pattern %s: %s", quoted, why);
}

/* What is wrong with one component, or NULL; *kind is what it is. */
static const char *check_component(const char *text, enum part_kind *kind)
{
    *kind = strcmp(text, "**") == 0 ? PART_ANY_NUMBER : PART_LITERAL;
    while (*text != '\0' && *kind != PART_ANY_NUMBER) {
        bool holds;
        gunichar character;
        if (strchr("*?[", *text) != NULL)
            *kind = PART_WILDCARD;
        if (*text == '[') {
            if (!take_bracket(&text, 0, &holds))
                return "a bracket is not closed";
        } else if (!take_character(&text, &character)) {
            return "nothing follows the backslash";
        }
    }
    return NULL;
}

static char *without_backslashes(const char *text)
{
    GString *plain = g_string_new(NULL);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            text++;
        g_string_append_c(plain, *text);
    }
    return g_string_free(plain, FALSE);
}

static void add_part(GArray *parts, enum part_kind kind, const char *text)
{
    bool doubled = kind == PART_ANY_NUMBER && parts->len > 0 &&
                   g_array_index(parts, struct part, parts->len - 1).kind == PART_ANY_NUMBER;
    struct part part = { kind, NULL };
    part.text = kind == PART_LITERAL ? without_backslashes(text) : g_strdup(text);
    if (doubled)
        clear_part(&part);
    else
        g_array_append_val(parts, part);
}

/* "", "." and ".." as text; true if `name` was one. */
static bool resolve(GArray *parts, const char *name, bool *outside)
{
    if (strcmp(name, "..") == 0) {
        *outside = parts->len == 0;
        g_array_set_size(parts, parts->len - !*outside);
        return true;
    }
    return *name == '\0' || strcmp(name, ".") == 0;
}

static bool add_literal(GArray *parts, const char *path, GError **error)
{
    bool outside = false;
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; *name != NULL; name++) {
        struct part part = { PART_LITERAL, NULL };
        if (resolve(parts, *name, &outside)) {
            if (outside)
                return is_bad(path, "it leaves the root", error);
            continue;
        }
        part.text = g_strdup(*name);
        g_array_append_val(parts, part);
    }
    return true;
}

/* A lone component matches at any depth; "." and ".." stand for one place all the same. */
static bool is_anchored(const char *pattern)
{
    size_t name = strcspn(pattern, "/");
    return pattern[name + strspn(pattern + name, "/")] != '\0' || name == 0 ||
           strncmp(pattern, "..", MAX(name, 1)) == 0;
}

static bool add_components(GArray *parts, const char *pattern, GError **error)
{
    bool outside = false;
    g_auto(GStrv) names = g_strsplit(pattern, "/", -1);
    if (!is_anchored(pattern))
        add_part(parts, PART_ANY_NUMBER, "**");
    for (char **name = names; *name != NULL; name++) {
        enum part_kind kind;
        if (resolve(parts, *name, &outside)) {
            if (outside)
                return is_bad(pattern, "it leaves the root", error);
            continue;
        }
        const char *why = check_component(*name, &kind);
        if (why != NULL)
            return is_bad(pattern, why, error);
        add_part(parts, kind, *name);
    }
    /* A double star at the end means what is inside, at least one component deep. */
    if (parts->len > 0 && g_array_index(parts, struct part, parts->len - 1).kind == PART_ANY_NUMBER)
        add_part(parts, PART_WILDCARD, "*");
    return true;
}

static void append(struct glob *glob, GArray *parts, bool negative, bool directories_only)
{
    struct pattern made = { parts, negative, directories_only };
    g_array_append_val(glob->patterns, made);
}

bool glob_add(struct glob *glob, const char *prefix, const char *pattern, GError **error)
{
    bool negative = *pattern == '!';
    const char *text = pattern + negative;
    if (*text == '\0')
        return is_bad(pattern, "it is empty", error);
    g_autoptr(GArray) parts = new_parts();
    if (!add_literal(parts, prefix, error) || !add_components(parts, text, error))
        return false;
    append(glob, g_steal_pointer(&parts), negative, g_str_has_suffix(text, "/"));
    return true;
}

bool glob_add_path(struct glob *glob, const char *path, bool negative, GError **error)
{
    g_autoptr(GArray) parts = new_parts();
    if (!add_literal(parts, path, error))
        return false;
    append(glob, g_steal_pointer(&parts), negative, false);
    return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void append_byte(GByteArray *out, guint8 byte)
{
    g_byte_array_append(out, &byte, 1);
}

/* First bytes tell patterns from parts, and a NUL ends each text: no two sets have the same bytes.
 */
void glob_encode(const struct glob *glob, GByteArray *out)
{
    for (guint i = 0; i < glob->patterns->len; i++) {
        const struct pattern *pattern = pattern_at(glob, i);
        append_byte(out, (guint8)(1 + pattern->negative + 2 * pattern->directories_only));
        for (guint j = 0; j < pattern->parts->len; j++) {
            const struct part *part = part_at(pattern, j);
            const char *text = part->text == NULL ? "" : part->text;
            append_byte(out, (guint8)(0x10 + part->kind));
            g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text) + 1);
        }
    }
}
