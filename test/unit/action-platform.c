// SPDX-License-Identifier: Apache-2.0
#include "action-support.h"
#include "action/platform.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static char *scratch_new(void)
{
    g_autoptr(GError) error = NULL;
    char *path = g_dir_make_tmp("vial-platform-XXXXXX", &error);
    g_assert_no_error(error);
    return path;
}

static void scratch_free(char *path)
{
    g_assert_true(fd_remove_tree(AT_FDCWD, path, NULL));
    g_free(path);
}

static void write_program(const char *directory, const char *name, const char *text, int mode)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
}

static struct action *action_with(const char *program, const char *path)
{
    struct action *action = action_of(STRV((char *)program));
    g_autofree char *variable = path == NULL ? NULL : g_strconcat("PATH=", path, NULL);
    set_list(&action->environment, STRV(variable));
    return action;
}

static char **fingerprint(const struct action *action, struct stat_cache *cache)
{
    g_autoptr(GError) error = NULL;
    char **found = platform_fingerprint(cache, action, "tested", &error);
    g_assert_no_error(error);
    return found;
}

static const char *property(char **platform, const char *name)
{
    g_autofree char *start = g_strconcat(name, "=", NULL);
    for (; *platform != NULL; platform++)
        if (g_str_has_prefix(*platform, start))
            return *platform + strlen(start);
    return NULL;
}

/* --- the program ------------------------------------------------------------------------------ */

static void the_program_is_the_first_on_the_path_that_can_run(void)
{
    char *scratch = scratch_new();
    g_autofree char *one = g_build_filename(scratch, "one", NULL);
    g_autofree char *two = g_build_filename(scratch, "two", NULL);
    g_autofree char *path = g_strjoin(":", "", "relative", one, "/nowhere", two, NULL);
    g_assert_cmpint(g_mkdir(one, 0755), ==, 0);
    g_assert_cmpint(g_mkdir(two, 0755), ==, 0);
    write_program(one, "plain", "", 0644);
    write_program(two, "plain", "", 0755);
    write_program(two, "twice", "", 0755);
    write_program(one, "twice", "", 0755);
    g_autofree char *directory = g_build_filename(one, "dir", NULL);
    g_assert_cmpint(g_mkdir(directory, 0755), ==, 0);
    write_program(two, "dir", "", 0755);

    static const char *const expected[][2] = {
        { "plain", "two" }, { "twice", "one" }, { "dir", "two" }, { "absent", NULL }
    };
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(action) action = action_with(expected[i][0], path);
        g_autofree char *found = platform_program(action);
        g_autofree char *wanted = expected[i][1] == NULL ? NULL
                                                         : g_build_filename(scratch, expected[i][1],
                                                                            expected[i][0], NULL);
        g_assert_cmpstr(found, ==, wanted);
    }
    scratch_free(scratch);
}

static void an_empty_part_of_the_path_is_not_the_root(void)
{
    g_autoptr(action) action = action_with("usr", ":");
    g_autofree char *found = platform_program(action);
    g_assert_null(found);
}

static void a_program_among_the_inputs_is_not_looked_for(void)
{
    static const char *const names[] = { "./run", "bin/run", "../run", "a/" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(action) action = action_with(names[i], "/bin");
        g_autofree char *found = platform_program(action);
        g_assert_null(found);
    }
}

static void without_a_path_it_is_looked_for_where_the_sandbox_does(void)
{
    g_autoptr(action) action = action_with("sh", NULL);
    g_autofree char *found = platform_program(action);
    g_assert_nonnull(found);
    g_assert_true(g_str_has_suffix(found, "/bin/sh"));
    g_autoptr(action) nowhere = action_with("sh", "");
    g_autofree char *not_found = platform_program(nowhere);
    g_assert_null(not_found);
}

/* --- /usr/local ------------------------------------------------------------------------------- */

