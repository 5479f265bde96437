// SPDX-License-Identifier: Apache-2.0
/* What vial itself does for rules: right answers, and when they have to be given anew. */
#include "base/fd.h"
#include "engine/intrinsics.h"
#include "graph-support.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

static const char queries[] =
    "query Snapshot PathGlobs\nquery Digest CreateDigest\n"
    "query Digest MergeDigests\nquery Digest DigestSubset\n"
    "query Digest AddPrefix\nquery Digest RemovePrefix\n"
    "query DigestContents Digest\nquery EnvironmentVars EnvironmentRequest\n"
    "query Binary FindBinary\nquery ProcessResult Process\n";

struct scene {
    char *root;
    struct store *store;
    struct intrinsics *intrinsics;
    struct graph *graph;
    struct engine *engine;
    struct engine_statistics statistics; /* of the last question */
};

static void scene_start(struct scene *scene)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new(queries);
    gsize count;
    const struct intrinsic_rule *rules = intrinsic_rules(&count);
    for (gsize i = 0; i < count; i++)
        g_string_append_printf(text, "rule %s %s %s\n", rules[i].name, rules[i].output,
                               rules[i].param);
    const struct intrinsics_options options = { scene->root, scene->store, 2 };
    scene->intrinsics = intrinsics_new(&options, &error);
    g_assert_no_error(error);
    scene->graph = support_solve(text->str);
    struct engine_options engine = { .graph = scene->graph,
                                     .world = intrinsics_world(scene->intrinsics),
                                     .store = scene->store };
    engine.rules = intrinsics_rules(scene->intrinsics, &engine.rule_count);
    scene->engine = engine_new(&engine, &error);
    g_assert_no_error(error);
}

static void scene_stop(struct scene *scene)
{
    engine_free(scene->engine);
    graph_free(scene->graph);
    intrinsics_free(scene->intrinsics);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){ .root = g_dir_make_tmp("vial-intrinsics-XXXXXX", NULL),
                             .store = store_new_memory() };
    scene_start(scene);
}

static void scene_close(struct scene *scene)
{
    scene_stop(scene);
    store_close(scene->store);
    g_assert_true(fd_remove_tree(AT_FDCWD, scene->root, NULL));
    g_free(scene->root);
}

static void write_file(struct scene *scene, const char *path, const char *content)
{
    g_autofree char *file = g_build_filename(scene->root, path, NULL);
    g_autofree char *directory = g_path_get_dirname(file);
    g_assert_cmpint(g_mkdir_with_parents(directory, 0777), ==, 0);
    g_assert_true(g_file_set_contents(file, content, -1, NULL));
}

/* --- values ----------------------------------------------------------------------------------- */

/* Takes the fields. */
static struct value *record(const char *name, struct value *first, struct value *second,
                            struct value *third)
{
    gsize count;
    const struct intrinsic_record *records = intrinsic_records(&count);
    struct value *fields[8] = { first, second, third };
    struct value *made = NULL;
    for (gsize i = 0; i < count; i++) {
        if (strcmp(records[i].name, name) != 0)
            continue;
        g_autoptr(value_type) type = value_type_new(name, records[i].fields, NULL);
        made = value_record(type, fields, NULL);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        value_unref(fields[i]);
    g_assert_nonnull(made);
    return made;
}

static struct value *list(struct value *a, struct value *b)
{
    struct value *items[] = { a, b };
    struct value *made = value_list(items, b == NULL ? 1 : 2, NULL);
    value_unref(a);
    value_unref(b);
    return made;
}

static struct value *texts(const char *words)
{
    g_auto(GStrv) split = support_words(words);
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    for (char **word = split; *word != NULL; word++)
        g_ptr_array_add(values, value_text(*word));
    return value_list((struct value *const *)values->pdata, values->len, NULL);
}

/* Takes the param; NULL and *why if it failed. */
static struct value *ask(struct scene *scene, const char *output, struct value *param, char **why)
{
    g_autoptr(GError) error = NULL;
    struct engine_request request = { output, &param, 1 };
    struct engine_result result;
    g_assert_true(engine_run(scene->engine, &request, 1, &result, &error));
    engine_statistics(scene->engine, &scene->statistics);
    struct value *value = g_steal_pointer(&result.value);
    if (why == NULL)
        g_assert_cmpstr(result.error, ==, NULL);
    else
        *why = g_steal_pointer(&result.error);
    engine_results_clear(&result, 1);
    value_unref(param);
    return value;
}

static const char *text_of(const struct value *record, const char *field)
{
    return value_bytes(value_field(record, field), NULL);
}

static char *joined(const struct value *list)
{
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < value_count(list); i++)
        g_string_append_printf(out, "%s%s", i == 0 ? "" : " ",
                               value_bytes(value_at(list, i), NULL));
    return g_string_free(out, FALSE);
}

