// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
#include "cache/own.h"

#include <time.h>

/* --- helpers ---------------------------------------------------------------------------------- */

static struct own *own_new(void)
{
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
    struct own *own = own_decode(nothing, NULL);
    g_assert_nonnull(own);
    return own;
}

/* A store that holds these contents. */
static struct store *store_with(const char *const *contents)
{
    struct store *store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    for (; *contents != NULL; contents++) {
        struct digest ignored;
        g_assert_true(store_batch_put(batch, *contents, strlen(*contents), &ignored, NULL));
    }
    g_assert_true(store_batch_commit(batch, NULL));
    return store;
}

#define STORE(...) store_with((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static struct tree *roll_back(struct own *own, struct store *store, const struct glob *select,
                              struct tree *tree)
{
    const struct own_present present = { .tree = tree, .select = select };
    return own_roll_back(own, store, &present, NULL);
}

struct difference {
    GArray *outputs; /* struct tree_change */
    GPtrArray *deleted;
};

static bool note_difference(const char *path, const struct tree_entry *before,
                            const struct tree_entry *after, void *user)
{
    struct difference *difference = user;
    struct tree_change change = { .path = g_strdup(path), .entry = after };
    if (after != NULL)
        g_array_append_val(difference->outputs, change);
    else
        g_ptr_array_add(difference->deleted, (char *)change.path);
    return true;
}

static void add_fifo(struct result *result, const char *path)
{
    struct output_extra *extra = g_new0(struct output_extra, 1);
    extra->path = g_strdup(path);
    extra->fifo = true;
    g_ptr_array_add(result->extras, extra);
}

/* Learn from a command that turned `before` into `after`, and made FIFOs beside it. */
static bool learn_fifos(struct own *own, const struct tree *before, const struct tree *after,
                        const char *const *fifos)
{
    g_autoptr(result) result = result_new();
    struct difference difference = {
        .outputs = g_array_new(FALSE, FALSE, sizeof(struct tree_change)),
        .deleted = g_ptr_array_new_with_free_func(g_free),
    };
    tree_diff(before, after, note_difference, &difference);
    g_autoptr(tree) empty = tree_empty();
    g_autoptr(tree) outputs =
        tree_apply(empty, (const struct tree_change *)(void *)difference.outputs->data,
                   difference.outputs->len, NULL);
    g_assert_nonnull(outputs);
    g_ptr_array_add(difference.deleted, NULL);
    result->deleted = g_strdupv((char **)difference.deleted->pdata);
    for (; fifos != NULL && *fifos != NULL; fifos++)
        add_fifo(result, *fifos);
    bool learned = own_learn(own, before, outputs, result);
    for (guint i = 0; i < difference.outputs->len; i++)
        g_free((char *)g_array_index(difference.outputs, struct tree_change, i).path);
    g_array_unref(difference.outputs);
    g_ptr_array_unref(difference.deleted);
    return learned;
}

static bool learn(struct own *own, const struct tree *before, const struct tree *after)
{
    return learn_fifos(own, before, after, NULL);
}

/* One row: a command turned `before` into `after`; then `present` counts as `rolled`. */
static void check(struct own *own, struct store *store, struct tree *present, struct tree *rolled)
{
    g_autoptr(tree) found = roll_back(own, store, NULL, present);
    assert_same_tree(found, rolled);
    tree_unref(present);
    tree_unref(rolled);
}

static void run(struct own *own, struct tree *before, struct tree *after)
{
    learn(own, before, after);
    tree_unref(before);
    tree_unref(after);
}

/* --- what is rolled back ---------------------------------------------------------------------- */

static void a_file_that_it_created_goes(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    run(own, TREE("x.c=1"), TREE("x.c=1", "x*=2"));
    check(own, store, TREE("x.c=1", "x*=2"), TREE("x.c=1"));
    check(own, store, TREE("x.c=3", "x*=2"), TREE("x.c=3"));
    check(own, store, TREE("x.c=1", "x=2"), TREE("x.c=1", "x=2"));
    check(own, store, TREE("x.c=1", "x*=3"), TREE("x.c=1", "x*=3"));
    check(own, store, TREE("x.c=1"), TREE("x.c=1"));
}

