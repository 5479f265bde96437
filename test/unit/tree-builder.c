// SPDX-License-Identifier: Apache-2.0
#include "tree-support.h"

static bool add(struct tree_builder *builder, const char *line, GError **error)
{
    struct tree_entry entry;
    g_autofree char *target = NULL;
    g_autofree char *path = parse_line(line, &entry, &target);
    bool added = tree_builder_add(builder, path, &entry, error);
    tree_unref(entry.directory);
    return added;
}

static void nothing_makes_the_empty_tree(void)
{
    g_autoptr(tree) made = tree_builder_finish(tree_builder_new());
    g_assert_true(digest_equal(tree_digest(made), digest_empty()));
    tree_builder_free(NULL);
}

static void parents_appear_in_any_order(void)
{
    g_autoptr(tree) made = TREE("a/b/c=1", "a/b/", "a=b/", "a/", "x/y/z/", "a/b/d->c");
    g_assert_true(tree_lookup(made, "x/y/z")->kind == TREE_DIRECTORY);
    g_autoptr(tree) again = TREE("a/b/d->c", "x/y/z/", "a=b/", "a/b/c=1");
    assert_same_tree(again, made);
}

static void taken_paths_are_conflicts(void)
{
    static const struct {
        const char *first, *second, *message;
    } cases[] = {
        { "a=1", "a=2", "cannot add a as file d4735e" },
        { "a=1", "a*=1", "as executable file 6b86b2" },
        { "a=1", "a->1", "as link -> 1: a is already file 6b86b2" },
        { "a=1", "a/", "as directory e3b0c4" },
        { "a/", "a=1", "a is already directory" },
        { "a/b=1", "a=1", "a is already directory" },
        { "a=1", "a/b=1", "cannot add a/b as file 6b86b2" },
        { "a/b=1", "a/b/c/d=1", "a/b is already file 6b86b2" },
        { "a->1", "a/b=1", "a is already link -> 1" },
        { "a\n->1", "a\n=1", "cannot add \"a\\n\" as" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(tree_builder) builder = tree_builder_new();
        g_autoptr(GError) error = NULL;
        g_assert_true(add(builder, cases[i].first, NULL));
        g_assert_true(add(builder, cases[i].first, NULL)); /* the same again is no conflict */
        g_assert_false(add(builder, cases[i].second, &error));
        g_assert_error(error, FAULT, FAULT_CONFLICT);
        g_assert_nonnull(strstr(error->message, cases[i].message));
    }
}

static void bad_paths_and_targets_are_refused(void)
{
    static const char *const bad[] = { "",  "/",    "/a",  "a/",   "a//b",
                                       ".", "a/..", "./a", "\xff", "a/\xff" };
    struct tree_entry entry = { .kind = TREE_FILE, .digest = *digest_empty() };
    g_autoptr(tree_builder) builder = tree_builder_new();
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(tree_builder_add(builder, bad[i], &entry, &error));
        g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    }
    entry = (struct tree_entry){ .kind = TREE_SYMLINK, .target = "\xff" };
    g_autoptr(GError) error = NULL;
    g_assert_false(tree_builder_add(builder, "p/q", &entry, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    g_autoptr(tree) made = tree_builder_finish(g_steal_pointer(&builder));
    assert_tree(made);
}

static bool add_tree(struct tree_builder *builder, const char *path, struct tree *added,
                     GError **error)
{
    struct tree_entry entry = { .name = "ignored", .kind = TREE_DIRECTORY, .directory = added };
    return tree_builder_add(builder, path, &entry, error);
}

static void whole_trees_merge_with_what_is_there(void)
{
    g_autoptr(tree) one = TREE("b/c=1", "b/l->c", "e/");
    g_autoptr(tree) two = TREE("b/d=2", "b/c=1", "f/g/h=3");
    g_autoptr(tree_builder) builder = tree_builder_new();
    g_assert_true(add_tree(builder, "a", one, NULL));
    g_assert_true(add_tree(builder, "a", two, NULL));
    g_assert_true(add_tree(builder, "z/a", two, NULL));
    g_assert_true(add(builder, "z/a/f/g/i=4", NULL));
    g_autoptr(tree) three = TREE("f/g/h/no=3", "q=1");
    g_autoptr(GError) error = NULL;
    g_assert_false(add_tree(builder, "a", three, &error));
    g_assert_error(error, FAULT, FAULT_CONFLICT);
    g_assert_nonnull(strstr(error->message, "cannot add a/f/g/h as directory"));
    g_autoptr(tree) made = tree_builder_finish(g_steal_pointer(&builder));
    assert_tree(made, "a/b/c=1", "a/b/l->c", "a/b/d=2", "a/e/", "a/f/g/h=3", "z/a/b/c=1",
                "z/a/b/d=2", "z/a/f/g/h=3", "z/a/f/g/i=4");
    assert_tree(two, "b/d=2", "b/c=1", "f/g/h=3"); /* V2 */
}

static char *deep_path(guint components)
{
    GString *path = g_string_new("d");
    for (guint i = 1; i < components; i++)
        g_string_append(path, "/d");
    return g_string_free(path, FALSE);
}

static void paths_deeper_than_a_tree_can_be_are_refused(void)
{
    g_autofree char *deepest = deep_path(TREE_DEPTH_LIMIT);
    g_autofree char *too_deep = deep_path(TREE_DEPTH_LIMIT + 1);
    g_autofree char *absurd = deep_path(1000000);
    g_autoptr(tree_builder) builder = tree_builder_new();
    struct tree_entry entry = { .kind = TREE_FILE, .digest = *digest_empty() };
    g_autoptr(GError) error = NULL;
    g_assert_false(tree_builder_add(builder, too_deep, &entry, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    g_assert_false(tree_builder_add(builder, absurd, &entry, NULL));
    g_autoptr(tree) empty = tree_empty();
    g_assert_false(add_tree(builder, deepest, empty, NULL));
    g_assert_true(tree_builder_add(builder, deepest, &entry, NULL));
    g_autoptr(tree) made = tree_builder_finish(g_steal_pointer(&builder));
    g_assert_true(tree_lookup(made, deepest)->kind == TREE_FILE);
    builder = tree_builder_new();
    g_assert_false(add_tree(builder, "a", made, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/builder/nothing-makes-the-empty-tree", nothing_makes_the_empty_tree);
    g_test_add_func("/tree/builder/parents-appear-in-any-order", parents_appear_in_any_order);
    g_test_add_func("/tree/builder/taken-paths-are-conflicts", taken_paths_are_conflicts);
    g_test_add_func("/tree/builder/bad-paths-and-targets-are-refused",
                    bad_paths_and_targets_are_refused);
    g_test_add_func("/tree/builder/whole-trees-merge-with-what-is-there",
                    whole_trees_merge_with_what_is_there);
    g_test_add_func("/tree/builder/paths-deeper-than-a-tree-can-be-are-refused",
                    paths_deeper_than_a_tree_can_be_are_refused);
    return g_test_run();
}
