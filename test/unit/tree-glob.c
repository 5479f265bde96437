// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "tree/glob.h"

#include <string.h>

/* Patterns separated by spaces; "_" stands for a space in a pattern. */
static struct glob *glob_of(const char *prefix, const char *patterns)
{
    struct glob *set = glob_new();
    g_auto(GStrv) words = g_strsplit(patterns, " ", -1);
    for (char **word = words; *word != NULL; word++) {
        g_autoptr(GError) error = NULL;
        if (**word == '\0')
            continue;
        g_strdelimit(*word, "_", ' ');
        glob_add(set, prefix, *word, &error);
        g_assert_no_error(error);
    }
    return set;
}

struct row {
    const char *patterns;
    const char *path; /* with a slash at the end: a directory */
    bool selected;
};

static void check_rows(const char *prefix, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autoptr(glob) set = glob_of(prefix, rows[i].patterns);
        g_autofree char *path = g_strdup(rows[i].path);
        bool directory = g_str_has_suffix(path, "/");
        if (directory)
            path[strlen(path) - 1] = '\0';
        if (glob_match(set, path, directory) != rows[i].selected)
            g_error("\"%s\" on %s: expected %d", rows[i].patterns, rows[i].path, rows[i].selected);
        for (char *slash; rows[i].selected && (slash = strrchr(path, '/')) != NULL;) {
            *slash = '\0';
            if (!glob_may_match_below(set, path))
                g_error("\"%s\" prunes %s, but selects %s", rows[i].patterns, path, rows[i].path);
        }
    }
}

#define CHECK_ROWS(prefix, rows) check_rows(prefix, rows, G_N_ELEMENTS(rows))

static void a_name_without_slash_matches_at_any_depth(void)
{
    static const struct row rows[] = {
        { "a", "a", true },       { "a", "a/", true },     { "a", "x/a", true },
        { "a", "x/y/z/a", true }, { "a", "a/x/y", true },  { "a", "x/a/y", true },
        { "a", "b", false },      { "a", "aa", false },    { "a", "x/aa/y", false },
        { "a.c", "a.c", true },   { "a.c", "abc", false }, { "*.c", "x/y.c", true },
        { "*.c", "y.c/x", true }, { "*.c", ".c", true },   { "*.c", "x.cc", false },
        { ".*", ".git/", true },  { "*", ".git/", true },  { "*", "a/b/c", true },
        { "a", "A", false },      { "a_b", "a b", true },  { "a_b", "x/a b/y", true },
    };
    CHECK_ROWS("", rows);
}

static void a_slash_anchors(void)
{
    static const struct row rows[] = {
        { "/a", "a", true },        { "/a", "a/b/c", true },   { "/a", "x/a", false },
        { "a/b", "a/b", true },     { "a/b", "a/b/c", true },  { "a/b", "x/a/b", false },
        { "a/b", "a", false },      { "a/b", "a/", false },    { "a/b", "a/bb", false },
        { "./a", "a", true },       { "./a", "x/a", false },   { "./a/./b", "a/b", true },
        { "//a", "a", true },       { "a//b", "a/b", true },   { "/*.c", "x.c", true },
        { "/*.c", "x/y.c", false }, { "a/*", "a/b/c", true },  { "a/*", "a/", false },
        { "*/a", "b/a", true },     { "*/a", "a", false },     { "*/a", "b/c/a", false },
        { "/a/../b", "b", true },   { "/a/../b", "a", false }, { "a/..", "x/y", true },
        { ".", "x", true },         { ".", "x/y/", true },     { "./", "x/y", true },
        { "/", "x", true },         { "/", "x/y", true },      { "...", "x/...", true },
        { "..a", "x/..a", true },   { ".a", "x/.a", true },
    };
    CHECK_ROWS("", rows);
}

