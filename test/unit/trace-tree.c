// SPDX-License-Identifier: Apache-2.0
/* A tree of inputs as a state. */
#include "trace/trace.h"

#include <string.h>

static struct tree *make_tree(void)
{
    struct tree_entry file = { .kind = TREE_FILE };
    const struct tree_entry link = { .kind = TREE_SYMLINK, .target = "src/a.c" };
    struct tree_builder *builder = tree_builder_new();
    digest_of("one", 3, &file.digest);
    g_assert_true(tree_builder_add(builder, "src/a.c", &file, NULL));
    file.executable = true;
    g_assert_true(tree_builder_add(builder, "run.sh", &file, NULL));
    g_assert_true(tree_builder_add(builder, "link", &link, NULL));
    return tree_builder_finish(builder);
}

static struct trace_value ask(struct trace_state *state, const char *path, unsigned aspects)
{
    const struct trace_question question = { path, aspects | TRACE_KIND };
    struct trace_value value = { 0 };
    g_assert_true(state->operations->look_up(state, &question, 1, &value, NULL));
    return value;
}

static void test_answers(void)
{
    struct digest digest;
    g_autoptr(tree) tree = make_tree();
    g_autoptr(trace_state) state = trace_tree_state_new(tree);
    digest_of("one", 3, &digest);
    struct trace_value value = ask(state, "src/a.c", TRACE_CONTENT);
    g_assert_cmpint(value.kind, ==, TRACE_FILE);
    g_assert_cmpuint(value.mode, ==, 0644);
    g_assert_true(digest_equal(&value.digest, &digest));
    g_assert_cmpuint(ask(state, "run.sh", TRACE_CONTENT).mode, ==, 0755);
    g_assert_cmpstr(ask(state, "link", TRACE_TARGET).target, ==, "src/a.c");
    g_assert_cmpint(ask(state, "", TRACE_KIND).kind, ==, TRACE_DIRECTORY);
    g_assert_cmpint(ask(state, "src", TRACE_KIND).kind, ==, TRACE_DIRECTORY);
}

static void test_never_through_a_link(void)
{
    g_autoptr(tree) tree = make_tree();
    g_autoptr(trace_state) state = trace_tree_state_new(tree);
    g_assert_cmpint(ask(state, "link/a.c", TRACE_CONTENT).kind, ==, TRACE_NOTHING);
    g_assert_cmpint(ask(state, "src/b.c", TRACE_KIND).kind, ==, TRACE_NOTHING);
    g_assert_cmpint(ask(state, "/etc/passwd", TRACE_KIND).kind, ==, TRACE_NOTHING);
}

static void test_listing(void)
{
    struct trace_name names[] = { { "src", TRACE_DIRECTORY },
                                  { "run.sh", TRACE_FILE },
                                  { "link", TRACE_LINK } };
    struct digest digest;
    g_autoptr(tree) tree = make_tree();
    g_autoptr(trace_state) state = trace_tree_state_new(tree);
    g_autoptr(GArray) listed = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    trace_names_digest(names, G_N_ELEMENTS(names), &digest);
    struct trace_value value = ask(state, "", TRACE_NAMES);
    g_assert_true(digest_equal(&value.digest, &digest));
    g_assert_true(state->operations->list(state, "src", listed, NULL));
    g_assert_cmpuint(listed->len, ==, 1);
    g_assert_false(state->operations->list(state, "link", listed, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/tree/answers-for-files-links-and-directories", test_answers);
    g_test_add_func("/trace/tree/leads-through-no-link", test_never_through_a_link);
    g_test_add_func("/trace/tree/lists-names", test_listing);
    return g_test_run();
}