static void a_file_changed_in_place_comes_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("old");
    run(own, TREE("x=old", "y=gone", "z=", "l->a"), TREE("x=new", "y=new", "z=new", "l->b"));
    check(own, store, TREE("x=new", "y=new", "z=new", "l->b"),
          TREE("x=old", "y=new", "z=", "l->a")); /* the store does not hold "gone" */
    check(own, store, TREE("x=old", "l->c"), TREE("x=old", "l->c"));
}

static void a_bit_changed_in_place_comes_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("s");
    run(own, TREE("x=s"), TREE("x*=s"));
    check(own, store, TREE("x*=s"), TREE("x=s"));
}

static void what_it_deleted_comes_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1", "2");
    run(own, TREE("a=1", "d/b*=2", "d/l->x", "e/", "f/g/"), TREE("d/"));
    check(own, store, TREE("d/"), TREE("a=1", "d/b*=2", "d/l->x", "e/", "f/g/"));
    check(own, store, TREE("d/", "a=3"), TREE("a=3", "d/b*=2", "d/l->x", "e/", "f/g/"));
}

/* The user who takes a directory away does not want what a command once deleted in it. */
static void what_it_deleted_does_not_come_back_without_its_directory(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1");
    run(own, TREE("d/a=1", "d/b=2"), TREE("d/b=2"));
    check(own, store, TREE("d/b=2"), TREE("d/a=1", "d/b=2"));
    check(own, store, TREE(), TREE());
    check(own, store, TREE("d=mine"), TREE("d=mine"));
    check(own, store, TREE("d->mine"), TREE("d->mine"));
}

static void directories_that_it_created_go_when_empty(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    run(own, TREE("x=1"), TREE("x=1", "a/b/c/d/", "a/b/o=2", "a/e/", "o-e/"));
    check(own, store, TREE("x=1", "a/b/c/d/", "a/b/o=2", "a/e/", "o-e/"), TREE("x=1"));
    check(own, store, TREE("a/b/c/d/", "a/b/o=2", "a/b/c/mine=3"), TREE("a/b/c/mine=3"));
    check(own, store, TREE("a/b/o=2", "a/b/c/d/", "a/e/mine/"), TREE("a/e/mine/"));
    check(own, store, TREE("a/b/o=changed", "a/b/c/d/"), TREE("a/b/o=changed"));
    check(own, store, TREE("a=mine"), TREE("a=mine"));
}

static void an_empty_directory_of_the_user_stays(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    run(own, TREE("d/"), TREE("d/o=1"));
    check(own, store, TREE("d/o=1"), TREE("d/"));
}

static void a_kind_that_it_changed_comes_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1", "2");
    run(own, TREE("f=1", "d/x=2", "e/", "l->f"), TREE("f/o=3", "d=4", "e=5", "l/"));
    check(own, store, TREE("f/o=3", "d=4", "e=5", "l/"), TREE("f=1", "d/x=2", "e/", "l->f"));
    check(own, store, TREE("f/o=3", "f/mine=6", "d=mine", "e=5", "l/"),
          TREE("f/mine=6", "d=mine", "e/", "l->f"));
}

static void a_file_that_is_gone_keeps_the_directory_in_its_place(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    run(own, TREE("f=1"), TREE("f/"));
    check(own, store, TREE("f/"), TREE("f/"));
}

static void each_of_several_contents_leads_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("user");
    run(own, TREE("s=1"), TREE("s=1", "o=1"));
    run(own, TREE("s=2"), TREE("s=2", "o=2"));
    run(own, TREE("s=1", "o=user"), TREE("s=1", "o=3"));
    check(own, store, TREE("s=1", "o=1"), TREE("s=1"));
    check(own, store, TREE("s=1", "o=2"), TREE("s=1"));
    check(own, store, TREE("s=1", "o=3"), TREE("s=1", "o=user"));
    check(own, store, TREE("s=1", "o=4"), TREE("s=1", "o=4"));
}

