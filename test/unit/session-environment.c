// SPDX-License-Identifier: Apache-2.0
#include "session-support.h"

#define WORDS(...) ((char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void assert_environment(char *const *variables, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) found = environment_make(variables, &error);
    g_assert_no_error(error);
    g_autofree char *joined = g_strjoinv("|", found);
    g_assert_cmpstr(joined, ==, expected);
}

static void it_is_made_from_scratch(void)
{
    static const char defaults[] = "HOME=/home/vial|LANG=C.UTF-8|LOGNAME=vial|PATH=/usr/bin:/bin|"
                                   "TMPDIR=/tmp|TZ=UTC|USER=vial";
    g_setenv("SECRET", "x", TRUE);
    g_setenv("LANG", "de_DE.UTF-8", TRUE);
    assert_environment(NULL, defaults);
    assert_environment(WORDS(), defaults);
    g_unsetenv("SECRET");
}

static void what_is_named_is_passed_on(void)
{
    g_setenv("GIVEN", "a=b\n\xff", TRUE);
    g_setenv("TZ", "Asia/Tokyo", TRUE);
    g_unsetenv("NOT_GIVEN");
    assert_environment(WORDS("GIVEN", "NOT_GIVEN", "TZ", "USER=me", "EMPTY="),
                       "EMPTY=|GIVEN=a=b\n\xff|HOME=/home/vial|LANG=C.UTF-8|LOGNAME=vial|"
                       "PATH=/usr/bin:/bin|TMPDIR=/tmp|TZ=Asia/Tokyo|USER=me");
    g_unsetenv("GIVEN");
}

static void a_canonical_run_is_told_its_own_directory(void)
{
    g_setenv("PWD", "/home/me/checkout", TRUE);
    g_setenv("OLDPWD", "/home/me", TRUE);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) found = environment_inherit(NULL, "/workspace/dir", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(g_environ_getenv(found, "PWD"), ==, "/workspace/dir");
    g_assert_null(g_environ_getenv(found, "OLDPWD"));
    g_unsetenv("PWD");
    g_unsetenv("OLDPWD");
}

/* "As in my environment" means unset, too. */
static void a_default_that_the_caller_lacks_goes(void)
{
    g_unsetenv("TZ");
    g_unsetenv("LANG");
    assert_environment(WORDS("TZ", "LANG"), "HOME=/home/vial|LOGNAME=vial|PATH=/usr/bin:/bin|"
                                            "TMPDIR=/tmp|USER=vial");
    assert_environment(WORDS("TZ", "LANG", "TZ=UTC", "LANG=C"),
                       "HOME=/home/vial|LANG=C|LOGNAME=vial|PATH=/usr/bin:/bin|TMPDIR=/tmp|"
                       "TZ=UTC|USER=vial");
}

static void order_is_that_of_names(void)
{
    g_auto(GStrv) found =
        environment_make(WORDS("A0=1", "A_=2", "A=9", "Z=", "A=3", "a=4", "AA=5"), NULL);
    for (char **at = found; at[1] != NULL; at++)
        g_assert_cmpint(action_compare_assignments(at, at + 1), <, 0);
    g_assert_cmpstr(found[0], ==, "A=3");
    g_assert_cmpstr(found[1], ==, "A0=1");
    g_assert_cmpstr(found[2], ==, "AA=5");
    g_assert_cmpstr(found[3], ==, "A_=2");
}

static void what_is_no_name_is_refused(void)
{
    static const char *const bad[] = {
        "", "=", "=x", "1A=x", "A-B=x", "A B", "\xc3=x", "A\n=x", "-"
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(environment_make(WORDS((char *)bad[i]), &error));
        g_assert_error(error, FAULT, FAULT_USAGE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/environment/canonical-run-is-told-its-own-directory",
                    a_canonical_run_is_told_its_own_directory);
    g_test_add_func("/environment/is-made-from-scratch", it_is_made_from_scratch);
    g_test_add_func("/environment/named-variables-are-passed-on", what_is_named_is_passed_on);
    g_test_add_func("/environment/defaults-that-the-caller-lacks-go",
                    a_default_that_the_caller_lacks_goes);
    g_test_add_func("/environment/order-is-that-of-names", order_is_that_of_names);
    g_test_add_func("/environment/what-is-no-name-is-refused", what_is_no_name_is_refused);
    return g_test_run();
}