static void a_trailing_slash_means_directories(void)
{
    static const struct row rows[] = {
        { "a/", "a", false },       { "a/", "a/", true },      { "a/", "a/x", true },
        { "a/", "x/a/", true },     { "a/", "x/a", false },    { "a/", "x/a/y", true },
        { "/a/", "a/", true },      { "/a/", "x/a/", false },  { "a/b/", "a/b", false },
        { "a/b/", "a/b/c", true },  { "*/", "a", false },      { "*/", "a/b", true },
        { "a//", "a", false },      { "a//", "x/a/", true },   { "**/", "a", false },
        { "**/", "a/", true },      { "**/", "a/b", true },    { "a/**/", "a/b", false },
        { "a/**/", "a/b/c", true }, { "a/**/", "a/b/", true },
    };
    CHECK_ROWS("", rows);
}

static void double_stars_span_components(void)
{
    static const struct row rows[] = {
        { "**", "a", true },
        { "**", "a/b", true },
        { "**/a", "a", true },
        { "**/a", "x/y/a", true },
        { "**/a/b", "x/a/b", true },
        { "**/a/b", "a/x/b", false },
        { "a/**", "a", false },
        { "a/**", "a/", false },
        { "a/**", "a/b", true },
        { "a/**", "a/b/c", true },
        { "a/**", "x/a/b", false },
        { "a/**/b", "a/b", true },
        { "a/**/b", "a/x/b", true },
        { "a/**/b", "a/x/y/z/b", true },
        { "a/**/b", "a/x/c", false },
        { "a/**/b", "x/a/b", false },
        { "a/**/b", "ab", false },
        { "a/**/**/b", "a/b", true },
        { "**/a/**", "a", false },
        { "**/a/**", "x/a/y", true },
        { "**/a/**/b/**", "a/b/c", true },
        { "**/a/**/b/**", "a/b", false },
        { "**/**", "a", true },
        { "/**", "a", true },
        { "/**/a", "x/a", true },
        { "a**b", "axxb", true },
        { "a**b", "a/b", false },
        { "a**/b", "axx/b", true },
        { "a**/b", "a/x/b", false },
        { "***", "abc", true },
        { "**/x/*/y", "x/x/a/y", true },
        { "**/x/*/y", "x/a/x/y", false },
        { "**/x/*/y", "x/a/b/x/c/y/z", true },
    };
    CHECK_ROWS("", rows);
}

static void characters_within_a_component(void)
{
    static const struct row rows[] = {
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "a?c", "a/c", false },
        { "?", "\xc3\xa9", true },
        { "??", "\xc3\xa9", false },
        { "?", "\xf0\x9f\x98\x80", true },
        { "?", "\xff", true },
        { "??", "\xff\xfe", true },
        { "\xff", "\xff", true },
        { "*\xff", "a\xff", true },
        { "*\xa9", "\xc3\xa9", false },
        { "[\xff]", "\xff", true },
        { "\xff*", "\xc3\xbf", false },
        { "[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true },
        { "[\xc3\xa0-\xc3\xaf]", "\xc3\xbf", false },
        { "[abc]", "b", true },
        { "[abc]", "d", false },
        { "[a-c]x", "bx", true },
        { "[!a-c]", "b", false },
        { "[!a-c]", "d", true },
        { "[^a-c]", "d", true },
        { "[^a-c]", "^", true },
        { "[a^]", "^", true },
        { "[]]", "]", true },
        { "[]a]", "a", true },
        { "[!]]", "]", false },
        { "[!]]", "a", true },
        { "[a-]", "-", true },
        { "[a-]", "b", false },
        { "[-a]", "-", true },
        { "[a\\-c]", "b", false },
        { "[a\\-c]", "-", true },
        { "[\\]]", "]", true },
        { "[\\\\]", "\\", true },
        { "[!-z]", "z", false },
        { "[c-a]", "b", false },
        { "[*]", "*", true },
        { "[*]", "a", false },
        { "[?]x", "ax", false },
        { "[[:digit:]]", "7", true },
        { "[[:digit:]]", "x", false },
        { "[![:digit:]]", "x", true },
        { "[[:alpha:]_]", " ", true },
        { "[[:alpha:]]", "\xc3\xa9", false },
        { "[[:nope:]", "n", true },
        { "[[:upper:]-]", "-", true },
        { "[a-[:digit:]]", "5]", false },
        { "[[]", "[", true },
        { "[!a]", "/", false },
        { "[.-0]", "a/b", false },
        { "a[!b]c", "a/c", false },
        { "*a*b", "xaxxb", true },
        { "*a*b", "xbxxa", false },
        { "a*", "a\nb", true },
        { "a?b", "a\nb", true },
        { "*.c", "\n.c", true },
        { "\n", "x/\n/y", true },
    };
    CHECK_ROWS("", rows);
}

