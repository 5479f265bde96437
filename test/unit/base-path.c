// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

static void names_and_relative_paths(void)
{
    static const char *const names[] = { "a", "...", "..a", ".a", " ", "\n", "\xc3\xa9", "a\\b" };
    static const char *const bad_names[] = { "",   ".",   "..",   "/",       "a/",
                                             "/a", "a/b", "\xff", "\xc0\xaf" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_true(path_is_name(names[i]));
        g_assert_true(path_is_relative(names[i]));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_names); i++)
        g_assert_false(path_is_name(bad_names[i]));
    static const char *const paths[] = { "a/b", "a/.../b", ".a/b.", "\xc3\xa9/ /\n" };
    static const char *const bad_paths[] = { "",       "/",      "/a",     "a/",   "a//b",
                                             "./a",    "a/.",    "a/./b",  "../a", "a/..",
                                             "a/../b", "a/\xff", "\xff/a", "//" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        g_assert_true(path_is_relative(paths[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(bad_paths); i++)
        g_assert_false(path_is_relative(bad_paths[i]));
}

static void normal_forms(void)
{
    static const struct {
        const char *path, *normal;
    } rows[] = {
        { "/a//b/../c/", "/a/c" },
        { "x/..", "." },
        { "", "." },
        { ".", "." },
        { "/", "/" },
        { "//", "/" },
        { "/..", "/" },
        { "/../a", "/a" },
        { "..", ".." },
        { "../..", "../.." },
        { "../a/..", ".." },
        { "a/../..", ".." },
        { "a/../../b", "../b" },
        { "./a/./", "a" },
        { "...", "..." },
        { "a/..b/../c", "a/c" },
        { "/a/../..", "/" },
        { "a/b/c/../..", "a" },
        { "..a/..", "." },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *normal = path_normalize(rows[i].path);
        g_assert_cmpstr(normal, ==, rows[i].normal);
        g_autofree char *again = path_normalize(normal);
        g_assert_cmpstr(again, ==, normal);
    }
}

static void positions_below_a_root(void)
{
    static const struct {
        const char *root, *base, *path, *below;
    } rows[] = {
        { "/r", "/r", "", "" },        { "/r", "/r", ".", "" },
        { "/r", "/r/s", "..", "" },    { "/r", "/r/s", "t", "s/t" },
        { "/r", "/r/s", "../t", "t" }, { "/r", "/", "r/x", "x" },
        { "/r", "/r", "..", NULL },    { "/r", "/r", "../rr", NULL },
        { "/r", "/", "rr", NULL },     { "/r", "/r", "/r/a//b/", "a/b" },
        { "/r", "/r", "/q", NULL },    { "/r/", "/r", "a", "a" },
        { "/", "/", "a", "a" },        { "/", "/a", "..", "" },
        { "/", "/a", "../../..", "" }, { "/", "/", "/a/b", "a/b" },
        { "/r", "/r", "/", NULL },     { "/r/s", "/r", "s", "" },
        { "/r/../q", "/q", "a", "a" }, { "/r", "/r", "a/../../r/b", "b" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *below = path_below(rows[i].root, rows[i].base, rows[i].path);
        g_assert_cmpstr(below, ==, rows[i].below);
    }
}

static void joined_paths(void)
{
    g_autofree char *below = path_join("a/b", "c");
    g_assert_cmpstr(below, ==, "a/b/c");
    g_autofree char *top = path_join("", "c");
    g_assert_cmpstr(top, ==, "c");
}

static void quoting_lets_no_name_forge_output(void)
{
    static const struct {
        const char *text, *quoted;
    } rows[] = {
        { "a b.c", "a b.c" },
        { "\xc3\xa9", "\xc3\xa9" },
        { "", "\"\"" },
        { "a\nb", "\"a\\nb\"" },
        { "\x1b[31m", "\"\\033[31m\"" },
        { "\xff", "\"\\377\"" },
        { "\x7f", "\"\\177\"" },
        { "a\"\n", "\"a\\\"\\n\"" },
        { "a\\\t", "\"a\\\\\\t\"" },
        { "\xe2\x80\xae", "\"\\342\\200\\256\"" }, /* right-to-left override */
        { "\xc2\x85", "\"\\302\\205\"" },          /* next line */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *quoted = path_quote(rows[i].text);
        g_assert_cmpstr(quoted, ==, rows[i].quoted);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/path/names-and-relative-paths", names_and_relative_paths);
    g_test_add_func("/base/path/normal-forms", normal_forms);
    g_test_add_func("/base/path/positions-below-a-root", positions_below_a_root);
    g_test_add_func("/base/path/joined", joined_paths);
    g_test_add_func("/base/path/quoting-lets-no-name-forge-output",
                    quoting_lets_no_name_forge_output);
    return g_test_run();
}
