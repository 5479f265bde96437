// SPDX-License-Identifier: Apache-2.0
#include "session-support.h"

/* --- helpers ---------------------------------------------------------------------------------- */

static void stand_in(struct ground *ground, const char *directory)
{
    g_free(ground->session.directory);
    ground->session.directory = g_strdup(directory);
}

#define WORDS(...) ((char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* What -i selects of the files on disk, checked as a run checks it. */
static struct tree *select_inputs(struct ground *ground, char *const *inputs, GError **error)
{
    g_autoptr(glob) glob = selection_inputs(&ground->session, inputs, error);
    if (glob == NULL)
        return NULL;
    g_autoptr(tree) tree = capture_tree(ground->workspace, glob, NULL);
    return selection_check(&ground->session, inputs, tree, error) ? g_steal_pointer(&tree) : NULL;
}

#define assert_inputs(ground, words, ...)                               \
    do {                                                                \
        g_autoptr(GError) error_ = NULL;                                \
        g_autoptr(tree) found_ = select_inputs(ground, words, &error_); \
        g_assert_no_error(error_);                                      \
        assert_tree(found_, __VA_ARGS__);                               \
    } while (0)

static void refuse_input(struct ground *ground, const char *word, const char *why)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) found = select_inputs(ground, WORDS((char *)word), &error);
    g_test_message("-i %s: %s", word, error == NULL ? "selected" : error->message);
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_nonnull(strstr(error->message, why));
}

static void refuse_output(struct ground *ground, const char *word, const char *why)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(selection_outputs(&ground->session, WORDS((char *)word), &error));
    g_test_message("-o %s: %s", word, error == NULL ? "selected" : error->message);
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_nonnull(strstr(error->message, why));
}

static void assert_outputs(struct ground *ground, char *const *words, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) found = selection_outputs(&ground->session, words, &error);
    g_assert_no_error(error);
    g_autofree char *joined = g_strjoinv(" ", found);
    g_assert_cmpstr(joined, ==, expected);
}

/* --- inputs ----------------------------------------------------------------------------------- */

static void without_inputs_everything_but_git_and_the_store(void)
{
    struct ground ground;
    ground_init(&ground);
    ground.session.own[0] = g_strdup("cache/vial");
    ground.session.own[1] = g_strdup("events");
    LAY(ground.workspace, "a=1", ".git/config=1", ".gitignore=1", "sub/.git=gitdir: x", "x.git/y=1",
        "sub/b=1", "cache/vial/index=1", "cache/vialx=1", "events=1", "sub/events=1", "e/");
    assert_inputs(&ground, NULL, "a=1", ".gitignore=1", "x.git/y=1", "sub/b=1", "cache/vialx=1",
                  "sub/events=1", "e/");
    stand_in(&ground, "sub");
    assert_inputs(&ground, WORDS(), "a=1", ".gitignore=1", "x.git/y=1", "sub/b=1", "cache/vialx=1",
                  "sub/events=1", "e/");
    ground_release(&ground);
}

static void git_is_an_input_when_named(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "a=1", ".git/config=1", "sub/.git/config=1");
    assert_inputs(&ground, WORDS(".git"), ".git/config=1");
    assert_inputs(&ground, WORDS("."), "a=1", "sub/");
    assert_inputs(&ground, WORDS("a", ".git/config"), "a=1", ".git/config=1");
    assert_inputs(&ground, WORDS(".", "!a", "!.git"), "sub/");
    assert_inputs(&ground, WORDS("!sub/.git/x"), "a=1", "sub/");
    stand_in(&ground, "sub");
    assert_inputs(&ground, WORDS(".git"), "sub/.git/config=1");
    ground_release(&ground);
}

static void who_stands_in_git_means_it(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "a=1", ".git/config=1", ".git/hooks/b=1");
    stand_in(&ground, ".git");
    assert_inputs(&ground, WORDS("config"), ".git/config=1");
    assert_inputs(&ground, WORDS("./"), ".git/config=1", ".git/hooks/b=1");
    assert_inputs(&ground, WORDS("/c*"), ".git/config=1");
    assert_inputs(&ground, WORDS(".."), "a=1");
    assert_inputs(&ground, WORDS("../*"), "a=1");
    assert_inputs(&ground, WORDS("../a", "!hooks"), "a=1");
    assert_inputs(&ground, NULL, "a=1");
    stand_in(&ground, "");
    assert_inputs(&ground, WORDS(".git/.."), "a=1");
    assert_inputs(&ground, WORDS("/.git/c*"), ".git/config=1");
    ground_release(&ground);
}

