// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
#include "base/path.h"
#include "base/wire.h"

/* --- the key ---------------------------------------------------------------------------------- */

/* A new field must come with a line in `changes` below, or with a reason why it is not in the key.
 */
G_STATIC_ASSERT(sizeof(struct action) == 5 * sizeof(char *) + sizeof(struct digest) +
                                             sizeof(gint64) + sizeof(char *) + sizeof(gpointer));

static struct action *base_action(void)
{
    struct action *action = action_of(STRV("cc", "-c", "a.c"));
    set_list(&action->environment, STRV("A=1", "PATH=/bin"));
    set_list(&action->outputs, STRV("/sub/a.o", "/**/*.d"));
    set_list(&action->platform, STRV("architecture=x86_64", "kernel=6.1"));
    set_inputs(action, TREE("a.c=int x;", "sub/b.h=int y;"));
    set_directory(action, "sub");
    digest_of("in", 2, &action->stdin_blob);
    action->timeout = 1500000;
    return action;
}

static void an_argument_more(struct action *action)
{
    set_list(&action->argv, STRV("cc", "-c", "a.c", ""));
}

static void arguments_joined(struct action *action)
{
    set_list(&action->argv, STRV("cc", "-c a.c"));
}

static void arguments_swapped(struct action *action)
{
    set_list(&action->argv, STRV("cc", "a.c", "-c"));
}

static void another_value(struct action *action)
{
    set_list(&action->environment, STRV("A=2", "PATH=/bin"));
}

static void an_empty_value(struct action *action)
{
    set_list(&action->environment, STRV("A=", "PATH=/bin"));
}

static void a_variable_less(struct action *action)
{
    set_list(&action->environment, STRV("PATH=/bin"));
}

static void a_variable_in_a_value(struct action *action)
{
    set_list(&action->environment, STRV("A=1\nPATH=/bin"));
}

static void an_argument_as_variable(struct action *action)
{
    set_list(&action->argv, STRV("cc", "-c"));
    set_list(&action->environment, STRV("A=1", "PATH=/bin", "a.c="));
}

static void another_input(struct action *action)
{
    set_inputs(action, TREE("a.c=int z;", "sub/b.h=int y;"));
}

static void an_executable_input(struct action *action)
{
    set_inputs(action, TREE("a.c*=int x;", "sub/b.h=int y;"));
}

static void an_empty_directory_more(struct action *action)
{
    set_inputs(action, TREE("a.c=int x;", "sub/b.h=int y;", "e/"));
}

static void no_inputs(struct action *action)
{
    set_inputs(action, tree_empty());
}

static void another_directory(struct action *action)
{
    set_directory(action, "");
}

static void an_output_less(struct action *action)
{
    set_list(&action->outputs, STRV("/sub/a.o"));
}

static void an_output_without(struct action *action)
{
    set_list(&action->outputs, STRV("!/**/*.d", "/sub/a.o"));
}

static void an_output_escaped(struct action *action)
{
    set_list(&action->outputs, STRV("/sub/a.o", "/\\*\\*/\\*.d"));
}

static void no_outputs(struct action *action)
{
    set_list(&action->outputs, STRV());
}

static void whatever_changes(struct action *action)
{
    set_list(&action->outputs, NULL);
}

static void other_standard_input(struct action *action)
{
    digest_of("IN", 2, &action->stdin_blob);
}

static void no_standard_input(struct action *action)
{
    action->stdin_blob = *digest_empty();
}

static void a_microsecond_more(struct action *action)
{
    action->timeout++;
}

static void no_timeout(struct action *action)
{
    action->timeout = 0;
}

static void the_network(struct action *action)
{
    action->network = true;
}

static void another_kernel(struct action *action)
{
    set_list(&action->platform, STRV("architecture=x86_64", "kernel=6.2"));
}

static void a_property_less(struct action *action)
{
    set_list(&action->platform, STRV("architecture=x86_64"));
}

