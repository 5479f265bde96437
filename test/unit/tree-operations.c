// SPDX-License-Identifier: Apache-2.0
#include "tree-support.h"

#include "tree/glob.h"

/* --- merge ------------------------------------------------------------------------------------ */

#define MERGE(error, ...) \
    merge((struct tree *[]){ __VA_ARGS__ }, G_N_ELEMENTS(((struct tree *[]){ __VA_ARGS__ })), error)

/* Takes the trees. */
static struct tree *merge(struct tree **trees, size_t count, GError **error)
{
    struct tree *merged = tree_merge(trees, count, error);
    for (size_t i = 0; i < count; i++)
        tree_unref(trees[i]);
    return merged;
}

static void merge_unites(void)
{
    g_autoptr(tree) none = tree_merge(NULL, 0, NULL);
    assert_tree(none);
    g_autoptr(tree) one = MERGE(NULL, TREE("a=1"));
    assert_tree(one, "a=1");
    g_autoptr(tree) three = MERGE(NULL, TREE("a/b=1", "a/l->x", "d/"), TREE("a/c*=1", "d/e/f=2"),
                                  TREE("d/e/", "a/b=1"));
    assert_tree(three, "a/b=1", "a/c*=1", "a/l->x", "d/e/f=2");
}

static void merge_names_every_conflict(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) merged =
        MERGE(&error, TREE("same=1", "a/x=1", "a/bit=1", "l->1", "kind/below=1", "dir/", "n\nl=1"),
              TREE("same=1", "a/x=2", "a/bit*=1", "l->2", "kind=1", "dir->x", "n\nl=2"),
              TREE("a/x=3", "a/bit=1", "fine=1"));
    g_assert_null(merged);
    g_assert_error(error, FAULT, FAULT_CONFLICT);
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    static const char *const expected[] = {
        "the trees differ at 6 paths:",
        "a/bit: file 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b/1 and "
        "executable file 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b/1",
        "a/x: file 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b/1 and "
        "file d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35/1 and "
        "file 4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce/1",
        "dir: directory e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0 and "
        "link -> x",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_cmpstr(lines[i], ==, expected[i]);
    g_assert_true(g_str_has_prefix(lines[4], "kind: directory "));
    g_assert_cmpstr(lines[5], ==, "l: link -> 1 and link -> 2");
    g_assert_true(g_str_has_prefix(lines[6], "\"n\\nl\": file "));
    g_assert_null(lines[7]);
}

/* --- subset ----------------------------------------------------------------------------------- */

static struct tree *subset_of(struct tree *tree, const char *const *patterns)
{
    g_autoptr(glob) globs = glob_new();
    for (; *patterns != NULL; patterns++)
        g_assert_true(glob_add(globs, "", *patterns, NULL));
    return tree_subset(tree, globs);
}
#define SUBSET(tree, ...) subset_of(tree, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void subset_keeps_what_is_selected(void)
{
    g_autoptr(tree) whole = TREE("src/a.c=1", "src/a.h=2", "src/deep/b.c*=3", "src/empty/",
                                 "doc/l->x", "doc/c.c/readme=4", "other/");
    g_autoptr(tree) all = SUBSET(whole);
    g_assert_true(all == whole); /* unchanged trees are shared, not made again */
    g_autoptr(tree) sources = SUBSET(whole, "*.c");
    assert_tree(sources, "src/a.c=1", "src/deep/b.c*=3", "doc/c.c/readme=4");
    g_autoptr(tree) less = SUBSET(whole, "!src/deep", "!*.h", "!doc/");
    assert_tree(less, "src/a.c=1", "src/empty/", "other/");
    g_autoptr(tree) again = SUBSET(whole, "src", "!src/deep/", "src/deep/*.c");
    assert_tree(again, "src/a.c=1", "src/a.h=2", "src/deep/b.c*=3", "src/empty/");
    g_autoptr(tree) hollow = SUBSET(whole, "src/", "!src/**");
    assert_tree(hollow, "src/"); /* selected itself, nothing in it is */
    g_autoptr(tree) none = SUBSET(whole, "nothing");
    assert_tree(none);
    g_autoptr(tree) link = SUBSET(whole, "doc/l");
    assert_tree(link, "doc/l->x");
}

/* --- prefixes --------------------------------------------------------------------------------- */