static void paths_are_relative_to_where_one_stands(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "a=1", "sub/a=2", "sub/dir/b=3", "other/c=4", "sub/l->../a", "sub/e/");
    stand_in(&ground, "sub");
    assert_inputs(&ground, WORDS("a"), "sub/a=2");
    assert_inputs(&ground, WORDS("../a"), "a=1");
    assert_inputs(&ground, WORDS("../other/", "./dir//b"), "other/c=4", "sub/dir/b=3");
    assert_inputs(&ground, WORDS("."), "sub/a=2", "sub/dir/b=3", "sub/l->../a", "sub/e/");
    assert_inputs(&ground, WORDS("dir/.."), "sub/a=2", "sub/dir/b=3", "sub/l->../a", "sub/e/");
    assert_inputs(&ground, WORDS(".."), "a=1", "sub/a=2", "sub/dir/b=3", "other/c=4", "sub/l->../a",
                  "sub/e/");
    assert_inputs(&ground, WORDS("l"), "sub/l->../a");
    assert_inputs(&ground, WORDS("e"), "sub/e/");
    g_autofree char *absolute = g_build_filename(ground.session.root, "other", "c", NULL);
    assert_inputs(&ground, WORDS(absolute), "other/c=4");
    assert_inputs(&ground, WORDS(ground.session.root, "!sub"), "a=1", "sub/a=2", "sub/dir/b=3",
                  "other/c=4", "sub/l->../a", "sub/e/");
    ground_release(&ground);
}

static void globs_are_relative_to_where_one_stands(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "a.c=1", "sub/a.c=2", "sub/d/b.c=3", "sub/d/b.h=4", "other/c.c=5");
    assert_inputs(&ground, WORDS("*.c"), "a.c=1", "sub/a.c=2", "sub/d/b.c=3", "other/c.c=5");
    assert_inputs(&ground, WORDS("./*.c"), "a.c=1");
    stand_in(&ground, "sub");
    assert_inputs(&ground, WORDS("*.c"), "sub/a.c=2", "sub/d/b.c=3");
    assert_inputs(&ground, WORDS("./*.c"), "sub/a.c=2");
    assert_inputs(&ground, WORDS("/*.c"), "sub/a.c=2");
    assert_inputs(&ground, WORDS("../*.c"), "a.c=1");
    assert_inputs(&ground, WORDS("../*/*.c", "!d/*"), "sub/a.c=2", "other/c.c=5");
    assert_inputs(&ground, WORDS("!d/"), "a.c=1", "sub/a.c=2", "other/c.c=5");
    assert_inputs(&ground, WORDS("no*thing"));
    ground_release(&ground);
}

/* Just the file `path`, which holds its own name, is selected. */
static void assert_only(struct ground *ground, const char *word, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) found = select_inputs(ground, WORDS((char *)word), &error);
    g_assert_no_error(error);
    struct tree_totals totals;
    tree_totals(found, &totals);
    g_assert_cmpuint(totals.files, ==, 1);
    g_assert_nonnull(tree_lookup(found, path));
}

static void names_that_look_like_globs_are_names_where_they_exist(void)
{
    static const char *const directories[] = { "", "sub" };
    for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
        struct ground ground;
        ground_init(&ground);
        static const char *const names[] = { "[a]", "a", "!a", "-a", "b\\*", "b*", "bc" };
        for (size_t k = 0; k < G_N_ELEMENTS(names); k++) {
            g_autofree char *below = g_build_filename("sub", names[k], NULL);
            lay_file(ground.workspace, names[k], names[k], 0644);
            lay_file(ground.workspace, below, names[k], 0644);
        }
        stand_in(&ground, directories[i]);
        static const char *const literal[][2] = {
            { "[a]", "[a]" }, { "!a", "!a" },         { "-a", "-a" },   { "b\\*", "b\\*" },
            { "b*", "b*" },   { "./\\[a\\]", "[a]" }, { "./!a", "!a" },
        };
        for (size_t k = 0; k < G_N_ELEMENTS(literal); k++) {
            g_autofree char *path = *directories[i] == '\0'
                                        ? g_strdup(literal[k][1])
                                        : g_build_filename(directories[i], literal[k][1], NULL);
            g_autofree char *absolute = g_build_filename(ground.session.root, path, NULL);
            assert_only(&ground, literal[k][0], path);
            assert_only(&ground, absolute, path);
        }
        refuse_input(&ground, "c\\*", "no such file");
        ground_release(&ground);
    }
}

