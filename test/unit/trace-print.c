// SPDX-License-Identifier: Apache-2.0
#include "trace-support.h"

static guint32 add_process(struct recorder *recorder, guint32 parent, char **argv)
{
    char *environment[] = { "A=\"1\"\n", NULL };
    const struct trace_process process = { .pid = 10 + parent,
                                           .start = 5,
                                           .parent = parent,
                                           .argv = argv,
                                           .environment = environment,
                                           .directory = "/w",
                                           .program = "/bin/x" };
    return recorder_process(recorder, &process);
}

static struct trace *small_trace(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    guint32 make = add_process(recorder, 0, (char *[]){ "make", "all", NULL });
    guint32 cc = add_process(recorder, make, (char *[]){ "cc", "-DX=a b", NULL });
    guint32 as = add_process(recorder, cc, NULL);
    note_kind(recorder, "/w", make, TRACE_DIRECTORY);
    note_names(recorder, "/w", make, "names");
    note_time(recorder, "/w/a.c", make, 7);
    note_known(recorder, "/w/a.c", cc, "int main;");
    note_absent(recorder, "/w/a.o", make);
    note_kind(recorder, "/w/d", make, TRACE_DIRECTORY);
    note_kind(recorder, "/w/d/found", cc, TRACE_FILE);
    note_link(recorder, "/w/l", cc, "a.c");
    note_xattrs(recorder, "/w/m", cc, TRACE_FILE, SOME_XATTRS);
    note_kind(recorder, "/w/\x1b[1m", 0, TRACE_FIFO);
    note_kind(recorder, "/w/walked", 0, TRACE_DIRECTORY);
    recorder_write(recorder, "/w/a.o", as, TRACE_CREATED | TRACE_WROTE);
    recorder_write(recorder, "/w/old", as, TRACE_REMOVED);
    recorder_uncacheable(recorder, "it used the network");
    return sealed(recorder);
}

static void the_tree_says_who_learned_what_first(void)
{
    g_autoptr(trace) trace = small_trace();
    g_autofree char *text = trace_print_tree(trace, 0);
    g_assert_cmpstr(text, ==,
                    "not known who\n"
                    "  found    \"\\033[1m\"\n"
                    "1 make all   (pid 10)\n"
                    "  listed   .\n"
                    "  time     a.c\n"
                    "  absent   a.o\n"
                    "  2 cc '-DX=a b'   (pid 11)\n"
                    "    read     a.c\n"
                    "    found    d/found\n"
                    "    link     l -> a.c\n"
                    "    xattrs   m\n"
                    "    3 /bin/x   (pid 12)\n"
                    "      wrote    a.o\n"
                    "      removed  old\n"
                    "not to be reused: it used the network\n");
}

static void nobody_is_named_who_has_nothing_to_show(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_kind(recorder, "/w", 0, TRACE_DIRECTORY);
    g_autoptr(trace) trace = sealed(recorder);
    g_autofree char *text = trace_print_tree(trace, 0);
    g_assert_cmpstr(text, ==, "");
}

static void a_process_can_be_picked_with_those_below_it(void)
{
    g_autoptr(trace) trace = small_trace();
    g_autofree char *text = trace_print_tree(trace, 2);
    g_assert_cmpstr(text, ==,
                    "2 cc '-DX=a b'   (pid 11)\n"
                    "  read     a.c\n"
                    "  found    d/found\n"
                    "  link     l -> a.c\n"
                    "  xattrs   m\n"
                    "  3 /bin/x   (pid 12)\n"
                    "    wrote    a.o\n"
                    "    removed  old\n");
    g_autofree char *lines = trace_print_lines(trace, 3);
    g_assert_cmpstr(lines, ==,
                    "{\"process\":3,\"parent\":2,\"pid\":12,\"start\":5,\"program\":\"/bin/x\","
                    "\"directory\":\"/w\",\"argv\":[],\"environment\":[\"A=\\\"1\\\"\\n\"]}\n"
                    "{\"written\":\"a.o\",\"process\":3,\"what\":[\"created\",\"wrote\"]}\n"
                    "{\"written\":\"old\",\"process\":3,\"what\":[\"removed\"]}\n");
}

static void lines_hold_all_of_it(void)
{
    g_autoptr(trace) trace = small_trace();
    g_autofree char *text = trace_print_lines(trace, 0);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    static const char *const expected[] = {
        "{\"path\":\"\\u001b[1m\",\"aspects\":{\"kind\":0},\"kind\":\"fifo\"}",
        "{\"path\":\"a.o\",\"aspects\":{\"absent\":1},\"kind\":\"nothing\"}",
        "{\"path\":\"l\",\"aspects\":{\"kind\":2,\"target\":2},\"kind\":\"link\",\"target\":\"a."
        "c\"}",
        "{\"path\":\"m\",\"aspects\":{\"kind\":2,\"xattrs\":2},\"kind\":\"file\",\"xattrs\":"
        "\"" SOME_XATTRS "\"}",
        "{\"uncacheable\":\"it used the network\"}",
    };
    char hash[DIGEST_HASH_SIZE * 2 + 1];
    struct digest digest;
    digest_of("int main;", 9, &digest);
    g_autofree char *source = g_strdup_printf(
        "{\"path\":\"a.c\",\"aspects\":{\"kind\":1,\"content\":2,\"time\":1},\"kind\":\"file\","
        "\"mode\":\"0644\",\"hash\":\"%s\",\"size\":9,\"rank\":1}",
        digest_print_hash(&digest, hash));
    g_assert_true(g_strv_contains((const char *const *)lines, source));
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_true(g_strv_contains((const char *const *)lines, expected[i]));
    g_assert_cmpuint(g_strv_length(lines), ==, 3 + 9 + 2 + 1 + 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/print/the-tree-says-who-learned-what-first",
                    the_tree_says_who_learned_what_first);
    g_test_add_func("/trace/print/a-process-can-be-picked-with-those-below-it",
                    a_process_can_be_picked_with_those_below_it);
    g_test_add_func("/trace/print/nobody-is-named-who-has-nothing-to-show",
                    nobody_is_named_who_has_nothing_to_show);
    g_test_add_func("/trace/print/lines-hold-all-of-it", lines_hold_all_of_it);
    return g_test_run();
}
