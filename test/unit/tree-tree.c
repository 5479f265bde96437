// SPDX-License-Identifier: Apache-2.0
#include "tree-support.h"

static struct tree_entry file_named(const char *name)
{
    return (struct tree_entry){ .name = name, .kind = TREE_FILE, .digest = *digest_empty() };
}

static struct tree_entry link_named(const char *name, const char *target)
{
    return (struct tree_entry){ .name = name, .kind = TREE_SYMLINK, .target = target };
}

static void refuse(const struct tree_entry *entries, size_t count, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_new(entries, count, &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, message));
}

static void bad_names_and_targets_are_refused(void)
{
    static const char *const names[] = { "",  ".",    "..",        "a/b",
                                         "/", "\xff", "a\xc0\xaf", "\xed\xa0\x80" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        struct tree_entry entry = file_named(names[i]);
        refuse(&entry, 1, "an entry named");
    }
    struct tree_entry empty_target = link_named("l", ""), bad_target = link_named("l", "\xff\n");
    refuse(&empty_target, 1, "the link l to");
    refuse(&bad_target, 1, "\"\\377\\n\"");
}

static void repeated_names_are_refused_whatever_their_kinds(void)
{
    g_autoptr(tree) empty = tree_empty();
    struct tree_entry entries[] = {
        file_named("x"),
        link_named("a", "t"),
        { .name = "x", .kind = TREE_DIRECTORY, .directory = empty },
    };
    refuse(entries, 3, "named x");
    entries[2] = link_named("x", "t");
    refuse(entries, 3, "named x");
    entries[2] = file_named("x");
    refuse(entries, 3, "named x");
}

static void order_of_the_array_does_not_matter(void)
{
    g_autoptr(tree) empty = tree_empty();
    struct tree_entry entries[] = {
        link_named("\xc3\xa9", "t"),
        file_named("b"),
        file_named("B"),
        { .name = "a.b", .kind = TREE_DIRECTORY, .directory = empty },
        file_named("a"),
        file_named("a\x01"),
    };
    g_autoptr(tree) made = tree_new(entries, 6, NULL);
    static const char *const sorted[] = { "B", "a", "a\x01", "a.b", "b", "\xc3\xa9" };
    for (size_t i = 0; i < 6; i++)
        g_assert_cmpstr(tree_at(made, i)->name, ==, sorted[i]);
    for (guint seed = 1; seed < 50; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        for (int i = 5; i > 0; i--) {
            int j = g_rand_int_range(random, 0, i + 1);
            struct tree_entry kept = entries[i];
            entries[i] = entries[j];
            entries[j] = kept;
        }
        g_autoptr(tree) again = tree_new(entries, 6, NULL);
        assert_same_tree(again, made);
    }
}

static void a_tree_keeps_nothing_of_the_caller(void)
{
    char name[] = "name", target[] = "target";
    struct tree *below = TREE("x=1");
    struct tree_entry entries[] = {
        link_named(name, target),
        { .name = "d", .kind = TREE_DIRECTORY, .directory = below },
    };
    g_autoptr(tree) made = tree_new(entries, 2, NULL);
    tree_unref(below);
    memset(name, '-', sizeof name - 1);
    memset(target, '-', sizeof target - 1);
    memset(entries, 0, sizeof entries);
    assert_tree(made, "name->target", "d/x=1");
}

static void a_known_digest_is_taken_and_names_are_checked(void)
{
    g_autoptr(tree) hashed = TREE("b=2", "a->x", "d/e=3");
    struct tree_entry entries[] = { *tree_at(hashed, 2), *tree_at(hashed, 1), *tree_at(hashed, 0) };
    g_autoptr(tree) known = tree_new_known(entries, 3, tree_digest(hashed), NULL);
    assert_same_tree(known, hashed);
    g_autoptr(GError) error = NULL;
    entries[1].name = "a";
    g_assert_null(tree_new_known(entries, 3, tree_digest(hashed), &error));
    g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
}

static void what_does_not_belong_to_a_kind_is_ignored(void)
{
    g_autoptr(tree) below = TREE("x=1");
    struct tree_entry entries[] = {
        { .name = "d",
          .kind = TREE_DIRECTORY,
          .directory = below,
          .executable = true,
          .digest = { .size = 5 },
          .target = "t" },
        { .name = "f", .kind = TREE_FILE, .directory = below, .target = "t" },
        { .name = "l",
          .kind = TREE_SYMLINK,
          .directory = below,
          .target = "t",
          .executable = true,
          .digest = { .size = 5 } },
    };
    digest_of("f", 1, &entries[1].digest);
    g_autoptr(tree) made = tree_new(entries, 3, NULL);
    assert_tree(made, "d/x=1", "f=f", "l->t");
    g_assert_true(digest_equal(&tree_at(made, 0)->digest, tree_digest(below)));
    g_assert_false(tree_at(made, 0)->executable);
    g_assert_null(tree_at(made, 1)->directory);
    g_assert_null(tree_at(made, 1)->target);
    g_assert_cmpint(tree_at(made, 2)->digest.size, ==, 0);
    g_assert_false(tree_at(made, 2)->executable);
}

