// SPDX-License-Identifier: Apache-2.0
/* Laws that hold for every tree, tried on seeded random ones and against naive models. */
#include "tree-support.h"

#include "tree/glob.h"

#define ROUNDS 80

static const char *const names[] = { "a", "b", "a.b", "c c", "\xc3\xa9", "\n", "a-", "x" };

static const char *random_name(GRand *random)
{
    return names[g_rand_int_range(random, 0, G_N_ELEMENTS(names))];
}

/* Mostly equal names have equal entries, so that some merges succeed and some do not. */
static struct tree *random_tree(GRand *random, int depth)
{
    struct tree_entry entries[G_N_ELEMENTS(names)];
    size_t count = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        struct tree_entry entry = { .name = names[i] };
        bool odd = g_rand_int_range(random, 0, 50) == 0;
        if (g_rand_int_range(random, 0, 3) == 0)
            continue;
        entry.kind = (enum tree_kind)((i + odd) % 4 == 3 ? TREE_DIRECTORY : (i + odd) % 4);
        entry.executable = odd;
        entry.target = odd ? "there" : "here";
        digest_of(names[i], odd, &entry.digest);
        if (entry.kind == TREE_DIRECTORY)
            entry.directory = depth > 0 ? random_tree(random, depth - 1) : tree_empty();
        entries[count++] = entry;
    }
    struct tree *made = tree_new(entries, count, NULL);
    for (size_t i = 0; i < count; i++)
        tree_unref(entries[i].directory);
    return made;
}

static char *random_path(GRand *random)
{
    GString *path = g_string_new(random_name(random));
    for (int i = g_rand_int_range(random, 0, 4); i > 0; i--)
        g_string_append_printf(path, "/%s", random_name(random));
    return g_string_free(path, FALSE);
}

/* --- the naive model: a list of all paths ----------------------------------------------------- */

struct item {
    char *path;
    struct tree_entry entry; /* borrowed from the tree; `directory` is not to be used */
};

static void item_free(void *data)
{
    struct item *item = data;
    g_free(item->path);
    g_free(item);
}

static bool collect(const char *path, const struct tree_entry *entry, void *user)
{
    struct item *item = g_new(struct item, 1);
    *item = (struct item){ g_strdup(path), *entry };
    g_ptr_array_add(user, item);
    return true;
}

static GPtrArray *items_of(const struct tree *tree)
{
    GPtrArray *items = g_ptr_array_new_with_free_func(item_free);
    g_assert_true(tree_walk(tree, collect, items));
    return items;
}

static bool is_at_or_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Directories enter empty, so only the list says what is in them. */
static void add_alone(struct tree_builder *builder, const char *path, struct tree_entry entry)
{
    g_autoptr(tree) empty = tree_empty();
    g_autoptr(GError) error = NULL;
    if (entry.kind == TREE_DIRECTORY)
        entry.directory = empty;
    tree_builder_add(builder, path, &entry, &error);
    g_assert_no_error(error);
}

static struct tree *naive_replace(const struct tree *tree, const char *path,
                                  const struct tree_entry *entry)
{
    g_autoptr(GPtrArray) items = items_of(tree);
    struct tree_builder *builder = tree_builder_new();
    for (guint i = 0; i < items->len; i++) {
        struct item *item = items->pdata[i];
        bool in_the_way =
            entry != NULL && item->entry.kind != TREE_DIRECTORY && is_at_or_below(path, item->path);
        if (!in_the_way && !is_at_or_below(item->path, path))
            add_alone(builder, item->path, item->entry);
    }
    if (entry != NULL)
        g_assert_true(tree_builder_add(builder, path, entry, NULL));
    return tree_builder_finish(builder);
}

/* --- the laws --------------------------------------------------------------------------------- */

struct changes {
    GArray *list;     /* of struct tree_change */
    GPtrArray *paths; /* owns them */
    struct tree *stepwise;
};