static void a_backslash_makes_literal(void)
{
    static const struct row rows[] = {
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "a\\?", "a?", true },
        { "a\\?", "ab", false },
        { "\\[a]", "[a]", true },
        { "\\[a]", "a", false },
        { "\\a", "a", true },
        { "\\!a", "!a", true },
        { "\\\\", "\\", true },
        { "*\\*", "x*", true },
        { "*\\*", "xy", false },
        { "\\**", "*x", true },
        { "\\*\\*", "**", true },
        { "\\*\\*", "x/y", false },
        { "\\#a", "#a", true },
        { "#a", "#a", true },
        { "\\\xc3\xa9*", "\xc3\xa9x", true },
    };
    CHECK_ROWS("", rows);
}

static void the_last_match_of_a_path_or_its_parents_decides(void)
{
    static const struct row rows[] = {
        { "", "a/b", true },
        { "!a", "b", true },
        { "!a", "a", false },
        { "!a", "x/a/y", false },
        { "!a !b", "c", true },
        { "a !a", "a", false },
        { "!a a", "a", true },
        { "a !b", "c", false },
        { "a !b", "a/b", false },
        { "a !b", "a/c", true },
        { "*.c !x/ x/y.c", "x/y.c", true },
        { "*.c !x/ x/y.c", "x/z.c", false },
        { "*.c !x/ x/y.c", "x", false },
        { "*.c !x/ x/y.c", "z.c", true },
        { "!/build !*.o", "build/a.c", false },
        { "!/build !*.o build/keep", "build/keep/x.o", true },
        { "!/build !*.o build/keep !*.o", "build/keep/x.o", false },
        { "!/build", "src/build", true },
        { "!*/", "a", true },
        { "!*/", "a/b", false },
        { "!** a", "a", true },
        { "!** a", "b", false },
        { "!.", "a", false },
    };
    CHECK_ROWS("", rows);
}

static void prefixes_are_literal_and_two_dots_leave_them(void)
{
    static const struct row rows[] = {
        { "x", "a/b*/x", true },
        { "x", "a/b*/y/x", true },
        { "x", "x", false },
        { "x", "a/x", false },
        { "x", "a/bb/x", false },
        { "/x", "a/b*/x", true },
        { "/x", "a/b*/y/x", false },
        { "*.c", "a/b*/y/x.c", true },
        { "../x", "a/x", true },
        { "../x", "a/b*/x", false },
        { "../../x", "x", true },
        { "..", "a/z", true },
        { "..", "b/z", false },
        { "../..", "q", true },
        { ".", "a/b*", true },
        { ".", "a/b*/c", true },
        { ".", "a/c", false },
        { "../**/x", "a/q/r/x", true },
        { "**", "a/b*/x", true },
        { "**", "a/b*/", false },
        { "!x", "a/b*/x", false },
        { "!x", "x", true },
        { "!../b*/x", "a/b*/x", false },
    };
    CHECK_ROWS("a/b*", rows);
}