static void a_directory_whose_name_looks_like_a_glob_is_no_glob(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "[ab]/x.c=1", "a/x.c=2", "!n/x.c=3");
    stand_in(&ground, "[ab]");
    assert_inputs(&ground, WORDS("*.c"), "[ab]/x.c=1");
    assert_outputs(&ground, WORDS("*.o", "x"), "/\\[ab\\]/**/*.o /\\[ab\\]/x");
    stand_in(&ground, "!n");
    assert_inputs(&ground, WORDS("*.c"), "!n/x.c=3");
    assert_outputs(&ground, WORDS("*.o"), "/\\!n/**/*.o");
    ground_release(&ground);
}

static void what_cannot_be_an_input_is_refused(void)
{
    struct ground ground;
    ground_init(&ground);
    g_autofree char *link = g_strconcat("l->", ground.session.root, NULL);
    LAY(ground.workspace, "a=1", "sub/b=1", "d->sub", link);
    stand_in(&ground, "sub");
    refuse_input(&ground, "", "empty");
    refuse_input(&ground, "../..", "outside the workspace");
    refuse_input(&ground, "/etc/passwd", "outside the workspace");
    refuse_input(&ground, "../../outside", "outside the workspace");
    refuse_input(&ground, "nothing", "no such file");
    refuse_input(&ground, "../d/b", "symbolic link");
    refuse_input(&ground, "../../*", "leaves the root");
    refuse_input(&ground, "[", "bracket");
    refuse_input(&ground, "*\\", "backslash");
    refuse_input(&ground, "!", "empty");
    g_autoptr(GError) error = NULL;
    g_assert_null(select_inputs(&ground, WORDS("b", "!b"), &error));
    g_assert_error(error, FAULT, FAULT_USAGE);
    g_assert_nonnull(strstr(error->message, "excluded"));
    ground_release(&ground);
}

/* --- outputs ---------------------------------------------------------------------------------- */

static void outputs_become_patterns_below_the_root(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "sub/!x=1");
    lay_file(ground.workspace, "sub/has*", "1", 0644);
    assert_outputs(&ground, WORDS("a", "b/", "./c//d", "e/../f"), "/a /b /c/d /f");
    assert_outputs(&ground, WORDS("*.o", "./*.a", "d/*", "d*/", "**"),
                   "/**/** /**/*.o /**/d*/ /*.a /d/*");
    assert_outputs(&ground, WORDS("."), "/**");
    assert_outputs(&ground, WORDS("b", "a", "b", "./a"), "/a /b");
    stand_in(&ground, "sub");
    assert_outputs(&ground, WORDS("a", "../b", "-c"), "/b /sub/-c /sub/a");
    assert_outputs(&ground, WORDS("has*", "!x", "./!y"), "/sub/\\!x /sub/\\!y /sub/has\\*");
    assert_outputs(&ground, WORDS("*", "!*.log", "!./keep*", "../*.x"),
                   "!/sub/**/*.log !/sub/keep* /sub/**/* /sub/../*.x");
    assert_outputs(&ground, WORDS("a\\*b", "\\!c"), "/sub/\\!c /sub/a\\*b");
    assert_outputs(&ground, WORDS(".", ".."), "/** /sub");
    ground_release(&ground);
}

static void what_cannot_be_an_output_is_refused(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "sub/x=1");
    stand_in(&ground, "sub");
    refuse_output(&ground, "", "empty");
    refuse_output(&ground, "../../x", "outside the workspace");
    refuse_output(&ground, "/etc/passwd", "outside the workspace");
    refuse_output(&ground, "../../*", "leaves the root");
    refuse_output(&ground, "a[", "bracket");
    ground_release(&ground);
}