static struct value *file(const char *path, const char *content)
{
    return record("FileContent", value_text(path), value_text(content), value_boolean(false));
}

static struct value *create(struct scene *scene, const char *path, const char *content)
{
    return ask(scene, "Digest", record("CreateDigest", list(file(path, content), NULL), NULL, NULL),
               NULL);
}

/* "a=1 b/c=2": paths and contents of a Digest, which is taken. */
static char *contents(struct scene *scene, struct value *digest)
{
    g_autoptr(value) value = ask(scene, "DigestContents", digest, NULL);
    const struct value *files = value_field(value, "files");
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < value_count(files); i++)
        g_string_append_printf(out, "%s%s=%s", i == 0 ? "" : " ",
                               text_of(value_at(files, i), "path"),
                               text_of(value_at(files, i), "content"));
    return g_string_free(out, FALSE);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_path_globs(void)
{
    struct scene scene;
    scene_open(&scene);
    write_file(&scene, "src/a.c", "1");
    write_file(&scene, "src/deep/b.c", "2");
    write_file(&scene, "notes", "3");
    write_file(&scene, ".git/x.c", "4");
    for (int round = 0; round < 3; round++) {
        g_autoptr(value) snapshot =
            ask(&scene, "Snapshot", record("PathGlobs", texts("**/*.c"), NULL, NULL), NULL);
        g_autofree char *files = joined(value_field(snapshot, "files"));
        g_autofree char *directories = joined(value_field(snapshot, "directories"));
        g_assert_cmpstr(files, ==, "src/a.c src/deep/b.c");
        g_assert_cmpstr(directories, ==, "src src/deep");
        g_assert_cmpuint(scene.statistics.ran, ==, round == 0);
        g_autofree char *all = contents(&scene, value_ref(value_field(snapshot, "digest")));
        g_assert_cmpstr(all, ==, "src/a.c=1 src/deep/b.c=2");
        write_file(&scene, "notes", "other"); /* is not selected */
        scene_stop(&scene);
        scene_start(&scene); /* another process */
    }
    write_file(&scene, "src/a.c", "5");
    g_autoptr(value) snapshot =
        ask(&scene, "Snapshot", record("PathGlobs", texts("**/*.c"), NULL, NULL), NULL);
    g_assert_cmpuint(scene.statistics.ran, ==, 1);
    g_autofree char *all = contents(&scene, value_ref(value_field(snapshot, "digest")));
    g_assert_cmpstr(all, ==, "src/a.c=5 src/deep/b.c=2");
    scene_close(&scene);
}

static void test_trees(void)
{
    struct scene scene;
    scene_open(&scene);
    g_autoptr(value) a = create(&scene, "a", "1");
    g_autoptr(value) b = create(&scene, "d/b", "2");
    g_autoptr(value) both =
        ask(&scene, "Digest", record("MergeDigests", list(value_ref(a), value_ref(b)), NULL, NULL),
            NULL);
    g_autoptr(value) below =
        ask(&scene, "Digest", record("AddPrefix", value_ref(both), value_text("x/y"), NULL), NULL);
    g_autofree char *one = contents(&scene, value_ref(below));
    g_assert_cmpstr(one, ==, "x/y/a=1 x/y/d/b=2");
    g_autoptr(value) again = ask(
        &scene, "Digest", record("RemovePrefix", value_ref(below), value_text("x/y"), NULL), NULL);
    g_assert_true(value_equal(again, both));
    g_autoptr(value) part =
        ask(&scene, "Digest", record("DigestSubset", value_ref(both), texts("b"), NULL), NULL);
    g_assert_true(value_equal(part, b));

    g_autoptr(value) other = create(&scene, "a", "3");
    g_autofree char *why = NULL;
    g_assert_null(ask(&scene, "Digest",
                      record("MergeDigests", list(value_ref(a), value_ref(other)), NULL, NULL),
                      &why));
    g_assert_nonnull(strstr(why, "\n  in vial.merge_digests(MergeDigests{digests="));
    scene_close(&scene);
}