static void prefixes_are_added_and_removed(void)
{
    g_autoptr(tree) inner = TREE("x=1", "d/y->x");
    g_autoptr(tree) outer = tree_add_prefix(inner, "a/b c/é", NULL);
    assert_tree(outer, "a/b c/é/x=1", "a/b c/é/d/y->x");
    g_autoptr(tree) back = tree_remove_prefix(outer, "a/b c/é", NULL);
    assert_same_tree(back, inner);
    g_autoptr(tree) part = tree_remove_prefix(outer, "a", NULL);
    assert_tree(part, "b c/é/x=1", "b c/é/d/y->x");
    g_autoptr(tree) same = tree_add_prefix(inner, "", NULL);
    g_assert_true(same == inner);
    g_autoptr(tree) same_again = tree_remove_prefix(inner, "", NULL);
    g_assert_true(same_again == inner);
    g_autoptr(tree) empty = tree_empty();
    g_autoptr(tree) still_empty = tree_remove_prefix(empty, "a/b", NULL);
    assert_tree(still_empty);
    g_autoptr(tree) hollow = TREE("a/");
    g_autoptr(tree) nothing = tree_remove_prefix(hollow, "a/b", NULL);
    assert_tree(nothing);
}

static void bad_prefixes_are_refused(void)
{
    static const char *const bad[] = { "/", "/a", "a/", "a//b", ".", "..", "a/../b", "\xff" };
    g_autoptr(tree) inner = TREE("a/x=1");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(tree_add_prefix(inner, bad[i], &error));
        g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
        g_assert_null(tree_remove_prefix(inner, bad[i], NULL));
    }
}

static void removing_a_prefix_names_all_that_lies_beside_it(void)
{
    g_autoptr(tree) outer = TREE("a/b/x=1", "a/c=2", "a/l->c", "z/q=3");
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_remove_prefix(outer, "a/b", &error));
    g_assert_error(error, FAULT, FAULT_CONFLICT);
    g_assert_true(g_str_has_suffix(error->message, "a/b, beside which lie:\nz\na/c\na/l"));
    g_clear_error(&error);
    g_autoptr(tree) file = TREE("a/b=1");
    g_assert_null(tree_remove_prefix(file, "a/b", &error)); /* a file is not below itself */
    g_assert_error(error, FAULT, FAULT_CONFLICT);
    g_assert_true(g_str_has_suffix(error->message, "lie:\na/b"));
    g_assert_null(tree_remove_prefix(file, "a/b/c", NULL));
    g_assert_null(tree_remove_prefix(file, "b", NULL));
}