static void usr_local_is_shown_only_to_who_names_it(void)
{
    static const struct {
        const char *program, *path;
        bool shown;
    } cases[] = {
        { "cc", "/usr/bin:/bin", false },      { "cc", "/usr/bin:/usr/local/bin", true },
        { "cc", "/usr/local", true },          { "cc", "/usr/localized/bin", false },
        { "cc", "/opt/usr/local/bin", false }, { "/usr/local/bin/cc", "/bin", true },
        { "/usr/bin/cc", NULL, false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(action) action = action_with(cases[i].program, cases[i].path);
        g_assert_cmpint(platform_shows_local(action), ==, cases[i].shown);
        if (cases[i].shown)
            continue; /* there may be gigabytes to read */
        g_autoptr(stat_cache) cache = stat_cache_new(NULL);
        g_auto(GStrv) platform = fingerprint(action, cache);
        g_assert_null(property(platform, "usr-local"));
    }
}

/* --- the fingerprint -------------------------------------------------------------------------- */

static void it_says_what_the_machine_is(void)
{
    struct utsname system;
    uname(&system);
    g_autoptr(action) action = action_with("sh", "/bin");
    g_autoptr(stat_cache) cache = stat_cache_new(NULL);
    g_auto(GStrv) platform = fingerprint(action, cache), again = fingerprint(action, cache);
    g_assert_cmpstrv(platform, again);
    for (char **at = platform; at[1] != NULL; at++)
        g_assert_cmpint(action_compare_assignments(at, at + 1), <, 0);
    g_assert_cmpstr(property(platform, "kernel"), ==, system.release);
    g_assert_cmpstr(property(platform, "architecture"), ==, system.machine);
    g_assert_cmpstr(property(platform, "isolation"), ==, "tested");
    static const char *const digests[] = { "etc", "processor", "program" };
    for (size_t i = 0; i < G_N_ELEMENTS(digests); i++) {
        struct digest digest;
        g_assert_true(digest_parse(property(platform, digests[i]), &digest, NULL));
    }
    g_assert_true(property(platform, "packages") != NULL || property(platform, "usr") != NULL);
    g_assert_nonnull(property(platform, "processors"));
    g_assert_nonnull(property(platform, "memory"));
    g_assert_nonnull(property(platform, "os-release"));
}

static void it_does_not_say_who_runs_it_or_where(void)
{
    g_autoptr(action) action = action_with("sh", "/bin");
    g_autoptr(stat_cache) cache = stat_cache_new(NULL);
    g_auto(GStrv) platform = fingerprint(action, cache);
    set_directory(action, "elsewhere");
    set_list(&action->environment, STRV("PATH=/bin", "USER=somebody"));
    g_auto(GStrv) other = fingerprint(action, cache);
    g_assert_cmpstrv(platform, other);
}

static void another_program_of_the_same_name_is_another_platform(void)
{
    char *scratch = scratch_new();
    g_autoptr(action) action = action_with("tool", scratch);
    g_autoptr(stat_cache) cache = stat_cache_new(NULL);
    g_auto(GStrv) absent = fingerprint(action, cache);
    g_assert_null(property(absent, "program"));
    write_program(scratch, "tool", "version 1", 0755);
    g_auto(GStrv) one = fingerprint(action, cache);
    write_program(scratch, "tool", "version 2", 0755);
    g_auto(GStrv) two = fingerprint(action, cache);
    write_program(scratch, "tool", "version 1", 0755);
    g_auto(GStrv) again = fingerprint(action, cache);
    g_assert_cmpstr(property(one, "program"), !=, property(two, "program"));
    g_assert_cmpstrv(one, again);
    scratch_free(scratch);
}

static void a_directory_as_program_is_no_error(void)
{
    g_autoptr(action) action = action_with("/usr", "/bin");
    g_autoptr(stat_cache) cache = stat_cache_new(NULL);
    g_auto(GStrv) platform = fingerprint(action, cache);
    g_assert_null(property(platform, "program"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/platform/program/is-the-first-on-the-path-that-can-run",
                    the_program_is_the_first_on_the_path_that_can_run);
    g_test_add_func("/platform/program/empty-part-of-the-path-is-not-the-root",
                    an_empty_part_of_the_path_is_not_the_root);
    g_test_add_func("/platform/program/is-not-looked-for-among-the-inputs",
                    a_program_among_the_inputs_is_not_looked_for);
    g_test_add_func("/platform/program/without-a-path-is-where-the-sandbox-looks",
                    without_a_path_it_is_looked_for_where_the_sandbox_does);
    g_test_add_func("/platform/usr-local/is-shown-only-to-who-names-it",
                    usr_local_is_shown_only_to_who_names_it);
    g_test_add_func("/platform/fingerprint/says-what-the-machine-is", it_says_what_the_machine_is);
    g_test_add_func("/platform/fingerprint/does-not-say-who-runs-it-or-where",
                    it_does_not_say_who_runs_it_or_where);
    g_test_add_func("/platform/fingerprint/covers-the-program",
                    another_program_of_the_same_name_is_another_platform);
    g_test_add_func("/platform/fingerprint/directory-as-program-is-no-error",
                    a_directory_as_program_is_no_error);
    return g_test_run();
}
