// SPDX-License-Identifier: Apache-2.0
/* What earlier executions saw: found again exactly while another one would see the same. */
#include "action-support.h"
#include "cache/cache.h"
#include "cache/seen.h"
#include "trace-support.h"

/* --- a machine: a store, a workspace, and one command ------------------------------------------
 */

struct machine {
    struct store *store;
    struct trace_state *files;
    struct digest weak;
};
typedef struct machine machine;

static void machine_init(struct machine *machine)
{
    machine->store = store_new_memory();
    machine->files = trace_memory_state_new();
    digest_of("weak", 4, &machine->weak);
    put_directory(machine->files, "d");
}

static void machine_release(struct machine *machine)
{
    trace_state_free(machine->files);
    store_close(machine->store);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(machine, machine_release)

static struct trace_value value_at(const struct machine *machine, const char *path)
{
    const struct trace_question question = { path, TRACE_KIND | TRACE_CONTENT | TRACE_TARGET };
    struct trace_value value = { 0 };
    struct trace_state *files = machine->files;
    g_assert_true(files->operations->look_up(files, &question, 1, &value, NULL));
    return value;
}

/* An execution: what it asks goes to `recorder`, what it makes and takes away is here. */
struct execution_model {
    struct machine *machine;
    struct recorder *recorder;
    struct tree_builder *outputs;
    GPtrArray *deleted;
};

static void asks(struct execution_model *execution, const char *path, unsigned aspects)
{
    note_from(execution->recorder, execution->machine->files, path, aspects);
}

static void makes(struct execution_model *execution, const char *path, const char *content)
{
    struct tree_entry entry = { .kind = TREE_FILE };
    asks(execution, path, TRACE_KIND); /* the kernel looks a name up before it makes it */
    g_autoptr(store_batch) batch = store_batch_new(execution->machine->store);
    g_assert_true(store_batch_put(batch, content, strlen(content), &entry.digest, NULL));
    g_assert_true(store_batch_commit(batch, NULL));
    g_assert_true(tree_builder_add(execution->outputs, path, &entry, NULL));
}

static void removes(struct execution_model *execution, const char *path)
{
    asks(execution, path, TRACE_KIND);
    if (value_at(execution->machine, path).kind != TRACE_NOTHING)
        g_ptr_array_add(execution->deleted, g_strdup(path));
}

static bool put_output(const char *path, const struct tree_entry *entry, void *user)
{
    const struct trace_value value = { .kind = TRACE_FILE, .mode = 0644, .digest = entry->digest };
    if (entry->kind == TREE_FILE) /* the directories are there */
        trace_memory_state_put(user, path, &value);
    return true;
}

static void commit(struct machine *machine, const struct tree *outputs, char *const *deleted)
{
    for (; deleted != NULL && *deleted != NULL; deleted++)
        put_nothing(machine->files, *deleted);
    tree_walk(outputs, put_output, machine->files);
}

typedef void (*program)(struct execution_model *execution);

/* What a run would make, without running it for real. */
static struct tree *execute(struct machine *machine, program program, struct trace **trace,
                            char ***deleted)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    struct execution_model execution = { machine, recorder, tree_builder_new(), g_ptr_array_new() };
    program(&execution);
    g_ptr_array_add(execution.deleted, NULL);
    *deleted = (char **)g_ptr_array_free(execution.deleted, FALSE);
    *trace = sealed(recorder);
    assert_refusal(*trace, NULL);
    return tree_builder_finish(execution.outputs);
}

static void keep_result(struct machine *machine, struct store_batch *batch,
                        const struct digest *key, const struct tree *outputs, char **deleted)
{
    g_autoptr(result) result = result_new();
    g_assert_true(store_batch_put_tree(batch, outputs, NULL));
    result->outputs = *tree_digest(outputs);
    result->deleted = g_strdupv(deleted);
    cache_record(batch, key, result);
}