/* --- -o means what -i means ------------------------------------------------------------------- */

static const char *const pieces[] = { "a",   "b", "*", "?", "**", "..", ".", "[ab]", "!",
                                      "\\*", "/", "/", "/", "x*", "",   "é", "\\",   "sub" };

static char *random_word(GRand *random)
{
    GString *word = g_string_new(NULL);
    for (int i = g_rand_int_range(random, 1, 7); i > 0; i--)
        g_string_append(word, pieces[g_rand_int_range(random, 0, (gint)G_N_ELEMENTS(pieces))]);
    return g_string_free(word, FALSE);
}

static char *random_path(GRand *random)
{
    static const char *const names[] = { "a", "b", "sub", "x", "xé", "*", "ab", "[ab]", "!" };
    GString *path = g_string_new(NULL);
    for (int i = g_rand_int_range(random, 1, 5); i > 0; i--)
        g_string_append_printf(path, "%s%s", path->len > 0 ? "/" : "",
                               names[g_rand_int_range(random, 0, (gint)G_N_ELEMENTS(names))]);
    return g_string_free(path, FALSE);
}

static bool compare_selections(struct ground *ground, GRand *random, const char *word)
{
    g_autoptr(GError) input_error = NULL, output_error = NULL;
    g_autoptr(glob) inputs = selection_inputs(&ground->session, WORDS((char *)word), &input_error);
    g_autoptr(action) action = action_new();
    action->outputs = selection_outputs(&ground->session, WORDS((char *)word), &output_error);
    g_test_message("%s in \"%s\": %s", word, ground->session.directory,
                   action->outputs == NULL ? "refused" : action->outputs[0]);
    g_assert_true((inputs == NULL) == (action->outputs == NULL));
    if (inputs == NULL)
        return false;
    g_autoptr(glob) outputs = action_output_glob(action, &output_error);
    g_assert_no_error(output_error);
    for (int i = 0; i < 40; i++) {
        g_autofree char *path = random_path(random);
        for (int directory = 0; directory < 2; directory++)
            if (glob_match(inputs, path, directory) != glob_match(outputs, path, directory))
                g_error("%s: -i %d, -o %d", path, glob_match(inputs, path, directory),
                        glob_match(outputs, path, directory));
    }
    return true;
}

static void an_output_means_what_the_same_input_means(void)
{
    static const char *const directories[] = { "", "sub", "a/b", "[ab]", "sub/!x*" };
    struct ground ground;
    int compared = 0;
    ground_init(&ground);
    g_autoptr(GRand) random = g_rand_new_with_seed(17);
    for (int i = 0; i < 5000; i++) {
        g_autofree char *word = random_word(random);
        stand_in(&ground,
                 directories[g_rand_int_range(random, 0, (gint)G_N_ELEMENTS(directories))]);
        compared += compare_selections(&ground, random, word);
    }
    g_assert_cmpint(compared, >, 2000);
    ground_release(&ground);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/selection/inputs/everything-but-git-and-the-store",
                    without_inputs_everything_but_git_and_the_store);
    g_test_add_func("/selection/inputs/git-when-named", git_is_an_input_when_named);
    g_test_add_func("/selection/inputs/standing-in-git", who_stands_in_git_means_it);
    g_test_add_func("/selection/inputs/paths-from-where-one-stands",
                    paths_are_relative_to_where_one_stands);
    g_test_add_func("/selection/inputs/globs-from-where-one-stands",
                    globs_are_relative_to_where_one_stands);
    g_test_add_func("/selection/inputs/names-that-look-like-globs",
                    names_that_look_like_globs_are_names_where_they_exist);
    g_test_add_func("/selection/inputs/directory-that-looks-like-a-glob",
                    a_directory_whose_name_looks_like_a_glob_is_no_glob);
    g_test_add_func("/selection/inputs/what-is-refused", what_cannot_be_an_input_is_refused);
    g_test_add_func("/selection/outputs/patterns-below-the-root",
                    outputs_become_patterns_below_the_root);
    g_test_add_func("/selection/outputs/what-is-refused", what_cannot_be_an_output_is_refused);
    g_test_add_func("/selection/outputs/mean-what-the-same-input-means",
                    an_output_means_what_the_same_input_means);
    return g_test_run();
}