static void a_prefix_too_deep_is_an_error(void)
{
    g_autoptr(GString) prefix = g_string_new("p");
    for (int i = 2; i < TREE_DEPTH_LIMIT; i++)
        g_string_append(prefix, "/p");
    g_autoptr(tree) file = TREE("x=1");
    g_autoptr(tree) deepest = tree_add_prefix(file, prefix->str, NULL);
    g_assert_nonnull(deepest);
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_add_prefix(deepest, "p", &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    /* and at the limit every operation still works */
    g_autoptr(tree) back = tree_remove_prefix(deepest, prefix->str, NULL);
    assert_same_tree(back, file);
    g_autofree char *path = g_strconcat(prefix->str, "/y", NULL);
    g_autoptr(tree) changed = tree_replace(deepest, path, tree_child(file, "x"), NULL);
    g_autoptr(tree) merged = tree_merge((struct tree *[]){ deepest, changed }, 2, NULL);
    assert_same_tree(merged, changed);
    g_autoptr(tree) kept = SUBSET(changed, "*", "!y");
    assert_same_tree(kept, deepest);
}

/* --- replace and apply ------------------------------------------------------------------------ */

static struct tree *replaced(struct tree *tree, const char *line)
{
    struct tree_entry entry;
    g_autofree char *target = NULL;
    g_autofree char *path = parse_line(line, &entry, &target);
    struct tree *made = tree_replace(tree, path, &entry, NULL);
    tree_unref(entry.directory);
    return made;
}

#define assert_replaced(before, line, ...)              \
    do {                                                \
        g_autoptr(tree) made_ = replaced(before, line); \
        assert_tree(made_, __VA_ARGS__);                \
    } while (0)

#define assert_removed(before, path, ...)                               \
    do {                                                                \
        g_autoptr(tree) made_ = tree_replace(before, path, NULL, NULL); \
        assert_tree(made_, __VA_ARGS__);                                \
    } while (0)

static void replace_adds_replaces_and_removes(void)
{
    g_autoptr(tree) before = TREE("a/b=1", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "a/b=9", "a/b=9", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "a/b*=1", "a/b*=1", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "a/bb=9", "a/b=1", "a/bb=9", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "A->9", "A->9", "a/b=1", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "a/b/x/y=9", "a/b/x/y=9", "a/c=2", "d/e/f=3", "l->a");
    assert_replaced(before, "l/x=9", "a/b=1", "a/c=2", "d/e/f=3", "l/x=9");
    assert_replaced(before, "a=9", "a=9", "d/e/f=3", "l->a");
    assert_replaced(before, "d/", "a/b=1", "a/c=2", "d/", "l->a");
    assert_removed(before, "a/b", "a/c=2", "d/e/f=3", "l->a");
    assert_removed(before, "a", "d/e/f=3", "l->a");
    assert_removed(before, "d/e/f", "a/b=1", "a/c=2", "d/e/", "l->a");
    static const char *const absent[] = { "b", "a/b/x", "l/x/y", "a/d/e/f", "z/z", "d/e/f/g" };
    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++)
        assert_removed(before, absent[i], "a/b=1", "a/c=2", "d/e/f=3", "l->a");
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_replace(before, "a/../b", NULL, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    struct tree_entry bad = { .kind = TREE_SYMLINK, .target = "" };
    g_assert_null(tree_replace(before, "x/y", &bad, NULL));
}

static const struct tree_entry one_file = { .name = "?", .kind = TREE_FILE };

static void apply_does_all_at_once(void)
{
    g_autoptr(tree) before = TREE("a/b=1", "a/c=2", "d/e/f=3", "g=4", "h/i=5");
    g_autoptr(tree) replacement = TREE("new/x=1", "y=2");
    struct tree_entry directory = { .kind = TREE_DIRECTORY, .directory = replacement };
    struct tree_entry link = { .kind = TREE_SYMLINK, .target = "t" };
    struct tree_change changes[] = {
        { "h/i", NULL },  { "a/b", &link },     { "d/y", NULL },  { "d", &directory },
        { "d/z", &link }, { "a.b/c/d", &link }, { "g/h", &link }, { "d/new/x", &link },
        { "q/r", NULL },  { "d/e/f", NULL },
    };
    g_autoptr(tree) made = tree_apply(before, changes, G_N_ELEMENTS(changes), NULL);
    assert_tree(made, "a/b->t", "a/c=2", "a.b/c/d->t", "d/new/x->t", "d/z->t", "g/h->t", "h/");
    g_autoptr(tree) same = tree_apply(before, NULL, 0, NULL);
    assert_same_tree(same, before);
}

static void contradictory_changes_are_conflicts(void)
{
    g_autoptr(tree) before = TREE("a/b=1");
    g_autoptr(tree) empty = tree_empty();
    struct tree_entry directory = { .kind = TREE_DIRECTORY, .directory = empty };
    const struct tree_change bad[][3] = {
        { { "a", NULL }, { "z", NULL }, { "a", NULL } },
        { { "a/b", &one_file }, { "z", NULL }, { "a/b", &one_file } },
        { { "a", NULL }, { "z", NULL }, { "a/b", &one_file } },
        { { "a/b/c/d", &one_file }, { "z", NULL }, { "a", &one_file } },
        { { "a", &directory }, { "a/x", &one_file }, { "a/x/y", &one_file } },
        { { "a", &directory }, { "a/x", NULL }, { "a/x", NULL } },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(tree_apply(before, bad[i], 3, &error));
        g_assert_error(error, FAULT, FAULT_CONFLICT);
    }
    const struct tree_change fine[] = { { "a", NULL }, { "a/b", NULL }, { "a/c/d", NULL } };
    g_autoptr(tree) made = tree_apply(before, fine, 3, NULL);
    assert_tree(made);
}

/* --- diff ------------------------------------------------------------------------------------- */

static bool show_difference(const char *path, const struct tree_entry *before,
                            const struct tree_entry *after, void *user)
{
    static const char kinds[] = { [TREE_FILE] = 'f', [TREE_DIRECTORY] = 'd', [TREE_SYMLINK] = 'l' };
    g_string_append_printf(user, "%s:%c%c ", path, before != NULL ? kinds[before->kind] : '-',
                           after != NULL ? kinds[after->kind] : '-');
    return strcmp(path, "stop") != 0;
}

/* Takes the trees. */
static void expect_diff(struct tree *before, struct tree *after, const char *expected,
                        bool complete)
{
    g_autoptr(GString) found = g_string_new(NULL);
    g_assert_cmpint(tree_diff(before, after, show_difference, found), ==, complete);
    g_assert_cmpstr(found->str, ==, expected);
    tree_unref(before);
    tree_unref(after);
}

static void diff_tells_every_difference_in_order(void)
{
    expect_diff(TREE("a=1", "b/c=2"), TREE("a=1", "b/c=2"), "", true);
    expect_diff(TREE(), TREE("a/b/c=1", "d->e"), "a:-d a/b:-d a/b/c:-f d:-l ", true);
    expect_diff(TREE("a/b/c=1", "d->e"), TREE(), "a:d- a/b:d- a/b/c:f- d:l- ", true);
    expect_diff(TREE("a=1", "x/y=2"), TREE("a*=1", "x/y=3"), "a:ff x/y:ff ", true);
    expect_diff(TREE("a/b=1", "a.b=1"), TREE("a=1", "a.b/c=1"), "a:df a/b:f- a.b:fd a.b/c:-f ",
                true);
    expect_diff(TREE("l->1", "m->1"), TREE("l->2", "m=1"), "l:ll m:lf ", true);
    expect_diff(TREE("a/e/", "z=1"), TREE("a/", "b=1", "z=1"), "a/e:d- b:-f ", true);
    expect_diff(TREE("a/x=1"), TREE("a/x=2", "stop=1", "t=1"), "a/x:ff stop:-f ", false);
    expect_diff(TREE("stop/x=1"), TREE(), "stop:d- ", false);
}

static bool never(const char *path, const struct tree_entry *before, const struct tree_entry *after,
                  void *user)
{
    g_assert_not_reached();
}

/* 2^1000 paths on either side: only sharing makes this end. */
static void equal_sub_trees_cost_nothing(void)
{
    struct tree *doubled = TREE("x=1");
    for (int i = 0; i < 1000; i++) {
        struct tree_entry twice[] = {
            { .name = "0", .kind = TREE_DIRECTORY, .directory = doubled },
            { .name = "1", .kind = TREE_DIRECTORY, .directory = doubled },
        };
        struct tree *outer = tree_new(twice, 2, NULL);
        tree_unref(doubled);
        doubled = outer;
    }
    g_assert_true(tree_diff(doubled, doubled, never, NULL));
    g_autoptr(tree) changed = replaced(doubled, "1/1/0/new=1");
    g_autoptr(GString) found = g_string_new(NULL);
    g_assert_true(tree_diff(doubled, changed, show_difference, found));
    g_assert_cmpstr(found->str, ==, "1/1/0/new:-f ");
    g_autoptr(tree) merged = tree_merge((struct tree *[]){ doubled, changed }, 2, NULL);
    g_assert_true(digest_equal(tree_digest(merged), tree_digest(changed)));
    tree_unref(doubled);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/merge/unites", merge_unites);
    g_test_add_func("/tree/merge/names-every-conflict", merge_names_every_conflict);
    g_test_add_func("/tree/subset/keeps-what-is-selected", subset_keeps_what_is_selected);
    g_test_add_func("/tree/prefix/is-added-and-removed", prefixes_are_added_and_removed);
    g_test_add_func("/tree/prefix/bad-ones-are-refused", bad_prefixes_are_refused);
    g_test_add_func("/tree/prefix/removing-names-all-that-lies-beside",
                    removing_a_prefix_names_all_that_lies_beside_it);
    g_test_add_func("/tree/prefix/too-deep-is-an-error", a_prefix_too_deep_is_an_error);
    g_test_add_func("/tree/replace/adds-replaces-and-removes", replace_adds_replaces_and_removes);
    g_test_add_func("/tree/apply/does-all-at-once", apply_does_all_at_once);
    g_test_add_func("/tree/apply/contradictions-are-conflicts",
                    contradictory_changes_are_conflicts);
    g_test_add_func("/tree/diff/tells-every-difference-in-order",
                    diff_tells_every_difference_in_order);
    g_test_add_func("/tree/diff/equal-sub-trees-cost-nothing", equal_sub_trees_cost_nothing);
    return g_test_run();
}
