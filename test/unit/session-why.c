// SPDX-License-Identifier: Apache-2.0
#include "session-support.h"

#include <string.h>

static guint compare(const char *before, const char *after, guint most, const char *expected)
{
    g_autoptr(GBytes) old = g_bytes_new_static(before, strlen(before));
    g_autoptr(GBytes) new = g_bytes_new_static(after, strlen(after));
    g_autoptr(GString) text = g_string_new(NULL);
    guint lines = why_diff(old, new, most, text);
    g_assert_cmpstr(text->str, ==, expected);
    return lines;
}

static void lines_are_paired_up(void)
{
    compare("a\nb\nc\nd\n", "a\nx\nc\ny\nd\n", 9, "    @@ -2,2 +2,3 @@\n    -b\n    +x\n    +y\n");
    compare("", "a\n", 9, "    @@ -1,0 +1,1 @@\n    +a\n");
    compare("a\na\na\n", "a\na\n", 9, "    @@ -3,1 +3,0 @@\n    -a\n");
}

static void what_is_left_out_is_counted(void)
{
    g_assert_cmpuint(
        compare("a\nb\nc", "x\ny", 2, "    @@ -1,3 +1,2 @@\n    -a\n    -b\n    (3 more lines)\n"),
        ==, 2);
    g_assert_cmpuint(compare("a", "b", 0, ""), ==, 0);
}

static void nothing_is_said_of_what_is_no_text(void)
{
    g_autoptr(GBytes) old = g_bytes_new_static("a\0b", 3);
    g_autoptr(GBytes) new = g_bytes_new_static("a", 1);
    g_autoptr(GString) text = g_string_new(NULL);
    g_assert_cmpuint(why_diff(old, new, 9, text), ==, 0);
    g_assert_cmpuint(why_diff(new, old, 9, text), ==, 0);
    g_assert_cmpstr(text->str, ==, "");
    compare("a\n", "a", 9, "");
}

static void a_terminal_obeys_nothing_of_it(void)
{
    compare("a\n", "\033[2J\tb\xff\n", 9,
            "    @@ -1,1 +1,1 @@\n    -a\n    +?[2J\tb\xef\xbf\xbd\n");
}

/* Too large for the table: 1,100 lines each, none of them common at an end. */
static void large_texts_count_as_replaced(void)
{
    g_autoptr(GString) old = g_string_new(NULL);
    g_autoptr(GString) new = g_string_new(NULL);
    for (int i = 0; i < 1100; i++) {
        g_string_append_printf(old, "old %d\n", i);
        g_string_append_printf(new, "new %d\n", i);
    }
    compare(old->str, new->str, 1,
            "    @@ -1,1100 +1,1100 @@\n    -old 0\n    (2199 more lines)\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/why/lines-are-paired-up", lines_are_paired_up);
    g_test_add_func("/session/why/what-is-left-out-is-counted", what_is_left_out_is_counted);
    g_test_add_func("/session/why/nothing-is-said-of-what-is-no-text",
                    nothing_is_said_of_what_is_no_text);
    g_test_add_func("/session/why/a-terminal-obeys-nothing-of-it", a_terminal_obeys_nothing_of_it);
    g_test_add_func("/session/why/large-texts-count-as-replaced", large_texts_count_as_replaced);
    return g_test_run();
}