static void bad_patterns_are_refused(void)
{
    static const char *const bad[] = {
        "",        "!",          "[",   "a[",        "[a",   "[]",         "[!]", "[^]",   "[!",
        "a/[b/c]", "[[:alpha:]", "[a-", "[a\\",      "[\\]", "\\",         "a\\", "a\\/b", "..",
        "../a",    "a/../..",    "/..", "a/../../b", "!..",  "**/../../a", "x/[",
    };
    g_autoptr(glob) set = glob_new();
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        if (glob_add(set, "", bad[i], &error))
            g_error("%s was taken", bad[i]);
        g_assert_error(error, FAULT, FAULT_USAGE);
    }
    g_assert_false(glob_add(set, "a/b", "../../../c", NULL));
    g_assert_false(glob_add(set, "..", "a", NULL));
    g_assert_false(glob_add_path(set, "a/../..", true, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_false(glob_add(set, "", "a\n[", &error));
    g_assert_nonnull(strstr(error->message, "\"a\\n[\": a bracket is not closed"));
    g_assert_true(glob_match(set, "anything", false)); /* nothing was added */
}

static void added_paths_are_literal(void)
{
    g_autoptr(glob) set = glob_new();
    g_assert_true(glob_add_path(set, "a/*/[b]\\", false, NULL));
    g_assert_true(glob_match(set, "a/*/[b]\\", false));
    g_assert_true(glob_match(set, "a/*/[b]\\/c/d", false));
    g_assert_false(glob_match(set, "a/x/[b]\\", false));
    g_assert_false(glob_match(set, "x/a/*/[b]\\", false));
    g_assert_false(glob_match(set, "a/*", true));
    g_assert_true(glob_may_match_below(set, "a/*"));
    g_assert_false(glob_may_match_below(set, "b"));
    g_assert_true(glob_add_path(set, "!x", false, NULL));
    g_assert_true(glob_match(set, "!x", false));
    g_assert_true(glob_add_path(set, "", true, NULL)); /* everything */
    g_assert_false(glob_match(set, "!x", false));
    g_assert_false(glob_may_match_below(set, "a"));
}

static void walks_are_pruned_where_nothing_can_match(void)
{
    static const struct {
        const char *patterns, *path;
        bool below;
    } rows[] = {
        { "", "a", true },
        { "a/b/c", "", true },
        { "a/b/c", "a", true },
        { "a/b/c", "a/b", true },
        { "a/b/c", "a/b/c", true },
        { "a/b/c", "a/b/c/d", true },
        { "a/b/c", "b", false },
        { "a/b/c", "a/c", false },
        { "*/b", "a", true },
        { "*/b", "a/c", false },
        { "b", "a", true },
        { "/b", "a", false },
        { "!a", "a", false },
        { "!a", "x/a/y", false },
        { "!a", "b", true },
        { "!a a/b", "a", true },
        { "!a a/b", "a/c", false },
        { "a/b !a", "a", false },
        { "!a/", "a", false },
        { "!*.c", "a", true },
        { "/src !/src/gen", "src/gen", false },
        { "/src !/src/gen", "src", true },
        { "/src !/src/gen", "doc", false },
        { "a/**/b", "a/x/y", true },
        { "a/**/b", "b", false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(glob) set = glob_of("", rows[i].patterns);
        if (glob_may_match_below(set, rows[i].path) != rows[i].below)
            g_error("\"%s\" below %s: expected %d", rows[i].patterns, rows[i].path, rows[i].below);
    }
}

static void metacharacters_make_a_pattern(void)
{
    static const char *const patterns[] = { "*", "a?", "[", "!a", "a/**", "\\\\*", "\\*?" };
    static const char *const paths[] = { "",    "a",   "a!",  "a/b", "\\*", "\\?a",  "\\[",
                                         "\\!", "a\\", "]-^", ".",   "\\",  "a\\*b", "\\\\" };
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
        g_assert_true(glob_is_pattern(patterns[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        g_assert_false(glob_is_pattern(paths[i]));
}

/* --- against a naive matcher ------------------------------------------------------------------ */

/* Stars try every length, one by one: exponential, and plainly right. */
static bool naive_name(const char *pattern, const char *name)
{
    if (*pattern == '\0')
        return *name == '\0';
    if (*pattern == '*')
        return naive_name(pattern + 1, name) || (*name != '\0' && naive_name(pattern, name + 1));
    if (*name == '\0')
        return false;
    if (g_str_has_prefix(pattern, "[ab]"))
        return (*name == 'a' || *name == 'b') && naive_name(pattern + 4, name + 1);
    if (g_str_has_prefix(pattern, "[!a]"))
        return *name != 'a' && naive_name(pattern + 4, name + 1);
    return (*pattern == '?' || *pattern == *name) && naive_name(pattern + 1, name + 1);
}

static bool naive_parts(char **pattern, char **path)
{
    if (*pattern == NULL)
        return *path == NULL;
    if (strcmp(*pattern, "**") != 0)
        return *path != NULL && naive_name(*pattern, *path) && naive_parts(pattern + 1, path + 1);
    if (pattern[1] == NULL)
        return *path != NULL; /* at the end: what is inside */
    return naive_parts(pattern + 1, path) || (*path != NULL && naive_parts(pattern, path + 1));
}

static bool naive_pattern(const char *pattern, const char *path, bool is_directory)
{
    g_autofree char *text = g_strdup(pattern);
    bool only_directories = g_str_has_suffix(text, "/");
    if (only_directories)
        text[strlen(text) - 1] = '\0';
    const char *slash = strchr(text, '/');
    g_autofree char *whole =
        g_strconcat(slash != NULL ? "" : "**/", *text == '/' ? text + 1 : text, NULL);
    g_auto(GStrv) parts = g_strsplit(whole, "/", -1);
    g_auto(GStrv) components = g_strsplit(path, "/", -1);
    for (guint count = g_strv_length(components); count > 0; count--) {
        g_clear_pointer(&components[count], g_free);
        if (naive_parts(parts, components) && (is_directory || !only_directories))
            return true;
        is_directory = true;
    }
    return false;
}

static char *random_text(GRand *random, const char *const *pieces, int count)
{
    GString *text = g_string_new(NULL);
    for (int i = g_rand_int_range(random, 1, 7); i > 0; i--)
        g_string_append(text, pieces[g_rand_int_range(random, 0, count)]);
    return g_string_free(text, FALSE);
}

static bool is_usable(const char *path)
{
    return *path != '/' && !g_str_has_suffix(path, "/") && strstr(path, "//") == NULL;
}

static void agrees_with_the_naive_matcher(void)
{
    static const char *const of_patterns[] = { "a", "b",    "*",    "?",  "/",   "/",
                                               "/", "[ab]", "[!a]", "**", "/**/" };
    static const char *const of_paths[] = { "a", "b", "ab", "/", "/", "c" };
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    guint matched = 0, tried = 0, asked = 0;
    for (int round = 0; round < 60000; round++) {
        g_autofree char *path = random_text(random, of_paths, G_N_ELEMENTS(of_paths));
        g_autoptr(glob) set = glob_new();
        bool is_directory = g_rand_boolean(random), expected = true;
        if (!is_usable(path))
            continue;
        g_autoptr(GString) shown = g_string_new(NULL);
        for (int i = 0, count = g_rand_int_range(random, 1, 4); i < count; i++) {
            g_autofree char *pattern = random_text(random, of_patterns, G_N_ELEMENTS(of_patterns));
            bool negative = g_rand_boolean(random);
            if (strstr(pattern, "//") != NULL || strcmp(pattern, "/") == 0)
                pattern[0] = 'a', pattern[1] = '\0';
            g_autofree char *signed_pattern = g_strconcat(negative ? "!" : "", pattern, NULL);
            g_assert_true(glob_add(set, "", signed_pattern, NULL));
            g_string_append_printf(shown, " %s", signed_pattern);
            if (i == 0)
                expected = negative;
            if (naive_pattern(pattern, path, is_directory))
                expected = !negative;
        }
        if (glob_match(set, path, is_directory) != expected)
            g_error("%s on %s (%d): expected %d", shown->str, path, is_directory, expected);
        for (char *slash; (slash = strrchr(path, '/')) != NULL;) {
            *slash = '\0';
            if (expected && !glob_may_match_below(set, path))
                g_error("%s prunes %s", shown->str, path);
            if (!expected && glob_selects_below(set, path))
                g_error("%s takes all below %s", shown->str, path);
            asked += glob_selects_below(set, path);
        }
        tried++;
        matched += expected;
    }
    g_assert_cmpuint(matched, >, tried / 4); /* the random ones are neither all nor none */
    g_assert_cmpuint(matched, <, tried / 4 * 3);
    g_assert_cmpuint(asked, >, tried / 20); /* whole subtrees are found selected, too */
}

static void many_stars_take_no_time(void)
{
    g_autofree char *name = g_strnfill(20000, 'a');
    g_autoptr(glob) stars = glob_of("", "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");
    g_assert_false(glob_match(stars, name, false));
    g_autoptr(GString) path = g_string_new("a");
    for (int i = 0; i < 5000; i++)
        g_string_append(path, "/a");
    g_autoptr(glob) doubles =
        glob_of("", "**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/*a*a/**/b");
    g_assert_false(glob_match(doubles, path->str, false));
    g_assert_true(glob_may_match_below(doubles, path->str));
}

static void sets_that_select_differently_have_different_bytes(void)
{
    struct glob *const globs[] = {
        glob_new(),          glob_of("", "a"),     glob_of("", "!a"), glob_of("", "a/"),
        glob_of("", "/a"),   glob_of("b", "a"),    glob_of("", "?"),  glob_of("", "\\?"),
        glob_of("", "a/**"), glob_of("", "**/ab"), glob_of("", "/a"), glob_of("", "a/b/"),
    };
    bool ok = glob_add(globs[10], "", "!b", NULL);
    g_assert_true(ok);
    for (size_t i = 0; i < G_N_ELEMENTS(globs); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(globs); j++) {
            g_autoptr(GByteArray) one = g_byte_array_sized_new(64);
            g_autoptr(GByteArray) other = g_byte_array_sized_new(64);
            glob_encode(globs[i], one);
            glob_encode(globs[j], other);
            bool same = one->len == other->len && memcmp(one->data, other->data, one->len) == 0;
            g_assert_true(same == (i == j));
        }
    for (size_t i = 0; i < G_N_ELEMENTS(globs); i++)
        glob_free(globs[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/glob/a-name-without-slash-matches-at-any-depth",
                    a_name_without_slash_matches_at_any_depth);
    g_test_add_func("/tree/glob/a-slash-anchors", a_slash_anchors);
    g_test_add_func("/tree/glob/a-trailing-slash-means-directories",
                    a_trailing_slash_means_directories);
    g_test_add_func("/tree/glob/double-stars-span-components", double_stars_span_components);
    g_test_add_func("/tree/glob/characters-within-a-component", characters_within_a_component);
    g_test_add_func("/tree/glob/a-backslash-makes-literal", a_backslash_makes_literal);
    g_test_add_func("/tree/glob/the-last-match-of-a-path-or-its-parents-decides",
                    the_last_match_of_a_path_or_its_parents_decides);
    g_test_add_func("/tree/glob/prefixes-are-literal-and-two-dots-leave-them",
                    prefixes_are_literal_and_two_dots_leave_them);
    g_test_add_func("/tree/glob/bad-patterns-are-refused", bad_patterns_are_refused);
    g_test_add_func("/tree/glob/added-paths-are-literal", added_paths_are_literal);
    g_test_add_func("/tree/glob/walks-are-pruned-where-nothing-can-match",
                    walks_are_pruned_where_nothing_can_match);
    g_test_add_func("/tree/glob/metacharacters-make-a-pattern", metacharacters_make_a_pattern);
    g_test_add_func("/tree/glob/agrees-with-the-naive-matcher", agrees_with_the_naive_matcher);
    g_test_add_func("/tree/glob/many-stars-take-no-time", many_stars_take_no_time);
    g_test_add_func("/tree/glob/sets-that-select-differently-have-different-bytes",
                    sets_that_select_differently_have_different_bytes);
    return g_test_run();
}