static const struct {
    void (*change)(struct action *action);
    bool weak_too; /* whether the weak key changes with it */
} changes[] = {
    { an_argument_more, true },
    { arguments_joined, true },
    { arguments_swapped, true },
    { another_value, true },
    { an_empty_value, true },
    { a_variable_less, true },
    { a_variable_in_a_value, true },
    { an_argument_as_variable, true },
    { another_input, false },
    { an_executable_input, false },
    { an_empty_directory_more, false },
    { no_inputs, false },
    { another_directory, true },
    { an_output_less, true },
    { an_output_without, true },
    { an_output_escaped, true },
    { no_outputs, true },
    { whatever_changes, true },
    { other_standard_input, true },
    { no_standard_input, true },
    { a_microsecond_more, true },
    { no_timeout, true },
    { the_network, true },
    { another_kernel, true },
    { a_property_less, true },
};

static void every_field_makes_another_key(void)
{
    g_autoptr(GHashTable) keys =
        g_hash_table_new_full(digest_hash, digest_hash_equal, g_free, NULL);
    g_autoptr(action) base = base_action();
    struct digest weak, digest;
    action_weak_digest(base, &weak);
    action_digest(base, &digest);
    g_hash_table_add(keys, g_memdup2(&digest, sizeof digest));
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autoptr(action) changed = base_action();
        struct digest changed_weak;
        changes[i].change(changed);
        action_digest(changed, &digest);
        action_weak_digest(changed, &changed_weak);
        g_test_message("change %zu", i);
        g_assert_true(g_hash_table_add(keys, g_memdup2(&digest, sizeof digest)));
        g_assert_cmpint(digest_equal(&weak, &changed_weak), ==, !changes[i].weak_too);
        g_assert_false(digest_equal(&digest, &changed_weak));
    }
}

static void how_outputs_are_listed_makes_no_other_key(void)
{
    g_autoptr(action) one = base_action(), other = base_action();
    set_list(&one->outputs, STRV("!/x", "/**/*.d", "/q", "/sub/a", "/sub/b"));
    set_list(&other->outputs,
             STRV("/sub/b", "/sub/a", "/**/*.d", "/sub/b", "!/x", "/q", "/**/*.d"));
    struct digest digest, other_digest;
    action_digest(one, &digest);
    action_digest(other, &other_digest);
    assert_digests(&digest, &other_digest);
}

static void a_timeout_below_a_second_is_kept(void)
{
    static const gint64 timeouts[] = { 1, 999999, 1000000, 1000001,
                                       (gint64)86400 * G_USEC_PER_SEC };
    for (size_t i = 0; i < G_N_ELEMENTS(timeouts); i++) {
        g_autoptr(store) store = store_new_memory();
        g_autoptr(store_batch) batch = store_batch_new(store);
        g_autoptr(action) action = base_action();
        struct digest key;
        action->timeout = timeouts[i];
        g_assert_true(action_store(action, batch, &key, NULL));
        g_assert_true(store_batch_commit(batch, NULL));
        g_autoptr(action) loaded = action_load(store, &key, NULL);
        g_assert_nonnull(loaded);
        g_assert_cmpint(loaded->timeout, ==, timeouts[i]);
    }
}

/* --- the messages ----------------------------------------------------------------------------- */

static struct action *golden_action(const char *name)
{
    struct action *action = action_of(STRV("true"));
    if (strcmp(name, "nothing-declared") == 0)
        set_list(&action->outputs, STRV());
    if (strcmp(name, "bytes") == 0) {
        set_list(&action->argv, STRV("\xff\n"));
        set_list(&action->environment, STRV("N=\xfe"));
        set_list(&action->outputs, STRV("/\xfd"));
        action->timeout = 1;
    }
    if (strcmp(name, "full") == 0) {
        set_list(&action->argv, STRV("cc", "-o", "x y", ""));
        set_list(&action->environment, STRV("A=", "A0=1=2", "PATH=/bin"));
        set_list(&action->outputs, STRV("/sub/d/x y", "/sub/aAb", "/sub/a\\*b", "/other", "/**/*.o",
                                        "!/x", "/other"));
        set_list(&action->platform,
                 STRV("usr-local=2", "usr=1", "kernel=6.1", "architecture=x86_64"));
        set_inputs(action, TREE("a.c=int main;"));
        set_directory(action, "sub");
        digest_of("hello", 5, &action->stdin_blob);
        action->timeout = 90500000;
        action->network = true;
    }
    return action;
}