static void run(struct machine *machine, program program)
{
    g_autoptr(trace) trace = NULL;
    g_auto(GStrv) deleted = NULL;
    struct seen_entry entry;
    g_autoptr(seen) seen = seen_load(machine->store, &machine->weak);
    g_autoptr(store_batch) batch = store_batch_new(machine->store);
    g_autoptr(tree) outputs = execute(machine, program, &trace, &deleted);
    g_assert_true(seen_record(seen, batch, trace, NULL, &entry, NULL));
    keep_result(machine, batch, &entry.key, outputs, deleted);
    g_assert_true(store_batch_commit(batch, NULL));
    commit(machine, outputs, deleted);
}

static bool find(struct machine *machine, struct digest *key, char **reason)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(seen) seen = seen_load(machine->store, &machine->weak);
    bool found = seen_find(seen, machine->files, key, reason, &error);
    g_assert_no_error(error);
    g_assert_true(found == (*reason == NULL));
    return found;
}

static void assert_found(struct machine *machine)
{
    struct digest key;
    g_autofree char *reason = NULL;
    g_assert_true(find(machine, &key, &reason));
}

static void assert_reason(struct machine *machine, const char *expected)
{
    struct digest key;
    g_autofree char *reason = NULL;
    g_assert_false(find(machine, &key, &reason));
    g_assert_cmpstr(reason, ==, expected);
}

/* --- one after the other ------------------------------------------------------------------------
 */

static void compile(struct execution_model *execution)
{
    asks(execution, "a.c", TRACE_CONTENT);
    asks(execution, "a.h", TRACE_CONTENT);
    makes(execution, "a.o", "object");
}

static void nothing_is_found_before_the_first_execution(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    assert_reason(&machine, "no earlier run of this command here");
}

static void what_was_read_decides(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    put_file(machine.files, "unread", "1", 0);
    run(&machine, compile);
    assert_found(&machine);
    put_file(machine.files, "unread", "2", 0);
    assert_found(&machine);
    put_file(machine.files, "a.c", "2", 0);
    assert_reason(&machine, "a.c changed");
    put_file(machine.files, "a.c", "1", 0);
    put_file(machine.files, "a.h", "", 0);
    assert_reason(&machine, "a.h was not there");
    put_nothing(machine.files, "a.h");
    put_nothing(machine.files, "a.c");
    assert_reason(&machine, "a.c is gone");
    put_directory(machine.files, "a.c");
    assert_reason(&machine, "a.c is a directory now, and was a file");
}

static void a_revert_finds_the_older_execution(void)
{
    g_auto(machine) machine;
    struct digest first, second, again;
    g_autofree char *reason = NULL;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    run(&machine, compile);
    g_assert_true(find(&machine, &first, &reason));
    put_file(machine.files, "a.c", "2", 0);
    run(&machine, compile);
    g_assert_true(find(&machine, &second, &reason));
    g_assert_false(digest_equal(&first, &second));
    put_file(machine.files, "a.c", "1", 0);
    g_assert_true(find(&machine, &again, &reason));
    assert_digests(&again, &first);
}

static void own_outputs_do_not_count_and_other_hands_do(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    run(&machine, compile);
    g_assert_cmpint(value_at(&machine, "a.o").kind, ==, TRACE_FILE);
    assert_found(&machine);
    put_file(machine.files, "a.o", "edited by hand", 0);
    assert_reason(&machine, "a.o was not there");
    put_nothing(machine.files, "a.o");
    assert_found(&machine);
}

static void list_and_make(struct execution_model *execution)
{
    asks(execution, "d", TRACE_NAMES);
    removes(execution, "old");
    makes(execution, "d/new", "x");
}

static void own_outputs_are_not_in_listings(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    put_file(machine.files, "d/a", "", 0);
    put_file(machine.files, "old", "", 0);
    run(&machine, list_and_make);
    g_assert_cmpint(value_at(&machine, "old").kind, ==, TRACE_NOTHING);
    assert_found(&machine);
    put_file(machine.files, "d/b", "", 0);
    assert_reason(&machine, "the directory d lists other names");
}

/* --- records ------------------------------------------------------------------------------------
 */

