// SPDX-License-Identifier: Apache-2.0
/* The memo: its bytes, what it spares a later process, and what becomes of it when it is damaged.
 */
#include "base/fd.h"
#include "cache/cache.h"
#include "engine-support.h"
#include "engine/memo.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- bytes ------------------------------------------------------------------------------------ */

static char *hex(GBytes *bytes)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(out, "%02x", data[i]);
    return g_string_free(out, FALSE);
}

static struct fact_answer content(guint32 what, const char *text)
{
    struct fact_answer answer = { .what = what };
    digest_of(text, strlen(text), &answer.digest);
    return answer;
}

static GBytes *make_chunk(void)
{
    g_autoptr(value) name = value_text("x");
    g_autoptr(value_type) type = value_type_new("Name", (const char *[]){ "value", NULL }, NULL);
    g_autoptr(value) record = value_record(type, &name, NULL);
    g_autoptr(GBytes) bytes = value_encode(record);
    GByteArray *out = g_byte_array_new();
    const guint32 first = 0;
    struct digest nil, large;
    digest_of("\0", 1, &nil);
    digest_of("large", 5, &large);
    large.size = 70000;
    const struct memo_edge edges[] = { { 1, 1, false }, { 1, 1, true } };
    const struct memo_fact_edge facts[] = { { 0, content(3, "content") }, { 1, { 0 } } };
    const struct memo_entry entries[] = {
        { MEMO_DATUM, .digest = *value_digest(record), .data = g_bytes_get_data(bytes, NULL) },
        { MEMO_DATUM, .digest = nil, .data = (const guint8 *)"\0" },
        { MEMO_DATUM, .digest = large },
        { MEMO_FACT, .fact = { FACT_FILE, "src/a.c" } },
        { MEMO_FACT, .fact = { FACT_ENVIRONMENT, "PATH" } },
        { MEMO_INSTANCE, .plan = 300, .params = &first, .param_count = 1 },
        { MEMO_INSTANCE, .plan = 2 },
        { MEMO_STATE, .instance = 0, .value = 2, .duration = 1000, .edges = edges, .edge_count = 2,
          .facts = facts, .fact_count = 2 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        memo_put(out, &entries[i]);
    return g_byte_array_free_to_bytes(out);
}

static GBytes *make_root(void)
{
    const struct memo_root_fact facts[] = { { { FACT_FILE, "src/a.c" }, content(3, "content") },
                                            { { FACT_FILE, "src/b.c" }, { 0 } },
                                            { { FACT_NAMES, "src" }, { .what = 9 } } };
    g_autoptr(value) name = value_text("x");
    g_autoptr(value_type) type = value_type_new("Name", (const char *[]){ "value", NULL }, NULL);
    g_autoptr(value) record = value_record(type, &name, NULL);
    struct memo_root root = { value_encode(record),
                              g_array_new(FALSE, FALSE, sizeof(struct memo_root_fact)), NULL };
    g_array_append_vals(root.facts, facts, G_N_ELEMENTS(facts));
    GBytes *bytes = memo_root_encode(&root);
    memo_root_clear(&root);
    return bytes;
}

static void add(GArray *digests, const char *text)
{
    struct digest digest;
    digest_of(text, strlen(text), &digest);
    g_array_append_val(digests, digest);
}

static GBytes *make_manifest(void)
{
    struct memo_manifest manifest;
    struct memo_root_name name = { .instance = 7 };
    memo_manifest_init(&manifest);
    manifest.last_use = 1000000;
    manifest.compact = 5;
    add(manifest.chunks, "chunk");
    add(manifest.chunks, "another");
    add(manifest.values, "value");
    digest_of("key", 3, &name.key);
    digest_of("root", 4, &name.blob);
    digest_of("", 0, &name.kept);
    g_array_append_val(manifest.roots, name);
    GBytes *bytes = memo_manifest_encode(&manifest);
    memo_manifest_clear(&manifest);
    return bytes;
}

static void test_golden(void)
{
    static GBytes *(*const makers[])(void) = { make_chunk, make_root, make_manifest };
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(GOLDEN "/memo.tsv", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, G_N_ELEMENTS(makers));
    for (gsize i = 0; i < G_N_ELEMENTS(makers); i++) {
        g_auto(GStrv) columns = g_strsplit(lines[i], "\t", 3);
        g_autoptr(GBytes) bytes = makers[i]();
        g_autofree char *made = hex(bytes);
        g_assert_cmpstr(made, ==, columns[2]);
    }
}

/* --- cold starts ------------------------------------------------------------------------------ */

#define GRAPH "rule top C; B\nrule b B A\nrule a A\nquery C\nquery B"

struct scene {
    struct world *world;
    struct support_rule rules[4];
    gsize padding; /* bytes of text in b's value */
    bool unkept;
};

static void body_a(struct support_task *task, struct engine_step *step)
{
    struct scene *scene = support_rule_of(task)->user;
    const struct fact fact = { FACT_FILE, "f" };
    struct fact_answer answer;
    scene->world->operations->look_up(scene->world, &fact, 1, &answer, NULL);
    engine_fact(task->call, &fact, &answer);
    if (scene->unkept)
        engine_unkept(task->call);
    support_done(step, support_number("A", answer.what));
}

static void body_b(struct support_task *task, struct engine_step *step)
{
    struct scene *scene = support_rule_of(task)->user;
    g_autofree char *padding = g_strnfill(scene->padding, 'x');
    g_autofree char *text = g_strdup_printf("%d%s", (int)support_of(task->params[0]) % 2, padding);
    support_done(step, support_record("B", value_text(text)));
}

static void body_top(struct support_task *task, struct engine_step *step)
{
    if (task->step == 0)
        support_want(task, step, "B", NULL);
    else
        support_done(step, support_number(
                               "C", *value_bytes(value_field(task->results[0], "v"), NULL) - '0'));
}

static void put(struct scene *scene, guint32 what)
{
    const struct fact_answer answer = { .what = what };
    world_memory_put(scene->world, FACT_FILE, "f", &answer);
}

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){ .world = world_memory_new() };
    scene->rules[0] = (struct support_rule){ "top", body_top, scene };
    scene->rules[1] = (struct support_rule){ "b", body_b, scene };
    scene->rules[2] = (struct support_rule){ "a", body_a, scene };
    put(scene, 1);
}