static struct store *store_of(const struct action *action, struct digest *key)
{
    struct store *store = store_new_memory();
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(GError) error = NULL;
    action_store(action, batch, key, &error);
    g_assert_no_error(error);
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
    return store;
}

static void take_command_digest(GBytes *message, struct digest *out)
{
    struct wire_reader reader;
    struct wire_field field;
    gsize size;
    const void *data = g_bytes_get_data(message, &size);
    wire_reader_init(&reader, data, size);
    g_assert_true(wire_next(&reader, &field));
    g_assert_true(digest_decode(field.data, field.size, out));
}

static void the_messages_are_those_of_the_remote_execution_api(void)
{
    static const char *const names[] = { "minimal", "full", "bytes", "nothing-declared" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(GStrv) expected = golden("action.txt", names[i]);
        g_autoptr(action) action = golden_action(names[i]);
        struct digest key, stored, weak, command;
        char text[DIGEST_TEXT_SIZE];
        g_autoptr(store) store = store_of(action, &stored);
        action_digest(action, &key);
        action_weak_digest(action, &weak);
        assert_digests(&stored, &key);
        g_autoptr(GBytes) message = store_get(store, &key, NULL);
        g_assert_nonnull(message);
        take_command_digest(message, &command);
        g_autoptr(GBytes) command_message = store_get(store, &command, NULL);
        g_assert_nonnull(command_message);
        g_autofree char *hex = hex_of(message), *command_hex = hex_of(command_message);
        g_assert_cmpstr(command_hex, ==, expected[4]);
        g_assert_cmpstr(hex, ==, expected[3]);
        g_assert_cmpstr(digest_print(&key, text), ==, expected[1]);
        g_assert_cmpstr(digest_print(&weak, text), ==, expected[2]);
    }
}

/* --- round trips ------------------------------------------------------------------------------ */

static char *random_text(GRand *random, const char *alphabet, gint longest)
{
    GString *text = g_string_new(NULL);
    gint length = g_rand_int_range(random, 0, longest + 1), size = (gint)strlen(alphabet);
    for (gint i = 0; i < length; i++)
        g_string_append_c(text, alphabet[g_rand_int_range(random, 0, size)]);
    return g_string_free(text, FALSE);
}

static char *random_path(GRand *random)
{
    static const char *const components[] = { "a", "b c", "*",  "[x]", "!",   "\\", "\\*", "-",
                                              "é", "a?",  "{}", "..x", "sub", "\n", "~" };
    g_autoptr(GPtrArray) parts = g_ptr_array_new();
    gint count = g_rand_int_range(random, 1, 4);
    for (gint i = 0; i < count; i++)
        g_ptr_array_add(
            parts, (char *)components[g_rand_int_range(random, 0, (gint)G_N_ELEMENTS(components))]);
    g_ptr_array_add(parts, NULL);
    return g_strjoinv("/", (char **)parts->pdata);
}

static char *random_output(GRand *random)
{
    static const char *const globs[] = { "/**",         "/a/**/*.o", "!/a",  "!/sub/\\!x",
                                         "/sub/[a-z]?", "!**/\\*",   "/sub/" };
    if (g_rand_boolean(random))
        return g_strdup(globs[g_rand_int_range(random, 0, (gint)G_N_ELEMENTS(globs))]);
    g_autofree char *path = random_path(random);
    return action_output_pattern(path);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* `count` texts that `make` makes, sorted, without repetitions. */
static char **random_list(GRand *random, char *(*make)(GRand *random), gint count)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (gint i = 0; i < count; i++)
        g_ptr_array_add(list, make(random));
    g_ptr_array_sort(list, compare_texts);
    for (guint i = list->len; i-- > 1;)
        if (strcmp(list->pdata[i], list->pdata[i - 1]) == 0)
            g_ptr_array_remove_index(list, i);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&list), FALSE);
}

static char *random_argument(GRand *random)
{
    return random_text(random, "ab =\n\xff\xc3\xa9\x01", 6);
}

static char *random_assignment(GRand *random)
{
    g_autofree char *name = random_text(random, "AB_-0", 3);
    g_autofree char *value = random_text(random, "a=\n\xff ", 4);
    return g_strconcat("V", name, "=", value, NULL);
}