/* The blobs are gone although the memo knows the result: it is made again, and is no error. */
static void test_a_tree_that_is_gone_is_made_again(void)
{
    struct scene scene;
    scene_open(&scene);
    for (int round = 0; round < 2; round++) {
        struct digest blob;
        g_autoptr(value) digest = create(&scene, "a", "precious");
        g_assert_cmpuint(scene.statistics.ran, ==, 1);
        g_autofree char *all = contents(&scene, value_ref(digest));
        g_assert_cmpstr(all, ==, "a=precious");
        digest_of("precious", 8, &blob);
        store_drop(scene.store, &blob);
        scene_stop(&scene);
        scene_start(&scene);
    }
    scene_close(&scene);
}

static void test_environment(void)
{
    struct scene scene;
    scene_open(&scene);
    g_setenv("VIAL_TEST_A", "1", TRUE);
    g_unsetenv("VIAL_TEST_B");
    for (int round = 0; round < 4; round++) {
        g_autoptr(value) vars =
            ask(&scene, "EnvironmentVars",
                record("EnvironmentRequest", texts("VIAL_TEST_B VIAL_TEST_A"), NULL, NULL), NULL);
        g_autofree char *all = joined(value_field(vars, "values"));
        g_assert_cmpstr(all, ==, round < 2 ? "VIAL_TEST_A=1" : "VIAL_TEST_A=1 VIAL_TEST_B=2");
        g_assert_cmpuint(scene.statistics.ran, ==, round % 2 == 0);
        if (round == 1)
            g_setenv("VIAL_TEST_B", "2", TRUE);
    }
    scene_close(&scene);
}

static struct value *find(struct scene *scene, char **why)
{
    g_autofree char *path = g_strdup_printf("%s/one %s/two", scene->root, scene->root);
    return ask(scene, "Binary", record("FindBinary", value_text("tool"), texts(path), NULL), why);
}

static void make_program(struct scene *scene, const char *path, const char *content)
{
    g_autofree char *name = g_build_filename(scene->root, path, NULL);
    write_file(scene, path, content);
    g_assert_cmpint(g_chmod(name, 0755), ==, 0);
}

static void test_find_binary(void)
{
    struct scene scene;
    g_autofree char *why = NULL;
    scene_open(&scene);
    g_autofree char *link = g_build_filename(scene.root, "two/tool", NULL);
    g_assert_null(find(&scene, &why));
    g_assert_true(g_str_has_prefix(why, "there is no program tool in "));
    make_program(&scene, "real/a", "first");
    make_program(&scene, "real/b", "second");
    write_file(&scene, "two/other", "");
    g_assert_cmpint(symlink("../real/link", link), ==, 0);
    g_autofree char *middle = g_build_filename(scene.root, "real/link", NULL);
    g_assert_cmpint(symlink("a", middle), ==, 0);
    g_autoptr(value) first = find(&scene, NULL);
    g_assert_cmpstr(text_of(first, "path"), ==, link);
    g_autoptr(value) same = find(&scene, NULL);
    g_assert_cmpuint(scene.statistics.ran, ==, 0);

    g_assert_cmpint(g_unlink(middle), ==, 0); /* the link in the middle leads elsewhere */
    g_assert_cmpint(symlink("b", middle), ==, 0);
    g_autoptr(value) second = find(&scene, NULL);
    g_assert_false(value_equal(first, second));
    make_program(&scene, "real/b", "third");
    g_autoptr(value) third = find(&scene, NULL);
    g_assert_false(value_equal(second, third));
    make_program(&scene, "one/tool", "third"); /* earlier on the path */
    g_autoptr(value) fourth = find(&scene, NULL);
    g_assert_false(value_equal(third, fourth));
    scene_close(&scene);
}