static void lookup_follows_directories_only(void)
{
    g_autoptr(tree) looked = TREE("a/b/c=1", "a/b.c=2", "a/l->b", "ab=3", "a/b/\n=4");
    g_assert_true(tree_lookup(looked, "a/b/c")->kind == TREE_FILE);
    g_assert_true(tree_lookup(looked, "a/b")->kind == TREE_DIRECTORY);
    g_assert_cmpstr(tree_lookup(looked, "a/l")->target, ==, "b");
    g_assert_nonnull(tree_lookup(looked, "a/b/\n"));
    static const char *const absent[] = { "",        "/",     "a/",    "/a",  "a//b",   "a/b/c/",
                                          "a/b/c/d", "a/l/c", "b",     "a/c", "a/b/cc", "A",
                                          "a/b/",    ".",     "a/./b", "aa" };
    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++)
        g_assert_null(tree_lookup(looked, absent[i]));
    g_assert_null(tree_child(looked, "a/b"));
    g_assert_cmpstr(tree_child(looked, "ab")->name, ==, "ab");
}

static void every_entry_of_a_large_directory_is_found(void)
{
    g_autoptr(tree_builder) builder = tree_builder_new();
    for (int i = 0; i < 2000; i++) {
        g_autofree char *name = g_strdup_printf("%d", i * 7);
        struct tree_entry entry = file_named("");
        g_assert_true(tree_builder_add(builder, name, &entry, NULL));
    }
    g_autoptr(tree) made = tree_builder_finish(g_steal_pointer(&builder));
    g_assert_cmpuint(tree_size(made), ==, 2000);
    for (int i = 0; i < 14000; i++) {
        g_autofree char *name = g_strdup_printf("%d", i);
        const struct tree_entry *found = tree_child(made, name);
        g_assert_cmpstr(found == NULL ? NULL : found->name, ==, i % 7 == 0 ? name : NULL);
    }
}

static bool stop_at(const char *path, const struct tree_entry *entry, void *user)
{
    char **wanted = user;
    g_assert_cmpstr(wanted[0], !=, "stopped");
    if (strcmp(path, wanted[0]) != 0)
        return true;
    wanted[0] = "stopped";
    return false;
}

static void walk_goes_parents_first_and_stops_when_told(void)
{
    g_autoptr(tree) walked = TREE("b=2", "a/y=1", "a/x/", "a.b=3");
    g_autofree char *text = show_tree(walked);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    static const char *const order[] = { "a: ", "a/x: ", "a/y: ", "a.b: ", "b: ", "" };
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++)
        g_assert_true(g_str_has_prefix(lines[i], order[i]));
    static const char *const stops[] = { "a", "a/x", "a/y", "b" };
    for (size_t i = 0; i < G_N_ELEMENTS(stops); i++) {
        const char *wanted = stops[i];
        g_assert_false(tree_walk(walked, stop_at, &wanted));
        g_assert_cmpstr(wanted, ==, "stopped");
    }
}

static void totals_count_repeats_and_never_wrap(void)
{
    struct tree_totals totals;
    g_autoptr(tree) counted = TREE("a/x=123", "b/x=123", "b/l->x", "c/", "d*=1");
    tree_totals(counted, &totals);
    g_assert_cmpuint(totals.files, ==, 3);
    g_assert_cmpuint(totals.directories, ==, 3);
    g_assert_cmpuint(totals.links, ==, 1);
    g_assert_cmpuint(totals.bytes, ==, 7);
    /* 2^100 paths to one file */
    struct tree *doubled = tree_ref(counted);
    for (int i = 0; i < 100; i++) {
        struct tree_entry twice[] = {
            { .name = "0", .kind = TREE_DIRECTORY, .directory = doubled },
            { .name = "1", .kind = TREE_DIRECTORY, .directory = doubled },
        };
        struct tree *outer = tree_new(twice, 2, NULL);
        tree_unref(doubled);
        doubled = outer;
    }
    tree_totals(doubled, &totals);
    g_assert_cmpuint(totals.files, ==, G_MAXUINT64);
    g_assert_cmpuint(totals.bytes, ==, G_MAXUINT64);
    tree_unref(doubled);
}