static void only_the_newest_executions_are_kept(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    for (guint i = 0; i < 40; i++) {
        g_autofree char *content = g_strdup_printf("%u", i);
        put_file(machine.files, "a.c", content, 0);
        run(&machine, compile);
    }
    assert_found(&machine);
    put_file(machine.files, "a.c", "10", 0);
    assert_found(&machine);
    put_file(machine.files, "a.c", "3", 0);
    assert_reason(&machine, "a.c changed");
}

static GBytes *recorded(const struct machine *machine, const void **key, size_t *size)
{
    static guint8 name[1 + CACHE_KEY_SIZE] = "s";
    cache_key(&machine->weak, name + 1);
    *key = name;
    *size = sizeof name;
    return store_record_get(machine->store, STORE_PATH_SETS, name, sizeof name);
}

static void a_damaged_record_is_as_none(void)
{
    g_auto(machine) machine;
    const void *key;
    size_t size;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    run(&machine, compile);
    g_autoptr(GBytes) sound = recorded(&machine, &key, &size);
    g_autoptr(GBytes) cut = g_bytes_new_from_bytes(sound, 0, g_bytes_get_size(sound) - 1);
    g_assert_true(store_record_put(machine.store, STORE_PATH_SETS, key, size, cut, NULL));
    assert_reason(&machine, "no earlier run of this command here");
}

static void what_lost_its_blobs_is_not_found(void)
{
    g_auto(machine) machine;
    const void *key;
    size_t size;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    run(&machine, compile);
    g_autoptr(GBytes) record = recorded(&machine, &key, &size);
    g_autoptr(GArray) entries = seen_decode(record, NULL);
    g_assert_cmpuint(entries->len, ==, 1);
    store_drop(machine.store, &g_array_index(entries, struct seen_entry, 0).values);
    assert_reason(&machine, "what an earlier run saw is gone or damaged");
}

static void the_encoding_is_the_documented_one(void)
{
    struct seen_entry entries[2];
    static const char *const texts[] = {
        "paths", "values", "key", "", "other values", "older key"
    };
    for (guint i = 0; i < 6; i++) {
        struct seen_entry *entry = &entries[i / 3];
        struct digest *digests[] = { &entry->path_set, &entry->values, &entry->key };
        digest_of(texts[i], strlen(texts[i]), digests[i % 3]);
    }
    for (guint count = 0; count <= 2; count += 2) {
        g_auto(GStrv) expected = golden("seen.txt", count == 0 ? "empty" : "two");
        g_autoptr(GBytes) bytes = seen_encode(entries, count);
        g_autofree char *hex = hex_of(bytes);
        g_assert_cmpstr(hex, ==, expected[2]);
    }
}

static void decode_damaged(GBytes *bytes, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) entries = seen_decode(bytes, &error);
    if (entries == NULL) {
        g_assert_error(error, FAULT, FAULT_CORRUPT);
        return;
    }
    g_autoptr(GBytes) encoded =
        seen_encode((const struct seen_entry *)(void *)entries->data, entries->len);
    g_autoptr(GArray) again = seen_decode(encoded, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(again->len, ==, entries->len);
}

static void decoding_undoes_encoding_and_damage_is_refused_or_makes_sense(void)
{
    struct seen_entry entries[2] = { 0 };
    for (guint i = 0; i < 2; i++) {
        entries[i].path_set = small_digest(i);
        entries[i].values = small_digest(i + 5);
        entries[i].key = small_digest(i + 9);
    }
    g_autoptr(GBytes) bytes = seen_encode(entries, 2);
    g_autoptr(GArray) decoded = seen_decode(bytes, NULL);
    g_assert_cmpuint(decoded->len, ==, 2);
    for (guint i = 0; i < 2; i++) {
        const struct seen_entry *entry = &g_array_index(decoded, struct seen_entry, i);
        assert_digests(&entry->path_set, &entries[i].path_set);
        assert_digests(&entry->values, &entries[i].values);
        assert_digests(&entry->key, &entries[i].key);
    }
    damage(bytes, decode_damaged, NULL);
}