static bool note_change(const char *path, const struct tree_entry *before,
                        const struct tree_entry *after, void *user)
{
    struct changes *changes = user;
    struct tree_change change = { g_strdup(path), after };
    g_assert_true(before != NULL || after != NULL);
    g_assert_true(before == NULL || after == NULL || !tree_entry_equal(before, after));
    g_ptr_array_add(changes->paths, (char *)change.path);
    g_array_append_val(changes->list, change);
    struct tree *next = tree_replace(changes->stepwise, path, after, NULL);
    tree_unref(changes->stepwise);
    changes->stepwise = next;
    return true;
}

static void shuffle(GRand *random, GArray *list)
{
    for (guint i = list->len; i > 1; i--) {
        guint j = (guint)g_rand_int_range(random, 0, (int)i);
        struct tree_change *a = &g_array_index(list, struct tree_change, i - 1);
        struct tree_change *b = &g_array_index(list, struct tree_change, j), kept = *a;
        *a = *b;
        *b = kept;
    }
}

static void applying_a_diff_gives_the_other_tree(GRand *random)
{
    g_autoptr(tree) from = random_tree(random, 3);
    g_autoptr(tree) to = random_tree(random, 3);
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(struct tree_change));
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    struct changes changes = { list, paths, tree_ref(from) };
    g_assert_true(tree_diff(from, to, note_change, &changes));
    assert_same_tree(changes.stepwise, to);
    shuffle(random, list);
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) made = tree_apply(from, (struct tree_change *)list->data, list->len, &error);
    g_assert_no_error(error);
    assert_same_tree(made, to);
    tree_unref(changes.stepwise);
}

static bool append_difference(const char *path, const struct tree_entry *before,
                              const struct tree_entry *after, void *user)
{
    g_autofree char *old = before != NULL ? tree_entry_describe(before) : g_strdup("");
    g_autofree char *new = after != NULL ? tree_entry_describe(after) : g_strdup("");
    g_string_append_printf(user, "%s|%s|%s\n", path, old, new);
    return true;
}

static bool append_reversed(const char *path, const struct tree_entry *before,
                            const struct tree_entry *after, void *user)
{
    return append_difference(path, after, before, user);
}

static void diff_is_the_same_both_ways(GRand *random)
{
    g_autoptr(tree) from = random_tree(random, 3);
    g_autoptr(tree) to = random_tree(random, 3);
    g_autoptr(GString) there = g_string_new(NULL);
    g_autoptr(GString) back = g_string_new(NULL);
    tree_diff(from, to, append_difference, there);
    tree_diff(to, from, append_reversed, back);
    g_assert_cmpstr(there->str, ==, back->str);
}

static guint naive_conflicts(const struct tree *a, const struct tree *b)
{
    guint conflicts = 0;
    g_autoptr(GPtrArray) items = items_of(a);
    for (guint i = 0; i < items->len; i++) {
        struct item *item = items->pdata[i];
        const struct tree_entry *other = tree_lookup(b, item->path);
        if (other != NULL && !tree_entry_equal(other, &item->entry))
            conflicts += other->kind != TREE_DIRECTORY || item->entry.kind != TREE_DIRECTORY;
    }
    return conflicts;
}