/* A new engine, one query; how many rules ran. */
static guint64 cold(struct scene *scene, struct store *store, const char *output)
{
    struct support_engine opened;
    struct engine_statistics statistics;
    struct engine_request request = { output, NULL, 0 };
    struct engine_result result;
    support_open_in(&opened, GRAPH, scene->rules, scene->world, store, 0);
    g_assert_true(engine_run(opened.engine, &request, 1, &result, NULL));
    g_assert_cmpstr(result.error, ==, NULL);
    const struct fact fact = { FACT_FILE, "f" };
    struct fact_answer now;
    scene->world->operations->look_up(scene->world, &fact, 1, &now, NULL);
    if (strcmp(output, "C") == 0)
        g_assert_cmpint(support_of(result.value), ==, now.what % 2);
    engine_statistics(opened.engine, &statistics);
    engine_results_clear(&result, 1);
    support_close(&opened);
    return statistics.ran;
}

static void test_a_cold_start_runs_nothing(void)
{
    g_autoptr(store) store = store_new_memory();
    struct scene scene;
    scene_init(&scene);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 0);
    g_assert_cmpuint(cold(&scene, store, "B"), ==, 0); /* no root of its own, but known */
    put(&scene, 3);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 2); /* cut off before top */
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 0);
    put(&scene, 4);
    g_assert_cmpuint(cold(&scene, store, "B"), ==, 2);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 1);
    world_free(scene.world);
}

static bool find_memo(GBytes *key, GBytes *value, void *user)
{
    struct memo_manifest *manifest = user;
    g_assert_true(memo_manifest_decode(value, manifest, NULL));
    return false;
}

static void test_large_values(void)
{
    g_autoptr(store) store = store_new_memory();
    struct scene scene;
    scene_init(&scene);
    scene.padding = MEMO_INLINE_MAX;
    cold(&scene, store, "C");
    g_assert_cmpuint(cold(&scene, store, "B"), ==, 0);
    struct memo_manifest manifest;
    memo_manifest_init(&manifest);
    store_record_each(store, STORE_MEMO, find_memo, &manifest);
    g_assert_cmpuint(manifest.values->len, ==, 1);
    store_drop(store, &g_array_index(manifest.values, struct digest, 0));
    put(&scene, 3); /* one value is lost: so is all that the memo knew, and no more */
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3);
    put(&scene, 5);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 2);
    memo_manifest_clear(&manifest);
    world_free(scene.world);
}

static void test_uncacheable_rules_run_in_every_process(void)
{
    g_autoptr(store) store = store_new_memory();
    struct scene scene;
    scene_init(&scene);
    scene.rules[2].uncacheable = true;
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 1);
    scene.rules[2].uncacheable = false;
    scene.unkept = true;
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3); /* other rules: another memo */
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 1);
    world_free(scene.world);
}