static void of_two_ways_back_the_newest_counts(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("a", "b");
    run(own, TREE("o=a"), TREE("o=x"));
    run(own, TREE("o=b"), TREE("o=x"));
    check(own, store, TREE("o=x"), TREE("o=b"));
    run(own, TREE("o=a"), TREE("o=x"));
    check(own, store, TREE("o=x"), TREE("o=a"));
}

/* A log that grows, a formatter: the second run must not see its own writing. */
static void running_again_changes_nothing(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("one line");
    g_autoptr(tree) before = TREE("log=one line"), after = TREE("log=two lines");
    g_assert_true(learn(own, before, after));
    g_autoptr(tree) rolled = roll_back(own, store, NULL, after);
    assert_same_tree(rolled, before);
    g_assert_false(learn(own, rolled, after));
}

static void what_was_not_captured_is_not_brought_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1", "2");
    g_autoptr(glob) glob = glob_new();
    g_assert_true(glob_add_path(glob, "in", false, NULL));
    run(own, TREE("in/a=1", "out=2", "e/"), TREE("in/"));
    g_autoptr(tree) present = TREE("in/"), expected = TREE("in/a=1");
    g_autoptr(tree) found = roll_back(own, store, glob, present);
    assert_same_tree(found, expected);
}

/* Pairs of different runs can contradict each other; what fits together is rolled back. */
static void pairs_that_do_not_go_together_spoil_nothing(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1", "2");
    run(own, TREE("d/y=1", "z=2"), TREE("z=2", "d/"));
    run(own, TREE("z=2"), TREE("z=2", "d=file", "o=3"));
    check(own, store, TREE("z=2", "d=file", "o=3"), TREE("z=2"));
    check(own, store, TREE("z=2", "d/", "o=3"), TREE("z=2", "d/y=1"));
}

/* --- FIFOs ------------------------------------------------------------------------------------ */

#define PATHS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void run_fifos(struct own *own, struct tree *before, struct tree *after,
                      const char *const *fifos)
{
    g_assert_true(learn_fifos(own, before, after, fifos));
    tree_unref(before);
    tree_unref(after);
}

/* One row: `present` and `fifos` (ascending) count as `rolled`, but for the FIFO `foreign`. */
static void check_fifos(struct own *own, struct store *store, struct tree *present,
                        const char *const *fifos, struct tree *rolled, const char *foreign)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (; *fifos != NULL; fifos++)
        g_ptr_array_add(list, (gpointer)*fifos);
    const struct own_present where = { .tree = present, .fifos = list };
    const char *found;
    g_autoptr(tree) tree = own_roll_back(own, store, &where, &found);
    assert_same_tree(tree, rolled);
    g_assert_cmpstr(found, ==, foreign);
    tree_unref(present);
    tree_unref(rolled);
}

static void a_fifo_that_it_made_goes_and_no_other(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    run_fifos(own, TREE("x=1"), TREE("x=1", "d/"), PATHS("d/p", "q"));
    check_fifos(own, store, TREE("x=1", "d/"), PATHS("d/p", "q"), TREE("x=1"), NULL);
    check_fifos(own, store, TREE("x=1", "d/"), PATHS(), TREE("x=1"), NULL);
    check_fifos(own, store, TREE("x=1"), PATHS("mine", "q"), TREE("x=1"), "mine");
    check_fifos(own, store, TREE("x=1"), PATHS("q", "x.p"), TREE("x=1"), "x.p");
    check_fifos(own, store, TREE("q=mine"), PATHS(), TREE("q=mine"), NULL);
}

