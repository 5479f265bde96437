// SPDX-License-Identifier: Apache-2.0
#include "tree-support.h"

#include "base/wire.h"

/* --- golden ----------------------------------------------------------------------------------- */

static struct tree *golden_tree(const char *name)
{
    static const char *const singles[][2] = {
        { "file", "roland=European Burmese" },
        { "empty-file", "empty=" },
        { "executable", "run*=#!/bin/sh\n" },
        { "link", "here->../there" },
        { "empty-directory", "d/" },
        { "nested", "a/b/c=deep" },
        { "large",
          "disk@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/5000000000" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(singles); i++)
        if (strcmp(name, singles[i][0]) == 0)
            return TREE(singles[i][1]);
    if (strcmp(name, "empty") == 0)
        return tree_empty();
    if (strcmp(name, "kinds") == 0)
        return TREE("f->y", "e/", "d=2", "c->x", "b=1", "a/");
    if (strcmp(name, "order") == 0)
        return TREE("\xf0\x90\x80\x80=", "\xef\xbf\xbf=", "\xc3\xa9=", "ab=", "a.b=", "a-b=",
                    "a b=", "a=", "A=");
    if (strcmp(name, "newline") == 0)
        return TREE("c\td->e\nf", "a\nb=x");
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    if (strcmp(name, "long-name") == 0) {
        g_autofree char *long_name = g_strnfill(200, 'n');
        g_ptr_array_add(lines, g_strconcat(long_name, "=x", NULL));
    }
    for (int i = 0; i < 300 && strcmp(name, "many") == 0; i++)
        g_ptr_array_add(lines, g_strdup_printf("f%03d=%d", i, i));
    g_assert_cmpuint(lines->len, >, 0);
    g_ptr_array_add(lines, NULL);
    return tree_of((const char *const *)lines->pdata);
}

static void golden_messages(void)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(GOLDEN "/directory.tsv", &text, NULL, &error);
    g_assert_no_error(error);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 13 + 1);
    for (char **line = lines; **line != '\0'; line++) {
        g_auto(GStrv) columns = g_strsplit(*line, "\t", -1);
        g_test_message("%s", columns[0]);
        g_autoptr(tree) made = golden_tree(columns[0]);
        g_autoptr(GBytes) message = tree_encode(made);
        g_autoptr(GString) hex = g_string_new(NULL);
        for (size_t i = 0; i < g_bytes_get_size(message); i++)
            g_string_append_printf(hex, "%02x",
                                   ((const guint8 *)g_bytes_get_data(message, NULL))[i]);
        char digest[DIGEST_TEXT_SIZE];
        g_assert_cmpstr(hex->str, ==, columns[2]);
        g_assert_cmpstr(digest_print(tree_digest(made), digest), ==, columns[1]);
        g_autoptr(GHashTable) messages = messages_new();
        g_assert_true(tree_each_directory(made, keep_directory, messages, NULL));
        g_autoptr(tree) loaded = tree_load(tree_digest(made), fetch_message, messages, &error);
        g_assert_no_error(error);
        assert_same_tree(loaded, made);
    }
}

/* --- refusals --------------------------------------------------------------------------------- */

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct node {
    guint32 list;
    const char *name;
    const char *hash;   /* NULL: no digest */
    const char *target; /* NULL: none */
    guint64 size, executable;
    bool swapped;  /* digest or target before the name */
    guint32 extra; /* an unknown field */
};

static void put_node(GByteArray *out, struct node node)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    g_autoptr(GByteArray) digest = g_byte_array_new();
    if (node.name != NULL && !node.swapped)
        wire_put_bytes(message, 1, node.name, strlen(node.name));
    if (node.hash != NULL) {
        wire_put_string(digest, 1, node.hash);
        wire_put_varint(digest, 2, node.size);
        wire_put_message(message, 2, digest);
    }
    if (node.target != NULL)
        wire_put_bytes(message, 2, node.target, strlen(node.target));
    if (node.name != NULL && node.swapped)
        wire_put_bytes(message, 1, node.name, strlen(node.name));
    wire_put_varint(message, 4, node.executable);
    wire_put_varint(message, node.extra, node.extra);
    wire_put_message(out, node.list, message);
}

static GBytes *fetch_this(const struct digest *digest, void *user, GError **error)
{
    if (digest->size == 0)
        return g_bytes_new_static("", 0);
    return g_bytes_ref(user);
}

static struct tree *load_bytes(const void *data, size_t size, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    struct digest digest;
    digest_of(data, size, &digest);
    return tree_load(&digest, fetch_this, bytes, error);
}