static bool count_directory(const struct tree *directory, void *user, GError **error)
{
    guint *left = user;
    if (*left == 0)
        return fault_set(error, FAULT_CANCELLED, "enough");
    --*left;
    return true;
}

static void each_distinct_directory_is_visited_once(void)
{
    g_autoptr(tree) shared = TREE("a/x/f=1", "b/x/f=1", "c/f=1", "e/", "g/h/");
    g_autoptr(GHashTable) messages = messages_new(); /* inserting one twice fails there */
    g_assert_true(tree_each_directory(shared, keep_directory, messages, NULL));
    g_assert_cmpuint(g_hash_table_size(messages), ==, 5); /* root, a, x = c, e = h, g */
    guint left = 3;
    g_autoptr(GError) error = NULL;
    g_assert_false(tree_each_directory(shared, count_directory, &left, &error));
    g_assert_error(error, FAULT, FAULT_CANCELLED);
}

static void entries_of_equal_content_differ_by_their_executable_bit(void)
{
    g_autoptr(tree) compared =
        TREE("a=1", "b=1", "c*=1", "d=2", "e->1", "f->1", "g/", "h/", "i/x=1");
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        { "a", "b", true }, { "a", "c", false }, { "a", "d", false }, { "a", "e", false },
        { "e", "f", true }, { "g", "h", true },  { "g", "i", false }, { "a", "g", false }
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(
            tree_entry_equal(tree_child(compared, cases[i].a), tree_child(compared, cases[i].b)),
            ==, cases[i].equal);
}

static void depth_is_limited_by_an_error(void)
{
    struct tree *deep = tree_empty();
    for (int i = 1; i < TREE_DEPTH_LIMIT; i++) {
        struct tree_entry entry = { .name = "d", .kind = TREE_DIRECTORY, .directory = deep };
        struct tree *outer = tree_new(&entry, 1, NULL);
        tree_unref(deep);
        deep = outer;
    }
    struct tree_entry entry = { .name = "d", .kind = TREE_DIRECTORY, .directory = deep };
    refuse(&entry, 1, "4096 deep");
    g_autofree char *text = show_tree(deep); /* the deepest that there can be is walked */
    struct tree_totals totals;
    tree_totals(deep, &totals);
    g_assert_cmpuint(totals.directories, ==, TREE_DEPTH_LIMIT - 1);
    tree_unref(deep);
}

static gpointer ref_and_unref(gpointer shared)
{
    for (int i = 0; i < 100000; i++)
        tree_unref(tree_ref(shared));
    return NULL;
}

static void references_are_counted_across_threads(void)
{
    struct tree *shared = TREE("a/b=1");
    GThread *threads[4];
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("ref", ref_and_unref, shared);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    assert_tree(shared, "a/b=1");
    tree_unref(shared);
    tree_unref(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/new/bad-names-and-targets-are-refused",
                    bad_names_and_targets_are_refused);
    g_test_add_func("/tree/new/repeated-names-are-refused-whatever-their-kinds",
                    repeated_names_are_refused_whatever_their_kinds);
    g_test_add_func("/tree/new/order-of-the-array-does-not-matter",
                    order_of_the_array_does_not_matter);
    g_test_add_func("/tree/new/keeps-nothing-of-the-caller", a_tree_keeps_nothing_of_the_caller);
    g_test_add_func("/tree/new/a-known-digest-is-taken-and-names-are-checked",
                    a_known_digest_is_taken_and_names_are_checked);
    g_test_add_func("/tree/new/what-does-not-belong-to-a-kind-is-ignored",
                    what_does_not_belong_to_a_kind_is_ignored);
    g_test_add_func("/tree/new/depth-is-limited-by-an-error", depth_is_limited_by_an_error);
    g_test_add_func("/tree/lookup/follows-directories-only", lookup_follows_directories_only);
    g_test_add_func("/tree/lookup/every-entry-of-a-large-directory-is-found",
                    every_entry_of_a_large_directory_is_found);
    g_test_add_func("/tree/walk/goes-parents-first-and-stops-when-told",
                    walk_goes_parents_first_and_stops_when_told);
    g_test_add_func("/tree/totals/count-repeats-and-never-wrap",
                    totals_count_repeats_and_never_wrap);
    g_test_add_func("/tree/each-directory/visits-each-distinct-one-once",
                    each_distinct_directory_is_visited_once);
    g_test_add_func("/tree/entry/equal-content-differs-by-the-executable-bit",
                    entries_of_equal_content_differ_by_their_executable_bit);
    g_test_add_func("/tree/ref/is-counted-across-threads", references_are_counted_across_threads);
    return g_test_run();
}