static guint lines_after_the_first(const char *text)
{
    guint lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static struct tree *merged(struct tree *a, struct tree *b)
{
    return a == NULL || b == NULL ? NULL : tree_merge((struct tree *[]){ a, b }, 2, NULL);
}

static void merging_is_commutative_and_associative(GRand *random)
{
    g_autoptr(tree) a = random_tree(random, 2);
    g_autoptr(tree) b = random_tree(random, 2);
    g_autoptr(tree) c = random_tree(random, 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) ab = tree_merge((struct tree *[]){ a, b }, 2, &error);
    g_autoptr(tree) ba = merged(b, a);
    guint conflicts = naive_conflicts(a, b);
    g_assert_cmpuint(error == NULL ? 0 : lines_after_the_first(error->message), ==, conflicts);
    g_assert_true((ab == NULL) == (conflicts > 0) && (ba == NULL) == (ab == NULL));
    if (ab != NULL)
        assert_same_tree(ba, ab);
    g_autoptr(tree) bc = merged(b, c);
    g_autoptr(tree) left = merged(ab, c);
    g_autoptr(tree) right = merged(a, bc);
    g_autoptr(tree) all = tree_merge((struct tree *[]){ c, a, b }, 3, NULL);
    g_assert_true((left == NULL) == (all == NULL) && (right == NULL) == (all == NULL));
    if (all != NULL) {
        assert_same_tree(left, all);
        assert_same_tree(right, all);
        g_autoptr(tree) again = tree_merge((struct tree *[]){ all, a, all, c }, 4, NULL);
        assert_same_tree(again, all);
    }
}

static const char *random_pattern(GRand *random)
{
    static const char *const patterns[] = {
        "a",       "/a",  "a/", "*",   "a*",   "**/b",  "a/**",   "x/*/a", "x/**/a", "?",   "[ab]",
        "[!ab]/*", "*.b", "x/", "**/", "a-/x", "x/x/x", "a-/**/", "*/*/*", "\\a",    "c c", "./x",
    };
    return patterns[g_rand_int_range(random, 0, G_N_ELEMENTS(patterns))];
}

/* A set of patterns, and the one with each pattern's sense turned round. */
static void random_globs(GRand *random, struct glob *set, struct glob *complement)
{
    for (int i = g_rand_int_range(random, 1, 5); i > 0; i--) {
        const char *pattern = random_pattern(random);
        g_autofree char *negative = g_strconcat("!", pattern, NULL);
        bool positive = g_rand_boolean(random);
        g_assert_true(glob_add(set, "", positive ? pattern : negative, NULL));
        g_assert_true(glob_add(complement, "", positive ? negative : pattern, NULL));
    }
}

/* Every path is asked about by itself, with no pruning; last paths first, so children come first.
 */
static struct tree *naive_subset(const struct tree *tree, const struct glob *set)
{
    g_autoptr(GPtrArray) items = items_of(tree);
    struct tree_builder *builder = tree_builder_new();
    for (guint i = items->len; i > 0; i--) {
        struct item *item = items->pdata[i - 1];
        if (glob_match(set, item->path, item->entry.kind == TREE_DIRECTORY))
            add_alone(builder, item->path, item->entry);
    }
    return tree_builder_finish(builder);
}

static guint64 files_and_links(const struct tree *tree)
{
    struct tree_totals totals;
    tree_totals(tree, &totals);
    return totals.files + totals.links;
}

static void a_subset_and_its_complement_are_the_whole(GRand *random)
{
    g_autoptr(tree) whole = random_tree(random, 3);
    g_autoptr(glob) set = glob_new();
    g_autoptr(glob) complement = glob_new();
    random_globs(random, set, complement);
    g_autoptr(tree) inside = tree_subset(whole, set);
    g_autoptr(tree) outside = tree_subset(whole, complement);
    g_autoptr(tree) naive = naive_subset(whole, set);
    assert_same_tree(inside, naive);
    g_assert_cmpuint(files_and_links(inside) + files_and_links(outside), ==,
                     files_and_links(whole));
    g_autoptr(tree) both = merged(inside, outside);
    g_assert_cmpuint(files_and_links(both), ==, files_and_links(whole));
    g_assert_cmpuint(naive_conflicts(both, whole), ==, 0);
    g_autoptr(tree) twice = tree_subset(inside, set);
    g_assert_cmpuint(files_and_links(twice), ==, files_and_links(inside));
}

static void removing_a_prefix_undoes_adding_it(GRand *random)
{
    g_autoptr(tree) inner = random_tree(random, 2);
    g_autofree char *prefix = random_path(random);
    g_autoptr(tree) outer = tree_add_prefix(inner, prefix, NULL);
    g_autoptr(tree) back = tree_remove_prefix(outer, prefix, NULL);
    assert_same_tree(back, inner);
    assert_same_tree(tree_lookup(outer, prefix)->directory, inner);
}

static void loading_undoes_encoding(GRand *random)
{
    g_autoptr(tree) made = random_tree(random, 3);
    g_autoptr(GHashTable) messages = messages_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(tree_each_directory(made, keep_directory, messages, NULL));
    g_autoptr(tree) loaded = tree_load(tree_digest(made), fetch_message, messages, &error);
    g_assert_no_error(error);
    assert_same_tree(loaded, made);
    GHashTableIter iterator;
    void *key, *value;
    g_hash_table_iter_init(&iterator, messages);
    while (g_hash_table_iter_next(&iterator, &key, &value)) {
        struct digest digest;
        digest_of_bytes(value, &digest);
        g_assert_true(digest_equal(&digest, key));
    }
}

static void replacing_does_what_the_model_does(GRand *random)
{
    g_autoptr(tree) before = random_tree(random, 3);
    g_autoptr(tree) below = random_tree(random, 1);
    g_autofree char *path = random_path(random);
    struct tree_entry entry = { .kind = (enum tree_kind)g_rand_int_range(random, 0, 3),
                                .executable = g_rand_boolean(random),
                                .target = "t",
                                .directory = below };
    const struct tree_entry *given = g_rand_boolean(random) ? &entry : NULL;
    g_autoptr(tree) made = tree_replace(before, path, given, NULL);
    g_autoptr(tree) expected = naive_replace(before, path, given);
    assert_same_tree(made, expected);
}

static void building_from_all_paths_gives_the_tree(GRand *random)
{
    g_autoptr(tree) made = random_tree(random, 3);
    g_autoptr(GPtrArray) items = items_of(made);
    struct tree_builder *builder = tree_builder_new();
    struct tree_totals totals, counted = { 0 };
    for (guint i = items->len; i > 0; i--) {
        guint chosen = (guint)g_rand_int_range(random, 0, (int)i);
        struct item *item = items->pdata[chosen];
        const struct tree_entry *found = tree_lookup(made, item->path);
        g_assert_true(tree_entry_equal(found, &item->entry));
        counted.files += found->kind == TREE_FILE;
        counted.links += found->kind == TREE_SYMLINK;
        counted.directories += found->kind == TREE_DIRECTORY;
        counted.bytes += found->kind == TREE_FILE ? (guint64)found->digest.size : 0;
        add_alone(builder, item->path, item->entry);
        g_ptr_array_remove_index_fast(items, chosen);
    }
    g_autoptr(tree) again = tree_builder_finish(builder);
    assert_same_tree(again, made);
    tree_totals(made, &totals);
    g_assert_cmpint(memcmp(&totals, &counted, sizeof totals), ==, 0);
}

static void for_many_seeds(gconstpointer law)
{
    for (guint seed = 0; seed < ROUNDS; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_test_message("seed %u", seed);
        ((void (*)(GRand *))law)(random);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*law)(GRand *random);
    } laws[] = {
        { "/tree/laws/applying-a-diff-gives-the-other-tree", applying_a_diff_gives_the_other_tree },
        { "/tree/laws/diff-is-the-same-both-ways", diff_is_the_same_both_ways },
        { "/tree/laws/merging-is-commutative-and-associative",
          merging_is_commutative_and_associative },
        { "/tree/laws/a-subset-and-its-complement-are-the-whole",
          a_subset_and_its_complement_are_the_whole },
        { "/tree/laws/removing-a-prefix-undoes-adding-it", removing_a_prefix_undoes_adding_it },
        { "/tree/laws/loading-undoes-encoding", loading_undoes_encoding },
        { "/tree/laws/replacing-does-what-the-model-does", replacing_does_what_the_model_does },
        { "/tree/laws/building-from-all-paths-gives-the-tree",
          building_from_all_paths_gives_the_tree },
    };
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(laws); i++)
        g_test_add_data_func(laws[i].name, (gconstpointer)laws[i].law, for_many_seeds);
    return g_test_run();
}