static struct action *random_action(GRand *random)
{
    struct action *action = action_new();
    set_list(&action->argv, random_list(random, random_argument, g_rand_int_range(random, 1, 5)));
    set_list(&action->environment,
             random_list(random, random_assignment, g_rand_int_range(random, 0, 5)));
    set_list(&action->platform,
             random_list(random, random_assignment, g_rand_int_range(random, 0, 5)));
    for (guint i = 0; i < 2; i++) {
        char **list = i == 0 ? action->environment : action->platform;
        qsort(list, g_strv_length(list), sizeof *list, action_compare_assignments);
    }
    if (g_rand_int_range(random, 0, 4) > 0)
        set_list(&action->outputs,
                 random_list(random, random_output, g_rand_int_range(random, 0, 6)));
    if (g_rand_boolean(random)) {
        g_free(action->directory);
        action->directory = g_rand_boolean(random) ? g_strdup("sub") : random_path(random);
    }
    if (g_rand_boolean(random))
        set_inputs(action, TREE("a/b=1", "a/run*=2", "l->x", "e/"));
    if (g_rand_boolean(random))
        digest_of("standard input", 14, &action->stdin_blob);
    action->timeout = g_rand_boolean(random) ? 0 : g_rand_int_range(random, 1, G_MAXINT);
    action->network = g_rand_boolean(random);
    return action;
}

static void assert_same_action(const struct action *found, const struct action *expected)
{
    assert_lists(found->argv, expected->argv);
    assert_lists(found->environment, expected->environment);
    assert_lists(found->outputs, expected->outputs);
    assert_lists(found->platform, expected->platform);
    assert_same_tree(found->inputs, expected->inputs);
    g_assert_cmpstr(found->directory, ==, expected->directory);
    assert_digests(&found->stdin_blob, &expected->stdin_blob);
    g_assert_cmpint(found->timeout, ==, expected->timeout);
    g_assert_cmpint(found->network, ==, expected->network);
}

static void what_was_stored_is_loaded(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(20240229);
    for (int i = 0; i < 2000; i++) {
        g_autoptr(action) action = random_action(random);
        g_autoptr(GError) error = NULL;
        struct digest key, again;
        g_autoptr(store) store = store_of(action, &key);
        g_autoptr(action) loaded = action_load(store, &key, &error);
        g_assert_no_error(error);
        assert_same_action(loaded, action);
        action_digest(loaded, &again);
        assert_digests(&again, &key);
    }
}

/* --- outputs ---------------------------------------------------------------------------------- */

static void a_pattern_of_a_path_means_just_that_path(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    for (int i = 0; i < 1000; i++) {
        g_autofree char *path = random_path(random), *other = random_path(random);
        g_autofree char *pattern = action_output_pattern(path);
        g_autofree char *again = action_output_path(pattern);
        g_assert_cmpstr(again, ==, path);
        g_autoptr(action) action = action_of(STRV("true"));
        set_list(&action->outputs, STRV(pattern));
        g_autoptr(glob) glob = action_output_glob(action, NULL);
        g_autofree char *inside = g_strconcat(path, "/", NULL);
        g_assert_true(glob_match(glob, path, false));
        g_assert_cmpint(glob_match(glob, other, false), ==,
                        strcmp(path, other) == 0 || g_str_has_prefix(other, inside));
    }
}