static void a_trace_is_found_by_the_key_of_the_result(void)
{
    g_auto(machine) machine;
    struct digest key, trace_digest;
    g_autofree char *reason = NULL;
    g_autoptr(GError) error = NULL;
    machine_init(&machine);
    put_file(machine.files, "a.c", "1", 0);
    run(&machine, compile);
    g_assert_true(find(&machine, &key, &reason));
    g_assert_null(seen_trace(machine.store, &key, &error)); /* its result names none */
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    g_autoptr(trace) trace = random_trace(random);
    g_autoptr(GBytes) bytes = trace_encode(trace);
    g_autoptr(store_batch) batch = store_batch_new(machine.store);
    g_autoptr(result) result = result_new();
    g_assert_true(store_batch_put(batch, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                  &trace_digest, NULL));
    for (guint i = 0; i < 3; i++)
        g_array_append_val(result->observed, trace_digest);
    cache_record(batch, &key, result);
    g_assert_true(store_batch_commit(batch, NULL));
    g_autoptr(trace) found = seen_trace(machine.store, &key, NULL);
    g_autoptr(GBytes) found_bytes = trace_encode(found);
    g_assert_true(g_bytes_equal(found_bytes, bytes));
}

/* --- V5 at random -------------------------------------------------------------------------------
 */

/* Where it looks depends on what it finds; what it makes, on all that it saw. */
static void wander(struct execution_model *execution)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    char text[DIGEST_TEXT_SIZE];
    const struct trace_value first = value_at(execution->machine, "in");
    asks(execution, "in", TRACE_CONTENT);
    g_string_append(seen, digest_print(&first.digest, text));
    if (first.digest.hash[0] % 2 == 0) {
        const struct trace_value second = value_at(execution->machine, "in2");
        asks(execution, "in2", TRACE_CONTENT);
        g_string_append_printf(seen, "%d%s", second.kind, digest_print(&second.digest, text));
    } else {
        g_string_append_printf(seen, "%d%d", value_at(execution->machine, "d/x").kind,
                               value_at(execution->machine, "d/y").kind);
        asks(execution, "d", TRACE_NAMES);
    }
    if (first.digest.hash[1] % 2 == 0) {
        asks(execution, "link", TRACE_TARGET);
        g_string_append(seen, value_at(execution->machine, "link").target);
    }
    makes(execution, "out", seen->str);
    if (first.digest.hash[2] % 2 == 0)
        makes(execution, "d/out", seen->str);
    if (first.digest.hash[2] % 3 == 0)
        removes(execution, "temporary");
}