static void test_what_does_not_fit_is_named(void)
{
    static const struct {
        const char *output, *record, *why;
    } cases[] = {
        { "Snapshot", "PathGlobs", "PathGlobs: globs must be a list of strings\n" },
        { "Digest", "CreateDigest", "CreateDigest: files must be a list of FileContent\n" },
        { "Digest", "MergeDigests", "MergeDigests: digests must be a list of Digest\n" },
        { "Digest", "DigestSubset", "a Digest is needed, with its hash as a string\n" },
        { "DigestContents", "Digest", "a Digest is needed, with its hash as a string\n" },
        { "EnvironmentVars", "EnvironmentRequest",
          "EnvironmentRequest: names must be a list of strings\n" },
        { "Binary", "FindBinary", "FindBinary: name must be a string\n" },
        { "ProcessResult", "Process", "Process: argv must be a list of strings\n" },
    };
    struct scene scene;
    scene_open(&scene);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *why = NULL;
        struct value *first =
            strcmp(cases[i].record, "Process") == 0 ? value_text("true") : value_integer(1);
        g_assert_null(
            ask(&scene, cases[i].output, record(cases[i].record, first, NULL, NULL), &why));
        g_assert_true(g_str_has_prefix(why, cases[i].why));
    }
    scene_close(&scene);
}

/* --- processes -------------------------------------------------------------------------------- */

static struct value *process(const char *script, struct value *input, const char *outputs)
{
    struct value *items[] = { value_text("sh"), value_text("-c"), value_text(script) };
    struct value *fields[] = { value_list(items, 3, NULL),
                               value_nil(),
                               input,
                               texts(outputs),
                               value_nil(),
                               value_nil(),
                               value_nil() };
    g_autoptr(value_type) type = NULL;
    gsize count;
    const struct intrinsic_record *records = intrinsic_records(&count);
    for (gsize i = 0; i < count; i++)
        if (strcmp(records[i].name, "Process") == 0)
            type = value_type_new("Process", records[i].fields, NULL);
    struct value *made = value_record(type, fields, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(items); i++)
        value_unref(items[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        value_unref(fields[i]);
    return made;
}

static void test_processes(void)
{
    struct scene scene;
    scene_open(&scene);
    g_autoptr(value) input = create(&scene, "in", "hello");
    for (int round = 0; round < 2; round++) {
        g_autoptr(value) result =
            ask(&scene, "ProcessResult",
                process("cat in; echo oops >&2; mkdir d; tr a-z A-Z <in >d/out; exit 3",
                        value_ref(input), "d"),
                NULL);
        g_assert_cmpuint(scene.statistics.ran, ==, round == 0);
        g_assert_cmpint(value_number(value_field(result, "status")), ==, 3);
        g_assert_cmpstr(text_of(result, "stdout"), ==, "hello");
        g_assert_cmpstr(text_of(result, "stderr"), ==, "oops\n");
        g_autofree char *all = contents(&scene, value_ref(value_field(result, "output")));
        g_assert_cmpstr(all, ==, "d/out=HELLO");
        scene_stop(&scene);
        scene_start(&scene);
    }
    scene_close(&scene);
}

static void test_a_program_that_is_not_there(void)
{
    struct scene scene;
    g_autofree char *why = NULL;
    scene_open(&scene);
    g_assert_null(ask(&scene, "ProcessResult",
                      record("Process", texts("no-such-program"), NULL, NULL), &why));
    g_assert_nonnull(strstr(why, "no-such-program"));
    scene_close(&scene);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/intrinsics/path globs", test_path_globs);
    g_test_add_func("/intrinsics/trees", test_trees);
    g_test_add_func("/intrinsics/a tree that is gone is made again",
                    test_a_tree_that_is_gone_is_made_again);
    g_test_add_func("/intrinsics/environment", test_environment);
    g_test_add_func("/intrinsics/find binary", test_find_binary);
    g_test_add_func("/intrinsics/what does not fit is named", test_what_does_not_fit_is_named);
    g_test_add_func("/intrinsics/processes", test_processes);
    g_test_add_func("/intrinsics/a program that is not there", test_a_program_that_is_not_there);
    return g_test_run();
}