static void what_is_no_relative_path_is_no_output_path(void)
{
    static const char *const patterns[] = { "/",       "a",     "/a/",   "/a//b", "/./a",
                                            "/a/../b", "/a*",   "!/a",   "/a[b]", "/..",
                                            "",        "/\xff", "/a?/b", "/a/**" };
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
        g_assert_null(action_output_path(patterns[i]));
    static const char *const literal[][2] = {
        { "/a", "a" }, { "/\\!a", "!a" }, { "/a/\\*", "a/*" }, { "/a\\b", "ab" }, { "/a!", "a!" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(literal); i++) {
        g_autofree char *path = action_output_path(literal[i][0]);
        g_assert_cmpstr(path, ==, literal[i][1]);
    }
}

static void what_is_taken_away_applies_last(void)
{
    g_autoptr(action) action = action_of(STRV("true"));
    set_list(&action->outputs, STRV("!/a/x", "/a/**", "/a/x"));
    g_autoptr(glob) glob = action_output_glob(action, NULL);
    g_assert_false(glob_match(glob, "a/x", false));
    g_assert_true(glob_match(glob, "a/y", false));
    g_assert_false(glob_match(glob, "b", false));
}

static void nothing_declared_is_not_everything(void)
{
    g_autoptr(action) action = action_of(STRV("true"));
    g_autoptr(GError) error = NULL;
    g_assert_null(action_output_glob(action, &error));
    g_assert_no_error(error);
    set_list(&action->outputs, STRV("/a["));
    g_assert_null(action_output_glob(action, &error));
    g_assert_error(error, FAULT, FAULT_USAGE);
}

static void a_variable_is_found_by_its_whole_name(void)
{
    g_autoptr(action) action = action_of(STRV("true"));
    set_list(&action->environment, STRV("PATH=/a=b", "PATHS=x", "P="));
    g_assert_cmpstr(action_variable(action, "PATH"), ==, "/a=b");
    g_assert_cmpstr(action_variable(action, "P"), ==, "");
    g_assert_null(action_variable(action, "PAT"));
    g_assert_null(action_variable(action, "A"));
}

/* --- malformed messages ----------------------------------------------------------------------- */

static void put(struct store *store, GBytes *bytes, struct digest *out)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    g_assert_true(store_batch_put(batch, data, size, out, NULL));
    g_assert_true(store_batch_commit(batch, NULL));
}

/* It loads as something, or is reported as what it is; never anything else. */
static void load_damaged(GBytes *bytes, void *user)
{
    struct store *store = user;
    struct digest digest;
    g_autoptr(GError) error = NULL;
    put(store, bytes, &digest);
    g_autoptr(action) loaded = action_load(store, &digest, &error);
    if (loaded == NULL)
        g_assert_true(g_error_matches(error, FAULT, FAULT_CORRUPT) ||
                      g_error_matches(error, FAULT, FAULT_MISSING));
    else
        g_assert_nonnull(loaded->argv[0]);
}

/* An action of this command and empty inputs. */
static void load_command(GBytes *command, void *user)
{
    struct store *store = user;
    struct digest digest;
    put(store, command, &digest);
    g_autoptr(GByteArray) message = g_byte_array_new();
    for (guint32 number = 1; number <= 2; number++) {
        g_autoptr(GByteArray) inner = g_byte_array_new();
        digest_encode(number == 1 ? &digest : digest_empty(), inner);
        wire_put_message(message, number, inner);
    }
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&message));
    load_damaged(bytes, store);
}

static void damaged_messages_are_reported(void)
{
    g_autoptr(action) action = golden_action("full");
    struct digest key, command;
    g_autoptr(store) store = store_of(action, &key);
    g_autoptr(GBytes) message = store_get(store, &key, NULL);
    take_command_digest(message, &command);
    g_autoptr(GBytes) command_message = store_get(store, &command, NULL);
    damage(message, load_damaged, store);
    damage(command_message, load_command, store);
}

static GBytes *bytes_of(const char *hex)
{
    GByteArray *bytes = g_byte_array_new();
    for (const char *at = hex; *at != '\0'; at += 2) {
        guint8 byte = (guint8)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
        g_byte_array_append(bytes, &byte, 1);
    }
    return g_byte_array_free_to_bytes(bytes);
}

/* Load an action with empty inputs and this command. */
static struct action *load_hex(const char *command, GError **error)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(GBytes) message = bytes_of(command), nothing = bytes_of("");
    struct digest digest, key, empty;
    put(store, message, &digest);
    put(store, nothing, &empty);
    g_autoptr(GByteArray) outer = g_byte_array_new();
    for (guint32 number = 1; number <= 2; number++) {
        g_autoptr(GByteArray) inner = g_byte_array_new();
        digest_encode(number == 1 ? &digest : &empty, inner);
        wire_put_message(outer, number, inner);
    }
    g_autoptr(GBytes) whole = g_byte_array_free_to_bytes(g_steal_pointer(&outer));
    put(store, whole, &key);
    return action_load(store, &key, error);
}

#define COMMAND "0a0161" /* Command { arguments: a } */