static void edit(struct machine *machine, GRand *random)
{
    static const char *const contents[] = { "0", "1", "2", "3", "4", "5" };
    const char *content = contents[g_rand_int_range(random, 0, 6)];
    switch (g_rand_int_range(random, 0, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        put_file(machine->files, "in", content, 0);
        break;
    case 4:
        put_file(machine->files, "in2", content, 0);
        break;
    case 5:
        put_nothing(machine->files, "in2");
        break;
    case 6:
        put_file(machine->files, g_rand_boolean(random) ? "d/x" : "d/y", content, 0);
        break;
    case 7:
        put_nothing(machine->files, g_rand_boolean(random) ? "d/x" : "d/y");
        break;
    case 8:
        put_link(machine->files, "link", content);
        break;
    case 9:
        put_file(machine->files, g_rand_boolean(random) ? "out" : "d/out", content, 0);
        break;
    case 10:
        put_nothing(machine->files, g_rand_boolean(random) ? "out" : "d/out");
        break;
    default:
        put_file(machine->files, "temporary", content, 0);
        break;
    }
}

/* What a hit gives is what running would have made. */
static void check_hit(struct machine *machine, const struct digest *key)
{
    g_autoptr(trace) trace = NULL;
    g_auto(GStrv) deleted = NULL;
    g_autoptr(tree) expected = execute(machine, wander, &trace, &deleted);
    struct cached cached;
    g_assert_true(cache_find(machine->store, key, false, &cached));
    g_assert_true(digest_equal(tree_digest(cached.outputs), tree_digest(expected)));
    commit(machine, cached.outputs, cached.result->deleted);
    cached_clear(&cached);
}

static void a_hit_gives_what_running_would_have_made(void)
{
    guint hits = 0, misses = 0;
    for (guint seed = 0; seed < 200; seed++) {
        g_auto(machine) machine;
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        machine_init(&machine);
        put_file(machine.files, "in", "0", 0);
        put_link(machine.files, "link", "0");
        for (guint step = 0; step < 60; step++) {
            struct digest key;
            g_autofree char *reason = NULL;
            g_test_message("seed %u, step %u", seed, step);
            if (find(&machine, &key, &reason)) {
                check_hit(&machine, &key);
                hits++;
            } else {
                run(&machine, wander);
                misses++;
            }
            assert_found(&machine); /* whatever it left */
            edit(&machine, random);
        }
    }
    g_test_message("%u hits, %u misses", hits, misses);
    g_assert_cmpuint(hits, >, misses);
}

/* --- extended attributes ----------------------------------------------------------------------
 */

static void put_tagged(struct machine *machine, const char *path, const char *content,
                       const char *xattrs)
{
    struct trace_value value = { .kind = TRACE_FILE, .mode = 0644, .xattrs = xattrs };
    digest_of(content, strlen(content), &value.digest);
    trace_memory_state_put(machine->files, path, &value);
}

static void ask_for_attributes(struct execution_model *execution)
{
    asks(execution, "a", TRACE_CONTENT | TRACE_XATTRS);
    asks(execution, "b", TRACE_CONTENT);
}

static void attributes_decide_where_they_were_asked_for(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    put_tagged(&machine, "a", "1", NULL);
    put_tagged(&machine, "b", "1", NULL);
    run(&machine, ask_for_attributes);
    put_tagged(&machine, "b", "1", SOME_XATTRS);
    assert_found(&machine);
    put_tagged(&machine, "a", "1", SOME_XATTRS);
    assert_reason(&machine, "the extended attributes of a changed");
    run(&machine, ask_for_attributes);
    assert_found(&machine);
    put_tagged(&machine, "a", "1", OTHER_XATTRS);
    assert_reason(&machine, "the extended attributes of a changed");
    put_tagged(&machine, "a", "1", NULL);
    assert_found(&machine);
    put_tagged(&machine, "a", "2", NULL);
    assert_reason(&machine, "a changed");
}

static void ask_and_rewrite(struct execution_model *execution)
{
    asks(execution, "a", TRACE_CONTENT | TRACE_XATTRS);
    makes(execution, "a", "new");
}

/* put_output() leaves none, and the result says so. */
static void an_output_with_attributes_of_others_is_not_ours(void)
{
    g_auto(machine) machine;
    machine_init(&machine);
    put_tagged(&machine, "a", "old", NULL);
    run(&machine, ask_and_rewrite);
    assert_found(&machine);
    put_tagged(&machine, "a", "new", SOME_XATTRS);
    assert_reason(&machine, "a changed");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {
        { "nothing-is-found-before-the-first-execution",
          nothing_is_found_before_the_first_execution },
        { "what-was-read-decides", what_was_read_decides },
        { "a-revert-finds-the-older-execution", a_revert_finds_the_older_execution },
        { "own-outputs-do-not-count-and-other-hands-do",
          own_outputs_do_not_count_and_other_hands_do },
        { "own-outputs-are-not-in-listings", own_outputs_are_not_in_listings },
        { "only-the-newest-executions-are-kept", only_the_newest_executions_are_kept },
        { "a-damaged-record-is-as-none", a_damaged_record_is_as_none },
        { "what-lost-its-blobs-is-not-found", what_lost_its_blobs_is_not_found },
        { "the-encoding-is-the-documented-one", the_encoding_is_the_documented_one },
        { "decoding-undoes-encoding-and-damage-is-refused-or-makes-sense",
          decoding_undoes_encoding_and_damage_is_refused_or_makes_sense },
        { "a-trace-is-found-by-the-key-of-the-result", a_trace_is_found_by_the_key_of_the_result },
        { "attributes-decide-where-they-were-asked-for",
          attributes_decide_where_they_were_asked_for },
        { "an-output-with-attributes-of-others-is-not-ours",
          an_output_with_attributes_of_others_is_not_ours },
        { "a-hit-gives-what-running-would-have-made", a_hit_gives_what_running_would_have_made },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/cache/seen/", tests[i].name, NULL);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