/* What was a file, a link, a directory before, or what the command made or deleted elsewhere. */
static void a_fifo_is_no_other_state(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1", "2");
    run(own, TREE("gone=1", "f=1"), TREE("made=2", "f=2", "d/"));
    static const char *const paths[] = { "d", "f", "gone", "made" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        check_fifos(own, store, TREE("x=1", "gone=3"), PATHS(paths[i]), TREE("x=1", "gone=3"),
                    paths[i]);
}

static void a_file_under_a_fifo_comes_back(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1");
    run_fifos(own, TREE("a=1", "l->a", "lost=2"), TREE(), PATHS("a", "l", "lost"));
    check_fifos(own, store, TREE(), PATHS("a", "l"), TREE("a=1", "l->a"), NULL);
    /* The store does not hold what lay there; nor does the command see a FIFO. */
    check_fifos(own, store, TREE(), PATHS("lost"), TREE(), "lost");
    /* It made a FIFO in its place: it has not deleted it. */
    check_fifos(own, store, TREE(), PATHS(), TREE(), NULL);
}

static void a_fifo_learned_twice_is_nothing_new(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(tree) tree = TREE("x=1");
    g_assert_true(learn_fifos(own, tree, tree, PATHS("p")));
    g_assert_false(learn_fifos(own, tree, tree, PATHS("p")));
}

/* --- against a model -------------------------------------------------------------------------- */

/*
 * A random command and a random user work on the same few paths. Whatever the command did, rolling
 * back must give the user's view: `base`, on which only the user works. The user writes content
 * that no command writes, and does not remove what a command has ever removed, for then nobody
 * could tell who did it.
 */
struct model {
    GRand *random;
    struct tree *base, *present;
    GHashTable *removed; /* paths that the command has ever removed */
    int content;
};

static const char *const places[] = { "a",     "b",       "d",     "d/a",   "d/b",   "d/d",
                                      "d/d/a", "d/d/b",   "e",     "e/a",   "e/e",   "e/e/e",
                                      "d-",    "d/d-/a!", "d.x/a", "e/e/a", "e/e!/", NULL };

static const char *random_place(struct model *model)
{
    return places[g_rand_int_range(model->random, 0, (gint)G_N_ELEMENTS(places) - 2)];
}

static void replace(struct tree **tree, const char *path, const struct tree_entry *entry)
{
    g_autoptr(GError) error = NULL;
    struct tree *made = tree_replace(*tree, path, entry, &error);
    g_assert_no_error(error);
    tree_unref(*tree);
    *tree = made;
}

static bool is_directory(const struct tree *tree, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    if (strcmp(parent, ".") == 0)
        return true;
    const struct tree_entry *entry = tree_lookup(tree, parent);
    return entry != NULL && entry->kind == TREE_DIRECTORY;
}

static struct tree_entry file_of(struct store *store, const char *text, bool executable)
{
    struct tree_entry entry = { .kind = TREE_FILE, .executable = executable };
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_assert_true(store_batch_put(batch, text, strlen(text), &entry.digest, NULL));
    g_assert_true(store_batch_commit(batch, NULL));
    return entry;
}

/* Whether the command has ever removed it, or something below it. */
static bool was_removed(const struct model *model, const char *path)
{
    GHashTableIter iter;
    gpointer removed;
    g_autofree char *inside = g_strconcat(path, "/", NULL);
    g_hash_table_iter_init(&iter, model->removed);
    while (g_hash_table_iter_next(&iter, &removed, NULL))
        if (strcmp(removed, path) == 0 || g_str_has_prefix(removed, inside))
            return true;
    return false;
}

static bool note_removed(const char *path, const struct tree_entry *before,
                         const struct tree_entry *after, void *user)
{
    if (after == NULL)
        g_hash_table_add(user, g_strdup(path));
    return true;
}

/* The command: from the rolled back inputs to whatever it likes. */
static struct tree *random_command(struct model *model, struct store *store, struct tree *inputs)
{
    struct tree *after = tree_ref(inputs);
    g_autoptr(tree) empty = tree_empty();
    for (int i = g_rand_int_range(model->random, 0, 8); i > 0; i--) {
        const char *path = random_place(model);
        g_autofree char *text =
            g_strdup_printf("command %d", g_rand_int_range(model->random, 0, 4));
        struct tree_entry file = file_of(store, text, g_rand_boolean(model->random));
        struct tree_entry link = { .kind = TREE_SYMLINK, .target = text };
        struct tree_entry directory = { .kind = TREE_DIRECTORY, .directory = empty };
        const struct tree_entry *choices[] = { &file, &file, &file, &link, &directory, NULL };
        replace(&after, path, choices[g_rand_int_range(model->random, 0, 6)]);
    }
    tree_diff(inputs, after, note_removed, model->removed);
    return after;
}

/* The user: one file, in a directory that is there, written or removed on both sides. */
static void random_edit(struct model *model, struct store *store)
{
    const char *path = random_place(model);
    const struct tree_entry *there = tree_lookup(model->present, path);
    g_autofree char *text = g_strdup_printf("user %d", model->content++);
    struct tree_entry file = file_of(store, text, false);
    bool plain = there == NULL || there->kind == TREE_FILE;
    if (!plain || !is_directory(model->present, path) || !is_directory(model->base, path))
        return;
    const struct tree_entry *mine = tree_lookup(model->base, path);
    if (mine != NULL && mine->kind == TREE_DIRECTORY)
        return;
    const struct tree_entry *entry =
        g_rand_boolean(model->random) || was_removed(model, path) ? &file : NULL;
    replace(&model->base, path, entry);
    replace(&model->present, path, entry);
}

static void one_model(guint32 seed)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(own) own = own_new();
    struct model model = {
        .random = g_rand_new_with_seed(seed),
        .base = TREE("b=user", "d/a=user", "e/"),
        .removed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    file_of(store, "user", false);
    model.present = tree_ref(model.base);
    for (int round = 0; round < 12; round++) {
        for (int i = g_rand_int_range(model.random, 0, 3); i > 0; i--)
            random_edit(&model, store);
        g_autoptr(tree) inputs = roll_back(own, store, NULL, model.present);
        assert_same_tree(inputs, model.base);
        struct tree *after = random_command(&model, store, inputs);
        learn(own, inputs, after);
        tree_unref(model.present);
        model.present = after;
        g_autoptr(GBytes) bytes = own_encode(own);
        own_free(g_steal_pointer(&own));
        own = own_decode(bytes, NULL);
        g_assert_nonnull(own);
    }
    g_rand_free(model.random);
    tree_unref(model.base);
    tree_unref(model.present);
    g_hash_table_unref(model.removed);
}

static void random_commands_roll_back_to_the_view_of_the_user(void)
{
    for (guint32 seed = 0; seed < 400; seed++) {
        g_test_message("seed %u", seed);
        one_model(seed);
    }
}

/* --- many outputs ----------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct tree *tree_of_many(int count, int content)
{
    struct tree_builder *builder = tree_builder_new();
    for (int i = 0; i < count; i++) {
        g_autofree char *path = g_strdup_printf("out/%d", i),
                        *text = g_strdup_printf("%d", content + i);
        struct tree_entry entry = { .kind = TREE_FILE };
        digest_of(text, strlen(text), &entry.digest);
        g_assert_true(tree_builder_add(builder, path, &entry, NULL));
    }
    return tree_builder_finish(builder);
}

/* CPU time of this thread to learn `count` outputs, keep them, read them and roll them back. */
static double time_of_many(int count)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(tree) before = TREE("in=1"), after = tree_of_many(count, 0);
    double best = G_MAXDOUBLE;
    for (int i = 0; i < 3; i++) {
        g_autoptr(own) own = own_new();
        double start = seconds();
        g_autoptr(result) result = result_new();
        own_learn(own, before, after, result);
        g_autoptr(GBytes) bytes = own_encode(own);
        g_autoptr(own) again = own_decode(bytes, NULL);
        g_autoptr(tree) rolled = roll_back(again, store, NULL, after);
        best = MIN(best, seconds() - start);
        g_assert_cmpuint(tree_size(rolled), ==, 0);
    }
    return best;
}