static void test_damage_is_a_miss(void)
{
    for (int what = 0; what < 3; what++) {
        g_autoptr(store) store = store_new_memory();
        struct memo_manifest manifest;
        struct scene scene;
        scene_init(&scene);
        cold(&scene, store, "C");
        memo_manifest_init(&manifest);
        store_record_each(store, STORE_MEMO, find_memo, &manifest);
        g_assert_cmpuint(manifest.chunks->len, ==, 2);
        if (what == 0) /* the root is needed only for its shortcut */
            store_drop(store, &g_array_index(manifest.roots, struct memo_root_name, 0).blob);
        else
            store_drop(store, &g_array_index(manifest.chunks, struct digest, what - 1));
        if (what > 0)
            put(&scene, 3);
        g_assert_cmpuint(cold(&scene, store, "C"), ==, what == 0 ? 0 : 3);
        put(&scene, 5);
        g_assert_cmpuint(cold(&scene, store, "C"), ==, 2);
        memo_manifest_clear(&manifest);
        world_free(scene.world);
    }
}

static void test_collection_keeps_what_a_memo_names(void)
{
    g_autoptr(store) store = store_new_memory();
    struct store_gc_result result;
    struct scene scene;
    scene_init(&scene);
    scene.padding = MEMO_INLINE_MAX;
    cold(&scene, store, "C");
    g_assert_true(cache_gc(store, G_MAXUINT64, &result, NULL));
    g_assert_cmpuint(result.evicted, ==, 0);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 0);
    put(&scene, 3);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 2);
    g_assert_true(cache_gc(store, 1, &result, NULL));
    g_assert_cmpuint(result.evicted, ==, 1);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3);
    world_free(scene.world);
}

/* --- being killed ----------------------------------------------------------------------------- */

/* Changes and saves, without end. */
static void change_without_end(const char *path)
{
    g_autoptr(store) store = store_open(path, NULL, NULL, NULL);
    struct scene scene;
    scene_init(&scene);
    for (guint32 what = 1;; what++) {
        put(&scene, what);
        cold(&scene, store, "C");
    }
}

static void assert_whole(struct store *store)
{
    struct memo_manifest manifest;
    memo_manifest_init(&manifest);
    store_record_each(store, STORE_MEMO, find_memo, &manifest);
    g_assert_cmpuint(manifest.chunks->len, >, 0);
    for (guint i = 0; i < manifest.chunks->len; i++) {
        g_autoptr(GBytes) chunk =
            store_get(store, &g_array_index(manifest.chunks, struct digest, i), NULL);
        g_assert_nonnull(chunk);
    }
    memo_manifest_clear(&manifest);
}

static void save_one(const char *path)
{
    g_autoptr(store) store = store_open(path, NULL, NULL, NULL);
    struct scene scene;
    scene_init(&scene);
    g_assert_cmpuint(cold(&scene, store, "C"), ==, 3);
    world_free(scene.world);
}

/* Whatever the instant, the next process finds a memo that is whole. cold() checks values. */
static void test_killed_at_any_instant(void)
{
    g_autofree char *path = g_dir_make_tmp("vial-memo-XXXXXX", NULL);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    save_one(path);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        if (child == 0) {
            change_without_end(path);
            _exit(1);
        }
        g_usleep((gulong)g_rand_int_range(rand, 5000, 60000)); /* the instant, not a wait */
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        g_autoptr(GError) error = NULL;
        g_autoptr(store) store = store_open(path, NULL, NULL, &error);
        struct scene scene;
        g_assert_no_error(error);
        scene_init(&scene);
        put(&scene, (guint32)g_rand_int_range(rand, 1, 20));
        assert_whole(store);
        cold(&scene, store, "C");
        g_assert_cmpuint(cold(&scene, store, "C"), ==, 0);
        world_free(scene.world);
    }
    g_assert_true(fd_remove_tree(AT_FDCWD, path, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memo/golden", test_golden);
    g_test_add_func("/memo/a cold start runs nothing", test_a_cold_start_runs_nothing);
    g_test_add_func("/memo/large values", test_large_values);
    g_test_add_func("/memo/uncacheable rules run in every process",
                    test_uncacheable_rules_run_in_every_process);
    g_test_add_func("/memo/damage is a miss", test_damage_is_a_miss);
    g_test_add_func("/memo/collection keeps what a memo names",
                    test_collection_keeps_what_a_memo_names);
    g_test_add_func("/memo/killed at any instant", test_killed_at_any_instant);
    return g_test_run();
}