static void refuse_bytes(const void *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(load_bytes(data, size, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
    g_assert_nonnull(strstr(error->message, " at . of a tree is damaged: "));
}

static void refuse(const struct node *nodes, size_t count)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    for (size_t i = 0; i < count; i++)
        put_node(message, nodes[i]);
    refuse_bytes(message->data, message->len);
}

/* Each differs in one thing from this, which is taken. */
static const struct node good = { .list = 1, .name = "b", .hash = HASH };

static void one_bad_node_is_refused(void)
{
    static const struct node bad[] = {
        { .list = 1, .name = NULL, .hash = HASH },
        { .list = 1, .name = "", .hash = HASH },
        { .list = 1, .name = ".", .hash = HASH },
        { .list = 1, .name = "..", .hash = HASH },
        { .list = 1, .name = "a/b", .hash = HASH },
        { .list = 1, .name = "\xff", .hash = HASH },
        { .list = 1, .name = "b", .hash = NULL },
        { .list = 1, .name = "b", .hash = "" },
        { .list = 1, .name = "b", .hash = "e3b0" },
        { .list = 1,
          .name = "b",
          .hash = "E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { .list = 1, .name = "b", .hash = HASH, .size = (guint64)-1 },
        { .list = 1, .name = "b", .hash = HASH, .size = G_GUINT64_CONSTANT(1) << 63 },
        { .list = 1, .name = "b", .hash = HASH, .executable = 2 },
        { .list = 1, .name = "b", .hash = HASH, .swapped = true },
        { .list = 1, .name = "b", .hash = HASH, .extra = 3 },
        { .list = 1, .name = "b", .hash = HASH, .extra = 6 },
        { .list = 1, .name = "b", .target = "t" },
        { .list = 2, .name = "b", .hash = HASH, .executable = 1 },
        { .list = 2, .name = "b", .hash = NULL },
        { .list = 2, .name = "b", .hash = HASH, .extra = 5 },
        { .list = 2, .name = "", .hash = HASH },
        { .list = 3, .name = "b" },
        { .list = 3, .name = "b", .target = "" },
        { .list = 3, .name = "b", .target = "\xff" },
        { .list = 3, .name = "b", .target = "t", .executable = 1 },
        { .list = 3, .name = "b", .target = "t", .swapped = true },
        { .list = 3, .name = "b", .target = "t", .extra = 4 },
        { .list = 3, .name = NULL, .target = "t" },
        { .list = 4, .name = "b", .hash = HASH },
        { .list = 5, .name = "b", .hash = HASH }, /* node properties */
        { .list = 15, .name = "b", .hash = HASH },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%zu", i);
        refuse(&bad[i], 1);
    }
    g_autoptr(GByteArray) message = g_byte_array_new();
    put_node(message, good);
    g_autoptr(tree) taken = load_bytes(message->data, message->len, NULL);
    assert_tree(taken, "b=");
}

static void wrong_order_and_repeated_names_are_refused(void)
{
    static const struct node a = { .list = 1, .name = "a", .hash = HASH };
    static const struct node c = { .list = 1, .name = "c", .hash = HASH };
    static const struct node directory_a = { .list = 2, .name = "a", .hash = HASH };
    static const struct node directory_b = { .list = 2, .name = "b", .hash = HASH };
    static const struct node link_a = { .list = 3, .name = "a", .target = "t" };
    static const struct node link_b = { .list = 3, .name = "b", .target = "t" };
    refuse((struct node[]){ good, a }, 2);
    refuse((struct node[]){ a, c, good }, 3);
    refuse((struct node[]){ good, good }, 2);
    refuse((struct node[]){ good, directory_b }, 2);
    refuse((struct node[]){ good, link_b }, 2);
    refuse((struct node[]){ directory_b, link_b }, 2);
    refuse((struct node[]){ directory_b, directory_a }, 2);
    refuse((struct node[]){ link_b, link_a }, 2);
    refuse((struct node[]){ directory_a, good }, 2); /* lists in tag order */
    refuse((struct node[]){ link_a, good }, 2);
    refuse((struct node[]){ a, link_b, c }, 3);
}

static void odd_bytes_are_refused(void)
{
    refuse_bytes("\x0a", 1);
    refuse_bytes("\x0a\x00", 2); /* an empty node */
    refuse_bytes("\x0a\x05\x0a\x01", 4);
    refuse_bytes("\x08\x01", 2); /* a list as varint */
    refuse_bytes("\x00", 1);
    refuse_bytes("\x0b\x0c", 2); /* a group */
    refuse_bytes("\x1a\x06\x0a\x01"
                 "a\x12\x01\x00",
                 8);                                  /* a target with a NUL */
    refuse_bytes("\x1a\x06\x0a\x01\x00\x12\x01t", 8); /* a name with a NUL */
    refuse_bytes("\x1a\x07\x0a\x81\x00"
                 "a\x12\x01t",
                 9); /* an overlong length */
    refuse_bytes("\x1a\x09\x0a\x01"
                 "a\x0a\x01"
                 "b\x12\x01t",
                 11); /* a repeated field */
    refuse_bytes("\x1a\x08\x0a\x01"
                 "a\x12\x01t\x20\x00",
                 10); /* an explicit default */
    g_autoptr(tree) good_link = load_bytes("\x1a\x06\x0a\x01"
                                           "a\x12\x01t",
                                           8, NULL);
    assert_tree(good_link, "a->t");
    g_autoptr(GByteArray) message = g_byte_array_new();
    put_node(message, good);
    wire_put_bytes(message, 1, "", 0);
    refuse_bytes(message->data, message->len);
}

/* Cut anywhere, or with one bit flipped, a message is refused or means another tree. */
static void damage_is_never_the_same_tree(void)
{
    g_autoptr(tree) made = TREE("f=1", "g*=22", "l->there", "m=");
    g_autoptr(GBytes) bytes = tree_encode(made);
    size_t size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    guint refused = 0;
    for (size_t cut = 0; cut < size; cut++) {
        g_autoptr(tree) loaded = load_bytes(data, cut, NULL);
        refused += loaded == NULL;
        g_assert_true(loaded == NULL || tree_size(loaded) < tree_size(made));
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        g_autofree guint8 *copy = g_memdup2(data, size);
        copy[bit / 8] ^= (guint8)(1 << bit % 8);
        g_autoptr(tree) loaded = load_bytes(copy, size, NULL);
        refused += loaded == NULL;
        if (loaded == NULL)
            continue;
        g_autoptr(GBytes) again = tree_encode(loaded);
        g_autoptr(GBytes) flipped = g_bytes_new(copy, size);
        g_assert_true(g_bytes_equal(again, flipped));
        g_assert_false(digest_equal(tree_digest(loaded), tree_digest(made)));
    }
    g_assert_cmpuint(refused, >, size);
}

/* --- loading ---------------------------------------------------------------------------------- */

static GBytes *fetch_wrong(const struct digest *digest, void *user, GError **error)
{
    return digest_equal(digest, user) ? g_bytes_new_static("", 0)
                                      : fetch_message(digest, user, error);
}

static void bytes_of_another_digest_are_refused(void)
{
    struct digest digest = *digest_empty();
    digest.size = 1;
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_load(&digest, fetch_wrong, &digest, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
    digest.size = 0;
    digest.hash[31] ^= 1;
    g_assert_null(tree_load(&digest, fetch_wrong, &digest, NULL));
}

static void errors_name_the_path_and_keep_their_cause(void)
{
    g_autoptr(tree) made = TREE("a/b\n/c/d=1", "x=1");
    g_autoptr(GHashTable) messages = messages_new();
    g_assert_true(tree_each_directory(made, keep_directory, messages, NULL));
    const struct digest *c = &tree_lookup(made, "a/b\n/c")->digest;
    g_autoptr(GError) error = NULL;
    g_hash_table_insert(messages, g_memdup2(c, sizeof *c), g_bytes_new_static("\x01", 1));
    g_assert_null(tree_load(tree_digest(made), fetch_message, messages, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
    g_assert_nonnull(strstr(error->message, "at \"a/b\\n/c\" of a tree"));
    g_clear_error(&error);
    g_hash_table_remove(messages, c);
    g_assert_null(tree_load(tree_digest(made), fetch_message, messages, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
}

struct counted {
    GHashTable *messages;
    guint fetched;
};

static GBytes *fetch_counted(const struct digest *digest, void *user, GError **error)
{
    struct counted *counted = user;
    counted->fetched++;
    return fetch_message(digest, counted->messages, error);
}

static void equal_sub_trees_are_fetched_once_and_shared(void)
{
    g_autoptr(tree) made = TREE("a/x/f=1", "b/x/f=1", "c/f=1", "d/", "e/");
    struct counted counted = { messages_new(), 0 };
    g_assert_true(tree_each_directory(made, keep_directory, counted.messages, NULL));
    g_autoptr(tree) loaded = tree_load(tree_digest(made), fetch_counted, &counted, NULL);
    assert_same_tree(loaded, made);
    g_assert_cmpuint(counted.fetched, ==, 4);
    g_assert_true(tree_lookup(loaded, "a/x")->directory == tree_lookup(loaded, "c")->directory);
    g_assert_true(tree_lookup(loaded, "a")->directory == tree_lookup(loaded, "b")->directory);
    g_hash_table_unref(counted.messages);
}

/* Messages of `levels` nested directories, made without trees, since those have a limit. */
static void nest(GHashTable *messages, guint levels, guint copies, struct digest *root)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    for (guint level = 0;; level++) {
        digest_of(message->data, message->len, root);
        g_hash_table_insert(messages, g_memdup2(root, sizeof *root),
                            g_bytes_new(message->data, message->len));
        if (level == levels)
            return;
        char hash[65], name[2] = "a";
        g_byte_array_set_size(message, 0);
        for (guint i = 0; i < copies; i++, name[0]++)
            put_node(message, (struct node){ .list = 2,
                                             .name = name,
                                             .size = (guint64)root->size,
                                             .hash = digest_print_hash(root, hash) });
    }
}

static void hostile_depth_is_an_error(void)
{
    static const guint levels[] = { TREE_DEPTH_LIMIT, TREE_DEPTH_LIMIT + 1, 10000, 100000 };
    struct digest root;
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autoptr(GHashTable) messages = messages_new();
        g_autoptr(GError) error = NULL;
        nest(messages, levels[i], 1, &root);
        g_assert_null(tree_load(&root, fetch_message, messages, &error));
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        g_assert_nonnull(strstr(error->message, "deep"));
    }
    g_autoptr(GHashTable) messages = messages_new();
    nest(messages, TREE_DEPTH_LIMIT - 1, 1, &root);
    g_autoptr(tree) deepest = tree_load(&root, fetch_message, messages, NULL);
    g_assert_nonnull(deepest);
}

/* 26^1000 paths, 1001 messages. */
static void a_tree_that_repeats_itself_loads_in_no_time(void)
{
    struct digest root;
    g_autoptr(GHashTable) messages = messages_new();
    nest(messages, 1000, 26, &root);
    g_autoptr(tree) loaded = tree_load(&root, fetch_message, messages, NULL);
    struct tree_totals totals;
    tree_totals(loaded, &totals);
    g_assert_cmpuint(totals.directories, ==, G_MAXUINT64);
    guint directories = 1001;
    g_autoptr(GHashTable) again = messages_new();
    g_assert_true(tree_each_directory(loaded, keep_directory, again, NULL));
    g_assert_cmpuint(g_hash_table_size(again), ==, directories);
}

/* A directory that is shallow where it is met first, and too deep where it is met again. */
static void shared_trees_count_for_depth_where_they_are_used(void)
{
    struct digest shared, outer;
    g_autoptr(GHashTable) messages = messages_new();
    nest(messages, 3000, 1, &shared);
    struct digest deep = shared;
    char hash[65];
    for (guint i = 0; i < 2000; i++) {
        g_autoptr(GByteArray) message = g_byte_array_new();
        put_node(message, (struct node){ .list = 2,
                                         .name = "z",
                                         .size = (guint64)deep.size,
                                         .hash = digest_print_hash(&deep, hash) });
        digest_of(message->data, message->len, &deep);
        g_hash_table_insert(messages, g_memdup2(&deep, sizeof deep),
                            g_bytes_new(message->data, message->len));
    }
    g_autoptr(GByteArray) message = g_byte_array_new();
    put_node(message, (struct node){ .list = 2,
                                     .name = "a",
                                     .size = (guint64)shared.size,
                                     .hash = digest_print_hash(&shared, hash) });
    put_node(message, (struct node){ .list = 2,
                                     .name = "b",
                                     .size = (guint64)deep.size,
                                     .hash = digest_print_hash(&deep, hash) });
    digest_of(message->data, message->len, &outer);
    g_hash_table_insert(messages, g_memdup2(&outer, sizeof outer),
                        g_bytes_new(message->data, message->len));
    g_autoptr(GError) error = NULL;
    g_assert_null(tree_load(&outer, fetch_message, messages, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/codec/messages-have-the-golden-bytes", golden_messages);
    g_test_add_func("/tree/codec/one-bad-node-is-refused", one_bad_node_is_refused);
    g_test_add_func("/tree/codec/wrong-order-and-repeated-names-are-refused",
                    wrong_order_and_repeated_names_are_refused);
    g_test_add_func("/tree/codec/odd-bytes-are-refused", odd_bytes_are_refused);
    g_test_add_func("/tree/codec/damage-is-never-the-same-tree", damage_is_never_the_same_tree);
    g_test_add_func("/tree/load/bytes-of-another-digest-are-refused",
                    bytes_of_another_digest_are_refused);
    g_test_add_func("/tree/load/errors-name-the-path-and-keep-their-cause",
                    errors_name_the_path_and_keep_their_cause);
    g_test_add_func("/tree/load/equal-sub-trees-are-fetched-once-and-shared",
                    equal_sub_trees_are_fetched_once_and_shared);
    g_test_add_func("/tree/load/hostile-depth-is-an-error", hostile_depth_is_an_error);
    g_test_add_func("/tree/load/a-tree-that-repeats-itself-loads-in-no-time",
                    a_tree_that_repeats_itself_loads_in_no_time);
    g_test_add_func("/tree/load/shared-trees-count-for-depth-where-they-are-used",
                    shared_trees_count_for_depth_where_they_are_used);
    return g_test_run();
}