static void ten_thousand_outputs_take_linear_time(void)
{
    double few = time_of_many(1250), many = time_of_many(10000);
    g_test_message("1250: %.4f s, 10000: %.4f s", few, many);
    g_assert_cmpfloat(many, <, few * 8 * 4); /* squared it would be 64 times as much */
}

static void a_path_keeps_its_newest_pairs(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    for (int i = 0; i < 100; i++) {
        g_autofree char *line = g_strdup_printf("o=%d", i);
        run(own, TREE("in="), tree_of((const char *const[]){ "in=", line, NULL }));
    }
    check(own, store, TREE("o=99"), TREE());
    check(own, store, TREE("o=92"), TREE());
    check(own, store, TREE("o=91"), TREE("o=91"));
    g_autoptr(GBytes) bytes = own_encode(own);
    g_assert_cmpuint(g_bytes_get_size(bytes), <, 2000);
}

/* Each time another name, which the user then takes away; and a file that it deletes. */
static void names_that_never_come_again_are_forgotten(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE("1");
    g_autoptr(tree) before = TREE("in=1", "gone=1");
    gsize most = 0;
    for (unsigned i = 0; i < 3 * OWN_LEFT_OVERS; i++) {
        g_autofree char *made = g_strdup_printf("made-%u=", i);
        g_autoptr(tree) after = TREE("in=1", made);
        g_autoptr(tree) outputs = TREE(made);
        learn(own, before, after);
        g_autoptr(result) result = result_new();
        const struct own_present present = { .tree = before };
        own_forget(own, &present, outputs, result);
        check(own, store, tree_ref(after), tree_ref(before));
        if (i % 100 == 0) {
            g_autoptr(GBytes) bytes = own_encode(own);
            most = MAX(most, g_bytes_get_size(bytes));
        }
    }
    g_assert_cmpuint(most, >, 0);
    g_assert_cmpuint(most, <, 2 * OWN_LEFT_OVERS * 100);
    check(own, store, TREE("in=1"), TREE("in=1", "gone=1"));
}