static void a_command_that_makes_no_sense_is_corrupt(void)
{
    static const char *const good[] = {
        COMMAND, COMMAND "2a00", /* an empty platform */
        COMMAND "3201623a0163",  /* working_directory: b, output_paths: c */
    };
    static const char *const bad[] = {
        "",                   /* no argument */
        "3201610a",           /* cut short */
        "0a026100",           /* an argument with a NUL */
        COMMAND "32012f",     /* working_directory: / */
        COMMAND "32022e2e",   /* working_directory: .. */
        COMMAND "3a012f",     /* output_paths: / */
        COMMAND "3a022e2e",   /* output_paths: .. */
        COMMAND "3a00",       /* output_paths: "" */
        COMMAND "3a01ff",     /* output_paths: not UTF-8 */
        COMMAND "12030a013d", /* a variable called "=" */
        COMMAND "2801",       /* platform: a number */
        COMMAND "4001",       /* a field that vial never writes */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(action) loaded = load_hex(good[i], &error);
        g_assert_no_error(error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(action) loaded = load_hex(bad[i], &error);
        g_test_message("%s", bad[i]);
        g_assert_error(error, FAULT, FAULT_CORRUPT);
    }
}

static void outputs_that_contradict_each_other_are_corrupt(void)
{
    /* Platform { outputs = "changed" } */
    static const char changed[] = COMMAND "2a14"
                                          "0a12"
                                          "0a076f757470757473"
                                          "12076368616e676564";
    g_autoptr(GError) error = NULL;
    g_autoptr(action) loaded = load_hex(changed, &error);
    g_assert_no_error(error);
    g_assert_null(loaded->outputs);
    g_autofree char *both = g_strconcat(changed, "3a0161", NULL); /* and output_paths: a */
    g_assert_null(load_hex(both, &error));
    g_assert_error(error, FAULT, FAULT_CORRUPT);
}

static void what_is_not_there_is_missing(void)
{
    g_autoptr(store) store = store_new_memory();
    g_autoptr(action) action = base_action();
    g_autoptr(GError) error = NULL;
    struct digest key, command;
    action_digest(action, &key);
    g_assert_null(action_load(store, &key, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_clear_error(&error);

    g_autoptr(store) full = store_of(action, &key);
    g_autoptr(GBytes) message = store_get(full, &key, NULL);
    take_command_digest(message, &command);
    store_drop(full, tree_digest(action->inputs));
    g_assert_null(action_load(full, &key, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_clear_error(&error);
    store_drop(full, &command);
    g_assert_null(action_load(full, &key, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/action/key/covers-every-field", every_field_makes_another_key);
    g_test_add_func("/action/key/does-not-depend-on-the-order-of-outputs",
                    how_outputs_are_listed_makes_no_other_key);
    g_test_add_func("/action/messages/are-those-of-the-remote-execution-api",
                    the_messages_are_those_of_the_remote_execution_api);
    g_test_add_func("/action/load/gives-back-what-was-stored", what_was_stored_is_loaded);
    g_test_add_func("/action/load/keeps-microseconds-of-a-timeout",
                    a_timeout_below_a_second_is_kept);
    g_test_add_func("/action/load/reports-damaged-messages", damaged_messages_are_reported);
    g_test_add_func("/action/load/refuses-a-command-that-makes-no-sense",
                    a_command_that_makes_no_sense_is_corrupt);
    g_test_add_func("/action/load/refuses-outputs-that-contradict-each-other",
                    outputs_that_contradict_each_other_are_corrupt);
    g_test_add_func("/action/load/says-what-is-missing", what_is_not_there_is_missing);
    g_test_add_func("/action/outputs/pattern-of-a-path-means-just-that-path",
                    a_pattern_of_a_path_means_just_that_path);
    g_test_add_func("/action/outputs/only-relative-paths-are-literal",
                    what_is_no_relative_path_is_no_output_path);
    g_test_add_func("/action/outputs/negative-patterns-apply-last",
                    what_is_taken_away_applies_last);
    g_test_add_func("/action/outputs/nothing-declared-is-not-everything",
                    nothing_declared_is_not_everything);
    g_test_add_func("/action/variable/is-found-by-its-whole-name",
                    a_variable_is_found_by_its_whole_name);
    return g_test_run();
}