/* As many as a table may hold beside, but all of them are still there. */
static void what_lies_in_the_workspace_is_not_forgotten(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < 2 * OWN_LEFT_OVERS; i++)
        g_ptr_array_add(names, g_strdup_printf("d/made-%u=", i));
    g_ptr_array_add(names, NULL);
    g_autoptr(tree) tree = tree_of((const char *const *)names->pdata);
    g_autoptr(tree) empty = tree_empty();
    g_autoptr(result) result = result_new();
    const struct own_present present = { .tree = tree };
    learn(own, empty, tree);
    own_forget(own, &present, empty, result);
    check(own, store, tree_ref(tree), tree_ref(empty));
}

/* A FIFO forgotten would be an error the next time, and not just a miss. */
static void fifos_that_are_there_are_not_forgotten(void)
{
    g_autoptr(own) own = own_new();
    g_autoptr(store) store = STORE();
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free), fifos = g_ptr_array_new();
    for (unsigned i = 0; i < 2 * OWN_LEFT_OVERS; i++)
        g_ptr_array_add(names, g_strdup_printf("d/made-%u=", i));
    g_ptr_array_add(names, NULL);
    g_autoptr(tree) tree = tree_of((const char *const *)names->pdata), empty = tree_empty();
    g_autoptr(result) result = result_new();
    g_ptr_array_add(fifos, (gpointer) "old");
    const struct own_present present = { .tree = empty, .fifos = fifos };
    learn_fifos(own, empty, tree, PATHS("new", "old", "gone"));
    add_fifo(result, "new");
    own_forget(own, &present, empty, result);
    check_fifos(own, store, TREE(), PATHS("new", "old"), TREE(), NULL);
    check_fifos(own, store, TREE(), PATHS("gone"), TREE(), "gone");
}

/* --- records ---------------------------------------------------------------------------------- */

static struct own *golden_own(const char *name)
{
    struct own *own = own_new();
    if (strcmp(name, "kinds") == 0) {
        run(own, TREE("x=1"), TREE("x*="));
        run(own, TREE("x=2", "gone=old"), TREE("x=3", "d/l->../x"));
    } else if (strcmp(name, "fifo") == 0) {
        run_fifos(own, TREE("f=1"), TREE(), PATHS("f", "p"));
    }
    return own;
}

static void the_encoding_is_the_documented_one(void)
{
    static const char *const names[] = { "empty", "kinds", "fifo" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(GStrv) expected = golden("own-outputs.txt", names[i]);
        g_autoptr(own) own = golden_own(names[i]);
        g_autoptr(GBytes) bytes = own_encode(own);
        g_autofree char *hex = hex_of(bytes);
        g_assert_cmpstr(hex, ==, expected[2]);
        g_autoptr(own) again = own_decode(bytes, NULL);
        g_autoptr(GBytes) bytes_again = own_encode(again);
        g_assert_true(g_bytes_equal(bytes, bytes_again));
    }
}

static void a_record_is_found_by_its_weak_key_alone(void)
{
    g_autoptr(store) store = STORE();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(own) own = golden_own("kinds");
    struct digest weak, other;
    digest_of("weak", 4, &weak);
    digest_of("other", 5, &other);
    own_record(own, batch, &weak);
    g_assert_true(store_batch_commit(batch, NULL));
    g_autoptr(own) found = own_load(store, &weak), none = own_load(store, &other);
    g_autoptr(GBytes) bytes = own_encode(own), found_bytes = own_encode(found);
    g_autoptr(GBytes) none_bytes = own_encode(none);
    g_assert_true(g_bytes_equal(bytes, found_bytes));
    g_assert_cmpuint(g_bytes_get_size(none_bytes), ==, 0);
}

static void decode_damaged(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(own) own = own_decode(bytes, &error);
    if (own == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        return;
    }
    g_autoptr(store) store = STORE();
    g_autoptr(tree) present = TREE("x=3", "d/l->../x");
    g_autoptr(tree) rolled = roll_back(own, store, NULL, present);
    g_assert_nonnull(rolled);
    g_autoptr(GBytes) encoded = own_encode(own);
    g_autoptr(own) again = own_decode(encoded, NULL);
    g_assert_nonnull(again);
}

static void damaged_bytes_are_refused_or_make_sense(void)
{
    static const char *const names[] = { "kinds", "fifo" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(own) own = golden_own(names[i]);
        g_autoptr(GBytes) bytes = own_encode(own);
        damage(bytes, decode_damaged, NULL);
    }
}

static void a_damaged_record_is_as_none(void)
{
    g_autoptr(store) store = STORE();
    struct digest weak;
    digest_of("weak", 4, &weak);
    guint8 key[40];
    guint64 size = GUINT64_TO_BE((guint64)weak.size);
    memcpy(key, weak.hash, 32);
    memcpy(key + 32, &size, 8);
    g_autoptr(GBytes) garbage = g_bytes_new_static("\xff", 1);
    g_assert_true(store_record_put(store, STORE_PATH_SETS, key, sizeof key, garbage, NULL));
    g_autoptr(own) own = own_load(store, &weak);
    check(own, store, TREE("x=1"), TREE("x=1"));
}

static void what_no_tree_can_hold_is_refused(void)
{
    static const struct {
        const char *what, *bytes;
        gsize size;
    } bad[] = {
        { "a path that leads out", "\x0a\x04\x0a\x02..", 6 },
        { "an absolute path", "\x0a\x04\x0a\x02/a", 6 },
        { "no path", "\x0a\x00", 2 },
        { "a link without a target",
          "\x0a\x09\x0a\x01"
          "a\x12\x04\x0a\x02\x08\x03",
          11 },
        { "a link with an empty target",
          "\x0a\x0b\x0a\x01"
          "a\x12\x06\x0a\x04\x08\x03\x1a\x00",
          13 },
        { "a file without a digest",
          "\x0a\x09\x0a\x01"
          "a\x12\x04\x0a\x02\x08\x01",
          11 },
        { "a directory with a target",
          "\x0a\x0c\x0a\x01"
          "a\x12\x07\x0a\x05\x08\x04\x1a\x01x",
          14 },
        { "a FIFO with a target",
          "\x0a\x0c\x0a\x01"
          "a\x12\x07\x12\x05\x08\x05\x1a\x01x",
          14 },
        { "a FIFO among the inputs",
          "\x0a\x0b\x0a\x01"
          "a\x12\x06\x0a\x02\x08\x05\x12\x00",
          13 },
        { "a sixth kind",
          "\x0a\x09\x0a\x01"
          "a\x12\x04\x0a\x02\x08\x06",
          11 },
        { "another field", "\x10\x01", 2 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(bad[i].bytes, bad[i].size);
        g_autoptr(GError) error = NULL;
        g_test_message("%s", bad[i].what);
        g_assert_null(own_decode(bytes, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/own/roll-back/created-files-go", a_file_that_it_created_goes);
    g_test_add_func("/own/roll-back/files-changed-in-place-come-back",
                    a_file_changed_in_place_comes_back);
    g_test_add_func("/own/roll-back/executable-bits-come-back", a_bit_changed_in_place_comes_back);
    g_test_add_func("/own/roll-back/deleted-files-and-directories-come-back",
                    what_it_deleted_comes_back);
    g_test_add_func("/own/roll-back/deleted-files-stay-away-without-their-directory",
                    what_it_deleted_does_not_come_back_without_its_directory);
    g_test_add_func("/own/roll-back/created-directories-go-when-empty",
                    directories_that_it_created_go_when_empty);
    g_test_add_func("/own/roll-back/empty-directories-of-the-user-stay",
                    an_empty_directory_of_the_user_stays);
    g_test_add_func("/own/roll-back/changed-kinds-come-back", a_kind_that_it_changed_comes_back);
    g_test_add_func("/own/roll-back/directory-stays-in-place-of-a-file-that-is-gone",
                    a_file_that_is_gone_keeps_the_directory_in_its_place);
    g_test_add_func("/own/roll-back/alternating-contents-each-lead-back",
                    each_of_several_contents_leads_back);
    g_test_add_func("/own/roll-back/newest-of-two-ways-counts", of_two_ways_back_the_newest_counts);
    g_test_add_func("/own/roll-back/running-again-changes-nothing", running_again_changes_nothing);
    g_test_add_func("/own/roll-back/brings-back-only-what-was-captured",
                    what_was_not_captured_is_not_brought_back);
    g_test_add_func("/own/roll-back/contradicting-pairs-spoil-nothing",
                    pairs_that_do_not_go_together_spoil_nothing);
    g_test_add_func("/own/fifos/go-if-it-made-them", a_fifo_that_it_made_goes_and_no_other);
    g_test_add_func("/own/fifos/are-no-other-state", a_fifo_is_no_other_state);
    g_test_add_func("/own/fifos/give-back-the-file-in-their-place", a_file_under_a_fifo_comes_back);
    g_test_add_func("/own/fifos/learned-twice-are-nothing-new",
                    a_fifo_learned_twice_is_nothing_new);
    g_test_add_func("/own/roll-back/random-commands-lead-back-to-the-view-of-the-user",
                    random_commands_roll_back_to_the_view_of_the_user);
    g_test_add_func("/own/many/ten-thousand-outputs-take-linear-time",
                    ten_thousand_outputs_take_linear_time);
    g_test_add_func("/own/many/path-keeps-its-newest-pairs", a_path_keeps_its_newest_pairs);
    g_test_add_func("/own/many/names-that-never-come-again-are-forgotten",
                    names_that_never_come_again_are_forgotten);
    g_test_add_func("/own/many/what-lies-in-the-workspace-is-not-forgotten",
                    what_lies_in_the_workspace_is_not_forgotten);
    g_test_add_func("/own/many/fifos-that-are-there-are-not-forgotten",
                    fifos_that_are_there_are_not_forgotten);
    g_test_add_func("/own/encoding/is-the-documented-one", the_encoding_is_the_documented_one);
    g_test_add_func("/own/record/is-found-by-its-weak-key-alone",
                    a_record_is_found_by_its_weak_key_alone);
    g_test_add_func("/own/record/damaged-is-as-none", a_damaged_record_is_as_none);
    g_test_add_func("/own/decode/damaged-bytes-are-refused-or-make-sense",
                    damaged_bytes_are_refused_or_make_sense);
    g_test_add_func("/own/decode/refuses-what-no-tree-can-hold", what_no_tree_can_hold_is_refused);
    return g_test_run();
}
